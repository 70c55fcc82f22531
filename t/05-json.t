# Contract, section 5: JSON is strict RFC 8259 in UTF-8, and what is carried
# through arrives as it was written.

use strict;
use warnings;

use Test::More;

use Knock::Nginx;
use Knock::Test;

my $A = '"\u00e9"';

seed($Knock::Test::Seed);

my $nginx = Knock::Nginx->start(redis => redis_server());

# Bodies that must be refused as no JSON, each by its class.  A text with a
# "?" is put in for the value of a property of an event.

my %refused = (
    'structure' => [
        '{', '[', '}', ']', '{"type":"page"', '{"type":"page",}', '{"type":"page"}}',
        '{"type":"page"}{"type":"page"}', '{"type":"page"},', '{,"type":"page"}',
        '{"type" "page"}', '{"type":"page":1}', '{"type":}', '{"type"}', '{:"page"}',
        '{"type":"page" "a":1}', "{'type':'page'}", '{type:"page"}', '{1:2}', '{null:1}',
        '[{"type":"page"},]', '[,{"type":"page"}]', '[{"type":"page"} {"type":"page"}]',
        '[{"type":"page"}', '[{"type":"page"}}', '{"batch":[{"type":"page"}}', '[[]', '[1,,2]',
        '{"type":"page",,"a":1}', '{"a":1,"type":"page"]', '{"type":"page"}#', '<a/>',
        '*', ':', ',', '"', 'page', "\xef\xbb\xbf{\"type\":\"page\"}", "\xef\xbb\xbf",
        "\xfe\xff\0{\0}", "{\0}", "{\"type\":\"page\"}\0", "\0{\"type\":\"page\"}",
        "{\"type\":\"page\"}\x0b", "{\x0c\"type\":\"page\"}", "{\xc2\xa0\"type\":\"page\"}",
        "{\xe2\x80\xa8\"type\":\"page\"}", '{"type":"page"}//', '/**/{"type":"page"}',
        '{"type":"page"/*a*/}', '{"type":"page"}; ', '?[', '?]', '?{', '?[1', '?[1 2]', '?[1;2]',
        '?(1)', '?[1,]', '?{"a":1,}', '?{"a"}', '?{"a":1 2}', '?', '?,', '?:',
    ],
    'literals' => [
        map { "?$_" } qw(True FALSE NULL nul nulll tru truee fals undefined None yes t n f
                         NaN Infinity -Infinity nan inf -inf), "tru\0", 'n ull',
    ],
    'numbers' => [
        map { "?$_" } qw(01 00 -01 -00 000 1. .1 -.1 +1 -- - --1 1e 1E 1e+ 1e- 1.e1 1.2.3 1e1.5 1e1e1
                         0x1 0X1F 0b1 0o7 1_000 1a 1f 1L 0e 0e+ -0. 1.+1 01.5 -a e1 E1 1e
                         2.e3 2.e+3 1eE2 ++1 1+1 1-1 0.e1 9.e 1/2 1d 0.1.),
        "1,5", "1\xd9\xa0", "\xef\xbc\x91", '1 000', "1\0",
    ],
    'strings' => [
        (map { "?\"a${_}b\"" } map { chr } 0 .. 31), '?"', '?"a', '?a"', '?""a', "?'a'", '?"a" "b"',
        "?\"a\x1f\"", "?\"\n\"",
    ],
    'escapes' => [
        map { "?\"$_\"" } '\\', '\\a', '\\x41', '\\0', '\\v', "\\'", '\\ ', '\\U0041', '\\u', '\\u0', '\\u00',
        '\\u004', '\\u004g', '\\uD83', '\\u-041', '\\u+041', '\\u 041', '\\u{41}', '\\u00 4', "\\\n",
        "\\\xc3\xa9", '\\N', '\\B', '\\T', '\\u00zz', '\\\\\\', "\\\0",
        # behind half a surrogate pair
        '\\ud83d\\', '\\ud83d\\ude0', '\\udc00\\x', '\\ud83d\\ud8',
    ],
    'UTF-8' => [
        map { "?\"a${_}b\"" } "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc0\xaf", "\xc2", "\xc3(", "\xe0\x80\x80",
        "\xe0\x9f\xbf", "\xe2\x82", "\xe2(\xa1", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80",
        "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf0\x9f(\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xe9",
        "\xc3\xa9\xa9", "\xf7\xbf\xbf\xbf",
    ],
);

# Values that must be taken, and arrive in a run's data byte by byte.

