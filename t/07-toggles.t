# Contract, section 7: a toggle or setting governs every event received after
# it, in every worker.

use strict;
use warnings;

use Knock::Nginx;
use Knock::Test;
use Test::More;

use constant {
    TOGGLES     => 50,
    CONNECTIONS => 20,
    RECEIVED    => 2000,    # TOGGLES * CONNECTIONS * 2
};

my $nginx = Knock::Nginx->start(redis => redis_server(), workers => 3);

my $event = '{"type":"track","event":"T","properties":{"recipients":"u1"}}';

my $on = qr/"accepted":1,"duplicates":0,"ignored":0,"runs":1,/;
my $off = qr/"accepted":0,"duplicates":0,"ignored":1,"runs":0,/;


sub begin {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);
    seed('action development ' . live_action());
    seed(q(redis HSET knock:{development}:user:u1 id '"u1"'));
}

sub post {
    my ($client) = @_;

    $client->send("POST /in/dev HTTP/1.1\r\nHost: localhost\r\n"
                  . 'Content-Length: ' . length($event) . "\r\n\r\n$event");
}


# Changes a setting again and again while events are under way.  Those that
# are sent before the change returned may go by either setting, those after it
# by the new one only.

sub toggle_under_load {
    my (%is) = @_;

    my @before = map { $nginx->new_client } 1 .. CONNECTIONS;
    my @after = map { $nginx->new_client } 1 .. CONNECTIONS;
    my ($events, $runs) = (0, 0);
    my @wrong;

    for my $n (1 .. TOGGLES) {
        my $setting = $n % 2 ? 'off' : 'on';

        post($_) for @before;
        $is{set}->($setting);
        post($_) for @after;

        for my $client (@before) {
            my $body = $client->answer->{body};

            push @wrong, "under way at $n: $body"
                unless $body =~ $is{on} || $body =~ $is{off};
            $runs++ if $body =~ $on;
            $events++;
        }

        for my $client (@after) {
            my $body = $client->answer->{body};

            push @wrong, "$setting at $n: $body" unless $body =~ $is{$setting};
            $runs++ if $body =~ $on;
            $events++;
        }
    }

    is $events, RECEIVED, 'all events are answered';
    is_deeply \@wrong, [], 'each by the setting that it was sent under';
    is redis('LLEN', 'knock:{development}:runs'), $runs,
       'the runs are those that were answered';
}


for my $what (['action', 'a'], ['workflow', 'new-comment']) {
    subtest "a toggle of $what->[0]" => sub {
        begin();

        toggle_under_load(on => $on, off => $off, set => sub {
            seed("toggle development @$what " . ($_[0] eq 'on' ? 1 : 0));
        });
    };
}


subtest 'a setting of the endpoint' => sub {
    begin();

    toggle_under_load(on => $on, off => qr/"code":"endpoint_disabled"/,
        set => sub {
            seed('endpoint development segment enabled='
                 . ($_[0] eq 'on' ? 1 : 0));
        });
};


subtest 'an action that is committed and taken out' => sub {
    begin();

    toggle_under_load(on => $on, off => $off, set => sub {
        my @keys = map { "knock:{development}:$_" } qw(version workflows actions);

        redis('FCALL', 'knock_live_set', 3, @keys, 1, 'action', 'a',
              $_[0] eq 'on' ? live_action() : '');
    });
};


is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';

done_testing();
