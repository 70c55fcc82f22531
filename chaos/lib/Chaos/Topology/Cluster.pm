package Chaos::Topology::Cluster;

# A Redis Cluster: three masters, each with a replica unless said otherwise.

use strict;
use warnings;

use parent 'Chaos::Topology';

use Chaos::Node;
use Knock::Cluster;

use constant MASTERS => 3;


# Takes what Knock::Cluster takes.

sub start {
    my ($class, %args) = @_;

    my $cluster = Knock::Cluster->start(
        masters => MASTERS, replicas => MASTERS, timeout => 1000, %args);
    my @nodes = map { Chaos::Node->of($_) } $cluster->nodes;

    return bless { cluster => $cluster, nodes => \@nodes,
                   replicas => $args{replicas} // MASTERS }, $class;
}


sub nodes { return @{ $_[0]{nodes} } }
sub target { return $_[0]{cluster}->urls . ' mode=cluster' }
sub holder { return $_[0]->_node($_[0]{cluster}->owner($_[1])) }


# The master that holds the environment.

sub node { return $_[0]->holder($_[0]->tags) }


# The masters, those with slots.

sub masters {
    my ($self) = @_;

    return grep { $_->command('ROLE')->[0] eq 'master' } $self->nodes;
}


# Whether the next fault may come: all nodes are there and well, and the
# replicas have caught up.

sub settled {
    my ($self) = @_;

    return $self->{cluster}->agreed($self->{replicas});
}


sub move {
    my ($self, $key, $to) = @_;

    $self->{cluster}->move_slot($key, $to->{server});
}


sub kill {
    my ($self, $node) = @_;

    $node->forget;
    $self->{cluster}->kill($node->{server});
}


sub restart {
    my ($self, $node) = @_;

    $self->{cluster}->restart($node->{server});
}


sub _node {
    my ($self, $server) = @_;

    my ($node) = grep { $_->{server} == $server } $self->nodes;

    return $node;
}

1;
