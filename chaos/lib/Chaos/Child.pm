package Chaos::Child;

# Code in a process of its own, which ends with the object, and with this
# process.
#
#   my $child = Chaos::Child->start(sub { ... while Chaos::Child::wanted() });

use strict;
use warnings;

use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep);

my $parent;             # in the child


sub start {
    my ($class, $code) = @_;

    my $me = $$;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        $parent = $me;
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        $SIG{PIPE} = 'IGNORE';

        eval { $code->() };
        print STDERR "a process of the scenario failed: $@" if $@;
        # what the parent has started is not ours to end
        POSIX::_exit($@ ? 1 : 0);
    }

    return bless { pid => $pid, owner => $me }, $class;
}


# In the child: whether there is somebody to work for.

sub wanted { return getppid() == $parent }


# Whether it has ended.

sub ended {
    my ($self) = @_;

    delete $self->{pid} if $self->{pid} && waitpid($self->{pid}, WNOHANG);

    return !$self->{pid};
}


sub wait {
    my ($self) = @_;

    sleep 0.01 until $self->ended;
}


sub stop {
    my ($self) = @_;

    return if $$ != $self->{owner};

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    $self->stop;
}

1;
