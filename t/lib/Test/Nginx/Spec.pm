package Test::Nginx::Spec;

# Reads the blocks after __DATA__:
#
#     === name of the block
#     description, to no effect
#     --- section filter filter
#     value
#     --- section: value
#
# A value passes the filters norm and trim, then those that stand after its
# name from left to right. Sections that nobody asks for do no harm.

use strict;
use warnings;
no warnings 'once';

use Scalar::Util qw(openhandle);
use Test::Builder;
use Test::Nginx::Filter;

my @filters = qw(norm trim);
my %filters_of;
my $blocks;
my $next = 0;


# add_filters(@names): for every section; add_filters({ section => NAME or
# [NAMES] }): for the named sections. Returns nothing.
sub add_filters {
    if (ref $_[0] eq 'HASH') {
        %filters_of = %{ $_[0] };
    }
    else {
        push @filters, @_;
    }

    return;
}


# blocks(): all the blocks that are to run, as read on the first call, and in
# list context with their values filtered. In scalar context their number.
sub blocks {
    $blocks //= _choose(_read());

    return scalar @$blocks unless wantarray;

    $_->run_filters for grep { !$_->is_filtered } @$blocks;
    return @$blocks;
}


# next_block(): one block after the other, then undef, then again the first.
sub next_block {
    my @all = blocks();

    if ($next >= @all) {
        $next = 0;
        return undef;
    }

    return $all[ $next++ ];
}


# first_block(): the first one, from which next_block() goes on.
sub first_block {
    $next = 0;
    return next_block();
}


sub _read {
    my $data = openhandle(\*main::DATA) or return '';

    local $/;
    my $text = <$data> // '';

    # Code before the first block, as Test::Base has it: <<<...>>>.
    if ($text =~ s/\A\s*<<<(.*?)>>>\s*$//sm) {
        eval "package main; $1";
        die $@ if $@;
    }

    return $text;
}


sub _choose {
    my ($text) = @_;

    my @chosen;
    for my $hunk ($text =~ /^(===.*?)(?=^===|\z)/msg) {
        my $block = Test::Nginx::Spec::Block->parse($hunk);

        if (exists $block->{ONLY}) {
            Test::Builder->new->diag(
                "I found ONLY: maybe you're debugging?");
            @chosen = ($block);
            last;
        }

        next if exists $block->{SKIP};
        push @chosen, $block;
        last if exists $block->{LAST};
    }

    my $seq = 0;
    $_->{seq_num} = [++$seq] for @chosen;
    return \@chosen;
}


package Test::Nginx::Spec::Block;

our $AUTOLOAD;

my %reserved = map { $_ => 1 } qw(
    new parse set_value run_filters is_filtered blocks_object seq_num
    name description original_values can isa import BEGIN DESTROY AUTOLOAD
);


# parse($hunk): a block of the text from its "===" line to the next one's.
sub parse {
    my ($class, $hunk) = @_;

    my ($name) = $hunk =~ /\A===[ \t]*(.*)/;
    $hunk =~ s/\A===.*\s+//;

    my ($description, @parts)
        = split /^--- +\(?(\w+)\)? *(.*)\n/m, $hunk;
    $description //= '';
    $description =~ s/\s*\z//;

    my $self = bless { _order => [], _filters => {} }, $class;

    while (my ($section, $filters, $value) = splice @parts, 0, 3) {
        die "'$section' is a reserved name. Use something else.\n"
            if $reserved{$section} || $section =~ /^_/;
        $value //= '';

        if ($filters =~ /:(?:\s|\z)/) {
            die "Extra lines not allowed in '$section' section\n"
                if $value =~ /\S/;
            ($filters, $value) = split /\s*:(?:\s+|\z)/, $filters, 2;
            $value =~ s/^\s+|\s+$//g;
        }

        push @{ $self->{_order} }, $section;
        $self->{_filters}{$section} = $filters;
        $self->set_value($section, $value);
    }

    $self->set_value(name        => $name);
    $self->set_value(description => $description =~ /\S/ ? $description
                                                         : $name);
    return $self;
}


# set_value($section, @values): what the section is from now on.
sub set_value {
    my ($self, $section, @values) = @_;

    $self->{$section} = [@values];
    return;
}


# is_filtered(): true once run_filters() has been called.
sub is_filtered { return $_[0]{_filtered} }


# run_filters(): passes each section's value through its filters, once.
sub run_filters {
    my ($self) = @_;

    for my $section (@{ $self->{_order} }) {
        for my $filter ($self->_filters_of($section)) {
            $self->set_value($section,
                Test::Nginx::Filter::apply($filter, @{ $self->{$section} }));
        }
    }

    $self->{_filtered} = 1;
    return;
}


# In "-name" a filter is taken back, "+name" goes to the end.
sub _filters_of {
    my ($self, $section) = @_;

    my $mapped = $filters_of{$section} // [];
    my @names  = (
        @filters,
        ref $mapped ? @$mapped : $mapped,
        split ' ', $self->{_filters}{$section},
    );

    my (@first, @last);
    for my $name (@names) {
        if ($name =~ s/^-//) {
            @first = grep { $_ ne $name } @first;
        }
        elsif ($name =~ s/^\+//) {
            push @last, $name;
        }
        else {
            push @first, $name;
        }
    }

    return @first, @last;
}


# $block->NAME is the section's value, or its values in list context; undef or
# nothing where the block has no such section.
sub AUTOLOAD {
    my ($self) = @_;

    my ($section) = $AUTOLOAD =~ /(\w+)\z/;
    return if $section eq 'DESTROY';

    my @values = @{ ref $self && $self->{$section} || [] };
    return wantarray ? @values : $values[0];
}


1;
