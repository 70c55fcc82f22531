# Connections that are reset before their answer is written: with Redis there,
# stopped and away, for each handler, and each way in which an answer may be
# given inside nginx's own call of it.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;

use Knock::Figures;
use Knock::H2;
use Knock::HeldRedis;
use Knock::Server qw(start_redis stop_process free_port connect_redis wait_for
                     configure);

use constant CLIENTS => 12;
use constant KEY => 'a key for the tests';

# what is freed is overwritten, in the workers too

$ENV{MALLOC_PERTURB_} = 165;

my @key = (authorization => 'Bearer ' . KEY);
my %requests = requests();
my $redis = start_redis();

# a short time limit, so that Redis is found away soon

my ($nginx, $h2_port) = start("unix:$redis->{socket} timeout=300ms "
                              . 'reconnect=50ms reconnect_max=50ms');
my $figures = Knock::Figures->new($nginx);
my ($worker) = $nginx->workers;

configure(connect_redis($redis));
wait_for('Redis to be there', sub {
    $nginx->post('/in/dev', track('T'))->{status} == 200
});

like $nginx->get('/added')->{body}, qr/\Apage\n.*^knock_redis_up 1$/ms,
     'a subrequest that Redis is asked for';
reset_by_all('there');
reset_while_waiting();

kill 'STOP', $redis->{pid};
reset_by_all('stopped');
kill 'CONT', $redis->{pid};

stop_process($redis->{pid});
wait_for('Redis to be missed', sub { $nginx->log_text =~ /is away/ });
reset_by_all('away');
counted_once();

start_redis(%$redis);
configure(connect_redis($redis));
wait_for('Redis to be back', sub {
    $nginx->post('/in/dev', track('T'))->{status} == 200
});
$figures->is_quiet('Redis is back');

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub start {
    my ($where) = @_;

    my $port = free_port();
    my $keys = File::Temp->new;

    print {$keys} sha256_hex(KEY), "\n";
    close $keys;
    chmod 0644, $keys->filename;

    my $server = <<"_EOC_";
$Knock::Nginx::Webhook
location /v1/ { knock_api; knock_api_keys @{[$keys->filename]}; }
location = /metrics { knock_metrics; }
location = /plain { return 200 "plain\\n"; }
location = /page { internal; return 200 "a page\\n"; }
location = /paged/dev { error_page 503 404 415 = /page; knock_webhook dev; }
location = /copied/dev { mirror /in/copy; knock_webhook dev; }
location = /added { default_type text/html; add_after_body /metrics;
                    return 200 "page\\n"; }
_EOC_

    my $nginx = Knock::Nginx->start(
        http => "knock_redis $where; client_body_buffer_size 1k;\n"
                . "server { listen 127.0.0.1:$port http2; $server }\n",
        server => $server);

    return $nginx, $port;
}


# By what they are: method, path, body, headers.

sub requests {
    my $event = track('T');

    return (
        'an event'           => ['POST', '/in/dev', $event],
        'an unknown token'   => ['POST', '/in/unknown', $event],
        'no JSON'            => ['POST', '/in/dev', '{"bad'],
        'an empty body'      => ['POST', '/in/dev', ''],
        'a body in a file'   => ['POST', '/in/dev', ' ' x 4000 . $event],
        'a wrong type'       => ['POST', '/in/dev', $event,
                                 'content-type' => 'text/plain'],
        'a wrong method'     => ['DELETE', '/in/dev', 'x'],
        'a mirrored event'   => ['POST', '/copied/dev', $event],
        'an error page'      => ['POST', '/paged/dev', $event],
        'metrics'            => ['GET', '/metrics'],
        'metrics, by POST'   => ['POST', '/metrics', 'x'],
        'a call, no key'     => ['GET', '/v1/sources'],
        'a call, 200'        => ['GET', '/v1/sources', undef, @key],
        'a call, 404'        => ['GET', '/v1/nothing', undef, @key],
        'a call, 405'        => ['POST', '/v1/sources/s', '{}', @key],
        'a call, 422'        => ['PUT', '/v1/workflows/w', '{"x":1}', @key],
        'a call, bad JSON'   => ['PUT', '/v1/workflows/w', '{', @key],
        'a call that writes a user'
                             => ['PUT', '/v1/environments/development/users/u',
                                 '{"name":"n"}', @key],
        'a list of users'    => ['GET', '/v1/environments/development/users',
                                 undef, @key],
        'a subrequest'       => ['GET', '/added'],
    );
}


sub text {
    my ($method, $path, $body, %headers) = @_;

    return join "\r\n", "$method $path HTTP/1.1", 'Host: h',
                (map { "$_: $headers{$_}" } sort keys %headers),
                defined $body ? 'Content-Length: ' . length $body : (),
                '', $body // '';
}


