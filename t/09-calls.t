# Issue 3: every call of the API with what it must refuse: the stated status and
# error code, and nothing is changed in Redis.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my $api = Knock::Api->start(workers => 2, server => <<'_EOC_');
location /closed/v1/ {
    knock_api;
}
_EOC_

my ($true, $null) = (JSON::PP::true, undef);

my $action = {
    source => 'segment', event => 'track/T', type => 'workflows_trigger',
    workflow => 'w', recipients => 'properties.recipients',
};

my $commit = prepare();

# what the letters of a pattern stand for

my %part = (S => 'segment', E => 'development', W => 'w', A => 'a', U => 'u1',
            C => $commit, K => 'track/T');

# a body for each call that takes one, good as it is

my %body = (
    'POST environments'                     => { key => 'staging' },
    'POST sources'                          => { key => 'other' },
    'PATCH sources/S'                       => { name => 'Renamed' },
    'PATCH sources/S/environments/E'        => { identify_enabled => $true },
    'PUT workflows/W'                       => { name => 'Another' },
    'PUT actions/A'                         => { %$action, tenant => 'userId' },
    'POST actions/A/preview'                =>
        { event => { type => 'track', event => 'T' },
          environment => 'development' },
    'PATCH environments/E/workflows/W'      => { active => $true },
    'POST environments/E/workflows/W/test'  => { recipients => ['u1'] },
    'PATCH environments/E/actions/A'        => { active => $true },
    'POST commits'                          => { message => 'm' },
    'POST commits/publish'                  => { to => 'production' },
    'POST commits/C/revert'                 => { message => 'm' },
    'POST environments/E/users/bulk'        => { users => [ { id => 'u1' } ] },
    'PUT environments/E/users/U'            => { email => 'a@example.com' },
);

my @routes = Knock::Api::routes();


# Something of everything: what is committed, what is not, users, events.

sub prepare {
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });
    $api->done('a user', 201, PUT => '/environments/development/users/u1',
               { name => 'One' });
    $api->done('a workflow', 201, PUT => '/workflows/w', { name => 'W' });
    $api->done('an action', 201, PUT => '/actions/a', $action);

    my $made = $api->done('a commit', 200, POST => '/commits', {});

    $api->done('published', 200, POST => '/commits/publish',
               { to => 'production' });
    $api->done('a draft', 201, PUT => '/workflows/draft', { name => 'D' });

    my $endpoint = $api->done('an endpoint', 200,
        GET => '/sources/segment/environments/development');

    is $api->outcome($endpoint, '{"type":"track","event":"T","properties":'
                                . '{"recipients":["u1","u2"]}}'),
       '200 1 accepted 0 ignored 1 runs', 'an event';

    return $made->{items}[0]{id};
}


# a pattern's path, with parts replaced

sub path {
    my ($pattern, %other) = @_;

    my %is = (%part, %other);

    return '/' . join '/', map { /^[A-Z]$/ ? $is{$_} : $_ }
                           split m{/}, $pattern;
}


is scalar(grep { $_->[0] ne 'GET' && $_->[0] ne 'DELETE'
                 && !$body{"@$_"} && $_->[1] !~ /rotate/ } @routes), 0,
   'there is a body here for every call that takes one';
cmp_ok scalar @routes, '>=', 40, 'the table of calls is read';


subtest 'keys' => sub {
    my %refused = (
        'no key'               => [ Authorization => undef ],
        'a wrong key'          => [ Authorization => 'Bearer wrong' ],
        'a longer key'         => [ Authorization => "Bearer $Knock::Api::Key " . 'x' ],
        'an empty key'         => [ Authorization => 'Bearer ' ],
        'another scheme'       => [ Authorization => "Basic $Knock::Api::Key" ],
        'no scheme'            => [ Authorization => $Knock::Api::Key ],
    );

    for my $route (@routes) {
        my ($method, $pattern) = @$route;
        my @call = ($method, path($pattern), $body{"@$route"});

        for my $how ('no key', 'a wrong key') {
            my $answer = $api->refused("@$route: $how", 401, 'unauthorized',
                                       @call, @{ $refused{$how} });

            is $answer->{headers}{'www-authenticate'}, 'Bearer',
               'and how to authenticate';
        }

        $api->refused("@$route: no keys are set up", 403, 'forbidden', @call,
                      base => '/closed/v1');
    }

    $api->refused($_, 401, 'unauthorized', GET => '/sources', undef,
                  @{ $refused{$_} }) for sort keys %refused;
    $api->refused('a path that there is not: no key', 401, 'unauthorized',
                  GET => '/nothing', undef, Authorization => undef);
};


