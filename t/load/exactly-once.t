# 10,000 mixed events, each sent twice by 32 connections to two workers, while
# nginx reloads; and while it quits.  Every event takes effect exactly once.

use strict;
use warnings;

use JSON::PP;
use List::Util qw(sum);
use POSIX ();
use Test::More tests => 31;
use Time::HiRes qw(sleep);

use Knock::Load;
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant {
    EVENTS      => 10_000,
    CONNECTIONS => 32,
    KNOWN       => 200,         # users who are known from the beginning
    SHARED      => 300,         # users whom many events write to
    RELOADS     => 6,
    PAUSE       => 200,         # ms without Redis, at some of the reloads
};

my $seed = $ENV{KNOCK_SEED} // 20260730;

srand $seed;
note "seed $seed";

my $environment = 'knock:{development}';
my $json = JSON::PP->new->canonical->allow_nonref;

my @events = make_events();
my $expected = expected(@events);

reload_under_load();
quit_under_load();


# Both copies of all events, batched in two ways, while nginx reloads.

sub reload_under_load {
    my $nginx = start();

    my @queues = queues(\@events, \@events);
    my $requests = map { @$_ } @queues;
    my $sent = 0;

    for my $request (map { @$_ } @queues) {
        $sent += @{ $request->{events} };
    }

    my (%statuses, %sum, @bad, @commands);
    my ($answers, $reloads) = (0, 0);
    my %generations = map { $_ => 1 } $nginx->workers;

    my $load = Knock::Load->new(
        port => $nginx->port,
        answered => sub {
            my ($request, $answer) = @_;

            $statuses{ $answer->{status} }++;
            push @bad, $answer->{body} unless add(\%sum, $answer);

            if (++$answers >= ($reloads + 1) * $requests / (RELOADS + 2)
                && $reloads < RELOADS)
            {
                # with requests under way that wait for Redis, and without
                redis('CLIENT', 'PAUSE', PAUSE, 'ALL') if $reloads++ % 2;
                push @commands, nginx_signal($nginx, 'reload');
            }

            $generations{$_} = 1 for $answers % 50 ? () : $nginx->workers;
        });

    $load->run(\@queues);

    report('reload', $load);

    is_deeply [map { waitpid $_, 0; $? } @commands], [(0) x RELOADS],
              'nginx -s reload, six times';
    is_deeply \%statuses, { 200 => $requests }, 'no answer but 200';
    is_deeply \@bad, [], '... and none that says an event failed';
    is $load->count('cut'), 0, 'no answer is cut short';
    is $sum{accepted} + $sum{duplicates}, $sent, 'each event is accounted for';
    is $sum{accepted}, EVENTS, '... once as new';
    is $sum{runs}, keys %{ $expected->{runs} }, '... with its runs';

    check();

    cmp_ok keys %generations, '>', 2, 'workers came and went';
    ok eval { wait_for('old workers to go', sub { $nginx->workers == 2 }) },
       '... and those of old configurations are gone';

    finish($nginx, $requests);
}


# Events while nginx quits; then another nginx gets them all again.

sub quit_under_load {
    my $nginx = start();

    my @queues = queues(\@events);
    my $requests = map { @$_ } @queues;
    my (%statuses, %answered, %sum, $command);
    my $answers = 0;

    my $load = Knock::Load->new(
        port => $nginx->port,
        once => 1,
        answered => sub {
            my ($request, $answer) = @_;

            $statuses{ $answer->{status} }++;
            add(\%sum, $answer);
            $answered{$_->{id}} = 1 for @{ $request->{events} };

            if (++$answers == int $requests / 3) {
                redis('CLIENT', 'PAUSE', PAUSE, 'ALL');
                $command = nginx_signal($nginx, 'quit');
            }
        });

    $load->run(\@queues);

    report('quit', $load);

    waitpid $command, 0;
    is $?, 0, 'nginx -s quit';
    ok eval { wait_for('nginx to end', sub { !$nginx->workers }) },
       'the workers end';
    is_deeply \%statuses, { 200 => $answers }, 'no answer but 200';
    is $load->count('cut'), 0, 'no answer is cut short';
    cmp_ok $answers, '<', $requests, 'not all was sent';

    my ($found, $twice) = runs();
    my @lost = grep { $answered{ $expected->{runs}{$_} } && !$found->{$_} }
               keys %{ $expected->{runs} };

    is_deeply \@lost, [], 'what was answered is in Redis';
    is_deeply $twice, [], '... once';

    finish($nginx, $answers);

    $nginx = start(again => 1);
    %statuses = ();

    my @rest = queues(\@events);

    $load = Knock::Load->new(
        port => $nginx->port,
        answered => sub { $statuses{ $_[1]{status} }++; add(\%sum, $_[1]) });
    $load->run(\@rest);

    is_deeply [keys %statuses], [200], 'all events again';

    check();
    finish($nginx, sum(values %statuses));
}


# A server in front of an empty Redis, or of the one that is.

