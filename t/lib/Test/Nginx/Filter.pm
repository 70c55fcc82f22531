package Test::Nginx::Filter;

# The filters that may follow a section's name: "--- request eval". Each takes
# the list of values so far and returns the next one. The names and what they
# do are Test::Base's.

use strict;
use warnings;


# Comes first in the file, so that the code of a section sees no variable of
# this one.
sub _eval {
    my @got = eval shift;
    return $@ ? $@ : @got;
}


# What stands after "=" in "append=xyz", for the filter that runs.
our $argument;

my %filter = (
    append        => sub { my $tail = _argument_text(); map { $_ . $tail } @_ },
    array         => sub { [@_] },
    base64_decode => sub { require MIME::Base64; MIME::Base64::decode($_[0]) },
    base64_encode => sub { require MIME::Base64; MIME::Base64::encode($_[0]) },
    chomp         => sub { my @v = @_; chomp @v; @v },
    chop          => sub { map { my $v = $_; chop $v; $v } @_ },
    dumper        => \&_dumper,
    escape        => sub { my $v = $_[0]; $v =~ s/(\\.)/qq{"$1"}/gee; $v },
    eval          => sub { _eval(_scalar(eval => @_)) },
    flatten       => \&_flatten,
    hash          => sub { +{@_} },
    head          => sub { splice @_, 0, $argument || 1 },
    join          => sub { join _argument_text() // '', @_ },
    lines         => sub { _scalar(lines => @_) =~ /^(.+\n?|\n)/gm },
    norm          => \&_norm,
    prepend       => sub { my $head = _argument_text(); map { $head . $_ } @_ },
    read_file     => \&_read_file,
    regexp        => \&_regexp,
    reverse       => sub { reverse @_ },
    sort          => sub { sort @_ },
    split         => \&_split,
    strict        => sub { "use strict;\nuse warnings;\n" . $_[0] },
    tail          => sub { splice @_, -($argument || 1) },
    trim          => \&_trim,
    unchomp       => sub { map {"$_\n"} @_ },
);


# apply($spec, @values): the values that the filter "$spec", a name with an
# optional =ARGUMENT, makes of them. A function of that name in package main
# goes before the ones here; it may return the new values, or change $_ and
# return nothing or a number.
sub apply {
    my ($spec, @values) = @_;

    my ($name, $arg) = split /=/, $spec, 2;
    local $argument = $arg;

    my $function = main->can($name);
    return _apply_function($function, @values) if $function;

    my $code = $filter{$name}
        or die "Can't find a function or method for '$name' filter\n";
    return $code->(@values);
}


sub _apply_function {
    my ($function, @values) = @_;

    local $_
        = @values == 1 && !defined $values[0] ? undef : join '', @values;

    my @got = $function->(@values);
    return @got unless !@got || @got == 1 && ($got[0] // 'x') =~ /\A\d*\z/;
    return $_;
}


sub _scalar {
    my $name = shift;

    die "Input to the '$name' filter must be a scalar, not a list\n"
        unless @_ == 1;
    return $_[0];
}


# The argument with its escapes: \s is a space, \n a newline and so on.
sub _argument_text {
    my $text = $argument;

    return undef unless defined $text;
    $text =~ s/\\s/ /g;
    $text =~ s/(\\[a-z])/qq{"$1"}/gee;
    return $text;
}


sub _norm {
    my $text = _scalar(norm => @_) // '';

    $text =~ s/\r\n?/\n/g;
    return $text;
}


# Takes off blank lines before and after, but keeps the last line's newline.
sub _trim {
    my @values = @_;

    for (grep {defined} @values) {
        s/\A(?:[ \t]*\n)+//;
        s/\n\s*\z/\n/;
    }

    return @values;
}


sub _regexp {
    my $text  = _scalar(regexp => @_);
    my $flags = $argument;

    if ($text =~ /\n.*\n/s) {
        $flags //= 'xism';
    }
    else {
        chomp $text;
    }

    $flags //= '';
    return eval("qr{$text}$flags") // die $@;
}


sub _split {
    my $text = _scalar(split => @_);
    my $by   = $argument;

    return split /\s+/, $text unless defined $by && length $by;
    $by = $1 if $by =~ m{^/(.*)/$};
    return split /$by/, $text;
}


sub _flatten {
    my ($ref) = @_;

    return @$ref if ref $ref eq 'ARRAY';
    return map { ($_, $ref->{$_}) } sort keys %$ref if ref $ref eq 'HASH';
    die "Can only flatten a hash or array ref\n";
}


sub _read_file {
    my $path = _scalar(read_file => @_);

    chomp $path;
    open my $in, '<', $path or die "Can't open '$path' for input:\n$!";
    local $/;
    return scalar <$in>;
}


sub _dumper {
    require Data::Dumper;
    return Data::Dumper->new([@_])->Sortkeys(1)->Indent(1)->Terse(1)->Dump;
}


1;