subtest 'methods' => sub {
    my %methods;

    for my $route (@routes) {
        $methods{ $route->[1] }{ $route->[0] } = 1;
    }

    # users/bulk is a user's path too
    $methods{'environments/E/users/bulk'}{$_} = 1 for qw(GET PUT DELETE);
    $methods{'commits/publish'}{GET} = 1;

    for my $pattern (sort keys %methods) {
        my $known = $methods{$pattern};
        my $allow = join ', ', grep { $known->{$_} }
                    qw(GET POST PUT PATCH DELETE);

        for my $method (qw(GET POST PUT PATCH DELETE OPTIONS)) {
            next if $known->{$method};

            my $answer = $api->refused("$method $pattern", 405,
                'method_not_allowed', $method => path($pattern), undef);

            is $answer->{headers}{allow}, $allow, "it takes $allow";
        }
    }
};


subtest 'paths' => sub {
    my $long = 'k' x 65;
    my %wrong = (
        S => [ $long, 'a%20b', 'a.b', '%FF' ],
        W => [ $long, 'a%20b', 'a.b', '%01' ],
        A => [ $long, 'a%20b', 'a.b', '%C3%BC' ],
        C => [ $long, 'a%20b', 'a.b' ],
        E => [ $long, 'Development', 'a%20b' ],
        U => [ 'u' x 257, '%01', '%0A', '%FF' ],
        K => [ 'track/' . 'e' x 513, 'nothing', 'track/', 'track/%FF' ],
    );
    my %unknown = (
        S => 'nobody', W => 'nothing', A => 'nothing', C => 'none',
        E => 'nowhere', U => 'nobody', K => 'track/Nothing',
    );

    # what is answered where something unknown is no 404 not_found: a PUT
    # makes it
    my %else = (
        'PUT workflows/W W'                       => undef,
        'PUT actions/A A'                         => undef,
        'PUT environments/E/users/U U'            => undef,
        'PATCH environments/E/workflows/W W'      => 'not_live',
        'PATCH environments/E/actions/A A'        => 'not_live',
        'POST environments/E/workflows/W/test W'  => 'not_live',
    );

    for my $route (@routes) {
        my ($method, $pattern) = @$route;

        for my $letter (grep { /^[A-Z]$/ } split m{/}, $pattern) {
            for my $value (@{ $wrong{$letter} }) {
                $api->refused("@$route: $letter is " . substr($value, 0, 20),
                    422, 'invalid_parameter', $method,
                    path($pattern, $letter => $value), $body{"@$route"});
            }

            my $code = exists $else{"@$route $letter"}
                       ? $else{"@$route $letter"} : 'not_found';

            $api->refused("@$route: $letter is unknown", 404, $code,
                $method, path($pattern, $letter => $unknown{$letter}),
                $body{"@$route"}) if $code;
        }
    }

    $api->refused("GET $_", 404, 'not_found', GET => $_)
        for '/', '/nothing', '/sources/segment/nothing',
            '/environments/development/nothing', '/Sources',
            '/sources/segment/environments', '/commits/a/b/c';
};


