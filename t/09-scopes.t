# Keys with a scope: what each may do, and what it is told where it may not; in
# which environments; and what is wrong in the file of keys.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my %scopes = (
    all => '', read => 'scope=read', send => 'scope=send',
    consume => 'scope=consume', write => 'scope=write',
    both => 'scope=read,consume', named => 'the key of Ada, and of nobody else',
    dev => 'environments=development', next => 'environments=staging',
    two => 'scope=read environments=development,staging # of a page, a=b',
);

my %names = (S => 'segment', E => 'development', W => 'w', A => 'a',
             C => 'c', U => 'u1', K => 'track/T');

my $api = Knock::Api->start;

keys_file(map { sha256_hex($_) . "  $scopes{$_}" } sort keys %scopes);
$api->nginx->reload;

$api->done('an environment', 201, POST => '/environments',
           { key => 'staging', after => 'development' });
$api->done('a source', 201, POST => '/sources', { key => 'segment' });
$api->done('a workflow', 201, PUT => '/workflows/w', { name => 'W' });
$api->done('a commit', 200, POST => '/commits');
$api->done('a publication', 200, POST => '/commits/publish',
           { to => 'staging' });
$api->done('a user', 201, PUT => '/environments/development/users/u1', {});

my ($published, $commit) = map { $_->{id} }
    @{ $api->done('commits', 200, GET => '/commits')->{items} };

each_call();
each_environment();
each_line();

$api->end;
done_testing();


# The contract, not the table: what a key of each scope may call.

sub may {
    my ($scope, $method, $pattern) = @_;

    return 1 if $scope eq 'write';

    my $reads = $method eq 'GET' || $pattern =~ m{/preview$};
    my $sends = $pattern =~ m{/(?:test|test-event|replay)$};
    my $reports = $pattern =~ m{/(?:retry|reclaim)$|messages/events$};

    return $reads || $sends if $scope eq 'send';
    return $reads if $scope eq 'read';
    return $reports || ($reads && $pattern =~ m{environments/E/(?:runs|users)});
}


