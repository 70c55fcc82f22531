# redis-schema/README.md, knock_keys.h and knock.lua name the same keys,
# functions and versions.

use strict;
use warnings;

use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;
my $readme = text('redis-schema/README.md');
my $lua = text('redis-schema/knock.lua');

keys_of_the_table();
functions();
statuses();
version();

done_testing();


sub text {
    my ($file) = @_;

    open my $in, '<', $file or die "$file: $!";
    local $/;
    return <$in>;
}


# The cells of the rows of the tables in a section.

sub rows {
    my ($heading) = @_;

    my ($section) = $readme =~ /^\Q$heading\E\n(.*?)(?=^## |\z)/ms;

    return map { [ /^\| (.*) \|$/ ? split /\s*\|\s*/, $1, -1 : () ] }
           grep { /^\| `/ } split /\n/, $section;
}


sub keys_of_the_table {
    my ($table) = text('ngx_knock_module/knock_keys.h')
                  =~ /#define KNOCK_KEY_TABLE\(X\)(.*?)\n\n/s;
    my @declared = $table =~ /X\(\w+,\s*"([^"]+)"\)/g;
    my @documented = map { my ($cell) = @$_;
                           map { s/^(\w+:)[A-Z].*/$1/r } $cell =~ /`([^`]+)`/g }
                     rows('## Keys');

    cmp_ok(scalar @declared, '>', 15, 'knock_keys.h has a table of keys');
    is_deeply([ sort @documented ], [ sort @declared ],
              'README.md documents the same keys');

    for my $row (rows('## Keys')) {
        is(scalar @$row, 5, "$row->[0] has all that is to be said of a key");
    }
}


sub functions {
    my $library = $lib->redis('FUNCTION', 'LIST', 'LIBRARYNAME', 'knock');
    my %library = @{ $library->[0] };
    my %reads = map { my %f = @$_;
                      ($f{name} => scalar grep { $_ eq 'no-writes' }
                                   @{ $f{flags} }) } @{ $library{functions} };
    my %documented = map { my ($name) = $_->[0] =~ /`(\w+)`/; ($name => $_) }
                     rows('## Functions');

    cmp_ok(scalar keys %reads, '>', 35, 'the library has functions');
    is_deeply([ sort keys %documented ], [ sort keys %reads ],
              'README.md documents the same functions');

    for my $name (sort keys %reads) {
        my $row = $documented{$name} or next;
        my ($nkeys) = $lua =~ /register\('$name', \w+, (\d+),/;
        my @keys = grep { !/^(?:any|then any|users|recipients)$/ }
                   split /, /, $row->[2];

        is(scalar @$row, 5, "$name has its keys, arguments and answer");
        is(scalar @keys, $nkeys, "$name has as many keys as it takes");
        is($row->[1] eq '.' ? 1 : 0, $reads{$name},
           "$name reads or writes as documented");
    }
}


# What the functions answer with is documented with one of them.

sub statuses {
    my %codes = map { ($_ => 1) } $lua =~ /failed\(\d+, '(\w+)'/g;

    delete $codes{not_found};               # 404 stands for it

    like($readme, qr/`$_`/, "the error $_ is documented")
        for sort keys %codes;
}


sub version {
    my ($in_lua) = $lua =~ /^local VERSION = (\d+)$/m;
    my ($in_c) = text('ngx_knock_module/knock_apply.h')
                 =~ /KNOCK_LIBRARY_VERSION\s+"(\d+)"/;

    is($in_lua, $in_c, 'library and module are of one version');
    is($in_lua, Knock::Library::VERSION, 'and so are these tests');

    my ($bytes) = $lua =~ /^local CHECK_BYTES = (\d+)$/m;
    my ($c_bytes) = text('ngx_knock_module/knock_limits.h')
                    =~ /KNOCK_CHECK_BYTES\s+(\d+)/;

    is($bytes, $c_bytes, 'and they check from the same size on');
}
