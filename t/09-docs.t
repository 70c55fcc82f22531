# docs/api.md: its examples are run, in their order, and answered as it says.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

# what is another one with every run: ids, tokens, times, cursors

my $Varying = qr/\b(?: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
                     | [0-9a-f]{32}
                     | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z
                     | \d{13}-\d+
                     | \d{16}(?:\.\d+)? )\b/x;

my $api = Knock::Api->start;
my $json = JSON::PP->new->canonical->allow_nonref;
my ($file) = grep { -f } map { "$_/docs/api.md" }
             '.', __FILE__ =~ s{[^/]*$}{..}r;
my %now;                # as the file has it => as it is in this run
my $n = 0;

for my $example (examples($file)) {
    my ($request, $status, $body) = @$example;
    my ($line, $text) = split /\n/, $request, 2;
    my ($method, $path) = split ' ', $line;

    s/($Varying)/$now{$1} \/\/ $1/ge for $path, $text // ();

    my $answer = $path =~ m{^/v1(/.*)}
        ? $api->call($method, $1, $text)
        : $api->nginx->post($path, $text);

    is $answer->{status}, $status, "$line: $status"
        or diag $answer->{body};
    is normal($answer->{body}), normal($body), 'and the answer';

    my @here = $answer->{body} =~ /($Varying)/g;
    my @there = $body =~ /($Varying)/g;

    @now{@there} = @here if @here == @there;
    $n++;
}

cmp_ok $n, '>', 30, 'there are examples';

$api->end;
done_testing();


# The blocks of requests and answers: [request, status, body].

sub examples {
    my ($name) = @_;

    open my $in, '<', $name or die "$name: $!\n";
    my $text = do { local $/; <$in> };
    my @examples;

    while ($text =~ /^```http\n(.*?)\n\n(\d{3})\n(.*?)```$/gms) {
        push @examples, [ $1, $2, $3 ];
    }

    return @examples;
}


# JSON in one form, with what varies left out

sub normal {
    my ($text) = @_;

    return '' unless $text =~ /\S/;

    my $value = eval { $json->decode($text) };

    return "no JSON: $text" unless defined $value;

    return $json->encode($value) =~ s/$Varying/*/gr;
}
