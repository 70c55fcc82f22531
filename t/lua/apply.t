# redis-schema/knock.lua: knock_apply, rule by rule; t/lua/forms.t compares it
# with a reference.

use strict;
use warnings;

use Test::More;

use Knock::Library;

use constant {
    BOUND => 256 * 1024,        # bytes of an entity
    LOOK  => 2048,              # brought by a call, from which it is measured
};

my $lib = Knock::Library->new;

versions();
nothing_but_a_user();
guards();
a_guard_and_a_merge();
shards_follow();
begun_elsewhere();
versions_go_on();

marks();
twins();
the_window_is_changed();
a_clock_that_was_ahead();

objects_are_merged();
a_base_that_has_changed();
late_identifies();
objects_that_are_set_twice();
they_wait_for_each_other();

large_users();
late_identifies_of_large_users();
they_are_found_to_be_large();
a_budget_of_strings();
a_budget_of_bases();

runs_keep_their_order();
a_run_for_whom_an_event_fails();
wrong_types();
the_first_error_is_before_the_first_write();

done_testing();


# What the tests are written in: an event that writes a user, and one that makes
# a run for each of some, and what there is.

sub identify {
    my ($id, $fields, $objects, $time) = @_;

    return { ops => [ ["user:$id", 'e', { id => qq("$id"), %$fields },
                       $objects // {}, defined $time ? at($time) : undef] ] };
}

sub track {
    my ($mark, @ids) = @_;

    return { mark => $mark,
             runs => [ map { ["user:$_", qq({"$mark":"$_"})] } @ids ] };
}

sub at { return sprintf '"2026-01-01T00:00:%02d.000Z"', $_[0] }

sub user { return { @{ $lib->redis('HGETALL', $lib->key("user:$_[0]")) } } }

sub write_user {
    my ($id, %fields) = @_;

    $lib->redis('HSET', $lib->key("user:$id"), 'id', qq("$id"), %fields);
}

sub runs { return $lib->redis('LRANGE', $lib->key('runs'), 0, -1) }

sub large { return [ sort map { s/.*:user://r }
                     @{ $lib->redis('SMEMBERS', $lib->key('large')) } ] }

sub etag {
    $lib->answers("user $_[0]", 200, 1, 'knock_user_get', ["user:$_[0]"]);

    return $lib->etag;
}

sub now_ms {
    my ($s, $us) = @{ $lib->redis('TIME') };

    return $s * 1000 + int $us / 1000;
}


# In all forms: runs among the arguments or pushed, ops light or looked at.

sub in_all_forms {
    my ($test) = @_;

    for my $form (0 .. 3) {
        my %options = (pushed => $form & 1, heavy => $form & 2);
        my $name = join ' and ', ($options{pushed} ? 'pushed' : 'not pushed'),
                                 ($options{heavy} ? 'heavy' : 'light');

        $lib->flush;
        subtest $name => sub { $test->(%options) };
    }
}


# ---- callers and configurations

sub versions {
    my $events = [identify('u', {})];

    for my $version (0 .. 4, '', 'x') {
        eval { $lib->apply($events, version => $version) };

        like($@, qr/^ERR knock_apply .* update the caller/,
             "a caller of version '$version' is refused");
    }

    my $own = Knock::Library::VERSION;
    my $newer = $own + 1;

    eval { $lib->apply($events, version => $newer) };
    like($@, qr/^KNOCKLIB .* load version $newer/,
         'a newer caller is asked for its library');

    is_deeply($lib->redis('KEYS', '*'), [], 'and nothing is changed');
    is_deeply($lib->apply($events, version => $own), {}, "version $own");
    is_deeply($lib->redis('FCALL', 'knock_environments', 1,
                          $lib->key('@/environments'), 1),
              ['development', 'production'],
              'other functions take older callers');
}


sub nothing_but_a_user {
    $lib->flush;

    is_deeply($lib->apply([]), {}, 'no event at all');
    is_deeply($lib->redis('KEYS', '*'), [], 'makes no key');
    is_deeply($lib->apply([identify('u', { name => '"N"' })]), {},
              'a user is written');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('user:u')],
              'and nothing else');
}


sub guards {
    $lib->flush;

    my $write = sub {
        my ($etag, %options) = @_;

        return $lib->apply([identify('u', { n => 1 }), track('m', 'u')],
                           guard => ['user:u', $etag], %options);
    };

    for my $pushed (0, 1) {
        my %form = (pushed => $pushed);

        $lib->flush;
        is_deeply($write->('*', %form), { guarded => 1 },
                  'a user that is not there');
        is_deeply($write->('f' x 40, %form), { guarded => 1 },
                  'has no ETag');
        is_deeply($lib->redis('KEYS', '*'), [], 'nothing is written');

        write_user('u', n => 0);
        my $etag = etag('u');
        my $before = $lib->dump;

        is_deeply($write->('f' x 40, %form), { guarded => 1 },
                  'a stale ETag');
        is_deeply($lib->dump, $before, 'nothing is written');
        is_deeply($write->($etag, %form), {}, 'the ETag of a read');
        is(user('u')->{n}, 1, 'lets it be written');
        is_deeply(runs(), ['{"m":"u"}'], 'with its run');
        is_deeply($write->($etag, %form), { guarded => 1 }, 'once');
        is_deeply($write->('*', %form), { d => [1] }, 'any that is there');
        is_deeply($write->('', %form), { d => [1] }, 'or anything');
    }
}


sub a_guard_and_a_merge {
    $lib->flush;
    write_user('u', o => '{"a":1}');

    my $event = identify('u', { n => 1 }, { o => '{"b":2}' });
    my %guard = (guard => ['user:u', etag('u')]);
    my $answer = $lib->apply([$event], %guard);

    is_deeply($answer, { n => [[0, 'y', '{"a":1}']] },
              'an object is to be merged');

    my $again = Knock::Library::again([$event], $answer);

    $lib->redis('HSET', $lib->key('user:u'), 'other', 1);
    is_deeply($lib->apply($again, %guard), { guarded => 1 },
              'the user has changed since');
    $lib->redis('HDEL', $lib->key('user:u'), 'other');
    is_deeply($lib->apply($again, %guard), {}, 'or it has not');
    is_deeply(user('u'), { id => '"u"', n => 1, o => '{"a":1,"b":2}' },
              'and is written');
}


# a shard takes a newer version over from the call that brings it

sub shards_follow {
    my $events = [identify('u', {})];
    my $own = sub { $lib->redis('GET', $lib->key('version')) };

    $lib->flush;

    for (['a version for the first time', '+5.000001-1 ', 1, '5.000001-1'],
         ['the same', '+5.000001-1 ', 1, '5.000001-1'],
         ['a later count', '+5.000001-2 ', 1, '5.000001-2'],
         ['later microseconds', '+5.000010-1 ', 1, '5.000010-1'],
         ['a later second', '+11.000000-1 ', 1, '11.000000-1'],
         ['an earlier second', '+9.999999-9 ', 0, '11.000000-1'],
         ['an earlier count', '+11.000000-0 ', 0, '11.000000-1'],
         ['an earlier one, read after another', '+9.0-1 5.0-1', 0,
          '11.000000-1'],
         ['an earlier one, read after this one', '+9.0-1 11.000000-1', 1,
          '9.0-1'],
         ['none', '+0 ', 0, '9.0-1'])
    {
        my ($title, $config, $taken, $then) = @$_;
        my $before = $lib->dump;

        is_deeply($lib->apply($events, config => $config),
                  $taken ? {} : { stale => $then }, $title);
        is($own->(), $then, 'and what the shard has then');
        is_deeply($lib->dump, $before, 'nothing is written') if !$taken;
    }

    my $follow = sub { $lib->call('knock_version_follow', ['version'], @_) };

    is($follow->('10.0-1', ''), '10.0-1', 'it is told of a newer one');
    is($follow->('9.0-1', '8.0-1'), '10.0-1', 'not of an older one');
    is($follow->('9.0-1', '10.0-1'), '9.0-1',
       'but of what is left where its own is lost');
    is($own->(), '9.0-1', 'and keeps it');
}


# what has been applied at another place is so here, and a change is told

sub begun_elsewhere {
    my $events = [identify('u', {}), track('m', 'nobody')];

    $lib->flush;
    $lib->redis('SET', $lib->key('version'), '5.0-1');

    is_deeply($lib->apply($events, config => '4.0-1'), { stale => '5.0-1' },
              'an older configuration');
    is_deeply($lib->redis('KEYS', '*'), [$lib->key('version')],
              'nothing is written');
    is_deeply($lib->apply($events, config => '=4.0-1'),
              { changed => 1, u => [0] }, 'that was begun elsewhere');
    is_deeply($lib->apply($events, config => '=5.0-1'), { d => [1] },
              'the one that is live');
    is_deeply($lib->apply($events, config => '=4.0-1',
                          guard => ['user:u', 'x']),
              { guarded => 1 }, 'a guard that is not met');
}


sub versions_go_on {
    $lib->flush;
    $lib->redis('SET', $lib->key('version'), '99999999999.000005-7');
    $lib->call('knock_toggle', ['version', 'toggles'], 'action', 'a', 0);

    is($lib->redis('GET', $lib->key('version')), '99999999999.000005-8',
       'a clock that went back takes no version back');
}


# ---- repeats

sub marked {
    return [ sort grep { length } map { @{ $lib->redis('HKEYS', $_) } }
                                  map { $lib->key("seen:$_") } 0, 1 ];
}


sub marks {
    in_all_forms(sub {
        write_user('u');

        is_deeply($lib->apply([track('a', 'u'), track('b'),
                               { %{ track('c') }, status => 'f' },
                               { %{ identify('v', {}) }, mark => 'd' }], @_),
                  {}, 'four events with marks');
        is_deeply(marked(), ['a', 'b', 'd'],
                  'are remembered, but for one that failed');
        is_deeply($lib->apply([track('a', 'u'), track('b'), track('c', 'u'),
                               { %{ identify('w', {}) }, mark => 'd' },
                               track('e', 'w'),
                               { %{ track('a') }, status => 'f' }], @_),
                  { d => [0, 1, 3, 5], u => [2] }, 'repeats are told');
        is_deeply(runs(), ['{"a":"u"}', '{"c":"u"}'], 'and have no runs');
        is_deeply(user('w'), {}, 'nor users');
        is_deeply(marked(), ['a' .. 'e'], 'each is remembered once');
    });
}


# Of events with one mark in a call the first that is applied counts.

sub twins {
    in_all_forms(sub {
        write_user('u', o => '{"a":1}');

        my @same = map { { %{ identify('v', { n => $_ }) }, mark => 'm',
                           runs => [['user:u', $_]] } } 1 .. 3;

        is_deeply($lib->apply(\@same, @_), { d => [1, 2] }, 'three of one');
        is_deeply([ user('v')->{n}, runs() ], [1, ['1']],
                  'are the first one');

        is_deeply($lib->apply([{ %{ track('f', 'u') }, status => 'f',
                                 runs => [] }, track('f', 'u'),
                               track('f', 'u')], @_),
                  { d => [2] }, 'one that failed has no twin');

        # the first one is to be merged, so the second waits

        my @merge = map { { %{ identify('u', {}, { o => $_ }) },
                            mark => 'o' } } '{"b":1}', '{"c":1}';
        my $answer = $lib->apply(\@merge, @_);

        is_deeply($answer, { n => [[0, 'y', '{"a":1}']], w => [1] },
                  'it is not known yet whether it is a repeat');
        is_deeply($lib->apply(Knock::Library::again(\@merge, $answer), @_),
                  { d => [1] }, 'until the first one is applied');
        is(user('u')->{o}, '{"a":1,"b":1}', 'which is all that is done');

        # the first one is refused, so the second is none

        my @large = map { { %{ identify('big', { x => 'x' x $_ }) },
                            mark => 'l' } } BOUND, 10;

        is_deeply($lib->apply(\@large, @_), { l => [0] },
                  'what was refused has no twin');
        is(user('big')->{x}, 'x' x 10, 'the second is applied');
    });
}


# The marks of the windows: which are remembered under another length.

sub the_window_is_changed {
    my $day = 86400000;
    my $old = now_ms() - $day / 2;

    # a mark of half a day ago, in either hash

    for my $hash (0, 1) {
        $lib->flush;
        $lib->redis('HSET', $lib->key("seen:$hash"), 'm', $old, '',
                    now_ms() + $day);

        is_deeply($lib->apply([track('m')], window => $day), { d => [0] },
                  "half a day ago, in seen:$hash: within a day");
        is_deeply($lib->apply([track('m')], window => 2 * $day),
                  { d => [0] }, 'and after the window was raised');
        is_deeply($lib->apply([track('m')], window => $day / 3), {},
                  'not after it was lowered');
        is_deeply($lib->apply([track('m')], window => $day / 3), { d => [0] },
                  'but it is known from now on');
    }

    # a window that is raised keeps the marks for longer

    $lib->flush;
    $lib->apply([track('a')], window => 1000);

    my ($key) = @{ $lib->redis('KEYS', '*') };
    my $expires = $lib->redis('PEXPIRETIME', $key);

    cmp_ok($expires - now_ms(), '<=', 2000, 'a second: it expires soon');

    for my $try (1 .. 2) {
        $lib->apply([track("b$try")], window => $day);
    }

    my %seen = map { ($_ => $lib->redis('PEXPIRETIME', $_)) }
               @{ $lib->redis('KEYS', '*') };

    is((grep { $_ > now_ms() + $day - 1000 } values %seen) > 0, 1,
       'a day: the hash that is written to stays');
    is($lib->redis('HGET', $_, '') // '', $seen{$_},
       'the field is when it expires') for keys %seen;
}


# Marks that were set under a clock far ahead do not stay for ever, and the hash
# that is written to does not vanish before its time.

sub a_clock_that_was_ahead {
    my $day = 86400000;
    my $far = now_ms() + 1000 * $day;

    for my $hash (0, 1) {
        $lib->flush;
        $lib->redis('HSET', $lib->key("seen:$hash"), 'old', $far - $day, '',
                    $far);
        $lib->redis('PEXPIREAT', $lib->key("seen:$hash"), $far);

        is_deeply($lib->apply([track('m')], window => $day), {},
                  'an event after the clock has been put right');
        is_deeply($lib->apply([track('m')], window => $day), { d => [0] },
                  'its repeat');
    }

    my @expire = map { $lib->redis('PEXPIRETIME', $_) }
                 grep { $lib->redis('HEXISTS', $_, 'm') }
                 @{ $lib->redis('KEYS', '*') };

    is(scalar @expire, 1, 'it is in one hash');
    cmp_ok($expire[0] - now_ms(), '<=', 2 * $day,
           'which expires within two windows');
    cmp_ok($expire[0] - now_ms(), '>', 0.99 * $day, 'not before one');

    # a hash that has had its time and is still there has nothing to say

    $lib->flush;

    my $period = int now_ms() / $day;
    my $key = $lib->key('seen:' . $period % 2);

    $lib->redis('HSET', $key, 'old', now_ms() - 3 * $day, '',
                now_ms() - $day);
    $lib->apply([track('m')], window => $day);
    is_deeply([ sort @{ $lib->redis('HKEYS', $key) } ], ['', 'm'],
              'old marks go when the first new one comes');
}


# ---- objects

sub objects_are_merged {
    in_all_forms(sub {
        my %options = @_;

        write_user('u', o => '{"a":1}', same => '{"s":1}', empty => '{}',
                   text => '"t"', list => '[1]');

        is_deeply($lib->apply([identify('u', {}, {
                      new => '{"n":1}', same => '{"s":1}', empty => '{"e":1}',
                      text => '{"t":1}', list => '{"l":1}' })], %options),
                  {}, 'where no object meets another one, none is merged');
        is_deeply(user('u'),
                  { id => '"u"', o => '{"a":1}', new => '{"n":1}',
                    same => '{"s":1}', empty => '{"e":1}', text => '{"t":1}',
                    list => '{"l":1}' }, 'it takes its place');

        my @events = ({ mark => 'm', runs => [['user:u', '1']],
                        %{ identify('u', { n => 1 },
                                    { o => '{"b":1}', x => '{}' }) } });
        my $before = $lib->dump;
        my $answer = $lib->apply(\@events, %options);

        is_deeply($answer, { n => [[0, 'y', '{"a":1}', '']] },
                  'what is stored is answered');
        is_deeply($lib->dump, $before, 'and nothing is done');

        my $again = Knock::Library::again(\@events, $answer);

        is_deeply($lib->apply($again, %options), {}, 'merged it is applied');
        is_deeply([ @{ user('u') }{qw(n o x)} ], [1, '{"a":1,"b":1}', '{}'],
                  'whole');
        is_deeply([ runs(), marked() ], [['1'], ['m']],
                  'with its run and mark');
        is_deeply($lib->apply($again, %options), { d => [0] },
                  'and is a repeat from then on');
    });
}


sub a_base_that_has_changed {
    in_all_forms(sub {
        my %options = @_;

        write_user('u', o => '{"a":1}');

        my @events = (identify('u', { n => 1 }, { o => '{"b":1}' }));
        my $answer = $lib->apply(\@events, %options);

        for my $other ('{"c":1}', '"text"', '', '{"d":1}') {
            $other eq '' ? $lib->redis('HDEL', $lib->key('user:u'), 'o')
                         : write_user('u', o => $other);

            @events = @{ Knock::Library::again(\@events, $answer) };

            my $before = $lib->dump;

            $answer = $lib->apply(\@events, %options);
            is_deeply($answer, { n => [[0, 'y', $other]] },
                      "somebody was faster: '$other'");
            is_deeply($lib->dump, $before, 'nothing is done');
        }

        is_deeply($lib->apply(Knock::Library::again(\@events, $answer),
                              %options), {}, 'then nobody was');
        is(user('u')->{o}, '{"b":1,"d":1}', 'and nothing is lost');

        # a verdict that has changed

        my @late = (identify('u', {}, { o => '{"b":2}' }, 10));

        $answer = $lib->apply(\@late, %options);
        is($answer->{n}[0][1], 'y', 'the newest identify');
        $lib->apply([identify('u', {}, {}, 20)], %options);
        $answer = $lib->apply(Knock::Library::again(\@late, $answer),
                              %options);
        is($answer->{n}[0][1], 'o', 'is no longer the newest');
        is_deeply($lib->apply(Knock::Library::again(\@late, $answer),
                              %options), {}, 'and is merged anew');
        is(user('u')->{o}, '{"b":1,"d":1}', 'it overwrites nothing');
    });
}


# An identify that is older than one that the user has taken fills in what is
# missing, also within objects.

sub late_identifies {
    in_all_forms(sub {
        my %options = @_;
        my $send = sub { return $lib->apply_all([@_], %options)->{said} };

        $send->(identify('u', { name => '"new"', updated_at => 1 },
                         { o => '{"a":1,"in":{"x":1}}', e => '{}' }, 20));

        my $before = user('u');

        is($before->{identified_at}, at(20), 'its time is kept');

        $send->(identify('u', { name => '"old"', updated_at => 2 },
                         { o => '{"a":2}' }, 10));
        is_deeply(user('u'), $before, 'a late one that brings nothing new');

        $send->(identify('u', { name => '"old"', mail => '"m"',
                                updated_at => 3 }, {}, 10));
        is_deeply(user('u'), { %$before, mail => '"m"', updated_at => 3 },
                  'a late one fills in');

        $send->(identify('u', { name => '"old"', updated_at => 4 },
                         { o => '{"a":2,"b":2,"in":{"x":2,"y":2}}',
                           p => '{"p":1}', e => '{"e":1}' }, 11));
        is_deeply(user('u'),
                  { %$before, mail => '"m"', updated_at => 4,
                    o => '{"a":1,"b":2,"in":{"x":1,"y":2}}', p => '{"p":1}',
                    e => '{"e":1}' }, 'within objects');

        $send->(identify('u', { updated_at => 5 }, { o => '{"z":1}' }, 12));
        is(user('u')->{updated_at}, 5, 'which is a change, too');

        write_user('u', o => '"text"');
        $send->(identify('u', {}, { o => '{"a":1}' }, 13));
        is(user('u')->{o}, '"text"', 'what is no object stays');

        $send->(identify('u', { name => '"same"' }, {}, 20));
        is(user('u')->{name}, '"same"', 'one of the same time is not late');
        $send->(identify('u', { name => '"any"' }));
        is(user('u')->{name}, '"any"', 'nor one without');
        is(user('u')->{identified_at}, at(20), 'which changes no time');
        $send->(identify('u', { name => '"newer"' }, {}, 21));
        is_deeply([ @{ user('u') }{qw(name identified_at)} ],
                  ['"newer"', at(21)], 'a newer one does');

        # two of a call

        $send->(identify('v', { a => 1, b => 1 }, {}, 5),
                identify('v', { a => 2, c => 2 }, {}, 4));
        is_deeply(user('v'), { id => '"v"', a => 1, b => 1, c => 2,
                               identified_at => at(5) }, 'in one call');
    });
}


# An event may set one object several times: an identify whose action is for the
# same user.

sub objects_that_are_set_twice {
    in_all_forms(sub {
        my %options = @_;
        my $set = sub {
            my ($user, @ops) = @_;

            return $lib->apply_all([{ ops => [ map {
                ["user:$user", $_->[0], { id => qq("$user") },
                 { o => $_->[1] }, defined $_->[2] ? at($_->[2]) : undef]
            } @ops ] }], %options);
        };

        $set->('u', ['e', '{"a":1,"b":1}'], ['r', '{"b":2}']);
        is(user('u')->{o}, '{"a":1,"b":2}', 'a new object, in order');
        $set->('u', ['e', '{"c":3}'], ['r', '{"a":4}'], ['r', '{"d":5}']);
        is(user('u')->{o}, '{"a":4,"b":2,"c":3,"d":5}', 'one that is stored');

        $lib->apply([identify('v', {}, {}, 20)], %options);
        $set->('v', ['e', '{"a":1,"b":1}', 10], ['r', '{"b":2,"c":2}', 11]);
        is(user('v')->{o}, '{"a":1,"b":1,"c":2}',
           'two late ones: the first fills in before the second');
        $set->('v', ['e', '{"a":9,"d":9}', 10], ['r', '{"b":8}']);
        is(user('v')->{o}, '{"a":1,"b":8,"c":2,"d":9}',
           'a late one, and one without a time');
    });
}


# What touches what is to be merged first waits for it, and so do later runs of
# a request for those of its own that wait; nothing else does.

sub they_wait_for_each_other {
    in_all_forms(sub {
        my %options = @_;

        write_user($_, o => '{"a":1}') for 'u', 'v';

        my @first = (
            track('0', 'u'),
            { mark => '1', ops => [ ['user:new', 'e', { id => '"new"' }],
                                    ['user:u', 'e', { n => 1 },
                                     { o => '{"b":1}' }] ] },
            track('2', 'v'), track('3', 'u'), track('4', 'v'),
            identify('u', { n => 5 }),
            { %{ track('6', 'v') }, %{ identify('x', { n => 6 }) } },
            identify('v', { m => 7 }),
            identify('u', {}, { o => '{"c":1}' }), { mark => '9' },
        );
        my @second = (track('10', 'v'), track('11', 'v', 'new'),
                      track('12', 'v'), identify('w', {}));
        my @events = ((map { { %$_, request => 1 } } @first),
                      (map { { %$_, request => 2 } } @second));

        my $answer = $lib->apply(\@events, %options);

        is_deeply([ $answer->{n}, [ sort { $a <=> $b } @{ $answer->{w} } ] ],
                  [ [ [1, 'yy', '{"a":1}'], [8, 'y', '{"a":1}'] ],
                    [3, 4, 5, 6, 11, 12] ], 'those that touch it wait');
        is_deeply(runs(), [ map { qq({"$_->[0]":"$_->[1]"}) }
                            ['0', 'u'], ['2', 'v'], ['10', 'v'] ],
                  'and runs behind one that waits');
        is_deeply(user('x'), {}, 'also if they bring somebody else');
        is_deeply([ user('v')->{m}, user('w')->{id} ], [7, '"w"'],
                  'nothing else does');
        is_deeply(user('new'), {}, 'no event is applied in part');
        is_deeply(marked(), ['0', '10', '2', '9'], 'or remembered');

        my $done = $lib->apply_all(Knock::Library::again(\@events, $answer),
                                   %options);

        is_deeply([ @$done{qw(said u b calls)} ],
                  [ [ ('') x 8 ], [], [], 2 ], 'then all are applied');
        is_deeply(user('u'), { id => '"u"', n => 5,
                               o => '{"a":1,"b":1,"c":1}' }, 'in order');

        for my $request ([0 .. 9], [10 .. 12]) {
            my %own = map { ($_ => 1) } @$request;
            my @order = grep { $own{$_} } map { /(\d+)/ } @{ runs() };

            is_deeply(\@order, [ sort { $a <=> $b } @order ],
                      "runs of a request are in the order of its events");
        }

        is(scalar @{ runs() }, 9, 'all of them');
    });
}


# ---- large users

# A user that holds so many bytes less than the bound.

sub almost {
    my ($id, $less) = @_;

    write_user($id, pad => 'x' x (BOUND - $less - length "id\"$id\"pad"));
    $lib->redis('SADD', $lib->key('large'), $lib->key("user:$id"));
}


sub large_users {
    in_all_forms(sub {
        my %options = @_;

        almost('u', 10);

        my $before = user('u');
        my $event = sub {
            my ($mark, $kind, $n) = @_;

            return { %{ track($mark, 'u', 'v') },
                     ops => [ ['user:u', $kind, { more => 'x' x ($n - 4) }],
                              ['user:v', 'e', { id => '"v"' }] ] };
        };

        is_deeply($lib->apply([$event->('a', 'e', 11)], %options),
                  { l => [0] }, 'a byte too many');
        is_deeply([ user('u'), user('v'), runs(), marked() ],
                  [ $before, {}, [], [] ], 'nothing of it is done');

        is_deeply($lib->apply([$event->('a', 'r', 11)], %options),
                  { b => [0] }, 'of a recipient');
        is_deeply([ user('u'), user('v')->{id}, runs(), marked() ],
                  [ $before, '"v"', ['{"a":"v"}'], ['a'] ],
                  'only the run is not made');

        is_deeply($lib->apply([$event->('b', 'e', 10)], %options), {},
                  'the last byte');
        is_deeply($lib->apply([$event->('c', 'e', 11)], %options),
                  { l => [0] }, 'no byte is left');
        is_deeply($lib->apply([$event->('d', 'e', 10)], %options), {},
                  'what takes no more than what it replaces');
        is_deeply($lib->apply([identify('u', { more => '1' }),
                               identify('u', { pad => '"less"' }),
                               $event->('e', 'e', 1000)], %options), {},
                  'what others of the call have made room for');
        is_deeply(large(), ['u'], 'it stays among the large ones');
    });
}


# What a late identify does not overwrite does not count.

sub late_identifies_of_large_users {
    in_all_forms(sub {
        my %options = @_;

        almost('u', 70);
        write_user('u', identified_at => at(20), o => '{"a":1}', s => '"s"');

        is_deeply($lib->apply([identify('u', { pad => 'x' x (BOUND - 10) },
                                        {}, 10)], %options),
                  {}, 'a field that stays as it is');
        is_deeply($lib->apply([identify('u', { new => 'x' x 100 }, {}, 10)],
                              %options),
                  { l => [0] }, 'one that would be filled in');

        my $said = $lib->apply_all([identify('u', {}, { o => '{"a":2,"b":2}',
                                                        s => '{"a":1}' },
                                             10)], %options)->{said};

        is_deeply([ $said, @{ user('u') }{qw(o s)} ],
                  [ [''], '{"a":1,"b":2}', '"s"' ], 'objects within');

        $said = $lib->apply_all([identify('u', {},
                                          { o => '{"c":"' . 'x' x 100
                                                 . '"}' }, 10)],
                                %options)->{said};
        is_deeply([ $said, user('u')->{o} ], [ ['l'], '{"a":1,"b":2}' ],
                  'an object that would fill up too much');
    });
}


# A user that may be large is known as such before it can be too large.

sub they_are_found_to_be_large {
    in_all_forms(sub {
        my %options = @_;

        $lib->apply([identify('small', { map { ("f$_", 1) } 1 .. 98 })],
                    %options);
        is_deeply(large(), [], 'a user of 99 fields');
        $lib->apply([identify('small', { last => 1, more => 1 })], %options);
        is_deeply(large(), ['small'], 'and of 101');

        $lib->apply([identify('u', { map { ("f$_", 'x' x 1000) } 1 .. 30 })],
                    %options);
        is_deeply(large(), ['small'], 'one of 30 kB');
        $lib->apply([identify('u', { map { ("g$_", 'x' x 1000) } 1 .. 3 })],
                    %options);
        is_deeply(large(), ['small', 'u'], 'and of 33 kB');

        # as small pieces as may be sent without a look, until it is full

        my ($n, $refused) = (0, 0);

        while (!$refused && ++$n < 1000) {
            my $answer = $lib->apply([identify('v', { "p$n" =>
                                                      'x' x (LOOK - 50) })],
                                     %options);

            $refused = $answer->{l};
        }

        my $size = 0;

        $size += length for %{ user('v') };
        cmp_ok($size, '<=', BOUND, 'pieces below the bound of a look');
        cmp_ok($size, '>', BOUND - LOOK, 'are taken while there is room');

        # and within one call

        my @pieces = map { identify('w', { "p$_" => 'x' x (LOOK - 50) }) }
                     1 .. 200;
        my $answer = $lib->apply(\@pieces, %options);

        $size = 0;
        $size += length for %{ user('w') };
        cmp_ok($size, '<=', BOUND, 'in one call too');
        is(scalar @{ $answer->{l} }, 200 - ($n - 1),
           'as many as in calls of their own');
    });
}


# What reads too much waits for the next call, and each call gets on.

sub a_budget_of_strings {
    in_all_forms(sub {
        my %options = @_;

        for my $id ('a' .. 'f') {
            write_user($id, map { ("f$_", 1) } 1 .. 10000);
            $lib->redis('SADD', $lib->key('large'), $lib->key("user:$id"));
        }

        my @events = ((map { { mark => "m$_", runs => [["user:$_", qq("$_")]],
                               %{ identify($_, { n => 1 }) } } } 'a' .. 'f'),
                      { %{ track('other', 'a') }, request => 2 },
                      identify('g', {}),
                      identify('f', { n => 2 }));
        my $answer = $lib->apply(\@events, %options);

        # each has 20,002 strings

        is_deeply([ sort @{ delete $answer->{w} } ],
                  $options{heavy} ? [3, 4, 5, 7, 8] : [3, 4, 5, 8],
                  'after 50,000 the others wait');
        is_deeply($answer, {}, 'nothing else is told');
        is_deeply(runs(), ['"a"', '"b"', '"c"', '{"other":"a"}'],
                  'what needs none goes on');
        is_deeply([ map { user($_)->{n} } 'a' .. 'f' ],
                  [1, 1, 1, undef, undef, undef], 'they have not been done');

        is($lib->apply_all(\@events, %options)->{calls}, 2,
           'those that are left are done in two calls');
        is_deeply([ map { user($_)->{n} } 'a' .. 'f' ], [1, 1, 1, 1, 1, 2],
                  'in order');
        is(scalar @{ runs() }, 7, 'each with its run');
    });
}


sub a_budget_of_bases {
    in_all_forms(sub {
        my %options = @_;

        write_user($_, o => '{"a":"' . 'x' x 100_000 . '"}') for 'a' .. 'f';

        my @events = map { identify($_, {}, { o => '{"b":1}' }) } 'a' .. 'f';
        my $answer = $lib->apply(\@events, %options);

        is_deeply([ map { $_->[0] } @{ $answer->{n} } ], [0, 1, 2],
                  'no more than 256 kB are answered, and one object');
        is_deeply($answer->{w}, [3, 4, 5], 'the others wait');

        is_deeply($lib->apply_all(\@events, %options)->{said}, [ ('') x 6 ],
                  'and are applied in the end');
        is(scalar(grep { user($_)->{o} =~ /"b":1/ } 'a' .. 'f'), 6,
           'each of them');
    });
}


# ---- runs

sub runs_keep_their_order {
    in_all_forms(sub {
        my %options = @_;

        write_user($_) for 'u', 'v';
        write_user('o', o => '{"a":1}');
        $lib->redis('RPUSH', $lib->key('runs'), 'old');
        $lib->apply([track('seen')]);

        my @events = (
            track('a', 'u', 'nobody', 'v'), track('seen', 'u', 'v'),
            track('b', 'nobody'),
            { %{ track('c', 'o', 'u') },
              ops => identify('o', {}, { o => '{"b":1}' })->{ops} },
            (map { { %$_, request => 2 } }
             track('d', 'u', 'u', 'later'), identify('later', {}),
             track('e', 'later', 'v'), track('f', 'o', 'v'),
             track('g', 'v')),
        );

        my $answer = $lib->apply(\@events, %options);

        is_deeply(runs(), ['old', map { qq({"$_->[0]":"$_->[1]"}) }
                                  ['a', 'u'], ['a', 'v'], ['d', 'u'],
                                  ['d', 'u'], ['e', 'later'], ['e', 'v']],
                  'those that stay are in order');
        is_deeply([ sort { $a <=> $b } @{ $answer->{u} } ], [1, 5, 10],
                  'the others are told, but of events that were not applied');

        $lib->redis('DEL', $lib->key('runs'));
        is_deeply($lib->apply([track('g', 'x', 'y')], %options),
                  { u => [0, 1] }, 'nobody is there');
        is($lib->redis('EXISTS', $lib->key('runs')), 0, 'there is no list');

        # more than Lua gives to a command at once

        my @ids = map { $_ % 3 ? 'u' : 'x' } 1 .. 20000;

        $answer = $lib->apply([track('h', @ids)], %options);
        is(scalar @{ $answer->{u} }, 6666, 'every third of many');
        is_deeply(runs(), [ ('{"h":"u"}') x 13334 ], 'the others stay');

        $lib->redis('DEL', $lib->key('runs'));
        write_user('x');
        $lib->apply([track('i', @ids)], %options);
        is_deeply(runs(), [ map { qq({"i":"$_"}) } @ids ], 'or all do');
    });
}


# Whom an event would have brought that is not applied is not there for later
# ones, unless somebody else has brought him.

sub a_run_for_whom_an_event_fails {
    in_all_forms(sub {
        my %options = @_;
        my $large = identify('u', { x => 'x' x BOUND });

        is_deeply($lib->apply([$large, track('a', 'u')], %options),
                  { l => [0], u => [0] }, 'a user that was too large');
        is_deeply($lib->apply([track('b', 'u'), $large, track('c', 'u'),
                               identify('u', {}), track('d', 'u')], %options),
                  { l => [1], u => [0, 1] }, 'or is brought after all');
        is_deeply($lib->apply([$large, track('e', 'u')], %options),
                  { l => [0] }, 'or was there');

        $lib->apply([{ mark => 'm' }]);
        is_deeply($lib->apply([{ %{ identify('v', {}) }, mark => 'm' },
                               track('f', 'v'),
                               { mark => 'g', actors => ['user:v',
                                                         'user:u'] }],
                              %options),
                  { d => [0], u => [0], a => [0] },
                  'a repeat brings nobody');
    });
}


# ---- what has a wrong type

sub wrong_types {
    in_all_forms(sub {
        my %options = @_;
        my $event = sub {
            my ($mark, $user, $objects, $time) = @_;

            return { %{ track($mark, 'u') },
                     ops => identify($user, {}, $objects, $time)->{ops} };
        };

        write_user('u');
        $lib->redis('SET', $lib->key('user:bad'), 'x');
        $lib->redis('SADD', $lib->key('large'), $lib->key('user:bad2'));
        $lib->redis('RPUSH', $lib->key('user:bad2'), 'x');

        my $answer = $lib->apply([$event->('a', 'v'), $event->('b', 'bad'),
                                  $event->('c', 'bad', { o => '{"a":1}' }),
                                  $event->('d', 'bad', {}, 10),
                                  $event->('e', 'bad2'),
                                  track('f', 'bad', 'u'), $event->('g', 'w')],
                                 %options);

        is_deeply([ map { $_->[0] } @{ $answer->{x} } ], [1 .. 4],
                  'the events that write them are refused');
        is(scalar(grep { $_->[1] =~ /^WRONGTYPE/ } @{ $answer->{x} }), 4,
           'with what Redis says');
        is_deeply([ keys %$answer ], ['x'], 'nothing else is told');
        is_deeply(marked(), ['a', 'f', 'g'], 'the others are applied');
        is_deeply(runs(), [ map { qq({"$_->[0]":"$_->[1]"}) }
                            ['a', 'u'], ['f', 'bad'], ['f', 'u'],
                            ['g', 'u'] ], 'with their runs');
        is_deeply([ $lib->redis('GET', $lib->key('user:bad')),
                    $lib->redis('LRANGE', $lib->key('user:bad2'), 0, -1) ],
                  ['x', ['x']], 'and what is there stays');
    });
}


# A key of the environment that has a wrong type fails the call before it has
# written anything.

sub the_first_error_is_before_the_first_write {
    for my $key (qw(version runs seen:0 seen:1 large)) {
        in_all_forms(sub {
            my %options = (@_, config => '0');

            $lib->redis('SADD', $lib->key($key), 'x') if $key ne 'large';
            $lib->redis('SET', $lib->key($key), 'x') if $key eq 'large';

            my $before = $lib->dump;
            my $answer = eval {
                $lib->apply([{ %{ track('m', 'u') },
                               ops => identify('u', {})->{ops} }], %options)
            };

            ok(!$answer, "$key of a wrong type") or diag(explain($answer));
            is_deeply($lib->dump, $before, 'nothing has been written');
        });
    }
}
