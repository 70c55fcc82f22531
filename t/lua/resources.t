# redis-schema/knock.lua: workflows and actions, from draft to commit, publish
# and revert, and their toggles.

use strict;
use warnings;
use utf8;

use JSON::PP;
use Test::More;

use Knock::Library;

my $lib = Knock::Library->new;
my $TIME = '2026-01-02T03:04:05.678Z';
my ($T, $F) = (JSON::PP::true, JSON::PP::false);
my $ids = 0;

drafts();
draft_pages();
commits();
halves();
reverts();
publishing();
publish_one();
commit_pages();
toggles();
environment_pages();
by_hand();

done_testing();


sub workflow {
    my ($key, $name) = @_;

    return qq({"key":"$key","name":"$name","definition":{"steps":[]}});
}


sub action {
    my ($key, $workflow, $more) = @_;

    $more //= '"recipients":"properties.r"';

    return qq({"key":"$key","source":"s","workflow":"$workflow",$more});
}


sub hash { return $_[0] eq 'workflow' ? 'workflows' : 'actions' }

sub list { return 'knock_draft_list', ['drafts', hash($_[0])], $_[0] }

sub get { return 'knock_draft_get', ['drafts', hash($_[0])], @_ }

sub put {
    my ($type, $key, $doc, $source, $if_match) = @_;

    return 'knock_draft_put', ['drafts', hash($type), 'endpoints'], $type,
           $key, $doc, $source // '', $if_match // '';
}

sub remove {
    return 'knock_draft_delete', ['drafts', hash($_[0])], @_[0, 1],
           $_[2] // '';
}

sub ids { return map { sprintf 'c%d', ++$ids } 1 .. $_[0] }

sub commit {
    my ($type, $key, @ids) = @_;

    return 'knock_commit', ['version', 'workflows', 'actions', 'drafts',
                            'commits', 'commit_ids'],
           'development', '"a \"message\" ü"', 'null', $TIME, $type // '',
           $key // '', @ids ? @ids : ids(4);
}

sub revert {
    my ($id, $env) = @_;

    $env //= 'development';

    return 'knock_commit_revert',
           [map { "$env/$_" } qw(version workflows actions drafts commits
                                 commit_ids)],
           $id, ids(1), '"back"', '"me"', $TIME;
}

# the resources are [type, key, document]

sub publish {
    my ($type, $key, @resources) = @_;

    return 'knock_publish',
           [map { "production/$_" } qw(version workflows actions commits
                                       commit_ids)],
           'production', 'null', '"me"', $TIME, ids(1), $type // '',
           $key // '', map { @$_ } @resources;
}

