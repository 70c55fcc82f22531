package Chaos::Topology::Cluster;

# A Redis Cluster: three masters, each with a replica unless said otherwise,
# over which the environment is spread.

use strict;
use warnings;

use parent 'Chaos::Topology';

use Time::HiRes qw(sleep time);

use Chaos::Node;
use Knock::Cluster;

use constant {
    MASTERS => 3,
    SHARDS  => 16,
    HOME    => '{development}',
    KNOWN   => 0.1,             # seconds, what was found out about holders
};


# Takes what Knock::Cluster takes.

sub start {
    my ($class, %args) = @_;

    my $cluster = Knock::Cluster->start(
        masters => MASTERS, replicas => MASTERS, timeout => 1000, %args);

    return bless {
        cluster => $cluster, replicas => $args{replicas} // MASTERS,
        nodes => [map { Chaos::Node->of($_) } $cluster->nodes],
        holders => {}, looked => 0,
    }, $class;
}


sub nodes { return @{ $_[0]{nodes} } }
sub target { return $_[0]{cluster}->urls . ' mode=cluster' }
sub http { return 'knock_shards ' . SHARDS . ";\n" }

sub tags {
    return (HOME, map { "{development/$_}" } 0 .. SHARDS - 1);
}


sub holder {
    my ($self, $key) = @_;

    my ($tag) = $key =~ /(\{.+?\})/;
    my $now = time;

    if ($now - $self->{looked} > KNOWN) {
        $self->{looked} = $now;
        $self->{holders} = {};
    }

    return $self->{holders}{$tag}
           //= $self->_node($self->{cluster}->owner($tag));
}


# The nodes that have slots.

sub masters {
    my ($self) = @_;
    my %seen;

    return grep { !$seen{$_}++ } map { $self->holder($_) } $self->tags;
}


sub replica_of {
    my ($self, $node) = @_;

    return $self->_node($self->{cluster}->replica_of($node->{server}));
}


# Whether the next fault may come: all nodes are there and well, and the
# replicas have caught up.

sub settled {
    my ($self) = @_;

    return $self->{cluster}->agreed($self->{replicas});
}


# Moves a tag's slot; for so many seconds it is on its way with all it holds
# where it was, and for so many with all of it where it will be.

sub move {
    my ($self, $tag, $to, $seconds) = @_;

    $self->{cluster}->move_slot($tag, $to->{server},
                                (sub { sleep $seconds }) x 2);
}


# How often the nodes have answered by this error.

sub errors {
    my ($self, $code) = @_;

    return $self->{cluster}->errors($code);
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
