# mode=sentinel: what the Sentinels may say, and what a master may be.  The
# Sentinels are the test's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../chaos/lib";
use Test::More;

use Chaos::Dns;
use Knock::Figures;
use Knock::HeldRedis;
use Knock::Sentinel qw(fake_sentinel sentinel_urls);
use Knock::Server qw(start_redis stop_process connect_redis free_port
                     wait_for configure);

my $quick = 'reconnect=10ms reconnect_max=20ms connect_timeout=10s timeout=30s';

answers();
not_the_master('a replica', sub {
    my ($master) = @_;

    return start_redis(args => ['--replicaof', '127.0.0.1', $master->{port}]);
}, qr/is away: a Sentinel names it as the master, which it is not; another/);
not_the_master('a server that is gone', sub { return { port => free_port() } },
               qr/is away: connecting to 127\.0\.0\.1:\d+ failed; check that redis-server runs/);
silent($_) for qw(deaf mute);
switch_with_a_request_under_way();
demoted();
role_and_replicas();
name();
ipv6();
reload_while_asking();
worker_exits();

done_testing;


# A master that knows an endpoint.

sub master {
    my $server = start_redis(@_);

    configure(connect_redis($server));

    return $server;
}


sub at { return ['127.0.0.1', $_[0]{port}] }


