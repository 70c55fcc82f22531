# `make demo`: it prints what it promises, others do not reach it unless it is
# told so, no endpoint's URL stands in its access log, and it ends.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

use Knock::Files qw(slurp);
use Knock::Http;
use Knock::Server qw(free_port is_running);

# folders of sockets have short names
my $dir = tempdir('knock-XXXXXXXX', DIR => '/tmp', CLEANUP => 1);
my $run = "$dir/run";
my $port = free_port();
my %pids;

$ENV{RUN} = $run;
$ENV{PORT} = $port;
$ENV{REDIS_SERVER} = $ENV{KNOCK_REDIS_SERVER} || 'redis-server';

delete $ENV{LISTEN};
alone();

$ENV{LISTEN} = '127.0.0.2';
with_others();

done_testing;

END { my $status = $?; demo('stop'); $? = $status }


sub demo {
    my ($what) = @_;

    return scalar `examples/demo.sh $what 2>&1 < /dev/null`;
}


sub started {
    my $said = demo('start');

    is $?, 0, 'it starts' or BAIL_OUT($said);
    %pids = map { $_ => slurp("$run/$_.pid") + 0 } qw(nginx redis);

    return $said;
}


# The addresses at which its processes listen by TCP.

sub addresses {
    my %inodes;

    for my $pid (map { $_, split ' ', slurp("/proc/$_/task/$_/children") }
                 values %pids)
    {
        for my $fd (glob "/proc/$pid/fd/*") {
            $inodes{$1} = 1 if (readlink $fd // '') =~ /^socket:\[(\d+)\]$/;
        }
    }

    my @found;

    for my $table (qw(tcp tcp6)) {
        for (split /\n/, slurp("/proc/net/$table")) {
            my (undef, $local, undef, $state, @rest) = split;

            next unless $state eq '0A' && $inodes{ $rest[5] };

            my ($ip, $at) = split /:/, $local;

            push @found, $table eq 'tcp'
                ? join('.', reverse map { hex } $ip =~ /../g) . ':' . hex $at
                : $local;
        }
    }

    return [ sort @found ];
}


sub alone {
    my $said = started();

    is_deeply addresses(), ["127.0.0.1:$port"], 'on loopback alone';

    like $said, qr/^identify\.json +\{"accepted":1,/m, 'events are taken';
    like $said, qr/^\{"id":"[0-9a-f-]{36}","trigger_id":/m, 'runs are printed';

    my ($page, $key) =
        $said =~ m{^Page: +http://127\.0\.0\.1:$port(/\S+) .* (\w+)$}m;
    my $http = Knock::Http->new($port);

    is $http->get($page // '/')->{status}, 200, 'the dashboard is there';
    is $http->get('/v1/sources', Authorization => "Bearer $key")->{status}, 200,
       'and the API takes the key';

    my ($url, $token) =
        $said =~ m{^Serving http://127\.0\.0\.1:$port(/\S+/(\w+))$}m;

    is $http->post($url, '{"type":"page"}')->{status}, 200,
       'the URL takes events';

    my $log = slurp("$run/access.log");

    like $log, qr/"POST \(a URL\) HTTP/, 'the access log has its requests';
    unlike $log, qr/\Q$token\E/, 'and not its URL';
    stops();
}


sub with_others {
    my $said = started();

    is_deeply addresses(), ["127.0.0.1:$port", "127.0.0.2:$port"],
              'where LISTEN says, too';

    my ($url) = $said =~ m{^Serving http://127\.0\.0\.1:$port(/\S+)$}m;
    my ($key) = $said =~ m{^Page: .* (\w+)$}m;

    is status($url, '-d', '{"type":"page"}'), 200, 'the URL takes events there';
    is status('/v1/sources', '-H', "Authorization: Bearer $key"), 404,
       'there is no API';
    is status('/dashboard/'), 404, 'and no dashboard';
    stops();
}


# The status of a request to the other address.

sub status {
    my ($path, @args) = @_;

    open my $in, '-|', 'curl', '-s', '-m', '20', '-o', '/dev/null',
         '-w', '%{http_code}', '-H', 'Content-Type: application/json', @args,
         "http://127.0.0.2:$port$path" or die "curl: $!\n";

    return scalar <$in>;
}


sub stops {
    my $said = demo('stop');

    is $?, 0, 'it stops';
    is_deeply [grep { is_running($pids{$_}) } sort keys %pids], [],
              'and nothing of it runs';
}
