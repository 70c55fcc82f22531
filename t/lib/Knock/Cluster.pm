package Knock::Cluster;

# A Redis Cluster that ends with the test.
#
#   my $cluster = Knock::Cluster->start(masters => 3, replicas => 3);
#   ... "knock_redis @{[$cluster->urls]} mode=cluster;" ...
#   $cluster->command('knock:{development}:runs', 'LLEN', ...);
#   my $node = $cluster->owner('knock:{development}:runs');
#
# A node is what start_redis() gives, with its `id`.

use strict;
use warnings;

use Exporter qw(import);

use Knock::HeldRedis;
use Knock::Server qw(start_redis stop_process connect_redis free_port
                     wait_for);
use Knock::Shards qw(crc16);

use constant SLOTS => 16384;

our @EXPORT_OK = qw(fake_node slots);


# Starts one whose nodes all know each other, with the slots in equal parts.
#
#   masters   default 3
#   replicas  one of each of the first masters, default none
#   timeout   cluster-node-timeout in ms, default 1500
#   args      for the command line of each, or code that gives them
#   tags      hash tags whose slots a certain master has, by its number

sub start {
    my ($class, %conf) = @_;

    my $self = bless { nodes => [], timeout => $conf{timeout} // 1500,
                       args => $conf{args} // [] }, $class;

    my @masters = map { $self->_node } 1 .. $conf{masters} // 3;
    my $n = @masters;

    my @master = map { int($_ * $n / SLOTS) } 0 .. SLOTS - 1;

    for my $tag (keys %{ $conf{tags} // {} }) {
        $master[crc16($tag) % SLOTS] = $conf{tags}{$tag};
    }

    for my $i (0 .. $n - 1) {
        ask($masters[$i], 'CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
        ask($masters[$i], 'CLUSTER', 'ADDSLOTS',
            grep { $master[$_] == $i } 0 .. SLOTS - 1);
    }

    my @replicas = map { $self->_node } 1 .. $conf{replicas} // 0;

    $self->join(@masters[1 .. $n - 1], @replicas);

    for my $i (0 .. $#replicas) {
        ask($replicas[$i], 'CLUSTER', 'REPLICATE', $masters[$i]{id});
    }

    # the others have to know of it, or nobody takes over
    $self->wait_until_agreed(scalar @replicas);

    return $self;
}


sub nodes { return @{ $_[0]{nodes} } }


# Those that have not been killed.

sub running { return grep { !$_->{killed} } $_[0]->nodes }


sub urls {
    my ($self) = @_;

    return join ' ', map { "redis://127.0.0.1:$_->{port}" } $self->nodes;
}


# One command to one node, over a connection of its own.

sub ask {
    my ($node, @command) = @_;

    return connect_redis($node)->command(@command);
}


# One command to the node that has the key.

sub command {
    my ($self, $key, @command) = @_;

    return ask($self->owner($key), @command);
}


# The node that has the key's slot, as the first one sees it that runs.

sub owner {
    my ($self, $key) = @_;

    my ($node) = $self->running;

    return $self->owner_by($node, ask($node, 'CLUSTER', 'KEYSLOT', $key))
           // die "no node has the slot of $key\n";
}


# The node that has a slot, as this one sees it.

sub owner_by {
    my ($self, $node, $slot) = @_;

    my ($range) = grep { $slot >= $_->[0] && $slot <= $_->[1] }
                  @{ ask($node, 'CLUSTER', 'SLOTS') };

    return $range ? $self->by_id($range->[2][2]) : undef;
}


sub by_id {
    my ($self, $id) = @_;

    my ($node) = grep { $_->{id} eq $id } $self->nodes;

    return $node;
}


# A node that is a replica of this one.

sub replica_of {
    my ($self, $node) = @_;

    my ($line) = @{ ask($node, 'CLUSTER', 'REPLICAS', $node->{id}) };

    return $self->by_id($line =~ /^(\w+)/);
}


# An empty node more, known to all.

sub add {
    my ($self) = @_;

    my $node = $self->_node;

    $self->join($node);
    $self->wait_until_agreed;

    return $node;
}


# Introduces nodes to the first one, and waits until all know each other.

sub join {
    my ($self, @nodes) = @_;

    my $first = $self->{nodes}[0];

    for my $node (@nodes) {
        ask($first, 'CLUSTER', 'MEET', '127.0.0.1', $node->{port},
            $node->{bus});
    }

    $self->wait_until_agreed;
}


sub wait_until_agreed {
    my ($self, $replicas) = @_;

    wait_for('the cluster', sub { $self->agreed($replicas) });
}


# Whether all that run see each other, all of them well, so many of them as
# replicas with all that their masters have, and the cluster works.

sub agreed {
    my ($self, $replicas) = @_;

    my @nodes = $self->running;

    for my $node (@nodes) {
        my $seen = ask($node, 'CLUSTER', 'NODES');
        my $slaves = () = $seen =~ /^\w+ \S+ \S*slave\b/mg;

        return 0 if ask($node, 'CLUSTER', 'INFO') !~ /cluster_state:ok/
                    || grep({ $seen !~ /^$_->{id} \S+ (?!\S*fail)/m } @nodes)
                    || $seen =~ /handshake/
                    || (defined $replicas && $slaves < $replicas)
                    || ask($node, 'INFO', 'replication')
                       =~ /master_link_status:down/;
    }

    return 1;
}


# Moves a key's slot with all it holds from the node that has it to this one.
# When the slot is on its way `before` is called, while it holds its keys, and
# `behind`, when they have been moved.

sub move_slot {
    my ($self, $key, $to, $before, $behind) = @_;

    my $from = $self->owner($key);
    my $slot = ask($from, 'CLUSTER', 'KEYSLOT', $key);

    ask($to, 'CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
    ask($from, 'CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});

    $before->() if $before;

    while (1) {
        my $keys = ask($from, 'CLUSTER', 'GETKEYSINSLOT', $slot, 100);

        last if !@$keys;
        ask($from, 'MIGRATE', '127.0.0.1', $to->{port}, '', 0, 5000,
            'KEYS', @$keys);
    }

    $behind->() if $behind;

    # the new owner first, so that there is one all the time; the others would
    # hear of it a little later

    ask($to, 'CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id});

    for my $node ($self->running) {
        wait_for('a node to know the new owner', sub {
            eval { ask($node, 'CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id}) };
            return $self->owner_by($node, $slot) == $to;
        });
    }

    # One that does not know how new its claim is would, as the next owner,
    # give way to an old message of it, and forget all that is in the slot.

    my $epoch = epoch($to, $to);

    wait_for('all to know of the new epoch', sub {
        return !grep { epoch($_, $to) != $epoch } $self->running;
    });
}


# The epoch of another node's configuration, as a node knows it.

sub epoch {
    my ($node, $other) = @_;

    my ($epoch) = ask($node, 'CLUSTER', 'NODES')
                  =~ /^$other->{id} (?:\S+ ){5}(\d+)/m;

    return $epoch;
}


# How often the nodes have answered by an error that begins like that.

sub errors {
    my ($self, $code) = @_;

    my $n = 0;

    for my $node ($self->running) {
        my ($count) = ask($node, 'INFO', 'errorstats')
                      =~ /^errorstat_$code:count=(\d+)/m;
        $n += $count // 0;
    }

    return $n;
}


sub kill {
    my ($self, $node) = @_;

    $node->{killed} = 1;
    stop_process($node->{pid}, 'KILL');
}


# Starts one again in its place.

sub restart {
    my ($self, $node) = @_;

    $node->{pid} = start_redis(%$node)->{pid};
    delete $node->{killed};
}


# A HeldRedis that says to CLUSTER SLOTS what `slots` is at that time, octets,
# or '' to say nothing.  What `says`, code that gets the fake and a command,
# gives for it, is said to that.  More is handed on to HeldRedis, as `upstream`.

sub fake_node {
    my (%o) = @_;

    my $says = sub {
        my ($self, $command) = @_;

        return $self->{slots} if $command->{args}[0] eq 'CLUSTER';
        return $self->{says} ? $self->{says}->($self, $command) : undef;
    };

    return Knock::HeldRedis->new(%o, auto => $says);
}


# The octets of a map: ranges, each [host, port, first, last, more that is said
# of the node]; the slots are all unless said, an undefined host is nil.

sub slots {
    my (@ranges) = @_;

    return array(map {
        my ($host, $port, $first, $last, @more) = @$_;

        array(':' . ($first // 0) . "\r\n",
              ':' . ($last // SLOTS - 1) . "\r\n",
              array(defined $host ? bulk($host) : "\$-1\r\n", ":$port\r\n",
                    bulk('id'), array(map { bulk($_) } @more)))
    } @ranges);
}


sub _node {
    my ($self) = @_;

    my $bus = free_port();
    my $node = start_redis(args => [
        '--cluster-enabled', 'yes', '--cluster-port', $bus,
        '--cluster-node-timeout', $self->{timeout},
        '--cluster-replica-validity-factor', 0,
        # one that gives its last slot away would become a replica
        '--cluster-allow-replica-migration', 'no',
        '--repl-diskless-sync-delay', 0, ref $self->{args} eq 'CODE'
            ? $self->{args}->() : @{ $self->{args} }]);

    $node->{bus} = $bus;
    $node->{id} = ask($node, 'CLUSTER', 'MYID');

    push @{ $self->{nodes} }, $node;

    return $node;
}

1;
