package Knock::H2;

# An HTTP/2 client for the tests, without TLS: frames are made one by one, so
# that several can go out in one packet, and streams end in mid-body.
#
#   my $h2 = Knock::H2->new($nginx->port);
#   $h2->send(headers(1, '/in/dev'), data(1, '{"type":'), reset_stream(1));
#   my $answer = $h2->answer(3);             # { status, body }

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

our @EXPORT = qw(headers data reset_stream frame);

use constant {
    TIMEOUT => 60,

    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
    GOAWAY => 7,

    END_STREAM => 1, ACK => 1, END_HEADERS => 4,
};

# of HPACK's static table
my %status = (0x88 => 200, 0x89 => 204, 0x8a => 206, 0x8b => 304, 0x8c => 400,
              0x8d => 404, 0x8e => 500);


sub new {
    my ($class, $port) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $port)
        or die "cannot connect to port $port: $!\n";

    binmode $socket;

    my $self = bless { socket => $socket, buffer => '', streams => {} },
               $class;

    $self->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(SETTINGS, 0, 0, ''));

    return $self;
}


# Octets in one write.

sub send {
    my ($self, @frames) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $text = join '', @frames;
    my $n = syswrite $self->{socket}, $text;

    die "sending: $!\n" unless defined $n && $n == length $text;
}


# The answer on a stream; its status is 0 if the server reset the stream.

sub answer {
    my ($self, $stream) = @_;

    until ($self->{streams}{$stream}{done}) {
        $self->_read_frame;
    }

    return delete $self->{streams}{$stream};
}


# Whether an answer on a stream has begun by now.

sub begun {
    my ($self, $stream) = @_;

    $self->_read_frame
        while length $self->{buffer}
              || IO::Select->new($self->{socket})->can_read(0);

    return exists $self->{streams}{$stream};
}


# Makes sure that the server has come this far: asks for an answer to a ping.

sub sync {
    my ($self) = @_;

    $self->{pong} = 0;
    $self->send(frame(PING, 0, 0, 'whatever'));
    $self->_read_frame until $self->{pong};
}


sub close {
    my ($self) = @_;

    CORE::close delete $self->{socket} if $self->{socket};
}


sub reset {
    my ($self) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->close;
}


sub _read_frame {
    my ($self) = @_;

    $self->_fill while length $self->{buffer} < 9;

    my ($high, $low, $type, $flags, $stream)
        = unpack 'CnCCN', $self->{buffer};
    my $length = $high << 16 | $low;

    $self->_fill while length $self->{buffer} < 9 + $length;

    substr $self->{buffer}, 0, 9, '';

    my $payload = substr $self->{buffer}, 0, $length, '';

    if ($type == SETTINGS) {
        $self->send(frame(SETTINGS, ACK, 0, '')) unless $flags & ACK;

    } elsif ($type == PING) {
        $self->{pong} = 1;

    } elsif ($type == GOAWAY) {
        $self->{goaway} = 1;

    } elsif ($type == HEADERS || $type == DATA || $type == RST_STREAM) {
        my $s = $self->{streams}{$stream} //= { status => 0, body => '' };

        $s->{status} = _status($payload) if $type == HEADERS;
        $s->{body} .= $payload if $type == DATA;
        $s->{reset} = 1 if $type == RST_STREAM;
        $s->{done} = 1 if $type == RST_STREAM || $flags & END_STREAM;
    }
}


sub _status {
    my ($block) = @_;

    my $first = ord $block;

    return $status{$first} if $status{$first};
    return $1 if $block =~ /\A[\x08\x48]\x03(\d\d\d)/;

    die 'a header block that begins with ', unpack('H8', $block), "\n";
}


sub _fill {
    my ($self) = @_;

    die "no frame within @{[TIMEOUT]} s\n"
        unless IO::Select->new($self->{socket})->can_read(TIMEOUT);

    my $n = sysread $self->{socket}, $self->{buffer}, 65536,
                    length $self->{buffer};

    die "the server closed the connection\n" unless $n;
}


# ---------------------------------------------------------------------------
# exported: frames
# ---------------------------------------------------------------------------

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return pack('CnCCN', 0, length $payload, $type, $flags, $stream) . $payload;
}


# A request to POST; with `method`, another one, and with more headers.

sub headers {
    my ($stream, $path, %more) = @_;

    my $method = delete $more{method} // 'POST';
    my $end = delete $more{end} ? END_STREAM : 0;
    my @fields = (':method', $method, ':scheme', 'http', ':path', $path,
                  ':authority', 'localhost', %more);
    my $block = '';

    # literals without indexing

    while (my ($name, $value) = splice @fields, 0, 2) {
        $block .= pack 'CC/aC/a', 0, $name, $value;
    }

    return frame(HEADERS, END_HEADERS | $end, $stream, $block);
}


# A part of a body, with `end` the last one.

sub data {
    my ($stream, $octets, $end) = @_;

    return frame(DATA, $end ? END_STREAM : 0, $stream, $octets);
}


sub reset_stream { return frame(RST_STREAM, 0, $_[0], pack 'N', 8) }

1;
