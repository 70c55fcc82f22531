# A run carries its event's properties whole, so one large event to many is
# many times as large in Redis and in a worker.  What the runs of one request
# may take is bounded, and asked before they are built.

use strict;
use warnings;

use Test::More;

use Knock::Api;
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant {
    MB => 1024 * 1024,

    # what a worker may take beside the runs, for a body of 3 MB or less
    BESIDE => 48,
};

# under ASan memory grows by design
my $asan = $ENV{ASAN_OPTIONS};

my $server = redis_server();
my $runs = 'knock:{development}:runs';

one_event();
a_batch();
many_refused();
a_smaller_bound();
a_test_run();

done_testing();


sub seeded {
    redis('FLUSHALL');
    seed("endpoint development segment token=dev identify_enabled=1\n"
         . "workflow development new-comment\n"
         . 'action development ' . live_action(key => '"big"') . "\n");
}


# A track event with so many bytes to so many recipients.

sub track {
    my ($bytes, $n, $id) = @_;

    my $recipients = join ',', map { qq({"id":"u$_"}) } 1 .. $n;
    my $text = 'x' x $bytes;

    return qq({"type":"track","event":"T","messageId":"$id",)
           . qq("properties":{"recipients":[$recipients],"text":"$text"}});
}


sub start {
    my ($params, $locations) = @_;

    seeded();

    my $nginx = Knock::Nginx->start(
        http => "client_max_body_size 16m;\nclient_body_buffer_size 16m;\n"
                . "knock_redis unix:$server->{socket} timeout=30s $params;",
        server => $locations // $Knock::Nginx::Webhook);

    wait_for('Redis', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    return $nginx;
}


sub is_refused {
    my ($answer, $title, @like) = @_;

    is $answer->{status}, 413, "$title: refused";
    like $answer->{body}, qr/"code":"runs_too_large"/, "$title: its code";
    like $answer->{body}, qr/max_pending_bytes=/, "$title: what to do";
    like $answer->{body}, $_, "$title: what it was" for @like;
}


# The most memory that a process has had, in MB.

sub peak {
    my ($nginx) = @_;
    my ($worker) = $nginx->workers;

    open my $in, '<', "/proc/$worker/status" or die "worker $worker: $!\n";
    my ($kb) = map { /^VmHWM:\s+(\d+) kB/ ? $1 : () } <$in>;

    return $kb / 1024;
}


sub is_small {
    my ($nginx, $before, $most, $title) = @_;

    my $grown = peak($nginx) - $before;

    note sprintf '%s: %.0f MB', $title, $grown;

  SKIP: {
        skip 'with a sanitizer memory says nothing', 1 if $asan;
        cmp_ok $grown, '<', $most, "$title: memory";
    }
}


sub ends {
    my ($nginx, $title) = @_;

    is_deeply [$nginx->complaints], [], "$title: nothing to complain about";
    $nginx->stop;
}


sub one_event {
    my $nginx = start('');
    my $before = peak($nginx);

    is_refused($nginx->post('/in/dev', track(3 * MB, 100, 'm1')), 'one event',
               qr/event 0 has 100 of action \\"big\\"/, qr/50331648 bytes/);
    is redis('EXISTS', $runs, map { "knock:{development}:user:u$_" } 1 .. 100),
       0, 'one event: nothing was changed';
    is_small($nginx, $before, BESIDE, 'one event');

    like $nginx->post('/in/dev', track(3 * MB, 10, 'm1'))->{body},
         qr/"accepted":1,.*"runs":10,/, 'to fewer recipients it is taken';
    is redis('LLEN', $runs), 10, 'and has its runs';
    ends($nginx, 'one event');
}


# What is one too many fails alone, and is taken when it is sent again.

sub a_batch {
    my $nginx = start('');
    my $small = '{"type":"identify","userId":"u0","messageId":"i1"}';
    my @events = map { track(400_000, 50, "m$_") } 1 .. 4;
    my $body = $nginx->post('/in/dev', '[' . join(',', $small, @events) . ']')
                   ->{body};

    like $body, qr/"accepted":3,"duplicates":0,.*"runs":100,/,
         'a batch: what there is room for is applied';
    like $body, qr/"errors":\[\{"index":3,"code":"runs_too_large",.*event 3 has 50/,
         'a batch: the first for which there is none is told';
    like $body, qr/\{"index":4,"code":"runs_too_large"/, 'a batch: and the next';
    is redis('LLEN', $runs), 100, 'a batch: they have no runs';

    like $nginx->post('/in/dev', '[' . join(',', @events[2, 3]) . ']')->{body},
         qr/"accepted":2,"duplicates":0,.*"runs":100,/,
         'in a batch of their own they are taken, and none was remembered';
    ends($nginx, 'a batch');
}


# They wait for Redis, which is at work on another request, before they are
# refused, and have built no run.

sub many_refused {
    my $nginx = start('',
                      "$Knock::Nginx::Webhook location = /metrics { knock_metrics; }");
    my $body = '[' . join(',', map { track(400_000, 150, $_) } 1 .. 2) . ']';
    my $before = peak($nginx);

    kill 'STOP', $server->{pid};

    my @clients = map { send_event($nginx, $_) } '{"type":"page"}', ($body) x 8;

    wait_for('all to be there', sub {
        $nginx->get('/metrics')->{body} =~ /^knock_in_flight 9$/m
    });
    is_small($nginx, $before, BESIDE, 'many that will be refused');

    kill 'CONT', $server->{pid};

    is shift(@clients)->answer->{status}, 200, 'what Redis had is answered';
    is_refused($_->answer, 'many') for @clients;
    is_small($nginx, $before, BESIDE, 'many that were refused');
    ends($nginx, 'many');
}


sub send_event {
    my ($nginx, $body) = @_;
    my $client = $nginx->new_client;

    $client->send("POST /in/dev HTTP/1.1\r\nHost: h\r\nContent-Length: "
                  . length($body) . "\r\n\r\n$body");

    return $client;
}


sub a_smaller_bound {
    my $nginx = start('max_pending_bytes=4m');

    like $nginx->post('/in/dev', track(100_000, 25, 'm1'))->{body},
         qr/"runs":25,/, '2.5 MB of 3 are taken';
    is_refused($nginx->post('/in/dev', track(100_000, 35, 'm2')),
               '3.5 MB of 3', qr/more than 3145728 bytes/);
    ends($nginx, 'a smaller bound');
}


sub a_test_run {
    my $api = Knock::Api->start;
    my $text = 'x' x 900_000;

    seed("workflow development new-comment\n");

    my $answer = $api->call(
        POST => '/environments/development/workflows/new-comment/test',
        { recipients => [1 .. 100], data => { text => $text } });

    is_refused($answer, 'a test run', qr/100 runs/);
    is redis('EXISTS', $runs), 0, 'a test run: nothing was changed';
    ends($api->nginx, 'a test run');
}
