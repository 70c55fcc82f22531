package Knock::Files;

# Files, for tests.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(slurp);


# All that is in a file.

sub slurp {
    my ($name) = @_;

    open my $in, '<', $name or die "$name: $!\n";
    local $/;

    return <$in>;
}


1;
