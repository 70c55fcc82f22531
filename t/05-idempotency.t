# Contract, section 5: what is a repeat, and what is not.

use strict;
use warnings;

use Knock::Test;
use Test::Nginx::Socket 'no_plan';

$Knock::Test::Seed .= 'endpoint development other token=other identify_enabled=1' . "\n"
    . 'action development ' . live_action(key => '"other"', source => '"other"',
                                          event => '"track/Comment Created"') . "\n"
    . 'action development ' . live_action(key => '"second"',
                                          event => '"track/Second"') . "\n"
    . 'action development ' . live_action(key => '"paged"', event => '"page"') . "\n"
    . 'workflow production new-comment' . "\n"
    . 'action production ' . live_action(event => '"track/Comment Created"') . "\n";

our ($Once, $Again, $None)
    = (counts(1, 0, 0, 1), counts(0, 1, 0, 0), counts(1, 0, 0, 0));

Knock::Test::begin_blocks(\&add_block_preprocessor);

no_long_string();
run_tests();


# An event with this messageId, JSON text, or none; its recipient is inline.

sub track {
    my ($message_id, $event, $id) = @_;

    $event //= 'Comment Created';
    $id //= 'u1';

    return qq({"type":"track","event":"$event",)
           . (defined $message_id ? qq("messageId":$message_id,) : '')
           . qq("properties":{"recipients":[{"id":"$id"}]}});
}

