# Contract, section 6: identify.

use strict;
use warnings;

use Knock::Blocks;
use Knock::Test;
use Test::Nginx::Socket 'no_plan';

Knock::Test::begin_blocks(\&add_block_preprocessor);
Knock::Blocks::short_sections(\&add_block_preprocessor);

no_long_string();
run_tests();

__DATA__

=== TEST 1: identify events are ignored unless the endpoint takes them
--- seed
endpoint development segment token=dev
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y"}}
--- answer
0 0 1 0
--- redis
EXISTS knock:{development}:user:u1 => 0
HGET knock:{development}:catalogue_info:segment cidentify => 1



=== TEST 2: where they are switched off they are ignored
--- seed
endpoint development segment token=dev identify_enabled=0
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y"}}
--- answer
0 0 1 0
--- redis
EXISTS knock:{development}:user:u1 => 0



=== TEST 3: the switch is of one environment
--- seed
endpoint development segment token=dev identify_enabled=1
endpoint production segment token=prod
--- post
{"type":"identify","userId":"u1"}
prod {"type":"identify","userId":"u1"}
--- answer
1 0 0 0
0 0 1 0
--- redis
EXISTS knock:{development}:user:u1 => 1
EXISTS knock:{production}:user:u1 => 0



=== TEST 4: without a userId an identify is ignored
--- post
{"type":"identify","anonymousId":"a1","traits":{"email":"a@x.y"}}
{"type":"identify","userId":null,"traits":{"email":"a@x.y"}}
--- answer
0 0 1 0
0 0 1 0
--- redis
KEYS *:user:* =>



=== TEST 5: userId is the user's id
--- post
{"type":"identify","userId":"u1"}
--- answer
1 0 0 0
--- redis
HGET knock:{development}:user:u1 id => "u1"
HKEYS knock:{development}:user:u1 => id | updated_at



=== TEST 6: updated_at is the time of the upsert
--- post
{"type":"identify","userId":"u1"}
--- answer
1 0 0 0
--- redis
HGET knock:{development}:user:u1 updated_at => /"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/



=== TEST 7: email, name, avatar, locale and timezone keep their names
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y","name":"Ann","avatar":"http://x/a.png","locale":"de-DE","timezone":"Europe/Berlin"}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 email name avatar locale timezone => "a@x.y" | "Ann" | "http://x/a.png" | "de-DE" | "Europe/Berlin"
HLEN knock:{development}:user:u1 => 7



=== TEST 8: phone is phone_number
--- post
{"type":"identify","userId":"u1","traits":{"phone":"+1"}}
--- answer
1 0 0 0
--- redis
HGET knock:{development}:user:u1 phone_number => "+1"
HEXISTS knock:{development}:user:u1 phone => 0