sub env_get {
    my ($type, $key, $env) = @_;

    return 'knock_env_get', [map { ($env // 'development') . "/$_" }
                             qw(workflows actions toggles)], $type, $key;
}

sub toggle {
    my ($type, $key, $value) = @_;

    return 'knock_toggle_set', ['version', hash($type), 'toggles', 'workflows',
                                'actions'], $type, $key, $value, 'development';
}

sub version { return $lib->redis('GET', $lib->key($_[0] // 'version')) // '' }

sub live { return $lib->redis('HGET', $lib->key($_[0]), $_[1]) }

# [type, key, had a before, has an after] of each commit in an answer

sub changes {
    return [ map { [ $_->{resource}{type}, $_->{resource}{key},
                     $_->{before} ? 1 : 0, $_->{after} ? 1 : 0 ] }
             @{ $_[0]{items} } ];
}


sub drafts {
    $lib->flush;

    $lib->refuses("no such $_", 404, 'not_found', get($_, 'a"b'))
        for qw(workflow action);
    $lib->refuses('none to delete', 404, 'not_found', remove('workflow', 'w'));
    $lib->refuses('If-Match, and there is none', 412, 'stale',
                  put('workflow', 'w', workflow('w', 1), '', $_))
        for '*', 'f' x 40;
    $lib->refuses('an action of an unknown source', 422, 'unknown_source',
                  put('action', 'a', action('a', 'w'), 's"x'));
    $lib->refuses("'$_' is no key", 422, 'invalid_key',
                  put('workflow', $_, '{}'))
        for '', 'a/b', 'é', "a\n", 'a' x 65;
    $lib->dies('a type that is none', qr/unknown resource type "source"/, @$_)
        for [put('source', 's', '{}')], [get('source', 's')],
            [remove('source', 's')], [list('source'), 10, ''];
    $lib->dies('a document that is no object', qr/no JSON object/,
               put('workflow', 'w', '[]'));

    my $doc = $lib->answers('a workflow is saved', 201, 1,
                            put('workflow', 'w', workflow('w', 'N \"ü\"')));
    my $etag = $lib->etag;

    is_deeply($doc, { key => 'w', name => 'N "ü"',
                      definition => { steps => [] }, uncommitted => $T },
              'and answered as uncommitted');
    is_deeply(scalar $lib->answers('it is read', 200, $etag,
                                   get('workflow', 'w')),
              $doc, 'the same');
    is(version(), '', 'and nothing is live');

    $lib->refuses('a stale If-Match', 412, 'stale',
                  put('workflow', 'w', workflow('w', 2), '', 'f' x 40));
    $lib->answers('If-Match', 200, 1,
                  put('workflow', 'w', workflow('w', 2), '', $etag));
    $lib->refuses('that was before the change', 412, 'stale', @$_)
        for [put('workflow', 'w', workflow('w', 3), '', $etag)],
            [remove('workflow', 'w', $etag)];

    $lib->redis('HSET', $lib->key('endpoints'), 's/token', 't');
    $lib->answers('an action of a source', 201, 1,
                  put('action', 'w', action('w', 'w'), 's'));
    is($lib->answers('a workflow of the same key', 200, 1,
                     get('workflow', 'w'))->{name}, 2, 'is another one');

    $lib->answers('a mere draft is deleted', 204, '', remove('workflow', 'w'));
    $lib->refuses('and gone', 404, 'not_found', get('workflow', 'w'));
    is_deeply($lib->redis('HKEYS', $lib->key('drafts')), ['action/w'],
              'nothing is left of it');

    # one that is live
    $lib->redis('HSET', $lib->key('workflows'), 'l', workflow('l', 'live'));
    ok(!$lib->answers('a live one', 200, 1, get('workflow', 'l'))
       ->{uncommitted}, 'is not uncommitted');
    my $live = $lib->etag;

    $lib->answers('it is changed', 200, 1,
                  put('workflow', 'l', workflow('l', 'new'), '', $live));
    is(live('workflows', 'l'), workflow('l', 'live'), 'not in what is live');
    ok(!$lib->answers('changed back', 200, $live,
                      put('workflow', 'l', workflow('l', 'live')))
       ->{uncommitted}, 'it is no draft');
    is($lib->redis('HEXISTS', $lib->key('drafts'), 'workflow/l'), 0,
       'and stands in no hash');

    $lib->answers('a live one is deleted', 204, '',
                  remove('workflow', 'l', $live));
    is($lib->redis('HGET', $lib->key('drafts'), 'workflow/l'), '',
       'in the drafts');
    ok(live('workflows', 'l'), 'it is still live');
    $lib->refuses('and not to be read', 404, 'not_found',
                  get('workflow', 'l'));
    $lib->refuses('nor deleted again', 404, 'not_found',
                  remove('workflow', 'l'));
    $lib->refuses('nor changed by If-Match', 412, 'stale',
                  put('workflow', 'l', workflow('l', 4), '', $live));
    $lib->answers('it is saved anew', 201, 1,
                  put('workflow', 'l', workflow('l', 'live')));
    is($lib->redis('HEXISTS', $lib->key('drafts'), 'workflow/l'), 0,
       'and the deletion is gone');
}


sub draft_pages {
    $lib->flush;

    $lib->redis('HSET', $lib->key('workflows'), $_, workflow($_, 'live'))
        for qw(b d f Z);
    $lib->call(put('workflow', $_, workflow($_, 'draft'))) for qw(a b e);
    $lib->call(put('action', 'x', action('x', 'a')));
    $lib->call(remove('workflow', $_)) for qw(f d);

    for my $limit (1 .. 6) {
        is_deeply([ map { [ $_->{key}, $_->{name}, $_->{uncommitted} ] }
                    @{ $lib->pages($limit, list('workflow')) } ],
                  [ ['Z', 'live', $F], ['a', 'draft', $T], ['b', 'draft', $T],
                    ['e', 'draft', $T] ], "drafts in pages of $limit");
    }

    is_deeply($lib->answers('the list', 200, '', list('workflow'), 10, '')
              ->{deletions}, ['d', 'f'], 'tells of deletions');
    is_deeply($lib->answers('that of actions', 200, '', list('action'), 10, '')
              ->{items}[0]{key}, 'x', 'is another one');

    # a page is bounded by bytes as well
    $lib->call(put('workflow', "big$_", workflow("big$_", 'x' x 300000)))
        for 1 .. 9;
    my $page = $lib->answers('large documents', 200, '', list('workflow'),
                             100, 'b');

    is(scalar @{ $page->{items} }, 4, 'are fewer to a page');
    is($page->{cursor}, 'big4', 'which has a cursor');
    is(scalar @{ $lib->pages(100, list('workflow')) }, 13, 'all are listed');
}


sub commits {
    $lib->flush;

    $lib->refuses('nothing to commit', 409, 'nothing_to_commit', @$_)
        for [commit()], [commit('workflow', 'w"x')];

    $lib->call(put('action', 'b', action('b', 'w')));
    $lib->call(put('workflow', 'w', workflow('w', 1)));
    $lib->call(put('action', 'a', action('a', 'none')));
    $lib->refuses('nothing of that type', 409, 'nothing_to_commit',
                  commit('workflow', 'a'));
    $lib->dies('a type that is none', qr/unknown resource type/,
               commit('source', 's'));

    my $answer = $lib->answers('all drafts are committed', 200, '',
                               commit(undef, undef, 'one', 'two'));

    is_deeply(changes($answer), [['workflow', 'w', 0, 1],
                                 ['action', 'a', 0, 1],
                                 ['action', 'b', 0, 1]],
              'workflows first, in order of key');
    is_deeply([ map { $_->{id} } @{ $answer->{items} } ],
              ['one', 'two', 'two-3'], 'ids go on when they are used up');
    is_deeply($answer->{items}[0],
              { id => 'one', environment => 'development',
                message => 'a "message" ü', author => undef,
                created_at => $TIME,
                resource => { type => 'workflow', key => 'w' },
                before => undef,
                after => decode_json(workflow('w', 1)), action_live => $T },
              'a commit');
    is_deeply([ map { $_->{workflow_live} } @{ $answer->{items} }[1, 2] ],
              [$F, $T], 'an action says whether its workflow is live');
    is(live('workflows', 'w'), workflow('w', 1), 'all is live');
    is(live('actions', 'b'), action('b', 'w'), 'as it was saved');
    is($lib->redis('EXISTS', $lib->key('drafts')), 0, 'no drafts are left');

    my $stored = $lib->answers('a commit is read', 200, '', 'knock_commit_get',
                               ['commits'], 'one');

    is_deeply($stored->{after}, decode_json(workflow('w', 1)), 'whole');
    $lib->refuses("there is no commit $_", 404, 'not_found',
                  'knock_commit_get', ['commits'], $_)
        for 'x"', 'one/after', 'one/resource';

    # one of two drafts
    my $version = version();

    $lib->call(put('workflow', 'w', workflow('w', 2)));
    $lib->call(put('action', 'b', action('b', 'none')));
    is(version(), $version, 'drafts leave the version as it is');

    $answer = $lib->answers('one draft is committed', 200, '',
                            commit('workflow', 'w'));
    is_deeply($answer->{items}[0]{before}, decode_json(workflow('w', 1)),
              'with what was before');
    isnt(version(), $version, 'under a new version');
    is_deeply($lib->redis('HKEYS', $lib->key('drafts')), ['action/b'],
              'the other one is a draft still');
    is(live('actions', 'b'), action('b', 'w'), 'and not live');

    # deletions
    $lib->call(remove('workflow', 'w'));
    is_deeply(changes($lib->answers('a deletion is committed', 200, '',
                                    commit('workflow', 'w'))),
              [['workflow', 'w', 1, 0]], 'as a commit');
    is(live('workflows', 'w'), undef, 'and the workflow is not live');

    # a draft that is what has become live elsewhere
    $lib->redis('HSET', $lib->key('actions'), 'b', action('b', 'none'));
    $lib->refuses('a draft without a change', 409, 'nothing_to_commit',
                  commit());
}


sub halves {
    $lib->flush;

    $lib->call(put('workflow', 'w', workflow('w', 1)));
    is($lib->answers('a workflow alone', 200, '', commit())
       ->{items}[0]{action_live}, $F, 'says that no action is live');

    $lib->call(put('action', 'a', action('a', 'w')));
    is($lib->answers('its action', 200, '', commit())
       ->{items}[0]{workflow_live}, $T, 'finds it');

    $lib->call(put('workflow', 'w', workflow('w', 2)));
    is($lib->answers('the workflow again', 200, '', commit())
       ->{items}[0]{action_live}, $T, 'finds its action');

    $lib->call(remove('workflow', 'w'));
    is($lib->answers('its deletion', 200, '', commit())
       ->{items}[0]{action_live}, $T, 'says that an action is left');

    $lib->call(remove('action', 'a'));
    is($lib->answers("the action's deletion", 200, '', commit())
       ->{items}[0]{workflow_live}, $F, 'says that its workflow is not live');

    # what looks like the member that names the workflow
    $lib->call(put('workflow', 'w', workflow('w', 1)));
    $lib->call(put('action', 'b', action('b', 'x',
                   '"recipients":{"literal":{"workflow":"w","a\"workflow":"w"}}'
    )));
    is($lib->answers('a literal', 200, '', commit('action', 'b'))
       ->{items}[0]{workflow_live}, $F, 'names no workflow');
}


sub reverts {
    $lib->flush;

    $lib->refuses('no such commit', 404, 'not_found', revert('x'));

    $lib->call(put('workflow', 'w', workflow('w', 1)));
    $lib->call(commit(undef, undef, 'first'));
    $lib->call(put('workflow', 'w', workflow('w', 2)));
    $lib->call(commit(undef, undef, 'second'));
    $lib->refuses('a commit with a later one', 409, 'changed_since',
                  revert('first'));
    $lib->refuses('what is part of a commit', 404, 'not_found',
                  revert('second/after'));

    my $version = version();
    my $answer = $lib->answers('the last commit is reverted', 200, '',
                               revert('second'));

    is_deeply(changes($answer), [['workflow', 'w', 1, 1]], 'by a commit');
    is_deeply([@{ $answer->{items}[0] }{qw(message author environment)}],
              ['back', 'me', 'development'], 'of its own');
    is(live('workflows', 'w'), workflow('w', 1), 'what was before is live');
    isnt(version(), $version, 'under a new version');
    $lib->refuses('it cannot be twice', 409, 'changed_since',
                  revert('second'));

    my $back = $answer->{items}[0]{id};

    $lib->answers('a revert is reverted', 200, '', revert($back));
    is(live('workflows', 'w'), workflow('w', 2), 'likewise');

    # drafts
    $lib->call(put('workflow', 'w', workflow('w', 1)));
    $lib->answers('a revert to what is drafted', 200, '', revert('second'));
    is($lib->redis('EXISTS', $lib->key('drafts')), 0, 'leaves no draft');

    $lib->call(put('workflow', 'w', workflow('w', 9)));
    $answer = $lib->answers('a revert to nothing', 200, '', revert('first'));
    is_deeply(changes($answer), [['workflow', 'w', 1, 0]], 'takes it out');
    is(live('workflows', 'w'), undef, 'of what is live');
    is($lib->answers('another draft', 200, 1, get('workflow', 'w'))->{name}, 9,
       'stays');

    $lib->answers('a revert of a deletion', 200, '',
                  revert($answer->{items}[0]{id}));
    is(live('workflows', 'w'), workflow('w', 1), 'brings it back');

    $lib->call(remove('workflow', 'w'));
    $lib->call(commit(undef, undef, 'deleted'));
    $lib->call(revert('deleted'));
    $lib->call(remove('workflow', 'w'));
    $lib->redis('HSET', $lib->key('commits'), 'new',
                '{}', 'new/resource', 'workflow/w', 'new/environment',
                'development', 'new/after', workflow('w', 1));
    $lib->answers('a revert to a drafted deletion', 200, '', revert('new'));
    is($lib->redis('EXISTS', $lib->key('drafts')), 0, 'leaves no draft');
}


sub publishing {
    $lib->flush;

    my $production = sub {
        return $lib->redis('HGETALL', $lib->key("production/$_[0]"));
    };

    $lib->refuses('nothing to publish', 409, 'nothing_to_publish', publish());
    $lib->dies('a type that is none', qr/unknown resource type/, @$_)
        for [publish('source', 's')], [publish(undef, undef, ['x', 'y', 'z'])];
    $lib->dies('a resource without its document', qr/no document/,
               publish(undef, undef, ['workflow', 'w']));

    $lib->redis('HSET', $lib->key('workflows'), 'w', workflow('w', 1), 'v',
                workflow('v', 1));
    $lib->redis('HSET', $lib->key('actions'), 'a', action('a', 'w'), 'b',
                action('b', 'x'));

    my $docs = $lib->call('knock_live_docs', ['workflows', 'actions']);

    is_deeply([{ @{ $docs->[0] } }, { @{ $docs->[1] } }],
              [{ w => workflow('w', 1), v => workflow('v', 1) },
               { a => action('a', 'w'), b => action('b', 'x') }],
              'what is live, for publishing');

    my @all = (['action', 'b', action('b', 'x')],
               ['action', 'a', action('a', 'w')],
               ['workflow', 'w', workflow('w', 1)],
               ['workflow', 'v', workflow('v', 1)]);
    my $answer = $lib->answers('all is published', 200, '',
                               publish(undef, undef, @all));

    is_deeply(changes($answer), [['workflow', 'v', 0, 1],
                                 ['workflow', 'w', 0, 1],
                                 ['action', 'a', 0, 1], ['action', 'b', 0, 1]],
              'workflows first, in order of key');
    is_deeply([ map { $_->{workflow_live} // $_->{action_live} }
                @{ $answer->{items} } ], [$F, $T, $T, $F],
              'each says whether its other half is there');
    is($answer->{items}[0]{environment}, 'production', 'in the environment');
    my @got = map { $_->{id} } @{ $answer->{items} };
    is_deeply([@got[1 .. 3]], ["$got[0]-2", "$got[0]-3", "$got[0]-4"],
              'ids are made from the one');
    is_deeply({ @{ $production->('workflows') } },
              { w => workflow('w', 1), v => workflow('v', 1) }, 'it is live');
    ok(version('production/version'), 'under a version');

    $lib->refuses('publishing it again', 409, 'nothing_to_publish',
                  publish(undef, undef, @all));

    $answer = $lib->answers('a change and removals', 200, '',
                            publish(undef, undef,
                                    ['workflow', 'w', workflow('w', 2)],
                                    ['action', 'a', action('a', 'w')]));
    is_deeply(changes($answer), [['workflow', 'v', 1, 0],
                                 ['workflow', 'w', 1, 1],
                                 ['action', 'b', 1, 0]], 'only what changes');
    is_deeply({ @{ $production->('actions') } }, { a => action('a', 'w') },
              'what is not live before it is taken out');

    # revert there
    my $id = $answer->{items}[1]{id};

    $answer = $lib->answers('a publish is reverted', 200, '',
                            revert($id, 'production'));
    is($answer->{items}[0]{environment}, 'production', 'there');
    is_deeply({ @{ $production->('workflows') } },
              { w => workflow('w', 1) }, 'to what was before');
}


sub publish_one {
    $lib->flush;

    $lib->refuses('one that is in neither', 409, 'nothing_to_publish',
                  publish('action', 'a"'));

    my $a = ['action', 'a', action('a', 'w')];
    my $b = ['action', 'b', action('b', 'w')];
    my $answer = $lib->answers('one action', 200, '',
                               publish('action', 'a', $a));

    is_deeply(changes($answer), [['action', 'a', 0, 1]], 'is published');
    is($answer->{items}[0]{workflow_live}, $F, 'and says what is missing');
    is_deeply(scalar $lib->answers('it is live', 200, '',
                                   env_get('action', 'a', 'production')),
              { %{ decode_json($a->[2]) }, live => $T, active => $T,
                workflow_live => $F, workflow_active => $F },
              'and does nothing');

    $lib->refuses('the same again', 409, 'nothing_to_publish',
                  publish('action', 'a', $a));
    is_deeply(changes($lib->answers('another', 200, '',
                                    publish('action', 'b', $a, $b))),
              [['action', 'b', 0, 1]], 'and only that');
    is_deeply(changes($lib->answers('one that is gone before it', 200, '',
                                    publish('action', 'a'))),
              [['action', 'a', 1, 0]], 'is taken out');
    is_deeply($lib->redis('HKEYS', $lib->key('production/actions')), ['b'],
              'alone');
}


sub commit_pages {
    $lib->flush;

    my @page = ('knock_commit_page', ['commits', 'commit_ids']);

    is_deeply($lib->call(@page, 10, ''), [], 'no commits');
    $lib->refuses("'$_' is no cursor", 422, 'invalid_cursor', @page, 10, $_)
        for 'x', '1.5', '-1', '+inf', '1e5';

    my @expected;

    for my $i (1 .. 7) {
        $lib->call(put('workflow', "w$i", workflow("w$i", $i)));
        $lib->call(put('action', "a$i", action("a$i", 'w')));
        $lib->call(commit(undef, undef, "id$i-1", "id$i-2"));
        unshift @expected, "id$i-2", "id$i-1";
    }

    for my $limit (1, 2, 3, 13, 14, 20) {
        my ($cursor, @got) = ('');

        while (1) {
            my $page = $lib->call(@page, $limit, $cursor);
            my %page = @$page;

            last unless @$page;
            die 'a page too long' if @$page > 2 * $limit;
            push @got, map { decode_json($page->[2 * $_ + 1])->{id} }
                       0 .. $#$page / 2;
            $cursor = $page->[-2];
        }

        is_deeply(\@got, \@expected, "newest first, in pages of $limit");
    }

    # a clock that went back
    $lib->redis('ZADD', $lib->key('commit_ids'), '4000000000000000', 'future');
    $lib->redis('HSET', $lib->key('commits'), 'future', '{"id":"future"}');
    $lib->call(put('workflow', 'late', workflow('late', 1)));
    $lib->call(commit(undef, undef, 'late'));

    is_deeply([ @{ $lib->call(@page, 2, '') }[0, 2] ],
              ['4000000000000001', '4000000000000000'],
              'a commit comes behind those before it');
}


sub toggles {
    $lib->flush;

    $lib->refuses('what is not live', 404, 'not_live', toggle('action', 'a"',
                                                              0));
    $lib->refuses('nor has a state', 404, 'not_found', env_get('action', 'a'));

    $lib->call(put('workflow', 'w', workflow('w', 1)));
    $lib->call(put('action', 'a', action('a', 'w')));
    $lib->refuses('nor is a draft', 404, 'not_live', toggle('workflow', 'w',
                                                            0));
    $lib->call(commit());

    is_deeply(scalar $lib->answers('an action', 200, '', env_get('action',
                                                                 'a')),
              { %{ decode_json(action('a', 'w')) }, live => $T, active => $T,
                workflow_live => $T, workflow_active => $T }, 'is active');
    is_deeply(scalar $lib->answers('a workflow', 200, '', env_get('workflow',
                                                                  'w')),
              { %{ decode_json(workflow('w', 1)) }, live => $T, active => $T,
                action_live => $T }, 'is active');

    $lib->dies('a value that is none', qr/use 0 or 1/, toggle('action', 'a',
                                                              'true'));
    $lib->dies('a type that is none', qr/unknown resource type/, @$_)
        for [toggle('source', 'a', 0)], [env_get('source', 'a')],
            ['knock_env_list', ['workflows', 'actions', 'toggles'], 'source',
             1, ''];

    my $version = version();

    is($lib->answers('an action is switched off', 200, '',
                     toggle('action', 'a', 0))->{active}, $F, 'and answered');
    isnt(version(), $version, 'under a new version');
    is($lib->answers('its workflow', 200, '', env_get('workflow', 'w'))
       ->{active}, $T, 'is not');
    is($lib->answers('the workflow is switched off', 200, '',
                     toggle('workflow', 'w', 0))->{active}, $F,
       'and answered');
    is($lib->answers('its action', 200, '', env_get('action', 'a'))
       ->{workflow_active}, $F, 'says so');

    $lib->call(put('action', 'a', action('a', 'w', '"actor":null')));
    $lib->call(commit());
    is($lib->answers('a commit', 200, '', env_get('action', 'a'))->{active},
       $F, 'leaves it off');
    is($lib->answers('it is switched on', 200, '', toggle('action', 'a', 1))
       ->{active}, $T, 'again');

    $lib->call('knock_toggle', ['version', 'toggles'], 'action', 'a', 0);
    is($lib->answers('knock_toggle', 200, '', env_get('action', 'a'))
       ->{active}, $F, 'does the same');
}


sub environment_pages {
    $lib->flush;

    $lib->redis('HSET', $lib->key('workflows'), $_, workflow($_, 1))
        for qw(v w B);
    $lib->redis('HSET', $lib->key('actions'), $_, action($_, 'w'))
        for qw(c a b);
    $lib->redis('HSET', $lib->key('toggles'), 'action/b', 0, 'workflow/w', 0);
    $lib->call(put('action', 'z', action('z', 'w')));

    my $list = sub {
        return 'knock_env_list', ['workflows', 'actions', 'toggles'], $_[0];
    };

    for my $limit (1 .. 4) {
        is_deeply([ map { [@$_{qw(key live active workflow_live
                                  workflow_active uncommitted)}] }
                    @{ $lib->pages($limit, $list->('action')) } ],
                  [ ['a', $T, $T, $T, $F, undef],
                    ['b', $T, $F, $T, $F, undef],
                    ['c', $T, $T, $T, $F, undef] ],
                  "live actions in pages of $limit");
        is_deeply([ map { [@$_{qw(key active action_live)}] }
                    @{ $lib->pages($limit, $list->('workflow')) } ],
                  [ ['B', $T, $F], ['v', $T, $F], ['w', $F, $T] ],
                  "live workflows in pages of $limit");
    }
}


# what redis-cli is used for

sub by_hand {
    $lib->flush;

    my @keys = ('version', 'workflows', 'actions');

    $lib->dies('a type that is none', qr/unknown resource type "x"/,
               'knock_live_set', \@keys, 'workflow', 'w', '{}', 'x', 'y', '{}');
    $lib->call('knock_live_set', \@keys, 'workflow', 'w', '{}', 'action', 'a',
               '{"workflow":"w"}');

    is_deeply($lib->call('knock_live', ['version', 'endpoints', 'workflows',
                                        'actions', 'toggles'], ''),
              [version(), [], ['w'], ['a', '{"workflow":"w"}'], []],
              'what is set is live');
    is_deeply($lib->call('knock_live', ['version', 'endpoints', 'workflows',
                                        'actions', 'toggles'], version()),
              [version()], 'and told once');
    is_deeply(scalar $lib->answers('an empty document', 200, '',
                                   env_get('workflow', 'w')),
              { live => $T, active => $T, action_live => $T }, 'is one');

    # not JSON at all: the answer still is
    $lib->call('knock_live_set', \@keys, 'action', 'bad', 'oops');
    is_deeply(scalar $lib->answers('a text that is no document', 200, '',
                                   env_get('action', 'bad')),
              { live => $T, active => $T, workflow_live => $F,
                workflow_active => $F }, 'has no members');

    $lib->call('knock_live_set', \@keys, 'workflow', 'w', '');
    is_deeply($lib->redis('HKEYS', $lib->key('workflows')), [],
              'an empty text takes it out');
    $lib->dies('too few keys', qr/knock_commit takes 6 keys and 8 arguments/,
               'knock_commit', ['version'], 'development');
    $lib->dies('too few arguments', qr/knock_toggle takes 2 keys and 4/,
               'knock_toggle', ['version', 'toggles'], 'action', 'a');
}
