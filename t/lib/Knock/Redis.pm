package Knock::Redis;

# A Redis client for the tests: blocking, one command at a time, binary safe.

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;


# Connects to a unix socket (a path) or to "host:port"; dies if it cannot.

sub new {
    my ($class, $address) = @_;

    my $socket = $address =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $address)
        : IO::Socket::INET->new(PeerAddr => $address);

    die "cannot connect to Redis at $address: $!\n" unless $socket;

    binmode $socket;

    return bless { socket => $socket, address => $address }, $class;
}


# Sends one command and gives its reply: a string, a number, undef for nil, an
# array reference.  An error reply dies with its text.

sub command {
    my ($self, @args) = @_;

    my $text = '*' . @args . "\r\n";

    for my $arg (@args) {
        utf8::encode($arg) if utf8::is_utf8($arg);
        $text .= '$' . length($arg) . "\r\n$arg\r\n";
    }

    my $socket = $self->{socket};

    print {$socket} $text or die "Redis at $self->{address}: $!\n";
    $socket->flush;

    my $reply = $self->_reply;

    die "$$reply\n" if ref $reply eq 'SCALAR';

    return $reply;
}


sub _reply {
    my ($self) = @_;

    my $line = readline($self->{socket})
        // die "Redis at $self->{address} closed the connection\n";

    $line =~ s/\r\n\z//;

    my $type = substr $line, 0, 1, '';

    return $line       if $type eq '+' || $type eq ':';
    return \"$line"    if $type eq '-';

    if ($type eq '$') {
        return undef if $line < 0;

        my $got = read $self->{socket}, my $data, $line + 2;
        die "Redis at $self->{address}: reply cut short\n"
            unless defined $got && $got == $line + 2;

        return substr $data, 0, $line;
    }

    if ($type eq '*') {
        return undef if $line < 0;
        return [ map { my $r = $self->_reply; $r } 1 .. $line ];
    }

    die "Redis at $self->{address}: unknown reply type $type\n";
}

1;
