package Knock::Figures;

# What an nginx has counted, and holds, by its knock_metrics: for what must be
# so after every bad path.
#
#   my $figures = Knock::Figures->new($nginx, $fake);
#   ...
#   $figures->is_quiet('two that have gone', requests => { 200 => 1, 499 => 2 });
#
# Each Knock::HeldRedis that is given is served meanwhile.

use strict;
use warnings;

use Test::More;

use Knock::Server qw(wait_for);

# what is there only while a request is

use constant GAUGES => qw(in_flight body_bytes pending_commands pending_bytes);


# Takes down which workers there are, and what has been counted so far.

sub new {
    my $self = started(@_);

    $self->{before} = $self->now;

    return $self;
}


# The same where nginx has just started: nothing is counted, nor is it asked.

sub started {
    my ($class, $nginx, @fakes) = @_;

    return bless { nginx => $nginx, fakes => \@fakes, before => {},
                   workers => [sort $nginx->workers] }, $class;
}


# All of the figures, by name and labels, without the `knock_` in front.

sub now {
    my ($self) = @_;

    my $client = $self->{nginx}->figures_client;

    $client->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    $self->_wait('the figures', sub { !$client->silent(0) });

    my $answer = $client->answer;

    die "no figures: $answer->{status}\n" if $answer->{status} != 200;

    return { $answer->{body} =~ /^knock_(\S+) (\S+)$/mg };
}


sub _wait {
    my ($self, $what, $code, $seconds) = @_;

    return wait_for($what, sub {
        $_->step(0) for @{ $self->{fakes} };
        return $code->();
    }, $seconds);
}


# One test: that nothing is held any more, that the workers are those there
# were, and what has been counted since the last time by the counters that
# `counted` names: of one with a label a hash by its values, else a number.

sub is_quiet {
    my ($self, $title, %counted) = @_;

    my ($figures, %held);
    my $free = sub {
        $figures = $self->now;
        %held = map { $_ => $figures->{$_} } grep { $figures->{$_} } GAUGES;

        return !%held;
    };

    # what is once left behind will stay

    $self->{patience} = 0.1
        unless eval { $self->_wait('nothing to be held', $free,
                                   $self->{patience}) };

    my %got = map { $_ => $self->_counted($figures, $_, ref $counted{$_}) }
              keys %counted;

    $self->{before} = $figures;

    is_deeply { held => \%held, workers => [sort $self->{nginx}->workers],
                counted => \%got },
              { held => {}, workers => $self->{workers},
                counted => \%counted },
              "$title: nothing is held, all is counted once";
}


sub _counted {
    my ($self, $figures, $name, $labelled) = @_;

    my %more = map { $_ => $figures->{$_} - ($self->{before}{$_} // 0) }
               grep { /^${name}_total\b/ } keys %$figures;

    return $more{"${name}_total"} if !$labelled;

    return { map { my ($label) = /="(.*)"/; $label => $more{$_} }
             grep { $more{$_} } keys %more };
}

1;
