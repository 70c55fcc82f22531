# Names that a sender chooses reach the key that they name and no other: all
# of Redis is compared before and after each event.

use strict;
use warnings;

use JSON::PP;
use Knock::Api;
use Knock::Shards qw(places shard_key);
use Knock::Test;
use Test::More;

my $most = 64;              # bytes of a collection's name
my $codec = JSON::PP->new->utf8->canonical->allow_nonref;

my ($shards) = $Knock::Api::Http =~ /knock_shards (\d+)/;

$shards //= 1;

# what an event may change besides whom it is about

my $home = 'knock:{development}:';
my @places = map { "knock:{$_}:" } places('development', $shards);
my @identified = ((map { ("${_}seen:0", "${_}seen:1") } $home, @places),
                  map { "$home$_:segment" } qw(log catalogue catalogue_info));
my @tracked = (@identified, map { "${_}runs" } @places);

my @good = (
    'plain', '{}', '}{', 'a{b}c', '{production}:user:u1', 'x}:runs', '}:runs',
    ':', '::', 'u:1', 'user:u1', ':user:u1', 'object:c:x', 'c:x', '..',
    '../runs', '../../{production}/runs', '/', '*', '?', '[a-z]*', '%', '%3A',
    '%253A', '%00', '%s%n', '%2e%2e%2fruns', '"', '\\', "'", '\\"', '$users',
    '$tenants', '@', '-1', '0', 'null', 'true', 'NaN', 'id', '__proto__',
    'FLUSHALL', "'; redis.call('FLUSHALL') --", ' ', ' u1', 'u1 ', 'U1',
    "\x{2028}", "\x{202e}1u", "\x{ff5b}x\x{ff5d}", "\x{e9}", "e\x{301}",
    "\x{1f600}", "\x{10ffff}", "\x{1f600}" x 16, 'x' x 64, "\x{1f600}" x 64,
    'x' x 256,
);

my @bad = ("\0", "u1\0", "\0u1", "u1\n", "\r\n", "u1\r\n*1\r\n\$8\r\nFLUSHALL\r\n",
           "\t", "\e[2J", "\x7f", 'x' x 257, "\x{1f600}" x 64 . 'x', '');

my $api = Knock::Api->start;
my $before;

begin();

# each event, and the key of whom it is about

my %whom = (
    'user' => [\@identified, \&user, sub {
        qq({"type":"identify","userId":$_[0],"traits":{"a":1}}) }],
    'inline user' => [\@tracked, \&user, sub {
        track(qq([{"id":$_[0],"a":1}])) }],
    'object' => [\@tracked, sub { object('c', $_[0]) }, sub {
        track(qq([{"collection":"c","id":$_[0]}])) }],
    'collection' => [\@tracked, sub { object($_[0], 'x') }, sub {
        track(qq([{"collection":$_[0],"id":"x"}])) }],
    'collection and id' => [\@tracked, sub { object($_[0], $_[0]) }, sub {
        track(qq([{"collection":$_[0],"id":$_[0]}])) }],
    'tenant' => [\@tracked, sub { object('$tenants', $_[0]) }, sub {
        track(qq(["bystander"],"org":{"id":$_[0],"a":1})) }],
    'actor' => [\@tracked, \&user, sub {
        track(qq(["bystander"],"commenter":{"id":{"id":$_[0]}})) }],
);

# ... and those that are about nobody whom they name

