# The fake TCP server.

use Test::Nginx::Socket;

repeat_each(2);
plan tests => repeat_each() * 29;
run_tests();

__DATA__

=== TEST 1: a reply, the query and its length
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_set_header Host x;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
"HTTP/1.0 201 Yes\r\nX-A: b\r\n\r\nhello\n"
--- tcp_query eval
"GET /t HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n"
--- tcp_query_len: 47
--- request
GET /t
--- error_code: 201
--- response_headers
X-A: b
--- response_body
hello



=== TEST 2: a unix socket
--- config
location /t { proxy_pass http://unix:$TEST_NGINX_SERVER_ROOT/html/fake.sock; }
--- tcp_listen: $TEST_NGINX_SERVER_ROOT/html/fake.sock
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nunix\n"
--- tcp_query eval
qr/^GET \/t HTTP/
--- request
GET /t
--- response_body
unix



=== TEST 3: a late reply
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_read_timeout 100ms;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply_delay: 400ms
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nlate\n"
--- request
GET /t
--- error_code: 504
--- error_log
upstream timed out



=== TEST 4: a reply that comes late, but in time
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply_delay: 0.1s
--- tcp_reply eval
["HTTP/1.0 200", " OK\r\n\r\n", "in parts\n"]
--- request
GET /t
--- response_body
in parts



=== TEST 5: the reply is a function of the query
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
sub { my $q = shift; return "HTTP/1.0 200 OK\r\n\r\n" . ($q =~ /^(GET \S+)/)[0] }
--- request
GET /t?x
--- response_body chomp
GET /t?x



=== TEST 6: a reply that is cut short
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
"HTTP/1.0 200 OK\r\nContent-Le"
--- request
GET /t
--- error_code: 502
--- error_log
upstream prematurely closed connection



=== TEST 7: it reads all of a long query before it replies
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_set_header Host x;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_query_len: 100072
--- tcp_reply eval
sub { "HTTP/1.0 200 OK\r\n\r\n" . length shift }
--- request eval
"POST /t\n" . "x" x 100_000
--- response_body chomp
100072



=== TEST 8: tcp_shutdown closes without a word
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_shutdown: 2
--- request
GET /t
--- error_code: 502



=== TEST 9: tcp_no_close keeps it open
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_read_timeout 200ms;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_no_close
--- tcp_reply eval
"HTTP/1.1 200 OK\r\n"
--- request
GET /t
--- error_code: 504
--- error_log
upstream timed out



=== TEST 10: a second connection is accepted, but not served
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_read_timeout 200ms;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nonce\n"
--- request eval
['GET /t', 'GET /t']
--- error_code eval
[200, 504]



=== TEST 11: a query in silence, with tcp_query_auto_timeout
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_set_header Host x;
}
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_query_auto_timeout: 0.2
--- tcp_query eval
"POST /t HTTP/1.0\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nok\n"
--- request eval
[["POST /t\nhe", {value => "llo", delay_before => 0.05}]]
--- response_body
ok



=== TEST 12: each repetition has a server of its own
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
my $n = 0; sub { "HTTP/1.0 200 OK\r\n\r\n" . ++$n }
--- request
GET /t
--- response_body chomp
1
