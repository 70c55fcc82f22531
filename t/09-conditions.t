# If-Match and If-None-Match: on every resource that has an ETag, and what a
# read is answered that knows its ETag.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my $api = Knock::Api->start;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my $dev = '/sources/segment/environments/development';
my $users = '/environments/development/users';
my $action = {
    source => 'segment', event => 'track/T', type => 'workflows_trigger',
    workflow => 'w', recipients => 'properties.recipients',
};

# each resource, a way to change it, and another change

my @resources = (
    [ '/sources/segment', PATCH => { name => 'A' }, { name => 'B' } ],
    [ $dev, PATCH => { identify_enabled => $true },
      { identify_enabled => $false } ],
    [ '/workflows/w', PUT => { name => 'A' }, { name => 'B' } ],
    [ '/actions/a', PUT => $action, { %$action, actor => 'userId' } ],
    [ "$users/u1", PUT => { name => 'A' }, { name => 'B' } ],
);

$api->done('a source', 201, POST => '/sources', { key => 'segment' });

created_only();
named_in_a_list();
deleted();
known();
together();

$api->end;
done_testing();


# A PUT with If-None-Match: * makes what there is not, and changes nothing.

sub created_only {
    for my $path (map { $_->[0] } grep { $_->[1] eq 'PUT' } @resources) {
        my $body = $path =~ /action/ ? $action : { name => 'first' };
        my %more = $path =~ /action/ ? (tenant => 'userId')
                                     : (name => 'second');
        my @none = ('If-None-Match' => '*');

        $api->done("$path is made", 201, PUT => $path, $body, @none);

        my $answer = $api->refused("$path is there", 412, 'stale',
                                   PUT => $path, { %$body, %more }, @none);

        like $answer->{body}, qr/If-None-Match/, 'and it says why';
        $api->done("$path is gone", 204, DELETE => $path);
        $api->done("$path is made again", 201, PUT => $path, $body, @none);
    }

    # one that is live, and taken out by a draft that is not yet committed

    $api->done('live', 200, POST => '/commits');
    $api->refused('what is live is there', 412, 'stale', PUT => '/workflows/w',
                  { name => 'x' }, 'If-None-Match' => '*');
    $api->done('it is to go', 204, DELETE => '/workflows/w');
    $api->done('so it may be made', 201, PUT => '/workflows/w', { name => 'x' },
               'If-None-Match' => '*');

    # of many at a time one makes it

    my @clients = map { $api->nginx->new_client } 1 .. 8;
    my $text = '{"name":"one of many"}';

    $_->send("PUT /v1$users/many HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n"
             . "Authorization: Bearer $Knock::Api::Key\r\nContent-Length: "
             . length($text) . "\r\n\r\n$text") for @clients;

    is join(' ', sort map { $_->answer->{status} } @clients),
       join(' ', 201, (412) x 7), 'one of many makes it';
}


sub named_in_a_list {
    for my $resource (@resources) {
        my ($path, $method, $one, $two) = @$resource;
        my $etag = etag($path);

        $api->refused("$path: in none of a list", 412, 'stale', $method, $path,
                      $two, 'If-Match' => $_)
            for '"a", "b"', '"a,b"', ',', '"', 'W/"', '""', "\"$etag",
                uc $etag, "\"x$etag\"", '"a", *';

        for my $list ("\"a\", \"$etag\"", "\"$etag\",\"b\"", "W/\"$etag\"",
                      " , \"b\" ,W/\"$etag\" ,", '*', $etag,
                      join(',', map { "\"$_\"" } 1 .. 50, $etag))
        {
            $api->done("$path: in " . substr($list, 0, 20), 200, $method, $path,
                       $one, 'If-Match' => $list =~ s/$etag/etag($path)/er);
        }

        # not if it has one of these

        $etag = etag($path);
        $api->refused("$path: has one of a list", 412, 'stale', $method, $path,
                      $two, 'If-None-Match' => $_)
            for "\"$etag\"", "\"a\", W/\"$etag\"", '*';
        $api->done("$path: has none of a list", 200, $method, $path, $one,
                   'If-None-Match' => '"a", "b"');
    }

    my $etag = etag($dev);

    $api->refused('nor is a URL changed', 412, 'stale', POST => "$dev/rotate",
                  '', 'If-None-Match' => "\"$etag\"");
    $api->done('a URL is changed', 200, POST => "$dev/rotate", '',
               'If-Match' => "\"a\", \"$etag\"");
    $api->refused("$_->[0] has no ETag", 412, 'stale', POST => @$_,
                  'If-None-Match' => '*')
        for [ '/commits', undef ], [ '/sources', { key => 'new' } ];
}


