# redis-schema/knock.lua: the catalogue, the log, users and runs.

use strict;
use warnings;
use utf8;

use JSON::PP;
use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;

# what an event's name and an id may hold; the second may not have the last
my @NAMES = ('a"b', 'a\\b', 'a/b', 'ü€😀', ' ', '%s', '{}', "a\x7fb",
             "tab\there");

catalogue();
catalogue_pages();
logs();
users();
user_deletion();
user_lists();
runs();
test_runs();

done_testing();


sub catalogue {
    $lib->flush;

    my @keys = ('catalogue:s', 'catalogue_info:s');

    is_deeply(scalar $lib->answers('an empty catalogue', 200, '',
                                   'knock_catalogue_list', \@keys, 10, ''),
              { items => [], cursor => undef, evicted => 0 }, 'is a list');

    @keys = ('catalogue:segment', 'catalogue_info:segment');

    $lib->apply([ { events => [ map { { event => "track/$_", status => 'i' } }
                                @NAMES ] } ]);
    $lib->apply([ { events => [
        { event => 'page', sample => '{"a":[],"b":1.0}' },
        { event => 'page' } ] } ]);
    $lib->redis('HSET', $lib->key($keys[1]), 'fpage', 1772323200001);
    $lib->redis('ZADD', $lib->key($keys[0]), 4107542399000, 'page');

    my $answer = $lib->answers('events came', 200, '', 'knock_catalogue_list',
                               \@keys, 100, '');

    is_deeply([ sort map { $_->{event} } @{ $answer->{items} } ],
              [ sort 'page', map { "track/$_" } @NAMES ], 'under any name');
    is_deeply($answer->{items}[0],
              { event => 'page', count => 2,
                first_seen_at => '2026-03-01T00:00:00.001Z',
                last_seen_at => '2100-02-28T23:59:59.000Z',
                sample => { a => [], b => 1 } }, 'counted, with a sample');
    is_deeply($answer->{items}[1]{sample}, undef, 'or without');
    like($lib->call('knock_catalogue_list', \@keys, 1, '')->[1],
         qr/"sample":\{"a":\[\],"b":1\.0\}/, 'which is as it was sent');

    $lib->refuses('an event that never came', 404, 'not_found',
                  'knock_catalogue_delete', \@keys, 'track/"x"');

    for my $name (@NAMES) {
        $lib->answers('one is deleted', 204, '', 'knock_catalogue_delete',
                      \@keys, "track/$name");
    }

    is_deeply([ sort @{ $lib->redis('HKEYS', $lib->key($keys[1])) } ],
              ['cpage', 'fpage', 'spage'], 'whole');
}


sub catalogue_pages {
    $lib->flush;

    my @keys = ('catalogue:segment', 'catalogue_info:segment');
    my @page = ('knock_catalogue_list', \@keys);

    for my $i (1 .. 9) {
        $lib->apply([ { events => [ { event => "track/$i" } ] } ],
                    catalogue_length => 7);
        $lib->redis('ZADD', $lib->key($keys[0]), $i, "track/$i");
    }

    for my $limit (1, 2, 3, 6, 7, 8) {
        is_deeply([ map { $_->{event} } @{ $lib->pages($limit, @page) } ],
                  [ map { "track/$_" } reverse 3 .. 9 ],
                  "last seen first, in pages of $limit");
    }

    is($lib->answers('of those that had to go', 200, '', @page, 1, '')
       ->{evicted}, 2, 'the number is told');
    is_deeply($lib->answers('behind the end', 200, '', @page, 1, 100)->{items},
              [], 'is nothing');
    $lib->refuses("'$_' is no cursor", 422, 'invalid_cursor', @page, 10, $_)
        for '-1', '1.5', 'x"', '1e3', '99999999999';

    $lib->apply([ { events => [ { event => "track/$_",
                                  sample => '"' . 'x' x 300000 . '"' } ] } ])
        for 1 .. 9;

    my $answer = $lib->answers('large samples', 200, '', @page, 100, '');

    is(scalar @{ $answer->{items} }, 4, 'are fewer to a page');
    is(scalar @{ $lib->pages(100, @page) }, 9, 'all are listed');
}


