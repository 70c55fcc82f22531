package Knock::Sentinel;

# Redis Sentinels for the tests: real ones, and one whose answers the test
# gives.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);

use Knock::HeldRedis;
use Knock::Redis;
use Knock::Server qw(start_process free_port wait_for);

our @EXPORT_OK = qw(start_sentinels start_sentinel wait_for_switch
                    fake_sentinel sentinel_urls);


# Starts `n` Sentinels that watch the master "knock" at a port of 127.0.0.1,
# and waits until they know each other and `replicas` replicas.  `conf` are
# more lines of their configuration.

sub start_sentinels {
    my ($n, %o) = @_;

    my $quorum = int($n / 2) + 1;
    my @sentinels = map { start_sentinel(%o, quorum => $quorum) } 1 .. $n;

    for my $sentinel (@sentinels) {
        wait_for('a Sentinel to know the others', sub {
            my %info = @{ Knock::Redis->new("127.0.0.1:$sentinel->{port}")
                          ->command(qw(SENTINEL MASTER knock)) };

            return $info{'num-other-sentinels'} == $n - 1
                   && $info{'num-slaves'} == ($o{replicas} // 0);
        });
    }

    return @sentinels;
}


# Starts one: { pid, port, dir }.

sub start_sentinel {
    my (%o) = @_;

    my $dir = tempdir('knock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $port = free_port();
    my $quorum = $o{quorum} // 1;

    open my $out, '>', "$dir/sentinel.conf" or die "$dir: $!\n";
    print {$out} "port $port\nbind 127.0.0.1\ndir $dir\n",
        "sentinel monitor knock 127.0.0.1 $o{master} $quorum\n",
        "sentinel down-after-milliseconds knock 1500\n",
        "sentinel failover-timeout knock 10000\n", $o{conf} // '';
    close $out or die "$dir: $!\n";

    my $pid = start_process("$dir/log",
        split(' ', $ENV{KNOCK_REDIS_SERVER} || 'redis-server'),
        "$dir/sentinel.conf", '--sentinel');

    my $client = wait_for('a Sentinel',
                          sub { Knock::Redis->new("127.0.0.1:$port") });

    # they look and talk more often than once in seconds.  One that pings no
    # more often than down-after-milliseconds takes a new master for down, and
    # a replica is of no use when there is no news of it in five pings.
    $client->command(qw(SENTINEL DEBUG PING-PERIOD 400 INFO-PERIOD 300
                        ASK-PERIOD 300 PUBLISH-PERIOD 500));

    return { pid => $pid, port => $port, dir => $dir };
}


# Waits until all of them name another server as the master.  A vote that fails,
# as it may on a busy machine, is followed by another one.

sub wait_for_switch {
    my ($port, @sentinels) = @_;

    for my $sentinel (@sentinels) {
        wait_for("the Sentinels to name the server at port $port", sub {
            my $named = Knock::Redis->new("127.0.0.1:$sentinel->{port}")
                ->command(qw(SENTINEL GET-MASTER-ADDR-BY-NAME knock));

            return $named->[1] == $port;
        }, 300);
    }
}


# A HeldRedis that says of the master what `master` says at that time: its
# [host, port]; or octets, '' for none.  More is handed on to HeldRedis.

sub fake_sentinel {
    my ($master, %o) = @_;

    return Knock::HeldRedis->new(%o, master => $master, auto => sub {
        my ($self, $command) = @_;

        return undef if $command->{args}[0] ne 'SENTINEL';

        my $master = $self->{master};

        return ref $master ? array(map { bulk($_) } @$master) : $master;
    });
}


# What stands behind knock_redis for Sentinels: their URLs and the mode.

sub sentinel_urls {
    my (@sentinels) = @_;

    return join ' ', (map { "redis://127.0.0.1:$_->{port}" } @sentinels),
                     'mode=sentinel master=knock';
}

1;
