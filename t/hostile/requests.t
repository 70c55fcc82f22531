# Odd requests: each is either refused and changes nothing in Redis, or does
# what it says, once.  The worker is the same one all the while.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);
use JSON::PP;
use Knock::Api;
use Knock::Figures;
use Knock::Test;
use Test::More;

my $secret = 's3cret';
my $api = Knock::Api->start(server => <<'_EOC_');
# of the shortest kind that an administrator may write
location /any/ { knock_webhook $uri; }
location = /named { knock_webhook $arg_token; }
_EOC_
my $nginx = $api->nginx;
my $figures = Knock::Figures->new($nginx);
my $n = 0;

seed("endpoint development segment token=dev identify_enabled=1\n"
     . "endpoint production segment token=prod\n"
     . "endpoint development signed token=signed identify_enabled=1"
     . " signing_secret=$secret\n");

# the first request makes the worker read what is live

webhook('a plain request', 200);

request_lines();
tokens();
lengths();
types();
signatures();
other_headers();
bodies();
keys_of_the_api();
paths_of_the_api();

$figures->is_quiet('all of them');
is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub request_lines {
    webhook('HTTP/1.0', 200, version => '1.0');
    webhook('HTTP/1.0 without a host', 200, version => '1.0', host => []);
    webhook('no host', 400, host => []);
    webhook('two hosts', 400, host => ['Host: a', 'Host: b']);
    webhook('a host with a path', 400, host => ['Host: a/b']);
    webhook('no version', '400|none', line => 'POST /integrations/receive/dev');
    webhook('version 2', 505, version => '2.0');
    webhook('a version that is none', 400, version => 'x');
    webhook('absolute form', 200,
            path => 'http://localhost/integrations/receive/dev');
    webhook('absolute form, of another host', 200,
            path => 'http://example.com/integrations/receive/dev');
    webhook('absolute form without a path', 404,
            path => 'http://example.com?/integrations/receive/dev');
    webhook('authority form', 400, path => 'localhost:80');
    webhook('a user in the absolute form', 400,
            path => 'http://u:p@localhost/integrations/receive/dev');
    webhook("method $_", 405, method => $_)
        for qw(TRACE CONNECTED OPTIONS DELETE GET PROPFIND FOO);
    webhook('method CONNECT', '400|405', method => 'CONNECT');
    webhook("method $_", 400, method => $_) for 'post', "POST\0", 'P?ST', '';
    webhook('a tab for a space', 400, line => "POST\t/integrations/receive/dev"
                                              . ' HTTP/1.1');
    webhook('a line feed in the path', '400|none',
            path => "/integrations/receive/dev\n");
    webhook('a NUL in the path', 400, path => "/integrations/receive/dev\0");
    webhook('another method by a header', 405, method => 'GET',
            headers => ['X-HTTP-Method-Override: POST']);
}


sub tokens {
    my $path = '/integrations/receive';

    webhook("token $_", 404, path => "$path/$_")
        for '', 'DEV', 'dev/', 'dev%2f', 'dev;', 'dev.', '*',
            '%2a', 'd*', '?token=dev', '%20dev', 'dev%01', 'dev%ff', "\xff",
            '%ef%bc%84', '%25', '%2564ev', '{}', '%7b%7d', 'dev%7d', 'dev\\',
            'segment', 'segment%2ftoken', 'x' x 8000;
    webhook('a token of more than a buffer', 414, path => "$path/" . 'x' x 9000);
    webhook("escape $_", 400, path => "$path/dev$_") for '%', '%2', '%zz', '%u0041',
                                                     '%00', '%00x';

    # other ways to write the same

    webhook("path $_", 200, path => $_)
        for "$path/de%76", "$path/x/../dev", "$path/dev%2F..%2Fdev",
            "$path/%2e/dev", "/$path//dev",
            '/%69ntegrations/receive/dev', "$path/dev?x=%zz", "$path/dev#x",
            "$path/dev?" . 'x' x 7000;
    webhook('a path above the root', 400, path => "/../..$path/dev");

    # a token that nginx gives as it is

    webhook("an URI for a token: $_", 404, path => "/any/$_")
        for '', 'dev', '../any/dev', 'x' x 8000;
    webhook("an argument for a token: $_", 404, path => "/named?$_")
        for '', 'token=', 'token=de%76', 'token=dev%00', 'token=%00',
            'token[]=dev', 'token=dev,', 'token=' . 'x' x 8000;
    webhook('an argument for a token', 200, path => '/named?token=dev');
}


