package Knock::Library;

# For the tests of redis-schema/knock.lua: a redis-server of its own with the
# library, calls with short key names, and what to say of an answer.
#
#   my $lib = Knock::Library->new;
#   my $doc = $lib->answers('a source is created', 201, undef,
#                           'knock_source_create', ['@/sources'], 's', $json);
#   $lib->refuses('twice', 409, 'exists', 'knock_source_create', ...);
#
# A key NAME is knock:{development}:NAME, ENV/NAME is knock:{ENV}:NAME.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Server qw(start_redis connect_redis);
use Knock::Test ();

use constant VERSION => 5;


sub new {
    my ($class) = @_;

    my $redis = connect_redis(start_redis());

    Knock::Test::load_library($redis);

    return bless { redis => $redis }, $class;
}


# Any command; an empty Redis; a key's whole name.

sub redis {
    my ($self, @command) = @_;

    return $self->{redis}->command(@command);
}


sub flush {
    my ($self) = @_;

    $self->redis('FLUSHALL');
}


sub key {
    my ($self, $name) = @_;

    return $name =~ m{^([\w\@-]+)/(.+)}s ? "knock:{$1}:$2"
                                         : "knock:{development}:$name";
}


# Calls a function; its reply, or dies with its error.

sub call {
    my ($self, $name, $keys, @args) = @_;

    return $self->redis('FCALL', $name, scalar @$keys,
                        (map { $self->key($_) } @$keys), VERSION, @args);
}


# The error that a call dies with.

sub call_error {
    my ($self, @call) = @_;

    eval { $self->call(@call) };

    return $@;
}


# All that Redis holds, for comparison: the expiry and value of each key.

sub dump {
    my ($self) = @_;
    my %read = (
        string => sub { $self->redis('GET', @_) },
        list   => sub { $self->redis('LRANGE', @_, 0, -1) },
        set    => sub { [ sort @{ $self->redis('SMEMBERS', @_) } ] },
        zset   => sub { $self->redis('ZRANGE', @_, 0, -1, 'WITHSCORES') },
        hash   => sub { return { @{ $self->redis('HGETALL', @_) } } },
        stream => sub { $self->redis('XRANGE', @_, '-', '+') },
    );

    return { map { ($_ => [ $self->redis('PEXPIRETIME', $_),
                            $read{ $self->redis('TYPE', $_) }->($_) ]) }
             @{ $self->redis('KEYS', '*') } };
}


# A call whose answer has this status and, unless undef, this ETag (a true one
# for 1); gives its decoded body, or '' if it has none.

sub answers {
    my ($self, $title, $status, $etag, @call) = @_;

    my $reply = $self->call(@call);
    my $body = '';

    if ($reply->[1] ne '') {
        $body = eval { JSON::PP->new->utf8->decode($reply->[1]) };
    }

    my $good = @$reply == 3 && $reply->[0] == $status && defined $body
               && (!defined $etag
                   || ($etag eq '1' ? $reply->[2] =~ /^[0-9a-f]{40}$/
                                    : $reply->[2] eq $etag));

    ok($good, $title) or diag(explain($reply), $@);

    $self->{etag} = $reply->[2];

    return $body;
}


# The ETag of the last answer.

sub etag {
    my ($self) = @_;

    return $self->{etag};
}


# A call that answers an error and changes nothing.

