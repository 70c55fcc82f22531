package Knock::Http;

# An HTTP/1.1 client for the tests: blocking, with a time limit, and exact
# about what goes over the wire.  One connection is kept for as long as the
# server keeps it.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

use constant TIMEOUT => 30;


# A client of the server at 127.0.0.1:port, or at the path of a unix socket.
# Connects with the first request.

sub new {
    my ($class, $port) = @_;

    return bless { port => $port, buffer => '' }, $class;
}


# Sends one request and gives its answer, { status, headers, body }: headers
# by lower-case name, `raw` has the head as it came.  An undefined body sends
# no Content-Length.  Given headers come after Host; with Transfer-Encoding or
# Content-Length among them the body goes out as it is.

sub request {
    my ($self, $method, $path, $body, @headers) = @_;

    my %given = map { lc $_ => 1 } @headers[grep { $_ % 2 == 0 } 0 .. $#headers];
    my $text = "$method $path HTTP/1.1\r\n";

    $text .= "Host: localhost\r\n" unless $given{host};

    for (my $i = 0; $i < @headers; $i += 2) {
        $text .= "$headers[$i]: $headers[$i + 1]\r\n";
    }

    if (defined $body) {
        utf8::encode($body) if utf8::is_utf8($body);

        $text .= 'Content-Length: ' . length($body) . "\r\n"
            unless $given{'content-length'} || $given{'transfer-encoding'};
    }

    $text .= "\r\n" . ($body // '');

    # the server may have closed the connection since the last answer, which
    # shows only when it is used

    my $kept = $self->{socket};

    for (1 .. 2) {
        my $answer = eval {
            $self->send($text);
            $self->answer($method);
        };

        return $answer if $answer;
        $self->close;
        die $@ unless $kept && $@ =~ /closed|Broken pipe|reset/;
        undef $kept;
    }

    die "no answer: $@";
}


sub get { my $self = shift; return $self->request('GET', $_[0], undef, @_[1 .. $#_]) }

sub post { my $self = shift; return $self->request('POST', @_) }


# Sends octets as they are.

sub send {
    my ($self, $text) = @_;

    my $socket = $self->_connect;
    my $end = time + TIMEOUT;
    my $sent = 0;

    local $SIG{PIPE} = 'IGNORE';

    while ($sent < length $text) {
        my $left = $end - time;

        die "the server at port $self->{port} does not read\n"
            if $left <= 0 || !IO::Select->new($socket)->can_write($left);

        my $n = syswrite $socket, $text, 65536, $sent;

        # a refusal may come, and the connection go, in mid-body
        last if !defined $n && ($!{EPIPE} || $!{ECONNRESET});
        die "sending: $!\n" unless defined $n;

        $sent += $n;
    }
}


# Reads the next answer; dies if there is none.  `100 Continue` is skipped,
# and counted in the answer's `continue`.

sub answer {
    my ($self, $method) = @_;
    my $continue = 0;
    my $head;

    while (1) {
        $self->_fill until $self->{buffer} =~ /\r\n\r\n/;
        ($head, $self->{buffer}) = split /\r\n\r\n/, $self->{buffer}, 2;
        last unless $head =~ m{^HTTP/1\.\d 100};
        $continue++;
    }

    my ($line, @lines) = split /\r\n/, $head;
    my ($status) = $line =~ m{^HTTP/1\.\d (\d+)} or die "no HTTP: $line\n";
    my %headers;

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*)$/ or die "no header: $_\n";
        $headers{lc $name} = $value;
    }

    my $body = '';

    if (($method // '') eq 'HEAD' || $status == 204 || $status == 304) {
        # none

    } elsif (defined(my $length = $headers{'content-length'})) {
        $self->_fill while length $self->{buffer} < $length;
        $body = substr $self->{buffer}, 0, $length, '';

    } elsif (lc($headers{'transfer-encoding'} // '') eq 'chunked') {
        while (1) {
            $self->_fill until $self->{buffer} =~ /^([0-9a-fA-F]+)\r\n/;
            my $size = hex $1;

            $self->_fill while length $self->{buffer}
                               < length($1) + 2 + $size + 2;
            $body .= substr $self->{buffer}, length($1) + 2, $size;
            substr $self->{buffer}, 0, length($1) + 2 + $size + 2, '';
            last if $size == 0;
        }

    } else {
        $body = $self->rest;
    }

    $self->close if lc($headers{connection} // '') eq 'close';

    return { status => $status, headers => \%headers, body => $body,
             raw => $head, continue => $continue };
}


# All that comes until the server closes the connection.

sub rest {
    my ($self) = @_;

    1 while eval { $self->_fill; 1 };
    die $@ if $@ && $@ !~ /closed/;

    my $rest = $self->{buffer};

    $self->close;

    return $rest;
}


# Whether nothing comes within `seconds`: neither octets nor the end.

sub silent {
    my ($self, $seconds) = @_;

    return !length $self->{buffer} && $self->{socket}
           && !IO::Select->new($self->{socket})->can_read($seconds);
}


sub close {
    my ($self) = @_;

    CORE::close delete $self->{socket} if $self->{socket};
    $self->{buffer} = '';
}


# Ends the sending side: the server reads an end, and may still answer.

sub half_close { shutdown $_[0]{socket}, 1 }


# Ends the connection with a reset instead of an orderly close.

sub reset {
    my ($self) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->close;
}


sub _connect {
    my ($self) = @_;

    return $self->{socket} if $self->{socket};

    my $port = $self->{port};

    $self->{buffer} = '';
    $self->{socket} = $port =~ m{/}
        ? IO::Socket::UNIX->new(Peer => $port)
        : IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);

    $self->{socket} or die "cannot connect to port $port: $!\n";

    binmode $self->{socket};

    return $self->{socket};
}


sub _fill {
    my ($self) = @_;

    die "the server closed the connection\n" unless $self->{socket};
    die "no answer within @{[TIMEOUT]} s\n"
        unless IO::Select->new($self->{socket})->can_read(TIMEOUT);

    my $n = sysread $self->{socket}, $self->{buffer}, 65536,
                    length $self->{buffer};

    die "the server closed the connection" . (defined $n ? '' : ": $!") . "\n"
        unless $n;
}

1;
