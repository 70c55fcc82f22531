package Test::Nginx::Check;

# The checks of a response: code, headers, body. Like those of Test::Nginx::Log
# they report nothing themselves, but return verdicts, so that whoever runs them
# also decides what a server that did not even start makes of them:
#
#     { ok => bool, name => text, diag => why it failed }
#
# Each verdict is one test. With several requests a block, what is expected is
# an array with an element a request.

use strict;
use warnings;

use Exporter qw(import);
use Test::Nginx::Util qw(
    $RandPorts $ServerPort $ServerPortForClient
    bail_out expand_env_in_text trim
);

our @EXPORT_OK = qw(
    check_error_code check_raw_response_headers check_response_headers
    check_response_body filter_response_body
    verdict is_verdict like_verdict
);


# verdict($ok, $name, $diag): one.
sub verdict {
    my ($ok, $name, $diag) = @_;

    return { ok => $ok ? 1 : 0, name => $name, diag => $diag };
}


# is_verdict($got, $expected, $name): on two strings, either may be undef.
sub is_verdict {
    my ($got, $expected, $name) = @_;

    my $ok = defined $got && defined $expected
        ? $got eq $expected
        : !defined $got && !defined $expected;

    return verdict($ok, $name) if $ok;

    my $where = '';
    if (defined $got && defined $expected) {
        my ($same) = ("$got" ^ "$expected") =~ /\A(\0*)/;
        my $line = 1 + (substr($expected, 0, length $same) =~ tr/\n//);
        $where = sprintf "\nthey differ from octet %d on (line %d);"
            . ' lengths are %d and %d', 1 + length $same, $line,
            length $got, length $expected;
    }

    return verdict(0, $name,
        '     got: ' . _shown($got) . "\nexpected: " . _shown($expected)
            . $where);
}


# like_verdict($got, $regex, $name, $unlike): on a string and a regex; with
# $unlike true, the string must not match.
sub like_verdict {
    my ($got, $regex, $name, $unlike) = @_;

    my $matches = defined $got && $got =~ $regex;
    my $ok = defined $got && ($unlike ? !$matches : $matches);
    my $must = $unlike ? 'must not match' : "doesn't match";

    return verdict($ok, $name,
        '    ' . _shown($got) . "\n    $must '$regex'");
}


sub _shown {
    my ($text) = @_;

    return 'undef' unless defined $text;

    my $cut = length $text > 2000 ? '...' : '';
    $text = substr $text, 0, 2000;
    $text =~ s/([^\n\x20-\x7e])/sprintf '\\x{%02x}', ord $1/ge;
    return "'$text$cut'";
}


# The element for request $i of what is expected.
sub _expected {
    my ($block, $section, $run) = @_;

    my $value = $block->$section;
    return $value->[ $run->{req_idx} ] if ref $value eq 'ARRAY';

    bail_out($block->name . ' - You asked for many requests, the expected'
            . ' results should be arrays as well.')
        if $run->{need_array};
    return $value;
}


sub _with_ports {
    my ($text) = @_;

    return $text if ref $text || !defined $text;
    $text =~ s/\$ServerPort\b/$ServerPort/g;
    $text =~ s/\$ServerPortForClient\b/$ServerPortForClient/g;
    return $text;
}


# check_error_code($block, $res, \%run): always one verdict; 200 is expected
# where the block does not say. $res may be undef, and %run has req_idx and
# need_array, as for the checks below.
sub check_error_code {
    my ($block, $res, $run) = @_;

    my $code = $res && $res->code || '';
    my $name = $block->name . ' - status code ok';

    if (defined $block->error_code_like) {
        my $regex = _expected($block, 'error_code_like', $run);
        return like_verdict($code, qr/$regex/sm, $name);
    }

    return is_verdict($code,
        defined $block->error_code
            ? _expected($block, 'error_code', $run)
            : 200,
        $name);
}


# check_raw_response_headers($block, $raw_headers, \%run): up to two verdicts on
# the headers as received.
sub check_raw_response_headers {
    my ($block, $raw, $run) = @_;

    my @verdicts;
    for my $kind (qw(like unlike)) {
        my $section = "raw_response_headers_$kind";
        next unless defined $block->$section;

        my $regex = _expected($block, $section, $run);
        push @verdicts, like_verdict($raw, qr/$regex/s,
            $block->name . " - raw resp headers $kind", $kind eq 'unlike');
    }

    return @verdicts;
}


# check_response_headers($block, $res, $raw_headers, \%run): a verdict for each
# header named. response_headers goes before response_headers_like.
sub check_response_headers {
    my ($block, $res, $raw, $run) = @_;

    my ($section) = grep { defined $block->$_ }
        qw(response_headers response_headers_like);
    return unless $section;

    my $name = $block->name;
    my $expected = _parse_headers(_expected($block, $section, $run));

    my @verdicts;
    for my $key (sort keys %$expected) {
        my $value = _with_ports($expected->{$key});
        my $got = ($res ? $res->header($key) : undef) // '';

        if ($section eq 'response_headers_like') {
            $value //= '';
            push @verdicts, like_verdict($got, qr/^$value$/,
                "$name - header $key like ok");
        }
        elsif (defined $value) {
            push @verdicts,
                is_verdict($got, $value, "$name - header $key ok");
        }
        else {
            push @verdicts, like_verdict($raw // '',
                qr/^\s*\Q$key\E\s*:/ms,
                "$name - header $key not present in the raw headers", 1);
        }
    }

    return @verdicts;
}


# { name => value }, where undef stands for a header that must be absent.
sub _parse_headers {
    my ($text) = @_;

    my %headers;
    for my $line (split /\n/, $text // '') {
        $line =~ s/^\s+|\s+$//g;

        if ($line =~ s/^!\s*//) {
            $headers{$line} = undef;
            next;
        }

        my ($key, $value) = split /\s*:\s*/, $line, 2;
        $headers{ $key // '' } = $value;
    }

    return \%headers;
}


# filter_response_body($block, $res, \%run): passes the body through what
# response_body_filters names: functions, or names of the ones below. An array
# of arrays has a list for each request.
sub filter_response_body {
    my ($block, $res, $run) = @_;

    my $filters = $block->response_body_filters;
    return unless $res && defined $filters;

    my $name = $block->name;
    my @list
        = ref $filters eq 'ARRAY' ? @$filters
        : ref $filters            ? ($filters)
        :                           split ' ', $filters;

    if (@list && ref $list[0] eq 'ARRAY') {
        my $own = $list[ $run->{req_idx} ];
        bail_out("$name - response_body_filters has no array for request "
                . $run->{req_idx})
            unless ref $own eq 'ARRAY';
        @list = @$own;
    }

    my $content = $res->content;
    $content = _body_filter($name, $_)->($content) for @list;
    $res->content($content);
    return;
}


sub _body_filter {
    my ($name, $filter) = @_;

    return $filter if ref $filter eq 'CODE';

    my %known = (
        uc      => sub { uc $_[0] },
        lc      => sub { lc $_[0] },
        ucfirst => sub { ucfirst $_[0] },
        lcfirst => sub { lcfirst $_[0] },
        length  => sub { length $_[0] },
        md5_hex => sub { require Digest::MD5; Digest::MD5::md5_hex($_[0]) },
        sha1_hex => sub { require Digest::SHA; Digest::SHA::sha1_hex($_[0]) },
    );

    return $known{$filter}
        // bail_out("$name - response_body_filters: unknown \"$filter\"");
}


# check_response_body($block, $res, \%run): at most one verdict; response_body
# goes before response_body_like, and that before response_body_unlike. %run
# also has repeat_idx.
sub check_response_body {
    my ($block, $res, $run) = @_;

    my $content = $res ? $res->content : undef;
    _write_body($block, $content);

    return _check_body($block, $content, $run)
        if defined $block->response_body || $block->response_body_eval;

    my ($kind) = grep { my $s = "response_body_$_"; defined $block->$s }
        qw(like unlike);
    return unless $kind;

    my $regex = _with_ports(_expected($block, "response_body_$kind", $run));
    my $summary = trim($content) // '';

    return like_verdict($content, qr/$regex/s,
        $block->name
            . " - response_body_$kind - response is expected ($summary)",
        $kind eq 'unlike');
}


sub _check_body {
    my ($block, $content, $run) = @_;

    my $name = $block->name;
    my $expected;

    if ($block->response_body_eval) {
        $expected = eval _expected($block, 'response_body_eval', $run);
        warn $@ if $@;
    }
    else {
        $expected = _expected($block, 'response_body', $run);
    }

    if ($block->charset) {
        require Encode;
        Encode::from_to($expected, 'UTF-8', $block->charset);
    }

    $content = _sorted_json($content)
        if defined $block->response_body_json_sort;

    my $where
        = "(repeated req $run->{repeat_idx}, req $run->{req_idx})";
    return like_verdict($content, $expected,
        "$name - response_body - like $where")
        if ref $expected;

    $expected = expand_env_in_text(_with_ports($expected), $name, $RandPorts);
    return is_verdict($content, $expected,
        "$name - response_body - response is expected $where");
}


# With the keys of all objects in order, or as it was if it is no JSON.
sub _sorted_json {
    my ($text) = @_;

    require JSON::PP;
    my $json = JSON::PP->new->canonical->loose;
    my $tree = eval { $json->decode($text) };
    return $@ ? $text : $json->encode($tree) . "\n";
}


sub _write_body {
    my ($block, $content) = @_;

    my $path = $block->write_resp_body_file;
    return unless defined $path && defined $content;

    open my $out, '>', $path
        or bail_out($block->name . " - failed to write to '$path': $!");
    print {$out} $content;
    close $out;
    return;
}


1;
