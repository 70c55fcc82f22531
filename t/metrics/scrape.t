# knock_metrics: what is counted, over workers, reloads and deaths, with Redis
# and without it; knock_max_in_flight; and that error.log is not flooded.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

use Knock::FakeRedis;
use Knock::Nginx;
use Knock::Server qw(start_redis stop_process connect_redis wait_for);
use Knock::Test;

use constant TIMES => 'timeout=1s reconnect=20ms reconnect_max=100ms';

my $server = "$Knock::Nginx::Webhook location = /metrics { knock_metrics; }";
my $sent = 0;

my $own = start_redis();
my $redis = connect_redis($own);

counted();
refused_methods();
overload();
away();
back();

done_testing();


# Metrics by name and labels; the text is that of an answer 200.

sub scrape {
    my ($nginx) = @_;

    my $answer = $nginx->new_client->get('/metrics');

    die "metrics: $answer->{status}\n" if $answer->{status} != 200;

    return { $answer->{body} =~ /^([a-z]\S*) (\d\S*)$/mg };
}


sub configure {
    Knock::Test::load_library($redis);

    my $key = sub { "knock:{development}:$_[0]" };

    $redis->command('FCALL', 'knock_endpoint_set', 2, $key->('version'),
                    $key->('endpoints'), 1, 'segment', 'token', 'dev');
    $redis->command('FCALL', 'knock_live_set', 3,
                    map({ $key->($_) } qw(version workflows actions)),
                    1, 'workflow', 'new-comment', '{"key":"new-comment"}',
                    'action', 'a',
                    live_action(event => '"track/Comment Created"'));
    $redis->command(qw(SET knock:{production}:version 1));
}


sub track {
    my ($id, $property) = @_;

    $id //= 'm' . ++$sent;
    $property //= 'recipients';

    return qq({"type":"track","event":"Comment Created","messageId":"$id",)
           . qq("properties":{"$property":[{"id":"u1"}]}});
}


sub counted {
    my $nginx = Knock::Nginx->start(redis => $own, workers => 2,
                                    server => $server);

    configure();
    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });
    wait_for('both workers', sub { scrape($nginx)->{knock_workers} == 2 });

    my $before = scrape($nginx);

    is $nginx->new_client->post('/in/dev', track())->{status}, 200, 'sent'
        for 1 .. 5;
    $nginx->post('/in/dev', track('m1'));
    $nginx->post('/in/dev', track('nobody', 'none'));
    $nginx->post('/in/dev', '{');
    $nginx->post('/in/none', track('x'));

    my $now = scrape($nginx);

    my %more = (
        'knock_events_total{type="track",outcome="processed"}' => 5,
        'knock_events_total{type="track",outcome="duplicate"}' => 1,
        'knock_events_total{type="track",outcome="failed"}' => 1,
        'knock_requests_total{code="200"}' => 7,
        'knock_requests_total{code="400"}' => 1,
        'knock_requests_total{code="404"}' => 1,
        'knock_errors_total{code="invalid_json"}' => 1,
        'knock_errors_total{code="recipients_missing"}' => 1,
        'knock_errors_total{code="unknown_endpoint"}' => 1,
    );

    is $now->{$_} - $before->{$_}, $more{$_}, $_ for sort keys %more;

    my $runs = $redis->command('LLEN', 'knock:{development}:runs');

    cmp_ok $runs, '>', 0, 'there are runs';
    is $now->{knock_runs_total}, $runs, 'runs';
    is $now->{'knock_queue_length{environment="development"}'}, $runs, 'queue';
    is $now->{knock_redis_up}, 1, 'Redis is up';
    is $now->{knock_workers}, 2, 'workers';
    is $now->{knock_in_flight}, 0, 'none in flight';
    cmp_ok $now->{knock_redis_call_seconds_count}, '>=', 6, 'calls';
    is $now->{'knock_redis_call_seconds_bucket{le="+Inf"}'},
       $now->{knock_redis_call_seconds_count}, 'the last bucket holds all';

    documented($nginx);
    checked($nginx);

    $nginx->reload;
    is_deeply smaller($nginx, $now), [], 'nothing is lost by a reload';

    my @workers = $nginx->workers;
    kill 'KILL', @workers;

    wait_for('new workers', sub {
        my %old = map { $_ => 1 } @workers;
        my @new = $nginx->workers;
        @new >= 2 && !grep { $old{$_} } @new;
    });

    wait_for('an answer', sub { scrape($nginx) });
    is_deeply smaller($nginx, $now), [], 'nor by the death of workers';

    $nginx->stop;
}


# Names of the counters that are less than before.

