# The checks of code, headers and body.

use Test::Nginx::Socket;

repeat_each(2);
no_long_string();

add_response_body_check(sub {
    my ($block, $body, $req_idx, $repeat_idx) = @_;
    ok(defined $body, $block->name . ' - the body check is called');
});

plan tests => repeat_each() * 69;
run_tests();

__DATA__

=== TEST 1: 200 is expected where nothing is said
--- config
location /t { return 200; }
--- request
GET /t



=== TEST 2: error_code
--- config
location /t { return 404; }
--- request
GET /t
--- error_code: 404



=== TEST 3: error_code_like
--- config
location /t { return 502; }
--- request
GET /t
--- error_code_like: ^5\d\d$



=== TEST 4: each header counts, one that must be absent too
--- config
location /t {
    add_header X-A "a b: c";
    add_header X-Many 1;
    add_header X-Many 2;
    add_header X-Port $server_port;
    return 200;
}
--- request
GET /t
--- response_headers
X-A: a b: c
x-many: 1, 2
X-Port: $ServerPort
X-Empty:
! X-None
!X-NoneEither



=== TEST 5: response_headers_like
--- config
location /t { add_header X-A abc; return 200; }
--- request
GET /t
--- response_headers_like
X-A: a.c
Server: nginx.*



=== TEST 6: the headers as received
--- config
location /t { add_header x-A abc; return 200; }
--- request
GET /t
--- raw_response_headers_like eval
qr/HTTP\/1\.1 200 OK\r\n.*x-A: abc\r\n/s
--- raw_response_headers_unlike: X-A



=== TEST 7: response_body_like and a regex
--- config
location /t { return 200 "one\ntwo\n"; }
--- request
GET /t
--- response_body_like
^one
t.o



=== TEST 8: response_body with a regex
--- config
location /t { return 200 "one\ntwo\n"; }
--- request
GET /t
--- response_body eval
qr/^TWO$/mi



=== TEST 9: response_body_unlike
--- config
location /t { return 200 "one\ntwo\n"; }
--- request
GET /t
--- response_body_unlike: three|four



=== TEST 10: response_body goes before response_body_like, headers too
--- config
location /t { add_header X-A a; return 200 "one\n"; }
--- request
GET /t
--- response_body
one
--- response_body_like: two
--- response_body_unlike: one
--- response_headers
X-A: a
--- response_headers_like
X-A: b
--- error_code: 200



=== TEST 11: a chunked response is put together
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_http_version 1.1;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA \r\n0123456789\r\n0\r\n\r\n"
--- request
GET /t
--- response_headers
Transfer-Encoding: chunked
--- response_body chomp
abc0123456789



=== TEST 12: filters of the body
--- config
location /t { return 200 "abc"; }
--- request
GET /t
--- response_body_filters
uc
md5_hex
--- response_body chomp
902fbdd2b1df0c4f70b4a5d23525e932



=== TEST 13: functions as filters of the body, a list for each request
--- config
location /t { return 200 "abc"; }
--- request eval
['GET /t', 'GET /t']
--- error_code eval
[200, 200]
--- response_body_filters eval
[[sub { scalar reverse $_[0] }, 'ucfirst'], ['length']]
--- response_body eval
['Cba', 3]



=== TEST 14: JSON with its keys in order
--- config
location /t { return 200 '{"b":[1,2],"a":{"d":1,"c":"x"}}'; }
--- request
GET /t
--- response_body_json_sort
--- response_body
{"a":{"c":"x","d":1},"b":[1,2]}



=== TEST 15: the body may be written to a file
--- config
location /t { return 200 "kept\n"; }
--- request
GET /t
--- write_resp_body_file eval
"$Test::Nginx::Util::ServRoot/html/body"
--- response_body
kept



=== TEST 16: a 304 has no body, whatever its headers say
--- config
location /t { add_header Content-Length 5; return 304; }
--- request
GET /t
--- error_code: 304
--- response_body eval
""



=== TEST 17: response_body_eval
--- config
location /t { return 200 "abab"; }
--- request
GET /t
--- response_body_eval
"ab" x 2



=== TEST 18: a body without a length ends with the connection
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; chunked_transfer_encoding off; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nto the end\n"
--- request
GET /t
--- response_headers
!Content-Length
--- response_body
to the end



=== TEST 19: a limit on methods
--- config
location /t { limit_except GET { deny all; } }
--- request
POST /t
x
--- error_code: 403



=== TEST 20: a body too large
--- config
location /t { client_max_body_size 4; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT; }
--- request
POST /t
12345
--- error_code: 413
--- response_body_like: Too Large
