# The ways into the API's and the webhook's locations, and what keeps requests
# out of them: which call a path is, whoever makes the request, and what nginx
# answers in their place.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp;
use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Server qw(free_port);
use Knock::Test;

my $keys = File::Temp->new;

print {$keys} sha256_hex($Knock::Api::Key), "\n";
close $keys or die "keys: $!\n";
chmod 0644, "$keys";

my $users = '/environments/development/users';
my $backend = free_port();

# what nginx answers, and the code of that

my %code = (
    400 => 'invalid_request', 401 => 'unauthorized', 403 => 'forbidden',
    404 => 'not_found', 405 => 'method_not_allowed', 408 => 'request_timeout',
    413 => 'body_too_large', 415 => 'unsupported_media_type',
    429 => 'too_many_requests', 500 => 'internal_error',
    502 => 'bad_gateway', 503 => 'service_unavailable',
    504 => 'gateway_timeout', 418 => 'invalid_request',
    507 => 'internal_error',
);

# ... by a text: without one it closes the connection at a 408

my $says = join '', map {
    "location = /says/v1/$_ { knock_api; return $_ x; }\n"
    . "location = /$_/receives { knock_webhook none; return $_ x; }\n"
} sort keys %code;

my $api = Knock::Api->start(
    http => <<"_EOC_",
limit_req_zone \$binary_remote_addr zone=slow:1m rate=1r/m;
server {
    listen 127.0.0.1:$backend;
    client_max_body_size 16m;
    location / { return 204; }
}
_EOC_
    server => <<"_EOC_");
knock_api_keys $keys;

# some of the API is closed
location = /v1/commits/publish { deny all; }
location /v1/sources/closed { deny all; }
location ~ ^/v1$users/[^/]+/\$ { deny all; }

# ways to it
location /admin/v1/ { knock_api; }
location ~ ^/(?:x|y)/v1/ { knock_api; }
location = /rewritten { rewrite ^ /v1/sources/segment last; }
location /old/ { rewrite ^ /v1/sources/segment last; }
location = /stays { rewrite ^ /v1/sources/segment break; knock_api; }
location = /asked { rewrite ^ /v1/sources?limit=1 last; }
location = /tried { try_files /nothing /v1/sources/segment; }
location = /named { try_files /nothing \@api; }
location \@api { rewrite ^ /v1/sources/segment break; knock_api; }
location = /paged { error_page 404 = /v1/sources/segment; return 404; }
location = /guarded {
    auth_request /v1/sources/segment;
    proxy_pass http://127.0.0.1:$backend;
}
location = /page.html { ssi on; }
location = /mirrored { mirror /mirror; return 204; }
location = /mirrors {
    mirror /mirror;
    proxy_pass http://127.0.0.1:$backend;
}
location = /mirror { internal; rewrite ^ /v1$users/mirrored break; knock_api; }

# what nginx answers itself
$says
location /slow/v1/ { limit_req zone=slow; knock_api; }
location /slower/v1/ { limit_req zone=slow; limit_req_status 429; knock_api; }
location /basic/v1/ { auth_basic x; auth_basic_user_file $keys; knock_api; }
location /none/v1/ { deny all; knock_api; }
location /few/v1/ { client_max_body_size 10; knock_api; }
location /guests/v1/ { limit_except GET { deny all; } knock_api; }
_EOC_

my $text = '<!--# include virtual="/v1/sources/segment" -->'
           . '<!--# include virtual="/v1/nothing" -->';

mkdir $api->nginx->dir . '/html', 0755;
open my $page, '>', $api->nginx->dir . '/html/page.html' or die "page: $!\n";
print {$page} "[$text]";
close $page;

$api->done('a source', 201, POST => '/sources', { key => $_ })
    for qw(another closed segment);
$api->done('a draft', 201, PUT => '/workflows/w', {});
$api->done('live', 200, POST => '/commits');

kept_out();
ids();
bases();
redirected();
subrequests();
nginx_answers();
headers();
hosts();

$api->end;
done_testing();


# What a location keeps out, however the path is written.

