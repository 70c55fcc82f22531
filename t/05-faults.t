# Contract, section 5: a fault stays with its event, an event is refused only
# for what its type needs, and what is put right is said in the log.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex);
use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my $api = Knock::Api->start;
my $id = 0;

my $dev = '/sources/segment/environments/development';
my $runs = 'knock:{development}:runs';

# what is no event, though its end can be told: a byte of each fault

my %faults = (
    'bad UTF-8'             => qq({"type":"page","a":"\xff"}),
    'UTF-8 of a surrogate'  => qq({"type":"page","\xed\xa0\xbd":1}),
    'too deep'              => '{"type":"page","a":' . '[' x 64 . ']' x 64 . '}',
    'very deep'             => '[' x 100_000 . ']' x 100_000,
    'a control character'   => qq({"type":"page","a":"\n]}"}),
    'an escape that is none' => '{"type":"page","a":"\x\"}"}',
    'a number that is none' => '{"type":"page","a":01}',
    'no key'                => '{"type":"page",}',
    'a word'                => 'undefined',
    'brackets in strings'   => qq({"type":"page","a":"}],{","b":"\x01"}),
);


begin();

fault_of_one($_, $faults{$_}) for sort keys %faults;

runs_too_large();
structure();
signed_over_a_bad_one();
is_not_judged();
is_put_right();
is_repeated();

$api->end;
done_testing();


# An endpoint with an action on "T", and what it answers to.

sub begin {
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });
    $api->done('identifies', 200, PATCH => $dev,
               { identify_enabled => JSON::PP::true });
    seed("workflow development new-comment\n"
         . 'action development ' . live_action());

    return;
}


sub endpoint {
    return $api->done('the endpoint', 200, GET => $dev);
}


