# Issue 3: what the calls of the API do that the guide does not come by.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

use constant WORKERS => 3;

my $api = Knock::Api->start(workers => WORKERS, listen => 'reuseport');
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my @clients = map { $api->nginx->new_client } 1 .. 24;
my $id = 0;

my $dev = '/sources/segment/environments/development';
my $users = '/environments/development/users';

my $action = {
    source => 'segment', event => 'track/T', type => 'workflows_trigger',
    workflow => 'w', recipients => 'properties.recipients',
};


sub begin {
    redis('FLUSHALL');
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });
}

sub track {
    my ($name, %properties) = @_;

    return { type => 'track', event => $name, messageId => 'm' . ++$id,
             properties => \%properties };
}

sub items { return $_[0]{items} }

sub endpoint {
    my ($environment) = @_;

    return $api->done("the endpoint of $environment", 200,
                      GET => "/sources/segment/environments/$environment");
}


subtest 'sources' => sub {
    begin();
    $api->done('another', 201, POST => '/sources',
               { key => 'b', name => "Zw\x{f6}lf \"\x{1F600}\"" });

    my $list = $api->done('both', 200, GET => '/sources');

    is_deeply [ map { $_->{key} } @{ $list->{items} } ], ['b', 'segment'],
              'in order of key';
    is $list->{cursor}, undef, 'that is all';
    is_deeply $api->pages('/sources', 1), $list->{items}, 'page by page';
    is $list->{items}[0]{name}, "Zw\x{f6}lf \"\x{1F600}\"", 'a name in UTF-8';
    is $list->{items}[1]{name}, 'segment', 'one without a name has its key';

    my $source = $api->done('a new name', 200, PATCH => '/sources/segment',
                            { name => 'New' });

    is $source->{name}, 'New', 'is answered';
    is $source->{kind}, 'segment', 'the rest stays';
    is $source->{created_at}, $list->{items}[1]{created_at}, 'its time too';
    is_deeply $api->done('it', 200, GET => '/sources/segment'), $source,
              'is kept';

    my $url = endpoint('development');

    is $api->outcome($url, track('T')), '200 0 accepted 1 ignored 0 runs',
       'an event';
    $api->done('deleted', 204, DELETE => '/sources/segment');
    is $api->last->{body}, '', 'without a body';
    is $api->outcome($url, track('T'), $_), 404, 'its URL is unknown then'
        for @clients;
    is $api->call(GET => $_)->{status}, 404, "$_ is not there"
        for '/sources/segment', $dev, "$dev/events", "$dev/logs";
    is_deeply [ grep { /segment/ } @{ redis('KEYS', '*') } ], [],
              'nothing of it is left in Redis';

    is $api->call(HEAD => '/sources/b')->{status}, 200, 'HEAD is as GET';
    is $api->done('a slash at the end', 200, GET => '/sources/b/')->{key}, 'b',
       'does not matter';
};


subtest 'environments' => sub {
    begin();
    is_deeply [ map { [ $_->{key}, $_->{name}, $_->{created_at} ] }
                @{ items($api->done('those there are', 200,
                                    GET => '/environments')) } ],
              [ [ 'development', 'Development', undef ],
                [ 'production', 'Production', undef ] ], 'the two';

    $api->done('one between', 201, POST => '/environments',
               { key => 'staging', after => 'development' });
    $api->done('one more', 201, POST => '/environments',
               { key => 'last', name => 'The last' });

    my $list = items($api->done('all', 200, GET => '/environments'));

    is_deeply [ map { $_->{key} } @$list ],
              [ 'development', 'staging', 'production', 'last' ], 'in order';
    is $list->[3]{name}, 'The last', 'a name';
    like $list->[1]{created_at}, qr/^20/, 'a time';

    my %token;

    for my $environment (map { $_->{key} } @$list) {
        my $endpoint = endpoint($environment);

        $token{ $endpoint->{token} }++;

        for my $client (@clients) {
            is $api->outcome($endpoint, track('T'), $client),
               '200 0 accepted 1 ignored 0 runs',
               'the source has an endpoint there, known to every worker';
        }
    }

    is scalar keys %token, 4, 'each has a token of its own';

    $api->done('a new source', 201, POST => '/sources', { key => 'two' });
    $api->done("has one in $_->{key}", 200,
               GET => "/sources/two/environments/$_->{key}") for @$list;

    # publishing goes over each in turn
    $api->done('a workflow', 201, PUT => '/workflows/w', {});
    $api->done('live', 200, POST => '/commits');

    is $api->call(POST => '/commits/publish', { to => 'production' })
        ->{json}{error}{code}, 'nothing_to_publish',
       'none is left out: the one before has nothing yet';

    for my $to ('staging', 'production', 'last') {
        is $api->call(GET => "/environments/$to/workflows/w")->{status}, 404,
           "$to has it not";
        $api->done("published to $to", 200, POST => '/commits/publish',
                   { to => $to });
        $api->done("$to has it", 200, GET => "/environments/$to/workflows/w");
    }
};


