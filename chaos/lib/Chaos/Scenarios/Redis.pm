package Chaos::Scenarios::Redis;

# What happens to a single redis-server.

use strict;
use warnings;

use Chaos::Child;
use Chaos::Node;
use Chaos::Topology::Single;
use Time::HiRes qw(time);

use constant {
    PASSWORD => 'another-one',
    LOADED   => 400_000,        # keys that a restart has to load
    SPARE    => 300_000,        # bytes of memory that are left
};

# code that never ends by itself, to be killed
my $Endless = "#!lua name=endless\n"
              . "redis.register_function('endless', function() "
              . 'while true do end end)';

our @Scenarios = (
    {
        name => 'redis-killed',
        does => 'redis-server (appendfsync always) is killed and started '
                . 'again, four times',
        topology => sub { Chaos::Topology::Single->start(aof => 'always') },
        fault => \&killed,
    },
    {
        name => 'redis-stopped',
        does => 'redis-server stands still for 10 s (SIGSTOP)',
        topology => sub { Chaos::Topology::Single->start },
        fault => \&stopped,
    },
    {
        name => 'memory',
        does => 'maxmemory is reached, and raised after 2 s; three times',
        topology => sub { Chaos::Topology::Single->start(
            args => ['--maxmemory-policy', 'noeviction']) },
        fault => \&memory,
    },
    {
        name => 'read-only',
        does => 'redis-server becomes a replica: of nobody that is there, '
                . 'with stale data served and not, and of another one that '
                . 'takes over and hands back',
        topology => sub { Chaos::Topology::Single->start(
            args => ['--repl-diskless-sync-delay', '0']) },
        before => sub { $_[0]{other} = Chaos::Node->start(
            args => ['--repl-diskless-sync-delay', '0']) },
        fault => \&read_only,
        after => sub { $_[0]{other}->stop },
    },
    {
        name => 'loading',
        does => 'redis-server is killed, and loads for seconds when it is '
                . 'started again; twice',
        topology => sub { Chaos::Topology::Single->start(
            aof => 'always', args => ['--enable-debug-command', 'yes']) },
        before => \&before_loading,
        fault => \&loading,
    },
    {
        name => 'functions',
        does => 'FUNCTION FLUSH, FUNCTION KILL and SCRIPT KILL all the time; '
                . 'scripts without end, killed',
        topology => sub { Chaos::Topology::Single->start(
            args => ['--busy-reply-threshold', '50']) },
        fault => \&functions,
    },
    {
        name => 'password',
        does => 'the password is changed, connections are closed; a reload '
                . 'brings the new one after 2 s',
        topology => sub { Chaos::Topology::Single->start },
        fault => \&password,
    },
    {
        name => 'disk-full',
        does => 'the append-only file cannot grow (MISCONF), twice; then '
                . 'redis-server is killed and reads it',
        topology => sub { Chaos::Topology::Single->start(aof => 'everysec') },
        fault => \&disk_full,
        after => \&read_again,
    },
    {
        name => 'disk-full-always',
        does => 'the same with appendfsync always, at which redis-server ends '
                . 'itself and is started again and again',
        topology => sub { Chaos::Topology::Single->start(aof => 'always') },
        fault => \&disk_full_always,
        after => \&read_again,
    },
);


sub killed {
    my ($run) = @_;

    for (1 .. 4) {
        $run->node->kill;
        $run->unavailable;
        $run->pause(1);
        $run->node->restart;
        $run->served;
        $run->pause(1.5);
    }
}


sub stopped {
    my ($run) = @_;

    my @workers = $run->nginx->workers;

    $run->node->freeze;
    $run->pause(10);
    $run->unavailable;
    $run->node->thaw;
    $run->served;
    $run->pause(2);

    $run->must("@{[sort @workers]}" eq "@{[sort $run->nginx->workers]}",
               'other workers than before');
}


sub memory {
    my ($run) = @_;

    for (1 .. 3) {
        my $used = $run->node->info('memory', 'used_memory');

        $run->node->command(qw(CONFIG SET maxmemory), $used + SPARE);
        $run->unavailable;
        $run->pause(2);
        $run->node->command(qw(CONFIG SET maxmemory 0));
        $run->served;
        $run->pause(1);
    }
}


sub read_only {
    my ($run) = @_;
    my ($node, $other) = ($run->node, $run->{other});

    for my $stale ('yes', 'no') {
        $node->command(qw(CONFIG SET replica-serve-stale-data), $stale);
        $node->command(qw(REPLICAOF 127.0.0.1 1));
        $run->unavailable;
        $run->pause(2);
        $node->command(qw(REPLICAOF NO ONE));
        $run->served;
        $run->pause(1);
    }

    $other->command('REPLICAOF', '127.0.0.1', $node->port);
    in_sync($run, $other);

    hand_over($run, $node, $other);
    $run->unavailable;
    $run->pause(2);
    in_sync($run, $node);
    hand_over($run, $other, $node);
}


# Nothing that was written is missing afterwards.

sub hand_over {
    my ($run, $from, $to) = @_;

    $from->command('FAILOVER', 'TO', '127.0.0.1', $to->port);
    $run->until('the other one to take over', sub {
        $to->info('replication', 'role') eq 'master'
    });
}