sub each_call {
    my @routes = Knock::Api::routes();
    my %needs;

    cmp_ok scalar @routes, '>', 30, 'there are calls';

    for my $route (@routes) {
        my ($method, $pattern) = @$route;
        my $path = '/' . join '/', map { $names{$_} // $_ } split m{/}, $pattern;
        my $body = $method eq 'GET' ? undef : '{"nonsense":1}';

        for my $scope (qw(read send consume write)) {
            my $may = may($scope, $method, $pattern);

            is forbidden($scope, $method, $path, $body), $may ? '' : 'forbidden',
               "scope=$scope: $method $pattern";
            push @{ $needs{"@$route"} }, $scope if $may;
        }

        for my $key (qw(all named)) {
            is forbidden($key, $method, $path, $body), '',
               "$key: $method $pattern";
        }

        is forbidden('both', $method, $path, $body),
           may('read', @$route) || may('consume', @$route) ? '' : 'forbidden',
           "scope=read,consume: $method $pattern";

        my $least = $needs{"@$route"}[0];
        my ($other) = grep { !may($_, @$route) } qw(read send consume);

        next unless $other;

        like $api->call($method, $path, $body, with($other))
                 ->{json}{error}{message},
             qr/scope=$least\b/, 'and it is told which it needs';
    }

    is $api->call(GET => '/sources', undef, with('nobody'))->{status}, 401,
       'a key that is none';
    is $api->call(GET => '/nothing', undef, with('consume'))->{status}, 404,
       'a path that is none';
}


# A key for some environments: what is of others, or of all.

sub each_environment {
    my $dev = '/environments/development';
    my $next = '/environments/staging';

    for my $path ("$next/users", "$next/workflows/w", "$next/runs",
                  '/sources/segment/environments/staging',
                  '/sources/segment/environments/staging/logs',
                  '/environments/nowhere/runs', '/commits?environment=staging')
    {
        is forbidden('dev', GET => $path), 'forbidden', "not its own: $path";
    }

    for my $path ("$dev/users", "$dev/workflows/w", '/sources', '/workflows/w',
                  '/sources/segment/environments/development', '/actions',
                  '/environments', '/commits', '/commits?environment=development',
                  "/commits/$commit")
    {
        is $api->call(GET => $path, undef, with('dev'))->{status}, 200,
           "its own, or of all: $path";
        is $api->call(GET => $path, undef, with('two'))->{status}, 200,
           "the same for several: $path";
    }

    is forbidden('two', PUT => '/workflows/w', '{}'), 'forbidden',
       'which read only';

    # what all environments share

    for my $call ([POST => '/environments', { key => 'more' }],
                  [POST => '/sources', { key => 'more' }],
                  [PATCH => '/sources/segment', { name => 'N' }],
                  [DELETE => '/sources/segment'])
    {
        like told('dev', @$call), qr/without environments=/,
             "$call->[0] $call->[1] is for all";
    }

    # drafts are of the first, and are committed there

    for my $call ([PUT => '/workflows/x', {}], [DELETE => '/workflows/w'],
                  [POST => '/commits'])
    {
        like told('next', @$call), qr/"development".*environments=development/,
             "$call->[0] $call->[1] is of the first";
    }

    $api->done('a draft', 200, PUT => '/workflows/w', { name => 'X' },
               with('dev'));
    $api->done('committed', 200, POST => '/commits', undef, with('dev'));

    # published to

    my @publish = (POST => '/commits/publish', { to => 'staging' });

    like told('dev', @publish), qr/"staging"/, 'publishing is of where to';
    $api->done('published', 200, @publish, with('next'));

    my @preview = (POST => '/actions/a/preview',
                   { event => { type => 'page' }, environment => 'staging',
                     action => { source => 'segment', event => 'page',
                                 type => 'workflows_trigger', workflow => 'w',
                                 recipients => 'userId' } });

    like told('dev', @preview), qr/"staging"/, 'a preview is of its own one';
    $api->done('a preview', 200, @preview, with('next'));

    # commits by where they were found

    is_deeply [map { $_->{environment} }
               @{ $api->call(GET => '/commits', undef, with($_))->{json}{items} }],
              { dev => ['development', 'development'],
                next => ['staging', 'staging'] }->{$_}, "commits for $_"
        for qw(dev next);

    like told('next', GET => "/commits/$commit"), qr/"development"/,
         'another commit';
    like told('next', POST => "/commits/$commit/revert"), qr/"development"/,
         'nor reverted';
    like told('dev', POST => "/commits/$published/revert"), qr/"staging"/,
         'nor the other way round';
}


# The file: a line that is wrong is told with its number.

sub each_line {
    my $hash = sha256_hex('x');

    for my $line ("$hash scope=", "$hash scope=all", "$hash scope=read,",
                  "$hash scope=Read", "$hash scopes=read", "$hash scope read",
                  "$hash Scope: read", "$hash scope = read",
                  "$hash environments=", "$hash environments=Dev",
                  "$hash environments=a,,b", "$hash environment=dev",
                  "$hash environments: dev", "$hash env=dev", "$hash=read",
                  "${hash}scope=read", substr($hash, 1), "$hash\n$hash scope=read")
    {
        my $shown = $line =~ s/[0-9a-f]{63,64}/HASH/gr =~ s/\n/, /r;
        my $n = 3 + ($line =~ tr/\n//);

        keys_file('', $line);
        like tested(), qr/\[emerg\].*\Q$api->{keys}\E" line $n: /,
             "line $n: $shown";
    }

    keys_file('', "$hash\tscope=send,read,send  environments=a-1,b_2\t\tfor me",
              sha256_hex('y') . " # scope=nothing", sha256_hex('z') . "  -\r");
    unlike tested(), qr/\[emerg\]/, 'lines that are right';
}


sub keys_file {
    my (@lines) = @_;

    open my $out, '>', $api->{keys} or die "$api->{keys}: $!\n";
    print {$out} join("\n", sha256_hex($Knock::Api::Key), @lines), "\n";
    close $out or die "$api->{keys}: $!\n";
}


# What `nginx -t` says of the file.

sub tested {
    my $dir = $api->nginx->dir;
    my $nginx = $ENV{KNOCK_NGINX} || '/usr/sbin/nginx';

    return scalar `$nginx -t -e $dir/test.log -p $dir -c $dir/nginx.conf 2>&1`;
}


sub with { return (Authorization => "Bearer $_[0]") }


# The code of a call that was forbidden, or ''.

sub forbidden {
    my ($key, $method, $path, $body) = @_;

    my $answer = $api->call($method, $path, $body, with($key));
    my $code = ref $answer->{json} ? ($answer->{json}{error} // {})->{code} : '';

    return ($code // '') eq 'forbidden' && $answer->{status} == 403
           ? 'forbidden' : '';
}


# What a call is told that is forbidden, and changes nothing.

sub told {
    my ($key, $method, $path, $body) = @_;

    return $api->refused("$key: $method $path", 403, 'forbidden', $method,
                         $path, $body, with($key))->{json}{error}{message};
}
