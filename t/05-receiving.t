# Contract, section 5: what is sent here and what is answered.

use strict;
use warnings;

use Knock::Test;
use Test::Nginx::Socket 'no_plan';

Knock::Test::begin_blocks(\&add_block_preprocessor);

no_long_string();
run_tests();


# The events that the blocks send.

sub track {
    my ($id, $message_id) = @_;

    return '{"type":"track","event":"Comment Created",'
           . (defined $message_id ? qq("messageId":"$message_id",) : '')
           . qq("properties":{"recipients":[{"id":"$id"}]}});
}

# of a user who must have been identified

sub mention {
    my ($id) = @_;

    return '{"type":"track","event":"Comment Created",'
           . qq("properties":{"recipients":["$id"]}});
}

sub identify {
    my ($id) = @_;

    return qq({"type":"identify","userId":$id,"traits":{"name":"N"}});
}

sub named {
    my ($json) = @_;

    return qq({"type":"track","event":$json});
}

sub batch { return '[' . join(',', @_) . ']' }

sub pages { return batch((page()) x $_[0]) }

sub page { return '{"type":"page"}' }

# an event of `size` bytes

sub sized {
    my ($size) = @_;

    my $head = '{"type":"page","properties":{"a":"';

    return $head . 'x' x ($size - length($head) - 3) . '"}}';
}

sub post { return "POST /in/dev\n$_[0]" }

sub runs { return 'GET /redis/LLEN/knock:{development}:runs' }

sub user { return "GET /redis/HGET/knock:{development}:user:$_[0]/id" }

sub stored { return 'GET /redis/KEYS/knock:{development}:*' }

# What is answered: the counts, or an error with a sentence.

sub counts {
    my ($accepted, $duplicates, $ignored, $runs) = @_;

    return qq({"accepted":$accepted,"duplicates":$duplicates,)
           . qq("ignored":$ignored,"runs":$runs,"errors":[]}\n);
}

