# Contract, section 5: what surrounds a body on the wire.  Keep-alive,
# pipelining, 100-continue, refusals before a body has been read.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant PAGE => '{"type":"page"}';

seed($Knock::Test::Seed);

my $nginx = Knock::Nginx->start(redis => redis_server(), workers => 2,
    server => "client_max_body_size 64k; client_body_buffer_size 4k;\n"
              . "lingering_close off;\n$Knock::Nginx::Webhook"
              . 'location = /whole { return 200 "whole\n"; }');

my $figures = Knock::Figures->new($nginx);

# Each refusal that is made before the body is read: method, path, status and
# header lines.

my @early = (
    ['DELETE', '/in/dev', 405],
    ['GET', '/in/dev', 405],
    ['POST', '/in/dev', 415, 'Content-Type: text/plain'],
    ['PUT', '/in/dev', 415, 'Content-Encoding: gzip'],
);

# and those made after it

my @late = (
    ['POST', '/in/other', 404],
    ['POST', '/in/dev', 400],
);

after_a_refusal($_) for @early, @late;
refusal_of_a_large_body($_) for @early, @late;
refusal_of_a_chunked_body($_) for @early, @late;
refusal_before_the_body_has_come($_) for @early;
keep_alive();
pipelining();
pipelined_batches();
expect_continue();
too_large();
packets();
many_connections();
gone_clients();

$figures->is_quiet('all of them');
is_deeply([$nginx->complaints], [], 'nothing to complain about');
$nginx->stop;
is_deeply([$nginx->complaints], [], 'nor at the end');

done_testing();


# A body that would be a request of its own, were it parsed as one.

sub request_like {
    my ($size) = @_;

    my $text = "GET /whole HTTP/1.1\r\nHost: h\r\n\r\n";

    return $size ? substr($text x ($size / length($text) + 1), 0, $size) : $text;
}


sub head {
    my ($case, @lines) = @_;

    my ($method, $path, undef, @own) = @$case;

    return join "\r\n", "$method $path HTTP/1.1", 'Host: h', @own, @lines, '', '';
}


# The next request over the connection gets its own answer and nothing else
# comes.

sub next_is_whole {
    my ($client, $title) = @_;

    my $answer = eval { $client->get('/whole') } // {};

    is($answer->{body}, "whole\n", "$title: the next request is answered");
    ok(!$client->{socket} || $client->silent(0.05), "$title: by one answer");
}


sub after_a_refusal {
    my ($case) = @_;

    my $client = $nginx->new_client;
    my $body = request_like();
    my $title = "$case->[0], $case->[2]";

    $client->send(head($case, 'Content-Length: ' . length $body) . $body);
    is($client->answer->{status}, $case->[2], $title);
    next_is_whole($client, $title);
}


sub refusal_of_a_large_body {
    my ($case) = @_;

    my $client = $nginx->new_client;
    my $body = request_like(60_000);
    my $title = "$case->[0], $case->[2], 60 kB";

    $client->send(head($case, 'Content-Length: ' . length $body) . $body);
    is($client->answer->{status}, $case->[2], $title);
    next_is_whole($client, $title);
}


sub refusal_of_a_chunked_body {
    my ($case) = @_;

    my $client = $nginx->new_client;
    my $body = request_like(20_000);
    my $title = "$case->[0], $case->[2], chunked";

    $client->send(head($case, 'Transfer-Encoding: chunked')
                  . join('', map { sprintf "%x\r\n%s\r\n", length, $_ }
                             unpack '(a777)*', $body) . "0\r\n\r\n");
    is($client->answer->{status}, $case->[2], $title);
    next_is_whole($client, $title);
}


# The answer does not wait for the body; what comes of it later is no request.

sub refusal_before_the_body_has_come {
    my ($case) = @_;

    my $client = $nginx->new_client;
    my $body = request_like(10_000);
    my $title = "$case->[0], $case->[2], body later";

    $client->send(head($case, 'Content-Length: ' . length $body));
    is($client->answer->{status}, $case->[2], $title);
    ok($client->silent(0.05), "$title: the connection stays");
    $client->send(substr $body, $_ * 1000, 1000) for 0 .. 9;
    next_is_whole($client, $title);
}


sub keep_alive {
    my $client = $nginx->new_client;

    $client->post('/in/dev', PAGE);
    my $socket = $client->{socket};

    for my $body (PAGE, '', '{', '[]', PAGE, '[' . PAGE . ',3]') {
        $client->post('/in/dev', $body);
    }

    is($client->{socket}, $socket, 'a connection serves on, after errors too');

    my $answer = $client->post('/in/dev', PAGE, Connection => 'close');

    like($answer->{raw}, qr/^Connection: close/mi, 'closed where it is asked for');
    is($answer->{status}, 200, 'and answered');
}


sub pipelining {
    my $client = $nginx->new_client;
    my @bodies = (PAGE, '[' . PAGE . ']', '', 'x', PAGE, '[' . join(',', (PAGE) x 7) . ']');

    $client->send(join '', map {
        head(['POST', '/in/dev'], 'Content-Length: ' . length) . $_
    } @bodies);

    my @answers = map { $client->answer } @bodies;

    is_deeply([map { $_->{status} } @answers], [200, 200, 400, 400, 200, 200],
              'pipelined requests are answered in order');
    is_deeply([map { $_->{body} =~ /"ignored":(\d+)/ ? $1 : '-' } @answers],
              [1, 1, '-', '-', 1, 7], 'each with its own counts');
    ok($client->silent(0.05), 'and by one answer each');
}