sub in_sync {
    my ($run, $replica) = @_;

    $run->until('replication', sub {
        $replica->info('replication', 'master_link_status') eq 'up'
    });
}


# Many keys in the file, and a moment for each when they are loaded.

sub before_loading {
    my ($run) = @_;

    $run->node->command('DEBUG', 'POPULATE', LOADED, 'else', 100);
    $run->node->command('BGREWRITEAOF');
    $run->until('the file to be written', sub {
        $run->node->info('persistence', 'aof_rewrite_in_progress') == 0
        && $run->node->info('persistence', 'aof_rewrite_scheduled') == 0
    });

    # a microsecond, which takes dozens, at one of so many keys
    push @{ $run->node->{server}{args} }, '--key-load-delay',
         -1 - int 40 / $run->{scale};
}


sub loading {
    my ($run) = @_;

    for (1 .. 2) {
        $run->node->kill;
        $run->node->restart;

        my $since = time;

        $run->until('LOADING', sub {
            eval { $run->node->command('GET', 'x'); 1 }
                ? die "it did not load\n" : $@ =~ /^LOADING/
        });
        $run->unavailable;
        $run->until('the end of loading', sub {
            $run->node->command(qw(EXISTS else:1))
        });
        $run->note('loading_s', 0 + sprintf '%.1f', time - $since);
        $run->served;
        $run->pause(1.5);
    }
}


sub functions {
    my ($run) = @_;

    for my $round (1 .. 3) {
        my $end = time + 2.5 * $run->{scale};

        while (time < $end) {
            $run->node->command(qw(FUNCTION FLUSH), $round % 2 ? 'SYNC'
                                                               : 'ASYNC');
            # mostly there is none to be killed
            eval { $run->node->command(qw(FUNCTION KILL)) };
            eval { $run->node->command(qw(SCRIPT KILL)) };
            eval { $run->node->command(qw(SCRIPT FLUSH)) };
            $run->pause(0.02);
        }

        busy($run, 'SCRIPT', 'EVAL', 'while true do end', 0);

        $run->node->command('FUNCTION', 'LOAD', 'REPLACE', $Endless);
        busy($run, 'FUNCTION', 'FCALL', 'endless', 0);
    }
}


# A command that does not end keeps everybody waiting; it is killed.

sub busy {
    my ($run, $what, @command) = @_;

    my $child = Chaos::Child->start(sub {
        # what it is killed with is an error
        eval { $run->node->fresh->command(@command) };
    });

    $run->unavailable;
    $run->pause(1);
    $run->until("$what KILL", sub { $run->node->command($what, 'KILL') });
    $child->wait;
    $run->served;
}


sub password {
    my ($run) = @_;

    for my $round (1, 2) {
        my $password = PASSWORD . $round;

        $run->node->command(qw(CONFIG SET requirepass), $password);
        $run->node->command(qw(CLIENT KILL TYPE normal));
        $run->node->forget($password);
        $run->unavailable;
        $run->pause(2);
        $run->reload(http => $run->http("password=$password"));
        $run->served;
        $run->pause(1.5);
    }
}


# How large the server may make a file: as much as the largest is now, and a
# little; undef, no limit.

sub limit_files {
    my ($node, $more) = @_;

    my $limit = 'unlimited';

    if (defined $more) {
        my ($most) = sort { $b <=> $a }
                     map { -s } glob $node->dir . '/appendonlydir/*.aof';

        $limit = $most + $more;
    }

    # the soft limit: the hard one would stay
    system('prlimit', '--pid', $node->pid, "--fsize=$limit:") == 0
        or die "prlimit failed\n";
}


sub disk_full {
    my ($run) = @_;

    for (1 .. 2) {
        limit_files($run->node, 50_000);
        $run->unavailable;
        $run->must($run->node->info('persistence', 'aof_last_write_status')
                   eq 'err', 'the file could be written');
        $run->pause(2.5);
        limit_files($run->node);
        $run->served;
        $run->pause(1.5);
    }
}


sub disk_full_always {
    my ($run) = @_;
    my $node = $run->node;
    my $ended = 0;

    for (1 .. 2) {
        limit_files($node, 50_000);

        # somebody starts it again each time

        my $end = time + 3 * $run->{scale};

        while (time < $end || !$ended) {
            if (!$node->running) {
                $ended++;
                $node->restart;
                limit_files($node, 2_000);
            }

            $run->pause(0.1);
        }

        # without a limit; one that runs may be about to end
        $node->restart;
        $run->served;
        $run->pause(1.5);
    }

    $run->must($ended > 2, "redis-server ended itself $ended times only");
    $run->note('ended', $ended);
}


# What is in the file is all there is.

sub read_again {
    my ($run) = @_;

    $run->until('the file to be written', sub {
        $run->node->info('persistence', 'aof_last_write_status') eq 'ok'
        && $run->node->info('persistence', 'aof_pending_bio_fsync') == 0
        && $run->node->info('persistence', 'aof_buffer_length') == 0
    });

    $run->node->kill;
    $run->node->restart;
    $run->until('redis-server', sub { $run->node->command('PING') });
}

1;
