# The peers that the benchmark compares the module with do the job that they
# are measured at: what they answer, and what is in Redis then.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use Test::More;

use Knock::Http;
use Knock::Server qw(start_redis start_process stop_process free_port wait_for
                     connect_redis);

my $root = abs_path(dirname(__FILE__) . '/../..');
my $peers = "$root/bench/peers";
my $json = JSON::PP->new->canonical;

my $TOKEN = 'peer-token';
my $RUNS = 'knock:{development}:runs';
my $UUID = qr/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
my $TIME = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

my %start = (
    'lua'        => \&start_lua,
    'node'       => sub { start_node(@_, 'auto') },
    'node, turn' => sub { start_node(@_, 'turn') },
    'go'         => \&start_go,
);
my ($redis, $server, $http);            # of the peer under test

# The peer in Go derives no ids, lists no errors of single events, and is at a
# loss without its script: bench/peers/README.md
my $brief;

for my $peer (sort keys %start) {
    subtest "peer $peer" => sub { peer($peer) };
}

done_testing;


sub peer {
    my ($peer) = @_;

    my $dir = tempdir('knock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $port = free_port();

    chmod 0755, $dir;
    $server = start_redis();
    $redis = connect_redis($server);

    $brief = $peer eq 'go';

    my $pid = $start{$peer}->($dir, $port);

    wait_for("the peer $peer", sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    });

    $http = Knock::Http->new($port);

    subtest $_->[0] => $_->[1] for (
        ['identify'             => \&identify],
        ['a known recipient'    => \&known],
        ['an inline recipient'  => \&inline],
        ['an unknown recipient' => \&unknown],
        ['recipients'           => \&recipients],
        ['what is ignored'      => \&ignored],
        ['what fails'           => \&failing],
        ['what is invalid'      => \&invalid],
        ['text'                 => \&text],
        ['a batch'              => \&batch],
        ['a batch that passes'  => \&plain_batch],
        ['a batch with repeats' => \&repeats],
        ['a large batch'        => \&large],
        $brief ? () : ['Redis without script' => \&no_script],
        ['Redis away'           => \&away],
    );

    stop_process($pid);
    stop_process($server->{pid});
}


sub start_lua {
    my ($dir, $port) = @_;

    open my $in, '<', "$peers/lua/nginx.conf" or die "nginx.conf: $!\n";
    my $conf = do { local $/; <$in> };
    my %value = (PORT => $port, REDIS_SOCKET => $server->{socket},
                 PREFIX => "$peers/lua", DIR => $dir, TOKEN => $TOKEN);

    $conf =~ s/%%(\w+)%%/$value{$1} \/\/ die "no value for $1\n"/ge;
    open my $out, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";
    print {$out} $conf;
    close $out;

    return start_process("$dir/out.log", '/usr/sbin/nginx', '-p', $dir,
                         '-e', "$dir/error.log", '-c', "$dir/nginx.conf");
}


sub start_node {
    my ($dir, $port, $pipelining) = @_;

    chomp(my $packages = `$peers/node/install`);
    die "the packages of the peer in Node are not installed\n" if $?;
    local $ENV{KNOCK_PACKAGES} = $packages;

    return start_process("$dir/out.log", 'node',
                         "$peers/node/server.mjs", '--port', $port,
                         '--redis', $server->{socket}, '--token', $TOKEN,
                         '--pipelining', $pipelining);
}


sub start_go {
    my ($dir, $port) = @_;

    return start_process("$dir/out.log", "$root/build/bench/go-peer",
                         '-port', $port, '-redis', $server->{socket},
                         '-token', $TOKEN);
}


sub post {
    my ($body) = @_;

    return $http->post("/integrations/receive/$TOKEN",
                       ref $body ? $json->encode($body) : $body,
                       'Content-Type' => 'application/json');
}


# Posts, and checks the answer: counts in their order, then errors as
# "index action code".

