package Knock::HeldRedis;

# A Redis that a test holds by the strings: it runs inside the test, step by
# step, so that nothing depends on time.
#
#   my $fake = Knock::HeldRedis->new;
#   my $nginx = $fake->nginx(params => 'timeout=1s');
#   my $http = $nginx->new_client;
#
#   $http->send(post('/in/dev', track('A')));
#   my $call = $fake->call;                  # knock_apply, not yet answered
#   $fake->reply($call, applied($call, 'p'));
#   is $fake->answer($http)->{status}, 200;
#
# What comes before and beside (log-in, FUNCTION LOAD, what is live) it
# answers by itself; calls of knock_apply too once `serve` is set.
#
# A call that is a transaction is one call for the test, when its EXEC has
# come: `args` are those of its FCALL, and what reply() is given is FCALL's
# reply, in its place in EXEC's.

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(F_SETFL O_NONBLOCK);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use Knock::Nginx;
use Knock::Server qw(in_vain);
use Knock::Server qw(wait_for);

our @EXPORT = qw(post track full large_action large_track units events names applied
                 plain executed bulk array error unavailable);

use constant TIMEOUT => 60;

# with as many events a call goes out beside one that is under way
use constant FULL => 128;
use constant TIOCOUTQ => 0x5411;


# Starts listening, at a unix socket with `unix`, else at a port of its own.
#
#   serve     answers everything by itself
#   auto      code that gets ($fake, $command) and gives a reply, or undef to
#             leave the command to what follows; an empty reply is none
#   part      the same for each command of a transaction but its EXEC: what is
#             said when it is queued
#   late      that is said with EXEC's reply, not at once
#   ordered   what it answers by itself waits for what is left to the test
#   live      what knock_live says, see live()
#   upstream  path of a real server's socket: what `auto` does not answer is
#             handed on to it
#   rcvbuf    size of the receive buffer of connections
#   refuse    connections are accepted and closed
#   deaf      nothing is read

sub new {
    my ($class, %self) = @_;

    my $self = bless { conns => [], calls => [], accepted => 0, %self },
               $class;

    if ($self->{unix}) {
        $self->{dir} = tempdir('knock-held-XXXXXXXX', TMPDIR => 1,
                               CLEANUP => 1);
        chmod 0755, $self->{dir};
        $self->{path} = "$self->{dir}/redis.sock";
    }

    $self->up;

    return $self;
}


sub url {
    my ($self) = @_;

    return $self->{path} ? "unix:$self->{path}"
                         : "redis://127.0.0.1:$self->{port}";
}


# The directive knock_redis for this server.  Reconnecting is made fast, and
# time limits that a test does not set are long: the machine may be busy.

sub directive {
    my ($self, $params) = @_;

    $params .= ' reconnect=10ms reconnect_max=20ms'
        unless $params =~ /reconnect=/;
    $params .= ' connect_timeout=30s' unless $params =~ /connect_timeout=/;
    $params .= ' timeout=30s' unless $params =~ /(?<!_)timeout=/;

    return 'knock_redis ' . $self->url . " $params;\n";
}


# An nginx that uses this server, and knows what is live.  Takes what
# Knock::Nginx takes, and `params`, the parameters of knock_redis.

sub nginx {
    my ($self, %conf) = @_;

    my $params = delete $conf{params} // '';

    $conf{http} = $self->directive($params) . ($conf{http} // '');

    my $nginx = Knock::Nginx->start(%conf);

    $self->ready;

    return $nginx;
}


# Listens, at the same address as before.

sub up {
    my ($self) = @_;

    return if $self->{listen};

    if ($self->{path}) {
        unlink $self->{path};
        $self->{listen} = IO::Socket::UNIX->new(Local => $self->{path},
                                                Listen => 64)
            or die "$self->{path}: $!\n";
        chmod 0777, $self->{path};

    } else {
        $self->{listen} = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $self->{port} // 0,
            ReuseAddr => 1, Listen => 64)
            or die "listening: $!\n";

        setsockopt $self->{listen}, SOL_SOCKET, SO_RCVBUF,
                   pack 'i', $self->{rcvbuf} if $self->{rcvbuf};

        $self->{port} = $self->{listen}->sockport;
    }

    fcntl $self->{listen}, F_SETFL, O_NONBLOCK;
}


