package Bench::Report;

# Figures as tables and as a file.

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();

use Bench::Chart;
use Bench::Scenarios qw(@Scenarios %Servers @Memory);
use Bench::Tools qw(slurp cpus $Codec);

our @EXPORT_OK = qw(line commas write_results);

# name, heading, decimals

my @columns = (
    ['events_per_second', 'events/s', 0],
    ['worker_us', 'worker us', 2],
    ['redis_us', 'Redis us', 2],
    ['load_us', 'load us', 2],
    ['p50_us', 'p50 us', 0],
    ['p99_us', 'p99 us', 0],
    ['p99.9_us', 'p99.9 us', 0],
    ['rss_mb', 'RSS MB', 1],
    ['redis_us_a_run', 'Redis us/run', 2],
);


# What it is all measured with.

sub setting {
    my ($machine, $versions) = (machine(), versions());

    return sprintf "%s, %d processors, %s\n%s\n", $machine->{cpu},
        $machine->{cpus}, $machine->{kernel},
        join ', ', map { "$_ " . ($versions->{$_} // 'unknown') }
                   sort keys %$versions;
}


sub head {
    return sprintf "%-24s" . '%11s' x @columns . "\n", '',
                   map { $_->[1] } @columns;
}


# A row of figures, each a number or the spread of several.

sub line {
    my ($name, $figures) = @_;

    return sprintf "%-24s" . '%11s' x @columns . "\n", "  $name", map {
        my ($column, undef, $decimals) = @$_;
        my $value = $figures->{$column};

        $value = $value->{median} if ref $value;
        defined $value ? commas(sprintf "%.${decimals}f", $value) : '-';
    } @columns;
}


sub commas {
    my ($number) = @_;

    1 while $number =~ s/^(-?\d+)(\d{3})/$1,$2/;

    return $number;
}


# The medians.

sub summary {
    my ($figures) = @_;
    my $text = "\n\nmedians\n\n" . head();

    for my $scenario (@Scenarios) {
        my $servers = $figures->{ $scenario->{name} } or next;

        $text .= "$scenario->{title}\n";
        $text .= line($Servers{$_}{title}, $servers->{$_})
            for grep { $servers->{$_} } @{ $scenario->{servers} };
    }

    if (my $phases = $figures->{memory}) {
        $text .= "memory of one worker\n";
        $text .= line($_->{name}, $phases->{ $_->{name} })
            for grep { $phases->{ $_->{name} } } @Memory;
    }

    return $text;
}


sub target_table {
    my (@judged) = @_;
    my $text = sprintf "\n\n%-62s%9s%14s%14s  %s\n\n",
                       'targets, medians of ratios side by side', 'figure',
                       'must', 'goal', '';

    for my $target (@judged) {
        my $bound = $target->{least} ? 'at least' : 'at most';

        $text .= sprintf "%-62s%9.2f%14s%14s  %s\n", $target->{what},
            $target->{figure}, "$bound $target->{must}",
            "$bound $target->{goal}",
            { goal => 'goal reached', must => 'must reached',
              missed => 'MISSED' }->{ $target->{verdict} };
    }

    return $text;
}


# The files of --json and --svg.

sub write_results {
    my ($opt, $figures, $judged, $runs) = @_;

    my $results = {
        date => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime),
        machine => machine(),
        versions => versions(),
        seconds => $opt->{seconds} + 0,
        repetitions => $opt->{reps} + 0,
        scenarios => [ map { {
            name => $_->{name}, title => $_->{title},
            load => $_->{load},
            figures => $figures->{ $_->{name} },
        } } grep { $figures->{ $_->{name} } } @Scenarios ],
        memory => $figures->{memory},
        targets => $judged,
        runs => $runs,
    };

    write_file($opt->{json}, $Codec->canonical->pretty->encode($results))
        if defined $opt->{json};
    $Codec->pretty(0);

    write_file($opt->{svg}, Bench::Chart::draw($results))
        if defined $opt->{svg};
}


sub write_file {
    my ($file, $text) = @_;

    open my $out, '>', "$file.new" or die "$file.new: $!\n";
    print {$out} $text;
    close $out or die "$file.new: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}


sub machine {
    my ($cpu) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
    my ($memory) = slurp('/proc/meminfo') =~ /^MemTotal:\s*(\d+)/m;
    my ($system, undef, $kernel, undef, $machine) = POSIX::uname();

    # what a distributor or a host adds behind its version is of no interest
    $kernel =~ s/^(\d[\d.]*).*/$1/;

    return { cpu => $cpu // 'unknown', cpus => scalar(my @cpus = cpus()),
             memory_mb => int(($memory // 0) / 1024),
             kernel => "$system $kernel $machine" };
}


sub versions {
    my %commands = (
        nginx => [$ENV{KNOCK_NGINX} || '/usr/sbin/nginx', '-v'],
        redis => [split(' ', $ENV{KNOCK_REDIS_SERVER} || 'redis-server'),
                  '--version'],
        node  => ['node', '--version'],
    );
    my %versions;

    for my $name (keys %commands) {
        my $text = qx(@{ $commands{$name} } 2>&1) // '';

        ($versions{$name}) = $text =~ /(\d+\.\d+[\d.]*)/;
    }

    return \%versions;
}

1;
