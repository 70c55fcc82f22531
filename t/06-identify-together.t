# Contract, section 6: identifies that come at the same time, and users that
# grow until they are full.

use strict;
use warnings;

use Knock::Nginx;
use Knock::Test;
use Test::More;

use constant CLIENTS => 32;

my $user = 'knock:{development}:user:u1';
my $nginx = Knock::Nginx->start(redis => redis_server(), workers => 2,
                                http => 'client_max_body_size 16m;');

sub begin {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);
}


# Posts each body over a connection of its own, all before the first answer is
# read.  Gives the answers.

sub post_together {
    my (@bodies) = @_;
    my @clients = map { $nginx->new_client } @bodies;

    for my $i (0 .. $#bodies) {
        $clients[$i]->send("POST /in/dev HTTP/1.1\r\nHost: localhost\r\n"
                           . 'Content-Length: ' . length($bodies[$i])
                           . "\r\n\r\n$bodies[$i]");
    }

    return map { $_->answer } @clients;
}

sub identify {
    my ($traits) = @_;

    return qq({"type":"identify","userId":"u1","traits":{$traits}});
}

sub statuses {
    my %n;

    $n{$_->{status}}++ for @_;

    return \%n;
}


subtest 'concurrent identifies of one user, different fields' => sub {
    begin();

    my @answers = post_together(map { identify(qq("f$_":$_)) } 1 .. CLIENTS);

    is_deeply statuses(@answers), { 200 => CLIENTS }, 'all are applied';
    is_deeply redis('HMGET', $user, map { "f$_" } 1 .. CLIENTS),
              [1 .. CLIENTS], 'all fields are there';
};


subtest 'concurrent identifies of one user, keys of one object' => sub {
    for my $round (1 .. 5) {
        begin();

        my @answers = post_together(map {
            identify(qq("f$_":$_,"o":{"k$_":$_,"n":{"l":{"k$_":[$_]}}}))
        } 1 .. CLIENTS);

        is_deeply statuses(@answers), { 200 => CLIENTS }, 'all are applied';
        is_deeply redis('HMGET', $user, map { "f$_" } 1 .. CLIENTS),
                  [1 .. CLIENTS], 'all fields are there';

        my $object = redis('HGET', $user, 'o');

        is_deeply [grep { $object !~ /"k$_":$_\b/
                          || $object !~ /"k$_":\[$_\]/ } 1 .. CLIENTS],
                  [], 'all keys of the object are there';
    }
};


subtest 'concurrent chains of one user' => sub {
    begin();

    my @answers = post_together(map {
        my $c = $_;
        '[' . join(',', map { identify(qq("o":{"k$c-$_":$_,"last$c":$_})) }
                        1 .. 20) . ']';
    } 1 .. CLIENTS);

    is_deeply statuses(@answers), { 200 => CLIENTS }, 'all are applied';

    my $object = redis('HGET', $user, 'o');
    my %keys = $object =~ /"([^"]+)":(\d+)/g;

    is keys %keys, CLIENTS * 21, 'all keys of the object are there';
    is_deeply [grep { $keys{"last$_"} != 20 } 1 .. CLIENTS], [],
              'each chain is applied in its order';
};


subtest 'concurrent inline recipients and identifies of one user' => sub {
    begin();
    seed('action development ' . live_action());

    my @answers = post_together(map {
        $_ % 2 ? identify(qq("o":{"k$_":$_}))
               : '{"type":"track","event":"T","properties":{"recipients":'
                 . qq({"id":"u1","o":{"k$_":$_}}}})
    } 1 .. CLIENTS);

    is_deeply statuses(@answers), { 200 => CLIENTS }, 'all are applied';

    my %keys = redis('HGET', $user, 'o') =~ /"k(\d+)":(\d+)/g;

    is keys %keys, CLIENTS, 'all keys of the object are there';
    is redis('LLEN', 'knock:{development}:runs'), CLIENTS / 2, 'and all runs';
};


