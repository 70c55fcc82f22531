package Chaos::Scenarios::Network;

# What happens between nginx and a single redis-server.

use strict;
use warnings;

use Chaos::Dns;
use Chaos::Proxy;
use Chaos::Topology::Single;
use Time::HiRes qw(time);

use constant {
    CUTS  => 40,
    ELSE  => '127.0.0.2',       # another address of this machine
};

our @Scenarios = (
    {
        name => 'cut-replies',
        does => CUTS . ' connections are reset, closed or half closed in '
                . 'mid-reply, closed in mid-request, or fall silent',
        topology => sub { Chaos::Topology::Single->start },
        start => sub {
            my ($run) = @_;

            $run->{proxy} = Chaos::Proxy->start($run->node->port);
            $run->topology->through($run->{proxy});
        },
        fault => \&cut,
    },
    {
        name => 'name',
        does => 'the name of redis-server stops resolving while the server '
                . 'leaves its address, and comes back with another one; and '
                . 'back',
        topology => sub { Chaos::Topology::Single->start(host => 'localhost') },
        start => sub { $_[0]{dns} = Chaos::Dns->start('127.0.0.1') },
        http => sub { 'resolver 127.0.0.1:' . $_[0]{dns}->port
                      . " valid=1s ipv6=off;\nresolver_timeout 1s;\n" },
        fault => \&name,
    },
);


sub cut {
    my ($run) = @_;
    my $end = time + 20 * $run->{scale};

    for my $n (1 .. CUTS) {
        last if time > $end;

        $run->{proxy}->cut;
        $run->until('a connection to be cut', sub {
            $run->{proxy}->cuts >= $n
        });
        $run->served;
        $run->pause(0.1);
    }

    $run->note('cuts', $run->{proxy}->cuts);
}


sub name {
    my ($run) = @_;

    for my $address (ELSE, '127.0.0.1') {
        $run->{dns}->set('');
        $run->node->command(qw(CONFIG SET bind), $address);
        $run->node->command(qw(CLIENT KILL TYPE normal));
        $run->unavailable;
        $run->pause(3);
        $run->{dns}->set($address);
        $run->served;
        $run->pause(1.5);
    }
}

1;
