package Knock::Server;

# Servers that a test starts and that end with it: redis-server, and any
# program.  Each is stopped by its process id.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use Knock::Redis;

our @EXPORT_OK = qw(start_redis start_process stop_process is_running
                    descendants free_port wait_for in_vain connect_redis
                    configure);

use constant {
    PATIENCE => 60,         # seconds
    IN_VAIN  => 3,          # waits in vain of one file that it goes on after
};

my $in_vain = 0;
my %children;       # pid => 1, of this process only
my $owner = $$;


# A TCP port that nobody listens on at this moment.

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1',
                                       LocalPort => 0)
        or die "no free port: $!\n";

    return $socket->sockport;
}


# Calls the code until it gives a true value, which is returned; after `seconds`
# (PATIENCE) it has waited in vain.  A condition that holds is seen at once, so
# that the time is no measure of a machine.

sub wait_for {
    my ($what, $code, $seconds) = @_;

    my $end = time + ($seconds // PATIENCE);

    while (time < $end) {
        my $value = eval { $code->() };
        return $value if $value;
        sleep 0.02;
    }

    return in_vain($what);
}


# What a function that waits ends with: it dies saying what was waited for.
# Where a test file waits, in no eval of its own, a test has failed instead, so
# that those behind it run; not for ever, though.

sub in_vain {
    my ($what, $more) = @_;

    my $said = "waited in vain for $what";

    die $said, $more ? "; $more" : "\n"
        if caller(1) ne 'main' || !$INC{'Test/More.pm'} || _guarded()
           || ++$in_vain > IN_VAIN;

    Test::More->builder->ok(0, $said);
    Test::More->builder->diag($more) if $more;

    return;
}


# Whether the test file has an eval { } around this.

sub _guarded {
    for (my $i = 2; my @frame = caller $i; $i++) {
        return 1 if $frame[0] eq 'main' && $frame[3] eq '(eval)'
                    && !defined $frame[6];
    }

    return 0;
}


# Starts a program with its output in `log`, returns its process id.

sub start_process {
    my ($log, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log or POSIX::_exit(127);
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    $children{$pid} = 1;

    return $pid;
}


# Ends a process that start_process() gave, with `signal` (TERM unless said),
# and waits for it; after 10 seconds it is killed.

sub stop_process {
    my ($pid, $signal) = @_;

    return unless delete $children{$pid};

    # a server that is killed does not end its own children

    if (($signal // '') eq 'KILL') {
        kill 'KILL', descendants($pid);
    }

    kill $signal // 'TERM', $pid;
    kill 'CONT', $pid;

    my $end = time + 10;

    while (waitpid($pid, WNOHANG) == 0) {
        kill 'KILL', descendants($pid), $pid if time > $end;
        sleep 0.01;
    }
}


# Whether there is such a process, and it has not ended.

sub is_running {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/stat" or return 0;

    return (<$in> // '') =~ /^\d+ \(.*\) [^ZX]/s;
}


# The process ids of a process's children and theirs.

sub descendants {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/task/$pid/children" or return;
    my @pids = split ' ', <$in> // '';

    return map { (descendants($_), $_) } @pids;
}


# Starts a redis-server of its own: { pid, socket, port, dir, args }.  It keeps
# nothing on disk unless `args` say so; `args` are appended to its command
# line.  `start_redis(%server)` with what it gave starts it again in place.

sub start_redis {
    my (%server) = @_;

    $server{dir} //= tempdir('knock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    $server{port} //= free_port();
    $server{socket} //= "$server{dir}/redis.sock";
    $server{args} //= [];

    chmod 0755, $server{dir};

    $server{pid} = start_process("$server{dir}/redis.log",
        split(' ', $ENV{KNOCK_REDIS_SERVER} || 'redis-server'),
        '--port', $server{port}, '--bind', '127.0.0.1',
        '--unixsocket', $server{socket}, '--unixsocketperm', '777',
        '--dir', $server{dir}, '--save', '', '--appendonly', 'no',
        '--daemonize', 'no', @{$server{args}});

    wait_for("redis-server in $server{dir}", sub {
        die "redis-server ended, see $server{dir}/redis.log\n"
            if waitpid($server{pid}, WNOHANG) == $server{pid};
        return Knock::Redis->new($server{socket});
    });

    return \%server;
}


# A client of a server that start_redis() gave.

sub connect_redis {
    my ($server) = @_;

    return Knock::Redis->new($server->{socket});
}


# What is live, written to a Redis as keys, so that it may be without our
# functions: an endpoint `dev`, and an action on track/T for properties.r.  The
# other environment is there, and has none.

sub configure {
    my ($redis) = @_;

    $redis->command(qw(HSET knock:{development}:endpoints segment/token dev
                       segment/identify_enabled 1));
    $redis->command('HSET', 'knock:{development}:actions', 'a',
        '{"key":"a","source":"segment","event":"track/T","workflow":"w",'
        . '"type":"workflows_trigger","recipients":"properties.r"}');
    $redis->command(qw(HSET knock:{development}:workflows w),
                    '{"key":"w","name":"W","definition":{}}');
    $redis->command('SET', "knock:{$_}:version", 1)
        for qw(development production);
}


END {
    if ($$ == $owner) {
        my $status = $?;
        # a master of nginx that is killed leaves its workers
        stop_process($_, 'TERM') for keys %children;
        $? = $status;
    }
}


1;
