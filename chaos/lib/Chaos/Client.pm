package Chaos::Client;

# What sends a scenario's events: many kept connections, new events at a steady
# rate, and each that was not taken again and again until it is, as Segment
# does: after 408, 429 and 5xx, after a lost connection, and where no answer
# comes for 10 seconds.  What goes out again goes alone or in another batch
# than before.
#
#   my $client = Chaos::Client->new(port => $port, path => $path,
#                                   rate => 800, connections => 32,
#                                   told => sub { my ($client) = @_ });
#   $client->step while $going_on;
#   $client->end(40);
#   1 while !$client->done && $client->step;
#
# `told` is called after each step that had an answer or a loss.  What happened
# stands in the object:
#
#   sent       events made so far; their numbers are 0 .. sent - 1
#   taken      number => 1 of those that were answered 200
#   refused    number => status of those that Segment would not send again
#   statuses   answers by status
#   duplicates events that answers called duplicates
#   requests broken timeouts unconnected
#              requests that went out; those of them whose connection ended, or
#              whose time did; connections that could not be made
#   outage     the longest time without a 200, in seconds
#   slowest    the longest that an answer took, likewise
#   odd        what is wrong with answers of 200, the first ten

use strict;
use warnings;

use Errno qw(EAGAIN EINPROGRESS EINTR);
use IO::Poll qw(POLLIN POLLOUT POLLERR POLLHUP);
use List::Util qw(max min);
use Socket qw(AF_INET SOCK_STREAM SOL_SOCKET SO_ERROR IPPROTO_TCP TCP_NODELAY
              pack_sockaddr_in inet_aton);
use Time::HiRes qw(time sleep);

use Chaos::Events qw(event);
use Knock::Load;

use constant {
    ANSWER_TIME => 10,          # seconds, as Segment waits
    LINGER      => 0.05,        # an event waits for others of its batch
    RECONNECT   => 0.02,
    READ        => 65536,
};

# seconds after which an event goes out again
my @Pauses = (0.05, 0.1, 0.25);

my %again = map { $_ => 1 } 408, 429, 500 .. 599;


sub new {
    my ($class, %args) = @_;

    my $now = time;
    my $self = bless {
        told => sub { },
        rate => 800, connections => 32,
        sent => 0, taken => {}, refused => {}, statuses => {}, odd => [],
        map({ ($_ => 0) } qw(duplicates requests broken timeouts
                             unconnected outage slowest)),
        began => $now, by_fd => {}, poll => IO::Poll->new,
        oldest => 0,                    # since when one waits
        fresh => [],                    # numbers: not sent yet
        again => [],                    # to be sent again
        pausing => [map { [] } @Pauses],# [time, number], in order of time
        %args,
    }, $class;

    $self->{conns} = [map { { in => '', out => '', at => 0 } }
                      1 .. $self->{connections}];
    $self->{size} = $self->_size;

    return $self;
}


# Makes no more events; those that are not taken in `seconds` stay so.

sub end {
    my ($self, $seconds) = @_;

    $self->{ended} = 1;
    $self->{deadline} = time + $seconds;
}


# Whether all is taken, or there is no more time.

sub done {
    my ($self) = @_;

    return $self->{ended}
           && ($self->open_events == 0 || time > $self->{deadline});
}


# Events that have been made and are not settled.

sub open_events {
    my ($self) = @_;

    return $self->{sent} - keys(%{ $self->{taken} })
           - keys(%{ $self->{refused} });
}


# Sends what is due and reads what is there, waiting for a short time.

sub step {
    my ($self) = @_;

    local $SIG{PIPE} = 'IGNORE';

    $self->_produce(time);
    $self->_dispatch(time);

    my $told = $self->_transfer;

    $told += $self->_time_out(time);
    $self->{told}->($self) if $told;

    return 1;
}


# New events that are due, and those that have paused for long enough.

sub _produce {
    my ($self, $now) = @_;

    if (!$self->{ended}) {
        my $due = int(($now - $self->{began}) * $self->{rate});

        push @{ $self->{fresh} }, $self->{sent}++ while $self->{sent} < $due;
    }

    for my $list (@{ $self->{pausing} }) {
        push @{ $self->{again} }, shift(@$list)->[1]
            while @$list && $list->[0][0] <= $now;
    }

    $self->{oldest} = $now
        if !@{ $self->{fresh} } && !@{ $self->{again} };
}


# Gives requests to connections that are free.

sub _dispatch {
    my ($self, $now) = @_;
    my ($fresh, $again) = @$self{qw(fresh again)};

    for my $c (@{ $self->{conns} }) {
        next if $c->{events} || $c->{at} > $now;

        my $there = @$fresh + @$again;

        last if !$there || $there < $self->{size}
                           && $now - $self->{oldest} < LINGER;

        my @numbers;

        # old and new ones side by side

        for (1 .. min($there, $self->{size})) {
            my $list = !@$fresh ? $again : !@$again ? $fresh
                     : rand() < 0.7 ? $again : $fresh;

            push @numbers, shift @$list;
        }

        $self->{size} = $self->_size;
        $self->{oldest} = $now;
        $self->_send($c, \@numbers, $now);
    }
}


# How many events the next request has.

sub _size {
    return rand() < 0.65 ? 1 : rand() < 0.95 ? 2 + int rand 15
                                             : 50 + int rand 150;
}


