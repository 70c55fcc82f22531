# Bodies: where nginx keeps them, how they come, and those that are refused
# before they have come.  A signature over the whole body shows that each octet
# has arrived.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);
use Test::More;

use Knock::HeldRedis;

my $fake = Knock::HeldRedis->new(
    unix => 1, serve => 1,
    live => { endpoints => ['segment/signing_secret', 's3cret'] });

my $webhook = 'location ~ ^/in/(?<token>\w+)$ { knock_webhook $token; }';
my $nginx = $fake->nginx(
    http => "client_max_body_size 200k;\nclient_header_buffer_size 1k;\n",
    server => <<"_EOC_");
$webhook
location = /small { client_body_buffer_size 16; knock_webhook dev; }
location = /large { client_body_buffer_size 256k; knock_webhook dev; }
location = /file  { client_body_in_file_only clean; knock_webhook dev; }
location = /single { client_body_in_single_buffer on; knock_webhook dev; }
location = /limit { client_max_body_size 1000; knock_webhook dev; }
_EOC_

in_memory_and_in_files();
as_it_comes();
chunked();
expect_continue();
refused_before_the_body();

is_deeply [$nginx->complaints], [], 'no complaints in the log';
is_deeply [glob $nginx->dir . '/client_body/*'], [], 'no file is left';

done_testing;


sub body {
    my ($size) = @_;

    my $body = track('T', properties => '{"x":""}');
    my $fill = join '', map { sprintf '%x', $_ } 1 .. $size / 2;

    substr $body, -3, 0, substr $fill, 0, $size - length $body
        if $size > length $body;

    return $body;
}


sub signed { return ('X-Signature' => hmac_sha1_hex($_[0], 's3cret')) }


sub chunks {
    my ($path, $body, @sizes) = @_;

    my $text = "POST $path HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
               . 'X-Signature: ' . hmac_sha1_hex($body, 's3cret') . "\r\n\r\n";

    while (length $body) {
        my $chunk = substr $body, 0, shift @sizes // length $body, '';

        $text .= sprintf "%x\r\n%s\r\n", length $chunk, $chunk;
    }

    return "${text}0\r\n\r\n";
}


sub is_served {
    my ($answer, $what) = @_;

    is "$answer->{status} $answer->{body}",
       qq(200 {"accepted":0,"duplicates":0,"ignored":1,"runs":0,"errors":[]}\n),
       $what;
}


# One buffer, two buffers, a file, and each of them just at its bound.

sub in_memory_and_in_files {
    my $http = $nginx->new_client;

    for my $path (qw(/in/dev /small /large /file /single)) {
        for my $size (60, 500, 1023, 1024, 1025, 8192, 16383, 16384, 16385,
                      150_000)
        {
            my $body = body($size);

            is_served($fake->ask($http, post($path, $body, signed($body))),
                      "$path: $size octets");
        }

        # the head, a bit of the body, and the rest of it

        my $body = body(3000);
        my $text = post($path, $body, signed($body));
        my $at = index($text, "\r\n\r\n") + 4;

        for my $part (0, 1, 500) {
            $http->send(substr $text, 0, $at + $part);
            $fake->wait_taken($http);
            $http->send(substr $text, $at + $part);
            is_served($fake->answer($http),
                      "$path: $part octets with the head, then the rest");
        }
    }
}


sub as_it_comes {
    my $http = $nginx->new_client;
    my $body = body(80);

    for my $text (post('/in/dev', $body, signed($body)),
                  chunks('/in/dev', $body, 7, 20))
    {
        for my $octet (split //, $text) {
            $http->send($octet);
            $fake->wait_taken($http);
        }

        is_served($fake->answer($http), 'an octet at a time');
    }
}


