# Contract, section 8: what stands in Redis.

use strict;
use warnings;

use JSON::PP;
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;
use Test::More;

my $runs = 'knock:{development}:runs';
my $log = 'knock:{development}:log:segment';
my $catalogue = 'knock:{development}:catalogue:segment';
my $info = 'knock:{development}:catalogue_info:segment';
my @seen = map { "knock:{development}:seen:$_" } 0, 1;

my $nginx = start();


sub start {
    my (%conf) = @_;

    return Knock::Nginx->start(redis => redis_server(), %conf,
        http => 'client_max_body_size 16m;' . ($conf{http} // ''));
}

sub begin {
    my (@actions) = @_;

    redis('FLUSHALL');
    seed($Knock::Test::Seed);
    seed('action development ' . live_action(%$_)) for @actions;
    seed(qq(redis HSET knock:{development}:user:$_ id '"$_"')) for qw(u1 u2);
}

sub post_ok {
    my ($body, $token, $server) = @_;

    my $answer = ($server // $nginx)->post('/in/' . ($token // 'dev'), $body);

    is $answer->{status}, 200, 'the event is taken' or diag $answer->{body};

    return decode_json($answer->{body});
}

sub track {
    my (%fields) = @_;

    return '{"type":"track","event":"T","properties":{"recipients":["u1"]}'
           . join('', map { qq(,"$_":$fields{$_}) } sort keys %fields) . '}';
}

sub all_runs {
    return map { decode_json($_) } @{ redis('LRANGE', $runs, 0, -1) };
}

# the entries of a log, oldest first, as hashes

sub logged {
    my ($key) = @_;

    return map { +{ @{ $_->[1] } } } @{ redis('XRANGE', $key // $log, '-', '+') };
}

# how many calls of functions Redis has seen while the code ran

sub calls {
    my ($code) = @_;

    redis('CONFIG', 'RESETSTAT');
    $code->();

    my ($n) = redis('INFO', 'commandstats') =~ /cmdstat_fcall:calls=(\d+)/;

    return $n // 0;
}

# waits for Redis' clock to go on to the next millisecond

sub tick {
    my $ms = sub { my $t = redis('TIME'); $t->[0] * 1000 + int $t->[1] / 1000 };
    my $now = $ms->();

    wait_for('the next millisecond', sub { $ms->() > $now });
}


# the slot of Redis Cluster that a key stands in: CRC16 (XMODEM) of its tag

sub slot {
    my ($key) = @_;

    my ($tag) = $key =~ /\{([^}]+)\}/;
    my $crc = 0;

    for my $byte (unpack 'C*', $tag // $key) {
        $crc ^= $byte << 8;
        $crc = $crc & 0x8000 ? $crc << 1 ^ 0x1021 : $crc << 1 for 1 .. 8;
        $crc &= 0xffff;
    }

    return $crc % 16384;
}


subtest 'a run has these fields, in this order' => sub {
    begin();

    post_ok('{"type":"track","event":"Comment Created","messageId":"m1",'
            . '"timestamp":"2024-01-02T03:04:05Z","properties":{"recipients":'
            . '["u1"],"commenter":{"id":"u9"},"org":"acme","comment":{"id":"c1"}}}');

    my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
    my $data = quotemeta '{"recipients":["u1"],"commenter":{"id":"u9"},'
                         . '"org":"acme","comment":{"id":"c1"}}';

    like redis('LINDEX', $runs, 0), qr/^\{"id":"$uuid","trigger_id":"$uuid",
        "workflow":"new-comment","environment":"development",
        "source":"segment","event":"track\/Comment[ ]Created",
        "message_id":"m1","action":"comment-created",
        "recipient":\{"collection":"\$users","id":"u1"\},
        "actor":\{"collection":"\$users","id":"u9"\},"tenant":"acme",
        "cancellation_key":"c1","data":$data,
        "timestamp":"2024-01-02T03:04:05Z",
        "enqueued_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","test":false\}$/x,
        'each with its value';
};


subtest 'what is unset is null' => sub {
    begin({});

    post_ok(track());

    my ($run) = all_runs();

    is_deeply [grep { !defined $run->{$_} } sort keys %$run],
              [qw(actor cancellation_key message_id tenant timestamp)],
              'and there all the same';
};


subtest 'the id of a run is derived from what it is of' => sub {
    begin({}, { key => '"b"' });
    seed('endpoint development segment idempotency_enabled=0');
    seed('endpoint development other token=other');
    seed('action development ' . live_action(key => '"c"', source => '"other"'));
    seed('workflow production new-comment');
    seed('action production ' . live_action());
    seed(q(redis HSET knock:{production}:user:u1 id '"u1"'));

    post_ok(track(messageId => '"m1"')) for 1, 2;

    my @all = all_runs();

    is @all, 4, 'two runs, twice';
    is $all[0]{id}, $all[2]{id}, 'a repeat makes the same id';
    is $all[1]{id}, $all[3]{id}, 'for the other action too';
    isnt $all[0]{id}, $all[1]{id}, 'another action makes another id';
    is $all[0]{trigger_id}, $all[2]{trigger_id}, 'the same trigger id';

    post_ok(track(messageId => '"m2"'));
    isnt +(all_runs())[4]{id}, $all[0]{id}, 'so does another message id';

    redis('DEL', $runs);
    post_ok('{"type":"track","event":"T","messageId":"m1","properties":'
            . '{"recipients":["u2",{"collection":"c","id":"u1"}]}}');
    my %ids = map { $_->{id} => 1 } @all, all_runs();
    is keys %ids, 6, 'and other recipients, of two actions';

    redis('DEL', $runs);
    post_ok(track(messageId => '"m1"'), 'prod');
    $ids{ decode_json(redis('LINDEX', 'knock:{production}:runs', 0))->{id} } = 1;
    is keys %ids, 7, 'and another environment';

    post_ok(track(messageId => '"m1"'), 'other');
    $ids{ (all_runs())[0]{id} } = 1;
    is keys %ids, 8, 'and another source';

    redis('DEL', $runs);
    post_ok(track()) for 1, 2;
    my @random = all_runs();
    isnt $random[0]{id}, $random[2]{id}, 'without a message id it is random';
    is $random[0]{message_id}, undef, 'and the message id null';
};


subtest 'trigger_id is shared by the runs of one action on one event' => sub {
    begin({}, { key => '"b"' });

    post_ok('[' . join(',', map {
        qq({"type":"track","event":"T","messageId":"m$_","properties":)
        . '{"recipients":["u1","u2"]}}' } 1, 2) . ']');

    my @all = all_runs();
    my %triggers;

    push @{ $triggers{$_->{trigger_id}} },
         "$_->{action} $_->{message_id} $_->{recipient}{id}" for @all;

    is_deeply [sort map { join ', ', @$_ } values %triggers],
              ['a m1 u1, a m1 u2', 'a m2 u1, a m2 u2',
               'b m1 u1, b m1 u2', 'b m2 u1, b m2 u2'], 'and by no others';
};


subtest 'the oldest run stands at the head' => sub {
    begin({});

    post_ok(track(messageId => qq("m$_"))) for 1 .. 3;
    post_ok('[' . join(',', map { track(messageId => qq("m$_")) } 4 .. 9) . ']');

    is_deeply [map { $_->{message_id} } all_runs()], [map { "m$_" } 1 .. 9],
              'in the order of the events';

    redis('BLMOVE', $runs, 'mine', 'LEFT', 'RIGHT', 1);
    is decode_json(redis('LINDEX', 'mine', 0))->{message_id}, 'm1',
       'a consumer takes the oldest';
};


subtest 'the fields of a user are JSON' => sub {
    begin();

    post_ok('{"type":"identify","userId":"u3","traits":{"email":"a\"b@x.y",'
            . '"n":1.50,"t":true,"z":null,"l":[],"o":{"a":{}},"phone":"+1",'
            . '"\u00e9":"\ud83d\ude00"}}');

    my %user = @{ redis('HGETALL', 'knock:{development}:user:u3') };
    my $json = JSON::PP->new->allow_nonref;

    for my $name (sort keys %user) {
        ok eval { $json->decode($user{$name}); 1 }, "a field is JSON: $user{$name}";
    }

    is $user{id}, '"u3"', 'id';
    is $user{n}, '1.50', 'as it was written';
    is $user{phone_number}, '"+1"', 'phone_number';
};


subtest 'all keys of an environment stand in one slot' => sub {
    begin({});

    post_ok('[{"type":"identify","userId":"a}{b","messageId":"m1","traits":{"f":"'
            . 'x' x 40000 . '"}},{"type":"track","event":"T","messageId":"m2",'
            . '"properties":{"recipients":[{"id":"{x}"},{"collection":"{c}:",'
            . '"id":"}"}]}}]');
    post_ok(track(messageId => '"m1"'), 'prod');

    my %slots;

    push @{ $slots{slot($_)} }, $_ for @{ redis('KEYS', '*') };

    is_deeply [sort keys %slots],
              [sort map { slot("{$_}") } qw(development production)],
              'a slot an environment';

    my @keys = @{ $slots{slot('{development}')} };

    is_deeply [grep { !/^knock:\{development\}:/ } @keys], [],
              'and its name in front';
    cmp_ok scalar @keys, '>=', 10, 'all kinds of keys are there'
        or diag join ' ', @keys;
};


subtest 'what is of one environment is in no other' => sub {
    begin({});

    my @before = sort @{ redis('KEYS', '*{development}*') };
    my $digest = sub { join ' ', map { redis('DEBUG', 'DIGEST-VALUE', $_)->[0] } @before };
    my $value = eval { $digest->() };

    post_ok('[{"type":"identify","userId":"u1","messageId":"m1","traits":{"a":1}},'
            . track(messageId => '"m2"') . ']', 'prod');

    is_deeply [sort @{ redis('KEYS', '*{development}*') }], \@before,
              'no key is added';

  SKIP: {
        skip 'DEBUG is not allowed', 1 unless defined $value;
        is $digest->(), $value, 'none is changed';
    }

    is redis('HGET', 'knock:{production}:user:u1', 'a'), 1, 'but there';
    post_ok(track(messageId => '"m2"'));
    is redis('LLEN', $runs), 1, 'a message id may be used in each';
};


subtest 'one event costs one round trip' => sub {
    begin({});
    post_ok(track());

    is calls(sub { post_ok(track(messageId => '"m1"')) }), 1, 'a track event';
    is calls(sub { post_ok(track(messageId => '"m1"')) }), 1, 'its repeat';
    is calls(sub { post_ok('{"type":"page"}') }), 1, 'one that is ignored';
    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"a":1,"b":[2]}}')
    }), 1, 'an identify';
    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"o":{"a":1}}}')
    }), 1, 'an identify with an object that is new';
    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"f":"'
                . 'x' x 100000 . '"}}')
    }), 1, 'a large identify';
    is calls(sub {
        post_ok('{"type":"track","event":"T","properties":{"recipients":'
                . '[{"id":"u6","name":"x"},"u1","u2"]}}')
    }), 1, 'an inline recipient and others';
};