sub refuses {
    my ($self, $title, $status, $code, @call) = @_;

    my $before = $self->dump;
    my $reply = $self->call(@call);
    my $body = eval { JSON::PP->new->utf8->decode($reply->[1]) } || {};
    my $error = $body->{error} || {};

    ok($reply->[0] eq $status && ($error->{code} // '') eq $code
       && length($error->{message} // '') && join(' ', keys %$body) eq 'error',
       $title) or diag(explain($reply));
    is_deeply($self->dump, $before, "$title, and nothing is changed");
}


# A call that is wrong in itself: it dies with an error like `pattern`, and
# changes nothing.

sub dies {
    my ($self, $title, $pattern, @call) = @_;

    my $before = $self->dump;

    like($self->call_error(@call), $pattern, $title);
    is_deeply($self->dump, $before, "$title, and nothing is changed");
}


# The documents of all pages of a list, whose answers are checked; `call` is
# all in front of limit and cursor.

sub pages {
    my ($self, $limit, @call) = @_;

    my ($cursor, @items) = ('');

    for my $page (1 .. 1000) {
        my $answer = JSON::PP->new->utf8->decode(
            $self->call(@call, $limit, $cursor)->[1]);

        die "page $page is too long" if @{ $answer->{items} } > $limit;
        push @items, @{ $answer->{items} };
        $cursor = $answer->{cursor};

        return \@items unless defined $cursor;
    }

    die 'a list without end';
}


# Calls knock_apply with events, each of which has what it needs of
#
#   mark                    the text by which it is known
#   status                  'f': its mark is looked up, and not remembered
#   ops                     [[key, kind, {field => JSON}, {object field => JSON},
#                           identified_at], ...], a kind 'e' or 'r'
#   runs                    [[key, run], ...]
#   actors                  [key, ...]
#   resent                  [verdicts, base, ...], as it was answered
#   request                 the number of its request, 1 unless said
#
# Gives what it answers: { stale => version }, { guarded => 1 }, or of what is
# not as expected the indexes from 0, { d => [...], ... }, 'n' and 'x' with what
# comes behind, and `changed`.
#
# Options: `version` is the caller's, `config` that of the configuration;
# `window`; `guard`, [key, ETag]; `heavy`: every op is looked at; `pushed`: the
# runs are pushed in front of the call, as the worker does in a transaction.

sub apply {
    my ($self, $events, %options) = @_;

    my ($call, @pushed) = $self->apply_command($events, %options);

    return answer($self->redis(@$call)) if !$options{pushed};

    my ($runs, $token, $n) = @pushed;

    $self->redis('MULTI');
    $self->redis('RPUSH', $runs, @{ $pushed[3] }, $token);
    $self->redis(@$call);
    $self->redis('EVAL', guard(), 1, $runs, $token, $n + 1);

    return answer($self->redis('EXEC')->[1]);
}


# The FCALL alone; and the key of the runs, the token, how many runs there are,
# and the runs.

sub apply_command {
    my ($self, $events, %options) = @_;

    my $env = $options{environment} // 'development';
    my @fixed = map { $self->key("$env/$_") }
                qw(version runs seen:0 seen:1 large);
    my (@checked, @others, %place);

    # entities by name: the first time decides on which side they stand

    my $entity = sub {
        my ($name, $list) = @_;

        if (!$place{$name}) {
            push @$list, $self->key("$env/$name");
            $place{$name} = [$list, scalar @$list];
        }
    };

    for my $event (@$events) {
        $entity->($_->[0], \@others) for @{ $event->{ops} // [] };
        $entity->($_->[0], \@checked) for @{ $event->{runs} // [] };
        $entity->($_, \@checked) for @{ $event->{actors} // [] };
    }

    $entity->($options{guard}[0], \@others) if $options{guard};

    my $index = sub {
        my ($list, $n) = @{ $place{ $_[0] } };

        return @fixed + ($list == \@others ? @checked : 0) + $n;
    };

    my (@marks, @failed, @mark_event, @failed_event, @twins, %marked);
    my ($ops, $actors, $heavies) = ('', '', '');
    my (@packs, @runs, @first_run, @run_key, @texts, %brought);
    my ($nactors, $nheavy) = (0, 0);

    for my $e (1 .. @$events) {
        my $event = $events->[$e - 1];
        my $failed = ($event->{status} // 'p') eq 'f';
        my $mark = $event->{mark};

        if (defined $mark) {
            push @{ $failed ? \@failed : \@marks }, $mark;
            push @{ $failed ? \@failed_event : \@mark_event }, $e;
            push @twins, $e, $marked{$mark} if $marked{$mark};
            $marked{$mark} //= $e if !$failed;
        }

        my $text = 0;

        if ($event->{resent}) {
            $text = @texts + 1;
            push @texts, @{ $event->{resent} };
        }

        my @own = @{ $event->{ops} // [] };
        my $heavy = $options{heavy};
        my %set;

        for my $op (@own) {
            my ($key, undef, $plain, $objects) = @$op;

            $brought{$key} += length join '', %$plain, %{ $objects // {} };
            $heavy ||= $brought{$key} >= 2048 || $text;
            $heavy ||= $set{$key}{$_}++ for keys %{ $objects // {} };
        }

        for my $op (@own) {
            my ($key, $kind, $plain, $objects, $time) = @$op;
            my @plain = (defined $time ? ('identified_at', $time) : (),
                         map { ($_, $plain->{$_}) } sort keys %$plain);
            my @objects = map { ($_, $objects->{$_}) }
                          sort keys %{ $objects // {} };
            my $flags = 2 * !!@objects + ($kind eq 'r');
            my $npacks = 0;

            for my $strings (\@plain, \@objects) {
                while (my @some = splice @$strings, 0, 2000) {
                    push @packs, join '', map { packed($_) } @some;
                    $npacks++;
                }
            }

            if ($heavy) {
                $nheavy++;
                $heavies .= pack('NC', $brought{$key}, $text ? 1 : 0)
                            . uint24($op == $own[0] ? $text : 0);
            }

            $ops .= uint24($index->($key)) . pack('nn', $e, 4 * $npacks + $flags)
                    . uint24($heavy ? $nheavy : 0);
        }

        push @first_run, @runs + 1;

        for my $run (@{ $event->{runs} // [] }) {
            push @runs, $run->[1];
            push @run_key, $index->($run->[0]);
        }

        for my $actor (@{ $event->{actors} // [] }) {
            $nactors++;
            $actors .= pack('n', $e) . uint24($index->($actor));
        }
    }

    my $guard = $options{guard} ? $index->($options{guard}[0]) : 0;
    my $plan = pack('N9', scalar @checked, @marks + @failed, scalar @marks,
                    scalar @packs, scalar @runs, scalar @$events, $guard,
                    @twins / 2, $nactors)
               . $ops;

    my $details = pack('n*', @mark_event, @failed_event, @twins)
               . join('', map { uint24($_) } @first_run, @runs + 1)
               . pack('n*', map { $_->{request} // 1 } @$events)
               . join('', map { uint24($_) } @run_key)
               . $actors . $heavies;

    push @texts, $options{guard}[1] if $guard;

    my @keys = (@fixed, @checked, @others);
    my $token = $options{pushed} ? 'token ' . rand : '';
    my $version = $self->redis('GET', $keys[0]) // '0';

    return ['FCALL', 'knock_apply', scalar @keys, @keys,
            $options{version} // VERSION, $options{config} // $version,
            $options{window} // 86400000, $token, $plan, $details, '', @marks,
            @failed, @packs, $options{pushed} ? () : @runs, @texts],
           $keys[1], $token, scalar @runs, \@runs;
}


# Those of the events that are to be sent again, as they are then: the objects of
# those that were answered 'n' are merged with what is stored, as the worker
# merges them.

sub again {
    my ($events, $answer) = @_;

    my %need = map { ($_->[0] => [ @$_[1 .. $#$_] ]) } @{ $answer->{n} // [] };
    my %wait = map { ($_ => 1) } @{ $answer->{w} // [] };

    return [ map { $need{$_} ? merged($events->[$_], $need{$_})
                             : $events->[$_] }
             grep { $need{$_} || $wait{$_} } 0 .. $#$events ];
}


# An event whose objects have been merged with what was answered.

sub merged {
    my ($event, $need) = @_;

    my ($verdicts, @bases) = @$need;
    my $whole = $event->{whole} // $event->{ops};
    my (@ops, %value, %last);

    for my $i (0 .. $#$whole) {
        my ($key, $kind, $plain, $objects, @time) = @{ $whole->[$i] };
        my $verdict = substr $verdicts, $i, 1;
        my %merged;

        for my $name (sort keys %{ $objects // {} }) {
            my $id = "$key $name";

            $value{$id} = shift @bases if !exists $value{$id};

            my ($new, $stored) = ($objects->{$name}, $value{$id});
            my ($over, $under) = $verdict eq 'o' ? ($stored, $new)
                                                 : ($new, $stored);

            my $text = $stored eq '' ? $new : merge($under, $over);

            if ($verdict eq 'l') {
                $merged{$name} = length $text;
                next;
            }

            ${ $last{$id} } = length $stored if $last{$id};
            # of a scalar that stays no more is sent than its length

            $merged{$name} = $text =~ /^\{/ ? $text : length $text;
            $value{$id} = $text;
            $last{$id} = \$merged{$name};
        }

        push @ops, [$key, $kind, $plain, \%merged, @time];
    }

    return { %$event, whole => $whole, ops => \@ops, resent => $need };
}


# JSON merged: objects are, in order of their names, and else `over` counts.

sub merge {
    my ($under, $over) = @_;

    my $json = JSON::PP->new->utf8->canonical->allow_nonref;
    my $merge;

    $merge = sub {
        my ($base, $new) = @_;

        return $new if ref $base ne 'HASH' || ref $new ne 'HASH';

        my %merged = %$base;

        $merged{$_} = exists $base->{$_} ? $merge->($base->{$_}, $new->{$_})
                                         : $new->{$_} for keys %$new;

        return \%merged;
    };

    return $json->encode($merge->(map { $json->decode($_) } $under, $over));
}


# Sends events until all are done, as the worker does: those that are to be sent
# again in calls of their own.  Gives of each what has become of it ('d', 'l',
# 'x', or '' if it is applied), the runs that were refused ('u' and 'b'), and the
# number of calls.

sub apply_all {
    my ($self, $events, %options) = @_;

    my @events = map { { %{ $events->[$_] }, number => $_ } } 0 .. $#$events;
    my %done = (said => [ ('') x @events ], u => [], b => [], calls => 0);

    while (@events) {
        my $answer = $self->apply(\@events, %options);
        my @runs = map { $_->[1] } map { @{ $_->{runs} // [] } } @events;

        for my $said (qw(d l x)) {
            $done{said}[$events[ref $_ ? $_->[0] : $_]{number}] = $said
                for @{ $answer->{$said} // [] };
        }

        push @{ $done{$_} }, @runs[@{ $answer->{$_} // [] }] for qw(u b);

        @events = @{ again(\@events, $answer) };
        die 'events are never done' if ++$done{calls} > 100;
    }

    return \%done;
}


# what knock_apply answers, as apply() gives it

sub answer {
    my ($reply) = @_;

    my ($what, @rest) = @$reply;

    return { stale => $rest[0] } if $what eq 'stale';
    return { guarded => 1 } if $what eq 'guarded';

    my %answer = $what eq 'changed' ? (changed => 1) : ();

    while (@rest) {
        my ($kind, $index) = splice @rest, 0, 2;
        my @more = $kind eq 'x' ? splice @rest, 0, 1
                   : $kind eq 'n' ? splice @rest, 0, 2 : ();

        push @more, splice @rest, 0, pop @more if $kind eq 'n';

        push @{ $answer{$kind} }, @more ? [$index - 1, @more] : $index - 1;
    }

    return \%answer;
}


# A string in MessagePack, and an integer in three bytes.

sub packed {
    my ($text) = @_;

    my $n = length $text;

    return ($n < 32 ? pack('C', 0xa0 | $n)
            : $n <= 0xffff ? pack('Cn', 0xda, $n) : pack('CN', 0xdb, $n))
           . $text;
}


sub uint24 {
    my ($n) = @_;

    return substr pack('N', $n), 1;
}


# The script that takes off what was pushed, as the worker has it.

sub guard {
    my $file = 'ngx_knock_module/knock_apply_command.c';

    open my $in, '<', $file or die "$file: $!";

    my ($text) = do { local $/; <$in> } =~ /KNOCK_APPLY_GUARD\b.*\n((?:\s+".*\n)+)/
                 or die "no guard in $file";

    return join '', $text =~ /"(.*)"/g;
}

1;
