package Chaos::Sender;

# A Chaos::Client in a process of its own, so that a scenario can wait for its
# servers while events go out.
#
#   my $sender = Chaos::Sender->start(port => $port, path => $path, ...);
#   $sender->progress->{taken};
#   my $result = $sender->finish(40);

use strict;
use warnings;

use File::Temp ();
use JSON::PP;
use Time::HiRes qw(time);

use Chaos::Child;
use Chaos::Client;

use constant TOLD => 0.02;      # seconds between two notes of progress

# what a result has of the client
my @Fields = qw(sent taken refused statuses duplicates requests broken timeouts
                unconnected outage slowest odd);

my $codec = JSON::PP->new->utf8;


# Takes what Chaos::Client takes.

sub start {
    my ($class, %args) = @_;

    my $dir = File::Temp::tempdir('knock-chaos-XXXXXXXX', TMPDIR => 1,
                                  CLEANUP => 1);

    pipe my $from, my $to or die "pipe: $!\n";

    my $child = Chaos::Child->start(sub {
        close $to;
        _run($from, $dir, %args);
    });

    close $from;

    return bless { dir => $dir, child => $child, control => $to }, $class;
}


# What has happened so far: { sent, taken, unavailable, broken, at }, events,
# 503s, lost connections, and when there last was a 200; all 0 at first.

sub progress {
    my ($self) = @_;

    open my $in, '<', "$self->{dir}/progress" or return _progress();
    my $text = <$in> // '';

    return _progress(split ' ', $text);
}


# Lets it make no more events, and waits until all that there are have been
# taken, for at most `seconds`, calling `wait` over and over.  Gives what
# Chaos::Client has to say.

sub finish {
    my ($self, $seconds, $wait) = @_;

    syswrite $self->{control}, "$seconds\n";

    my $end = time + $seconds + 20;

    until ($self->{child}->ended) {
        die "the sender does not end\n" if time > $end;
        $wait->();
    }

    open my $in, '<', "$self->{dir}/result" or die "the sender has failed\n";
    local $/;

    return $codec->decode(<$in>);
}


sub ended { return $_[0]{child}->ended }


# Ends it at once.

sub stop { $_[0]{child}->stop }


sub _progress {
    my %progress;

    @progress{qw(sent taken unavailable broken at)} = @_ ? @_ : (0) x 5;

    return \%progress;
}


# The sender's own process: until it is told to end, and has.

sub _run {
    my ($control, $dir, %args) = @_;

    my $noted = 0;
    my $client = Chaos::Client->new(%args, told => sub {
        my ($client) = @_;

        return if time - $noted < TOLD;

        $noted = time;
        _write("$dir/progress", join ' ', $client->{sent},
               scalar keys %{ $client->{taken} },
               $client->{statuses}{503} // 0, $client->{broken},
               $client->{last_200} // 0);
    });

    $control->blocking(0);

    until ($client->done) {
        # nobody is left to say when it ends
        return unless Chaos::Child::wanted();

        $client->step;

        if (sysread $control, my $seconds, 64) {
            $client->end(0 + $seconds);
        }
    }

    _write("$dir/result",
           $codec->encode({ map { $_ => $client->{$_} } @Fields }));
}


# Whoever reads the file finds the old text or the new one.

sub _write {
    my ($file, $text) = @_;

    open my $out, '>', "$file.new" or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}

1;
