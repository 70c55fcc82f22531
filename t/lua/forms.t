# redis-schema/knock.lua: knock_apply against a plain reference of its rules.
# A call is applied in all its forms: its runs among the arguments or pushed in
# front of it, its ops light or each looked at.  What is answered, and what is
# in Redis afterwards, is what the reference says, and nothing at all where the
# call fails.

use strict;
use warnings;

use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;

my @USERS = map { "user:$_" } 'a' .. 'f';
my @OBJECTS = ('{}', '{"n":0}', '{"n":1,"p":{"q":1}}', '{"p":{"r":2}}',
               '{"p":3}', '{"z":[]}');

same_as_the_reference();
one_after_the_other_in_the_end();
nothing_is_left();
a_guard_alone();
others_are_left_alone();

done_testing();


# ---- the reference: events one by one, in the words of the contract

sub reference {
    my ($state, $events) = @_;

    my (%answer, %held, %applied, $waiting);

    for my $i (0 .. $#$events) {
        my $event = $events->[$i];
        my @ops = @{ $event->{ops} };
        my $twin = defined $event->{mark} ? $applied{ $event->{mark} } : undef;

        my $drop = sub {
            push @{ $answer{ $_[0] } }, @_ > 1 ? [$i, @_[1 .. $#_]] : $i;
            $applied{ $event->{mark} } //= $_[0] if defined $event->{mark};
        };
        my $wait = sub {
            $held{ $_->[0] } //= $i for @ops;
            $waiting ||= @{ $event->{runs} } > 0;
            $drop->(@_);
        };

        if (defined $event->{mark}
            && ($state->{marks}{ $event->{mark} } || ($twin // '') eq 'd'))
        {
            $drop->('d');
            next;
        }

        if ($twin && $twin =~ /[nw]/) {
            $drop->('w');
            next;
        }

        my $held = grep { exists $held{ $_->[0] } } @ops, @{ $event->{runs} };

        $held ||= $waiting && @{ $event->{runs} };

        my ($verdicts, $merges, %known, @bases) = ('', 0);

        for my $op (@ops) {
            my ($key, undef, undef, $objects, $time) = @$op;
            my $user = $state->{users}{$key} // {};
            my $newest = $user->{identified_at};

            $verdicts .= defined $time && defined $newest && $newest gt $time
                         ? 'o' : 'y';

            for my $name (sort keys %{ $objects // {} }) {
                my $stored = $user->{$name} // '';

                if ($known{"$key $name"}++) {
                    $merges = 1;
                    next;
                }

                push @bases, $stored;
                $merges ||= $stored =~ /^\{./ && $stored ne '{}'
                            && $stored ne $objects->{$name};
            }
        }

        my $objects = grep { %{ $_->[3] // {} } } @ops;

        if ($held && !$objects) {
            $wait->('w');
            next;
        }

        if ($held || $merges) {
            $wait->('n', $verdicts, @bases);
            next;
        }

        for my $j (0 .. $#ops) {
            my ($key, undef, $plain, $objects, $time) = @{ $ops[$j] };
            my $user = $state->{users}{$key} //= {};
            my %fields = (%$plain, %{ $objects // {} });

            if (substr($verdicts, $j, 1) eq 'o') {
                delete @fields{ grep { exists $user->{$_} } keys %fields };

            } elsif (defined $time) {
                $fields{identified_at} = $time;
            }

            @$user{ keys %fields } = values %fields;
        }

        if (defined $event->{mark} && $event->{status} ne 'f') {
            $state->{marks}{ $event->{mark} } = 1;
            $applied{ $event->{mark} } = 'd';
        }

        $event->{applied} = 1;

        push @{ $state->{runs} }, map { $_->[1] }
             grep { $state->{users}{ $_->[0] } } @{ $event->{runs} };
    }

    # of events that are not applied neither runs nor actors are judged

    my ($run, $actor) = (0, 0);
    my %there = %{ $state->{before} };

    for my $event (@$events) {
        if ($event->{applied}) {
            $there{ $_->[0] } = 1 for @{ $event->{ops} };
        }

        for (@{ $event->{runs} }) {
            push @{ $answer{u} }, $run
                if $event->{applied} && !$there{ $_->[0] };
            $run++;
        }

        for (@{ $event->{actors} }) {
            push @{ $answer{a} }, $actor
                if $event->{applied} && !$there{$_};
            $actor++;
        }
    }

    return \%answer;
}


# ---- random calls

my $serial = 0;

sub random_events {
    my ($unusual) = @_;

    my @events;

    for (1 .. 1 + int rand 8) {
        my (@ops, @runs, @actors);

        if (rand() < 0.4) {
            for my $key ((sort { rand() <=> 0.5 } @USERS)[0 .. rand() < 0.2]) {
                my $object = rand() < ($unusual ? 0.4 : 0);
                my $time = rand() < 0.5
                           ? sprintf '"2026-01-01T00:00:%02d.000Z"',
                                     $unusual ? int rand 60 : $serial % 60
                           : undef;

                push @ops, [$key, rand() < 0.5 ? 'e' : 'r',
                            { id => '"' . substr($key, 5) . '"',
                              (map { ($_, int rand 100) }
                               grep { rand() < 0.5 } qw(m n o p)) },
                            $object ? { address => '{"n":' . int(rand 2) . '}' }
                                    : {}, $time];
            }
        }

        for (1 .. int rand 4) {
            push @runs, [$USERS[rand @USERS], '{"run":' . $serial++ . '}'];
        }

        push @actors, $USERS[rand @USERS] if rand() < 0.3;

        push @events, {
            (rand() < 0.8 ? (mark => 'm' . ($unusual ? int rand 20
                                                     : $serial++)) : ()),
            status => @ops || @runs ? 'p' : (qw(i f))[rand 2],
            ops => \@ops, runs => \@runs, actors => \@actors,
        };
    }

    return \@events;
}


sub prepare {
    my ($users, $marks) = @_;

    $lib->flush;

    for my $key (keys %$users) {
        $lib->redis('HSET', $lib->key($key), %{ $users->{$key} });
    }

    $lib->redis('RPUSH', $lib->key('runs'), '{"old":1}', '{"old":2}');

    $lib->apply([ map { { mark => $_ } } @$marks ]) if @$marks;
}


# What Redis holds, in the words of the reference.

sub stored {
    my %dump = %{ $lib->dump };
    my %state = (users => {}, marks => {}, runs => []);

    for my $key (keys %dump) {
        my $value = $dump{$key}[1];

        if ($key =~ /:(user:.*)/) {
            $state{users}{$1} = $value;

        } elsif ($key =~ /:seen:/) {
            $state{marks}{$_} = 1 for grep { $_ ne '' } keys %$value;

        } elsif ($key =~ /:runs$/) {
            $state{runs} = $value;
        }
    }

    return \%state;
}


sub same_as_the_reference {
    my %seen;

    for my $seed (1 .. 400) {
        srand $seed;

        my $unusual = $seed % 4;
        my %users = map { ($_ => { id => '"' . substr($_, 5) . '"', m => 1,
                                   (rand() < 0.5
                                    ? (address => '{"n":0,"z":1}') : ()) }) }
                    grep { !$unusual || rand() < 0.6 } @USERS;
        my @marks = $unusual ? map { "m$_" } grep { rand() < 0.3 } 0 .. 19 : ();
        my $events = random_events($unusual);

        my %state = (
            users => { map { ($_ => { %{ $users{$_} } }) } keys %users },
            marks => { map { ($_ => 1) } @marks },
            runs => ['{"old":1}', '{"old":2}'],
            before => { map { ($_ => 1) } keys %users },
        );
        my $wanted = reference(\%state, $events);

        $seen{$_}++ for keys %$wanted;

        for my $form (0 .. 3) {
            my %options = (pushed => $form & 1, heavy => $form & 2);
            my $name = "call $seed, " . join ', ', map { "$_ " . !!$options{$_} }
                       sort keys %options;

            prepare(\%users, \@marks);
            is_deeply(sorted($lib->apply($events, %options)),
                      sorted($wanted), "$name: the answer");

            my $stored = stored();

            is_deeply($stored->{$_}, $state{$_}, "$name: $_")
                for qw(users marks runs);
        }
    }

    ok($seen{$_}, "'$_' was answered") for qw(d n w u a);
}


sub sorted {
    my ($answer) = @_;

    my %sorted = map {
        my $list = $answer->{$_};
        ($_ => ref $list ? [ sort { (ref $a ? $a->[0] : $a)
                                    <=> (ref $b ? $b->[0] : $b) } @$list ]
                         : $list)
    } keys %$answer;

    return \%sorted;
}


# ---- until all is done

# What events come to that are applied one after the other, each whole.

sub sequential {
    my ($state, $events) = @_;

    my %done = (said => [], u => [], b => []);

    for my $event (@$events) {
        my $mark = $event->{mark};
        my $users = $state->{users};

        if (defined $mark && $state->{marks}{$mark}) {
            push @{ $done{said} }, 'd';
            next;
        }

        my %newest = map { ($_->[0] => $users->{$_->[0]}{identified_at}) }
                     grep { $users->{$_->[0]} } @{ $event->{ops} };

        for my $op (@{ $event->{ops} }) {
            my ($key, undef, $plain, $objects, $time) = @$op;
            my $user = $users->{$key} //= {};
            my $late = defined $time && ($newest{$key} // '') gt $time;

            $user->{identified_at} = $time if defined $time && !$late;

            for my $name (keys %$plain) {
                $user->{$name} = $plain->{$name}
                    if !$late || !exists $user->{$name};
            }

            for my $name (keys %{ $objects // {} }) {
                my $new = $objects->{$name};

                $user->{$name} = !defined $user->{$name} ? $new
                    : Knock::Library::merge($late ? ($new, $user->{$name})
                                                  : ($user->{$name}, $new));
            }
        }

        push @{ $done{said} }, '';
        $state->{marks}{$mark} = 1 if defined $mark && $event->{status} ne 'f';

        for my $run (@{ $event->{runs} }) {
            push @{ $users->{$run->[0]} ? $state->{runs} : $done{u} },
                 $run->[1];
        }
    }

    return \%done;
}


# Events with objects of all kinds, some of which set one twice.

sub random_objects {
    my ($events) = @_;

    for my $event (@$events) {
        my $ops = $event->{ops};

        for my $op (@$ops) {
            $op->[3] = { map { ($_ => $OBJECTS[rand @OBJECTS]) }
                         grep { rand() < 0.4 } qw(address other) };
        }

        push @$ops, [$ops->[0][0], 'r', { id => $ops->[0][2]{id} },
                     { address => $OBJECTS[rand @OBJECTS] }]
            if @$ops && rand() < 0.2;
    }

    return $events;
}


# Whether an event behind that of the run brings its recipient.

sub is_brought_later {
    my ($run, $events) = @_;

    my $recipient;

    for my $event (@$events) {
        return 1 if $recipient && grep { $_->[0] eq $recipient }
                                       @{ $event->{ops} };

        $recipient //= $_->[0]
            for grep { $_->[1] eq $run } @{ $event->{runs} };
    }

    return;
}


sub in_order {
    my ($x, $y) = map { /(\d+)/ } @_;

    return $x <=> $y;
}


# Events that are sent again until all are done have been applied one after the
# other.  Those that wait are overtaken by those that touch nothing of theirs
# but their recipients, so that a run may be there for somebody whom a later
# event has brought; runs of another request are in between.

sub one_after_the_other_in_the_end {
    my $again = 0;

    for my $seed (1 .. 400) {
        srand $seed;

        my %users = map { ($_ => { id => '"' . substr($_, 5) . '"',
                                   address => (@OBJECTS, '"text"', '[7]')
                                              [rand 2 + @OBJECTS],
                                   (rand() < 0.5
                                    ? (identified_at =>
                                       '"2026-01-01T00:00:30.000Z"') : ()) }) }
                    grep { rand() < 0.6 } @USERS;
        my $events = random_objects(random_events(1));
        my %state = (
            users => { map { ($_ => { %{ $users{$_} } }) } keys %users },
            marks => {}, runs => ['{"old":1}', '{"old":2}'],
        );
        my $wanted = sequential(\%state, $events);
        my $second = int rand @$events;

        $events->[$_]{request} = 1 + ($_ >= $second) for 0 .. $#$events;

        for my $form (0 .. 3) {
            my %options = (pushed => $form & 1, heavy => $form & 2);
            my $name = "call $seed to its end, form $form";

            prepare(\%users, []);

            my $done = $lib->apply_all($events, %options);

            my $stored = stored();

            $again += $done->{calls} > 1;
            is_deeply($done->{said}, $wanted->{said}, "$name: what is told");
            is_deeply($stored->{$_}, $state{$_}, "$name: $_")
                for qw(users marks);

            my %refused = map { ($_ => 1) } @{ $wanted->{u} };

            delete @refused{ @{ $done->{u} } };
            is_deeply([ grep { !is_brought_later($_, $events) }
                        sort keys %refused ],
                      [], "$name: who has no run");
            is_deeply([ sort @{ $stored->{runs} } ],
                      [ sort @{ $state{runs} }, keys %refused ],
                      "$name: and who has one");

            for my $own ([ @$events[0 .. $second - 1] ],
                         [ @$events[$second .. $#$events] ])
            {
                my %own = map { ($_->[1] => 1) } map { @{ $_->{runs} } } @$own;
                my @runs = grep { $own{$_} } @{ $stored->{runs} };

                is_deeply(\@runs, [ sort { in_order($a, $b) } @runs ],
                          "$name: in the order of a request's events");
            }
        }
    }

    cmp_ok($again, '>', 400, 'many took more than one call');
}


# ---- calls that fail

# A call whose runs were pushed, and that cannot be made or fails, leaves
# nothing.

sub nothing_is_left {
    my $events = [{ mark => 'm1', ops => [['user:a', 'e', { id => '"a"' }]],
                    runs => [['user:a', '{"r":1}'], ['user:a', '{"r":2}']] }];
    my %broken = (
        'a caller that is too old' => [sub { }, version => 4],
        'a caller that is newer' => [sub { }, version => 99],
        'an outdated configuration' => [sub { }, config => 'x'],
        'marks of a wrong type' => [sub {
            $lib->redis('SET', $lib->key("seen:$_"), 'x') for 0, 1;
        }],
        'large ones of a wrong type' => [sub {
            $lib->redis('SET', $lib->key('large'), 'x');
        }],
        'a guard that is not met' => [sub { }, guard => ['user:b', 'x']],
    );

    for my $what (sort keys %broken) {
        my ($break, %options) = @{ $broken{$what} };

        for my $pushed (0, 1) {
            prepare({ 'user:a' => { id => '"a"' } }, []);
            $break->();

            my $before = $lib->dump;

            eval { $lib->apply($events, %options, pushed => $pushed) };
            is_deeply($lib->dump, $before,
                      "$what leaves nothing, pushed: $pushed");
        }
    }

    prepare({ 'user:a' => { id => '"a"' } }, []);
    $lib->redis('DEL', $lib->key('runs'));
    $lib->redis('SET', $lib->key('runs'), 'x');

    my $before = $lib->dump;

    eval { $lib->apply($events, pushed => $_) } for 0, 1;
    is_deeply($lib->dump, $before, 'a list of a wrong type is left alone');

    # without the library EVAL takes off what was pushed

    prepare({ 'user:a' => { id => '"a"' } }, []);
    $before = $lib->dump;
    $lib->redis('FUNCTION', 'FLUSH');
    eval { $lib->apply($events, pushed => 1) };
    is_deeply($lib->dump, $before, 'a missing library leaves nothing');
    Knock::Test::load_library($lib->{redis});
}


# An entity's key of a wrong type fails its event alone.

sub others_are_left_alone {
    my $events = [
        { mark => 'm1', runs => [['user:c', '{"r":1}']] },
        { mark => 'm2', ops => [['user:a', 'e', { id => '"a"' }]],
          runs => [['user:c', '{"r":2}']] },
        { mark => 'm3', ops => [['user:b', 'e', { id => '"b"' }]],
          runs => [['user:c', '{"r":3}']] },
    ];

    for my $form (0 .. 3) {
        prepare({ 'user:c' => { id => '"c"' } }, []);
        $lib->redis('SET', $lib->key('user:a'), 'x');

        my $answer = $lib->apply($events, pushed => $form & 1,
                                 heavy => $form & 2);

        like($answer->{x}[0][1], qr/WRONGTYPE/, 'Redis\' reason is told');
        is($answer->{x}[0][0], 1, 'it is the event whose user is none');

        my $state = stored();

        is_deeply($state->{runs},
                  ['{"old":1}', '{"old":2}', '{"r":1}', '{"r":3}'],
                  'the others have their runs');
        is_deeply($state->{marks}, { m1 => 1, m3 => 1 },
                  'and are remembered, and it is not');
    }
}


# A guard holds the whole call back.

sub a_guard_alone {
    prepare({ 'user:a' => { id => '"a"', n => 1 } }, []);

    my (undef, $text, $etag) = @{ $lib->call('knock_user_get', ['user:a']) };
    my $events = [{ ops => [['user:a', 'e', { n => 2 }]] }];

    is_deeply($lib->apply($events, guard => ['user:a', 'other']),
              { guarded => 1 }, 'another ETag');
    is_deeply($lib->apply($events, guard => ['user:a', $etag]), {},
              'the ETag of what is stored');
    is($lib->redis('HGET', $lib->key('user:a'), 'n'), 2, 'then it is applied');
    is_deeply($lib->apply($events, guard => ['user:z', '*']),
              { guarded => 1 }, 'nobody is there');
}
