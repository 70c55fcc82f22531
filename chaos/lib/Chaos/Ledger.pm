package Chaos::Ledger;

# Holds what was answered against what stands in Redis.
#
#   my $figures = Chaos::Ledger::audit($topology, $result);
#   my $new = Chaos::Ledger::repeat($nginx, $path, $result);
#
# An event that was answered 200 has each of its effects: a run for each
# recipient, with the event's data, and its properties in each user.  An event
# without such an answer has all of them or none.  No run is there twice, no
# event is counted twice, and no run is there that no event gave.

use strict;
use warnings;

use Chaos::Events qw(event);
use JSON::PP;

use constant {
    PAGE  => 5000,          # runs at a time
    ARRAY => 400,           # events at a time, where they are sent again
    TOLD  => 10,            # faults that are told
};

my $codec = JSON::PP->new->utf8->allow_nonref;


# Looks at everything.  `result` is what a Chaos::Sender gave.  Figures: sent,
# acknowledged, applied, lost, doubled (events), and faults, texts that say
# more of these and of whatever else is wrong.

sub audit {
    my ($topology, $result) = @_;

    my %seen = (runs => _runs($topology), users => {});
    my %figures = (sent => $result->{sent}, applied => 0, lost => 0,
                   doubled => 0, faults => [],
                   acknowledged => scalar keys %{ $result->{taken} });
    my %counted;

    for my $i (0 .. $result->{sent} - 1) {
        my $event = event($i);
        my ($there, $missing, $twice) = _effects($topology, \%seen, $event);
        my $whole = !@$missing;

        if (@$twice) {
            $figures{doubled}++;
            _tell(\%figures, "$event->{id} is done twice: @$twice");
        }

        if ($whole) {
            $figures{applied}++;
            $counted{ $event->{key} }++;
        }

        if (defined(my $status = $result->{refused}{$i})) {
            $figures{lost}++;
            _tell(\%figures, "$event->{id} was answered $status, which is "
                             . 'for good');

        } elsif ($result->{taken}{$i} && !$whole) {
            $figures{lost}++;
            _tell(\%figures, "$event->{id} was answered 200 and lacks "
                             . "@$missing");

        } elsif (!$whole && $there) {
            _tell(\%figures, "$event->{id} is done in part: it lacks "
                             . "@$missing");
        }
    }

    _strangers(\%figures, $seen{runs});
    _counts($topology, \%figures, \%counted);

    return \%figures;
}


# Sends all that was answered 200 again: it must all be known.  Gives how many
# events were not, and were done anew.

sub repeat {
    my ($nginx, $path, $result) = @_;
    my @numbers = sort { $a <=> $b } keys %{ $result->{taken} };
    my $new = 0;

    while (my @some = splice @numbers, 0, ARRAY) {
        my $body = '[' . join(',', map { event($_)->{body} } @some) . ']';
        my $answer = $nginx->post($path, $body,
                                  'Content-Type' => 'application/json');

        die "a repeat was answered $answer->{status}: $answer->{body}\n"
            unless $answer->{status} == 200;

        my ($duplicates) = $answer->{body} =~ /"duplicates":(\d+),/;

        $new += @some - $duplicates;
    }

    return $new;
}


# What of an event is there: how many of its effects, those that are not, and
# those that are there more than once.

sub _effects {
    my ($topology, $seen, $event) = @_;
    my ($there, @missing, @twice) = (0);

    my $runs = delete $seen->{runs}{ $event->{id} } // {};

    for my $recipient (@{ $event->{runs} }) {
        my $n = delete $runs->{$recipient} // 0;

        $n ? $there++ : push @missing, "a run for $recipient";
        push @twice, "$n runs for $recipient" if $n > 1;
    }

    $seen->{runs}{ $event->{id} } = $runs if %$runs;

    for my $id (sort keys %{ $event->{users} }) {
        my $user = $seen->{users}{$id} //= _user($topology, $id);
        my $given = $event->{users}{$id};
        my @lacks = grep {
            ref $given->{$_} ? !_has($user->{$_}, $given->{$_})
                             : ($user->{$_} // '') ne $given->{$_}
        } sort keys %$given;

        $there++ if @lacks < keys %$given;
        push @missing, map { "$_ of user $id" } @lacks;
    }

    return ($there, \@missing, \@twice);
}


sub _has {
    my ($object, $given) = @_;

    return ref $object eq 'HASH'
           && !grep { ($object->{$_} // '') ne $given->{$_} } keys %$given;
}


# Runs that no event gave, by what is left when those of all events are taken.

sub _strangers {
    my ($figures, $runs) = @_;

    for my $id (sort keys %$runs) {
        _tell($figures, "a run of $id for $_ that no event gives")
            for sort keys %{ $runs->{$id} };
    }
}


# The catalogue counts an event when it is done: once more than there are
# events is an event done twice, which an identify does not show otherwise.

sub _counts {
    my ($topology, $figures, $counted) = @_;

    for my $key (sort keys %$counted) {
        my $n = 0;

        $n += $_ // 0 for $topology->each_part('catalogue_info:segment',
                                               'HGET', 'KEY', "c$key");

        next if $n == $counted->{$key};

        $figures->{doubled} += $n - $counted->{$key}
            if $n > $counted->{$key};
        _tell($figures, "$key is counted $n times, $counted->{$key} were done");
    }
}


# All runs: messageId => { recipient => how many }.

sub _runs {
    my ($topology) = @_;
    my %runs;

    for my $tag ($topology->tags) {
        my $key = "knock:$tag:runs";

        for (my $from = 0; ; $from += PAGE) {
            my $page = $topology->command($key, 'LRANGE', $key, $from,
                                          $from + PAGE - 1);

            for my $text (@$page) {
                my ($id, $recipient) = _run($text);

                $runs{$id}{$recipient}++;
            }

            last if @$page < PAGE;
        }
    }

    return \%runs;
}


# Whose run it is.  One with other data than its event's is nobody's.

sub _run {
    my ($text) = @_;

    my ($id, $collection, $recipient, $data) = $text =~
        /"message_id":"([^"]+)",.*?"recipient":\{"collection":"([^"]+)","id":"([^"]+)"\}.*?,"data":(\{.*\}),"timestamp":/
        or return ("what is no run: $text", '');

    my ($number) = $id =~ /^m-(\d+)$/ or return ($id, "$collection/$recipient");

    return ($id, "$collection/$recipient")
        if index(event($number)->{body}, qq("properties":$data})) >= 0;

    return ("$id with other data", "$collection/$recipient");
}


# A user's properties, decoded; it stands in one part of the environment.

sub _user {
    my ($topology, $id) = @_;
    my @found = grep { @$_ } $topology->each_part("user:$id", 'HGETALL', 'KEY');

    return {} if @found != 1;

    my %user = @{ $found[0] };

    $_ = $codec->decode($_) for values %user;

    return \%user;
}


sub _tell {
    my ($figures, $text) = @_;

    push @{ $figures->{faults} }, $text if @{ $figures->{faults} } < TOLD;
}

1;