sub logs {
    $lib->flush;

    my @page = ('knock_log_page', ['log:segment']);
    my $read = sub {
        my ($limit, $statuses) = @_;
        my ($cursor, @got, $pages) = ('');

        while (1) {
            my ($next, @list) = @{ $lib->call(@page, $limit, $cursor,
                                              $statuses // '') };

            die 'a page too long' if @list > 4 * $limit || ++$pages > 100;
            push @got, [ splice @list, 0, 4 ] while @list;

            return \@got if $next eq '';
            $cursor = $next;
        }
    };

    is_deeply($lib->call(@page, 10, '', ''), [''], 'an empty log');
    $lib->refuses("'$_' is no cursor", 422, 'invalid_cursor', @page, 10, $_,
                  '')
        for '5', '+', 'a-b', '1-1 2', '(1-1';

    # a user that is there, for the verdicts
    $lib->redis('HSET', $lib->key('user:u1'), 'id', '"u1"');
    $lib->apply([ { events => [
        { event => 'track/A', log => '{"n":1}', mark => 'm1', actions => [
            ['user:nobody', ['user:u1', '{"run":1}'],
                            ['user:u2', '{"run":2}']],
            ['user:u1'], ['', ['user:u1', '{"run":3}']] ] },
        { event => 'track/B', log => '{"n":2}', status => 'i' },
        { event => 'track/A', log => '{"n":3}', mark => 'm1',
          actions => [['user:u1', ['user:u1', '{"run":1}']]] },
        { event => 'track/C', log => '{"n":4}', status => 'f' },
        { event => 'track/D' } ] } ]);
    $lib->apply([ { plan => 1, events => [
        { event => 'track/E', log => '{"n":5}',
          ops => [['user:u1', 'e', { x => '"' . 'x' x 262144 . '"' }]],
          actions => [['', ['user:u1', '{"run":4}']]] },
        { event => 'track/F', log => '{"n":6}',
          ops => [['user:u1', 'r', { x => '"' . 'x' x 262144 . '"' }]],
          actions => [['', ['user:u1', '{"run":5}']]] } ] } ]);

    is_deeply([ map { [ @$_[1 .. 3] ] } @{ $read->(100) } ],
              [ ['p', 'l;', '{"n":6}'], ['l', '', '{"n":5}'],
                ['f', '', '{"n":4}'],   ['d', '', '{"n":3}'],
                ['i', '', '{"n":2}'],   ['p', 'urn;a;r;', '{"n":1}'] ],
              'what came and what was done, newest first');

    for my $statuses ('p', 'i', 'd', 'f', 'l', 'fl', 'pidfl') {
        is_deeply([ map { $_->[1] } @{ $read->(2, $statuses) } ],
                  [ grep { index($statuses, $_) >= 0 } qw(p l f d i p) ],
                  "those that are one of $statuses");
    }

    is_deeply($read->($_), $read->(100), "pages of $_") for 1 .. 7;

    # more than one step, and more than one look at a filtered log
    $lib->flush;
    $lib->apply([ { events => [ map { { log => qq({"n":$_}), status =>
                                        $_ == 1 ? 'f' : 'i' } }
                                1 .. 6000 ] } ], log_length => 10000);

    is(scalar @{ $read->(1000) }, 6000, 'a long log is read to its end');
    is(scalar @{ $read->(999) }, 6000, 'in pages of any length');
    is_deeply([ map { $_->[3] } @{ $read->(10, 'f') } ], ['{"n":1}'],
              'a rare one is found');
    is_deeply([ @{ $lib->call(@page, 10, '', 'f') }[1 .. 9] ],
              [ (undef) x 9 ], 'though not at the first look');
    isnt($lib->call(@page, 10, '', 'f')->[0], '', 'which has a cursor');
}


sub users {
    $lib->flush;

    $lib->refuses('no user', 404, 'not_found', 'knock_user_get',
                  ['user:a"b']);

    for my $name (@NAMES[0 .. 6]) {
        my $id = JSON::PP->new->utf8->allow_nonref->encode($name);

        $lib->redis('HSET', $lib->key("user:$name"), 'id', $id, 'name', '"N"');
        is_deeply(scalar $lib->answers('a user of any id', 200, 1,
                                       'knock_user_get', ["user:$name"]),
                  { id => $name, name => 'N' }, 'is answered');
    }

    $lib->redis('HSET', $lib->key('user:u'), 'b', '[]', 'a', '{"x":1.0}',
                'B', 'null', 'id', '"u"', 'é"', '1e400', "a\x01", '""',
                'ab', 'true', '', '0');
    is($lib->call('knock_user_get', ['user:u'])->[1],
       qq({"id":"u","":0,"B":null,"a":{"x":1.0},"a\\u0001":"","ab":true,)
       . qq("b":[],"\xc3\xa9\\"":1e400}),
       'its properties in order, as they were sent');

    $lib->answers('its ETag', 200, 1, 'knock_user_get', ['user:u']);
    my $etag = $lib->etag;

    $lib->redis('HSET', $lib->key('user:u'), 'b', '[1]');
    $lib->answers('changes', 200, 1, 'knock_user_get', ['user:u']);
    isnt($lib->etag, $etag, 'with a property');
    $lib->redis('HSET', $lib->key('user:u'), 'b', '[]');
    $lib->answers('and back', 200, $etag, 'knock_user_get', ['user:u']);
}


sub user_deletion {
    $lib->flush;

    my @delete = ('knock_user_delete', ['user:u', 'large']);

    $lib->refuses('no user to delete', 404, 'not_found', @delete, '');
    $lib->refuses('nor with If-Match', 404, 'not_found', @delete, '*');

    $lib->redis('HSET', $lib->key('user:u'), 'id', '"u"');
    $lib->redis('SADD', $lib->key('large'), $lib->key('user:u'),
                $lib->key('user:v'));
    $lib->refuses('a stale If-Match', 412, 'stale', @delete, 'f' x 40);

    $lib->answers('its ETag', 200, 1, 'knock_user_get', ['user:u']);
    is($lib->answers('the user is deleted', 204, '', @delete, $lib->etag), '',
       'without a body');
    is_deeply($lib->redis('SMEMBERS', $lib->key('large')),
              [$lib->key('user:v')], 'and is no large one');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('large')],
              'nothing is left');
}


sub user_lists {
    $lib->flush;
    $lib->redis('HSET', $lib->key("user:$_"), 'id', qq("$_")) for 1, 3;

    is_deeply($lib->call('knock_user_list',
                         ['user:3', 'user:2', 'user:1']),
              ['{"id":"3"}', '{"id":"1"}'], 'those users that there are');
    is_deeply($lib->call('knock_user_list', []), [], 'or none');
    is($lib->call('knock_exists', ['user:3', 'user:2', 'user:1', 'object:o:1']),
       '1010', 'who is there');
    is($lib->call('knock_exists', []), '', 'of nobody');
}


sub runs {
    $lib->flush;

    my @page = ('knock_run_page', ['runs']);

    is_deeply($lib->call(@page, 10, 0), [0, 'null'], 'an empty list');

    $lib->redis('RPUSH', $lib->key('runs'),
                map { qq({"id":$_,"data":{"enqueued_at":"x"},"enqueued_at":)
                      . qq("2026-01-02T03:04:05.00${_}Z","test":false}) }
                1 .. 9);

    my $at = sub { qq("2026-01-02T03:04:05.00$_[0]Z") };

    for (['the newest', 3, 0, 9, 8, 7], ['those behind them', 2, 7, 2, 1],
         ['one', 1, 4, 5], ['the last', 9, 8, 1], ['none', 9, 9],
         ['none behind the end', 9, 99])
    {
        my ($title, $limit, $before, @expected) = @$_;
        my ($length, $oldest, @runs) = @{ $lib->call(@page, $limit, $before) };

        is($length, 9, "$title: are counted");
        is($oldest, $at->(1), 'with the age of the oldest');
        is_deeply([ map { my ($id) = /^\{"id":(\d)/; $id } @runs[grep { $_ % 2 }
                                                            0 .. $#runs] ],
                  \@expected, 'newest first');
        is_deeply([ @runs[grep { $_ % 2 == 0 } 0 .. $#runs] ],
                  [ map { $at->($_) } @expected ], 'each with its time');
    }

    # those that another program has put there
    for (['{"enqueued_at":"then","x":1}', '"then"'], ['{"x":1}', 'null'],
         ['7', 'null'], ['"text"', 'null'], ['{"enqueued_at":7}', 'null'])
    {
        $lib->redis('LPUSH', $lib->key('runs'), $_->[0]);
        is($lib->call(@page, 1, 0)->[1], $_->[1],
           "a run $_->[0] is as old as it says");
    }

    $lib->redis('RPUSH', $lib->key('runs'), ('"' . 'x' x 300000 . '"') x 9);
    is(scalar @{ $lib->call(@page, 100, 0) }, 2 + 2 * 4,
       'of large ones fewer are given');
}


sub test_runs {
    $lib->flush;

    my @run = ('knock_test_run', ['runs', 'user:u1', 'user:u2', 'user:u3'],
               '{"id":1}', '{"id":2}', '{"id":3}');
    my @live = ('knock_workflow_live', ['workflows'], 'w"', 'development');

    $lib->redis('HSET', $lib->key("user:$_"), 'id', qq("$_")) for 'u1', 'u3';
    $lib->refuses('a workflow that is not live', 404, 'not_live', @live);
    $lib->redis('HSET', $lib->key('workflows'), 'w"', '{}');
    is_deeply($lib->call(@live), [200, '', ''], 'one that is');
    $lib->dies('a recipient without a run', qr/a run for each/,
               @run[0 .. $#run - 1]);

    is_deeply($lib->call(@run), [200, 'rnr', ''], 'who has a run');
    is_deeply($lib->redis('LRANGE', $lib->key('runs'), 0, -1),
              ['{"id":1}', '{"id":3}'], 'and which');
    is_deeply($lib->call('knock_test_run', ['runs']), [200, '', ''],
              'nobody has none');

    $lib->redis('SET', $lib->key('runs'), 'x');
    $lib->dies('a list that is none', qr/WRONGTYPE/, @run);
}
