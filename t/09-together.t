# Two features at a time, with one shard and with three: publishing where three
# environments hold three different things, the log's filter and an event that
# is too large for its user.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Api;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant LARGE => 256 * 1024;

my $logs = '/sources/segment/environments/development/logs';
my $n = 0;
my $api;

for my $shards (1, 3) {
    $api = Knock::Api->start(http => "knock_shards $shards;");

    subtest "publishing, $shards shards" => sub { publishing() };
    subtest "the log's filter, $shards shards" => sub { filter() };

    $api->end;
    $api->nginx->stop;
}

done_testing;


sub begin {
    redis('FLUSHALL');
    $api->done('a source', 201, POST => '/sources', { key => 'segment' });
}


# What is live in each environment: the names of workflow `w`, and the tenants
# of action `a`, '-' where it is not.

sub live {
    return join ' ', map {
        my $environment = $_;

        map { my ($path, $field) = @$_;
              my $answer = $api->call(GET =>
                                      "/environments/$environment/$path");

              $answer->{status} == 200 ? $answer->{json}{$field} : '-' }
        ['workflows/w', 'name'], ['actions/a', 'tenant']
    } qw(development staging production);
}


sub commit {
    my ($name) = @_;

    $api->call(PUT => '/workflows/w', { name => $name });
    $api->call(PUT => '/actions/a',
        { source => 'segment', event => 'track/T', workflow => 'w',
          type => 'workflows_trigger', recipients => 'userId',
          tenant => "properties.$name" });
    $api->done("$name is committed", 200, POST => '/commits');
}


# The changes of a publication, in order of type: what was, what is.

sub publish {
    my ($to, @resource) = @_;

    my $made = $api->done("published to $to", 200, POST => '/commits/publish',
        { to => $to,
          @resource ? (resource => { type => $resource[0],
                                     key => $resource[1] }) : () });

    return join ', ', map {
        my ($before, $after) = map { $_ ? $_->{name} // $_->{tenant} : '-' }
                               @$_{qw(before after)};

        "$_->{environment}: $before to $after"
    } sort { $b->{resource}{type} cmp $a->{resource}{type} }
      @{ $made->{items} };
}


sub publishing {
    begin();
    $api->done('a third one', 201, POST => '/environments',
               { key => 'staging', after => 'development' });

    commit('one');
    publish('staging');
    publish('production');
    commit('two');
    publish('staging');
    commit('three');

    is live(), 'three properties.three two properties.two one properties.one',
       'each has another state';

    is publish('production', 'workflow', 'w'), 'production: one to two',
       'the third takes a workflow from the second, not from the first';
    is publish('production'), 'production: properties.one to properties.two',
       'and all that is left';
    is live(), 'three properties.three two properties.two two properties.two',
       'and the others are as they were';
    is $api->call(POST => '/commits/publish', { to => 'production' })
           ->{json}{error}{code}, 'nothing_to_publish', 'then it has all';

    # a deletion goes the same way

    $api->done('deleted', 204, DELETE => '/actions/a');
    $api->done('which is committed', 200, POST => '/commits');
    is $api->call(POST => '/commits/publish', { to => 'production' })
           ->{json}{error}{code}, 'nothing_to_publish',
       'the third does not hear of it before the second';
    is publish('staging', 'action', 'a'), 'staging: properties.two to -',
       'the second does';
    is publish('production'), 'production: properties.two to -', 'then it too';
    is live(), 'three - two - two -', 'and nothing else was published';
}


# Sends an event; its message id tells which one it was.

sub event {
    my ($what, $event, $id) = @_;

    my $endpoint = $api->call(GET =>
        '/sources/segment/environments/development')->{json};

    $event->{messageId} = $id // "$what " . ++$n;

    return $api->outcome($endpoint, $event);
}


# What the log has under a status, newest first, page by page.

sub logged {
    my ($status) = @_;

    return join ', ', map { "$_->{message_id}: "
                            . join ' ', $_->{status}, $_->{reason} // '-' }
           @{ $api->pages("$logs?status=$status", 2) };
}


sub filter {
    begin();
    commit('one');
    $n = 0;

    $api->done('identify is on', 200,
        PATCH => '/sources/segment/environments/development',
        { identify_enabled => JSON::PP::true });

    for my $turn (1, 2) {
        is event('good', { type => 'identify', userId => 'u',
                           traits => { turn => $turn } }),
           '200 1 accepted 0 ignored 0 runs', 'an event is applied';
        is event('large', { type => 'identify', userId => 'u',
                            traits => { large => 'x' x LARGE } }), 400,
           'one is too large for its user';
        is event('failing', { type => 'track', event => 'T',
                              properties => {} }),
           '200 1 accepted 0 ignored 0 runs', 'one has an action that fails';
        is event('ignored', { type => 'page' }),
           '200 0 accepted 1 ignored 0 runs', 'one is ignored';
    }

    is event('again', { type => 'page' }, 'ignored 8'),
       '200 0 accepted 0 ignored 0 runs', 'one comes again';

    wait_for('the log', sub { @{ $api->pages($logs, 100) } == 9 });

    is logged('failed'),
       'failing 7: failed recipients_missing, large 6: failed user_too_large, '
       . 'failing 3: failed recipients_missing, '
       . 'large 2: failed user_too_large',
       'failed: what was too large as well, page by page';
    is logged('processed'), 'good 5: processed -, good 1: processed -',
       'processed: not that';
    is logged('ignored'),
       'ignored 8: ignored no_action, ignored 4: ignored no_action',
       'ignored: not that';
    is logged('duplicate'), 'ignored 8: duplicate -', 'nor under duplicate';
}
