# A client that sends its body slowly, or does not read its answer, costs a
# connection and what it has sent or has yet to read, and no more: others are
# answered meanwhile, and it takes no place of those in flight.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF pack_sockaddr_in inet_aton);
use Test::More;

use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant {
    CLIENTS => 200,
    BODY    => 1_000_000,
    BAD     => 4000,            # events in error, each a line of the answer
};

# under ASan memory grows by design
my $asan = $ENV{ASAN_OPTIONS};

my $server = "$Knock::Nginx::Webhook location = /metrics { knock_metrics; }";
my $good = '{"type":"track","event":"T","properties":{"recipients":[{"id":"u1"}]}}';

slow_bodies();
slow_readers();

done_testing();


sub start {
    my (%conf) = @_;

    redis('FLUSHALL');
    seed("endpoint development segment token=dev\n"
         . "workflow development new-comment\n"
         . 'action development ' . live_action() . "\n");

    my $nginx = Knock::Nginx->start(
        redis => redis_server(), server => $server,
        events => 'worker_connections 1024;', %conf,
        http => 'client_max_body_size 16m; knock_max_in_flight 2;');

    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    return $nginx;
}


sub head {
    my ($length) = @_;

    return "POST /in/dev HTTP/1.1\r\nHost: h\r\nContent-Length: $length\r\n\r\n";
}


sub in_flight {
    my ($nginx) = @_;

    return $nginx->new_client->get('/metrics')->{body}
           =~ /^knock_in_flight (\d+)$/m ? $1 : undef;
}


sub rss {
    my ($nginx) = @_;
    my ($worker) = $nginx->workers;

    open my $in, '<', "/proc/$worker/status" or die "worker $worker: $!\n";
    my ($kb) = map { /^VmRSS:\s+(\d+) kB/ ? $1 : () } <$in>;

    return $kb;
}


# Others are served while so many hold their connections.

sub others_are_served {
    my ($nginx, $title) = @_;
    my %got;

    $got{ $nginx->post('/in/dev', $good)->{status} }++ for 1 .. 100;
    is_deeply \%got, { 200 => 100 }, "$title: others are answered";
    is in_flight($nginx), 0, "$title: none of them is in flight";
}


# `most` is in kB for each client.

sub is_bounded {
    my ($nginx, $before, $most, $title) = @_;

    my $each = (rss($nginx) - $before) / CLIENTS;

    note sprintf '%s: %.1f kB a client', $title, $each;

  SKIP: {
        skip 'with a sanitizer memory says nothing', 1 if $asan;
        cmp_ok $each, '<', $most, "$title: memory";
    }
}


# Half of each body comes, of which nginx keeps a buffer, and the rest in a
# file.

sub slow_bodies {
    my $nginx = start();
    my $before = rss($nginx);
    my $half = BODY / 2;
    my $body = '[' . $good . ' ' x (BODY - 2 - length $good) . ']';
    my @slow = map { $nginx->new_client } 1 .. CLIENTS;

    for my $client (@slow) {
        $client->send(head(BODY) . substr $body, 0, $half);
    }

    wait_for('nginx to read all', sub { temporary($nginx) == CLIENTS });

    others_are_served($nginx, 'slow bodies');
    is_bounded($nginx, $before, 64, 'slow bodies');

    # the rest makes them requests like any other

    my %got;

    for my $client (@slow) {
        $client->send(substr $body, $half);
        $got{ $client->answer->{status} }++;
    }

    is_deeply \%got, { 200 => CLIENTS }, 'slow bodies: each is answered';
    is redis('LLEN', 'knock:{development}:runs'), CLIENTS + 100,
       'slow bodies: all is applied';

    $_->close for @slow;
    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'slow bodies: nothing to complain about';
}


# Files that bodies are in.  They have no name: what nginx has open is looked
# at.

sub temporary {
    my ($nginx) = @_;
    my ($worker) = $nginx->workers;

    return scalar grep { (readlink // '') =~ m{/client_body/} }
                  glob "/proc/$worker/fd/*";
}


# Each answer is larger than what the sockets take.

sub slow_readers {
    my $nginx = start(listen => 'sndbuf=16k');
    my $bad = '[' . join(',', $good, ('0') x (BAD - 1)) . ']';
    my $answer = $nginx->post('/in/dev', $bad)->{body};
    my $before = rss($nginx);
    my @slow = map { reader($nginx, head(length $bad) . $bad) } 1 .. CLIENTS;

    my $size = length($answer) / 1024;

    note sprintf 'an answer has %.0f kB', $size;
    cmp_ok $size, '>', 256, 'an answer is larger than the buffers of sockets';

    is redis('LLEN', 'knock:{development}:runs'), CLIENTS + 1,
       'slow readers: all is applied';
    others_are_served($nginx, 'slow readers');
    is_bounded($nginx, $before, 3 * $size + 64, 'slow readers');

    # what they have not read is still there

    my $client = pop @slow;
    my $text = '';

    while (length $text < length $answer) {
        sysread $client, $text, 65536, length $text or last;
    }

    like $text, qr/\AHTTP\/1\.1 200 .*\r\n\r\n\Q$answer\E\z/s,
         'slow readers: the answer is whole';

    # what they held is there for those who come after them

    my $held = rss($nginx);

    close $_ for @slow;
    wait_for('the connections to go', sub { connections($nginx) < 10 });
    @slow = map { reader($nginx, head(length $bad) . $bad) } 1 .. CLIENTS;
    is_bounded($nginx, $held, $size / 2, 'as many once more');

    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'slow readers: nothing to complain about';
}


# A connection with a small receive buffer, over which the request has gone, and
# the answer has begun to come.

sub reader {
    my ($nginx, $text) = @_;

    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die "socket: $!\n";

    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die "SO_RCVBUF: $!\n";
    connect $socket, pack_sockaddr_in($nginx->port, inet_aton('127.0.0.1'))
        or die "connect: $!\n";

    while (length $text) {
        my $n = syswrite($socket, $text) // die "sending: $!\n";
        substr $text, 0, $n, '';
    }

    # the next one comes when this one is no longer in flight

    IO::Select->new($socket)->can_read(30) or die "no answer\n";

    return $socket;
}


sub connections {
    my ($nginx) = @_;
    my ($worker) = $nginx->workers;

    return scalar grep { (readlink // '') =~ /^socket:/ }
                  glob "/proc/$worker/fd/*";
}
