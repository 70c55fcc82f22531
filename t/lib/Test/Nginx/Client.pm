package Test::Nginx::Client;

# Sends one request over one connection and reads what comes back until the
# server closes it or is silent for too long.

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use Test::Nginx::Util qw($ServerAddr $ServerPortForClient);

our @EXPORT_OK = qw(send_request);


# send_request($block, \@packets, $timeout): returns the octets received and,
# where something went wrong that fails the test by itself, a sentence on it.
# Written and read at once, as nginx may answer before it has the whole body.
sub send_request {
    my ($block, $packets, $timeout) = @_;

    my $addr = $block->server_addr_for_client // $ServerAddr;
    my $sock = _connect($addr, $timeout)
        or return (undef, $block->name
            . " - Can't connect to $addr:$ServerPortForClient: $!");

    local $SIG{PIPE} = 'IGNORE';
    $sock->blocking(0);

    my $conn = {
        block   => $block,
        sock    => $sock,
        packets => [@$packets],
        unsent  => undef,
        resp    => '',
    };

    _next_packet($conn);

    while ($conn->{sock}) {
        my ($readable, $writable) = IO::Select->select(
            IO::Select->new($sock),
            defined $conn->{unsent} ? IO::Select->new($sock) : undef,
            undef, $timeout);

        if (!$readable) {
            next if $!{EINTR};
            return ($conn->{resp}, _timed_out($conn));
        }

        _read($conn) if @$readable;
        _write($conn) if @$writable && $conn->{sock};
    }

    return ($conn->{resp}, undef);
}


# nginx listens before its start command returns, so a refusal is final but for
# a server that is being replaced right now.
sub _connect {
    my ($addr, $timeout) = @_;

    my $end = time + 1;

    while (1) {
        my $sock = IO::Socket::INET->new(
            PeerAddr => $addr,
            PeerPort => $ServerPortForClient,
            Proto    => 'tcp',
            Timeout  => $timeout,
        );

        return $sock if $sock || time > $end;
        sleep 0.05;
    }
}


sub _timed_out {
    my ($conn) = @_;

    close $conn->{sock};

    if (defined $conn->{block}->abort) {
        sleep 0.005;
        return undef;
    }

    return 'ERROR: client socket timed out - ' . $conn->{block}->name;
}


sub _read {
    my ($conn) = @_;

    while (1) {
        my $got = sysread $conn->{sock}, my $buf, 16384;

        if ($got) {
            $conn->{resp} .= $buf;
            next;
        }

        if (!defined $got) {
            return if $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
            warn 'WARNING: ' . $conn->{block}->name
                . " - HTTP response read failure: $!\n";
        }

        return _close($conn);
    }
}


# The eval is for characters above 255, which can't be sent.
sub _write {
    my ($conn) = @_;

    my $sent = eval { syswrite $conn->{sock}, $conn->{unsent} };

    if (!defined $sent) {
        return if !$@ && ($!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR});

        my $error = 'write failed: ' . ($@ || $!);
        warn "$error\n";
        $conn->{resp} = $error if $@ || $conn->{resp} eq '';
        return _close($conn);
    }

    substr $conn->{unsent}, 0, $sent, '';
    _next_packet($conn) if $conn->{unsent} eq '';
    return;
}


# Puts the next packet up for sending, after its delay; after the last one the
# connection is shut down for writing if the block has "shutdown".
sub _next_packet {
    my ($conn) = @_;

    my $block    = $conn->{block};
    my $is_first = !defined $conn->{unsent};

    while (my $packet = shift @{ $conn->{packets} }) {
        my $delay
            = $packet->{delay_before} // $block->raw_request_middle_delay;
        sleep $delay if $delay && !$is_first;

        $conn->{unsent} = $packet->{value} // '';
        return if $conn->{unsent} ne '';
        $is_first = 0;
    }

    undef $conn->{unsent};

    my $how = $block->shutdown;
    shutdown $conn->{sock}, $how eq '' ? 1 : $how if defined $how;
    return;
}


sub _close {
    my ($conn) = @_;

    close $conn->{sock};
    undef $conn->{sock};
    return;
}


1;
