package Bench::Tools;

# What the parts of the benchmark share: its programs, processes and figures.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;

our @EXPORT_OK = qw(tool run_tool pin on cpus median spread slurp
                    $Root $Codec);

our $Root = __FILE__ =~ s{bench/lib/Bench/[^/]*$}{}r || './';
our $Codec = JSON::PP->new->utf8->canonical;


# A program that the Makefile builds.

sub tool {
    my ($name) = @_;

    my $path = "${Root}build/bench/$name";

    die "$path is missing: make bench builds it\n" unless -x $path;

    return $path;
}


# Runs a program of ours that prints a JSON object; gives that.  Dies where it
# could not work, not where what it found is wrong.

sub run_tool {
    my (@command) = @_;

    open my $out, '-|', @command or die "$command[0]: $!\n";

    my $text = do { local $/; <$out> } // '';

    close $out;

    my $status = $? >> 8;

    die "@command: failed (status $status)\n" if $? & 127 || $status > 1;

    return length $text ? $Codec->decode($text) : {};
}


# Where speed does not count nothing is tied to a processor.

our $Pin = 1;


# The processors that this process may use; the first of them is 0 to pin() and
# on(), the second 1.

sub cpus {
    my ($list) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)/m
        or return 0;

    return map { /^(\d+)-(\d+)$/ ? $1 .. $2 : $_ } split /,/, $list;
}


# Ties processes, with all their threads, to processors, where there is more
# than one.

sub pin {
    my ($cpus, @pids) = @_;
    my $list = numbers($cpus) // return;

    for my $pid (@pids) {
        system("taskset -acp $list $pid > /dev/null 2>&1") == 0
            or warn "cannot tie process $pid to processor $list\n";
    }
}


# What stands before a command that is to run on a processor.

sub on {
    my ($cpu) = @_;
    my $list = numbers($cpu) // return;

    return ('taskset', '-c', $list);
}


# The system's numbers of processors, if there is a choice.

sub numbers {
    my @cpus = cpus();

    return undef if !$Pin || @cpus < 2;
    return join ',', map { $cpus[$_] } split /,/, $_[0];
}


sub median {
    my @sorted = sort { $a <=> $b } grep { defined } @_;

    return undef unless @sorted;
    return $sorted[$#sorted / 2] if @sorted % 2;
    return ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}


# { median, min, max, n, samples }, the samples in their order

sub spread {
    my @samples = map { $_ + 0 } grep { defined } @_;
    my @sorted = sort { $a <=> $b } @samples;

    return undef unless @sorted;
    return { median => median(@sorted), min => $sorted[0],
             max => $sorted[-1], n => scalar @sorted, samples => \@samples };
}


sub slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}

1;