sub lengths {
    my @chunked = 'Transfer-Encoding: chunked';
    my $chunks = sub { sprintf "%x\r\n%s\r\n0\r\n\r\n", length $_[0], $_[0] };

    webhook('chunked', 200, length => [@chunked], send => $chunks);
    webhook('a length and chunks', 400,
            length => ['Content-Length: 3', @chunked], send => $chunks);
    webhook('chunks and a length', 400,
            length => [@chunked, 'Content-Length: 3'], send => $chunks);
    webhook('chunked twice', '400|501', length => [@chunked, @chunked],
            send => $chunks);
    webhook("transfer encoding $_", 501, length => ["Transfer-Encoding: $_"],
            send => $chunks)
        for 'gzip', 'chunked, identity', 'xchunked', 'chunked;q=1', '';
    webhook('a space in front of the colon', 400,
            length => ['Transfer-Encoding : chunked'], send => $chunks);
    webhook('chunks in HTTP/1.0', '200|400', version => '1.0',
            length => [@chunked], send => $chunks);

    webhook("length $_", 400, length => ["Content-Length: $_"])
        for '-1', '+2', '0x10', '1e3', '2,2', '2 2', 'x', '',
            '99999999999999999999';
    webhook('a length that is far too large', 413,
            length => ['Content-Length: 9000000000000000000']);
    webhook('two lengths', 400,
            length => ['Content-Length: 5', 'Content-Length: 6']);
    webhook('a length that is too short', 400, length => ['Content-Length: 7']);
    webhook('no length', 400, length => []);

    webhook("chunk size $_", 400, length => [@chunked],
            send => sub { "$_[1]\r\n$_[0]\r\n0\r\n\r\n" }, piece => $_)
        for 'x', '-1', '', ' 5', '0x5', 'fffffffffffffffff';
    webhook('a chunk size that is far too large', '400|413',
            length => [@chunked],
            send => sub { "7fffffffffffff00\r\n$_[0]" });
    webhook('a chunk that does not end', 400, length => [@chunked],
            send => sub { sprintf "%x\r\n%sxx", length $_[0], $_[0] });

    # what would be another request if lengths were taken otherwise

    my $inner = "POST /integrations/receive/dev HTTP/1.1\r\nHost: x\r\n"
                . "Content-Length: 32\r\n\r\n"
                . '{"type":"identify","userId":"x"}';

    webhook('a request in a body', 400, event => $inner);
    webhook('a request behind a refused body', 404, event => $inner,
            path => '/integrations/receive/nobody');
    webhook('a request in a body without length', 405, method => 'DELETE',
            event => $inner);
    webhook('a request in chunks with a length', 400, event => $inner,
            length => ['Content-Length: 5', @chunked], send => $chunks);
    is redis('EXISTS', 'knock:{development}:user:x'), 0,
       'no request came out of a body';
}


sub types {
    my $json = 'Content-Type: application/json';

    webhook("content type $_", 200, type => ["Content-Type: $_"])
        for '', 'application/json', 'APPLICATION/JSON;;', 'a/b+json', 'text/json',
            'application/json; charset=utf-16', 'application/json;x="\\';
    webhook("content type $_", 415, type => ["Content-Type: $_"])
        for 'json', '+json', 'application/jsonx', 'text/plain', '*/*',
            'application/json, text/plain', 'application /json', "\xff",
            'x' x 4000, 'application/x-www-form-urlencoded',
            'multipart/form-data; boundary=application/json';
    webhook('a NUL in a content type', 400,
            type => ["Content-Type: application/json\0"]);
    webhook('two content types', '200|4..', type => [$json, $json]);
    webhook('two content types that differ', '4..',
            type => ['Content-Type: text/plain', $json]);
    webhook("content encoding $_", 415, headers => ["Content-Encoding: $_"])
        for 'gzip', 'identity, gzip', 'x', 'br', 'identity;q=1';
    webhook('no content encoding', 200, headers => ['Content-Encoding:']);
    webhook('two content encodings', 415,
            headers => ['Content-Encoding: gzip', 'Content-Encoding: identity']);
}