subtest 'queries' => sub {
    my @lists = grep { $_->[0] eq 'GET'
                       && $_->[1] =~ /(?:^|\/)(?:environments|sources|events|
                                       logs|workflows|actions|commits|users|
                                       runs)$/x } @routes;

    is scalar @lists, 11, 'the lists';

    for my $list (@lists) {
        my $path = path($list->[1]);

        for my $query ('limit=0', 'limit=1001', 'limit=x', 'limit=-1',
                       'limit=', 'limit=1.5', 'limit=99999999999999999999',
                       'status=done', 'page=1', 'limit=1&page=1',
                       'cursor=' . 'c' x 2049, 'cursor=%00', 'cursor=%FF',
                       'cursor=%2')
        {
            $api->refused("$list->[1]?" . substr($query, 0, 20), 422,
                'invalid_parameter', GET => "$path?$query");
        }
    }

    # cursors that these lists never gave; others are keys, any may be one
    for my $list (grep { $_->[1] =~ /events$|logs$|^commits$|runs$/ } @lists) {
        $api->refused("$list->[1]: $_", 422, 'invalid_cursor',
            GET => path($list->[1]) . "?cursor=$_")
            for 'abc', '-1', '1.2.3', '1.', '.1', 'a.1', '1-2-3';
    }

    $api->refused("users: $_", 422, 'invalid_parameter',
        GET => "/environments/development/users?cursor=$_")
        for 'abc', '5', '.5', '5.', 'a.5', '5.a', '-5.1', '9' x 30 . '.1';
};


