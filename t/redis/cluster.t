# mode=cluster: each command goes to the node that has its key, and follows it
# when it moves.

use strict;
use warnings;

use POSIX ();
use Test::More;

use Knock::Cluster;
use Knock::Nginx;
use Knock::Server qw(wait_for);

# one for each of three masters, and one in the slot that is moved

my @envs = qw(development staging production qa);

my $cluster = Knock::Cluster->start(
    replicas => 3, args => [qw(--cluster-require-full-coverage no)]);
my $n = 0;

$cluster->command('{@}', 'RPUSH', 'knock:{@}:environments', @envs);
fill($_) for @envs;

my @owners = do { my %seen; grep { !$seen{$_}++ }
                  map { $cluster->owner("{$_}")->{port} } @envs };

cmp_ok scalar @owners, '>', 1, 'the environments are not all on one node';

my $nginx = Knock::Nginx->start(workers => 2, http =>
    "knock_redis @{[$cluster->urls]} mode=cluster;");

applies_at_first();
follows_a_slot();
follows_a_slot_on_its_way();
moves_under_load();
takes_up_a_new_node();
waits_for_replicas();
follows_a_switch();
follows_a_failover();

is_deeply [$nginx->complaints], [], 'no complaints in the log';
$nginx->stop;

done_testing;


sub applies_at_first {
    for my $env (@envs) {
        is post($env)->{status}, 200, "an event of $env is applied";
        is post($env, large())->{status}, 200, 'and a batch';
        is runs($env), 11, 'where its slot is';
    }

    is $cluster->errors('MOVED'), 0, 'no command went to a wrong node';
}


sub follows_a_slot {
    my $env = 'qa';
    my $to = other_than($cluster->owner("{$env}"));
    my $before = runs($env);

    $cluster->move_slot("{$env}", $to);

    is post($env)->{status}, 200, 'a slot that has moved is followed';
    is runs($env), $before + 1, 'the event is applied once';
    ok $cluster->errors('MOVED'), 'the old node said where';

    wait_for('the map', sub {
        my $moved = $cluster->errors('MOVED');
        post($env) for 1 .. 4;
        $cluster->errors('MOVED') == $moved;
    });
    pass 'the others go there at once';

    $before = runs($env);
    $cluster->move_slot("{$env}", other_than($to));
    is post($env, large())->{status}, 200, 'a transaction follows too';
    is runs($env), $before + 10, 'it is applied once';
}


# Commands with several keys, of which some are on each side, are refused by
# Redis until it is done.

sub follows_a_slot_on_its_way {
    my $env = 'qa';
    my $to = other_than($cluster->owner("{$env}"));
    my $before = runs($env);
    my $status;

    $cluster->move_slot("{$env}", $to, sub {
        $status = $nginx->new_client->post("/in/$env",
            '{"type":"track","event":"T","messageId":"moving",'
            . '"properties":{"r":{"id":"new"}}}')->{status};
    });

    like $status, qr/^(?:200|503)$/, 'in the middle of a move';
    is post($env, undef, 'moving', 'new')->{status}, 200, 'and after it';
    is runs($env), $before + 1, 'the event is applied once';
}


# There and back again while events come: each is applied once, after as many
# tries as it takes.

sub moves_under_load {
    my $env = 'staging';
    my $home = $cluster->owner("{$env}");
    my $away = other_than($home);
    my $before = runs($env);
    my @left = map { "load$_" } 1 .. 400;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        for (1 .. 6) {
            eval { $cluster->move_slot("{$env}", $_); 1 }
                or do { diag $@; POSIX::_exit(1) } for $away, $home;
        }

        # the servers are the test's, not this copy's
        POSIX::_exit(0);
    }

    wait_for('all to be applied', sub {
        @left = grep { post($env, undef, $_)->{status} != 200 } @left;
        return !@left;
    });

    waitpid $pid, 0;
    is $?, 0, 'a slot moves to and fro';

    is runs($env), $before + 400, 'moves under load: each event once';

    post($env, undef, "load$_") for 1 .. 400;
    is runs($env), $before + 400, 'and all of them are known';
}


# It has no function library yet; without slots its connection is closed.

sub takes_up_a_new_node {
    my $env = 'production';
    my $node = $cluster->add;
    my $home = $cluster->owner("{$env}");
    my $before = runs($env);

    $cluster->move_slot("{$env}", $node);
    is post($env)->{status}, 200, 'a node is added';
    is runs($env), $before + 1, 'and used';
    is $cluster->owner("{$env}"), $node, 'from now on';

    $cluster->move_slot("{$env}", $home);
    is post($env)->{status}, 200, 'it has no slots any more';

    wait_for('the connections to close', sub {
        post($env);
        return Knock::Cluster::ask($node, qw(CLIENT LIST)) !~ /name=knock-/;
    });
    pass 'the connections to it are closed';
}


