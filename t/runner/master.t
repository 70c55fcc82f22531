# A master with two workers; what follows a server that has gone.

use Test::Nginx::Socket;

our $cleaned = 0;
our @ran;
add_cleanup_handler(sub { $cleaned++ });
add_test_cleanup_handler(sub { push @ran, $_[0]->name });

master_on();
workers(2);
no_shuffle();
no_root_location();

plan tests => 2 * blocks() + 5;
run_tests();

is($cleaned, 1, 'the cleanup handler has run');
is(scalar @ran, 3, 'the test cleanup handler has run for each block');
like(server_root(), qr{^/}, 'server_root() is absolute');
is(html_dir(), server_root() . '/html', 'html_dir() is below it');
is(repeat_each(), 1, 'repeat_each() is 1');

__DATA__

=== TEST 1: there are a master and its workers
--- config
location /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
ok



=== TEST 2: a block without config goes on with the server as it is
--- request
GET /t
--- response_body
ok



=== TEST 3: there is no root location
--- config
location / { return 404; }
--- request
GET /index.html
--- error_code: 404
--- response_body_like: 404 Not Found
