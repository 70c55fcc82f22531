package Bench::Push;

# Ceiling (d): redis-benchmark pushes a finished run, 16 commands to a write.
# That is what Redis has to do at the least for each recipient of an event.

use strict;
use warnings;

use Bench::Tools qw(tool on slurp);
use Knock::Server qw(connect_redis);


# `count` runs of an event of so many `recipients`, to the server `redis`; a
# result as Bench::Run gives.

sub measure {
    my (%opt) = @_;

    my $redis = connect_redis($opt{redis});
    my $key = 'knock:{development}:runs';

    open my $print, '-|', tool('load'), '--runs', '0', '--only', 'bare',
                          '--recipients', $opt{recipients} // 1
        or die "load: $!\n";
    my ($run) = <$print>;
    close $print && defined $run or die "load --runs failed\n";
    chomp $run;

    $redis->command('FLUSHALL', 'SYNC');

    my $before = cpu_ns($opt{redis}{pid});

    # in the worker's place
    open my $out, '-|', on(0), 'redis-benchmark',
        '-s', $opt{redis}{socket}, '-P', 16, '-c', 1, '-n', $opt{count}, '-q',
        'RPUSH', $key, $run
        or die "redis-benchmark: $! (it is in the package redis-tools)\n";
    my $text = do { local $/; <$out> } // '';
    close $out or die "redis-benchmark failed: $text\n";

    my $cpu = cpu_ns($opt{redis}{pid}) - $before;

    $opt{tamper}->($redis) if $opt{tamper};

    my ($rate) = $text =~ /.*: ([\d.]+) requests per second/s
        or die "redis-benchmark says nothing of its speed: $text\n";
    my $length = $redis->command('LLEN', $key);
    my $other = grep { $redis->command('LINDEX', $key, $_) ne $run }
                0, int($length / 2), -1;

    return {
        events => $opt{count},
        figures => { events_per_second => $rate + 0,
                     redis_us => $cpu / 1000 / $opt{count},
                     redis_us_a_run => $cpu / 1000 / $opt{count} },
        faults => [
            $length == $opt{count} ? ()
                : "the list has $length of the $opt{count} that were pushed",
            $other ? 'what was pushed is not what stands there' : ()
        ],
    };
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
