# Contract, sections 5 and 9: a signing secret and a URL that were replaced
# count until the end of their grace, so that neither change loses an event.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use Knock::Api;
use Knock::Server qw(wait_for);
use Knock::Test;

my $api = Knock::Api->start(workers => 2, listen => 'reuseport',
    server => 'location ~ ^/whole/(?<whole>[\w-]+)$ { knock_webhook $whole;'
              . ' knock_batch_signature whole; }');
my @clients = map { $api->nginx->new_client } 1 .. 12;
my $dev = '/sources/segment/environments/development';
my $hash = 'knock:{development}:endpoints';
my $page = '{"type":"page","userId":"u1"}';
my $log = $api->nginx;

subtest 'a secret that is replaced' => \&replaced_secret;
subtest 'a secret that is given with its end' => \&given_secret;
subtest 'a secret that ends by itself' => \&secret_that_ends;
subtest 'a URL that is replaced' => \&replaced_url;
subtest 'a URL that ends by itself' => \&url_that_ends;
subtest 'limits' => \&limits;
subtest 'what is kept is told to nobody' => \&secrets;

$api->end;

done_testing;


sub begin {
    redis('FLUSHALL');
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });

    return $api->done('its endpoint', 200, GET => $dev);
}


# The status of a body that is signed over `over` with a secret.