sub frames {
    my ($stream, $method, $path, $body, %headers) = @_;

    return headers($stream, $path, method => $method, %headers,
                   end => !defined $body)
           . (defined $body ? data($stream, $body, 1) : '');
}


# The worker sleeps while its clients send and go: the reset is there when it
# reads the request.

sub reset_by_all {
    my ($state) = @_;

    for my $what (sort keys %requests) {
        my @request = @{ $requests{$what} };
        my $text = text(@request);
        my @clients = map { $nginx->new_client } 1 .. CLIENTS;
        my ($n, @begun) = (0);

        # those that are let in before they go, and have sent a part

        for my $client (@clients[0 .. 3]) {
            $client->send(substr $text, 0, $n++ % 2 ? length($text) - 1 : 20);
            push @begun, $client;
        }

        Knock::HeldRedis::wait_read(@begun);

        my @h2 = map { Knock::H2->new($h2_port) } 1 .. 2;

        $_->sync for @h2;
        kill 'STOP', $worker;
        $n = 0;

        for my $client (@clients) {
            my $sent = $n < 4 ? $n % 2 ? length($text) - 1 : 20 : 0;

            # more of them than one, and one cut short

            $client->send(substr($text, $sent)
                          . ($n % 3 ? $text x ($n % 3) : '')
                          . ($n % 5 ? '' : substr $text, 0, -1));
            $client->reset;
            $n++;
        }

        # two streams of each, and one that is reset alone

        for my $h2 (@h2) {
            $h2->send(frames(1, @request), frames(3, @request),
                      reset_stream(3), frames(5, @request));
            $h2->reset;
        }

        kill 'CONT', $worker;
        is_served($nginx, "$what, Redis $state");
    }

    is_deeply [$nginx->complaints], [], "Redis $state: no complaints";
    is_deeply [$nginx->workers], [$worker], "Redis $state: the worker lives";
}


# Those that wait for Redis when they are reset, or have had their answer: each
# is counted once, and nothing of it is left.

sub reset_while_waiting {
    my ($nginx) = start("unix:$redis->{socket} timeout=60s");

    wait_for('Redis to be there', sub {
        $nginx->post('/in/dev', track('T'))->{status} == 200
    });

    my $figures = Knock::Figures->new($nginx);
    my %answered = (
        'a wrong type'     => { requests => { 415 => CLIENTS } },
        'a wrong method'   => { requests => { 405 => CLIENTS } },
        'metrics'          => {},
        'metrics, by POST' => {},
        'a subrequest'     => {},
        'a call, no key'   => { api_requests => { 401 => CLIENTS } },
        'a call, 404'      => { api_requests => { 404 => CLIENTS } },
        'a call, 405'      => { api_requests => { 405 => CLIENTS } },
        'a call, 422'      => { api_requests => { 422 => CLIENTS } },
        'a call, bad JSON' => { api_requests => { 400 => CLIENTS } },
    );

    for my $what (sort keys %requests) {
        my @clients = map { $nginx->new_client } 1 .. CLIENTS;

        kill 'STOP', $redis->{pid};
        $_->send(text(@{ $requests{$what} })) for @clients;
        Knock::HeldRedis::wait_read(@clients);
        $_->reset for @clients;
        is_served($nginx, "$what, waiting for Redis");
        kill 'CONT', $redis->{pid};

        my $gone = $what =~ /^a (?:call|list)/ ? 'api_requests' : 'requests';

        $figures->is_quiet("$what, waiting for Redis",
                           requests => {}, api_requests => {},
                           %{ $answered{$what}
                              // { $gone => { 499 => CLIENTS } } });
    }

    is_deeply [$nginx->complaints], [], 'waiting for Redis: no complaints';
}


# Nothing but answers: all of them to clients that have gone.

sub counted_once {
    $figures->is_quiet('before');

    kill 'STOP', $worker;

    for (1 .. CLIENTS) {
        my $client = $nginx->new_client;

        $client->send(text(@{ $requests{'an event'} }));
        $client->reset;
        $client->send(text(@{ $requests{'a call, 404'} }));
        $client->reset;
    }

    kill 'CONT', $worker;
    is_served($nginx, 'an event and a call');
    $figures->is_quiet('an event and a call, Redis away',
                       requests => { 503 => CLIENTS },
                       api_requests => { 404 => CLIENTS });
}


sub is_served {
    my ($nginx, $what) = @_;

    my $answer = eval { $nginx->new_client->get('/plain') } // {};

    is $answer->{body}, "plain\n", "$what: then the worker serves";
}