sub start {
    my (%how) = @_;

    if (!$how{again}) {
        redis('FLUSHALL');
        seed("endpoint development segment token=dev identify_enabled=1\n"
             . "workflow development new-comment\n"
             . 'action development ' . live_action(actor => '"properties.actor"')
             . "\n");

        redis('HSET', "$environment:user:k$_", 'id', qq("k$_"))
            for 0 .. KNOWN - 1;
    }

    my $nginx = Knock::Nginx->start(
        workers => 2,
        http => 'knock_redis unix:' . redis_server()->{socket}
                . " timeout=30s;\n"
                . "log_format status '\$request_uri \$status';\n"
                . "client_max_body_size 16m;\n"
                . "keepalive_requests 100000;\n",
        server => "access_log access.log status;\n" . $Knock::Nginx::Webhook);

    # until it knows the configuration and Redis
    wait_for('Redis', sub {
        $nginx->post('/in/dev?first', '{"type":"page"}')->{status} == 200
    });

    $nginx->client->close;

    return $nginx;
}


# Ends it and looks at its logs: two tests.  `answers` came to the load, and
# those of start() are not counted.

sub finish {
    my ($nginx, $answers) = @_;

    $nginx->stop;

    my %statuses;

    open my $in, '<', $nginx->dir . '/access.log' or die "access.log: $!";

    while (<$in>) {
        my ($uri, $status) = split;
        $statuses{$status}++ if $uri eq '/in/dev';
    }

    is_deeply \%statuses, { 200 => $answers },
              'all that the workers have read is answered';
    is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';
}


# `nginx -s`, without waiting for it.

sub nginx_signal {
    my ($nginx, $signal) = @_;

    my $pid = fork // die "fork: $!";

    return $pid if $pid;

    exec $ENV{KNOCK_NGINX} || '/usr/sbin/nginx', '-e', $nginx->error_log,
         '-p', $nginx->dir . '/', '-c', $nginx->dir . '/nginx.conf',
         '-s', $signal
        or POSIX::_exit(127);
}


sub report {
    my ($what, $load) = @_;

    note "$what: ", join ', ', map { "$_ $load->{count}{$_}" }
                               sort keys %{ $load->{count} };
}


# Adds up what an answer says; false if it tells of an error.

sub add {
    my ($sum, $answer) = @_;

    return unless $answer->{status} == 200;

    my ($accepted, $duplicates, $ignored, $runs, $errors) = $answer->{body} =~
        /^\{"accepted":(\d+),"duplicates":(\d+),"ignored":(\d+),"runs":(\d+),"errors":\[(.*)\]\}$/
        or return;

    $sum->{accepted} += $accepted;
    $sum->{duplicates} += $duplicates;
    $sum->{runs} += $runs;

    return !$errors && !$ignored;
}


# 60 % tracks to known users, 20 % with inline identification, 20 % identify.
# An event is { id, body, tracks, runs, users, pin }: its messageId, its JSON,
# what comes of it, and what keeps it in order with others.

sub make_events {
    my (@events, %version);

    for my $i (0 .. EVENTS - 1) {
        my $kind = rand;
        my $event = { id => "m-$i", i => $i, runs => [], users => {} };

        $kind < 0.6 ? track_known($event)
            : $kind < 0.8 ? track_inline($event)
            : rand() < 0.8 ? identify_shared($event)
            : identify_versioned($event, \%version);

        push @events, $event;
    }

    return @events;
}


sub track_known {
    my ($event) = @_;
    my %known = map { int rand KNOWN, => 1 } 1 .. 1 + int rand 3;
    my @ids = map { "k$_" } sort keys %known;

    $event->{runs} = [map { "\$users/$_" } @ids];

    # somebody who is not known, and one who is named twice
    push @ids, "unknown$event->{i}" if rand() < 0.1;
    push @ids, $ids[0] if rand() < 0.1;

    track($event, join ',', map { qq("$_") } @ids);
}


sub track_inline {
    my ($event) = @_;
    my $i = $event->{i};

    if ($i % 10 == 0) {
        $event->{runs} = ["projects/p$i"];
        track($event, qq({"collection":"projects","id":"p$i","n":$i}));
        return;
    }

    my $id = 's' . int rand SHARED;

    $event->{users}{$id} = { "e$i" => $i, deep => { "e$i" => $i } };
    $event->{runs} = ["\$users/$id"];

    track($event, qq({"id":"$id","e$i":$i,"deep":{"e$i":$i}}));
}


