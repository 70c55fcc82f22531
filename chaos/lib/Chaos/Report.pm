package Chaos::Report;

# Figures as lines of text.

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(sum0);

our @EXPORT_OK = qw(head line list summary);

# name, heading, width

my @columns = (
    ['sent', 'sent', 8],
    ['acknowledged', 'acked', 8],
    ['applied', 'applied', 9],
    ['lost', 'lost', 6],
    ['doubled', 'doubled', 9],
    ['outage_ms', 'outage ms', 11],
    ['duplicates', 'repeats', 9],
    ['unavailable', '503s', 8],
    ['broken', 'broken', 8],
    ['memory_mb', 'RSS MB', 8],
    ['seconds', 'seconds', 9],
);


sub head {
    return sprintf "%-20s" . join('', map { "%$_->[2]s" } @columns) . "\n", '',
                   map { $_->[1] } @columns;
}


# The line of one scenario, and one for each fault.

sub line {
    my ($result) = @_;
    my %figures = (%$result,
                   unavailable => $result->{statuses}{503} // 0);

    return sprintf("%-20s" . join('', map { "%$_->[2]s" } @columns) . "\n",
                   $result->{name}, map { $figures{ $_->[0] } // '-' } @columns)
           . join '', map { "    WRONG: $_\n" } @{ $result->{faults} };
}


sub summary {
    my ($results, $seconds) = @_;

    return sprintf "\n%d scenarios in %d s: %d events, %d lost, %d doubled%s\n",
        scalar @$results, $seconds,
        map({ my $name = $_; sum0 map { $_->{$name} // 0 } @$results }
            qw(sent lost doubled)),
        join '', map { "; $_->{name} is WRONG" }
                 grep { @{ $_->{faults} } } @$results;
}


sub list {
    return map { "$_->{name}\n    $_->{does}\n" } @_;
}

1;
