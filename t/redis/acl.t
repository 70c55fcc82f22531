# The ACL user of README.md: it is enough, and each part of it is needed to be
# let in or to apply something.

use strict;
use warnings;

use FindBin;
use Test::More;

use Knock::HeldRedis;
use Knock::Sentinel qw(start_sentinels sentinel_urls);
use Knock::Server qw(start_redis connect_redis);

my @rules = rules();
my $server = start_redis();
my $redis = connect_redis($server);

is_enough();
is_not_let_in($_) for qw(multi exec client|setname);
is_no_more_than_needed($_) for qw(fcall eval @list);
sentinels_need_role();
replicas_need_wait();

done_testing;


# The words behind the user's name in README.md.

sub rules {
    my $file = "$FindBin::Bin/../../README.md";

    open my $in, '<', $file or die "$file: $!";

    my ($text) = do { local $/; <$in> }
                 =~ /ACL SETUSER knock on >PASSWORD((?:.*\n)(?:  .*\n)*)/
                 or die 'no ACL user in README.md';

    return split ' ', $text;
}


sub log_in {
    my (@with) = @_;

    $redis->command('FLUSHALL');
    $redis->command('ACL', 'DELUSER', 'knock');
    $redis->command(qw(ACL SETUSER knock on >s3cret), @with);
    $redis->command(qw(HSET knock:{development}:endpoints segment/token dev
                       segment/identify_enabled 1));
    $redis->command('HSET', 'knock:{development}:actions', 'a',
        '{"key":"a","source":"segment","event":"track/T","workflow":"w",'
        . '"type":"workflows_trigger","recipients":"properties.r"}');
    $redis->command(qw(HSET knock:{development}:workflows w),
                    '{"key":"w","name":"W","definition":{}}');
    $redis->command(qw(SET knock:{development}:version 1));

    return start("unix:$server->{socket}");
}


sub start {
    my ($urls) = @_;

    return Knock::Nginx->start(
        http => "knock_redis $urls user=knock password=s3cret;");
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

    my $nginx = log_in(@rules);

    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/,
         'the user of README.md loads the library and applies a batch';
    like $nginx->post('/in/dev', small())->{body}, qr/"runs":1/,
         'and an event';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
}


sub is_not_let_in {
    my ($command) = @_;

    my $nginx = log_in(@rules, "-$command");

    is $nginx->post('/in/dev', large())->{status}, 503, "without $command";
    like $nginx->log_text, qr/Redis let us not in: .*NOPERM/, 'the log says so';
    is $redis->command('LLEN', 'knock:{development}:runs'), 0,
       'nothing is applied';
    $nginx->stop;
}


sub is_no_more_than_needed {
    my ($rule) = @_;

    my $nginx = log_in(@rules, "-$rule");

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
    my $nginx = log_in(@rules);

    $nginx->stop;
    $nginx = start($urls);

    is $nginx->post('/in/dev', small())->{status}, 503, 'without role';
    like $nginx->log_text, qr/Redis let us not in: NOPERM .*role/i,
         'the log says so';
    $nginx->stop;

    $redis->command(qw(ACL SETUSER knock +role));
    $nginx = start($urls);

    like $nginx->post('/in/dev', large())->{body}, qr/"runs":10/, 'with it';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# There is no replica, but all is said that is said to Redis.

sub replicas_need_wait {
    my $with = "unix:$server->{socket} min_replicas=1 "
               . 'min_replicas_timeout=1ms';
    my $nginx = log_in(@rules);

    $nginx->stop;
    $nginx = start($with);

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
}