subtest 'a batch costs one round trip' => sub {
    begin({});
    post_ok(track());

    is calls(sub {
        post_ok('[' . join(',', map {
            qq({"type":"identify","userId":"b$_","traits":{"a":$_,"o":{"x":1}}},)
            . track(messageId => qq("b$_"))
        } 1 .. 1000) . ']');
    }), 1, 'of 2,000 events too';
};


subtest 'a second one where an object is merged into a stored one' => sub {
    begin({});
    post_ok('{"type":"identify","userId":"u5","traits":{"o":{"a":1}}}');

    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"o":{"b":1}}}')
    }), 2, 'one object';
    is calls(sub {
        post_ok('[' . join(',', map {
            qq({"type":"identify","userId":"u5","traits":{"o":{"k$_":1}}})
        } 1 .. 100) . ']');
    }), 2, 'one object a hundred times';
    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"o":7}}')
    }), 1, 'not where it is replaced';
    is calls(sub {
        post_ok('{"type":"identify","userId":"u5","traits":{"o":{"b":1}}}')
    }), 1, 'not where it replaces';
};


subtest 'a prefix of its own' => sub {
    redis('FLUSHALL');

    my $other = start(http => 'knock_prefix my.app:x;');
    my $base = 'my.app:x:{development}:';

    redis('FCALL', 'knock_endpoint_set', 2, "${base}version",
          "${base}endpoints", 1, 'segment', 'token', 'dev',
          'identify_enabled', 1);

    post_ok('{"type":"identify","userId":"u1","messageId":"m1"}', 'dev', $other);

    is_deeply [grep { !/^\Q$base\E/ } @{ redis('KEYS', '*') }], [],
              'stands in front of every key';
    is redis('HGET', "${base}user:u1", 'id'), '"u1"', 'of a user too';

    $other->stop;
};


