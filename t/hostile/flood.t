# Names of fields that were chosen to collide in Lua's table of strings, which
# keeps all that Redis' functions handle: Redis would be busy with one body for
# a minute.

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

    is_deeply \@refused, [1 .. $users - 1],
              "$what: events are refused from the second on";
    is_deeply [grep { $_->{code} ne 'invalid_event' } @{ $said->{errors} }], [],
              "$what: with invalid_event";
    is redis('HGET', "knock:{development}:user:$what-honest", 'plan'), '"pro"',
       "$what: one that is not like them is applied";
    is redis('EXISTS', "knock:{development}:user:$what-2"), 0,
       "$what: of those that are nothing is";
}


# Brought one user at a time, names are no flood.  A small body that has all
# these users measured makes Lua read them all.

sub brought_before {
    my $measured = 2100;
    my $first = 0;
    my @ids = map { "before-$_" } 1 .. $users + 10;

    for my $id (@ids) {
        my $names = names($fields, \$first);
        my $answer = $nginx->post('/in/dev',
            qq({"type":"identify","userId":"$id","traits":{$names}}));

        is $answer->{status}, 200, "$id is there" or diag $answer->{body};
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
