# Blocks that are skipped, or still to be done.

use Test::Nginx::Socket;

repeat_each(2);
plan tests => repeat_each() * 19;
run_tests();

__DATA__

=== TEST 1: skip_nginx holds
--- config
location /t { return 500; }
--- skip_nginx: 3: > 0.7.0
--- request
GET /t



=== TEST 2: skip_nginx does not hold
--- config
location /t { return 200 "a"; }
--- skip_nginx: 2: < 0.7.0: too old
--- request
GET /t
--- response_body: a



=== TEST 3: skip_nginx2
--- config
no_such_directive;
--- skip_nginx2: 2: < 0.7.0 or > 0.8.0: never
--- request
GET /t



=== TEST 4: skip_nginx2 with both
--- config
location /t { return 200 "a"; }
--- skip_nginx2: 2: < 0.7.0 and > 0.6.0
--- request
GET /t
--- response_body: a



=== TEST 5: skip_openssl
--- config
location /t { return 200 "a"; }
--- skip_openssl: 4: >= 0.9.8
--- request
GET /t



=== TEST 6: skip_eval
--- config
location /t { return 200 "a"; }
--- skip_eval: 2: 1 + 1 == 2
--- request
GET /t



=== TEST 7: skip_eval that is false
--- config
location /t { return 200 "a"; }
--- skip_eval: 2: 1 + 1 == 3
--- request
GET /t



=== TEST 8: todo
--- config
location /t { return 500; }
--- todo: 2: is not done yet
--- request
GET /t



=== TEST 9: todo_nginx that does not hold
--- config
location /t { return 200; }
--- todo_nginx: < 0.7.0: never
--- request
GET /t
