# Contract, section 5: signatures.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);

use Knock::Test;
use Test::Nginx::Socket 'no_plan';

our $Secret = 's3cret of 20 octets';

our $Seed = $Knock::Test::Seed
            . "endpoint development segment 'signing_secret=$Secret'\n";

our $Whole = ($Knock::Test::Webhook =~ s/;/; knock_batch_signature whole;/r)
             . $Knock::Test::Inspect;

Knock::Test::begin_blocks(\&add_block_preprocessor);

# all of them but those that say otherwise need a secret

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('seed', $Seed) unless defined $block->seed;
});

no_long_string();
run_tests();


sub track {
    my ($id) = @_;

    return '{"type":"track","event":"Comment Created","messageId":"m-' . $id
           . qq(","properties":{"recipients":[{"id":"$id"}]}});
}

# The header of a signature over the text.

sub signed { return 'X-Signature: ' . hmac($_[0]) }

sub hmac { return hmac_sha1_hex($_[0], $_[1] // $Secret) }

# A body is sent with its length, or the client would trim it.

sub post { return "POST /in/dev\n$_[0]" }

sub headers {
    my ($body, @lines) = @_;

    return join "\n", 'Content-Length: ' . length $body, @lines;
}

sub runs { return 'GET /redis/LLEN/knock:{development}:runs' }

sub stored { return 'GET /redis/KEYS/knock:{development}:[^vewa]*' }

sub counts {
    my ($accepted, $runs) = @_;

    return qq({"accepted":$accepted,"duplicates":0,"ignored":0,)
           . qq("runs":$runs,"errors":[]}\n);
}

sub refused {
    my ($words) = @_;

    return qr/\A\{"error":\{"code":"invalid_signature","message":"(?=.{20})[^\n]*$words[^\n]*"\}\}\n\z/;
}

__DATA__

=== TEST 1: the signature is the HMAC-SHA1 of the raw body, in lower-case hex
--- more_headers eval
[::signed(::track('u1')), ::signed(::track('u2')), ::signed(::track('u3')), '']
--- request eval
[::post(::track('u1')), "PUT /in/dev\n" . ::track('u2'),
 "PATCH /in/dev\n" . ::track('u3'), ::runs()]
--- response_body eval
[(::counts(1, 1)) x 3, "3\n"]
--- error_code eval
[(200) x 4]



=== TEST 2: the example of RFC 2202 that has a textual key
--- seed eval
"$::Seed\nendpoint development segment signing_secret=Jefe"
--- more_headers
X-Signature: effcdf6ae5eb2fa2d27416d5f184df9c259a7c79
--- request
POST /in/dev
what do ya want for nothing?
--- response_body_like: "code":"invalid_json"
--- error_code: 400



=== TEST 3: white space of the body is signed too
--- more_headers eval
my $body = " " . ::track('u1') . "\r\n";
[::headers($body, ::signed($body)), ::headers($body, ::signed(::track('u1')))]
--- request eval
[::post(' ' . ::track('u1') . "\r\n"), ::post(' ' . ::track('u1') . "\r\n")]
--- response_body_like eval
['"accepted":1,', ::refused('match')]
--- error_code eval
[200, 401]



=== TEST 4: a missing signature is 401 and nothing is applied
--- more_headers eval
['', 'X-Signature:', 'X-Signatur: x', '']
--- request eval
[(::post(::track('u1'))) x 3, ::stored()]
--- response_body_like eval
[(::refused('missing')) x 3, qr/^$/]
--- error_code eval
[401, 401, 401, 200]



=== TEST 5: a wrong signature is 401 and nothing is applied
--- more_headers eval
[map { "X-Signature: $_" } ::hmac(::track('u2')), ::hmac(::track('u1'), 'other'),
 ::hmac(::track('u1'), ''), '0' x 40,
 ::hmac(::track('u1')) =~ tr/0-9a-f/1-9a-f0/r, 'none needed']
--- request eval
[(::post(::track('u1'))) x 5, ::stored()]
--- response_body_like eval
[(::refused('match')) x 5, qr/^$/]
--- error_code eval
[(401) x 5, 200]



=== TEST 6: each digit of a signature counts
--- more_headers eval
my $right = ::hmac(::track('u1'));
[map { my $wrong = $right; substr($wrong, $_, 1) =~ tr/0-9a-f/1-9a-f0/; "X-Signature: $wrong" }
 0 .. 39]
--- request eval
[(::post(::track('u1'))) x 40]
--- response_body_like eval
[(::refused('match')) x 40]
--- error_code eval
[(401) x 40]



=== TEST 7: upper-case digits are no signature
--- more_headers eval
['X-Signature: ' . uc ::hmac(::track('u1')),
 'X-Signature: ' . (::hmac(::track('u1')) =~ s/([a-f])/\u$1/r), '']
--- request eval
[::post(::track('u1')), ::post(::track('u1')), ::stored()]
--- response_body_like eval
[(::refused('lower-case')) x 2, qr/^$/]
--- error_code eval
[401, 401, 200]



=== TEST 8: nor is anything shorter, longer or not hex
--- more_headers eval
my $right = ::hmac(::track('u1'));
[map { "X-Signature: $_" } substr($right, 0, 39), "${right}0", "sha1=$right", "$right,$right",
 'g' . substr($right, 1), "0x$right", substr($right, 0, 20), 'x']
--- request eval
[(::post(::track('u1'))) x 8]
--- response_body_like eval
[(::refused('malformed')) x 8]
--- error_code eval
[(401) x 8]



=== TEST 9: a header's name is told in any case
--- more_headers eval
'x-sIGNATURE: ' . ::hmac(::track('u1'))
--- request eval
::post(::track('u1'))
--- response_body eval
::counts(1, 1)



=== TEST 10: the secret of HMAC may be longer than its block
--- seed eval
"$::Seed\nendpoint development segment signing_secret=" . 'k' x 65
--- more_headers eval
'X-Signature: ' . ::hmac(::track('u1'), 'k' x 65)
--- request eval
::post(::track('u1'))
--- response_body eval
::counts(1, 1)



=== TEST 11: without a secret nothing is verified
--- seed eval
$Knock::Test::Seed
--- more_headers eval
['', 'X-Signature: wrong']
--- request eval
[::post(::track('u1')), ::post(::track('u2'))]
--- response_body eval
[(::counts(1, 1)) x 2]
--- error_code eval
[200, 200]



=== TEST 12: a secret that is empty is none
--- seed eval
"$::Seed\nendpoint development segment signing_secret="
--- request eval
::post(::track('u1'))
--- response_body eval
::counts(1, 1)



=== TEST 13: the secret is an endpoint's: another environment's is not asked
--- more_headers eval
['', 'X-Signature: ' . ::hmac('{"type":"page"}')]
--- request eval
[("POST /in/prod\n{\"type\":\"page\"}") x 2]
--- response_body_like eval
['"ignored":1', '"ignored":1']
--- error_code eval
[200, 200]



=== TEST 14: a new secret governs what is received after it
--- seed eval
"$::Seed\nendpoint development segment signing_secret=new"
--- more_headers eval
['X-Signature: ' . ::hmac(::track('u1')), 'X-Signature: ' . ::hmac(::track('u1'), 'new')]
--- request eval
[(::post(::track('u1'))) x 2]
--- response_body_like eval
[::refused('match'), '"accepted":1']
--- error_code eval
[401, 200]



=== TEST 15: an array is signed over its first event
--- more_headers eval
[::signed(::track('u1')), '']
--- request eval
[::post('[' . ::track('u1') . ',' . ::track('u2') . ']'), ::runs()]
--- response_body eval
[::counts(2, 2), "2\n"]
--- error_code eval
[200, 200]



=== TEST 16: or over the whole body
--- more_headers eval
::signed('[' . ::track('u1') . ',' . ::track('u2') . ']')
--- request eval
::post('[' . ::track('u1') . ',' . ::track('u2') . ']')
--- response_body eval
::counts(2, 2)



=== TEST 17: an array of one event, either way
--- more_headers eval
[::signed(::track('u1')), ::signed('[' . ::track('u2') . ']')]
--- request eval
[::post('[' . ::track('u1') . ']'), ::post('[' . ::track('u2') . ']')]
--- response_body eval
[(::counts(1, 1)) x 2]
--- error_code eval
[200, 200]



=== TEST 18: not over any other event, nor over all without the brackets
--- more_headers eval
[::signed(::track('u2')), ::signed(::track('u1') . ',' . ::track('u2')), ::signed('['),
 ::signed(''), '']
--- request eval
[(::post('[' . ::track('u1') . ',' . ::track('u2') . ']')) x 4, ::stored()]
--- response_body_like eval
[(::refused('match')) x 4, qr/^$/]
--- error_code eval
[(401) x 4, 200]



=== TEST 19: the first event's bytes, without white space around it
--- more_headers eval
my $body = " [\n\t" . ::track('u1') . " \r\n, " . ::track('u2') . " ]\n";
[::headers($body, ::signed(::track('u1'))), ::headers($body, ::signed(::track('u1') . ' '))]
--- request eval
[(::post(" [\n\t" . ::track('u1') . " \r\n, " . ::track('u2') . " ]\n")) x 2]
--- response_body_like eval
['"accepted":2', ::refused('match')]
--- error_code eval
[200, 401]



=== TEST 20: the first event's bytes, with white space within it
--- more_headers eval
::signed('{ "type" : "page" ,"a":[1 , {"b":"]},{"}, "\\"]" ] }')
--- request eval
::post('[{ "type" : "page" ,"a":[1 , {"b":"]},{"}, "\\"]" ] },' . ::track('u1') . ']')
--- response_body_like: "accepted":1,"duplicates":0,"ignored":1,



=== TEST 21: the first event is signed though it is none
--- more_headers eval
[::signed('17'), ::signed('"a,b"'), ::signed('{}')]
--- request eval
[map { ::post("[$_," . ::track($_ =~ /(\w+)/ ? $1 : 'u1') . ']') } '17', '"a,b"', '{}']
--- response_body_like eval
[('"accepted":1,.*"errors":\[\{"index":0,') x 3]
--- error_code eval
[200, 200, 200]



=== TEST 22: {"batch":[...]} is signed over the whole body only
--- more_headers eval
my $body = '{"batch":[' . ::track('u1') . ',' . ::track('u2') . ']}';
[::signed(::track('u1')), ::signed('[' . ::track('u1') . ',' . ::track('u2') . ']'), ::signed($body)]
--- request eval
[(::post('{"batch":[' . ::track('u1') . ',' . ::track('u2') . ']}')) x 3]
--- response_body_like eval
[(::refused('match')) x 2, '"accepted":2']
--- error_code eval
[401, 401, 200]



=== TEST 23: an empty array is signed over the whole body
--- more_headers eval
[::signed(''), ::signed('[]')]
--- request eval
[::post('[]'), ::post('[]')]
--- response_body_like eval
[::refused('match'), '"code":"invalid_event"']
--- error_code eval
[401, 400]



=== TEST 24: an array that does not end is signed over its first event too
--- more_headers eval
[::signed(::track('u1')), ::signed(::track('u1')), ::signed(::track('u1')), '']
--- request eval
[::post('[' . ::track('u1') . ','), ::post('[' . ::track('u1')), ::post('[' . ::track('u1') . ',}'),
 ::stored()]
--- response_body_like eval
['"code":"invalid_json"', ::refused('match'), '"code":"invalid_json"', qr/^$/]
--- error_code eval
[400, 401, 400, 200]



=== TEST 25: knock_batch_signature whole: arrays over the whole body only
--- config eval
$::Whole
--- more_headers eval
my $body = '[' . ::track('u1') . ',' . ::track('u2') . ']';
[::signed(::track('u1')), '', ::signed($body), '']
--- request eval
[::post('[' . ::track('u1') . ',' . ::track('u2') . ']'), ::runs(),
 ::post('[' . ::track('u1') . ',' . ::track('u2') . ']'), ::runs()]
--- response_body_like eval
[::refused('match'), '^0$', '"accepted":2', '^2$']
--- error_code eval
[401, 200, 200, 200]



=== TEST 26: knock_batch_signature whole: an array of one event too
--- config eval
$::Whole
--- more_headers eval
[::signed(::track('u1')), ::signed('[' . ::track('u1') . ']')]
--- request eval
[(::post('[' . ::track('u1') . ']')) x 2]
--- response_body_like eval
[::refused('match'), '"accepted":1']
--- error_code eval
[401, 200]



=== TEST 27: knock_batch_signature whole: one event as ever
--- config eval
$::Whole
--- more_headers eval
[::signed(::track('u1')), '']
--- request eval
[(::post(::track('u1'))) x 2]
--- response_body_like eval
['"accepted":1', ::refused('missing')]
--- error_code eval
[200, 401]



=== TEST 28: knock_batch_signature first is the default, and may be said
--- config eval
$Knock::Test::Webhook =~ s/;/; knock_batch_signature first;/r
--- more_headers eval
::signed(::track('u1'))
--- request eval
::post('[' . ::track('u1') . ',' . ::track('u2') . ']')
--- response_body eval
::counts(2, 2)



=== TEST 29: knock_batch_signature of a location wins over the server's
--- config eval
"knock_batch_signature whole;" . ($Knock::Test::Webhook =~ s/;/; knock_batch_signature first;/r)
--- more_headers eval
::signed(::track('u1'))
--- request eval
::post('[' . ::track('u1') . ',' . ::track('u2') . ']')
--- response_body eval
::counts(2, 2)



=== TEST 30: knock_batch_signature is inherited
--- config eval
"knock_batch_signature whole; $Knock::Test::Webhook"
--- more_headers eval
::signed(::track('u1'))
--- request eval
::post('[' . ::track('u1') . ',' . ::track('u2') . ']')
--- response_body_like eval
::refused('match')
--- error_code: 401



=== TEST 31: knock_batch_signature is one of two
--- config eval
$Knock::Test::Webhook =~ s/;/; knock_batch_signature both;/r
--- must_die
--- error_log
invalid value "both"



=== TEST 32: a body in a temporary file
--- config eval
$Knock::Test::Webhook =~ s/;/; client_body_in_file_only clean;/r
--- more_headers eval
[::signed(::track('u1')), ::signed(::track('u2'))]
--- request eval
[::post('[' . ::track('u1') . ',' . ::track('u2') . ']'),
 ::post('[' . ::track('u1') . ',' . ::track('u2') . ']')]
--- response_body_like eval
['"accepted":2', ::refused('match')]
--- error_code eval
[200, 401]



=== TEST 33: a chunked body is signed as it is without the chunks
--- more_headers eval
"Transfer-Encoding: chunked\n" . ::signed(::track('u1'))
--- request eval
::post(sprintf "5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", substr(::track('u1'), 0, 5),
       length(::track('u1')) - 5, substr(::track('u1'), 5))
--- response_body eval
::counts(1, 1)



=== TEST 34: a signature is verified before JSON is looked at
--- more_headers
X-Signature: 0000000000000000000000000000000000000000
--- request eval
[::post('{"type":'), 'POST /in/dev', ::post("\xff")]
--- response_body_like eval
[(::refused('match')) x 3]
--- error_code eval
[401, 401, 401]



=== TEST 35: an empty body that is signed is told of as one
--- more_headers eval
::signed('')
--- request
POST /in/dev
--- response_body_like: "code":"invalid_json".*mapping
--- error_code: 400



=== TEST 36: an endpoint that is switched off is 403, whatever is signed
--- seed eval
"$::Seed\nendpoint development segment enabled=0"
--- more_headers eval
['', ::signed(::track('u1'))]
--- request eval
[(::post(::track('u1'))) x 2]
--- response_body_like eval
[('"code":"endpoint_disabled"') x 2]
--- error_code eval
[403, 403]



=== TEST 37: a repeat needs a signature too
--- more_headers eval
[::signed(::track('u1')), '', ::signed(::track('u1'))]
--- request eval
[(::post(::track('u1'))) x 3]
--- response_body_like eval
['"accepted":1', ::refused('missing'), '"duplicates":1']
--- error_code eval
[200, 401, 200]



=== TEST 38: the secret is never told
--- more_headers
X-Signature: 0000000000000000000000000000000000000000
--- request eval
::post(::track('u1'))
--- response_body_unlike: s3cret
--- error_code: 401
--- no_error_log
s3cret
