package Test::Nginx::Skip;

# Blocks that are not to run everywhere: skip_nginx, skip_nginx2, skip_openssl,
# skip_eval, todo_nginx and todo.

use strict;
use warnings;

use Exporter qw(import);
use Test::Nginx::Util qw($NginxBinary bail_out);

our @EXPORT_OK = qw(skip_or_todo);

my $version = qr/(\d+\.\d+\.\d+[a-z]?)/;
my $condition = qr/([<>]=?)\s*$version/;
my $reason = qr/(?:\s*:\s*(.*?))?\s*/s;

my %compare = (
    '<'  => sub { $_[0] < $_[1] },
    '<=' => sub { $_[0] <= $_[1] },
    '>'  => sub { $_[0] > $_[1] },
    '>=' => sub { $_[0] >= $_[1] },
);


# skip_or_todo($block): nothing where it is to run; else "skip" or "todo", the
# number of its tests, and the reason.
sub skip_or_todo {
    my ($block) = @_;

    my ($count, $why) = _skip($block);
    return (skip => $count, $why // 'various reasons') if defined $count;

    ($count, $why) = _todo($block);
    return (todo => $count, $why // 'various reasons') if defined $count;

    return;
}


sub _skip {
    my ($block) = @_;

    my $name = $block->name;

    if (($block->skip_eval // '') =~ /^\s*(\d+)\s*:\s*(.*)/s) {
        my ($count, $code) = ($1, $2);
        my $yes = eval $code;
        bail_out("$name - skip_eval - failed to eval the Perl code"
                . " \"$code\": $@")
            if $@;
        return ($count, 'skip_eval') if $yes;
    }

    if (defined(my $spec = $block->skip_nginx)) {
        my ($count, $op, $than, $why)
            = $spec =~ /^\s*(\d+)\s*:\s*$condition$reason$/
            or bail_out("$name - Invalid --- skip_nginx spec: $spec");
        return ($count, $why || "nginx version $op $than")
            if _holds(_nginx_version(), $op, $than);
    }
    elsif (defined($spec = $block->skip_nginx2)) {
        my ($count, $op1, $than1, $both, $op2, $than2, $why) = $spec
            =~ /^\s*(\d+)\s*:\s*$condition\s*(or|and)\s*$condition$reason$/
            or bail_out("$name - Invalid --- skip_nginx2 spec: $spec");

        my $first  = _holds(_nginx_version(), $op1, $than1);
        my $second = _holds(_nginx_version(), $op2, $than2);
        return ($count, $why)
            if $both eq 'and' ? $first && $second : $first || $second;
    }

    if (defined(my $spec = $block->skip_openssl)) {
        my ($count, $op, $than, $why)
            = $spec =~ /^\s*(\d+)\s*:\s*$condition$reason$/
            or bail_out("$name - Invalid --- skip_openssl spec: $spec");

        my $built = _built_with_openssl();
        return ($count, $why || 'Not built with OpenSSL')
            unless defined $built;
        return ($count, $why || "OpenSSL version $op $than")
            if _holds($built, $op, $than);
    }

    return;
}


sub _todo {
    my ($block) = @_;

    my $name = $block->name;

    if (defined(my $spec = $block->todo)) {
        my ($count, $why) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s
            or bail_out("$name - Invalid --- todo spec: $spec");
        return ($count, $why);
    }

    if (defined(my $spec = $block->todo_nginx)) {
        my ($op, $than, $why) = $spec =~ /^\s*$condition$reason$/
            or bail_out("$name - Invalid --- todo_nginx spec: $spec");
        return (1, $why) if _holds(_nginx_version(), $op, $than);
    }

    return;
}


sub _holds {
    my ($version, $op, $than) = @_;

    return $compare{$op}->(map { _number($_) } $version, $than);
}


# "1.1.1d" as a number that grows with the version.
sub _number {
    my ($text) = @_;

    my ($a, $b, $c, $letter) = $text =~ /^(\d+)\.(\d+)\.(\d+)([a-z]?)/;
    $letter = $letter eq '' ? 0 : ord($letter) - ord('a') + 1;
    return (($a * 1000 + $b) * 1000 + $c) * 100 + $letter;
}


my $nginx_v;

sub _nginx_v {
    return $nginx_v //= `$NginxBinary -V 2>&1` // '';
}


sub _nginx_version {
    return _nginx_v() =~ m{version: \S+?/(\d+\.\d+\.\d+)}
        ? $1
        : bail_out("Failed to parse the output of \"$NginxBinary -V\"\n");
}


sub _built_with_openssl {
    return _nginx_v() =~ /built with OpenSSL $version/ ? $1 : undef;
}


1;