subtest 'a user grown by many small fields is bound' => sub {
    begin();

    my ($n, $refused) = (0);

    while ($n < 400) {
        my $answer = $nginx->post('/in/dev', identify(
            join ',', map { qq("f$n-$_":") . 'x' x 1000 . '"' } 0, 1));

        if ($answer->{status} != 200) {
            $refused = $answer;
            last;
        }

        $n++;
    }

    is $refused && $refused->{status}, 400, 'some day it is refused';
    like $refused->{body}, qr/"code":"user_too_large"/, 'for its size';
    is redis('HLEN', $user), 2 + 2 * $n, 'with all its fields';

    my $size = 0;
    $size += length for @{ redis('HGETALL', $user) };

    cmp_ok $size, '<=', 262144, 'the user is within the bound';
    cmp_ok $size, '>', 262144 - 2100, 'and was not refused too early';
};


# no request by itself brings enough to be measured, those of a call together do

subtest 'a user grown by small identifies at the same time is bound' => sub {
    begin();

    my $body = sub { identify(qq("f$_[0]":") . 'x' x 1900 . '"') };

    $nginx->post('/in/dev', $body->($_)) for 1 .. 90;

    # what comes while Redis pauses goes in one call of each worker

    redis('CLIENT', 'PAUSE', 500, 'WRITE');

    my @answers = post_together(map { $body->($_) } 91 .. 90 + 4 * CLIENTS);
    my $n = statuses(@answers);

    is $n->{200} + ($n->{400} // 0), 4 * CLIENTS, 'all are accounted for';
    is redis('HLEN', $user), 2 + 90 + $n->{200}, 'as what they were';

    my $size = 0;
    $size += length for @{ redis('HGETALL', $user) };

    cmp_ok $size, '<=', 262144, 'the user is within the bound';
};


subtest 'a user grown by one-byte fields in batches is bound' => sub {
    begin();

    my $n = 0;
    my %counts;

    for (1 .. 12) {
        my @events = map { $n++; identify(qq("field-$n":1)) } 1 .. 2000;
        my $answer = $nginx->post('/in/dev', '[' . join(',', @events) . ']');

        my ($accepted) = $answer->{body} =~ /"accepted":(\d+)/;
        my @errors = $answer->{body} =~ /"code":"user_too_large"/g;

        # of a batch without a good event the errors are not listed
        @errors = (1) x 2000 if $answer->{status} == 400;

        $counts{accepted} += $accepted // 0;
        $counts{refused} += @errors;
    }

    my $size = 0;
    $size += length for @{ redis('HGETALL', $user) };

    cmp_ok $size, '<=', 262144, 'the user is within the bound';
    cmp_ok $size, '>', 262144 - 20, 'and full';
    is $counts{accepted} + $counts{refused}, 24000, 'all are accounted for';
    is redis('HLEN', $user), 2 + $counts{accepted}, 'as what they were';
};


subtest 'a user grown by many small identifies of one batch is bound' => sub {
    begin();

    my $answer = $nginx->post('/in/dev', '[' . join(',', map {
        identify(qq("f$_":") . 'x' x 1000 . '"') } 1 .. 1000) . ']');

    my ($accepted) = $answer->{body} =~ /"accepted":(\d+)/;
    my @errors = $answer->{body} =~ /"code":"user_too_large"/g;

    is $accepted + @errors, 1000, 'all are accounted for';
    is redis('HLEN', $user), 2 + $accepted, 'as what they were';

    my $size = 0;
    $size += length for @{ redis('HGETALL', $user) };

    cmp_ok $size, '<=', 262144, 'the user is within the bound';
    cmp_ok $size, '>', 262144 - 1100, 'and full';
};


subtest 'a long chain on a large object' => sub {
    begin();

    $nginx->post('/in/dev', identify('"o":{"big":"' . 'x' x 200000 . '"}'));

    my $answer = $nginx->post('/in/dev', '[' . join(',', map {
        identify(qq("o":{"k$_":1})) } 1 .. 200) . ']');

    is $answer->{status}, 200, 'is applied';
    is length redis('HGET', $user, 'o'),
       length('{"big":""}') + 200000 + 9 * 7 + 90 * 8 + 101 * 9, 'whole';
};


is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';

done_testing();
