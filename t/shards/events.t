# knock_shards: what becomes of an event when not all of its shards take it,
# or not at once.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Figures;
use Knock::Library;
use Knock::Log qw(log_entries);
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
for_nobody();
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
    like($answer->{body}, qr/"internal_error".*whether all of this was applied is not known/,
         'and the answer says that it is not all');

    my @others = grep { shard_of($_, $Shards) != shard_of('u1', $Shards) } @ids;

    is_deeply([map { runs_of($_) } @others], [(1) x @others],
              'the others have their runs');
    is(scalar logged(), 0, 'nothing is in the log yet');

    redis('DEL', $bad);
    $answer = post(track('m1', @ids));
    is($answer->{status}, 200, 'sent again, it is applied');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids],
              'each has one run now');
    is_deeply($json->decode($answer->{body}),
              { accepted => 1, duplicates => 0, ignored => 0, errors => [],
                runs => scalar(@ids) - @others }, 'those that were missing');

    my %verdict;
    my ($entry) = wait_for_log(1);

    is($entry->{status}, 'p', 'the log has it once');
    @verdict{@ids} = split //, substr $entry->{verdicts}, 1;
    is_deeply([sort { $a cmp $b } grep { $verdict{$_} eq 'b' } @ids],
              [sort { $a cmp $b } @others],
              'and says who was served before');

    $answer = post(track('m1', @ids));
    is($json->decode($answer->{body})->{duplicates}, 1, 'again: a duplicate');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'and nothing more');
}


# An event that concerns nobody is remembered in one shard; the environment's
# own slot has neither marks nor runs.

sub for_nobody {
    begin();

    my @events = map { { type => 'page', messageId => "p$_" } } 1 .. 20;

    is($json->decode(post(\@events)->{body})->{ignored}, 20, 'pages');
    is($json->decode(post(\@events)->{body})->{duplicates}, 20,
       'are known when they come again');

    my %shards = map { m/\{development\/(\d+)\}/ ? ($1 => 1) : () }
                 @{ redis('KEYS', '*:seen:*') };

    is(scalar keys %shards, $Shards, 'to their shards');
    is_deeply(redis('KEYS', 'knock:{development}:seen:*'), [],
              'and to nobody else');
    is_deeply(redis('KEYS', 'knock:{development}:runs'), [], 'nor runs');
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


# An identify that is too large is refused by its shard.

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
    is(scalar grep({ $_->{status} eq 'l' } wait_for_log(3)), 2,
       'the log says so');
}


# A client that goes away leaves nothing half done that its retry does not
# complete.

sub client_gone {
    begin();

    my $figures = Knock::Figures->new($nginx);
    my @clients = map { $nginx->new_client } 1 .. 8;
    for (@clients) {
        send_track($_, 'm6');
        $_->reset;
    }

    is(post(track('m6', @ids))->{status}, 200, 'sent again by another');
    wait_for_log(1);
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'each has one run');

    # one that goes while its shards work is logged all the same

    begin();
    redis('CLIENT', 'PAUSE', 60_000, 'WRITE');

    my $http = $nginx->new_client;

    send_track($http, 'gone');
    wait_for('a shard to be asked', sub {
        return redis('CLIENT', 'LIST') =~ /name=knock.* argv-mem=[1-9]/;
    });
    $http->close;
    redis('CLIENT', 'UNPAUSE');

    my ($entry) = wait_for_log(1);

    is($entry->{status}, 'p', 'a client goes: the event is logged');
    is($entry->{doc}{message_id}, 'gone', 'as what it was');
    is_deeply([map { runs_of($_) } @ids], [(1) x @ids], 'and has its runs');
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
    wait_for_log(scalar @ids);
    redis('XTRIM', log_key(), 'MAXLEN', 0);
}


# The entries of the log; the same when there are so many.

sub logged { return log_entries(redis('XRANGE', log_key(), '-', '+')) }

sub wait_for_log {
    my ($n) = @_;

    wait_for("$n entries of the log", sub { logged() >= $n });

    return logged();
}


sub send_track {
    my ($http, $id) = @_;

    my $body = $json->encode(track($id, @ids));

    $http->send("POST /in/dev HTTP/1.1\r\nHost: localhost\r\n"
                . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
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
