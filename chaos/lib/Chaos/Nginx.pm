package Chaos::Nginx;

# A Knock::Nginx that may be upgraded while it runs: a daemon, for nginx takes
# the signal USR2 only when whoever started it is gone.  `pid` is that of the
# master that has the pid file.

use strict;
use warnings;

use parent 'Knock::Nginx';

use File::Temp ();
use POSIX ();
use Time::HiRes qw(time sleep);

use Knock::Server qw(descendants free_port is_running wait_for);

# masters that were started and are not known to have ended: pid => object's
# folder
my %masters;
my $owner = $$;


sub start {
    my ($class, %conf) = @_;

    my $self = bless { conf => \%conf }, $class;

    $self->{dir} = File::Temp::tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1,
                                       CLEANUP => 1);
    chmod 0755, $self->{dir};

    for my $try (1 .. 5) {
        $self->{port} = free_port();
        $self->write_conf;

        if ($self->_nginx == 0) {
            $self->{pid} = $self->_pid_file('nginx.pid');
            $masters{ $self->{pid} } = 1;
            wait_for('the workers', sub {
                $self->workers >= ($conf{workers} // 1)
            });

            return $self;
        }

        my $log = $self->log_text;

        # somebody was faster to take the port
        die "nginx did not start: $log" unless $log =~ /Address already in/;
        unlink $self->error_log;
    }

    die "nginx found no port\n";
}


# Whether the configuration can be read; its processes are not touched.

sub test_conf { return $_[0]->_nginx('-t') == 0 }


# Another binary takes over: USR2, and when it works, WINCH and QUIT to the old
# one.  `wait` is called while it waits, and is given what for.

sub upgrade {
    my ($self, $wait) = @_;
    my $old = $self->{pid};

    kill 'USR2', $old;

    $wait->('a new master', sub {
        my $pid = $self->_pid_file('nginx.pid') or return;

        return $pid != $old && is_running($pid) && ($self->{pid} = $pid);
    });

    $masters{ $self->{pid} } = 1;

    $wait->('its workers', sub {
        $self->workers >= ($self->{conf}{workers} // 1)
    });

    kill 'WINCH', $old;

    # the new master is a child of the old one

    $wait->('the old workers to leave', sub {
        !grep { $_ != $self->{pid} } $self->workers($old)
    });
    kill 'QUIT', $old;
    $wait->('the old master to leave', sub { !is_running($old) });

    delete $masters{$old};
}


# The memory of its largest worker, in kB; 0 if there is none.

sub memory {
    my ($self) = @_;
    my $most = 0;

    for my $pid ($self->workers) {
        open my $in, '<', "/proc/$pid/status" or next;

        my ($kb) = do { local $/; <$in> // '' } =~ /^VmRSS:\s+(\d+) kB/m;

        $most = $kb if ($kb // 0) > $most;
    }

    return $most;
}


sub stop {
    my ($self, $signal) = @_;

    $self->client->close;

    my $pid = delete $self->{pid} or return;

    _end($pid, $signal // 'QUIT');
}


# Runs the program and gives its status.

sub _nginx {
    my ($self, @options) = @_;
    my $dir = $self->{dir};

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/output" or POSIX::_exit(127);
        open STDERR, '>&', \*STDOUT;
        exec $ENV{KNOCK_NGINX} || '/usr/sbin/nginx', '-e', $self->error_log,
             '-p', "$dir/", '-c', "$dir/nginx.conf", @options
            or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return $?;
}


sub _pid_file {
    my ($self, $name) = @_;

    open my $in, '<', "$self->{dir}/$name" or return;
    my ($pid) = (<$in> // '') =~ /^(\d+)$/;

    return $pid;
}


# Waits for a master to end; one that does not is killed, with its workers.

sub _end {
    my ($pid, $signal) = @_;
    my $end = time + 10;

    delete $masters{$pid};
    kill $signal, $pid;

    while (is_running($pid)) {
        if (time > $end) {
            kill 'KILL', descendants($pid), $pid;
            return;
        }

        sleep 0.01;
    }
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    _end($self->{pid}, 'TERM') if $self->{pid} && $$ == $owner;
}


END {
    if ($$ == $owner) {
        my $status = $?;
        _end($_, 'TERM') for keys %masters;
        $? = $status;
    }
}

1;
