# Contract, section 7: track, and actions.

use strict;
use warnings;

use Knock::Blocks;
use Knock::Test;
use Test::Nginx::Socket 'no_plan';

# The default seed, or another action's, with the users u1 and u2.

our $Users = "redis HSET knock:{development}:user:u1 id '\"u1\"'\n"
             . "redis HSET knock:{development}:user:u2 id '\"u2\"'\n";

our $Seed = $Knock::Test::Seed . $Users;

sub with {
    my (@actions) = @_;

    return "endpoint development segment token=dev identify_enabled=1\n"
           . "workflow development new-comment\n" . $Users
           . join '', map { 'action development ' . live_action(%$_) . "\n" }
                      @actions ? @actions : {};
}

# a pattern of the newest log entry: status, outcome, parts of the document

sub logged {
    my ($status, $outcome, @parts) = @_;

    return 'XREVRANGE knock:{development}:log:segment + - COUNT 1 => '
           . "/\\d+-\\d+\\ns\\n$status\\nv\\n\Q$outcome\E\\nd\\n\\{.*"
           . join('.*', map { quotemeta } @parts) . ".*\\}/\n";
}

Knock::Test::begin_blocks(\&add_block_preprocessor);
Knock::Blocks::short_sections(\&add_block_preprocessor);

no_long_string();
run_tests();

__DATA__

=== TEST 1: the example of the contract
--- seed eval: $::Seed
--- post
{"type":"track","event":"Comment Created","messageId":"m1","userId":"u9","timestamp":"2024-01-02T03:04:05.678Z","properties":{"recipients":["u1","u2"],"commenter":{"id":"u9"},"org":"acme","comment":{"id":"c1"}}}
--- answer
1 0 0 2
--- redis
LINDEX knock:{development}:runs 0 => /\{"id":"[0-9a-f-]{36}","trigger_id":"[0-9a-f-]{36}","workflow":"new-comment","environment":"development","source":"segment","event":"track/Comment Created","message_id":"m1","action":"comment-created","recipient":\{"collection":"\$users","id":"u1"\},"actor":\{"collection":"\$users","id":"u9"\},"tenant":"acme","cancellation_key":"c1","data":\{"recipients":\["u1","u2"\],"commenter":\{"id":"u9"\},"org":"acme","comment":\{"id":"c1"\}\},"timestamp":"2024-01-02T03:04:05.678Z","enqueued_at":"20[^"]+Z","test":false\}/



=== TEST 2: a bare id is a user who must be identified already
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
{"type":"track","event":"T","properties":{"recipients":"nobody"}}
{"type":"track","event":"T","properties":{"recipients":["nobody","u2","u3"]}}
--- answer
1 0 0 1
1 0 0 0
1 0 0 1
--- redis eval
'EXISTS knock:{development}:user:nobody => 0' . "\n" . main::logged('p', 'nrn;', '"recipients":["nobody","u2","u3"]')



=== TEST 3: identified in this environment, not in another one
--- seed eval
$::Seed . q(workflow production new-comment
action production ) . Knock::Test::live_action(event => '"track/T"')
--- post
prod {"type":"track","event":"T","properties":{"recipients":"u1"}}
prod [{"type":"identify","userId":"u1"},{"type":"track","event":"T","properties":{"recipients":"u1"}}]
--- answer
1 0 0 0
2 0 0 1
--- redis
LLEN knock:{development}:runs => 0
LLEN knock:{production}:runs => 1



