package Chaos::Node;

# A redis-server that can be hurt.
#
#   my $node = Chaos::Node->start(aof => 'always', args => [...]);
#   $node->command('PING');
#   $node->kill; $node->restart;
#   $node->freeze; $node->thaw;

use strict;
use warnings;

use Knock::Redis;
use Knock::Server qw(is_running start_redis stop_process);


# `aof` is the append-only file's appendfsync, without it nothing is kept on
# disk; `args` go to the command line.

sub start {
    my ($class, %args) = @_;

    my $aof = delete $args{aof};
    my @args = @{ delete $args{args} // [] };

    unshift @args, '--appendonly', 'yes', '--appendfsync', $aof,
                   '--auto-aof-rewrite-percentage', '0' if $aof;

    # a file that may not grow is an error for it, not its end
    local $SIG{XFSZ} = 'IGNORE';

    return bless { %args, server => start_redis(args => \@args) }, $class;
}


# The same of a server that somebody else has started, by start_redis().

sub of {
    my ($class, $server) = @_;

    return bless { server => $server }, $class;
}


sub pid { return $_[0]{server}{pid} }
sub port { return $_[0]{server}{port} }
sub dir { return $_[0]{server}{dir} }
sub address { return '127.0.0.1:' . $_[0]->port }


# One command over a kept connection, made anew where it was lost.

sub command {
    my ($self, @command) = @_;

    my $reply = eval { $self->_client->command(@command) };

    return $reply unless $@;

    my $error = $@;

    # an error reply leaves the connection as it is
    delete $self->{client} if $error =~ /^(?:Redis at|cannot connect)/;
    die $error;
}


# A connection of its own.

sub fresh {
    my ($self) = @_;

    my $client = Knock::Redis->new($self->{server}{socket});

    $client->command('AUTH', $self->{password}) if $self->{password};

    return $client;
}


# Connects anew with the next command, and with this password.

sub forget {
    my ($self, $password) = @_;

    delete $self->{client};
    $self->{password} = $password;
}


sub info {
    my ($self, $section, $field) = @_;

    my ($value) = $self->command('INFO', $section) =~ /^$field:(.*?)\r?$/m;

    return $value;
}


sub kill {
    my ($self) = @_;

    delete $self->{client};
    stop_process($self->pid, 'KILL');
}


# Whether it runs.

sub running { return is_running($_[0]->pid) }


# Starts it again in its folder, at its port, with more arguments; it may be
# loading afterwards.

sub restart {
    my ($self, @more) = @_;

    my $args = $self->{server}{args};

    delete $self->{client};
    stop_process($self->pid, 'KILL');

    local $SIG{XFSZ} = 'IGNORE';

    $self->{server} = start_redis(%{ $self->{server} },
                                  args => [@$args, @more]);
    $self->{server}{args} = $args;
}


sub freeze { CORE::kill 'STOP', $_[0]->pid }
sub thaw { CORE::kill 'CONT', $_[0]->pid }


# Ends it; its folder stays as long as the program runs.

sub stop {
    my ($self) = @_;

    delete $self->{client};
    CORE::kill 'CONT', $self->pid;
    stop_process($self->pid, 'KILL');
}


# What must never be in its log.

sub complaints {
    my ($self) = @_;

    open my $in, '<', $self->dir . '/redis.log' or return;

    return map { chomp; 'redis-server: ' . $_ }
           grep { /REDIS BUG REPORT|ASSERTION FAILED|Guru Meditation/ } <$in>;
}


sub _client {
    my ($self) = @_;

    return $self->{client} //= $self->fresh;
}

1;
