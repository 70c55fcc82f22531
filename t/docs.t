# What is defined in one table is documented in one: errors and directives.

use strict;
use warnings;

use Test::More;

use Knock::Files qw(slurp);


# that both lists hold the same names

sub same {
    my ($what, $code, $docs) = @_;

    my %code = map { $_ => 1 } @$code;
    my %docs = map { $_ => 1 } @$docs;

    cmp_ok(scalar keys %code, '>', 0, "there are $what");
    is_deeply([ sort grep { !$docs{$_} } keys %code ], [],
              "all $what are documented");
    is_deeply([ sort grep { !$code{$_} } keys %docs ], [],
              "all documented $what are there");
}


my $errors = slurp('docs/errors.md');
my %status = $errors =~ /^\| `(\w+)` \| (\d+) \|/mg;

my $table = slurp('ngx_knock_module/knock_error.h');
my %coded = $table =~ /X\(\w+,\s*"(\w+)",\s*(\d+)\)/g;

my $lua = slurp('redis-schema/knock.lua');
my %from_lua = reverse $lua =~ /failed\((\d+), '(\w+)'/g;

same('error codes', [ keys %coded, keys %from_lua ], [ keys %status ]);

my %all = (%from_lua, %coded);
is_deeply(\%status, \%all, 'each with its status');

my $module = slurp('ngx_knock_module/ngx_http_knock_module.c');
my $readme = slurp('README.md');

same('directives', [ $module =~ /ngx_string\("(knock_\w+)"\),\n\s+NGX_/g ],
     [ $readme =~ /^#+ `?(knock_\w+)`?$/mg ]);

# t/README.md has each file of the nginx layer, and tests that are there

my %guarded = slurp('t/README.md') =~ /^\| `(\w+\.c)` \| (.*) \|$/mg;

same('files of the nginx layer',
     [ map { s/.*ngx_http_knock_//r }
       glob 'ngx_knock_module/ngx_http_knock_*.c' ], [ keys %guarded ]);

for my $file (sort keys %guarded) {
    my @tests = $guarded{$file} =~ /`([^`]+)`/g;

    cmp_ok(scalar @tests, '>', 0, "$file has a test");
    is_deeply([ grep { !-e } @tests ], [], 'and each is there');
}
my $events = slurp('ngx_knock_module/knock_event.h');
my ($notes) = $events =~ /define KNOCK_EVENT_NOTES\(X\)(.*?)\n\n/s;
my ($told) = slurp('docs/api.md') =~ /^\| note \| .*\n\|.*\n((?:\|.*\n)+)/m;
my ($enum) = slurp('docs/openapi.yaml') =~ /^    Note:\n(.*?)^    \w/ms;

my @coded = $notes =~ /"(\w+)"/g;

same('notes', \@coded, [ $told =~ /^\| `(\w+)` /mg ]);
is_deeply([ $enum =~ /^      - (\w+)$/mg ], \@coded,
          'and stand in openapi.yaml');

done_testing();