sub signed {
    my ($endpoint, $secret, %o) = @_;

    my $body = $o{body} // $page;
    my $path = ($o{at} // '/integrations/receive') . "/$endpoint->{token}";

    return ($o{client} // $log->client)->request($o{method} // 'POST', $path,
        $body, 'X-Signature' => hmac_sha1_hex($o{over} // $body, $secret))
        ->{status};
}


sub is_signed {
    my ($endpoint, $title, %expected) = @_;

    for my $secret (sort keys %expected) {
        is join(' ', map { signed($endpoint, $secret, client => $_) } @clients),
           join(' ', ($expected{$secret}) x @clients),
           "$title: signed by \"$secret\"";
    }
}


# A time of an answer in ms, or undef.

sub ms {
    my ($text) = @_;

    return undef unless defined $text;

    my ($y, $mon, $d, $h, $min, $s)
        = $text =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+\.\d{3})Z$/ or return -1;

    require Time::Local;

    return 1000 * (Time::Local::timegm(0, $min, $h, $d, $mon - 1, $y) + $s);
}


sub rfc3339 {
    my ($in) = @_;

    my @t = gmtime(time + $in);

    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1,
                   @t[3, 2, 1, 0];
}


# That an answer tells an end in so many seconds, or none.

sub ends {
    my ($endpoint, $what, $in, $title) = @_;

    my $till = ms($endpoint->{"previous_${what}_valid_until"});

    if (defined $in) {
        cmp_ok abs($till - 1000 * (time + $in)), '<', 30_000, "$title: its end";
    } else {
        is $till, undef, "$title: no end";
    }

    is $endpoint->{previous_signing_secret_set} ? 1 : 0, defined $in ? 1 : 0,
       "$title: whether there is one" if $what eq 'signing_secret';
}


sub replaced_secret {
    my $endpoint = begin();

    ends($endpoint, 'signing_secret', undef, 'at first');

    $endpoint = $api->done('the first', 200, PATCH => $dev,
        { signing_secret => 'one', grace_seconds => 3600 });
    ends($endpoint, 'signing_secret', undef, 'the first');
    is_signed($endpoint, 'the first', one => 200, two => 401);
    is $log->post("/integrations/receive/$endpoint->{token}", $page)->{status},
       401, 'what is not signed is not taken for what came before';

    $endpoint = $api->done('the second', 200, PATCH => $dev,
        { signing_secret => 'two', grace_seconds => 3600 });
    ends($endpoint, 'signing_secret', 3600, 'the second');
    ends($api->done('it', 200, GET => $dev), 'signing_secret', 3600, 'read');
    is_signed($endpoint, 'the second', one => 200, two => 200, three => 401);

    # each way to send, in each mode

    my $batch = "[$page,$page]";

    for my $secret (qw(one two)) {
        is signed($endpoint, $secret, method => $_), 200, "$secret: by $_"
            for qw(PUT PATCH);
        is signed($endpoint, $secret, body => $batch), 200, "$secret: a batch";
        is signed($endpoint, $secret, body => $batch, over => $page), 200,
           "$secret: the first of a batch";
        is signed($endpoint, $secret, at => '/whole', body => $batch), 200,
           "$secret: a batch, whole";
        is signed($endpoint, $secret, at => '/whole', body => $batch,
                  over => $page), 401, "$secret: the first of a batch, whole";
    }

    $api->done('the same again', 200, PATCH => $dev,
               { signing_secret => 'two', grace_seconds => 60 });
    is_signed($endpoint, 'the same again', one => 200, two => 200);

    $endpoint = $api->done('the third', 200, PATCH => $dev,
        { signing_secret => 'three', grace_seconds => 60 });
    ends($endpoint, 'signing_secret', 60, 'the third');
    is_signed($endpoint, 'the last one alone is kept', one => 401, two => 200,
              three => 200);

    $endpoint = $api->done('another setting', 200, PATCH => $dev,
                           { identify_enabled => JSON::PP::true });
    ends($endpoint, 'signing_secret', 60, 'another setting');

    $endpoint = $api->done('without a grace', 200, PATCH => $dev,
                           { signing_secret => 'four' });
    ends($endpoint, 'signing_secret', undef, 'without a grace');
    is_signed($endpoint, 'without a grace', three => 401, four => 200);

    $api->done('five', 200, PATCH => $dev,
               { signing_secret => 'five', grace_seconds => 60 });
    $endpoint = $api->done('removed', 200, PATCH => $dev,
                           { signing_secret => undef });
    ends($endpoint, 'signing_secret', undef, 'removed');
    is_signed($endpoint, 'removed', nothing => 200);
    is_deeply [grep { /previous|signing/ } @{ redis('HKEYS', $hash) }], [],
              'removed: nothing is left';
}


sub given_secret {
    my $endpoint = begin();

    $endpoint = $api->done('both at once', 200, PATCH => $dev,
        { signing_secret => 'new', previous_signing_secret => 'old',
          previous_signing_secret_valid_until => rfc3339(3600) });
    ends($endpoint, 'signing_secret', 3600, 'both at once');
    is_signed($endpoint, 'both at once', old => 200, new => 200);

    $endpoint = $api->done('another', 200, PATCH => $dev,
        { previous_signing_secret => 'older',
          previous_signing_secret_valid_until => rfc3339(60) });
    ends($endpoint, 'signing_secret', 60, 'another');
    is_signed($endpoint, 'another', old => 401, older => 200, new => 200);

    $endpoint = $api->done('taken out', 200, PATCH => $dev,
                           { previous_signing_secret => undef });
    ends($endpoint, 'signing_secret', undef, 'taken out');
    is_signed($endpoint, 'taken out', older => 401, new => 200);
}


# Sends until it is refused: not before its end, and nothing had to tell the
# workers so.

sub taken_until {
    my ($till, $refused, $send) = @_;

    my %statuses;
    my $version = redis('GET', 'knock:{development}:version');

    for my $client (@clients) {
        wait_for('a refusal', sub {
            my $status = $send->($client);

            $statuses{$status}++;
            fail "refused before $till"
                if $status == $refused && 1000 * time < $till;

            return $status == $refused;
        });
    }

    is_deeply [sort keys %statuses], [200, $refused],
              'taken, then refused, and nothing else';
    is redis('GET', 'knock:{development}:version'), $version,
       'though nothing was changed';
}


sub secret_that_ends {
    begin();
    $api->done('one', 200, PATCH => $dev, { signing_secret => 'one' });

    my $endpoint = $api->done('two', 200, PATCH => $dev,
        { signing_secret => 'two', grace_seconds => 1 });
    my $till = ms($endpoint->{previous_signing_secret_valid_until});

    taken_until($till, 401,
                sub { signed($endpoint, 'one', client => $_[0]) });
    is_signed($endpoint, 'the new one', two => 200);

    ends($api->done('read', 200, GET => $dev), 'signing_secret', undef, 'over');
    is redis('HGET', $hash, 'segment/previous_signing_secret'), 'one',
       'it is left in Redis';
    $api->done('a change', 200, PATCH => $dev, { enabled => JSON::PP::true });
    is_deeply [grep { /previous/ } @{ redis('HKEYS', $hash) }], [],
              'until the next change';
}


sub url_outcomes {
    my ($title, @expected) = @_;

    while (my ($endpoint, $status) = splice @expected, 0, 2) {
        is join(' ', map { $api->event($endpoint, $page, $_)->{status} }
                     @clients),
           join(' ', ($status) x @clients), $title;
    }
}


sub replaced_url {
    my $first = begin();

    ends($first, 'token', undef, 'at first');

    my $second = $api->done('rotated', 200, POST => "$dev/rotate",
                            { grace_seconds => 3600 });

    isnt $second->{token}, $first->{token}, 'another token';
    ends($second, 'token', 3600, 'rotated');
    url_outcomes('rotated, with a grace', $first => 200, $second => 200);

    # it is the same endpoint: repeats are known as such

    my $event = '{"type":"page","userId":"u1","messageId":"m1"}';

    like $api->event($first, $event)->{body}, qr/"ignored":1/, 'by the old URL';
    like $api->event($second, $event)->{body}, qr/"duplicates":1/,
         'the same by the new one';

    my $third = $api->done('again', 200, POST => "$dev/rotate",
                           { grace_seconds => 60 });

    ends($third, 'token', 60, 'again');
    url_outcomes('the last one alone is kept', $first => 404, $second => 200,
                 $third => 200);

    my $fourth = $api->done('at once', 200, POST => "$dev/rotate");

    ends($fourth, 'token', undef, 'at once');
    url_outcomes('without a grace', $second => 404, $third => 404,
                 $fourth => 200);

    my $fifth = $api->done('a grace of 0', 200, POST => "$dev/rotate",
                           { grace_seconds => 0 });

    url_outcomes('a grace of 0', $fourth => 404, $fifth => 200);

    # what is off is so by either URL, what goes takes both

    $api->done('rotated', 200, POST => "$dev/rotate", { grace_seconds => 60 });
    $api->done('off', 200, PATCH => $dev, { enabled => JSON::PP::false });
    url_outcomes('off', $fifth => 403);
    $api->done('another source', 201, POST => '/sources', { key => 'other' });
    $api->done('deleted', 204, DELETE => '/sources/segment');
    url_outcomes('deleted', $fifth => 404);
}


sub url_that_ends {
    my $first = begin();
    my $second = $api->done('rotated', 200, POST => "$dev/rotate",
                            { grace_seconds => 1 });
    my $till = ms($second->{previous_token_valid_until});

    taken_until($till, 404, sub { $api->event($first, $page, $_[0])->{status} });
    url_outcomes('the new one', $second => 200);
    ends($api->done('read', 200, GET => $dev), 'token', undef, 'over');
    $api->done('a change', 200, PATCH => $dev, { enabled => JSON::PP::true });
    is_deeply [grep { /previous/ } @{ redis('HKEYS', $hash) }], [],
              'nothing is left';
}


sub limits {
    begin();
    $api->done('a secret', 200, PATCH => $dev, { signing_secret => 'one' });

    my $until = 'previous_signing_secret_valid_until';
    my %known = (signing_secret => 'two');

    for ([ 'over 30 days', PATCH => $dev, { %known, grace_seconds => 2592001 },
           qr/2592000 \(30 days\)/ ],
         [ 'less than none', PATCH => $dev, { %known, grace_seconds => -1 },
           qr/2592000/ ],
         [ 'a text', PATCH => $dev, { %known, grace_seconds => '60' },
           qr/2592000/ ],
         [ 'no new secret', PATCH => $dev, { grace_seconds => 60 },
           qr/signing_secret/ ],
         [ 'no end', PATCH => $dev, { previous_signing_secret => 'old' },
           qr/$until/ ],
         [ 'an end alone', PATCH => $dev, { $until => rfc3339(60) },
           qr/previous_signing_secret/ ],
         [ 'an end in 31 days', PATCH => $dev,
           { previous_signing_secret => 'old', $until => rfc3339(31 * 86400) },
           qr/2592000 seconds \(30 days\)/ ],
         [ 'an end that is over', PATCH => $dev,
           { previous_signing_secret => 'old', $until => rfc3339(-60) },
           qr/to come/ ],
         [ 'a URL, over 30 days', POST => "$dev/rotate",
           { grace_seconds => 2592001 }, qr/2592000 \(30 days\)/ ],
         [ 'a URL, and a part of a second', POST => "$dev/rotate",
           { grace_seconds => 0.5 }, qr/2592000/ ])
    {
        my ($title, $method, $path, $body, $message) = @$_;
        my $answer = $api->refused($title, 422, 'invalid_body', $method, $path,
                                   $body);

        like $answer->{json}{error}{message}, $message, "$title: the limit";
    }

    my $endpoint = $api->done('30 days', 200, PATCH => $dev,
        { %known, grace_seconds => 2592000 });

    ends($endpoint, 'signing_secret', 2592000, '30 days');
    $endpoint = $api->done('30 days', 200, POST => "$dev/rotate",
                           { grace_seconds => 2592000 });
    ends($endpoint, 'token', 2592000, '30 days');
}


sub secrets {
    my $first = begin();

    $api->done('a secret', 200, PATCH => $dev, { signing_secret => 'sEcret-1' });
    $api->done('another', 200, PATCH => $dev,
               { signing_secret => 'sEcret-2', grace_seconds => 60 });

    my $seen = @{ $api->{seen} };
    my $second = $api->done('rotated', 200, POST => "$dev/rotate",
                            { grace_seconds => 60 });

    $api->done('read', 200, GET => $dev);

    my @answers = map { $_->{answer}{raw} . $_->{answer}{body} }
                  @{ $api->{seen} };

    is scalar(grep { /sEcret/ } @answers), 0, 'no secret in an answer';
    is scalar(grep { index($_, $first->{token}) >= 0 }
              @answers[$seen .. $#answers]), 0, 'nor the URL that was';

    # what nginx complains of, at the old URL

    my $offset = -s $log->error_log;
    my $path = "/integrations/receive/$first->{token}";

    is $log->new_client->request(POST => $path, 'x' x 17_000_000)->{status}, 413,
       'too large';
    is signed($first, 'sEcret-1'), 200, 'an event';
    is signed($first, 'sEcret-3'), 401, 'and one with another secret';
    wait_for('a line in the log', sub {
        $log->log_text($offset) =~ /too large/;
    });

    my $text = $log->log_text;

    is index($text, $first->{token}), -1, 'no token in the log';
    is index($text, $second->{token}), -1, 'nor the new one';
    unlike $text, qr/sEcret/, 'nor a secret';
}
