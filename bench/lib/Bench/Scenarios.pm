package Bench::Scenarios;

# What is measured, and the targets that it is measured for.

use strict;
use warnings;

use Exporter qw(import);

use Bench::Tools qw(median);

our @EXPORT_OK = qw(@Scenarios %Servers @Memory targets);

# Contenders by the name that results have them under.  `load` is what of a
# scenario's load is another one for them.  `push` is no server but
# redis-benchmark with finished runs, ceiling (d).

our %Servers = (
    'module'       => { kind => 'ours', title => 'the module' },
    'module-nolog' => { kind => 'ours', title => '... without event logs',
                        log => 'off' },
    'module-flat'  => { kind => 'ours', title => '... without nested traits',
                        load => { mix => 'flat' } },
    'module-aof'   => { kind => 'ours', title => '... with AOF everysec',
                        aof => 1 },
    'a'            => { kind => 'lua', title => '(a) nginx and Lua' },
    'b'            => { kind => 'node', title => '(b) Node, fastify' },
    'c'            => { kind => 'read', title => '(c) body read, no more' },
    'd'            => { kind => 'push', title => '(d) RPUSH, pipelined' },
    'e'            => { kind => 'go', title => '(e) Go, fasthttp' },
);

# `load` is for the load generator, `smoke` replaces parts of it where speed
# does not count.  256 connections keep each of the servers busy all the time.
# Of arrays a few are enough.