sub signatures {
    my $good = sub { 'X-Signature: ' . hmac_sha1_hex($_[0], $secret) };
    my $bad = sub { 'X-Signature: ' . '0' x 40 };
    my @signed = (path => '/integrations/receive/signed');

    webhook('a signature', 200, @signed, sign => [$good]);
    webhook('the same one twice', '200|401', @signed, sign => [$good, $good]);
    webhook('a wrong one first', 401, @signed, sign => [$bad, $good]);
    webhook('a wrong one behind', '200|401', @signed, sign => [$good, $bad]);
    webhook('two wrong ones', 401, @signed, sign => [$bad, $bad]);
    webhook("signature: $_", 401, @signed, headers => ["X-Signature: $_"])
        for '', '0', 'x' x 40, '0' x 39, '0' x 41, 'sha1=' . '0' x 40, "\xff",
            'f' x 7000;
    webhook('a NUL in a signature', 400, @signed,
            headers => ['X-Signature: ' . "\0" x 40]);
    webhook('a signature that is too long', 400, @signed,
            headers => ['X-Signature: ' . '0' x 9000]);

    my $as = sub {
        my ($change) = @_;
        return sub { local $_ = $good->($_[0]); $change->(); $_ };
    };

    webhook("a signature, $_->[0]", 401, @signed, sign => [$as->($_->[1])])
        for ['in capitals', sub { s/: (.*)/': ' . uc $1/e }],
            ['with another name', sub { s/-/_/ }],
            ['with another separator', sub { s/-/./ }],
            ['in a list', sub { $_ .= ',' . '0' x 40 }],
            ['in quotes', sub { s/: (.*)/: "$1"/ }],
            ['with a digit more', sub { $_ .= '0' }],
            ['with one less', sub { chop }];
    webhook('a signature in lines', '400|401', @signed,
            sign => [$as->(sub { s/: /:\r\n / })]);
    webhook('a signature and spaces around it', 200, @signed,
            sign => [$as->(sub { s/: (.*)/:   $1  / })]);
    webhook('a signature in another case', 200, @signed,
            sign => [$as->(sub { s/^X-S/x-s/ })]);
    webhook("a signature for another endpoint's URL", 401, @signed,
            headers => ['X-Signature: ' . hmac_sha1_hex('', $secret)]);
}


