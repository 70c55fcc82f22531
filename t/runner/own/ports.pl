# Runs side by side have ports and folders of their own, and leave nothing.

use strict;
use warnings;

use File::Spec;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Test::More tests => 10;

my $dir = tempdir(CLEANUP => 1);
my @libs = map { "-I$_" } grep { !ref } map { File::Spec->rel2abs($_) } @INC;

mkdir "$dir/t" or die $!;
open my $file, '>', "$dir/t/slow.t" or die $!;
print $file <<'EOT';
use Test::Nginx::Socket tests => 2;
$| = 1;
add_block_preprocessor { print '# ', server_port(), ' ', server_root(), "\n" };
run_tests();
__DATA__

=== TEST 1: it stays until there is a file named go
--- config
location /t { return 200 "a"; }
--- init
print '# pid ', do { open my $in, '<', $PidFile or die; <$in> };
for (1 .. 1200) { last if -e 't/go'; sleep 0.05 }
--- request
GET /t
--- response_body: a
EOT
close $file;

delete @ENV{qw(TEST_NGINX_SERVROOT TEST_NGINX_PORT TEST_NGINX_SERVER_PORT)};


# Lets the runs go on, or wait.
sub go {
    open my $out, '>', "$dir/t/go" or die $!;
    return;
}

sub wait_for_go { unlink "$dir/t/go"; return }


# Starts a run; returns { out, port, root, pid, runner } once its server is up.
sub start {
    my $run = {};
    $run->{runner} = open $run->{out}, '-|',
        'sh', '-c', 'cd "$0" && exec "$@"', $dir, $^X, @libs, 't/slow.t'
        or die $!;

    while (defined(my $line = readline $run->{out})) {
        @$run{qw(port root)} = ($1, $2) if $line =~ /^# (\d+) (\S+)/;
        $run->{pid} = $1, last if $line =~ /^# pid (\d+)/;
    }

    return $run;
}


# Reads the rest of its report; returns how many of its tests passed.
sub finish {
    my ($run) = @_;

    my $passed = grep {/^ok/} readline $run->{out};
    close $run->{out};
    return $passed;
}


sub lives {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/stat" or return 0;
    return <$in> !~ /\) [ZX]/;
}


my ($first, $second) = (start(), start());

go();

isnt($first->{port}, $second->{port}, 'two runs have two ports');
is($first->{root}, "$dir/t/servroot", 'one has t/servroot');
isnt($second->{root}, $first->{root}, 'the other one has another folder');
is(finish($first), 2, 'one passes');
is(finish($second), 2, 'so does the other');
ok(!lives($first->{pid}) && !lives($second->{pid}), 'no server is left');
ok(!-d $second->{root}, 'no folder of its own is left');

wait_for_go();
my $killed = start();
kill 'KILL', $killed->{runner};
finish($killed);
ok(lives($killed->{pid}), 'the server of a run that was killed lives on');

go();
is(finish(start()), 2, 'the next run passes');
ok(!lives($killed->{pid}), 'and has ended that server');
