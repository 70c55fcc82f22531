# knock_shards: an environment in several slots does what it does in one.  The
# same requests go to an nginx with one shard and to others with more, which
# have databases of their own; answers, users, runs, catalogue and log must be
# the same but for the times.

use strict;
use warnings;
use utf8;

use Encode qw(encode_utf8);
use JSON::PP;
use Test::More;

use Knock::Nginx;
use Knock::Server qw(connect_redis);
use Knock::Shards qw(shard_of);
use Knock::Test;

my $json = JSON::PP->new->utf8->canonical;
my $seed = $ENV{KNOCK_SEED} // int rand 1e9;
my @shards = (1, 2, 5, 16);
my @side = ();

my @ids = (map({ "u$_" } 1 .. 9), 'ü', '{1}', 'a:b', 'x/0}');
my $large = 'x' x 100_000;
my %tracked;        # what is sent again is the same

srand $seed;
note "KNOCK_SEED=$seed";

start();
requests(known());
requests(random()) for 1 .. 40;
compare();
quiet();

done_testing();


sub start {
    redis('FLUSHALL');
    seed($Knock::Test::Seed . <<'_EOS_');
workflow development w
action development {"key":"b","source":"segment","event":"track/T","type":"workflows_trigger","workflow":"w","recipients":"properties.r","actor":"properties.a","tenant":"properties.t"}
action development {"key":"c","source":"segment","event":"track/T","type":"workflows_trigger","workflow":"new-comment","recipients":"properties.r2"}
action development {"key":"i","source":"segment","event":"identify","type":"workflows_trigger","workflow":"w","recipients":"userId"}
_EOS_

    my $keys = redis('KEYS', '*');

    for my $i (0 .. $#shards) {
        my $redis = connect_redis(redis_server());

        $redis->command('SELECT', $i);
        redis('COPY', $_, $_, 'DB', $i) for $i ? @$keys : ();

        push @side, {
            shards => $shards[$i], redis => $redis,
            nginx => Knock::Nginx->start(http => <<"_EOC_"),
knock_redis unix:@{[ redis_server()->{socket} ]} db=$i;
knock_shards $shards[$i];
knock_event_log on;
_EOC_
        };
    }
}


# Sends to each side, and compares the answers.

sub requests {
    for my $request (@_) {
        my $body = $json->encode($request);
        my @answers = map { $_->{nginx}->post('/in/dev', $body) } @side;
        my $first = "$answers[0]{status} $answers[0]{body}";

        for my $i (1 .. $#side) {
            is("$answers[$i]{status} $answers[$i]{body}", $first,
               "with $shards[$i] shards: " . substr $body, 0, 60)
                or diag(substr $body, 0, 2000);
        }
    }
}


# What each way through needs, so that chance need not find it.

sub known {
    my $n = 0;

    return (
        [ map { identify($_, n => 1) } @ids[0 .. 5] ],
        track('m1', r => [@ids, { id => 'in', x => 1 }, 'nobody']),
        track('m1', r => [@ids]),
        [ track('m2', r => ['u1', 'u2']), track('m2', r => ['u1', 'u2']),
          track('m3', r => [], a => 'u1'), { type => 'page' }, { x => 1 } ],
        track('m4', r => 'u1', r2 => ['u2', 'u3'], a => { id => 'act', y => 2 },
              t => { id => 'acme', z => 3 }),
        track('m5', r => 'u1', a => 'u8'), track('m6', r => 'u1', a => 'u1'),

        # one that grows too large, alone and beside others
        map({ identify('u1', "p$_" => $large) } 1 .. 3),
        [ identify('u1', p9 => $large), identify('u2', q => 1),
          track('m7', r => ['u1', 'u2']) ],
        track('m8', r => [{ id => 'u1', p8 => $large }, 'u2']),
        track('m8', r => [{ id => 'u1', p8 => $large }, 'u2']),

        # merged into what is stored
        map({ identify('u3', o => { "k$_" => $_, a => { "b$_" => 1 } }) } 1 .. 3),
        [ map({ identify("u$_", o => { x => $_ }) } 1 .. 5),
          track('m9', r => [map { { id => "u$_", o => { y => 1 } } } 1 .. 5]) ],
        track('m10', r => [{ collection => 'projects', id => 'p1', o => {} },
                           { collection => 'projects', id => 'u1', q => {} }]),
        identify(undef, n => 1),
        { type => 'track', event => 'T' },
        { type => 'track', event => 'Other', messageId => 'o' },
        { batch => [ map { track('b' . ++$n, r => [@ids[0 .. 3]]) } 1 .. 20 ] },
    );
}