sub kept_out {
    my %body = ('Content-Type' => 'application/json');

    for my $path ('/v1/commits/publish', '/%761/commits/publish',
                  '/v%31/commits/publish', '/v1/%63ommits/publish',
                  '/v1/commits/publis%68', '//v1//commits///publish',
                  '/v1/x/../commits/publish', '/v1/./commits/publish',
                  '/v1/commits%2Fpublish', '/v1%2fcommits/publish',
                  '/v1/x/..%2fcommits/publish', '/v1/x%2f..%2fcommits/publish',
                  '/v1/commits/x/%2e%2e/publish', '/v1/commits/%2Fpublish',
                  '/%761/x/v1/commits/publish', '/v1/x/v1/commits/publish',
                  '/%2e/v1/commits/publish', '/v1/commits/publish;x',
                  '/v1/commits;/publish', '/v1/;/commits/publish',
                  '/v1/commits/publish%3Bx', '/v1/commits/publish%20',
                  '/v1/commits/publish%23', '/v1/commits/publish%3F',
                  '/V1/commits/publish', '/x/v1/../../v1/commits/publish',
                  '/v1/commits/publish/%2e', '/v1/commits/publish/x/..%2f')
    {
        my $before = $api->digest;

        like $api->call(POST => $path, '{"to":"production"}', base => '', %body)
                 ->{status}, qr/^(?:403|404|405|422)$/, "not in by $path";
        is $api->digest, $before, 'and nothing is changed';
    }

    like $api->call(GET => $_, undef, base => '')->{status}, qr/^(?:403|422)$/,
         "nor by $_"
        for '/v1/sources/closed', '/v1/sources/%63losed',
            '/v1/%73ources/closed/environments/development',
            '/v1/sources/x/../closed', '/v1//sources//closed',
            '/v1%2fsources%2fclosed', '/v1/sources/x%2f..%2fclosed';

    $api->done('by which it is open', 200, GET => $_, undef, base => '')
        for '/v1/sources/another', '/%761/%73ources/another',
            '//v1//sources//another', '/v1/x/../sources/another',
            '/v1/sources/another/', '/v1%2Fsources%2fanother';
}


# Ids with any bytes are those of a client, and no others.

sub ids {
    for my $id ('a/b', '/a', 'a//b', '//', 'https://example.com/u/1?x=y#z',
                'a%2Fb', '%2F', '%', '?', '#', 'a;b', 'a+b', 'a&b=c', 'a b',
                'a.b', '.a', '...', "\x{fc}", '\\', '"', ':@!$\'()*,',
                'bulk', 'a/../b', '..', '.', 'x/..', '../u')
    {
        my $path = "$users/" . encode($id);
        my $answer = $api->call(PUT => $path, { name => 'N' });

        # nginx has taken it out, so what is left is another path

        if ($id =~ m{(?:^|/)\.\.?(?:/|$)|^/+$}) {
            cmp_ok $answer->{status}, '>=', 400, "$id cannot be told: refused";
            next;
        }

        is $answer->{status}, 201, "$id is made" or diag $answer->{body};
        is $answer->{json}{id}, $id, 'by its id';
        is $api->done('it is read', 200, GET => $path)->{id}, $id, 'so';
        $api->done('and deleted', 204, DELETE => $path);
        is_deeply $api->done('the users', 200, GET => $users)->{items}, [],
                  'nothing is left';
    }

    # an id that would be another user's path, or another call's

    $api->done('a user', 201, PUT => "$users/victim", {});
    $api->refused("$_ is nobody else", 422, 'invalid_parameter',
                  DELETE => "$users/$_")
        for 'x%2F..%2Fvictim', '..%2Fusers%2Fvictim', '%2E%2E%2Fusers/victim',
            'x/..%2fvictim', '%2e%2Fvictim', 'x%2F%2e%2e%2Fvictim';
    $api->refused('nor another call', 422, 'invalid_parameter',
                  POST => "$users/%2Fbulk", { users => [ { id => 'v' } ] });
    $api->refused('nor one of another kind', 422, 'invalid_parameter',
                  POST => '/commits/c%2Frevert');
    $api->done('the user', 204, DELETE => "$users/victim");
}


# Which part of the path is the API's.

sub bases {
    is $api->done($_, 200, GET => $_, undef, base => '')->{key}, 'segment', $_
        for '/v1/sources/segment', '/admin/v1/sources/segment',
            '/x/v1/sources/segment', '/y/v1/sources/segment';

    $api->refused($_, 404, 'not_found', GET => $_, undef, base => '')
        for '/v1/v1/sources/segment', '/admin/v1/x/v1/sources/segment',
            '/v1/admin/v1/sources/segment', '/admin/v1/', '/v1/';
}


sub redirected {
    for my $path (qw(/rewritten /stays /tried /named /paged)) {
        is $api->done($path, 200, GET => "$path?limit=5", undef, base => '')
               ->{key}, 'segment', "$path leads to the API";
        is $api->call(GET => $path, undef, base => '', Authorization => undef)
               ->{status}, 401, 'where a key is asked for';
    }

    my $list = $api->done('with a query', 200, GET => '/asked', undef,
                          base => '');

    is scalar @{ $list->{items} }, 1, 'which counts';
    is $list->{cursor}, 'another', 'alone';

    # what was sent is another path, and is not looked at

    is $api->done('by a rewrite', 200, GET => '/old/a%2Fb', undef, base => '')
           ->{key}, 'segment', 'it is what nginx made';
}


