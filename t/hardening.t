# The module is hardened as Debian hardens what it builds: by the flags that
# it is compiled with, and by what stands in the file.

use strict;
use warnings;

use FindBin;
use Test::More;

use Knock::Files qw(slurp);

my $root = "$FindBin::Bin/..";

# not KNOCK_MODULE, which may be the one with sanitizers

my $module = "$root/build/ngx_knock_module.so";

built_as_debian_does();
segments();
symbols();

done_testing;


# Each flag of dpkg-buildflags that hardens is among those of the build.

sub built_as_debian_does {
    my $makefile = slurp("$root/build/nginx/objs/Makefile");
    my %used = map { $_ => 1 } split ' ', $makefile;

    # FORTIFY_SOURCE may be said without a 2 or a 3 somewhere: compare levels

    my ($level) = sort { $b <=> $a } $makefile =~ /-D_FORTIFY_SOURCE=(\d)/g;

    for my $name (qw(CFLAGS CPPFLAGS LDFLAGS)) {
        my @flags = split ' ', buildflags($name);

        ok @flags, "dpkg-buildflags gives $name";

        for my $flag (grep { /^-(?:fstack|fcf|mbranch|Wformat|Werror=|Wl,-z)/ }
                      @flags)
        {
            ok $used{$flag}, "$name: built with $flag";
        }

        cmp_ok $level // 0, '>=', $1, "$name: FORTIFY_SOURCE of $1 at least"
            if "@flags" =~ /-D_FORTIFY_SOURCE=(\d)/;
    }

    unlike $makefile, qr/-(?:fno-stack-protector|z,execstack|z,norelro)/,
           'and none takes it back';
}


sub segments {
    my $headers = readelf('--program-headers');
    my $dynamic = readelf('--dynamic');

    like $headers, qr/^\s*GNU_RELRO /m, 'relocated data becomes read-only';
    like $dynamic, qr/BIND_NOW/, 'all of it, since all is bound at the start';
    like $headers, qr/^\s*GNU_STACK .* RW +0x/m, 'the stack is not executable';
    unlike $headers, qr/^\s*LOAD .* R?WE +0x/m,
           'nothing is writable and executable';
    unlike $dynamic, qr/TEXTREL/, 'code is not relocated';
    unlike $dynamic, qr/\((?:RPATH|RUNPATH)\)/,
           'libraries come from the system';
}


sub symbols {
    my @needed = map { /UND (\w+)/ ? $1 : () }
                 split /\n/, readelf('--dyn-syms');

    ok scalar(grep { $_ eq '__stack_chk_fail' } @needed),
       'stacks are protected';
    ok scalar(grep { /^__\w+_chk$/ } @needed), 'calls of libc are checked';

    # not strcpy: the compiler puts it in where it knows that it fits

    my @unchecked = qw(gets strcat strncat sprintf vsprintf snprintf vsnprintf
                       printf fprintf system popen mktemp tmpnam strtok);
    my %unchecked = map { $_ => 1 } @unchecked;

    is_deeply [grep { $unchecked{$_} } @needed], [],
              'none is called that is not, or knows no bound';
}


sub buildflags {
    my ($name) = @_;

    local $ENV{DEB_BUILD_MAINT_OPTIONS} = 'hardening=+all';
    local $ENV{DEB_BUILD_OPTIONS} = '';

    my $flags = `dpkg-buildflags --get $name`;

    die "dpkg-buildflags does not run: is dpkg-dev installed?\n" if $?;

    return $flags;
}


sub readelf {
    my ($option) = @_;

    my $said = `readelf --wide $option '$module'`;

    die "readelf $option $module: fails\n" if $? || !length $said;

    return $said;
}
