package Chaos::Scenarios::Cluster;

# What happens to a Redis Cluster.  The environment is in several shards, so
# that most events are applied on several nodes.

use strict;
use warnings;

use Chaos::Child;
use Chaos::Topology::Cluster;

# seconds, before the keys of a slot that is moved, and again behind them
use constant HALFWAY => 0.3;

my %base = (rate => 200);

our @Scenarios = (
    {
        %base,
        name => 'cluster-moved',
        does => 'eight slots of the environment are moved from master to '
                . 'master, one after the other, each of them 0.6 s on its way',
        topology => sub { Chaos::Topology::Cluster->start(replicas => 0) },
        fault => \&moved,
    },
    {
        %base,
        name => 'cluster-failover',
        does => 'each of three masters is killed, its replica takes over, and '
                . 'the old one is started again',
        topology => sub { Chaos::Topology::Cluster->start },
        params => 'min_replicas=1',
        fault => \&failover,
    },
    {
        %base,
        name => 'cluster-down',
        does => 'each of three masters without replicas is killed, workers '
                . 'are started without it, and it comes back after 2 s',
        topology => sub { Chaos::Topology::Cluster->start(
            replicas => 0, args => [qw(--appendonly yes --appendfsync always
                                       --cluster-require-full-coverage no)]) },
        fault => \&down,
    },
);


# In a process of its own: a slot that holds much takes its time.

sub moved {
    my ($run) = @_;

    my $topology = $run->topology;

    for my $tag (($topology->tags)[0 .. 7]) {
        my $from = $topology->holder($tag);
        my ($to) = grep { $_ != $from } $topology->masters;
        my $child = Chaos::Child->start(sub {
            $_->forget for $topology->nodes;
            $topology->move($tag, $to, HALFWAY);
        });

        $run->until('the slot to be moved', sub { $child->ended });
        $run->until('it to be there', sub { $topology->holder($tag) == $to });
        $run->served;
        $run->pause(0.5);
    }

    for my $code (qw(MOVED ASK TRYAGAIN)) {
        my $n = $topology->errors($code);

        $run->must($n, "no node has answered $code");
        $run->note(lc $code, $n);
    }
}


sub failover {
    my ($run) = @_;

    my $topology = $run->topology;

    for my $old ($topology->masters) {
        $run->until('the replicas', sub { $topology->settled });

        my $replica = $topology->replica_of($old);

        $topology->kill($old);
        $run->unavailable;
        $run->until('another master', sub {
            $replica->command('ROLE')->[0] eq 'master'
        });
        $topology->restart($old);
        $run->served;
    }

    $run->until('the replicas', sub { $topology->settled });
}


sub down {
    my ($run) = @_;

    my $topology = $run->topology;

    for my $node ($topology->masters) {
        $topology->kill($node);
        $run->reload;
        $run->unavailable;
        $run->pause(2);
        $topology->restart($node);
        $run->until('the cluster', sub { $topology->settled });
        $run->served;
    }
}

1;
