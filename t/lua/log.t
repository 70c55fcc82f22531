# redis-schema/knock.lua: what workers write of the events that have been
# applied, knock_record, and how it is read.

use strict;
use warnings;

use Test::More;

use Knock::Library;

use constant {
    LENGTH    => 10,        # entries that are kept
    BYTES     => 10_000,    # and their bytes
    CATALOGUE => 5,         # event keys
    PAGE      => 256 * 1024,
};

my $lib = Knock::Library->new;

my @KEYS = qw(log:s log_sizes:s catalogue:s catalogue_info:s);
my @CALL = ('knock_record', ['endpoints', @KEYS], 's');

nothing_to_write();
blocks_are_a_stream();
a_log_has_enough_entries();
a_log_has_not_too_many_bytes();
a_block_of_any_size_is_kept();
events_are_counted();
the_catalogue_has_a_length();
keys_out_of_step_are_mended();
a_wrong_type_has_nothing_written();
an_endpoint_is_deleted();
pages();
a_page_has_a_bound();

done_testing();


# An empty Redis with the endpoint of the source.

sub begin {
    $lib->flush;
    $lib->call('knock_endpoint_create', ['version', 'endpoints'], 's', 'tok',
               0);
    $lib->redis('DEL', $lib->key('version'));
}


# Writes blocks, [entries, text], and counts: event key, events, time, sample in
# turn.

sub record {
    my ($blocks, $counts, %options) = @_;

    $lib->redis('XADD', $lib->key('log:s'), '*', 'n', $_->[0], 'b', $_->[1])
        for @$blocks;

    return $lib->call(@CALL, $options{length} // LENGTH,
                      $options{bytes} // BYTES,
                      $options{catalogue} // CATALOGUE, scalar @$blocks,
                      (map { ($_->[0], length $_->[1]) } @$blocks),
                      @{ $counts // [] });
}


# The blocks that are kept, oldest first, as they were given.

sub blocks {
    return [ map { my %entry = @{ $_->[1] }; [ @entry{qw(n b)} ] }
             @{ $lib->redis('XRANGE', $lib->key('log:s'), '-', '+') } ];
}


sub info { return { @{ $lib->redis('HGETALL', $lib->key($KEYS[3])) } } }


# That the list of sizes and the sums say what the stream holds.

sub is_in_step {
    my ($title, $logged) = @_;

    my ($entries, $bytes) = (0, 0);
    my $blocks = blocks();

    for (@$blocks) {
        $entries += $_->[0];
        $bytes += length $_->[1];
    }

    is_deeply($lib->redis('LRANGE', $lib->key('log_sizes:s'), 0, -1),
              [ map { "$_->[0] " . length $_->[1] } @$blocks ],
              "$title: the sizes are those of the blocks");

    my $info = info();

    is_deeply([ @$info{qw(entries bytes logged)} ],
              [ $entries, $bytes, $logged ], "$title: and the sums");
}


sub nothing_to_write {
    begin();

    is(record([]), 'OK', 'nothing is written');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('endpoints')],
              'and no key made');
    $lib->dies('an argument is missing', qr/takes 5 keys and 6 arguments/,
               @CALL, 1, 1, 1);
}


sub blocks_are_a_stream {
    begin();

    record([[1, 'a'], [2, "b\r\n\0b"]]);
    record([[3, 'c']]);

    is_deeply(blocks(), [[1, 'a'], [2, "b\r\n\0b"], [3, 'c']],
              'blocks come behind those that are there');
    is_in_step('three blocks', 6);
}


# The oldest block goes as soon as the others have as many entries as are asked
# for.

sub a_log_has_enough_entries {
    begin();

    record([[4, 'a'], [4, 'b'], [1, 'c']]);
    is_deeply(blocks(), [[4, 'a'], [4, 'b'], [1, 'c']],
              'as many as there are');
    record([[4, 'd']]);
    is_deeply(blocks(), [[4, 'a'], [4, 'b'], [1, 'c'], [4, 'd']],
              'one entry too few without the oldest block');
    record([[1, 'e']]);
    is_deeply(blocks(), [[4, 'b'], [1, 'c'], [4, 'd'], [1, 'e']],
              'and now enough');
    is_in_step('a log of ten', 14);

    record([ map { [1, $_] } 1 .. 30 ]);
    is_deeply(blocks(), [ map { [1, $_] } 21 .. 30 ], 'more than are kept');
    is_in_step('thirty more', 44);

    record([[1, 'x']], undef, length => 3);
    is_deeply(blocks(), [[1, 29], [1, 30], [1, 'x']],
              'a length that was lowered');
    is_in_step('a shorter log', 45);
}


