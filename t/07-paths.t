# Contract, section 7: paths.  The parameters of an action are looked up in an
# event; the run shows what was found.

use strict;
use warnings;

use Knock::Blocks;
use Knock::Test;
use Test::Nginx::Socket 'no_plan';

# a seed with one user and, for track/T, an action with the given parameters

sub action {
    my (%fields) = @_;

    return "endpoint development segment token=dev\n"
           . "workflow development new-comment\n"
           . "redis HSET knock:{development}:user:u1 id '\"u1\"'\n"
           . "redis HSET knock:{development}:user:u2 id '\"u2\"'\n"
           . 'action development '
           . live_action(recipients => '{"literal":"u1"}', %fields) . "\n";
}

# the key that a cancellation_key with this path finds

sub finds {
    my ($path) = @_;

    return action(cancellation_key => $path);
}

# the recipients that these parameters find

sub sends {
    my ($recipients) = @_;

    return action(recipients => $recipients);
}

Knock::Test::begin_blocks(\&add_block_preprocessor);
Knock::Blocks::short_sections(\&add_block_preprocessor);

no_long_string();
run_tests();

__DATA__

=== TEST 1: a path begins at the event's root
--- seed eval: main::finds('"userId"')
--- post
{"type":"track","event":"T","userId":"x1"}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 2: dotted keys go down
--- seed eval: main::finds('"context.app.build.id"')
--- post
{"type":"track","event":"T","context":{"app":{"build":{"id":"x1"}}}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 3: keys are case-sensitive
--- seed eval: main::finds('"properties.Id"')
--- post
{"type":"track","event":"T","properties":{"id":"x1","ID":"x2"}}
{"type":"track","event":"T","properties":{"id":"x1","Id":"x3"}}
--- answer
1 0 0 1
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":null.*/
LINDEX knock:{development}:runs 1 => /.*"cancellation_key":"x3".*/



=== TEST 4: [n] takes an element, from 0
--- seed eval: main::finds('"properties.l[1].id"')
--- post
{"type":"track","event":"T","properties":{"l":[{"id":"x0"},{"id":"x1"},{"id":"x2"}]}}
{"type":"track","event":"T","properties":{"l":[{"id":"x0"}]}}
{"type":"track","event":"T","properties":{"l":{"1":{"id":"x0"}}}}
--- answer
1 0 0 1
1 0 0 1
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/
LINDEX knock:{development}:runs 1 => /.*"cancellation_key":null.*/
LINDEX knock:{development}:runs 2 => /.*"cancellation_key":null.*/



=== TEST 5: [n] of [n]
--- seed eval: main::finds('"properties.l[1][0]"')
--- post
{"type":"track","event":"T","properties":{"l":[["a"],["b","c"]]}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"b".*/



=== TEST 6: ["a.b"] quotes a key
--- seed eval: main::finds('"properties[\"a.b\"][\"c[0]\"].d"')
--- post
{"type":"track","event":"T","properties":{"a":{"b":{"c[0]":{"d":"no"}}},"a.b":{"c[0]":{"d":"x1"}}}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 7: a quoted key may come first
--- seed eval: main::finds('"[\"user id\"]"')
--- post
{"type":"track","event":"T","user id":"x1"}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 8: a key is compared as what it means, however it is escaped
--- seed eval: main::finds('"properties.\u00fcber"')
--- post
{"type":"track","event":"T","properties":{"\u00fcbe\u0072":"x1"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 9: data. stands for properties.
--- seed eval: main::finds('"data.comment.id"')
--- post
{"type":"track","event":"T","data":{"comment":{"id":"no"}},"properties":{"comment":{"id":"x1"}}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 10: body. stands for the event itself
--- seed eval: main::finds('"body.data.id"')
--- post
{"type":"track","event":"T","data":{"id":"x1"},"body":{"data":{"id":"no"}},"properties":{"id":"no"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 11: data. inside a path is a key like any other
--- seed eval: main::finds('"properties.data.id"')
--- post
{"type":"track","event":"T","properties":{"id":"no","data":{"id":"x1"}}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 12: of a duplicated key the last one counts
--- seed eval: main::finds('"properties.id"')
--- post
{"type":"track","event":"T","properties":{"id":"no"},"properties":{"id":"no","id":"x1"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"x1".*/



=== TEST 13: a path through a scalar finds nothing
--- seed eval: main::finds('"properties.id.x"')
--- post
{"type":"track","event":"T","properties":{"id":"no"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":null.*/



=== TEST 14: a literal is taken as it is
--- seed eval: main::finds('{"literal":"properties.id"}')
--- post
{"type":"track","event":"T","properties":{"id":"no"}}
--- answer
1 0 0 1
--- redis
LINDEX knock:{development}:runs 0 => /.*"cancellation_key":"properties.id".*/



=== TEST 15: [*] takes every element
--- seed eval: main::sends('"properties.l[*].id"')
--- post
{"type":"track","event":"T","properties":{"l":[{"id":"u1"},{"name":"no"},{"id":"u2"}]}}
--- answer
1 0 0 2
--- redis
LINDEX knock:{development}:runs 0 => /.*"recipient":\{"collection":"\$users","id":"u1"\}.*/
LINDEX knock:{development}:runs 1 => /.*"recipient":\{"collection":"\$users","id":"u2"\}.*/



=== TEST 16: [*] of [*]
--- seed eval: main::sends('"data.teams[*].members[*]"')
--- post
{"type":"track","event":"T","properties":{"teams":[{"members":["u1"]},{"members":[]},{},{"members":["u1","u2"]}]}}
--- answer
1 0 0 2



=== TEST 17: [*] that finds no element is nothing found
--- seed eval: main::sends('"data.l[*].id"')
--- post
{"type":"track","event":"T","properties":{"l":[]}}
{"type":"track","event":"T","properties":{"l":[{},{}]}}
{"type":"track","event":"T","properties":{"l":"u1"}}
--- answer
1 0 0 0 0:recipients_missing:a
1 0 0 0 0:recipients_missing:a
1 0 0 0 0:recipients_missing:a



=== TEST 18: recipients may be a literal
--- seed eval: main::sends('{"literal":["u1",{"id":"u3","name":"Cy"}]}')
--- post
{"type":"track","event":"T"}
--- answer
1 0 0 2
--- redis
HGET knock:{development}:user:u3 name => "Cy"



=== TEST 19: recipients may be an array of paths and literals
--- seed eval: main::sends('["properties.owner",{"literal":"u2"},"userId","properties.others"]')
--- post
{"type":"track","event":"T","userId":"u1","properties":{"others":["u1","u2",{"id":"u3"}]}}
--- answer
1 0 0 3
--- redis
LINDEX knock:{development}:runs 0 => /.*"recipient":\{"collection":"\$users","id":"u2"\}.*/
LINDEX knock:{development}:runs 1 => /.*"recipient":\{"collection":"\$users","id":"u1"\}.*/
LINDEX knock:{development}:runs 2 => /.*"recipient":\{"collection":"\$users","id":"u3"\}.*/



=== TEST 20: of such an array all parts have to be missing to fail it
--- seed eval: main::sends('["properties.a","properties.b"]')
--- post
{"type":"track","event":"T","properties":{"b":"u2"}}
{"type":"track","event":"T","properties":{"a":null}}
--- answer
1 0 0 1
1 0 0 0 0:recipients_missing:a



=== TEST 21: the event itself may be a recipient
--- seed eval: main::sends('"body"')
--- post
{"type":"track","event":"T","id":"u7","plan":"pro"}
--- answer
1 0 0 1
--- redis
HMGET knock:{development}:user:u7 id plan event => "u7" | "pro" | "T"