sub chunked {
    my $http = $nginx->new_client;

    for my $path (qw(/in/dev /small /large /file /single)) {
        for my $size (60, 1024, 20_000, 150_000) {
            my $body = body($size);

            is_served($fake->ask($http, chunks($path, $body, 1, 10, 100, 5000)),
                      "$path: $size octets in chunks");
        }
    }

    # the limit counts what comes

    is_served($fake->ask($http, chunks('/limit', body(1000), 400, 500)),
              'chunks of just client_max_body_size');
    is $fake->ask($http, chunks('/limit', body(1001), 400, 500))->{status},
       413, 'chunks of one octet more: 413';

    $http = $nginx->new_client;
    $http->send("POST /in/dev HTTP/1.1\r\nHost: x\r\n"
                . "Transfer-Encoding: chunked\r\n\r\nwhat\r\n");
    is $fake->answer($http)->{status}, 400, 'no chunk: 400';
}


sub expect_continue {
    my $http = $nginx->new_client;
    my $body = body(5000);
    my $text = post('/in/dev', $body, signed($body),
                    Expect => '100-continue');
    my $at = index($text, "\r\n\r\n") + 4;

    $http->send(substr $text, 0, $at);
    $fake->run_until('100 Continue', sub { !$http->silent(0) });
    $http->send(substr $text, $at);

    my $answer = $fake->answer($http);

    is_served($answer, 'the body comes after 100 Continue');
    is $answer->{continue}, 1, 'which is said once';

    # refused by its head

    $http->send("POST /in/dev HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
                . "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    $answer = $fake->answer($http);

    is $answer->{status}, 415, 'refused by its head';
    is $answer->{headers}{connection}, 'close',
       'and closed: the body may never come';
    is_served($fake->ask($nginx->new_client,
                         post('/in/dev', $body, signed($body))),
              'another connection is served');
}


# The body of what is refused must not be read as the next request.

sub refused_before_the_body {
    my $trap = "POST /in/dev HTTP/1.1\r\nHost: trap\r\nContent-Length: 2\r\n"
               . "\r\n[]";
    my $good = body(100);
    my $next = post('/in/dev', $good, signed($good));

    my @refused = (
        ['405', 'DELETE', '/in/dev', ''],
        ['405', 'GET', '/in/dev', ''],
        ['415', 'POST', '/in/dev', "Content-Type: text/plain\r\n"],
        ['415', 'POST', '/in/dev', "Content-Encoding: gzip\r\n"],
    );

    for (@refused) {
        my ($status, $method, $path, $header) = @$_;
        my $what = "$status to $method $header" =~ s/\r\n//r;
        my $head = "$method $path HTTP/1.1\r\nHost: x\r\n$header";
        my $long = $trap x 1000;

        my %texts = (
            'its length in front' =>
                [$head . 'Content-Length: ' . length($trap) . "\r\n\r\n",
                 $trap],
            'a long body' =>
                [$head . 'Content-Length: ' . length($long) . "\r\n\r\n",
                 $long],
            'chunks' =>
                [$head . "Transfer-Encoding: chunked\r\n\r\n",
                 sprintf("%x\r\n%s\r\n0\r\n\r\n", length $trap, $trap)],
        );

        for my $how (sort keys %texts) {
            my ($begin, $rest) = @{ $texts{$how} };
            my $http = $nginx->new_client;

            # all in one write, with the next request behind it

            $http->send($begin . $rest . $next);
            is $fake->answer($http, $method)->{status}, $status,
               "$what, $how: at once";
            is_served($fake->answer($http), "$what, $how: the next request");

            # its body later

            $http->send($begin);
            is $fake->answer($http)->{status}, $status,
               "$what, $how: before its body";
            $http->send($rest . $next);
            is_served($fake->answer($http),
                      "$what, $how: the next request after its body");
            ok $http->silent(0), "$what, $how: and nothing else";
            $http->close;
        }
    }

    # a length over the limit: nginx itself refuses, and closes or discards

    my $http = $nginx->new_client;
    my $answer = $fake->ask($http, "POST /limit HTTP/1.1\r\nHost: x\r\n"
                                   . "Content-Length: 1001\r\n\r\n");

    is $answer->{status}, 413, 'a length over the limit: 413';
    like $answer->{body}, qr/^\{"error":\{"code":"body_too_large",/,
         'as JSON';
}
