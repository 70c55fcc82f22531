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


# Calls knock_apply with units, each { events => [...] } and what else of
# plan, told, expect, bases, guard (a key's name), etag; an event has mark, status,
# event, sample, log (a document), verdicts (of shards), ops [[key, kind, {field => JSON}, {object
# field => JSON}], ...], actions [[actor or '', [key, run], ...], ...]; and
# catalogue => '' for none.  Options: `version` is the caller's; `plain`, the
# plan says that it is enough; `pushed`, the runs are pushed in front of the
# call, as the worker does in a transaction, which gives what EXEC does.

my %STATUS = (p => 0, i => 1, f => 2, l => 3);

sub apply {
    my ($self, $units, %options) = @_;

    my $env = $options{environment} // 'development';
    my @keys = map { $self->key("$env/$_") }
               qw(version runs seen:0 seen:1 large catalogue:segment
                  catalogue_info:segment log:segment);
    my %index = map { substr($keys[$_], 1 + rindex $keys[$_], '}') =~ s/^://r
                      => $_ + 1 } 0 .. $#keys;
    my $index = sub {
        my ($name) = @_;

        return 0 if !defined $name || $name eq '';
        return $index{$name} //= push @keys, $self->key("$env/$name");
    };
    my (@marks, @packs, @runs, @logs, @counts, @texts, @numbers);
    my (%count, %there, @must, @packed, $nevents);

    my $must = sub {
        my ($entity) = @_;

        push @must, $entity if $entity && !$there{$entity}++;
    };

    for my $unit (@$units) {
        my @events = @{ $unit->{events} };
        my @bases = @{ $unit->{bases} // [] };

        push @numbers, scalar @events,
             ($unit->{plan} // 0) + ($unit->{told} ? 4 : 0),
             defined $unit->{expect} ? 1 : 0, scalar @bases,
             $index->($unit->{guard});
        push @texts, $unit->{expect}, @bases if defined $unit->{expect};
        push @texts, $unit->{etag} // '' if $unit->{guard};

        for my $event (@events) {
            my $status = $event->{status} // 'p';
            my $name = $event->{event} // 'track/T';
            my $count = 0;
            my @ops = @{ $event->{ops} // [] };
            my @actions = @{ $event->{actions} // [] };

            $nevents++;

            if (!defined $event->{catalogue}) {
                $count = $count{$name};

                if (!$count) {
                    push @counts, { name => $name, events => 0, sample => '',
                                    of => 0 };
                    $count = $count{$name} = @counts;
                }

                $counts[$count - 1]{events}++;

                if (length($event->{sample} // '')) {
                    @{ $counts[$count - 1] }{qw(sample of)}
                        = ($event->{sample}, $nevents);
                }
            }

            push @marks, $event->{mark} if defined $event->{mark};
            push @numbers, defined $event->{mark} ? 1 : 0, $STATUS{$status},
                 $count, defined $event->{log} ? 8 : 0, scalar @ops;

            for my $op (@ops) {
                my ($key, $kind, $plain, $objects) = @$op;
                my @strings = ((map { ($_, $plain->{$_}) } sort keys %$plain),
                               (map { ($_, $objects->{$_}) }
                                sort keys %{ $objects // {} }));

                push @packs, join '', map { packed($_) } @strings;
                push @numbers, $index->($key), $kind eq 'r' ? 1 : 0,
                     length(join '', @strings), scalar keys %$plain,
                     scalar keys %{ $objects // {} };
                push @packed, pack 'n', $index->($key);
                $there{ $index->($key) } = 1;
            }

            push @numbers, scalar @actions;

            my $expected = $status . ($event->{verdicts} // '');

            for my $action (@actions) {
                my ($actor, @recipients) = @$action;

                push @numbers, $index->($actor), scalar @recipients,
                     map { $index->($_->[0]) } @recipients;
                push @runs, map { $_->[1] } @recipients;

                $must->($index->($actor)) if defined $event->{log};
                $must->($index->($_->[0])) for @recipients;

                $expected .= ($index->($actor) ? 'a' : '')
                             . 'r' x @recipients . ';';
            }

            push @logs, $expected, $event->{log} if defined $event->{log};
        }
    }

    my $plan = pack 'N8', $options{plain} ? 1 : 0, scalar @marks,
                    scalar @packs, scalar @runs, @logs / 2, scalar @counts,
                    scalar @must, scalar @packed;

    $plan .= pack 'N3', 6, @$_{qw(events of)} for @counts;
    $plan .= join '', (map { pack 'n', $_ } @must), @packed,
                      (pack 'n', 8) x (@logs / 2) if $options{plain};

    my $token = $options{pushed} ? 'token ' . rand : '';
    my $version = $self->redis('GET', $keys[0]) // '0';
    my @call = ('FCALL', 'knock_apply', scalar @keys, @keys,
                $options{version} // VERSION, $options{config} // $version,
                $options{window} // 86400000, $options{log_length} // 1000,
                $options{catalogue_length} // 1000, $token, $plan,
                "@numbers", '', @marks, @packs,
                $options{pushed} ? () : @runs, @logs,
                (map { @$_{qw(name sample)} } @counts), @texts);

    return $self->redis(@call) if !$options{pushed};

    $self->redis('MULTI');
    $self->redis('RPUSH', $keys[1], @runs, $token);
    $self->redis(@call);
    $self->redis('EVAL', guard(), 1, $keys[1], $token, @runs + 1);

    return $self->redis('EXEC');
}


# A string in MessagePack.

sub packed {
    my ($text) = @_;

    my $n = length $text;

    return ($n < 32 ? pack('C', 0xa0 | $n)
            : $n <= 0xffff ? pack('Cn', 0xda, $n) : pack('CN', 0xdb, $n))
           . $text;
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
