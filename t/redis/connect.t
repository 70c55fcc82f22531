# The connection to Redis: how it is made, lost and made again, and what holds
# while there is none.

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(AF_UNIX SOCK_STREAM IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(time);

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Server qw(wait_for free_port);

down_at_start('unix');
down_at_start('TCP');
several_addresses();
black_hole();
black_hole_unix();
refused_late();
silent_after_connect();
restart_in_mid_pipeline();
back_off();
flaps_after_log_in();
no_storm();
bounded_queue();
bounded_bytes();
greeting_first();
credentials();
no_delay();
no_connection_left();
cache_processes();
ping();

done_testing;


# A request while Redis has never been there; then it comes.

sub down_at_start {
    my ($where) = @_;

    my $fake = Knock::HeldRedis->new(unix => $where eq 'unix', serve => 1);

    $fake->down;

    my $nginx = Knock::Nginx->start(http => $fake->directive(''));
    my $figures = Knock::Figures->started($nginx, $fake);

    for my $n (1 .. 3) {
        my $answer = $nginx->post('/in/dev', track('T'));

        is_unavailable($answer, "$where: down at the start");
    }

    like $nginx->log_text, $where eq 'unix'
         ? qr/is away: connecting to unix:\S+ failed; check that redis-server runs and listens there \(/
         : qr/is away: connecting to 127\.0\.0\.1:\d+ failed; .*\(111: Connection refused\)/,
         "$where: the log says what failed and what to check";
    is scalar(() = $nginx->log_text =~ /\[error\].* Redis "\S+" is away/g), 1,
       "$where: as an error once an outage";

    $fake->up;
    $fake->ready(live => 0);

    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, "$where: served once it is there";
    $figures->is_quiet("$where: by the same worker",
                       requests => { 503 => 3, 200 => 1 });
    like $nginx->log_text, qr/is back/, "$where: that it is back is logged";
    is_deeply [$nginx->complaints], [], "$where: no complaints in the log";
}


# A name may have an address where nobody listens.

sub several_addresses {
    my $fake = Knock::HeldRedis->new(serve => 1);

    my $nginx = Knock::Nginx->start(
        http => "knock_redis redis://localhost:$fake->{port};");

    $fake->ready;

    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'a name, whichever of its addresses answers';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Nobody answers to a connect: the queue of those not accepted is full.

sub black_hole {
    my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "listening: $!\n";
    my $port = $listen->sockport;
    my @fill = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                           Blocking => 0) } 1 .. 4;

    my $nginx = Knock::Nginx->start(http => "knock_redis redis://127.0.0.1:"
        . "$port connect_timeout=300ms reconnect=10ms reconnect_max=10ms;");

    is_unavailable($nginx->post('/in/dev', track('T')),
                   'no answer to connect()');

    wait_for('the log', sub { $nginx->log_text =~ /no connection within/ });
    like $nginx->log_text, qr/no connection within 300ms; check that the/,
         'no answer to connect(): logged';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub black_hole_unix {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);

    # a listen queue of one, and it is taken

    CORE::close delete $fake->{listen};
    unlink $fake->{path};
    $fake->{listen} = IO::Socket::UNIX->new(Local => $fake->{path},
                                            Listen => 1);
    chmod 0777, $fake->{path};
    $fake->{listen}->blocking(0);

    my @fill = map { my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM);
                     $s->blocking(0);
                     connect $s, pack_path($fake->{path});
                     $s } 1 .. 4;

    my $nginx = Knock::Nginx->start(http => $fake->directive(''));

    is_unavailable($nginx->post('/in/dev', track('T')),
                'unix: the listen queue is full');

    @fill = ();
    $fake->ready(live => 0);

    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'unix: served once there is room';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# connect() is under way when it turns out that nobody is there.

sub refused_late {
    my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "listening: $!\n";
    my $port = $listen->sockport;
    my @fill = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                           Blocking => 0) } 1 .. 4;

    my $nginx = Knock::Nginx->start(http => "knock_redis redis://127.0.0.1:"
        . "$port connect_timeout=15s reconnect=10ms reconnect_max=10ms;");
    my $figures = Knock::Figures->started($nginx);
    my $http = $nginx->new_client;

    # it waits for a connection that is being made

    $http->send(post('/in/dev', track('T')));
    ok $http->silent(0.2), 'a request waits while connect() is under way';

    CORE::close $listen;
    @fill = ();

    is_unavailable($http->answer, 'connect() is refused at last');
    $figures->is_quiet('refused', requests => { 503 => 1 });
    like $nginx->log_text, qr/connecting to \S+ failed;.*111: Connection refus/,
         'what SO_ERROR says is logged';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub silent_after_connect {
    my $fake = Knock::HeldRedis->new;

    my $nginx = Knock::Nginx->start(http =>
        $fake->directive('connect_timeout=200ms'));
    my $figures = Knock::Figures->started($nginx, $fake);
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));

    # the kernel completes the connection, nobody ever says a word

    is_unavailable($http->answer, 'connected, but silent');
    like $nginx->log_text, qr/connected, but no reply within 200ms; check that/,
         'connected, but silent: logged';
    $figures->is_quiet('connected, but silent', requests => { 503 => 1 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub restart_in_mid_pipeline {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'timeout=10s');
    my @clients = map { $nginx->new_client } 1 .. 5;
    my $figures = Knock::Figures->new($nginx, $fake);
    my @calls;

    for my $i (0 .. 4) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    # the first two were answered, a part of the third was on its way

    $fake->reply($calls[0], join '', map { applied($_, 'p') } @calls[0, 1]);
    $fake->reply($calls[0], substr applied($calls[2], 'p'), 0, 15);
    $fake->wait_drained($calls[0]{conn});
    $fake->down;

    is $clients[$_]->answer->{status}, 200,
       'restart in mid-pipeline: answered before (' . ($_ + 1) . ')'
        for 0, 1;

    is_unavailable($clients[$_]->answer,
                'restart in mid-pipeline: not answered (' . ($_ + 1) . ')')
        for 2 .. 4;

    $fake->up;
    $fake->{serve} = 1;
    $fake->ready;

    is $fake->ask($clients[$_], post('/in/dev', track("U$_")))->{status}, 200,
       'after the restart: served (' . ($_ + 1) . ')'
        for 0 .. 4;

    my ($conn) = $fake->open_conns;

    is_deeply [map { events($_) }
               grep { ($_->{args}[1] // '') eq 'knock_apply' }
               @{ $conn->{log} }],
              [map { "track/U$_" } 0 .. 4],
              'after the restart: nothing is sent twice';
    $figures->is_quiet('after the restart',
                       requests => { 200 => 2 + 5, 503 => 3 }, redis_lost => 3);
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Refused again and again: the pauses grow, up to their bound.  Without it the
# last ones would take an hour.

sub back_off {
    my $fake = Knock::HeldRedis->new(unix => 1, refuse => 1);
    my $nginx = Knock::Nginx->start(
        http => $fake->directive('reconnect=20ms reconnect_max=320ms'));

    $fake->run_until('twenty attempts', sub { $fake->{accepted} >= 20 });

    my @at = map { $_->{at} } @{ $fake->{conns} };
    my @gaps = map { $at[$_] - $at[$_ - 1] } 1 .. $#at;

    # half of the delay, plus up to the other half of it

    my @least = map { $_ < 4 ? 0.010 * 2 ** $_ : 0.160 } 0 .. 7;
    my @short = grep { $gaps[$_] < $least[$_] - 0.005 } 0 .. 7;

    is_deeply \@short, [], 'the pauses between attempts grow'
        or diag join ' ', map { sprintf '%.3f', $_ } @gaps;
    pass 'and have a bound';

    # a request in the pause is refused at once

    is_unavailable($nginx->post('/in/dev', track('T')), 'in a pause');

    $fake->{refuse} = 0;
    $fake->ready(live => 0);
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# One that lets in and then closes is as one that refuses: only what has stayed
# for as long as the longest pause is well again.

sub flaps_after_log_in {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = $fake->nginx(params => 'reconnect=10ms reconnect_max=1200ms');
    my @at;

    for (1 .. 8) {
        my $conn = $fake->ready;

        push @at, $conn->{at};
        $fake->close($conn);
    }

    my $conn = $fake->ready;

    cmp_ok $conn->{at} - $at[7], '>', 0.6 - 0.005,
           'the pauses grow, though it lets in each time';
    cmp_ok $conn->{at} - $at[6], '>', 0.6 + 0.32 - 0.01, 'step by step';

    $fake->run_for(1.25);

    my $ended = time;

    $fake->close($conn);
    $conn = $fake->ready;
    cmp_ok $conn->{at} - $ended, '<', 0.6,
           'they begin anew when it has stayed for so long';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Several workers that lost Redis at the same moment: each has one connection,
# they come back one after the other, and none of them hammers.

sub no_storm {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = Knock::Nginx->start(
        workers => 4,
        http => $fake->directive('reconnect=200ms reconnect_max=400ms'));

    $fake->run_until('four workers', sub {
        4 == grep { $_->{named} } $fake->open_conns;
    });

    my $before = $fake->{accepted};

    is $before, 4, 'a connection for each worker';

    my $since = time;

    $fake->close($_) for $fake->open_conns;
    $fake->run_until('four workers again', sub {
        4 == grep { $_->{named} } $fake->open_conns;
    });

    my @after = sort map { $_->{at} - $since }
                @{ $fake->{conns} }[$before .. $#{ $fake->{conns} }];

    is scalar(@after), 4, 'each has come back by one attempt';
    cmp_ok $after[0], '>=', 0.095, 'after a pause';
    cmp_ok $after[3] - $after[0], '>', 0.002, 'not all at one moment'
        or diag "@after";
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub bounded_queue {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'max_pending=3 timeout=10s');
    my @clients = map { $nginx->new_client } 1 .. 4;
    my $figures = Knock::Figures->new($nginx, $fake);
    my @calls;

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    is_unavailable($fake->ask($clients[3], post('/in/dev', full('T3'))),
                'one more than max_pending');

    # what is collected for the next call is no command yet

    $clients[3]->send(post('/in/dev', track('T3')));
    $fake->wait_taken($clients[3]);
    ok $clients[3]->silent(0.05), 'one that can wait for the replies waits';
    $fake->reply($_, applied($_, 'p')) for @calls;
    push @calls, $fake->call;
    is_deeply [events($calls[3])], ['track/T3'],
              'and goes when nothing is under way';
    $fake->reply($calls[3], applied($calls[3], 'p'));
    is $fake->answer($clients[$_])->{status}, 200,
       "those that were sent are served ($_)" for 0 .. 3;

    $fake->{serve} = 1;
    is $fake->ask($clients[3], post('/in/dev', track('T4')))->{status}, 200,
       'and there is room again';
    $figures->is_quiet('a bounded queue', requests => { 200 => 5, 503 => 1 },
                       redis_refused => 1);
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub bounded_bytes {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'max_pending_bytes=110k timeout=10s',
                             http => "client_max_body_size 1m;\n");
    my $figures = Knock::Figures->new($nginx, $fake);
    my ($first, $second) = map { $nginx->new_client } 1 .. 2;
    my $large = '[' . join(',', map { track("T$_", properties =>
                           '{"x":"' . 'x' x 250 . '"}') } 1 .. 300) . ']';

    $first->send(post('/in/dev', $large));

    my $call = $fake->call;

    cmp_ok length $call->{raw}, '>', 55 * 1024,
           'a call that takes more than half of max_pending_bytes';
    is_unavailable($fake->ask($second, post('/in/dev', $large)),
                'one that goes beyond max_pending_bytes');
    $fake->reply($call, applied($call, 'p'));
    like $fake->answer($first)->{body}, qr/"accepted":300/,
         'the first one is served';

    $fake->{serve} = 1;
    like $fake->ask($second, post('/in/dev', $large))->{body},
         qr/"ignored":300/, 'and there is room again';
    $figures->is_quiet('bounded bytes', requests => { 200 => 2, 503 => 1 },
                       redis_refused => 1);
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# AUTH, SELECT, CLIENT SETNAME, the questions and an empty transaction come in
# one flight, and nothing before their replies, although a request waits.

sub greeting_first {
    my @flight = qw(AUTH SELECT CLIENT INFO CONFIG EVAL MULTI EXEC);
    my $n = @flight;
    my $fake = Knock::HeldRedis->new(serve => 1, auto => sub {
        my ($self, $command) = @_;

        return if $self->{open} || !grep { $_ eq $command->{args}[0] } @flight;
        push @{ $self->{greetings} }, $command;
        return '';
    });

    my $nginx = Knock::Nginx->start(http =>
        "knock_redis redis://knock:se%20cret%2F\@127.0.0.1:$fake->{port}/3 "
        . 'connect_timeout=5s reconnect=10ms reconnect_max=10ms;');
    my $figures = Knock::Figures->started($nginx, $fake);
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));

    $fake->run_until('the greeting', sub {
        @{ $fake->{greetings} // [] } == $n;
    });

    # all of it, and nothing behind it

    $fake->run_for(0.1);

    my ($conn) = $fake->open_conns;
    my ($worker) = $nginx->workers;

    is_deeply [map { $_->{args} } @{ $conn->{log} }],
              [['AUTH', 'knock', 'se cret/'], ['SELECT', 3],
               ['CLIENT', 'SETNAME', "knock-$worker"], ['INFO', 'memory'],
               ['CONFIG', 'GET', 'proto-max-bulk-len',
                'client-query-buffer-limit'],
               ['EVAL', "#!lua flags=no-writes\nreturn 1", 0], ['MULTI'], ['EXEC']],
              'the log-in, in one flight and alone';

    # one by one: no command slips in between

    for my $i (0 .. $n - 1) {
        is scalar(@{ $conn->{log} }), $n, "no command before reply " . ($i + 1);
        $fake->reply($fake->{greetings}[$i],
                     $i == $n - 1 ? array() : "+OK\r\n");
        $fake->wait_drained($conn);
        $fake->run_for(0.05) if $i < 2;
    }

    $conn->{named} = 1;

    is $fake->answer($http)->{status}, 200, 'then the request is served';
    is_deeply [map { "@{ $_->{args} }[0, 1]" } @{ $conn->{log} }[$n, $n + 1]],
              ['FCALL knock_environments', 'FCALL knock_live'],
              'by commands that come after it';

    # and so it is on the next connection

    $fake->{greetings} = [];
    $fake->close($conn);
    $fake->run_until('the greeting', sub { @{ $fake->{greetings} } == $n });

    is_deeply [map { $_->{args}[0] } @{ $fake->{greetings} }],
              \@flight, 'the same after a reconnect';

    # not let in: the flight's other replies are dropped with the connection

    my $offset = -s $nginx->error_log;
    my $refused = $fake->{greetings}[0]{conn};

    $http->send(post('/in/dev', track('T')));
    $fake->run_for(0.05);
    $fake->write($refused, error('WRONGPASS invalid username-password pair')
                           . error('NOAUTH Authentication required.') x ($n - 1));

    is_unavailable($fake->answer($http), 'not let in');
    $fake->wait_closed($refused);
    like $nginx->log_text, qr/Redis let us not in: WRONGPASS/,
         'not let in: logged';
    unlike $nginx->log_text, qr/se cret|se%20cret/,
           'the password is in no log';
    is scalar(grep { $_->{args}[0] eq 'FCALL' } @{ $refused->{log} }), 0,
       'not let in: no command was sent';
    $fake->{open} = 1;
    $figures->is_quiet('not let in', requests => { 200 => 1, 503 => 1 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Where user, password and database may be written.

sub credentials {
    my $fake = Knock::HeldRedis->new;
    my $dir = File::Temp::tempdir('knock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

    chmod 0755, $dir;
    open my $out, '>', "$dir/password" or die;
    print {$out} "from file\n";
    close $out;

    my $at = "127.0.0.1:$fake->{port}";

    my @cases = (
        ["redis://:only\@$at", [AUTH => 'only']],
        ["redis://$at password=plain", [AUTH => 'plain']],
        ["redis://$at user=u password=plain", [AUTH => 'u', 'plain']],
        ["redis://$at user=u password_file=$dir/password",
         [AUTH => 'u', 'from file']],
        ["redis://$at db=7", [SELECT => 7]],
        ["redis://u:p:with\@at\@$at/2", [AUTH => 'u', 'p:with@at'],
         [SELECT => 2]],
    );

    for (@cases) {
        my ($text, @greeting) = @$_;
        my $nginx = Knock::Nginx->start(http => "knock_redis $text;");

        $fake->{conns} = [];
        my $conn = $fake->ready(live => 0);

        is_deeply [map { $_->{args} } @{ $conn->{log} }[0 .. $#greeting]],
                  \@greeting, "knock_redis $text" =~ s/\S*$dir/FILE/r
                              =~ s/:\d{4,5}/:PORT/r;
        is $conn->{log}[@greeting]{args}[0], 'CLIENT',
           'then CLIENT SETNAME';
        $fake->close($conn);
        $nginx->stop;
    }
}


# The worker's socket is looked at by a copy of its descriptor.

sub no_delay {
    my $fake = Knock::HeldRedis->new;
    my $nginx = $fake->nginx;
    my ($worker) = $nginx->workers;
    my ($conn) = $fake->open_conns;

    my $pidfd = syscall 434, $worker + 0, 0;        # pidfd_open
    my ($found, $delay);

    for my $fd ($pidfd < 0 ? () : glob "/proc/$worker/fd/*") {
        ($fd) = $fd =~ /(\d+)$/;

        my $copy = syscall 438, $pidfd, $fd + 0, 0; # pidfd_getfd
        next if $copy < 0;

        open my $socket, '+<&=', $copy or next;
        my $peer = getpeername $socket or next;
        my ($port) = eval { Socket::unpack_sockaddr_in($peer) } or next;
        next unless $port == $fake->{port};

        $found = 1;
        $delay = unpack 'i', getsockopt $socket, IPPROTO_TCP, TCP_NODELAY;
    }

    SKIP: {
        skip 'descriptors of other processes cannot be copied here', 1
            unless $found;
        isnt $delay, 0, 'TCP_NODELAY is set';
    }
}


# When all of the worker's connections are taken by clients there is none left
# for Redis: logged, and tried again.

sub no_connection_left {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);

    $fake->down;

    my $nginx = Knock::Nginx->start(events => 'worker_connections 6;',
                                    http => $fake->directive(''));
    my @clients = map { $nginx->new_client } 1 .. 8;

    # begun, so that nginx does not drop them when it needs one

    $_->send("POST /in/dev HTTP/1.1\r\nHost: x\r\n") for @clients;

    wait_for('the log', sub {
        $nginx->log_text =~ /no connection could be made; raise worker_conn/;
    });
    pass 'no connection left: logged with what to raise';

    $_->close for @clients;
    $fake->up;
    $fake->ready(live => 0);

    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'no connection left: served once there is one';
    is_deeply [grep { !/worker_connections are not enough/ }
               $nginx->complaints], [], 'no other complaints in the log';
}


# The processes that look after caches do not talk to Redis.

sub cache_processes {
    my $fake = Knock::HeldRedis->new(unix => 1);

    my $nginx = Knock::Nginx->start(
        workers => 2,
        http => $fake->directive('')
                . 'proxy_cache_path cache keys_zone=z:1m loader_sleep=1ms;');

    my %kind;

    $fake->run_until('the processes', sub {
        %kind = ();

        for my $pid ($nginx->workers) {
            open my $in, '<', "/proc/$pid/cmdline" or next;
            my $line = <$in> // next;
            push @{ $kind{$1} }, $pid if $line =~ /nginx: ([a-z ]+) process/;
        }

        return $kind{'cache manager'} && @{ $kind{worker} // [] } == 2
               && 2 <= grep { $_->{named} } $fake->open_conns;
    });

    $fake->run_for(0.2);

    is_deeply [sort map { $_->{named} } $fake->open_conns],
              [sort map { "knock-$_" } @{ $kind{worker} }],
              'only workers connect, the cache manager does not';

    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# An idle connection is tried now and then: a dead one is found before a
# request does.

sub ping {
    my $fake = Knock::HeldRedis->new(unix => 1, auto => sub {
        my ($self, $command) = @_;

        return unless $command->{conn}{named} && $command->{args}[0] eq 'INFO';
        $self->{pings}++;
        return $self->{dead} ? '' : undef;
    });
    my $nginx = $fake->nginx(params => 'ping=50ms timeout=200ms');
    my ($conn) = $fake->open_conns;

    $fake->run_until('two pings', sub { ($fake->{pings} // 0) >= 2 });
    ok !$conn->{closed}, 'an idle connection that answers pings stays';

    $fake->{dead} = 1;
    $fake->wait_closed($conn);
    pass 'one that does not is closed';

    $fake->{dead} = 0;
    $fake->{serve} = 1;
    isnt $fake->ready, $conn, 'and replaced';
    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'without a request that failed';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub is_unavailable {
    my ($answer, $what) = @_;

    ok unavailable($answer), "$what: 503 with Retry-After"
        or diag "$answer->{status} $answer->{body}";
}


sub pack_path { return Socket::pack_sockaddr_un($_[0]) }
