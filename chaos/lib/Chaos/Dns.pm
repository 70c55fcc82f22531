package Chaos::Dns;

# A name server that gives every name the same address, or says that there is
# no such name.
#
#   my $dns = Chaos::Dns->start('127.0.0.1');
#   $dns->port;
#   $dns->set('127.0.0.2');
#   $dns->set('');              # NXDOMAIN

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use Socket qw(inet_aton);

use Chaos::Child;

use constant { TYPE_A => 1, CLASS_IN => 1, NXDOMAIN => 3, TTL => 1 };


sub start {
    my ($class, $address) = @_;

    my $dir = File::Temp::tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1,
                                  CLEANUP => 1);
    my $socket = IO::Socket::INET->new(Proto => 'udp', LocalPort => 0,
                                       LocalAddr => '127.0.0.1')
        or die "a name server's socket: $!\n";
    my $self = bless { port => $socket->sockport, file => "$dir/address" },
                     $class;

    $self->set($address);
    $self->{child} = Chaos::Child->start(sub {
        my $select = IO::Select->new($socket);

        while (Chaos::Child::wanted()) {
            next unless $select->can_read(0.5);

            my $from = recv $socket, my $query, 512, 0;

            next unless defined $from;

            my $answer = _answer($query, $self->_address) // next;

            send $socket, $answer, 0, $from;
        }
    });

    return $self;
}


sub port { return $_[0]{port} }


sub set {
    my ($self, $address) = @_;

    open my $out, '>', "$self->{file}.new" or die "$self->{file}: $!\n";
    print {$out} $address;
    close $out or die "$self->{file}: $!\n";
    rename "$self->{file}.new", $self->{file} or die "$self->{file}: $!\n";
}


sub _address {
    my ($self) = @_;

    open my $in, '<', $self->{file} or return '';

    return <$in> // '';
}


# The answer to a query of one question; of other types than A there is none.

sub _answer {
    my ($query, $address) = @_;

    my ($id, $flags, $questions) = unpack 'n3', $query;
    my ($question) = substr($query, 12) =~ /^((?:[^\0].*?)?\0.{4})/s or return;
    my ($type) = unpack 'n', substr $question, -4;
    my $n = $address ne '' && $type == TYPE_A ? 1 : 0;
    my $code = $address eq '' ? NXDOMAIN : 0;

    # a response with authority, recursion as it was wanted and available
    my $head = pack 'n6', $id, 0x8480 | $flags & 0x0100 | $code, 1, $n, 0, 0;
    my $record = pack 'n3Nn a4', 0xc00c, TYPE_A, CLASS_IN, TTL, 4,
                      inet_aton($address || '0.0.0.0');

    return $head . $question . ($n ? $record : '');
}

1;
