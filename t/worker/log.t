# The event log is written after the answer: soon, and when a worker ends; and
# whatever becomes of it, events are taken as ever.

use strict;
use warnings;

use Test::More;

use Knock::Cluster qw(fake_node slots);
use Knock::HeldRedis;
use Knock::Nginx;
use Knock::Server qw(start_redis stop_process connect_redis configure wait_for);
use Knock::Test;

use constant TIMES => 'timeout=2s reconnect=10ms reconnect_max=20ms';

my $info = 'knock:{development}:catalogue_info:segment';
my $metrics = 'location = /metrics { knock_metrics; }';

soon();
when_a_worker_ends('QUIT');
when_a_worker_ends('HUP');
redis_is_away();
keys_of_a_wrong_type();
as_much_as_it_is_given();
its_server_is_slow();

done_testing();


sub start {
    my ($server, %conf) = @_;

    return Knock::Nginx->start(
        http => "knock_redis unix:$server->{socket} " . TIMES . ';'
                . 'client_max_body_size 16m;' . ($conf{http} // ''),
        server => $Knock::Nginx::Webhook . $metrics);
}


# A server that knows an endpoint, and what runs commands there.

sub server {
    my $server = start_redis();
    my $redis = connect_redis($server);

    configure($redis);

    return $server, sub { $redis->command(@_) };
}


sub batch {
    my ($n, $event) = @_;

    return '[' . join(',', ($event // '{"type":"page"}') x $n) . ']';
}




# Metrics by name and labels.

sub scrape {
    my ($nginx) = @_;

    return { $nginx->new_client->get('/metrics')->{body}
             =~ /^([a-z]\S*) (\d\S*)$/mg };
}


sub ends {
    my ($nginx, $what) = @_;

    $nginx->stop;
    is_deeply [$nginx->complaints], [], "$what: nothing to complain of";
}


sub soon {
    my ($server, $redis) = server();
    my $nginx = start($server, http => 'knock_event_log_body 20;');
    my $event = '{"type":"page","a":"' . "\xc3\xbc" x 9 . '"}';

    is $nginx->post('/in/dev', '{"type":"page"}')->{status}, 200, 'an event';
    is +(log_when(1, redis => $redis))[0]{text}, '{"type":"page"}',
       'is in the log by itself';

    is $nginx->post('/in/dev', " $event ")->{status}, 200, 'a longer one';

    my $entry = (log_when(2, redis => $redis))[1];

    is_deeply [ @$entry{qw(whole text)} ], [ '', '{"type":"page","a":"' ],
              'is cut, at the end of a character';
    ends($nginx, 'soon');
}


# What has been answered is written before the worker goes, and no later.

sub when_a_worker_ends {
    my ($signal) = @_;

    my ($server, $redis) = server();
    my $nginx = start($server);

    for my $n (1, 1000) {
        my $before = $redis->('HGET', $info, 'logged') // 0;

        is $nginx->post('/in/dev', batch($n))->{status}, 200,
           "$signal behind $n events";

        my @old = $nginx->workers;

        if ($signal eq 'HUP') {
            $nginx->reload;
            wait_for('the old worker to end', sub { !-d "/proc/$old[0]" });

        } else {
            $nginx->stop;
        }

        is $redis->('HGET', $info, 'logged'), $before + $n,
           "$signal: all are in the log";

        $nginx = start($server) if $signal eq 'QUIT';
    }

    ends($nginx, $signal);
}


# An event that is refused is not in the log, and is not missed there.

sub redis_is_away {
    my ($server, $redis) = server();
    my $nginx = start($server);

    is $nginx->post('/in/dev', '{"type":"page"}')->{status}, 200, 'an event';
    log_when(1, redis => $redis);

    kill 'STOP', $server->{pid};
    is $nginx->new_client->post('/in/dev', '{"type":"alias"}')->{status}, 503,
       'one that Redis does not answer' for 1 .. 3;
    kill 'CONT', $server->{pid};

    wait_for('Redis to be there again', sub {
        return $nginx->new_client->post('/in/dev', '{"type":"group"}')
                     ->{status} == 200;
    });

    is_deeply [ map { $_->{doc}{event} }
                log_when(2, redis => $redis) ], ['page', 'group'],
              'the log has those that were answered';

    my $metrics = scrape($nginx);

    is $metrics->{$_}, 0, "$_ has missed none"
        for qw(knock_log_dropped_total knock_catalogue_dropped_total);
    ends($nginx, 'Redis is away');
}


# Keys of the log that are another program's do not concern an event.

sub keys_of_a_wrong_type {
    my ($server, $redis) = server();
    my $nginx = start($server);
    my $base = 'knock:{development}:';
    my $n = 0;

    $redis->('HSET', "${base}user:u1", 'id', '"u1"');

    for my $key (qw(log log_sizes catalogue catalogue_info)) {
        $redis->('SET', "$base$key:segment", 'x');

        my $track = '{"type":"track","event":"T","messageId":"' . $key
                    . '","properties":{"r":["u1"]}}';
        my @answers = map { $nginx->post('/in/dev', $track) } 1, 2;

        $n++;
        is $answers[0]{body} =~ /"runs":(\d+)/ && $1, 1,
           "$key of a wrong type: an event is applied";
        like $answers[1]{body}, qr/"duplicates":1/, 'its repeat is known';
        is $redis->('LLEN', "${base}runs"), $n, 'it has one run';

        wait_for('both to be missed in the log', sub {
            return scrape($nginx)->{knock_log_dropped_total} == 2 * $n;
        });

        is $redis->('GET', "$base$key:segment"), 'x', 'the key stays';
        $redis->('DEL', "$base$key:segment");
        is $redis->('EXISTS', map { "$base$_:segment" }
                              qw(log log_sizes catalogue catalogue_info)), 0,
           'nothing else is written';
    }

    is scrape($nginx)->{knock_catalogue_dropped_total}, 2 * $n,
       'the catalogue misses them, too';
    like $nginx->log_text, qr/\[error\].*knock: the event log of "development" lacks entries: .*WRONGTYPE/,
         'error.log says why';
    $nginx->post('/in/dev', '{"type":"page"}');
    is log_when(1, redis => $redis), 1, 'then the log goes on';
    ends($nginx, 'wrong types');
}


sub as_much_as_it_is_given {
    my ($server, $redis) = server();
    my $nginx = start($server, http => 'knock_event_log_body 0;');

    $nginx->post('/in/dev', '{"type":"page"}');

    my ($entry) = log_when(1, redis => $redis);

    is_deeply [ @$entry{qw(whole text)} ], [ '', '' ],
              'an entry without the event';
    is $entry->{doc}{event}, 'page', 'says what it was';
    ends($nginx, 'no event in the log');
}


# A server has the log alone, and does not answer what is to be written there:
# what waits is bounded, what comes then is dropped, and no event fails.

sub its_server_is_slow {
    my ($server, $redis) = server();
    my (@held, $slow);
    my $fake = fake_node(upstream => $server->{socket}, says => sub {
        my ($self, $command) = @_;

        return if !$slow || "@{ $command->{args} }[0, 1]" ne 'FCALL knock_record';
        push @held, $command;
        return '';
    });
    my $slot = 8911;        # of {development}

    $fake->{slots} = slots(['127.0.0.1', $server->{port}, 0, $slot - 1],
                           ['127.0.0.1', $fake->{port}, $slot, $slot],
                           ['127.0.0.1', $server->{port}, $slot + 1]);

    my $nginx = Knock::Nginx->start(
        http => "knock_redis redis://127.0.0.1:$fake->{port} mode=cluster "
                . 'timeout=60s; knock_shards 2; client_max_body_size 16m;',
        server => $Knock::Nginx::Webhook . $metrics);
    my $http = $nginx->new_client;
    my $ask = sub {
        my ($what) = @_;

        $http->send($what);
        $fake->run_until('an answer', sub { !$http->silent(0) });

        return $http->answer;
    };
    my $metric = sub {
        my $text = $ask->("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")->{body};

        return $text =~ /^$_[0] (\d+)$/m && $1;
    };

    $fake->run_until('an event to be taken', sub {
        return $ask->(post('/in/dev', '{"type":"alias"}'))->{status} == 200;
    });
    $fake->run_until('the log to be written', sub {
        return $redis->('EXISTS', 'knock:{development}:log:segment');
    });

    my $before = $redis->('HGET', $info, 'logged');
    my $body = batch(50, '{"type":"page","x":"' . 'x' x 17_000 . '"}');
    my ($events, $taken) = (0, 0);

    $slow = 1;

    for (1 .. 20) {
        my $answer = $ask->(post('/in/dev', $body));

        $events += 50;
        $taken += $answer->{status} == 200 && $answer->{body} =~ /"ignored":50,/;
    }

    is $taken, 20, 'all events are taken';

    my $dropped = $metric->('knock_log_dropped_total');

    cmp_ok $dropped, '>', 300, 'the log does not wait for its server';
    cmp_ok $dropped, '<', 600, 'but keeps 8 MB';
    is $metric->('knock_catalogue_dropped_total'), $dropped,
       'the catalogue goes with it';

    $slow = 0;

    for my $command (@held) {
        $fake->reply($command, $fake->_upstream($command));
    }

    $fake->run_until('what was kept to be written', sub {
        return $redis->('HGET', $info, 'logged')
               == $before + $events - $dropped;
    });
    pass 'what was kept is written when it answers';

    $fake->run_until('the worker to take one more', sub {
        return $ask->(post('/in/dev', '{"type":"group"}'))->{status} == 200;
    });
    is $metric->('knock_log_dropped_total'), $dropped, 'and none is missed';

    kill 'QUIT', $nginx->pid;
    $fake->run_until('nginx to end', sub { !$nginx->workers });
    ends($nginx, 'a slow server');
}