sub subrequests {
    my %plain = ('Content-Type' => 'text/plain');
    my @call = (undef, base => '');

    is $api->call(GET => '/guarded', @call)->{status}, 204,
       'auth_request lets in who has a key';

    my $answer = $api->call(GET => '/guarded', @call, Authorization => undef);

    is $answer->{status}, 401, 'and nobody else';
    is $answer->{headers}{'www-authenticate'}, 'Bearer', 'who is told of it';

    is $api->call(POST => '/guarded', $_, base => '', %plain)->{status}, 204,
       'whatever is behind it: ' . length
        for 'no JSON', 'x' x 2_000_000;
    is $api->call(POST => '/guarded', '{', base => '', 'Content-Encoding' => 'x')
           ->{status}, 204, 'in any encoding';

    $answer = $api->call(GET => '/page.html', @call);

    is $answer->{status}, 200, 'a page that includes two answers';
    like $answer->{body}, qr/^\[\{"key":"segment".*\}\s*
                             \{"error":\{"code":"not_found".*\}\s*\]$/xs,
         'has both';

    $api->done('mirrored', 204, PUT => '/mirrors', { name => 'M' }, base => '');
    $api->done('the next one waits for the copy', 200, GET => '/sources');
    is $api->done('the copy', 200, GET => "$users/mirrored")->{name}, 'M',
       'is taken';
}


# What nginx answers in a location of ours has a code for each status.

sub nginx_answers {
    for my $status (sort keys %code) {
        for my $path ("/says/v1/$status", "/$status/receives") {
            my $answer = $api->refused($path, $status, $code{$status},
                                       GET => $path, undef, base => '');

            is $answer->{headers}{'retry-after'},
               $status == 429 || $status == 503 ? 1 : undef,
               'and when to try again';
            safe($answer, $path);
        }
    }

    for my $case ([ '/slow/v1/', 503, 'service_unavailable' ],
                  [ '/slower/v1/', 429, 'too_many_requests' ])
    {
        my ($path, $status, $code) = @$case;

        $api->call(GET => "${path}sources", undef, base => '');
        is $api->refused("$path: too many", $status, $code,
                         GET => "${path}sources", undef, base => '')
               ->{headers}{'retry-after'}, 1, 'not at once';
    }

    $api->refused("auth_basic", 401, 'unauthorized', GET => '/basic/v1/sources',
                  undef, base => '');
    $api->refused("deny", 403, 'forbidden', GET => '/none/v1/sources', undef,
                  base => '');
    $api->refused("limit_except", 403, 'forbidden',
                  POST => '/guests/v1/sources', '{}', base => '');
    $api->refused("a body", 413, 'body_too_large', POST => '/few/v1/sources',
                  '{"key":"a source"}', base => '');
}


# Nobody keeps an answer, or takes it for something else than it says it is.

sub headers {
    my $endpoint = $api->done('an endpoint', 200,
                              GET => '/sources/segment/environments/development');

    safe($api->event($endpoint, '{"type":"page"}'), 'an event');
    safe($api->event($endpoint, '{'), 'no event');
    safe($api->nginx->get('/integrations/receive/x'), 'a method');

    safe($api->call(GET => '/sources'), 'a list');
    safe($api->call(GET => '/nothing'), 'no path');
    safe($api->call(GET => '/sources', undef, Authorization => undef), 'no key');
    safe($api->call(PUT => "$users/headers", {}), 'a write');
    safe($api->call(DELETE => "$users/headers"), 'a deletion');
    safe($api->call(GET => '/sources/segment', undef, 'If-None-Match' => '*'),
         'what is known');
}


# A Host that is no text makes no answer that is no JSON.

sub hosts {
    my $path = '/sources/segment/environments/development';

    for my $case ([ "a\xff.example", 'a%FF.example' ],
                  [ "\xed\xa0\x80", '%ED%A0%80' ], [ "\xc3", '%C3' ],
                  [ "\xc3\xbc.example", '%C3%BC.example' ],
                  [ 'a"b\\c', 'a"b\\c' ], [ 'a.example:80', 'a.example:80' ])
    {
        my ($host, $shown) = @$case;
        my $answer = $api->call(GET => $path, undef, Host => $host);

        is $answer->{status}, 200, "a host: $shown";
        is eval { JSON::PP->new->utf8->decode($answer->{body})->{url} },
           "http://$shown/integrations/receive/$answer->{json}{token}",
           'in the URL';
    }
}


sub safe {
    my ($answer, $what) = @_;

    is join(', ', @{ $answer->{headers} }{'x-content-type-options',
                                          'cache-control'}),
       'nosniff, no-store', "$what: is not sniffed, and not kept";
}


sub encode {
    my ($id) = @_;

    utf8::encode($id);

    return $id =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
}
