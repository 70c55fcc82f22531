package Bench::Run;

# One run: Redis emptied and filled with the known users, the server
# configured, the load sent, and all its effects verified.
#
#   my $result = Bench::Run::measure($server, redis => $redis, seconds => 4);
#   print @{ $result->{faults} };
#
# Whatever is not as it must be becomes a text in `faults`: such a run counts
# for nothing.

use strict;
use warnings;

use Bench::Push;
use Bench::Tools qw(tool run_tool on $Codec);
use Knock::Server qw(connect_redis wait_for);

use constant {
    AGAIN  => 200,      # events that are sent once more afterwards
    SAMPLE => 20,       # runs and users that are compared to the last field
};

our $Tag = 'knock:{development}:';


# Options, most as those of build/bench/load: connections, batch, rate,
# seconds, warmup, count, first, users, recipients, mix, only, seed.  With
# `path` Redis and configuration stay as the run before left them, whose result
# has the path.  With `warm` Redis has had the memory before.  With `tamper`,
# code that gets a client of Redis, it is called between load and verification.

sub measure {
    my ($server, %opt) = @_;

    my $redis = connect_redis($opt{redis});

    prepare($redis, \%opt) unless defined $opt{path};

    my $path = $opt{path} // $server->configure(\%opt);
    my ($memory) = $redis->command('INFO', 'memory') =~ /^used_memory:(\d+)/m;

    Bench::Push::warm(%opt) if $opt{warm};

    my $result = load($server, $path, \%opt);

    $result->{path} = $path;
    $result->{figures} = figures($result, $opt{recipients}, $server->memory);
    $result->{figures}{redis_mb} = $memory / 1e6;
    $result->{faults} = [answer_faults($result)];

    $opt{tamper}->($redis) if $opt{tamper};

    verify($server, $path, $redis, $result, \%opt) if $server->kind ne 'read';

    return $result;
}


# What is compared, by the names that all results have it under.

sub figures {
    my ($result, $recipients, $rss, $peak) = @_;
    my ($cpu, $latency) = @$result{qw(cpu_us_per_event latency_us)};

    my %figures = (
        events_per_second => $result->{events_per_second},
        (map { ("${_}_us" => $cpu->{$_}) } keys %$cpu),
        (map { ("${_}_us" => $latency->{$_}) } keys %$latency),
        rss_mb => $rss / 1e6,
        rss_peak_mb => $peak / 1e6,
    );

    $figures{redis_us_a_run} = $figures{redis_us} / $recipients
        if $recipients && defined $figures{redis_us};

    return \%figures;
}


sub prepare {
    my ($redis, $opt) = @_;

    $redis->command('FLUSHALL', 'SYNC');

    if ($opt->{redis}{aof}) {
        $redis->command('BGREWRITEAOF');
        wait_for('the append-only file to be rewritten', sub {
            $redis->command('INFO', 'persistence')
                !~ /^aof_rewrite_(?:in_progress|scheduled):1/m
        });
    }

    run_tool(tool('effects'), '--redis', $opt->{redis}{socket}, '--prepare',
             options($opt, qw(users)));
}


# Sends the load; gives what the generator says.

sub load {
    my ($server, $path, $opt, @more) = @_;

    return run_tool(on(1), tool('load'),
        '--port', $server->port, '--path', $path,
        '--cpu', 'worker=' . join(',', $server->pids),
        $opt->{redis} ? ('--cpu', "redis=$opt->{redis}{pid}") : (),
        options($opt, qw(connections batch rate seconds warmup count first
                         users recipients mix only seed)),
        $server->expect, @more);
}


sub options {
    my ($opt, @names) = @_;

    return map { defined $opt->{$_} ? ("--$_", $opt->{$_}) : () } @names;
}


# What is wrong with the answers that the load generator had.