sub page {
    return qq({"type":"page","messageId":$_[0],)
           . '"properties":{"recipients":[{"id":"u1"}]}}';
}

# of a user who must have been identified

sub mention {
    my ($message_id, $recipients) = @_;

    return qq({"type":"track","event":"Comment Created","messageId":$message_id,)
           . qq("properties":{"recipients":$recipients}});
}

sub identify {
    my ($message_id, $name) = @_;

    return qq({"type":"identify","messageId":$message_id,"userId":"u1",)
           . qq("traits":{"name":"$name"}});
}

sub post { return "POST /in/" . ($_[1] // 'dev') . "\n$_[0]" }

sub batch { return '[' . join(',', @_) . ']' }

sub runs { return 'GET /redis/LLEN/knock:{' . ($_[0] // 'development') . '}:runs' }

sub name { return 'GET /redis/HGET/knock:{development}:user:u1/name' }

sub marks { return "GET /redis/HLEN/knock:{development}:seen:$_[0]" }

sub counts {
    my ($accepted, $duplicates, $ignored, $runs) = @_;

    return qq({"accepted":$accepted,"duplicates":$duplicates,)
           . qq("ignored":$ignored,"runs":$runs,"errors":[]}\n);
}

__DATA__

=== TEST 1: a repeat is counted in duplicates and changes nothing
--- request eval
[(::post(::track('"m1"'))) x 3, ::runs()]
--- response_body eval
[$::Once, $::Again, $::Again, "1\n"]
--- error_code eval
[(200) x 4]



=== TEST 2: a repeat is known though the rest of the event has changed
--- request eval
[::post(::identify('"m1"', 'One')), ::post(::identify('"m1"', 'Two')), ::name()]
--- response_body eval
[$::None, $::Again, qq("One"\n)]
--- error_code eval
[200, 200, 200]



=== TEST 3: another messageId is another event
--- request eval
[map({ ::post(::track($_)) } '"m1"', '"m2"', '"M1"', '"m1 "', '"m10"'), ::runs()]
--- response_body eval
[($::Once) x 5, "5\n"]
--- error_code eval
[(200) x 6]



=== TEST 4: a messageId is what its escapes stand for
--- request eval
[map { ::post(::track($_)) } '"m/\u00e9"', "\"m\\/\xc3\xa9\"", '"\u006d/\u00E9"']
--- response_body eval
[$::Once, $::Again, $::Again]
--- error_code eval
[200, 200, 200]



=== TEST 5: another event name is another event
--- request eval
[::post(::track('"m1"')), ::post(::track('"m1"', 'Second')), ::post(::track('"m1"', 'Second')),
 ::post(::track('"m1"', 'comment created')), ::runs()]
--- response_body eval
[$::Once, $::Once, $::Again, ::counts(0, 0, 1, 0), "2\n"]
--- error_code eval
[(200) x 5]



=== TEST 6: another type is another event
--- request eval
[::post(::track('"m1"')), ::post(::page('"m1"')), ::post(::identify('"m1"', 'N')),
 ::post(::page('"m1"')), ::post(::identify('"m1"', 'M'))]
--- response_body eval
[$::Once, $::Once, $::None, $::Again, $::Again]
--- error_code eval
[(200) x 5]



=== TEST 7: a type in another case is the same event
--- request eval
[::post(::track('"m1"')), ::post(::track('"m1"') =~ s/"track"/"Track"/r)]
--- response_body eval
[$::Once, $::Again]
--- error_code eval
[200, 200]



=== TEST 8: another source is another event
--- request eval
[::post(::track('"m1"')), ::post(::track('"m1"'), 'other'), ::post(::track('"m1"'), 'other'),
 ::runs()]
--- response_body eval
[$::Once, $::Once, $::Again, "2\n"]
--- error_code eval
[(200) x 4]



=== TEST 9: another environment is another event
--- request eval
[::post(::track('"m1"')), ::post(::track('"m1"'), 'prod'), ::post(::track('"m1"'), 'prod'),
 ::runs(), ::runs('production')]
--- response_body eval
[$::Once, $::Once, $::Again, "1\n", "1\n"]
--- error_code eval
[(200) x 5]



=== TEST 10: an endpoint's new token does not make new events
--- http_config eval
$Knock::Test::Http
--- request eval
[::post(::track('"m1"')),
 'GET /redis/FCALL/knock_endpoint_set/2/knock:{development}:version/'
 . 'knock:{development}:endpoints/1/segment/token/new',
 ::post(::track('"m1"'), 'new')]
--- response_body eval
[$::Once, "OK\n", $::Again]
--- error_code eval
[200, 200, 200]



=== TEST 11: repeats in one batch
--- request eval
[::post(::batch(::track('"m1"'), ::track('"m2"'), ::track('"m1"'), ::track('"m1"'),
                ::track('"m2"', 'Second'))), ::runs()]
--- response_body eval
[::counts(3, 2, 0, 3), "3\n"]
--- error_code eval
[200, 200]



=== TEST 12: of repeats in one batch the first counts
--- request eval
[::post(::batch(::identify('"m1"', 'One'), ::identify('"m1"', 'Two'))), ::name()]
--- response_body eval
[::counts(1, 1, 0, 0), qq("One"\n)]
--- error_code eval
[200, 200]



=== TEST 13: repeats with others in a fresh batch
--- request eval
[::post(::batch(::track('"m1"'), ::track('"m2"'))),
 ::post(::batch(::track('"m3"'), ::track('"m2"'), ::track('"m4"'), ::track('"m1"'))), ::runs()]
--- response_body eval
[::counts(2, 0, 0, 2), ::counts(2, 2, 0, 2), "4\n"]
--- error_code eval
[200, 200, 200]



=== TEST 14: an ignored event is remembered
--- request eval
[map { ::post($_) } (::track('"m1"', 'No Action')) x 2, ('{"type":"group","messageId":"g"}') x 2]
--- response_body eval
[::counts(0, 0, 1, 0), $::Again, ::counts(0, 0, 1, 0), $::Again]
--- error_code eval
[(200) x 4]



=== TEST 15: an event whose recipients were left out is remembered
--- request eval
[::post(::mention('"m1"', '["u1"]')), ::post(::identify('"i"', 'N')),
 ::post(::mention('"m1"', '["u1"]')), ::runs()]
--- response_body eval
[$::None, $::None, $::Again, "0\n"]
--- error_code eval
[(200) x 4]



=== TEST 16: of an event that failed nothing is remembered
--- request eval
[::post(::mention('"m1"', 'null')), ::post(::mention('"m1"', 'null')),
 ::post(::mention('"m1"', '[{"id":"u1"}]')), ::post(::mention('"m1"', '[{"id":"u1"}]')), ::runs()]
--- response_body_like eval
['recipients_missing', '"duplicates":0,.*recipients_missing', '"accepted":1,.*"runs":1,',
 '"duplicates":1', qr/^1$/]
--- error_code eval
[(200) x 5]



=== TEST 17: of an event that failed in a batch nothing is remembered
--- request eval
[::post(::batch(::mention('"m1"', 'null'), ::mention('"m1"', '{"id":"u1"}'),
                ::mention('"m1"', '{"id":"u1"}'))), ::runs()]
--- response_body_like eval
['"accepted":2,"duplicates":1,"ignored":0,"runs":1,"errors":\[\{"index":0,', qr/^1$/]
--- error_code eval
[200, 200]



=== TEST 18: of an invalid event nothing is remembered
--- request eval
[::post(::batch('{"type":"page","messageId":"m1","properties":1}', ::page('"m2"'))),
 ::post(::batch(::page('"m1"'), ::page('"m2"')))]
--- response_body_like eval
['"accepted":1,.*"index":0', '"accepted":1,"duplicates":1,']
--- error_code eval
[200, 200]



=== TEST 19: of a refused batch nothing is remembered
--- config eval
$Knock::Test::Webhook =~ s/;/; knock_max_batch 2;/r
--- request eval
[::post(::batch(map { ::track($_) } '"m1"', '"m2"', '"m3"')),
 ::post(::batch(map { ::track($_) } '"m1"', '"m2"')), ::post('[' . ::track('"m3"') . ',{]'),
 ::post(::track('"m3"'))]
--- response_body_like eval
['batch_too_large', '"accepted":2,"duplicates":0', 'invalid_json', '"accepted":1,"duplicates":0']
--- error_code eval
[413, 200, 400, 200]



=== TEST 20: an event of a user that is too large is processed whole when it fits
--- request eval
my $long = 'x' x 300_000;
[::post(::identify('"m1"', $long)), ::post(::identify('"m1"', 'short')), ::name()]
--- response_body_like eval
['"code":"user_too_large"', '"accepted":1', qr/^"short"$/]
--- error_code eval
[400, 200, 200]



=== TEST 21: without messageId an event is processed as is
--- request eval
[(::post(::track())) x 3, ::runs(), ::marks(0), ::marks(1)]
--- response_body eval
[($::Once) x 3, "3\n", "0\n", "0\n"]
--- error_code eval
[(200) x 6]



=== TEST 22: an unusable messageId is none: neither a string nor a number, or empty
--- request eval
[map({ my $id = $_; (::post(::track($id))) x 2 } 'null', 'true', '{"a":"m"}', '["m1"]', '""',
     '1' x 256),
 ::runs()]
--- response_body eval
[($::Once) x 12, "12\n"]
--- error_code eval
[(200) x 13]



=== TEST 23: a messageId of 255 characters is one
--- request eval
[map { (::post(::track($_))) x 2 } '"' . 'm' x 255 . '"', '"' . "\xe2\x82\xac" x 255 . '"',
 '"' . '\u20ac' x 254 . 'x"', '"' . '\ud83d\ude00' x 255 . '"']
--- response_body eval
[($::Once, $::Again) x 4]
--- error_code eval
[(200) x 8]



=== TEST 24: a messageId of 256 characters is none
--- request eval
[map { (::post(::track($_))) x 2 } '"' . 'm' x 256 . '"', '"' . "\xe2\x82\xac" x 256 . '"',
 '"' . '\u20ac' x 256 . '"', '"' . '\ud83d\ude00' x 256 . '"', '"' . 'm' x 5000 . '"']
--- response_body eval
[($::Once) x 10]
--- error_code eval
[(200) x 10]



=== TEST 25: long ids that begin alike are told apart
--- request eval
[map { ::post(::track(qq("$_"))) } 'm' x 254 . 'a', 'm' x 254 . 'b', 'm' x 254, 'm' x 254 . 'a']
--- response_body eval
[($::Once) x 3, $::Again]
--- error_code eval
[(200) x 4]



=== TEST 26: an id that holds a separator or NUL is no other event's
--- request eval
[map { ::post(::track($_)) } '"a\u0000b"', '"a"', '"a\u0000"', '"a:b"', '"a/b"', '"a\u0000b"']
--- response_body eval
[($::Once) x 5, $::Again]
--- error_code eval
[(200) x 6]



=== TEST 27: of a duplicated messageId the last one counts
--- request eval
[::post(::track('"m1","messageId":"m2"')), ::post(::track('"m1"')), ::post(::track('"m2"'))]
--- response_body eval
[$::Once, $::Once, $::Again]
--- error_code eval
[200, 200, 200]



=== TEST 28: a run holds the messageId, null where it is unusable
--- request eval
[::post(::track('"m1"')), ::post(::track()), ::post(::track('"' . 'm' x 256 . '"')),
 'GET /redis/LRANGE/knock:{development}:runs/0/-1']
--- response_body_like eval
[('"accepted":1,') x 3, qr/"message_id":"m1".*\n.*"message_id":null.*\n.*"message_id":null/]
--- error_code eval
[(200) x 4]



=== TEST 29: with idempotency_enabled off repeats are processed
--- seed eval
"$Knock::Test::Seed\nendpoint development segment idempotency_enabled=0"
--- request eval
[(::post(::track('"m1"'))) x 3, ::runs(), ::marks(0), ::marks(1)]
--- response_body eval
[($::Once) x 3, "3\n", "0\n", "0\n"]
--- error_code eval
[(200) x 6]



=== TEST 30: with idempotency_enabled off repeats in one batch are processed
--- seed eval
"$Knock::Test::Seed\nendpoint development segment idempotency_enabled=0"
--- request eval
[::post(::batch((::track('"m1"')) x 3)), ::runs()]
--- response_body eval
[::counts(3, 0, 0, 3), "3\n"]
--- error_code eval
[200, 200]



=== TEST 31: idempotency_enabled is an endpoint's own
--- seed eval
"$Knock::Test::Seed\nendpoint development segment idempotency_enabled=0"
--- request eval
[(::post(::track('"m1"'), 'other')) x 2, (::post(::track('"m1"'), 'prod')) x 2]
--- response_body eval
[($::Once, $::Again) x 2]
--- error_code eval
[(200) x 4]



=== TEST 32: with idempotency_enabled off and on again what was seen before is known
--- request eval
my $set = 'GET /redis/FCALL/knock_endpoint_set/2/knock:{development}:version/'
          . 'knock:{development}:endpoints/1/segment/idempotency_enabled';
[::post(::track('"m1"')), "$set/0", ::post(::track('"m1"')), "$set/1", ::post(::track('"m1"'))]
--- response_body eval
[$::Once, "OK\n", $::Once, "OK\n", $::Again]
--- error_code eval
[(200) x 5]



=== TEST 33: the window is knock_dedupe_window, which is never off
--- http_config eval
"$Knock::Test::Http knock_dedupe_window 0;"
--- must_die
--- error_log
the window must be longer than zero



=== TEST 34: a window of a day: marks go with it
--- request eval
[::post(::track('"m1"')), 'GET /redis/EVAL/'
 . 'local%20t=0%20for%20_,k%20in%20ipairs(KEYS)%20do%20t=math.max(t,redis.call("TTL",k))%20end'
 . '%20return%20t%20>%2086000%20and%20t%20<=%20172800/2/'
 . 'knock:{development}:seen:0/knock:{development}:seen:1']
--- response_body eval
[$::Once, "1\n"]
--- error_code eval
[200, 200]



=== TEST 35: events of concurrent requests are known to each other
--- pipelined_requests eval
[map { "POST /in/dev\n" . $_ } (::track('"m1"')) x 4]
--- response_body eval
[$::Once, ($::Again) x 3]
--- error_code eval
[(200) x 4]



=== TEST 36: a number is its digits, as they are written
--- request eval
[map { ::post(::track($_)) } '7', '7', '"7"', '7.0', '12345678901234567890123',
 '12345678901234567890124', '1' x 255, '1' x 255]
--- response_body eval
[$::Once, $::Again, $::Again, $::Once, $::Once, $::Once, $::Once, $::Again]
--- error_code eval
[(200) x 8]
