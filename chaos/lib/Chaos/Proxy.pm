package Chaos::Proxy;

# What stands between the module and a redis-server and breaks connections, in
# these ways by turns, some bytes into what goes through:
#
#   reset    of a reply's bytes some arrive, then the connection is reset
#   closed   ... then it is closed
#   half     ... then it is closed in this direction only
#   request  of a request's bytes some arrive, then all is closed
#   silent   no more replies arrive, and nothing is closed
#
#   my $proxy = Chaos::Proxy->start($node->port);
#   $proxy->port;
#   $proxy->cut;            # once, what is on its way next
#   $proxy->cuts;           # how many there were

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

use Chaos::Child;

use constant READ => 65536;

our @Ways = qw(reset closed half request silent);


sub start {
    my ($class, $upstream) = @_;

    my $dir = File::Temp::tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1,
                                  CLEANUP => 1);
    my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1',
                                       LocalPort => 0)
        or die "listening: $!\n";

    pipe my $from, my $to or die "pipe: $!\n";
    $from->blocking(0);

    my $self = bless { port => $listen->sockport, dir => $dir, asked => 0,
                       control => $to }, $class;

    $self->{child} = Chaos::Child->start(sub {
        close $to;
        _serve($listen, $from, $upstream, $dir);
    });

    return $self;
}


sub port { return $_[0]{port} }


sub cut {
    my ($self) = @_;

    syswrite $self->{control}, $Ways[ $self->{asked}++ % @Ways ] . "\n";
}


sub cuts { return -s "$_[0]{dir}/cuts" || 0 }


# The proxy's own process.  A pair is two sockets, `down` to the module and `up`
# to Redis.

sub _serve {
    my ($listen, $control, $upstream, $dir) = @_;

    my $select = IO::Select->new($listen, $control);
    my (%pair_of, @ways);

    open my $cuts, '>', "$dir/cuts" or die "$dir/cuts: $!\n";

    while (Chaos::Child::wanted()) {
        for my $socket ($select->can_read(0.5)) {

            if ($socket == $listen) {
                my $pair = _accept($listen, $upstream) or next;

                $pair_of{$_} = $pair for @$pair{qw(down up)};
                $select->add(@$pair{qw(down up)});
                next;
            }

            if ($socket == $control) {
                # the parent is gone
                return unless sysread $control, my $text, 4096;
                push @ways, split ' ', $text;
                next;
            }

            my $pair = $pair_of{$socket} or next;
            my $cut = _pass($pair, $socket, \@ways);

            syswrite $cuts, '.' if $cut;
            next unless $pair->{over};

            for (@$pair{qw(down up)}) {
                $select->remove($_);
                delete $pair_of{$_};
                close $_;
            }
        }
    }
}


sub _accept {
    my ($listen, $upstream) = @_;

    my $down = $listen->accept or return;
    my $up = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                   PeerPort => $upstream) or return;

    setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 for $down, $up;

    return { down => $down, up => $up };
}


# Hands on what one side says.  Both sides read at all times, so that no write
# waits for long.  True if it broke the connection.

sub _pass {
    my ($pair, $from, $ways) = @_;

    my $reply = $from == $pair->{up};
    my $to = $reply ? $pair->{down} : $pair->{up};
    my $n = sysread $from, my $data, READ;

    if (!$n) {
        $pair->{over} = 1;
        return 0;
    }

    return 0 if $reply && $pair->{silent};

    # the next way, where it fits what this is

    if (!$pair->{silent} && @$ways && ($ways->[0] eq 'request') == !$reply) {
        _cut($pair, $to, substr($data, 0, int rand $n), shift @$ways);
        return 1;
    }

    $pair->{over} = 1 unless defined syswrite $to, $data;

    return 0;
}


sub _cut {
    my ($pair, $to, $data, $way) = @_;

    syswrite $to, $data if length $data;

    if ($way eq 'half') {
        shutdown $to, 1;
        $pair->{silent} = 1;

    } elsif ($way eq 'silent') {
        $pair->{silent} = 1;

    } else {
        setsockopt $to, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
            if $way eq 'reset';
        $pair->{over} = 1;
    }
}

1;
