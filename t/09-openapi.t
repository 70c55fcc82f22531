# docs/openapi.yaml: it is valid, has the module's calls and no others, and real
# answers of every call, good and bad, are as it says.

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my %names = (S => 'source', E => 'environment', W => 'workflow', A => 'action',
             C => 'commit', U => 'user', K => 'event');

my ($python) = grep { !system "$_ -c 'import jsonschema, yaml' 2>/dev/null" }
               'python3', '/usr/bin/python3';

plan skip_all => 'no python3 with jsonschema and yaml' unless $python;

my $api = Knock::Api->start;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my $dev = '/sources/segment/environments/development';
my $live = '/environments/development';

my $action = {
    source => 'segment', event => 'track/T', type => 'workflows_trigger',
    workflow => 'w', recipients => 'properties.recipients',
    actor => 'userId', tenant => { literal => 't' },
    cancellation_key => 'properties.key',
};


walk();
refusals();
check();

$api->end;
done_testing();


# Every call with each success that it has.

sub walk {
    my $call = sub { return $api->call(@_)->{json} };

    $call->(GET => '/environments');
    $call->(POST => '/environments', { key => 'staging', name => 'Staging',
                                       after => 'development' });
    $call->(POST => '/environments', { key => 'last' });
    $call->(GET => '/environments');

    $call->(POST => '/sources', { key => 'segment', kind => 'segment',
                                  name => 'Segment' });
    $call->(POST => '/sources', { key => 'other' });
    $call->(GET => '/sources?limit=1');
    $call->(GET => '/sources/other');
    $call->(PATCH => '/sources/other', { name => 'Other' });
    $call->(DELETE => '/sources/other');

    my $endpoint = $call->(GET => $dev);

    $call->(PATCH => $dev, { enabled => $true, identify_enabled => $true,
                             idempotency_enabled => $true,
                             signing_secret => 'secret' });
    $call->(PATCH => $dev, { signing_secret => undef });

    $call->(PUT => "$live/users/u1", { name => 'One', any => [1, { a => 1 }] });
    $call->(PUT => "$live/users/u1", { id => 'u1', email => undef });
    $call->(PUT => "$live/users/u2", {});
    $call->(GET => "$live/users/u1");
    $call->(GET => "$live/users?limit=1");
    $call->(POST => "$live/users/bulk",
            { users => [ { id => 'u3', n => 1 }, { id => 4 },
                         { id => 'u5', map { ("f$_" => 'x' x 50_000) }
                                           1 .. 6 } ] });
    $call->(DELETE => "$live/users/u2");

    $call->(PUT => '/workflows/w', { key => 'w', name => 'W',
                                     definition => { steps => [] } });
    $call->(PUT => '/workflows/w', {});
    $call->(PUT => '/workflows/v', { name => 'V' });
    $call->(PUT => '/actions/a', $action);
    $call->(PUT => '/actions/a', { %$action, key => 'a' });
    $call->(PUT => '/actions/b', { %$action, recipients =>
        ['properties.recipients', { literal => { id => 'u9', n => 1 } }] });
    $call->(GET => $_) for '/workflows', '/workflows/w', '/actions',
                           '/actions/b', '/workflows?limit=1';

    $call->(POST => '/commits', { message => 'm', author => 'ada',
        resource => { type => 'workflow', key => 'w' } });
    $call->(POST => '/commits', {});
    $call->(POST => '/commits/publish', { to => 'staging', message => 'm',
        author => 'ada', resource => { type => 'action', key => 'a' } });
    $call->(POST => '/commits/publish', { to => 'staging' });

    for my $event (
        { type => 'track', event => 'T', userId => 'u7', messageId => '1',
          properties => { recipients => ['u1', 'nobody', 1.5,
                                         { collection => 'p', id => 'p' }],
                          key => 'k' } },
        { type => 'track', event => 'T', messageId => '2', properties => {} },
        { type => 'track', event => 'Other', messageId => '3' },
        { type => 'track', event => 'Other', messageId => '3' },
        { type => 'identify', userId => 'u8', messageId => '4' },
        { type => 'track', event => 'Large', messageId => '5',
          properties => { x => 'x' x 70_000 } })
    {
        is $api->event($endpoint, $event)->{status}, 200, 'an event';
    }

    $call->(GET => $dev);
    $call->(GET => "$dev/events");
    $call->(GET => "$dev/events?limit=1");
    $call->(GET => "$dev/logs");
    $call->(GET => "$dev/logs?limit=1&status=failed");
    $call->(DELETE => "$dev/events/track/Other");

    $call->(GET => "$live/$_") for qw(workflows workflows/w actions actions/a);
    $call->(GET => "$live/actions?limit=1");
    $call->(PATCH => "$live/workflows/w", { active => $false });
    $call->(GET => "$live/actions/a");
    $call->(PATCH => "$live/workflows/w", { active => $true });
    $call->(PATCH => "$live/actions/a", { active => $true });

    $call->(POST => "$live/workflows/w/test", { recipients => ['u1', 'x', 7] });
    $call->(POST => "$live/workflows/w/test",
            { recipients => ['u1'], actor => 'u2', tenant => 't',
              data => { a => [] } });
    $call->(GET => "$live/runs");
    $call->(GET => "$live/runs?limit=1");

    my $event = { type => 'track', event => 'T', userId => 'u7',
                  properties => { recipients => ['u1', { id => 'new' }, 'x',
                                                 [] ] } };

    $call->(POST => '/actions/a/preview',
            { event => $event, environment => 'development' });
    $call->(POST => '/actions/c/preview',
            { event => { %$event, event => 'Other' },
              environment => 'staging', action => $action });
    $call->(POST => '/actions/a/preview',
            { event => { type => 'track', event => 'T' },
              environment => 'development' });

    $call->(GET => $_, undef, 'If-None-Match' => '*')
        for $dev, '/sources/segment', '/workflows/w', '/actions/a',
            "$live/users/u1";

    $call->(DELETE => '/actions/b');
    $call->(GET => '/actions');
    $call->(DELETE => '/workflows/v');
    $call->(POST => '/commits');

    my $commits = $call->(GET => '/commits');

    $call->(GET => '/commits?limit=1');
    $call->(GET => '/commits?environment=staging');
    $call->(GET => "/commits/$_->{id}") for @{ $commits->{items} };
    $call->(POST => "/commits/$commits->{items}[0]{id}/revert",
            { message => 'Back', author => 'ada' });
    $call->(POST => "/commits/$commits->{items}[1]{id}/revert");
    $call->(POST => "/commits/$commits->{items}[1]{id}/revert");
    $call->(POST => "$dev/rotate");
    $call->(POST => "$dev/rotate", { grace_seconds => 60 });
    $call->(PATCH => $dev, { signing_secret => 'a' });
    $call->(PATCH => $dev, { signing_secret => 'b', grace_seconds => 60 });
    $call->(PATCH => $dev, { previous_signing_secret => undef });
    $call->(PATCH => $dev, { signing_secret => undef });
}