subtest 'the catalogue holds count, first and last seen, and a sample' => sub {
    begin({});

    # a worker keeps so many samples a second, and others came before

    my $second = int time;
    wait_for('the next second', sub { int time > $second });

    my $one = track(messageId => '"m1"', n => '1.0');
    my $two = track(messageId => '"m2"', n => '2.0');

    post_ok($one);

    my $first = redis('HGET', $info, 'ftrack/T');

    is redis('HGET', $info, 'ctrack/T'), 1, 'its count';
    is redis('ZSCORE', $catalogue, 'track/T'), $first, 'last seen is first seen';
    is redis('HGET', $info, 'strack/T'), $one, 'the sample is the event as sent';

    tick();
    post_ok("[$two,$two]");

    is redis('HGET', $info, 'ctrack/T'), 2, 'a repeat does not count';
    is redis('HGET', $info, 'ftrack/T'), $first, 'first seen stays';
    cmp_ok redis('ZSCORE', $catalogue, 'track/T'), '>', $first,
           'last seen goes on';
    is redis('HGET', $info, 'strack/T'), $two, 'the sample is the last one';

    post_ok('{"type":"' . $_ . '"}') for qw(page Screen GROUP alias identify);
    post_ok('{"type":"track","event":"Signed Up \u00fc"}');

    is_deeply [sort @{ redis('ZRANGE', $catalogue, 0, -1) }],
              [sort 'track/T', qw(page screen group alias identify),
               "track/Signed Up \xc3\xbc"], 'the event keys';
};