sub answers {
    my ($body, $counts, $name, @errors) = @_;

    my $answer = post($body);
    my ($accepted, $duplicates, $ignored, $runs) = @$counts;
    my $head = qq({"accepted":$accepted,"duplicates":$duplicates,)
               . qq("ignored":$ignored,"runs":$runs,"errors":[);

    is $answer->{status}, 200, "$name: 200";
    is substr($answer->{body}, 0, length $head), $head, "$name: counts";
    is_deeply [errors($answer)], \@errors, "$name: errors";
    is $answer->{headers}{'content-type'}, 'application/json',
       "$name: content type";
}


sub errors {
    my ($answer) = @_;

    return map { join ' ', $_->{index}, $_->{action} // (), $_->{code} }
           @{decode_json($answer->{body})->{errors}};
}


my $number = 0;

sub event {
    my (%members) = @_;

    return { messageId => 'm' . ++$number, anonymousId => 'a1',
             timestamp => '2026-07-30T12:00:04.125Z',
             context => { ip => '203.0.113.24' }, %members };
}


sub track {
    my ($recipients, %members) = @_;

    return event(type => 'track', event => 'Comment Created', properties => {
        recipients => $recipients, commenter => { id => 'u9', name => 'Ada' },
        org => 'acme', comment => { id => "c$number", text => 'Looks good' },
    }, %members);
}


sub identified {
    my ($id, %traits) = @_;

    return event(type => 'identify', userId => $id, traits => \%traits);
}


sub user { return { @{$redis->command('HGETALL', "knock:{development}:user:$_[0]")} } }

sub runs { return map { decode_json($_) } @{$redis->command('LRANGE', $RUNS, $_[0] // 0, -1)} }

sub length_of_runs { return $redis->command('LLEN', $RUNS) }

sub count {
    my ($key) = @_;

    return $redis->command('HGET', 'knock:{development}:catalogue:segment',
                           $key) // 0
        if $brief;

    return $redis->command('HGET', "knock:{development}:catalogue:segment:$key",
                           'count') // 0;
}


sub identify {
    my $event = identified('u1', firstName => 'Sam', lastName => 'Lee',
                           phone => '+351 21', seats => 12, beta => JSON::PP::true,
                           referrer => undef, tags => ['a', 'b'],
                           createdAt => '2025-11-03T09:30:00.000Z', id => 'x');

    answers($event, [1, 0, 0, 0], 'first');

    my $user = user('u1');

    like delete $user->{updated_at}, qr/^"\d{4}-.*Z"$/, 'updated_at';
    is_deeply $user, {
        id => '"u1"', name => '"Sam Lee"', firstName => '"Sam"',
        lastName => '"Lee"', phone_number => '"+351 21"', seats => '12',
        beta => 'true', referrer => 'null', tags => '["a","b"]',
        created_at => '"2025-11-03T09:30:00.000Z"',
    }, 'the user has its fields as JSON';

    answers($event, [0, 1, 0, 0], 'again');
    answers(identified('u1', seats => 13, name => 'S'), [1, 0, 0, 0], 'changed');
    is user('u1')->{seats}, '13', 'what is given changes';
    is user('u1')->{firstName}, '"Sam"', 'what is not stays';
    answers(identified(77, seats => 1), [1, 0, 0, 0], 'id in digits');
    is user('77')->{id}, '"77"', 'is a string';

    my ($marks) = @{$redis->command('KEYS', '*:marks:*')};
    cmp_ok $redis->command('TTL', $marks), '>', 86400, 'the marks expire';
    is count('identify'), 3, 'the catalogue counts what is no duplicate';
}


sub known {
    my $event = track(['u1']);

    answers($event, [1, 0, 0, 1], 'first');

    my ($run) = runs(-1);

    like $run->{id}, $UUID, 'id';
    like $run->{trigger_id}, $UUID, 'trigger_id';
    like $run->{enqueued_at}, $TIME, 'enqueued_at';
    is_deeply $run, {
        id => $run->{id}, trigger_id => $run->{trigger_id},
        enqueued_at => $run->{enqueued_at}, workflow => 'new-comment',
        environment => 'development', source => 'segment',
        event => 'track/Comment Created', message_id => $event->{messageId},
        action => 'comment-created', tenant => 'acme',
        recipient => { collection => '$users', id => 'u1' },
        actor => { collection => '$users', id => 'u9' },
        cancellation_key => $event->{properties}{comment}{id},
        data => $event->{properties}, timestamp => $event->{timestamp},
        test => JSON::PP::false,
    }, 'the run';

    my $length = length_of_runs();

    answers($event, [0, 1, 0, 0], 'again');
    is length_of_runs(), $length, 'again: no run';

    return if $brief;

    # the derived id is that of the event

    $redis->command('DEL', @{$redis->command('KEYS', '*:marks:*')});
    answers($event, [1, 0, 0, 1], 'forgotten');
    is((runs(-1))[0]{id}, $run->{id}, 'forgotten: the id of the run is the same');
}


sub inline {
    my $event = track([{ id => 'u2', name => 'Kim', email => 'k@example.com' }]);

    answers($event, [1, 0, 0, 1], 'first');
    is user('u2')->{email}, '"k@example.com"', 'the user is stored';
    is user('u2')->{id}, '"u2"', 'with its id';
    is((runs(-1))[0]{recipient}{id}, 'u2', 'and has the run');
    answers(track(['u2']), [1, 0, 0, 1], 'now it is known');
    answers(track({ id => 'u2', name => 'Kit' }), [1, 0, 0, 1], 'an object alone');
    is user('u2')->{name}, '"Kit"', 'changes the user';
}


sub unknown {
    my $length = length_of_runs();
    my $event = track(['nobody']);

    answers($event, [1, 0, 0, 0], 'first');
    is length_of_runs(), $length, 'no run';
    is_deeply user('nobody'), {}, 'no user';
    answers($event, [0, 1, 0, 0], 'again');
}


sub recipients {
    answers(track(['u1', 'nobody', { id => 'u3', name => 'A' }, 'u1', '', 7,
                   'u2']), [1, 0, 0, 3], 'several');

    my @runs = runs(-3);

    is_deeply [map { $_->{recipient}{id} } @runs], ['u1', 'u3', 'u2'],
              'in order, each once';
    is scalar(keys %{{ map { $_->{id} => 1 } @runs }}), 3, 'ids of their own';
    is scalar(keys %{{ map { $_->{trigger_id} => 1 } @runs }}), 1,
       'one trigger_id';
    answers(track('u1'), [1, 0, 0, 1], 'an id alone');
    answers(track([]), [1, 0, 0, 0], 'none');
}


sub ignored {
    my $event = event(type => 'page', name => 'Home');

    answers($event, [0, 0, 1, 0], 'page');
    answers($event, [0, 1, 0, 0], 'page again');
    answers(event(type => 'Track', event => 'Other'), [0, 0, 1, 0], 'no action');
    answers(event(type => 'identify', traits => {}), [0, 0, 1, 0], 'no userId');
    is count('page'), 1, 'in the catalogue';
    is count('track/Other'), 1, 'by key';

    my $unnamed = event(type => 'group');

    delete $unnamed->{messageId};
    answers($unnamed, [0, 0, 1, 0], 'no messageId') for 1, 2;
    is count('group'), 2, 'is never a duplicate';
}


sub failing {
    my $event = track(undef);

    return answers($event, [1, 0, 0, 0], 'no run') if $brief;

    answers($event, [1, 0, 0, 0], 'first',
            '0 comment-created recipients_missing');
    answers($event, [1, 0, 0, 0], 'not remembered',
            '0 comment-created recipients_missing');
    answers([$event, track(['u1'])], [2, 0, 0, 1], 'in a batch',
            '0 comment-created recipients_missing');
}


sub invalid {
    my $length = length_of_runs();

    for (['{"type":', 'invalid_json'], ['', 'invalid_json'],
         ['12', 'invalid_json'], ['{"type":"noise"}', 'invalid_event'],
         ['{"type":"track"}', 'invalid_event'], ['[1,2]', 'invalid_event'],
         ['{"type":"identify","userId":""}', 'invalid_event'],
         ['{"type":"identify","userId":"a\u0001"}', 'invalid_event'],
         ['{"type":"page","properties":1}', 'invalid_event'])
    {
        my ($body, $code) = @$_;
        my $answer = post($body);

        is $answer->{status}, 400, "$body: 400";
        is decode_json($answer->{body})->{error}{code}, $code, "$body: $code";
    }

    is $http->post('/integrations/receive/wrong', '{}')->{status}, 404,
       'another token: 404';
    is length_of_runs(), $length, 'no run';
}


sub text {
    my $data = { recipients => ['u1'], text => "\x{4f60}\x{597d} \"\\\n\t/\x{1f600}",
                 empty => {}, null => undef, n => -1.5, big => 123456789012 };
    my $event = event(type => 'track', event => 'Comment Created',
                      messageId => "m\"\x{e9}", properties => $data);

    answers(JSON::PP->new->ascii->encode($event), [1, 0, 0, 1], 'escaped');

    my ($run) = runs(-1);

    is_deeply $run->{data}, $data, 'data';
    is $run->{message_id}, "m\"\x{e9}", 'message id';
    is_deeply [@$run{qw(actor tenant cancellation_key)}], [undef, undef, undef],
              'what is not there is null';
    answers(JSON::PP->new->utf8->encode($event), [0, 1, 0, 0], 'as it is');
}


sub batch {
    my @before = (count('identify'), count('track/Comment Created'));
    my $length = length_of_runs();
    my $known = track(['u1']);
    my $old = event(type => 'page');

    answers($old, [0, 0, 1, 0], 'before');

    my @events = (
        track(['late']),                # before it is identified: no run
        identified('late', email => 'l@example.com'),
        track(['late']),
        $known, $known,
        track([{ id => 'in', name => 'I' }, 'in2']),
        $brief ? () : { type => 'noise' },
        track(['in']),
        $old,
        event(type => 'screen'),
    );

    my @errors = $brief ? () : '6 invalid_event';

    answers(\@events, [6, 2, 1, 4], 'first', @errors);
    is_deeply [map { $_->{recipient}{id} } runs($length)],
              ['late', 'u1', 'in', 'in'], 'runs in order of events';
    is count('identify'), $before[0] + 1, 'identify events counted';
    is count('track/Comment Created'), $before[1] + 5,
       'track events counted, duplicates aside';
    is count('screen'), 1, 'ignored ones too';

    answers(\@events, [0, 9, 0, 0], 'again', @errors);
    answers({ batch => [@events[0 .. 2], track(['u1'])] }, [1, 3, 0, 1],
            'with "batch"');
    is length_of_runs(), $length + 5, 'no more runs';
    is count('track/Comment Created'), $before[1] + 6, 'duplicates not counted';

    answers([track(['u1'])], [1, 0, 0, 1], 'of one');
}


sub plain_batch {
    my $length = length_of_runs();

    answers([identified('p1', n => 1), track(['u1']), track(['u2']),
             track([{ id => 'p2', n => 2 }]), track(['u1', 'u2']),
             identified('p1', n => 3)], [6, 0, 0, 5], 'all new, all known');
    is_deeply [map { $_->{recipient}{id} } runs($length)],
              [qw(u1 u2 p2 u1 u2)], 'runs in order of events';
    is user('p1')->{n}, '3', 'the later one counts';
    is user('p2')->{n}, '2', 'inline';
}


sub repeats {
    my $several = track(['u1', 'u2', 'p2']);
    my $old = identified('p1', n => 4);
    my $page = event(type => 'page');

    answers([$several, $old, $page], [2, 0, 1, 3], 'before');
    answers(identified('p1', n => 5), [1, 0, 0, 0], 'newer');

    my $length = length_of_runs();
    my @counts = map { count($_) } 'track/Comment Created', 'identify', 'page';
    my @events = (track(['u2', 'p2']), $several, track([{ id => 'u1', n => 1 }]),
                  $old, $page, track(['p2', 'nobody']), identified('p3', n => 1));

    answers(\@events, [4, 3, 0, 4], 'among new ones');
    is_deeply [map { $_->{recipient}{id} } runs($length)], [qw(u2 p2 u1 p2)],
              'runs of the new ones alone, in order';
    is user('p1')->{n}, '5', 'what came between stays';
    is user('p3')->{n}, '1', 'a user behind them is stored';
    is_deeply [map { count($_) } 'track/Comment Created', 'identify', 'page'],
              [$counts[0] + 3, $counts[1] + 1, $counts[2]], 'counted once';
}


sub large {
    my $length = length_of_runs();
    my @events = map {
        $_ % 5 == 0 ? identified("l$_", map { ("t$_" => $_) } 1 .. 12)
        : track([$_ % 5 == 1 ? { id => "l$_", name => 'L' } : 'u1'])
    } 1 .. 4000;

    answers(\@events, [4000, 0, 0, 3200], '4,000 events');
    is length_of_runs(), $length + 3200, 'their runs';
    is scalar(keys %{{ map { $_->{id} => 1 } runs($length) }}), 3200,
       'ids of their own';
    is user('l4000')->{t12}, '12', 'the last user';
    answers(\@events, [0, 4000, 0, 0], 'again');
    is post([@events, $events[0]])->{status}, 413, 'one more: 413';

    my @many = map { "l$_" } grep { $_ % 5 < 2 } 1 .. 2000;

    answers(track(\@many), [1, 0, 0, 800], '800 recipients');
    answers(track([1 .. 1001]), [1, 0, 0, 0], '1,001 recipients',
            $brief ? () : '0 comment-created too_many_recipients');
}


sub no_script {
    $redis->command('SCRIPT', 'FLUSH');
    answers(track(['u1']), [1, 0, 0, 1], 'one');
    answers(track(['u1']), [1, 0, 0, 1], 'one more');
    answers([track(['u1']), track(['u1'])], [2, 0, 0, 2], 'many');
}


sub away {
    my $event = track(['u1']);

    stop_process($server->{pid});

    my $answer = post($event);

    is $answer->{status}, 503, 'status 503';
    is $answer->{headers}{'retry-after'}, 1, 'Retry-After';
    is decode_json($answer->{body})->{error}{code}, 'redis_unavailable', 'code';

    $server = start_redis(%$server);
    $redis = connect_redis($server);
    wait_for('the peer to find Redis again', sub {
        post(event(type => 'alias'))->{status} == 200;
    });

    answers(identified('u1'), [1, 0, 0, 0], 'back: identify');
    answers($event, [1, 0, 0, 1], 'back: the event is taken');
}
