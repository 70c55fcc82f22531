# ONLY leaves all other blocks out, also from blocks().

use Test::Nginx::Socket;

plan tests => 2 * blocks() + 1;
is(scalar(my @all = blocks()), 1, 'one block is left');
run_tests();

__DATA__

=== TEST 1: not run
--- config
--- request
GET /nowhere
--- response_body
nothing



=== TEST 2: the one
--- ONLY
--- config
location /t { return 200 "only"; }
--- request
GET /t
--- response_body chomp
only



=== TEST 3: not run either
--- ONLY
--- config
--- request
GET /nowhere
--- response_body
nothing