my %taken = (
    'literals' => ['true', 'false', 'null'],
    'numbers' => [qw(
        0 -0 1 -1 10 1234567890 0.0 -0.0 0.10 1.50 1.000000000000000000000 -1.5 0e0 0E0 0e+0 0e-0 0e00
        1e1 1E1 1e+1 1e-1 1E+01 1.5e10 1.5E-10 -1.5e+300 1e400 -1e400 1e-400 1e999999999
        9007199254740991 9007199254740992 9007199254740993 9223372036854775807 9223372036854775808
        18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809
        0.1 0.30000000000000004 3.141592653589793238462643383279502884
        100000000000000000000000000000000000000000001 1.0 2.00 5e0 123456789012345678901234567890.5
        2.2250738585072014e-308 4.9e-324 1.7976931348623157e308 -0e-0
        ), '9' x 1000, '0.' . '1' x 1000],
    'strings' => [
        '""', '"a"', '" "', '"/"', '"\/"', '"\u002f"', '"\\\\"', '"\""', '"\b\f\n\r\t"', '"\u000a"', '"\u0000"',
        '"a\u0000b"', '"\u0000\u0001\u001f"', '"\u00e9"', '"\u00E9"', "\"\xc3\xa9\"", '"\ud83d\ude00"',
        '"\uD83D\uDE00"', "\"\xf0\x9f\x98\x80\"", '"\uffff"', "\"\xef\xbf\xbf\"", "\"\xef\xbb\xbf\"", "\"\x7f\"",
        "\"\xc2\x80\"", "\"\xdf\xbf\"", "\"\xe0\xa0\x80\"", "\"\xed\x9f\xbf\"", "\"\xee\x80\x80\"",
        "\"\xf0\x90\x80\x80\"", "\"\xf4\x8f\xbf\xbf\"", "\"\xe2\x80\xa8\xe2\x80\xa9\"", '"\ud800\udc00"',
        '"\udbff\udfff"', '"\\\\u0000"', '"\\\\\\\\"', '"<script>&amp;\'%00$1`"', '"' . 'x' x 100_000 . '"',
        '"{\"a\":[1]}"', '"]}"', '"//"', '"/*"', '"01"', '"\u0022"', '"\u005c"', $A,
        (map { "\"" . 'y' x $_ . "\\n\xc3\xa9" . 'z' x $_ . "\"" } 0 .. 20),
    ],
    'structure' => [
        '{}', '[]', '[[]]', '[{}]', '{"":1}', '{"a":{}}', '{"a":[]}', '[null]', '[1,2,3]', '[ ]', '{ }',
        "[\n1\t,\r2 ]", '{ "a" : 1 , "b" : [ ] }', '{"b":1,"a":2}', '{"a":1,"a":2}', '{"a":1,"A":2}',
        '{"2":1,"1":2,"10":3}', '{"\u0061":1}', '{"a\u0000b":1}', '{"__proto__":{"x":1}}', '{"a.b":1}',
        '{"id":[]}', '[' . join(',', 1 .. 1000) . ']', '{' . join(',', map { qq("k$_":$_) } 1 .. 500) . '}',
    ],
);

refuses($_, $refused{$_}) for sort keys %refused;
takes($_, $taken{$_}) for sort keys %taken;
replaces();
offsets();
depth();
exact_data();
last_duplicate_counts();
case_sensitive();
nul_does_not_cut();
is_valid_downstream();

is_deeply([$nginx->complaints], [], 'nothing to complain about');
$nginx->stop;
is_deeply([$nginx->complaints], [], 'nor at the end');

done_testing();


sub refuses {
    my ($class, $texts) = @_;

    redis('DEL', 'knock:{development}:runs');

    for my $text (@$texts) {
        my $body = $text =~ s/^\?//
            ? track('"recipients":[{"id":"u1"}],"v":' . $text) : $text;
        my $answer = post($body);
        my $name = "$class: " . printable($text);

        subtest $name => sub {
            is($answer->{status}, 400, 'status');
            like($answer->{body}, qr/^\{"error":\{"code":"invalid_json","message":"[^\n]*"\}\}\n\z/,
                 'invalid_json');
            like($answer->{body}, qr/\bbyte \d+/, 'with the byte offset');
        };
    }

    is(redis('LLEN', 'knock:{development}:runs'), 0, "$class: no run of any");
}


sub takes {
    my ($class, $texts) = @_;

    for my $text (@$texts) {
        my $data = '"recipients":[{"id":"u1"}],"v":' . $text;

        is(data_of($data), "{$data}", "$class: " . printable($text));
    }
}


# Half a surrogate pair, which is how JavaScript writes a string that was cut
# within a character, is carried as the character for what is none.