# Every call refused in each way that is documented for it.

sub refusals {
    my ($commit) = map { $_->{id} }
                   @{ $api->call(GET => '/commits')->{json}{items} };

    my %known = (S => 'segment', E => 'development', W => 'w', A => 'a',
                 C => $commit, U => 'u1', K => 'track/T');
    my %body = (
        'POST actions/A/preview' => { environment => 'development',
            event => { type => 'page' } },
        'POST environments/E/workflows/W/test' => { recipients => ['u1'] },
        'POST environments/E/users/bulk' => { users => [ { id => 'u1' } ] },
        'PUT actions/A' => $action,
        'PATCH sources/S' => { name => 'N' },
        'PATCH sources/S/environments/E' => { enabled => $true },
        'PATCH environments/E/workflows/W' => { active => $true },
        'PATCH environments/E/actions/A' => { active => $true },
    );

    for my $route (Knock::Api::routes()) {
        my ($method, $pattern) = @$route;
        my $path = sub {
            my (%is) = (%known, @_);

            return '/' . join '/', map { $names{$_} ? $is{$_} : $_ }
                                   split m{/}, $pattern;
        };
        my $body = $body{"@$route"} // ($method eq 'PUT' ? {} : undef);
        my $text = defined $body ? $body : $method eq 'GET' ? undef : '';

        $api->call($method, $path->(), $text, Authorization => undef);
        $api->call($method, $path->(), '{');
        $api->call($method, $path->(), { nonsense => 1, id => 5 });
        $api->call($method, $path->() . '?limit=0', $text);
        $api->call($method, $path->(E => 'nowhere', S => 'x', W => 'x',
                                    A => 'x', C => 'x', U => 'x',
                                    K => 'track/x'), $text);
        $api->call($method, $path->(), $text, 'If-Match' => '"stale"')
            if $method ne 'GET' && $pattern !~ /preview/;
    }

    $api->call(GET => '/commits?environment=nowhere');
    $api->call(DELETE => "/$_/none") for qw(workflows actions);
    $api->call(POST => '/sources', { key => 'segment' });
    $api->call(POST => '/environments', { key => 'production' });
    $api->call(POST => '/commits', { resource => { type => 'action',
                                                   key => 'none' } });
    $api->call(POST => '/commits/publish', { to => 'production',
        resource => { type => 'action', key => 'none' } });

    # of two changes of one thing the first cannot be reverted

    for my $name ('One', 'Two') {
        $api->call(PUT => '/workflows/x', { name => $name });
        $api->call(POST => '/commits');
    }

    my $commits = $api->call(GET => '/commits?limit=2')->{json}{items};

    $api->call(POST => "/commits/$commits->[1]{id}/revert");
}


