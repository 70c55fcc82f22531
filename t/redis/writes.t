# A command that is larger than the socket's buffers, and a slow reader.

use strict;
use warnings;

use Digest::SHA qw(sha1_hex);
use Test::More;

use Knock::Figures;
use Knock::HeldRedis;

my $action = '{"key":"a","source":"segment","event":"track/Large",'
             . '"type":"workflows_trigger","workflow":"w",'
             . '"recipients":"properties.to"}';
my $events = 2000;

# each event has a run of four kilobytes, which says who it is

sub event {
    my ($n) = @_;

    return track('Large', properties => qq({"to":[{"id":"u$n"}],"x":")
                                        . "$n." x (3600 / length "$n.")
                                        . '"}');
}

my $body = '[' . join(',', map { event($_) } 1 .. $events) . ']';

slow_reader('a unix socket');
slow_reader('TCP');
gone_in_mid_write('TCP', $_) for qw(close reset);
reply_in_mid_write();
no_reply_in_time();

done_testing;


sub start {
    my ($where, $params) = @_;

    my $fake = Knock::HeldRedis->new(
        unix => $where ne 'TCP', rcvbuf => 65536,
        live => { workflows => ['w'], actions => ['a', $action] });

    my $nginx = $fake->nginx(params => $params // '',
                             http => "client_max_body_size 16m;\n");

    return $fake, $nginx, $nginx->new_client;
}


# Fills the way to Redis, so that a part of the command is left in nginx.

sub fill {
    my ($fake, $http) = @_;
    my ($conn) = $fake->open_conns;

    $conn->{deaf} = 1;
    $http->send(post('/in/dev', $body));

    $fake->run_until('the command to begin', sub {
        vec(my $bits = '', fileno $conn->{socket}, 1) = 1;
        return select($bits, undef, undef, 0) > 0;
    });

    return $conn;
}


sub slow_reader {
    my ($where) = @_;
    my ($fake, $nginx, $http) = start($where);

    cmp_ok length $body, '>', 7_000_000, "$where: the batch has " . length $body;

    my $conn = fill($fake, $http);
    my $before = $conn->{octets};
    my $second = $nginx->new_client;

    $second->send(post('/in/dev', full('Small')));

    # in small bites, until the large one is there

    my $bites = 0;

    $fake->run_until('the command', sub {
        for (1 .. 64) {
            $fake->take($conn, 1000 + $bites++ % 7000);
            last if @{ $fake->{calls} };
        }

        return @{ $fake->{calls} };
    });

    my $call = $fake->call;

    cmp_ok length $call->{raw}, '>', 8_000_000,
           "$where: a command of " . length $call->{raw};
    cmp_ok $bites, '>', 1000, "$where: in $bites bites";

    my @runs = map { @{ $_->{runs} } } map { @{ $_->{events} } } units($call);
    my @wrong = grep { index($runs[$_ - 1], event($_) =~ /("x":"[^"]*")/ ? $1
                                                                   : die) < 0 }
                1 .. $events;

    is_deeply \@wrong, [], "$where: whole and in order";

    $conn->{deaf} = 0;

    my $next = $fake->call;

    is_deeply [names($next)], ['track/Small'],
              "$where: what came meanwhile is behind it";

    $fake->reply($call, applied($call, 'p', $events));
    $fake->reply($next, applied($next, 'p'));

    like $fake->answer($http)->{body},
         qr/^\{"accepted":$events,.*"runs":$events,/, "$where: answered";
    like $fake->answer($second)->{body}, qr/^\{"accepted":128,/,
         "$where: and so is the other one";
    is_deeply [$nginx->complaints], [], "$where: no complaints in the log";
}


sub gone_in_mid_write {
    my ($where, $how) = @_;
    my ($fake, $nginx, $http) = start($where);
    my $figures = Knock::Figures->started($nginx, $fake);
    my $conn = fill($fake, $http);

    $fake->take($conn, 100_000);
    $fake->$how($conn);

    ok unavailable($fake->answer($http)), "$how in mid-write: 503";

    served($fake, $http, "$how in mid-write");
    $figures->is_quiet("$how in mid-write", requests => { 200 => 1, 503 => 1 },
                       redis_lost => 1);
    is_deeply [$nginx->complaints], [], "$how in mid-write: no complaints";
}


# There can be no reply to what has not been sent to its end.

sub reply_in_mid_write {
    my ($fake, $nginx, $http) = start('TCP');
    my $figures = Knock::Figures->started($nginx, $fake);
    my $conn = fill($fake, $http);

    $fake->write($conn, array(array(bulk('ok'), bulk('p' x $events), ":0\r\n")));

    ok unavailable($fake->answer($http)), 'a reply in mid-write: 503';
    like $nginx->log_text, qr/a reply came that was not asked for/,
         'a reply in mid-write: logged';

    served($fake, $http, 'a reply in mid-write');
    $figures->is_quiet('a reply in mid-write', requests => { 200 => 1, 503 => 1 },
                       redis_lost => 1);
    is_deeply [$nginx->complaints], [], 'a reply in mid-write: no complaints';
}


sub no_reply_in_time {
    my ($fake, $nginx, $http) = start('TCP', 'timeout=500ms');
    my $figures = Knock::Figures->started($nginx, $fake);
    my $conn = fill($fake, $http);

    ok unavailable($fake->answer($http)), 'nobody reads: 503 in time';
    like $nginx->log_text, qr/no reply within 500ms/,
         'nobody reads: logged';

    served($fake, $http, 'nobody reads');
    $figures->is_quiet('nobody reads', requests => { 200 => 1, 503 => 1 },
                       redis_lost => 1);
    is_deeply [$nginx->complaints], [], 'nobody reads: no complaints';
}


sub served {
    my ($fake, $http, $what) = @_;

    $_->{deaf} = 0 for @{ $fake->{conns} };
    $fake->{serve} = 1;

    $fake->run_until('another connection', sub {
        grep { $_->{n} > 0 && $_->{named} } $fake->open_conns;
    });

    is $fake->ask($http, post('/in/dev', track('Small')))->{status}, 200,
       "$what: the next request is served";
}
