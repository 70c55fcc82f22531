# Whatever a body holds, receiving it costs a worker in proportion to its size:
# twice the body, twice the instructions.  They are counted, by valgrind, so
# that a busy machine changes nothing.

use strict;
use warnings;

use Test::More;

use File::Temp qw(tempdir);

# Tables of hashes double, so a step may fall between n and 2n; what is
# quadratic has four times the cost, and shows wherever it is as much as a
# fourth of all.

use constant MOST => 1.22;

my $cost = 'build/hostile/cost';
my $dir = tempdir('knock-cost-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

-x $cost or die "$cost is not there: make hostile-build\n";

my %kinds = (
    'equal-keys'         => 6_000,      # 12,000 keys the second time
    'distinct-keys'      => 6_000,
    'nested-equal-keys'  => 3_000,
    'deep-arrays'        => 800,        # 57 deep
    'escapes'            => 2_500,
    'escaped-keys'       => 2_500,
    'numbers'            => 2_500,
    'spaces'             => 2_500,
    'one-recipient'      => 600,
    'left-out'           => 600,
    'batch'              => 500,
    'batch-of-tracks'    => 500,
    'batch-of-kinds'     => 500,
    'batch-of-one-id'    => 500,
    'batch-of-ids'       => 1_500,
    'bad-batch'          => 500,
    'broken-batch'       => 1_000,
    'broken-late'        => 3_000,
    'too-deep'           => 300,
    'surrogates'         => 2_500,
    'chain'              => 250,
    'chain-of-one-key'   => 250,
    'chain-of-deep-keys' => 250,
);

# A run carries the event's properties, so that many recipients of a large
# event make much of little; it costs in proportion to what is made.

my %products = (
    'every-element' => 100,
    'recipients'    => 100,
);

for my $kind (sort keys %kinds) {
    my $once = measure($kind, $kinds{$kind});
    my $twice = measure($kind, 2 * $kinds{$kind});

    compare($kind, $once, $twice, 'body', 2);
}

for my $kind (sort keys %products) {
    my $once = measure($kind, $products{$kind});
    my $twice = measure($kind, 2 * $products{$kind});

    compare($kind, $once, $twice, 'sent', $twice->{sent} / $once->{sent});
}

# Chains that grow cost cache misses rather than instructions.  Ten times the
# strings, which no cache holds any more, may cost some fifteen times as much of
# a processor's time; what is quadratic costs seventy times as much.

{
    my ($once) = sort { $a <=> $b } map { processor('distinct-keys', 130_000) }
                                    1 .. 3;
    my $more = processor('distinct-keys', 1_300_000);

    cmp_ok $more, '<', 35 * $once, 'distinct-keys: time is in proportion';
    note sprintf '%.2f s, %.2f s', $once, $more;
}

done_testing;


sub processor {
    my ($kind, $n) = @_;
    my $before = (times)[2];

    system("$cost $kind $n >$dir/err") == 0 or die "$kind $n failed\n";

    return (times)[2] - $before;
}


# `times` as much is to cost about that many times as much.

sub compare {
    my ($kind, $once, $twice, $of, $times) = @_;

    for my $what (qw(instructions memory)) {
        cmp_ok $twice->{$what}, '<', MOST * $times * $once->{$what},
               "$kind: $what are as much as there is to do";
    }

    note sprintf '%s: %d bytes, %.1f instructions and %.1f bytes of memory '
                 . 'for each', $kind, $twice->{$of},
                 map { $twice->{$_} / $twice->{$of} } qw(instructions memory);
}


sub measure {
    my ($kind, $n) = @_;

    my $output = `valgrind --tool=callgrind --toggle-collect=cost_measured \\
                      --callgrind-out-file=$dir/out $cost $kind $n 2>$dir/err`;
    my $log = do {
        open my $in, '<', "$dir/err" or die "$dir/err: $!\n";
        local $/;
        <$in>;
    };

    my ($instructions) = $log =~ /Collected : (\d+)/;

    return { body => $1, memory => $2, sent => $3,
             instructions => $instructions }
        if $output =~ /^(\d+) (\d+) (\d+)$/ && $instructions;

    die "$kind $n: $log";
}