sub check {
    my $dir = tempdir('knock-openapi-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my ($root) = grep { -f "$_/docs/openapi.yaml" }
                 '.', __FILE__ =~ s{[^/]*$}{..}r;
    my $json = JSON::PP->new->utf8->canonical->allow_nonref;
    my @exchanges;

    for my $seen (@{ $api->{seen} }) {
        my $answer = $seen->{answer};
        my ($path) = split /\?/, $seen->{path};
        my $request = $seen->{request};

        # as text: what has gone through Perl has lost which are numbers

        $request = undef unless defined $request && length $request
                                && eval { $json->decode($request); 1 };

        my %text = (
            method => $json->encode($seen->{method}),
            path => $json->encode($path),
            status => $answer->{status},
            request => $request // 'null',
            body => length $answer->{body} ? $answer->{body} : 'null',
            etag => $json->encode($answer->{headers}{etag}),
        );

        push @exchanges, '{' . join(',', map { qq("$_":$text{$_}) }
                                         sort keys %text) . '}';
    }

    open my $out, '>', "$dir/exchanges.json" or die "exchanges: $!\n";
    print {$out} "[\n", join(",\n", @exchanges), "\n]\n";
    close $out or die "exchanges: $!\n";

    my @lines = `$python $root/t/openapi/check.py $root/docs/openapi.yaml $dir/exchanges.json`;

    is $?, 0, 'the check has run';
    cmp_ok scalar @exchanges, '>', 300, 'over many answers';

    my (@wrong, @operations);

    for my $line (@lines) {
        chomp $line;
        push @operations, $1 if $line =~ /^operation (.*)/;
        push @wrong, $line if $line =~ /^not ok/;
        pass $1 if $line =~ /^ok (?!GET|PUT|POST|PATCH|DELETE)(.*)/;
    }

    is join("\n", @wrong), '', 'the answers are as the file says';

    my @calls = map {
        my ($method, $pattern) = @$_;

        "$method /" . join '/', map { $names{$_} ? "{$names{$_}}" : $_ }
                                split m{/}, $pattern;
    } Knock::Api::routes();

    is join("\n", sort @operations), join("\n", sort @calls),
       'the file has the calls that the module has';
}