# Goes away, with all connections.

sub down {
    my ($self) = @_;

    CORE::close delete $self->{listen} if $self->{listen};
    unlink $self->{path} if $self->{path};
    $self->close($_) for @{ $self->{conns} };
}


# Serves until the code gives a true value, which is returned; dies saying
# what was waited for.

sub run_until {
    my ($self, $what, $code, $seconds) = @_;

    my $end = time + ($seconds // TIMEOUT);

    while (1) {
        my $value = $code->();
        return $value if $value;

        return in_vain($what, $self->_state) if time > $end;

        $self->step(0.01);
    }
}


sub _state {
    my ($self) = @_;

    return join '', "what was seen:\n", map {
        my $conn = $_;

        "  connection $conn->{n}" . ($conn->{closed} ? ', closed' : '') . ":\n",
        map { sprintf "    %s\n", join ' ', map { substr $_ // '', 0, 40 }
                                   @{ $_->{args} }[0 .. 2] }
        @{ $conn->{log} } > 20 ? @{ $conn->{log} }[-20 .. -1]
                               : @{ $conn->{log} };
    } grep { $_->{n} > $self->{accepted} - 4 } @{ $self->{conns} };
}


# Serves for a time: for what is not to happen.

sub run_for {
    my ($self, $seconds) = @_;

    my $end = time + $seconds;

    $self->step(0.01) while time < $end;
}


# Waits for a connection that is logged in and, if it is the first one (unless
# live => 0), has been told what is live; gives it.

sub ready {
    my ($self, %o) = @_;

    return $self->run_until('a connection that is logged in', sub {
        return unless $self->{told} || defined $o{live} && !$o{live};

        my ($conn) = grep { $_->{named} && $self->drained($_) }
                     $self->open_conns;
        return $conn;
    });
}


# Answers each call that comes with the same reply, until a client has its
# answer.  Gives how many there were.

sub reply_until_answered {
    my ($self, $http, $reply) = @_;
    my $calls = 0;

    $self->run_until('an answer', sub {
        while (my $call = shift @{ $self->{calls} }) {
            $calls++;
            $self->reply($call, $reply);
        }

        return !$http->silent(0);
    });

    return $calls;
}


# Waits for the next call of knock_apply that is to be answered by the test.

sub call {
    my ($self) = @_;

    return $self->run_until('a call', sub { shift @{ $self->{calls} } });
}


# Serves until the head of an HTTP client's answer is there (that of
# `100 Continue` is none), then reads the answer.

sub answer {
    my ($self, $http, $method) = @_;

    $self->run_until('an answer', sub {
        return 1 if $http->{buffer}
                    =~ m{\A(?:HTTP/1.1 100.*?\r\n\r\n)*HTTP/1.\d [2-5].*?\r\n\r\n}s;

        # if it has ended, answer() says so
        return _readable($http->{socket}, 0) && !eval { $http->_fill; 1 };
    });

    return $http->answer($method);
}


# Sends a request and gives its answer.

sub ask {
    my ($self, $http, $text) = @_;

    $http->send($text);

    return $self->answer($http);
}


# Writes a reply to a command.  If the other side does not take it all, the
# rest is written when it does.

sub reply {
    my ($self, $command, $octets) = @_;

    $octets = executed($command, $octets) if $command->{runs};

    $self->reply_whole($command, $octets);
}


# The same of a transaction where these are EXEC's octets, not FCALL's.

sub reply_whole {
    my ($self, $command, $octets) = @_;

    my $conn = $command->{conn};

    $conn->{left} = [ grep { $_ != $command } @{ $conn->{left} } ];

    $self->write($conn, ($command->{unsaid} // '') . $octets);

    # what it has answered by itself since

    while (defined(($conn->{left}[0] // {})->{answer})) {
        $self->write($conn, shift(@{ $conn->{left} })->{answer});
    }
}


sub write {
    my ($self, $conn, $octets) = @_;

    $conn->{out} .= $octets;
    $self->_flush($conn);
}


# Waits until the other side has read all that was written.

sub wait_drained {
    my ($self, $conn) = @_;

    $self->run_until('a reply to be read', sub { $self->drained($conn) });
}


sub drained {
    my ($self, $conn) = @_;

    return 1 if $conn->{closed};
    return 0 if length $conn->{out};

    if ($self->{path}) {
        my $n = pack 'i', 0;

        ioctl $conn->{socket}, TIOCOUTQ, $n or die "TIOCOUTQ: $!\n";
        return !unpack 'i', $n;
    }

    return _taken($conn->{socket});
}


# Serves until nginx has read all that an HTTP client has sent.

sub wait_taken {
    my ($self, @clients) = @_;

    for my $http (@clients) {
        $self->run_until('nginx to read a request',
                         sub { _taken($http->{socket}) });
    }
}


# The same where there is no such server, as a function.

sub wait_read {
    my (@clients) = @_;

    for my $http (@clients) {
        wait_for('nginx to read a request', sub { _taken($http->{socket}) });
    }
}


# Whether the receive queue of the socket at the other end is empty.

sub _taken {
    my ($socket) = @_;

    my $here = sprintf '0100007F:%04X', $socket->sockport;
    my $there = sprintf '0100007F:%04X', $socket->peerport;

    open my $in, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";

    my ($queued) = map { /^\s*\d+: $there $here \w+ \w+:(\w+)/ } <$in>;

    return !hex($queued // 0);
}


# Ends a connection: in good order, or by a reset, or for writing only.

sub close {
    my ($self, $conn) = @_;

    return if $conn->{closed};

    CORE::close $conn->{socket};
    $conn->{closed} = 1;
}

sub reset {
    my ($self, $conn) = @_;

    setsockopt $conn->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->close($conn);
}

sub half_close { shutdown $_[1]{socket}, 1 }


# Waits for the other side to end a connection.

sub wait_closed {
    my ($self, $conn, $seconds) = @_;

    $self->run_until('the connection to be closed',
                     sub { $conn->{closed} }, $seconds);
}


sub open_conns { return grep { !$_->{closed} } @{ $_[0]{conns} } }


# Accepts and reads what is there, or waits up to `seconds` for it.

sub step {
    my ($self, $seconds) = @_;

    my ($in, $out) = ('', '');

    vec($in, fileno $self->{listen}, 1) = 1 if $self->{listen};

    for my $conn ($self->open_conns) {
        vec($in, fileno $conn->{socket}, 1) = 1
            unless $self->{deaf} || $conn->{deaf};
        vec($out, fileno $conn->{socket}, 1) = 1 if length $conn->{out};
    }

    select($in, $out, undef, $seconds) > 0 or return;

    for my $conn ($self->open_conns) {
        my $fd = fileno $conn->{socket};

        $self->_flush($conn) if vec $out, $fd, 1;
        $self->take($conn) if !$conn->{closed} && vec $in, $fd, 1;
    }

    $self->_accept if $self->{listen} && vec $in, fileno $self->{listen}, 1;
}


sub _accept {
    my ($self) = @_;

    my $socket = $self->{listen}->accept or return;

    binmode $socket;
    fcntl $socket, F_SETFL, O_NONBLOCK;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1
        unless $self->{path};

    my $conn = { socket => $socket, in => '', out => '', log => [], left => [],
                 octets => 0, at => time, n => $self->{accepted}++ };

    push @{ $self->{conns} }, $conn;

    $self->close($conn) if $self->{refuse};
}


# Reads up to `size` octets from a connection and takes the commands in them.

sub take {
    my ($self, $conn, $size) = @_;

    my $n = sysread $conn->{socket}, $conn->{in}, $size // 1048576,
                    length $conn->{in};

    return if !defined $n && ($!{EAGAIN} || $!{EINTR});

    if (!$n) {
        $self->close($conn);
        return;
    }

    $conn->{octets} += $n;

    while (!$conn->{closed}) {
        my $command = _parse($conn) or last;
        $self->_do($command);
    }
}


# One whole command from the front of what has been read, or undef.

sub _parse {
    my ($conn) = @_;

    my $buffer = \$conn->{in};

    # where to go on, so that megabytes are walked once
    my $p = $conn->{parse} //= { args => [] };

    if (!defined $p->{left}) {
        $$buffer =~ /\A\*(\d+)\r\n/ or return;
        $p->{left} = $1;
        $p->{at} = $+[0];
    }

    while ($p->{left}) {
        pos($$buffer) = $p->{at};
        $$buffer =~ /\G\$(\d+)\r\n/gc or return;

        my ($from, $len) = (pos $$buffer, $1);

        return if length $$buffer < $from + $len + 2;

        push @{ $p->{args} }, substr $$buffer, $from, $len;
        $p->{at} = $from + $len + 2;
        $p->{left}--;
    }

    delete $conn->{parse};

    return { conn => $conn, args => $p->{args},
             raw => substr $$buffer, 0, $p->{at}, '' };
}


sub _do {
    my ($self, $command) = @_;

    my $conn = $command->{conn};

    push @{ $conn->{log} }, $command;

    return $self->_queue($command) if $conn->{queue};

    my $reply = $self->_reply_to($command) // return;
    my ($name, $function) = @{ $command->{args} };

    $conn->{name} = $command->{args}[2] if $name eq 'CLIENT';
    $conn->{queue} = [$command] if $name eq 'MULTI' && $reply =~ /^\+/;
    $self->{told} = 1 if ($function // '') eq 'knock_live';
}


# Answers, and says what; or leaves the command to the test.

sub _reply_to {
    my ($self, $command) = @_;

    my $conn = $command->{conn};
    my ($reply, $whole);

    $reply = $self->{auto}->($self, $command) if $self->{auto};
    $reply = $whole = $self->_upstream($command)
        if !defined $reply && $self->{upstream};
    $reply //= $self->default_reply($command);

    if (!defined $reply || !length $reply) {
        push @{ $self->{calls} }, $command if !defined $reply;
        push @{ $conn->{left} }, $command;

    } elsif ($command->{args}[0] eq 'MULTI') {
        $self->_say($conn, $reply);

    } else {
        $reply = executed($command, $reply)
            if $command->{runs} && !defined $whole;

        if ($self->{ordered} && @{ $conn->{left} }) {
            $command->{answer} = ($command->{unsaid} // '') . $reply;
            push @{ $conn->{left} }, $command;
        } else {
            $self->reply_whole($command, $reply);
        }
    }

    return $reply;
}


# What comes of a transaction before its EXEC is said at once, as Redis does,
# but not before the replies that are left to the test.

sub _say {
    my ($self, $conn, $octets) = @_;

    return $self->write($conn, $octets)
        if !$self->{late} && !@{ $conn->{left} };

    $conn->{unsaid} .= $octets;
}


# A command behind MULTI.  With EXEC all of them are one.

sub _queue {
    my ($self, $command) = @_;

    my $conn = $command->{conn};
    my $queue = $conn->{queue};

    push @$queue, $command;

    if ($command->{args}[0] ne 'EXEC') {
        my $said;

        $said = $self->{part}->($self, $command) if $self->{part};
        $conn->{refused} = 'by us' if defined $said && $said =~ /^-/;
        $said //= $self->{upstream} ? $self->_upstream($command)
                                    : "+QUEUED\r\n";
        $conn->{refused} //= 'by Redis' if $said =~ /^-/;

        return $self->_say($conn, $said);
    }

    my $refused = delete $conn->{refused} // '';
    my %call = (%$command, exec => $command->{raw},
                unsaid => delete $conn->{unsaid} // '',
                raw => join '', map { $_->{raw} } @$queue);

    delete $conn->{queue};

    # what the server behind knows nothing of it must not carry out

    if ($refused eq 'by us') {
        $self->_upstream({ conn => $conn,
                           raw => "*1\r\n\$7\r\nDISCARD\r\n" })
            if $self->{upstream};

        return $self->write($conn, $call{unsaid} . error(
            'EXECABORT Transaction discarded because of previous errors.'));
    }

    if (@$queue > 2 && !$refused) {
        my ($push, $call) = @$queue[2, 3];          # behind the gate

        $call{args} = $call->{args};
        $call{runs} = [ @{ $push->{args} }[2 .. $#{ $push->{args} } - 1] ];
    }

    # of the log-in it is the last, and empty

    $conn->{named} = $conn->{name}
        if length($self->_reply_to(\%call) // '') && @$queue == 2;
}


# What a server with the function library says.

sub default_reply {
    my ($self, $command) = @_;

    my ($name, $function) = @{ $command->{args} };

    return "+OK\r\n" if $name =~ /^(?:AUTH|SELECT|CLIENT|MULTI)$/;
    return array() if $name =~ /^(?:EXEC|CONFIG)$/;
    return "+PONG\r\n" if $name eq 'PING';
    return ":0\r\n" if $name eq 'LLEN';
    return bulk("# Memory\r\nmaxmemory:0\r\n") if $name eq 'INFO';
    return ":1\r\n" if $name eq 'EVAL';
    return bulk('knock') if $name eq 'FUNCTION';
    return array(bulk('development')) if $function eq 'knock_environments';
    return $self->live if $function eq 'knock_live';
    return $self->{serve} ? applied($command) : undef;
}


# Reply of knock_live: an endpoint with the token `dev`, and what is in
# $fake->{live}: { version, endpoints => [...], workflows, actions, toggles }.

sub live {
    my ($self) = @_;

    my $live = $self->{live} // {};
    my @endpoints = ('segment/token', 'dev', 'segment/identify_enabled', '1',
                     @{ $live->{endpoints} // [] });

    return array(bulk($live->{version} // '1'),
                 map { array(map { bulk($_) } @$_) }
                 \@endpoints, map { $live->{$_} // [] }
                                  qw(workflows actions toggles));
}


# Hands a command on, and gives its reply as it comes.  Of a transaction all
# but EXEC has been handed on before.

sub _upstream {
    my ($self, $command) = @_;

    my $socket = $command->{conn}{upstream} //=
        IO::Socket::UNIX->new(Peer => $self->{upstream})
        // die "$self->{upstream}: $!\n";

    print {$socket} $command->{exec} // $command->{raw};
    $socket->flush;

    return _one_reply($socket);
}


sub _one_reply {
    my ($socket) = @_;

    my $line = readline $socket;

    if ($line =~ /^\$(\d+)/) {
        read $socket, my $data, $1 + 2;
        return $line . $data;
    }

    return $line unless $line =~ /^\*(\d+)/;
    return join '', $line, map { _one_reply($socket) } 1 .. $1;
}


sub _flush {
    my ($self, $conn) = @_;

    return if $conn->{closed};

    local $SIG{PIPE} = 'IGNORE';

    while (length $conn->{out}) {
        my $n = syswrite $conn->{socket}, $conn->{out};

        if (!defined $n) {
            return if $!{EAGAIN};
            $self->close($conn);
            return;
        }

        substr $conn->{out}, 0, $n, '';
    }
}


sub _readable {
    my ($socket, $seconds) = @_;

    vec(my $bits = '', fileno $socket, 1) = 1;

    return select($bits, undef, undef, $seconds) > 0;
}


# ---------------------------------------------------------------------------
# exported: requests and replies as text
# ---------------------------------------------------------------------------

# An HTTP request.

sub post {
    my ($path, $body, @headers) = @_;

    my $text = "POST $path HTTP/1.1\r\nHost: localhost\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return "${text}Content-Length: " . length($body) . "\r\n\r\n$body";
}


# A track event, with more fields as JSON text.

sub track {
    my ($event, %more) = @_;

    return join(',', qq({"type":"track","event":"$event"),
                map { qq("$_":$more{$_}) } sort keys %more) . '}';
}


# A batch whose call does not wait for the reply to the one before it.

sub full {
    my ($event, %more) = @_;

    return '[' . join(',', (track($event, %more)) x FULL) . ']';
}


# An action for $fake->{live}, and an event that it makes a run of, so large
# that the call is a transaction.

sub large_action {
    return (workflows => ['w'],
            actions => ['a', '{"key":"a","source":"segment",'
                        . '"event":"track/Large","type":"workflows_trigger",'
                        . '"workflow":"w","recipients":"properties.to"}']);
}

sub large_track {
    my ($id, %more) = @_;

    return track('Large', %more, properties => qq({"to":[{"id":"$id"}],"x":")
                                               . "$id." x 2000 . '"}');
}


# The reply to a call of knock_apply: each unit is applied.  With a status
# all events have that one, else the one that the caller gave them.

sub applied {
    my ($call, $status, $runs) = @_;

    return array(map {
        my @events = @{ $_->{events} };

        array(bulk('ok'),
              bulk(join '', map { $status // $_->{status} } @events),
              ':' . ($runs // 0) . "\r\n");
    } units($call));
}


# The reply that says so once for all units.

sub plain { return array(bulk('plain')) }


# EXEC's reply, with this one of FCALL's.

sub executed {
    my ($call, $reply) = @_;

    return array("*-1\r\n", ':' . (@{ $call->{runs} } + 1) . "\r\n", $reply,
                 "\$-1\r\n");
}


sub bulk { return '$' . length($_[0]) . "\r\n$_[0]\r\n" }
sub array { return '*' . @_ . "\r\n" . join '', @_ }
sub error { return "-$_[0]\r\n" }


# The units of a call, { planned, expect, bases => [...], events => [...] };
# an event is { status, event, sample, document, ops, runs => [...] }.  The
# order of the arguments is that of redis-schema/knock.lua.

sub units {
    my ($call) = @_;

    my (undef, undef, $nkeys, @rest) = @{ $call->{args} };
    my @args = splice @rest, $nkeys;

    my ($plan, $numbers) = (splice @args, 0, 8)[6, 7];
    my (undef, $nmarks, $nfields, $nruns, $nlogs, $ncounts) = unpack 'N8', $plan;
    my @numbers = split ' ', $numbers;
    my @units;

    shift @args;
    splice @args, 0, $nmarks + $nfields;

    my @runs = $call->{runs} ? @{ $call->{runs} } : splice @args, 0, $nruns;
    my @logs = splice @args, 0, 2 * $nlogs;
    my @counts = splice @args, 0, 2 * $ncounts;

    while (@numbers) {
        my ($nevents, $plan, $expects, $nbases, $guard)
            = splice @numbers, 0, 5;
        my %unit = (planned => $plan % 4, told => $plan > 3, expect => '',
                    events => [], guard => $guard, etag => '');

        $unit{expect} = shift @args if $expects;
        $unit{bases} = [splice @args, 0, $nbases];
        $unit{etag} = shift @args if $guard;

        for (1 .. $nevents) {
            my %event;

            @event{qw(mark status count log ops)} = splice @numbers, 0, 5;

            $event{status} = (qw(p i f l))[ $event{status} ];
            @event{qw(event sample)}
                = $event{count} ? @counts[2 * $event{count} - 2,
                                          2 * $event{count} - 1] : ('', '');

            splice @numbers, 0, 5 * $event{ops};

            for (1 .. shift @numbers) {
                my ($actor, $n) = splice @numbers, 0, 2;

                splice @numbers, 0, $n;
                push @{ $event{runs} }, splice @runs, 0, $n;
            }

            (undef, $event{document}) = splice @logs, 0, 2 if $event{log};

            push @{ $unit{events} }, \%event;
        }

        push @units, \%unit;
    }

    die "a call with " . @args . " arguments too many\n" if @args;

    return @units;
}


# The event keys in a call, in order.

sub events { return map { map { $_->{event} } @{ $_->{events} } } units($_[0]) }


# The same, each once.

sub names { my %seen; return grep { !$seen{$_}++ } events($_[0]) }


# Whether an answer is what a request gets that Redis cannot serve.

sub unavailable {
    my ($answer) = @_;

    return $answer->{status} == 503
           && ($answer->{headers}{'retry-after'} // '') =~ /^[1-9]\d*$/
           && $answer->{body} =~ /"code":"redis_unavailable"/;
}

1;