=== TEST 4: an integer is an id
--- seed eval: main::with() . q(redis HSET knock:{development}:user:12345678901234567890 id x)
--- post
{"type":"track","event":"T","properties":{"recipients":12345678901234567890}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"recipient":\{"collection":"\$users","id":"12345678901234567890"\}.*/



=== TEST 5: an inline user is upserted in the same step, then has a run
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":{"id":"sam10","name":"Sam","phone_number":"+1","phone":"+2","createdAt":"x","o":{"a":1}}}}
--- answer
1 0 0 1
--- redis
HMGET knock:{development}:user:sam10 id name phone_number phone createdAt created_at o => "sam10" | "Sam" | "+1" | "+2" | "x" | (nil) | {"a":1}
HGET knock:{development}:user:sam10 updated_at => /"20.*Z"/
LINDEX knock:{development}:runs 0 => /.*"recipient":\{"collection":"\$users","id":"sam10"\}.*/



=== TEST 6: an inline user needs no identify_enabled
--- seed
endpoint development segment token=dev
workflow development new-comment
action development {"key":"a","source":"segment","event":"track/T","type":"workflows_trigger","workflow":"new-comment","recipients":"properties.recipients"}
--- post
{"type":"track","event":"T","properties":{"recipients":{"id":"sam10"}}}
--- answer
1 0 0 1
--- redis
EXISTS knock:{development}:user:sam10 => 1



=== TEST 7: an inline user merges by the rules of identify
--- seed eval: main::with()
--- post
{"type":"identify","userId":"u1","traits":{"name":"Ann","plan":"pro","tags":[1],"o":{"a":1,"b":2.50}}}
{"type":"track","event":"T","properties":{"recipients":{"id":"u1","plan":null,"tags":[2],"o":{"b":3,"c":[]}}}}
--- answer
1 0 0 0
1 0 0 1
--- redis
HMGET knock:{development}:user:u1 name plan tags o => "Ann" | null | [2] | {"a":1,"b":3,"c":[]}



=== TEST 8: an inline user counts from its event on
--- seed eval: main::with()
--- post
[{"type":"track","event":"T","properties":{"recipients":"sam"}},{"type":"track","event":"T","properties":{"recipients":{"id":"sam"}}},{"type":"track","event":"T","properties":{"recipients":"sam"}}]
--- answer
3 0 0 2



=== TEST 9: an object recipient is upserted in its collection, then has a run
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":{"collection":"projects","id":"p1","name":"P","o":{"a":1}}}}
{"type":"track","event":"T","properties":{"recipients":{"collection":"projects","id":"p1","o":{"b":2}}}}
--- answer
1 0 0 1
1 0 0 1
--- redis
HMGET knock:{development}:object:projects:p1 id collection name o => "p1" | "projects" | "P" | {"a":1,"b":2}
LINDEX knock:{development}:runs 1 => /.*"recipient":\{"collection":"projects","id":"p1"\}.*/
KEYS *:user:p1 =>



=== TEST 10: a collection is no user, though it may be named like one
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":[{"collection":"a:b","id":"c"},{"collection":"a","id":"b:c"},{"collection":"$users","id":"u7"},{"collection":null,"id":"u8"},{"collection":"a%3Ab","id":"c"}]}}
--- answer
1 0 0 5
--- redis
EXISTS knock:{development}:object:a%3Ab:c => 1
EXISTS knock:{development}:object:a:b:c => 1
EXISTS knock:{development}:object:a%253Ab:c => 1
EXISTS knock:{development}:user:u7 => 1
EXISTS knock:{development}:user:u8 => 1



=== TEST 11: each distinct recipient gets one run
--- seed eval: main::with() . "redis HSET knock:{development}:user:7 id '\"7\"'\n"
--- post
{"type":"track","event":"T","properties":{"recipients":["u1","u2","u1",{"id":"u1","plan":"pro"},7,"7",{"collection":"c","id":"u1"},{"collection":"c","id":"u1"}]}}
--- answer
1 0 0 4
--- redis
HGET knock:{development}:user:u1 plan => "pro"
LLEN knock:{development}:runs => 4



=== TEST 12: inline objects of one recipient add up
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":[{"id":"s","a":1,"o":{"x":1}},{"id":"s","a":2,"o":{"y":2}},{"id":"s","o":{"x":{"z":3}}}]}}
--- answer
1 0 0 1
--- redis
HMGET knock:{development}:user:s a o => 2 | {"x":{"z":3},"y":2}



=== TEST 13: an element that is no recipient is left out with its reason
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":["u1",true,["u2"],"",{"name":"x"},{"id":"s","collection":7},1.5,null,"u2"]}}
--- answer
1 0 0 2
--- redis eval
main::logged('p', 'rr;', '"recipients":["u1","u2"]', '"left_out":[{"recipient":true,"reason":"invalid_recipient"},{"recipient":["u2"],"reason":"invalid_recipient"},{"recipient":"","reason":"invalid_id"},{"recipient":{"name":"x"},"reason":"invalid_id"},{"recipient":{"id":"s","collection":7},"reason":"invalid_collection"},{"recipient":1.5,"reason":"invalid_id"},{"recipient":null,"reason":"invalid_recipient"}]')



=== TEST 14: an inline recipient over 256 kB is left out, the others are served
--- seed eval: main::with()
--- post eval
'{"type":"track","event":"T","properties":{"recipients":["u1",{"id":"s","big":"' . 'x' x 262144 . '"},"u2"]}}'
--- answer
1 0 0 2
--- redis eval
'EXISTS knock:{development}:user:s => 0' . "\n" . main::logged('p', 'rlr;')



=== TEST 15: over the limit the action fails with too_many_recipients
--- seed eval: main::with()
--- http_config eval: $Knock::Test::Http . 'knock_max_recipients 2;'
--- post
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":["u1","u2",{"id":"u3"}]}}
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":["u1","u2","u1"]}}
--- answer
1 0 0 0 0:too_many_recipients:a
1 0 0 2
--- redis
EXISTS knock:{development}:user:u3 => 0
LLEN knock:{development}:runs => 2



=== TEST 16: the limit is 1000 unless said otherwise
--- seed eval
main::with(map { { key => qq("a$_"), event => qq("track/$_"), recipients => '{"literal":[' . CORE::join(',', map { qq({"id":"r$_"}) } 1 .. $_) . ']}' } } 1000, 1001)
--- post
{"type":"track","event":"1000"}
{"type":"track","event":"1001"}
--- answer
1 0 0 1000
1 0 0 0 0:too_many_recipients:a1001
--- redis
LLEN knock:{development}:runs => 1000
EXISTS knock:{development}:user:r1000 => 1
EXISTS knock:{development}:user:r1001 => 0



=== TEST 17: recipients that find nothing fail the action
--- seed eval: main::with()
--- post
{"type":"track","event":"T","messageId":"m1","properties":{"Recipients":["u1"]}}
{"type":"track","event":"T","messageId":"m1"}
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":null}}
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":["u1"]}}
--- answer
1 0 0 0 0:recipients_missing:a
1 0 0 0 0:recipients_missing:a
1 0 0 0 0:recipients_missing:a
1 0 0 1
--- redis
LLEN knock:{development}:runs => 1



=== TEST 18: an empty list of recipients is no failure
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{"recipients":[]}}
--- answer
1 0 0 0
--- redis eval
main::logged('p', ';', '"error":null')



