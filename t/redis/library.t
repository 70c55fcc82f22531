# The function library: missing, old, lost in mid-load; loaded once, and the
# commands that missed it sent again in their order.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(start_redis connect_redis stop_process wait_for);

loaded_once();
cannot_be_loaded();
loaded_in_vain();
lost_while_loading();
a_real_one();

done_testing;


sub loads {
    my ($fake) = @_;

    return scalar grep { $_->{args}[0] eq 'FUNCTION' }
                  map { @{ $_->{log} } } @{ $fake->{conns} };
}


sub held {
    my ($reply) = @_;
    my (@load, @calls);

    my $fake = Knock::HeldRedis->new(unix => 1, auto => sub {
        my ($self, $command) = @_;

        return unless $command->{args}[0] eq 'FUNCTION';
        push @{ $self->{loads} }, $command;
        return '';
    });
    my $nginx = $fake->nginx;
    my @clients = map { $nginx->new_client } 1 .. 4;

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    $fake->reply($_, error($reply)) for @calls;
    $fake->run_until('FUNCTION LOAD', sub { $fake->{loads} });

    return $fake, $nginx, @clients;
}


sub loaded_once {
    for my $reply ('ERR Function not found',
                   'KNOCKLIB version 0 is older than its caller, load 1')
    {
        my ($fake, $nginx, @clients) = held($reply);
        my $load = $fake->{loads}[0];

        is_deeply [@{ $load->{args} }[0 .. 2]], [qw(FUNCTION LOAD REPLACE)],
                  "\"$reply\": the library is loaded";
        like $load->{args}[3], qr/\A#!lua name=knock\n.*knock_apply/s,
             'it is ours';

        # one more, while it is being loaded

        $clients[3]->send(post('/in/dev', full('T3')));

        my $other = $fake->call;

        $fake->reply($load, bulk('knock'));

        my @again = map { $fake->call } 0 .. 2;

        is_deeply [map { names($_) } @again],
                  ['track/T0', 'track/T1', 'track/T2'],
                  'those that missed it come again, in their order';
        is loads($fake), 1, 'it is loaded once for all of them';

        # the reply to the one in between is its own

        $fake->reply($other, applied($other, 'd'));
        $fake->reply($_, applied($_, 'p')) for @again;

        like $fake->answer($clients[3])->{body}, qr/"duplicates":128,/,
             'the one in between';
        like $fake->answer($clients[$_])->{body}, qr/"accepted":128,/,
             "request $_" for 0 .. 2;
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
    }
}


sub cannot_be_loaded {
    for (['NOPERM this user has no permissions', 503],
         ["OOM command not allowed when used memory > 'maxmemory'.", 503],
         ['ERR Error compiling function', 500])
    {
        my ($reply, $status) = @$_;
        my ($fake, $nginx, @clients) = held('ERR Function not found');

        $fake->reply($fake->{loads}[0], error($reply));

        for my $i (0 .. 2) {
            is $fake->answer($clients[$i])->{status}, $status,
               "\"$reply\" to FUNCTION LOAD: $status ($i)";
        }

        like $nginx->log_text, qr/FUNCTION LOAD failed: \Q$reply\E/,
             'that is logged';

        # tried anew with the next request

        $clients[3]->send(post('/in/dev', track('T3')));

        my $call = $fake->call;

        $fake->reply($call, error('ERR Function not found'));
        $fake->run_until('FUNCTION LOAD', sub { @{ $fake->{loads} } == 2 });
        $fake->reply($fake->{loads}[1], bulk('knock'));
        $call = $fake->call;
        $fake->reply($call, applied($call, 'p'));

        is $fake->answer($clients[3])->{status}, 200,
           'and tried anew with the next request';
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
    }
}


# Redis takes the library and still has no such function: no endless loop.

sub loaded_in_vain {
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));

    my $sent = $fake->reply_until_answered($http,
                                           error('ERR Function not found'));

    is $http->answer->{status}, 500, 'never found: 500 in the end';
    cmp_ok $sent, '<=', 8, "after it was sent $sent times";
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub lost_while_loading {
    my ($fake, $nginx, @clients) = held('ERR Function not found');

    $fake->close($fake->{loads}[0]{conn});

    ok unavailable($fake->answer($clients[$_])),
       "connection lost while loading: 503 ($_)" for 0 .. 2;

    $fake->ready;
    $clients[3]->send(post('/in/dev', track('T3')));

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($clients[3])->{status}, 200, 'the next one is served';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A server that nobody has prepared, that loses the library, is given an old
# one, and is restarted empty.

sub a_real_one {
    my $server = start_redis();
    my $redis = connect_redis($server);
    my $nginx = Knock::Nginx->start(redis => $server);

    my $prepare = sub {
        $redis->command(qw(HSET knock:{development}:endpoints
                           segment/token dev segment/source segment));
        $redis->command(qw(SET knock:{development}:version), shift);
    };

    $prepare->('1');

    is $nginx->post('/in/dev', track('T'))->{status}, 200,
       'the library is loaded into an empty server';
    like join(' ', map { @$_ } @{ $redis->command(qw(FUNCTION LIST)) }),
         qr/\bknock\b/, 'under its name';

    $redis->command(qw(FUNCTION FLUSH));
    is $nginx->post('/in/dev', track('T'))->{status}, 200,
       'again after FUNCTION FLUSH';

    $redis->command(qw(FUNCTION LOAD REPLACE), <<'_EOS_');
#!lua name=knock
redis.register_function('knock_apply', function(keys, args)
    return redis.error_reply('KNOCKLIB version 0 is older than its caller')
end)
_EOS_
    is $nginx->post('/in/dev', track('T'))->{status}, 200,
       'in place of an older one';

    # many requests at once, and the library goes again and again

    my @clients = map { $nginx->new_client } 1 .. 20;
    my @wrong;

    for my $round (1 .. 10) {
        $_->send(post('/in/dev', track("R$round"))) for @clients;
        $redis->command(qw(FUNCTION FLUSH));

        for my $http (@clients) {
            my $answer = $http->answer;
            push @wrong, "$round: $answer->{status} $answer->{body}"
                if $answer->{status} != 200;
        }
    }

    is_deeply \@wrong, [], 'flushed in mid-load: every request is served';

    # restarted, it has nothing

    stop_process($server->{pid}, 'KILL');
    $server = start_redis(%$server);
    $redis = connect_redis($server);
    $prepare->('2');

    my $status = wait_for('Redis to be noticed', sub {
        my $s = $nginx->post('/in/dev', track('T'))->{status};
        return $s != 503 && $s;
    });

    is $status, 200, 'and after a restart of Redis';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
