# The locations of the webhook that are shipped take the URLs that the API gives,
# and what people make of them.

use strict;
use warnings;

use FindBin;
use Test::More;

use Knock::Files qw(slurp);
use Knock::Nginx;
use Knock::Test;

seed("endpoint development segment token=dev-_1\n"
     . 'endpoint production segment token=prod');

for my $file (qw(README.md examples/site.conf examples/nginx.conf)) {
    my @locations = slurp("$FindBin::Bin/../../$file")
                    =~ /^\s*(location \S+ \S+receive\S+ \{\n\s+knock_webhook \$token;)/mg;

    cmp_ok @locations, '>', 0, "$file has a location";
    takes("$file: $_", $locations[$_]) for 0 .. $#locations;
}

done_testing;


sub takes {
    my ($title, $location) = @_;

    my $nginx = Knock::Nginx->start(redis => redis_server(),
                                    server => "$location }");
    my $in = '/integrations/receive';
    my %expected = (
        "$in/dev-_1"       => 200,
        "$in/dev-_1/"      => 200,
        "$in/dev-_1/?a=b"  => 200,
        "$in/dev-_1//"     => 200,     # nginx merges them
        "$in/dev-_1/x"     => 404,
        "$in/dev-_1x/"     => 404,
        "$in/"             => 404,
    );

    for my $path (sort keys %expected) {
        my $answer = $nginx->post($path, '{"type":"page"}');

        is $answer->{status}, $expected{$path}, "$title: $path";
    }

    is_deeply [$nginx->complaints], [], "$title: no complaints in the log";
}
