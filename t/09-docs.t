# docs/api.md: its examples are run, in their order, and answered as it says.
# So is README's event.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Files qw(slurp);
use Knock::Test;

# what is another one with every run: ids, tokens, times, cursors

my $Varying = qr/\b(?: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
                     | [0-9a-f]{32}
                     | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z
                     | \d{13}-\d+
                     | \d{16}(?:\.\d+)? )\b/x;

my $api = Knock::Api->start;
my $json = JSON::PP->new->canonical->allow_nonref;
my ($root) = grep { -f "$_/docs/api.md" } '.', __FILE__ =~ s{[^/]*$}{..}r;
my %now;                # as the file has it => as it is in this run
my $n = 0;

for my $example (examples("$root/docs/api.md")) {
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

readme();

$api->end;
done_testing();


# README's event under its action is answered as it says, and puts its run.

sub readme {
    my ($synopsis) = slurp("$root/README.md") =~ /^(The URL to enter.*?)^## /ms;
    my ($event, $action, $answer, $run) = $synopsis =~ /^( +\{.*?\n)\n/msg;

    redis('FLUSHALL');

    my $key = $json->decode($action)->{key};

    for (['POST', '/sources', '{"key":"segment"}'],
         ['PUT', '/workflows/new-comment', '{}'],
         ['PUT', '/environments/development/users/sam10', '{}'],
         ['PUT', "/actions/$key", $action], ['POST', '/commits', '{}'])
    {
        $api->call(@$_);
    }

    my $endpoint = $api->call(GET =>
        '/sources/segment/environments/development')->{json};
    my ($path) = $endpoint->{url} =~ m{^http://[^/]+(/.*)};

    is normal($api->nginx->post($path, $event)->{body}), normal($answer),
       "README's event is answered as it says";

    my @runs = @{ redis('LRANGE', 'knock:{development}:runs', 0, -1) };

    is scalar @runs, 1, 'makes one run';
    is shown($runs[0]), shown($run), 'which is the one that it shows';
}


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


# A run as README shows it: ids, which are derived, cut short, and at any time.

sub shown {
    my $run = $json->decode($_[0]);

    s/^([0-9a-f]{8}-).*/$1.../ for @$run{qw(id trigger_id)};
    delete $run->{enqueued_at};

    return $json->encode($run);
}
