package Knock::Test;

# What the Test::Nginx suites of this project share.  `use Knock::Test` before
# `use Test::Nginx::Socket` starts a redis-server for the file and makes every
# block begin with an empty Redis, then seeded by its section `seed`:
#
#   endpoint ENV SOURCE field=value ...
#   workflow ENV KEY
#   action ENV {json}
#   toggle ENV workflow|action KEY 0|1
#   redis COMMAND arg ...            (words, or 'quoted ones')
#
# Without that section a block has the seed of $Knock::Test::Seed.  Sections
# http_config and config have defaults: the webhook at /in/TOKEN, and at
# /redis/COMMAND/arg/... any Redis command, its reply as text, an element a
# line; that is how a block looks into Redis.
#
# The error log of each block is looked through for alerts and sanitizers'
# reports, besides what its own no_error_log says.
#
# For other tests: redis(command, args...), seed(text).

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;
use POSIX ();
use Text::ParseWords qw(shellwords);

use Knock::Server qw(start_redis connect_redis);

our @EXPORT = qw(redis seed redis_server live_action);

our $Seed = <<'_EOS_';
endpoint development segment token=dev identify_enabled=1
endpoint production segment token=prod identify_enabled=1
workflow development new-comment
action development {"key":"comment-created","source":"segment","event":"track/Comment Created","type":"workflows_trigger","workflow":"new-comment","recipients":"properties.recipients","actor":"properties.commenter.id","tenant":"properties.org","cancellation_key":"properties.comment.id"}
_EOS_

our $Webhook = <<'_EOC_';
location ~ ^/in/(?<token>[\w-]+)$ {
    knock_webhook $token;
}
_EOC_

our $Inspect = <<'_EOC_';
location /redis/ {
    proxy_pass http://127.0.0.1:$TEST_NGINX_INSPECT_PORT;
}
_EOC_

our $Http = "knock_redis unix:\$TEST_NGINX_REDIS_SOCKET;\n";

# what no block may leave in the error log, whatever else it looks for
our @Never = ('[alert]', '[emerg]', 'Assertion', 'Sanitizer');

# the runners look at this when they are loaded

$ENV{TEST_NGINX_LOAD_MODULES} = $ENV{KNOCK_MODULE};

my ($server, $client, $inspector);


# Starts the servers of this file, once: not when the module is loaded, which
# `perl -c` does too.

sub start {
    return if $server;

    $server = start_redis();
    $client = connect_redis($server);

    load_library($client);

    $ENV{TEST_NGINX_REDIS_SOCKET} = $server->{socket};
    $ENV{TEST_NGINX_REDIS_PORT} = $server->{port};
    $ENV{TEST_NGINX_INSPECT_PORT} = start_inspector();
}


# Starts the servers and prepares each block.  The runner may be either one,
# so its add_block_preprocessor is handed in by the test.

sub begin_blocks {
    my ($add_block_preprocessor) = @_;

    start();

    $add_block_preprocessor->(sub {
        my ($block) = @_;

        $block->set_value('http_config', $Http)
            unless defined $block->http_config;
        $block->set_value('config', $Webhook . $Inspect)
            unless defined $block->config;

        forbid($block, @Never);

        redis('FLUSHALL');
        seed($block->seed // $Seed);
    });
}


# Adds lines to what a block's error log must not hold.

sub forbid {
    my ($block, @lines) = @_;

    my $given = $block->no_error_log // '';
    my @given = ref $given eq 'ARRAY' ? @$given
              : ref $given            ? $given
              :                         grep { length } split /\n+/, $given;
    my %given = map { $_ => 1 } @given;

    # where nginx is not to start it says why
    $given{'[emerg]'} = 1 if defined $block->must_die;

    $block->set_value('no_error_log',
                      [@given, grep { !$given{$_} } @lines]);
}


# One command on the file's redis-server, its reply as Knock::Redis gives it.

sub redis {
    start();

    return $client->command(@_);
}


# { pid, socket, port, dir } of the file's redis-server.

sub redis_server {
    start();

    return $server;
}


# Applies the lines of a seed, in the form that the head of this file names.

sub seed {
    my ($text) = @_;

    for my $line (grep { /\S/ && !/^\s*#/ } split /\n/, $text) {
        my ($what, $rest) = $line =~ /^\s*(\S+)\s+(.*?)\s*$/;

        if ($what eq 'redis') {
            redis(shellwords($rest));

        } elsif ($what eq 'endpoint') {
            my ($env, $source, @fields) = shellwords($rest);

            redis('FCALL', 'knock_endpoint_set', 2, key($env, 'version'),
                  key($env, 'endpoints'), 1, $source,
                  map { split /=/, $_, 2 } @fields);

        } elsif ($what eq 'workflow') {
            my ($env, $key) = split ' ', $rest;

            live_set($env, 'workflow', $key, qq({"key":"$key"}));

        } elsif ($what eq 'action') {
            my ($env, $json) = split ' ', $rest, 2;
            my ($key) = $json =~ /"key"\s*:\s*"([^"]*)"/;

            live_set($env, 'action', $key, $json);

        } elsif ($what eq 'toggle') {
            my ($env, @args) = split ' ', $rest;

            redis('FCALL', 'knock_toggle', 2, key($env, 'version'),
                  key($env, 'toggles'), 1, @args);

        } else {
            die "unknown seed: $line\n";
        }
    }
}


