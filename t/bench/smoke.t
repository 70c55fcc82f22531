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
    trait => qr/has an address that is not all from one identify/,
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
    my ($status, $output, $results) = bench('--contenders', join ',', @servers);
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
        bench('--only', 'single-64', '--contenders', 'module',
              '--tamper', $kind);

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

    my @lines = split /\n/, $one;
    my @events = map { JSON::PP->new->utf8->decode($_) } @lines;
    my %kinds;

    $kinds{ kind($events[$_]) }++ for grep { $_ % 20 != 19 } 0 .. $#events;

    is_deeply \%kinds, { 'one recipient' => 45, 'three recipients' => 10,
                         'no action' => 20, 'identify' => 10,
                         'identify with objects' => 10 }, 'the mix of events';

    is scalar(grep { my $n = $_; grep { $lines[$n] eq $lines[$_] } 0 .. $n - 1 }
              0 .. $#lines), 5, '... and one of twenty is an earlier one';

    my @former = map { kind(JSON::PP->new->utf8->decode($_)) }
                 qx($root/build/bench/load --print 0..99 --mix former);
    my @flat = grep { kind(JSON::PP->new->utf8->decode($_)) =~ /objects/ }
               qx($root/build/bench/load --print 0..99 --mix flat);

    is scalar(grep { $_ eq 'one recipient' } @former), 80, 'the former mix';
    is scalar(grep { $_ eq 'identify' } @former), 20, '... all of it';
    is scalar(@flat), 0, 'a mix without objects in traits';

    my $mean = length($one) / @events;

    cmp_ok abs($mean - 1400), '<', 50, 'about 1.4 kB each';
}


sub kind {
    my ($event) = @_;

    return 'no action' if ($event->{event} // '') ne 'Comment Created'
                          && $event->{type} ne 'identify';
    return ref $event->{traits}{address} && ref $event->{traits}{company}
           ? 'identify with objects' : 'identify' if $event->{type} eq 'identify';

    my $recipients = @{ $event->{properties}{recipients} };

    return { 1 => 'one recipient', 3 => 'three recipients' }->{$recipients};
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