subtest 'endpoints' => sub {
    begin();

    my $secret = 'a secret that nobody may read';
    my $endpoint = $api->done('settings', 200, PATCH => $dev,
        { identify_enabled => $true, idempotency_enabled => $false,
          signing_secret => $secret });

    ok $endpoint->{identify_enabled}, 'one';
    ok !$endpoint->{idempotency_enabled}, 'another';
    ok $endpoint->{signing_secret_set}, 'there is a secret';
    ok $endpoint->{enabled}, 'the others are as they were';
    is_deeply endpoint('development'), $endpoint, 'and so they are kept';

    is $api->outcome($endpoint, track('T'), $_), 401, 'unsigned: refused'
        for @clients;

    my $etag = $api->call(GET => $dev)->{etag};

    $api->done('another secret', 200, PATCH => $dev,
               { signing_secret => 'another' });
    isnt $api->last->{etag}, $etag, 'changes the ETag';

    $endpoint = $api->done('none', 200, PATCH => $dev,
                           { signing_secret => undef });
    ok !$endpoint->{signing_secret_set}, 'there is no secret then';
    is $api->outcome($endpoint, track('T'), $_),
       '200 0 accepted 1 ignored 0 runs', 'unsigned: taken' for @clients;

    $endpoint = $api->done('off', 200, PATCH => $dev, { enabled => $false });
    is $api->outcome($endpoint, track('T'), $_), 403, 'refused' for @clients;
    $api->done('on', 200, PATCH => $dev, { enabled => $true });

    for (1 .. 5) {
        my $new = $api->done('another URL', 200, POST => "$dev/rotate");

        isnt $new->{token}, $endpoint->{token}, 'another token';

        for my $client (@clients) {
            is $api->outcome($endpoint, track('T'), $client), 404,
               'the old one is unknown to every worker';
        }

        is $api->outcome($new, track('T'), $_),
           '200 0 accepted 1 ignored 0 runs', 'the new one is known'
            for @clients;

        delete $_->{last_event_at} for $new, $endpoint;
        is_deeply { %$new, token => 1, url => 1 },
                  { %$endpoint, enabled => $true, token => 1, url => 1 },
                  'the settings stay';
        $endpoint = $new;
    }

    $etag = $api->call(GET => $dev)->{headers}{etag};
    $api->done('with its ETag', 200, POST => "$dev/rotate", '',
               'If-Match' => $etag);
    $api->refused('with the one before', 412, 'stale', POST => "$dev/rotate",
                  '', 'If-Match' => $etag);

    is scalar(grep { index($_->{answer}{raw} . $_->{answer}{body}, $secret)
                     >= 0 } @{ $api->{seen} }), 0,
       'no answer has ever held the secret';
};


subtest 'catalogue' => sub {
    begin();

    my $endpoint = endpoint('development');

    for my $n (1 .. 5) {
        $api->event($endpoint, track("E $n/\x{fc}", n => $n)) for 1 .. $n;
    }

    $api->event($endpoint, { type => 'page', name => 'P' });

    my $list = $api->done('all', 200, GET => "$dev/events");
    my $events = $list->{items};

    is scalar @$events, 6, 'each once';
    is_deeply [ map { $_->{last_seen_at} } @$events ],
              [ reverse sort map { $_->{last_seen_at} } @$events ],
              'the last seen first';
    is_deeply { map { $_->{event} => $_->{count} } @$events },
              { page => 1, map { ("track/E $_/\x{fc}" => $_) } 1 .. 5 },
              'counted';
    is $list->{evicted}, 0, 'none has been put out';

    is_deeply $api->pages("$dev/events", 2), $events, 'page by page';

    $api->done('one is deleted', 204, DELETE => "$dev/events/track/E%203/%C3%BC");
    $api->done('one without a slash', 204, DELETE => "$dev/events/page");
    is_deeply [ sort map { $_->{event} }
                @{ items($api->done('the rest', 200, GET => "$dev/events")) } ],
              [ map { "track/E $_/\x{fc}" } 1, 2, 4, 5 ], 'is there';
    is $api->call(DELETE => "$dev/events/page")->{status}, 404, 'once only';

    $api->event($endpoint, { type => 'page', name => 'P' });
    is items($api->done('seen again', 200, GET => "$dev/events"))->[0]{count},
       1, 'counts anew';
};


