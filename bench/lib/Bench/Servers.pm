package Bench::Servers;

# The servers that are compared.  Each has a Redis to work on, listens on a
# port of its own, and is configured anew after Redis was emptied:
#
#   my $server = Bench::Servers->start('ours', redis => $redis, ...);
#   my $path = $server->configure;
#   my @pids = $server->pids;
#
# Kinds: ours, lua (peer a), node (peer b), go (peer e), read (ceiling c).

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use IO::Socket::INET;
use POSIX ();

use Bench::Tools qw(slurp pin $Root $Codec);
use Knock::Http;
use Knock::Nginx;
use Knock::Server qw(start_process stop_process free_port wait_for);

my %classes = (ours => 'Bench::Ours', read => 'Bench::Read',
               lua => 'Bench::Lua', node => 'Bench::Node',
              go => 'Bench::Go');

# what all configurations of nginx have in common

our $Http = <<'_EOC_';
keepalive_requests 1000000000;
keepalive_timeout 600s;
client_header_buffer_size 4k;
client_max_body_size 16m;
client_body_buffer_size 16m;
_EOC_


# `name` is what it is called in the results.  Of `ours`: `workers`, `log` (on,
# as it is by default, or off).

sub start {
    my ($class, $kind, %conf) = @_;

    my $self = bless { kind => $kind, name => $kind, workers => 1, %conf },
                     $classes{$kind};

    $self->{dir} = File::Temp::tempdir('knock-bench-XXXXXXXX', TMPDIR => 1,
                                       CLEANUP => 1);
    chmod 0755, $self->{dir};

    $self->start_server;

    # a worker has processor 0 to itself; more than one share both
    pin($self->{workers} > 1 ? '0,1' : '0', $self->all_pids);

    return $self;
}


sub name { return $_[0]{name} }
sub kind { return $_[0]{kind} }
sub port { return $_[0]{port} // $_[0]{nginx}->port }

# those whose CPU and memory count
sub pids { return $_[0]{nginx}->workers }
sub all_pids { return ($_[0]{nginx}->pid, $_[0]->pids) }

sub stop { $_[0]{nginx}->stop('TERM') }

# what a load must know besides: nothing
sub expect { return () }

# what else of the events must be there: faults, as texts
sub other_faults { return () }

# what its log complains of
sub complaints { return grep { !/\[notice\]/ } split /\n/, $_[0]{nginx}->log_text }


# Resident memory of the workers, bytes: now, and the most that it was.

sub memory {
    my ($self) = @_;
    my ($now, $peak) = (0, 0);

    for my $pid ($self->pids) {
        my $status = slurp("/proc/$pid/status");

        $now += $1 * 1024 if $status =~ /^VmRSS:\s+(\d+)/m;
        $peak += $1 * 1024 if $status =~ /^VmHWM:\s+(\d+)/m;
    }

    return ($now, $peak);
}


sub wait_for_port {
    my ($self) = @_;

    wait_for("$self->{kind} on port $self->{port}", sub {
        die "$self->{kind} ended: " . slurp("$self->{dir}/output") . "\n"
            if waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};

        return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                     PeerPort => $self->{port});
    });
}


package Bench::Ours;

use parent -norequire, 'Bench::Servers';

use Digest::SHA qw(sha256_hex);

use Bench::Tools qw(slurp $Root $Codec);
use Knock::Server qw(wait_for);

my $key = 'a key for the benchmark';


sub start_server {
    my ($self) = @_;


    open my $out, '>', "$self->{dir}/keys" or die "$self->{dir}/keys: $!\n";
    print {$out} sha256_hex($key), "\n";
    close $out or die "$self->{dir}/keys: $!\n";

    local $ENV{KNOCK_MODULE} = $ENV{KNOCK_MODULE}
                               || "${Root}build/ngx_knock_module.so";

    $self->{nginx} = Knock::Nginx->start(
        redis => $self->{redis},
        workers => $self->{workers},
        level => 'warn',
        http => $Bench::Servers::Http
                . ($self->logs ? '' : "knock_event_log off;\n"),
        server => <<"_EOC_");
location ~ ^/integrations/receive/(?<token>[\\w-]+)\$ {
    knock_webhook \$token;
}
location /v1/ {
    knock_api;
    knock_api_keys $self->{dir}/keys;
}
_EOC_
}


