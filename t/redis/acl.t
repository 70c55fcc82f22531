# The users of examples/acl: that of nginx can do what it has to, and each part
# of what it may is needed to be let in or to apply something; the others can do
# what they are for and no more.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

use Knock::Cluster qw(fake_node slots);
use Knock::Files qw(slurp);
use Knock::HeldRedis;
use Knock::Sentinel qw(start_sentinels sentinel_urls);
use Knock::Server qw(start_redis connect_redis configure wait_for);

my $root = "$FindBin::Bin/../..";
my $file = "$root/examples/acl/users.acl";
my $dir = tempdir('knock-acl-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($knock) = slurp($file) =~ /^user knock (.*)$/m;
my %passwords = slurp($file) =~ /^user (\w+) on >(\S+)/mg;

my $server = start_redis(args => ['--aclfile', $file]);
my $redis = client('admin');

my $key = 'a key for the test';

chmod 0755, $dir;
write_file("$dir/keys", sha256_hex($key) . "\n");
write_file("$dir/password", "$passwords{knock}\n");

is_documented();
is_enough();
is_not_let_in($_) for qw(multi exec eval);
is_no_more_than_needed($_) for qw(fcall @list);
is_said_once(@$_) for
    ['client|setname', 'notice',
     qr/gives the connection no name in CLIENT LIST, and is used without: NOPERM/],
    ['info', 'warn',
     qr/refuses INFO, so that it is not known whether its maxmemory-policy is noevic/];
sentinels_need_role();
replicas_need_wait();
nobody();
consumer();
metrics();
clusters_need_slots_and_asking();

done_testing;


sub write_file {
    my ($name, $text) = @_;

    open my $out, '>', $name or die "$name: $!\n";
    print {$out} $text;
    close $out or die "$name: $!\n";
}


# A client that has logged in as this user of the file.

sub client {
    my ($user) = @_;
    my $client = connect_redis($server);

    $client->command('AUTH', $user, $passwords{$user});

    return $client;
}


# Why Redis refuses a command to a client; empty: it does not.

sub refusal {
    my ($client, @command) = @_;

    return eval { $client->command(@command); 1 } ? '' : $@;
}


# README.md gives the same permissions to that user.

sub is_documented {
    my ($rules) = $knock =~ /^on >\S+ (.*)/;
    my ($text) = slurp("$root/README.md")
                 =~ /ACL SETUSER knock on >PASSWORD((?:.*\n)(?:  .*\n)*)/
                 or die 'no ACL user in README.md';

    is join(' ', split ' ', $text), $rules, 'README.md has the same user';
}


# An nginx whose user has what the file gives it, but for these.

sub log_in {
    my (@without) = @_;

    $redis->command('FLUSHALL');
    $redis->command(qw(ACL SETUSER knock reset), split(' ', $knock), @without);
    configure($redis);

    return start("unix:$server->{socket}");
}


sub start {
    my ($urls) = @_;

    return Knock::Nginx->start(http => "knock_redis $urls user=knock "
                                       . "password_file=$dir/password "
        . "connect_timeout=30s timeout=30s;",
        server => "$Knock::Nginx::Webhook
                   location /v1/ { knock_api; knock_api_keys $dir/keys; }
                   location = /metrics { knock_metrics; }");
}


# An event by itself; a batch whose runs are pushed beside Lua.

sub small { return '{"type":"track","event":"T","properties":{"r":"u"}}' }

sub large {
    my $event = '{"type":"track","event":"T","properties":{"r":"u","x":"'
                . ('x' x 1000) . '"}}';

    return join(',', '[{"type":"identify","userId":"u"}', ($event) x 10) . ']';
}


sub is_enough {
    $redis->command('FUNCTION', 'FLUSH');

    my $nginx = log_in();

    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/,
         'the user of nginx loads the library and applies a batch';
    like $nginx->post('/in/dev', small())->{body}, qr/"runs":1/,
         'and an event';

    # the control API and the metrics, with commands of their own

    for (['POST', '/v1/sources', '{"key":"s","kind":"segment","name":"S"}'],
         ['GET', '/v1/environments/development/users'],
         ['PUT', '/v1/environments/development/users/v', '{"name":"V"}'],
         ['DELETE', '/v1/environments/development/users/v'],
         ['GET', '/v1/environments/development/runs'],
         ['PUT', '/v1/workflows/w2', '{"name":"W","definition":{}}'],
         ['POST', '/v1/commits', '{"message":"m","author":"a"}'],
         ['POST', '/v1/commits/publish', '{"to":"production","message":"m","author":"a"}'],
         ['GET', '/v1/sources/s/environments/development/logs'],
         ['DELETE', '/v1/sources/s'])
    {
        my ($method, $path, $body) = @$_;

        like $nginx->request($method, $path, $body,
                             Authorization => "Bearer $key")->{status},
             qr/^20[014]$/, "$method $path";
    }

    like $nginx->get('/metrics')->{body},
         qr/^knock_queue_length\{environment="development"\} 11$/m, 'metrics';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    unlike $nginx->log_text, qr/NOPERM/, 'nothing was not permitted';
    $nginx->stop;
}


sub is_not_let_in {
    my ($command) = @_;

    my $nginx = log_in("-$command");

    is $nginx->post('/in/dev', large())->{status}, 503, "without $command";
    like $nginx->log_text, qr/Redis let us not in: .*NOPERM/, 'the log says so';
    is $redis->command('LLEN', 'knock:{development}:runs'), 0,
       'nothing is applied';
    $nginx->stop;
}


# What can be done without: it is said once, and events are applied.

sub is_said_once {
    my ($command, $level, $message) = @_;

    my $nginx = log_in("-$command");

    for (1, 2) {
        like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/,
             "without $command: served";

        # over another connection

        $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
        wait_for('the connection to be lost',
                 sub { $nginx->log_text =~ /closed by Redis/ });
        wait_for('another one',
                 sub { $nginx->post('/in/dev', small())->{status} == 200 });
    }

    is scalar(() = $nginx->log_text =~ /\[$level\].* $message/g), 1,
       'the log says so, once';
    is scalar(() = $nginx->log_text =~ /NOPERM/g), $level eq 'notice' ? 1 : 0,
       'and no more';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
}


sub is_no_more_than_needed {
    my ($rule) = @_;

    my $nginx = log_in("-$rule");

    isnt $nginx->post('/in/dev', large())->{status}, 200, "without $rule";
    is $redis->command('LLEN', 'knock:{development}:runs'), 0,
       'nothing is applied';
    is_deeply [grep { /seen/ } @{ $redis->command('KEYS', '*') }], [],
              'nor remembered';
    $nginx->stop;
}


# With Sentinels the server is asked what it is.

sub sentinels_need_role {
    my $urls = sentinel_urls(start_sentinels(1, master => $server->{port}));

    log_in()->stop;

    my $nginx = start($urls);

    is $nginx->post('/in/dev', small())->{status}, 503, 'without role';
    like $nginx->log_text, qr/Redis let us not in: NOPERM .*role/i,
         'the log says so';
    $nginx->stop;

    $redis->command(qw(ACL SETUSER knock +role));
    $nginx = start($urls);

    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/, 'with it';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
}


# There is no replica, but all is said that is said to Redis.

sub replicas_need_wait {
    my $with = "unix:$server->{socket} min_replicas=1 "
               . 'min_replicas_timeout=1ms';

    log_in()->stop;

    my $nginx = start($with);

    is $nginx->post('/in/dev', small())->{status}, 503, 'without wait';
    like $nginx->log_text, qr/Redis let us not in: NOPERM .*wait/i,
         'the log says so';
    $nginx->stop;

    $redis->command(qw(ACL SETUSER knock +wait));
    $nginx = start($with);

    is $nginx->post('/in/dev', small())->{status}, 503, 'with it';
    unlike $nginx->log_text, qr/NOPERM/, 'all is allowed';
    like $nginx->log_text, qr/min_replicas=1, but after 1ms only 0 replicas/,
         'but there is no replica';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
}


# A connection that has not logged in is told so, whatever it asks.

sub nobody {
    my $client = connect_redis($server);

    like refusal($client, 'PING'), qr/^NOAUTH/, 'without a user: nothing';
    like refusal($client, 'AUTH', 'any'), qr/^WRONGPASS/,
         'there is no user without a name';
}


# It moves runs to a list of its own, removes them there, and sees no user.

sub consumer {
    my $nginx = log_in();
    my $client = client('consumer');
    my ($runs, $own) = ('knock:{development}:runs', 'consumer:1');

    like $nginx->post('/in/dev', small())->{body}, qr/"accepted":1/, 'u is not known';
    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/, 'ten runs';
    $nginx->stop;

    my $run = $client->command('BLMOVE', $runs, $own, 'LEFT', 'RIGHT', 5);

    like $run, qr/"recipient":\{"collection":"\$users","id":"u"\}/,
         'a consumer takes a run';
    is $client->command('LREM', $own, 1, $run), 1, 'and removes it when it is done';
    is $client->command('LLEN', $runs), 9, 'it sees how many there are';

    like refusal($client, @$_), qr/^NOPERM/, "a consumer may not: @$_"
        for ['HGETALL', 'knock:{development}:user:u'],
            ['HGETALL', 'knock:{development}:endpoints'],
            ['LMOVE', $runs, 'other', 'LEFT', 'RIGHT'],
            ['DEL', $runs], ['RPUSH', $runs, $run], ['KEYS', '*'],
            ['FCALL', 'knock_user_get', 1, 'knock:{development}:user:u', 3],
            ['CONFIG', 'GET', 'maxmemory'], ['FLUSHALL'];
}


sub metrics {
    my $client = client('metrics');
    my $runs = 'knock:{development}:runs';

    is $client->command('LLEN', $runs), 9, 'a monitoring sees how many there are';
    like $client->command('INFO', 'memory'), qr/^used_memory:/m,
         'and how Redis fares';

    like refusal($client, @$_), qr/^NOPERM/, "a monitoring may not: @$_"
        for ['LRANGE', $runs, 0, -1], ['LPOP', $runs],
            ['LLEN', 'knock:{development}:other'],
            ['HGETALL', 'knock:{development}:user:u'], ['CONFIG', 'GET', '*'];
}


# The fake sends to the server, which lets in without looking whether it is
# asked rightly.

sub clusters_need_slots_and_asking {
    my $cluster = Knock::Cluster->start(masters => 1);
    my ($node) = $cluster->nodes;
    my $ask = fake_node(upstream => $server->{socket}, says => sub {
        my ($self, $command) = @_;

        return $command->{args}[0] eq 'FCALL'
               ? error("ASK 1 127.0.0.1:$server->{port}") : undef;
    });

    $ask->{slots} = slots(['127.0.0.1', $ask->{port}]);

    log_in()->stop;
    is_asked($ask, qr/NOPERM .*asking/i, 'without asking');

    $redis->command(qw(ACL SETUSER knock +asking));
    is_asked($ask, undef, 'with it');

    ($server, $redis) = ($node, connect_redis($node));
    log_in()->stop;

    my $urls = $cluster->urls . ' mode=cluster';
    my $nginx = start($urls);

    is $nginx->post('/in/dev', small())->{status}, 503, 'without cluster|slots';
    like $nginx->log_text, qr/said to CLUSTER SLOTS "NOPERM /,
         'the log says so';
    $nginx->stop;

    $redis->command(qw(ACL SETUSER knock +cluster|slots));
    $nginx = start($urls);

    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/, 'with it';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub is_asked {
    my ($ask, $message, $what) = @_;

    my $nginx = start("redis://127.0.0.1:$ask->{port} mode=cluster");
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', small()));
    is $ask->answer($http)->{status}, 200, $what;

    if ($message) {
        like $nginx->log_text, $message, 'the log says so';

    } else {
        unlike $nginx->log_text, qr/NOPERM/, 'all is allowed';
    }

    $nginx->stop;
}
