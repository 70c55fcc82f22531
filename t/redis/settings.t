# Settings of Redis that decide what its answers are worth, and how much it
# takes at a time: asked for at the log-in and as long as it is used, said once.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(start_redis stop_process connect_redis wait_for
                     configure);

my $quick = 'reconnect=10ms reconnect_max=20ms connect_timeout=30s '
            . 'timeout=30s';
my $evicts = qr/Redis let us not in: its maxmemory is 104857600, its maxmemory-policy "allkeys-lru": it would throw away users, marks and runs; set it to noeviction/;

evicting();
harmless();
marks_may_go();
changed_while_it_is_used();
away_for_another_reason_first();
limits();
limits_of_a_transaction();
limits_that_are_not_told($_) for qw(unix TCP);
scripts();
paused();

done_testing;


# A server with these settings, which knows an endpoint; and its client.

sub server {
    my $server = start_redis(args => [@_]);
    my $redis = connect_redis($server);

    configure($redis);

    return $server, $redis;
}


sub start {
    my ($server, %o) = @_;

    return Knock::Nginx->start(%o, http => 'client_max_body_size 16m; '
        . 'knock_redis ' . ($o{url} // "unix:$server->{socket}") . " $quick "
        . ($o{params} // '') . ';');
}


sub event { return qq({"type":"track","event":"T","messageId":"$_[0]"}) }


# An event that makes a run of so many bytes and some more.

sub large {
    my ($event, $bytes) = @_;

    return qq({"type":"track","event":"$event","messageId":"large",)
           . '"properties":{"r":{"id":"u"},"to":{"id":"u"},"x":"'
           . 'x' x $bytes . '"}}';
}


sub lines {
    my ($nginx, $what) = @_;

    return scalar(() = $nginx->log_text =~ /$what/g);
}


sub is_served {
    my ($nginx, $what) = @_;

    my $answer = wait_for('an answer 200', sub {
        my $a = $nginx->post('/in/dev', event('served'));

        return $a->{status} == 200 && $a;
    });

    like $answer->{body}, qr/"accepted":1|"ignored":1|"duplicates":1/,
         "$what: served";
}


# It could throw away what was acknowledged: nothing is.

sub evicting {
    my ($server, $redis) = server(qw(--maxmemory 100mb
                                     --maxmemory-policy allkeys-lru));
    my $keys = "$server->{dir}/keys";

    open my $out, '>', $keys or die "$keys: $!\n";
    print {$out} sha256_hex('key'), "\n";
    close $out;

    my $nginx = start($server, server => "$Knock::Nginx::Webhook
        location /v1/ { knock_api; knock_api_keys $keys; }");
    my @answers = (
        (map { $nginx->post('/in/dev', event($_)) } 1 .. 5),
        $nginx->request('PUT', '/v1/environments/development/users/u', '{}',
                        Authorization => 'Bearer key'));

    for (@answers) {
        ok unavailable($_), 'keys may be evicted: 503';
        like $_->{body}, qr/maxmemory-policy .*set it to noeviction/,
             'and the answer names the setting';
    }

    wait_for('some attempts', sub { lines($nginx, $evicts) > 3 });
    is lines($nginx, qr/\[error\].* is away: $evicts/), 1,
       'the log says it loudly, once';
    is_deeply [grep { !/endpoints|actions|workflows|version/ }
               @{ $redis->command('KEYS', '*') }], [], 'nothing was applied';

    $redis->command(qw(CONFIG SET maxmemory-policy noeviction));
    is_served($nginx, 'the policy is noeviction');

    # and the same again

    $redis->command(qw(CONFIG SET maxmemory-policy allkeys-lru));
    $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
    wait_for('it to be said again', sub {
        $nginx->post('/in/dev', event('again'));
        return lines($nginx, qr/\[error\].* is away: $evicts/) == 2;
    });
    pass 'what comes back is said again';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub harmless {
    for (['--maxmemory-policy', 'allkeys-lru'],
         ['--maxmemory', '100mb', '--maxmemory-policy', 'noeviction'])
    {
        my ($server) = server(@$_);
        my $nginx = start($server);

        is_served($nginx, "@$_");
        is lines($nginx, qr/maxmemory/), 0, "@$_: nothing to say";
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
    }
}


sub marks_may_go {
    my ($server, $redis) = server(qw(--maxmemory 100mb
                                     --maxmemory-policy volatile-ttl));
    my $nginx = start($server);

    for (1 .. 3) {
        is_served($nginx, 'volatile-ttl');
        $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
    }

    is_served($nginx, 'volatile-ttl');
    is lines($nginx, qr/\[warn\].* has the maxmemory-policy "volatile-ttl": .*repeats are applied again; set it to noeviction/),
       1, 'a warning, once';

    # another one is news

    $redis->command(qw(CONFIG SET maxmemory-policy volatile-lru));
    $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
    is_served($nginx, 'volatile-lru');
    wait_for('a warning',
             sub { lines($nginx, qr/\[warn\].*"volatile-lru"/) == 1 });
    pass 'and another one for another policy';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Idle or not: the next log-in may be far.

sub changed_while_it_is_used {
    my ($server, $redis) = server(qw(--maxmemory 100mb));
    my $nginx = start($server, params => 'ping=20ms');

    is_served($nginx, 'as it was');
    $redis->command(qw(CONFIG SET maxmemory-policy allkeys-lru));

    my $http = $nginx->client;
    my ($n, $answer) = (0);

    wait_for('a refusal', sub {
        $answer = $http->post('/in/dev', event('busy' . ++$n));
        return $answer->{body} =~ /maxmemory-policy/;
    });
    ok unavailable($answer), 'changed while events come: 503';
    wait_for('the log', sub { lines($nginx, qr/\[error\].*$evicts/) });
    is lines($nginx, qr/\[error\].* is away: /), 1, 'the log says it, once';

    $redis->command(qw(CONFIG SET maxmemory-policy noeviction));
    is_served($nginx, 'changed back');

    # idle

    $redis->command(qw(CONFIG SET maxmemory-policy allkeys-lru));
    wait_for('the log', sub { lines($nginx, qr/\[error\].*$evicts/) == 2 });
    pass 'changed while there are none: said at once';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# An outage is said once, but not only what began it.

sub away_for_another_reason_first {
    my ($server, $redis) = server();
    my $nginx = start($server);

    is_served($nginx, 'before');
    stop_process($server->{pid}, 'KILL');
    wait_for('the log', sub {
        $nginx->post('/in/dev', event('away'));
        return lines($nginx, qr/is away: connecting to/) > 2;
    });

    $server->{args} = [qw(--maxmemory 100mb --maxmemory-policy allkeys-lru)];
    start_redis(%$server);
    wait_for('the log', sub { lines($nginx, $evicts) > 3 });
    is lines($nginx, qr/\[error\].*$evicts/), 1,
       'a log-in that fails in an outage is said, once';
    is lines($nginx, qr/\[error\].* is away: /), 2, 'as what began it was';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A fake that says so of its limits.

sub limited {
    my (%limits) = @_;

    return Knock::HeldRedis->new(unix => 1, live => { large_action() },
                                 auto => sub {
        return $_[1]{args}[0] eq 'CONFIG' ? array(map { bulk($_) } %limits)
                                          : undef;
    });
}


sub is_too_long {
    my ($answer, $what) = @_;

    ok unavailable($answer), "$what: 503" or diag $answer->{body};
    like $answer->{body}, qr/"nothing was applied: it is longer than Redis takes a command, see its proto-max-bulk-len and client-query-buffer-limit"/,
         "$what: the answer names the limits";
}


# What is longer is not sent, and spoils nothing that shared its call.

sub limits {
    my $fake = limited('proto-max-bulk-len' => 1048576,
                       'client-query-buffer-limit' => 1073741824);
    my $nginx = $fake->nginx(http => 'client_max_body_size 16m;');
    my @clients = map { $nginx->new_client } 1 .. 5;
    my @bodies = (event('first'), event('a'), large('Large', 1 << 20),
                  event('b'));

    $clients[0]->send(post('/in/dev', $bodies[0]));

    my $first = $fake->call;

    for my $n (1 .. 3) {
        $clients[$n]->send(post('/in/dev', $bodies[$n]));
        $fake->wait_taken($clients[$n]);
    }

    $fake->{serve} = 1;
    $fake->reply($_, applied($_, 'p')) for $first, splice @{ $fake->{calls} };
    is $fake->answer($clients[$_])->{status}, 200, "a neighbour is served ($_)"
        for 0, 1, 3;
    is_too_long($fake->answer($clients[2]), 'an event that is too long');
    is scalar(grep { length $_->{raw} > 1 << 20 } map { @{ $_->{log} } }
                   @{ $fake->{conns} }), 0, 'it was not sent';
    is $fake->{accepted}, 1, 'and the connection stays';
    is lines($nginx, qr/\[warn\].* has proto-max-bulk-len 1048576 and client-query-buffer-limit 1073741824, less than max_pending_bytes= allows for, 67108864: what is longer gets 503; raise them/),
       1, 'a warning, once';
    is lines($nginx, qr/\[error\].*did not apply 1 requests, .*: it is longer than Redis takes a command: raise/),
       1, 'and for the request';

    # another log-in tells another limit

    $fake->{auto} = undef;
    $fake->close($_) for $fake->open_conns;
    $fake->ready;
    is $fake->ask($clients[4], post('/in/dev', $bodies[2]))->{status}, 200,
       'the limit is raised: served';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# All of a transaction is one command to the query buffer.

sub limits_of_a_transaction {
    my $fake = limited('proto-max-bulk-len' => 536870912,
                       'client-query-buffer-limit' => 1048576);
    my $nginx = $fake->nginx(http => 'client_max_body_size 16m;');
    my $http = $nginx->new_client;
    my $batch = sub {
        return post('/in/dev', '[' . join(',', map {
            large_track("$_[0]-$_") } 1 .. $_[0]) . ']');
    };

    $http->send($batch->(30));

    my $call = $fake->call;

    ok $call->{runs}, 'a transaction';
    $fake->reply($call, plain());
    is $fake->answer($http)->{status}, 200, 'that is short enough';

    is_too_long($fake->ask($http, $batch->(200)), 'one that is too long');
    is $fake->{accepted}, 1, 'and the connection stays';

    # an argument is in it too, with CR LF

    is_too_long($fake->ask($http, post('/in/dev', large('Large', 1 << 20))),
                'an argument that is too long');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Where CONFIG GET is refused Redis says it, once.

sub limits_that_are_not_told {
    my ($where) = @_;

    my ($server, $redis) = server(qw(--proto-max-bulk-len 1mb));

    $redis->command(qw(ACL SETUSER default -config|get));

    my $nginx = start($server, $where eq 'unix' ? ()
                      : (url => "redis://127.0.0.1:$server->{port}"));
    my $large = large('T', 3 << 20);

    is_served($nginx, $where);
    is lines($nginx, qr/\[notice\].* refuses CONFIG GET, so that it is not known how long a command may be/),
       1, "$where: it is said that it is not known";
    ok unavailable($nginx->post('/in/dev', $large)),
       "$where: the first one is refused";
    is lines($nginx, qr/\[error\].* is away: it takes no argument of 31\d{5} bytes; raise its proto-max-bulk-len/),
       1, "$where: with the connection, and it is said why"
       or diag $nginx->log_text;

    is_served($nginx, "$where: others");

    my $away = lines($nginx, qr/ is away: /);

    is_too_long($nginx->post('/in/dev', $large), "$where: the next one")
        for 1 .. 3;
    is_served($nginx, "$where: and others again");
    is lines($nginx, qr/ is away: /), $away, "$where: over the same connection";
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Without scripts it is of no use, and says so; while it reads its data it has
# them, but later.

sub scripts {
    my $error = "ERR unknown command 'EVAL', with args beginning with: 'return";
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1, auto => sub {
        my ($self, $command) = @_;

        return $error && $command->{args}[0] =~ /^(?:EVAL|FCALL)$/
               ? error($error) : undef;
    });
    my $nginx = Knock::Nginx->start(http => $fake->directive(''));
    my $http = $nginx->new_client;

    ok unavailable($fake->ask($http, post('/in/dev', event('a')))),
       'no scripts: 503';
    $fake->run_until('some attempts', sub { $fake->{accepted} > 4 });
    is lines($nginx, qr/\[error\].* is away: Redis let us not in: ERR unknown command 'EVAL'.*with all of its commands/),
       1, 'and the log says so, once';

    $error = 'LOADING Redis is loading the dataset in memory';

    my $conn = $fake->ready(live => 0);

    ok unavailable($fake->ask($http, post('/in/dev', event('a')))),
       'LOADING: 503';
    ok !$conn->{closed}, 'over a connection that stays';

    $error = undef;
    is $fake->ask($http, post('/in/dev', event('a')))->{status}, 200,
       'until it passes';
    ok !$conn->{closed}, 'over the same one';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# In a failover by hand writes are kept waiting: the log-in writes nothing.

sub paused {
    my ($server, $redis) = server();

    is_served(start($server), 'the library is there');
    $redis->command(qw(CLIENT PAUSE 60000 WRITE));

    my $nginx = start($server);

    is $nginx->post('/in/unknown', event('a'))->{status}, 404,
       'CLIENT PAUSE WRITE: let in, and what is live is read';
    $redis->command(qw(CLIENT UNPAUSE));
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
