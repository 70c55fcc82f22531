# Every bit of a signature counts, in each mode and for each way to send; and
# every bit of an API key's digest.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1 sha256);
use File::Temp qw(tempdir);
use Test::More;

use Knock::Nginx;
use Knock::Test;

my $key = 'a key for the test';
my $page = '{"type":"page","userId":"u1"}';
my $batch = "[$page,$page]";

my $dir = tempdir('knock-bits-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $nginx = start();
my $http = $nginx->client;

# what is signed, and sent how

for my $secret (qw(new old)) {
    signatures("by the $secret secret: $_->[0]", $secret, @$_[1 .. $#$_])
        for ['an event', 'POST', '/in/dev', $page, $page],
            ['an event by PUT', 'PUT', '/in/dev', $page, $page],
            ['an event by PATCH', 'PATCH', '/in/dev', $page, $page],
            ['the first of a batch', 'POST', '/in/dev', $batch, $page],
            ['the first of a batch of one', 'POST', '/in/dev', "[$page]", $page],
            ['the first of a batch by PUT', 'PUT', '/in/dev', $batch, $page],
            ['a whole batch', 'POST', '/in/dev', $batch, $batch],
            ['a whole batch, mode whole', 'POST', '/whole/dev', $batch, $batch],
            ['an event, mode whole', 'POST', '/whole/dev', $page, $page],
            ['an object with a batch', 'POST', '/in/dev',
             qq({"batch":$batch}), qq({"batch":$batch})];
}

api_keys();

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub start {
    redis('FLUSHALL');
    seed("endpoint production segment token=prod\n"
         . 'endpoint development segment token=dev signing_secret=new'
         . ' previous_signing_secret=old'
         . ' previous_signing_secret_valid_until=' . (time + 3600) * 1000);

    chmod 0755, $dir;
    write_keys('right', sha256($key));

    # for each octet a file with the eight digests that differ there in a bit

    for my $octet (0 .. 31) {
        write_keys("octet$octet",
                   map { flipped(sha256($key), 8 * $octet + $_) } 0 .. 7);
    }

    return Knock::Nginx->start(redis => redis_server(), server => join "\n",
        $Knock::Nginx::Webhook,
        'location ~ ^/whole/(?<whole>[\w-]+)$ { knock_webhook $whole;'
        . ' knock_batch_signature whole; }',
        map { "location /$_/v1/ { knock_api; knock_api_keys $dir/$_; }" }
            'right', map { "octet$_" } 0 .. 31);
}


sub write_keys {
    my ($name, @digests) = @_;

    open my $out, '>', "$dir/$name" or die "$dir/$name: $!\n";
    print {$out} map { unpack('H*', $_) . "\n" } @digests;
    close $out or die "$dir/$name: $!\n";
}


# The octets with one bit changed.

sub flipped {
    my ($octets, $bit) = @_;

    vec($octets, $bit, 1) ^= 1;

    return $octets;
}


sub signatures {
    my ($title, $secret, $method, $path, $body, $over) = @_;

    my $right = hmac_sha1($over, $secret);
    my $status = sub {
        return $http->request($method, $path, $body,
                              'X-Signature' => unpack 'H*', $_[0])->{status};
    };

    is $status->($right), 200, "$title: the signature";
    is_deeply [grep { $status->(flipped($right, $_)) != 401 }
               0 .. 8 * length($right) - 1], [], "$title: each of its bits";
}


sub api_keys {
    my @bearer = (Authorization => "Bearer $key");

    is $http->get('/right/v1/sources', @bearer)->{status}, 200, 'the key';
    is_deeply [grep { $http->get("/octet$_/v1/sources", @bearer)->{status}
                      != 401 } 0 .. 31], [],
              'the bits of each octet of its digest';
}
