# Contract, section 6: batches of random identifies, against a model of what an
# upsert does.  KNOCK_SEED=N repeats a run.

use strict;
use warnings;

use JSON::PP;
use Knock::Nginx;
use Knock::Test;
use Test::More;

use constant {
    ROUNDS => 75,
    BYTES  => 256 * 1024,
};

my $seed = $ENV{KNOCK_SEED} // 1;
my $json = JSON::PP->new->canonical->allow_nonref;
my $nginx = Knock::Nginx->start(redis => redis_server(),
                                http => 'client_max_body_size 16m;');

my (%users, %seen);

srand $seed;


sub pick { return $_[rand @_] }


# Few names and much nesting, so that values meet; some are long enough for a
# few of them to fill a user.

sub random_value {
    my ($depth) = @_;
    my $x = rand;

    return int rand 10                                  if $x < 0.2;
    return undef                                        if $x < 0.25;
    return [map { int rand 5 } 1 .. rand 3]             if $x < 0.35;
    return 'x' x rand 30                                if $x < 0.4;
    return 'x' x (40_000 + rand 120_000)                if $x < 0.45;
    return 7                                            if $depth > 3;

    return { map { pick('a' .. 'd') => random_value($depth + 1) }
             0 .. rand 3 };
}

sub merge {
    my ($base, $over) = @_;
    my %merged = %$base;

    for my $name (keys %$over) {
        my ($old, $new) = ($merged{$name}, $over->{$name});

        $merged{$name} = ref $old eq 'HASH' && ref $new eq 'HASH'
                         ? merge($old, $new) : $new;
    }

    return \%merged;
}

sub bytes {
    my ($id, $user) = @_;

    my $n = length(qq(id"$id"updated_at"2024-01-02T03:04:05.678Z"));
    $n += length($_) + length $json->encode($user->{$_}) for keys %$user;

    return $n;
}


# A batch, and the indexes of its events that are refused.

sub random_batch {
    my (@events, @refused);

    for my $i (0 .. rand 12) {
        my $id = pick(qw(u1 u2 u3));
        my $traits = { map { pick(qw(o p q)) => random_value(0) } 0 .. rand 2 };
        my %event = (type => 'identify', userId => $id, traits => $traits);

        $event{messageId} = 'm' . int rand 40 if rand() < 0.3;
        push @events, \%event;

        my $message = $event{messageId};

        next if defined $message && $seen{$message};

        my $user = merge($users{$id} // {}, $traits);

        if (bytes($id, $user) > BYTES) {
            push @refused, $i;
            next;
        }

        $users{$id} = $user;
        $seen{$message} = 1 if defined $message;
    }

    return \@events, \@refused;
}

sub stored {
    my ($id) = @_;

    my %user = @{ redis('HGETALL', "knock:{development}:user:$id") };

    delete @user{qw(id updated_at)};

    return { map { $_ => $json->decode($user{$_}) } keys %user };
}


my (@wrong, $refusals);

for my $round (0 .. ROUNDS - 1) {
    if ($round % 25 == 0) {
        redis('FLUSHALL');
        seed($Knock::Test::Seed);
        %users = %seen = ();
    }

    my ($events, $refused) = random_batch();
    my $answer = $nginx->post('/in/dev', $json->encode($events));
    my $status = @$refused == @$events ? 400 : 200;

    push @wrong, "round $round: $answer->{status} $answer->{body}"
        if $answer->{status} != $status;

    if ($status == 200) {
        my @got = $answer->{body} =~ /"index":(\d+),"code":"user_too_large"/g;

        push @wrong, "round $round: refused @got, not @$refused"
            if "@got" ne "@$refused";
    }

    for my $id (keys %users) {
        push @wrong, "round $round: $id is another one"
            if $json->encode(stored($id)) ne $json->encode($users{$id});
    }

    $refusals += @$refused;
    last if @wrong;
}

is_deeply \@wrong, [], "users are what the model says (seed $seed)";
cmp_ok $refusals, '>', 5, 'and some would have been too large';
is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';

done_testing();