subtest 'bodies' => sub {
    my $large = '{"name":"' . 'x' x (1024 * 1024) . '"}';

    for my $route (@routes) {
        my ($method, $pattern) = @$route;
        my $path = path($pattern);
        my $what = "@$route";

        for my $wrong ('{', '{"a":1,}', "{'a':1}", "{\"a\":\"\xff\"}",
                       '{"a":01}', '{} {}', '[' x 100)
        {
            $api->refused("$what: " . substr($wrong, 0, 10), 400,
                          'invalid_json', $method, $path, $wrong);
        }

        for my $wrong ('[]', '1', '"text"', 'null', 'true') {
            my $code = $what eq 'PUT actions/A' ? qr/invalid_(?:body|action)/
                                                : qr/invalid_body/;
            $api->refused("$what: $wrong", 422, 'invalid_body', $method,
                          $path, $wrong);
        }

        # a user has whatever properties it is given
        my $code = $what eq 'PUT actions/A' ? 'invalid_action'
                                            : 'invalid_body';

        my $answer;

        $answer = $api->refused("$what: an unknown field", 422, $code,
            $method, $path, { %{ $body{$what} // {} }, nonsense => 1 })
            unless $what eq 'PUT environments/E/users/U';

        like $answer->{body}, qr/nonsense/, 'is named' if $answer;

        $api->refused("$what: over 1 MB", 413, 'body_too_large', $method,
                      $path, $large);
        $api->refused("$what: over 1 MB in chunks", 413, 'body_too_large',
            $method, $path, sprintf("%x\r\n%s\r\n0\r\n\r\n", length $large,
                                    $large),
            'Transfer-Encoding' => 'chunked');
        $api->refused("$what: not JSON", 415, 'unsupported_media_type',
            $method, $path, '{}', 'Content-Type' => 'text/plain');
        $api->refused("$what: compressed", 415, 'unsupported_encoding',
            $method, $path, '{}', 'Content-Encoding' => 'gzip');
    }

    $api->refused("$_: no body", 400, 'invalid_json', PUT => $_)
        for '/workflows/w', '/actions/a', '/environments/development/users/u1';
};


subtest 'fields' => sub {
    my $long = 'x' x 257;
    my @not_string = (1, $true, [], {});
    my @not_key = (1, $true, [], '', 'a b', 'k' x 65, "\x{fc}");
    my @not_object = (1, $true, 'text', [], '');
    my @not_boolean = (0, 1, 'true', [], {});
    my @not_id = ($true, 1.5, [], '', 'x' x 257, "a\nb");
    my @resource = (1, 'text', [], {}, { type => 'workflow' },
                    { key => 'w' }, { type => 'source', key => 'w' },
                    { type => 1, key => 'w' }, { type => 'workflow', key => 1 },
                    { type => 'workflow', key => 'a b' },
                    { type => 'workflow', key => 'w', more => 1 });
    my @parameter = (1, $true, 'properties..a', '.a', 'a.', 'a[', 'a[x]', '',
                     {}, { literal => 1, more => 1 }, { path => 'a' });

    # field => values that it must not have; '-' the field must be there
    my %wrong = (
        'POST environments' => {
            key => [ '-', @not_key, 'Upper' ], name => [ @not_string, $long ],
            after => [ @not_key, 'Upper', 'nowhere' ],
        },
        'POST sources' => {
            key => [ '-', @not_key ], name => [ @not_string, $long ],
            kind => [ 1, '', 'other' ],
        },
        'PATCH sources/S' => { name => [ '-', @not_string, $long ] },
        'PATCH sources/S/environments/E' => {
            enabled => \@not_boolean, identify_enabled => \@not_boolean,
            idempotency_enabled => \@not_boolean,
            signing_secret => [ @not_string, '', $long ],
            token => [ 'a' ], url => [ 'a' ],
        },
        'PUT workflows/W' => {
            key => [ @not_key, 'another' ], name => [ @not_string, $long ],
            definition => \@not_object,
        },
        'PUT actions/A' => {
            source => [ '-', @not_key ], workflow => [ '-', @not_key ],
            event => [ '-', 1, '', 'track', 'track/', 'nothing',
                       'track/' . 'e' x 513 ],
            type => [ '-', 1, '', 'other' ],
            recipients => [ '-', @parameter, [], [ 'a', 1 ], [ [ 'a' ] ] ],
            actor => [ @parameter, [ 'a' ], 'a[*]' ],
            tenant => [ @parameter, [ 'a' ], 'a[*].b' ],
            cancellation_key => [ @parameter, [ 'a' ], 'a[*]' ],
        },
        'POST actions/A/preview' => {
            event => [ '-', @not_object, {}, { type => 'track' },
                       { type => 'other' } ],
            environment => [ '-', @not_key, 'Upper' ],
            action => [ @not_object ],
        },
        'PATCH environments/E/workflows/W' => {
            active => [ '-', @not_boolean ], live => [ $true ] },
        'PATCH environments/E/actions/A' => {
            active => [ '-', @not_boolean ], workflow_live => [ $true ] },
        'POST environments/E/workflows/W/test' => {
            recipients => [ '-', 1, 'u1', {}, [], [ { id => 'u1' } ],
                            [ 'u1', $true ], [ '' ], [ 'x' x 257 ],
                            [ ('u1') x 1001 ] ],
            actor => [ @not_id, { id => 'u1' } ],
            tenant => [ @not_id, { id => 't1' } ],
            data => \@not_object,
        },
        'POST commits' => {
            message => [ @not_string, 'x' x 1001 ],
            author => [ @not_string, $long ], resource => \@resource,
        },
        'POST commits/publish' => {
            to => [ '-', @not_key, 'nowhere', 'development' ],
            message => [ @not_string, 'x' x 1001 ],
            author => [ @not_string, $long ], resource => \@resource,
        },
        'POST commits/C/revert' => {
            message => [ @not_string, 'x' x 1001 ],
            author => [ @not_string, $long ],
            resource => [ { type => 'workflow', key => 'w' } ],
        },
        'POST environments/E/users/bulk' => {
            users => [ '-', 1, 'u1', {}, [], [ 1 ], [ {} ], [ [] ],
                       [ { id => 'u1' }, { name => 'none' } ],
                       [ map { { id => $_ } } @not_id ],
                       [ { id => 'u1', collection => 'c' } ],
                       [ map { { id => "u$_" } } 1 .. 1001 ] ],
        },
        'PUT environments/E/users/U' => {
            id => [ 1, 'another', $true, [], {} ], collection => [ 'c' ],
        },
    );

    is join("\n", sort keys %wrong), join("\n", sort keys %body),
       'each call that takes fields';

    for my $route (sort keys %wrong) {
        my ($method, $pattern) = split ' ', $route;
        my $path = path($pattern);

        for my $field (sort keys %{ $wrong{$route} }) {
            for my $value (@{ $wrong{$route}{$field} }) {
                my %given = (%{ $body{$route} }, $field => $value);
                my $absent = defined $value && !ref $value && $value eq '-';

                delete $given{$field} if $absent;

                my $code = $route eq 'PUT actions/A' ? 'invalid_action'
                                                     : 'invalid_body';
                my $shown = $absent ? 'absent'
                    : substr JSON::PP->new->allow_nonref->encode($value), 0, 30;

                $api->refused("$route: $field: $shown", 422, $code, $method,
                              $path, \%given);
            }
        }
    }

    $api->refused('a setting, but none', 422, 'invalid_body',
        PATCH => '/sources/segment/environments/development', {});
    $api->refused('an unsaved action that is wrong', 422, 'invalid_action',
        POST => '/actions/a/preview',
        { %{ $body{'POST actions/A/preview'} },
          action => { %$action, recipients => 'a..b' } });
    $api->refused('a preview of no environment', 404, 'not_found',
        POST => '/actions/a/preview',
        { %{ $body{'POST actions/A/preview'} }, environment => 'nowhere' });
    $api->refused('an action of no source', 422, 'unknown_source',
        PUT => '/actions/a', { %$action, source => 'nobody' });
    $api->refused('an action with another key', 422, 'invalid_body',
        PUT => '/actions/a', { %$action, key => 'b' });
    $api->refused('a user who is too large', 422, 'invalid_user',
        PUT => '/environments/development/users/u1',
        { map { ("f$_" => 'x' x 50_000) } 1 .. 6 });
    $api->refused('a workflow that is too large', 422, 'invalid_body',
        PUT => '/workflows/w', { definition => { a => 'x' x (256 * 1024) } });
    $api->refused('an action that is too large', 422, 'invalid_body',
        PUT => '/actions/a',
        { %$action, tenant => { literal => 'x' x (256 * 1024) } });

    like $api->refused('a path with a mistake', 422, 'invalid_action',
            PUT => '/actions/a', { %$action, recipients => 'properties..a' })
         ->{body}, qr/recipients.*column 12/, 'tells its column';
};


subtest 'conflicts' => sub {
    $api->refused('a source that there is', 409, 'exists',
        POST => '/sources', { key => 'segment' });
    $api->refused('an environment that there is', 409, 'exists',
        POST => '/environments', { key => 'production' });
    $api->refused('a commit of what has not changed', 409, 'nothing_to_commit',
        POST => '/commits', { resource => { type => 'workflow', key => 'w' } });
    $api->refused('a commit of what there is not', 409, 'nothing_to_commit',
        POST => '/commits', { resource => { type => 'action', key => 'no' } });
    $api->refused('a publication of nothing', 409, 'nothing_to_publish',
        POST => '/commits/publish', { to => 'production' });
    $api->refused('one of nothing', 409, 'nothing_to_publish',
        POST => '/commits/publish',
        { to => 'production', resource => { type => 'action', key => 'no' } });
};


subtest 'If-Match' => sub {
    for my $route (grep { $_->[0] ne 'GET' } @routes) {
        my ($method, $pattern) = @$route;

        next if $pattern =~ /preview$/;

        for my $etag ('"0123456789012345678901234567890123456789"', '"stale"',
                      'W/"stale"', '""')
        {
            $api->refused("@$route: $etag", 412, 'stale', $method,
                          path($pattern), $body{"@$route"},
                          'If-Match' => $etag);
        }
    }

    $api->refused("$_: * of what there is not", 412, 'stale', PUT => $_,
                  $_ =~ /action/ ? $action : {}, 'If-Match' => '*')
        for '/workflows/new', '/actions/new',
            '/environments/development/users/new';

    # what was right before another change came between
    for my $case ([ '/workflows/draft', PUT => { name => 'E' } ],
                  [ '/actions/a', PUT => { %$action, actor => 'userId' } ],
                  [ '/environments/development/users/u1', PUT => { n => 1 } ],
                  [ '/sources/segment', PATCH => { name => 'N' } ],
                  [ '/sources/segment/environments/development',
                    PATCH => { identify_enabled => $true } ])
    {
        my ($path, $method, $body) = @$case;

        $api->done("$path is read", 200, GET => $path);

        my $etag = $api->last->{headers}{etag};

        like $etag, qr/^"[0-9a-f]{40}"$/, 'it has an ETag';
        $api->done('it is changed under it', 200, $method => $path, $body,
                   'If-Match' => $etag);

        my $new = $api->last->{headers}{etag};

        isnt $new, $etag, 'it has another one';
        is $api->call(GET => $path)->{headers}{etag}, $new, 'read so too';

        $api->refused('the old one', 412, 'stale', $method => $path, $body,
                      'If-Match' => $etag);
        $api->refused('the old one for a deletion', 412, 'stale',
                      DELETE => $path, undef, 'If-Match' => $etag)
            unless $path =~ /environments\/\w+$/;
    }
};


$api->end;
done_testing();
