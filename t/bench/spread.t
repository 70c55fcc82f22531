# bench/spread: it works, and its table has a figure for each master.

use strict;
use warnings;

use Test::More;

my ($spread) = grep { -x } map { "$_/bench/spread" }
               '.', __FILE__ =~ s{[^/]*$}{../..}r;

for my $batch (50, 0) {
    my $out = `$spread --events=1000 --batch=$batch --connections=4 --smoke 2>&1`;

    is($?, 0, "batch $batch: nothing is missing or done twice") or diag($out);

    for ([1, 1], [1, 15], [3, 15], [5, 15]) {
        my ($masters, $shards) = @$_;
        my ($row) = $out =~ /^ +$masters +$shards  +(.*)$/m;

        is(scalar(my @figures = split ' ', $row // ''), $masters + 1,
           "$masters masters, $shards shards: one each, and the busiest");
    }

    like($out, qr/^the busiest of five against one in one slot: \d+\.\d\d$/m,
         'what the busiest comes to');
}

my $out = `$spread --evnts=1000 2>&1`;

isnt($?, 0, 'an option that there is not');
like($out, qr/see the head of \S+spread/, 'is told where they are');

done_testing();