sub track {
    my ($event, $recipients) = @_;

    $event->{data} = qq({"recipients":[$recipients],"actor":"k1",)
                     . qq("n":$event->{i}.50,"empty":[],"text":")
                     . ('x' x rand 200) . '"}';
    $event->{key} = 'track/T';
    $event->{body} = qq({"type":"track","event":"T","messageId":"$event->{id}",)
                     . qq("properties":$event->{data}});
}


# each writes a property of its own, and one inside an object that all share

sub identify_shared {
    my ($event) = @_;
    my $i = $event->{i};
    my $id = 's' . int rand SHARED;

    $event->{users}{$id} = { "e$i" => $i, deep => { "e$i" => $i } };

    identify($event, $id, qq({"e$i":$i,"deep":{"e$i":$i}}));
}


# in order over one connection: a repeat of an old one would show

sub identify_versioned {
    my ($event, $version) = @_;

    $event->{pin} = int rand CONNECTIONS;

    my $id = "v$event->{pin}";
    my $n = ++$version->{$id};

    $event->{users}{$id} = { version => $n };

    identify($event, $id, qq({"version":$n}));
}


sub identify {
    my ($event, $id, $traits) = @_;

    $event->{key} = 'identify';
    $event->{body} = qq({"type":"identify","messageId":"$event->{id}",)
                     . qq("userId":"$id","traits":$traits});
}


# What comes of all events: { runs: recipient and messageId -> messageId,
# data: messageId -> properties, users: id -> properties, events: key -> n }.

sub expected {
    my %all = (runs => {}, data => {}, users => {}, events => {});

    for my $event (@_) {
        $all{events}{ $event->{key} }++;
        $all{data}{ $event->{id} } = $event->{data};
        $all{runs}{"$event->{id} $_"} = $event->{id} for @{ $event->{runs} };

        for my $id (keys %{ $event->{users} }) {
            my $user = $all{users}{$id} //= { id => $id };
            my $new = $event->{users}{$id};

            $user->{deep}{$_} = $new->{deep}{$_} for keys %{ $new->{deep} };
            $user->{$_} = $new->{$_} for grep { $_ ne 'deep' } keys %$new;
        }
    }

    return \%all;
}


# Spreads copies of the events over the connections: some alone, some in
# batches, each copy in another order.

sub queues {
    my @queues = map { [] } 1 .. CONNECTIONS;

    for my $copy (@_) {
        my @pinned = grep { defined $_->{pin} } @$copy;
        my @loose = shuffled(grep { !defined $_->{pin} } @$copy);
        my @requests;

        while (@loose) {
            my $n = rand() < 0.98 ? 1 : 2 + int rand 50;
            my @some = splice @loose, 0, $n;

            push @requests, request(@some);
        }

        my @shares = map { [] } 1 .. CONNECTIONS;

        push @{ $shares[rand CONNECTIONS] }, $_ for @requests;

        # the pinned ones in order, between the others
        for my $event (@pinned) {
            my $share = $shares[$event->{pin}];
            my $from = 1 + ($share->[-1]{place} // 0);

            $event->{place} = $from;
            push @$share, request($event);
            $share->[-1]{place} = $from;
        }

        for my $c (0 .. CONNECTIONS - 1) {
            my @ordered = grep { $_->{place} } @{ $shares[$c] };
            my @places = sort { $a <=> $b }
                         map { rand } 1 .. @ordered;
            my @others = grep { !$_->{place} } @{ $shares[$c] };

            push @{ $queues[$c] },
                map { $_->[1] } sort { $a->[0] <=> $b->[0] }
                (map { [$places[$_], $ordered[$_]] } 0 .. $#ordered),
                (map { [rand, $_] } @others);
        }
    }

    return @queues;
}


sub request {
    my @some = @_;

    my $body = join ',', map { $_->{body} } @some;

    # an array of one, too
    $body = "[$body]" if @some > 1 || rand() < 0.1;

    return { path => '/in/dev', events => \@some, body => $body };
}


sub shuffled {
    return map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @_;
}


# The runs in Redis: { "messageId collection/id" => run }, and a list of those
# that are there more than once.

sub runs {
    my (%found, %ids, @twice);

    for my $text (@{ redis('LRANGE', "$environment:runs", 0, -1) }) {
        my ($id, $message, $collection, $recipient) = $text =~
            /^\{"id":"([^"]+)",.*?"message_id":"([^"]+)",.*?"recipient":\{"collection":"([^"]+)","id":"([^"]+)"\}/
            or die "no run: $text";
        my $key = "$message $collection/$recipient";

        push @twice, $key if $found{$key} || $ids{$id}++;
        $found{$key} = $text;
    }

    return \%found, \@twice;
}


# Compares what is in Redis with what must be: four tests.

sub check {
    my ($found, $twice) = runs();
    my $runs = $expected->{runs};

    is_deeply {
        twice => $twice,
        missing => [grep { !$found->{$_} } keys %$runs],
        wrong => [grep { !$runs->{$_} } keys %$found],
    }, { twice => [], missing => [], wrong => [] }, 'each run is there once';

    my @changed = grep {
        my $data = $expected->{data}{ $runs->{$_} };
        $found->{$_} && index($found->{$_}, qq("data":$data,"timestamp")) < 0
    } keys %$runs;

    is_deeply \@changed, [], '... with its data as they were sent';

    my @users = grep {
        my %user = @{ redis('HGETALL', "$environment:user:$_") };
        delete $user{updated_at};
        $_ = $json->decode($_) for values %user;
        $json->encode(\%user) ne $json->encode($expected->{users}{$_})
    } keys %{ $expected->{users} };

    is_deeply \@users, [], 'each user has all that was given';

    my %counts = map { $_ => redis('HGET', "$environment:catalogue_info:segment",
                                   "c$_") } keys %{ $expected->{events} };

    is_deeply \%counts, $expected->{events}, 'each event is counted once';
}
