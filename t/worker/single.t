# `master_process off`: one process does all, and reads new configurations
# itself.  Of nginx 1.22 without a master: SIGHUP makes a new cycle in the same
# process, old connections live on in it, and there is no graceful end.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(wait_for);

works();
reloaded();
reloaded_in_flight();
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


sub alive { return -d "/proc/$_[0]" && open(my $in, '<', "/proc/$_[0]/stat")
                   && <$in> !~ /\) Z / }


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


# Waits until the process has read its configuration again, and gives a
# connection to Redis that it has made since.

sub reload {
    my ($fake, $nginx) = @_;

    my $before = $fake->{accepted};
    my $offset = -s $nginx->error_log;

    kill 'HUP', $nginx->pid;
    $fake->run_until('the reload', sub {
        $nginx->log_text($offset) =~ /reconfiguring/
    });
    $fake->run_until('a connection of the new cycle', sub {
        grep { $_->{named} && $_->{n} >= $before } $fake->open_conns;
    });
}


sub reloaded {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = single($fake);
    my $http = $nginx->new_client;

    is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
       'before the reload';

    my ($old) = $fake->open_conns;

    reload($fake, $nginx);
    ok alive($nginx->pid), 'a reload leaves the process alive';
    $fake->wait_closed($old);
    pass 'the old connection to Redis goes';

    is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
       'a client from before the reload is served';
    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'and so is a new one';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub reloaded_in_flight {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = single($fake);
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('Old')));

    my $call = $fake->call;

    reload($fake, $nginx);
    ok !$call->{conn}{closed}, 'the old connection stays for what is in flight';

    my $other = $nginx->new_client;

    $other->send(post('/in/dev', track('New')));

    my $next = $fake->call;

    isnt $next->{conn}, $call->{conn}, 'new requests go over the new one';
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, 'what was in flight is answered';
    $fake->reply($next, applied($next, 'p'));
    is $fake->answer($other)->{status}, 200, 'and the new one is';
    $fake->wait_closed($call->{conn});
    pass 'then the old connection goes';

    # the client goes before the reply

    $http = $nginx->new_client;
    $http->send(post('/in/dev', track('Gone')));
    $call = $fake->call;
    reload($fake, $nginx);
    $http->reset;
    $fake->reply($call, applied($call, 'p'));
    $fake->wait_closed($call->{conn});

    $fake->{serve} = 1;
    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'a client that goes after a reload does no harm';
    ok alive($nginx->pid), 'the process lives';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub reloaded_often {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = single($fake);
    my @descriptors;

    for my $n (1 .. 20) {
        my $http = $nginx->new_client;

        is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
           "reload $n: served before";
        reload($fake, $nginx);
        is $fake->ask($http, post('/in/dev', track('T')))->{status}, 200,
           "reload $n: served after";
        $http->close;
        $fake->run_until('one connection', sub { 1 == $fake->open_conns });
        push @descriptors, scalar(() = glob '/proc/' . $nginx->pid . '/fd/*');
    }

    cmp_ok $descriptors[-1], '<=', $descriptors[2] + 2,
           "descriptors do not grow: @descriptors";
    ok alive($nginx->pid), 'the process lives';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
