# Issue 3: with 4 workers under load a toggle's answer is the exact boundary: of
# the events that are sent after it, none is handled under the old setting.

use strict;
use warnings;

use Test::More;

use Knock::Api;
use Knock::Test;

use constant {
    WORKERS     => 4,
    TOGGLES     => 50,
    BEFORE      => 10,      # connections whose event is under way meanwhile
    AFTER       => 30,      # connections that send once it is answered
    EACH        => 5,       # events of each of those, for one toggle
    EVENTS      => 10_000,  # TOGGLES * (BEFORE * 5 + AFTER * EACH)
};

# each worker has a socket of its own, so that connections are spread over all

my $api = Knock::Api->start(workers => WORKERS, listen => 'reuseport');
my $n = 0;

my @before = map { $api->nginx->new_client } 1 .. BEFORE;
my @after = map { $api->nginx->new_client } 1 .. AFTER;
my @control = map { $api->nginx->new_client } 1 .. 8;

my $on = qr/"accepted":1,"duplicates":0,"ignored":0,"runs":1,/;
my $off = qr/"accepted":0,"duplicates":0,"ignored":1,"runs":0,/;
my $disabled = qr/"code":"endpoint_disabled"/;

my $endpoint;


sub begin {
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });
    $api->done('a user', 201, PUT => '/environments/development/users/u1', {});
    $api->done('a workflow', 201, PUT => '/workflows/w', {});
    $api->done('an action', 201, PUT => '/actions/a',
        { source => 'segment', event => 'track/T',
          type => 'workflows_trigger', workflow => 'w',
          recipients => 'properties.recipients' });
    $api->done('their commit', 200, POST => '/commits');

    $endpoint = $api->done('the endpoint', 200,
        GET => '/sources/segment/environments/development');
}


# Sends an event and does not wait for what becomes of it.

sub send_event {
    my ($client) = @_;

    my ($path) = $endpoint->{url} =~ m{^https?://[^/]+(/.*)};
    my $event = '{"type":"track","event":"T","messageId":"m' . ++$n
                . '","properties":{"recipients":"u1"}}';

    $client->send("POST $path HTTP/1.1\r\nHost: localhost\r\n"
                  . 'Content-Length: ' . length($event) . "\r\n\r\n$event");
}


# Changes a setting again and again while events are under way.  Those that
# were sent before the answer may go by either setting, those after it by the
# new one only.

sub toggle {
    my ($share, %is) = @_;

    my ($events, $runs, @wrong) = (0, 0);
    my %seen;

    my $take = sub {
        my ($client, $expected, $where) = @_;

        my $body = $client->answer->{body};

        push @wrong, "$where: $body" unless $body =~ $expected;
        $runs++ if $body =~ $on;
        $events++;
    };

    for my $toggle (1 .. $share) {
        my $state = $toggle % 2 ? 'off' : 'on';

        # some are in the workers when the setting changes
        for my $client (@before) {
            send_event($client) for 1 .. EACH;
        }

        my $answer = $is{set}->($state, $control[$toggle % @control]);

        push @wrong, "toggle $toggle: $answer->{status} $answer->{body}"
            unless $answer->{status} == 200;

        for my $client (@after) {
            send_event($client) for 1 .. EACH;
        }

        for my $client (@before) {
            $take->($client, qr/$is{on}|$is{off}/, "under way at $toggle")
                for 1 .. EACH;
        }

        for my $client (@after) {
            $take->($client, $is{$state}, "$state at $toggle") for 1 .. EACH;
        }
    }

    is_deeply [@wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]], [],
              'each event is handled under the setting that it was sent under'
        or diag scalar(@wrong) . ' were not';

    return ($events, $runs);
}


begin();

my ($events, $runs) = (0, 0);

sub part {
    my ($title, $share, %is) = @_;

    subtest $title => sub {
        my ($e, $r) = toggle($share, on => $on, off => $off, %is);

        $events += $e;
        $runs += $r;

        ok $r > 0, 'some made runs';
        ok $r < $e, 'some did not';
        is $api->done('the queue', 200,
                      GET => '/environments/development/runs?limit=1')
           ->{length}, $runs, 'the runs are those that were answered';
    };
}

part('an action, active or not', 14, set => sub {
    return $api->call(PATCH => '/environments/development/actions/a',
        '{"active":' . ($_[0] eq 'on' ? 'true' : 'false') . '}',
        client => $_[1]);
});

part('its workflow, active or not', 12, set => sub {
    return $api->call(PATCH => '/environments/development/workflows/w',
        '{"active":' . ($_[0] eq 'on' ? 'true' : 'false') . '}',
        client => $_[1]);
});

part('the endpoint, enabled or not', 12, off => $disabled, set => sub {
    return $api->call(PATCH => '/sources/segment/environments/development',
        '{"enabled":' . ($_[0] eq 'on' ? 'true' : 'false') . '}',
        client => $_[1]);
});

my $commit;

part('a commit, and its revert', 12, set => sub {
    my ($state, $client) = @_;

    if ($state eq 'off') {
        $api->call(DELETE => '/actions/a');

        my $answer = $api->call(POST => '/commits', '{}', client => $client);

        $commit = $answer->{json}{items}[0]{id};

        return $answer;
    }

    return $api->call(POST => "/commits/$commit/revert", '{}',
                      client => $client);
});

is $events, EVENTS, 'all events were answered';

# which of them were at work shows in the connections that they have accepted

my $took = grep { _connections($_) } $api->nginx->workers;

is $took, WORKERS, 'every worker had some of the connections';

$api->end;
done_testing();


# the client connections that a worker holds: sockets among its descriptors
# beyond those that any worker has

sub _connections {
    my ($pid) = @_;

    my %local;

    open my $tcp, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";

    while (<$tcp>) {
        my (undef, $here, undef, $state, undef, undef, undef, undef, undef,
            $inode) = split ' ';

        next unless defined $state && $state eq '01';

        my ($port) = $here =~ /:([0-9A-F]{4})$/ or next;

        $local{$inode} = 1 if hex $port == $api->nginx->port;
    }

    return scalar grep {
        my $link = readlink $_;

        $link && $link =~ /^socket:\[(\d+)\]$/ && $local{$1};
    } glob "/proc/$pid/fd/*";
}
