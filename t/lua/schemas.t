# redis-schema/*.schema.json: what the module and the library really make is
# what the schemas say, and what is wrong is not.

use strict;
use warnings;
use utf8;

use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

use Knock::Library;
use Knock::Nginx;
use Knock::Test;

my $json = JSON::PP->new->utf8->canonical;
my $lib = Knock::Library->new;
my @checks;         # [title, schema, document, whether it is valid]

runs_and_users();
actions();
commits();
wrong_ones();
report();

done_testing();


sub check {
    my ($title, $schema, $document, $valid) = @_;

    push @checks, [$title, $schema, $document, $valid // JSON::PP::true];
}

sub wrong { check(@_, JSON::PP::false) }


# from a worker

sub runs_and_users {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);

    my $nginx = Knock::Nginx->start(redis => redis_server());
    my @events = (
        { type => 'identify', userId => 'u1',
          traits => { email => 'a@b', phone => '+1', firstName => 'A',
                      lastName => 'ü', createdAt => 'then', o => { a => [] },
                      'a"b' => undef } },
        { type => 'track', event => 'Comment Created', messageId => 'm"1',
          timestamp => '2026-01-01T00:00:00Z', userId => 'u1',
          properties => {
              recipients => ['u1', { id => 'u2', name => 'N' },
                             { collection => 'projects', id => 'p"1' }, 'no'],
              commenter => { id => 'u9' }, org => 'acme',
              comment => { id => 17 } } },
        { type => 'track', event => 'Comment Created',
          properties => { recipients => 'u2', org => { id => 't', a => 1 } } },
    );
    my $answer = $nginx->post('/in/dev', $json->encode(\@events));

    is($answer->{status}, 200, 'events are taken') or diag(explain($answer));

    my $runs = redis('LRANGE', 'knock:{development}:runs', 0, -1);

    is(scalar @$runs, 4, 'they make runs');
    check("run $_", 'run', $json->decode($runs->[$_])) for 0 .. $#$runs;

    for my $id ('u1', 'u2') {
        my $reply = redis('FCALL', 'knock_user_get', 1,
                          "knock:{development}:user:$id",
                          Knock::Library::VERSION);

        is($reply->[0], 200, "user $id is there");
        check("user $id", 'user', $json->decode($reply->[1]));
    }
}


sub actions {
    check('the action of the tests', 'action',
          $json->decode(redis('HGET', 'knock:{development}:actions',
                              'comment-created')));

    my %least = action();

    check('the least action', 'action', \%least);
    check("recipients $_", 'action',
          { %least, recipients => $json->allow_nonref->decode($_) })
        for '"properties.a"', '{"literal":null}', '["a",{"literal":[1]}]';
    check('no actor', 'action',
          { %least, actor => undef, tenant => { literal => 1 },
            cancellation_key => 'a.b[0]' });

    wrong("an action without $_", 'action', do {
        my %action = action();
        delete $action{$_};
        \%action;
    }) for sort keys %least;

    wrong('an action with another member', 'action', { %least, x => 1 });
    wrong("an action with $_->[0] of $_->[1]", 'action',
          { %least, $_->[0] => $json->allow_nonref->decode($_->[1]) })
        for ['key', '"a b"'], ['key', '""'], ['source', '1'],
            ['event', '"track/"'], ['event', '"Identify"'],
            ['type', '"other"'], ['workflow', 'null'], ['recipients', '[]'],
            ['recipients', 'null'], ['recipients', '{"literal":1,"x":2}'],
            ['recipients', '["a",["b"]]'], ['actor', '["a"]'],
            ['tenant', '7'], ['cancellation_key', '{}'];
}


sub action {
    return (key => 'a', source => 's', event => 'track/ü', workflow => 'w',
            type => 'workflows_trigger', recipients => 'properties.r');
}


# from the library