# An action's JSON for a seed: fields of the default one, replaced by those
# given; a value is JSON text.

sub live_action {
    my (%fields) = @_;

    my %action = (
        key => '"a"', source => '"segment"', event => '"track/T"',
        type => '"workflows_trigger"', workflow => '"new-comment"',
        recipients => '"properties.recipients"', %fields,
    );

    return '{' . join(',', map { qq("$_":$action{$_}) } sort keys %action)
           . '}';
}


sub live_set {
    my ($env, @resource) = @_;

    redis('FCALL', 'knock_live_set', 3, key($env, 'version'),
          key($env, 'workflows'), key($env, 'actions'), 1, @resource);
}


sub key {
    my ($env, $name) = @_;

    return "knock:{$env}:$name";
}


sub load_library {
    my ($redis) = @_;

    (my $root = __FILE__) =~ s{[^/]*$}{};

    # beside the real runner this folder is reached by a link
    my ($file) = grep { -f } map { "$_/redis-schema/knock.lua" }
                 '.', "$root/../../..";

    my $text = do {
        open my $in, '<', $file or die "knock.lua: $!\n";
        local $/;
        <$in>;
    };

    $redis->command('FUNCTION', 'LOAD', 'REPLACE', $text);
}


# An HTTP server that runs the command of the path: /redis/HGET/key/field.

sub start_inspector {
    my $listen = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1',
                                       LocalPort => 0, ReuseAddr => 1)
        or die "no inspector: $!\n";

    my $port = $listen->sockport;
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";

    if ($pid) {
        $inspector = $pid;
        return $port;
    }

    # it must not end the parent's servers when it ends
    $SIG{TERM} = sub { POSIX::_exit(0) };
    $SIG{PIPE} = 'IGNORE';

    my $redis = connect_redis($server);

    while (1) {
        # a parent that was killed leaves nobody to stop it
        POSIX::_exit(0) if getppid() != $parent;

        my $bits = '';
        vec($bits, fileno($listen), 1) = 1;
        next unless select $bits, undef, undef, 1;

        my $http = $listen->accept or next;
        my $request = '';

        while (my $line = <$http>) {
            $request ||= $line;
            last if $line eq "\r\n";
        }

        my ($path) = $request =~ m{^GET /redis/(\S+) };
        my @args = map { s/%([0-9A-Fa-f]{2})/chr hex $1/ger }
                   split m{/}, $path // '', -1;

        my $reply = eval { $redis->command(@args) };
        my $text = $@ ? "error: $@" : as_text($reply);

        print {$http} "HTTP/1.0 200 OK\r\nContent-Length: ", length $text,
                      "\r\n\r\n", $text;
        close $http;
    }
}


sub as_text {
    my ($reply) = @_;

    return "(nil)\n" unless defined $reply;
    return join '', map { as_text($_) } @$reply if ref $reply;
    return "$reply\n";
}


END {
    if ($inspector) {
        my $status = $?;
        kill 'TERM', $inspector;
        waitpid $inspector, 0;
        $? = $status;
    }
}

1;