sub start {
    my ($sentinels, %o) = @_;

    return Knock::Nginx->start(http => 'knock_redis '
        . sentinel_urls(@$sentinels) . ' ' . ($o{params} // $quick) . ';'
        . ($o{http} // ''));
}


# A user is made: 200 tells that it is so.

sub identify {
    my ($id) = @_;

    return post('/in/dev', qq({"type":"identify","userId":"$id",)
                           . qq("messageId":"$id","traits":{"a":1}}));
}


# Serves as the Sentinels until one of many requests has this status.

sub asks {
    my ($nginx, $status, @fakes) = @_;
    my ($http, $answer);

    wait_for("an answer $status", sub {
        if (!$http) {
            $http = $nginx->new_client;
            $http->send(identify('u'));
        }

        $_->step(0.005) for @fakes;
        return 0 if $http->silent(0);

        $answer = $http->answer;
        $http = undef;

        return $answer->{status} == $status;
    });

    return $answer;
}


sub says {
    my ($nginx, $what, @fakes) = @_;

    wait_for("the log to say $what", sub {
        $_->step(0.005) for @fakes;
        return $nginx->log_text =~ $what;
    });

    like $nginx->log_text, $what, 'logged';
}


sub ends {
    my ($nginx, $what) = @_;

    $nginx->stop('TERM');
    is_deeply [$nginx->complaints], [], "$what: no complaints in the log";
}


# What is no address of a master; the next Sentinel is asked.

sub answers {
    my $master = master();
    my $bad = fake_sentinel('');
    my $good = fake_sentinel('');
    my $nginx = start([$bad, $good]);

    my @said = (
        "*-1\r\n" => qr/it knows no master "knock"; check master=/,
        "-IDONTKNOW I have not enough info\r\n" => qr/it said "IDONTKNOW I/,
        "-ERR unknown command 'SENTINEL'\r\n" => qr/it said "ERR unknown/,
        map { $_ => qr/its answer is no address; check that it is a Sent/ }
            ":1\r\n", "*0\r\n", array(bulk('127.0.0.1')),
            array(bulk(''), bulk(1)), array(bulk('127.0.0.1'), ":1\r\n"),
            map { array(bulk('127.0.0.1'), bulk($_)) }
                '', 0, 65536, -1, '6379x');

    $bad->{master} = $good->{master} = $said[0];
    asks($nginx, 503, $bad, $good);

    while (my ($octets, $message) = splice @said, 0, 2) {
        my $from = -s $nginx->error_log;

        $bad->{master} = $good->{master} = $octets;

        wait_for('the log', sub {
            $_->step(0.005) for $bad, $good;
            return $nginx->log_text($from) =~ /the last one because: $message/;
        });
        pass 'logged: ' . $octets =~ s/\r\n/ /gr;
    }

    like $nginx->log_text, qr/\[warn\].* Sentinel "redis:\S+" is passed over/,
         'a Sentinel that is of no use: a warning';
    cmp_ok scalar(() = $nginx->log_text =~ /\[warn\].* is passed over/g), '<=',
           2, 'one for each';

    $good->{master} = at($master);
    is asks($nginx, 200, $bad, $good)->{status}, 200,
       'the one that knows is found';
    ends($nginx, 'answers');
}


# One Sentinel is cut off from the others, and names what was the master.

sub not_the_master {
    my ($what, $server, $message) = @_;

    my $master = master();
    my $stale = fake_sentinel(at($server->($master)));
    my $good = fake_sentinel(at($master));

    $good->down;

    my $nginx = start([$stale, $good]);

    asks($nginx, 503, $stale);
    says($nginx, $message, $stale);

    $good->up;
    asks($nginx, 200, $stale, $good);
    is connect_redis($master)->command(qw(EXISTS knock:{development}:user:u)),
       1, "$what: another Sentinel is asked";
    ends($nginx, $what);
}


# A Sentinel that does not answer: not even the log-in, or not the question.

sub silent {
    my ($how) = @_;

    my $master = master();
    my $silent = fake_sentinel('', deaf => $how eq 'deaf');
    my $good = fake_sentinel(at($master));

    $good->down;

    my $nginx = start([$silent, $good], params => 'connect_timeout=200ms '
                      . 'reconnect=10ms reconnect_max=20ms timeout=20s');

    says($nginx, $how eq 'deaf'
         ? qr/is passed over: connected, but no reply within 200ms; check that/
         : qr/is passed over: no reply within 200ms; check what keeps it, or raise connect_timeout=/,
         $silent);

    says($nginx, qr/Redis "knock" is away: no Sentinel said within 200ms where the master is; check that they run/,
         $silent);
    ok unavailable(asks($nginx, 503, $silent)), "$how: 503 by then";

    $good->up;
    asks($nginx, 200, $silent, $good);
    pass "$how: another Sentinel is asked";
    ends($nginx, $how);
}


# The old master is still there when the Sentinels name another one: a request
# that it has not answered is not sent to the new one by itself.

sub switch_with_a_request_under_way {
    my $new = master();
    my $old = Knock::HeldRedis->new(auto => sub {
        return $_[1]{args}[0] eq 'ROLE'
               ? array(bulk('master'), ":0\r\n", array()) : undef;
    });
    my $sentinel = fake_sentinel(at($old));
    my $nginx = start([$sentinel]);
    my $figures = Knock::Figures->started($nginx, $sentinel, $old);
    my $http = $nginx->new_client;

    $http->send(identify('held'));
    wait_for('the call', sub {
        $_->step(0.005) for $sentinel, $old;
        return @{ $old->{calls} };
    });

    $sentinel->{master} = at($new);

    wait_for('an answer', sub {
        $_->step(0.005) for $sentinel, $old;
        return !$http->silent(0);
    });

    ok unavailable($http->answer), 'a switch: 503 for what is under way';
    like $nginx->log_text, qr/is away: Sentinel "\S+" names another one/,
         'logged';

    asks($nginx, 200, $sentinel);
    is connect_redis($new)->command(qw(EXISTS knock:{development}:user:held)),
       0, 'and nothing of it at the new master';

    $http = $nginx->new_client;
    $http->send(identify('held'));
    wait_for('an answer', sub { $sentinel->step(0.005); !$http->silent(0) });
    like $http->answer->{body}, qr/"accepted":1,"duplicates":0/,
         'until it is sent again';
    $figures->is_quiet('switch', redis_lost => 1);
    ends($nginx, 'switch');
}


# What was the master says READONLY, then that it is none, until the Sentinels
# name the new one.

sub demoted {
    my $old = master();
    my $new = master();
    my $sentinel = fake_sentinel(at($old));
    my $nginx = start([$sentinel]);

    asks($nginx, 200, $sentinel);

    connect_redis($old)->command('REPLICAOF', '127.0.0.1', $new->{port});

    ok unavailable(asks($nginx, 503, $sentinel)), 'a master that was demoted';
    says($nginx, qr/refuses commands: READONLY .*\(this is a replica: /,
         $sentinel);
    says($nginx, qr/a Sentinel names it as the master, which it is not/,
         $sentinel);

    $sentinel->{master} = at($new);
    asks($nginx, 200, $sentinel);
    is connect_redis($new)->command(qw(EXISTS knock:{development}:user:u)), 1,
       'the new one is used once it is named';
    ends($nginx, 'demoted');
}


# With min_replicas= the log-in has two questions more, and either can end it.

sub role_and_replicas {
    my ($held, $role, $replicas) = (1, 'master', ':0');
    my @held;
    my $master = Knock::HeldRedis->new(serve => 1, auto => sub {
        my ($self, $command) = @_;
        my $said = "@{ $command->{args} }";
        my $reply = $said eq 'ROLE' ? array(bulk($role), ":0\r\n", array())
                    : $said eq 'WAIT 0 0' ? "$replicas\r\n"
                    : $said =~ /^WAIT 1 / ? ":1\r\n"
                    : $said =~ /^SET / ? "+OK\r\n" : return undef;

        return $reply if !$held || $said !~ /^ROLE|^WAIT 0/;
        push @held, [$command, $reply];
        return '';
    });
    my $sentinel = fake_sentinel(at($master));
    my @fakes = ($sentinel, $master);
    my $nginx = start([$sentinel], params => "$quick min_replicas=1");
    my $http = $nginx->new_client;
    my $calls = sub {
        return scalar grep { $_->{args}[0] eq 'FCALL' }
                      map { @{ $_->{log} } } @{ $master->{conns} };
    };

    $http->send(identify('u'));
    wait_for('the questions', sub { $_->step(0.005) for @fakes; @held == 2 });

    for (@held) {
        $_->step(0.02) for @fakes;
        is $calls->(), 0, "nothing is sent before @{ $_->[0]{args} } is answered";
        $master->reply(@$_);
        $master->wait_drained($_->[0]{conn});
    }

    wait_for('an answer', sub { $_->step(0.005) for @fakes; !$http->silent(0) });
    is $http->answer->{status}, 200, 'then it is served';

    # each of them alone keeps it out

    $held = 0;

    for (['slave', ':0', qr/a Sentinel names it as the master, which it is not/],
         ['master', '-NOPERM no wait',
          qr/Redis let us not in: NOPERM no wait/])
    {
        ($role, $replicas, my $message) = @$_;

        my $before = $calls->();

        $master->close($_) for $master->open_conns;
        ok unavailable(asks($nginx, 503, @fakes)), "$role, $replicas: 503";
        says($nginx, $message, @fakes);
        is $calls->(), $before, 'and nothing is sent to it';
    }

    ($role, $replicas) = ('master', ':0');
    asks($nginx, 200, @fakes);
    ends($nginx, 'a role and replicas');
}


# sentinel announce-hostnames yes

sub name {
    my $master = master();
    my $sentinel = fake_sentinel(['master.test', $master->{port}]);
    my $nginx = start([$sentinel]);

    asks($nginx, 503, $sentinel);
    says($nginx, qr/the Sentinels call the master "master\.test", a name: put a resolver in the http block/,
         $sentinel);
    ends($nginx, 'a name without a resolver');

    my $dns = Chaos::Dns->start('127.0.0.1');

    $nginx = start([$sentinel], http => 'resolver 127.0.0.1:' . $dns->port
                                        . ' valid=1s;');
    asks($nginx, 200, $sentinel);
    like $nginx->log_text, qr/Sentinel "\S+" says that the master "knock" is at redis:\/\/master\.test:\d+/,
         'a name is resolved';
    ends($nginx, 'a name');
}


sub ipv6 {
  SKIP: {
        my $master = eval { master(args => ['--bind', '127.0.0.1', '::1']) };

        skip 'no IPv6 here', 3 unless $master;

        my $sentinel = fake_sentinel(['::1', $master->{port}]);
        my $nginx = start([$sentinel]);

        is asks($nginx, 200, $sentinel)->{status}, 200, 'IPv6';
        like $nginx->log_text, qr/is at redis:\/\/\[::1\]:$master->{port}/,
             'written as in a URL';
        ends($nginx, 'IPv6');
    }
}


# A request waits for the master while a reload takes its worker.

sub reload_while_asking {
    my $master = master();
    my $sentinel = fake_sentinel('');
    my $nginx = start([$sentinel]);
    my ($old) = $nginx->workers;
    my $http = $nginx->new_client;
    my @asked;

    $http->send(identify('waits'));
    Knock::HeldRedis::wait_read($http);
    wait_for('the question', sub {
        $sentinel->step(0.005);
        @asked = grep { grep { $_->{args}[0] eq 'SENTINEL' } @{ $_->{log} } }
                 $sentinel->open_conns;
    });

    $nginx->reload;

    # both workers' are answered, that asked already or will

    $sentinel->{master} = at($master);
    $sentinel->reply($_, array(map { bulk($_) } @{ at($master) }))
        for map { @{ $_->{left} } } @asked;

    wait_for('an answer', sub { $sentinel->step(0.005); !$http->silent(0) });
    is $http->answer->{status}, 200, 'a reload while the master is asked for';
    wait_for('the old worker to go', sub {
        $sentinel->step(0.005);
        return !grep { $_ == $old } $nginx->workers;
    });
    ends($nginx, 'reload');
}


# Nothing that belongs to the Sentinels keeps a worker.

sub worker_exits {
    my $master = master();
    my $sentinel = fake_sentinel(at($master));
    my $nginx = start([$sentinel]);
    my ($old) = $nginx->workers;

    asks($nginx, 200, $sentinel);
    $nginx->reload;
    wait_for('the old worker to go', sub {
        $sentinel->step(0.005);
        return !grep { $_ == $old } $nginx->workers;
    });
    asks($nginx, 200, $sentinel);

    stop_process($master->{pid}, 'KILL');
    ($old) = $nginx->workers;
    asks($nginx, 503, $sentinel);
    $nginx->reload;
    wait_for('the old worker to go', sub {
        $sentinel->step(0.005);
        return !grep { $_ == $old } $nginx->workers;
    });
    pass 'a worker exits, with a master and without';
    ends($nginx, 'exit');
}
