# Strings that were chosen to collide in Lua's table of strings, which keeps all
# that Redis' functions handle: Redis would be busy with one body for a minute.
# They may be names of fields, ids, or names of events.

use strict;
use warnings;

use JSON::PP;
use Knock::Nginx;
use Knock::Test;
use Test::More;

# After what stands behind them in a string of 68 bytes, the blocks of a pair
# leave Lua's hash in the same state: any choice of one from each makes a
# string with the hash of all the others.

my @blocks = map { [split /\//] } qw(
    caaa/Bbaa -aaa/kcaa bbaa/Acaa Baaa/abaa cbaa/Bcaa Baaa/abaa -aaa/kcaa
    Bbaa/acaa daaa/Abaa caaa/Bbaa Baaa/abaa baaa/Abaa caaa/Bbaa Baaa/abaa
    Bbaa/acaa kaaa/Cbaa cbaa/Bcaa);

my $users = 30;
my $fields = 3000;

# far more than what is right takes, and far less than what is not

my $most = 20;

my $nginx = Knock::Nginx->start(
    http => 'client_max_body_size 16m;'
            . "knock_redis unix:@{[redis_server()->{socket}]} timeout=${most}s;");

redis('CONFIG', 'SET', 'busy-reply-threshold', $most * 1000);

seed("endpoint development segment token=dev identify_enabled=1\n"
     . "workflow development new-comment\n"
     . 'action development ' . live_action());

many_ids();
many_events();

in_one_body('traits', sub {
    return qq({"type":"identify","userId":"$_[0]","traits":{$_[1]}});
});
in_one_body('recipients', sub {
    return qq({"type":"track","event":"T","properties":{"recipients":)
           . qq([{"id":"$_[0]",$_[1]}]}});
});

brought_before();

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub in_one_body {
    my ($what, $event) = @_;

    my $first = 0;
    my @events = map { $event->("$what-$_", names($fields, \$first)) }
                 1 .. $users;

    push @events, $event->("$what-honest", '"plan":"pro"');

    my $answer = $nginx->post('/in/dev', '[' . join(',', @events) . ']');

    is $answer->{status}, 200, "$what: Redis is not kept busy";

    my $said = decode_json($answer->{body});
    my @refused = map { $_->{index} } @{ $said->{errors} };

    is_deeply \@refused, [0 .. $users - 1], "$what: each event is refused";
    is_deeply [grep { $_->{code} ne 'invalid_event' } @{ $said->{errors} }], [],
              "$what: with invalid_event";
    is redis('HGET', "knock:{development}:user:$what-honest", 'plan'), '"pro"',
       "$what: one that is not like them is applied";
    is redis('EXISTS', "knock:{development}:user:$what-1"), 0,
       "$what: of those that are nothing is";
}


# Keys of users whom nobody has identified; an event brings ten of them.

sub many_ids {
    my $key = 'knock:{development}:user:';
    my $id = colliding($key, 12, '');

    is_refused_in_the_end('ids', 4000 / 10, sub {
        my ($n) = @_;
        my $ids = join ',', map { '"' . $id->($_) . '"' }
                            10 * $n .. 10 * $n + 9;

        return '{"type":"track","event":"T","properties":{"recipients":['
               . $ids . ']}}';
    });
}


# Events on which nothing acts, which are only counted.

sub many_events {
    my $name = colliding('track/', 12, '');

    is_refused_in_the_end('names of events', 3900, sub {
        return '{"type":"track","event":"' . $name->($_[0]) . '"}';
    });
}


# A few are let pass, but not most; one that is not like them is applied.

sub is_refused_in_the_end {
    my ($what, $n, $event) = @_;

    my $answer = $nginx->post('/in/dev', '[' . join(',',
        (map { $event->($_) } 0 .. $n - 1),
        qq({"type":"identify","userId":"$what","traits":{"plan":"pro"}}))
        . ']');
    my $said = decode_json($answer->{body});
    my @refused = map { $_->{index} } @{ $said->{errors} };

    is $answer->{status}, 200, "$what: those that collide are refused";
    cmp_ok scalar @refused, '>', $n * 3 / 4, "$what: most of them";
    is_deeply \@refused, [$n - @refused .. $n - 1], "$what: the last ones";
    is_deeply [grep { $_->{code} ne 'invalid_event' } @{ $said->{errors} }], [],
              "$what: with invalid_event";
    is redis('HGET', "knock:{development}:user:$what", 'plan'), '"pro"',
       "$what: one that is not like them is applied";
}


# Brought a few at a time, names are no flood.  A small body that has all these
# users measured makes Lua read them all.

sub brought_before {
    my $measured = 2100;
    my $few = 500;
    my $first = 0;
    my @ids = map { "before-$_" } 1 .. $users + 10;

    for my $id (@ids) {
        for (1 .. $fields / $few) {
            my $names = names($few, \$first);
            my $answer = $nginx->post('/in/dev',
                qq({"type":"identify","userId":"$id","traits":{$names}}));

            is $answer->{status}, 200, "$id is there" or diag $answer->{body};
        }
    }

    my $answer = $nginx->post('/in/dev', '[' . join(',', map {
        qq({"type":"identify","userId":"$_","traits":{"a":")
        . 'y' x $measured . '"}}'
    } @ids) . ']');

    is $answer->{status}, 200, 'to measure them does not keep Redis busy'
        or diag $answer->{body};
    is redis('HLEN', 'knock:{development}:user:before-1'), $fields + 3,
       'and all is as ever';
}


# Names that follow those before, all with one hash.

sub names {
    my ($n, $from) = @_;

    return join ',', map {
        my $bits = $$from++;

        '"' . join('', map { $blocks[$_][$bits >> $_ & 1] } 0 .. $#blocks)
        . '":1'
    } 1 .. $n;
}


# The n-th of 2 ** $pairs strings that have one hash: between a head and a tail
# stand blocks of four letters, of each of which there are two that leave Lua's
# hash, which goes from a string's end to its beginning, in the same state.

sub colliding {
    my ($head, $pairs, $tail) = @_;

    my $hash = length($head) + 4 * $pairs + length $tail;
    my @found;

    $hash = hashed($hash, $_) for map { ord } reverse split //, $tail;

    for (1 .. $pairs) {
        my ($one, $other, $state) = pair($hash);

        unshift @found, [$one, $other];
        $hash = $state;
    }

    return sub {
        my ($n) = @_;

        return join '', (map { $found[$_][$n >> $_ & 1] } 0 .. $#found), $tail;
    };
}


sub pair {
    my ($start) = @_;
    my @letters = map { [ord, $_] } 'a' .. 'z', 'A' .. 'Z';
    my %seen;

    for my $d (@letters) {
        my $h3 = hashed($start, $d->[0]);

        for my $c (@letters) {
            my $h2 = hashed($h3, $c->[0]);

            for my $b (@letters) {
                my $h1 = hashed($h2, $b->[0]);

                for my $a (@letters) {
                    my $state = hashed($h1, $a->[0]);
                    my $block = "$a->[1]$b->[1]$c->[1]$d->[1]";

                    return ($seen{$state}, $block, $state) if $seen{$state};
                    $seen{$state} = $block;
                }
            }
        }
    }

    die "no two blocks leave the state $start alike\n";
}


sub hashed {
    my ($hash, $byte) = @_;

    return $hash ^ ((($hash << 5) + ($hash >> 2) + $byte) & 0xffffffff);
}
