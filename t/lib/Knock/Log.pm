package Knock::Log;

# Event logs as the library keeps them: an element of the stream holds many
# entries.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;

our @EXPORT_OK = qw(log_entries);

my $Json = JSON::PP->new->utf8;


# The entries of a stream's elements, the oldest first: { status, whole,
# verdicts, doc, json, text }; `json` is the text of `doc`.  Each is three strings behind their lengths: of the
# status, whether the event is whole ("w") or cut, and the verdicts; the
# document; the event.

sub log_entries {
    my ($elements) = @_;

    my @entries;

    for (@$elements) {
        my %element = @{ $_->[1] };
        my ($block, @strings) = $element{b};

        while ($block =~ s/^(\d+)://) {
            push @strings, substr $block, 0, $1;
            $block = substr $block, $1 + 1;
        }

        while (my ($told, $doc, $text) = splice @strings, 0, 3) {
            my ($status, $whole, $verdicts) = $told =~ /^(.)(.)(.*)$/s;

            push @entries, {
                status => $status, whole => $whole eq 'w',
                verdicts => $verdicts, doc => $Json->decode($doc),
                json => $doc, text => $text
            };
        }
    }

    return @entries;
}

1;
