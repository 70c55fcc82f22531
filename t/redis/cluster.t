# mode=cluster: each command goes to the node that has its key, and follows it
# when it moves.

use strict;
use warnings;

use Test::More;

use Knock::Cluster;
use Knock::Nginx;
use Knock::Server qw(wait_for);

# one for each of three masters, and one in the slot that is moved

my @envs = qw(development staging production qa);

my $cluster = Knock::Cluster->start(replicas => 3);
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

    my @masters = grep { $_->{port} != $node->{port} }
                  ($cluster->nodes)[0 .. 2];

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
