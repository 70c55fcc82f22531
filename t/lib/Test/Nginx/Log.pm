package Test::Nginx::Log;

# The checks of error.log and access.log. They return verdicts, see
# Test::Nginx::Check, one for each pattern: a line of the section, or an element
# of an array. A text must be in a line as it is, a regex must match one.

use strict;
use warnings;

use Exporter qw(import);
use Test::Nginx::Check qw(verdict is_verdict like_verdict);
use Test::Nginx::Util qw(
    $RandPorts $ErrLogFile $AccLogFile $TestNginxSleep
    bail_out expand_env_in_text uncounted
);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(
    check_access_log check_error_log check_shutdown_error_log rewind_error_log
);

# How far error.log has been looked at: a check sees what came after the last.
my $error_log_pos = 0;


# rewind_error_log(): the next check sees error.log from its beginning.
sub rewind_error_log {
    $error_log_pos = 0;
    return;
}


# check_access_log($block, $repeat_idx): on all of access.log.
sub check_access_log {
    my ($block, $repeat_idx) = @_;

    return unless defined $block->access_log || defined $block->no_access_log;

    my $lines = _read_access_log();
    my $end = " (req $repeat_idx)";

    return (
        _wanted($block, 'access_log', $lines, 'access.log', $end),
        _unwanted($block, 'no_access_log', $lines, 'access.log', $end),
    );
}


# check_error_log($block, $repeat_idx): on what was logged since the last check.
sub check_error_log {
    my ($block, $repeat_idx) = @_;

    my $lines = _read_error_log();
    my $end = " (req $repeat_idx)";

    _warn_of_trouble($block, $lines);

    return (
        _check_grep($block, $lines, $repeat_idx),
        _wanted($block, 'error_log', $lines, 'error.log', $end),
        _unwanted($block, 'no_error_log', $lines, 'error.log', $end),
        _failed_assertions($block, $lines),
    );
}


# check_shutdown_error_log($block): on what the block's server logged from the
# last check to its end.
sub check_shutdown_error_log {
    my ($block) = @_;

    return
        unless defined $block->shutdown_error_log
        || defined $block->no_shutdown_error_log;

    my $lines = _read_error_log();

    return (
        _wanted($block, 'shutdown_error_log', $lines, 'error.log', ''),
        _unwanted($block, 'no_shutdown_error_log', $lines, 'error.log', ''),
        defined $block->shutdown_error_log
            ? _failed_assertions($block, $lines)
            : (),
    );
}


# nginx logs a request after it has closed the connection, hence the sleep.
sub _read_error_log {
    sleep $TestNginxSleep * 3;

    open my $in, '<', $ErrLogFile or return [];

    my $whole = $Test::Nginx::Util::CheckAccumErrLog;
    seek $in, $error_log_pos, 0 unless $whole;
    my @lines = <$in>;
    $error_log_pos = tell $in unless $whole;
    return \@lines;
}


sub _read_access_log {
    sleep $TestNginxSleep * 3;

    open my $in, '<', $AccLogFile or return [];
    my @lines = <$in>;
    return \@lines;
}


sub _patterns {
    my ($value) = @_;

    return grep {defined} @$value if ref $value eq 'ARRAY';
    return $value if ref $value;
    return split /\n+/, $value // '';
}


sub _matches {
    my ($line, $pattern) = @_;

    return 1 if ref $pattern && $line =~ $pattern;
    return index($line, $pattern) >= 0;
}


sub _wanted {
    my ($block, $section, $lines, $log, $end) = @_;

    my $name = $block->name;

    return map {
        my $pattern = $_;
        my $ok = grep { _matches($_, $pattern) } @$lines;

        verdict($ok, $ok
            ? "$name - pattern \"$pattern\" matches a line in $log$end"
            : "$name - pattern \"$pattern\" should match a line in $log$end",
            _tail($lines));
    } _patterns(scalar $block->$section);
}


# Each line that a pattern matches is a failure; only the first is counted in
# the plan.
sub _unwanted {
    my ($block, $section, $lines, $log, $end) = @_;

    my $name = $block->name;

    my @verdicts;
    for my $pattern (_patterns(scalar $block->$section)) {
        my $shown = _one_line($pattern);
        my @found = grep { _matches($_, $pattern) } @$lines;

        push @verdicts, verdict(1, "$name - pattern \"$shown\" does not match"
                . " a line in $log$end")
            unless @found;

        push @verdicts, map {
            verdict(0, "$name - pattern \"$shown\" should not match any line"
                    . " in $log but matches line \"" . _one_line($_) . "\"$end")
        } @found;

        uncounted() if @found > 1;
    }

    return @verdicts;
}


# grep_error_log: what it matches in each line, a line each, is
# grep_error_log_out. Arrays have an element for each repetition.
sub _check_grep {
    my ($block, $lines, $repeat_idx) = @_;

    my $name = $block->name;
    my $pattern  = $block->grep_error_log;
    my $expected = $block->grep_error_log_out;

    bail_out("$name - No --- grep_error_log defined but"
            . ' --- grep_error_log_out is defined')
        if defined $expected && !defined $pattern;

    $pattern = $pattern->[$repeat_idx] if ref $pattern eq 'ARRAY';
    return unless defined $pattern;

    bail_out("$name - No --- grep_error_log_out defined but"
            . ' --- grep_error_log is defined')
        unless defined $expected;

    $expected = $expected->[$repeat_idx] if ref $expected eq 'ARRAY';
    $expected = expand_env_in_text($expected, $name, $RandPorts)
        unless ref $expected;

    my $regex = ref $pattern ? $pattern : qr/\Q$pattern\E/;
    my $got = join '', map {"$_\n"} grep { !/\n/ }
        map { $_ =~ $regex ? $& : () } @$lines;

    my $title = "$name - grep_error_log_out (req $repeat_idx)";
    return ref $expected
        ? like_verdict($got, $expected, $title)
        : is_verdict($got, $expected, $title);
}


# A failed assert() ends a worker: no block may overlook it.
sub _failed_assertions {
    my ($block, $lines) = @_;

    my @found = grep {/\bAssertion .*?failed\b/} @$lines;
    uncounted() if @found;
    return map { verdict(0, $block->name . ' - ' . _one_line($_)) } @found;
}


# Says on stderr what is too bad to go unnoticed, unless the block speaks of it.
sub _warn_of_trouble {
    my ($block, $lines) = @_;

    for my $level (qw(alert crit emerg)) {
        my $spoken_of = grep { index($_, "[$level") >= 0 }
            map { _patterns(scalar $block->$_) } qw(error_log no_error_log);
        next if $spoken_of;

        warn 'WARNING: ' . $block->name . ' - ' . _one_line($_) . "\n"
            for grep { index($_, "[$level]") >= 0 } @$lines;
    }

    return;
}


# The end of the log, for whoever looks into a failure.
sub _tail {
    my ($lines) = @_;

    my @lines = grep { !/\[debug\]/ } @$lines;
    splice @lines, 0, -15 if @lines > 15;
    return @lines ? "the log ends with:\n" . join '', @lines : 'no line in it';
}


sub _one_line {
    my ($text) = @_;

    $text = "$text";
    chomp $text;
    $text =~ s/"/\\"/g;
    $text =~ s/\r/\\r/g;
    $text =~ s/\n/\\n/g;
    return $text;
}


1;
