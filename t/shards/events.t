# knock_shards: what becomes of an event when not all of its shards take it,
# or not at once.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Figures;
use Knock::Library;
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Shards qw(crc16 shard_of shard_key places);
use Knock::Test;

my $Shards = 4;
my $json = JSON::PP->new->utf8->canonical;
my @ids = map { "u$_" } 1 .. 12;
my $nginx;

is(crc16('123456789'), 0x31c3, 'CRC16 is that of Redis Cluster');
cmp_ok(scalar keys %{ { map { shard_of($_, $Shards) => 1 } @ids } }, '==',
       $Shards, 'there are users in each shard');

redis('FLUSHALL');
seed($Knock::Test::Seed);
$nginx = Knock::Nginx->start(redis => redis_server(), http => <<"_EOC_");
knock_shards $Shards;
knock_event_log on;
_EOC_

refused_by_a_shard();
refused_by_home();
read_only();
too_large_somewhere();
client_gone();
versions();

done_testing();


# A shard whose list of runs is none refuses its part; the others keep theirs.

sub refused_by_a_shard {
    begin();
    my $bad = shard_key('development', 'u1', $Shards, 'runs');

    redis('SET', $bad, 'no list');

    my $answer = post(track('m1', @ids));

    is($answer->{status}, 500, 'a shard refuses');
    like($answer->{body}, qr/"internal_error".*not all of it was applied/,
         'and the answer says that it is not all');

    my @others = grep { shard_of($_, $Shards) != shard_of('u1', $Shards) } @ids;

    is_deeply([map { runs_of($_) } @others], [(1) x @others],
              'the others have their runs');
    is(redis('XLEN', log_key()), 0, 'nothing is in the log yet');

    redis('DEL', $bad);
    $answer = post(track('m1', @ids));
    is($answer->{status}, 200, 'sent again, it is applied');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids],
              'each has one run now');
    is_deeply($json->decode($answer->{body}),
              { accepted => 1, duplicates => 0, ignored => 0, errors => [],
                runs => scalar(@ids) - @others }, 'those that were missing');

    my %verdict;
    my $entry = redis('XRANGE', log_key(), '-', '+')->[0][1];

    is($entry->[1], 'p', 'the log has it once');
    @verdict{@ids} = split //, substr $entry->[3], 1;
    is_deeply([sort { $a cmp $b } grep { $verdict{$_} eq 'b' } @ids],
              [sort { $a cmp $b } @others],
              'and says who was served before');

    $answer = post(track('m1', @ids));
    is($json->decode($answer->{body})->{duplicates}, 1, 'again: a duplicate');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'and nothing more');
}


# All shards have done their parts, home has not: nobody is served twice.

sub refused_by_home {
    begin();

    my @seen = map { "knock:{development}:seen:$_" } 0, 1;

    redis('DEL', @seen);
    redis('SET', $_, 'no hash') for @seen;

    is(post([track('m2', @ids), track('m3', 'u1')])->{status}, 500,
       'home refuses');

    redis('DEL', @seen);

    my $answer = post([track('m2', @ids), track('m3', 'u1')]);

    is($answer->{status}, 200, 'and takes it when it is sent again');
    is($json->decode($answer->{body})->{accepted}, 2, 'as accepted');
    is_deeply([map { runs_of($_) } @ids], [2, (1) x (@ids - 1)],
              'nobody has more');
    is(redis('XLEN', log_key()), 2, 'and the log has both');
}


# Refusals that pass are 503.

sub read_only {
    begin();
    redis('CONFIG', 'SET', 'maxmemory', 1);

    my $answer = post(track('m4', @ids));

    redis('CONFIG', 'SET', 'maxmemory', 0);

    is($answer->{status}, 503, 'out of memory');
    is_deeply([map { runs_of($_) } @ids], [(0) x @ids], 'nothing is applied');
    is(post(track('m4', @ids))->{status}, 200, 'then it is');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'once');
}


# An identify that is too large is refused by its shard, and so by home.