# A replica takes over on request: the old master says MOVED.

sub follows_a_switch {
    my $env = 'development';
    my $master = $cluster->owner("{$env}");
    my $replica = $cluster->replica_of($master);
    my $before = runs($env);
    my @answers;

    Knock::Cluster::ask($replica, qw(CLUSTER FAILOVER));

    wait_for('the replica to take over', sub {
        push @answers, post($env);
        return Knock::Cluster::ask($replica, 'ROLE')->[0] eq 'master';
    });
    push @answers, post($env) for 1 .. 5;
    has_taken_over($env, $replica);

    is scalar(grep { $_->{status} != 200 } @answers), 0,
       'a replica takes over on request: each event is applied at once';
    is runs($env), $before + @answers, 'and applied once';

    wait_for('the old master to be a replica', sub { $cluster->agreed(3) });
}


# With min_replicas= all of it goes as well.

sub waits_for_replicas {
    my $before = runs('qa');
    my $waits = $nginx;

    $nginx = Knock::Nginx->start(http =>
        "knock_redis @{[$cluster->urls]} mode=cluster min_replicas=1 "
        . 'min_replicas_timeout=20s timeout=30s;');

    is post('qa')->{status}, 200, 'with min_replicas=';
    $cluster->move_slot('{qa}', other_than($cluster->owner('{qa}')));

    wait_for('an answer of 200', sub {
        return post('qa', undef, 'waits')->{status} == 200;
    });
    is runs('qa'), $before + 2, 'a slot that has moved is followed';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
    $nginx->stop;
    $nginx = $waits;
}


sub follows_a_failover {
    my $env = 'development';
    my $master = $cluster->owner("{$env}");
    my ($other) = grep { $cluster->owner("{$_}") != $master } @envs;
    my $replica = $cluster->replica_of($master);
    my $before = runs($env);

    is post($env, undef, 'before')->{status}, 200, 'before a master dies';
    replicated($env);

    $cluster->kill($master);

    isnt post($env, undef, 'dead')->{status}, 200, 'no 200 without a master';
    is post($other)->{status}, 200, 'the others are served all the time'
        for 1 .. 5;

    wait_for('the replica to take over', sub {
        return post($env, undef, 'dead')->{status} == 200;
    });
    has_taken_over($env, $replica);
    pass 'its replica has taken over';

    post($env, undef, $_) for qw(before dead);
    is runs($env), $before + 2, 'each event is applied once';

    $cluster->restart($master);
    wait_for('the master to be a replica', sub { $cluster->agreed(3) });
    is post($env)->{status}, 200, 'the old master is back, as a replica';
}


# Waits until the node that is asked for owners knows it too.

sub has_taken_over {
    my ($env, $node) = @_;

    wait_for('all to know the new master', sub {
        return $cluster->owner("{$env}") == $node;
    });
}


# Waits until the replica has all that the master has.

sub replicated {
    my ($env) = @_;

    my $redis = Knock::Server::connect_redis($cluster->owner("{$env}"));

    $redis->command('SET', "knock:{$env}:written", 1);
    is $redis->command('WAIT', 1, 20_000), 1, 'the replica has it';
}


sub fill {
    my ($env) = @_;

    my $redis = sub { $cluster->command("{$env}", @_) };

    $redis->('HSET', "knock:{$env}:endpoints", "segment/token", $env);
    $redis->('HSET', "knock:{$env}:actions", 'a',
        '{"key":"a","source":"segment","event":"track/T","workflow":"w",'
        . '"type":"workflows_trigger","recipients":"properties.r"}');
    $redis->('HSET', "knock:{$env}:workflows", 'w',
             '{"key":"w","name":"W","definition":{}}');
    $redis->('SET', "knock:{$env}:version", 1);
}


sub other_than {
    my ($node) = @_;

    my @masters = grep { $_ != $node } ($cluster->nodes)[0 .. 2];

    return $masters[0];
}


sub post {
    my ($env, $body, $id, $user) = @_;

    $id //= 'm' . ++$n;
    $user //= 'u';
    $body //= qq({"type":"track","event":"T","messageId":"$id",)
              . qq("properties":{"r":{"id":"$user"}}});

    return $nginx->new_client->post("/in/$env", $body);
}


# A batch whose runs are pushed beside Lua, in a transaction.

sub large {
    my $event = '{"type":"track","event":"T","properties":{"r":{"id":"u"},"x":"'
                . ('x' x 1000) . '"}}';

    return '[' . join(',', ($event) x 10) . ']';
}


sub runs {
    my ($env) = @_;

    return $cluster->command("{$env}", 'LLEN', "knock:{$env}:runs");
}
