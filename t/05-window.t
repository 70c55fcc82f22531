# Contract, section 5: what is remembered for as long as knock_dedupe_window,
# and what a consumer recognises after it.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use Knock::Nginx;
use Knock::Redis;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant WINDOW => 1;       # second

my $server = redis_server();

seed($Knock::Test::Seed . "workflow production new-comment\n"
     . 'action production ' . live_action(event => '"track/Comment Created"')
     . "\n");

my $nginx = Knock::Nginx->start(redis => $server,
                                http => 'knock_dedupe_window ' . WINDOW . 's;');
my $environment = 'development';
my $made = 0;

within_the_window();
each_window($_) for 1 .. 4;
replay();
marks_expire();
a_clock_went_back();

is_deeply([$nginx->complaints], [], 'nothing to complain about');
$nginx->stop;
is_deeply([$nginx->complaints], [], 'nor at the end');

done_testing();


# A machine that is busy may take longer than the window for two requests.

sub within_the_window {
    my ($first, $second, $seconds);

    for (1 .. 50) {
        my $id = fresh();
        my $begin = time;

        ($first, $second) = (post($id), post($id));
        $seconds = time - $begin;
        last if $seconds < WINDOW;
    }

    ok($seconds < WINDOW, 'two requests within the window');
    is($first, 'accepted', 'the first is accepted');
    is($second, 'duplicate', 'the second is a duplicate');
}


# It is sent again and again, at another time of the marks' period each time
# that this is called: neither before the window is over nor any later is it
# taken for a new one.

sub each_window {
    my ($nth) = @_;

    my $id = fresh();
    my $before = time;
    my $answer = post($id);
    my $after = time;
    my ($last, $repeat, $sent);

    is($answer, 'accepted', "$nth: accepted at first");

    wait_for('the end of the window', sub {
        $sent = time;
        $repeat = post($id);
        return 1 if $repeat eq 'accepted';
        $last = $sent;
        return 0;
    });

    # clocks tick in milliseconds

    cmp_ok(time - $before, '>=', WINDOW - 0.002,
           "$nth: not accepted again within the window");
    cmp_ok($last // 0, '<=', $after + WINDOW + 0.002,
           "$nth: nor refused after it");
}


sub replay {
    my $id = fresh();

    redis('DEL', key('runs'));
    post($id, 'a', 'b');
    my @first = runs();

    wait_for('the end of the window',
             sub { post($id, 'a', 'b') eq 'accepted' });
    my @second = splice @{[runs()]}, 2;

    is(@first, 2, 'a run for each recipient');
    is_deeply([map { field('id', $_) } @second],
              [map { field('id', $_) } @first],
              'the runs of a repeat after the window have the same ids');
    isnt(field('id', $first[0]), field('id', $first[1]),
         'another recipient, another id');
    is(field('trigger_id', $first[0]), field('trigger_id', $first[1]),
       'one trigger_id for the runs of one action');

    redis('DEL', key('runs'));
    post(fresh(), 'a');
    my ($other) = runs();

    isnt(field('id', $other), field('id', $first[0]),
         'another messageId, another id');
    isnt(field('trigger_id', $other), field('trigger_id', $first[0]),
         'and another trigger_id');

    $environment = 'production';
    post($id, 'a');
    my ($production) = runs();
    $environment = 'development';

    isnt(field('id', $production), field('id', $first[0]),
         'another environment, another id');

    redis('DEL', key('runs'));
    post(undef, 'a') for 1, 2;
    my @without = runs();

    is(@without, 2, 'without messageId both are processed');
    isnt(field('id', $without[0]), field('id', $without[1]),
         'without messageId the ids differ');

    for my $run (@first, @without) {
        like(field('id', $run), qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
             'an id is a UUID');
    }
}


sub marks_expire {
    # they may be gone before they are seen
    my $left = wait_for('marks', sub {
        post(fresh());

        my @left = map { redis('PTTL', key("seen:$_")) } 0, 1;

        return (grep { $_ > 0 } @left) && \@left;
    });

    cmp_ok($_, '<=', 2 * WINDOW * 1000, 'and go after two windows at most')
        for @$left;

    wait_for('the marks to go', sub {
        !redis('EXISTS', map { key("seen:$_") } 0, 1);
    });

    pass('marks are gone');
}


# Redis' clock was years ahead when the hashes of marks were made.

sub a_clock_went_back {
    my $ahead = 3 * 365 * 86400 * 1000;

    for my $key (map { key("seen:$_") } 0, 1) {
        redis('HSET', $key, '', time * 1000 + $ahead);
        redis('PEXPIRE', $key, $ahead);
    }

    wait_for('both hashes to expire in time, when their turn comes', sub {
        post(fresh());

        return !grep { redis('PTTL', key("seen:$_")) > 2 * WINDOW * 1000 }
               0, 1;
    });

    pass('marks go after two windows of the present clock');
}


sub fresh { return 'm' . ++$made }

sub key { return "knock:{$environment}:$_[0]" }

sub runs { return @{ redis('LRANGE', key('runs'), 0, -1) } }

sub field { return $_[1] =~ /"$_[0]":"([^"]*)"/ ? $1 : undef }


# Sends a track, and tells whether it was `accepted` or a `duplicate`.

sub post {
    my ($id, @recipients) = @_;

    my $list = join ',', map { qq({"id":"$_"}) } @recipients, (@recipients ? () : 'u1');
    my $token = $environment eq 'production' ? 'prod' : 'dev';

    my $answer = $nginx->post("/in/$token",
        '{"type":"track","event":"Comment Created",'
        . (defined $id ? qq("messageId":"$id",) : '')
        . qq("properties":{"recipients":[$list]}}));

    return 'accepted' if $answer->{body} =~ /"accepted":1,"duplicates":0/;
    return 'duplicate' if $answer->{body} =~ /"accepted":0,"duplicates":1/;
    return "$answer->{status} $answer->{body}";
}