sub other_headers {
    webhook($_->[0], $_->[1], headers => $_->[2])
        for ['an expectation', '200|417', ['Expect: 200-ok']],
            ['conditions', 200, ['If-Match: "x"', 'If-None-Match: *',
                                 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00'
                                 . ' GMT']],
            ['a range', 200, ['Range: bytes=0-0']],
            ['an upgrade', 200, ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABk']],
            ['forwarded', 200, ['X-Forwarded-For: ' . '1.2.3.4, ' x 700]],
            ['no name', '200|400', [': x']],
            ['no colon', '200|400', ['nonsense']],
            ['a NUL in a header', 400, ["X: a\0b"]],
            ['a line feed alone', '200|400', ["X: a\nX-Signature: b"]],
            ['a header of more than a buffer', 400, ['X: ' . 'x' x 9000]],
            ['more headers than buffers', 400, [map { "X$_: " . 'x' x 4000 } 1 .. 9]],
            ['many headers', 200, [map { "X$_: x" } 1 .. 500]],
            ['markup in headers', 200, ['User-Agent: <script>"\'%0d%0a',
                                        'Referer: javascript:alert(1)']];
}


sub bodies {
    my $event = '{"type":"page"}';

    webhook("body: $_->[0]", 400, event => $_->[1])
        for ['none', ''], ['a NUL', "\0"], ['NULs', "\0" x 5000],
            ['a byte order mark', "\xef\xbb\xbf$event"],
            ['UTF-16', join "\0", '', split //, $event],
            ['UTF-7', '+AHsAfQ-'], ['a form', 'event=' . $event],
            ['an end too soon', substr $event, 0, -1],
            ['more behind the end', "$event\0"], ['two events', "$event\n$event"],
            ['brackets', '[' x 500_000], ['braces', '{"a":' x 100_000],
            ['quotes', '"' x 100_000], ['a number', '9' x 1_000_000],
            ['compressed', "\x1f\x8b\x08" . "\0" x 50];
}


sub keys_of_the_api {
    my $key = $Knock::Api::Key;

    api("key: $_->[0]", $_->[1], headers => $_->[2])
        for ['right', 200, ["Authorization: Bearer $key"]],
            ['the scheme in another case', 200, ["authorization: bEARER $key"]],
            ['none', 401, []],
            ['empty', 401, ['Authorization:']],
            ['a scheme alone', 401, ['Authorization: Bearer']],
            ['no scheme', 401, ["Authorization: $key"]],
            ['another scheme', 401, ["Authorization: Basic $key"]],
            ['a tab', 401, ["Authorization: Bearer\t$key"]],
            ['in another header', 401, ["X-Authorization: Bearer $key"]],
            ['more behind it', 401, ["Authorization: Bearer $key,"]],
            ['in quotes', 401, [qq(Authorization: Bearer "$key")]],
            ['its prefix', 401, ['Authorization: Bearer ' . substr $key, 0, -1]],
            ['its hash', 401, ['Authorization: Bearer '
                               . Digest::SHA::sha256_hex($key)]],
            ['long', 401, ['Authorization: Bearer ' . 'x' x 7000]],
            ['too long', 400, ['Authorization: Bearer ' . 'x' x 9000]],
            ['a NUL behind it', 400, ["Authorization: Bearer $key\0"]],
            ['wrong and right', '400|401', ['Authorization: Bearer x',
                                            "Authorization: Bearer $key"]];

    api('key: in the query', 401, path => "/v1/sources?authorization=Bearer%20"
                                          . ($key =~ s/ /%20/gr), headers => []);
}


sub paths_of_the_api {
    my @key = "Authorization: Bearer $Knock::Api::Key";

    api("path $_", '4..', path => "/v1/$_", headers => \@key)
        for '', '/', 'sources//x', 'sources/%00', 'sources/a%00b',
            'sources/..%2f..%2fx', 'sources/%2e%2e/x', 'sources/%ff', 'sources/%',
            'sources/%zz', 'sources/%c0%af', 'sources/' . 'x' x 65,
            'sources/' . 'x' x 7000, 'SOURCES', 'sources;x', 'sources%2fx',
            'sources%00', 'sources?limit=%zz', 'sources?limit=-1',
            'sources?limit=99999999999999999999', 'sources?limit=0x10',
            'sources?cursor=%00', 'sources?cursor=%0d%0aX:%20y', 'sources?x=1',
            'sources?limit=%ff', 'environments/{}/runs', 'environments/%7b%7d/runs',
            'environments/development%7d:x/runs', 'environments/@/runs',
            'environments/*/users', 'environments/development/users/%0a',
            'commits/*', 'commits/%7b', 'x/../sources/%00';

    api("method $_", '40.', path => '/v1/sources/segment', method => $_,
        headers => \@key)
        for qw(TRACE OPTIONS CONNECT POST PUT FOO);
    api("body: $_", '4..', path => '/v1/sources', method => 'POST',
        headers => ['Content-Length: ' . length, @key], body => $_)
        for '', '{', '[]', '7', "\0", '{}', '{"key":"a","key":7}',
            '{"key":"a\u0000","kind":"segment","name":"x"}',
            '{"key":"a:{b}","kind":"segment","name":"x"}',
            '{"key":"../a","kind":"segment","name":"x"}',
            '{"key":"a","kind":"segment","name":"x","id":1}', '[' x 100_000;
}


# Posts an event in an odd request, which is answered so (a pattern), and
# looks whether it has been applied: if, and only if, the answer is 200.

sub webhook {
    my ($title, $expected, %odd) = @_;

    $n++;

    my $body = $odd{event} // qq({"type":"identify","userId":"u1","traits":{"n":$n}});
    my $sent = $odd{send} ? $odd{send}->($body, $odd{piece}) : $body;
    my $line = $odd{line} // join ' ', $odd{method} // 'POST',
               $odd{path} // '/integrations/receive/dev',
               'HTTP/' . ($odd{version} // '1.1');
    my @headers = (
        @{ $odd{host} // ['Host: localhost'] },
        @{ $odd{length} // ['Content-Length: ' . length $body] },
        @{ $odd{type} // ['Content-Type: application/json'] },
        @{ $odd{headers} // [] },
        map { $_->($body) } @{ $odd{sign} // [] },
    );
    my $before = snapshot();
    my $status = answer($title, $expected, $line, \@headers, $sent);

    if ($status eq '200') {
        is redis('HGET', 'knock:{development}:user:u1', 'n'), $n,
           "$title: applied";
    } else {
        is_deeply snapshot(), $before, "$title: nothing is changed";
    }
}


# An odd call of the API, none of which changes anything.

sub api {
    my ($title, $expected, %odd) = @_;

    my $line = join ' ', $odd{method} // 'GET', $odd{path} // '/v1/sources',
               'HTTP/1.1';
    my $before = snapshot();

    answer("API: $title", $expected, $line,
           ['Host: localhost', @{ $odd{headers} }], $odd{body} // '');
    is_deeply snapshot(), $before, "API: $title: nothing is changed";
}


# Sends it, over a connection of its own, and gives the answer's status; `none`
# if there is no answer, or one of HTTP/0.9, which has no status.

sub answer {
    my ($title, $expected, $line, $headers, $body) = @_;

    $title = substr $title, 0, 60;

    my $http = $nginx->new_client;

    $http->send(join "\r\n", $line, 'Connection: close', @$headers, '', $body);

    my ($method) = $line =~ /^(\w*)/;
    my $answer = eval { $http->answer($method) }
                 // { status => 'none', body => $@ };

    like $answer->{status}, qr/^(?:$expected)$/, "$title: $expected"
        or diag $answer->{body};
    unlike $answer->{raw} // '', qr/^(?:x|set-cookie|location):/im,
           "$title: no header of the sender's making";

    my $kept = eval { $http->rest } // '';

    is $kept, '', "$title: one answer" if $answer->{raw};
    $http->close;

    return $answer->{status};
}


sub snapshot {
    return { map { $_ => redis('DUMP', $_) } @{ redis('KEYS', '*') } };
}
