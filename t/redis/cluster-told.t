# mode=cluster: what nodes may say, and where they may send.  The nodes that say
# it are the test's; those that do the work are not in a cluster at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../chaos/lib";
use Test::More;

use Chaos::Dns;
use Knock::Cluster qw(fake_node slots);
use Knock::Figures;
use Knock::HeldRedis;
use Knock::Server qw(start_redis stop_process connect_redis free_port
                     wait_for configure);

my $quick = 'reconnect=10ms reconnect_max=20ms connect_timeout=10s timeout=30s';

maps();
hosts();
hostnames();
ipv6();
redirects();
refused_when_its_node_is_gone();
asks_first();
asks_first_again();
asks_before_replicas();
endless();
strange_redirects();
down();
part_of_the_slots();
one_environment_is_away();
silent();
one_node_is_lost();
room_for_all();
reload_while_asking();
worker_exits();

done_testing;


# A server that knows an endpoint.

sub server {
    my $server = start_redis(@_);

    configure(connect_redis($server));

    return $server;
}


sub at { return ['127.0.0.1', $_[0]{port}] }


sub start {
    my ($nodes, %o) = @_;

    return Knock::Nginx->start(http => 'knock_redis '
        . join(' ', map { "redis://127.0.0.1:$_->{port}" } @$nodes)
        . ' mode=cluster ' . ($o{params} // $quick) . ';' . ($o{http} // ''));
}


# A user is made: 200 tells that it is so.

sub identify {
    my ($id, $text) = @_;

    return post('/in/dev', qq({"type":"identify","userId":"$id",)
                           . qq("messageId":"$id","traits":{"a":1}}));
}


sub made {
    my ($server, $id) = @_;

    return connect_redis($server)->command('EXISTS',
                                           "knock:{development}:user:$id");
}


# Serves as the nodes until the code gives something true.

sub serve {
    my ($what, $nodes, $code) = @_;

    return wait_for($what, sub {
        $_->step(0.005) for @$nodes;
        return $code->();
    });
}


sub answer {
    my ($nginx, $id, @nodes) = @_;

    my $http = $nginx->new_client;

    $http->send(identify($id));
    serve('an answer', \@nodes, sub { !$http->silent(0) });

    return $http->answer;
}


# Serves until one of many requests has this status.

sub asks {
    my ($nginx, $status, @nodes) = @_;
    my $answer;

    wait_for("an answer $status", sub {
        $answer = answer($nginx, 'u', @nodes);
        return $answer->{status} == $status;
    });

    return $answer;
}


sub says {
    my ($nginx, $what, @nodes) = @_;

    serve("the log to say $what", \@nodes, sub { $nginx->log_text =~ $what });
    like $nginx->log_text, $what, 'logged';
}


sub ends {
    my ($nginx, $what) = @_;

    $nginx->stop('TERM');
    is_deeply [$nginx->complaints], [], "$what: no complaints in the log";
}


# The commands of this name that a fake has had, in all its connections.

sub had {
    my ($fake, $name) = @_;

    return grep { $_->{args}[0] eq $name } map { @{ $_->{log} } }
           @{ $fake->{conns} };
}


sub maps {
    my $server = server();
    my @fakes = map { fake_node(slots => '') } 1 .. 2;
    my $nginx = start(\@fakes);
    my $no_map = qr/what redis:\S+ said to CLUSTER SLOTS is no map/;
    my $node = array(bulk('127.0.0.1'), ":1\r\n");

    my @said = (
        "-ERR This instance has cluster support disabled\r\n"
            => qr/said to CLUSTER SLOTS "ERR This instance has cluster/,
        "-NOPERM no\r\n" => qr/said to CLUSTER SLOTS "NOPERM/,
        map { $_ => $no_map }
            ":1\r\n", "*-1\r\n", "*0\r\n", bulk('x'), array(":1\r\n"),
            array(array()), array(array(":0\r\n", ":1\r\n")),
            (map { array(array(@$_, $node)) }
                [bulk(0), ":1\r\n"], [":0\r\n", bulk(1)],
                [":-1\r\n", ":1\r\n"], [":2\r\n", ":1\r\n"],
                [":0\r\n", ":16384\r\n"],
                [":0\r\n", ":9223372036854775807\r\n"]),
            (map { array(array(":0\r\n", ":1\r\n", $_)) }
                ":1\r\n", array(), array(bulk('127.0.0.1')),
                array(":1\r\n", ":1\r\n"),
                map { array(bulk('127.0.0.1'), $_) }
                    bulk(1), ":0\r\n", ":65536\r\n", ":-1\r\n"),

            # the second range of two
            array(array(":0\r\n", ":1\r\n", $node), array(":2\r\n")));

    $_->{slots} = $said[0] for @fakes;
    asks($nginx, 503, @fakes);

    while (my ($octets, $message) = splice @said, 0, 2) {
        my $from = -s $nginx->error_log;

        $_->{slots} = $octets for @fakes;

        serve('the log', \@fakes, sub {
            $nginx->log_text($from) =~ /the last one because: .*$message/;
        });
        pass 'logged: ' . $octets =~ s/\r\n/ /gr;
    }

    my @errors = $nginx->log_text =~ /\[error\].* is away: no node of the cl/g;
    is scalar @errors, 1, 'an outage: one line';

    $fakes[1]{slots} = slots(at($server));
    is asks($nginx, 200, @fakes)->{status}, 200, 'one with a map is found';
    says($nginx, qr/all slots of the cluster are served again/, @fakes);
    ends($nginx, 'maps');
}


# Where a node names no host, its own is meant; "?": it should have a name, and
# has none.

sub hosts {
    my $server = server();
    my $port = $server->{port};

    for (['empty', slots(['', $port])], ['nil', slots([undef, $port])],
         ['"?" with an address',
          slots(['?', $port, undef, undef, 'hostname', '', 'ip', '127.0.0.1'])])
    {
        my ($what, $slots) = @$_;
        my $fake = fake_node(slots => $slots);
        my $nginx = start([$fake]);

        is asks($nginx, 200, $fake)->{status}, 200, "a host that is $what";
        ends($nginx, $what);
    }

    my $fake = fake_node(slots => slots(['?', $port]));
    my $nginx = start([$fake]);

    asks($nginx, 503, $fake);
    says($nginx, qr/no node that can be reached serves 16384 of the 16384 slots of the cluster; see CLUSTER SLOTS/, $fake);
    ends($nginx, '"?"');
}


# cluster-preferred-endpoint-type hostname

sub hostnames {
    my $server = server();
    my $fake = fake_node(slots => slots(['node.test', $server->{port}]));
    my $nginx = start([$fake]);

    asks($nginx, 503, $fake);
    says($nginx, qr/the cluster calls one of its nodes "node\.test", a name, so that it cannot be reached: put a resolver in the http block/,
         $fake);
    is scalar(() = $nginx->log_text =~ /"node\.test", a name/g), 1,
       'once in a while';
    ends($nginx, 'a name without a resolver');

    my $dns = Chaos::Dns->start('127.0.0.1');
    my $resolver = 'resolver 127.0.0.1:' . $dns->port . ' valid=1s;';

    $nginx = start([$fake], http => $resolver);
    is asks($nginx, 200, $fake)->{status}, 200, 'a name is resolved';
    ends($nginx, 'a name');

    $fake = fake_node(slots => slots(at($server)), says => sub {
        my ($self, $command) = @_;

        return $command->{args}[0] eq 'FCALL'
               ? error("MOVED 1 node.test:$server->{port}") : undef;
    });
    $fake->{slots} = slots(at($fake));

    $nginx = start([$fake], http => $resolver);
    is asks($nginx, 200, $fake)->{status}, 200, 'in a redirect too';
    ends($nginx, 'a name in a redirect');
}


sub ipv6 {
  SKIP: {
        my $server = eval { server(args => ['--bind', '127.0.0.1', '::1']) };

        skip 'no IPv6 here', 4 unless $server;

        my $fake = fake_node(slots => slots(['::1', $server->{port}]));
        my $nginx = start([$fake]);

        is asks($nginx, 200, $fake)->{status}, 200, 'IPv6 in a map';
        ends($nginx, 'IPv6 in a map');

        $fake = fake_node(upstream => $server->{socket},
                          says => moved("::1:$server->{port}"));
        $fake->{slots} = slots(at($fake));
        $nginx = start([$fake]);

        is asks($nginx, 200, $fake)->{status}, 200, 'IPv6 in a redirect';
        ends($nginx, 'IPv6 in a redirect');
    }
}


# Says of calls of knock_apply that they are to be sent elsewhere.

sub moved {
    my ($to, $code) = @_;

    return sub {
        my ($self, $command) = @_;
        my ($name, $function) = @{ $command->{args} };

        return $name eq 'FCALL' && $function eq 'knock_apply'
               ? error(($code // 'MOVED 1') . ' ' . (ref $to ? $$to : $to))
               : undef;
    };
}


# To a server that the map does not know; no host: the one that says so.

sub redirects {
    for my $host ('127.0.0.1', '') {
        my $server = server();
        my $fake = fake_node(upstream => $server->{socket},
                             says => moved("$host:$server->{port}"));

        $fake->{slots} = slots(at($fake));

        my $nginx = start([$fake]);

        is answer($nginx, 'a', $fake)->{status}, 200,
           'MOVED' . ($host ? '' : ' without a host');
        ok made($server, 'a'), 'it is applied there';
        ends($nginx, 'MOVED');
    }
}


# From now on an event makes a transaction.

sub acts_on_large {
    my ($server) = @_;

    my $redis = connect_redis($server);
    my %large = large_action();

    $redis->command('HSET', 'knock:{development}:actions', @{ $large{actions} });
    $redis->command(qw(HSET knock:{development}:workflows w),
                    '{"key":"w","name":"W","definition":{}}');
    $redis->command(qw(SET knock:{development}:version 2));
}


sub large {
    my ($nginx, $id, @nodes) = @_;

    my $http = $nginx->new_client;

    $http->send(post('/in/dev', large_track($id)));
    serve('an answer', \@nodes, sub { !$http->silent(0) });

    return $http->answer;
}


# What a record of a command has had of a node is not asked for when the node
# has been ended, and the record is used for another node's command.

sub refused_when_its_node_is_gone {
    my $server = server();

    acts_on_large($server);

    my $there = fake_node(upstream => $server->{socket});
    my $here = fake_node(upstream => $server->{socket},
                         part => sub { error("MOVED 1 127.0.0.1:$there->{port}") });

    $here->{slots} = $there->{slots} = slots(at($here));

    my $nginx = start([$here]);

    asks($nginx, 200, $here);
    $here->{slots} = $there->{slots} = slots(at($there));

    like large($nginx, 'A', $here, $there)->{body}, qr/"runs":1/,
         'a transaction is moved';
    serve('its first node to be ended', [$here, $there],
          sub { !$here->open_conns });

    $there->{part} = sub { error('TRYAGAIN Multiple keys request') };

    for (1 .. 3) {
        ok unavailable(large($nginx, "B$_", $there)),
           'one is refused when the node is gone: 503';
    }

    like $nginx->log_text, qr/refuses commands: TRYAGAIN Multiple keys/,
         'logged with what Redis says';
    ends($nginx, 'refused when its node is gone');
}


# ASK is followed for the one command only, behind ASKING.

sub asks_first {
    my $server = server();
    my $there = fake_node(slots => '', upstream => $server->{socket},
                          says => asked());
    my $here = fake_node(upstream => $server->{socket},
                         says => moved("127.0.0.1:$there->{port}", 'ASK 1'));

    $here->{slots} = slots(at($here));

    my $nginx = start([$here]);

    for my $id (qw(a b)) {
        is answer($nginx, $id, $here, $there)->{status}, 200, 'ASK';
        ok made($server, $id), 'it is applied';
    }

    is scalar(had($there, 'ASKING')), 2, 'each behind ASKING';
    is scalar(grep { ($_->{args}[1] // '') eq 'knock_apply' }
                   had($here, 'FCALL')), 2,
       'the slot stays where it is';
    ends($nginx, 'ASK');

    # a transaction

    $here->{part} = sub { error("ASK 1 127.0.0.1:$there->{port}") };
    acts_on_large($server);
    $nginx = start([$here]);

    like large($nginx, 'A', $here, $there)->{body}, qr/"runs":[1-9]/,
         'a transaction';

    my ($conn) = grep { grep { $_->{args}[0] eq 'RPUSH' } @{ $_->{log} } }
                 @{ $there->{conns} };
    my $text = join ' ', map { $_->{args}[0] } @{ $conn->{log} };

    like $text, qr/ ASKING MULTI BLPOP RPUSH FCALL EVAL EXEC/,
         'one ASKING, right before it';
    ends($nginx, 'ASK of a transaction');
}


# Refuses what does not come right behind ASKING.

sub asked {
    return sub {
        my ($self, $command) = @_;
        my $log = $command->{conn}{log};

        return "+OK\r\n" if $command->{args}[0] eq 'ASKING';
        return undef if $command->{args}[0] ne 'FCALL'
                        || $command->{exec}
                        || $log->[-2]{args}[0] eq 'ASKING';
        return error('MOVED 1 127.0.0.1:1');
    };
}


# The library is missing there: what is sent again goes behind ASKING too.

sub asks_first_again {
    my $server = server();
    my $there = fake_node(slots => '', upstream => $server->{socket},
                          says => asked());
    my $here = fake_node(upstream => $server->{socket},
                         says => moved("127.0.0.1:$there->{port}", 'ASK 1'));

    $here->{slots} = slots(at($here));

    my $nginx = start([$here]);

    is answer($nginx, 'a', $here, $there)->{status}, 200, 'ASK';
    connect_redis($server)->command('FUNCTION', 'FLUSH');
    is answer($nginx, 'b', $here, $there)->{status}, 200,
       'ASK, and there is no library';
    is scalar(had($there, 'ASKING')), 3, 'ASKING with each try';
    ends($nginx, 'ASK without a library');
}


# With min_replicas= the write in front of WAIT is for a slot on its way too.

sub asks_before_replicas {
    my $server = server();
    my $asked = asked();
    my $replicas = 1;
    my $there = fake_node(slots => '', upstream => $server->{socket},
                          says => sub {
        my ($self, $command) = @_;
        my $args = $command->{args};

        return ':' . ($args->[1] && $replicas) . "\r\n" if $args->[0] eq 'WAIT';
        return $asked->($self, $command) if $args->[0] ne 'SET';
        return $command->{conn}{log}[-2]{args}[0] eq 'ASKING'
               ? undef : error('MOVED 1 127.0.0.1:1');
    });
    my $here = fake_node(upstream => $server->{socket},
                         says => moved("127.0.0.1:$there->{port}", 'ASK 1'));

    $here->{slots} = slots(at($here));
    acts_on_large($server);

    my $nginx = start([$here], params => "$quick min_replicas=1 "
                                         . 'min_replicas_timeout=100ms');

    is answer($nginx, 'a', $here, $there)->{status}, 200,
       'ASK, and a replica has it';
    like sent($there), qr/ ASKING FCALL ASKING SET WAIT$/,
         'ASKING before the call and before the write';

    $here->{part} = sub { error("ASK 1 127.0.0.1:$there->{port}") };
    like large($nginx, 'A', $here, $there)->{body}, qr/"runs":[1-9]/,
         'the same of a transaction';
    like sent($there), qr/ ASKING MULTI BLPOP RPUSH FCALL EVAL EXEC ASKING SET WAIT$/,
         'before MULTI, and before the write';

    $replicas = 0;
    ok unavailable(answer($nginx, 'b', $here, $there)),
       'ASK, and no replica has it: 503';
    $replicas = 1;
    like answer($nginx, 'b', $here, $there)->{body}, qr/"duplicates":1,/,
         'until one has: a repeat';
    ends($nginx, 'ASK with replicas');
}


# The names of the commands that the last connection to a fake has had.

sub sent {
    my ($fake) = @_;

    return join ' ', map { $_->{args}[0] } @{ $fake->{conns}[-1]{log} };
}


# Two nodes that send to each other.

sub endless {
    my $server = server();
    my ($to_a, $to_b) = ('', '');
    my $a = fake_node(upstream => $server->{socket}, says => moved(\$to_b));
    my $b = fake_node(upstream => $server->{socket}, says => moved(\$to_a));

    $to_a = "127.0.0.1:$a->{port}";
    $to_b = "127.0.0.1:$b->{port}";
    $_->{slots} = slots(at($a)) for $a, $b;

    my $nginx = start([$a]);

    ok unavailable(answer($nginx, 'a', $a, $b)), 'sent round and round: 503';
    is scalar(grep { ($_->{args}[1] // '') eq 'knock_apply' }
                   map { had($_, 'FCALL') } $a, $b), 6,
       'after five redirects';
    says($nginx, qr/refuses commands: MOVED 1 \S+ \(it cannot be sent there, or was sent round: see CLUSTER SLOTS\)/,
         $a, $b);
    ends($nginx, 'endless');
}


sub strange_redirects {
    my $server = server();
    my $said;
    my $fake = fake_node(upstream => $server->{socket}, says => sub {
        my ($self, $command) = @_;
        my ($name, $function) = @{ $command->{args} };

        return $name eq 'FCALL' && $function eq 'knock_apply'
               ? error($said) : undef;
    });

    $fake->{slots} = slots(at($fake));

    my $nginx = start([$fake]);
    my $free = free_port();

    for ('MOVED', 'ASK', 'MOVED 1', 'ASK 1 ', 'MOVED 1 :', 'MOVED 1 127.0.0.1',
         'MOVED 1 127.0.0.1:', 'MOVED 1 127.0.0.1:0', 'MOVED 1 127.0.0.1:65536',
         'ASK 1 127.0.0.1:x', 'MOVED 1 ?:6379', "ASK 1 a\tb:1",
         "MOVED 1 127.0.0.1:$free")
    {
        $said = $_;
        ok unavailable(answer($nginx, 'a', $fake)), "$said: 503";
    }

    ends($nginx, 'strange redirects');
}


# CLUSTERDOWN, of many commands at once: the map is asked for, but not by each.

sub down {
    my $server = server();
    my $down = 0;
    my $fake = fake_node(upstream => $server->{socket}, says => sub {
        my ($self, $command) = @_;
        my ($name, $function) = @{ $command->{args} };

        return $down && $name eq 'FCALL' ? error('CLUSTERDOWN Hash slot not served')
                                         : undef;
    });

    $fake->{slots} = slots(at($fake));

    my $nginx = start([$fake]);

    asks($nginx, 200, $fake);
    $down = 1;

    my $figures = Knock::Figures->new($nginx, $fake);
    my $before = had($fake, 'CLUSTER');
    my @clients = map { $nginx->new_client } 1 .. 20;

    $clients[$_]->send(identify("down$_")) for 0 .. $#clients;
    serve('the answers', [$fake], sub {
        return !grep { $_->silent(0) } @clients;
    });
    is scalar(grep { unavailable($_->answer) } @clients), 20,
       'CLUSTERDOWN: 503';
    $figures->is_quiet('CLUSTERDOWN', requests => { 503 => 20 });

    serve('the map to be asked for', [$fake],
          sub { had($fake, 'CLUSTER') > $before });
    cmp_ok scalar(had($fake, 'CLUSTER')) - $before, '<', 20,
           'the map is asked for, but not by each';

    $down = 0;
    is asks($nginx, 200, $fake)->{status}, 200, 'until it passes';
    ends($nginx, 'CLUSTERDOWN');
}


# Half of the slots have no node: the others are served.

sub part_of_the_slots {
    my $server = server();
    my $slot = 8911;        # of {development}
    my $own = [@{ at($server) }, $slot, $slot];
    my $account = [@{ at($server) }, 0, $slot - 1];
    my $fake = fake_node(slots => slots([@{ at($server) }, $slot + 1]));
    my $nginx = start([$fake]);

    asks($nginx, 503, $fake);
    says($nginx, qr/no node that can be reached serves 8912 of the 16384 slots/,
         $fake);

    $fake->{slots} = slots($own, $account);
    is asks($nginx, 200, $fake)->{status}, 200,
       'what has a node is served, though others have none';

    $fake->{slots} = slots(at($server));
    says($nginx, qr/all slots of the cluster are served again/, $fake);
    ends($nginx, 'a part of the slots');
}


# A worker that has just started can read one environment and not the other.

sub one_environment_is_away {
    my $server = server();
    my $slot = 15882;       # of {production}
    my $fake = fake_node(slots => slots(
        [@{ at($server) }, 0, $slot - 1], ['127.0.0.1', free_port(), $slot, $slot],
        [@{ at($server) }, $slot + 1]));
    my $nginx = start([$fake]);

    is answer($nginx, 'a', $fake)->{status}, 200, 'served at once';
    says($nginx, qr/is away: connecting to 127\.0\.0\.1:\d+ failed/, $fake);

    my $http = $nginx->new_client;

    $http->send(post('/in/unknown', '{"type":"page"}'));
    serve('an answer', [$fake], sub { !$http->silent(0) });
    ok unavailable($http->answer), 'it may be in the one that is away: 503';
    ends($nginx, 'one environment is away');
}


# A node that does not answer the question: another one is asked.

sub silent {
    my $server = server();
    my $silent = fake_node(slots => '');
    my $good = fake_node(slots => slots(at($server)));

    $good->down;

    my $nginx = start([$silent, $good], params => 'connect_timeout=200ms '
                      . 'reconnect=10ms reconnect_max=20ms timeout=20s');

    my $figures = Knock::Figures->started($nginx, $silent, $good);

    says($nginx, qr/did not answer CLUSTER SLOTS within 200ms/, $silent);
    $good->up;
    is asks($nginx, 200, $silent, $good)->{status}, 200, 'another one is asked';
    $figures->is_quiet('silent');
    ends($nginx, 'silent');
}


# What was sent to it is lost, what goes to another one is not.

sub one_node_is_lost {
    my $server = server();
    my $hold = 0;
    my $fake = fake_node(upstream => $server->{socket}, says => sub {
        my ($self, $command) = @_;

        return $hold && $command->{args}[0] eq 'FCALL' ? '' : undef;
    });
    my $other = fake_node(upstream => $server->{socket});

    $_->{slots} = slots([@{ at($other) }, 0, 8910], [@{ at($fake) }, 8911, 8911],
                        [@{ at($other) }, 8912]) for $fake, $other;

    my $nginx = start([$fake, $other]);

    asks($nginx, 200, $fake, $other);
    $hold = 1;

    my $figures = Knock::Figures->started($nginx, $other);
    my $http = $nginx->new_client;

    $http->send(identify('lost'));
    serve('the call', [$fake, $other], sub {
        grep { @{ $_->{left} } } $fake->open_conns;
    });

    $fake->down;
    $fake->close($_) for $fake->open_conns;

    serve('an answer', [$fake, $other], sub { !$http->silent(0) });
    ok unavailable($http->answer), 'a node is lost: 503';

    my $before = had($other, 'CLUSTER');

    serve('the map', [$other], sub { had($other, 'CLUSTER') > $before + 1 });
    pass 'the map is asked for again and again';

    is scalar($other->open_conns), 1, 'the other node has not been left';

    # it takes over

    $other->{slots} = slots(at($other));
    is asks($nginx, 200, $other)->{status}, 200, 'until another one serves it';
    $figures->is_quiet('a node is lost');
    ends($nginx, 'a node is lost');
}


# max_pending= is for the commands to all nodes together.

sub room_for_all {
    my $server = server();
    my $hold = 0;
    my $says = sub {
        my ($self, $command) = @_;

        return $hold && ($command->{args}[1] // '') eq 'knock_apply' ? '' : undef;
    };
    my $fake = fake_node(upstream => $server->{socket}, says => $says);
    my $other = fake_node(upstream => $server->{socket});

    $_->{slots} = slots([@{ at($other) }, 0, 8910], [@{ at($fake) }, 8911, 8911],
                        [@{ at($other) }, 8912]) for $fake, $other;

    my $nginx = start([$fake], params => "$quick max_pending=1");

    asks($nginx, 200, $fake, $other);

    my $figures = Knock::Figures->new($nginx, $fake, $other);

    $hold = 1;

    my $http = $nginx->new_client;

    $http->send(identify('held'));
    serve('the call', [$fake, $other], sub {
        grep { @{ $_->{left} } } $fake->open_conns;
    });

    # an unknown token has the account's node asked as well

    my $second = $nginx->new_client;

    $second->send(post('/in/unknown', '{"type":"page"}'));
    serve('an answer', [$fake, $other], sub { !$second->silent(0) });
    ok unavailable($second->answer), 'no room for a command to another node';

    my ($call) = map { @{ $_->{left} } } $fake->open_conns;

    $hold = 0;
    $fake->reply($call, plain());
    serve('an answer', [$fake, $other], sub { !$http->silent(0) });
    is $http->answer->{status}, 200, 'what has room is applied';
    $figures->is_quiet('max_pending=', requests => { 200 => 1, 503 => 1 });
    ends($nginx, 'max_pending=');
}


# A request waits for the map while a reload takes its worker.

sub reload_while_asking {
    my $server = server();
    my $fake = fake_node(slots => '');
    my $nginx = start([$fake]);
    my ($old) = $nginx->workers;
    my $http = $nginx->new_client;
    my @asked;

    $http->send(identify('waits'));
    Knock::HeldRedis::wait_read($http);
    serve('the question', [$fake], sub { @asked = had($fake, 'CLUSTER') });

    $nginx->reload;

    $fake->{slots} = slots(at($server));
    $fake->reply($_, $fake->{slots}) for @asked;

    serve('an answer', [$fake], sub { !$http->silent(0) });
    is $http->answer->{status}, 200, 'a reload while the map is asked for';
    serve('the old worker to go', [$fake], sub {
        return !grep { $_ == $old } $nginx->workers;
    });
    ends($nginx, 'reload');
}


# No node keeps a worker.

sub worker_exits {
    my $server = server();
    my $fake = fake_node(slots => slots(at($server)));
    my $nginx = start([$fake]);
    my ($old) = $nginx->workers;

    asks($nginx, 200, $fake);
    $nginx->reload;
    serve('the old worker to go', [$fake], sub {
        return !grep { $_ == $old } $nginx->workers;
    });
    asks($nginx, 200, $fake);

    stop_process($server->{pid}, 'KILL');
    $fake->down;
    $fake->close($_) for $fake->open_conns;
    ($old) = $nginx->workers;
    asks($nginx, 503, $fake);
    $nginx->reload;
    serve('the old worker to go', [$fake], sub {
        return !grep { $_ == $old } $nginx->workers;
    });
    pass 'a worker exits, with nodes and without';
    ends($nginx, 'exit');
}
