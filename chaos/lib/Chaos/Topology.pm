package Chaos::Topology;

# What stands behind the module, for all kinds of it.  A kind has
#
#   start       (class, %args)   starts its servers
#   nodes       all that may hold data, as Chaos::Node
#   target      the URLs and parameters of knock_redis that lead to it
#   holder      (key) the node that has the key now
#
# and may replace what is here.

use strict;
use warnings;


# The hash tags that an environment is split over.

sub tags { return '{development}' }


# More for nginx's http block.

sub http { return '' }


# One command on the node that has the key.

sub command {
    my ($self, $key, @command) = @_;

    return $self->holder($key)->command(@command);
}


# Commands on the key of this name in each of the environment's parts.

sub each_part {
    my ($self, $name, @command) = @_;

    return map { my $key = "knock:$_:$name";
                 $self->command($key, map { $_ eq 'KEY' ? $key : $_ } @command)
               } $self->tags;
}


sub stop {
    my ($self) = @_;

    $_->stop for $self->nodes;
}


sub complaints { return map { $_->complaints } $_[0]->nodes }

1;
