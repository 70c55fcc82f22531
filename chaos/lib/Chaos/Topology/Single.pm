package Chaos::Topology::Single;

# One redis-server.  With `through`, what has a port and leads to it, the
# module goes by way of that.

use strict;
use warnings;

use parent 'Chaos::Topology';

use Chaos::Node;


# Takes what Chaos::Node takes, and `host`, the name that the module connects
# to.

sub start {
    my ($class, %args) = @_;

    my $host = delete $args{host} // '127.0.0.1';

    return bless { node => Chaos::Node->start(%args), host => $host }, $class;
}


sub node { return $_[0]{node} }
sub nodes { return $_[0]{node} }
sub holder { return $_[0]{node} }


sub through {
    my ($self, $way) = @_;

    $self->{through} = $way;
}


sub target {
    my ($self) = @_;

    my $port = ($self->{through} // $self->{node})->port;

    return "redis://$self->{host}:$port";
}

1;