sub replaces {
    my %carried = (
        '\ud800'             => '\ufffd',
        '\udc00'             => '\ufffd',
        '\udfffa'            => '\ufffda',
        'a\uD83D'            => 'a\ufffd',
        '\ud800\ud800'       => '\ufffd\ufffd',
        '\udc00\ud800'       => '\ufffd\ufffd',
        '\ud83d\ud83d\ude00' => '\ufffd\ud83d\ude00',
        '\ud83d\ude00\ude00' => '\ud83d\ude00\ufffd',
        '\ud83d\u0041'       => '\ufffd\u0041',
        '\ud83dx\ude00'      => '\ufffdx\ufffd',
        '\ud83d\n\\\\ud83d'  => '\ufffd\n\\\\ud83d',
    );

    for my $half (sort keys %carried) {
        my $data = sub { qq("recipients":[{"id":"u1"}],"v$_[0]":{"$_[0]":["$_[0]"]}) };

        is(data_of($data->($half)), '{' . $data->($carried{$half}) . '}', "half a pair: $half");
    }

    post('{"type":"identify","userId":"half\udc00","traits":{"\ud83d":"\ud83d"}}');
    is(redis('HGET', "knock:{development}:user:half\xef\xbf\xbd", "\xef\xbf\xbd"), '"\ufffd"',
       'in ids, names and values of traits');
}


sub offsets {
    my $event = '{"type":"page","a":';

    my %at = (
        '{'             => 1,
        '[{"type":"page"},]' => 17,
        '{"type":"page"}x' => 15,
        "$event-}"      => 20,
        "$event\"\\q\"}" => undef,
        "{\"\x01\":1}"  => 2,
        "[\n\n\n*]"     => 4,
    );

    for my $body (sort keys %at) {
        my ($offset) = post($body)->{body} =~ /\bbyte (\d+)/;

        cmp_ok($offset, '<=', length $body, 'an offset within: ' . printable($body));
        is($offset, $at{$body}, 'the offset of the fault: ' . printable($body))
            if defined $at{$body};
    }
}


# 64 levels, of which the event's object is the first

sub depth {
    my $deep = sub {
        my ($levels, $open, $close) = @_;
        return '{"type":"page","a":' . $open x ($levels - 1) . '1' . $close x ($levels - 1) . '}';
    };

    for (['[', ']'], ['{"a":', '}']) {
        my ($open, $close) = @$_;

        is(post($deep->(64, $open, $close))->{status}, 200, "64 levels of $open");
        is(post($_->[0] . $deep->(64, $open, $close) . $_->[1])->{status}, 200,
           "64 levels of $open in a batch") for ['[', ']'], ['{"batch":[', ']}'];

        my $answer = post($deep->(65, $open, $close));

        is($answer->{status}, 400, "65 levels of $open");
        like($answer->{body}, qr/"code":"invalid_json".*nested/, 'and the reason told');
        is(post('[' . $deep->(65, $open, $close) . ']')->{status}, 400,
           "65 levels of $open in a batch");
    }

    for my $body ('[' x 1_000_000, '{"a":' x 200_000, '[' x 1_000_00 . ']' x 1_000_00) {
        is(post($body)->{status}, 400, 'very deep: ' . substr $body, 0, 5);
    }

    my $own = Knock::Nginx->start(redis => redis_server(),
        server => $Knock::Nginx::Webhook =~ s/;/; knock_max_depth 3;/r);

    is($own->post('/in/dev', '{"type":"page","a":[[1]]}')->{status}, 200, 'knock_max_depth 3');
    is($own->post('/in/dev', '{"type":"page","a":[[[1]]]}')->{status}, 400, 'and one more');
    $own->stop;
    is_deeply([$own->complaints], [], 'nothing to complain about');
}


# data is the bytes of the properties object: white space, order, duplicates

sub exact_data {
    for my $data (
        ' "recipients" : [ {"id" : "u1"} ] , "z":1,"a" : [ ] , "m":{ } ',
        "\n\t\"recipients\":[{\"id\":\"u1\"}],\r\n\"v\":1.10\n",
        '"recipients":[{"id":"u1"}],"a":1,"a":2,"\u0061":3',
        '"v":9007199254740993,"recipients":[{"id":"u1"}],"w":1e2,"x":"\u00e9\/"',
        '"recipients":[{"id":"u1","n":1.0,"l":[],"o":{}}],"recipients2":[]',
    ) {
        is(data_of($data), "{$data}", 'exact: ' . printable($data));
    }
}


