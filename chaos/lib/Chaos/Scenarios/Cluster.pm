package Chaos::Scenarios::Cluster;

# What happens to a Redis Cluster.

use strict;
use warnings;

use Chaos::Child;
use Chaos::Topology::Cluster;

use constant {
    MOVES     => 6,
    FAILOVERS => 3,
};

our @Scenarios = (
    {
        name => 'cluster-moved',
        does => 'the slot of the environment is moved from master to master, '
                . MOVES . ' times',
        topology => sub { Chaos::Topology::Cluster->start(replicas => 0) },
        rate => 400,
        fault => \&moved,
    },
    {
        name => 'cluster-failover',
        does => FAILOVERS . ' times the master of the environment is killed, '
                . 'its replica takes over, and the old one is started again',
        topology => sub { Chaos::Topology::Cluster->start },
        rate => 400,
        params => 'min_replicas=1',
        fault => \&failover,
    },
    {
        name => 'cluster-down',
        does => 'a master without replica is killed, workers are started '
                . 'without it, and it comes back after 2 s; each master in '
                . 'turn',
        topology => sub { Chaos::Topology::Cluster->start(
            replicas => 0, args => [qw(--appendonly yes --appendfsync always
                                       --cluster-require-full-coverage no)]) },
        rate => 400,
        fault => \&down,
    },
);


# In a process of its own: a slot that holds much takes its time.

sub moved {
    my ($run) = @_;

    my $topology = $run->topology;

    for (1 .. MOVES) {
        my $from = $topology->node;
        my ($to) = grep { $_ != $from } $topology->masters;
        my $child = Chaos::Child->start(sub {
            $_->forget for $topology->nodes;
            $topology->move($topology->tags, $to);
        });

        $run->until('the slot to be moved', sub { $child->ended });
        $run->must($topology->node == $to, 'a slot could not be moved');
        $run->served;
        $run->pause(0.5);
    }
}


sub failover {
    my ($run) = @_;

    my $topology = $run->topology;

    for (1 .. FAILOVERS) {
        $run->until('the replicas', sub { $topology->settled });

        my $old = $topology->node;

        $topology->kill($old);
        $run->unavailable;
        $run->until('another master', sub { $topology->node != $old });
        $topology->restart($old);
        $run->served;
    }

    $run->until('the replicas', sub { $topology->settled });
}


sub down {
    my ($run) = @_;

    my $topology = $run->topology;
    my $own = $topology->node;

    for my $node ($own, grep { $_ != $own } $topology->nodes) {
        $topology->kill($node);
        $run->reload;
        $run->unavailable if $node == $own;
        $run->pause(2);
        $topology->restart($node);
        $run->until('the cluster', sub { $topology->settled });
        $run->served;
    }
}

1;