sub deleted {
    for my $path (map { $_->[0] } grep { $_->[0] ne $dev } reverse @resources) {
        my $etag = etag($path);

        $api->refused("$path stays: $_->[1]", 412, 'stale', DELETE => $path,
                      undef, @$_)
            for [ 'If-Match' => '"a", "b"' ], [ 'If-None-Match' => '*' ],
                [ 'If-None-Match' => "\"a\", \"$etag\"" ];

        $api->done("$path goes", 204, DELETE => $path, undef,
                   'If-Match' => "\"a\", \"$etag\"");
        is $api->call(DELETE => $path, undef, 'If-Match' => '*')->{status}, 404,
           "$path is gone";
    }
}


# A read whose ETag is the one there is needs no body.

sub known {
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });

    for my $resource (@resources) {
        my ($path, $method, $one, $two) = @$resource;

        $api->call($method, $path, $one);

        my $etag = etag($path);

        for my $given ("\"$etag\"", "W/\"$etag\"", "\"a\", \"$etag\"", '*') {
            for my $reads (qw(GET HEAD)) {
                my $answer = $api->call($reads, $path, undef,
                                        'If-None-Match' => $given);

                is $answer->{status}, 304, "$reads $path: " . substr $given, 0, 5;
                is $answer->{etag}, $etag, 'with its ETag';
                is $answer->{body}, '', 'and no body';
                is $answer->{headers}{$_}, undef, "nor $_"
                    for qw(content-length content-type);
            }
        }

        is $api->call(GET => $path, undef, 'If-None-Match' => $_)->{status}, 200,
           "$path: another" for '"a"', "\"a$etag\"", '""';

        $api->call($method, $path, $two);

        my $answer = $api->call(GET => $path, undef,
                                'If-None-Match' => "\"$etag\"");

        is $answer->{status}, 200, "$path has been changed";
        isnt $answer->{etag}, $etag, 'and has another ETag';
    }

    is $api->call(GET => $_, undef, 'If-None-Match' => '*')->{status}, 200,
       "$_ has no ETag" for '/sources', '/commits', "$users?limit=1";
    is $api->call(GET => "$users/nobody", undef, 'If-None-Match' => '*')
           ->{status}, 404, 'who there is not';

    # nginx would judge by what it knows, which is no ETag

    is $api->call(GET => $dev, undef, @$_)->{status}, 200, "$_->[0] of a read"
        for [ 'If-Match' => '"a"' ],
            [ 'If-Modified-Since' => 'Thu, 01 Jan 2099 00:00:00 GMT' ],
            [ 'If-Unmodified-Since' => 'Thu, 01 Jan 1970 00:00:00 GMT' ];
}


# Both headers: both must hold.

sub together {
    my $path = "$users/u1";
    my $etag = etag($path);

    $api->refused('the second does not hold', 412, 'stale', PUT => $path, {},
                  'If-Match' => "\"$etag\"", 'If-None-Match' => "\"$etag\"");
    $api->refused('the first does not hold', 412, 'stale', PUT => $path, {},
                  'If-Match' => '"a"', 'If-None-Match' => '"a"');
    $api->done('both hold', 200, PUT => $path, {},
               'If-Match' => "\"$etag\"", 'If-None-Match' => '"a"');
}


sub etag {
    my ($path) = @_;

    return $api->call(GET => $path)->{etag} // die "$path has no ETag\n";
}
