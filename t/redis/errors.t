# Error replies of Redis, each with its status and with what becomes of the
# connection; and replies that never came, though the command was run.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Test;

table();
while_reading_what_is_live();
one_bad_apple();
lost_after_send();
said_now_and_then();
many_in_a_row();

done_testing;


# Code => what the sender is told, whether the connection is given up, and a
# hint that must be in the log.

sub table {
    my @table = (
        ['LOADING Redis is loading the dataset in memory', 503, 0,
         'wait until Redis has read its data set'],
        ['BUSY Redis is busy running a script', 503, 0, 'FUNCTION KILL'],
        ["OOM command not allowed when used memory > 'maxmemory'.", 503, 0,
         'raise maxmemory'],
        ['MISCONF Redis is configured to save RDB snapshots', 503, 0,
         'cannot save to its disk'],
        ['NOREPLICAS Not enough good replicas to write.', 503, 0,
         'min-replicas-to-write'],
        ["NOPERM this user has no permissions to run the 'fcall' command",
         503, 0, 'ACL SETUSER'],
        ['TRYAGAIN Multiple keys request during rehashing of slot', 503, 0,
         'TRYAGAIN'],
        ['CLUSTERDOWN The cluster is down', 503, 0, 'CLUSTER INFO'],
        ["READONLY You can't write against a read only replica.", 503, 1,
         'point knock_redis to the master'],
        ['MASTERDOWN Link with MASTER is down', 503, 1,
         'a replica without its master'],
        ['NOAUTH Authentication required.', 503, 1,
         'give knock_redis a password'],
        ['WRONGPASS invalid username-password pair', 503, 1,
         'correct the user and password'],
        ["CROSSSLOT Keys in request don't hash to the same slot", 500, 0,
         'CROSSSLOT'],
        ['MOVED 3999 127.0.0.1:6381', 500, 0, 'a node of a cluster'],
        ['ASK 3999 127.0.0.1:6381', 500, 0, 'a node of a cluster'],
        ["ERR unknown command 'FCALL'", 500, 0, 'Redis 7.0 or later'],
        ['WRONGTYPE Operation against a key', 500, 0, 'WRONGTYPE'],
        ['ERR user_script:1: attempt to index nil', 500, 0, 'user_script'],
        # codes that only begin like others
        ['BUSYKEY Target key name already exists.', 500, 0, 'BUSYKEY'],
        ['ASKING what', 500, 0, 'ASKING'],
        ["", 500, 0, 'Redis did not apply'],
        ["OOM", 503, 0, 'raise maxmemory'],
    );

    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;

    for (@table) {
        my ($text, $status, $reconnects, $hint) = @$_;
        my ($code) = $text =~ /^(\S*)/;

        $fake->ready;
        $http->send(post('/in/dev', track('T')));

        my $call = $fake->call;
        my $offset = -s $nginx->error_log;

        $fake->reply($call, error($text));

        my $answer = $fake->answer($http);

        is $answer->{status}, $status, "\"$text\": $status";

        if ($status == 503) {
            ok unavailable($answer), "$code: Retry-After";
        } else {
            like $answer->{body}, qr/^\{"error":\{"code":"internal_error",/,
                 "$code: code internal_error";
        }

        if ($reconnects) {
            $fake->wait_closed($call->{conn});
            pass "$code: over another connection from now on";
        } else {
            $http->send(post('/in/dev', track('T')));

            my $next = $fake->call;

            is $next->{conn}, $call->{conn},
               "$code: the connection goes on";
            $fake->reply($next, applied($next, 'p'));
            is $fake->answer($http)->{status}, 200,
               "$code: for the next request";
        }

        like $nginx->log_text($offset), qr/\Q$hint\E/, "$code: the log helps";
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';

    # a reconnect waits for the replies that are on their way

    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    $fake->ready;

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    my $waits = $nginx->new_client;

    $waits->send(post('/in/dev', track('T')));
    $fake->wait_taken($waits);

    $fake->reply($calls[0], error('READONLY replica'));
    ok unavailable($fake->answer($clients[0])), 'READONLY in a pipeline: 503';
    ok unavailable($fake->ask($http, post('/in/dev', full('T')))),
       'nothing more goes there: 503';
    ok unavailable($fake->answer($waits)), 'nor what waited for its call: 503';
    $fake->reply($calls[1], applied($calls[1], 'p'));
    is $fake->answer($clients[1])->{status}, 200,
       'what was on its way is waited for';
    ok !$calls[0]{conn}{closed}, 'before the connection is closed';
    $fake->reply($calls[2], applied($calls[2], 'p'));
    is $fake->answer($clients[2])->{status}, 200, 'all of it';
    $fake->wait_closed($calls[0]{conn});
    $fake->ready;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The same where it is the configuration that cannot be read.

sub while_reading_what_is_live {
    my $error;
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        my ($self, $command) = @_;

        return if !$error || $command->{args}[0] ne 'FCALL';
        return error($error);
    });
    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;

    # a token that is not known has Redis asked

    for ('LOADING Redis is loading', 'NOPERM no permissions',
         'ERR what is that', 'READONLY replica')
    {
        $error = $_;
        $fake->ready;

        my $answer = $fake->ask($http, post('/in/unknown', track('T')));

        ok unavailable($answer), "what is live, \"$error\": 503"
            or diag "$answer->{status} $answer->{body}";
    }

    # the last error is one after which the connection is given up

    $error = undef;
    $fake->run_until('another connection', sub { $fake->{accepted} > 1 });
    $fake->ready;

    is $fake->ask($http, post('/in/unknown', track('T')))->{status}, 404,
       'what is live, an answer: 404';
    is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
       'and what is known is served';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Requests that share a call share no failure that is one's own doing.

sub one_bad_apple {
    my $fake = Knock::HeldRedis->new(unix => 1, live => {});
    my $nginx = $fake->nginx;
    my @clients = map { $nginx->new_client } 1 .. 3;

    # those that wait for what is live are applied together when it comes

    my @held;

    $fake->{auto} = sub {
        my ($self, $command) = @_;

        return if ($command->{args}[1] // '') ne 'knock_live' || $self->{go};
        push @held, $command;
        return '';
    };
    $fake->{live} = { version => 2, endpoints => ['segment/token', 'new'] };

    # the first one has Redis asked, the others wait for what is asked next

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/new', track("T$i")));
        $fake->run_until('what is live to be asked', sub { @held });
        $fake->wait_taken($clients[$i]);
    }

    $fake->{go} = 1;
    $fake->reply($held[0], $fake->live);

    my $first = $fake->call;

    $fake->reply($first, applied($first, 'p'));
    is $fake->answer($clients[0])->{status}, 200, 'one request by itself';

    my $shared = $fake->call;

    is_deeply [events($shared)], ['track/T1', 'track/T2'],
              'two requests that share a call';
    $fake->reply($shared, error('ERR one of you'));

    my @alone = ($fake->call, $fake->call);

    is_deeply [map { [events($_)] } @alone], [['track/T1'], ['track/T2']],
              'each of them again, by itself';
    $fake->reply($alone[0], applied($alone[0], 'p'));
    $fake->reply($alone[1], error('ERR it was me'));

    is $fake->answer($clients[1])->{status}, 200, 'the good one is served';
    is $fake->answer($clients[2])->{status}, 500, 'the bad one has failed';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The command was run, the reply is lost: 503, and the retry repeats nothing.

sub lost_after_send {
    seed($Knock::Test::Seed);
    redis(qw(HSET knock:{development}:user:u1 id), '"u1"');

    my $lose = 0;
    my $fake;

    $fake = Knock::HeldRedis->new(
        unix => 1, upstream => redis_server()->{socket},
        auto => sub {
            my ($self, $command) = @_;

            return unless $lose && ($command->{args}[1] // '') eq 'knock_apply';

            $self->_upstream($command);
            $self->$lose($command->{conn});
            return '';
        });

    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;
    my $figures = Knock::Figures->new($nginx, $fake);
    my $n = 0;

    for (qw(close reset)) {
        $lose = $_;
        $n++;

        my $body = track('Comment Created', messageId => "\"lost-$n\"",
                         properties => '{"recipients":["u1"]}');

        $fake->ready;

        ok unavailable($fake->ask($http, post('/in/dev', $body))),
           "lost after send by $_: 503";
        is redis(qw(LLEN knock:{development}:runs)), $n,
           "lost after send by $_: it had been applied";

        $lose = 0;
        $fake->ready;

        like $fake->ask($http, post('/in/dev', $body))->{body},
             qr/^\{"accepted":0,"duplicates":1,"ignored":0,"runs":0,/,
             "lost after send by $_: the retry is a duplicate";
        is redis(qw(LLEN knock:{development}:runs)), $n,
           "lost after send by $_: and has no second run";
    }

    # lost before it was run: the retry does it

    my $body = track('Comment Created', messageId => '"never"',
                     properties => '{"recipients":["u1"]}');

    $fake->{auto} = sub {
        my ($self, $command) = @_;

        return unless ($command->{args}[1] // '') eq 'knock_apply';
        $self->close($command->{conn});
        return '';
    };
    $fake->ready;

    ok unavailable($fake->ask($http, post('/in/dev', $body))),
       'lost before it was run: 503';
    $fake->{auto} = undef;
    $fake->ready;
    like $fake->ask($http, post('/in/dev', $body))->{body},
         qr/^\{"accepted":1,"duplicates":0,"ignored":0,"runs":1,/,
         'lost before it was run: the retry does it';
    is redis(qw(LLEN knock:{development}:runs)), $n + 1, 'once';
    $figures->is_quiet('lost', requests => { 200 => 3, 503 => 3 },
                       redis_lost => 3);
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The same error is not logged again for a while, another one is.

sub said_now_and_then {
    my $error;
    my $fake = Knock::HeldRedis->new(unix => 1, auto => sub {
        return ($_[1]{args}[1] // '') eq 'knock_apply' ? error($error) : undef;
    });
    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;

    for (['OOM command not allowed', 1, 'an error'],
         ['OOM command not allowed', 0, 'the same again'],
         ['MISCONF cannot save', 1, 'another one right behind it'],
         ['MISCONF cannot save', 0, 'and that again'])
    {
        my ($text, $times, $what) = @$_;
        my $offset = -s $nginx->error_log;

        $error = $text;
        ok unavailable($fake->ask($http, post('/in/dev', track('T')))),
           "$what: 503";
        is scalar(() = $nginx->log_text($offset)
                       =~ /\[error\].* refuses commands: $text/g),
           $times, "$what: logged, or not";
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# What is large and refused, in every way, leaves nothing behind.

sub many_in_a_row {
    my $error;
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1,
                                    live => { large_action() }, auto => sub {
        return $error && ($_[1]{args}[1] // '') eq 'knock_apply'
               ? error($error) : undef;
    });
    my $nginx = $fake->nginx(http => 'client_max_body_size 16m;');
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;
    my $x = '"properties":{"to":[{"id":"u"}],"x":"' . 'x' x 1_000_000 . '"}';

    my $good = qq({"type":"track","event":"Large",$x});

    for (['refused by Redis', 503, $good, sub { $error = 'OOM no' }],
         ['a long error', 500, track('Large'), sub {
             $error = 'ERR ' . 'x' x 1_000_000;
         }],
         ['no event', 400, qq([{"type":"track",$x}])],
         ['no JSON', 400, "[$good,]"],
         ['an unknown endpoint', 404, $good],
         ['Redis is away', 503, $good, sub { $fake->down }])
    {
        my ($what, $status, $body, $begin) = @$_;
        my $path = $status == 404 ? '/in/unknown' : '/in/dev';
        my ($before, @wrong);

        $begin->() if $begin;

        # the first of them show what it takes to refuse one

        for my $n (1 .. 60) {
            my $answer = $fake->ask($http, post($path, $body));

            push @wrong, "$answer->{status} $answer->{body}"
                if $answer->{status} != $status;
            $before = rss($worker) if $n == 10;
        }

        is_deeply \@wrong, [], "$what: $status";

        # under ASan memory grows by design

        cmp_ok rss($worker) - $before, '<', 16_000,
               "$what: of 50 times as much nothing is kept"
            unless $ENV{ASAN_OPTIONS};
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub rss {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/status" or die "no worker $pid: $!\n";

    my ($kb) = map { /^VmRSS:\s+(\d+) kB/ } <$in>;

    return $kb;
}
