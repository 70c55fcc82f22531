package Test::Nginx::TcpListen;

# The fake TCP server of a block's tcp_* sections: a child process that accepts
# one connection, reads, answers and closes it. It plays an upstream that is
# late, cuts its answer short, or says what no real one would.
#
# The listening socket stays open here until the checks are done, so a second
# connection is accepted by the kernel and never served.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(sleep time);

use File::Temp ();
use Test::Nginx::Check qw(is_verdict like_verdict);
use Test::Nginx::Util qw(
    $RandPorts $Timeout bail_out expand_env_in_text parse_time verbose
);


# start($block): the server of the block's tcp_listen, a port or a path that
# ends in .sock; undef where it has none.
sub start {
    my ($class, $block) = @_;

    return undef unless defined $block->tcp_listen;

    my $name = $block->name;
    bail_out("$name - no --- tcp_reply specified but --- tcp_listen is"
            . ' specified')
        unless defined $block->tcp_reply || defined $block->tcp_shutdown;

    my $target = expand_env_in_text($block->tcp_listen, $name, $RandPorts);
    $target =~ s/\s+\z//;

    my $self = bless {
        block  => $block,
        target => $target,
        owner  => $$,
        socket => _listen($name, $target),
        wanted => $block->tcp_query_len
            // length($block->tcp_query),
    }, $class;

    $self->{query_file} = File::Temp->new
        if defined $block->tcp_query || defined $block->tcp_query_len;

    $self->{pid} = fork // bail_out("$name - fork() failed: $!");
    return $self if $self->{pid};

    # Whatever happens in here, this process must not go on as a test.
    local $SIG{__DIE__} = 'DEFAULT';
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    eval { $self->_serve; 1 } or warn "$name - TCP server: $@";
    POSIX::_exit(0);
}


# verdicts(): on what it was sent, for tcp_query and tcp_query_len.
sub verdicts {
    my ($self) = @_;

    my $block = $self->{block};
    my $name  = $block->name;
    my @verdicts;

    return unless $self->{query_file};
    my $query = $self->_query;

    if (defined $block->tcp_query) {
        my $expected = $block->tcp_query;
        my $title = "$name - tcp_query ok";
        push @verdicts, ref $expected
            ? like_verdict($query, $expected, $title)
            : is_verdict($query, $expected, $title);
    }

    push @verdicts, is_verdict(length $query, $block->tcp_query_len,
        "$name - TCP query length ok")
        if defined $block->tcp_query_len;

    return @verdicts;
}


# stop(): ends the process and stops listening.
sub stop {
    my ($self) = @_;

    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    close $self->{socket};
    unlink $self->{target} if $self->{target} =~ /\.sock$/;
    return;
}


sub _listen {
    my ($name, $target) = @_;

    bail_out("$name - bad tcp_listen target: $target")
        unless $target =~ /^\d+$|\S\.sock$/;

    # A port may still be on its way out of the block before.
    my $end = time + 10;
    while (1) {
        my $socket = _try_listen($target);
        return $socket if $socket;

        bail_out("$name - failed to create the tcp listening socket on"
                . " $target: $!")
            unless $!{EADDRINUSE} && time < $end;
        sleep 0.1;
    }
}


sub _try_listen {
    my ($target) = @_;

    return IO::Socket::INET->new(
        LocalHost => '127.0.0.1',
        LocalPort => $target,
        Proto     => 'tcp',
        ReuseAddr => 1,
        Listen    => 5,
    ) if $target =~ /^\d+$/;

    unlink $target;
    return IO::Socket::UNIX->new(
        Local  => $target,
        Type   => SOCK_STREAM,
        Listen => 5,
    );
}


# What has arrived so far. A request may be over before the last of it is here:
# so much as is expected gets a moment to come.
sub _query {
    my ($self) = @_;

    my $end = time + 0.5;
    while (1) {
        open my $in, '<:raw', $self->{query_file}->filename or return '';
        my $query = do { local $/; <$in> } // '';
        return $query
            if length $query >= ($self->{wanted} // 0) || time > $end;
        sleep 0.02;
    }
}


sub _serve {
    my ($self) = @_;

    my $block  = $self->{block};
    my $client = $self->_accept;

    my ($reads, $writes) = (1, 1);
    if (defined $block->tcp_shutdown) {
        my $how = $block->tcp_shutdown;
        sleep $block->tcp_shutdown_delay if $block->tcp_shutdown_delay;
        shutdown $client, $how;
        $reads  = 0 if $how == 0 || $how == 2;
        $writes = 0 if $how == 1;
    }

    my $query = '';
    if ($reads) {
        my $complete;
        ($query, $complete) = $self->_receive($client);

        # The other side has gone without saying what it was to say.
        $self->_hold unless $complete;
    }

    my $delay = parse_time($block->tcp_reply_delay);
    sleep $delay if $delay;

    $self->_reply($client, $query) if $writes && defined $block->tcp_reply;

    $self->_hold if defined $block->tcp_no_close;
    close $client;
    return;
}


sub _accept {
    my ($self) = @_;

    my $select = IO::Select->new($self->{socket});
    until ($select->can_read(1)) {
        $self->_leave_with_owner;
    }

    return scalar $self->{socket}->accept;
}


# Keeps the connection open until it is stopped.
sub _hold {
    my ($self) = @_;

    while (1) {
        sleep 0.5;
        $self->_leave_with_owner;
    }
}


# A test that was killed can't stop its server.
sub _leave_with_owner {
    my ($self) = @_;

    POSIX::_exit(0) if getppid != $self->{owner};
    return;
}


# Reads as many octets as are expected or, where that is not known, what comes
# at once; with tcp_query_auto_timeout until there is silence for that long.
# Returns them, and whether they are all.
sub _receive {
    my ($self, $client) = @_;

    my $auto = $self->{block}->tcp_query_auto_timeout;
    my $silence = $auto || 0.1;
    my $select = IO::Select->new($client);
    my $query = '';

    while (1) {
        return ($query, 1) if defined $auto && !$select->can_read($silence);

        my $got = sysread $client, my $buf, 4096;
        die "failed to receive: $!\n" unless defined $got;

        $query .= $buf;
        $self->_note($query);
        verbose("TCP server has read [$query]");

        return ($query, 1)
            if !defined $auto && length $query >= ($self->{wanted} || 0);
        return ($query, defined $auto) if $got == 0;
    }
}


# Renaming puts the whole of it in place at once for verdicts().
sub _note {
    my ($self, $query) = @_;

    my $file = $self->{query_file} or return;
    my $path = $file->filename;

    open my $out, '>:raw', "$path.new" or die "$path.new: $!\n";
    print {$out} $query;
    close $out;
    rename "$path.new", $path or die "$path: $!\n";
    return;
}


# A text, an array of texts, or a function of the query that returns either.
sub _reply {
    my ($self, $client, $query) = @_;

    my $reply = $self->{block}->tcp_reply;
    $reply = $reply->($query) if ref $reply eq 'CODE';

    for my $part (ref $reply ? @$reply : $reply) {
        my $rest = $part;
        while (length $rest) {
            my $sent = syswrite $client, $rest;
            if (!defined $sent) {
                warn "WARNING: TCP server failed to send its reply: $!\n";
                return;
            }
            substr $rest, 0, $sent, '';
        }
    }

    return;
}


1;
