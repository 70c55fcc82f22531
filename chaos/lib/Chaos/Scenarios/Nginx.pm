package Chaos::Scenarios::Nginx;

# What happens to nginx.

use strict;
use warnings;

use Chaos::Topology::Single;

use constant {
    KILLS    => 20,
    RELOADS  => 20,
    UPGRADES => 4,
};

our @Scenarios = (
    {
        name => 'worker-killed',
        does => KILLS . ' times a worker is killed',
        topology => sub { Chaos::Topology::Single->start },
        fault => \&kill_workers,
        harmless => qr/\[alert\] \d+#\d+: worker process \d+ exited on signal 9/,
    },
    {
        name => 'reload',
        does => 'nginx reloads ' . RELOADS . ' times',
        topology => sub { Chaos::Topology::Single->start },
        fault => \&reload,
        gentle => 1,
    },
    {
        name => 'upgrade',
        does => 'another binary takes over (USR2, WINCH, QUIT), ' . UPGRADES
                . ' times',
        topology => sub { Chaos::Topology::Single->start },
        fault => \&upgrade,
        gentle => 1,
    },
);


sub kill_workers {
    my ($run) = @_;

    for (1 .. KILLS) {
        my $workers = $run->until('two workers', sub {
            my @two = $run->nginx->workers;
            @two == 2 ? \@two : undef;
        });

        kill 'KILL', $workers->[rand 2];
        $run->taken(100);
        $run->pause(0.3);
    }
}


sub reload {
    my ($run) = @_;

    for (1 .. RELOADS) {
        $run->reload;
        $run->taken(100);
        $run->pause(0.3);
    }
}


sub upgrade {
    my ($run) = @_;

    for (1 .. UPGRADES) {
        $run->nginx->upgrade(sub { $run->until(@_) });
        $run->taken(100);
        $run->pause(1);
    }
}

1;
