package Knock::FakeRedis;

# Stands between a client and a redis-server: commands are passed on, but for
# those that it has been told to answer itself.
#
#   my $fake = Knock::FakeRedis->start($server);
#   ... "knock_redis redis://127.0.0.1:@{[$fake->port]};" ...
#   $fake->answer('FCALL knock_apply', "-OOM no memory\r\n");
#   $fake->pass;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep);


# Starts one before a server that start_redis() gave.  It ends with its
# object, and with the test.

sub start {
    my ($class, $server) = @_;

    my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1',
                                       LocalPort => 0, ReuseAddr => 1)
        or die "no fake Redis: $!\n";

    my $self = bless {
        port => $listen->sockport,
        rule => "$server->{dir}/fake-" . $listen->sockport,
        owner => $$,
    }, $class;

    $self->pass;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        setpgrp 0, 0;
        $SIG{CHLD} = 'IGNORE';
        $SIG{TERM} = 'DEFAULT';

        while (my $client = $listen->accept) {
            my $child = fork // POSIX::_exit(1);

            if (!$child) {
                eval { _serve($client, $server->{socket}, $self->{rule}) };
                POSIX::_exit(0);
            }

            close $client;
        }

        POSIX::_exit(0);
    }

    $self->{pid} = $pid;

    return $self;
}


sub port { return $_[0]{port} }


# From now on commands whose first words are these ('' for all) are answered
# by this text; by the end of the connection where it is empty, and not at all
# where it is undefined.  In a transaction an error is said when the command is
# queued, anything else in EXEC's reply; the server carries nothing of it out.

sub answer {
    my ($self, $words, $text) = @_;

    $self->_write(join "\n", 1, $words, defined $text ? "=$text" : '-');
}


# From now on all are passed on.

sub pass { return $_[0]->_write(0) }


sub _write {
    my ($self, $text) = @_;

    open my $out, '>', "$self->{rule}.new" or die "$self->{rule}.new: $!\n";
    binmode $out;
    print {$out} $text;
    close $out or die "$self->{rule}.new: $!\n";
    rename "$self->{rule}.new", $self->{rule} or die "$self->{rule}: $!\n";
}


sub _serve {
    my ($client, $socket, $file) = @_;

    binmode $client;

    my ($server, $queue, $abort);

    while (my ($raw, @words) = _command($client)) {
        my ($on, $match, $text) = split /\n/, _slurp($file), 3;
        my $ours = $on && index("@words ", length $match ? "$match " : '') == 0;
        my $reply;

        if ($ours) {
            if ($text eq '-') {
                sleep 0.05 while _slurp($file) =~ /^1/;
                return;
            }

            return if $text eq '=';
            $reply = substr $text, 1;
        }

        if ($words[0] eq 'EXEC' && $queue) {
            $abort //= 1 if $ours;

            if ($abort) {
                $reply //= $abort eq 'refused'
                    ? "-EXECABORT Transaction discarded because of previous "
                      . "errors.\r\n"
                    : '*' . @$queue . "\r\n" . join '', @$queue;
                _pass($server, "*1\r\n\$7\r\nDISCARD\r\n");
            }

            ($queue, $abort) = ();

        } elsif ($queue) {
            push @$queue, $reply // ":1\r\n";

            if ($ours) {
                my $refused = $reply =~ /^-/;

                $abort = 'refused' if $refused;
                $abort //= 'replaced';
                $reply = "+QUEUED\r\n" if !$refused;
            }

        } elsif ($words[0] eq 'MULTI' && !$ours) {
            $queue = [];
        }

        if (!defined $reply) {
            if (!$server) {
                $server = IO::Socket::UNIX->new(Peer => $socket) or return;
                binmode $server;
            }

            $reply = _pass($server, $raw);
        }

        print {$client} $reply;
        $client->flush;
    }
}


sub _pass {
    my ($server, $raw) = @_;

    print {$server} $raw;
    $server->flush;

    return _reply($server);
}


# One command: its octets, then its words.

sub _command {
    my ($client) = @_;

    my $raw = readline $client // return;
    my ($n) = $raw =~ /^\*(\d+)\r\n\z/ or return;
    my @words;

    for (1 .. $n) {
        my $line = readline $client // return;
        my ($size) = $line =~ /^\$(\d+)\r\n\z/ or return;

        read $client, my $word, $size + 2;
        $raw .= $line . $word;
        push @words, substr $word, 0, $size;
    }

    return $raw, @words;
}


sub _reply {
    my ($server) = @_;

    my $raw = readline $server // die;

    if ($raw =~ /^\$(\d+)/) {
        read $server, my $text, $1 + 2;
        $raw .= $text;

    } elsif ($raw =~ /^\*(\d+)/) {
        $raw .= _reply($server) for 1 .. $1;
    }

    return $raw;
}


sub _slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '0';
    binmode $in;
    local $/;
    return <$in> // '0';
}


sub DESTROY {
    my ($self) = @_;

    return if !$self->{pid} || $$ != $self->{owner};

    local ($?, $!);
    kill 'KILL', -$self->{pid}, $self->{pid};
    waitpid delete $self->{pid}, 0;
}

1;
