# Contract, section 4: knock_ready says whether an event would be taken now.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use Knock::Cluster;
use Knock::HeldRedis;
use Knock::Nginx;
use Knock::Server qw(start_redis stop_process connect_redis configure wait_for);

use constant TIMES => 'reconnect=10ms reconnect_max=50ms';

my $server = "$Knock::Nginx::Webhook"
             . 'location = /ready { knock_ready; }'
             . ' location = /metrics { knock_metrics; }'
             . ' location = /limited { limit_except GET { deny all; }'
             . ' knock_ready; }'
             . ' location = /asked { auth_request /ready;'
             . ' try_files /none =204; }';

methods();
states();
a_fresh_worker();
not_read_yet();
replicas();
says();
once_a_second();
in_time();
clients_that_go();
ended_before_its_answer();
reload_and_exit();
a_cluster();

done_testing;


sub start {
    my ($own, %conf) = @_;

    my $params = delete $conf{params} // '';

    $params = TIMES . " $params" unless $params =~ /reconnect=/;

    return Knock::Nginx->start(server => $server,
        http => "knock_redis unix:$own->{socket} $params;", %conf);
}


sub ask { return $_[0]->new_client->get('/ready') }


sub is_ready {
    my ($nginx, $title) = @_;
    my $answer = ask($nginx);

    is $answer->{status}, 200, "$title: 200" or diag $answer->{body};
    is $answer->{body}, "{\"ready\":true}\n", "$title: it says so";
    is $answer->{headers}{'content-type'}, 'application/json', "$title: JSON";
}


sub becomes_ready {
    my ($nginx, $title) = @_;

    wait_for("$title: 200", sub { ask($nginx)->{status} == 200 });
    is_ready($nginx, $title);
}


# That it says no, with a reason like this, once it has asked again.

