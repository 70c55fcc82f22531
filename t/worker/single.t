# `master_process off`: one process does all, and reads new configurations
# itself.  nginx 1.22 has its own limits there: after a SIGHUP the process has
# no free connection, so that it neither takes new clients nor connects to
# Redis anew.  What the module owes is that what is in flight is answered, that
# nothing points into the configuration that is gone, and that nothing stays.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(is_running wait_for);

works();
reloaded();
reloaded_in_flight();
reloaded_and_lost();
reloaded_often();

done_testing;


sub single {
    my ($fake, %conf) = @_;

    # Knock::Nginx waits for workers, of which there are none

    no warnings 'redefine';
    local *Knock::Nginx::workers = sub { return $_[0]{pid} };

    my $nginx = Knock::Nginx->start(main => 'master_process off;',
                                    http => $fake->directive(''), %conf);
    $fake->ready;

    return $nginx;
}


sub works {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = single($fake);
    my ($conn) = $fake->open_conns;

    is $conn->{named}, 'knock-' . $nginx->pid, 'the process itself connects';
    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'and serves';

    $nginx->stop('TERM');
    $fake->wait_closed($conn);
    unlike $nginx->log_text, qr/open socket .* left/, 'nothing is left open';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Waits until the process reads its configuration again, which it does before
# anything else.

sub reload {
    my ($fake, $nginx) = @_;

    my $offset = -s $nginx->error_log;

    kill 'HUP', $nginx->pid;
    $fake->run_until('the reload', sub {
        $nginx->log_text($offset) =~ /reconfiguring.*using the "epoll"/s
    });
}


# The process lives, ends when it is told to, and has said nothing bad but
# what nginx says of its own limit.

sub clean {
    my ($fake, $nginx, $what) = @_;
    my $pid = $nginx->pid;

    ok is_running($pid), "$what: the process lives";
    $nginx->stop('TERM');
    ok !$fake->open_conns, "$what: no connection is left"
        if eval { $fake->wait_closed($_) for $fake->open_conns; 1 };
    unlike $nginx->log_text, qr/open socket .* left/,
           "$what: nothing is left open";
    is_deeply [grep { !/worker_connections are not enough/ }
               $nginx->complaints], [], "$what: no complaints in the log";
}


sub reloaded {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = single($fake);
    my $http = $nginx->new_client;

    is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
       'before the reload';

    my ($old) = $fake->open_conns;

    reload($fake, $nginx);
    $fake->wait_closed($old);
    pass 'the old connection to Redis goes';

    # whether nginx can connect again is its own affair

    for (1 .. 3) {
        my $answer = $fake->ask($http, post('/in/dev', track('T')));

        ok $answer->{status} == 200 || unavailable($answer),
           "a client from before the reload has an answer: $answer->{status}";
    }

    clean($fake, $nginx, 'reloaded');
}


sub reloaded_in_flight {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = single($fake);
    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    # one is under way, the others are collected for the next call

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', track("T$i")));
        push @calls, $fake->call if $i == 0;
        $fake->wait_taken($clients[$i]);
    }

    reload($fake, $nginx);
    reload($fake, $nginx);
    ok !$calls[0]{conn}{closed},
       'the old connection stays for what is in flight';

    # one client goes meanwhile

    $clients[1]->reset;
    push @calls, $fake->call;
    is_deeply [events($calls[1])], ['track/T1', 'track/T2'],
              'what was collected goes out over it';
    is $calls[1]{conn}, $calls[0]{conn}, 'not over another one';
    $fake->reply($_, applied($_, 'p')) for @calls;
    is $fake->answer($clients[$_])->{status}, 200,
       "what was in flight is answered ($_)" for 0, 2;
    $fake->wait_closed($calls[0]{conn});
    pass 'then the old connection goes';

    clean($fake, $nginx, 'reloaded in flight');
}


# Redis goes, or is silent, with commands of the old cycle in flight.

sub reloaded_and_lost {
    for my $how ('the connection is lost', 'no reply in time') {
        my $fake = Knock::HeldRedis->new(unix => 1);
        my $nginx = single($fake, $how =~ /time/
                           ? (http => $fake->directive('timeout=500ms')) : ());
        my $http = $nginx->new_client;

        $http->send(post('/in/dev', track('T')));

        my $call = $fake->call;

        reload($fake, $nginx);
        $fake->close($call->{conn}) if $how =~ /lost/;
        ok unavailable($fake->answer($http)), "$how after a reload: 503";
        clean($fake, $nginx, "$how after a reload");
    }
}


sub reloaded_often {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = single($fake);
    my @descriptors;

    for (1 .. 20) {
        reload($fake, $nginx);
        push @descriptors, scalar(() = glob '/proc/' . $nginx->pid . '/fd/*');
    }

    cmp_ok $descriptors[-1], '<=', $descriptors[1],
           "descriptors do not grow: @descriptors";
    clean($fake, $nginx, 'reloaded often');
}