sub send_text {
    my ($text, @headers) = @_;

    my ($path) = endpoint()->{url} =~ m{^https?://[^/]+(/.*)$};
    my $answer = $api->nginx->post($path, $text, @headers);

    $answer->{json} = eval { JSON::PP->new->utf8->decode($answer->{body}) };

    return $answer;
}


sub track {
    my ($user) = @_;

    return '{"type":"track","event":"T","messageId":"m' . ++$id
           . qq(","properties":{"recipients":[{"id":"$user"}]}});
}


# Between good events one that is bad is listed, and they are applied; a
# retry finds them so, and the fault where it was.

sub fault_of_one {
    my ($what, $bad) = @_;

    for (['an array', '[', ']'], ['a batch', '{"sentAt":"x","batch":[', ']}']) {
        my ($form, $open, $close) = @$_;
        my $body = $open . join(' ,', track('a'), $bad, track('b'), $bad,
                                track('c')) . $close;

        redis('DEL', $runs);

        for my $duplicates (0, 3) {
            my $answer = send_text($body);
            my $json = $answer->{json};

            is $answer->{status}, 200, "$what in $form"
                or diag $answer->{body};
            is $json->{accepted}, 3 - $duplicates, 'the others are applied';
            is $json->{duplicates}, $duplicates, 'once';
            is_deeply [map { "$_->{index} $_->{code}" } @{ $json->{errors} }],
                      ['1 invalid_json', '3 invalid_json'], 'it is listed';

            my ($at) = ($json->{errors}[0]{message} // '') =~ /byte (\d+)/;
            my $from = index $body, $bad;

            cmp_ok $at // -1, '>=', $from, 'with the byte';
            cmp_ok $at // -1, '<', $from + length $bad, 'of the body';
        }

        is redis('LLEN', $runs), 3, 'a run of each';
    }

    is send_text($bad)->{json}{error}{code}, 'invalid_json', 'alone: refused';

    my $all = send_text("[$bad,$bad]");

    is $all->{status}, 400, 'nothing but such: refused';
    is $all->{json}{error}{code}, 'invalid_json', 'for the first one';
    is scalar @{ $all->{json}{errors} }, 2, 'and all are listed';
}


# 48 MB of runs are more than a request may make.

sub runs_too_large {
    my $large = '{"type":"track","event":"T","properties":{"recipients":['
                . join(',', 1 .. 1000) . '],"a":"' . 'x' x 60_000 . '"}}';

    redis('DEL', $runs);

    my $answer = send_text('[' . join(',', track('a'), $large, track('b'))
                           . ']');

    is $answer->{status}, 200, 'runs too large' or diag $answer->{body};
    is $answer->{json}{runs}, 2, 'those of the others are there';
    is_deeply [map { "$_->{index} $_->{code}" }
               @{ $answer->{json}{errors} }], ['1 runs_too_large'],
              'it is listed';
    is redis('LLEN', $runs), 2, 'no run of it';
    is redis('EXISTS', 'knock:{development}:user:1000'), 0, 'nor a user';

    is send_text($large)->{status}, 413, 'alone: refused';
}


sub structure {
    my $good = track('a');

    my %broken = (
        "[$good,{\"type\":\"page\",\"a\":\"}]"  => 'an unterminated string',
        "[$good,{\"type\":\"page\"]"            => 'a bracket of another kind',
        "[$good,{\"type\":[\"page\"},$good]"    => 'a bracket that is missing',
        "[$good,{\"type\":\"page\"}"            => 'no end',
        "[$good,,$good]"                        => 'nothing between commas',
        "[$good $good]"                         => 'no comma',
        "[$good]]"                              => 'more than a value',
        "{\"batch\":[$good],\"a\":01}"          => 'what is around a batch',
        "{\"type\":\"page\",\"batch\":[x,$good]}" => 'an event with a batch',
    );

    redis('DEL', $runs);

    for my $body (sort keys %broken) {
        my $answer = send_text($body);

        is $answer->{status}, 400, "$broken{$body} fails the whole";
        is $answer->{json}{error}{code}, 'invalid_json', 'with its code';
        like $answer->{json}{error}{message}, qr/byte \d+/, 'and the byte';
    }

    is redis('LLEN', $runs), 0, 'nothing was applied';
}


# The bytes of the first element are signed, whatever they are.

sub signed_over_a_bad_one {
    my $secret = 's3cret';

    $api->done('a secret', 200, PATCH => $dev, { signing_secret => $secret });

    for my $bad ($faults{'bad UTF-8'}, $faults{'brackets in strings'}) {
        for my $body ("[$bad," . track('a') . ']', " [ $bad , " . track('a') . ']') {
            my $answer = send_text($body, 'X-Signature',
                                   hmac_sha1_hex($bad, $secret));

            is $answer->{status}, 200, 'signed over a first event that is bad';
            is $answer->{json}{accepted}, 1, 'the second one is applied';
        }

        is send_text("[$bad," . track('a') . ']', 'X-Signature',
                     hmac_sha1_hex("$bad,", $secret))->{status}, 401,
           'and over nothing else';
    }

    # the body is checked anew with a lone surrogate in it

    my $half = '{"type":"page","a":"\ud83d"}';

    is send_text($_, 'X-Signature', hmac_sha1_hex($_, $secret))->{status},
       200, 'the bytes that came are signed' for $half, $half;

    $api->done('none', 200, PATCH => $dev, { signing_secret => undef });
}


# The newest entry of the log, once the event is in it.

sub logged {
    my ($message) = @_;

    for my $entry (@{ $api->done('the log', 200,
                                 GET => "$dev/logs?limit=5")->{items} }) {
        return $entry if ($entry->{message_id} // '') eq $message;
    }

    return {};
}


sub is_not_judged {
    for my $event (
        '"type":"track","event":"E","traits":["a"]',
        '"type":"track","event":"E","traits":"a","userId":""',
        '"type":"track","event":"E","userId":{"a":1},"context":"x"',
        '"type":"page","userId":[],"event":{},"traits":1',
        '"type":"alias","properties":"x","userId":""',
        '"type":"group","properties":[1],"userId":"' . 'x' x 300 . '"',
        '"type":"identify","userId":"u1","properties":["a"],"event":7',
    ) {
        my $message = 'm' . ++$id;
        my $answer = send_text(qq({$event,"messageId":"$message"}));

        is $answer->{status}, 200, $event or diag $answer->{body};
        is_deeply logged($message)->{notes}, [], 'nothing was put right';
    }
}


# Each with what the log says.

sub is_put_right {
    my @rows = (
        ['"type":"track","event":1234', 'event_name_from_number'],
        ['"type":"track","event":"E","properties":[]', 'empty_array_as_object'],
        ['"type":"identify","userId":"u2","traits":[]', 'empty_array_as_object'],
        ['"type":"identify","userId":"","traits":{}', 'user_id_unusable'],
        ['"type":"identify","userId":"' . 'x' x 257 . '"', 'user_id_unusable'],
        ['"type":"identify","userId":{"a":1}', 'user_id_unusable'],
        ['"type":"identify","userId":"u3","traits":{},"context":{"traits":{"plan":"pro"}}',
         'traits_from_context'],
        ['"type":"identify","userId":"u4","traits":[],"context":{"traits":{"plan":"pro"}}',
         'empty_array_as_object', 'traits_from_context'],
        ['"type":"page","name":"\ud83d"', 'lone_surrogate_replaced'],
        ['"type":"page","timestamp":1767323045', 'timestamp_from_number'],
        ['"type":"page","timestamp":-1', 'timestamp_unusable'],
        ['"type":"page","timestamp":[]', 'timestamp_unusable'],
    );

    for (@rows) {
        my ($event, @notes) = @$_;
        my $message = 'm' . ++$id;
        my $answer = send_text(qq({$event,"messageId":"$message"}));

        is $answer->{status}, 200, $event or diag $answer->{body};
        is_deeply logged($message)->{notes}, \@notes, 'the log says so';
    }

    ok scalar(grep { $_ eq 'track/1234' }
              @{ redis('ZRANGE', 'knock:{development}:catalogue:segment', 0, -1) }),
       'the name is the digits';
    is redis('HGET', 'knock:{development}:user:u3', 'plan'), '"pro"',
       'the traits of the context count';
    is redis('HGET', 'knock:{development}:user:u4', 'plan'), '"pro"',
       'beside an empty array too';

    my %times = (
        '1767323045'        => '2026-01-02T03:04:05.000Z',
        '1767323045.678'    => '2026-01-02T03:04:05.678Z',
        '1767323045678'     => '2026-01-02T03:04:05.678Z',
        '1.767323045678e12' => '2026-01-02T03:04:05.678Z',
        '0'                 => '1970-01-01T00:00:00.000Z',
    );

    for my $time (sort keys %times) {
        redis('DEL', $runs);
        send_text(track('a') =~ s/}$/,"timestamp":$time}/r);

        like redis('LINDEX', $runs, 0), qr/"timestamp":"\Q$times{$time}\E"/,
             "a run of the time $time";
    }
}


# A number is a messageId; of what is none the log tells.

sub is_repeated {
    my $event = '{"type":"page","messageId":ID}';

    for my $number ('7', '1764500000000', '1.50') {
        send_text($event =~ s/ID/$_/r) for $number, qq("$number");

        my $entry = logged($number);

        is $entry->{status}, 'duplicate', "$number is the id of its digits";
        is send_text($event =~ s/ID/$number/r)->{json}{duplicates}, 1,
           'a repeat is known';
        is_deeply logged($number)->{notes}, ['message_id_from_number'],
                  'the log says so';
    }

    for my $none ('{"a":1}', 'true', '""', '"' . 'x' x 256 . '"', '1' x 256) {
        my $body = $event =~ s/ID/$none/r;

        is send_text($body)->{json}{duplicates}, 0, 'no repeat is known'
            for 1 .. 2;

        my ($newest) = @{ $api->done('the log', 200,
                                     GET => "$dev/logs?limit=1")->{items} };

        is $newest->{message_id}, undef, 'it is none';
        is_deeply $newest->{notes}, ['message_id_unusable'],
                  'the log says why';
    }
}