sub random {
    my @events = map { random_event() } 1 .. (rand() < 0.5 ? 1 : 1 + rand 8);

    return @events == 1 ? $events[0] : [@events];
}


sub random_event {
    my $id = $ids[rand @ids];

    return identify($id, "t" . int(rand 4) => random_value())
        if rand() < 0.4;

    my $message = 'r' . int rand 60;

    return $tracked{$message} if $tracked{$message};

    my %properties = (r => [map { random_ref() } 0 .. rand 6]);

    $properties{r2} = [map { random_ref() } 0 .. rand 3] if rand() < 0.3;
    $properties{a} = random_ref() if rand() < 0.3;
    $properties{t} = random_ref() if rand() < 0.2;

    return $tracked{$message} = track($message, %properties);
}


sub random_ref {
    my $id = $ids[rand @ids];

    return $id if rand() < 0.6;
    return { id => $id, "t" . int(rand 4) => random_value() } if rand() < 0.7;
    return { id => $id, collection => 'objects', v => int rand 9 };
}


sub random_value {
    return rand() < 0.5 ? int rand 9 : { 'k' . int(rand 3) => int rand 9 };
}


sub identify {
    my ($id, %traits) = @_;

    return { type => 'identify', traits => \%traits,
             defined $id ? (userId => $id) : () };
}


sub track {
    my ($message, %properties) = @_;

    return { type => 'track', event => 'T', messageId => $message,
             properties => \%properties };
}


# What stands in the databases.

sub compare {
    my @stand = map { stand($_) } @side;

    cmp_ok(scalar keys %{ $stand[0]{entities} }, '>', 10, 'there are users');
    cmp_ok(scalar map({ @$_ } values %{ $stand[0]{runs} }), '>', 50,
           'there are runs');
    cmp_ok(scalar @{ $stand[0]{log} }, '>', 50, 'there is a log');

    for my $i (1 .. $#side) {
        for my $what (sort keys %{ $stand[0] }) {
            is_deeply($stand[$i]{$what}, $stand[0]{$what},
                      "with $shards[$i] shards: the same $what");
        }
    }
}


sub stand {
    my ($side) = @_;

    my ($redis, $n) = @{$side}{qw(redis shards)};
    my (%entities, %runs, @strange);

    for my $key (sort @{ $redis->command('KEYS', 'knock:{*') }) {
        my ($tag, $rest) = $key =~ /^knock:\{([^}]*)\}:(.*)$/s;
        my ($shard) = $tag =~ m{^development/(\d+)$};

        if ($rest =~ /^(?:user:|object:[^:]*:)(.*)$/s) {
            push @strange, $key if ($shard // 0) != shard_of($1, $n);
            $entities{$rest} = { @{ $redis->command('HGETALL', $key) } };
            $entities{$rest}{updated_at} &&= 'then';
        }

        if ($rest eq 'runs') {
            for (@{ $redis->command('LRANGE', $key, 0, -1) }) {
                my $run = $json->decode($_);

                push @strange, "a run in $key"
                    if ($shard // 0)
                       != shard_of(encode_utf8($run->{recipient}{id}), $n);
                $run->{enqueued_at} = 'then';
                push @{ $runs{ $json->encode($run->{recipient}) } },
                     known_run($run);
            }
        }
    }

    my $catalogue = $redis->command('ZRANGE',
                              'knock:{development}:catalogue:segment', 0, -1);
    my @log = map { my %entry = @{ $_->[1] };
                    my $doc = $json->decode($entry{d});
                    delete $doc->{received_at};
                    [ @entry{qw(s v)}, $doc ] }
              @{ $redis->command('XRANGE', 'knock:{development}:log:segment',
                                 '-', '+') };

    return { entities => \%entities, runs => \%runs, log => \@log,
             catalogue => [sort @$catalogue], strange => \@strange };
}


# A run of an event without a message id has random ids.

sub known_run {
    my ($run) = @_;

    $run->{$_} = 'any' for defined $run->{message_id} ? () : qw(id trigger_id);

    return $json->encode($run);
}


sub quiet {
    for my $side (@side) {
        is_deeply([$side->{nginx}->complaints], [],
                  "nothing to complain of with $side->{shards} shards");
    }
}