# The source, the workflow and the action by the control API, as `make demo`
# does; gives the path for events.

sub configure {
    my ($self) = @_;

    my $endpoint = '/sources/segment/environments/development';

    $self->api(POST => '/sources', $Codec->encode({
        key => 'segment', kind => 'segment', name => 'Segment' }));
    $self->api(PATCH => $endpoint, '{"identify_enabled":true}');

    $self->api(PUT => '/workflows/new-comment',
               slurp("${Root}examples/workflows/new-comment.json"));
    $self->api(PUT => '/actions/comment-created',
               slurp("${Root}examples/actions/comment-created.json"));
    $self->api(POST => '/commits',
               '{"message":"The benchmark","author":"make bench"}');

    my $answer = $self->api(GET => $endpoint);

    die "the endpoint is not as the benchmark needs it\n"
        unless $answer->{idempotency_enabled} && $answer->{identify_enabled}
               && !$answer->{signing_secret_set} && $answer->{enabled};

    my ($path) = $answer->{url} =~ m{^https?://[^/]+(/.*)$}
        or die "no URL: $answer->{url}\n";

    return $path;
}


sub logs { return ($_[0]{log} // 'on') eq 'on' }


# Each event must be counted in the catalogue, and all of them must be in the
# event log, repeats too, but for what had to make room; or none, where it is
# off.  Both may be written a little after the answer.

sub other_faults {
    my ($self, $redis, $want, $events) = @_;

    my $endpoint = '/sources/segment/environments/development';
    my $log = 'knock:{development}:log:segment';
    my @faults;

    my $right = eval {
        wait_for('catalogue and log to be right', sub {
            my $answer = $self->api(GET => "$endpoint/events");
            my %got = map { $_->{event} => $_->{count} } @{ $answer->{items} };
            my %all = (%$want, %got);
            my %info = $redis->command('EXISTS', $log)
                       ? @{ $redis->command('XINFO', 'STREAM', $log) } : ();
            my $logged = $info{'entries-added'} // 0;

            @faults = map { 'the catalogue counts ' . ($got{$_} // 0)
                            . " of $_, there were " . ($want->{$_} // 0) }
                      grep { ($got{$_} // 0) != ($want->{$_} // 0) }
                      sort keys %all;

            push @faults, "$logged events were logged, there were $events"
                if $self->logs ? $logged < $events : $logged > 0;

            return !@faults;
        }, 5);
    };

    return $right ? () : @faults ? @faults : $@;
}


sub api {
    my ($self, $method, $path, $body) = @_;

    my $answer = $self->{nginx}->new_client->request(
        $method, "/v1$path", $body, Authorization => "Bearer $key",
        defined $body ? ('Content-Type' => 'application/json') : ());

    die "$method $path: $answer->{status} $answer->{body}\n"
        if $answer->{status} !~ /^2/;

    return $Codec->decode($answer->{body});
}


package Bench::Read;

use parent -norequire, 'Bench::Servers';

use Bench::Tools qw($Root);


sub start_server {
    my ($self) = @_;

    local $ENV{KNOCK_MODULE} = "${Root}build/bench/ngx_http_bench_read_module.so";

    die "$ENV{KNOCK_MODULE} is missing: make bench builds it\n"
        unless -e $ENV{KNOCK_MODULE};

    $self->{nginx} = Knock::Nginx->start(
        level => 'warn',
        http => $Bench::Servers::Http,
        server => "location ~ ^/integrations/receive/ {\n    bench_read;\n}\n");
}


sub configure { return '/integrations/receive/nothing-is-looked-up-here' }

sub expect { return '--any-body' }


package Bench::Lua;

use parent -norequire, 'Bench::Servers';

use Bench::Tools qw(slurp $Root);
use Knock::Server qw(start_process stop_process free_port);

my $token = 'the-token-of-the-benchmark';


sub start_server {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $peer = "${Root}bench/peers/lua";

    $self->{port} = free_port();

    my %values = (PREFIX => $peer, DIR => $dir, PORT => $self->{port},
                  REDIS_SOCKET => $self->{redis}{socket}, TOKEN => $token);
    my $conf = slurp("$peer/nginx.conf")
        or die "$peer/nginx.conf is missing: it is peer (a)\n";

    $conf =~ s/%%([A-Z_]+)%%/$values{$1} \/\/ die "nginx.conf: %%$1%%?\n"/ge;

    # as root nginx would give its workers other rights
    $conf = "user root;\n$conf" if $> == 0;

    open my $out, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";
    print {$out} $conf;
    close $out or die "$dir/nginx.conf: $!\n";

    $self->{pid} = start_process("$dir/output",
        $ENV{KNOCK_NGINX} || '/usr/sbin/nginx', '-e', "$dir/error.log",
        '-p', "$dir/", '-c', "$dir/nginx.conf");

    $self->wait_for_port;
}


sub configure { return "/integrations/receive/$token" }

sub pids {
    my ($self) = @_;

    return split ' ', slurp("/proc/$self->{pid}/task/$self->{pid}/children");
}

sub all_pids { return ($_[0]{pid}, $_[0]->pids) }

sub complaints {
    my ($self) = @_;

    return grep { !/\[notice\]/ } split /\n/, slurp("$self->{dir}/error.log")
                                              . slurp("$self->{dir}/output");
}

sub stop { stop_process(delete $_[0]{pid}, 'TERM') if $_[0]{pid} }


package Bench::Node;

use parent -norequire, 'Bench::Servers';

use Bench::Tools qw(slurp $Root);
use Knock::Server qw(start_process stop_process free_port);


sub start_server {
    my ($self) = @_;

    my $packages = "${Root}build/peers";

    die "$packages has no packages: bench/peers/node/install puts them there\n"
        unless -d "$packages/node_modules";

    local $ENV{KNOCK_PACKAGES} = $packages;
    local $ENV{NODE_ENV} = 'production';

    $self->{port} = free_port();
    $self->{pid} = start_process("$self->{dir}/output",
        'node', '--max-semi-space-size=64',
        "${Root}bench/peers/node/server.mjs", '--port', $self->{port},
        '--redis', $self->{redis}{socket}, '--token', $token);

    $self->wait_for_port;
}


sub configure { return "/integrations/receive/$token" }

sub pids { return $_[0]{pid} }
sub all_pids { return $_[0]{pid} }
sub complaints { return split /\n/, slurp("$_[0]{dir}/output") }
sub stop { stop_process(delete $_[0]{pid}, 'TERM') if $_[0]{pid} }


package Bench::Go;

use parent -norequire, 'Bench::Node';

use Bench::Tools qw($Root);
use Knock::Server qw(start_process free_port connect_redis);


sub start_server {
    my ($self) = @_;

    my $program = "${Root}build/bench/go-peer";

    die "$program is missing: make bench builds it\n" unless -x $program;

    # a worker has one processor, as that of the others
    local $ENV{GOMAXPROCS} = 1;

    $self->{port} = free_port();
    $self->{pid} = start_process("$self->{dir}/output", $program,
        '-port', $self->{port}, '-redis', $self->{redis}{socket},
        '-token', $token);

    $self->wait_for_port;
}


# It tells by a set of its own who is known.

sub configure {
    my ($self, $opt) = @_;

    my $redis = connect_redis($self->{redis});
    my @users = map { sprintf 'u%07d', $_ } 0 .. ($opt->{users} // 10_000) - 1;

    while (my @some = splice @users, 0, 1000) {
        $redis->command('SADD', 'knock:{development}:users', @some);
    }

    return $self->SUPER::configure;
}

1;