subtest 'the catalogue is bound by knock_catalogue_length' => sub {
    begin();

    my $other = start(http => 'knock_catalogue_length 3;');

    for my $n (1 .. 3, 1, 4, 5) {
        post_ok(qq({"type":"track","event":"E$n"}), 'dev', $other);
        tick();
    }

    is_deeply redis('ZRANGE', $catalogue, 0, -1),
              [map { "track/E$_" } 1, 4, 5], 'those seen last are kept';
    is_deeply [sort @{ redis('HKEYS', $info) }],
              [sort 'evicted', map { ("ctrack/E$_", "ftrack/E$_", "strack/E$_") }
                               1, 4, 5], 'of the others nothing is left';
    is redis('HGET', $info, 'evicted'), 2, 'but their number';

    $other->stop;
};


subtest 'the log is bound by knock_event_log_length' => sub {
    begin();

    my $other = start(http => 'knock_event_log_length 50;');

    post_ok('[' . join(',', ('{"type":"page"}') x 1000) . ']', 'dev', $other);

    my $length = redis('XLEN', $log);

    cmp_ok $length, '>=', 50, 'it holds as many';
    cmp_ok $length, '<=', 50 + 100, 'and up to a node of the stream more';

    $other->stop;
};


subtest 'knock_event_log on, off and errors' => sub {
    my $other = start(server => join '', map {
        "location = /$_/in/dev { knock_webhook dev; knock_event_log $_; }\n"
    } qw(on off errors));

    my $batch = '[' . track() . ',{"type":"page"},'
                . '{"type":"track","event":"T"}]';

    for my $row (['on', 'p', 'i', 'f'], ['off'], ['errors', 'f']) {
        my ($setting, @statuses) = @$row;

        begin({});
        is $other->post("/$setting/in/dev", $batch)->{status}, 200,
           'a batch is taken';
        is_deeply [map { $_->{s} } logged()], \@statuses, "where it is $setting";
        is redis('LLEN', $runs), 1, 'which changes nothing else';
    }

    $other->stop;
};


subtest 'the log holds duplicates and those too large' => sub {
    begin({});

    post_ok('[' . join(',', track(messageId => '"m1"'), track(messageId => '"m1"'),
            '{"type":"identify","userId":"u8","traits":{"a":"'
            . 'x' x 270000 . '"}}') . ']');

    is_deeply [map { $_->{s} } logged()], [qw(p d l)], 'with their status';

    my ($doc) = map { decode_json($_->{d}) } logged();

    is_deeply [sort keys %$doc], [qw(actions event message_id reason received_at)],
              'the document is JSON';
};


