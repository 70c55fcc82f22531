package Bench::Chart;

# The medians as bars, in SVG: readable on light and on dark, and without
# scripts or fonts of its own.

use strict;
use warnings;

use Bench::Scenarios qw(%Servers);

use constant {
    WIDTH  => 860,
    LEFT   => 218,          # where bars begin
    RIGHT  => 650,          # where the longest ends
    MARGIN => 28,
    BAR    => 20,
    ROW    => 30,
};

my $style = <<'_EOC_';
.page { fill: #ffffff; stroke: #d8dee4 }
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
       font-size: 13px; fill: #1f2328 }
.title { font-size: 19px; font-weight: 600 }
.panel { font-size: 14px; font-weight: 600 }
.small, .unit { font-size: 12px; fill: #59636e }
.value { font-variant-numeric: tabular-nums }
.ours { fill: #1f6feb }
.peer { fill: #8c959f }
.ceiling { fill: #d0d7de }
.redis { fill: #d1570a }
.range { stroke: #1f2328; stroke-width: 1.2; opacity: .55 }
.axis { stroke: #d8dee4 }
@media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .small, .unit { fill: #9198a1 }
    .ours { fill: #4493f8 }
    .peer { fill: #7d8590 }
    .ceiling { fill: #3d444d }
    .redis { fill: #f0883e }
    .range { stroke: #e6edf3 }
    .axis { stroke: #30363d }
}
_EOC_


# The text of the picture of some results.

sub draw {
    my ($results) = @_;

    my %figures = map { $_->{name} => $_->{figures} } @{ $results->{scenarios} };
    my $y = 44;

    my @body = (text(MARGIN, $y, 'title', "Receiving Segment's events"));

    $y += 22;
    push @body, text(MARGIN, $y, 'small',
        'medians of ' . $results->{repetitions} . ' interleaved runs of '
        . $results->{seconds} . ' s, each verified in Redis; lines: least and'
        . ' most. One worker; ' . $results->{machine}{cpu} . '.');
    $y += 22;

    my ($x, @legend) = (MARGIN);

    for (['ours', 'the module'], ['peer', 'peers'], ['ceiling', 'ceilings'],
         ['redis', "Redis's share of CPU"])
    {
        push @body, bar($x, $y - 10, 12, 12, $_->[0]),
                    text($x + 18, $y, 'small', $_->[1]);
        $x += 34 + 6.6 * length $_->[1];
    }

    $y += 16;

    for my $panel (panels(\%figures)) {
        my ($title, $unit, $more, @rows) = @$panel;
        my ($largest) = sort { $b <=> $a } map { total($_) } @rows;

        next unless $largest;

        $y += 34;
        push @body, text(MARGIN, $y, 'panel', $title),
                    text(WIDTH - MARGIN, $y, 'unit', "$unit, $more is better",
                         'end');
        $y += 12;
        push @body, sprintf '<line class="axis" x1="%d" y1="%d" x2="%d" y2="%d"/>',
                            LEFT, $y, LEFT, $y + @rows * ROW;

        for my $row (@rows) {
            push @body, row($row, $y, $largest);
            $y += ROW;
        }
    }

    $y += 22;

    return sprintf(qq(<svg xmlns="http://www.w3.org/2000/svg" width="%d" )
        . qq(height="%d" viewBox="0 0 %d %d" role="img" )
        . qq(aria-label="Results of the benchmark">\n), WIDTH, $y, WIDTH, $y)
        . "<style>\n$style</style>\n"
        . sprintf(qq(<rect class="page" x=".5" y=".5" width="%d" height="%d" rx="8"/>\n),
                  WIDTH - 1, $y - 1)
        . join("\n", @body) . "\n</svg>\n";
}


# Each panel: title, unit, "more" or "less", rows { label, parts, decimals },
# a part { class, figure }.

sub panels {
    my ($f) = @_;

    my $rows = sub {
        my ($scenario, $names, $decimals, @figures) = @_;

        return map {
            my $name = $_;
            my $server = $f->{$scenario}{$name};
            my @parts = map { { class => $_ eq 'redis_us' ? 'redis' : class($name),
                                figure => $server->{$_} } }
                        grep { $server->{$_} && $server->{$_}{median} > 0.5 }
                        @figures;

            @parts ? { label => $Servers{$name}{title}, parts => \@parts,
                       decimals => $decimals } : ();
        } grep { $f->{$scenario} && $f->{$scenario}{$_} } @$names;
    };

    my $beside = [qw(module e a b)];

    return (
        ['Single events, 64 connections', 'events a second', 'more',
         $rows->('single-64', $beside, 0, 'events_per_second')],
        ['Single events, 256 connections', 'events a second', 'more',
         $rows->('single-256', [qw(module e a b c)], 0, 'events_per_second')],
        ['Arrays of 100', 'events a second', 'more',
         $rows->('arrays', $beside, 0, 'events_per_second')],
        ['CPU for a single event, 64 connections: worker, then Redis',
         'microseconds', 'less',
         $rows->('single-64', $beside, 1, 'worker_us', 'redis_us')],
        ['CPU for an event in arrays of 100: worker, then Redis',
         'microseconds', 'less',
         $rows->('arrays', $beside, 1, 'worker_us', 'redis_us')],
        ['99 of 100 single events are answered within, at 10,000 a second',
         'microseconds', 'less',
         $rows->('rate', [qw(module e a)], 0, 'p99_us')],
        ['The module, other settings, 64 connections', 'events a second',
         'more', $rows->('single-64', [qw(module module-nolog module-aof)], 0,
                         'events_per_second')],
    );
}


sub class {
    my ($name) = @_;

    return $name =~ /^module/ ? 'ours'
         : $name =~ /^[cd]$/ ? 'ceiling' : 'peer';
}


sub total {
    my ($row) = @_;
    my $sum = 0;

    $sum += $_->{figure}{median} for @{ $row->{parts} };

    return $sum;
}


sub row {
    my ($row, $y, $largest) = @_;

    my $scale = (RIGHT - LEFT) / $largest;
    my $x = LEFT;
    my $top = $y + (ROW - BAR) / 2;
    my @body = text(LEFT - 10, $y + ROW / 2 + 4.5, 'label', $row->{label}, 'end');
    my @values;

    for my $part (@{ $row->{parts} }) {
        my $width = $part->{figure}{median} * $scale;

        push @body, bar($x, $top, $width, BAR, $part->{class});
        push @values, commas(sprintf "%.$row->{decimals}f",
                             $part->{figure}{median});
        $x += $width;
    }

    # of a sum there is no least and most

    my $figure = $row->{parts}[0]{figure};

    if (@{ $row->{parts} } == 1 && $figure->{n} > 1) {
        my ($from, $to) = map { LEFT + $_ * $scale } @$figure{qw(min max)};
        my $limit = WIDTH - MARGIN - 90;

        $to = $limit if $to > $limit;
        push @body, sprintf '<line class="range" x1="%.1f" y1="%.1f" x2="%.1f"'
            . ' y2="%.1f"/>', $from, $y + ROW / 2, $to, $y + ROW / 2;
        $x = $to if $to > $x;
    }

    push @body, text($x + 8, $y + ROW / 2 + 4.5, 'value', join ' + ', @values);

    return @body;
}


sub bar {
    my ($x, $y, $width, $height, $class) = @_;

    return sprintf '<rect class="%s" x="%.1f" y="%.1f" width="%.1f"'
                   . ' height="%d" rx="2"/>', $class, $x, $y, $width, $height;
}


sub text {
    my ($x, $y, $class, $text, $anchor) = @_;

    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;

    return sprintf '<text class="%s" x="%.1f" y="%.1f"%s>%s</text>', $class,
                   $x, $y, $anchor ? qq( text-anchor="$anchor") : '', $text;
}


sub commas {
    my ($number) = @_;

    1 while $number =~ s/^(\d+)(\d{3})/$1,$2/;

    return $number;
}

1;
