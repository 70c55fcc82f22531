# A worker that is to end: what is in flight is answered, nothing keeps it
# longer than that, and nothing is left open.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(wait_for);

in_flight($_) for qw(QUIT HUP);
waiting_for_what_is_live();
idle();
keep_alive();
never_answered();
never_answered_in_time();
down();
connecting();
in_a_pause();
at_once();

done_testing;


sub alive { return -d "/proc/$_[0]" }


# Waits, serving, until a process has ended.

sub wait_ended {
    my ($fake, $pid, $what) = @_;

    ok eval { $fake->run_until('the worker to end', sub { !alive($pid) }) },
       "$what: the worker has ended" or diag $@;
}


# Sends a signal, and waits until the worker has it.

sub tell_workers {
    my ($fake, $nginx, $signal, @workers) = @_;
    my $offset = -s $nginx->error_log;

    kill $signal, $nginx->pid;
    $fake->run_until('the workers to be told', sub {
        my $log = $nginx->log_text($offset);
        return @workers == grep { $log =~ /\b$_#\d+: gracefully shutting/ }
                           @workers;
    });
}


sub clean {
    my ($fake, $nginx, $what) = @_;

    unlike $nginx->log_text, qr/open socket .* left in connection/,
           "$what: no socket is left open";
    is_deeply [$nginx->complaints], [], "$what: no complaints in the log";
}


# A reload or the end comes while commands are in flight: they are answered,
# although it takes longer than pings and pauses would.

sub in_flight {
    my ($signal) = @_;

    my $fake = Knock::HeldRedis->new(unix => 1, ordered => 1);
    my $nginx = $fake->nginx(params => 'ping=20ms');
    my ($worker) = $nginx->workers;
    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    # two of them have their calls, the third waits for its own

    for my $i (0, 1) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    $clients[2]->send(post('/in/dev', track('T2')));
    $fake->wait_taken($clients[2]);

    tell_workers($fake, $nginx, $signal, $worker);
    $fake->run_for(0.3);

    ok alive($worker), "$signal: a worker with commands in flight stays";
    ok !$calls[0]{conn}{closed}, "$signal: and so does its connection";

    $fake->reply($_, applied($_, 'p')) for @calls;

    my $last = $fake->call;

    is_deeply [events($last)], ['track/T2'],
              "$signal: what waited for its call has it";
    $fake->reply($last, applied($last, 'p'));
    is $fake->answer($clients[$_])->{status}, 200,
       "$signal: what was in flight is answered ($_)" for 0 .. 2;

    wait_ended($fake, $worker, $signal);
    $fake->wait_closed($calls[0]{conn});

    if ($signal eq 'HUP') {
        my $http = $nginx->new_client;

        $fake->ready;
        $fake->{serve} = 1;
        is $fake->ask($http, post('/in/dev', track('New')))->{status}, 200,
           'HUP: the new worker serves';
    }

    clean($fake, $nginx, $signal);
}


sub waiting_for_what_is_live {
    my @held;
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;

    $fake->{auto} = sub {
        return if ($_[1]{args}[1] // '') ne 'knock_live';
        push @held, $_[1];
        return '';
    };
    $fake->{live} = { version => 2, endpoints => ['segment/token', 'new'] };
    $http->send(post('/in/new', track('T')));
    $fake->run_until('what is live to be asked', sub { @held });
    tell_workers($fake, $nginx, 'QUIT', $worker);
    $fake->{auto} = undef;
    $fake->reply($held[0], $fake->live);

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200,
       'QUIT while what is live is read: served all the same';
    wait_ended($fake, $worker, 'QUIT while what is live is read');
    clean($fake, $nginx, 'QUIT while what is live is read');
}


# Pings, which are cancelable, keep nobody: neither until the next one is due nor
# until one that is not answered is over.

sub idle {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'ping=10m');
    my ($worker) = $nginx->workers;
    my ($conn) = $fake->open_conns;
    kill 'QUIT', $nginx->pid;
    $fake->wait_closed($conn);
    wait_ended($fake, $worker, 'idle');
    clean($fake, $nginx, 'idle');

    # a ping that is never answered

    my $pinged = 0;

    $fake = Knock::HeldRedis->new(unix => 1, auto => sub {
        return if !$_[1]{conn}{named} || $_[1]{args}[0] ne 'INFO';
        $pinged = 1;
        return '';
    });
    $nginx = $fake->nginx(params => 'ping=20ms timeout=10m');
    ($worker) = $nginx->workers;
    $fake->run_until('a ping', sub { $pinged });
    kill 'QUIT', $nginx->pid;
    wait_ended($fake, $worker, 'an unanswered ping');
    clean($fake, $nginx, 'an unanswered ping');
}


# A request that comes over a connection kept from before.

sub keep_alive {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;
    my $begun = post('/in/dev', track('T'));

    # the head before, the body after the signal

    $http->send(substr $begun, 0, -5);
    $fake->wait_taken($http);
    tell_workers($fake, $nginx, 'QUIT', $worker);
    $fake->run_for(0.1);
    $http->send(substr $begun, -5);

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200,
       'a body that ends after QUIT: served, over a new connection if need be';
    wait_ended($fake, $worker, 'a body that ends after QUIT');
    clean($fake, $nginx, 'a body that ends after QUIT');
}


# Redis never answers: the time limit of replies is that of the worker, too.

sub never_answered {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'timeout=700ms');
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));
    $fake->call;
    tell_workers($fake, $nginx, 'HUP', $worker);

    ok unavailable($fake->answer($http)), 'never answered: 503';
    wait_ended($fake, $worker, 'never answered');
    clean($fake, $nginx, 'never answered');
}


