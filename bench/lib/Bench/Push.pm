package Bench::Push;

# Ceiling (d): redis-benchmark pushes the finished runs of an event by one
# command, several commands to a write.  That is what Redis has to do at the
# least.

use strict;
use warnings;

use Bench::Tools qw(tool on slurp);
use Knock::Server qw(connect_redis);


# `count` times those of an event of so many `recipients`, to the server
# `redis`; a result as Bench::Run gives.

sub measure {
    my (%opt) = @_;

    my $redis = connect_redis($opt{redis});
    my $key = 'knock:{development}:runs';
    my @runs = runs($opt{recipients} // 1);

    $redis->command('FLUSHALL', 'SYNC');
    warm(%opt) if $opt{warm};

    my $before = cpu_ns($opt{redis}{pid});
    my $rate = push_runs(\%opt, $key, @runs);
    my $cpu = cpu_ns($opt{redis}{pid}) - $before;

    $opt{tamper}->($redis) if $opt{tamper};

    my $length = $redis->command('LLEN', $key);
    my $other = grep { $redis->command('LINDEX', $key, $_) ne $runs[$_ % @runs] }
                0, int($length / 2), $length - 1;
    my $pushed = $opt{count} * @runs;

    return {
        events => $opt{count},
        figures => { events_per_second => $rate,
                     redis_us => $cpu / 1000 / $opt{count},
                     redis_us_a_run => $cpu / 1000 / $pushed },
        faults => [
            $length == $pushed ? ()
                : "the list has $length of the $pushed that were pushed",
            $other ? 'what was pushed is not what stands there' : ()
        ],
    };
}


# Has Redis take the memory that the runs of `count` events need, and leaves it
# to it: to come by a page for the first time may cost more than to fill it.

sub warm {
    my (%opt) = @_;

    push_runs(\%opt, 'warm', runs($opt{recipients} // 1));
    connect_redis($opt{redis})->command('DEL', 'warm');
}


# The runs of an event.

sub runs {
    my ($recipients) = @_;

    open my $print, '-|', tool('load'), '--runs', '0', '--only', 'bare',
                          '--recipients', $recipients
        or die "load: $!\n";
    chomp(my @runs = <$print>);
    close $print && @runs == $recipients or die "load --runs failed\n";

    return @runs;
}


# How many times a second it was done.

sub push_runs {
    my ($opt, $key, @runs) = @_;

    # in the worker's place
    open my $out, '-|', on(0), 'redis-benchmark',
        '-s', $opt->{redis}{socket}, '-P', @runs > 1 ? 2 : 16, '-c', 1,
        '-n', $opt->{count}, '-q', 'RPUSH', $key, @runs
        or die "redis-benchmark: $! (it is in the package redis-tools)\n";
    my $text = do { local $/; <$out> } // '';
    close $out or die "redis-benchmark failed: $text\n";

    my ($rate) = $text =~ /.*: ([\d.]+) requests per second/s
        or die "redis-benchmark says nothing of its speed: $text\n";

    return $rate + 0;
}


# The CPU time that all threads of a process have had.

sub cpu_ns {
    my ($pid) = @_;
    my $ns = 0;

    for my $file (glob "/proc/$pid/task/*/schedstat") {
        $ns += (split ' ', slurp($file))[0] // 0;
    }

    return $ns;
}

1;