sub _send {
    my ($self, $c, $numbers, $now) = @_;

    my $body = join ',', map { event($_)->{body} } @$numbers;

    # an array of one, too
    $body = "[$body]" if @$numbers > 1 || rand() < 0.2;

    $c->{events} = $numbers;
    $c->{since} = $now;
    $c->{in} = '';
    $c->{out} = "POST $self->{path} HTTP/1.1\r\nHost: localhost\r\n"
                . "User-Agent: Segment (Actions)\r\n"
                . "Content-Type: application/json\r\nContent-Length: "
                . length($body) . "\r\n\r\n$body";

    $self->{requests}++;

    $self->_connect($c) or return unless $c->{socket};
    $self->{poll}->mask($c->{socket} => POLLIN | POLLOUT);
}


sub _connect {
    my ($self, $c) = @_;

    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    $socket->blocking(0);
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

    if (!connect($socket, pack_sockaddr_in($self->{port},
                                           inet_aton('127.0.0.1')))
        && $! != EINPROGRESS)
    {
        $self->_lose($c, 'unconnected');
        return;
    }

    $c->{socket} = $socket;
    $c->{connecting} = 1;
    $self->{by_fd}{fileno $socket} = $c;

    return 1;
}


# Whatever sockets are ready for; how many answers and losses there were.

sub _transfer {
    my ($self) = @_;
    my ($poll, $told) = ($self->{poll}, 0);

    if (!keys %{ $self->{by_fd} }) {
        sleep 0.005;
        return 0;
    }

    $poll->poll(0.005);

    for my $socket ($poll->handles(POLLIN | POLLOUT | POLLERR | POLLHUP)) {
        my $c = $self->{by_fd}{fileno($socket) // next} or next;

        if (delete $c->{connecting}) {
            my $error = unpack 'i', getsockopt $socket, SOL_SOCKET, SO_ERROR;

            if ($error) {
                $self->_lose($c, 'unconnected');
                $told++;
                next;
            }
        }

        $self->_write($c) if length $c->{out};
        $told += $self->_read($c)
            if $poll->events($socket) & (POLLIN | POLLERR | POLLHUP);
    }

    return $told;
}


# An error shows when the answer is read, which may have come before it.

sub _write {
    my ($self, $c) = @_;

    my $n = syswrite $c->{socket}, $c->{out};

    if (defined $n) {
        substr $c->{out}, 0, $n, '';

    } elsif ($! != EAGAIN && $! != EINTR) {
        $c->{out} = '';
    }

    $self->{poll}->mask($c->{socket} => POLLIN
                                        | (length $c->{out} ? POLLOUT : 0));
}


sub _read {
    my ($self, $c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, READ, length $c->{in};

    return 0 if !defined $n && ($! == EAGAIN || $! == EINTR);

    # the end of a connection that nothing is asked of is no loss

    if (!$n) {
        if (!$c->{events}) {
            $self->_close($c);
            return 0;
        }

        $self->_lose($c, 'broken');
        return 1;
    }

    return 0 if !$c->{events};

    my $answer = Knock::Load::answer($c->{in}) or return 0;

    $self->_answered($c, $answer->{status}, $answer->{body});
    $self->_close($c) if $answer->{close};

    return 1;
}


sub _answered {
    my ($self, $c, $status, $body) = @_;

    my $now = time;
    my $numbers = delete $c->{events};

    $self->{statuses}{$status}++;
    $self->{slowest} = max($self->{slowest}, $now - $c->{since});

    if ($status == 200) {
        $self->_note_outage($now);
        $self->{taken}{$_} = 1 for @$numbers;
        $self->_count($body, scalar @$numbers);

    } elsif ($again{$status}) {
        $self->_send_again($numbers, $now);

    } else {
        $self->{refused}{$_} = $status for @$numbers;
    }
}


sub _note_outage {
    my ($self, $now) = @_;

    $self->{outage} = max($self->{outage}, $now - $self->{last_200})
        if $self->{last_200};
    $self->{last_200} = $now;
}


# What an answer of 200 says must be that all is well.

sub _count {
    my ($self, $body, $n) = @_;

    my ($accepted, $duplicates, $rest) = $body =~
        /^\{"accepted":(\d+),"duplicates":(\d+),(.*)\}$/;

    $self->{duplicates} += $duplicates // 0;

    push @{ $self->{odd} }, $body
        if @{ $self->{odd} } < 10
           && (!defined $rest || $accepted + $duplicates != $n
               || $rest !~ /^"ignored":0,"runs":\d+,"errors":\[\]$/);
}


sub _send_again {
    my ($self, $numbers, $now) = @_;
    my $which = int rand @Pauses;

    push @{ $self->{pausing}[$which] },
         map { [$now + $Pauses[$which], $_] } @$numbers;
}


# What is under way has had no answer: nobody knows what became of it.

sub _lose {
    my ($self, $c, $how) = @_;

    $self->{$how}++;
    $self->_close($c);
    $c->{at} = time + RECONNECT if $how eq 'unconnected';
    $self->_send_again(delete $c->{events}, time) if $c->{events};
}


sub _time_out {
    my ($self, $now) = @_;
    my $n = 0;

    for my $c (@{ $self->{conns} }) {
        next unless $c->{events} && $now - $c->{since} > ANSWER_TIME;

        $self->_lose($c, 'timeouts');
        $n++;
    }

    return $n;
}


sub _close {
    my ($self, $c) = @_;

    my $socket = delete $c->{socket} or return;

    $c->{out} = '';
    delete $c->{connecting};
    delete $self->{by_fd}{fileno $socket};
    $self->{poll}->remove($socket);
    close $socket;
}

1;
