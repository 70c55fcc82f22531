# min_replicas=: 200 means that replicas have it too.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(start_redis stop_process connect_redis wait_for
                     configure);

my $master = start_redis();
my $redis = connect_redis($master);
my $replica = replica();
my $id = 0;

configure($redis);

with_a_replica();
stopped();
a_repeat_proves_nothing();
the_api();
too_few();
killed();
cut_in_mid_wait();

one_wait_for_many();
refused_in_front();
refused();
missing_library();
time_limit();

done_testing;


sub replica {
    my $replica = start_redis(args => ['--replicaof', '127.0.0.1',
                                       $master->{port}]);

    # a replica that has just come is not counted before it has all
    wait_for('the replica', sub {
        $redis->command('SET', 'here', 1);
        return $redis->command('WAIT', 1, 10) == 1;
    });

    return $replica;
}


sub start {
    my ($params, %o) = @_;

    return Knock::Nginx->start(%o,
        http => "knock_redis unix:$master->{socket} timeout=30s $params;");
}


# An event that makes a run.

sub event {
    my ($id) = @_;

    return qq({"type":"track","event":"T","messageId":"$id",)
           . '"properties":{"r":{"id":"u"}}}';
}


sub runs { return connect_redis($_[0])->command(qw(LLEN knock:{development}:runs)) }


sub with_a_replica {
    my $nginx = start('min_replicas=1');

    for (1 .. 5) {
        like $nginx->post('/in/dev', event(++$id))->{body}, qr/"runs":1,/,
             'a replica is there: 200';
        is runs($replica), $id, 'and it has the run';
    }

    my $large = '[' . join(',', map { event(++$id) =~ s/"r":/"x":"@{['x' x 2000]}","r":/r }
                                1 .. 10) . ']';

    like $nginx->post('/in/dev', $large)->{body}, qr/"runs":10,/,
         'a transaction: 200';
    is runs($replica), $id, 'and it has the runs';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The replica stops in mid-load.

sub stopped {
    my $nginx = start('min_replicas=1 min_replicas_timeout=50ms');

    is $nginx->post('/in/dev', event(++$id))->{status}, 200, 'it is there';

    kill 'STOP', $replica->{pid};

    my $text = event(++$id);
    my $answer = $nginx->post('/in/dev', $text);

    ok unavailable($answer), 'the replica stands still: 503'
        or diag $answer->{body};
    is runs($master), $id, 'though it is applied';
    like $nginx->log_text, qr/Redis "\S+" does not replicate: min_replicas=1, but after 50ms only 0 replicas have what was written; bring replicas back/,
         'logged with what to do';
    like $nginx->log_text, qr/did not apply 1 requests, their senders are told to retry: min_replicas=1/,
         'and for the request';

    ok unavailable($nginx->post('/in/dev', $text)), 'and a repeat as well';

    kill 'CONT', $replica->{pid};

    wait_for('the replica', sub {
        ($answer = $nginx->post('/in/dev', $text))->{status} == 200;
    });
    like $answer->{body}, qr/"duplicates":1,.*"runs":0,/, 'a later repeat: 200';
    is runs($master), $id, 'applied once';
    is runs($replica), $id, 'on the replica too';
    is scalar(() = $nginx->log_text =~ /does not replicate/g), 1,
       'logged once';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A repeat that comes over a connection which has written nothing itself finds
# the event applied, on the master only.

sub a_repeat_proves_nothing {
    my $careless = start('');
    my @strict = ('min_replicas=1 min_replicas_timeout=50ms',
                  # where it does not even write to the log
                  server => 'location ~ ^/in/(?<token>\w+)$ {
                      knock_webhook $token; knock_event_log off; }');
    my $nginx = start(@strict);

    is $nginx->post('/in/dev', event(++$id))->{status}, 200, 'it is there';

    kill 'STOP', $replica->{pid};

    my $text = event(++$id);

    is $careless->post('/in/dev', $text)->{status}, 200,
       'another one does not wait for replicas';
    ok unavailable($nginx->post('/in/dev', $text)),
       'a repeat is not told that all is well';

    my $fresh = start(@strict);

    ok unavailable($fresh->post('/in/dev', $text)),
       'nor over a connection of its own';

    kill 'CONT', $replica->{pid};

    wait_for('the replica', sub {
        $fresh->post('/in/dev', $text)->{status} == 200;
    });
    is runs($replica), $id, 'until the replica has it';
    is_deeply [$_->complaints], [], 'no complaints in the log'
        for $careless, $nginx, $fresh;
}


# What is written over the API waits, what is read does not.

sub the_api {
    my $keys = "$master->{dir}/keys";

    open my $out, '>', $keys or die "$keys: $!\n";
    print {$out} sha256_hex('key'), "\n";
    close $out;

    my $nginx = start('min_replicas=1 min_replicas_timeout=50ms',
        server => "location /v1/ { knock_api; knock_api_keys $keys; }");
    my $users = '/v1/environments/development/users';
    my $call = sub {
        my ($method, $path, $json) = @_;

        return $nginx->request($method, $path, $json,
                               Authorization => 'Bearer key')->{status};
    };

    is $call->(PUT => "$users/x", '{"name":"X"}'), 201, 'PUT';

    kill 'STOP', $replica->{pid};

    is $call->(PUT => "$users/y", '{"name":"Y"}'), 503,
       'the replica stands still: PUT is 503';
    is $call->(GET => "$users/x"), 200, 'GET is 200';
    is $call->(GET => $users), 200, 'so is a list';

    kill 'CONT', $replica->{pid};

    wait_for('the replica', sub {
        $call->(PUT => "$users/y", '{"name":"Y"}') =~ /^20[01]$/;
    });
    pass 'PUT again';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub too_few {
    my $nginx = start('min_replicas=2 min_replicas_timeout=50ms');

    ok unavailable($nginx->post('/in/dev', event(++$id))),
       'more than there are: 503';
    like $nginx->log_text, qr/min_replicas=2, but after 50ms only 1 replicas have/,
         'logged with how many there are';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub killed {
    my $nginx = start('min_replicas=1 min_replicas_timeout=50ms');
    my $text = event(++$id);

    stop_process($replica->{pid}, 'KILL');

    ok unavailable($nginx->post('/in/dev', $text)), 'the replica is gone: 503';

    $replica = replica();

    wait_for('the replica', sub {
        $nginx->post('/in/dev', $text)->{status} == 200;
    });
    is runs($replica), $id, 'another one has all of it';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub cut_in_mid_wait {
    my $nginx = start('min_replicas=1 min_replicas_timeout=20s '
                      . 'reconnect=10ms reconnect_max=20ms');

    is $nginx->post('/in/dev', event(++$id))->{status}, 200, 'it is there';

    kill 'STOP', $replica->{pid};

    my $http = $nginx->new_client;

    $http->send(post('/in/dev', event(++$id)));
    wait_for('WAIT', sub {
        $redis->command(qw(INFO clients)) =~ /blocked_clients:1/;
    });

    my ($worker) = $nginx->workers;
    my ($client) = $redis->command(qw(CLIENT LIST))
                   =~ /^id=(\d+) .* name=knock-$worker /m;

    $redis->command(qw(CLIENT KILL ID), $client);

    ok unavailable($http->answer), 'the connection breaks in mid-WAIT: 503';

    kill 'CONT', $replica->{pid};

    wait_for('the replica', sub {
        $nginx->post('/in/dev', event($id))->{status} == 200;
    });
    is runs($replica), $id, 'applied once';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A Redis that says of WAIT and of the write in front of it what a test says.

sub fake {
    my (%says) = @_;

    return Knock::HeldRedis->new(%says, auto => sub {
        my ($self, $command) = @_;
        my $args = $command->{args};

        return undef if $args->[0] !~ /^(?:SET|WAIT)$/;
        return ":0\r\n" if "@$args" eq 'WAIT 0 0';

        push @{ $self->{$args->[0]} }, $command;

        return $self->{lc $args->[0]} // '';
    });
}


sub identify { return qq({"type":"identify","userId":"u$_[0]"}) }


# While WAIT is not answered nothing is sent; then all that came, with one
# WAIT.  What is large survives being held.

sub one_wait_for_many {
    my $fake = fake();
    my $nginx = $fake->nginx(params => 'min_replicas=3 '
                             . 'min_replicas_timeout=20s');
    my @http = map { $nginx->new_client } 1 .. 3;

    $http[0]->send(post('/in/dev', identify(0)));

    my $call = $fake->call;

    # what stands behind the units is not looked at
    $fake->reply($call, array(array(bulk('ok'), bulk('p'), ":0\r\n"),
                              bulk('x' x 100_000)));
    $fake->run_until('WAIT', sub { @{ $fake->{WAIT} // [] } });

    $fake->reply($fake->{SET}[0], "+OK\r\n");

    is_deeply $fake->{WAIT}[0]{args}, ['WAIT', 3, 20_000], 'WAIT';
    is_deeply $fake->{SET}[0]{args},
              ['SET', 'knock:{development}:replicated', 1],
              'behind a write';

    # each is a call of its own

    for (1 .. 2) {
        $http[$_]->send(post('/in/dev', full('T')));
        $fake->wait_taken($http[$_]);
    }

    $fake->run_for(0.1);
    is scalar @{ $fake->{calls} }, 0, 'nothing is sent to one that waits';
    ok $http[0]->silent(0), 'nor is the first one answered';

    $fake->reply($fake->{WAIT}[0], ":3\r\n");
    is $fake->answer($http[0])->{status}, 200, 'until WAIT is';

    $fake->reply($_, applied($_, 'i')) for $fake->call, $fake->call;
    $fake->run_until('WAIT', sub { @{ $fake->{WAIT} } == 2 });
    $fake->reply($fake->{SET}[1], "+OK\r\n");
    $fake->reply($fake->{WAIT}[1], ":7\r\n");

    is $fake->answer($http[$_])->{status}, 200, 'the others share a WAIT'
        for 1, 2;
    is scalar @{ $fake->{WAIT} }, 2, 'of which there was no other';
    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Without the write WAIT says nothing.

sub refused_in_front {
    my $fake = fake(set => "-OOM command not allowed\r\n", wait => ":1\r\n",
                    serve => 1);
    my $nginx = $fake->nginx(params => 'min_replicas=1');

    ok unavailable($fake->ask($nginx->new_client,
                              post('/in/dev', identify(1)))),
       'the write is refused: 503';
    like $nginx->log_text, qr/refuses commands: OOM/, 'logged';

    $fake->{set} = "+OK\r\n";
    is $fake->ask($nginx->new_client, post('/in/dev', identify(1)))->{status},
       200, 'until it is not';
    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub refused {
    my $fake = fake(set => "+OK\r\n", serve => 1,
                    wait => "-NOPERM this user has no permissions\r\n");
    my $nginx = $fake->nginx(params => 'min_replicas=1');

    ok unavailable($fake->ask($nginx->new_client,
                              post('/in/dev', identify(1)))),
       'WAIT is refused: 503';
    like $nginx->log_text, qr/refuses commands: NOPERM .* \(widen the permis/,
         'logged with what to do';

    for my $reply ("+OK\r\n", "*-1\r\n", ":0\r\n", bulk(1)) {
        $fake->{wait} = $reply;
        ok unavailable($fake->ask($nginx->new_client,
                                  post('/in/dev', identify(1)))),
           'answered ' . $reply =~ s/\r\n/ /gr . ': 503';
    }

    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';

    # as it is by the server, at the log-in

    $redis->command(qw(ACL SETUSER knock on >s3cret ~knock:* +@all -wait));
    $nginx = start('min_replicas=1 user=knock password=s3cret');

    is $nginx->post('/in/dev', event(++$id))->{status}, 503, 'without wait';
    like $nginx->log_text, qr/Redis let us not in: NOPERM .*wait/i,
         'the log says so';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $redis->command(qw(ACL DELUSER knock));
}


# A call that waits for the library has the WAIT behind it that it goes with.

sub missing_library {
    $redis->command(qw(FUNCTION FLUSH));

    my $nginx = start('min_replicas=1');

    like $nginx->post('/in/dev', event(++$id))->{body}, qr/"runs":1,/,
         'the library is loaded';
    is runs($replica), runs($master), 'and the replica has the run';

    $redis->command(qw(FUNCTION FLUSH));
    like $nginx->post('/in/dev', event(++$id))->{body}, qr/"runs":1,/,
         'again';
    is runs($replica), runs($master), 'and the replica has the run';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# WAIT is not answered at all.

sub time_limit {
    my $fake = fake(set => "+OK\r\n", serve => 1);
    my $nginx = $fake->nginx(params => 'min_replicas=1 timeout=600ms '
                             . 'min_replicas_timeout=300ms');

    ok unavailable($fake->ask($nginx->new_client,
                              post('/in/dev', identify(1)))),
       'no answer to WAIT: 503';
    like $nginx->log_text, qr/is away: no reply within 600ms/, 'logged';
    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