sub answer_faults {
    my ($result) = @_;
    my @faults;

    return if $result->{ok} == $result->{sent} && $result->{sent} > 0;

    my @kinds = map { "$_: $result->{other}{$_}" }
                sort keys %{ $result->{other} };

    push @kinds, "not as expected: $result->{wrong}" if $result->{wrong};
    push @kinds, "none: $result->{lost}" if $result->{lost};

    return "of $result->{sent} requests $result->{ok} were answered right ("
           . join(', ', @kinds) . '); the first wrong one: '
           . ($result->{first_bad} // 'nothing was sent');
}


# Holds Redis against the events that were sent, and adds what is wrong to the
# faults of the result.

sub verify {
    my ($server, $path, $redis, $result, $opt) = @_;

    my $faults = $result->{faults};
    my ($first, $n) = ($result->{first}, $result->{last} + 1 - $result->{first});
    my @range = ('--first', $first, '--count', $n,
                 options($opt, qw(batch users recipients mix only seed)));

    my $effects = run_tool(tool('effects'), '--redis', $opt->{redis}{socket},
        defined $opt->{users_first} ? ('--users-first', $opt->{users_first})
                                    : (), @range);

    push @$faults, "$effects->{faults} faults in Redis, of these:",
                   map { "  $_" } @{ $effects->{told} }
        if $effects->{faults};

    @$result{qw(runs users_changed)} = @$effects{qw(runs users_changed)};

    return if @$faults;

    push @$faults, sample_faults($redis, $opt);
    push @$faults, again_faults($server, $path, $result, $opt);

    my $all = $first + $n - ($opt->{users_first} // $first);

    push @$faults, $server->other_faults($redis, $effects->{catalogue}, $all);

    push @$faults, 'nothing was written to the append-only file'
        if $opt->{redis}{aof}
           && $redis->command('INFO', 'persistence')
              !~ /^aof_enabled:1.*^aof_last_write_status:ok.*^aof_current_size:[1-9]\d{5}/ms;
}


# Some runs and users, compared with their events as wholes.

sub sample_faults {
    my ($redis, $opt) = @_;
    my ($length, @faults, %runs, %users) = $redis->command('LLEN', "${Tag}runs");

    for my $k ($length ? 0 .. SAMPLE - 1 : ()) {
        my $place = int(($length - 1) * $k / SAMPLE);
        my $run = $Codec->decode($redis->command('LINDEX', "${Tag}runs", $place));

        $runs{ number($run->{message_id}) } = $run;
    }

    for my $k (0 .. SAMPLE - 1) {
        my $id = sprintf 'u%07d', int(($opt->{users} // 10_000) * $k / SAMPLE);
        my ($about, $phone) = @{ $redis->command('HMGET', "${Tag}user:$id",
                                                 'about', 'phone_number') };

        $users{ number($Codec->allow_nonref->decode($phone)) } = $about
            if defined $phone;
    }

    my @numbers = sort { $a <=> $b } keys %runs, keys %users;

    return unless @numbers;

    open my $print, '-|', tool('load'), '--print', join(',', @numbers),
                          options($opt, qw(users recipients mix only seed))
        or die "load: $!\n";

    while (my $line = <$print>) {
        my $event = $Codec->decode($line);
        my $number = number($event->{messageId});

        push @faults, "the data of event $number\'s run is not its properties"
            if $runs{$number}
               && $Codec->encode($runs{$number}{data})
                  ne $Codec->encode($event->{properties});

        push @faults, "the user of event $number has not its trait about"
            if defined $users{$number}
               && $Codec->allow_nonref->decode($users{$number})
                  ne $event->{traits}{about};
    }

    close $print or die "load --print failed\n";

    return @faults;
}


# The event's number at the end of a message id.

sub number { return $_[0] =~ /(\d{12})$/ ? $1 + 0 : die "no number: $_[0]\n" }


# The first events once more must be duplicates and change nothing.

sub again_faults {
    my ($server, $path, $result, $opt) = @_;

    my %again = (%$opt, first => $result->{first}, connections => 1,
                 count => AGAIN, rate => undef, warmup => undef);
    my $n = $result->{last} + 1 - $result->{first};

    $again{count} = $n if $n < AGAIN;

    my $runs = connect_redis($opt->{redis})->command('LLEN', "${Tag}runs");
    my @faults = answer_faults(load($server, $path, \%again, '--again'));

    push @faults, 'the repeats have had runs'
        if connect_redis($opt->{redis})->command('LLEN', "${Tag}runs") != $runs;

    return map { "sent again: $_" } @faults;
}

1;
