# `make test TESTS=...` builds what these tests need, and nothing else.

use strict;
use warnings;

use Test::More;

use constant PROGRAM => qr{build/(unit|unit-asan|fuzz|bench|hostile)/(\w+)};

my %all = built('');

ok $all{$_}, "without TESTS $_ is built" for
    'unit/test_json', 'unit-asan/test_json', 'fuzz/json', 'bench/load',
    'hostile/cost';

is_deeply { built('t/06-identify.t') }, {}, 'a .t needs the module alone';

my %unit = built('t/unit/test_json.c t/05-json.t');

is_deeply [ sort grep { m,/test_, } keys %unit ],
          ['unit-asan/test_json', 'unit/test_json'], 'a unit test its program';

my %fuzz = built('t/fuzz/run');

is_deeply [ grep { !m,^fuzz/, } keys %fuzz ], [], 'the fuzz targets those';
ok $fuzz{'fuzz/json'}, 'which are built';

ok { built('t/hostile/linear.t') }->{'hostile/cost'}, 'what counts the cost';
ok { built('t/bench/smoke.t') }->{'bench/load'}, 'the tools of the benchmark';

done_testing;


# The programs that make would build for these tests, were nothing there.

sub built {
    my ($tests) = @_;

    local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

    my $said = `make -nB NO_DEPS=1 test TESTS='$tests' 2>&1`;

    $? == 0 or BAIL_OUT("make: $said");

    my %built;

    for my $command (grep { / -o / } split /\n(?!\s)/, $said =~ s/\\\n//gr) {
        $built{"$1/$2"} = 1 if $command =~ /-o ${\PROGRAM} /;
    }

    return %built;
}
