package Test::Nginx::Response;

# An HTTP response as the checks look at it: code, headers, body, and the
# octets after its end, which are the next response of a pipeline.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(parse_response http09_response);


# parse_response($raw, $is_head): returns the response, its headers as received
# (with the status line, '' where there are none), the octets after it or undef,
# and a sentence on what was wrong with the body's chunks. In that case there is
# no response.
sub parse_response {
    my ($raw, $is_head) = @_;

    my $raw_headers = $raw =~ /\A(.*?\r\n)\r\n/s ? $1 : '';
    my $self = _parse_head($raw);
    my $code = $self->{code};

    return ($self, $raw_headers)
        if defined $code && ($code == 304 || $code == 101);

    my $length = $self->header('Content-Length');

    if (($self->header('Transfer-Encoding') // '') eq 'chunked') {
        my ($left, $error) = $self->_dechunk;
        return (undef, undef, undef, $error) if defined $error;
        return ($self, $raw_headers, $left);
    }

    return ($self, $raw_headers)
        unless defined $length && $length =~ /^\d+$/;

    my $missing = $length - length $self->{content};
    return ($self, $raw_headers,
        substr $self->{content}, $length, -$missing, '')
        if $missing < 0;

    warn "WARNING: response body truncated: $missing of $length octets"
        . " are missing\n"
        if $missing > 0 && !$is_head;
    return ($self, $raw_headers);
}


# http09_response($raw): the response that has a body only.
sub http09_response {
    my ($raw) = @_;

    return bless { code => 200, headers => {}, content => $raw }, __PACKAGE__;
}


# code(): the status code, undef where the first line has none.
sub code { return $_[0]{code} }


# content(): the body; content($new) sets it.
sub content {
    my ($self, @new) = @_;

    $self->{content} = $new[0] if @new;
    return $self->{content};
}


# header($name): its value, several ones joined by commas, undef for none. The
# name may be in any case. An underscore in it stands for a hyphen, as it does
# in HTTP::Headers.
sub header {
    my ($self, $name) = @_;

    my $values = $self->{headers}{ lc $name =~ tr/_/-/r } or return undef;
    return join ', ', @$values;
}


sub _parse_head {
    my ($text) = @_;

    my ($status, $rest) = split /\n/, $text, 2;
    $status //= '';
    $text = $rest // '';

    my (undef, $code) = split ' ', $status, 3;
    ($code) = split ' ', $status if $status =~ /^\d{3} /;
    undef $code unless defined $code && $code =~ /^\d+$/;

    my %headers;
    my $last;
    while (1) {
        if ($text =~ s/\A([^\s:]+)[ \t]*: ?(.*)\n?//) {
            my ($name, $value) = (lc $1, $2);
            $value =~ s/\r\z//;
            push @{ $headers{$name} }, $value;
            $last = \$headers{$name}[-1];
        }
        elsif ($last && $text =~ s/\A([ \t].*)\n?//) {
            $$last .= "\n" . $1 =~ s/\r\z//r;
        }
        else {
            $text =~ s/\A\r?\n//;
            last;
        }
    }

    return bless {
        code    => $code,
        headers => \%headers,
        content => $text,
    }, __PACKAGE__;
}


# Replaces the content by what its chunks hold; returns what follows the last
# one, or undef and a sentence on what is wrong.
sub _dechunk {
    my ($self) = @_;

    my $raw  = $self->{content};
    my $body = '';
    my $at   = 0;

    while (substr($raw, $at) =~ /\A([ \t]*([0-9A-Fa-f]+)[ \t]*\r\n)/) {
        my $size = hex $2;
        $at += length $1;
        return $self->_end_of_chunks($raw, $at, $body) if $size == 0;

        return (undef, 'invalid chunked data received '
                . '(not enought octets for the data section)')
            if length($raw) - $at < $size;

        $body .= substr $raw, $at, $size;
        $at += $size;

        return (undef, 'invalid chunked data received (expected CRLF).')
            if substr($raw, $at, 2) ne "\r\n";
        $at += 2;
    }

    my $rest = substr $raw, $at;
    return (undef, "no last chunk found - $raw") if $rest eq '';
    return (undef, "invalid chunked body received: $rest");
}


# The trailers that the header announced, in that order, then an empty line.
sub _end_of_chunks {
    my ($self, $raw, $at, $body) = @_;

    my $rest = substr $raw, $at;

    for my $trailer (@{ $self->{headers}{trailer} // [] }) {
        return (undef,
            "invalid trailer data received (expected $trailer).")
            unless $rest =~ s/\A\Q$trailer\E: [^\n]*\r\n//;
    }

    return (undef, 'invalid chunked data received (expected CRLF).')
        unless $rest =~ s/\A\r\n//;

    $self->{content} = $body;
    return (length $rest ? $rest : undef, undef);
}


1;
