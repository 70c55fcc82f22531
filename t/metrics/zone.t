# Where the numbers of knock_metrics stand: a reload while another module is in
# the file, and a process without a master.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Test::More;

use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

my $server = "$Knock::Nginx::Webhook location = /metrics { knock_metrics; }";

redis('FLUSHALL');
seed("endpoint development segment token=dev\n"
     . "workflow development new-comment\n"
     . 'action development ' . live_action() . "\n");

another_module();
more_workers_than_blocks() unless $ENV{ASAN_OPTIONS};
without_a_master();

done_testing();


sub start {
    my (%conf) = @_;

    my $nginx = Knock::Nginx->start(
        http => 'knock_redis unix:' . redis_server()->{socket} . ' timeout=60s;',
        server => $server, %conf);

    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    return $nginx;
}


sub track {
    return '{"type":"track","event":"T","properties":{"recipients":[{"id":"u1"}]}}';
}


sub scrape {
    my ($client) = @_;

    my $answer = $client->get('/metrics');

    die "metrics: $answer->{status}\n" if $answer->{status} != 200;

    return { $answer->{body} =~ /^([a-z]\S*) (\d\S*)$/mg };
}


# The module with another name for a metric, of that length.

sub renamed {
    my ($old, $new) = @_;

    open my $in, '<:raw', $ENV{KNOCK_MODULE} or die "$ENV{KNOCK_MODULE}: $!\n";
    my $module = do { local $/; <$in> };

    die "no $old in the module\n" unless $module =~ s/\b\Q$old\E\0/$new\0/g;

    return $module;
}


# Puts a module into the file, in place of the one that is loaded from there.

sub put {
    my ($file, $module) = @_;

    open my $out, '>:raw', "$file.new" or die "$file.new: $!\n";
    print {$out} $module;
    close $out or die "$file.new: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


# A module with other metrics is put in place of the one that runs.  At a
# reload the functions of the loaded one go before those of the new: it stays,
# with its numbers, until nginx is started anew or upgraded.

sub another_module {
    my $dir = tempdir('knock-module-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my ($runs, $other) = ('knock_runs_total', 'knock_runz_total');

    chmod 0755, $dir;
    copy($ENV{KNOCK_MODULE}, "$dir/module.so") or die "$dir/module.so: $!\n";
    local $ENV{KNOCK_MODULE} = "$dir/module.so";

    my $nginx = start(workers => 2);
    my $held = $nginx->new_client;

    $nginx->post('/in/dev', track()) for 1 .. 3;
    is scrape($nginx->new_client)->{$runs}, 3, 'three runs';

    for my $reload (1 .. 3) {
        hold($nginx, $held) if $reload == 3;

        put($ENV{KNOCK_MODULE}, renamed($runs, $other));
        ($runs, $other) = ($other, $runs);

        $nginx->reload;

        my $now = wait_for('an answer', sub { scrape($nginx->new_client) });

        is $now->{knock_runs_total}, 3, "reload $reload: nothing is lost";
        is $now->{knock_in_flight}, $reload == 3 ? 1 : 0,
           "reload $reload: what is in flight is known";
    }

    redis('CLIENT', 'UNPAUSE');
    is $held->answer->{status}, 200, 'what was in flight is answered';

    $nginx->post('/in/dev', track());
    is scrape($nginx->new_client)->{knock_runs_total}, 5, 'and all is counted';

    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'nothing to complain about';

    $nginx = start();
    $nginx->post('/in/dev', track());

    my $now = scrape($nginx->new_client);

    is $now->{knock_runz_total}, 1, 'started anew: the other module counts';
    is $now->{knock_runs_total}, undef, 'by its names';
    $nginx->stop;
}


# 128 processes have numbers of their own, the last of which is for all others:
# their requests are counted as well, also those of a reload's.  Under ASan they
# would take the machine's memory.

sub more_workers_than_blocks {
    my $nginx = start(workers => 130, listen => 'reuseport',
                      events => 'worker_connections 16;');

    my $before = wait_for('all workers', sub {
        my $now = scrape($nginx->new_client);
        return $now->{knock_workers} == 127 && $now;
    });

    my $runs = 0;

    for my $round (1, 2) {
        my $now = scrape($nginx->new_client);
        my %got;

        # a worker that has only just started may have to say 503

        $got{ $nginx->new_client->post('/in/dev', track())->{status} }++
            for 1 .. 150;

        my $then = scrape($nginx->new_client);
        my %counted = map { $_ => answers($then, $_) - answers($now, $_) }
                      keys %got;

        cmp_ok $got{200}, '>', 100, "many workers: requests ($round)";
        is_deeply \%counted, \%got, "many workers: all are counted ($round)";
        is $then->{knock_runs_total} - $now->{knock_runs_total}, $got{200},
           "many workers: their runs too ($round)";

        $runs += $got{200};
        $nginx->reload if $round == 1;
    }

    is scrape($nginx->new_client)->{knock_runs_total}
       - $before->{knock_runs_total}, $runs,
       'many workers: nothing is lost by a reload';

    $nginx->stop;
    is_deeply [$nginx->complaints], [], 'many workers: nothing to complain about';
}


sub answers { return $_[0]{qq(knock_requests_total{code="$_[1]"})} }


# Sends a request that stays in flight, since Redis takes no writes.

sub hold {
    my ($nginx, $client) = @_;

    redis('CLIENT', 'PAUSE', 60_000, 'WRITE');
    $client->send("POST /in/dev HTTP/1.1\r\nHost: h\r\nContent-Length: "
                  . length(track()) . "\r\n\r\n" . track());

    wait_for('one in flight', sub {
        scrape($nginx->new_client)->{knock_in_flight} == 1
    });
}


sub without_a_master {

    # Knock::Nginx waits for workers, of which there are none

    no warnings 'redefine';
    local *Knock::Nginx::workers = sub { return $_[0]{pid} };

    my $nginx = start(main => 'master_process off;');
    my $client = $nginx->client;

    $nginx->post('/in/dev', track()) for 1 .. 3;
    $nginx->post('/in/dev', '{');

    my $now = scrape($client);

    is $now->{knock_runs_total}, 3, 'without a master: runs';
    is $now->{'knock_events_total{type="track",outcome="processed"}'}, 3,
       'events';
    is $now->{'knock_errors_total{code="invalid_json"}'}, 1, 'errors';
    is $now->{knock_workers}, 1, 'one process';
    is $now->{knock_redis_connections}, 1, 'which is connected';
    is $now->{knock_in_flight}, 0, 'none in flight';

    # the process goes on, with a new configuration

    my $offset = -s $nginx->error_log;

    kill 'HUP', $nginx->pid;
    wait_for('the reload', sub {
        $nginx->log_text($offset) =~ /reconfiguring.*using the "epoll"/s
    });

    my $then = wait_for('the old configuration to go', sub {
        my $seen = scrape($client);
        return $seen->{knock_workers} == 1 && $seen;
    });

    is $then->{knock_runs_total}, 3, 'a reload loses no runs';
    is $then->{'knock_errors_total{code="invalid_json"}'}, 1, 'nor errors';

    $nginx->stop('TERM');
    is_deeply [grep { !/worker_connections are not enough/ }
               $nginx->complaints], [], 'nothing to complain about';
}