=== TEST 19: a failed action is in the log with its error
--- seed eval: main::with()
--- post
{"type":"track","event":"T","messageId":"m1"}
--- answer
1 0 0 0 0:recipients_missing:a
--- redis eval
main::logged('f', '', '"event":"track/T","message_id":"m1","received_at":"20', '"reason":null,"actions":[{"action":"a","workflow":"new-comment","error":"recipients_missing","recipients":[]')



=== TEST 20: an unidentified actor is passed on, and noted
--- seed eval: main::with({ actor => '"userId"' })
--- post
{"type":"track","event":"T","userId":"u9","properties":{"recipients":"u1"}}
{"type":"track","event":"T","userId":"u2","properties":{"recipients":"u1"}}
--- answer
1 0 0 1
1 0 0 1
--- redis eval
'LINDEX knock:{development}:runs 0 => /.*"actor":\{"collection":"\$users","id":"u9"\},.*/' . "\n"
. "EXISTS knock:{development}:user:u9 => 0\n"
. 'XRANGE knock:{development}:log:segment - + COUNT 1 => /.*\nv\nur;\n.*"actor":"u9".*/' . "\n"
. main::logged('p', 'ar;', '"actor":"u2"')



=== TEST 21: an inline actor is upserted
--- seed eval: main::with({ actor => '"properties.actor"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1","actor":{"id":"u9","name":"Nil"}}}
{"type":"track","event":"T","properties":{"recipients":"u1","actor":{"collection":"bots","id":"b1","name":"B"}}}
--- answer
1 0 0 1
1 0 0 1
--- redis
HGET knock:{development}:user:u9 name => "Nil"
HGET knock:{development}:object:bots:b1 name => "B"
LINDEX knock:{development}:runs 0 => /.*"actor":\{"collection":"\$users","id":"u9"\},.*/
LINDEX knock:{development}:runs 1 => /.*"actor":\{"collection":"bots","id":"b1"\},.*/



=== TEST 22: what is no actor is null
--- seed eval: main::with({ actor => '"properties.actor"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1","actor":true}}
{"type":"track","event":"T","properties":{"recipients":"u1","actor":["u2"]}}
{"type":"track","event":"T","properties":{"recipients":"u1","actor":{"name":"x"}}}
{"type":"track","event":"T","properties":{"recipients":"u1","actor":""}}
--- answer
1 0 0 1
1 0 0 1
1 0 0 1
1 0 0 1
--- redis
LRANGE knock:{development}:runs 0 -1 => /(?:[^\n]*"actor":null,[^\n]*\n){4}/



=== TEST 23: a tenant is an id
--- seed eval: main::with({ tenant => '"properties.org"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1","org":"acme"}}
{"type":"track","event":"T","properties":{"recipients":"u1","org":7}}
--- answer
1 0 0 1
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"tenant":"acme",.*/
LINDEX knock:{development}:runs 1 => /.*"tenant":"7",.*/
KEYS *:object:* =>



=== TEST 24: or an object with an id, upserted as a tenant whatever it claims
--- seed eval: main::with({ tenant => '"properties.org"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1","org":{"id":"acme","name":"Acme","o":{"a":1}}}}
{"type":"track","event":"T","properties":{"recipients":"u1","org":{"collection":"orgs","id":"acme","o":{"b":2}}}}
--- answer
1 0 0 1
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"tenant":"acme",.*/
HMGET knock:{development}:object:$tenants:acme id collection name o => "acme" | "$tenants" | "Acme" | {"a":1,"b":2}
KEYS *:object:orgs:* =>



=== TEST 25: parameters that are not given or find nothing are null
--- seed eval: main::with({ actor => '"properties.actor"', tenant => '"properties.org"', cancellation_key => '"properties.key"' }, { key => '"b"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
{"type":"track","event":"T","properties":{"recipients":"u1","actor":null,"org":null,"key":null}}
--- answer
1 0 0 2
1 0 0 2
--- redis
LRANGE knock:{development}:runs 0 -1 => /(?:[^\n]*"actor":null,"tenant":null,"cancellation_key":null,[^\n]*\n){4}/



=== TEST 26: data is the whole properties object, as it was sent
--- seed eval: main::with()
--- post
{"type":"track","event":"T","properties":{ "recipients" : ["u1"] , "n":1.0,"big":12345678901234567890,"e":[],"o":{},"z":1,"a":2,"u":"\u00e9\/","d":1,"d":2}}
{"type":"track","event":"T","userId":"u1"}
--- answer
1 0 0 1
1 0 0 0 0:recipients_missing:a
--- redis
LINDEX knock:{development}:runs 0 => /.*"data":\{ "recipients" : \["u1"\] , "n":1\.0,"big":12345678901234567890,"e":\[\],"o":\{\},"z":1,"a":2,"u":"\\u00e9\\\/","d":1,"d":2\},"timestamp".*/



=== TEST 27: without properties data is an empty object
--- seed eval: main::with({ recipients => '"userId"' })
--- post
{"type":"track","event":"T","userId":"u1"}
{"type":"track","event":"T","userId":"u1","properties":null}
--- answer
1 0 0 1
1 0 0 1
--- redis
LRANGE knock:{development}:runs 0 -1 => /(?:[^\n]*"data":\{\},[^\n]*\n){2}/



=== TEST 28: an action whose workflow is not live does nothing
--- seed
endpoint development segment token=dev
redis HSET knock:{development}:user:u1 id '"u1"'
action development {"key":"a","source":"segment","event":"track/T","type":"workflows_trigger","workflow":"new-comment","recipients":"userId"}
--- post
{"type":"track","event":"T","userId":"u1"}
--- answer
0 0 1 0
--- redis
LLEN knock:{development}:runs => 0



=== TEST 29: an action or workflow that is switched off does nothing
--- seed eval: main::with({ key => '"a"' }, { key => '"b"', workflow => '"off"' }, { key => '"c"' }) . "workflow development off\ntoggle development action a 0\ntoggle development workflow off 0\n"
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"action":"c".*/



=== TEST 30: switched on again they act
--- seed eval: main::with() . "toggle development action a 0\ntoggle development workflow new-comment 0\ntoggle development action a 1\ntoggle development workflow new-comment 1\n"
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
--- answer
1 0 0 1



=== TEST 31: a toggle is of one environment
--- seed eval: main::with() . "toggle production action a 0\ntoggle production workflow new-comment 0\n"
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
--- answer
1 0 0 1



=== TEST 32: an action is live in its environment only
--- seed eval: $::Seed
--- post
prod {"type":"track","event":"Comment Created","properties":{"recipients":{"id":"u1"}}}
--- answer
0 0 1 0
--- redis
EXISTS knock:{production}:user:u1 => 0
HGET knock:{production}:catalogue_info:segment 'ctrack/Comment Created' => 1



=== TEST 33: an endpoint that is switched off takes no events
--- seed eval: main::with() . "endpoint development segment enabled=0\n"
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
--- answer
403 endpoint_disabled
--- redis
LLEN knock:{development}:runs => 0



=== TEST 34: an action is of one source
--- seed eval: main::with({ source => '"other"' })
--- post
{"type":"track","event":"T","properties":{"recipients":"u1"}}
--- answer
0 0 1 0



=== TEST 35: an action is for one event key, to the letter
--- seed eval: main::with({ event => '"track/Signed Up"' })
--- post
{"type":"track","event":"Signed Up","properties":{"recipients":"u1"}}
{"type":"track","event":"signed up","properties":{"recipients":"u1"}}
{"type":"track","event":"Signed Up ","properties":{"recipients":"u1"}}
{"type":"page","event":"Signed Up","properties":{"recipients":"u1"}}
--- answer
1 0 0 1
0 0 1 0
0 0 1 0
0 0 1 0



=== TEST 36: actions map the other event keys too
--- seed eval: main::with(map { { key => qq("a-$_"), event => qq("$_"), recipients => '"userId"' } } qw(page screen group alias identify))
--- post
{"type":"page","userId":"u1"}
{"type":"screen","userId":"u1"}
{"type":"group","userId":"u1"}
{"type":"alias","userId":"u1"}
{"type":"identify","userId":"u3","traits":{"a":1}}
--- answer
1 0 0 1
1 0 0 1
1 0 0 1
1 0 0 1
1 0 0 1
--- redis
LINDEX knock:{development}:runs 4 => /.*"event":"identify".*"action":"a-identify","recipient":\{"collection":"\$users","id":"u3"\}.*/
HGET knock:{development}:user:u3 a => 1



=== TEST 37: several actions on one event all act, in order of key
--- seed eval: main::with(map { { key => qq("$_") } } qw(b a-2 a-10 B a))
--- post
{"type":"track","event":"T","properties":{"recipients":["u1","u2"]}}
--- answer
1 0 0 10
--- redis
LRANGE knock:{development}:runs 0 -1 => /[^\n]*"action":"B".*"id":"u1"[^\n]*\n[^\n]*"action":"B".*"id":"u2"[^\n]*\n(?:[^\n]*"action":"a"[^\n]*\n){2}(?:[^\n]*"action":"a-10"[^\n]*\n){2}(?:[^\n]*"action":"a-2"[^\n]*\n){2}(?:[^\n]*"action":"b"[^\n]*\n){2}/



=== TEST 38: one action's failure leaves the others be
--- seed eval: main::with({ key => '"a"', recipients => '"properties.nobody"' }, { key => '"b"' })
--- post
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":["u1"]}}
{"type":"track","event":"T","messageId":"m1","properties":{"recipients":["u1"]}}
--- answer
1 0 0 1 0:recipients_missing:a
0 1 0 0 0:recipients_missing:a
--- redis
LLEN knock:{development}:runs => 1



=== TEST 39: an event without action is ignored, but in the catalogue
--- seed eval: main::with()
--- post
{"type":"track","event":"Nobody Cares","properties":{"a":1}}
--- answer
0 0 1 0
--- redis eval
"HGET knock:{development}:catalogue_info:segment 'ctrack/Nobody Cares' => 1\n"
. main::logged('i', '', '"event":"track/Nobody Cares"', '"reason":"no_action","actions":[]')



=== TEST 40: the log says why an identify was ignored
--- seed
endpoint development segment token=dev
--- post
{"type":"identify","userId":"u1"}
--- answer
0 0 1 0
--- redis eval
main::logged('i', '', '"event":"identify"', '"reason":"identify_disabled"')



=== TEST 41: an action that cannot be compiled is skipped, and named in the log
--- seed eval: main::with({ key => '"a"', recipients => '"properties..x"' }, { key => '"b"' })
--- post
{"type":"track","event":"T","properties":{"recipients":["u1"]}}
--- answer
1 0 0 1
--- error_log
1 live actions of "development" cannot be used, the last of them "a"



=== TEST 42: the parameters that resolved are in the log
--- seed eval: $::Seed
--- post
{"type":"track","event":"Comment Created","messageId":"m1","properties":{"recipients":["u1",{"collection":"projects","id":"p1"}],"commenter":{"id":"u9"},"org":"acme","comment":{"id":"c1"}}}
--- answer
1 0 0 2
--- redis eval
main::logged('p', 'urr;', '"actions":[{"action":"comment-created","workflow":"new-comment","error":null,"recipients":["u1",{"collection":"projects","id":"p1"}],"actor":"u9","tenant":"acme","cancellation_key":"c1","left_out":[]}]')
