# Contract, section 5: each error, and that nothing has changed in Redis then.

use strict;
use warnings;

use Test::More;

use Knock::FakeRedis;
use Knock::Nginx;
use Knock::Server qw(start_redis connect_redis wait_for stop_process);
use Knock::Test;

use constant TRACK => '{"type":"track","event":"Comment Created","messageId":"m1",'
                      . '"properties":{"recipients":[{"id":"u1"}]}}';

# short times, as these are waited for
my $times = 'timeout=1s reconnect=20ms reconnect_max=100ms';

my $digest = <<'_EOS_';
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    if ARGV[1] == '' or not string.find(key, ARGV[1]) then
        all[#all + 1] = key .. ' ' .. redis.sha1hex(redis.call('DUMP', key))
    end
end
table.sort(all)
return redis.sha1hex(table.concat(all, '\n'))
_EOS_

my $server = redis_server();
my $nginx = Knock::Nginx->start(
    http => "knock_redis unix:$server->{socket} $times;",
    server => 'client_max_body_size 400k;'
              . $Knock::Nginx::Webhook =~ s/;/; knock_max_batch 3; knock_max_recipients 2;/r);

refusals();
user_too_large();
errors_of_an_event();
a_digest_can_differ();
wrong_type();
out_of_memory();
read_only();
master_down();
no_replicas();
no_permission();
busy();
slow();
no_library();
ends($nginx);

cannot_save();
away();
away_from_the_start();
replies();

done_testing();


sub ends {
    my ($nginx) = @_;

    is_deeply([$nginx->complaints], [], 'nothing to complain about');
    $nginx->stop;
    is_deeply([$nginx->complaints], [], 'nor at the end');
}


sub seeded {
    redis('FLUSHALL');
    seed($Knock::Test::Seed . <<'_EOS_');
endpoint development signed token=signed signing_secret=s
endpoint development off token=off enabled=0
redis HSET knock:{development}:user:u9 id '"u9"' name '"N"'
redis RPUSH knock:{development}:runs '{}'
_EOS_
}


# A digest of all keys, without those that a Lua pattern finds.

sub digest { return redis('EVAL', $digest, 0, $_[0] // '') }


# An error is {"error":{"code","message"}}, maybe with a list of errors.

sub is_error {
    my ($answer, $status, $code, $title) = @_;

    is($answer->{status}, $status, "$title: $status");
    like($answer->{body}, qr/\A\{"error":\{"code":"$code","message":"(?:[^"\\]|\\.){20,}"\}(?:,"errors":\[[^\n]*\])?\}\n\z/,
         "$title: $code, with a message");
    is($answer->{headers}{'content-type'}, 'application/json', "$title: in JSON");
    is($answer->{headers}{'retry-after'}, $status == 503 ? 1 : undef,
       "$title: Retry-After " . ($status == 503 ? 'is there' : 'is not'));
}


# Code, status, path, body, and header fields of requests that are refused.

sub refusals {
    for (
        ['invalid_json', 400, 'dev', '{"type":"page"'],
        ['invalid_json', 400, 'dev', ''],
        ['invalid_json', 400, 'dev', '[' . TRACK . ',}]'],
        ['invalid_event', 400, 'dev', '{"type":"nonsense"}'],
        ['invalid_event', 400, 'dev', '[]'],
        ['invalid_event', 400, 'dev', '[1,{},{"type":"track"}]'],
        ['invalid_signature', 401, 'signed', TRACK],
        ['invalid_signature', 401, 'signed', TRACK, 'X-Signature' => '0' x 40],
        ['endpoint_disabled', 403, 'off', TRACK],
        ['unknown_endpoint', 404, 'none', TRACK],
        ['body_too_large', 413, 'dev', '[' . TRACK . ',"' . 'x' x 500_000 . '"]'],
        ['batch_too_large', 413, 'dev', '[' . join(',', (TRACK) x 4) . ']'],
        ['unsupported_media_type', 415, 'dev', TRACK, 'Content-Type' => 'text/plain'],
        ['unsupported_encoding', 415, 'dev', TRACK, 'Content-Encoding' => 'gzip'],
    ) {
        my ($code, $status, $token, $body, @headers) = @$_;

        seeded();
        my $before = digest();
        my $answer = $nginx->post("/in/$token", $body, @headers);

        is_error($answer, $status, $code, $code);
        is(digest(), $before, "$code: nothing has changed");
    }

    for my $method ('GET', 'DELETE') {
        seeded();
        my $before = digest();
        my $answer = $nginx->request($method, '/in/dev', TRACK);

        is_error($answer, 405, 'method_not_allowed', $method);
        is($answer->{headers}{allow}, 'POST, PUT, PATCH', "$method: Allow");
        is(digest(), $before, "$method: nothing has changed");
    }
}


# What only Redis can refuse is logged, and counted in the catalogue.

sub user_too_large {
    my $large = 'x' x 300_000;
    my $but = '^knock:{development}:[cl][ao][tg]';

    seeded();

    my $before = digest($but);
    my $answer = $nginx->post('/in/dev', '{"type":"identify","userId":"u9",'
                              . qq("messageId":"l","traits":{"a":"$large"}}));

    is_error($answer, 400, 'user_too_large', 'user_too_large');
    is(digest($but), $before, 'user_too_large: nothing else has changed');
}


# Errors of one event or action are listed, and it alone has no effect.

sub errors_of_an_event {
    my $large = 'x' x 300_000;
    my $head = '{"type":"track","event":"Comment Created","properties":';

    for (
        ['invalid_event', '{"type":"nonsense"}'],
        ['recipients_missing', $head . '{}}'],
        ['too_many_recipients', $head . '{"recipients":[{"id":"a"},{"id":"b"},{"id":"c"}]}}'],
        ['user_too_large', qq({"type":"identify","userId":"u9","traits":{"a":"$large"}})],
    ) {
        my ($code, $event) = @$_;

        seeded();
        my $answer = $nginx->post('/in/dev', "[$event," . TRACK . ']');

        is($answer->{status}, 200, "$code in a batch: 200");
        like($answer->{body}, qr/"runs":1,"errors":\[\{"index":0,[^\n]*"code":"$code","message":"/,
             "$code in a batch: listed");
        is(redis('LLEN', 'knock:{development}:runs'), 2, "$code in a batch: the other is applied");
        is(redis('HGET', 'knock:{development}:user:u9', 'a'), undef, 'and not the bad one');
        is(redis('EXISTS', map { "knock:{development}:user:$_" } qw(a b c)), 0,
           'nor its recipients');
    }
}


sub a_digest_can_differ {
    seeded();
    my $before = digest();

    is(digest(), $before, 'the digest of the same is the same');
    $nginx->post('/in/dev', '{"type":"page"}');
    isnt(digest(), $before, 'the digest of a changed Redis is another');
}


# With Redis refusing: 503, nothing changed and nothing remembered, so that a
# retry once it is well again is processed whole.

sub refused_for_a_while {
    my ($title, $refuse, $allow, %more) = @_;

    seeded();
    $nginx->post('/in/dev', '{"type":"page"}') unless $more{cold};
    my $before = digest();

    $refuse->();

    for my $body (TRACK, '[' . TRACK . ',{"type":"page"}]') {
        is_error($nginx->post('/in/dev', $body), 503, 'redis_unavailable', $title);
    }

    $allow->();

    is(digest(), $before, "$title: nothing has changed");
    retried($nginx, $title);
}


sub retried {
    my ($nginx, $title) = @_;
    my $answer;

    wait_for("$title to pass", sub {
        $answer = $nginx->post('/in/dev', TRACK);
        return $answer->{status} != 503;
    });

    is($answer->{body}, qq({"accepted":1,"duplicates":0,"ignored":0,"runs":1,"errors":[]}\n),
       "$title: the retry is processed whole");
}


sub out_of_memory {
    refused_for_a_while('OOM', sub { redis('CONFIG', 'SET', 'maxmemory', 1) },
                        sub { redis('CONFIG', 'SET', 'maxmemory', 0) });
}


sub read_only {
    refused_for_a_while('READONLY', sub { redis('REPLICAOF', '127.0.0.1', 1) },
                        sub { redis('REPLICAOF', 'NO', 'ONE') });
}


sub master_down {
    refused_for_a_while('MASTERDOWN', sub {
        redis('CONFIG', 'SET', 'replica-serve-stale-data', 'no');
        redis('REPLICAOF', '127.0.0.1', 1);
    }, sub {
        redis('REPLICAOF', 'NO', 'ONE');
        redis('CONFIG', 'SET', 'replica-serve-stale-data', 'yes');
    });
}


sub no_replicas {
    refused_for_a_while('NOREPLICAS', sub { redis('CONFIG', 'SET', 'min-replicas-to-write', 1) },
                        sub { redis('CONFIG', 'SET', 'min-replicas-to-write', 0) });
}


sub no_permission {
    refused_for_a_while('NOPERM', sub { redis('ACL', 'SETUSER', 'default', '-fcall') },
                        sub { redis('ACL', 'SETUSER', 'default', '+fcall') });
}


# The server is at a script that does not end.

sub busy {
    refused_for_a_while('BUSY', sub {
        redis('CONFIG', 'SET', 'busy-reply-threshold', 10);

        my $other = connect_redis($server);
        my $script = 'while true do end';
        print {$other->{socket}} "*3\r\n\$4\r\nEVAL\r\n\$", length $script, "\r\n$script\r\n",
              "\$1\r\n0\r\n";
        $other->{socket}->flush;

        wait_for('BUSY', sub { !eval { redis('PING') } && $@ =~ /^BUSY/ });
    }, sub {
        wait_for('the end of the script', sub { eval { redis('SCRIPT', 'KILL') }; eval { redis('PING') } });
        redis('CONFIG', 'SET', 'busy-reply-threshold', 5000);
    });
}


# No answer in time: what became of it is not known, and a retry tells.

sub slow {
    seeded();
    $nginx->post('/in/dev', '{"type":"page"}');

    kill 'STOP', $server->{pid};
    is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', 'slow');
    kill 'CONT', $server->{pid};

    my $answer;

    wait_for('Redis to go on', sub {
        $answer = $nginx->post('/in/dev', TRACK);
        return $answer->{status} == 200;
    });

    like($answer->{body}, qr/"accepted":1,"duplicates":0|"accepted":0,"duplicates":1/,
         'slow: the retry is served');
    is(redis('LLEN', 'knock:{development}:runs'), 2, 'slow: one run, whichever made it');
}


# A key of another type is an error that does not pass.

sub wrong_type {
    for my $key (qw(runs seen:0 seen:1 user:u1 large)) {
        seeded();
        $nginx->post('/in/dev', '{"type":"page"}');
        redis('DEL', "knock:{development}:$key");
        redis('SADD', "knock:{development}:$key", 'x') if $key ne 'large';
        redis('SET', "knock:{development}:$key", 'x') if $key eq 'large';
        my $before = digest();
        my $answer = $nginx->post('/in/dev', TRACK);

        is_error($answer, 500, 'internal_error', "$key of a wrong type");
        is(digest(), $before, "$key of a wrong type: nothing has changed");
    }
}


# It is not an error: the library is loaded.

sub no_library {
    seeded();
    $nginx->post('/in/dev', '{"type":"page"}');
    redis('FUNCTION', 'FLUSH');

    is($nginx->post('/in/dev', TRACK)->{status}, 200, 'a library that is gone is loaded again');
    seeded();
}


# MISCONF: a snapshot cannot be saved.

sub cannot_save {
    my $own = start_redis(args => ['--save', '3600 1', '--dbfilename', 'taken']);
    my $redis = connect_redis($own);
    my $nginx = own_nginx("unix:$own->{socket}", $redis);

    mkdir "$own->{dir}/taken" or die "mkdir: $!";
    save($redis, 'err');
    is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', 'MISCONF');

    rmdir "$own->{dir}/taken" or die "rmdir: $!";
    save($redis, 'ok');
    retried($nginx, 'MISCONF');
    ends($nginx);
    stop_process($own->{pid});
}


sub save {
    my ($redis, $status) = @_;

    wait_for("a snapshot: $status", sub {
        eval { $redis->command('BGSAVE') };
        return $redis->command('INFO', 'persistence') =~ /rdb_last_bgsave_status:$status/;
    });
}


sub away {
    my $own = start_redis();
    my $redis = connect_redis($own);
    my $nginx = own_nginx("unix:$own->{socket}", $redis);

    stop_process($own->{pid}, 'KILL');

    is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', "away, $_") for 1 .. 3;

    # what cannot be told from what is known, is not refused for good
    is($nginx->post('/in/none', TRACK)->{status}, 503, 'away: an unknown token is no 404');

    $own = start_redis(%$own);
    configure(connect_redis($own));
    retried($nginx, 'away');
    ends($nginx);
    stop_process($own->{pid});
}


sub away_from_the_start {
    my $own = start_redis();

    stop_process($own->{pid}, 'KILL');

    my $nginx = Knock::Nginx->start(http => "knock_redis unix:$own->{socket} $times;");

    is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', "never there, $_") for 1, 2;

    $own = start_redis(%$own);
    configure(connect_redis($own));
    retried($nginx, 'never there');
    ends($nginx);
    stop_process($own->{pid});
}


# Error replies that a server gives in states that are hard to bring about.

sub replies {
    my $fake = Knock::FakeRedis->start($server);
    my $nginx = Knock::Nginx->start(
        http => "knock_redis redis://127.0.0.1:@{[$fake->port]} $times;");

    for (
        [503, '-LOADING Redis is loading the dataset in memory'],
        [503, '-BUSY Redis is busy running a script'],
        [503, "-OOM command not allowed when used memory > 'maxmemory'."],
        [503, "-READONLY You can't write against a read only replica."],
        [503, '-MISCONF Redis is configured to save RDB snapshots'],
        [503, '-MASTERDOWN Link with MASTER is down'],
        [503, '-NOREPLICAS Not enough good replicas to write.'],
        [503, '-CLUSTERDOWN The cluster is down'],
        [503, '-TRYAGAIN Multiple keys request during rehashing of slot'],
        [503, '-NOPERM this user has no permissions'],
        [503, '-NOAUTH Authentication required.'],
        [503, '-WRONGPASS invalid username-password pair'],
        [500, "-CROSSSLOT Keys in request don't hash to the same slot"],
        [500, '-MOVED 3999 127.0.0.1:6381'],
        [500, '-ERR unknown thing'],
        [500, "-ERR unknown command 'FCALL'"],
        [500, '+OK'],
        [500, ':1'],
        [500, "\$-1"],
        [500, '*0'],
        [500, "*2\r\n+a\r\n+b"],
        [503, '!garbage'],
        [503, ''],
    ) {
        my ($status, $reply) = @$_;
        my $title = $reply =~ s/\r\n/ /gr || 'the end of the connection';

        seeded();
        $fake->pass;
        wait_for('a connection', sub { $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200 });

        my $before = digest();
        $fake->answer('FCALL knock_apply', length $reply ? "$reply\r\n" : '');

        is_error($nginx->post('/in/dev', TRACK), $status,
                 $status == 503 ? 'redis_unavailable' : 'internal_error', $title);
        is(digest(), $before, "$title: nothing has changed");

        $fake->pass;
        retried($nginx, $title);
    }

    # and where not even the configuration can be had

    for my $reply ('-LOADING Redis is loading the dataset in memory', '-MASTERDOWN Link', '') {
        my $title = 'to all: ' . ($reply || 'the end of the connection');

        seeded();
        $fake->answer('', length $reply ? "$reply\r\n" : '');
        is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', $title);
        $fake->pass;
        retried($nginx, $title);
    }

    # nor an answer at all

    seeded();
    $fake->answer('FCALL knock_apply', undef);
    is_error($nginx->post('/in/dev', TRACK), 503, 'redis_unavailable', 'no reply');
    $fake->pass;
    retried($nginx, 'no reply');

    ends($nginx);
}


# An nginx with a Redis that is configured as the others are, and in use.

sub own_nginx {
    my ($address, $redis) = @_;

    my $nginx = Knock::Nginx->start(http => "knock_redis $address $times;");

    configure($redis);
    wait_for('a connection', sub { $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200 });

    return $nginx;
}


sub configure {
    my ($redis) = @_;

    Knock::Test::load_library($redis);

    my $key = sub { "knock:{development}:$_[0]" };

    $redis->command('FCALL', 'knock_endpoint_set', 2, $key->('version'), $key->('endpoints'),
                    1, 'segment', 'token', 'dev');
    $redis->command('FCALL', 'knock_live_set', 3, map({ $key->($_) } qw(version workflows actions)),
                    1, 'workflow', 'new-comment', '{"key":"new-comment"}',
                    'action', 'a', live_action(event => '"track/Comment Created"'));
}
