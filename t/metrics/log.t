# Every answer 5xx leaves a line in error.log that says what to do, and no more
# than one for each.

use strict;
use warnings;

use Test::More;

use Knock::Api;
use Knock::Figures;
use Knock::Nginx;
use Knock::Server qw(connect_redis wait_for);
use Knock::Test;

use constant TIMES => 'timeout=1s reconnect=20ms reconnect_max=100ms';

my $runs = 'knock:{development}:runs';
my $last = 0;

# the ways to ask for something: what the log calls them, and requests

my %ways = (
    event => [ qr/Redis did not apply 1 requests|a request was not applied/,
               sub { post('/in/dev') } ],
    live  => [ qr/what is live could not be read from Redis/,
               sub { post('/in/nobody') } ],
    call  => [ qr/Redis did not carry out a call of the API|a call of the API was answered 500|Redis cannot be asked for a call of the API/,
               sub { call(GET => '/sources') },
               sub { call(GET => '/environments/development/runs') },
               sub { call(GET => '/sources/segment/environments/development/logs') } ],
    write => [ qr/Redis did not apply 1 requests|Redis did not carry out a call of the API|a call of the API was answered 500/,
               sub { call(PUT => '/environments/development/users/u7', { name => 'N' }) } ],
);

my $api = Knock::Api->start;
my $server = redis_server();

# Knock::Api's own waits longer for Redis

$api->{nginx}->stop;
$api->{nginx} = Knock::Nginx->start(
    http => "knock_redis unix:$server->{socket} " . TIMES . ';',
    server => $Knock::Nginx::Webhook
              . "location /v1/ { knock_api; knock_api_keys $api->{keys}; }");

my $nginx = $api->nginx;

seed($Knock::Test::Seed);
connected();

my $figures = Knock::Figures->new($nginx);

for (
    ['no reply in time', [qw(event live call write)], 503,
     sub { kill 'STOP', $server->{pid} },
     sub { kill 'CONT', $server->{pid} },
     qr/(?:no reply within 1000ms; check (?:what keeps Redis|that it is Redis)|it is away, as was said before)/],

    ['maxmemory', [qw(event write)], 503,
     sub { redis('CONFIG', 'SET', 'maxmemory', 1) },
     sub { redis('CONFIG', 'SET', 'maxmemory', 0) },
     qr/raise maxmemory, or let consumers catch up/],

    ['a read-only replica', [qw(event write)], 503,
     sub { redis('REPLICAOF', '127.0.0.1', 1) },
     sub { redis('REPLICAOF', 'NO', 'ONE') },
     qr/point knock_redis to the master/],

    ['a library that answers something else', [qw(event live call write)],
     qr/50[03]/,
     sub { library("return 'nonsense'") },
     sub { redis('FUNCTION', 'FLUSH') },
     qr/FUNCTION LIST|FUNCTION LOAD REPLACE/],

    ['a library that fails', [qw(event live call write)], qr/50[03]/,
     sub { library("error('oh no')") },
     sub { redis('FUNCTION', 'FLUSH') },
     qr/oh no.* \(see whether FUNCTION LIST has the module's library/],

    ['a library that may not be loaded', [qw(event live call write)], 503,
     sub {
         redis('ACL', 'SETUSER', 'other', 'on', 'nopass', '~*', '+@all');
         redis('ACL', 'SETUSER', 'default', '-function');

         my $other = connect_redis($server);
         $other->command('AUTH', 'other', 'any');
         $other->command('FUNCTION', 'FLUSH');
     },
     sub { redis('ACL', 'SETUSER', 'default', '+function') },
     qr/FUNCTION LOAD failed: NOPERM .*widen the permissions of this user/],

    ['a user without permission', [qw(event live call write)], 503,
     sub { redis('ACL', 'SETUSER', 'default', '-fcall', '-eval') },
     sub { redis('ACL', 'SETUSER', 'default', '+fcall', '+eval') },
     qr/NOPERM .*widen the permissions of this user by ACL SETUSER/],

    ["a key that is another program's", ['event'], 500,
     sub { redis('DEL', $runs); redis('SET', $runs, 'x') },
     sub { redis('DEL', $runs) },
     qr/WRONGTYPE .*whether another program writes to its keys/],
) {
    my ($kind, $ways, $status, $break, $mend, $help) = @$_;

    for my $way (@$ways) {
        $break->();
        fails("$kind, $way", $ways{$way}, $status, $help);
        $mend->();
        connected();
    }
}

$figures->is_quiet('all of them');
is_deeply [$nginx->complaints], [], 'nothing to complain about';
$nginx->stop;

done_testing();


# What is asked for in this way is answered 5xx, and the log helps.

sub fails {
    my ($title, $way, $status, $help) = @_;
    my ($about, @requests) = @$way;

    # in one second a line comes once

    wait_for('another second', sub { time > $last });

    my $offset = -s $nginx->error_log;
    my @got = map { $_->()->{status} } @requests;

    is scalar(grep { /^$status\z/ } @got), @got, "$title: $status, not @got";

    my @lines = $nginx->log_text($offset) =~ /\[error\] [^:]*: (.*)/g;
    my @ours = grep { /^knock: $about/ } @lines;

    cmp_ok @ours, '>', 0, "$title: error.log has a line" or diag @lines;
    cmp_ok @ours, '<=', @got, "$title: and not many";
    is_deeply [grep { !/$help/ } @ours], [], "$title: each says what to do";

    $last = time;
}


sub connected {
    wait_for('an answer', sub {
        $nginx->new_client->post('/in/dev', '{"type":"page"}')->{status} == 200
    });
}


sub post {
    return $nginx->new_client->post($_[0],
        '{"type":"track","event":"Comment Created",'
        . '"properties":{"recipients":[{"id":"u1"}]}}');
}


sub call {
    my ($method, $path, $body) = @_;

    return $api->call($method, $path, $body, client => $nginx->new_client);
}


# A library of the module's name and functions, all of which do the same.

sub library {
    my ($body) = @_;
    my %library = @{ redis('FUNCTION', 'LIST', 'LIBRARYNAME', 'knock')->[0] };
    my @names = map { my %function = @$_; $function{name} }
                @{ $library{functions} };

    redis('FUNCTION', 'LOAD', 'REPLACE', join "\n", '#!lua name=knock',
          map { "redis.register_function('$_', function() $body end)" }
              @names);
}