subtest 'logs' => sub {
    begin();

    my $endpoint = endpoint('development');

    $api->done('a user', 201, PUT => "$users/u1", {});
    $api->done('a workflow', 201, PUT => '/workflows/w', {});
    $api->done('an action', 201, PUT => '/actions/a',
               { %$action, tenant => 'properties.org' });
    $api->done('a commit', 200, POST => '/commits');

    # processed, failed, ignored, duplicate in turn
    for my $n (1 .. 10) {
        my $good = track('T', org => 'o', recipients => ['u1', "x$n", 1.5]);

        $api->event($endpoint, $good);
        $api->event($endpoint, track('T'));
        $api->event($endpoint, track('Other'));
        $api->event($endpoint, $good);
    }

    my $all = $api->pages("$dev/logs", 7);

    is_deeply [ map { $_->{status} } @$all ],
              [ ('duplicate', 'ignored', 'failed', 'processed') x 10 ],
              'newest first, over pages';
    is_deeply $api->pages("$dev/logs", 1000), $all, 'as on one page';

    my %ids = map { $_->{id} => 1 } @$all;

    is scalar keys %ids, 40, 'each with its id';

    for my $status (qw(processed ignored duplicate failed)) {
        is_deeply $api->pages("$dev/logs?status=$status", 3),
                  [ grep { $_->{status} eq $status } @$all ],
                  "those that are $status";
    }

    my ($processed) = grep { $_->{status} eq 'processed' } @$all;

    is_deeply $processed->{actions},
        [ { action => 'a', workflow => 'w', status => 'processed',
            error => undef, recipients => [ 'u1', 'x10' ], actor => undef,
            tenant => 'o', cancellation_key => undef, runs => 1,
            skipped => [ { recipient => 'x10',
                           reason => 'recipient_not_identified' },
                         { recipient => 1.5,
                           reason => 'invalid_id' } ] } ],
        'parameters, runs, and who is left out, why'
        or diag explain $processed;

    my ($failed) = grep { $_->{status} eq 'failed' } @$all;

    is $failed->{reason}, 'recipients_missing', 'why it has failed';
    is $failed->{actions}[0]{error}, 'recipients_missing', 'the action too';
    is $all->[1]{reason}, 'no_action', 'why it was ignored';

    for my $case ([ 'actions/a', 'action_inactive' ],
                  [ 'workflows/w', 'workflow_inactive' ])
    {
        my ($what, $reason) = @$case;

        $api->done("$what is off", 200,
            PATCH => "/environments/development/$what", { active => $false });
        $api->event($endpoint, track('T', recipients => ['u1']));
        is items($api->done('the log', 200, GET => "$dev/logs?limit=1"))
            ->[0]{reason}, $reason, 'says so';
        $api->done("$what is on", 200,
            PATCH => "/environments/development/$what", { active => $true });
    }
};