sub pipelined_batches {
    my $client = $nginx->new_client;

    redis('DEL', 'knock:{development}:runs');

    for my $n (1 .. 100) {
        my $body = qq({"type":"track","event":"Comment Created","messageId":"p$n",)
                   . qq("properties":{"recipients":[{"id":"p$n"}]}});

        $client->send(head(['POST', '/in/dev'], 'Content-Length: ' . length $body)
                      . $body);
    }

    my @answers = map { $client->answer } 1 .. 100;

    is(scalar(grep { $_->{body} =~ /"accepted":1,.*"runs":1,/ } @answers), 100,
       'a hundred pipelined events are accepted');
    is_deeply([map { /"recipient":\{[^}]*"id":"(p\d+)"/ }
               @{ redis('LRANGE', 'knock:{development}:runs', 0, -1) }],
              [map { "p$_" } 1 .. 100], 'and their runs are in order');
}


sub expect_continue {
    for my $version ('1.1', '1.0') {
        my $client = $nginx->new_client;

        $client->send("POST /in/dev HTTP/$version\r\nHost: h\r\n"
                      . "Content-Length: 15\r\nExpect: 100-continue\r\n\r\n");

        if ($version eq '1.1') {
            $client->_fill until $client->{buffer} =~ /\r\n\r\n/;
            like($client->{buffer}, qr{^HTTP/1\.1 100 Continue\r\n\r\n\z},
                 'Expect: 100-continue is told to go on');
        } else {
            ok($client->silent(0.05), 'but not with HTTP/1.0');
        }

        $client->send(PAGE);
        is($client->answer->{status}, 200, "and HTTP/$version is answered");
    }

    my $client = $nginx->new_client;

    $client->send(head(['POST', '/in/dev'], 'Content-Length: 15',
                       'Expect: 100-continue', 'Content-Type: text/plain'));
    my $answer = $client->answer;

    is($answer->{status}, 415, 'what is refused');
    is($answer->{continue}, 0, 'is not told to go on');
    is($answer->{headers}{connection}, 'close', 'and the connection ends');
}


sub too_large {
    my $client = $nginx->new_client;
    my $size = 64 * 1024 + 1;

    $client->send(head(['POST', '/in/dev'], "Content-Length: $size",
                       'Expect: 100-continue'));
    my $answer = $client->answer;

    is($answer->{status}, 413, 'a body over the limit is 413 before it is sent');
    is($answer->{continue}, 0, 'and not asked for');
    like($answer->{body}, qr/^\{"error":\{"code":"body_too_large",/, 'in JSON');
    is(length $answer->{body}, $answer->{headers}{'content-length'},
       'of the length that is told');

    $client = $nginx->new_client;
    $client->send(head(['POST', '/in/dev'], 'Transfer-Encoding: chunked')
                  . sprintf "%x\r\n", $size);
    $client->send(request_like($size));

    $answer = $client->answer;
    is($answer->{status}, 413, 'a chunk over the limit is 413');
    like($answer->{body}, qr/"code":"body_too_large"/, 'in JSON');

    is($nginx->request('HEAD', '/in/dev')->{status}, 405, 'the server serves on');
}


# Bodies cut at every place, within the head too.

sub packets {
    my $text = head(['POST', '/in/dev'], 'Content-Length: 15') . PAGE;
    my $bad = 0;

    for my $cut (1 .. length($text) - 1) {
        my $client = $nginx->client;

        $client->send(substr $text, 0, $cut);
        $client->silent(0.001);
        $client->send(substr $text, $cut);
        $bad++ if $client->answer->{body} !~ /"ignored":1/;
    }

    is($bad, 0, 'a request in two packets, cut anywhere');
}


sub many_connections {
    my @clients = map { $nginx->new_client } 1 .. 64;

    redis('DEL', 'knock:{development}:runs');

    for my $i (0 .. $#clients) {
        my $body = qq({"type":"track","event":"Comment Created","messageId":"c$i",)
                   . qq("properties":{"recipients":[{"id":"c$i"}]}});

        $clients[$i]->send(head(['POST', '/in/dev'],
                                'Content-Length: ' . length $body) . $body);
    }

    my @answers = map { $_->answer } @clients;

    is(scalar(grep { $_->{body} =~ /"accepted":1,.*"runs":1,/ } @answers), 64,
       'concurrent requests are each accepted');
    is(redis('LLEN', 'knock:{development}:runs'), 64, 'and enqueued once');
}


# A client that goes does not take back what Redis may already have done.

sub gone_clients {
    redis('DEL', 'knock:{development}:runs');

    for my $n (1 .. 20) {
        my $client = $nginx->new_client;
        my $body = qq({"type":"track","event":"Comment Created","messageId":"g$n",)
                   . qq("properties":{"recipients":[{"id":"g$n"}]}});

        $client->send(head(['POST', '/in/dev'], 'Content-Length: ' . length $body)
                      . $body);
        $n % 2 ? $client->reset : $client->close;

        # in mid-body
        $client = $nginx->new_client;
        $client->send(head(['POST', '/in/dev'], 'Content-Length: 1000') . '[');
        $n % 2 ? $client->reset : $client->close;
    }

    my $events = '[' . join(',', map {
        qq({"type":"track","event":"Comment Created","messageId":"g$_",)
        . qq("properties":{"recipients":[{"id":"g$_"}]}})
    } 1 .. 20) . ']';

    my $answer = $nginx->post('/in/dev', $events);

    is($answer->{status}, 200, 'after clients that went the server serves');

    # a reset may have overtaken its request
    wait_for('all of their events', sub {
        redis('LLEN', 'knock:{development}:runs') >= 20;
    });

    is(redis('LLEN', 'knock:{development}:runs'), 20,
       'and no event is lost or doubled');
}
