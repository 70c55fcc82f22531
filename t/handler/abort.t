# Clients that go: in mid-body, and while the request waits for Redis.  One that
# closes in good order while it waits has not gone: see half-close.t.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Memory qw(rss floor_growth);
use Knock::Server qw(wait_for);
use Knock::Test;

in_mid_body();
while_waiting_for_a_reply();
while_what_is_live_is_read();
some_of_a_call();
before_the_call_goes_out();
while_collected_for_the_next_call();
pipelined_and_gone();
applied_exactly_once();
nothing_piles_up();

done_testing;


# Until nginx has seen that its client is gone.

sub wait_gone {
    my ($fake, $nginx, $offset, $n) = @_;

    $fake->run_until('nginx to notice', sub {
        my @lines = $nginx->log_text($offset)
                    =~ /(?:prematurely closed|reset by peer|closed connection)/g;
        return @lines >= ($n // 1);
    });
}


sub in_mid_body {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(http => "client_body_buffer_size 1k;\n");
    my $figures = Knock::Figures->new($nginx, $fake);
    my $body = track('Gone');
    my $large = ' ' x 5000 . track('Gone');
    my $head = "POST /in/dev HTTP/1.1\r\nHost: x\r\n";

    my %sent = (
        'of its head'       => "POST /in/dev HTTP/1.1\r\nHos",
        'before its body'   => "${head}Content-Length: 100\r\n\r\n",
        'in its body'       => substr(post('/in/dev', $body), 0, -5),
        'in its file'       => substr(post('/in/dev', $large), 0, -5),
        'before a chunk'    => "${head}Transfer-Encoding: chunked\r\n\r\n",
        'in a chunk'        => "${head}Transfer-Encoding: chunked\r\n\r\n"
                               . "fff\r\n$body",
        'between chunks'    => "${head}Transfer-Encoding: chunked\r\n\r\n"
                               . sprintf("%x\r\n%s\r\n", length $body, $body),
        'in its body, with Expect'
                            => "${head}Expect: 100-continue\r\n"
                               . "Content-Length: 100\r\n\r\n{",
    );

    for my $how (qw(close reset)) {
        for my $where (sort keys %sent) {
            my $http = $nginx->new_client;

            $http->send($sent{$where});
            $fake->wait_taken($http);
            $http->$how;
        }
    }

    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('After')));

    my $call = $fake->call;

    is_deeply [events($call)], ['track/After'],
              'gone in mid-body: nothing is applied';
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, 'the next one is served';
    is_deeply [glob $nginx->dir . '/client_body/*'], [],
              'no file is left';
    $figures->is_quiet('gone in mid-body', requests => { 200 => 1 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The reply comes when the request has gone, of whatever kind it is.

sub while_waiting_for_a_reply {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $figures = Knock::Figures->new($nginx, $fake);
    my $need = array(array(bulk('need'), bulk(''), array()));

    my @replies = (
        ['applied', sub { $fake->reply($_[0], applied($_[0], 'p')) }],
        ['an error', sub { $fake->reply($_[0], error('ERR no')) }],
        ['an error that passes', sub { $fake->reply($_[0], error('OOM no')) }],
        ['an error that reconnects',
                           sub { $fake->reply($_[0], error('READONLY no')) }],
        ['stale', sub { $fake->reply($_[0], array(bulk('stale'))) }],
        ['needs a merge', sub { $fake->reply($_[0], $need) }],
        ['another function\'s', sub { $fake->reply($_[0], "*-1\r\n") }],
        ['garbage', sub { $fake->reply($_[0], "garbage\r\n") }],
        ['none, the connection is lost', sub { $fake->close($_[0]{conn}) }],
        ['no function', sub {
            $fake->reply($_[0], error('ERR Function not found'));
            my $again = $fake->call;
            is_deeply [events($again)], ['track/Gone'],
                      'it is sent again, as others would be';
            $fake->reply($again, applied($again, 'p'));
        }],
    );

    for (@replies) {
        my ($what, $reply) = @$_;
        my $http = $nginx->new_client;

        $fake->ready;

        my $before = $fake->{accepted};

        $http->send(post('/in/dev', track('Gone', userId => '"u"',
                                          properties => '{"a":{}}')));

        my $call = $fake->call;
        my $offset = -s $nginx->error_log;

        $http->reset;
        wait_gone($fake, $nginx, $offset);
        $reply->($call);
        $fake->run_until('a new connection',
                         sub { $fake->{accepted} > $before })
            if $what =~ /reconnects|garbage|lost/;

        served($fake, $nginx, "gone; the reply: $what");
        $figures->is_quiet("gone; the reply: $what",
                           requests => { 499 => 1, 200 => 1 },
                           redis_lost => $what =~ /garbage|lost/ ? 1 : 0);
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub while_what_is_live_is_read {
    my @held;
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $figures = Knock::Figures->new($nginx, $fake);

    for my $reply ('an answer', 'an error', 'none') {
        my $http = $nginx->new_client;
        my $offset = -s $nginx->error_log;

        $fake->ready;
        @held = ();
        $fake->{auto} = sub {
            return if ($_[1]{args}[1] // '') ne 'knock_live';
            push @held, $_[1];
            return '';
        };

        $http->send(post('/in/unknown', track('Gone')));
        $fake->run_until('what is live to be asked', sub { @held });
        $http->reset;
        wait_gone($fake, $nginx, $offset);

        my $before = $fake->{accepted};

        $fake->{auto} = undef;
        $fake->reply($held[0], $fake->live) if $reply eq 'an answer';
        $fake->reply($held[0], error('ERR no')) if $reply eq 'an error';
        $fake->close($held[0]{conn}) if $reply eq 'none';
        $fake->run_until('a new connection',
                         sub { $fake->{accepted} > $before })
            if $reply eq 'none';

        served($fake, $nginx, "gone while what is live is read: $reply");
        $figures->is_quiet("gone while what is live is read: $reply",
                           requests => { 499 => 1, 200 => 1 });
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Requests that share a call: those that stay have their own answers.

sub some_of_a_call {
    my @held;
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $figures = Knock::Figures->new($nginx, $fake);
    my @clients = map { $nginx->new_client } 1 .. 6;

    $fake->{auto} = sub {
        return if ($_[1]{args}[1] // '') ne 'knock_live' || @held;
        push @held, $_[1];
        return '';
    };
    $fake->{live} = { version => 2, endpoints => ['segment/token', 'new'] };

    for my $i (0 .. 5) {
        $clients[$i]->send(post('/in/new', track("T$i")));
        $fake->run_until('what is live to be asked', sub { @held });
        $fake->wait_taken($clients[$i]);
    }

    $fake->reply($held[0], $fake->live);

    my $first = $fake->call;

    $fake->reply($first, applied($first, 'p'));
    like $fake->answer($clients[0])->{body}, qr/"accepted":1/, 'the first one';

    my $shared = $fake->call;

    is_deeply [events($shared)], [map { "track/T$_" } 1 .. 5],
              'five requests that share a call';

    my $offset = -s $nginx->error_log;

    $clients[$_]->reset for 1, 3, 5;
    wait_gone($fake, $nginx, $offset, 3);

    my @statuses = qw(p d i p d);

    $fake->reply($shared, array(map { array(bulk('ok'), bulk($_), ":0\r\n") }
                                @statuses));

    like $fake->answer($clients[2])->{body}, qr/"duplicates":1/,
         'three are gone, the others have their own answers (2)';
    like $fake->answer($clients[4])->{body}, qr/"accepted":1,"duplicates":0/,
         'three are gone, the others have their own answers (4)';
    $figures->is_quiet('three are gone', requests => { 499 => 3, 200 => 3 });

    # stale: those that are gone are not asked for again

    @held = ();
    $fake->{live}{version} = 3;
    $fake->{live}{endpoints} = ['segment/token', 'newer'];
    $clients[$_] = $nginx->new_client for 1, 3, 5;

    for my $i (0 .. 5) {
        $clients[$i]->send(post('/in/newer', track("T$i")));
        $fake->run_until('what is live to be asked', sub { @held });
        $fake->wait_taken($clients[$i]);
    }

    $fake->reply($held[0], $fake->live);
    $first = $fake->call;
    $fake->reply($first, applied($first, 'p'));
    $shared = $fake->call;
    $offset = -s $nginx->error_log;
    $clients[$_]->reset for 2, 4;
    wait_gone($fake, $nginx, $offset, 2);
    $fake->reply($shared, array(bulk('stale')));

    my @again;

    while (@again < 3) {
        my $call = $fake->call;

        push @again, events($call);
        $fake->reply($call, applied($call, 'p'));
    }

    is_deeply \@again, [map { "track/T$_" } 1, 3, 5],
              'stale: those that are still there come again';
    is $fake->answer($clients[$_])->{status}, 200, "and are served ($_)"
        for 0, 1, 3, 5;
    $figures->is_quiet('two are gone, stale',
                       requests => { 499 => 2, 200 => 4 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# What is live is read, requests are put into a call, and in the same turn of
# the loop some of them go, before the call does: the worker is stopped until
# the one and the other are there for it.

sub before_the_call_goes_out {
    my @held;
    my $action = '{"key":"a","source":"segment","event":"track/Large",'
                 . '"type":"workflows_trigger","workflow":"w",'
                 . '"recipients":"properties.to"}';
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(http => "client_body_buffer_size 1m;\n");
    my ($worker) = $nginx->workers;
    my $figures = Knock::Figures->new($nginx, $fake);
    my $version = 1;

    $fake->{auto} = sub {
        return if ($_[1]{args}[1] // '') ne 'knock_live' || !$_[0]{hold};
        push @held, $_[1];
        return '';
    };

    # below the size at which a call goes out at once

    my @bodies = map {
        track('Large', properties => qq({"to":[{"id":"u$_"}],"x":")
                                     . "$_." x 20_000 . '"}')
    } 0 .. 2;

    for (1, 2) {
        my @clients = map { $nginx->new_client } 0 .. 2;

        @held = ();
        $fake->{hold} = 1;
        $fake->{live} = { version => ++$version, workflows => ['w'],
                          actions => ['a', $action],
                          endpoints => ['segment/token', "new$version"] };

        # all that are waiting when it is asked for the second time share that

        for my $i (0 .. 2) {
            $clients[$i]->send(post("/in/new$version", $bodies[$i]));
            $fake->run_until('what is live to be asked', sub { @held });
            $fake->wait_taken($clients[$i]);
        }

        # the first one by itself

        kill 'STOP', $worker;
        $fake->reply($held[0], $fake->live);
        $clients[0]->reset;
        kill 'CONT', $worker;

        $fake->run_until('what is live to be asked again', sub { @held > 1 });

        my $call = $fake->call;
        my @events = map { @{ $_->{events} } } units($call);

        is scalar(@events), 1, 'gone before the call: it is there';
        cmp_ok index($events[0]{runs}[0], substr $bodies[0], -40_003, 40_000),
               '>', 0, 'and whole';

        # one of two that come after it, and wait for its reply

        kill 'STOP', $worker;
        $fake->{hold} = 0;
        $fake->reply($held[1], $fake->live);
        $clients[1]->reset;
        kill 'CONT', $worker;

        my $next = $fake->call;

        @events = map { @{ $_->{events} } } units($next);
        $fake->reply($call, applied($call, 'p', 1));
        $fake->reply($next, applied($next, 'p', 1));

        is_deeply [grep { index($events[$_ - 1]{runs}[0],
                                substr $bodies[$_], -40_003, 40_000) < 0 }
                   1, 2], [],
                  'one of two gone before the call: both are whole';
        is $fake->answer($clients[2])->{status}, 200,
           'and the one that stays is answered';
        $clients[2]->close;
        $figures->is_quiet('gone before the call',
                           requests => { 499 => 2, 200 => 1 });
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Requests that wait for the reply to the call before theirs, when some of them
# go: theirs then goes out, as long as what it is made from is there.

sub while_collected_for_the_next_call {
    my $fake = Knock::HeldRedis->new(unix => 1, live => { large_action() });
    my $nginx = $fake->nginx;
    my $figures = Knock::Figures->new($nginx, $fake);

    for my $time (1, 2) {
        my @clients = map { $nginx->new_client } 0 .. 3;

        $clients[0]->send(post('/in/dev', track('Under way')));

        my $first = $fake->call;

        for my $i (1 .. 3) {
            $clients[$i]->send(post('/in/dev', large_track("u$i")));
            $fake->wait_taken($clients[$i]);
        }

        $fake->run_for(0.02);
        is_deeply $fake->{calls}, [], 'three that wait for the next call';
        $clients[2]->reset;

        my $next = $fake->call;
        my @events = map { @{ $_->{events} } } units($next);

        is_deeply [map { $_->{runs}[0] =~ /"x":"(.*?)"/ } @events],
                  [map { "u$_." x 2000 } 1 .. 3],
                  "one of them gone: the call is whole";

        # while two are under way one more waits, and is the last to go

        $clients[2] = $nginx->new_client;
        $clients[2]->send(post('/in/dev', large_track('u4')));
        $fake->wait_taken($clients[2]);
        $fake->reply($first, applied($first, 'p'));
        is $fake->answer($clients[0])->{status}, 200, 'the first is answered';
        $fake->run_for(0.02);
        is_deeply $fake->{calls}, [], 'one more waits for both';
        $fake->reply($next, applied($next, 'p', 1));
        like $fake->answer($clients[$_])->{body}, qr/"runs":1,/,
             "one that has stayed is answered ($_)" for 1, 3;

        my $last = $fake->call;

        is_deeply [events($last)], ['track/Large'], 'then it goes';
        $fake->reply($last, applied($last, 'p', 1));
        like $fake->answer($clients[2])->{body}, qr/"runs":1,/,
             'and is answered';

        # all of them go, and Redis too

        $clients[0]->send(post('/in/dev', track('Under way')));
        $first = $fake->call;

        for my $i (1 .. 3) {
            $clients[$i]->send(post('/in/dev', large_track("u$i")));
            $fake->wait_taken($clients[$i]);
        }

        $clients[$_]->reset for 1, 2;
        $next = $fake->call;
        $fake->close($first->{conn});
        ok unavailable($fake->answer($clients[$_])),
           "Redis gone with calls under way: 503 ($_)" for 0, 3;
        $fake->ready;
        $fake->{calls} = [];
        served($fake, $nginx, "gone, and Redis gone ($time)");
        $figures->is_quiet("gone, and Redis gone ($time)",
                           requests => { 499 => 3, 200 => 5, 503 => 2 },
                           redis_lost => 2);
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Two requests in one packet, and the end behind them.

sub pipelined_and_gone {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $figures = Knock::Figures->new($nginx, $fake);

    for my $how (qw(close reset)) {
        my $http = $nginx->new_client;

        $http->send(post('/in/dev', track('First'))
                    . post('/in/dev', track('Second')));

        my $call = $fake->call;

        $http->$how;
        $fake->reply($call, applied($call, 'p'));

        # the second one may be applied or not, but as a whole

        my $probe = $nginx->new_client;
        my @events;

        $probe->send(post('/in/dev', track('Probe')));

        until (grep { $_ eq 'track/Probe' } @events) {
            my $next = $fake->call;

            push @events, events($next);
            $fake->reply($next, applied($next, 'p'));
        }

        is $fake->answer($probe)->{status}, 200,
           "pipelined and gone by $how: others are served";

        # what comes late must not be taken for what follows

        $fake->run_for(0.05);
        while (my $late = shift @{ $fake->{calls} }) {
            $fake->reply($late, applied($late, 'p'));
        }

        $figures->is_quiet("pipelined and gone by $how");
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# With a real Redis that is held up: what was sent is applied, once.

sub applied_exactly_once {
    seed($Knock::Test::Seed);
    redis(qw(HSET knock:{development}:user:u1 id), '"u1"');

    my $nginx = Knock::Nginx->start(
        http => 'knock_redis unix:' . redis_server()->{socket}
                . " timeout=60s;\n");
    my $figures = Knock::Figures->new($nginx);
    my $body = sub { track('Comment Created', messageId => "\"once-$_[0]\"",
                           properties => '{"recipients":["u1"]}') };

    # knows what is live

    is $nginx->post('/in/dev', $body->('warm'))->{status}, 200, 'warm';
    redis('DEL', 'knock:{development}:runs');

    for my $n (1 .. 10) {
        my $http = $nginx->new_client;
        my $how = $n % 2 ? 'close' : 'reset';

        # writes wait, the connection does not

        redis(qw(CLIENT PAUSE 60000 WRITE));
        $http->send(post('/in/dev', $body->($n)));
        wait_for('a command that waits', sub {
            join('', redis(qw(INFO clients))) =~ /blocked_clients:1/;
        });
        $http->$how;
        $nginx->seen;
        redis(qw(CLIENT UNPAUSE));

        wait_for('the run', sub {
            redis('LLEN', 'knock:{development}:runs') >= $n;
        });

        like $nginx->post('/in/dev', $body->($n))->{body},
             qr/^\{"accepted":0,"duplicates":1,.*"runs":0,/,
             "gone by $how, applied all the same: the retry is a duplicate";
        is redis('LLEN', 'knock:{development}:runs'), $n, 'and applied once';
    }

    # one that has closed in good order was answered

    $figures->is_quiet('applied all the same',
                       requests => { 499 => 5, 200 => 1 + 5 + 10 });

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Requests that are gone leave neither descriptors nor memory behind.

sub nothing_piles_up {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx(level => 'info');
    my ($worker) = $nginx->workers;
    my $figures = Knock::Figures->new($nginx, $fake);
    my $round = sub {
        my ($how) = @_;
        my $events = 0;

        # behind the first one each that is reset goes out at once, and those
        # that are not go out together

        for (1 .. 100) {
            my $http = $nginx->new_client;

            $http->send(post('/in/dev', track('Gone',
                properties => '{"x":"' . 'x' x 5000 . '"}')));
            $fake->wait_taken($http);
            $http->$how;
        }

        while ($events < 100) {
            my $call = $fake->call;

            $events += events($call);
            $fake->reply($call, applied($call, 'p'));
        }

        served($fake, $nginx, "after a hundred that are gone by $how");
    };

    $round->($_) for qw(reset close);

    my $descriptors = descriptors($worker);
    my @memory = map { $round->($_); rss($worker) } qw(reset close) x 3;

    ok eval { wait_for('descriptors', sub {
           descriptors($worker) <= $descriptors }) },
       'no more descriptors than before';

    SKIP: {
        skip 'ASan keeps what is freed', 1
            if $ENV{KNOCK_NGINX} && $ENV{KNOCK_NGINX} =~ /asan/;

        cmp_ok floor_growth(@memory) / 300, '<', 0.5,
               'and no memory, in kB for each' or diag "kB: @memory";
    }

    $figures->is_quiet('after all of them',
                       requests => { 499 => 400, 200 => 400 + 8 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub descriptors { return scalar(() = glob "/proc/$_[0]/fd/*") }

sub served {
    my ($fake, $nginx, $what) = @_;

    my $http = $nginx->new_client;

    $fake->ready;
    $http->send(post('/in/dev', track('Next')));

    my $call = $fake->call;

    is_deeply [events($call)], ['track/Next'], "$what: nothing in between";
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, "$what: the next one is served";
}
