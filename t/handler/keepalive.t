# Several requests on a connection: pipelined, in order, each answered once.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;

my $fake = Knock::HeldRedis->new(unix => 1);
my $nginx = $fake->nginx(server => $Knock::Nginx::Webhook
                         . 'location = /plain { return 200 "plain\n"; }');

pipelined();
mixed();
not_in_line();
many_in_one_turn();

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub pipelined {
    my $http = $nginx->new_client;

    $http->send(join '', map { post('/in/dev', track("T$_")) } 1 .. 20);

    for my $n (1 .. 20) {
        my $call = $fake->call;

        is_deeply [events($call)], ["track/T$n"],
                  "pipelined: number $n, when its turn has come";
        $fake->reply($call, applied($call, $n % 2 ? 'p' : 'd'));
        like $fake->answer($http)->{body},
             $n % 2 ? qr/"accepted":1/ : qr/"duplicates":1/,
             "pipelined: number $n has its own answer";
    }

    ok $http->silent(0), 'and there are no more answers than requests';
}


# Those that are answered at once among those that wait.

sub mixed {
    my $http = $nginx->new_client;
    my $plain = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n";

    $fake->{serve} = 1;
    $http->send(join '', map {
        post('/in/dev', track('T')), $plain, post('/in/dev', '{"bad'),
        post('/in/unknown', track('T')), "DELETE /in/dev HTTP/1.1\r\nHost: x"
        . "\r\nContent-Length: 3\r\n\r\nxxx", post('/in/dev', ''),
    } 1 .. 10);

    is_deeply [map { $fake->answer($http)->{status} } 1 .. 60],
              [(200, 200, 400, 404, 405, 400) x 10],
              'all kinds of requests, in order';
    ok $http->silent(0), 'each answered once';

    # the last one closes

    $http->send(post('/in/dev', track('T'))
                . post('/in/dev', track('T'), Connection => 'close')
                . post('/in/dev', track('T')));
    is $fake->answer($http)->{status}, 200, 'one that stays';
    is $fake->answer($http)->{headers}{connection}, 'close', 'one that closes';

    # HTTP/1.0

    $http = $nginx->new_client;
    my $text = post('/in/dev', track('T')) =~ s{HTTP/1\.1}{HTTP/1.0}r;
    $http->send($text);
    my $answer = $fake->answer($http);
    is "$answer->{status} $answer->{headers}{connection}", '200 close',
       'HTTP/1.0';
    $fake->{serve} = 0;
}


# What needs no Redis is answered while others wait for it.

sub not_in_line {
    my ($first, $second) = map { $nginx->new_client } 1 .. 2;

    $first->send(post('/in/dev', track('T1')));

    my $call = $fake->call;

    is $fake->ask($second, post('/in/dev', 'x', 'Content-Type' => 'text/plain'))
       ->{status}, 415, 'what is refused by its head does not wait';
    is $fake->ask($second, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")->{body},
       "plain\n", 'nor does another location';
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($first)->{status}, 200, 'the one that waited';
}


sub many_in_one_turn {
    my @held;
    my @clients = map { $nginx->new_client } 1 .. 100;

    $fake->{live} = { version => 2, endpoints => ['segment/token', 'new'] };
    $fake->{auto} = sub {
        return if ($_[1]{args}[1] // '') ne 'knock_live' || @held;
        push @held, $_[1];
        return '';
    };

    for my $i (0 .. 99) {
        $clients[$i]->send(post('/in/new', track("T$i")));
        $fake->run_until('what is live to be asked', sub { @held });
    }

    $fake->wait_taken(@clients);
    $fake->reply($held[0], $fake->live);

    my (@events, $calls);

    while (@events < 100) {
        my $call = $fake->call;

        $calls++;
        push @events, events($call);
        $fake->reply($call, applied($call, 'p'));
    }

    is_deeply [sort @events], [sort map { "track/T$_" } 0 .. 99],
              'a hundred requests, each once';
    cmp_ok $calls, '<=', 4, "in $calls calls";
    is scalar(grep { $fake->answer($_)->{status} == 200 } @clients), 100,
       'and each is answered';
}
