# mode=sentinel with real Sentinels: a switch is followed, and the log-in.

use strict;
use warnings;

use Test::More;

use Knock::Nginx;
use Knock::Redis;
use Knock::Sentinel qw(start_sentinels start_sentinel wait_for_switch
                       sentinel_urls);
use Knock::Server qw(start_redis stop_process connect_redis free_port
                     wait_for configure);

my @auth = qw(--requirepass s3cret --masterauth s3cret);
my $nginx;

switch();
log_in_at_the_sentinels();

done_testing;


sub switch {
    my $master = start_redis(args => \@auth);

    fill($master);

    my $replica = start_redis(args => [@auth, '--replicaof', '127.0.0.1',
                                       $master->{port}]);

    wait_for('the replica', sub { log_in($replica)->command('EXISTS', 'ready') });

    my @sentinels = start_sentinels(3, master => $master->{port}, replicas => 1,
                                    conf => "sentinel auth-pass knock s3cret\n");

    # nobody listens at the first one
    $nginx = Knock::Nginx->start(workers => 2, http => 'knock_redis '
        . sentinel_urls({ port => free_port() }, @sentinels)
        . ' password=s3cret;');

    wait_for('the master', sub { post('a')->{status} == 200 });
    like post('b')->{body}, qr/"runs":1,/,
         'served by the master that the Sentinels name';

    wait_for('the replica', sub { runs($replica) == runs($master) });
    is runs($replica), 2, 'what was sent again is applied once';

    stop_process($master->{pid}, 'KILL');

    isnt post('c')->{status}, 200, 'no 200 while there is no master';
    wait_for_switch($replica->{port}, @sentinels);
    wait_for('a worker to follow', sub { post('c')->{status} == 200 });
    pass 'a worker follows a switch';

    for my $worker ($nginx->workers) {
        wait_for('each worker at the new master', sub {
            log_in($replica)->command(qw(CLIENT LIST)) =~ /name=knock-$worker /;
        });
    }

    like post('c')->{body}, qr/"duplicates":1,.*"runs":0,/,
         'what is sent again is a duplicate' for 1 .. 4;
    is runs($replica), 3, 'and was applied once';

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;

    # the name is another one

    $nginx = Knock::Nginx->start(http => 'knock_redis '
        . sentinel_urls(@sentinels) =~ s/=knock/=other/r
        . ' password=s3cret;');

    is post('d')->{status}, 503, 'a master that they do not know: 503';
    wait_for('the log', sub {
        $nginx->log_text =~ /no Sentinel says where the master is/;
    });
    like $nginx->log_text, qr/Sentinel "redis:\/\/127\.0\.0\.1:\d+" is passed over: it knows no master "other"; check master=/,
         'and logged with what to check';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
}


# The Sentinels have users of their own.

sub log_in_at_the_sentinels {
    my $master = start_redis(args => \@auth);

    fill($master);

    my ($sentinel) = start_sentinels(1, master => $master->{port},
                                     conf => "sentinel auth-pass knock s3cret\n");

    my $admin = Knock::Redis->new("127.0.0.1:$sentinel->{port}");

    $admin->command(qw(ACL SETUSER knock on >w0rd), sentinel_rules());
    $admin->command(qw(ACL SETUSER default >0ther));

    my $urls = 'knock_redis ' . sentinel_urls($sentinel) . ' password=s3cret';

    start("$urls sentinel_user=knock sentinel_password=w0rd;");
    is post('a')->{status}, 200, 'a user of the Sentinels, with what README says';
    $nginx->stop;

    start("$urls sentinel_password=0ther;");
    is post('b')->{status}, 200, 'a password alone is that of the default user';
    $nginx->stop;

    for ("$urls sentinel_user=knock sentinel_password=wr0ng;", "$urls;") {
        start($_);

        is post('c')->{status}, 503, 'not let in: 503';
        like $nginx->log_text, qr/is passed over: it let us not in: (?:WRONGPASS|NOAUTH).*; check sentinel_user= and sentinel_password=/,
             'and the log says what to check';
        unlike $nginx->log_text, qr/wr0ng|s3cret/, 'without a password';
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
        $nginx->stop;
    }
}


# The words behind the user's name in README.md.

sub sentinel_rules {
    open my $in, '<', 'README.md' or die "README.md: $!\n";

    my ($text) = do { local $/; <$in> }
                 =~ /ACL SETUSER sentinel on >PASSWORD (.*)\n/
                 or die "no user of the Sentinels in README.md\n";

    return split ' ', $text;
}


sub start {
    $nginx = Knock::Nginx->start(http => $_[0]);
}


sub log_in {
    my $redis = connect_redis($_[0]);

    $redis->command('AUTH', 's3cret');
    return $redis;
}


sub fill {
    my $redis = log_in($_[0]);

    configure($redis);
    $redis->command(qw(SET ready 1));
}


sub post {
    return $nginx->new_client->post('/in/dev',
        qq({"type":"track","event":"T","messageId":"$_[0]",)
        . '"properties":{"r":{"id":"u"}}}');
}


sub runs {
    return log_in($_[0])->command('LLEN', 'knock:{development}:runs');
}
