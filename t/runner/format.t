# How blocks, sections and filters are read.

use Test::Nginx::Socket;

# A filter of one's own; it may change $_ and return nothing.
sub shout { return map {uc} @_ }
sub twice { $_ .= $_; return }

our $outside = 'from outside';

add_block_preprocessor {
    my $block = shift;

    $block->set_value(request => 'GET /t') unless defined $block->request;
    $block->set_value(response_body => "added $::order\n")
        if $block->name =~ /preprocessor/;
};

# Added last, so it runs first.
our $order = '';
add_block_preprocessor { $order = 'later' };

plan tests => repeat_each() * 2 * blocks();
no_long_string();
run_tests();

__DATA__

=== TEST 1: a value on one line
--- config
location /t { return 202 "a"; }
--- error_code: 202
--- response_body: a



=== TEST 2: blank lines around a value go, its newline stays
A description that nobody reads.
--- config


location /t { return 200 "a\n\nb\n"; }


--- response_body

a

b

--- nobody_asks_for_this
x
--- nor: this



=== TEST 3: chomp
--- config
location /t { return 200 "no newline"; }
--- response_body chomp
no newline



=== TEST 4: chop takes any last character
--- config
location /t { return 200 "ab"; }
--- response_body chomp chop
abc



=== TEST 5: eval gives the value of Perl code
--- config eval
'location /t { return 200 "' . ('ab' x 3) . " $::outside" . '"; }'
--- response_body eval
"abababfrom outside" =~ s/from/ from/r



=== TEST 6: filters go from left to right
--- config
location /t { return 200 "AB"; }
--- response_body chomp eval shout
join '', 'a', 'b'



=== TEST 7: a filter that changes $_
--- config
location /t { return 200 "abab"; }
--- response_body chomp twice
ab



=== TEST 8: filters with an argument
--- config
location /t { return 200 "x-y\n"; }
--- response_body chomp append=-y unchomp
x



=== TEST 9: -trim takes a filter back
--- config
location /t { return 200 "a\n\n\n\n"; }
--- response_body -trim
a



=== TEST 10: SKIP leaves a block out, also from blocks()
--- SKIP
--- config
location /t { return 200; }
--- error_code: 999



=== TEST 11: a failing eval is the value
--- config
location /t { return 200 "a"; }
--- response_body_like eval eval
'qr/' . 'A' . '/i'



=== TEST 12: a preprocessor sees and sets sections
--- config
location /t { return 200 "added later\n"; }



=== TEST 13: lines and join
--- config
location /t { return 200 "a\n+b\n"; }
--- response_body lines join=+
a
b



=== TEST 14: code in parentheses, and a number for a value
--- config
location /t { return 200 "3"; }
--- response_body eval
(1 + 2)



=== TEST 15: a section that comes twice counts once
--- config
location /t { return 200 "b"; }
--- response_body: a
--- response_body: b



=== TEST 16: LAST ends the file
--- LAST
--- config
location /t { return 200 "last"; }
--- response_body chomp
last



=== TEST 17: not run
--- config
location /t { return 500; }
--- response_body
nothing
