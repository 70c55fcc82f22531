package Chaos::Topology::Sentinel;

# A master, two replicas, and three Sentinels that watch them.

use strict;
use warnings;

use parent 'Chaos::Topology';

use Chaos::Node;
use Knock::Redis;
use Knock::Sentinel qw(start_sentinels sentinel_urls);
use Knock::Server qw(stop_process);

use constant {
    REPLICAS  => 2,
    SENTINELS => 3,

    # a switch takes seconds, not minutes
    CONF => "sentinel failover-timeout knock 4000\n"
            . "sentinel parallel-syncs knock 2\n",
};


sub start {
    my ($class) = @_;

    # a replica that comes is not kept waiting for others to come
    my @args = qw(--repl-diskless-sync-delay 0);
    my @nodes = Chaos::Node->start(args => \@args);

    push @nodes, Chaos::Node->start(args => [@args, follows($nodes[0])])
        for 1 .. REPLICAS;

    my $self = bless { nodes => \@nodes, sentinels => [] }, $class;

    push @{ $self->{sentinels} },
         start_sentinels(SENTINELS, master => $nodes[0]->port,
                         replicas => REPLICAS, conf => CONF);

    return $self;
}


sub nodes { return @{ $_[0]{nodes} } }
sub target { return sentinel_urls(@{ $_[0]{sentinels} }) }


# The arguments that make a redis-server a replica of this node.

sub follows {
    my ($node) = @_;

    return ('--replicaof', '127.0.0.1 ' . $node->port);
}


# The master, as the Sentinels name it; undef while they do not agree.

sub node {
    my ($self) = @_;
    my %named;

    for my $sentinel (@{ $self->{sentinels} }) {
        my $address = _ask($sentinel, qw(GET-MASTER-ADDR-BY-NAME knock));

        $named{ $address->[1] } = 1;
    }

    my ($node) = grep { $named{ $_->port } } $self->nodes;

    return keys %named == 1 ? $node : undef;
}


sub holder {
    my ($self) = @_;

    return $self->node // die "the Sentinels name several masters\n";
}


# Whether the next fault may come: all replicas are there and have caught up,
# and each Sentinel knows so.

sub settled {
    my ($self) = @_;

    my $master = $self->node or return 0;
    my @online = $master->command(qw(INFO replication)) =~ /state=online/g;

    return 0 if @online < REPLICAS;

    for my $sentinel (@{ $self->{sentinels} }) {
        my %master = @{ _ask($sentinel, qw(MASTER knock)) };

        return 0 if $master{flags} ne 'master'
                    || $master{'num-other-sentinels'} < SENTINELS - 1;

        my @usable = grep {
            my %replica = @$_;

            $replica{flags} eq 'slave'
            && $replica{'master-link-status'} eq 'ok'
            && $replica{'master-port'} == $master->port;
        } @{ _ask($sentinel, qw(REPLICAS knock)) };

        return 0 if @usable < REPLICAS;
    }

    return 1;
}


sub stop {
    my ($self) = @_;

    stop_process($_->{pid}, 'KILL') for @{ $self->{sentinels} };
    $self->SUPER::stop;
}


sub _ask {
    my ($sentinel, @what) = @_;

    $sentinel->{client} //= Knock::Redis->new("127.0.0.1:$sentinel->{port}");

    return $sentinel->{client}->command('SENTINEL', @what);
}

1;
