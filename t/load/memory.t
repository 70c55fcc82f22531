# A million events, in parts: no memory and no descriptor is lost with each.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use Knock::Load;
use Knock::Memory qw(rss floor_growth);
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

# under ASan memory grows by design and all takes longer: there only what the
# sanitizer finds counts
my $asan = $ENV{ASAN_OPTIONS};

my $EVENTS = $ENV{KNOCK_EVENTS} // ($asan ? 30_000 : 1_000_000);

use constant {
    BATCH       => 250,
    CONNECTIONS => 4,
    USERS       => 1000,
    PARTS       => 5,
    ROUND       => 50,          # requests between two looks at the memory
    LEAK        => 1,           # bytes an event that are no leak yet
};

plan tests => 8;

my $environment = 'knock:{development}';

redis('FLUSHALL');
seed("endpoint development segment token=dev identify_enabled=1\n"
     . "endpoint production segment token=prod\n"
     . "workflow development new-comment\n"
     . 'action development '
     . live_action(tenant => '"properties.org"', actor => '"userId"') . "\n");

# what is remembered of a message must go while the test runs
my $nginx = Knock::Nginx->start(
    http => 'knock_redis unix:' . redis_server()->{socket} . " timeout=30s;\n"
            . "knock_dedupe_window 5s;\nclient_max_body_size 1m;\n");

wait_for('Redis', sub {
    $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
});

my ($worker) = $nginx->workers;
my @bodies = map { body($_) } 0 .. 9;
my ($number, $rounds) = (0, 0);
my (%sum, %statuses, @rss, @descriptors);       # rss: once all is warm

my $started = time;

for my $part (1 .. PARTS) {
    my $requests = $EVENTS / BATCH / PARTS;

    # a part in rounds, so that not all its bodies are in memory at a time
    while ($requests > 0) {
        my $n = $requests > ROUND ? ROUND : $requests;

        send_round($n);
        $requests -= $n;
        push @rss, rss($worker) if $part > 1;
    }

    push @descriptors, descriptors($worker);

    note sprintf '%d events, %d kB, %d descriptors',
                 $part * $EVENTS / PARTS, rss($worker), $descriptors[-1];
}

my $seconds = time - $started;

note sprintf '%.0f events/s', $EVENTS / $seconds;

is_deeply [sort keys %statuses], [200, 400, 404], 'answers as they must be';
is $statuses{400}, $rounds, 'what is no JSON was refused';
is $statuses{404}, $rounds, 'who has no endpoint too';
is $sum{accepted}, $EVENTS - $sum{bad}, 'all good events were taken';
is $sum{errors}, $sum{bad}, 'all bad ones were listed';

SKIP: {
    skip 'with a sanitizer memory says nothing', 1 if $asan;

    my $between = $EVENTS * (PARTS - 1) / PARTS / 2;

    cmp_ok floor_growth(@rss) * 1024 / $between, '<', LEAK,
           'no memory is lost with each event' or diag "kB: @rss";
}

ok eval { wait_for('connections to close', sub {
    descriptors($worker) <= $descriptors[0]
}) }, 'so are the descriptors';

$nginx->stop;
is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';


# n bodies of events, and two that are refused.

sub send_round {
    my ($n) = @_;

    my @requests = map { { path => '/in/dev', body => fresh() } } 1 .. $n;

    push @requests, { path => '/in/dev', body => substr fresh(), 0, -20 },
                    { path => '/in/nobody', body => fresh() };
    $rounds++;

    my @queues = map { [] } 1 .. CONNECTIONS;

    push @{ $queues[$_ % CONNECTIONS] }, $requests[$_] for 0 .. $#requests;

    Knock::Load->new(port => $nginx->port, answered => sub {
        my ($request, $answer) = @_;

        $statuses{ $answer->{status} }++;
        return if $answer->{status} != 200;

        my ($accepted, $errors) =
            $answer->{body} =~ /^\{"accepted":(\d+),.*?"errors":\[(.*)\]/
            or die "unexpected: $answer->{body}";

        $sum{accepted} += $accepted;
        $sum{errors} += () = $errors =~ /"code"/g;
        $sum{bad} += 2;
    })->run(\@queues);

    # somebody takes the runs
    redis('DEL', "$environment:runs");
}


# One of the bodies with messageIds that were not there before.

sub fresh {
    my $body = $bodies[$number % @bodies];

    $body =~ s/#/$number++/ge;

    return $body;
}


# A batch with "#" in each messageId: 60 % tracks to known users, 20 % with
# inline identification, 20 % identify, two without a type.

sub body {
    my ($variant) = @_;
    my @events;

    for my $i (0 .. BATCH - 3) {
        my $user = 'u' . ($variant * 100 + $i) % USERS;
        my $kind = $i % 10;
        my $text = 'x' x ($i % 200);

        push @events, $kind < 6
            ? qq({"type":"track","event":"T","messageId":"m#","userId":"u1","properties":{"recipients":["$user","u2"],"org":"o$kind","text":"$text","n":1.50}})
            : $kind < 8
            ? qq({"type":"track","event":"T","messageId":"m#","properties":{"recipients":[{"id":"$user","name":"$text","deep":{"k$kind":{"n":$i}}},"u1"],"org":{"id":"o1","name":"O"}}})
            : qq({"type":"identify","messageId":"m#","userId":"$user","traits":{"firstName":"F","lastName":"L$i","deep":{"k$kind":{"n":$i}},"list":[1,2,{}]}});
    }

    return '[' . join(',', @events, qq({"messageId":"m#"}),
                      qq({"type":"track","messageId":"m#"})) . ']';
}


sub descriptors {
    my ($pid) = @_;

    return scalar(() = glob "/proc/$pid/fd/*");
}
