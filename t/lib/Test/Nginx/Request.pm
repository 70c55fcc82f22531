package Test::Nginx::Request;

# Makes of a block's sections what is sent: a list of requests, each a list of
# packets { value => octets, delay_before => seconds }, where the delay is
# optional. Each request has a connection of its own.

use strict;
use warnings;

use Exporter qw(import);
use Test::Nginx::Util qw(
    $RandPorts $ServerName bail_out expand_env_in_text
);

our @EXPORT_OK = qw(requests_of);


# requests_of($block): an array reference of such requests.
sub requests_of {
    my ($block) = @_;

    my $raw = $block->raw_request;
    return [ [ map { +{ value => $_ } } ref $raw ? @$raw : $raw ] ]
        if defined $raw;

    return [ [ { value => _pipelined($block) } ] ]
        if $block->pipelined_requests;

    my $name    = $block->name;
    my $request = _request_section($block);

    return [ _packets($block, 0, $request) ] unless ref $request;

    bail_out("$name - request must be a text or an array of requests")
        unless ref $request eq 'ARRAY';

    my $i = 0;
    return [ map { _packets($block, $i++, $_) } @$request ];
}


sub _request_section {
    my ($block) = @_;

    if (defined $block->request_eval) {
        my $request = eval $block->request_eval;
        warn $@ if $@;
        return $request;
    }

    my $request = $block->request;
    return $request if ref $request || !defined $request;

    # Comments may stand before the request line.
    $request =~ s/\A(?:\s+|\#[^\n]+\s+)+//;
    return $request;
}


# All requests in one text, to be written at once; the last one has the server
# close the connection.
sub _pipelined {
    my ($block) = @_;

    my $name     = $block->name;
    my $requests = $block->pipelined_requests;
    bail_out("$name - pipelined_requests must be an array")
        unless ref $requests eq 'ARRAY';

    my $text = '';
    for my $i (0 .. $#$requests) {
        my $request = expand_env_in_text($requests->[$i], $name, $RandPorts);
        my $connection = $i == $#$requests ? 'close' : 'keep-alive';

        $text .= join '', _complete($block, $i, $connection, $request);
    }

    return $text;
}


# The packets of one element of the request section: a text, or an array of
# texts and hashes.
sub _packets {
    my ($block, $i, $request) = @_;

    my $name = $block->name;
    bail_out("$name - a request must be a text or an array of packets")
        if ref $request && ref $request ne 'ARRAY';

    my @packets = ref $request ? @$request : $request;

    my @texts;
    for my $packet (@packets) {
        bail_out("$name - a packet must be a text or a hash with a value")
            if ref $packet && ref $packet ne 'HASH';
        push @texts, ref $packet ? $packet->{value} : $packet;
    }

    @texts = _complete($block, $i, 'close', @texts);

    # A hash is changed in place, as by CPAN's: a request line in one makes a
    # different request when repeated, and had better do so here too.
    for my $i (0 .. $#texts) {
        $packets[$i] = {} unless ref $packets[$i];
        $packets[$i]{value} = $texts[$i];
    }

    return \@packets;
}


# Puts a complete request in place of the short form "METHOD [URL [VERSION]]"
# with the body from the second line on, which is cut into @texts; returns the
# complete one in as many pieces, cut at the same places.
sub _complete {
    my ($block, $i, $connection, @texts) = @_;

    my $text = join '', map { $_ // '' } @texts;
    my ($line, $body) = $text =~ /\A([^\n]*\n?)(.*)\z/s;

    my ($before, $method, $gap1, $url, $gap2, $version, $end) = $line =~ /
        ^ (\s*) (\S+) ([ ]*)
          (?: (\S+) ([ ]*) )?
          (?: (\S+)  [ ]*  )?
          (\s*) $
    /x;

    my $name = $block->name;
    bail_out("$name - Request line should be non-empty") if $line eq '';
    bail_out("$name - Request line is not valid. Should be"
            . " 'meth [url [version]]' but got \"$line\".")
        unless defined $method;

    my ($headers, $is_chunked) = _headers_of($block, $i);

    # Where its length is not the test's business, the body has no white space
    # around it, such as the newline that ends every section.
    my $length = '';
    if ($body ne '' && !$is_chunked
        && $headers !~ /^Content-Length:/m)
    {
        $body =~ s/^\s+|\s+$//g;
        $length = 'Content-Length: ' . length($body) . "\r\n";
    }

    my $head = '';
    $head .= "Host: $ServerName\r\n" if $headers !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n" if $headers !~ /^Connection/mi;
    $head .= "$headers$length\r\n";

    # Each part as it was and as it is sent; '' as it was for one that was not
    # there at all.
    my @parts = (
        [$before,               ''],
        [$method,               "$method "],
        [$gap1,                 ''],
        [$url // '',            ($url // '/') . ' '],
        [$gap2 // '',           ''],
        [$version // '',        ($version // 'HTTP/1.1') . "\r\n"],
        [_rest($line, $version, $end), ''],
        ['',                    $head],
    );

    return _cut(\@parts, $body, map { length $_ // '' } @texts);
}


# What follows the version on the request line.
sub _rest {
    my ($line, $version, $end) = @_;

    return $end unless defined $version;
    return substr $line, rindex($line, $version) + length $version;
}


# Cuts the request that @$parts and the body make up where packets of the given
# lengths had been cut in the short form.
sub _cut {
    my ($parts, $body, @lengths) = @_;

    my @packets = ('');
    pop @lengths;

    my $room = sub { @lengths ? $lengths[0] : undef };
    my $use  = sub { $lengths[0] -= $_[0] if @lengths };
    my $next = sub { shift @lengths; push @packets, '' };

    for my $part (@$parts) {
        my ($old, $new) = map { length } @$part;
        my $text = $part->[1];

        while (defined $room->() && $old > $room->()) {
            $packets[-1] .= substr $text, 0, $room->(), '' if $new;
            $old -= $room->();
            $next->();
        }

        $use->($old);
        $packets[-1] .= $text;
    }

    while (@lengths) {
        $packets[-1] .= substr $body, 0, $room->(), '';
        $next->();
    }

    $packets[-1] .= $body;
    return @packets;
}


# The lines of more_headers for request $i, and whether they say that the body
# is chunked. Lines that begin with "#" are comments.
sub _headers_of {
    my ($block, $i) = @_;

    my $text = $block->more_headers || '';
    if (ref $text eq 'ARRAY') {
        $text = $text->[$i]
            // bail_out("--- more_headers lacks data for request $i");
    }

    my ($headers, $is_chunked) = ('', 0);
    for my $line (split /\n+/, $text) {
        next if $line =~ /^\s*\#/;

        my ($key, $value) = split /:\s*/, $line, 2;
        $key   //= '';
        $value //= '';
        $is_chunked = 1
            if lc $key eq 'transfer-encoding' && $value eq 'chunked';
        $headers .= "$key: $value\r\n";
    }

    return ($headers, $is_chunked);
}


1;