my %nobody = (
    'recipient who is unknown' => [\@tracked, sub {
        track(qq([$_[0],{"id":$_[0],"collection":7}])) }],
    'actor who is unknown' => [\@tracked, sub {
        track(qq(["bystander"],"commenter":{"id":$_[0]})) }],
    'message' => [\@tracked, sub {
        qq({"messageId":$_[0],) . substr track('["bystander"]'), 1 }],
    'event' => [\@identified, sub { qq({"type":"track","event":$_[0]}) }],
    'cancellation key' => [\@tracked, sub {
        track(qq(["bystander"],"comment":{"id":$_[0]})) }],
    'property' => [\@tracked, sub { track(qq(["bystander"],$_[0]:1)) }],
    'trait' => [[@identified, user('bystander')], sub {
        qq({"type":"identify","userId":"bystander","traits":{$_[0]:{$_[0]:1}}})
    }],
);

about_whom_they_name($_, @{ $whom{$_} }) for sort keys %whom;
about_nobody($_, @{ $nobody{$_} }) for sort keys %nobody;
by_the_api();
unsealed();

is_deeply [$api->nginx->complaints], [], 'no complaints in the log';

done_testing;


# The state that everything is compared with: others, whom names might reach.

sub begin {
    redis('FLUSHALL');
    seed("endpoint development segment token=dev identify_enabled=1\n"
         . "endpoint production segment token=prod identify_enabled=1\n"
         . "workflow development new-comment\n"
         . 'action development ' . live_action(
               actor => '"properties.commenter.id"',
               tenant => '"properties.org"',
               cancellation_key => '"properties.comment.id"'));

    for my $token (qw(dev prod)) {
        post(qq({"type":"identify","userId":"$_","traits":{"a":2}}), $token)
            for qw(u1 bystander);
    }

    post(track('[{"collection":"c","id":"x"},{"collection":"c","id":"u1"}]'));

    # each shard has the version of what is live by its first event

    post(track('[' . join(',', map { qq({"id":"first $_"}) } 1 .. 20) . ']'));
    redis('SET', $_, 'not ours') for 'u1', 'user:u1', 'runs', '{}', '*', ':';

    $before = snapshot();
}


sub about_whom_they_name {
    my ($what, $besides, $key, $event) = @_;

    begin();

    my %reached;
    my $limit = $what =~ /^collection/ ? $most : 256;
    my @taken = grep { length octets($_) <= $limit } @good;
    my @refused = (@bad, grep { length octets($_) > $limit } @good);

    for my $name (@taken) {
        my $text = $codec->encode($name);
        my $expected = $key->($name);
        my ($answer, @changed) = changes($event->($text), @$besides);

        is $answer->{status}, 200, "$what: $text is taken";
        is_deeply \@changed, [$expected], "$what: $text reaches its key"
            or diag $answer->{body};
        is redis('HGET', $expected, 'id'), $what eq 'collection' ? '"x"' : $text,
           "$what: $text is what stands there";

        $reached{$expected} = 1;
    }

    is keys %reached, @taken, "$what: each has a key to itself";

    for my $name (@refused) {
        my ($answer, @changed) = changes($event->($codec->encode($name)),
                                         @$besides);

        is_deeply \@changed, [], "$what: nothing is reached by " . shown($name);
    }

    no_other_characters($what);
}


sub about_nobody {
    my ($what, $besides, $event) = @_;

    begin();

    for my $name (@good, @bad) {
        my ($answer, @changed) = changes($event->($codec->encode($name)),
                                         @$besides);

        is_deeply \@changed, [], "$what: nobody is reached by " . shown($name)
            or diag $answer->{body};
        is $codec->decode($answer->{body})->{duplicates}, 0,
           "$what: it is not taken for another one by " . shown($name)
            if grep { $_ eq $name } @good;
    }

    no_other_characters($what);
}


# Ids in paths, percent-encoded, but for those that nginx takes out of a path.

sub by_the_api {
    my @taken_out = grep { m{(?:^|/)\.\.?(?:/|$)|^/$} } @good;

    begin();

    for my $name (grep { !/^\.\.?$/ } @taken_out) {
        my $path = '/environments/development/users/' . escaped($name);

        is $api->call($_ => $path, $_ eq 'PUT' ? {} : ())->{status}, 422,
           "API: $_ $name is refused" for qw(GET PUT DELETE);
        is_deeply [changed()], [], 'API: nothing is reached';
    }

    my %taken_out = map { $_ => 1 } @taken_out;

    for my $name (grep { !$taken_out{$_} } @good) {
        my $path = '/environments/development/users/' . escaped($name);
        my $text = $codec->encode($name);
        my $key = user($name);
        my $answer = $api->call(PUT => $path, { name => 'N' });

        like $answer->{status}, qr/^20[01]$/, "API: $text is taken"
            or diag $answer->{body};
        is_deeply [changed()], [$key], "API: $text reaches its key";
        is redis('HGET', $key, 'id'), $text, "API: $text is what stands there";
        is $api->call(GET => $path)->{json}{id}, $name, "API: $text is found";
        is $api->call(DELETE => $path)->{status}, 204, "API: $text is deleted";
        is_deeply [changed()], [$key], "API: $text alone";
    }

    for my $name (@bad) {
        my $path = '/environments/development/users/' . escaped($name);

        for my $method (qw(GET PUT DELETE)) {
            my $answer = $api->call($method => $path,
                                    $method eq 'PUT' ? { name => 'N' } : ());

            like $answer->{status}, qr/^4\d\d$/, "API: $method " . shown($name)
                unless $method eq 'GET' && $name eq '';
            is_deeply [changed()], [], 'API: nothing is reached';
        }
    }

    # an id that is not UTF-8, and escapes that are none

    for my $raw ('%ff', '%c0%80', '%ed%a0%80', '%f4%90%80%80', '%', '%2', '%zz',
                 'a%00', '%e2%80', "\xff") {
        my $answer = $api->call(PUT => "/environments/development/users/$raw",
                                { name => 'N' });

        like $answer->{status}, qr/^4\d\d$/, 'API: an id that is none: '
                                             . escaped($raw);
        is_deeply [changed()], [], 'API: nothing is reached';
    }
}


# Every key of an environment hashes by its tag, whatever follows.

sub unsealed {
    my %tags = map { $_ => 1 }
               '@', map { ($_, places($_, $shards)) } qw(development production);
    my @untagged = grep { !(/^knock:\{(.*?)\}:/ && $tags{$1}) }
                   keys %{ snapshot() };

    is_deeply [sort @untagged], ['*', ':', 'runs', 'u1', 'user:u1', '{}'],
              'no key is outside of its environment';
}


sub no_other_characters {
    my ($what) = @_;

    is_deeply [grep { /[\0-\x1f\x7f]/ } keys %{ snapshot() }], [],
              "$what: no key holds a control character";
}


sub track {
    my ($recipients) = @_;

    return qq({"type":"track","event":"T","properties":)
           . qq({"recipients":$recipients}});
}


sub post {
    my ($body, $token) = @_;

    return $api->nginx->post('/integrations/receive/' . ($token // 'dev'),
                             $body);
}


# Posts an event.  Its answer, and the keys it changed but for these.

sub changes {
    my ($body, @besides) = @_;

    my %besides = map { $_ => 1 } @besides;
    my $answer = post($body);

    return $answer, grep { !$besides{$_} } changed();
}


# The keys that are not as they were when this was asked the last time.

sub changed {
    my $now = snapshot();
    my @changed = grep { ($before->{$_} // '') ne ($now->{$_} // '') }
                  sort keys %{ { %$before, %$now } };

    $before = $now;

    return @changed;
}


# Key to what it holds, of all of Redis.

sub snapshot {
    return { map { $_ => redis('DUMP', $_) } @{ redis('KEYS', '*') } };
}


sub user { return key_of($_[0], 'user:' . octets($_[0])) }


sub object {
    my ($collection, $id) = @_;

    $collection =~ s/%/%25/g;
    $collection =~ s/:/%3A/g;

    return user($id) if $collection eq '$users';
    return key_of($id, 'object:' . octets("$collection:$id"));
}


# The key with this name where all stands that is of this id.

sub key_of {
    my ($id, $name) = @_;

    return shard_key('development', octets($id), $shards, $name);
}


sub octets {
    my ($text) = @_;

    utf8::encode($text);
    return $text;
}


sub escaped {
    return octets($_[0]) =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger;
}


sub shown { return $codec->encode(substr $_[0], 0, 20) }
