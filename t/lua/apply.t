# redis-schema/knock.lua: what knock_apply takes besides events from a webhook.

use strict;
use warnings;

use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;

versions();
no_catalogue();
guards();
guards_among_units();
guard_and_merge();
shards_follow();
begun_elsewhere();
verdicts_are_told();
told_by_shards();
versions_go_on();

done_testing();


sub write_user {
    my ($id, $fields, %unit) = @_;

    return { events => [ { catalogue => '', event => 'user',
                           ops => [["user:$id", 'e', $fields]] } ], %unit };
}

sub user { return { @{ $lib->redis('HGETALL', $lib->key("user:$_[0]")) } } }

sub etag {
    $lib->answers("user $_[0]", 200, 1, 'knock_user_get', ["user:$_[0]"]);

    return $lib->etag;
}


sub versions {
    my $unit = write_user('u', { id => '"u"' });

    for my $version (0, 1, 2, '', 'x') {
        my $reply = eval { $lib->apply([$unit], version => $version) };

        like($@, qr/^ERR knock_apply .* update the caller/,
             "a caller of version '$version' is refused");
    }

    my $own = Knock::Library::VERSION;
    my $newer = $own + 1;

    eval { $lib->apply([$unit], version => $newer) };
    like($@, qr/^KNOCKLIB .* load version $newer/,
         'a newer caller is asked for its library');

    is_deeply($lib->redis('KEYS', '*'), [], 'and nothing is changed');
    is_deeply($lib->apply([$unit], version => $_), [['ok', 'p', 0]],
              "version $_ is taken") for 3 .. $own;
    is_deeply($lib->redis('FCALL', 'knock_environments', 1,
                          $lib->key('@/environments'), 1),
              ['development', 'production'],
              'other functions take older callers');
}


sub no_catalogue {
    $lib->flush;

    is_deeply($lib->apply([write_user('u', { id => '"u"', name => '"N"' })]),
              [['ok', 'p', 0]], 'a user is written');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('user:u')],
              'and no event counted');
}


sub guards {
    $lib->flush;

    my $write = sub {
        my ($etag) = @_;

        return $lib->apply([write_user('u', { id => '"u"', n => '1' },
                                       guard => 'user:u', etag => $etag)]);
    };

    is_deeply($write->('*'), [['stale_entity']], 'a user that is not there');
    is_deeply($write->('f' x 40), [['stale_entity']], 'has no ETag');
    is_deeply($lib->redis('KEYS', '*'), [], 'nothing is written');

    $lib->redis('HSET', $lib->key('user:u'), 'id', '"u"', 'n', '0');
    my $etag = etag('u');
    my $before = $lib->dump;

    is_deeply($write->('f' x 40), [['stale_entity']], 'a stale ETag');
    is_deeply($lib->dump, $before, 'nothing is written');
    is_deeply($write->($etag), [['ok', 'p', 0]], 'the ETag of a read');
    is(user('u')->{n}, 1, 'lets it be written');
    is_deeply($write->($etag), [['stale_entity']], 'once');
    is_deeply($write->('*'), [['ok', 'p', 0]], 'any that is there');
    is_deeply($write->(''), [['ok', 'p', 0]], 'or anything');
}


# those around a unit that is not applied are, with their marks and runs

sub guards_among_units {
    $lib->flush;

    $lib->redis('HSET', $lib->key('user:u'), 'id', '"u"');
    my $etag = etag('u');

    my $event = sub {
        my ($mark) = @_;

        return { mark => $mark, event => "track/$mark", log => '{}',
                 actions => [['', ['user:u', qq({"m":"$mark"})]]] };
    };

    is_deeply($lib->apply([
                  { events => [$event->('a'), $event->('b')] },
                  write_user('u', { n => '1' }, guard => 'user:u',
                             etag => $etag),
                  { events => [$event->('c')], guard => 'user:u',
                    etag => $etag },
                  { events => [$event->('d'), $event->('a')] } ]),
              [['ok', 'pp', 2], ['ok', 'p', 0], ['stale_entity'],
               ['ok', 'pd', 1]],
              'a unit sees what those before it have written');
    is_deeply($lib->redis('LRANGE', $lib->key('runs'), 0, -1),
              [ map { qq({"m":"$_"}) } qw(a b d) ], 'its runs are not made');
    is_deeply([ sort grep { length }
                map { @{ $lib->redis('HKEYS', $lib->key("seen:$_")) } } 0, 1 ],
              ['a', 'b', 'd'], 'nor its events marked');
    is_deeply([ sort @{ $lib->redis('ZRANGE', $lib->key('catalogue:segment'),
                                    0, -1) } ],
              ['track/a', 'track/b', 'track/d'], 'nor counted');
    is($lib->redis('XLEN', $lib->key('log:segment')), 4, 'nor logged');
    is_deeply($lib->apply([{ events => [$event->('c')] }]), [['ok', 'p', 1]],
              'it can come again');
}