sub a_log_has_not_too_many_bytes {
    begin();

    my @blocks = map { [1, $_ x 3000] } 'a' .. 'd';

    record([ @blocks[0 .. 2] ]);
    is(scalar @{ blocks() }, 3, 'under the bound in bytes');
    record([ $blocks[3] ]);
    is_deeply(blocks(), [ @blocks[1 .. 3] ], 'over it the oldest goes');
    is_in_step('a log of 10 kB', 4);

    record([[1, 'e' x BYTES]]);
    is_deeply(blocks(), [[1, 'e' x BYTES]], 'a block as large as the log');
    is_in_step('one block', 5);
}


sub a_block_of_any_size_is_kept {
    begin();

    record([[1, 'a'], [64, 'b' x (2 * BYTES)]]);
    is_deeply(blocks(), [[64, 'b' x (2 * BYTES)]],
              'a block that is larger than the log');
    record([[1, 'c']]);
    is_deeply(blocks(), [[1, 'c']], 'goes with the next one');
    is_in_step('a small one', 66);
}


sub events_are_counted {
    begin();

    record([], ['track/A', 2, 1000, '{"n":1}', 'page', 1, 1500, '']);
    record([[1, 'a']], ['track/A', 3, 900, '']);

    is_deeply($lib->redis('ZRANGE', $lib->key('catalogue:s'), 0, -1,
                          'WITHSCORES'),
              ['track/A', 1000, 'page', 1500],
              'a worker whose clock is behind takes no time back');

    my $info = info();

    is_deeply([ @$info{qw(ctrack/A ftrack/A strack/A)} ],
              [5, 1000, '{"n":1}'], 'counts are added, a sample stays');
    is_deeply([ @$info{qw(cpage fpage spage)} ], [1, 1500, undef],
              'there may be none');

    record([], ['track/A', 1, 2000, '{"n":2}']);
    $info = info();
    is_deeply([ @$info{qw(ctrack/A ftrack/A strack/A)} ],
              [6, 1000, '{"n":2}'], 'or a newer one');
    is_in_step('with a log', 1);
}


sub the_catalogue_has_a_length {
    begin();

    record([], [ map { ("track/$_", 1, 1000 + $_, "{$_}") } 1 .. 5 ]);
    is(info()->{evicted}, undef, 'none had to go');

    record([], ['track/1', 1, 2000, '', 'track/6', 1, 2001, '',
                'track/7', 1, 2002, '']);

    is_deeply($lib->redis('ZRANGE', $lib->key('catalogue:s'), 0, -1),
              [ map { "track/$_" } 4, 5, 1, 6, 7 ],
              'those that were unseen for longest go');

    my $info = info();

    is($info->{evicted}, 2, 'and are counted');
    is_deeply([ sort grep { /track/ } keys %$info ],
              [ sort map { ("ctrack/$_", "ftrack/$_",
                            $_ < 6 ? "strack/$_" : ()) } 1, 4 .. 7 ],
              'with all that was known of them');

    record([], [ map { ("track/$_", 1, 3000 + $_, '') } 11 .. 30 ]);
    is($lib->redis('ZCARD', $lib->key('catalogue:s')), CATALOGUE,
       'more at once than are kept');
    is(info()->{evicted}, 22, 'are counted too');
}


sub keys_out_of_step_are_mended {
    my @three = ([3, 'a'], [3, 'b'], [3, 'c']);

    for my $gone (@KEYS[0, 1, 3]) {
        begin();
        record(\@three, ['page', 1, 1000, '']);
        $lib->redis('DEL', $lib->key($gone));
        record([[1, 'd']]);

        my $left = $gone eq $KEYS[3] ? [ @three, [1, 'd'] ] : [[1, 'd']];

        is_deeply(blocks(), $left, "$gone was deleted: what is left");
        is_in_step($gone, $gone eq $KEYS[3] ? 1 : 10);

        record([ map { [1, $_] } 1 .. 20 ]);
        is_deeply(blocks(), [ map { [1, $_] } 11 .. 20 ],
                  "$gone was deleted: as long as before");
    }

    begin();
    record(\@three);
    $lib->redis('XTRIM', $lib->key('log:s'), 'MAXLEN', 1);
    record([[1, 'd']]);
    is_deeply(blocks(), [[3, 'c'], [1, 'd']], 'the stream was trimmed');
    is_in_step('a trimmed stream', 10);

    begin();
    record(\@three);
    $lib->redis('LSET', $lib->key('log_sizes:s'), 0, 'x');
    $lib->redis('HDEL', $lib->key($KEYS[3]), 'bytes');
    record([[1, 'd']]);
    is_deeply(blocks(), [ @three[1, 2], [1, 'd'] ],
              'a size that is none goes with its block');
    is_in_step('a size that is none', 10);
}


