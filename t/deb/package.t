# The Debian package: what is in it, what it asks for, and that it installs,
# serves, and goes without a trace.  That happens in a copy of this system that
# nothing of stays: an overlay over its files, with processes, mounts and a
# network of its own, which takes root's rights.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

use Knock::Files qw(slurp);

use constant {
    PACKAGE => 'libnginx-mod-http-knock',
    SHARED  => 'usr/share/libnginx-mod-http-knock',
    DOC     => 'usr/share/doc/libnginx-mod-http-knock',
};

# Where the overlay is put together.  Its upper layer is memory, so that it
# works wherever the tree is.

my $Overlay = <<'_EOS_';
set -eu
dir=$1 deb=$2 try=$3
mount -t tmpfs none "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay "$dir/root" \
    -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work"
cd "$dir/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs none run
mount -t tmpfs none tmp
chmod 1777 tmp
cp "$deb" tmp/package.deb
cp "$try" tmp/try
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
echo begun
exec chroot . /tmp/try /tmp/package.deb dpkg -i
_EOS_

my $root = "$FindBin::Bin/../..";
my $dir = tempdir('knock-deb-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

my $deb = builds();

asks_for($deb);
holds($deb);
places();
loads();
lives($deb);

done_testing;


# The package is built; gives its file.

sub builds {
    my $output = `'$root/scripts/deb' '$dir/deb' 2>&1`;

    is $?, 0, 'it is built' or BAIL_OUT($output);

    my ($deb) = grep { !/dbgsym/ } glob "$dir/deb/*.deb";

    like $deb, qr/@{[PACKAGE]}_[\d.]+_\w+\.deb$/, 'with its name';

    return $deb;
}


sub asks_for {
    my ($deb) = @_;
    my $depends = `dpkg-deb -f '$deb' Depends`;

    # nginx provides a name for what a module may rely on
    my ($abi) = `dpkg-query -W -f '\${Provides}' nginx nginx-common`
                =~ /(nginx-abi-[^\s,]+)/;

    like $depends, qr/(^|, )\Q$abi\E(,|$)/, "it depends on $abi";
    like $depends, qr/\blibhiredis\d/, 'on hiredis';
    like $depends, qr/\blibssl3/, 'on OpenSSL';
    unlike $depends, qr/-dev\b|cjson|cmocka/, 'and on nothing of its build';
}


sub holds {
    my ($deb) = @_;

    system('dpkg-deb', '-x', $deb, "$dir/files") == 0
        or BAIL_OUT("$deb cannot be unpacked");

    my @files = found("$dir/files");

    # debhelper's own
    my @own = grep { !m,^usr/share/doc/[^/]+/changelog\.gz$, } @files;

    is_deeply(\@own, [ expected() ], 'it has these files and no others');

    is slurp("$dir/files/@{[SHARED]}/redis-schema/knock.lua"),
       slurp("$root/redis-schema/knock.lua"), 'the library is this one';

    is join("\n", map { dead_links($_) } grep { /\.md$/ } @files), '',
       'no page has a link to what is not there';

    like `readelf -dW '$dir/files/usr/lib/nginx/modules/ngx_knock_module.so'`,
         qr/\bNOW\b/, 'the module is hardened';
}


# All files and links of a folder, by their paths in it.

sub found {
    my ($folder) = @_;

    return sort map { s,^\Q$folder\E/,,r }
           split /\n/, `find '$folder' ! -type d`;
}


# What the package is to have: the module, and of the source what is for those
# who use it.

sub expected {
    my %from = (
        SHARED . '/dashboard'    => 'dashboard',
        SHARED . '/redis-schema' => 'redis-schema',
        DOC . '/docs'            => 'docs',
        DOC . '/examples'        => 'examples',
    );

    my @files = map { my $to = $_;
                      map { "$to/$_" } found("$root/$from{$to}") } keys %from;

    # the demonstration takes the source
    my %left_out = map { (DOC . "/examples/$_" => 1) } qw(demo.sh nginx.conf);

    return sort 'usr/lib/nginx/modules/ngx_knock_module.so',
           'usr/share/nginx/modules-available/mod-http-knock.conf',
           (map { DOC . "/$_" } qw(README.md copyright LICENSE dashboard
                                   redis-schema)),
           grep { !$left_out{$_} } @files;
}


# The folders of the package that its pages and examples name are there.

sub places {
    my %named;

    for my $file (grep { m,^\Q@{[DOC]}\E/.*\.(?:md|conf|yaml)$, }
                  found("$dir/files"))
    {
        $named{$_} = $file
            for slurp("$dir/files/$file")
                =~ m,(/usr/(?:share|lib)/[\w./-]*knock[\w./-]*[\w/]),g;
    }

    cmp_ok(scalar keys %named, '>', 1, 'pages name folders of the package');
    is_deeply([ map { "$named{$_}: $_" } grep { !-e "$dir/files$_" }
                sort keys %named ], [], 'which has them all');
}


# The links of a page that lead to no file.  What is of use in the source only
# is in no package.

sub dead_links {
    my ($page) = @_;
    my $folder = "$dir/files/" . dirname($page);

    return map { "$page: $_" }
           grep { !-e "$folder/$_" }
           grep { !m,^(\.\./)?(bench|scripts|t)/, }
           map { s/#.*//r } grep { !/^(https?:|#)/ }
           slurp("$dir/files/$page") =~ /\]\(([^)\s]+)\)/g;
}


# The module in an nginx that has nothing else of the package.

sub loads {
    open my $conf, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";
    print {$conf} <<_EOC_;
load_module $dir/files/usr/lib/nginx/modules/ngx_knock_module.so;
pid $dir/nginx.pid;
error_log stderr;
events {}
http { knock_redis redis://127.0.0.1:6379; }
_EOC_
    close $conf;

    my $said = `/usr/sbin/nginx -t -c '$dir/nginx.conf' 2>&1`;

    is $?, 0, 'the module loads' or diag($said);
}


sub lives {
    my ($deb) = @_;

    SKIP: {
        skip 'an overlay takes root', 1 if $>;

        mkdir "$dir/overlay";

        open my $in, '-|', 'unshare', '--mount', '--pid', '--net', '--fork',
             '--kill-child', 'sh', '-c', $Overlay, 'sh', "$dir/overlay", $deb,
             "$root/t/deb/try" or die "unshare: $!\n";

        my @lines = <$in>;

        close $in;

        skip 'an overlay cannot be made here', 1
            unless grep { $_ eq "begun\n" } @lines;

        my $planned = 'no plan';
        my $ran = 0;

        for my $line (@lines) {
            if ($line =~ /^(not )?ok \d+ - (.*)/) {
                ok !$1, $2;
                $ran++;

            } elsif ($line =~ /^1\.\.(\d+)/) {
                $planned = $1;

            } elsif ($line =~ /^# (.*)/) {
                diag($1);
            }
        }

        is $planned, $ran, 'all of that was tried';
    }
}