sub too_large_somewhere {
    begin();

    my $large = { type => 'identify', userId => 'u5', messageId => 'l1',
                  traits => { map { $_ => 'x' x 90_000 } 1 .. 3 } };
    my $answer = post([$large, track('m5', 'u5', 'u6')]);

    is($answer->{status}, 200, 'the others of its batch are taken');
    $answer = $json->decode($answer->{body});
    is($answer->{accepted}, 1, 'as accepted');
    is_deeply([map { "$_->{index} $_->{code}" } @{ $answer->{errors} }],
              ['0 user_too_large'], 'and it is named');
    is(post($large)->{status}, 400, 'alone it is refused');
    is(scalar grep({ $_->[1][1] eq 'l' }
                   @{ redis('XRANGE', log_key(), '-', '+') }), 2,
       'the log says so');
}


# A client that goes away leaves nothing half done that its retry does not
# complete.

sub client_gone {
    begin();

    my $figures = Knock::Figures->new($nginx);
    my @clients = map { $nginx->new_client } 1 .. 8;
    my $body = $json->encode(track('m6', @ids));

    for (@clients) {
        $_->send('POST', '/in/dev', $body);
        $_->reset;
    }

    is(post(track('m6', @ids))->{status}, 200, 'sent again by another');
    wait_for('the others', sub { redis('XLEN', log_key()) > 0 });
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'each has one run');
    $figures->is_quiet('those that have gone');
}


# A shard follows the environment's version, and never goes back by itself.

sub versions {
    begin();
    is(post(track('m7', @ids))->{status}, 200, 'an event');

    my $home = redis('GET', 'knock:{development}:version');

    is_deeply([map { redis('GET', "knock:{$_}:version") }
                   places('development', $Shards)],
              [($home) x $Shards], 'the shards have the version');

    # one has what the environment has lost: after it is read anew, it follows

    my ($lost) = map { "knock:{$_}:version" } places('development', $Shards);
    redis('SET', $lost, '9999999999.000000-7');
    is(post(track('m8', @ids))->{status}, 200, 'a shard is ahead');
    is_deeply([map { runs_of($_) } @ids], [(2) x @ids], 'once to each');
    wait_for('the shard to follow', sub {
        post(track('m8', @ids));
        return redis('GET', $lost) eq $home;
    });
    is_deeply([map { runs_of($_) } @ids], [(2) x @ids], 'and no more');

    # what another worker does not know yet

    my $worker = Knock::Nginx->start(redis => redis_server(),
                                     http => "knock_shards $Shards;\n");

    is($worker->post('/in/dev', $json->encode(track('m9', @ids)))->{status},
       200, 'another worker');
    seed('toggle development action comment-created 0');
    $home = redis('GET', 'knock:{development}:version');
    redis('FCALL', 'knock_version_follow', 1, "knock:{$_}:version",
          Knock::Library::VERSION, $home, '')
        for places('development', $Shards);
    is(post(track('m10', @ids))->{status}, 200, 'an action switched off');
    is($worker->post('/in/dev', $json->encode(track('m11', @ids)))->{status},
       200, 'is so to the other too');
    is_deeply([map { runs_of($_) } @ids], [(3) x @ids], 'no run is made');
}


# Leaves nothing but the configuration.

sub begin {
    my @keys = grep { !/:(?:version|endpoints|workflows|actions|toggles)$/ }
                    @{ redis('KEYS', '*') };

    redis('DEL', @keys) if @keys;

    my $answer = post([map { { type => 'identify', userId => $_,
                               messageId => "i$_", traits => { n => 1 } } }
                           @ids]);

    $answer->{status} == 200 or die "not identified: $answer->{body}\n";
    redis('XTRIM', log_key(), 'MAXLEN', 0);
}


sub post { return $nginx->post('/in/dev', $json->encode($_[0])) }


sub track {
    my ($id, @recipients) = @_;

    return { type => 'track', event => 'Comment Created', messageId => $id,
             properties => { recipients => \@recipients,
                             commenter => { id => 'u9' } } };
}


sub runs_of {
    my ($id) = @_;

    my $key = shard_key('development', $id, $Shards, 'runs');

    return 0 if redis('TYPE', $key) eq 'string';
    return scalar grep { $json->decode($_)->{recipient}{id} eq $id }
                       @{ redis('LRANGE', $key, 0, -1) };
}


sub log_key { return 'knock:{development}:log:segment' }
