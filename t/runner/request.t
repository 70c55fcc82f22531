# What is sent. A fake server keeps it, or nginx says what it got.

use Test::Nginx::Socket;

$ENV{TEST_NGINX_WORD} = 'word';

repeat_each(2);
plan tests => repeat_each() * 73;
run_tests();

__DATA__

=== TEST 1: URL and version are optional
--- config
rewrite ^ /t;
location /t { return 200 "$request\n"; }
--- request
GET
--- response_body
GET / HTTP/1.1



=== TEST 2: the version may be given, comments may stand before
--- config
location /t { return 200 "$request\n"; }
--- request
# a comment

  GET  /t  HTTP/1.0
--- response_body
GET /t HTTP/1.0



=== TEST 3: length in octets, trimmed body
--- config
location /t { return 200 "$content_length $http_host $http_connection $http_x_one $http_x_two $http_x_three\n"; }
--- more_headers
X-One: 1
# X-Two: 2
X-Three:3
--- request eval
"POST /t\n \xe4\xc3\xa4\n\n"
--- response_body
3 localhost close 1  3



=== TEST 4: Host and Connection may be given
--- config
location /t { return 200 "$http_host $http_connection\n"; }
--- more_headers
Host: example.com
Connection: Close
--- request
GET /t
--- response_body
example.com Close



=== TEST 5: with a Content-Length of its own the body is as written
--- config
location /t { return 200 "$content_length\n"; }
--- more_headers
Content-Length: 4
--- request eval
"POST /t\n ab\n"
--- response_body
4



=== TEST 6: a chunked body is as written
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/len; }
location /len { return 200 "$content_length $http_transfer_encoding\n"; }
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /t
5\r
hello\r
3\r
 a \r
0\r
\r
"
--- response_body
8 



=== TEST 7: a bad chunk is seen as such
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/len; }
location /len { return 200; }
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /t
zz\r
hello\r
0\r
\r
"
--- error_code: 400
--- response_body_like: 400 Bad Request



=== TEST 8: several requests, each on a connection of its own
--- config
location /t { return 200 "$request_uri $connection_requests\n"; }
--- request eval
['GET /t?1', "POST /t?2\nbody", 'GET /t?3']
--- error_code eval
[200, 200, 200]
--- response_body eval
["/t?1 1\n", "/t?2 1\n", "/t?3 1\n"]



=== TEST 9: headers and expected headers for each of several requests
--- config
location /t { add_header X-Got "$http_x_is" always; return 201; }
--- more_headers eval
["X-Is: a", "X-Is: b\nX-Other: c"]
--- request eval
['GET /t', 'GET /t']
--- error_code eval
[201, 201]
--- response_headers eval
["X-Got: a\n!X-None", 'X-Got: b']



=== TEST 10: error_log is checked after each of several requests
--- config
location /t { return 200 "t"; }
--- request eval
['GET /t', 'GET /t', 'GET /t']
--- error_code eval
[200, 200, 200]
--- no_error_log
[error]
[crit]



=== TEST 11: packets of one request
--- config
location /t { return 200 "$http_x_a $content_length\n"; }
--- more_headers
X-A: b
--- request eval
[["PO", "ST /", "t\nhel", {value => "lo wo", delay_before => 0.05}, "rld\n"]]
--- response_body
b 11



=== TEST 12: packets of two requests, with text around
--- config
location /t { return 200 "$request $content_length\n"; }
--- request eval
[["GET ", "/t"], "GET /t?2", ["POST /t?3\n", "  ab"]]
--- error_code eval
[200, 200, 200]
--- response_body eval
["GET /t HTTP/1.1 \n", "GET /t?2 HTTP/1.1 \n", "POST /t?3 HTTP/1.1 2\n"]



=== TEST 13: pipelined requests come over one connection
--- config
location /t { return 200 "$request_uri $connection_requests $http_connection\n"; }
--- pipelined_requests eval
['GET /t?1', 'GET /t?2', 'GET /t?3']
--- error_code eval
[200, 200, 200]
--- response_body eval
["/t?1 1 keep-alive\n", "/t?2 2 keep-alive\n", "/t?3 3 close\n"]



=== TEST 14: pipelined requests with a body, headers and a variable
--- config
location /t { return 200 "$request_uri $http_x_n\n"; }
--- more_headers eval
['X-N: 1', 'X-N: 2']
--- pipelined_requests eval
["POST /t\nab", 'GET /t?$TEST_NGINX_WORD']
--- error_code eval
[200, 200]
--- response_body_like eval
['^/t 1$', '^/t\?word 2$']



=== TEST 15: raw_request is sent as it is
--- config
location /t { return 200 "$request $http_host\n"; }
--- raw_request eval
"GET /t HTTP/1.0\r\nHost: raw\r\n\r\n"
--- response_body
GET /t HTTP/1.0 raw



=== TEST 16: raw_request in packets with a delay between
--- config
location /t { return 200 "$request\n"; }
--- raw_request eval
["GET /t HT", "TP/1.0\r\n", "\r\n"]
--- raw_request_middle_delay: 0.05
--- response_body
GET /t HTTP/1.0



=== TEST 17: abort gives up after the timeout, without a failure
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT; }
--- raw_request eval
"GET /t HTTP/1.1\r\n"
--- timeout: 200ms
--- abort
--- error_code:
--- no_error_log
[error]



=== TEST 18: shutdown ends the sending side
--- config
location /t { return 200; }
--- raw_request eval
"GET /t HTTP/1.1\r\n"
--- shutdown
--- error_code:
--- error_log
client prematurely closed connection



=== TEST 19: ignore_response looks at the log only
--- config
location /t { return 500; }
--- request
GET /t
--- ignore_response
--- no_error_log
[error]
--- error_code: 200
--- access_log
nothing of the kind



=== TEST 20: wait is before the logs are looked at
--- config
location /t { return 200; access_log logs/access.log combined buffer=64k flush=200ms; }
--- request
GET /t
--- wait: 0.4
--- access_log
GET /t HTTP/1.1



=== TEST 21: HEAD
--- config
location /t { return 200 "body"; }
--- request
HEAD /t
--- response_headers
Content-Length: 4
--- response_body eval
""



=== TEST 22: the response to HTTP/0.9 is a body
--- config
location /t { return 200 "0.9"; }
--- raw_request eval
"GET /t\r\n"
--- http09
--- response_body chomp
0.9



=== TEST 23: request_eval
--- config
location /t { return 200 "$request_method"; }
--- request_eval
'PUT' . ' /t'
--- response_body chomp
PUT



=== TEST 24: a request and an answer of some megabytes
--- config
location /t {
    client_body_buffer_size 16k;
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/big.txt;
    proxy_method GET;
    proxy_set_body "";
}
--- user_files eval
[["big.txt", "0123456789" x 300_000]]
--- request eval
"POST /t\n" . "x" x 2_000_000
--- response_body_filters: length
--- response_body: 3000000



=== TEST 25: the answer may come before all of the request is sent
--- config
location /t { client_max_body_size 1k; }
--- request eval
[["POST /t\n" . 'x' x 2_000, {value => 'y' x 2_000, delay_before => 0.2}]]
--- error_code: 413
