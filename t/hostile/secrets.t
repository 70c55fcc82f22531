# What is secret is in no log, no answer, and neither in the command line nor
# in the environment of a process, whatever goes wrong.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);
use JSON::PP;
use Knock::Api;
use Knock::Files qw(slurp);
use Knock::H2;
use Knock::Server qw(free_port wait_for);
use Knock::Test;
use Test::More;

my %secrets = (
    'API key'        => 'key-4f1c82d9',
    'signing secret' => 'sign-93b07a5e',
    'token'          => 'token-c6618e02',
    'Redis password' => 'pass@f2/7d41b3',
);

my $in = "/integrations/receive/$secrets{token}";
my $second = free_port();
my @answers;
my $api = start();
my $nginx = $api->nginx;

received();
refused();
spoilt();
broken();
given_up();
called();
without_redis();
reloaded();
processes();

# who has the key is told an endpoint's URL

my %told = (token => qr{^PATCH /v1/sources/segment/environments/development$});

for my $name (sort keys %secrets) {
    my @told = grep { holds($_->[1], $name) }
               grep { $_->[0] !~ ($told{$name} // qr/^$/) } @answers;

    is_deeply [map { $_->[0] } @told], [], "$name: in no answer";
    is_deeply [grep { holds($_, $name) } split /\n/, $nginx->log_text], [],
              "$name: not in the log";
}

cmp_ok @answers, '>=', 25, 'there are answers';
is_deeply [grep { !/in the URL of Redis/ } $nginx->complaints], [],
          'no complaints in the log';

done_testing;


sub start {
    my $password = $secrets{'Redis password'} =~ s/([@\/])/sprintf '%%%02x', ord $1/ger;

    no warnings 'once';
    $Knock::Api::Key = $secrets{'API key'};
    redis(qw(CONFIG SET requirepass), $secrets{'Redis password'});

    my $started = Knock::Api->start(
        redis => undef,
        http => 'client_body_timeout 100ms; client_max_body_size 16m;'
                . "server { listen 127.0.0.1:$second http2; }"
                . "knock_redis redis://:$password\@127.0.0.1:"
                . redis_server()->{port} . ' reconnect=10ms;',
        server => "location /metrics { knock_metrics; }\n"
                  . 'location ~ ^/few/(?<few>.+)$ { knock_webhook $few;'
                  . ' client_max_body_size 10; error_page 413 @large; }'
                  . 'location @large { proxy_pass http://127.0.0.1:1; }'
                  . 'location /other/ { client_max_body_size 10; }'
                  . 'location ~ ^/closed/(?<closed>.+)$ { deny all;'
                  . ' knock_webhook $closed; }');

    seed("endpoint production segment token=prod\n"
         . "endpoint development segment token=$secrets{token}"
         . " identify_enabled=1 signing_secret=$secrets{'signing secret'}");

    return $started;
}


sub received {
    my $event = '{"type":"identify","userId":"u1"}';

    ok wait_for('Redis', sub { post($event)->{status} == 200 }), 'an event';
    is post("[$event,7]")->{status}, 200, 'a batch';
    is post('{"type":"nothing"}')->{status}, 400, 'an event that is none';
    is post('{')->{status}, 400, 'no JSON';
    is post('')->{status}, 400, 'nothing';
}


sub refused {
    my %signed = (Authorization => "Bearer $secrets{'API key'}");

    is request(POST => $in, '{}')->{status}, 401, 'no signature';
    is request(POST => $in, '{}', 'X-Signature' => $secrets{'signing secret'})
           ->{status}, 401, 'the secret for a signature';
    is request(POST => "$in-", '{}', %signed)->{status}, 404, 'another token';
    is request(GET => $in, undef, %signed)->{status}, 405, 'another method';
    is request(POST => $in, '{}', 'Content-Type' => 'text/plain')->{status}, 415,
       'another type';
}


# What nginx itself refuses and complains of.

sub spoilt {
    my $few = "/few/$secrets{token}";

    is request(POST => $few, 'x' x 100)->{status}, 502,
       'too large, which another location answers';
    is request(POST => '/other/place', 'x' x 100)->{status}, 413,
       'too large, elsewhere';
    is request(POST => $few, "64\r\n" . 'x' x 100 . "\r\n0\r\n\r\n",
               'Transfer-Encoding' => 'chunked')->{status}, 502,
       'the same in chunks';
    is request(POST => $in, "x\r\n", 'Transfer-Encoding' => 'chunked')->{status},
       400, 'chunks that are none';
    is request(POST => $in, 'x' x 17_000_000)->{status}, 413, 'larger still';
    is request(POST => "/closed/$secrets{token}", '{}')->{status}, 403,
       'a location that is closed';

    my $log = $nginx->log_text;

    like $log, qr/too[ ]large[ ].*,[ ]server:[ ],[ ]request:[ ]"POST[ ]
                  \(an[ ]endpoint's[ ]URL\)[ ]HTTP\/1\.1",
                  [ ]host:[ ]"localhost"$/mx,
         'the log says of the request what it may';
    like $log, qr/connect\(\) failed .*\(an endpoint's URL\)/,
         'and no more where it was redirected to';
    like $log, qr/too large .*, request: "POST \/other\/place HTTP\/1\.1"/,
         'and all of requests to others';
}


# Heads that nginx does not take, or leaves a part of, and quotes.

sub broken {
    my $key = $secrets{'API key'};
    my $long = 'x' x 40_000;

    # what it says, the request's line, further lines

    my @heads = (
        ['duplicate header line', "GET /v1/sources HTTP/1.1",
         ("Authorization: Bearer $key") x 2],
        ['duplicate header line', "GET /v1/sources HTTP/1.1",
         'Authorization: Bearer x', "Authorization: $key"],
        ['invalid header line', 'GET /v1/sources HTTP/1.1',
         "Authorization : Bearer $key"],
        ['invalid header line', 'GET /v1/sources HTTP/1.1',
         "Authori zation: Bearer $key"],
        ['invalid header line', 'GET /v1/sources HTTP/1.1',
         "Api_Key: Bearer $key"],
        ['invalid header line', 'GET /v1/sources HTTP/1.1', 'Authorization:',
         "  Bearer $key"],
        ['invalid header line', 'GET /v1/sources HTTP/1.1',
         "Authorization: Bearer $key\0"],
        ['too long header line', 'GET /v1/sources HTTP/1.1',
         "Authorization: Bearer $key$long"],

        (map { ['Content-Length', "POST $in HTTP/1.1", @$_] }
             ['Content-Length: x'], ['Content-Length: -1'],
             ['Content-Length: 99999999999999999999'], ['Content-Length: 1 2'],
             ['Content-Length: 1', 'Transfer-Encoding: chunked']),
        ['duplicate header line', "POST $in HTTP/1.1",
         'Content-Length: 1', 'Content-Length: 2'],
        ['Transfer-Encoding', "POST $in HTTP/1.1", 'Transfer-Encoding: x'],
        ['Transfer-Encoding', "POST $in HTTP/1.0",
         'Transfer-Encoding: chunked'],
        ['invalid header line', "POST $in HTTP/1.1",
         "X-Signature : $secrets{'signing secret'}"],
        ['client sent invalid', "POST $in HTTP/9.9"],
        ['client sent invalid', "POST $in HTTP/1.1 x"],
        ['client sent invalid', "p\0st $in HTTP/1.1"],
        ['too long URI', "POST $in?$long HTTP/1.1"],
        ['client sent invalid', "POST http://a:b:c/$in HTTP/1.1"],
        ['TRACE', "TRACE $in HTTP/1.1"],
        ['prematurely closed', "POST $in HTTP/1.1", undef],
        ['prematurely closed', "POST $in", undef],
    );

    my $offset = -s $nginx->error_log;

    for my $head (@heads) {
        my ($says, @lines) = @$head;
        my $ends = defined $lines[-1];
        my $http = $nginx->new_client;

        @lines = grep { defined } @lines;
        splice @lines, 1, 0, 'Host: x', 'Connection: close' if $ends || @lines > 1;

        eval {
            $http->send(join("\r\n", @lines, $ends ? ('', '') : ()));
            $http->rest if $ends;
        };
        $http->close;

        my $shown = substr "@lines", 0, 60;

        ok wait_for("a line that says $says", sub {
            $nginx->log_text($offset) =~ /\Q$says\E.*\n/;
        }), "$shown: is in the log";

        $offset = -s $nginx->error_log;
    }

    # two at a time, so that one is read while the connection is opened

    my $http = $nginx->new_client;

    $http->send("GET /v1/sources HTTP/1.1\r\nHost: x\r\n"
                . "Api_Key: $key\r\n\r\n" x 2);
    is $http->answer->{status}, 401, 'a header that is none does no harm';

    # by HTTP/2, whose requests have logs of their own

    my $h2 = Knock::H2->new($second);

    $offset = -s $nginx->error_log;
    $h2->send(headers(1, $in, 'content-length' => 'x', end => 1));
    is $h2->answer(1)->{status}, 400, 'a length that is none';
    ok wait_for('a line of that', sub {
        $nginx->log_text($offset) =~ m{Length".*"POST \(a URL\) HTTP/2\.0"};
    }), 'is in the log';

    my $log = $nginx->log_text;

    like $log, qr/sent[ ]duplicate[ ]header[ ]line:[ ]\(left[ ]out\)[ ]while[ ]
                  reading[ ]client[ ]request[ ]headers,[ ]client:[ ][\d.]+,
                  [ ]server:[ ],[ ]request:[ ]"GET[ ]\(a[ ]URL\)[ ]HTTP\/1.1",
                  [ ]host:[ ]"x"$/mx,
         'the log says what it may';
}


# Clients that go: in mid-body, and while Redis is at work; one that stays, and
# says no more.

sub given_up {
    my $silent = $nginx->new_client;

    $silent->send("POST $in HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
    is $silent->rest, '', 'a client that is silent for too long';

    for my $end (qw(close reset)) {
        my $http = $nginx->new_client;
        my $offset = -s $nginx->error_log;

        $http->send("POST $in HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
        $http->$end;
        gone($offset, "$end in mid-body");

        redis(qw(CLIENT PAUSE 10000 WRITE));
        $http = $nginx->new_client;
        $offset = -s $nginx->error_log;
        $http->send("POST $in HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n"
                    . 'X-Signature: ' . sign('{"type":"page"}')
                    . "\r\n\r\n{\"type\":\"page\"}");
        wait_for('its command', sub {
            redis(qw(INFO clients)) =~ /blocked_clients:1/;
        });
        $http->$end;
        $nginx->seen;
        redis(qw(CLIENT UNPAUSE));
        gone($offset, "$end while it waits");
    }
}


sub gone {
    my ($offset, $how) = @_;

    ok wait_for("a line about a client's $how", sub {
        $nginx->log_text($offset) =~ /client .*closed|reset by peer/;
    }), "$how: is in the log";
}


sub called {
    my @key = (Authorization => "Bearer $secrets{'API key'}");
    my $endpoint = '/v1/sources/segment/environments/development';

    is request(GET => '/v1/sources', undef, @key)->{status}, 200, 'a call';
    is request(GET => '/v1/sources', undef, Authorization => "Bearer $_")
           ->{status}, 401, 'a call with another secret'
        for @secrets{'token', 'signing secret', 'Redis password'};
    is request(GET => "/v1/sources?key=$secrets{'API key'}", undef, @key)
           ->{status}, 422, 'an unknown parameter';
    is request(POST => '/v1/sources', '{"key":"segment","kind":"segment",'
               . '"name":"S"}', @key)->{status}, 201, 'a source';
    is request(PATCH => $endpoint,
               qq({"signing_secret":"$secrets{'signing secret'}"}), @key)
           ->{status}, 200, 'a signing secret is set';
    is request(PATCH => $endpoint,
               qq({"signing_secret":["$secrets{'signing secret'}"]}), @key)
           ->{status}, 422, 'and one that is none';
    is request(GET => "$endpoint/logs", undef, @key)->{status}, 200, 'the log';
    is request(GET => '/v1/commits', undef, @key)->{status}, 200, 'commits';
    is request(GET => '/metrics')->{status}, 200, 'metrics';
}


sub without_redis {
    # the worker is let in no longer

    redis(qw(CONFIG SET requirepass another));
    redis(qw(CLIENT KILL TYPE normal SKIPME yes));

    my $offset = -s $nginx->error_log;

    wait_for('the worker to be refused', sub {
        post('{"type":"page"}')->{status} == 503
            && $nginx->log_text($offset) =~ /Redis let us not in/;
    });

    redis(qw(CONFIG SET requirepass), $secrets{'Redis password'});
    wait_for('Redis', sub { post('{"type":"page"}')->{status} == 200 });

    # one that may do nothing, and says to whom it said no

    redis(qw(ACL SETUSER default -fcall));
    is post('{"type":"page"}')->{status}, 503, 'a user who may not';
    redis(qw(ACL SETUSER default +fcall));
    redis(qw(CLIENT KILL TYPE normal SKIPME yes));
    wait_for('Redis', sub { post('{"type":"page"}')->{status} == 200 });
}


sub reloaded {
    my $offset = -s $nginx->error_log;

    # to what is refused, which is an [emerg]

    $nginx->write_conf(http => 'knock_redis redis://:'
                       . 'pass%40f2%2f7d41b3@127.0.0.1:x timeout=x;');
    kill 'HUP', $nginx->pid;
    wait_for('the refusal', sub { $nginx->log_text($offset) =~ /\[emerg\]/ });
}


sub processes {
    my @pids = ($nginx->pid, $nginx->workers);

    cmp_ok @pids, '>=', 2, 'a master and a worker';

    for my $pid (@pids) {
        for my $file (qw(cmdline environ)) {
            my $text = slurp("/proc/$pid/$file");

            ok length $text, "$file is there";
            is_deeply [grep { holds($text, $_) } sort keys %secrets], [],
                      "no secret in $file of $pid";
        }
    }
}


# The secret, or its octets as an URL or JSON holds them.

sub holds {
    my ($text, $name) = @_;

    my $secret = $secrets{$name};
    my $escaped = $secret =~ s/([@\/])/sprintf '%%%02x', ord $1/ger;
    my ($part) = $secret =~ /(\w+)$/;

    return grep { index(lc $text, $_) >= 0 } $secret, $escaped, $part;
}


sub sign { return hmac_sha1_hex($_[0], $secrets{'signing secret'}) }


sub post {
    my ($body) = @_;

    return request(POST => $in, $body, 'X-Signature' => sign($body));
}


# A request over a connection of its own, whose answer is kept.

sub request {
    my ($method, $path, $body, @headers) = @_;

    my $http = $nginx->new_client;
    my $answer = $http->request($method, $path, $body, @headers);

    push @answers, ["$method $path", "$answer->{raw}\n\n$answer->{body}"];
    $http->close;

    return $answer;
}