sub commits {
    $lib->flush;

    my @commit = ('knock_commit', ['version', 'workflows', 'actions', 'drafts',
                                   'commits', 'commit_ids'],
                  'development', '"a \"message\""', 'null',
                  '2026-01-02T03:04:05.678Z', '', '');
    my @workflow = ('workflow', 'w', '{"key":"w","definition":{}}', '', '');
    my @action = ('action', 'a', $json->encode({ action() }), '', '');

    $lib->call('knock_draft_put', ['drafts', 'workflows', 'endpoints'],
               @workflow);
    $lib->call('knock_draft_put', ['drafts', 'actions', 'endpoints'], @action);

    my $first = $lib->answers('a commit', 200, '', @commit, 'one');

    $lib->call('knock_draft_delete', ['drafts', 'workflows'], 'workflow', 'w',
               '');

    my $second = $lib->answers('a deletion', 200, '', @commit, 'two');

    check("commit $_->{id}, answered", 'commit', $_)
        for @{ $first->{items} }, @{ $second->{items} };

    my $page = $lib->call('knock_commit_page', ['commits', 'commit_ids'], 10,
                          '');

    check("commit $_, stored", 'commit', $json->decode($page->[2 * $_ + 1]))
        for 0 .. 2;
    check('an action in the answer', 'action', $first->{items}[1]{after});
}


sub wrong_ones {
    my ($run) = map { $_->[2] } grep { $_->[1] eq 'run' } @checks;
    my ($user) = map { $_->[2] } grep { $_->[1] eq 'user' } @checks;
    my ($commit) = map { $_->[2] } grep { $_->[1] eq 'commit' } @checks;

    check('a run with more members', 'run', { %$run, more => 1 });
    check('a run of the test runner', 'run',
          { %$run, source => undef, event => undef, action => undef,
            test => JSON::PP::true });
    check('a user with an id alone', 'user', { id => 'u' });
    wrong("a run with $_->[0] of $_->[1]", 'run',
          { %$run, $_->[0] => $json->allow_nonref->decode($_->[1]) })
        for ['id', '"1"'], ['trigger_id', 'null'], ['workflow', 'null'],
            ['recipient', '"u1"'], ['recipient', '{"id":"u1"}'],
            ['recipient', '{"collection":"$users","id":1}'], ['actor', '"u"'],
            ['tenant', '{"id":"t"}'], ['data', 'null'], ['test', '0'],
            ['enqueued_at', '"2026-01-01"'], ['event', '"track"'],
            ['message_id', '5'];
    wrong("a user with $_->[0] of $_->[1]", 'user',
          { %$user, $_->[0] => $json->allow_nonref->decode($_->[1]) })
        for ['id', '7'], ['id', '""'], ['updated_at', '"now"'];
    wrong("a commit with $_->[0] of $_->[1]", 'commit',
          { %$commit, $_->[0] => $json->allow_nonref->decode($_->[1]) })
        for ['resource', '{"type":"source","key":"s"}'],
            ['resource', '{"type":"action"}'], ['before', '"text"'],
            ['after', '[]'], ['author', '{}'], ['created_at', '"t"'],
            ['environment', 'null'];
    wrong('a commit of nothing', 'commit',
          { %$commit, before => undef, after => undef });

    for my $schema ('run', 'user', 'commit') {
        my ($document) = map { $_->[2] } grep { $_->[1] eq $schema } @checks;

        wrong("$schema without id", $schema, do {
            my %other = %$document;
            delete $other{id};
            \%other;
        });
    }
}


# One run of python3-jsonschema for all.

sub report {
    my $dir = tempdir('knock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

    open my $out, '>', "$dir/checks.json" or die "$dir: $!";
    print {$out} $json->encode(\@checks);
    close $out or die "$dir: $!";

    open my $program, '>', "$dir/check.py" or die "$dir: $!";
    print {$program} <<'_EOS_';
import json, sys
from jsonschema import Draft202012Validator as Validator

validators = {}

for title, name, document, valid in json.load(open(sys.argv[1])):
    if name not in validators:
        schema = json.load(open("redis-schema/%s.schema.json" % name))
        Validator.check_schema(schema)
        validators[name] = Validator(schema)

    errors = [e.message for e in validators[name].iter_errors(document)]
    print(json.dumps((not errors) == valid), " ".join(errors)[:200])

print("end")
_EOS_
    close $program or die "$dir: $!";

    my ($python) = grep { !system "$_ -c 'import jsonschema' 2>/dev/null" }
                   'python3', '/usr/bin/python3';

    my @lines = $python ? `$python $dir/check.py $dir/checks.json` : ();

    chomp @lines;

    for my $i (0 .. $#checks) {
        my ($title, undef, undef, $valid) = @{ $checks[$i] };

        like($lines[$i] // '', qr/^true/,
             "$title is " . ($valid ? 'valid' : 'refused'))
            or diag($json->encode($checks[$i][2]));
    }

    is($lines[-1], 'end', 'all are checked, by schemas that are ones');
}