sub last_duplicate_counts {
    is(post('{"type":"nonsense","type":"page"}')->{status}, 200, 'the last "type" counts');
    is(post('{"type":"page","type":"nonsense"}')->{status}, 400, 'not the first');
    is(post('{"type":"nonsense","\u0074ype":"page"}')->{status}, 200, 'by another spelling too');

    like(run_of('{"type":"track","event":"Other","event":"Comment Created","properties":'
                . '{"recipients":["nobody"]},"properties":{"recipients":[{"id":"u1"}]}}'),
         qr/"id":"u1"/, 'of "event" and "properties" too');

    like(run_of(track('"recipients":[{"id":"a"}],"recipients":[{"id":"b","id":"c"}],'
                      . '"comment":{"id":"x"},"comment":{"id":"y","id":"z"}')),
         qr/"recipient":\{"collection":"\$users","id":"c"\}.*"cancellation_key":"z"/,
         'and of what paths find');

    like(post('{"batch":1,"batch":[{"type":"page"},{"type":"page"}]}')->{body}, qr/"ignored":2/,
         'and of "batch"');

    post('{"type":"identify","userId":"first","userId":"last","traits":{"a":1,"a":2}}');
    is(redis('EXISTS', 'knock:{development}:user:first'), 0, 'not the first "userId"');
    is(redis('HGET', 'knock:{development}:user:last', 'a'), '2', 'the last trait');
}


sub case_sensitive {
    is(post('{"TYPE":"page"}')->{status}, 400, '"TYPE" is not "type"');
    is(post('{"type":"track","Event":"E"}')->{status}, 400, '"Event" is not "event"');
    is(post('{"type":"page","Type":"nonsense"}')->{status}, 200, '"Type" does not matter');

    like(post(track('"Recipients":[{"id":"u1"}]'))->{body}, qr/recipients_missing/,
         '"Recipients" is not "recipients"');
    like(run_of(track('"recipients":[{"id":"u1"}],"Org":"t","COMMENT":{"id":1}')),
         qr/"tenant":null,"cancellation_key":null/, 'nor do paths find another case');
    like(run_of(track('"recipients":[{"id":"u1"}],"ORG":"no","org":"yes"')),
         qr/"tenant":"yes"/, 'and find the right one');
}


sub nul_does_not_cut {
    is(post('{"type":"page\u0000"}')->{status}, 400, 'a type with NUL is none');
    is(post('{"type\u0000":"page"}')->{status}, 400, 'a key with NUL is another key');

    post('{"type":"track","event":"Comment\u0000Created"}');
    is((grep { $_ eq "track/Comment\0Created" }
        @{ redis('ZRANGE', 'knock:{development}:catalogue:segment', 0, -1) }), 1,
       'an event name goes on behind NUL');

    like(post('{"type":"identify","userId":"a\u0000b","traits":{}}')->{body}, qr/"ignored":1/,
         'an id with NUL is none');

    post('{"type":"identify","userId":"nul","traits":{"n":"a\u0000b","k\u0000":1}}');
    is(redis('HGET', 'knock:{development}:user:nul', 'n'), '"a\u0000b"', 'a trait with NUL');
    is(redis('HGET', 'knock:{development}:user:nul', "k\0"), '1', 'a name with NUL');
}


# Each run that was made here is JSON for another parser too.

sub is_valid_downstream {
    require JSON::PP;

    my $json = JSON::PP->new->utf8;
    my @runs = @{ redis('LRANGE', 'knock:{development}:runs', 0, -1) };
    my @bad = grep { !eval { $json->decode($_) } } @runs;

    cmp_ok(scalar @runs, '>', 100, 'runs are there');
    is_deeply([map { printable($_) } @bad], [], 'each is JSON to another parser');
}


sub post { return $nginx->post('/in/dev', $_[0], 'Content-Type' => 'application/json') }

sub track { return '{"type":"track","event":"Comment Created","properties":{' . $_[0] . '}}' }


# The run that a body makes, and the data in it.

sub run_of {
    my ($body) = @_;

    my $before = redis('LLEN', 'knock:{development}:runs');
    my $answer = post($body);

    return "$answer->{status} $answer->{body}"
        if redis('LLEN', 'knock:{development}:runs') != $before + 1;

    return redis('LINDEX', 'knock:{development}:runs', -1);
}


sub data_of {
    my ($members) = @_;

    my $run = run_of(track($members));
    my ($data) = $run =~ /"data":(.*),"timestamp":[^,]*,"enqueued_at":"[^"]*","test":false\}\z/s;

    return $data // $run;
}


sub printable {
    my ($text) = @_;

    $text = substr($text, 0, 57) . '...' if length $text > 60;

    return $text =~ s/([^\x20-\x7e]|#)/sprintf '<%02x>', ord $1/ger;
}
