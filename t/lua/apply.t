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

    eval { $lib->apply([$unit], version => 4) };
    like($@, qr/^KNOCKLIB .* load version 4/,
         'a newer caller is asked for its library');

    is_deeply($lib->redis('KEYS', '*'), [], 'and nothing is changed');
    is_deeply($lib->apply([$unit], version => 3), [['ok', 'p', 0]],
              'its own version is taken');
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