sub a_wrong_type_has_nothing_written {
    for my $key (@KEYS) {
        begin();
        $lib->redis('SET', $lib->key($key), 'x');
        $lib->dies("$key has a wrong type", qr/WRONGTYPE/, @CALL, LENGTH,
                   BYTES, CATALOGUE, 1, 1, 5, 'page', 1, 1000, '');
    }
}


# What a worker has gathered comes when its endpoint has gone.

sub an_endpoint_is_deleted {
    begin();
    record([[1, 'a']], ['page', 1, 1000, '']);
    $lib->call('knock_endpoint_delete',
               ['version', 'endpoints', @KEYS[2, 3, 0, 1]], 's');

    is(record([[1, 'b']], ['page', 1, 1000, '']), 'GONE', 'it is gone');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('version')],
              'and nothing of it comes back');
}


# All blocks, newest first; and how many pages they took.

sub read_all {
    my ($from, $pages, @got) = ('', 0);

    while (1) {
        my ($next, @page) = @{ $lib->call('knock_log_page', ['log:s'],
                                          $from) };

        die 'a log without end' if ++$pages > 100;

        while (my ($id, $text) = splice @page, 0, 2) {
            push @got, [$id, $text];
        }

        return (\@got, $pages) if $next eq '';
        $from = $next;
    }
}


sub pages {
    begin();

    is_deeply($lib->call('knock_log_page', ['log:s'], ''), [''],
              'an empty log');

    record([ map { [1, $_] } 1 .. 9 ]);

    my ($all, $pages) = read_all();

    is_deeply([ map { $_->[1] } @$all ], [ reverse 1 .. 9 ],
              'blocks come newest first');
    is($pages, 1, 'on one page');
    is_deeply([ map { $_->[0] } @$all ],
              [ map { $_->[0] } reverse @{ $lib->redis('XRANGE',
                    $lib->key('log:s'), '-', '+') } ], 'each with its id');

    is_deeply([ @{ $lib->call('knock_log_page', ['log:s'],
                              $all->[3][0]) }[1, 2] ],
              $all->[3], 'a page begins with the block that is named');

    $lib->redis('XDEL', $lib->key('log:s'), $all->[3][0]);
    is_deeply([ @{ $lib->call('knock_log_page', ['log:s'],
                              $all->[3][0]) }[1, 2] ],
              $all->[4], 'or, if it is gone, with the one before');

    is_deeply($lib->call('knock_log_page', ['log:s'], '0-1'), [''],
              'behind the end there is nothing');
    $lib->dies('an id that is none', qr/Invalid stream ID/, 'knock_log_page',
               ['log:s'], 'x');
    like($lib->call_error('knock_log_page', ['log:s']),
         qr/takes 1 keys and 2 arguments/, 'no id at all');

    eval { $lib->redis('FCALL', 'knock_log_page', 1, $lib->key('log:s'), 4,
                       10, '', '') };
    like($@, qr/takes no calls of version 4/,
         'a caller that counts entries is refused');

    $lib->redis('XADD', $lib->key('log:s'), '*', 's', 'p');
    is($lib->call('knock_log_page', ['log:s'], '')->[2], '',
       'what is no block has no text');
}


sub a_page_has_a_bound {
    begin();

    my %all = (length => 100, bytes => 10_000_000);

    record([ map { [1, $_ x 100_000] } 'a' .. 'i' ], undef, %all);

    my ($all, $pages) = read_all();

    is_deeply([ map { substr $_->[1], 0, 1 } @$all ], [ reverse 'a' .. 'i' ],
              'large blocks are all read, each once');
    is($pages, 3, 'three to a page');

    my ($next, @page) = @{ $lib->call('knock_log_page', ['log:s'], '') };

    is($next, $all->[3][0], 'a page names the block behind it');
    is(scalar @page, 6, 'and ends with the one that makes it large enough');

    begin();
    record([ map { [1, 'x' x (PAGE / 2)] } 1 .. 4 ], undef, %all);
    (undef, $pages) = read_all();
    is($pages, 2, 'pages that end with the stream have no empty one behind');
}
