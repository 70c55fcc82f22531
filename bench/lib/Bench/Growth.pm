package Bench::Growth;

# How the module's cost grows: a table for each thing that may grow, the rest
# being as in the benchmark.  The same verification, no peers.

use strict;
use warnings;

use Bench::Report qw(commas);
use Bench::Run;
use Bench::Servers;
use Bench::Tools qw(spread $Codec);

my @tables = (
    { name => 'batch', title => 'events in an array',
      points => [
          [1, connections => 64], [10, connections => 64, batch => 10],
          [100, connections => 16, batch => 100],
          [1000, connections => 4, batch => 1000],
      ] },

    { name => 'connections', title => 'connections, an event at a time',
      points => [ map { [$_, connections => $_] } 1, 8, 64, 256 ] },

    { name => 'workers', title => 'workers, single events',
      points => [ map { [$_, connections => 64, workers => $_] } 1, 2 ] },

    { name => 'recipients',
      title => 'recipients of an event, all by id, single tracks',
      points => [ map { [$_, connections => 64, recipients => $_,
                         only => 'bare'] } 1, 10, 100 ] },

    { name => 'users', title => 'users in Redis, single events',
      points => [ map { [$_, connections => 64, users => $_] }
                  10_000, 100_000, 1_000_000 ] },
);

my @columns = (
    ['events_per_second', 'events/s', 0], ['runs_per_second', 'runs/s', 0],
    ['worker_us', 'worker us/event', 2], ['redis_us', 'Redis us/event', 2],
    ['p50_us', 'p50 us', 0], ['p99_us', 'p99 us', 0],
    ['redis_mb', 'Redis MB before', 1],
);


# Prints them in Markdown; `redis`, `seconds`, `reps`, `json` as bench/run has
# them.  Gives the exit status.

sub tables {
    my (%opt) = @_;
    my ($wrong, @results) = (0);

    for my $table (@tables) {
        my @rows;

        printf "\n| %s |%s\n|%s\n", $table->{title},
               join('', map { " $_->[1] |" } @columns),
               ' --- |' x (@columns + 1);

        for my $point (@{ $table->{points} }) {
            my ($n, %load) = @$point;
            my ($figures, @faults) = point(\%opt, %load);

            printf "| %s |%s\n", commas($n), join '', map {
                my $value = $figures->{ $_->[0] }{median};
                defined $value
                    ? ' ' . commas(sprintf "%.$_->[2]f", $value) . ' |' : ' - |';
            } @columns;

            print map { "WRONG: $_\n" } @faults;
            $wrong += @faults;
            push @rows, { n => $n, figures => $figures };
        }

        push @results, { name => $table->{name}, title => $table->{title},
                         rows => \@rows };
    }

    if (defined $opt{json}) {
        open my $out, '>', $opt{json} or die "$opt{json}: $!\n";
        print {$out} $Codec->pretty->encode(\@results);
        close $out or die "$opt{json}: $!\n";
    }

    return $wrong ? 1 : 0;
}


# The figures of a point, and what was wrong.

sub point {
    my ($opt, %load) = @_;
    my (%samples, @faults);

    my $server = Bench::Servers->start('ours', redis => $opt->{redis},
                                       workers => delete $load{workers} // 1);

    for (1 .. $opt->{reps}) {
        my $result = Bench::Run::measure($server, %load,
            redis => $opt->{redis}, seconds => $opt->{seconds}, warmup => 0.5);
        my $figures = $result->{figures};
        my $n = $result->{last} + 1 - $result->{first};

        push @faults, @{ $result->{faults} };

        $figures->{runs_per_second} = $figures->{events_per_second}
                                      * ($result->{runs} // 0) / $n;
        push @{ $samples{$_} }, $figures->{$_} for keys %$figures;
    }

    $server->stop;

    return ({ map { $_ => spread(@{ $samples{$_} }) } keys %samples }, @faults);
}

1;
