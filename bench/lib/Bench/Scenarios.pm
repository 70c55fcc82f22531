package Bench::Scenarios;

# What is measured, and the targets that it is measured for.

use strict;
use warnings;

use Exporter qw(import);

use Bench::Tools qw(median);

our @EXPORT_OK = qw(@Scenarios %Servers @Memory targets);

# Servers by the name that results have them under.  `push` is no server but
# redis-benchmark with finished runs, ceiling (d).

our %Servers = (
    'ours'     => { kind => 'ours', title => 'the module' },
    'ours+log' => { kind => 'ours', title => '... with event logs',
                    log => 'on' },
    'ours+aof' => { kind => 'ours', title => '... with AOF everysec',
                    aof => 1 },
    'lua'      => { kind => 'lua', title => '(a) nginx and Lua' },
    'node'     => { kind => 'node', title => '(b) Node, fastify' },
    'read'     => { kind => 'read', title => '(c) body read, no more' },
    'push'     => { kind => 'push', title => '(d) RPUSH, 16 deep' },
);

# `load` is for the load generator, `smoke` replaces parts of it where speed
# does not count.  256 connections keep each of the servers busy all the time:
# with 64 the peers are, but the module and Redis wait for each other in turns.
# Of arrays a few are enough.

our @Scenarios = (
    { name => 'singles', title => 'single events at saturation',
      servers => [qw(ours lua node read push)],
      load => { connections => 256 },
      smoke => { count => 2000 } },

    { name => 'arrays', title => 'arrays of 100 at saturation',
      servers => [qw(ours lua node)],
      load => { connections => 8, batch => 100 },
      smoke => { count => 2000, connections => 4 } },

    { name => 'rate4000', title => '4,000 single events a second',
      servers => [qw(ours lua)],
      load => { connections => 64, rate => 4000 },
      smoke => { count => 1000, rate => 2000 } },

    { name => 'rate10000', title => '10,000 single events a second',
      servers => [qw(ours lua)],
      load => { connections => 64, rate => 10000 },
      smoke => { count => 1000, rate => 4000 } },

    { name => 'one', title => 'one connection, one event at a time',
      servers => [qw(ours lua)],
      load => { connections => 1 },
      smoke => { count => 300 } },

    { name => 'settings', title => 'single events, other settings',
      servers => [qw(ours ours+aof ours+log)],
      load => { connections => 64 },
      smoke => { count => 1000 } },
);

# Phases of one worker's life, after each of which its memory is looked at:
# name, title, events, in parts of so many, options of the load.  One array of
# 4,000 is at work at a time: it has 5.6 MB.

our @Memory = (
    { name => 'singles', title => 'a million single events',
      events => 1_000_000, part => 200_000, smoke => 1000,
      load => { connections => 64 } },

    { name => 'arrays', title => '200,000 in arrays of 4,000',
      events => 200_000, part => 200_000, smoke => 8000,
      load => { connections => 1, batch => 4000 } },

    { name => 'again', title => '200,000 single events again',
      events => 200_000, part => 200_000, smoke => 1000,
      load => { connections => 64 } },
);

# What is held against what: { what, how a figure is made (a ratio of `of` to
# `to`, each "scenario server figure"), must, goal }.  `least` says that more is
# better.

my @targets = (
    { what => 'single events: events a second, against (a)', least => 1,
      of => 'singles ours events_per_second',
      to => 'singles lua events_per_second', must => 2.8, goal => 3.5 },
    { what => "single events: (a)'s worker CPU against the module's",
      least => 1,
      of => 'singles lua worker_us', to => 'singles ours worker_us',
      must => 3.2, goal => 4 },
    { what => 'single events: events a second, against (b)', least => 1,
      of => 'singles ours events_per_second',
      to => 'singles node events_per_second', must => 4.3, goal => 5 },
    { what => "single events: (b)'s worker CPU against the module's",
      least => 1,
      of => 'singles node worker_us', to => 'singles ours worker_us',
      must => 5, goal => 6 },
    { what => 'single events: worker CPU, against (c)',
      of => 'singles ours worker_us', to => 'singles read worker_us',
      must => 2.4, goal => 2.1 },
    { what => "single events: Redis CPU, against (a)'s",
      of => 'singles ours redis_us', to => 'singles lua redis_us',
      must => 0.4, goal => 0.3 },
    { what => 'single events: Redis CPU, against (d)',
      of => 'singles ours redis_us', to => 'singles push redis_us',
      must => 5, goal => 3 },
    { what => 'arrays of 100: events a second, against (a)', least => 1,
      of => 'arrays ours events_per_second',
      to => 'arrays lua events_per_second', must => 3, goal => 4 },
    { what => 'arrays of 100: events a second, against (b)', least => 1,
      of => 'arrays ours events_per_second',
      to => 'arrays node events_per_second', must => 4, goal => 5 },
    { what => 'p99 at 4,000 events a second, against (a)',
      of => 'rate4000 ours p99_us', to => 'rate4000 lua p99_us',
      must => 0.9, goal => 0.6 },
    { what => 'p99 at 10,000 events a second, against (a)',
      of => 'rate10000 ours p99_us', to => 'rate10000 lua p99_us',
      must => 0.5, goal => 0.35 },
    { what => 'one connection, one event at a time: p50, against (a)',
      of => 'one ours p50_us', to => 'one lua p50_us',
      must => 0.85, goal => 0.75 },
    { what => 'AOF everysec against no persistence: events a second',
      least => 1,
      of => 'settings ours+aof events_per_second',
      to => 'settings ours events_per_second', must => 0.8, goal => 0.9 },
    { what => 'event logs on against off: events a second', least => 1,
      of => 'settings ours+log events_per_second',
      to => 'settings ours events_per_second', must => 0.8, goal => 0.9 },
    { what => 'worker RSS after a million single events, MB',
      of => 'memory singles rss_mb', must => 12, goal => 10 },
    { what => 'worker RSS after arrays of 4,000, MB',
      of => 'memory arrays rss_mb', must => 48, goal => 32 },
    { what => 'worker RSS after single events again, MB',
      of => 'memory again rss_mb', must => 16, goal => 12 },
);


# The targets that the figures allow to be judged, with `figure` and `verdict`
# (goal, must or missed) added.  `figures` is scenario => server => name =>
# what Bench::Tools::spread() gives.

sub targets {
    my ($figures) = @_;
    my @judged;

    for my $target (@targets) {
        my $of = find($figures, $target->{of}) or next;
        my $figure = $of->{median};

        if (defined $target->{to}) {
            my $to = find($figures, $target->{to}) or next;

            $figure = ratio($of->{samples}, $to->{samples}) // next;
        }

        my $meets = sub {
            return $target->{least} ? $figure >= $_[0] : $figure <= $_[0];
        };

        push @judged, { %$target, figure => $figure,
                        least => $target->{least} ? 1 : 0,
                        verdict => $meets->($target->{goal}) ? 'goal'
                                 : $meets->($target->{must}) ? 'must'
                                 :                             'missed' };
    }

    return @judged;
}


# "scenario server figure", looked up step by step, which leaves what is not
# there not there.

sub find {
    my ($found, $names) = @_;

    $found = ref $found ? $found->{$_} : undef for split ' ', $names;

    return $found;
}


# The median of the ratios of runs that stood side by side: what slows the
# machine down for a while slows both.

sub ratio {
    my ($of, $to) = @_;

    return median(map { $of->[$_] / $to->[$_] }
                  grep { defined $of->[$_] && $to->[$_] } 0 .. $#$of);
}

1;
