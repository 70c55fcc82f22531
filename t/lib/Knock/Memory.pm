package Knock::Memory;

# What a process has in memory, for tests that look for leaks.

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(min);

our @EXPORT_OK = qw(rss floor_growth);


# In kB.

sub rss {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/status" or die "process $pid: $!\n";
    my ($kb) = map { /^VmRSS:\s+(\d+) kB/ ? $1 : () } <$in>;

    return $kb;
}


# Of what was seen now and then during equal work: by how much the least of the
# second half is more than that of the first.  A leak raises it.  What is kept
# for the next work is now more and now less, as much as happens to meet, and
# goes back to the same.

sub floor_growth {
    my (@seen) = @_;

    my @first = splice @seen, 0, @seen / 2;

    return min(@seen) - min(@first);
}


1;
