# The checks of error.log and access.log.

use Test::Nginx::Socket;

repeat_each(2);
plan tests => repeat_each() * 36 + 3;
no_shuffle();
run_tests();

__DATA__

=== TEST 1: each line of error_log counts
--- config
location /t { deny all; }
--- request
GET /t
--- error_code: 403
--- error_log
access forbidden by rule
request: "GET /t HTTP/1.1"
--- no_error_log
[crit]
[alert]



=== TEST 2: a regex, and an array of texts and regexes
--- config
location /t { deny all; }
--- request
GET /t
--- error_code: 403
--- error_log eval
['access forbidden', qr/client: [\d.]+,/, qr/GET .t HTTP/]
--- no_error_log eval
qr/\[(?:crit|alert|emerg)\]/



=== TEST 3: a text is no regex
--- config
location = /a(b { deny all; }
--- request
GET /a(b
--- error_code: 403
--- error_log
GET /a(b HTTP/1.1"
--- no_error_log
GET /a.b



=== TEST 4: only what came since the request: the log of the first repetition is over in the second
--- config
location /t { return 200; }
--- init
open my $log, '>>', $Test::Nginx::Util::ErrLogFile or die;
print $log "before the first\n";
close $log;
--- request
GET /t
--- grep_error_log: before the first
--- grep_error_log_out eval
["before the first\n", ""]



=== TEST 5: grep_error_log gives the part that matches, of each line
--- config
location /t { deny all; }
--- request
GET /t
--- error_code: 403
--- grep_error_log eval
qr/access (\w+) by rule|no such thing/
--- grep_error_log_out
access forbidden by rule



=== TEST 6: grep_error_log_out may be a regex
--- config
location /t { deny all; }
--- request
GET /t
--- error_code: 403
--- grep_error_log eval
qr/server: \w+/
--- grep_error_log_out eval
qr/^server: local\w+$/



=== TEST 7: error_log of several requests is checked after each of them
--- config
location /t { deny all; }
--- request eval
['GET /t', 'GET /t']
--- error_code eval
[403, 403]
--- error_log
forbidden



=== TEST 8: access_log
--- config
location /t { return 204; }
--- request
GET /t?a
--- error_code: 204
--- access_log
"GET /t?a HTTP/1.1" 204
--- no_access_log
POST
GET /u



=== TEST 9: access_log with regexes
--- config
location /t { return 204; }
--- request
GET /t?a
--- error_code: 204
--- access_log eval
[qr/GET .*204/, '/t?a']
--- no_access_log eval
qr/"P\w+ /



=== TEST 10: nothing in it, nothing counted
--- config
location /t { return 200; }
--- request
GET /t
--- error_log
--- no_error_log
--- access_log
--- response_headers



=== TEST 11: its own error log level
--- log_level: error
--- config
location /t { return 200; }
--- request
GET /t
--- no_error_log
[debug]
[notice]



=== TEST 12: what is logged while it stops
--- log_level: notice
--- config
location /t { return 200; }
--- request
GET /t
--- shutdown_error_log
signal 3
--- no_shutdown_error_log
[alert]
[crit]
--- wait: 0.1
