# redis-schema/knock.lua: knock_apply takes a call in four forms: its runs among
# the arguments or pushed in front of it, and its plan enough or not.  What is
# left in Redis is the same, and nothing at all where the call fails.

use strict;
use warnings;

use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;

my $USERS = [qw(a b c d)];

same_effects();
turns_out_otherwise();
nothing_is_left();
a_guard_alone();
others_are_left_alone();

done_testing();


# A call of a few units in which all is new and everybody known.

sub plain_units {
    my ($seed) = @_;

    srand $seed;

    my ($mark, %known, @units) = (0, map { $_ => 1 } @$USERS);

    for (1 .. 1 + int rand 4) {
        my @events;

        for (1 .. 1 + int rand 3) {
            my (@ops, @actions);

            if (rand() < 0.4) {
                my $user = ('a' .. 'f')[rand 6];

                $known{$user} = 1;
                push @ops, ["user:$user", rand() < 0.5 ? 'e' : 'r',
                            { id => qq("$user"), n => int rand 100 }];
            }

            for (1 .. int rand 3) {
                my @users = sort keys %known;
                my @recipients = map { $users[rand @users] } 1 .. int rand 4;

                $mark++;
                push @actions, [rand() < 0.5 ? 'user:a' : '',
                                map { ["user:$_", qq({"to":"$_","n":$mark})] }
                                @recipients];
            }

            push @events, {
                (rand() < 0.8 ? (mark => 'm' . ++$mark) : ()),
                (rand() < 0.5 ? (log => qq({"log":$mark})) : ()),
                (rand() < 0.2 ? (catalogue => '') : ()),
                status => @ops || @actions ? 'p' : 'i',
                event => 'track/' . ('X' .. 'Z')[rand 3],
                sample => rand() < 0.3 ? qq({"sample":$mark}) : '',
                ops => \@ops, actions => \@actions,
            };
        }

        push @units, { events => \@events };
    }

    return \@units;
}


sub prepare {
    $lib->flush;
    $lib->redis('HSET', $lib->key("user:$_"), 'id', qq("$_")) for @$USERS;
    $lib->redis('RPUSH', $lib->key('runs'), '{"old":1}', '{"old":2}');
}


# All that is in Redis, but for when it came there.

sub state {
    my $text = explain($lib->dump);

    $text =~ s/\b\d{13}(?:-\d+)?\b/TIME/g;

    return $text;
}


sub same_effects {
    my ($differ, $plain) = (0, 0);

    for my $seed (1 .. 200) {
        my $units = plain_units($seed);
        my $wanted = [ map {
            my @events = @{ $_->{events} };
            my $runs = 0;

            $runs += @$_ - 1 for map { @{ $_->{actions} } } @events;
            ['ok', join('', map { $_->{status} } @events), $runs];
        } @$units ];

        prepare();
        is_deeply($lib->apply($units), $wanted, "units $seed, one by one")
            or $differ++;

        my $state = state();

        prepare();
        is_deeply($lib->apply($units, plain => 1), ['plain'],
                  'by the plan') or $differ++;
        is(state(), $state, 'the same is in Redis') or $differ++;

        for my $form (0, 1) {
            prepare();

            my $exec = $lib->apply($units, plain => $form, pushed => 1);

            is_deeply($exec->[1], $form ? ['plain'] : $wanted,
                      'its runs pushed') or $differ++;
            is(state(), $state, 'the same is in Redis') or $differ++;
        }

        last if $differ;
    }
}


# A plan that does not come true is not followed: each event is looked at.