subtest 'a changed configuration is noticed without a reload' => sub {
    begin({});

    is post_ok(track())->{runs}, 1, 'an action acts';

    seed('action development ' . live_action(recipients => '{"literal":["u1","u2"]}'));
    is post_ok(track())->{runs}, 2, 'its new document at once';

    redis('FCALL', 'knock_live_set', 3,
          (map { "knock:{development}:$_" } qw(version workflows actions)), 1,
          'workflow', 'new-comment', '');
    is post_ok(track())->{ignored}, 1, 'it does nothing without its workflow';

    seed('endpoint development segment token=new');
    is $nginx->post('/in/dev', track())->{status}, 404, 'an old token is unknown';
    post_ok(track(), 'new');

    seed('redis RPUSH knock:{@}:environments development staging production');
    seed('endpoint staging segment token=stage');
    post_ok(track(), 'stage');
    is redis('HGET', 'knock:{staging}:catalogue_info:segment', 'ctrack/T'), 1,
       'a new environment';
};


for my $how ([qw(FUNCTION DELETE knock)], [qw(FUNCTION FLUSH)]) {
    subtest "@$how while events come in" => sub {
        begin({});

        my @clients = map { $nginx->new_client } 1 .. 16;
        my $n = 0;
        my %statuses;

        for my $round (1 .. 10) {
            for my $client (@clients) {
                my $body = track(messageId => '"m' . ++$n . '"');

                $client->send("POST /in/dev HTTP/1.1\r\nHost: x\r\n"
                              . 'Content-Length: ' . length($body)
                              . "\r\n\r\n$body");
                # it may be gone, or on its way, from the last time
                eval { redis(@$how) } if $n % 16 == 8;
            }

            $statuses{$_->answer->{status}}++ for @clients;
        }

        is_deeply \%statuses, { 200 => 160 }, 'all are taken';
        is_deeply [sort map { $_->{message_id} } all_runs()],
                  [sort map { "m$_" } 1 .. 160], 'each is applied once';
        is redis(qw(FUNCTION LIST LIBRARYNAME knock))->[0][1], 'knock',
           'the library is there again';
    };
}


subtest 'an older version of the library is replaced' => sub {
    begin({});

    my $code = redis(qw(FUNCTION LIST LIBRARYNAME knock WITHCODE))->[0][-1];

    ok +(my $old = $code) =~ s/^local VERSION = \d+$/local VERSION = 0/m,
       'an older one';
    redis(qw(FUNCTION LOAD REPLACE), $old);

    is post_ok(track())->{runs}, 1, 'an event is applied';
    is redis(qw(FUNCTION LIST LIBRARYNAME knock WITHCODE))->[0][-1], $code,
       'by the version that the worker was built with';
};


subtest 'FLUSHALL and a new configuration are noticed' => sub {
    for (1 .. 3) {
        begin({});
        is post_ok(track(messageId => '"m1"'))->{runs}, 1, 'an event is applied';

        redis('FLUSHALL');
        is $nginx->post('/in/dev', track())->{status}, 503,
           'nothing is configured any more, which is no answer';
        is_deeply redis('KEYS', '*'), [], 'and nothing is written';
    }
};


subtest 'marks of seen events expire' => sub {
    my $other = start(http => 'knock_dedupe_window 1s;');

    begin();
    post_ok('{"type":"page","messageId":"m1"}', 'dev', $other);

    my ($key) = grep { redis('EXISTS', $_) } @seen;
    my $ttl = redis('PTTL', $key);

    cmp_ok $ttl, '>', 0, 'the key expires';
    cmp_ok $ttl, '<=', 2000, 'within two windows';

    wait_for('the mark to expire', sub {
        return decode_json($other->post('/in/dev',
            '{"type":"page","messageId":"m1"}')->{body})->{ignored};
    });
    pass 'after the window a repeat is an event like any other';

    wait_for('the keys to go', sub { !redis('EXISTS', @seen) });
    pass 'and the keys go by themselves';

    $other->stop;
};


subtest 'a mark takes less than 100 bytes' => sub {
    begin();

    my $n = 0;

    for (1 .. 10) {
        my $answer = post_ok('[' . join(',', map {
            $n++; qq({"type":"page","messageId":"message-$n"})
        } 1 .. 2000) . ']');

        is $answer->{ignored}, 2000, 'all are new';
    }

    my $bytes = 0;
    $bytes += redis(qw(MEMORY USAGE), $_, 'SAMPLES', 0) // 0 for @seen;

    cmp_ok $bytes / $n, '<', 100, "for $n marks";
    note $bytes / $n;
};


is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';

done_testing();
