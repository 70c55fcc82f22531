package Chaos::Events;

# The events of a scenario.  Event number i is a function of i alone, so that
# who sends it and who looks for its effects need no list:
#
#   my $event = event(7);
#
# is { id, key, body, runs => ["COLLECTION/ID", ...], users => { ID =>
# { property => value, ... } } }: its messageId, what the catalogue counts it
# as, its JSON, the recipients that it gives a run each, and what becomes of
# users.  Of ten events
#
#   4  are tracks to one known user, 1 to several and to one who is unknown
#   2  are tracks that identify one to three recipients inline
#   1  is a track to an object and a known user
#   2  are identifies
#
# Each that is about a user gives it a property of its own, and another inside
# an object that all of them share, so that none may undo another.

use strict;
use warnings;

use Digest::MD5 qw(md5);
use Exporter qw(import);

our @EXPORT_OK = qw(event known_users);

use constant {
    KNOWN  => 100,          # users who are there from the beginning: k0 ...
    SHARED => 200,          # users whom events make and change: s0 ...
    TEXT   => 600,          # the longest text in an event's properties
};


sub known_users { return map { "k$_" } 0 .. KNOWN - 1 }


sub event {
    my ($i) = @_;
    my @random = unpack 'N4', md5("event $i");
    my $kind = shift(@random) % 10;
    my $event = { id => "m-$i", key => 'track/Chaos', runs => [], users => {} };

    if ($kind < 4) {
        my $id = 'k' . $random[0] % KNOWN;

        $event->{runs} = ["\$users/$id"];
        track($event, $i, $random[2], qq("$id"));

    } elsif ($kind < 5) {
        my %ids = map { ('k' . $_ % KNOWN, 1) } @random;
        my @ids = sort keys %ids;

        $event->{runs} = [map { "\$users/$_" } @ids];
        track($event, $i, $random[2],
              join ',', map { qq("$_") } @ids, "nobody$i");

    } elsif ($kind < 7) {
        my %ids = map { ('s' . $_ % SHARED, 1) }
                  @random[0 .. $random[0] % 3];

        changes($event, $i, $_) for keys %ids;
        $event->{runs} = [map { "\$users/$_" } sort keys %ids];
        track($event, $i, $random[2], join ',', map {
            qq({"id":"$_",) . properties($i) . '}'
        } sort keys %ids);

    } elsif ($kind < 8) {
        my $id = 'k' . $random[0] % KNOWN;

        $event->{runs} = ["projects/p$i", "\$users/$id"];
        track($event, $i, $random[2],
              qq({"collection":"projects","id":"p$i","n":$i},"$id"));

    } else {
        my $id = 's' . $random[0] % SHARED;

        $event->{key} = 'identify';
        changes($event, $i, $id);
        $event->{body} = qq({"type":"identify","messageId":"m-$i",)
                         . qq("userId":"$id","traits":{) . properties($i)
                         . '}}';
    }

    return $event;
}


sub track {
    my ($event, $i, $random, $recipients) = @_;

    $event->{body} = qq({"type":"track","event":"Chaos","messageId":"m-$i",)
                     . qq("properties":{"recipients":[$recipients],"n":$i.50,)
                     . '"text":"' . 'x' x ($random % TEXT) . '"}}';
}


sub changes {
    my ($event, $i, $id) = @_;

    $event->{users}{$id} = { "e$i" => $i, deep => { "e$i" => $i } };
}


sub properties { return qq("e$_[0]":$_[0],"deep":{"e$_[0]":$_[0]}) }

1;
