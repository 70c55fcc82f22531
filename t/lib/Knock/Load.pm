package Knock::Load;

# Many requests over many kept connections at a time, for tests that watch
# what becomes of each:
#
#   my $load = Knock::Load->new(port => $port, connections => 32,
#                               answered => sub { my ($request, $answer) = @_ });
#   $load->run(\@queues);
#
# A queue is what one connection sends, one after the other: { path, body } and
# whatever else the caller wants to know of a request.  An answer is { status,
# body }.
#
# A server may close a kept connection between two requests, and the client may
# have sent the next one at that moment: such a request has had no answer, and
# goes out again over a new connection.  That and whatever else happens is
# counted in $load->{count}:
#
#   answers     answers that came
#   connects    connections made
#   asked       connections that the server asked to close with an answer
#   kept        kept connections that were closed in place of an answer
#   fresh       connections that were closed before their first answer
#   cut         connections that were closed in the middle of an answer
#   refused     connections that could not be made
#
# With `once` nothing goes out again: a queue ends there, and the requests that
# went out without an answer stand in $load->{open}, those that did not go out
# in $load->{unsent}.

use strict;
use warnings;

use Errno qw(EAGAIN EINPROGRESS EINTR);
use IO::Poll qw(POLLIN POLLOUT POLLERR POLLHUP);
use IO::Socket::INET;
use Socket qw(pack_sockaddr_in inet_aton TCP_NODELAY IPPROTO_TCP);
use Time::HiRes qw(time);

use constant SILENCE => 60;         # seconds without any answer


sub new {
    my ($class, %args) = @_;

    return bless { answered => sub { }, count => {}, open => [], unsent => [],
                   %args }, $class;
}


sub count { return $_[0]{count}{$_[1]} // 0 }


# Sends all queues and returns when all is answered or given up.

sub run {
    my ($self, $queues) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my @connections = map { { queue => [@$_], in => '' } } @$queues;
    my $poll = $self->{poll} = IO::Poll->new;
    my $last = time;

    $self->{by_fd} = {};
    $self->_next($_) for @connections;

    while (keys %{ $self->{by_fd} }) {
        $poll->poll(1);

        die "no answer for @{[SILENCE]} seconds\n" if time - $last > SILENCE;

        for my $socket ($poll->handles(POLLIN | POLLOUT | POLLERR | POLLHUP)) {
            my $c = $self->{by_fd}{fileno $socket} or next;

            $self->_write($c) if length $c->{out};
            $last = time if $self->_read($c);
        }
    }
}


# The connection's next request, if there is one.

sub _next {
    my ($self, $c) = @_;

    $c->{request} = shift @{ $c->{queue} };

    return $self->_close($c) unless $c->{request};

    $self->_send($c);
}


sub _send {
    my ($self, $c) = @_;
    my $request = $c->{request};

    $c->{in} = '';
    $c->{out} = "POST $request->{path} HTTP/1.1\r\nHost: localhost\r\n"
                . "Content-Type: application/json\r\nContent-Length: "
                . length($request->{body}) . "\r\n\r\n" . $request->{body};

    $self->_connect($c) or return unless $c->{socket};
    $self->_write($c);
}


sub _connect {
    my ($self, $c) = @_;

    my $socket = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0)
        or die "socket: $!\n";

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

    if (!connect($socket, pack_sockaddr_in($self->{port},
                                           inet_aton('127.0.0.1')))
        && $! != EINPROGRESS)
    {
        $self->_lost($c, 'refused');
        return;
    }

    $self->{count}{connects}++;
    $c->{socket} = $socket;
    $c->{answers} = 0;
    $c->{refused} = 0;
    $self->{by_fd}{fileno $socket} = $c;
    $self->{poll}->mask($socket => POLLIN | POLLOUT);

    return 1;
}


# An error shows when the answer is read, which may have come before it.

sub _write {
    my ($self, $c) = @_;

    my $n = syswrite $c->{socket}, $c->{out};

    if (defined $n) {
        substr $c->{out}, 0, $n, '';

    } elsif ($! != EAGAIN && $! != EINTR) {
        $c->{out} = '';
        $c->{refused} = $!{ECONNREFUSED};
    }

    $self->{poll}->mask($c->{socket} => POLLIN | (length $c->{out} ? POLLOUT : 0));
}


# Reads what is there; true if an answer is complete.

sub _read {
    my ($self, $c) = @_;

    my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};

    if (!defined $n && ($! == EAGAIN || $! == EINTR)) {
        return;
    }

    if (!$n) {
        my $refused = $c->{refused} || (!defined $n && $!{ECONNREFUSED});

        $self->_lost($c, $refused ? 'refused' : length $c->{in} ? 'cut'
                         : $c->{answers} ? 'kept' : 'fresh');
        return;
    }

    my $answer = answer($c->{in}) or return;

    $self->{count}{answers}++;
    $c->{answers}++;

    # before the next request goes out
    my $request = $c->{request};

    if (delete $answer->{close}) {
        $self->{count}{asked}++;
        $self->_close($c);
    }

    $self->{answered}->($request, $answer);
    $self->_next($c);

    return 1;
}


# The answer that a text begins with, if it is complete: { status, body, close },
# the last of which says that the connection ends with it.

sub answer {
    my ($text) = @_;

    my $end = index $text, "\r\n\r\n";
    return if $end < 0;

    my $head = substr $text, 0, $end;
    my ($status) = $head =~ m{^HTTP/1\.1 (\d+)} or die "no HTTP: $head\n";
    my ($length) = $head =~ /^Content-Length: (\d+)/mi
        or die "an answer without a length: $head\n";

    return if length $text < $end + 4 + $length;

    return { status => $status, body => substr($text, $end + 4, $length),
             close => scalar $head =~ /^Connection: close/mi };
}


sub _lost {
    my ($self, $c, $how) = @_;

    $self->{count}{$how}++;
    $self->_close($c);

    if ($self->{once}) {
        push @{ $self->{$how eq 'refused' ? 'unsent' : 'open'} }, $c->{request};
        push @{ $self->{unsent} }, @{ $c->{queue} };
        return;
    }

    die "cannot connect to port $self->{port}\n" if $how eq 'refused';

    $self->_send($c);
}


sub _close {
    my ($self, $c) = @_;

    my $socket = delete $c->{socket} or return;

    delete $self->{by_fd}{fileno $socket};
    $self->{poll}->remove($socket);
    close $socket;
}

1;
