# Issue 3: the walk of the guide, line by line, by the API alone.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Test;

my $api = Knock::Api->start(workers => 2);
my $id = 0;


# a track event as the guide's sender has it

sub comment {
    my ($recipients) = @_;

    return { type => 'track', event => 'Comment Created',
             messageId => 'm' . ++$id, userId => 'jane',
             properties => { comment => { id => "c$id" },
                             recipients => $recipients } };
}


subtest 'create the source' => sub {
    my $source = $api->done('it is made', 201, POST => '/sources',
        { key => 'segment', kind => 'segment', name => 'Our app' });

    like delete $source->{created_at}, qr/^20\d\d-.*Z$/, 'with its time';
    is_deeply $source, { key => 'segment', kind => 'segment',
                         name => 'Our app' }, 'and as it was sent';
};


my ($dev, $prod);

subtest 'read its URL' => sub {
    $dev = $api->done('of development', 200,
                      GET => '/sources/segment/environments/development');
    $prod = $api->done('of production', 200,
                       GET => '/sources/segment/environments/production');

    like $dev->{token}, qr/^[0-9a-f]{32}$/, 'a token';
    like $dev->{url}, qr{^https?://.+/\Q$dev->{token}\E$}, 'a URL with it';
    isnt $dev->{token}, $prod->{token}, 'each environment has its own';

    ok $dev->{enabled}, 'enabled';
    ok !$dev->{identify_enabled}, 'identify is off';
    ok $dev->{idempotency_enabled}, 'repeats are recognised';
    ok !$dev->{signing_secret_set}, 'no secret';
    is $dev->{last_event_at}, undef, 'no event yet';
};


subtest 'send a track event, see it in the catalogue' => sub {
    my $event = comment(['jane']);

    is $api->outcome($dev, $event), '200 0 accepted 1 ignored 0 runs',
       'nothing acts on it';

    my $list = $api->done('the catalogue', 200,
        GET => '/sources/segment/environments/development/events');

    is scalar @{ $list->{items} }, 1, 'one event';

    my $seen = $list->{items}[0];

    is $seen->{event}, 'track/Comment Created', 'its key';
    is $seen->{count}, 1, 'its count';
    is $seen->{first_seen_at}, $seen->{last_seen_at}, 'seen once';
    is_deeply $seen->{sample}, $event, 'the sample is what was sent';

    my $now = $api->done('the endpoint', 200,
                         GET => '/sources/segment/environments/development');

    is $now->{last_event_at}, $seen->{last_seen_at}, 'has the time of it';
    is_deeply $api->done('the other environment', 200,
        GET => '/sources/segment/environments/production/events')->{items}, [],
        'has seen nothing';
};


subtest 'save an action: nothing happens before the commit' => sub {
    $api->done('a user', 201, PUT => '/environments/development/users/jane',
               { name => 'Jane' });
    $api->done('a workflow', 201, PUT => '/workflows/new-comment',
               { name => 'New comment', definition => { steps => [] } });

    my $action = $api->done('an action', 201, PUT => '/actions/comment-created',
        { source => 'segment', event => 'track/Comment Created',
          type => 'workflows_trigger', workflow => 'new-comment',
          recipients => 'properties.recipients',
          cancellation_key => 'properties.comment.id' });

    is_deeply $action,
        { key => 'comment-created', source => 'segment',
          event => 'track/Comment Created', type => 'workflows_trigger',
          workflow => 'new-comment', recipients => 'properties.recipients',
          actor => undef, tenant => undef,
          cancellation_key => 'properties.comment.id',
          uncommitted => JSON::PP::true }, 'answered as it is saved';

    is $api->outcome($dev, comment(['jane'])),
       '200 0 accepted 1 ignored 0 runs', 'an event has no effect';
    is_deeply $api->done('no action is live', 200,
        GET => '/environments/development/actions')->{items}, [], 'none';
};


my %commit;

subtest 'commit, see a run' => sub {
    my $made = $api->done('the commit', 200, POST => '/commits',
        { message => 'Tell of comments', author => 'ada@example.com' });

    is scalar @{ $made->{items} }, 2, 'a commit for each of the two';

    for my $commit (@{ $made->{items} }) {
        is $commit->{message}, 'Tell of comments', 'its message';
        is $commit->{author}, 'ada@example.com', 'its author';
        is $commit->{environment}, 'development', 'its environment';
        is $commit->{before}, undef, 'there was nothing before';
        $commit{ $commit->{resource}{type} } = $commit;
    }

    is $commit{action}{resource}{key}, 'comment-created', 'the action';
    ok $commit{action}{workflow_live}, 'whose workflow is live';
    is $commit{workflow}{after}{name}, 'New comment', 'the workflow';
    ok $commit{workflow}{action_live}, 'that an action has';

    ok !$api->done('the action', 200, GET => '/actions/comment-created')
        ->{uncommitted}, 'is committed';

    is $api->outcome($dev, comment(['jane'])),
       '200 1 accepted 0 ignored 1 runs', 'an event makes a run';

    my $runs = $api->done('the runs', 200,
                          GET => '/environments/development/runs');

    is $runs->{length}, 1, 'one';

    my $run = $runs->{items}[0];

    is $runs->{oldest_at}, $run->{enqueued_at}, 'the oldest one';
    is $run->{workflow}, 'new-comment', 'of the workflow';
    is_deeply $run->{recipient}, { collection => '$users', id => 'jane' },
        'for the user';
    is $run->{cancellation_key}, "c$id", 'with its key';
    ok !$run->{test}, 'no test';

    my $log = $api->done('the log', 200,
        GET => '/sources/segment/environments/development/logs?limit=1')
        ->{items}[0];

    is $log->{status}, 'processed', 'has the event';
    is $log->{message_id}, "m$id", 'that one';
    is $log->{actions}[0]{runs}, 1, 'with its run';
};


subtest 'toggle the action off and on, with events in between' => sub {
    my $path = '/environments/development/actions/comment-created';

    for (1 .. 3) {
        my $off = $api->done('off', 200, PATCH => $path,
                             '{"active":false}');

        ok !$off->{active}, 'says so';
        ok $off->{live}, 'is still live';
        is $api->outcome($dev, comment(['jane'])),
           '200 0 accepted 1 ignored 0 runs', 'no run';

        my $on = $api->done('on', 200, PATCH => $path,
                            '{"active":true}');

        ok $on->{active}, 'says so';
        is $api->outcome($dev, comment(['jane'])),
           '200 1 accepted 0 ignored 1 runs', 'a run';
    }

    is_deeply $api->done('the drafts', 200, GET => '/actions/comment-created')
        ->{uncommitted}, JSON::PP::false, 'there is nothing to commit of it';
    is $api->done('the runs', 200, GET => '/environments/development/runs')
        ->{length}, 4, 'one and three';
};


subtest 'publish: a run there only when the workflow is there too' => sub {
    $api->done('a user', 201, PUT => '/environments/production/users/jane',
               { name => 'Jane' });

    my $made = $api->done('the action', 200, POST => '/commits/publish',
        { to => 'production', message => 'Half', author => 'ada',
          resource => { type => 'action', key => 'comment-created' } });

    is scalar @{ $made->{items} }, 1, 'one commit';
    is $made->{items}[0]{environment}, 'production', 'there';
    is_deeply $made->{items}[0]{workflow_live}, JSON::PP::false,
       'says that the workflow is missing';

    my $action = $api->done('the actions there', 200,
        GET => '/environments/production/actions')->{items}[0];

    ok $action->{live} && $action->{active}, 'live and active';
    is_deeply $action->{workflow_live}, JSON::PP::false, 'without workflow';

    is $api->outcome($prod, comment(['jane'])),
       '200 0 accepted 1 ignored 0 runs', 'an event makes no run';

    my $log = $api->done('the log', 200,
        GET => '/sources/segment/environments/production/logs')->{items}[0];

    is $log->{status}, 'ignored', 'says that it was ignored';
    is $log->{reason}, 'workflow_not_live', 'and for want of a workflow';

    $made = $api->done('the rest', 200, POST => '/commits/publish',
                       { to => 'production', message => 'Whole' });

    is_deeply [ map { $_->{resource} } @{ $made->{items} } ],
              [ { type => 'workflow', key => 'new-comment' } ],
              'is the workflow';
    ok $made->{items}[0]{action_live}, 'that an action has';
    ok $api->done('the action', 200,
        GET => '/environments/production/actions/comment-created')
        ->{workflow_live}, 'has its workflow';

    is $api->outcome($prod, comment(['jane'])),
       '200 1 accepted 0 ignored 1 runs', 'an event makes a run';
    is $api->done('the runs there', 200,
        GET => '/environments/production/runs')->{length}, 1, 'one';
};


subtest 'enable identify, identify' => sub {
    my $event = { type => 'identify', userId => 'max',
                  traits => { email => 'max@example.com', phone => '+49',
                              plan => 'pro' } };

    is $api->outcome($dev, $event), '200 0 accepted 1 ignored 0 runs',
       'before: ignored';
    is $api->call(GET => '/environments/development/users/max')->{status}, 404,
       'no such user';

    $dev = $api->done('the setting', 200,
        PATCH => '/sources/segment/environments/development',
        { identify_enabled => JSON::PP::true });

    ok $dev->{identify_enabled}, 'is on';
    is $api->outcome($dev, $event), '200 1 accepted 0 ignored 0 runs',
       'then: applied';

    my $user = $api->done('the user', 200,
                          GET => '/environments/development/users/max');

    delete $user->{updated_at};
    is_deeply $user, { id => 'max', email => 'max@example.com',
                       phone_number => '+49', plan => 'pro' }, 'is there';
    is $api->outcome($dev, comment(['max'])),
       '200 1 accepted 0 ignored 1 runs', 'and has a run';
};


subtest 'identify inline' => sub {
    is $api->outcome($dev, comment(['nobody'])),
       '200 1 accepted 0 ignored 0 runs', 'an unknown id has none';

    my $log = $api->done('the log', 200,
        GET => '/sources/segment/environments/development/logs?limit=1')
        ->{items}[0];

    is_deeply $log->{actions}[0]{skipped},
        [ { recipient => 'nobody',
            reason => 'recipient_not_identified' } ], 'says why'
        or diag explain $log;

    is $api->outcome($dev, comment([ { id => 'nobody', name => 'Some' } ])),
       '200 1 accepted 0 ignored 1 runs', 'an object makes the user';
    is $api->done('the user', 200,
        GET => '/environments/development/users/nobody')->{name}, 'Some',
       'with the name';
    is $api->outcome($dev, comment(['nobody'])),
       '200 1 accepted 0 ignored 1 runs', 'the id alone does then';
};


subtest 'revert' => sub {
    my $seen = $api->done('the commit', 200,
                          GET => "/commits/$commit{action}{id}");

    is $seen->{before}, undef, 'shows what was before';
    is $seen->{after}{key}, 'comment-created', 'and what came';

    my $made = $api->done('its revert', 200,
        POST => "/commits/$commit{action}{id}/revert",
        { message => 'Too many mails', author => 'grace' });

    is scalar @{ $made->{items} }, 1, 'is one commit';

    my $commit = $made->{items}[0];

    is $commit->{author}, 'grace', 'with its author';
    is $commit->{before}{key}, 'comment-created', 'what was';
    is $commit->{after}, undef, 'is no more';

    is $api->outcome($dev, comment(['jane'])),
       '200 0 accepted 1 ignored 0 runs', 'no run any more';
    is $api->outcome($prod, comment(['jane'])),
       '200 1 accepted 0 ignored 1 runs', 'production is as it was';

    $api->done('a revert of the revert', 200,
               POST => "/commits/$commit->{id}/revert");
    is $api->outcome($dev, comment(['jane'])),
       '200 1 accepted 0 ignored 1 runs', 'a run again';

    is_deeply [ map { "$_->{environment} $_->{resource}{type}" }
                @{ $api->done('the history', 200, GET => '/commits')
                   ->{items} } ],
              [ 'development action', 'development action',
                'production workflow', 'production action',
                'development action', 'development workflow' ],
              'has it all, newest first';
};


$api->end;
done_testing();