sub turns_out_otherwise {
    my $event = sub {
        my ($mark, $user, %more) = @_;

        return { mark => $mark, log => '{}',
                 actions => [['', ['user:a', qq({"n":"$mark a"})],
                                  ["user:$user", qq({"n":"$mark"})]]],
                 %more };
    };
    my %call = (
        'a user who is not there'
            => [[ { events => [$event->('1', 'nobody')] },
                  { events => [$event->('2', 'b')] } ],
                [['ok', 'p', 1], ['ok', 'p', 2]], ['1 a', '2 a', '2']],
        'an event seen before'
            => [[ { events => [$event->('1', 'b'), $event->('seen', 'b')] },
                  { events => [$event->('seen', 'c')] } ],
                [['ok', 'pd', 2], ['ok', 'd', 0]], ['1 a', '1']],
        'all of it seen before'
            => [[ { events => [$event->('seen', 'b')] } ], [['ok', 'd', 0]],
                []],
        'an entity too large'
            => [[ { events => [$event->('1', 'big', ops =>
                      [['user:big', 'r', { more => '"' . 'x' x 900 . '"' }]])]
                  } ],
                [['ok', 'p', 1]], ['1 a']],
    );

    for my $title (sort keys %call) {
        my ($units, $answer, $runs) = @{ $call{$title} };

        for my $pushed (0, 1) {
            prepare();
            $lib->apply([{ events => [{ mark => 'seen' }] }]);
            $lib->redis('HSET', $lib->key('user:big'), 'id', '"big"', 'v',
                        'x' x (256 * 1024 - 100));
            $lib->redis('SADD', $lib->key('large'), $lib->key('user:big'));

            my $reply = $lib->apply($units, plain => 1, pushed => $pushed);

            $reply = $reply->[1] if $pushed;

            is_deeply($reply, $answer, $title);
            is_deeply($lib->redis('LRANGE', $lib->key('runs'), 2, -1),
                      [ map { qq({"n":"$_"}) } @$runs ],
                      'the runs are those of the others, in their order');
        }
    }
}


# A call that fails, is stale or cannot be made leaves its runs nowhere.

sub nothing_is_left {
    my $units = [{ events => [ map { { mark => "m$_", log => '{}',
                                       actions => [['', ["user:a",
                                                         qq({"n":$_})]]] } }
                               1 .. 50 ] }];
    my $library = $lib->redis('FUNCTION', 'DUMP');
    my %how = (
        'stale'
            => [sub { }, qr/^stale/, config => 'another'],
        'a caller that is too new'
            => [sub { }, qr/^KNOCKLIB/, version => 99],
        'the function is missing'
            => [sub { $lib->redis('FUNCTION', 'FLUSH') },
                qr/^ERR Function not found/],
        'the function fails'
            => [sub { $lib->redis('SET', $lib->key('seen:0'), 'x');
                      $lib->redis('SET', $lib->key('seen:1'), 'x') },
                qr/WRONGTYPE/],
        'a guard that fails'
            => [sub { $units->[0]{guard} = 'user:a';
                      $units->[0]{etag} = 'f' x 40 }, qr/^stale_entity/],
    );

    for my $title (sort keys %how) {
        my ($break, $answer, %options) = @{ $how{$title} };

        for my $runs (0, 2) {
            prepare();
            $lib->redis('LTRIM', $lib->key('runs'), 0, $runs - 1) if $runs;
            $lib->redis('DEL', $lib->key('runs')) if !$runs;
            delete @{ $units->[0] }{qw(guard etag)};
            $break->();

            my $before = $lib->dump;
            my $exec = $lib->apply($units, plain => 0, pushed => 1, %options);
            my $reply = $exec->[1];

            $reply = $reply->[0] while ref $reply eq 'ARRAY';
            $reply = $$reply if ref $reply eq 'SCALAR';

            like("$reply", $answer, $title);
            is_deeply($lib->dump, $before, 'nothing has changed');

            $lib->redis('FUNCTION', 'RESTORE', $library, 'REPLACE');
        }
    }
}


# A transaction whose RPUSH was not done takes nothing that is another's.

sub a_guard_alone {
    prepare();

    my $before = $lib->dump;

    is($lib->redis('EVAL', Knock::Library::guard(), 1, $lib->key('runs'),
                   'token', 2), undef, 'a guard without its token');
    is_deeply($lib->dump, $before, 'takes nothing off');

    $lib->redis('DEL', $lib->key('runs'));
    $lib->redis('EVAL', Knock::Library::guard(), 1, $lib->key('runs'), 'token',
                2);
    is($lib->redis('EXISTS', $lib->key('runs')), 0, 'nor makes a list');
}


# Two callers, one after the other, and a consumer that takes all in between.

sub others_are_left_alone {
    prepare();

    for my $n (1 .. 3) {
        my $exec = $lib->apply([{ events => [{ mark => $n,
                                 actions => [['', ['user:a', qq({"n":$n})]]] }]
                               }], plain => 1, pushed => 1);

        is_deeply($exec, [$n == 1 ? 4 : 2, ['plain'], undef],
                  'a call of three');
        $lib->redis('DEL', $lib->key('runs')) if $n == 1;
        is_deeply($lib->redis('LRANGE', $lib->key('runs'), -1, -1),
                  $n == 1 ? [] : [qq({"n":$n})], 'its run is the last');
        $lib->redis('DEL', $lib->key('runs'));
    }
}
