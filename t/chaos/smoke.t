# The scenarios of make chaos work: four of them, shortened, in which nothing
# is lost or doubled; and a ledger that is spoilt is found to be.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use JSON::PP;
use Test::More;

my $root = "$FindBin::Bin/../..";
my $dir = tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

# what is done to Redis behind everybody's back, and the figure that tells

my %tampers = (
    lost    => 'lost',
    doubled => 'doubled',
    other   => undef,
    user    => 'lost',
    counted => undef,
);

# reload fails no request, the others do

for my $name (qw(redis-killed cut-replies failover-hung reload)) {
    my ($status, $output, $figures) = chaos($name);

    is join("\n", @{ $figures->{faults} }), '', "$name: all is as it has to be"
        or diag $output;
    is $status, 0, '... which the exit status says too';
    cmp_ok $figures->{sent}, '>=', 200, '... of hundreds of events';
    is $figures->{acknowledged}, $figures->{sent}, '... all acknowledged';
    is $figures->{lost}, 0, '... none lost';
    is $figures->{doubled}, 0, '... none doubled';
    like $output, qr/^\Q$name\E +\d+ +\d+ +\d+ +0 +0 +\d+ /m,
         '... and has a line with the figures';
}

for my $kind (sort keys %tampers) {
    my ($status, $output, $figures) = chaos('reload', "--tamper=$kind");

    is $status, 1, "$kind: it fails";
    isnt join("\n", @{ $figures->{faults} }), '', '... and says why';
    cmp_ok $figures->{ $tampers{$kind} }, '>', 0, '... and counts it'
        if $tampers{$kind};
}

my $list = qx("$^X" "$root/chaos/run" --list);

is $?, 0, '--list';
like $list, qr/^\Q$_\E\n    \w/m, "... has $_"
    for qw(redis-stopped memory loading functions password disk-full name
           failover cluster-moved worker-killed upgrade);

qx("$^X" "$root/chaos/run" nonsense 2>&1);
isnt $?, 0, 'a scenario that is not there is an error';

done_testing;


# Runs one scenario, short; gives its exit status, output and figures.

sub chaos {
    my ($name, @options) = @_;
    my $json = "$dir/results.json";

    unlink $json;

    open my $out, '-|', $^X, "$root/chaos/run", '--scale=0.2', "--json=$json",
                        @options, $name
        or die "chaos/run: $!\n";
    my $output = do { local $/; <$out> } // '';
    close $out;

    my $status = $? >> 8;

    open my $in, '<', $json or die "chaos/run left no figures:\n$output\n";

    my $results = JSON::PP->new->utf8->decode(do { local $/; <$in> });

    return ($status, $output, $results->{scenarios}[0]);
}