# worker_shutdown_timeout is shorter than that.

sub never_answered_in_time {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'timeout=10m',
                             main => 'worker_shutdown_timeout 300ms;');
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));

    my $call = $fake->call;

    tell_workers($fake, $nginx, 'HUP', $worker);
    wait_ended($fake, $worker, 'worker_shutdown_timeout');
    $fake->wait_closed($call->{conn});
    clean($fake, $nginx, 'worker_shutdown_timeout');
}


sub down {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'timeout=60s');
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));
    $fake->call;
    tell_workers($fake, $nginx, 'QUIT', $worker);
    $fake->down;

    ok unavailable($fake->answer($http)), 'Redis goes while it ends: 503';
    wait_ended($fake, $worker, 'Redis goes while it ends');
    clean($fake, $nginx, 'Redis goes while it ends');
}


# A connection is being made: that keeps a worker no longer than its limit,
# and a request that waits for it is answered.

sub connecting {
    my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "listening: $!\n";
    my $port = $listen->sockport;
    my @fill = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                           Blocking => 0) } 1 .. 4;
    my $none = Knock::HeldRedis->new(unix => 1);
    my $nginx = Knock::Nginx->start(http => "knock_redis redis://127.0.0.1:"
        . "$port connect_timeout=2s;");
    my ($worker) = $nginx->workers;
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));
    $none->wait_taken($http);
    tell_workers($none, $nginx, 'QUIT', $worker);

    ok unavailable($none->answer($http)), 'while connecting: 503';
    wait_ended($none, $worker, 'while connecting');
    clean($none, $nginx, 'while connecting');
}


# The pause between two attempts keeps nobody.

sub in_a_pause {
    my $fake = Knock::HeldRedis->new(unix => 1);

    $fake->down;

    my $nginx = Knock::Nginx->start(
        http => $fake->directive('reconnect=10m reconnect_max=10m'));
    my ($worker) = $nginx->workers;

    wait_for('the log', sub { $nginx->log_text =~ /is away/ });

    kill 'QUIT', $nginx->pid;
    wait_ended($fake, $worker, 'in a pause');
    clean($fake, $nginx, 'in a pause');
}


# TERM does not wait for anybody, yet leaves nothing open.

sub at_once {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(params => 'timeout=60s');
    my ($worker) = $nginx->workers;
    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    # two of them have their calls, the third waits for its own

    for my $http (@clients[0, 1]) {
        $http->send(post('/in/dev', full('T')));
        push @calls, $fake->call;
    }

    $clients[2]->send(post('/in/dev', track('T')));
    $fake->wait_taken($clients[2]);

    kill 'TERM', $nginx->pid;
    wait_ended($fake, $worker, 'TERM');
    $fake->wait_closed($calls[0]{conn});
    clean($fake, $nginx, 'TERM');
}