=== TEST 9: an explicit phone_number wins, whichever comes first
--- post
{"type":"identify","userId":"u1","traits":{"phone":"+1","phone_number":"+2"}}
{"type":"identify","userId":"u2","traits":{"phone_number":"+2","phone":"+1"}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 phone_number => "+2"
HGET knock:{development}:user:u2 phone_number => "+2"
HEXISTS knock:{development}:user:u1 phone => 0
HEXISTS knock:{development}:user:u2 phone => 0



=== TEST 10: firstName and lastName make the name, and stay
--- post
{"type":"identify","userId":"u1","traits":{"firstName":"Ann","lastName":"Lee"}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 name firstName lastName => "Ann Lee" | "Ann" | "Lee"



=== TEST 11: a name wins over firstName and lastName, which stay
--- post
{"type":"identify","userId":"u1","traits":{"firstName":"Ann","lastName":"Lee","name":"A. Lee"}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 name firstName lastName => "A. Lee" | "Ann" | "Lee"



=== TEST 12: one of firstName and lastName alone makes no name
--- post
{"type":"identify","userId":"u1","traits":{"firstName":"Ann"}}
{"type":"identify","userId":"u2","traits":{"lastName":"Lee","firstName":""}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 name firstName => (nil) | "Ann"
HMGET knock:{development}:user:u2 name lastName firstName => (nil) | "Lee" | ""



=== TEST 13: createdAt is created_at, and an explicit created_at wins
--- post
{"type":"identify","userId":"u1","traits":{"createdAt":"2020-01-02T03:04:05Z"}}
{"type":"identify","userId":"u2","traits":{"created_at":"2021-01-02T03:04:05Z","createdAt":"2020-01-02T03:04:05Z"}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 created_at createdAt => "2020-01-02T03:04:05Z" | (nil)
HMGET knock:{development}:user:u2 created_at createdAt => "2021-01-02T03:04:05Z" | (nil)



=== TEST 14: any other trait is a custom property of the same name
--- post
{"type":"identify","userId":"u1","traits":{"plan":"pro","seats":5,"beta":true,"tags":["a","b"],"address":{"city":"Bonn"},"a b":1,"A":2,"a":3}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 plan seats beta tags address 'a b' A a => "pro" | 5 | true | ["a","b"] | {"city":"Bonn"} | 1 | 2 | 3



=== TEST 15: a trait cannot say who the user is
--- post
{"type":"identify","userId":"u1","traits":{"id":"u2","collection":"projects","updated_at":"never","email":"a@x.y"}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 id collection email => "u1" | (nil) | "a@x.y"
HGET knock:{development}:user:u1 updated_at => /"20.*Z"/
EXISTS knock:{development}:user:u2 => 0



=== TEST 16: without traits those of the context count
--- post
{"type":"identify","userId":"u1","context":{"traits":{"email":"a@x.y","phone":"+1"}}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 email phone_number => "a@x.y" | "+1"



=== TEST 17: with traits those of the context don't count
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y"},"context":{"traits":{"email":"b@x.y","plan":"pro"}}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 email plan => "a@x.y" | (nil)



=== TEST 18: only what is given changes
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y","plan":"pro"}}
{"type":"identify","userId":"u1","traits":{"plan":"free"}}
{"type":"identify","userId":"u1"}
--- answer
1 0 0 0
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 email plan => "a@x.y" | "free"



=== TEST 19: null overwrites
--- post
{"type":"identify","userId":"u1","traits":{"email":"a@x.y","address":{"city":"Bonn"},"firstName":"A","lastName":"B"}}
{"type":"identify","userId":"u1","traits":{"email":null,"address":null,"name":null,"firstName":"C","lastName":"D"}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 email address name => null | null | null



=== TEST 20: null inside an object overwrites
--- post
{"type":"identify","userId":"u1","traits":{"address":{"city":"Bonn","zip":"1","geo":{"lat":1}}}}
{"type":"identify","userId":"u1","traits":{"address":{"city":null,"geo":null}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 address => {"city":null,"zip":"1","geo":null}



=== TEST 21: objects merge deeply into what is stored
--- post
{"type":"identify","userId":"u1","traits":{"address":{"city":"Bonn","geo":{"lat":1,"lon":2}}}}
{"type":"identify","userId":"u1","traits":{"address":{"zip":"1","geo":{"lon":3,"alt":{"m":4}}}}}
{"type":"identify","userId":"u1","traits":{"address":{"geo":{"alt":{"ft":5}}}}}
--- answer
1 0 0 0
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 address => {"city":"Bonn","geo":{"lat":1,"lon":3,"alt":{"m":4,"ft":5}},"zip":"1"}



=== TEST 22: arrays and scalars replace, at the top and inside
--- post
{"type":"identify","userId":"u1","traits":{"tags":["a","b"],"n":1,"o":{"tags":["a","b"],"n":1,"k":0}}}
{"type":"identify","userId":"u1","traits":{"tags":["c"],"n":"x","o":{"tags":[],"n":[2]}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 tags n o => ["c"] | "x" | {"tags":[],"n":[2],"k":0}



=== TEST 23: an object replaces what is no object, and the other way round
--- post
{"type":"identify","userId":"u1","traits":{"a":1,"b":{"x":1},"o":{"a":[1],"b":{"x":1}}}}
{"type":"identify","userId":"u1","traits":{"a":{"y":2},"b":2,"o":{"a":{"y":2},"b":[2]}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 a b o => {"y":2} | 2 | {"a":{"y":2},"b":[2]}



=== TEST 24: an empty object changes nothing of a stored one
--- post
{"type":"identify","userId":"u1","traits":{"o":{"a":1}}}
{"type":"identify","userId":"u1","traits":{"o":{}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 o => {"a":1}



=== TEST 25: keys of an object are case-sensitive, and bytes
--- post
{"type":"identify","userId":"u1","traits":{"o":{"a":1,"A":2,"\u00e9":3}}}
{"type":"identify","userId":"u1","traits":{"o":{"A":4,"\u0061":5,"a.b":6}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 o => /\{"a":5,"A":4,"(?:\\u00e9|\xc3\xa9)":3,"a\.b":6\}/



=== TEST 26: numbers are stored as they were written
--- post
{"type":"identify","userId":"u1","traits":{"a":1.0,"b":12345678901234567890,"c":1E400,"d":-0.0,"e":0.1000,"o":{"a":1.50,"b":9007199254740993,"l":[1.0,{}]}}}
{"type":"identify","userId":"u1","traits":{"o":{"c":1e2}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 a b c d e o => 1.0 | 12345678901234567890 | 1E400 | -0.0 | 0.1000 | {"a":1.50,"b":9007199254740993,"l":[1.0,{}],"c":1e2}



=== TEST 27: empty arrays and objects stay what they are through a merge
--- post
{"type":"identify","userId":"u1","traits":{"a":[],"o":{"a":[],"b":{}}}}
{"type":"identify","userId":"u1","traits":{"o":{"c":[{}],"d":[[]]}}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 a o => [] | {"a":[],"b":{},"c":[{}],"d":[[]]}



=== TEST 28: of a duplicated trait the last one counts
--- post
{"type":"identify","userId":"u1","traits":{"a":1,"o":{"x":1},"a":2,"o":{"y":2}}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 a o => 2 | {"y":2}



=== TEST 29: identifies of one batch merge into each other, in order
--- post
[{"type":"identify","userId":"u1","traits":{"o":{"a":1,"n":{"x":1}}}},{"type":"identify","userId":"u1","traits":{"o":{"b":2,"n":{"y":2}}}},{"type":"identify","userId":"u1","traits":{"o":{"a":3,"n":{"x":null}}}}]
--- answer
3 0 0 0
--- redis
HGET knock:{development}:user:u1 o => {"a":3,"n":{"x":null,"y":2},"b":2}



=== TEST 30: they merge into what is stored as well
--- post
{"type":"identify","userId":"u1","traits":{"o":{"s":0}}}
[{"type":"identify","userId":"u1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u2","traits":{"o":{"z":9}}},{"type":"identify","userId":"u1","traits":{"o":{"b":2}}}]
--- answer
1 0 0 0
3 0 0 0
--- redis
HGET knock:{development}:user:u1 o => {"s":0,"a":1,"b":2}
HGET knock:{development}:user:u2 o => {"z":9}



=== TEST 31: duplicates and invalid events in between take no part in it
--- post
{"type":"identify","userId":"u1","messageId":"m0","traits":{"o":{"s":0}}}
[{"type":"identify","userId":"u1","messageId":"m1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u1","messageId":"m0","traits":{"o":{"dup":1}}},{"type":"nonsense"},{"type":"identify","userId":"u1","messageId":"m1","traits":{"o":{"dup":2}}},7,{"type":"identify","userId":"u1","messageId":"m2","traits":{"o":{"b":2}}},{"type":"identify","traits":{"o":{"nobody":1}}},{"type":"identify","userId":"u1","messageId":"m3","traits":{"o":{"a":3}}}]
--- answer
1 0 0 0
3 2 1 0 2:invalid_event 4:invalid_event
--- redis
HGET knock:{development}:user:u1 o => {"s":0,"a":3,"b":2}



=== TEST 32: object, scalar, object: the scalar cuts the chain
--- post
{"type":"identify","userId":"u1","traits":{"o":{"s":0}}}
[{"type":"identify","userId":"u1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u1","traits":{"o":7}},{"type":"identify","userId":"u1","traits":{"o":{"b":2}}},{"type":"identify","userId":"u1","traits":{"o":{"c":3}}}]
--- answer
1 0 0 0
4 0 0 0
--- redis
HGET knock:{development}:user:u1 o => {"b":2,"c":3}



=== TEST 33: scalar, object, scalar: the scalar stays
--- post
{"type":"identify","userId":"u1","traits":{"o":{"s":0}}}
[{"type":"identify","userId":"u1","traits":{"o":1}},{"type":"identify","userId":"u1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u1","traits":{"o":[2]}}]
--- answer
1 0 0 0
3 0 0 0
--- redis
HGET knock:{development}:user:u1 o => [2]



=== TEST 34: a scalar in front of an object keeps what was stored out
--- post
{"type":"identify","userId":"u1","traits":{"o":{"s":0}}}
[{"type":"identify","userId":"u1","traits":{"o":null}},{"type":"identify","userId":"u1","traits":{"o":{"a":1}}}]
--- answer
1 0 0 0
2 0 0 0
--- redis
HGET knock:{development}:user:u1 o => {"a":1}



=== TEST 35: a chain and its repeat change the same once
--- post
[{"type":"identify","userId":"u1","messageId":"m1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u1","messageId":"m2","traits":{"o":{"a":{"b":2}}}}]
[{"type":"identify","userId":"u1","messageId":"m1","traits":{"o":{"a":1}}},{"type":"identify","userId":"u1","messageId":"m2","traits":{"o":{"a":{"b":2}}}}]
--- answer
2 0 0 0
0 2 0 0
--- redis
HGET knock:{development}:user:u1 o => {"a":{"b":2}}



=== TEST 36: what is stored and is no JSON object is replaced
--- seed eval
$Knock::Test::Seed . "redis HSET knock:{development}:user:u1 o '{broken' p '{}'\n"
--- post
{"type":"identify","userId":"u1","traits":{"o":{"a":1},"p":{"b":2}}}
--- answer
1 0 0 0
--- redis
HMGET knock:{development}:user:u1 o p => {"a":1} | {"b":2}



=== TEST 37: an identify that counts comes before a track of the same batch
--- post
[{"type":"identify","userId":"u1"},{"type":"track","event":"Comment Created","properties":{"recipients":["u1","u2"]}},{"type":"identify","userId":"u2"}]
--- answer
3 0 0 1
--- redis
LRANGE knock:{development}:runs 0 -1 => /\{[^\n]*"recipient":\{"collection":"\$users","id":"u1"\}[^\n]*\}/



=== TEST 38: an integer id is its digits as written
--- post
{"type":"identify","userId":12345678901234567890}
{"type":"identify","userId":-7}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:12345678901234567890 id => "12345678901234567890"
HGET knock:{development}:user:-7 id => "-7"



=== TEST 39: an integer and a string of its digits are one user
--- post
{"type":"identify","userId":42,"traits":{"a":1}}
{"type":"identify","userId":"42","traits":{"b":2}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HMGET knock:{development}:user:42 a b => 1 | 2
KEYS *:user:* => knock:{development}:user:42



=== TEST 40: an id with braces, colons, quotes and spaces reaches one key
--- post
{"type":"identify","userId":"a{b}:c\"d'e \\ %41*"}
--- answer
1 0 0 0
--- redis
KEYS *:user:* => knock:{development}:user:a{b}:c"d'e \ %41*
HGET "knock:{development}:user:a{b}:c\"d'e \\ %41*" id => "a{b}:c\"d'e \\ %41*"



=== TEST 41: an id of a 4-byte UTF-8 sequence reaches one key, escaped or not
--- post eval
qq({"type":"identify","userId":"\\ud83d\\ude00","traits":{"a":1}}\n{"type":"identify","userId":"\xf0\x9f\x98\x80","traits":{"b":2}})
--- answer
1 0 0 0
1 0 0 0
--- redis eval
"KEYS *:user:* => knock:{development}:user:\xf0\x9f\x98\x80\nHMGET knock:{development}:user:\xf0\x9f\x98\x80 a b => 1 | 2"



=== TEST 42: ids have 1 to 256 bytes and no control characters, or are none
--- post eval
CORE::join "\n", map { qq({"type":"identify","userId":"$_"}) } 'a' x 256, 'b' x 257, '', 'c\\u0000', 'd\\n'
--- answer
1 0 0 0
0 0 1 0
0 0 1 0
0 0 1 0
0 0 1 0
--- redis eval
'KEYS *:user:* => knock:{development}:user:' . 'a' x 256



=== TEST 43: names of traits are bytes too
--- post
{"type":"identify","userId":"u1","traits":{"":1,"a\u0000b":2,"a\u0000c":3,"\ud83d\ude00":4}}
--- answer
1 0 0 0
--- redis
HGET knock:{development}:user:u1 '' => 1
HLEN knock:{development}:user:u1 => 6



=== TEST 44: a user of more than 256 kB is refused, nothing of it is stored
--- post eval
'{"type":"identify","userId":"u1","messageId":"m1","traits":{"small":1,"big":"' . 'x' x 262144 . '"}}'
--- answer
400 user_too_large
--- redis
EXISTS knock:{development}:user:u1 => 0
EXISTS knock:{development}:catalogue:segment => 1



=== TEST 45: a user of 256 kB less a little is stored
--- post eval
'{"type":"identify","userId":"u1","traits":{"big":"' . 'x' x 262000 . '"}}'
--- answer
1 0 0 0
--- redis
HSTRLEN knock:{development}:user:u1 big => 262002



=== TEST 46: in a batch the others are applied
--- post eval
'[{"type":"identify","userId":"u1","traits":{"a":1}},{"type":"identify","userId":"u2","traits":{"a":1,"big":"' . 'x' x 262144 . '"}},{"type":"identify","userId":"u1","traits":{"b":2}}]'
--- answer
2 0 0 0 1:user_too_large
--- redis
HMGET knock:{development}:user:u1 a b => 1 | 2
EXISTS knock:{development}:user:u2 => 0



=== TEST 47: the index of a refused event counts the invalid ones in front
--- post eval
'[7,{"type":"x"},{"type":"identify","userId":"u2","traits":{"big":"' . 'x' x 262144 . '"}},{"type":"identify","userId":"u1"}]'
--- answer
1 0 0 0 0:invalid_event 1:invalid_event 2:user_too_large
--- redis
EXISTS knock:{development}:user:u2 => 0



=== TEST 48: a user may be grown to the bound, not over it
--- post eval
CORE::join "\n", map { qq({"type":"identify","userId":"u1","traits":{"f$_":") . 'x' x 60000 . '"}}' } 1 .. 5
--- answer
1 0 0 0
1 0 0 0
1 0 0 0
1 0 0 0
400 user_too_large
--- redis
HLEN knock:{development}:user:u1 => 6
HEXISTS knock:{development}:user:u1 f4 => 1
HEXISTS knock:{development}:user:u1 f5 => 0



=== TEST 49: of a user at the bound a shorter value may still be set
--- post eval
CORE::join "\n", map { qq({"type":"identify","userId":"u1","traits":{"f$_->[0]":") . 'x' x $_->[1] . '"}}' } [1, 200000], [2, 100000], [1, 10], [2, 100000]
--- answer
1 0 0 0
400 user_too_large
1 0 0 0
1 0 0 0
--- redis
HSTRLEN knock:{development}:user:u1 f1 => 12
HSTRLEN knock:{development}:user:u1 f2 => 100002



=== TEST 50: a user grown in one batch is bound all the same
--- post eval
'[' . CORE::join(',', map { qq({"type":"identify","userId":"u1","traits":{"f$_":") . 'x' x 60000 . '"}}' } 1 .. 6) . ']'
--- answer
4 0 0 0 4:user_too_large 5:user_too_large
--- redis
HLEN knock:{development}:user:u1 => 6



=== TEST 51: a refused event of a batch makes room for a smaller one
--- post eval
'[' . CORE::join(',', map { qq({"type":"identify","userId":"u1","traits":{"f$_->[0]":") . 'x' x $_->[1] . '"}}' } [1, 200000], [2, 100000], [3, 50000]) . ']'
--- answer
2 0 0 0 1:user_too_large
--- redis
HSTRLEN knock:{development}:user:u1 f3 => 50002
HEXISTS knock:{development}:user:u1 f2 => 0



=== TEST 52: an object that merging makes too large is refused
--- post eval
CORE::join "\n", map { qq({"type":"identify","userId":"u1","traits":{"o":{"k$_":") . 'x' x 100000 . '"}}}' } 1 .. 3
--- answer
1 0 0 0
1 0 0 0
400 user_too_large
--- redis
HSTRLEN knock:{development}:user:u1 o => 200017



=== TEST 53: so it is in a batch, and those around it are merged
--- post eval
my $k = sub { qq({"type":"identify","userId":"u1","traits":{"o":{"k$_[0]":") . 'x' x $_[1] . '"}}}' };
$k->(0, 1000) . "\n[" . CORE::join(',', $k->(1, 100000), $k->(2, 100000), $k->(3, 100000), $k->(4, 10), $k->(5, 150000), $k->(6, 10)) . ']'
--- answer
1 0 0 0
4 0 0 0 2:user_too_large 4:user_too_large
--- redis
HGET knock:{development}:user:u1 o => /\{"k0":"x+","k1":"x+","k2":"x+","k4":"x+","k6":"x+"\}/
HSTRLEN knock:{development}:user:u1 o => 201061



=== TEST 54: a refused event may be sent again, smaller, under its message id
--- post eval
CORE::join "\n", map { qq({"type":"identify","userId":"u1","messageId":"m1","traits":{"a":") . 'x' x $_ . '"}}' } 300000, 10, 20
--- answer
400 user_too_large
1 0 0 0
0 1 0 0
--- redis
HSTRLEN knock:{development}:user:u1 a => 12



=== TEST 55: the same within a batch
--- post eval
'[' . CORE::join(',', map { qq({"type":"identify","userId":"u1","messageId":"m1","traits":{"a":") . 'x' x $_ . '"}}' } 300000, 10, 20) . ']'
--- answer
1 1 0 0 0:user_too_large
--- redis
HSTRLEN knock:{development}:user:u1 a => 12



=== TEST 56: a refused identify does not keep others out of one request
--- post eval
'[{"type":"identify","userId":"u1","traits":{"big":"' . 'x' x 262144 . '"}},{"type":"track","event":"Comment Created","properties":{"recipients":["u1","u2"]}},{"type":"identify","userId":"u2"},{"type":"track","event":"Comment Created","properties":{"recipients":["u1","u2"]}}]'
--- answer
3 0 0 1 0:user_too_large
--- redis
LLEN knock:{development}:runs => 1



=== TEST 57: an identify without idempotency is applied each time
--- seed
endpoint development segment token=dev identify_enabled=1 idempotency_enabled=0
--- post
{"type":"identify","userId":"u1","messageId":"m1","traits":{"a":1}}
{"type":"identify","userId":"u1","messageId":"m1","traits":{"a":2}}
--- answer
1 0 0 0
1 0 0 0
--- redis
HGET knock:{development}:user:u1 a => 2



=== TEST 58: a new user that is too large, beside a chain of another one
--- post eval
'[{"type":"identify","userId":"u1","traits":{"o":{"big":"' . 'x' x 262144 . '"}}},{"type":"identify","userId":"u2","traits":{"o":{"a":1}}},{"type":"identify","userId":"u2","traits":{"o":{"b":2}}}]'
--- answer
2 0 0 0 0:user_too_large
--- redis
EXISTS knock:{development}:user:u1 => 0
HGET knock:{development}:user:u2 o => {"a":1,"b":2}