sub is_not_ready {
    my ($nginx, $reason, $title) = @_;
    my $answer;

    wait_for("$title: 503", sub {
        $answer = ask($nginx);
        return $answer->{status} != 200 && $answer->{body} =~ $reason;
    });

    is $answer->{status}, 503, "$title: 503";
    is $answer->{headers}{'retry-after'}, 1, "$title: Retry-After";
    like $answer->{body},
         qr/^\{"error":\{"code":"redis_unavailable","message":"[^"]+"\}\}\n$/,
         "$title: as an error";
}


sub methods {
    my $own = start_redis();
    my $nginx = start($own);

    configure(connect_redis($own));
    is_ready($nginx, 'GET');

    my $head = $nginx->request(HEAD => '/ready');

    is $head->{status}, 200, 'HEAD: 200';
    is $head->{headers}{'content-length'}, 15, 'HEAD: the length';
    is $head->{body}, '', 'HEAD: no body';

    for my $method (qw(POST PUT PATCH DELETE OPTIONS)) {
        my $answer = $nginx->request($method => '/ready', '{}');

        is $answer->{status}, 405, "$method: 405";
        is $answer->{headers}{allow}, 'GET, HEAD', "$method: Allow";
        like $answer->{body}, qr/"code":"method_not_allowed"/, "$method: JSON";
    }

    is $nginx->request(GET => '/ready', 'a body')->{status}, 200,
       'a body is left out';
    is $nginx->get('/ready?x=y')->{status}, 200, 'and what stands behind "?"';
    is $nginx->get('/asked')->{status}, 204, 'by auth_request';
    is $nginx->get('/limited')->{status}, 200, 'where others are denied';
    is $nginx->request(POST => '/limited')->{status}, 403, 'who are so';

    # it is no event that was refused

    stop_process($own->{pid}, 'KILL');
    is_not_ready($nginx, qr/away/, 'for the metrics');

    my ($errors) = $nginx->get('/metrics')->{body}
                   =~ /^knock_errors_total\{code="redis_unavailable"\} (\d+)/m;

    is $errors, 0, 'no event has been refused';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# What Redis may be in, and that an event is answered alike.

sub states {
    my $own = start_redis(args => ['--save', '3600 1',
                                   '--dbfilename', 'taken']);
    my $redis = connect_redis($own);
    my $nginx = start($own, params => 'timeout=5s');

    configure($redis);
    is_ready($nginx, 'up');
    is event($nginx), 200, 'up: an event';

    # a replica whose master is away is read-only

    $redis->command(qw(REPLICAOF 127.0.0.1 1));
    is_not_ready($nginx, qr/refuses writes \(READONLY\)/, 'read-only');
    is event($nginx), 503, 'read-only: an event';
    $redis->command(qw(REPLICAOF NO ONE));
    becomes_ready($nginx, 'a master again');

    $redis->command(qw(CONFIG SET maxmemory 1));
    is_not_ready($nginx, qr/refuses writes \(OOM\)/, 'out of memory');
    is event($nginx), 503, 'out of memory: an event';
    $redis->command(qw(CONFIG SET maxmemory 0));
    becomes_ready($nginx, 'with memory');

    mkdir "$own->{dir}/taken" or die "mkdir: $!";
    saved($redis, 'err');
    is_not_ready($nginx, qr/refuses writes \(MISCONF\)/, 'a disk that fails');
    rmdir "$own->{dir}/taken" or die "rmdir: $!";
    saved($redis, 'ok');
    becomes_ready($nginx, 'a disk that works');

    $redis->command(qw(CONFIG SET min-replicas-to-write 1));
    is_not_ready($nginx, qr/refuses writes \(NOREPLICAS\)/, 'too few replicas');
    $redis->command(qw(CONFIG SET min-replicas-to-write 0));
    becomes_ready($nginx, 'replicas enough');

    # the library is loaded as for an event

    $redis->command(qw(FUNCTION FLUSH));
    is_ready($nginx, 'without the library');

    # it hangs

    kill 'STOP', $own->{pid};
    is_not_ready($nginx, qr/has not answered within 1000ms/, 'stopped');
    kill 'CONT', $own->{pid};
    becomes_ready($nginx, 'it goes on');

    # an empty one takes writes, and the API has to be reached to fill it

    $redis->command('FLUSHALL');
    wait_for('an event to be refused', sub { event($nginx) == 503 });
    is_ready($nginx, 'empty');

    stop_process($own->{pid}, 'KILL');
    is_not_ready($nginx, qr/Redis is away/, 'away');
    $own = start_redis(%$own);
    becomes_ready($nginx, 'back');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub event { return $_[0]->post('/in/dev', '{"type":"page"}')->{status} }


sub saved {
    my ($redis, $status) = @_;

    wait_for("a snapshot: $status", sub {
        eval { $redis->command('BGSAVE') };
        return $redis->command(qw(INFO persistence))
               =~ /rdb_last_bgsave_status:$status/;
    });
}


# Nobody has sent anything: the worker asks by itself.

sub a_fresh_worker {
    my $own = start_redis();

    stop_process($own->{pid}, 'KILL');

    my $nginx = start($own);

    is_not_ready($nginx, qr/away|not been read/, 'fresh, Redis is away');
    $own = start_redis(%$own);
    becomes_ready($nginx, 'fresh, Redis has come');
    is_ready(start($own), 'fresh, Redis is there');

    # one that is a replica, or full, from the start

    my $redis = connect_redis($own);

    $redis->command(qw(CONFIG SET maxmemory 1));
    is_not_ready(start($own), qr/\(OOM\)/, 'fresh, out of memory');
    $redis->command(qw(CONFIG SET maxmemory 0));
    $redis->command(qw(REPLICAOF 127.0.0.1 1));
    is_not_ready(start($own), qr/\(READONLY\)/, 'fresh, read-only');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Redis takes writes, and says of one thing that it cannot be read.

sub not_read_yet {
    my $refused = 'knock_environments';
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        my $function = $_[1]{args}[1] // '';

        return "+OK\r\n" if $function eq 'knock_ready';
        return $function eq $refused ? error('ERR no') : undef;
    });
    my $nginx = Knock::Nginx->start(server => $server,
                                    http => $fake->directive(''));

    for (['knock_environments', 'what is live has not been read'],
         ['knock_live', 'what is live in \"development\" has not been read'])
    {
        ($refused, my $reason) = @$_;

        my $answer;

        $fake->run_until("$refused to be refused", sub {
            $answer = held($fake, $nginx);
            return index($answer->{body}, $reason) >= 0;
        });
        is $answer->{status}, 503, "$refused is refused: 503";
    }

    $refused = '';
    $fake->run_until('it to be read', sub { held($fake, $nginx)->{status} == 200 });
    pass 'read: 200';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# One answer of an nginx before a HeldRedis.

sub held {
    my ($fake, $nginx, $http) = @_;

    return $fake->ask($http // $nginx->new_client,
                      "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n");
}


sub replicas {
    my $own = start_redis();
    my $redis = connect_redis($own);

    configure($redis);

    my $nginx = start($own, params => 'min_replicas=1 '
                                      . 'min_replicas_timeout=100ms');

    is_not_ready($nginx, qr/fewer replicas than min_replicas=/, 'no replica');

    my $replica = start_redis(args => ['--replicaof', '127.0.0.1',
                                       $own->{port}]);

    becomes_ready($nginx, 'a replica');
    stop_process($replica->{pid}, 'KILL');
    is_not_ready($nginx, qr/fewer replicas than min_replicas=/, 'lost again');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Of what Redis says nothing but its code, for anybody may ask.

sub says {
    my $reply;
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        return ($_[1]{args}[1] // '') eq 'knock_ready' ? $reply : undef;
    });
    my $nginx = $fake->nginx(server => $server);

    for (['LOADING Redis is loading', 'refuses writes (LOADING)'],
         ['BUSY Redis is busy', 'refuses writes (BUSY)'],
         ["NOPERM User s3cret has no permissions", 'refuses writes (NOPERM)'],
         ['ERR s3cret', 'refuses writes (ERR)'],
         ['s3cret', 'refuses writes ()'], ['', 'refuses writes ()'],
         ['A' x 100, 'refuses writes (' . 'A' x 16 . ')'])
    {
        my $answer;

        $reply = error($_->[0]);
        $fake->run_until($_->[1], sub {
            $answer = held($fake, $nginx);
            return index($answer->{body}, $_->[1]) >= 0;
        });

        is $answer->{status}, 503, "$_->[1]: 503";
        unlike $answer->{body}, qr/s3cret/, 'and no more of it';
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# However many ask, and however often.

sub once_a_second {
    my ($hold, @asked) = 0;
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        my ($self, $command) = @_;

        return if ($command->{args}[1] // '') ne 'knock_ready';

        push @asked, $command;
        return $hold ? '' : "+OK\r\n";
    });
    my $nginx = $fake->nginx(server => $server);
    my $http = $nginx->new_client;

    # what was answered is good for a second

    my $since = time;

    is held($fake, $nginx, $http)->{status}, 200, "request $_" for 1 .. 50;

    cmp_ok scalar @asked, '<=', 1 + (time - $since),
           'Redis is asked once a second at most';

    # those that come while it is asked share its answer

    $fake->run_until('what is known to be over', sub {
        $hold = 1;
        @asked = ();
        $http->send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n");
        $fake->run_until('a question or an answer', sub {
            return @asked || !$http->silent(0);
        });
        return 1 if @asked;
        $http->answer;
        return 0;
    });

    my @clients = map { $nginx->new_client } 1 .. 20;

    $_->send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n") for @clients;
    $fake->wait_taken($_) for @clients;

    is scalar @asked, 1, '20 more ask, Redis has been asked once';

    $hold = 0;
    $fake->reply($asked[0], error('OOM no memory'));
    is join(' ', map { $fake->answer($_)->{status} } $http, @clients),
       join(' ', (503) x 21), 'all have its answer';
    is scalar @asked, 1, 'and no other question was asked';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A Redis that hangs: nobody waits for long, and no question is added to it.

sub in_time {
    my @asked;
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        my ($self, $command) = @_;

        return if ($command->{args}[1] // '') ne 'knock_ready';

        push @asked, $command;
        return '';
    });
    my $nginx = $fake->nginx(server => $server);
    my $answer = held($fake, $nginx);

    is $answer->{status}, 503, 'no reply: 503';
    like $answer->{body}, qr/has not answered within 1000ms/, 'it says so';
    is held($fake, $nginx)->{status}, 503, 'and again' for 1 .. 20;
    is scalar @asked, 1, 'it was asked once';
    unlike $nginx->log_text, qr/no reply within/, 'nobody waited for its end';

    # the reply that comes late begins anew

    $fake->reply($asked[0], "+OK\r\n");
    $fake->{auto} = sub {
        return ($_[1]{args}[1] // '') eq 'knock_ready' ? "+OK\r\n" : undef;
    };
    $fake->run_until('it to be asked again', sub {
        held($fake, $nginx)->{status} == 200;
    });
    pass 'the next one counts';

    # a connection that is lost in mid-question

    $fake->{auto} = sub {
        my ($self, $command) = @_;

        return if ($command->{args}[1] // '') ne 'knock_ready';
        $self->close($command->{conn});
        return '';
    };
    $fake->run_until('a connection that is lost', sub {
        held($fake, $nginx)->{body} =~ /away/;
    });
    pass 'a lost connection is one that is away';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Those that went before the answer; and the worker stays the same.

sub clients_that_go {
    my $own = start_redis();
    my $nginx = start($own, params => 'timeout=30s');
    my @workers = $nginx->workers;

    configure(connect_redis($own));
    is_ready($nginx, 'before');

    kill 'STOP', $own->{pid};

    for my $how (qw(close reset)) {
        my @clients = map { $nginx->new_client } 1 .. 12;

        for my $client (@clients) {
            $client->send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n" x 3);
            $client->$how;
        }
    }

    is_not_ready($nginx, qr/has not answered/, 'meanwhile');
    kill 'CONT', $own->{pid};
    becomes_ready($nginx, 'afterwards');
    is_deeply [$nginx->workers], \@workers, 'the same worker';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A request that ends while its question is under way: nginx ends it when
# worker_shutdown_timeout is over, and the connection to Redis after it.

sub ended_before_its_answer {
    local $ENV{MALLOC_PERTURB_} = 165;

    my $own = start_redis();
    my $redis = connect_redis($own);

    configure($redis);

    my $nginx = start($own, main => 'worker_shutdown_timeout 100ms;',
                      params => 'timeout=30s reconnect=500ms '
                                . 'reconnect_max=500ms');
    my @workers = $nginx->workers;

    is_ready($nginx, 'before');

    # nginx ends connections in the order of their places: this one takes that
    # of Redis, before Redis is back

    $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));

    my $http = $nginx->new_client;

    wait_for('Redis to be away', sub { event($http) == 503 });
    wait_for('Redis', sub { event($http) == 200 });

    kill 'STOP', $own->{pid};
    wait_for('what is known to be over', sub {
        $http->send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n");
        return $http->silent(0.2) || !$http->answer;
    });
    kill 'QUIT', $nginx->pid;
    wait_for('the end', sub { !$nginx->workers });
    kill 'CONT', $own->{pid};
    unlike $nginx->log_text, qr/exited on signal/, 'the worker ends by itself';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub reload_and_exit {
    my $own = start_redis();
    my $nginx = start($own, params => 'timeout=30s');

    configure(connect_redis($own));
    is_ready($nginx, 'before');

    kill 'STOP', $own->{pid};
    is_not_ready($nginx, qr/has not answered/, 'while it hangs');
    $nginx->reload;
    kill 'CONT', $own->{pid};
    becomes_ready($nginx, 'after a reload');

    # one that waits as the worker leaves

    kill 'STOP', $own->{pid};

    my $http = $nginx->new_client;

    wait_for('what is known to be over', sub {
        $http->send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n");
        return $http->silent(0.2) || !$http->answer;
    });
    kill 'QUIT', $nginx->pid;
    is $http->answer->{status}, 503, 'answered at the end';
    kill 'CONT', $own->{pid};
    wait_for('the end', sub { !$nginx->workers });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Each node that events go to: that of one environment is away.

sub a_cluster {
    my $cluster = Knock::Cluster->start(
        args => [qw(--cluster-require-full-coverage no)]);
    my @envs = qw(development production);

    my ($one, $other) = map { $cluster->owner("{$_}")->{port} } @envs;

    isnt $one, $other, 'two environments are on two nodes';

    for my $env (@envs) {
        $cluster->command("{$env}", 'SET', "knock:{$env}:version", 1);
    }

    my $nginx = Knock::Nginx->start(server => $server, http =>
        "knock_redis @{[$cluster->urls]} mode=cluster timeout=2s @{[TIMES]};");

    becomes_ready($nginx, 'a cluster');

    my $node = $cluster->owner('{production}');

    kill 'STOP', $node->{pid};
    is_not_ready($nginx, qr/answer/, 'one of its nodes hangs');
    kill 'CONT', $node->{pid};
    becomes_ready($nginx, 'it goes on');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
