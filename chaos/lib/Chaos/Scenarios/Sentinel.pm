package Chaos::Scenarios::Sentinel;

# What happens to a master that Sentinels watch.  The module waits for a
# replica before it answers 200.

use strict;
use warnings;

use List::Util qw(max min);

use Chaos::Topology::Sentinel;

use constant {
    FAILOVERS => 20,
    HANGS     => 3,
};

my %base = (
    topology => sub { Chaos::Topology::Sentinel->start },
    rate     => 150,
);

our @Scenarios = (
    {
        %base,
        name => 'failover',
        does => FAILOVERS . ' times the master is killed, a replica promoted, '
                . 'and the old master started again as a replica of it',
        params => 'min_replicas=1',
        fault => \&kill_masters,
    },
    {
        %base,
        name => 'failover-hung',
        does => HANGS . ' times the master stands still (SIGSTOP) until a '
                . 'replica is promoted, and then goes on as if it were one',
        # a replica that still follows the old one would do for one
        params => 'min_replicas=2',
        fault => \&hang_masters,
    },
);


sub kill_masters {
    my ($run) = @_;

    for (1 .. rounds($run, FAILOVERS)) {
        settle($run);

        my $old = $run->node;

        $old->kill;

        my $new = promoted($run, $old);

        $run->served;
        $old->restart(Chaos::Topology::Sentinel::follows($new));
    }

    settle($run);
}


# The one that stood still still has its clients, and what it had read.

sub hang_masters {
    my ($run) = @_;

    for (1 .. rounds($run, HANGS)) {
        settle($run);

        my $old = $run->node;

        $old->freeze;
        promoted($run, $old);
        $old->thaw;
        $run->served;
    }

    settle($run);
}


# A switch takes the Sentinels seconds, so a short run has fewer of them.

sub rounds {
    my ($run, $n) = @_;

    return max(1, int $n * min(1, $run->{scale}));
}


sub settle {
    my ($run) = @_;

    $run->until('the replicas', sub { $run->topology->settled });
}


sub promoted {
    my ($run, $old) = @_;

    return $run->until('a new master', sub {
        my $node = $run->node;

        return $node && $node != $old ? $node : undef;
    });
}

1;
