# Fifty reloads with requests in flight: each request is answered, descriptors
# do not grow, nothing is left open.

use strict;
use warnings;

use Test::More;

use Knock::HeldRedis;
use Knock::Server qw(wait_for connect_redis);
use Knock::Test;

use constant RELOADS => 50;

seed($Knock::Test::Seed);
redis(qw(HSET knock:{development}:user:u1 id), '"u1"');

fifty_reloads();
other_redis();
broken_conf();

done_testing;


sub descriptors { return scalar(() = glob "/proc/$_[0]/fd/*") }


# The processes that Redis has connections of.

sub connected {
    my @pids = redis(qw(CLIENT LIST)) =~ /name=knock-(\d+)/g;

    return sort @pids;
}


sub fifty_reloads {
    my $nginx = Knock::Nginx->start(
        workers => 2, redis => redis_server(),
        http => 'log_format s "$status"; access_log access.log s;');
    my $master = $nginx->pid;
    my (@of_master, @of_worker, @wrong, %seen);
    my $n = 0;

    for my $reload (1 .. RELOADS) {
        my %old = map { $_ => 1 } $nginx->workers;
        my @clients = map { $nginx->new_client } 1 .. 4;

        # some wait for Redis, which is held up; one is in mid-body

        redis(qw(CLIENT PAUSE 10000 WRITE));
        $_->send(post('/in/dev', track('Comment Created',
            messageId => '"' . ++$n . '"',
            properties => '{"recipients":["u1"]}'))) for @clients[0 .. 2];

        my $text = post('/in/dev', track('Comment Created',
            messageId => '"' . ++$n . '"',
            properties => '{"recipients":["u1"]}'));

        $clients[3]->send(substr $text, 0, -10);

        # they must have come to the old workers

        Knock::HeldRedis::wait_read(@clients);
        kill 'HUP', $master;

        wait_for('new workers', sub {
            2 <= grep { !$old{$_} } $nginx->workers;
        });

        $clients[3]->send(substr $text, -10);
        redis(qw(CLIENT UNPAUSE));

        for my $http (@clients) {
            my $answer = eval { $http->answer };

            push @wrong, "$reload: " . ($answer ? "$answer->{status} "
                                        . "$answer->{body}" : $@)
                unless $answer && $answer->{body} =~ /"runs":1,/;
            $http->close;
        }

        # the old ones leave before the next round

        wait_for('old workers to end', sub {
            !grep { $old{$_} } $nginx->workers;
        });

        $seen{$_} = 1 for $nginx->workers;

        next unless $reload == 5 || $reload == RELOADS;

        # each worker is connected, and nothing else is going on
        wait_for('the workers to connect', sub {
            "@{[connected()]}" eq "@{[sort $nginx->workers]}";
        });

        push @of_master, descriptors($master);
        push @of_worker, [map { descriptors($_) } $nginx->workers];
    }

    is_deeply \@wrong, [], 'each request in flight is answered';
    is redis('LLEN', 'knock:{development}:runs'), $n, 'and applied once';
    cmp_ok scalar(keys %seen), '>=', 2 * RELOADS, RELOADS . ' reloads';
    is $of_master[1], $of_master[0],
       'the master has as many descriptors as before';

    # the channels to the old workers may be open a moment longer

    my ($before) = sort { $b <=> $a } @{ $of_worker[0] };

    ok eval { wait_for('descriptors to be closed', sub {
           !grep { descriptors($_) > $before } $nginx->workers }) },
       "no worker has more than the $before that it had"
       or diag "@{ $of_worker[1] }";

    # Redis has nobody left either

    is_deeply [connected()], [sort $nginx->workers],
              'each worker has one connection to Redis';

    $nginx->stop;
    unlike $nginx->log_text, qr/open socket .* left in connection/,
           'no socket is left open';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A reload that names another Redis: what is in flight ends with the old one.

sub other_redis {
    my ($old, $new) = map { Knock::HeldRedis->new(unix => 1) } 1 .. 2;
    my $nginx = $old->nginx;
    my $http = $nginx->new_client;
    my ($worker) = $nginx->workers;

    $http->send(post('/in/dev', track('Old')));

    my $call = $old->call;

    $nginx->write_conf(http => $new->directive(''));
    kill 'HUP', $nginx->pid;
    $new->ready;
    wait_for('the old worker to leave', sub {
        $nginx->log_text =~ /\b$worker#\d+: gracefully shutting down/;
    });

    my $other = $nginx->new_client;

    $other->send(post('/in/dev', track('New')));

    my $next = $new->call;

    is_deeply [events($next)], ['track/New'],
              'after the reload requests go to the new Redis';
    $old->reply($call, applied($call, 'p'));
    is $old->answer($http)->{status}, 200,
       'what was in flight is answered by the old one';
    $new->reply($next, applied($next, 'p'));
    is $new->answer($other)->{status}, 200, 'the others by the new one';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A reload that is refused changes nothing.

sub broken_conf {
    my $fake = Knock::HeldRedis->new(unix => 1, serve => 1);
    my $nginx = $fake->nginx;
    my @workers = $nginx->workers;

    $nginx->write_conf(http => 'knock_redis nonsense;');
    kill 'HUP', $nginx->pid;
    wait_for('the refusal', sub { $nginx->log_text =~ /\[emerg\]/ });

    is $fake->ask($nginx->new_client, post('/in/dev', track('T')))->{status},
       200, 'a reload that is refused: the workers go on';
    is_deeply [$nginx->workers], \@workers, 'the same ones';
    is scalar($fake->open_conns), 1, 'over the same connection';
}
