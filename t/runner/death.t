# must_die: nginx refuses to start. No request is sent, no error_code checked.

use Test::Nginx::Socket;

repeat_each(2);
plan tests => repeat_each() * 9;
run_tests();

__DATA__

=== TEST 1: it dies
--- config
no_such_directive;
--- must_die
--- error_log
unknown directive "no_such_directive"
[emerg]
--- no_error_log
[crit]
--- suppress_stderr



=== TEST 2: it dies with that exit code
--- config
root;
--- must_die: 1
--- error_log eval
qr/invalid number of arguments in "root"/
--- suppress_stderr



=== TEST 3: a directive of the server can't come twice
--- config
client_max_body_size 1m;
--- must_die
--- error_log
"client_max_body_size" directive is duplicate
--- suppress_stderr



=== TEST 4: the next block is as good as new
--- config
location /t { return 204; }
--- request
GET /t
--- error_code: 204
