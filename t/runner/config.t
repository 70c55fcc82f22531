# What nginx.conf is made of, and the variables in it.

use Test::Nginx::Socket;

$ENV{TEST_NGINX_WORD} = 'word';
env_to_nginx('RUNNER_VAR=passed');
log_level('notice');
workers(2);
worker_connections(128);
server_name('named');

add_block_preprocessor {
    my $block = shift;
    $block->set_value(no_error_log => '[alert]');
};

repeat_each(2);
plan tests => repeat_each() * 3 * blocks();
run_tests();

__DATA__

=== TEST 1: the root location serves html/
--- config
--- request
GET /
--- response_body chomp
<html><head><title>It works!</title></head><body>It works!</body></html>



=== TEST 2: user_files go to html/, folders are made
--- config
--- user_files
>>> a.txt
first
>>> sub/dir/b.txt
second $TEST_NGINX_WORD
--- request
GET /sub/dir/b.txt
--- response_body
second word



=== TEST 3: user_files with a date
--- config
--- user_files
>>> old.txt 200801020304.05
old
--- request
GET /old.txt
--- response_headers
Last-Modified: Wed, 02 Jan 2008 03:04:05 GMT



=== TEST 4: user_files as an array
--- config
--- user_files eval
[['a.txt' => "a\0b"], ['b.txt' => 'b']]
--- request
GET /a.txt
--- response_body eval
"a\0b"



=== TEST 5: http_config and main_config come where they belong
--- main_config
thread_pool one threads=1;
--- http_config
map $uri $mapped { default "mapped $TEST_NGINX_WORD"; }
--- post_main_config
thread_pool two threads=1;
--- config
location /t { return 200 $mapped; }
--- request
GET /t
--- response_body chomp
mapped word



=== TEST 6: the default type is text/plain
--- config
location /t { return 200 "x"; }
--- request
GET /t
--- response_headers
Content-Type: text/plain



=== TEST 7: a random port is the same throughout a block
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    return 200 "$TEST_NGINX_RAND_PORT_1 $server_port\n";
}
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- request
GET /t
--- response_body
$TEST_NGINX_RAND_PORT_1 $TEST_NGINX_RAND_PORT_1



=== TEST 8: two random ports differ
--- http_config
map "$TEST_NGINX_RAND_PORT_1" $same {
    "$TEST_NGINX_RAND_PORT_2" "same";
    default "differ";
}
--- config
location /t { return 200 $same; }
--- request
GET /t
--- response_body chomp
differ



=== TEST 9: the port is in a variable, and in $ServerPort
--- config
location /t { return 200 "$server_port $TEST_NGINX_SERVER_PORT\n"; }
--- request
GET /t
--- response_body
$ServerPort $ServerPortForClient



=== TEST 10: server_name() is the name of the server and of the request
--- config
location /t { return 200 "$server_name $host\n"; }
--- request
GET /t
--- response_body
named named



=== TEST 11: the section server_name is the name of the server only
--- server_name: other
--- config
location /t { return 200 "$server_name $host\n"; }
--- request
GET /t
--- response_body
other named



=== TEST 12: temporary folders are set unless the block does
--- http_config
proxy_temp_path $TEST_NGINX_SERVER_ROOT/html/elsewhere;
--- config
location /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
ok



=== TEST 13: big bodies are allowed
--- config
client_body_in_single_buffer on;
location /t { return 200 "$content_length\n"; }
--- request eval
"POST /t\n" . 'x' x 2_000_000
--- response_body
2000000



=== TEST 14: post_setup_server_root runs before nginx starts
--- post_setup_server_root
open my $out, '>', "$Test::Nginx::Util::HtmlDir/early.conf" or die;
print $out 'return 200 "early\n";';
close $out;
--- config
location /t { include $TEST_NGINX_SERVER_ROOT/html/early.conf; }
--- request
GET /t
--- response_body
early



=== TEST 15: init runs before the request
--- init
open my $out, '>', "$Test::Nginx::Util::HtmlDir/late.txt" or die;
print $out "late\n";
close $out;
--- config
--- request
GET /late.txt
--- response_body
late
