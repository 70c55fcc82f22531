# Replies of Redis: in pieces, in one read, large, none, too many, late, and
# such as are no replies.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::HeldRedis;

my $applied = qr/^\{"accepted":1,"duplicates":0,"ignored":0,"runs":0,/;
my $ignored = qr/^\{"accepted":0,"duplicates":0,"ignored":1,"runs":0,/;


for my $where ('a unix socket', 'TCP') {
    my $fake = Knock::HeldRedis->new(unix => $where ne 'TCP');
    my $nginx = $fake->nginx;
    my @workers = $nginx->workers;
    my $http = $nginx->new_client;

    in_two_parts($where, $fake, $http);
    octet_by_octet($where, $fake, $http);
    two_in_one_read($where, $fake, $nginx);
    one_at_a_time($where, $fake, $nginx);
    large($where, $fake, $http);

    is scalar(@{ $fake->{conns} }), 1, "$where: one connection did it all";

    cut_short($where, $fake, $http);
    reset_by_redis($where, $fake, $http);
    half_closed($where, $fake, $http);
    stray($where, $fake, $http, $nginx);
    garbage($where, $fake, $http, $nginx);
    late($where, $fake, $nginx);
    client_gone($where, $fake, $nginx);

    is_deeply [$nginx->workers], \@workers, "$where: the worker lives";
    is_deeply [$nginx->complaints], [], "$where: no complaints in the log";
}

arguments_as_they_are();
library_calls();

done_testing;


sub in_two_parts {
    my ($where, $fake, $http) = @_;
    my @wrong;

    my $whole = length array(array(bulk('ok'), bulk('p'), ":0\r\n"));

    for my $at (1 .. $whole - 1) {
        $http->send(post('/in/dev', track("T$at")));

        my $call = $fake->call;
        my $reply = applied($call, 'p');

        $fake->reply($call, substr $reply, 0, $at);
        $fake->wait_drained($call->{conn});
        $fake->reply($call, substr $reply, $at);

        my $answer = $fake->answer($http);

        push @wrong, "$at: $answer->{status} $answer->{body}"
            unless $answer->{status} == 200 && $answer->{body} =~ $applied;
    }

    is_deeply \@wrong, [], "$where: a reply split at every byte";
}


sub octet_by_octet {
    my ($where, $fake, $http) = @_;

    $http->send(post('/in/dev', track('T')));

    my $call = $fake->call;

    for my $octet (split //, applied($call, 'p')) {
        $fake->reply($call, $octet);
        $fake->wait_drained($call->{conn});
    }

    like $fake->answer($http)->{body}, $applied,
         "$where: a reply an octet at a time";
}


sub two_in_one_read {
    my ($where, $fake, $nginx) = @_;

    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    # two replies and half of a third

    my @replies = map { applied($calls[$_], ('p', 'd', 'i')[$_]) } 0 .. 2;

    $fake->reply($calls[0], $replies[0] . $replies[1]
                            . substr $replies[2], 0, 9);

    like $fake->answer($clients[0])->{body}, qr/^\{"accepted":128,/,
         "$where: the first of two replies in one read";
    like $fake->answer($clients[1])->{body}, qr/"duplicates":128,/,
         "$where: the second of two replies in one read";
    ok $clients[2]->silent(0.05), "$where: the third one is not complete";

    $fake->reply($calls[2], substr $replies[2], 9);

    like $fake->answer($clients[2])->{body}, qr/"ignored":128,/,
         "$where: the third one";
}


# One call at a time: what comes meanwhile shares the next one.  One reply may
# answer all of its units.

sub one_at_a_time {
    my ($where, $fake, $nginx) = @_;

    my @clients = map { $nginx->new_client } 0 .. 3;

    $clients[0]->send(post('/in/dev', track('T0')));

    my $first = $fake->call;

    is_deeply [events($first)], ['track/T0'],
              "$where: a worker that has nothing under way sends at once";

    for my $i (1 .. 3) {
        $clients[$i]->send(post('/in/dev', track("T$i")));
        $fake->wait_taken($clients[$i]);
    }

    $fake->run_for(0.05);
    is_deeply $fake->{calls}, [],
              "$where: what comes meanwhile waits for the reply";

    $fake->reply($first, plain());

    my $next = $fake->call;

    is_deeply [events($next)], [map { "track/T$_" } 1 .. 3],
              "$where: and is the next call";
    like $fake->answer($clients[0])->{body}, $ignored,
         "$where: as expected, of one request";
    $fake->reply($next, plain());
    like $fake->answer($clients[$_])->{body}, $ignored,
         "$where: as expected, of several (request $_)" for 1 .. 3;

    # beside a call that is under way goes only what would be too much

    $clients[0]->send(post('/in/dev', track('T0')));
    $first = $fake->call;
    $clients[1]->send(post('/in/dev', track('T1')));
    $fake->wait_taken($clients[1]);
    $clients[2]->send(post('/in/dev', full('T2')));
    $next = $fake->call;
    is_deeply [names($next)], ['track/T1', 'track/T2'],
              "$where: too many events do not wait, nor what is with them";
    $clients[3]->send(post('/in/dev', track('T3')));
    $fake->wait_taken($clients[3]);
    $fake->reply($first, plain());
    $fake->reply($next, plain());
    like $fake->answer($clients[2])->{body}, qr/"ignored":128,/,
         "$where: and are answered";
    like $fake->answer($clients[$_])->{body}, $ignored,
         "$where: each by itself (request $_)" for 0, 1;
    $next = $fake->call;
    $fake->reply($next, plain());
    like $fake->answer($clients[3])->{body}, $ignored,
         "$where: and so is the one behind them";
}


# What is live makes up a reply of just as many octets; the settings behind the
# padding show that it was read to its end.

sub large {
    my ($where, $fake, $http) = @_;

    my $version = 2;

    for my $size (16383, 16384, 16385, 32768, 1024 * 1024) {
        my %live = (version => $version++,
                    endpoints => ['segment/padding', '',
                                  "segment/token", "token-$size"]);
        my $length = 0;

        # the length of the length counts too
        for (1 .. 3) {
            $live{endpoints}[1] = 'x' x ($size - $length
                                         + length $live{endpoints}[1]);
            $fake->{live} = \%live;
            $length = length $fake->live;
        }

        is $length, $size, "$where: a reply of $size octets is made";

        $http->send(post("/in/token-$size", track("T$size")));

        my $call = $fake->call;

        $fake->reply($call, applied($call, 'p'));

        like $fake->answer($http)->{body}, $applied,
             "$where: a reply of $size octets";
    }

    # and the status of each event of a batch

    $fake->{live} = { version => $version };
    $http->send(post('/in/dev', '[' . join(',', map { track("T$_") } 1 .. 4000)
                                . ']'));

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));

    like $fake->answer($http)->{body}, qr/^\{"accepted":4000,/,
         "$where: a reply to a call with 4000 events";
}


# Each beginning of a reply, and then nothing more.

sub cut_short {
    my ($where, $fake, $http) = @_;
    my @wrong;

    for my $length (0 .. 26) {
        $fake->ready;
        $http->send(post('/in/dev', track('T')));

        my $call = $fake->call;

        $fake->reply($call, substr applied($call, 'p'), 0, $length);
        $fake->close($call->{conn});

        my $answer = $fake->answer($http);

        push @wrong, "$length: $answer->{status}"
            unless unavailable($answer);
    }

    is_deeply \@wrong, [],
              "$where: a reply cut short by a close is answered with 503";

    served($where, $fake, $http);
}


sub reset_by_redis {
    my ($where, $fake, $http) = @_;

    $fake->ready;
    $http->send(post('/in/dev', track('T')));
    $fake->reset($fake->call->{conn});

    ok unavailable($fake->answer($http)),
       "$where: a reset is answered with 503";

    served($where, $fake, $http);
}


sub half_closed {
    my ($where, $fake, $http) = @_;

    $fake->ready;
    $http->send(post('/in/dev', track('T')));

    my $call = $fake->call;

    $fake->reply($call, substr applied($call, 'p'), 0, 10);
    $fake->half_close($call->{conn});

    ok unavailable($fake->answer($http)),
       "$where: a half-closed connection is answered with 503";

    $fake->wait_closed($call->{conn});
    pass "$where: and closed altogether";

    served($where, $fake, $http);
}


sub stray {
    my ($where, $fake, $http, $nginx) = @_;

    # nothing was asked

    my $conn = $fake->ready;
    my $offset = -s $nginx->error_log;

    $fake->write($conn, "+OK\r\n");
    $fake->wait_closed($conn);

    like $nginx->log_text($offset), qr/a reply came that was not asked for/,
         "$where: a stray reply closes the connection and is logged";

    served($where, $fake, $http);

    # one more than was asked

    $fake->ready;
    $http->send(post('/in/dev', track('T')));

    my $call = $fake->call;
    my $reply = applied($call, 'p');

    $fake->reply($call, $reply . $reply);

    like $fake->answer($http)->{body}, $applied,
         "$where: a reply that came twice is taken once";

    $fake->wait_closed($call->{conn});
    pass "$where: and the connection closed";

    served($where, $fake, $http);
}


sub garbage {
    my ($where, $fake, $http, $nginx) = @_;

    my @garbage = (
        ["?what\r\n",                   'an unknown type'],
        ["HTTP/1.1 400 Bad\r\n\r\n",    'HTTP'],
        ["\0\0\0\0\r\n",                'zeros'],
        ["%1\r\n+a\r\n+b\r\n",          'a map of RESP3'],
        ["*2147483647\r\n",             'an array without end'],
        ["*1048577\r\n",                'a larger array than there is'],
        ["*99999999999999999999\r\n",   'a number that is too large'],
        ['*1' . "\r\n*1" x 9 . "\r\n",  'arrays nine deep'],
        ["\$-7\r\nxxxx\r\n",            'a string of negative length'],
    );

    for (@garbage) {
        my ($octets, $what) = @$_;

        $fake->ready;
        $http->send(post('/in/dev', track('T')));

        my $call = $fake->call;
        my $offset = -s $nginx->error_log;

        $fake->reply($call, $octets);

        my $answer = $fake->answer($http);

        ok unavailable($answer), "$where: $what is answered with 503"
            or diag "$answer->{status} $answer->{body}";

        $fake->wait_closed($call->{conn});
        like $nginx->log_text($offset),
             qr/what came is no reply of Redis|a reply is too large/,
             "$where: $what is logged";
    }

    # replies in good form, but of another function than ours

    for my $octets ("+OK\r\n", ":1\r\n", "\$-1\r\n", "*-1\r\n", "*0\r\n",
                    "*1\r\n:1\r\n", "*1\r\n*0\r\n",
                    "*1\r\n*3\r\n:1\r\n:2\r\n:3\r\n",
                    "*1\r\n*3\r\n+ok\r\n+p\r\n:0\r\n",
                    array(array(bulk('need'), bulk('y'), ":1\r\n")),
                    array(array(bulk('ok'), bulk('l' x 99), ":1\r\n")),
                    array(array(bulk('ok'), bulk(''), ":1\r\n")))
    {
        $fake->ready;
        $http->send(post('/in/dev', '[' . track('T') . ',' . track('T') . ']'));
        $fake->reply($fake->call, $octets);

        (my $shown = $octets) =~ s/\r\n/ /g;

        is $fake->answer($http)->{status}, 500,
           "$where: \"$shown\" is answered with 500";
    }

    served($where, $fake, $http);
}


# After a time-out the reply still comes; nobody may take it for the reply to
# what was asked later.

sub late {
    my ($where, $patient, $client_of) = @_;

    my $fake = Knock::HeldRedis->new(unix => $patient->{unix});
    my $nginx = $fake->nginx(params => 'timeout=200ms');
    my @clients = map { $nginx->new_client } 1 .. 3;
    my @calls;

    for my $i (0 .. 2) {
        $clients[$i]->send(post('/in/dev', full("T$i")));
        push @calls, $fake->call;
    }

    for my $i (0 .. 2) {
        ok unavailable($fake->answer($clients[$i])),
           "$where: no reply in time, 503 (request " . ($i + 1) . ')';
    }

    like $nginx->log_text, qr/no reply within 200ms/,
         "$where: and the log says so";

    # to write there must be no error, as it would be closed unseen

    $fake->{deaf} = 1;
    $fake->write($calls[0]{conn}, applied($calls[0], 'd') x 3);
    $fake->{deaf} = 0;

    my $conn = $fake->ready;

    isnt $conn, $calls[0]{conn}, "$where: there is another connection";

    $clients[0]->send(post('/in/dev', track('Later')));

    my $call = $fake->call;

    is_deeply [events($call)], ['track/Later'],
              "$where: nothing is sent again by itself";
    ok $clients[0]->silent(0.05),
       "$where: a late reply answers no later request";

    $fake->reply($call, applied($call, 'p'));

    like $fake->answer($clients[0])->{body}, $applied,
         "$where: that one has a reply of its own";

    $fake->wait_closed($calls[0]{conn});
    pass "$where: the first connection is closed";

    # half of a reply is no reply

    $fake->ready;
    $clients[0]->send(post('/in/dev', track('Half')));
    $call = $fake->call;
    $fake->reply($call, substr applied($call, 'p'), 0, 12);

    ok unavailable($fake->answer($clients[0])),
       "$where: half of a reply in time, 503";

    is_deeply [$nginx->complaints], [], "$where: no complaints in the log";
}


sub client_gone {
    my ($where, $fake, $nginx) = @_;

    my ($gone, $stays) = map { $nginx->new_client } 1 .. 2;
    my $figures = Knock::Figures->new($nginx, $fake);

    for my $how (qw(close reset)) {
        $fake->ready;
        $gone->send(post('/in/dev', track('Gone')));

        my $first = $fake->call;

        $stays->send(post('/in/dev', full('Stays')));

        my $second = $fake->call;

        $gone->$how;
        $nginx->seen;
        $fake->reply($first, applied($first, 'd'));
        $fake->reply($second, applied($second, 'p'));

        like $fake->answer($stays)->{body}, qr/^\{"accepted":128,/,
             "$where: the reply for a request gone by $how goes to nobody";
    }

    # an error for one that has gone

    $gone->send(post('/in/dev', track('Gone')));

    my $call = $fake->call;

    $gone->reset;
    $nginx->seen;
    $fake->reply($call, error('ERR no such thing'));

    served($where, $fake, $stays);

    # one that has closed in good order is answered, if to nobody

    $figures->is_quiet("$where: those that have gone",
                       requests => { 499 => 2, 200 => 1 + 2 + 1 });
}


# What a user sends never is a format, and never ends early.

sub arguments_as_they_are {
    my $fake = Knock::HeldRedis->new(
        live => { workflows => ['w'],
                  actions => ['a', '{"key":"a","source":"segment",'
                              . '"event":"track/%s %n %b",'
                              . '"type":"workflows_trigger","workflow":"w",'
                              . '"recipients":"properties.to"}'] });
    my $nginx = $fake->nginx;
    my $http = $nginx->new_client;

    my $value = '%s%n%b%d %*s $3\r\n*1\r\n$8\r\nFLUSHALL\r\n \u00e9\ud83d\ude00'
                . "\xc3\xa9\x7f%";

    $http->send(post('/in/dev', track('%s %n %b',
        messageId => '"%n%n%n%s"', userId => '"%b"',
        properties => qq({"to":["%s%n"],"text":"$value"}))));

    my $call = $fake->call;
    my ($event) = map { @{ $_->{events} } } units($call);

    is $event->{event}, 'track/%s %n %b', 'a name like a format';
    like $event->{runs}[0], qr/"data":\{"to":\["%s%n"\],"text":"\Q$value\E"\}/,
         'a value like a format, or like commands, octet for octet';
    like $event->{runs}[0], qr/"id":"%s%n"/, 'an id like a format';

    $fake->reply($call, applied($call, 'p', 1));

    like $fake->answer($http)->{body}, qr/"runs":1/, 'and it is applied';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Of hiredis only the reader of replies is called: no command goes through it.

sub library_calls {
    my $symbols = `nm -D --undefined-only $ENV{KNOCK_MODULE} 2>/dev/null`;

    SKIP: {
        skip 'there is no nm', 2 unless $symbols;

        my @redis = sort grep { /^redis|^freeReply/ }
                    map { /(\w+)(?:@|$)/ } split /\n/, $symbols;

        ok scalar(grep { $_ eq 'redisReaderGetReply' } @redis),
           'replies are read by hiredis';
        is_deeply [grep { /redisv|Async|Connect|Command/ } @redis], [],
                  'commands are made without it, and connections';
    }
}


sub served {
    my ($where, $fake, $http) = @_;

    $fake->ready;
    $http->send(post('/in/dev', track('Served')));

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));

    my $answer = $fake->answer($http);

    is "$answer->{status} $answer->{body}",
       qq(200 {"accepted":1,"duplicates":0,"ignored":0,"runs":0,"errors":[]}\n),
       "$where: the next request is served";
}

