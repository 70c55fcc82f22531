# Calls that are transactions: MULTI, a gate that keeps from Redis what follows
# a refused MULTI, RPUSH of the runs, FCALL, a guard that takes the runs off
# where FCALL could not, EXEC.  To a request they are as one command; whatever
# fails, all of it happens or nothing, and nothing stays.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Server qw(start_redis connect_redis stop_process wait_for);
use Knock::Test;

my $applied = qr/^\{"accepted":1,"duplicates":0,"ignored":0,"runs":1,/;

one_call();
split_replies();
early_replies();
beside_another();
no_replies();
replies_one_too_many();
refused();
library();
gone_meanwhile();

seed($Knock::Test::Seed);

lost();
out_of_memory();
replica();
failed();
not_permitted();
permission_taken();
multi_taken();
consumers();
flushed_under_load();

done_testing;


sub held {
    my (%o) = @_;

    my $fake = Knock::HeldRedis->new(unix => 1, live => { large_action() }, %o);
    my $nginx = $fake->nginx(http => "client_max_body_size 16m;\n");

    return $fake, $nginx, $nginx->new_client;
}


sub commands { return map { $_->{args}[0] } @{ $_[0]{log} } }


# What a sender gets, and what the log says of it, without times and names.

sub outcome {
    my ($fake, $nginx, $http, $offset) = @_;

    my $answer = $fake->answer($http);
    my ($code) = $answer->{body} =~ /"code":"(\w+)"/;
    my $log = join "\n", sort map { s/^.*?#\d+: //r =~ s/unix:[^"]*/unix:/gr }
                         grep { /\[(?:error|warn|crit|alert)\]/ }
                         split /\n/, $nginx->log_text($offset);

    return "$answer->{status} $code\n$log";
}


sub served {
    my ($fake, $nginx, $what) = @_;

    my $http = $nginx->new_client;

    $fake->ready;
    $http->send(post('/in/dev', large_track('next')));

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p', 1));
    like $fake->answer($http)->{body}, $applied,
         "$what: the next request is served";
}


sub one_call {
    my ($fake, $nginx, $http) = held();
    my ($conn) = $fake->open_conns;
    my @tokens;

    # little text of runs goes as arguments

    $http->send(post('/in/dev', track('Large',
                                      properties => '{"to":[{"id":"u"}]}')));

    my $call = $fake->call;

    is $call->{args}[0], 'FCALL', 'a small call is one command';
    ok !$call->{runs}, 'and no transaction';
    $fake->reply($call, applied($call, 'p', 1));
    like $fake->answer($http)->{body}, $applied, 'which is answered';

    for my $reply (\&plain, sub { applied($_[0], 'p', 1) }) {
        my $before = @{ $conn->{log} };

        $http->send(post('/in/dev', large_track('u1')));
        $call = $fake->call;

        my @sent = map { $_->{args} } @{ $conn->{log} }
                                       [$before .. $#{ $conn->{log} }];

        is_deeply [map { $_->[0] } @sent],
                  [qw(MULTI BLPOP RPUSH FCALL EVAL EXEC)],
                  'a large call is a transaction';
        is_deeply $sent[1], ['BLPOP', 'knock:{development}:gate', 0],
                  'with a gate behind MULTI';

        my ($push, $fcall, $guard) = @sent[2 .. 4];
        my $token = $push->[-1];

        is $push->[1], 'knock:{development}:runs', 'the runs are pushed';
        like $push->[2], qr/^\{"id":.*"id":"u1"/, 'each as it is';
        is scalar(grep { $_ eq $token } @$fcall), 1,
           'the function is told the token behind them';
        is scalar(grep { /^\{"id":.*"trigger_id"/ } @$fcall), 0,
           'but not the runs';
        is_deeply [@$guard[2 .. 5]],
                  [1, 'knock:{development}:runs', $token, 2],
                  'the guard knows it too, and how many they are';
        push @tokens, $token;

        $fake->reply($call, $reply->($call));
        like $fake->answer($http)->{body}, $applied, 'its reply is FCALL\'s';
    }

    isnt $tokens[0], $tokens[1], 'each call has a token of its own';

    # two requests, of which each has its own answer

    $http->send(post('/in/dev', track('T')));
    $call = $fake->call;

    my @clients = map { $nginx->new_client } 1 .. 2;

    for my $i (0, 1) {
        $clients[$i]->send(post('/in/dev', large_track("u$i")));
        $fake->wait_taken($clients[$i]);
    }

    $fake->reply($call, applied($call, 'p'));
    $call = $fake->call;
    is scalar(@{ $call->{runs} }), 2, 'two requests in a transaction';
    $fake->reply($call, array(array(bulk('ok'), bulk('d'), ":0\r\n"),
                              array(bulk('ok'), bulk('p'), ":1\r\n")));
    like $fake->answer($clients[0])->{body}, qr/"duplicates":1,.*"runs":0,/,
         'each has its own answer (0)';
    like $fake->answer($clients[1])->{body}, $applied,
         'each has its own answer (1)';
    $fake->answer($http);

    # what the function says otherwise

    $http->send(post('/in/dev', large_track('u1')));
    $call = $fake->call;
    $fake->reply($call, array(bulk('stale')));
    $call = $fake->call;
    is scalar(grep { $_->{args}[1] && $_->{args}[1] eq 'knock_live' }
              @{ $conn->{log} }), 2, 'stale: what is live is asked for';
    $fake->reply($call, array(array(bulk('need'), bulk('y'), array(bulk('')))));
    $call = $fake->call;
    is scalar(@{ $call->{runs} }), 1, 'to be merged: comes again';
    $fake->reply($call, array(array(bulk('ok'), bulk('p'), ":1\r\n")));
    like $fake->answer($http)->{body}, $applied, 'and is answered';

    # what no function of ours says

    for my $reply ("+OK\r\n", ":1\r\n", "\$-1\r\n", array(), array(":1\r\n")) {
        $http->send(post('/in/dev', large_track('u1')));
        $call = $fake->call;
        $fake->reply($call, $reply);
        is $fake->answer($http)->{status}, 500,
           '"' . ($reply =~ s/\r\n/ /gr) . '" in place of FCALL\'s reply: 500';
    }

    is $fake->open_conns, 1, 'over one connection';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# What is said to all five commands, taken out of what is said with EXEC's.

sub whole {
    my ($call, $reply) = @_;

    return delete($call->{unsaid}) . executed($call, $reply);
}


# All five replies, in two parts that meet at each place, and octet by octet.

sub split_replies {
    my ($fake, $nginx, $http) = held(late => 1);
    my ($length, @wrong) = (99);
    my $at;

    for ($at = 1; $at < $length; $at++) {
        $http->send(post('/in/dev', large_track('u1')));

        my $call = $fake->call;
        my $octets = whole($call, applied($call, 'p', 1));

        $length = length $octets;
        $fake->reply_whole($call, substr $octets, 0, $at);
        $fake->wait_drained($call->{conn});
        $fake->write($call->{conn}, substr $octets, $at);

        my $answer = $fake->answer($http);

        push @wrong, "$at: $answer->{status} $answer->{body}"
            unless $answer->{body} =~ $applied;
    }

    cmp_ok $at, '>', 60, 'replies are split at each of ' . --$at . ' places';
    is_deeply \@wrong, [], 'and are the same';

    $http->send(post('/in/dev', large_track('u1')));

    my $call = $fake->call;

    for my $octet (split //, whole($call, plain())) {
        $fake->reply_whole($call, $octet);
        $fake->wait_drained($call->{conn});
    }

    like $fake->answer($http)->{body}, $applied, 'octet by octet';
    is $fake->open_conns, 1, 'over one connection';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Redis answers MULTI as soon as it has read it, while most of the text is
# still to be written.

sub early_replies {
    my ($fake, $nginx, $http) = held();
    my ($conn) = $fake->open_conns;

    $conn->{deaf} = 1;
    $http->send(post('/in/dev',
                     '[' . join(',', map { large_track("u$_") } 1 .. 600)
                                . ']'));
    $fake->run_until('the text to begin', sub {
        $fake->take($conn, 100);
        return (commands($conn))[-1] eq 'BLPOP';
    });
    $fake->wait_drained($conn);
    $fake->run_for(0.05);

    ok !$conn->{closed}, 'a reply to MULTI in mid-write is none too many';

    $conn->{deaf} = 0;

    my $call = $fake->call;

    is scalar(@{ $call->{runs} }), 600, 'the rest of it follows';
    $fake->reply($call, plain());
    like $fake->answer($http)->{body}, qr/^\{"accepted":600,.*"runs":600,/,
         'and is answered';
    is $fake->open_conns, 1, 'over the same connection';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A call that has grown large does not wait for the reply to the one before it.

sub beside_another {
    my ($fake, $nginx, $http) = held();
    my $small = $nginx->new_client;
    my @clients;

    $http->send(post('/in/dev', track('T')));

    my $first = $fake->call;

    # samples count too, of which there are as many as time has it

    while (@clients < 40 && !@{ $fake->{calls} }) {
        push @clients, $nginx->new_client;
        $clients[-1]->send(post('/in/dev', large_track('u' . @clients)));
        $fake->wait_taken($clients[-1]);
        $fake->run_for(0.02);
    }

    my $call = $fake->call;

    is scalar(@{ $call->{runs} }), scalar(@clients),
       'so many requests that they do not wait';
    cmp_ok length $call->{raw}, '>', 128 * 1024,
           'they are a quarter of a megabyte, or half of it without samples';

    $small->send(post('/in/dev', large_track('small')));
    $fake->wait_taken($small);
    $fake->run_for(0.05);
    is_deeply $fake->{calls}, [], 'what is less waits for both replies';
    $fake->reply($first, applied($first, 'p'));
    $fake->reply($call, plain());

    my $next = $fake->call;

    is scalar(@{ $next->{runs} }), 1, 'and goes then';
    $fake->reply($next, plain());
    is_deeply [grep { $_ != 200 } map { $fake->answer($_)->{status} }
               $http, @clients, $small], [], 'each is answered';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# What cannot be a reply where it comes.

sub no_replies {
    my ($fake, $nginx, $http) = held(late => 1);
    my $queued = "+OK\r\n" . "+QUEUED\r\n" x 4;

    for (['', array(), 'an array to MULTI'],
         ['', ":1\r\n", 'a number to MULTI'],
         ["+OK\r\n", "*-1\r\n", 'nil to the gate'],
         ["+OK\r\n+QUEUED\r\n", bulk('QUEUED'), 'a string to RPUSH'],
         ["+OK\r\n+QUEUED\r\n+QUEUED\r\n", "\$-1\r\n", 'nil to FCALL'],
         [$queued, "+OK\r\n", 'a status to EXEC'],
         [$queued, "+QUEUED\r\n", 'one more +QUEUED'],
         [$queued, "*-1\r\n", 'nil to EXEC'],
         [$queued, array(), 'an empty array to EXEC'],
         [$queued, plain(), 'an array of one to EXEC'],
         [$queued, array(":2\r\n", plain(), "\$-1\r\n"),
          'an array of three to EXEC'],
         [$queued, array("*-1\r\n", ":2\r\n", plain(), ("\$-1\r\n") x 2),
          'an array of five to EXEC'])
    {
        my ($first, $reply, $what) = @$_;

        $fake->ready;
        $http->send(post('/in/dev', large_track('u1')));

        my $call = $fake->call;
        my $offset = -s $nginx->error_log;

        delete $call->{unsaid};
        $fake->reply_whole($call, $first . $reply);
        ok unavailable($fake->answer($http)), "$what: 503";
        $fake->wait_closed($call->{conn});
        like $nginx->log_text($offset), qr/a reply came that was not asked for/,
             "$what: over another connection from now on";
    }

    served($fake, $nginx, 'after no replies');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A status too many moves all that come after it: no reply of a transaction may
# be taken for one of what is sent behind it.

sub replies_one_too_many {
    my ($fake, $nginx, $http) = held(late => 1);
    my $other = $nginx->new_client;

    $http->send(post('/in/dev', large_track('u1')));

    my $call = $fake->call;

    $fake->write($call->{conn}, "+OK\r\n");
    $fake->wait_drained($call->{conn});
    $other->send(post('/in/dev',
                      '[' . join(',', (large_track('u2')) x 128) . ']'));

    my $next = $fake->call;

    $fake->reply($call, plain());
    ok unavailable($fake->answer($_)), 'a status too many: 503'
        for $http, $other;
    served($fake, $nginx, 'a status too many');

    # and one after the end

    $fake->ready;
    $http->send(post('/in/dev', large_track('u1')));
    $call = $fake->call;
    $fake->reply_whole($call, executed($call, plain()) . "+OK\r\n");
    like $fake->answer($http)->{body}, $applied, 'a reply behind EXEC\'s';
    $fake->wait_closed($call->{conn});
    pass 'closes the connection';
    served($fake, $nginx, 'a reply behind EXEC\'s');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# An error is the same to a sender and to an operator, wherever it stands.

sub refused {
    my @errors = (
        "OOM command not allowed when used memory > 'maxmemory'.",
        'NOPERM this user has no permissions to run the \'rpush\' command',
        "READONLY You can't write against a read only replica.",
        'LOADING Redis is loading the dataset in memory',
        'BUSY Redis is busy running a script',
        'MISCONF Redis is configured to save RDB snapshots',
        'NOREPLICAS Not enough good replicas to write.',
        'MOVED 3999 127.0.0.1:6381',
        "CROSSSLOT Keys in request don't hash to the same slot",
        'WRONGTYPE Operation against a key holding the wrong kind of value',
        'ERR what is that',
    );
    my (%part, $abort, %wanted);

    # who says it: a lone FCALL, a command that is queued, or EXEC

    my %ways = (
        alone => sub { $_[0]->reply($_[1], error($_[2])) },
        in_place_of_fcall => sub { $_[0]->reply($_[1], error($_[2])) },
        in_place_of_rpush => sub {
            $_[0]->reply_whole($_[1], array("*-1\r\n", error($_[2]),
                error('ERR the runs of this call are not there'),
                "\$-1\r\n"));
        },
        by_exec => sub {
            $_[0]->reply_whole($_[1],
                error("EXECABORT Transaction discarded because of: $_[2]"));
        },
        queued_blpop => undef, queued_rpush => undef, queued_fcall => undef,
        queued_eval => undef, queued_all => undef,
    );

    for my $way ('alone', sort grep { $_ ne 'alone' } keys %ways) {
        my ($fake, $nginx, $http) = held();
        my ($queued) = $way =~ /^queued_(\w+)/;

        for my $text (@errors) {
            my $n = 0;

            # others that are refused say something else

            $fake->{part} = sub {
                return if $queued ne 'all' && lc $_[1]{args}[0] ne $queued;
                return error($n++ ? 'ERR not this one' : $text);
            } if $queued;

            $fake->ready;

            my $offset = -s $nginx->error_log;

            $http->send(post('/in/dev', $way eq 'alone' ? track('T')
                                                        : large_track('u1')));

            if ($ways{$way}) {
                my $call = $fake->call;

                is !!$call->{runs}, $way ne 'alone', "$way: a transaction";
                $ways{$way}->($fake, $call, $text);
            }

            my $outcome = outcome($fake, $nginx, $http, $offset);

            if ($way eq 'alone') {
                $wanted{$text} = $outcome;
                like $outcome, qr/^50[03] .*\Q$text\E/s, "$text: is logged";
            } else {
                is $outcome, $wanted{$text}, "$way, $text: the same";
            }
        }

        $fake->{part} = undef;
        served($fake, $nginx, $way);
        is_deeply [$nginx->complaints], [], "$way: no complaints in the log";
    }
}


# A library that is missing, or of another version, shows when FCALL is run.

sub library {
    my ($fake, $nginx, $http) = held();
    my $other = $nginx->new_client;

    for my $reply ('ERR Function not found',
                   'KNOCKLIB version 0 is older than its caller, load 3')
    {
        $http->send(post('/in/dev', large_track('u1')));

        my $call = $fake->call;

        $other->send(post('/in/dev', large_track('u2')));
        $fake->wait_taken($other);
        $fake->reply($call, error($reply));

        my $again = $fake->call;

        is((commands($call->{conn}))[-7], 'FUNCTION',
           "\"$reply\": the library is loaded");
        is $again->{raw}, $call->{raw}, 'then the transaction comes again';
        $fake->reply($again, applied($again, 'p', 1));
        like $fake->answer($http)->{body}, $applied, 'and is answered';

        my $next = $fake->call;

        is_deeply [map { $_->{args}[0] } @{ $call->{conn}{log} }[-12 .. -1]],
                  [(qw(MULTI BLPOP RPUSH FCALL EVAL EXEC)) x 2],
                  'the next is behind';
        $fake->reply($next, applied($next, 'p', 1));
        like $fake->answer($other)->{body}, $applied, 'and has its own answer';
    }

    # in vain

    $http->send(post('/in/dev', large_track('u1')));

    my $sent = $fake->reply_until_answered($http,
                                           error('ERR Function not found'));

    is $http->answer->{status}, 500, 'never found: 500 in the end';
    cmp_ok $sent, '<=', 8, "after it was sent $sent times";
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The client goes while its transaction is under way, or half written.

sub gone_meanwhile {
    my ($fake, $nginx) = held();
    my $figures = Knock::Figures->new($nginx, $fake);

    for my $how (qw(close reset)) {
        my $gone = $nginx->new_client;

        $gone->send(post('/in/dev', large_track('u1')));

        my $call = $fake->call;

        $gone->$how;
        $nginx->seen;
        $fake->reply($call, applied($call, 'p', 1));
        served($fake, $nginx, "gone by $how");
    }

    $figures->is_quiet('gone meanwhile', requests => { 499 => 1, 200 => 3 });
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# ---------------------------------------------------------------------------
# with a real Redis behind
# ---------------------------------------------------------------------------

# An event with a run for somebody who is identified by it, of its own id.

sub comment {
    my ($id) = @_;

    return track('Comment Created', messageId => qq("m-$id"),
                 properties => qq({"recipients":[{"id":"$id"}],"text":")
                               . 'x' x 5000 . '"}');
}


# What is in Redis, but for its clock; with nothing left when nothing was done.

sub contents {
    return redis('EVAL', <<'_EOS_', 0);
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    all[#all + 1] = key .. ' ' .. redis.sha1hex(redis.call('DUMP', key))
end
table.sort(all)
return table.concat(all, '\n')
_EOS_
}


# The ids of the recipients of the runs, each of which must be a whole run.

sub recipients {
    return map { /^\{"id":".*"recipient":\{[^}]*"id":"([^"]+)"\}.*\}\z/
                 ? $1 : "no run: $_" }
           @{ redis(qw(LRANGE knock:{development}:runs 0 -1)) };
}


sub behind {
    my (%o) = @_;

    my $fake = Knock::HeldRedis->new(unix => 1,
                                     upstream => redis_server()->{socket}, %o);
    my $nginx = $fake->nginx;

    return $fake, $nginx, $nginx->new_client;
}


# Calls `code` with each transaction's EXEC, which has not been handed on.

sub at_exec {
    my ($fake, $code) = @_;

    $fake->{auto} = sub {
        my ($self, $command) = @_;

        return $command->{runs} ? $code->($self, $command) : undef;
    };
}


sub is_repeated {
    my ($fake, $http, $id, $what) = @_;

    $fake->{auto} = undef;
    $fake->ready;
    like $fake->ask($http, post('/in/dev', comment($id)))->{body}, $applied,
         "$what: the retry does it";
    is scalar(grep { $_ eq $id } recipients()), 1, "$what: once";
    is scalar(grep { /^no run/ } recipients()), 0,
       "$what: and nothing else is among the runs";
}


sub lost {
    my ($fake, $nginx, $http) = behind();

    # warm, so that what is compared is what the request does

    like $fake->ask($http, post('/in/dev', comment('first')))->{body},
         $applied, 'a transaction in a real Redis';

    for my $how (qw(close reset)) {
        my $before = contents();
        my $id = "lost-$how";

        $fake->ready;
        at_exec($fake, sub { $_[0]->$how($_[1]{conn}); return '' });
        ok unavailable($fake->ask($http, post('/in/dev', comment($id)))),
           "lost by $how when all was queued: 503";
        is contents(), $before, "lost by $how: nothing was applied";
        is_repeated($fake, $http, $id, "lost by $how");

        # when Redis had done it

        $id = "late-$how";
        $fake->ready;
        at_exec($fake, sub {
            $_[0]->_upstream($_[1]);
            $_[0]->$how($_[1]{conn});
            return '';
        });
        ok unavailable($fake->ask($http, post('/in/dev', comment($id)))),
           "lost by $how when it was done: 503";
        is((recipients())[-1], $id, "lost by $how: it had been applied");
        $fake->{auto} = undef;
        $fake->ready;
        like $fake->ask($http, post('/in/dev', comment($id)))->{body},
             qr/"duplicates":1,"ignored":0,"runs":0,/,
             "lost by $how: the retry is a duplicate";
        is scalar(grep { $_ eq $id } recipients()), 1, "lost by $how: once";

        # in mid-text: a part of it is there, its EXEC is not

        $id = "half-$how";
        $before = contents();
        $fake->ready;
        $fake->{part} = sub {
            my ($self, $command) = @_;

            return if $command->{args}[0] ne 'FCALL';
            $self->_upstream($command);
            $self->$how($command->{conn});
            return '';
        };
        ok unavailable($fake->ask($http, post('/in/dev', comment($id)))),
           "lost by $how in mid-text: 503";
        is contents(), $before, "lost by $how in mid-text: nothing was applied";
        $fake->{part} = undef;
        is_repeated($fake, $http, $id, "lost by $how in mid-text");
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The commands were queued, then there is no memory for them.

sub out_of_memory {
    my ($fake, $nginx, $http) = behind();
    my $before = contents();
    my $offset = -s $nginx->error_log;

    at_exec($fake, sub { redis(qw(CONFIG SET maxmemory 1)); return });
    ok unavailable($fake->ask($http, post('/in/dev', comment('oom')))),
       'no memory at EXEC: 503';
    redis(qw(CONFIG SET maxmemory 0));
    is contents(), $before, 'no memory at EXEC: nothing was applied';
    like $nginx->log_text($offset), qr/: OOM command not.*raise maxmemory/,
         'no memory at EXEC: the log helps';
    is_repeated($fake, $http, 'oom', 'no memory at EXEC');

    # and before

    $before = contents();
    redis(qw(CONFIG SET maxmemory 1));
    ok unavailable($fake->ask($http, post('/in/dev', comment('oom-2')))),
       'no memory at RPUSH: 503';
    redis(qw(CONFIG SET maxmemory 0));
    is contents(), $before, 'no memory at RPUSH: nothing was applied';
    is_repeated($fake, $http, 'oom-2', 'no memory at RPUSH');

    # and no function: RPUSH is done, and taken back

    my $flushed = 0;

    at_exec($fake, sub { redis(qw(FUNCTION FLUSH)) if !$flushed++; return });
    like $fake->ask($http, post('/in/dev', comment('gone')))->{body}, $applied,
         'no library at EXEC: it is loaded';
    is scalar(grep { $_ eq 'gone' } recipients()), 1,
       'no library at EXEC: and done once';
    is scalar(grep { /^no run/ } recipients()), 0,
       'no library at EXEC: nothing else is among the runs';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub replica {
    my ($fake, $nginx, $http) = behind();
    my ($conn) = $fake->open_conns;
    my $before = contents();
    my $offset = -s $nginx->error_log;

    at_exec($fake, sub { redis(qw(REPLICAOF 127.0.0.1 1)); return });
    ok unavailable($fake->ask($http, post('/in/dev', comment('replica')))),
       'a replica at EXEC: 503';
    $fake->wait_closed($conn);
    pass 'a replica at EXEC: over another connection from now on';
    redis(qw(REPLICAOF NO ONE));
    is contents(), $before, 'a replica at EXEC: nothing was applied';
    like $nginx->log_text($offset), qr/: READONLY .*point knock_redis to the m/,
         'a replica at EXEC: the log helps';
    is_repeated($fake, $http, 'replica', 'a replica at EXEC');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The function fails, with the runs pushed in front of it.

sub failed {
    my ($fake, $nginx, $http) = behind();
    my ($version) = redis(qw(GET knock:{development}:version));

    redis(qw(DEL knock:{development}:version));
    redis(qw(RPUSH knock:{development}:version wrong));

    my $before = contents();

    is $fake->ask($http, post('/in/dev', comment('failed')))->{status}, 500,
       'the function fails: 500';
    is contents(), $before, 'the function fails: nothing was applied';

    redis(qw(DEL knock:{development}:version));
    redis(qw(SET knock:{development}:version), $version) if defined $version;
    is_repeated($fake, $http, 'failed', 'the function fails');

    # the list is none: RPUSH fails

    redis(qw(RENAME knock:{development}:runs knock:{development}:kept));
    redis(qw(SET knock:{development}:runs text));
    $before = contents();
    is $fake->ask($http, post('/in/dev', comment('no-list')))->{status}, 500,
       'no list for the runs: 500';
    is contents(), $before, 'no list for the runs: nothing was applied';
    redis(qw(RENAME knock:{development}:kept knock:{development}:runs));
    is_repeated($fake, $http, 'no-list', 'no list for the runs');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# A user who may not do what makes up a transaction.

sub not_permitted {
    my $server = redis_server();

    for my $command (qw(multi exec)) {
        redis('ACL', 'SETUSER', 'limited', qw(reset on >secret ~* &* +@all),
              "-$command");

        my $nginx = Knock::Nginx->start(http => "knock_redis redis://limited:"
            . "secret\@127.0.0.1:$server->{port} reconnect=10ms "
            . 'reconnect_max=20ms;');

        for my $body (track('T'), comment("no-$command")) {
            ok unavailable($nginx->post('/in/dev', $body)),
               "-$command: not let in, 503";
        }

        like $nginx->log_text,
             qr/Redis let us not in: NOPERM .*'$command' .*ACL SETUSER/,
             "-$command: the log names the permission";

        redis('ACL', 'SETUSER', 'limited', "+$command");

        my $answer = wait_for('Redis', sub {
            my $a = $nginx->post('/in/dev', comment("no-$command"));

            return $a->{status} == 200 && $a;
        });

        like $answer->{body}, $applied, "+$command: served";
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
    }
}


# The permission goes while the connection is used.

sub permission_taken {
    for my $command (qw(multi blpop rpush fcall eval exec)) {
        my $nginx = limited_nginx();

        like $nginx->post('/in/dev', comment("with-$command"))->{body},
             $applied, "with $command: served";

        my $before = contents();

        redis('ACL', 'SETUSER', 'limited', "-$command");
        ok unavailable($nginx->post('/in/dev', comment("taken-$command"))),
           "$command is taken: 503";
        is contents(), $before, "$command is taken: nothing was applied";
        like $nginx->log_text, qr/NOPERM .*'$command'/,
             "$command is taken: the log names it";
        redis('ACL', 'SETUSER', 'limited', "+$command");

        my $answer = wait_for('Redis', sub {
            my $a = $nginx->post('/in/dev', comment("taken-$command"));

            return $a->{status} == 200 && $a;
        });

        like $answer->{body}, $applied, "$command is given back: served";
        is scalar(grep { $_ eq "taken-$command" } recipients()), 1,
           "$command is given back: it is done once";
        is scalar(grep { /^no run/ } recipients()), 0,
           "$command is given back: nothing else is among the runs";
        is_deeply [$nginx->complaints], [], 'no complaints in the log';
    }
}


# What is sent behind a refused MULTI Redis would do one by one: it does none of
# it, of the call's and of those behind it, and who waits for a run gets none.

sub multi_taken {
    my $server = redis_server();
    my $nginx = limited_nginx();

    redis(qw(DEL knock:{development}:runs));

    my $consumer = waiting_consumer($server);

    like $nginx->post('/in/dev', comment('served'))->{body}, $applied,
         'with MULTI: served';
    like $consumer->_reply, qr/"id":"served"/, 'and a consumer gets the run';

    $consumer = waiting_consumer($server);
    redis(qw(ACL SETUSER limited -multi));

    my $before = contents();
    my @clients = map { $nginx->new_client } 1 .. 4;

    # the first is too large for the others to share its call

    for my $n (0 .. $#clients) {
        $clients[$n]->send(post('/in/dev', '[' . join(',', map {
            comment("m$n-$_") } 1 .. ($n ? 1 : 128)) . ']'));
    }

    ok unavailable($_->answer), 'MULTI is taken: 503' for @clients;

    # Redis notices a little later that the connection is gone

    wait_for('the consumer, and nobody else, to wait', sub {
        redis(qw(INFO clients)) =~ /blocked_clients:1\b/;
    });
    is contents(), $before, 'MULTI is taken: nothing was applied';
    is redis(qw(LLEN knock:{development}:mine)), 1,
       'MULTI is taken: who waits for a run has got none';
    like $nginx->log_text,
         qr/is away: MULTI was refused, by "NOPERM .*ACL SETUSER/,
         'MULTI is taken: the log says what to do';

    redis(qw(ACL SETUSER limited +multi));
    wait_for('Redis', sub {
        return $nginx->post('/in/dev', comment('again'))->{status} == 200;
    });
    like $consumer->_reply, qr/"id":"again"/,
         'MULTI is given back: a consumer gets a run';
    is redis(qw(LLEN knock:{development}:runs)), 0, 'and it was all there was';
    redis(qw(DEL knock:{development}:mine));
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# An nginx whose user has all permissions that are not taken from it.

sub limited_nginx {
    my $server = redis_server();

    redis('ACL', 'SETUSER', 'limited', qw(reset on >secret ~* &* +@all));

    return Knock::Nginx->start(http => "knock_redis redis://limited:"
        . "secret\@127.0.0.1:$server->{port} reconnect=10ms "
        . 'reconnect_max=20ms;');
}


# A client that waits for the next run.

sub waiting_consumer {
    my ($server) = @_;

    my $consumer = connect_redis($server);
    my $blocked = sub {
        return redis(qw(INFO clients)) =~ /blocked_clients:(\d+)/ ? $1 : 0;
    };
    my $before = $blocked->();

    print { $consumer->{socket} }
        "*6\r\n" . join '', map { bulk($_) } 'BLMOVE',
        'knock:{development}:runs', 'knock:{development}:mine', 'LEFT',
        'RIGHT', '60';
    $consumer->{socket}->flush;

    wait_for('a consumer', sub { $blocked->() == $before + 1 });

    return $consumer;
}


# One who waits for runs gets runs: never a token, never one that is taken off.

sub consumers {
    my ($fake, $nginx, $http) = behind();
    my $server = redis_server();

    redis(qw(DEL knock:{development}:runs));

    my @consumers = map { waiting_consumer($server) } 1 .. 4;

    # nothing for them where the function fails

    redis(qw(FUNCTION FLUSH));
    redis(qw(FUNCTION LOAD), <<'_EOS_');
#!lua name=knock
redis.register_function('knock_apply', function(keys, args)
    return redis.error_reply('ERR not now')
end)
_EOS_
    is $fake->ask($http, post('/in/dev', comment('never')))->{status}, 500,
       'the function fails: 500';
    like redis(qw(INFO clients)), qr/blocked_clients:4\b/,
         'who waits for runs has not been given any';
    redis(qw(FUNCTION FLUSH));

    my $body = '[' . join(',', map { comment("c$_") } 1 .. 4) . ']';

    like $fake->ask($http, post('/in/dev', $body))->{body}, qr/"runs":4,/,
         'four runs for four who wait';

    my @runs = map { $_->_reply } @consumers;

    is_deeply [map { /"recipient":\{[^}]*"id":"(\w+)"/ } @runs],
              [map { "c$_" } 1 .. 4], 'each is given one, in order';
    is redis(qw(LLEN knock:{development}:runs)), 0, 'and none is left';
    redis(qw(DEL knock:{development}:mine));
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Large batches over many connections to two workers, while the library goes
# again and again: twice in a round, as a call that misses it a third time is
# taken to miss it for good.

sub flushed_under_load {
    my $nginx = Knock::Nginx->start(redis => redis_server(), workers => 2);
    my @clients = map { $nginx->new_client } 1 .. 12;
    my (@wrong, @sent);

    redis(qw(DEL knock:{development}:runs));

    for my $round (1 .. 15) {
        for my $n (0 .. $#clients) {
            my @ids = map { "r$round-$n-$_" } 1 .. 5 + $n;

            push @sent, @ids;
            $clients[$n]->send(post('/in/dev', '[' . join(',', map {
                comment($_) } @ids) . ']'));
            redis(qw(FUNCTION FLUSH)) if $n == 4;
        }

        redis(qw(FUNCTION FLUSH));

        for my $n (0 .. $#clients) {
            my $answer = $clients[$n]->answer;
            my $runs = 5 + $n;

            push @wrong, "$round: $answer->{status} $answer->{body}"
                unless $answer->{body} =~ /^\{"accepted":$runs,.*"runs":$runs,/;
        }
    }

    is_deeply \@wrong, [], 'flushed under load: every request is served';

    my %seen;

    $seen{$_}++ for recipients();

    is_deeply [grep { $seen{$_} != 1 } @sent], [],
              'flushed under load: every run is there once';
    is scalar(keys %seen), scalar(@sent),
       'flushed under load: nothing else is among the runs'
       or diag join "\n", map { substr $_, 0, 80 }
                          grep { /^no run/ } keys %seen;
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