subtest 'users' => sub {
    begin();

    # the rules of an identify

    my $user = $api->done('a new one', 201, PUT => "$users/u1",
        '{"email":"a@example.com","big":12345678901234567890,"n":1.50,'
        . '"address":{"city":"Ulm","geo":{"lat":1}},"tags":["a","b"],'
        . '"empty":[],"object":{}}');

    like $api->last->{body}, qr/"big":12345678901234567890,/,
         'numbers are as they were written';
    like $api->last->{body}, qr/"n":1\.50,/, 'all of them';
    like $api->last->{body}, qr/"empty":\[\]/, 'an empty array stays one';
    like $api->last->{body}, qr/^\{"id":"u1",/, 'the id comes first';

    $user = $api->done('again', 200, PUT => "$users/u1",
        { address => { street => 'Rosengasse', geo => { lon => 2 } },
          tags => ['c'], email => undef, id => 'u1' });

    is_deeply $user->{address},
        { city => 'Ulm', street => 'Rosengasse',
          geo => { lat => 1, lon => 2 } }, 'objects merge deeply';
    is_deeply $user->{tags}, ['c'], 'an array replaces';
    is $user->{email}, undef, 'null overwrites';
    ok exists $user->{email}, 'and does not remove';
    is_deeply $api->done('it', 200, GET => "$users/u1"), $user, 'is kept';

    my $etag = $api->last->{headers}{etag};

    $api->done('with its ETag', 200, PUT => "$users/u1", { n => 2 },
               'If-Match' => $etag);
    $api->refused('with the one before', 412, 'stale', PUT => "$users/u1",
                  { n => 3 }, 'If-Match' => $etag);
    $api->refused('nor deleted', 412, 'stale', DELETE => "$users/u1", undef,
                  'If-Match' => $etag);
    $api->done('with any', 200, PUT => "$users/u1", { n => 4 },
               'If-Match' => '*');

    # ids as they come

    for my $case ([ 'a%2Fb', 'a/b' ], [ 'a%20b', 'a b' ], [ 'a+b', 'a+b' ],
                  [ '%C3%BC', "\x{fc}" ], [ 'bulk', 'bulk' ], [ '12', '12' ],
                  [ 'u' x 256, 'u' x 256 ], [ '%7B%7D', '{}' ],
                  [ '%22%5C', '"\\' ])
    {
        my ($path, $name) = @$case;

        is $api->done('a user', 201, PUT => "$users/$path", {})->{id}, $name,
           'with the id ' . substr $path, 0, 20;
        is $api->done('read', 200, GET => "$users/$path")->{id}, $name, 'so';
        $api->done('deleted', 204, DELETE => "$users/$path");
        is $api->call(GET => "$users/$path")->{status}, 404, 'is gone';
        is $api->call(DELETE => "$users/$path")->{status}, 404, 'once';
    }

    is redis('SCARD', 'knock:{development}:large') // 0, 0, 'leaves nothing';

    # at the same time: both take effect

    my $n = 0;

    for my $client (@clients) {
        $n++;

        my $body = qq({"at":{"f$n":$n}});

        $client->send("PUT /v1$users/both HTTP/1.1\r\nHost: localhost\r\n"
            . "Authorization: Bearer $Knock::Api::Key\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    }

    my %status;

    $status{ $_->answer->{status} }++ for @clients;

    is join(' ', grep { !/^20[01]$/ } keys %status), '', 'all are taken';
    is scalar keys %{ $api->done('the user', 200, GET => "$users/both")->{at} },
       scalar @clients, 'and none is lost';
};


subtest 'users by the hundred' => sub {
    begin();

    my $answer = $api->done('250 at once', 200, POST => "$users/bulk",
        { users => [ map { { id => "u$_", n => $_ } } 1 .. 250 ] });

    is_deeply $answer, { upserted => 250, errors => [] }, 'are there';

    for my $limit (1000, 100, 7) {
        my %seen;

        $seen{ $_->{id} }++ for @{ $api->pages($users, $limit) };
        is scalar keys %seen, 250, "by pages of $limit each is seen";
    }

    is scalar @{ items($api->done('without a limit', 200, GET => $users)) },
       100, 'a page has 100';
    is_deeply items($api->done('elsewhere', 200,
        GET => '/environments/production/users')), [], 'there are none';

    $answer = $api->done('more of them', 200, POST => "$users/bulk",
        { users => [ { id => 'u1', m => { a => 1 } }, { id => 7 },
                     { id => 'huge', map { ("f$_" => 'x' x 50_000) } 1 .. 6 },
                     { id => 'u1', m => { b => 2 } } ] });

    is $answer->{upserted}, 3, 'the good ones are taken';
    is scalar @{ $answer->{errors} }, 1, 'the other is listed';
    is $answer->{errors}[0]{index}, 2, 'by its place';
    is $answer->{errors}[0]{code}, 'user_too_large', 'and why';
    is_deeply $api->done('one given twice', 200, GET => "$users/u1")->{m},
              { a => 1, b => 2 }, 'has both';
    is $api->done('an id in digits', 200, GET => "$users/7")->{id}, '7',
       'is a string';
    is $api->call(GET => "$users/huge")->{status}, 404, 'nothing of it';
};


subtest 'workflows and actions' => sub {
    begin();

    $api->done('a workflow', 201, PUT => '/workflows/w',
        '{"name":"W","definition":{"n":1.0,"big":12345678901234567890,'
        . '"a":[],"z":{},"b":null}}');
    like $api->last->{body},
         qr/"definition":\{"n":1\.0,"big":12345678901234567890,"a":\[\],"z":\{\},"b":null\}/,
         'the definition is as it was written';
    $api->done('a workflow with the key', 201, PUT => '/workflows/v',
               { key => 'v' });
    $api->done('an action', 201, PUT => '/actions/a', $action);

    is_deeply [ map { "$_->{key} $_->{uncommitted}" }
                @{ items($api->done('drafts', 200, GET => '/workflows')) } ],
              [ 'v 1', 'w 1' ], 'in order of key';
    is_deeply [ map { $_->{key} } @{ $api->pages('/workflows', 1) } ],
              [ 'v', 'w' ], 'page by page';
    is scalar @{ items($api->done('actions', 200, GET => '/actions')) }, 1,
       'one';

    # a draft that was never live

    $api->done('deleted', 204, DELETE => '/workflows/v');
    is $api->call(GET => '/workflows/v')->{status}, 404, 'is gone';
    $api->done('the rest is committed', 200, POST => '/commits');

    my $live = $api->done('the workflow there', 200,
                          GET => '/environments/development/workflows/w');

    ok $live->{live} && $live->{active} && $live->{action_live},
       'live, active, with an action';
    is_deeply items($api->done('all there', 200,
        GET => '/environments/development/workflows')), [ $live ], 'the one';

    # what is as it is live is no draft

    my $etag = $api->call(GET => '/actions/a')->{headers}{etag};

    ok !$api->done('the same again', 200, PUT => '/actions/a', $action,
                   'If-Match' => $etag)->{uncommitted}, 'is no change';
    ok $api->done('another', 200, PUT => '/actions/a',
                  { %$action, actor => 'userId' })->{uncommitted}, 'is one';
    ok !$api->done('back', 200, PUT => '/actions/a', $action)->{uncommitted},
       'is none';
    is $api->call(POST => '/commits')->{json}{error}{code},
       'nothing_to_commit', 'so there is nothing to commit';

    # a deletion is a commit

    $api->done('deleted', 204, DELETE => '/actions/a', undef,
               'If-Match' => $etag);
    is $api->call(GET => '/actions/a')->{status}, 404, 'is no draft';
    is_deeply $api->done('drafts', 200, GET => '/actions')->{deletions}, ['a'],
              'but is to be taken out';
    $api->done('it is still live', 200,
               GET => '/environments/development/actions/a');

    my $commit = items($api->done('the commit', 200, POST => '/commits',
        { resource => { type => 'action', key => 'a' } }))->[0];

    is $commit->{after}, undef, 'takes it out';
    is $commit->{before}{key}, 'a', 'and keeps what was';
    is $api->call(GET => '/environments/development/actions/a')->{status}, 404,
       'is live no more';

    # as deep as may be: what can be saved can act

    my $deep = '"x"';
    $deep = "[$deep]" for 1 .. 64;
    $api->done('a literal that is deep', 201, PUT => '/actions/deep',
        qq({"source":"segment","event":"track/Deep","type":"workflows_trigger",)
        . qq("workflow":"w","recipients":{"literal":["u1"]},)
        . qq("tenant":{"literal":$deep}}));
    $api->done('a user', 201, PUT => "$users/u1", {});
    $api->done('committed', 200, POST => '/commits');
    is $api->outcome(endpoint('development'), track('Deep')),
       '200 1 accepted 0 ignored 1 runs', 'acts';
};


subtest 'commits' => sub {
    begin();

    for my $n (1 .. 4) {
        $api->done("workflow $n", 201, PUT => "/workflows/w$n", {});
        $api->done("commit $n", 200, POST => '/commits',
                   { message => "c$n", author => 'ada' });
        $api->done("publication $n", 200, POST => '/commits/publish',
                   { to => 'production', message => "p$n" });
    }

    my $all = items($api->done('all', 200, GET => '/commits'));

    is_deeply [ map { $_->{message} } @$all ],
              [ map { ("p$_", "c$_") } reverse 1 .. 4 ],
              'of both environments, newest first';
    is_deeply $api->pages('/commits', $_), $all, "by pages of $_" for 1 .. 5;

    for my $environment ('development', 'production') {
        my $own = [ grep { $_->{environment} eq $environment } @$all ];

        cmp_ok scalar @$own, '>', 1, "commits of $environment";
        is_deeply $api->pages("/commits?environment=$environment", $_), $own,
                  "alone, by pages of $_" for 1 .. 3, 1000;
    }

    is_deeply $api->pages('/commits?environment=', 1000), $all, 'of none: all';
    $api->refused('of one that there is not', 404, 'not_found',
                  GET => '/commits?environment=nowhere');
    $api->refused("of $_", 422, 'invalid_parameter', GET => $_)
        for '/commits?environment=No', '/sources?environment=development';
    is_deeply $api->done('one of them', 200, GET => "/commits/$_->{id}"), $_,
              'as in the list' for @$all;
    is $all->[0]{author}, undef, 'no author was given';
    is $all->[1]{author}, 'ada', 'one was';

    # made in the same moment, in different environments

    my $ids = redis('ZRANGE', 'knock:{development}:commit_ids', 0, -1,
                    'WITHSCORES');
    my @production = @{ redis('ZRANGE', 'knock:{production}:commit_ids', 0,
                              -1) };

    for my $i (0 .. $#production) {
        redis('ZADD', 'knock:{production}:commit_ids', $ids->[2 * $i + 1],
              $production[$i]);
    }

    my @expected = sort map { $_->{id} } @$all;

    is_deeply [ sort map { $_->{id} } @{ $api->pages('/commits', $_) } ],
              \@expected, "of one moment, by pages of $_" for 1 .. 5;

    # more at once than ids that the API hands on

    $api->done("workflow m$_", 201, PUT => "/workflows/m$_", {}) for 1 .. 70;

    my $made = items($api->done('many', 200, POST => '/commits'));
    my %ids = map { $_->{id} => 1 } @$made;

    is scalar keys %ids, 70, 'each has an id of its own';
    is $api->call(GET => "/commits/$_")->{status}, 200, 'that finds it'
        for $made->[0]{id}, $made->[69]{id};
    $made = items($api->done('all are published', 200,
                             POST => '/commits/publish',
                             { to => 'production' }));
    is scalar @$made, 70, 'each by a commit';
};


subtest 'revert' => sub {
    begin();

    my @commits;

    for my $n (1 .. 3) {
        $api->call(PUT => '/workflows/w', { name => "N$n" });
        push @commits, items($api->done("commit $n", 200,
                                        POST => '/commits'))->[0];
    }

    is $commits[1]{before}{name}, 'N1', 'before';
    is $commits[1]{after}{name}, 'N2', 'after';

    $api->refused('an older one', 409, 'changed_since',
                  POST => "/commits/$commits[1]{id}/revert", {});
    $api->refused('one that there is not', 404, 'not_found',
                  POST => '/commits/none/revert', {});

    $api->done('a draft', 200, PUT => '/workflows/w', { name => 'Draft' });

    my $commit = items($api->done('the last one', 200,
        POST => "/commits/$commits[2]{id}/revert",
        { message => 'Back', author => 'ada' }))->[0];

    is $commit->{message}, 'Back', 'its message';
    is $commit->{author}, 'ada', 'its author';
    is $commit->{after}{name}, 'N2', 'is as it was';
    is $api->done('live', 200, GET => '/environments/development/workflows/w')
        ->{name}, 'N2', 'so too';
    is $api->done('the draft', 200, GET => '/workflows/w')->{name}, 'Draft',
       'stays';
    $api->refused('again', 409, 'changed_since',
                  POST => "/commits/$commits[2]{id}/revert", {});

    # in another environment

    $api->done('published', 200, POST => '/commits/publish',
               { to => 'production' });

    my $there = items($api->done('commits', 200, GET => '/commits'))->[0];

    is $there->{environment}, 'production', 'one of production';
    is items($api->done('reverted', 200,
        POST => "/commits/$there->{id}/revert"))->[0]{environment},
       'production', 'is reverted there';
    is $api->call(GET => '/environments/production/workflows/w')->{status},
       404, 'and is gone there';
    $api->done('and only there', 200,
               GET => '/environments/development/workflows/w');
};


subtest 'publish' => sub {
    begin();
    $api->done('a workflow', 201, PUT => '/workflows/w', {});
    $api->done('an action', 201, PUT => '/actions/a', $action);
    $api->done('committed', 200, POST => '/commits');

    my $made = items($api->done('the workflow alone', 200,
        POST => '/commits/publish',
        { to => 'production', resource => { type => 'workflow', key => 'w' } }));

    is_deeply $made->[0]{action_live}, $false, 'says that no action has it';
    is_deeply $api->done('it', 200,
        GET => '/environments/production/workflows/w')->{action_live}, $false,
        'says it too';

    $made = items($api->done('the action', 200, POST => '/commits/publish',
        { to => 'production', resource => { type => 'action', key => 'a' } }));
    is_deeply $made->[0]{workflow_live}, $true, 'has its workflow';

    # what is taken out goes over too, and a change

    $api->done('a change', 200, PUT => '/workflows/w', { name => 'Two' });
    $api->done('a deletion', 204, DELETE => '/actions/a');
    $api->done('committed', 200, POST => '/commits');
    $made = items($api->done('published', 200, POST => '/commits/publish',
                             { to => 'production', author => 'ada' }));

    is_deeply [ map { [ $_->{resource}{type}, ($_->{after} // {})->{name},
                        $_->{author} ] } @$made ],
              [ [ 'workflow', 'Two', 'ada' ], [ 'action', undef, 'ada' ] ],
              'both';
    is $made->[1]{after}, undef, 'the action is taken out';
    is_deeply items($api->done('there', 200,
        GET => '/environments/production/actions')), [], 'is none';

    # a toggle is not published

    $api->done('off', 200, PATCH => '/environments/development/workflows/w',
               { active => $false });
    is $api->call(POST => '/commits/publish', { to => 'production' })
        ->{json}{error}{code}, 'nothing_to_publish', 'is no change';
    ok $api->done('there', 200, GET => '/environments/production/workflows/w')
        ->{active}, 'it is active';
    $api->refused('a toggle of what is not live', 404, 'not_live',
        PATCH => '/environments/production/actions/a', { active => $false });
};


subtest 'preview' => sub {
    begin();
    $api->done('a user', 201, PUT => "$users/u1", {});
    $api->done('a draft', 201, PUT => '/actions/a',
        { %$action, actor => 'userId', tenant => 'properties.org',
          cancellation_key => 'properties.c' });

    my $event = track('T', org => { id => 'o', name => 'O' }, c => 'k',
                      recipients => [ 'u1', 'u2', { id => 'u3' }, 1.5, 'u1',
                                      { collection => 'p', id => 'p1' } ]);
    my $digest = $api->digest;
    my $seen = $api->done('of what is saved', 200,
        POST => '/actions/a/preview',
        { event => { %$event, userId => 'u9' },
          environment => 'development' });

    is $seen->{event}, 'track/T', 'the event';
    ok $seen->{matches}, 'is one that it acts on';
    is $seen->{status}, 'processed', 'it would';
    is $seen->{runs}, 3, 'make runs';
    is_deeply $seen->{skipped},
        [ { recipient => 'u2', reason => 'recipient_not_identified' },
          { recipient => 1.5, reason => 'invalid_id' } ],
        'and leave these out' or diag explain $seen;
    is $seen->{actor}, 'u9', 'the actor';
    is_deeply $seen->{actor_identified}, $false, 'who is not identified';
    is $seen->{tenant}, 'o', 'the tenant';
    is $seen->{cancellation_key}, 'k', 'the key';
    is $api->digest, $digest, 'nothing is changed';

    $seen = $api->done('of what is not saved', 200,
        POST => '/actions/new/preview',
        { event => $event, environment => 'production',
          action => { %$action, recipients => { literal => 'u1' } } });

    is $seen->{action}, 'new', 'it has the key of the path';
    is $seen->{runs}, 0, 'u1 is unknown in production';

    $seen = $api->done('of another event', 200, POST => '/actions/a/preview',
        { event => track('Other', recipients => 'u1'),
          environment => 'development' });
    ok !$seen->{matches}, 'does not fit';
    like $seen->{message}, qr/track\/T/, 'says what would';

    $seen = $api->done('of one without recipients', 200,
        POST => '/actions/a/preview',
        { event => track('T'), environment => 'development' });
    is $seen->{error}, 'recipients_missing', 'would fail';
    is $api->digest, $digest, 'nothing is changed';

    # an identify makes its user known, where that is on

    $api->done('identify is on', 200, PATCH => $dev,
               { identify_enabled => $true });

    for my $client (@clients) {
        my $answer = $api->call(POST => '/actions/new/preview',
            { event => { type => 'identify', userId => 'new' },
              environment => 'development',
              action => { %$action, event => 'identify',
                          recipients => 'userId' } },
            client => $client);

        is $answer->{json}{runs}, 1, 'the user would be there'
            or diag $answer->{body};
    }
};


subtest 'test runner' => sub {
    begin();
    $api->done('a user', 201, PUT => "$users/u1", {});
    $api->done('a workflow', 201, PUT => '/workflows/w', {});

    my $path = '/environments/development/workflows/w/test';

    $api->refused('a draft', 404, 'not_live', POST => $path,
                  { recipients => ['u1'] });
    $api->done('live', 200, POST => '/commits');

    my $made = $api->done('a test', 200, POST => $path,
        '{"recipients":["u1","u2","u1",7],"actor":"u9","tenant":"t",'
        . '"data":{"n":1.50,"a":[]}}');

    is $made->{runs}, 1, 'a run for who is there';
    is_deeply $made->{skipped},
        [ map { { recipient => $_, reason => 'recipient_not_identified' } }
          'u2', '7' ], 'who is not is left out';

    my $runs = $api->done('the runs', 200,
                          GET => '/environments/development/runs');
    my $run = $runs->{items}[0];

    is $runs->{length}, 1, 'one';
    is_deeply $run->{test}, $true, 'is a test';
    is $run->{workflow}, 'w', 'of the workflow';
    is_deeply $run->{recipient}, { collection => '$users', id => 'u1' },
              'for the user';
    is_deeply $run->{actor}, { collection => '$users', id => 'u9' },
              'by the actor';
    is $run->{tenant}, 't', 'of the tenant';
    is $run->{$_}, undef, "no $_" for qw(source event action message_id);
    like $api->last->{body}, qr/"data":\{"n":1\.50,"a":\[\]\}/,
         'with the data as it was written';

    like $api->refused('inline', 422, 'invalid_body', POST => $path,
            { recipients => [ { id => 'u5', name => 'Five' } ] })->{body},
         qr/inline/, 'says that it does not identify';
    is $api->call(GET => "$users/u5")->{status}, 404, 'and did not';
    is $api->call(GET => "$users/u2")->{status}, 404, 'nor by id';
};


subtest 'runs' => sub {
    begin();
    $api->done('users', 200, POST => "$users/bulk",
               { users => [ map { { id => "u$_" } } 1 .. 25 ] });
    $api->done('a workflow', 201, PUT => '/workflows/w', {});
    $api->done('live', 200, POST => '/commits');
    is_deeply $api->done('none yet', 200,
        GET => '/environments/development/runs'),
        { length => 0, oldest_at => undef, items => [], cursor => undef },
        'nothing';

    $api->done("run $_", 200,
        POST => '/environments/development/workflows/w/test',
        { recipients => ["u$_"] }) for 1 .. 25;

    my $page = $api->done('a page', 200,
        GET => '/environments/development/runs?limit=10');

    is $page->{length}, 25, 'of 25';
    is scalar @{ $page->{items} }, 10, 'has 10';
    is $page->{items}[0]{recipient}{id}, 'u25', 'the newest first';

    my $all = $api->pages('/environments/development/runs', 10);

    is_deeply [ map { $_->{recipient}{id} } @$all ],
              [ map { "u$_" } reverse 1 .. 25 ], 'page by page';
    is $page->{oldest_at}, $all->[24]{enqueued_at}, 'the age of the oldest';
};


subtest 'keys are read again' => sub {
    begin();
    $api->write_keys('the new key', 'another new key');
    $api->nginx->reload;

    is $api->call(GET => '/sources')->{status}, 401, 'the old one is refused';
    is $api->call(GET => '/sources', undef, Authorization => "Bearer $_")
        ->{status}, 200, "$_ is taken" for 'the new key', 'another new key';
    is $api->call(GET => '/sources', undef,
                  Authorization => 'bearer the new key')->{status}, 200,
       'the scheme in any case';
};


$api->end;
done_testing();