sub guard_and_merge {
    $lib->flush;

    $lib->redis('HSET', $lib->key('user:u'), 'id', '"u"', 'o', '{"a":1}');
    my $etag = etag('u');

    my $unit = sub {
        my ($value, %unit) = @_;

        return { plan => 1, guard => 'user:u', etag => $etag,
                 events => [ { catalogue => '', event => 'user',
                               ops => [['user:u', 'e', { n => '1' },
                                        { o => $value }]] } ], %unit };
    };

    is_deeply($lib->apply([$unit->('{"b":2}')]),
              [['need', 'y', ['{"a":1}']]], 'an object is to be merged');

    my $merged = $unit->('{"a":1,"b":2}', expect => 'y',
                         bases => ['{"a":1}']);

    $lib->redis('HSET', $lib->key('user:u'), 'other', '1');
    is_deeply($lib->apply([$merged]), [['stale_entity']],
              'the user has changed since');
    $lib->redis('HDEL', $lib->key('user:u'), 'other');
    is_deeply($lib->apply([$merged]), [['ok', 'p', 0]], 'or it has not');
    is_deeply(user('u'), { id => '"u"', n => '1', o => '{"a":1,"b":2}' },
              'and is written');
}


# a shard takes a newer version over from the call that brings it

sub shards_follow {
    my $unit = write_user('u', { id => '"u"' });
    my $own = sub { $lib->redis('GET', $lib->key('version')) };

    $lib->flush;

    for (['a version for the first time', '+5.000001-1 ', 1, '5.000001-1'],
         ['the same', '+5.000001-1 ', 1, '5.000001-1'],
         ['a later count', '+5.000001-2 ', 1, '5.000001-2'],
         ['later microseconds', '+5.000010-1 ', 1, '5.000010-1'],
         ['a later second', '+11.000000-1 ', 1, '11.000000-1'],
         ['an earlier second', '+9.999999-9 ', 0, '11.000000-1'],
         ['an earlier count', '+11.000000-0 ', 0, '11.000000-1'],
         ['an earlier one, read after another', '+9.0-1 5.0-1', 0,
          '11.000000-1'],
         ['an earlier one, read after this one', '+9.0-1 11.000000-1', 1,
          '9.0-1'],
         ['none', '+0 ', 0, '9.0-1'])
    {
        my ($title, $config, $taken, $then) = @$_;
        my $before = $lib->dump;

        is_deeply($lib->apply([$unit], config => $config),
                  $taken ? [['ok', 'p', 0]] : ['stale', $then], $title);
        is($own->(), $then, 'and what the shard has then');
        is_deeply($lib->dump, $before, 'nothing is written') if !$taken;
    }

    my $follow = sub { $lib->call('knock_version_follow', ['version'], @_) };

    is($follow->('10.0-1', ''), '10.0-1', 'it is told of a newer one');
    is($follow->('9.0-1', '8.0-1'), '10.0-1', 'not of an older one');
    is($follow->('9.0-1', '10.0-1'), '9.0-1',
       'but of what is left where its own is lost');
    is($own->(), '9.0-1', 'and keeps it');
}


# what has been applied at another place is so here, and a change is told

sub begun_elsewhere {
    my $unit = write_user('u', { id => '"u"' });

    $lib->flush;
    $lib->redis('SET', $lib->key('version'), '5.0-1');

    is_deeply($lib->apply([$unit], config => '4.0-1'), ['stale', '5.0-1'],
              'an older configuration');
    is_deeply($lib->apply([$unit], config => '=4.0-1'),
              [['ok', 'p', 0], 'changed'], 'that was begun elsewhere');
    is_deeply($lib->apply([$unit], config => '=5.0-1'), [['ok', 'p', 0]],
              'the one that is live');
    is_deeply($lib->apply([$unit], config => '=4.0-1', plain => 1),
              ['plain', 'changed'], 'a plain call too');
}


sub verdicts_are_told {
    my $event = sub {
        my ($mark, @actions) = @_;

        return { mark => $mark, catalogue => '', actions => [@actions] };
    };
    my $unit = { told => 1, events => [
        $event->('m1', ['user:a', ['user:u', '1'], ['user:v', '2']],
                       ['', ['user:v', '3']]),
        $event->('m2', ['', ['user:u', '4']]),
        $event->('m1', ['', ['user:u', '5']]) ] };

    $lib->flush;
    $lib->redis('HSET', $lib->key('user:u'), 'id', '"u"');

    is_deeply($lib->apply([$unit]), [['ok', 'ppd', 2, 'urn;n; r; ']],
              'of each event its actions, none of a repeat');
    is_deeply($lib->redis('LRANGE', $lib->key('runs'), 0, -1), ['1', '4'],
              'which is what was done');
}


# home logs what it is told, and an event that is too large at a shard

sub told_by_shards {
    $lib->flush;

    my @log = map { { mark => $_->[0], status => $_->[1], log => '{}',
                      verdicts => $_->[2] } }
              ['m1', 'p', 'arb;'], ['m2', 'l', ''], ['m1', 'p', 'arb;'];

    is_deeply($lib->apply([{ events => \@log }]), [['ok', 'pld', 0]],
              'statuses');
    is_deeply([ map { "$_->[1][1] $_->[1][3]" }
                @{ $lib->redis('XRANGE', $lib->key('log:segment'), '-', '+') } ],
              ['p arb;', 'l ', 'd '], 'and the log');
    is_deeply($lib->apply([{ events => [$log[1]] }]), [['ok', 'l', 0]],
              'what is too large is not remembered');
}


sub versions_go_on {
    $lib->flush;
    $lib->redis('SET', $lib->key('version'), '99999999999.000005-7');
    $lib->call('knock_toggle', ['version', 'toggles'], 'action', 'a', 0);

    is($lib->redis('GET', $lib->key('version')), '99999999999.000005-8',
       'a clock that went back takes no version back');
}