our @Scenarios = (
    { name => 'single-16', title => 'single events, 16 connections',
      servers => [qw(module a b e)],
      load => { connections => 16 },
      smoke => { count => 1000 } },

    { name => 'single-64', title => 'single events, 64 connections',
      servers => [qw(module module-nolog module-aof a b e)],
      load => { connections => 64 },
      smoke => { count => 1000 } },

    { name => 'single-256', title => 'single events, 256 connections',
      servers => [qw(module a b c d e)],
      load => { connections => 256 },
      smoke => { count => 2000 } },

    { name => 'arrays', title => 'arrays of 100',
      servers => [qw(module module-nolog module-flat a b e)],
      load => { connections => 8, batch => 100 },
      smoke => { count => 2000, connections => 4 } },

    { name => 'arrays-1000', title => 'arrays of 1,000',
      servers => [qw(module)],
      load => { connections => 4, batch => 1000 },
      smoke => { count => 4000 } },

    { name => 'arrays-4000', title => 'arrays of 4,000',
      servers => [qw(module)],
      load => { connections => 4, batch => 4000 },
      smoke => { count => 16000 } },

    { name => 'one', title => 'one connection, one event at a time',
      servers => [qw(module a b e)],
      load => { connections => 1 },
      smoke => { count => 300 } },

    { name => 'rate', title => '10,000 single events a second',
      servers => [qw(module a e)],
      load => { connections => 64, rate => 10000 },
      smoke => { count => 1000, rate => 4000 } },

    { name => 'hundred', title => 'single events, each of 100 recipients',
      servers => [qw(module d)],
      load => { connections => 64, recipients => 100, only => 'bare',
                count => 1000, warm => 1 },
      smoke => { count => 100 } },

    { name => 'former-64', title => 'former mix: single events, 64 connections',
      servers => [qw(module module-nolog a b e)],
      load => { connections => 64, mix => 'former' },
      smoke => { count => 1000 } },

    { name => 'former-256',
      title => 'former mix: single events, 256 connections',
      servers => [qw(module module-nolog a b e)],
      load => { connections => 256, mix => 'former' },
      smoke => { count => 1000 } },

    { name => 'former-arrays', title => 'former mix: arrays of 100',
      servers => [qw(module module-nolog a b e)],
      load => { connections => 8, batch => 100, mix => 'former' },
      smoke => { count => 2000, connections => 4 } },
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
    { what => 'single events, 64 connections: events a second, against (e)',
      least => 1, of => 'single-64 module events_per_second',
      to => 'single-64 e events_per_second', must => 0.9, goal => 1.2 },
    { what => 'single events, 256 connections: the same', least => 1,
      of => 'single-256 module events_per_second',
      to => 'single-256 e events_per_second', must => 0.9, goal => 1.2 },
    { what => 'arrays of 100: the same', least => 1,
      of => 'arrays module events_per_second',
      to => 'arrays e events_per_second', must => 1, goal => 1.3 },
    { what => "single events, 64 connections: Redis CPU, against (e)'s",
      of => 'single-64 module redis_us', to => 'single-64 e redis_us',
      must => 1.2, goal => 1 },
    { what => "arrays of 100: Redis CPU, against (e)'s",
      of => 'arrays module redis_us', to => 'arrays e redis_us',
      must => 1.2, goal => 0.9 },
    { what => "single events, 64 connections: worker CPU, against (e)'s",
      of => 'single-64 module worker_us', to => 'single-64 e worker_us',
      must => 1.1, goal => 0.9 },
    { what => "arrays of 100: worker CPU, against (e)'s",
      of => 'arrays module worker_us', to => 'arrays e worker_us',
      must => 1, goal => 0.75 },
    { what => 'one connection: p50, against (e)',
      of => 'one module p50_us', to => 'one e p50_us',
      must => 0.95, goal => 0.8 },
    { what => 'single events, 64 connections: events a second, against (a)',
      least => 1, of => 'single-64 module events_per_second',
      to => 'single-64 a events_per_second', must => 2.4, goal => 3 },
    { what => 'single events, 256 connections: the same', least => 1,
      of => 'single-256 module events_per_second',
      to => 'single-256 a events_per_second', must => 3.5, goal => 4.5 },
    { what => 'arrays of 100: the same', least => 1,
      of => 'arrays module events_per_second',
      to => 'arrays a events_per_second', must => 3, goal => 4 },
    { what => 'single events, 64 connections: events a second, against (b)',
      least => 1, of => 'single-64 module events_per_second',
      to => 'single-64 b events_per_second', must => 4, goal => 5 },
    { what => 'single events, 256 connections: the same', least => 1,
      of => 'single-256 module events_per_second',
      to => 'single-256 b events_per_second', must => 4, goal => 5 },
    { what => 'arrays of 100: the same', least => 1,
      of => 'arrays module events_per_second',
      to => 'arrays b events_per_second', must => 3.5, goal => 4.5 },
    { what => 'arrays of 100: Redis CPU, nested traits against none',
      of => 'arrays module redis_us', to => 'arrays module-flat redis_us',
      must => 1.15, goal => 1.05 },
    { what => 'event log on against off, 64 connections: events a second',
      least => 1, of => 'single-64 module events_per_second',
      to => 'single-64 module-nolog events_per_second',
      must => 0.93, goal => 0.97 },
    { what => 'event log on against off, arrays of 100: events a second',
      least => 1, of => 'arrays module events_per_second',
      to => 'arrays module-nolog events_per_second',
      must => 0.93, goal => 0.97 },
    { what => 'event log on against off, arrays of 100: Redis CPU',
      of => 'arrays module redis_us', to => 'arrays module-nolog redis_us',
      must => 1.15, goal => 1.05 },
    { what => 'p99 at 10,000 events a second, against (a)',
      of => 'rate module p99_us', to => 'rate a p99_us',
      must => 0.6, goal => 0.4 },
    { what => 'p99 at 10,000 events a second, against (e)',
      of => 'rate module p99_us', to => 'rate e p99_us',
      must => 1, goal => 0.8 },
    { what => '100 recipients: Redis CPU a run, against (d)',
      of => 'hundred module redis_us_a_run', to => 'hundred d redis_us_a_run',
      must => 2.5, goal => 1.8 },
    { what => 'AOF everysec against no persistence: events a second',
      least => 1, of => 'single-64 module-aof events_per_second',
      to => 'single-64 module events_per_second', must => 0.8, goal => 0.9 },
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