sub error {
    my ($code, $words) = @_;

    $words //= '';

    return qr/\A\{"error":\{"code":"$code","message":"(?=.{20})[^\n]*$words/;
}

sub in_order { return join '.*', @_ }

sub chunks {
    my ($text, $size) = @_;

    return join('', map { sprintf "%x\r\n%s\r\n", length, $_ }
                    unpack "(a$size)*", $text) . "0\r\n\r\n";
}

__DATA__

=== TEST 1: POST, PUT and PATCH take events
--- request eval
[map { "$_ /in/dev\n" . ::track('u1', $_) } qw(POST PUT PATCH)]
--- response_body eval
[(::counts(1, 0, 0, 1)) x 3]
--- error_code eval
[200, 200, 200]



=== TEST 2: any other method is 405 with Allow
--- request eval
[map { "$_ /in/dev" } qw(GET DELETE OPTIONS PROPFIND BREW)]
--- response_body_like eval
[(::error('method_not_allowed', 'POST')) x 5]
--- response_headers eval
[("Allow: POST, PUT, PATCH\nContent-Type: application/json") x 5]
--- error_code eval
[(405) x 5]



=== TEST 3: HEAD is 405 with Allow and without a body
--- request
HEAD /in/dev
--- response_body
--- response_headers
Allow: POST, PUT, PATCH
--- error_code: 405



=== TEST 4: the content type is JSON, whatever its case and parameters
--- more_headers eval
[map { "Content-Type: $_" } 'application/json', 'application/json; charset=utf-8',
 'Application/JSON ;charset=UTF-8', "application/json\t", 'text/json',
 'application/vnd.segment+json', 'application/cloudevents+json; v=1']
--- request eval
[(::post(::page())) x 7]
--- response_body eval
[(::counts(0, 0, 1, 0)) x 7]
--- error_code eval
[(200) x 7]



=== TEST 5: the content type may be absent or empty
--- more_headers eval
['', 'Content-Type:', 'Content-Type: ;charset=utf-8']
--- request eval
[(::post(::page())) x 3]
--- response_body eval
[(::counts(0, 0, 1, 0)) x 3]
--- error_code eval
[200, 200, 200]



=== TEST 6: any other content type is 415
--- more_headers eval
[map { "Content-Type: $_" } 'text/plain', 'application/x-www-form-urlencoded',
 'multipart/form-data; boundary=x', 'application/json5', 'application/jsonp',
 'json', '+json', 'text/html; application/json', 'none/needed']
--- request eval
[(::post(::track('u1'))) x 8, ::runs()]
--- response_body_like eval
[(::error('unsupported_media_type', 'application/json')) x 8, qr/^0$/]
--- error_code eval
[(415) x 8, 200]



=== TEST 7: the body is one event
--- request eval
[::post(::track('u1')), ::runs()]
--- response_body eval
[::counts(1, 0, 0, 1), "1\n"]
--- error_code eval
[200, 200]



=== TEST 8: the body is an array of events
--- request eval
[::post(::batch(::track('u1'), ::track('u2'), ::page())), ::runs()]
--- response_body eval
[::counts(2, 0, 1, 2), "2\n"]
--- error_code eval
[200, 200]



=== TEST 9: the body is an array of one event
--- request eval
[::post(::batch(::track('u1'))), ::runs()]
--- response_body eval
[::counts(1, 0, 0, 1), "1\n"]
--- error_code eval
[200, 200]



=== TEST 10: the body is an object with the array "batch"
--- request eval
[::post('{"sentAt":"now","batch":' . ::batch(::track('u1'), ::page()) . ',"x":1}'),
 ::runs()]
--- response_body eval
[::counts(1, 0, 1, 1), "1\n"]
--- error_code eval
[200, 200]



=== TEST 11: an event may have a field "batch"
--- request eval
::post('{"type":"page","batch":[' . ::track('u1') . ']}')
--- response_body eval
::counts(0, 0, 1, 0)



=== TEST 12: "batch" is an array, and not called otherwise
--- request eval
[map { ::post($_) } '{"batch":{}}', '{"batch":null}',
 '{"Batch":[' . ::page() . ']}', '{}']
--- response_body_like eval
[(::error('invalid_event', 'type')) x 4]
--- error_code eval
[(400) x 4]



=== TEST 13: an array in an array is no event
--- request eval
[map { ::post($_) } '[[' . ::page() . ']]', '{"batch":[[' . ::page() . ']]}']
--- response_body_like eval
[(::error('invalid_event', 'object')) x 2]
--- error_code eval
[400, 400]



=== TEST 14: a body that is JSON but neither object nor array is no event
--- request eval
[map { ::post($_) } 'null', 'true', '1', '"track"']
--- response_body_like eval
[(::error('invalid_event', 'object')) x 4]
--- error_code eval
[(400) x 4]



=== TEST 15: a batch without an event is 400
--- request eval
[::post('[]'), ::post('{"batch":[]}'), ::post(" [ ]\n"), ::stored()]
--- response_body_like eval
[(::error('invalid_event', 'mapping')) x 3, qr/^knock/]
--- error_code eval
[400, 400, 400, 200]



=== TEST 16: each event is counted as accepted, duplicate or ignored
--- request eval
::post(::batch(::track('u1', 'm1'), ::track('u1', 'm1'), ::page(), ::track('u2', 'm2'),
               ::track('u1', 'm1'), ::identify('"u3"')))
--- response_body eval
::counts(3, 2, 1, 2)



=== TEST 17: an answer is JSON, on one line
--- request eval
::post(::page())
--- response_headers
Content-Type: application/json
--- response_body eval
::counts(0, 0, 1, 0)



=== TEST 18: the events of a batch apply in order: identify, then track
--- request eval
[::post(::batch(::identify('"u1"'), ::mention('u1'))), ::runs()]
--- response_body eval
[::counts(2, 0, 0, 1), "1\n"]
--- error_code eval
[200, 200]



=== TEST 19: the events of a batch apply in order: track, then identify
--- request eval
[::post(::batch(::mention('u1'), ::identify('"u1"'))), ::runs(), ::user('u1')]
--- response_body eval
[::counts(2, 0, 0, 0), "0\n", qq("u1"\n)]
--- error_code eval
[200, 200, 200]



=== TEST 20: runs stand in the order of the events
--- request eval
[::post(::batch(map { ::track("u$_") } 1 .. 9)),
 'GET /redis/LRANGE/knock:{development}:runs/0/-1']
--- response_body_like eval
['"runs":9,', ::in_order(map { qq("id":"u$_") } 1 .. 9)]
--- error_code eval
[200, 200]



=== TEST 21: bad events of a batch are listed, the good ones applied
--- request eval
[::post(::batch('1', ::track('u1'), '{"type":"x"}', ::named('""'), ::track('u2'))),
 ::runs()]
--- response_body_like eval
[qr/\A\{"accepted":2,"duplicates":0,"ignored":0,"runs":2,"errors":\[
    \{"index":0,"code":"invalid_event","message":"[^"]+"\},
    \{"index":2,"code":"invalid_event","message":"[^\}]+"\},
    \{"index":3,"code":"invalid_event","message":"[^\}]+"\}\]\}\n\z/x, qr/^2$/]
--- error_code eval
[200, 200]



=== TEST 22: with bad events in front the order is kept
--- request eval
[::post(::batch('{}', ::identify('"u1"'), '[]', ::mention('u1'), 'null')), ::runs()]
--- response_body_like eval
['"accepted":2,.*"runs":1,.*"index":0,.*"index":2,.*"index":4,', qr/^1$/]
--- error_code eval
[200, 200]



=== TEST 23: a batch whose good events are all ignored is 200
--- request eval
::post(::batch('{}', ::page()))
--- response_body_like: "accepted":0,"duplicates":0,"ignored":1,"runs":0,"errors":\[\{"index":0,



=== TEST 24: only a batch with no good event is 400, which lists them all
--- request eval
::post(::batch('{}', '7', ::named('true')))
--- response_body_like eval
qr/\A\{"error":\{"code":"invalid_event","message":.*\},"errors":\[
   \{"index":0,.*\{"index":1,.*\{"index":2,.*\]\}\n\z/x
--- error_code: 400



=== TEST 25: JSON that ends too early spoils the whole batch
--- request eval
[::post('[' . ::track('u1') . ',{"type":"track"'), ::runs()]
--- response_body_like eval
[::error('invalid_json', 'byte'), qr/^0$/]
--- error_code eval
[400, 200]



=== TEST 26: invalid JSON is told with its byte offset
--- request eval
[map { ::post($_) } '{"type":"page","a":01}', '[{"type":"page"} {}]', '{"type":"page"}x']
--- response_body_like eval
[::error('invalid_json', '\b19\b'), ::error('invalid_json', '\b17\b'),
 ::error('invalid_json', '\b15\b')]
--- error_code eval
[400, 400, 400]



=== TEST 27: an action that finds no recipients fails, which is listed
--- request eval
[::post('{"type":"track","event":"Comment Created","properties":{}}'), ::runs()]
--- response_body_like eval
['"accepted":1,.*"runs":0,"errors":\[\{"index":0,"action":"comment-created",'
 . '"code":"recipients_missing","message":"', qr/^0$/]
--- error_code eval
[200, 200]



=== TEST 28: as many events as knock_max_batch allows
--- config eval
$Knock::Test::Webhook =~ s/;/; knock_max_batch 3;/r
--- request eval
[::post(::pages(3)), ::post('{"batch":' . ::pages(3) . '}')]
--- response_body eval
[(::counts(0, 0, 3, 0)) x 2]
--- error_code eval
[200, 200]



=== TEST 29: over knock_max_batch none of the events is applied
--- config eval
($Knock::Test::Webhook =~ s/;/; knock_max_batch 3;/r) . $Knock::Test::Inspect
--- request eval
[::post(::batch((::track('u1')) x 4)),
 ::post('{"batch":' . ::batch((::track('u1')) x 4) . '}'), ::runs()]
--- response_body_like eval
[(::error('batch_too_large', '4 events.*knock_max_batch')) x 2, qr/^0$/]
--- error_code eval
[413, 413, 200]



=== TEST 30: knock_max_batch is 4000 unless set
--- request eval
[::post(::pages(4000)), ::post(::pages(4001))]
--- response_body_like eval
['"ignored":4000,', ::error('batch_too_large', '4001')]
--- error_code eval
[200, 413]



=== TEST 31: a batch of 4,000 events and 4 MB
--- http_config
knock_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=20s;
--- request eval
[::post(::batch(map { '{"type":"track","event":"Comment Created","messageId":"' . $_
                      . '","properties":{"recipients":[{"id":"u1"}],"text":"'
                      . 'y' x 900 . '"}}' } 1 .. 4000)), ::runs()]
--- response_body eval
[::counts(4000, 0, 0, 4000), "4000\n"]
--- error_code eval
[200, 200]
--- timeout: 20



=== TEST 32: an endpoint that is switched off is 403
--- seed eval
"$Knock::Test::Seed\nendpoint development segment enabled=0"
--- request eval
[::post(::track('u1')), ::post('}'), ::runs()]
--- response_body_like eval
[(::error('endpoint_disabled', 'enabled')) x 2, qr/^0$/]
--- error_code eval
[403, 403, 200]



=== TEST 33: switched off in one environment, it is on in another
--- seed eval
"$Knock::Test::Seed\nendpoint development segment enabled=0"
--- request eval
["POST /in/prod\n" . ::page()]
--- response_body eval
[::counts(0, 0, 1, 0)]
--- error_code eval
[200]



=== TEST 34: a token that is no endpoint's is 404
--- request eval
[(map { "POST /in/$_\n" . ::track('u1') } qw(other de devv DEV -dev)), ::runs()]
--- response_body_like eval
[(::error('unknown_endpoint')) x 5, qr/^0$/]
--- error_code eval
[(404) x 5, 200]



=== TEST 35: an endpoint whose token was replaced is 404, the new one serves
--- seed eval
"$Knock::Test::Seed\nendpoint development segment token=new"
--- request eval
[::post(::page()), "POST /in/new\n" . ::page()]
--- response_body_like eval
[::error('unknown_endpoint'), '"ignored":1']
--- error_code eval
[404, 200]



=== TEST 36: an empty token is 404
--- config
location /in { knock_webhook $arg_token; }
--- request eval
["POST /in\n" . ::page(), "POST /in?token=dev\n" . ::page()]
--- response_body_like eval
[::error('unknown_endpoint'), '"ignored":1']
--- error_code eval
[404, 200]



=== TEST 37: arguments of the URL don't matter
--- request eval
"POST /in/dev?a=b&token=x\n" . ::page()
--- response_body eval
::counts(0, 0, 1, 0)



=== TEST 38: an empty body is 400 and says to look at the mapping
--- more_headers eval
['', '', 'Content-Length: 0', 'Content-Type: application/json']
--- request eval
["POST /in/dev", "PUT /in/dev", "PATCH /in/dev\n", "POST /in/dev"]
--- response_body_like eval
[(::error('invalid_json', 'empty.*mapping')) x 4]
--- error_code eval
[(400) x 4]



=== TEST 39: white space only is an empty body
--- more_headers
Content-Length: 5
--- request eval
"POST /in/dev\n \t\r\n "
--- response_body_like eval
::error('invalid_json', 'empty.*mapping')
--- error_code: 400



=== TEST 40: white space around the body does not matter
--- more_headers eval
['Content-Length: ' . (8 + length ::page()), 'Content-Length: ' . (10 + length ::page())]
--- request eval
["POST /in/dev\n \t\r\n" . ::page() . " \t\r\n", "POST /in/dev\n \t\r\n[" . ::page() . "] \t\r\n"]
--- response_body eval
[(::counts(0, 0, 1, 0)) x 2]
--- error_code eval
[200, 200]



=== TEST 41: a content encoding is 415, identity is none, and so is no name
--- more_headers eval
[(map { "Content-Encoding: $_" } qw(gzip br deflate identity Identity), ''), '']
--- request eval
[(::post(::track('u1', 'm'))) x 6, ::runs()]
--- response_body_like eval
[(::error('unsupported_encoding', 'compressed')) x 3, '"accepted":1',
 ('"duplicates":1') x 2, qr/^1$/]
--- error_code eval
[415, 415, 415, 200, 200, 200, 200]



=== TEST 42: a body of just client_max_body_size
--- config eval
$Knock::Test::Webhook =~ s/;/; client_max_body_size 1k;/r
--- request eval
::post(::sized(1024))
--- response_body eval
::counts(0, 0, 1, 0)



=== TEST 43: a byte over client_max_body_size is 413, with a JSON body
--- config eval
$Knock::Test::Webhook =~ s/;/; client_max_body_size 1k;/r
--- request eval
::post(::sized(1025))
--- response_headers
Content-Type: application/json
--- response_body_like eval
::error('body_too_large', 'client_max_body_size')
--- error_code: 413



=== TEST 44: a chunked body
--- more_headers
Transfer-Encoding: chunked
--- request eval
[map { "POST /in/dev\n" . ::chunks(::track('u1', 'm'), $_) } 1, 7, 1000]
--- response_body eval
[::counts(1, 0, 0, 1), (::counts(0, 1, 0, 0)) x 2]
--- error_code eval
[200, 200, 200]



=== TEST 45: a chunked body of just client_max_body_size
--- config eval
$Knock::Test::Webhook =~ s/;/; client_max_body_size 1k;/r
--- more_headers
Transfer-Encoding: chunked
--- request eval
[map { "POST /in/dev\n" . ::chunks(::sized(1024), $_) } 100, 1024]
--- response_body eval
[(::counts(0, 0, 1, 0)) x 2]
--- error_code eval
[200, 200]



=== TEST 46: a chunked body of a byte over client_max_body_size
--- config eval
$Knock::Test::Webhook =~ s/;/; client_max_body_size 1k;/r
--- more_headers
Transfer-Encoding: chunked
--- request eval
[map { "POST /in/dev\n" . ::chunks(::sized(1025), $_) } 100, 1025]
--- response_headers eval
[("Content-Type: application/json") x 2]
--- response_body_like eval
[(::error('body_too_large', 'client_max_body_size')) x 2]
--- error_code eval
[413, 413]



=== TEST 47: an empty chunked body
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /in/dev\n0\r\n\r\n"
--- response_body_like eval
::error('invalid_json', 'mapping')
--- error_code: 400



=== TEST 48: a body that goes to a temporary file
--- config eval
"client_body_buffer_size 1k; $Knock::Test::Webhook $Knock::Test::Inspect"
--- request eval
[::post(::batch(::sized(100_000), map { ::track("u$_") } 1 .. 50)), ::runs()]
--- response_body eval
[::counts(50, 0, 1, 50), "50\n"]
--- error_code eval
[200, 200]



=== TEST 49: a body that is always in a file
--- config eval
"client_body_in_file_only clean; $Knock::Test::Webhook"
--- request eval
::post(::track('u1'))
--- response_body eval
::counts(1, 0, 0, 1)



=== TEST 50: a chunked body that goes to a temporary file
--- config eval
"client_body_buffer_size 1k; $Knock::Test::Webhook"
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /in/dev\n" . ::chunks(::batch(::sized(50_000), ::track('u1')), 3000)
--- response_body eval
::counts(1, 0, 1, 1)



=== TEST 51: a body in two buffers
--- config eval
"client_body_buffer_size 4k; $Knock::Test::Webhook"
--- raw_request eval
my $body = ::batch(::sized(1000), ::track('u1'), ::sized(1000));
["POST /in/dev HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: "
 . length($body) . "\r\n\r\n" . substr($body, 0, 500), substr($body, 500, 900),
 substr($body, 1400)]
--- raw_request_middle_delay: 0.05
--- response_body eval
::counts(1, 0, 2, 1)



=== TEST 52: a body that comes byte by byte
--- raw_request eval
my $body = ::track('u1');
["POST /in/dev HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: "
 . length($body) . "\r\n\r\n", split //, $body]
--- raw_request_middle_delay: 0.002
--- response_body eval
::counts(1, 0, 0, 1)



=== TEST 53: HTTP/1.0
--- request eval
"POST /in/dev HTTP/1.0\n" . ::page()
--- response_body eval
::counts(0, 0, 1, 0)



=== TEST 54: the type of an event in any case
--- request eval
::post(::batch(map { qq({"type":"$_","event":"E"}) }
       qw(track Track TRACK identify Identify page PAGE Screen gRoUp ALIAS)))
--- response_body eval
::counts(0, 0, 10, 0)



=== TEST 55: events of any case have one key
--- request eval
[::post(::track('u1') =~ s/"track"/"TRACK"/r),
 'GET /redis/ZRANGE/knock:{development}:catalogue:segment/0/-1']
--- response_body eval
[::counts(1, 0, 0, 1), "track/Comment Created\n"]
--- error_code eval
[200, 200]



=== TEST 56: any other type is no event
--- request eval
[map { ::post($_) } '{"type":"purchase"}', '{"type":""}', '{"type":1}', '{"type":null}',
 '{"type":["track"]}', '{"type":"track ","event":"E"}', '{"Type":"page"}',
 '{"type":"tracks","event":"E"}', qq({"type":"p\xc1ge"}), '{"type":"pag%"}']
--- response_body_like eval
[(::error('invalid_event', '\\\\"type\\\\"')) x 8, ::error('invalid_json'),
 ::error('invalid_event')]
--- error_code eval
[(400) x 10]



=== TEST 57: a track needs a non-empty event
--- request eval
[map { ::post($_) } '{"type":"track"}', map { ::named($_) } '""', 'null', 'true', '{}', '["a"]']
--- response_body_like eval
[(::error('invalid_event', '\\\\"event\\\\"')) x 6]
--- error_code eval
[(400) x 6]



=== TEST 58: other types need no event, nor does theirs matter
--- request eval
::post(::batch(map { qq({"type":"page","event":$_}) } '""', '5', 'null'))
--- response_body eval
::counts(0, 0, 3, 0)



=== TEST 59: an event name has 1 to 512 bytes
--- request eval
[map { ::post(::named($_)) } '"a"', '"' . 'a' x 512 . '"', '"' . "\xc3\xa9" x 256 . '"',
 '"' . '\u00e9' x 256 . '"', '"' . 'a' x 513 . '"', '"' . "\xc3\xa9" x 256 . 'a"']
--- response_body_like eval
[('"ignored":1,') x 4, (::error('invalid_event', '513')) x 2]
--- error_code eval
[(200) x 4, 400, 400]



=== TEST 60: an id is a string or an integer, and stored as a string
--- request eval
[::post(::batch(map { ::identify($_) } '42', '"u1"', '-7', '12345678901234567890123')),
 map { ::user($_) } '42', 'u1', '-7', '12345678901234567890123']
--- response_body eval
[::counts(4, 0, 0, 0), qq("42"\n), qq("u1"\n), qq("-7"\n), qq("12345678901234567890123"\n)]
--- error_code eval
[(200) x 5]



=== TEST 61: an integer and a string of its digits are one id
--- request eval
[::post(::batch(::identify('42'), ::mention('42'))),
 ::post('{"type":"track","event":"Comment Created","properties":{"recipients":42}}'),
 ::runs()]
--- response_body eval
[::counts(2, 0, 0, 1), ::counts(1, 0, 0, 1), "2\n"]
--- error_code eval
[200, 200, 200]



=== TEST 62: in a run integer ids are strings
--- request eval
[::post('{"type":"track","event":"Comment Created","properties":{"recipients":[{"id":42}],'
        . '"commenter":{"id":7},"org":9007199254740993,"comment":{"id":12}}}'),
 'GET /redis/LINDEX/knock:{development}:runs/0']
--- response_body_like eval
['"runs":1', '"recipient":\{"collection":"\$users","id":"42"\},'
 . '"actor":\{"collection":"\$users","id":"7"\},"tenant":"9007199254740993",'
 . '"cancellation_key":"12",']
--- error_code eval
[200, 200]



=== TEST 63: an id has 1 to 256 bytes, another is none
--- request eval
[::post(::batch(map { ::identify($_) } '"a"', '"' . 'a' x 256 . '"', '9' x 256,
                '"' . "\xc3\xa9" x 128 . '"', '"' . '\u00e9' x 128 . '"')),
 map { ::post(::identify($_)) } '""', '"' . 'a' x 257 . '"', '9' x 257,
                                '"' . "\xc3\xa9" x 128 . 'a"']
--- response_body_like eval
['"accepted":5,', ('"accepted":0,.*"ignored":1,') x 4]
--- error_code eval
[(200) x 5]



=== TEST 64: an id has no control characters
--- request eval
[map { ::post(::identify($_)) } '"a\u0000"', '"\n"', '"a\u001fb"', '"\u007f"', '"\u0085"',
 qq("\xc2\x80")]
--- response_body_like eval
[('"accepted":0,.*"ignored":1,') x 6]
--- error_code eval
[(200) x 6]



=== TEST 65: an id is neither a fraction nor another type
--- request eval
[map { ::post(::identify($_)) } '1.0', '1e3', '1.5', 'true', '{}', '["u1"]']
--- response_body_like eval
[('"accepted":0,.*"ignored":1,') x 6]
--- error_code eval
[(200) x 6]



=== TEST 66: properties, traits and context.traits are objects or null
--- request eval
[(map { ::post($_) } '{"type":"page","properties":[1]}', '{"type":"identify","traits":"a"}',
  '{"type":"identify","context":{"traits":1}}'),
 ::post(::batch('{"type":"page","properties":null}', '{"type":"identify","traits":null}',
                '{"type":"page","context":{"traits":1}}'))]
--- response_body_like eval
[::error('invalid_event', 'properties'), ::error('invalid_event', 'traits'),
 ::error('invalid_event', 'context.traits'), '"ignored":3,']
--- error_code eval
[400, 400, 400, 200]



=== TEST 67: what nginx itself refuses has a JSON body too
--- config eval
($Knock::Test::Webhook =~ s/;/; deny all;/r)
--- request eval
::post(::page())
--- response_headers
Content-Type: application/json
--- response_body_like eval
::error('forbidden', '403')
--- error_code: 403



=== TEST 68: outside of its locations nginx's pages are its own
--- config
location /other { return 403; }
--- request
GET /other
--- response_body_like: <html>
--- error_code: 403



=== TEST 69: an error page of another location is not replaced
--- config eval
($Knock::Test::Webhook =~ s/;/; client_max_body_size 1k; error_page 413 \@large;/r)
. "location \@large { return 413 'mine'; }"
--- request eval
::post(::sized(1025))
--- response_body chomp
mine
--- error_code: 413
