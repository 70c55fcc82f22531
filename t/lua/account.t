# redis-schema/knock.lua: environments, sources and endpoints.

use strict;
use warnings;
use utf8;

use JSON::PP;
use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;
my @ENV = ('@/environments', '@/environment_info');

environments();
sources();
endpoints();
endpoint_changes();
secrets_that_are_replaced();
tokens_that_are_replaced();
endpoint_delete();

done_testing();


sub environments {
    $lib->flush;

    is_deeply($lib->call('knock_environments', ['@/environments']),
              ['development', 'production'], 'the default environments');
    is_deeply($lib->answers('they are listed', 200, '',
                            'knock_environment_list', \@ENV),
              { items => [
                    { key => 'development', name => 'Development',
                      created_at => undef },
                    { key => 'production', name => 'Production',
                      created_at => undef } ],
                cursor => undef }, 'with names');

    my $create = sub {
        my ($key, $after) = @_;

        return ('knock_environment_create', \@ENV, $key,
                qq({"key":"$key","name":"N \\"q\\" ü","created_at":"t"}),
                $after // '');
    };

    $lib->refuses('one of the defaults exists', 409, 'exists',
                  $create->('production'));
    $lib->refuses('an unknown one to stand after', 422, 'invalid_environment',
                  $create->('staging', 'nowhere'));
    $lib->refuses("'$_' is no environment's key", 422, 'invalid_environment',
                  $create->($_))
        for '', 'Staging', 'a b', '@', 'a}', 'ü', 'a' x 65;
    $lib->dies('a document that is no object', qr/no JSON object/,
               'knock_environment_create', \@ENV, 'staging', '7', '');

    my $doc = $lib->answers('one is created', 201, '',
                            $create->('staging', 'development'));

    is($doc->{name}, 'N "q" ü', 'and answered');

    $lib->answers('another at the end', 201, '', $create->('last'));
    $lib->refuses('it exists now', 409, 'exists', $create->('staging'));

    is_deeply($lib->call('knock_environments', ['@/environments']),
              ['development', 'staging', 'production', 'last'],
              'they stand in order');
    is_deeply([ map { $_->{name} }
                @{ $lib->answers('all are listed', 200, '',
                                 'knock_environment_list', \@ENV)->{items} } ],
              ['Development', 'N "q" ü', 'Production', 'N "q" ü'],
              'with their documents');
}


sub sources {
    $lib->flush;

    my @keys = ['@/sources'];
    my $doc = sub { qq({"key":"$_[0]","kind":"segment","name":"$_[0]"}) };

    is_deeply($lib->answers('no sources', 200, '', 'knock_source_list', @keys,
                            10, ''),
              { items => [], cursor => undef }, 'an empty list');
    $lib->refuses('no such source', 404, 'not_found', 'knock_source_get',
                  @keys, 's"1');
    $lib->refuses('nor to change', 404, 'not_found', 'knock_source_set',
                  @keys, 's1', $doc->('s1'), '');
    $lib->refuses('nor to delete', 404, 'not_found', 'knock_source_delete',
                  @keys, 's1');
    $lib->refuses("'$_' is no source's key", 422, 'invalid_source',
                  'knock_source_create', @keys, $_, '{}')
        for '', 'a/b', "a\n", 'é', 'a' x 65;
    $lib->dies('a document that is no object', qr/no JSON object/,
               'knock_source_create', @keys, 's', '[]');

    # byte order, whatever the server's locale
    for my $key (qw(b a B _ a-b ab 1)) {
        $lib->answers("source $key is created", 201, 1, 'knock_source_create',
                      @keys, $key, $doc->($key));
    }

    $lib->refuses('one that exists', 409, 'exists', 'knock_source_create',
                  @keys, 'a', $doc->('a'));

    my @sorted = qw(1 B _ a a-b ab b);

    is_deeply($lib->call('knock_source_keys', @keys), \@sorted,
              'their keys in order');

    for my $limit (1, 2, 3, 6, 7, 8) {
        is_deeply([ map { $_->{key} }
                    @{ $lib->pages($limit, 'knock_source_list', @keys) } ],
                  \@sorted, "pages of $limit");
    }

    my $got = $lib->answers('one is read', 200, 1,
                            'knock_source_get', @keys, 'a');
    my $etag = $lib->etag;

    is_deeply($got, { key => 'a', kind => 'segment', name => 'a' }, 'whole');

    $lib->refuses('a stale If-Match', 412, 'stale', 'knock_source_set', @keys,
                  'a', '{"name":"x"}', 'f' x 40);

    $lib->answers('If-Match', 200, 1, 'knock_source_set',
                  @keys, 'a', '{"name":"x"}', $etag);
    my $new = $lib->etag;

    isnt($new, $etag, 'the ETag is another one');
    $lib->refuses('the old one is stale', 412, 'stale', 'knock_source_set',
                  @keys, 'a', '{"name":"y"}', $etag);
    $lib->answers('If-Match: *', 200, 1, 'knock_source_set', @keys, 'a',
                  '{"name":"y"}', '*');
    $lib->answers('the new ETag is that of a read', 200, $new,
                  'knock_source_set', @keys, 'a', '{"name":"x"}', '');

    is($lib->answers('a source is deleted', 204, '', 'knock_source_delete',
                     @keys, 'a'), '', 'without a body');
    $lib->refuses('it is gone', 404, 'not_found', 'knock_source_get', @keys,
                  'a');
}


my (@GET, @PATCH, @ROTATE);

sub endpoints {
    $lib->flush;

    @GET = ('knock_endpoint_get', ['endpoints', 'catalogue:s'], 's',
            'development', 'https://h/"in"/');
    @PATCH = ('knock_endpoint_patch', ['version', 'endpoints', 'catalogue:s'],
              's', 'development', 'https://h/"in"/');
    @ROTATE = ('knock_endpoint_rotate',
               ['version', 'endpoints', 'catalogue:s'],
               's', 'development', 'https://h/"in"/');

    $lib->refuses('no endpoint', 404, 'not_found', @GET);
    $lib->refuses('nor to change', 404, 'not_found', @PATCH, '', 'enabled', 0);
    $lib->refuses('nor to rotate', 404, 'not_found', @ROTATE, 't2');

    $lib->answers('one is created', 200, '', 'knock_endpoint_create',
                  ['version', 'endpoints'], 's', 'tok', '2026-01-01T00:00:00Z');

    my $version = $lib->redis('GET', $lib->key('version'));
    my $before = $lib->dump;

    ok($version, 'the configuration has a version');
    $lib->answers('creating it again', 200, '', 'knock_endpoint_create',
                  ['version', 'endpoints'], 's', 'other', 'later');
    is_deeply($lib->dump, $before, 'leaves it as it is');

    is_deeply($lib->answers('it is read', 200, 1, @GET),
              { source => 's', environment => 'development', token => 'tok',
                url => 'https://h/"in"/tok', enabled => JSON::PP::true,
                identify_enabled => JSON::PP::false,
                idempotency_enabled => JSON::PP::true,
                signing_secret_set => JSON::PP::false,
                previous_signing_secret_set => JSON::PP::false,
                previous_signing_secret_valid_until => undef,
                previous_token_valid_until => undef,
                last_event_at => undef }, 'with its defaults');

    $lib->redis('ZADD', $lib->key('catalogue:s'), 1767225599999, 'page',
                1709164800000, 'track/T');
    is($lib->answers('an event came', 200, 1, @GET)->{last_event_at},
       '2025-12-31T23:59:59.999Z', 'the newest of its events');

    for ([0, '1970-01-01T00:00:00.000Z'],
         [951782400123, '2000-02-29T00:00:00.123Z'],
         [1709164800000, '2024-02-29T00:00:00.000Z'],
         [1772323200001, '2026-03-01T00:00:00.001Z'],
         [4107542399000, '2100-02-28T23:59:59.000Z'])
    {
        $lib->redis('DEL', $lib->key('catalogue:s'));
        $lib->redis('ZADD', $lib->key('catalogue:s'), $_->[0], 'page');
        is($lib->answers("the time $_->[0]", 200, 1, @GET)->{last_event_at},
           $_->[1], "is $_->[1]");
    }

    $lib->call('knock_endpoint_set', ['version', 'endpoints'], 's',
               'identify_enabled', 1, 'token', 'tok2');

    my $doc = $lib->answers('knock_endpoint_set', 200, 1, @GET);

    ok($doc->{identify_enabled} && $doc->{token} eq 'tok2', 'sets fields');
    isnt($lib->redis('GET', $lib->key('version')), $version,
         'under a new version');
}


sub endpoint_changes {
    $lib->answers('an endpoint', 200, 1, @GET);
    my $etag = $lib->etag;
    my $version = $lib->redis('GET', $lib->key('version'));

    $lib->refuses('a stale If-Match', 412, 'stale', @PATCH, 'f' x 40,
                  'enabled', 0);
    $lib->dies('an unknown setting', qr/unknown setting "token"/, @PATCH, '',
               'enabled', 0, 'token', 'x');
    $lib->dies('a setting without a value', qr/no value/, @PATCH, '',
               'enabled');
    $lib->answers('no settings', 200, $etag, @PATCH, '');
    is($lib->redis('GET', $lib->key('version')), $version, 'are no change');

    my $off = $lib->answers('settings', 200, 1, @PATCH, $etag,
                            'enabled', 0, 'identify_enabled', 0,
                            'idempotency_enabled', 0,
                            'signing_secret', 's3cret');
    my $second = $lib->etag;

    ok(!$off->{enabled} && !$off->{identify_enabled}
       && !$off->{idempotency_enabled} && $off->{signing_secret_set},
       'are changed');
    unlike($lib->call(@GET)->[1], qr/s3cret/, 'the secret is not told');
    isnt($lib->redis('GET', $lib->key('version')), $version,
         'under a new version');

    $lib->answers('another secret', 200, 1, @PATCH,
                  $second, 'signing_secret', 'other');
    my $third = $lib->etag;

    isnt($third, $second, 'is another ETag');

    my $none = $lib->answers('no secret', 200, 1, @PATCH, '*',
                             'signing_secret', '');
    my $fourth = $lib->etag;

    ok(!$none->{signing_secret_set}, 'is none');
    is($lib->redis('HEXISTS', $lib->key('endpoints'), 's/signing_secret'), 0,
       'and nothing is left of it');

    my $rotated = $lib->answers('it is rotated', 200, 1, @ROTATE, 'tok3');

    is($rotated->{token}, 'tok3', 'to the new token');
    is($rotated->{url}, 'https://h/"in"/tok3', 'and URL');
    $lib->refuses('the ETag before is stale', 412, 'stale', @PATCH, $fourth,
                  'enabled', 1);
}


# The fields of what an endpoint had before.

sub previous {
    my %fields = @{ $lib->redis('HGETALL', $lib->key('endpoints')) };

    return { map { ($_ => $fields{$_}) } grep { m{/previous_} } keys %fields };
}


sub ms {
    my ($time) = @_;
    my ($s, $us) = @{ $lib->redis('TIME') };

    return $s * 1000 + int($us / 1000) + ($time // 0);
}


# What a call kept, for how many seconds.

sub is_kept {
    my ($name, $value, $seconds, $since, $title) = @_;

    my $field = "s/previous_$name";
    my $previous = previous();
    my $till = $previous->{"${field}_valid_until"} // 0;

    is($previous->{$field}, $value, "$title: it is kept");
    ok($since + $seconds * 1000 <= $till && $till <= ms($seconds * 1000),
       "$title: for as long as was asked");
}


# More than a few milliseconds go by, of Redis' clock.

sub let_pass {
    my ($until) = @_;

    select undef, undef, undef, 0.002 while ms() <= $until;
}


sub secrets_that_are_replaced {
    my @secret = (@PATCH, '', 'signing_secret');

    $lib->answers('a secret', 200, 1, @secret, 'one', 'grace_seconds', 3600);
    is_deeply(previous(), {}, 'has no predecessor');

    my $since = ms();
    my $doc = $lib->answers('another one, with a grace', 200, 1, @secret,
                            'two', 'grace_seconds', 3600);

    is_kept('signing_secret', 'one', 3600, $since, 'a grace');
    ok($doc->{previous_signing_secret_set}, 'that it is there is told');
    like($doc->{previous_signing_secret_valid_until},
         qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'and until when');
    unlike($lib->call(@GET)->[1], qr/"one"|"two"/, 'but neither of them');

    $lib->answers('the same secret again', 200, 1, @secret, 'two',
                  'grace_seconds', 1);
    is_kept('signing_secret', 'one', 3600, $since, 'the same again');

    $since = ms();
    $lib->answers('a third one, within the grace', 200, 1, @secret, 'three',
                  'grace_seconds', 60);
    is_kept('signing_secret', 'two', 60, $since, 'the last one alone');

    $lib->answers('a setting', 200, 1, @PATCH, '', 'enabled', 1);
    is_kept('signing_secret', 'two', 60, $since, 'another change');

    for (['no grace', 'four'], ['a grace of 0', 'five', 'grace_seconds', 0],
         ['a removal', ''])
    {
        my ($title, @value) = @$_;

        $lib->answers('set again', 200, 1, @secret, $title);
        $lib->answers('with a predecessor', 200, 1, @secret, "$title, new",
                      'grace_seconds', 60);
        $doc = $lib->answers($title, 200, 1, @secret, @value);
        is_deeply(previous(), {}, "$title: there is none");
        ok(!$doc->{previous_signing_secret_set}
           && !defined $doc->{previous_signing_secret_valid_until},
           "$title: nor is one told");
    }

    # by its value and time

    my $till = ms(60_000);
    my @given = ('previous_signing_secret', 'old',
                 'previous_signing_secret_valid_until', $till);

    $doc = $lib->answers('both of them', 200, 1, @secret, 'new', @given);
    is_deeply(previous(), { 's/previous_signing_secret' => 'old',
                            's/previous_signing_secret_valid_until' => $till },
              'are set');
    $lib->answers('it is taken out', 200, 1, @PATCH, '',
                  'previous_signing_secret', '');
    is_deeply(previous(), {}, 'and nothing is left');

    # one that is over is told no more, and goes with the next change

    $given[3] = ms(20);
    $lib->answers('one for a moment', 200, 1, @PATCH, '', @given);
    let_pass($given[3]);
    $doc = $lib->answers('then', 200, 1, @GET);
    ok(!$doc->{previous_signing_secret_set}, 'it is none');

    my $etag = $lib->etag;

    is(previous()->{'s/previous_signing_secret'}, 'old', 'that is still there');
    $lib->answers('until a change', 200, 1, @PATCH, $etag, 'enabled', 1);
    is_deeply(previous(), {}, 'and nothing is left');
}


sub tokens_that_are_replaced {
    my $since = ms();
    my $doc;

    $lib->answers('it is rotated', 200, 1, @ROTATE, 'tok4');
    is_deeply(previous(), {}, 'without a grace nothing is kept');
    is($lib->answers('nor', 200, 1, @GET)->{previous_token_valid_until}, undef,
       'is anything told');

    $doc = $lib->answers('with one', 200, 1, @ROTATE, 'tok5', '', 3600);
    is($doc->{token}, 'tok5', 'it has the new token');
    is_kept('token', 'tok4', 3600, $since, 'the old token');
    like($doc->{previous_token_valid_until}, qr/^20\d\d-.*Z$/, 'told until when');

    $since = ms();
    $lib->answers('once more', 200, 1, @ROTATE, 'tok6', '', 60);
    is_kept('token', 'tok5', 60, $since, 'the last one alone');

    # a secret has its own

    $lib->answers('a secret', 200, 1, @PATCH, '', 'signing_secret', 'a');
    is_kept('token', 'tok5', 60, $since, 'which a new secret leaves');

    $lib->answers('at once', 200, 1, @ROTATE, 'tok7', '', 0);
    is_deeply(previous(), {}, 'nothing is kept');

    $lib->call('knock_endpoint_set', ['version', 'endpoints'], 's',
               'previous_token', 'old', 'previous_token_valid_until', ms(20));
    let_pass(ms(20));
    $lib->answers('over', 200, 1, @ROTATE, 'tok8', '', '');
    is_deeply(previous(), {}, 'and nothing is left');

    $lib->refuses('a stale If-Match', 412, 'stale', @ROTATE, 'x', 'f' x 40, 60);
}


sub endpoint_delete {
    $lib->redis('HSET', $lib->key('endpoints'), 's2/token', 'x', 'ss/token',
                'y');
    $lib->redis('HSET', $lib->key('catalogue_info:s'), 'cpage', 1);
    $lib->redis('XADD', $lib->key('log:s'), '*', 's', 'p');

    my @delete = ('knock_endpoint_delete',
                  ['version', 'endpoints', 'catalogue:s', 'catalogue_info:s',
                   'log:s'], 's');

    $lib->answers('an endpoint is deleted', 204, '', @delete);
    is_deeply([ sort @{ $lib->redis('KEYS', '*') } ],
              [ sort map { $lib->key($_) } qw(version endpoints) ],
              'with all it has received');
    is_deeply([ sort @{ $lib->redis('HKEYS', $lib->key('endpoints')) } ],
              ['s2/token', 'ss/token'], 'and nothing of others');

    my $before = $lib->dump;

    $lib->answers('deleting it again', 204, '', @delete);
    is_deeply($lib->dump, $before, 'changes nothing');
}
