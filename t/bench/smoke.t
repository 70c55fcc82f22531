# The benchmark works: each server that it compares has the right effects in
# each of its scenarios, and effects that are not right are found.  Of speed
# nothing is said here.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/../../bench/lib";

use Bench::Scenarios qw(@Scenarios @Memory %Servers);

my $root = "$FindBin::Bin/../..";
my $dir = tempdir('knock-smoke-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

# an nginx with sanitizers is not what peers and ceilings are built for
my @servers = grep { !$ENV{ASAN_OPTIONS} || $Servers{$_}{kind} eq 'ours' }
              sort keys %Servers;
my %compared = map { $_ => 1 } @servers;

# what is done to Redis behind the server's back, and how it is told

my %tampers = (
    lost  => qr/has no run for its recipient/,
    twice => qr/is there twice/,
    other => qr/has a recipient whom its event does not name/,
    user  => qr/user u0000007/,
);

for my $tool (qw(load effects)) {
    BAIL_OUT("build/bench/$tool is missing: make bench-build")
        unless -x "$root/build/bench/$tool";
}

works();
finds($_) for sort keys %tampers;
prints();

done_testing;


# All of it, once.

sub works {
    my ($status, $output, $results) = bench('--servers', join ',', @servers);
    my %runs = map { ("$_->{scenario} $_->{server}" => $_) }
               @{ $results->{runs} };

    for my $scenario (@Scenarios) {
        verified($scenario->{name}, $_, $runs{"$scenario->{name} $_"})
            for grep { $compared{$_} } @{ $scenario->{servers} };
    }

    verified('memory', $_->{name}, $runs{"memory $_->{name}"}) for @Memory;

    is $status, 0, 'the benchmark says so too' or diag($output);
}


sub verified {
    my ($scenario, $server, $run) = @_;

    is $run ? join("\n", @{ $run->{faults} }) : 'not run', '',
       "$scenario, $server: every effect verified";
}


# That a wrong effect is found, told and makes the benchmark fail.

sub finds {
    my ($kind) = @_;
    my ($status, $output, $results) =
        bench('--only', 'singles', '--servers', 'ours', '--tamper', $kind);

    is $status, 1, "$kind: the benchmark fails";
    like join("\n", map { @{ $_->{faults} } } @{ $results->{runs} }),
         $tampers{$kind}, '... and says why';
}


# Events are the same each time, and other ones with another seed.

sub prints {
    my ($one, $again, $other) = map {
        join '', qx($root/build/bench/load --print 0..99 --seed $_)
    } 7, 7, 8;

    ok $one eq $again, 'the same seed gives the same events';
    ok $one ne $other, '... and another one others';

    my @events = map { JSON::PP->new->utf8->decode($_) } split /\n/, $one;
    my %types;

    $types{ $_->{type} }++ for @events;

    is_deeply \%types, { track => 80, identify => 20 }, 'the mix of events';

    my $mean = length($one) / @events;

    cmp_ok abs($mean - 1400), '<', 50, 'about 1.4 kB each';
}


sub bench {
    my (@options) = @_;
    my $json = "$dir/results.json";

    unlink $json;

    open my $out, '-|', $^X, "$root/bench/run", '--smoke', '--json', $json,
                        @options
        or die "bench/run: $!\n";
    my $output = do { local $/; <$out> } // '';
    close $out;

    my $status = $? >> 8;

    open my $in, '<', $json or return ($status, $output, { runs => [] });

    return ($status, $output, JSON::PP->new->utf8->decode(do { local $/; <$in> }));
}