sub smaller {
    my ($nginx, $before) = @_;

    my $now = scrape($nginx);

    return [ grep { ($now->{$_} // 0) < $before->{$_} }
             sort grep { /_total|_seconds_/ } keys %$before ];
}


# docs/metrics.md lists what there is, each with its type.

sub documented {
    my ($nginx) = @_;

    open my $in, '<', 'docs/metrics.md' or die "docs/metrics.md: $!\n";
    my $text = do { local $/; <$in> };

    my %docs = $text =~ /^\| `(knock_\w+)` \| (\w+) \|/mg;
    my %said = $nginx->get('/metrics')->{body} =~ /^# TYPE (\w+) (\w+)$/mg;

    is_deeply \%docs, \%said, 'the metrics and docs/metrics.md are alike';
}


sub checked {
    my ($nginx) = @_;

    my $answer = $nginx->get('/metrics');

    is $answer->{headers}{'content-type'}, 'text/plain; version=0.0.4', 'type';

  SKIP: {
        skip 'no promtool', 1 if !grep { -x "$_/promtool" }
                                      split /:/, $ENV{PATH};

        my $dir = tempdir('knock-metrics-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

        open my $out, '>', "$dir/metrics" or die "$dir/metrics: $!\n";
        print {$out} $answer->{body};
        close $out;

        my $said = `promtool check metrics < $dir/metrics 2>&1`;
        is "$?$said", '0', 'promtool finds nothing';
    }
}


sub refused_methods {
    my $nginx = Knock::Nginx->start(redis => $own, server => $server);

    is $nginx->post('/metrics', '{}')->{status}, 405, 'POST';
    is $nginx->get('/metrics')->{status}, 200, 'and the connection goes on';

    my $answer = $nginx->new_client->request('HEAD', '/metrics');
    is $answer->{status}, 200, 'HEAD';

    is_deeply [$nginx->complaints], [], 'nothing to complain about';
    $nginx->stop;
}


# One request waits for a Redis that does not answer: others are refused at
# once, over a connection that is kept, and in a few lines of error.log.

sub overload {
    my $fake = Knock::FakeRedis->start($own);
    my $port = $fake->port;
    my $nginx = Knock::Nginx->start(
        http => "knock_redis redis://127.0.0.1:$port timeout=60s;"
                . 'knock_max_in_flight 1;',
        server => $server);

    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    $fake->answer('FCALL knock_apply', undef);

    my $waiting = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                        PeerPort => $nginx->port) or die;
    my $body = track();

    print {$waiting} "POST /in/dev HTTP/1.1\r\nHost: h\r\n",
                     "Content-Type: application/json\r\n",
                     'Content-Length: ', length $body, "\r\n\r\n", $body;

    wait_for('one in flight', sub { scrape($nginx)->{knock_in_flight} == 1 });

    my $client = $nginx->new_client;
    my %got;

    for (1 .. 100) {
        my $answer = $client->post('/in/dev', track());
        my ($code) = $answer->{body} =~ /"code":"(\w+)"/;
        my $retry = $answer->{headers}{'retry-after'} ? 'later' : 'never';

        $got{"$answer->{status} $code $retry"}++;
    }

    is_deeply \%got, { '503 overloaded later' => 100 }, 'others are refused';
    is scrape($nginx)->{'knock_errors_total{code="overloaded"}'}, 100,
       'and counted';
    few($nginx, qr/knock_max_in_flight allows no more/, 'overload');

    close $waiting;
    $nginx->stop('TERM');
}


sub away {
    my $nginx = Knock::Nginx->start(
        http => "knock_redis unix:$own->{socket} " . TIMES . ';',
        server => $server);

    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    my $before = scrape($nginx);

    stop_process($own->{pid}, 'KILL');

    my %got;

    $got{$nginx->post('/in/dev', track())->{status}}++ for 1 .. 200;
    is_deeply \%got, { 503 => 200 }, 'Redis is away';

    my $now = scrape($nginx);

    is $now->{knock_redis_up}, 0, 'which is told';
    is $now->{'knock_queue_length{environment="development"}'}, undef,
       'without what only Redis knows';
    $_ = $_->{'knock_errors_total{code="redis_unavailable"}'}
        for $before, $now;
    is $now - $before, 200, 'counted';
    few($nginx, qr/told to retry/, 'Redis away');

    $nginx->stop;
}


# A worker that began without Redis knows no environment to ask the length of:
# that Redis is there it says before the first event comes.

sub back {
    my $nginx = Knock::Nginx->start(
        http => "knock_redis unix:$own->{socket} " . TIMES . ';',
        server => $server);

    is scrape($nginx)->{knock_redis_up}, 0, 'Redis is away from the start';

    start_redis(%$own);

    is wait_for('Redis', sub { scrape($nginx)->{knock_redis_up} }), 1,
       'it is back, without an event';

    $nginx->stop;
}


# Of 100 or more requests that failed: a line at least, and one a second at most.

sub few {
    my ($nginx, $like, $what) = @_;

    my @seconds = $nginx->log_text =~ m{^([\d/]+ [\d:]+) .*$like}mg;
    my %lines;

    $lines{$_}++ for @seconds;

    cmp_ok scalar @seconds, '>', 0, "$what: error.log says so";
    is_deeply [grep { $lines{$_} > 1 } sort keys %lines], [],
              "$what: and not each time";
}
