package Knock::Nginx;

# An nginx with the module, for tests that Test::Nginx's blocks do not fit:
#
#   my $nginx = Knock::Nginx->start(redis => redis_server());
#   my $answer = $nginx->post('/in/dev', '{"type":"page"}');
#   is $answer->{status}, 200;
#   is_deeply [$nginx->complaints], [];
#
# It has a folder and a port of its own, and ends with the test.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Time::HiRes qw(sleep);

use Knock::Http;
use Knock::Server qw(start_process stop_process is_running free_port wait_for);

our $Webhook = <<'_EOC_';
location ~ ^/in/(?<token>[\w-]+)$ {
    knock_webhook $token;
}
_EOC_


# Starts one and waits until it listens.  All of these may be left out:
#
#   redis    what start_redis() gave: makes the directive knock_redis
#   http     text for the http block
#   server   text for the server block, default: the webhook at /in/TOKEN
#   main     text for the top of the file
#   events   text for the events block
#   listen   parameters of the listen directive, after the address
#   access   of the access_log directive, default off
#   workers  default 1
#   level    of the error log, default info

sub start {
    my ($class, %conf) = @_;

    my $self = bless { conf => \%conf }, $class;

    $self->{dir} = tempdir('knock-nginx-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $self->{dir};

    for my $try (1 .. 5) {
        $self->{port} = free_port();
        $self->write_conf;
        $self->{pid} = start_process("$self->{dir}/output", _binary(),
            '-e', $self->error_log, '-p', "$self->{dir}/",
            '-c', "$self->{dir}/nginx.conf", '-g', 'daemon off;');

        return $self if eval { $self->_wait_for_start };

        my $log = $self->log_text . _slurp("$self->{dir}/output");

        stop_process(delete $self->{pid});

        # somebody was faster to take the port
        die "nginx did not start: $@$log" unless $log =~ /Address already in/;
        unlink $self->error_log, "$self->{dir}/figures.sock";
    }

    die "nginx found no port\n";
}


sub port { return $_[0]{port} }
sub pid { return $_[0]{pid} }
sub dir { return $_[0]{dir} }
sub error_log { return "$_[0]{dir}/error.log" }


# The error log's text from `offset` on.

sub log_text {
    my ($self, $offset) = @_;

    return substr _slurp($self->error_log), $offset // 0;
}


# What must never be in the error log, a list of lines.

sub complaints {
    my ($self) = @_;

    return grep { /\[alert\]|\[emerg\]|Assertion|Sanitizer|runtime error:/ }
           split /\n/, $self->log_text . _slurp("$self->{dir}/output");
}


# The requests of Knock::Http, over one connection that is kept.

sub post { my $self = shift; return $self->client->post(@_) }
sub get { my $self = shift; return $self->client->get(@_) }
sub request { my $self = shift; return $self->client->request(@_) }

sub client {
    my ($self) = @_;

    return $self->{client} //= $self->new_client;
}


# Another connection.

sub new_client { return Knock::Http->new($_[0]{port}) }


# One to what knock_metrics says of this nginx, wherever else it may say it.

sub figures_client { return Knock::Http->new("$_[0]{dir}/figures.sock") }


# Waits until its one worker has seen whatever came to it before this.

sub seen {
    my ($self) = @_;

    my $client = $self->new_client;

    # refused without a handler
    $client->send("GET / HTTP/1.1\r\n\r\n");
    $client->answer;
}


# Process ids of the workers, those that are shutting down too; of a master
# that is not the one in office, by its process id.

sub workers {
    my ($self, $master) = @_;
    my @pids;

    $master //= $self->{pid};

    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($pid, $state, $parent) = _slurp($stat) =~ /^(\d+) .*\) (\S) (\d+)/s
            or next;

        push @pids, $pid if $parent == $master && $state ne 'Z';
    }

    return @pids;
}


# Writes the configuration anew, with these parts replaced.

sub write_conf {
    my ($self, %changes) = @_;

    my $c = $self->{conf};
    my $dir = $self->{dir};

    %$c = (%$c, %changes);

    my $redis = ($c->{redis} ? "knock_redis unix:$c->{redis}{socket};" : '')
                . ($c->{http} // '');

    my $text = join "\n",
        "load_module $ENV{KNOCK_MODULE};",
        $> == 0 ? 'user root;' : '',
        'worker_processes ' . ($c->{workers} // 1) . ';',
        "error_log $dir/error.log " . ($c->{level} // 'info') . ';',
        "pid $dir/nginx.pid;",
        $c->{main} // '',
        'events {', $c->{events} // '', '}',
        'http {',
        'access_log ' . ($c->{access} // 'off') . ';',
        (map { "${_}_temp_path $dir/$_;" }
             qw(client_body proxy fastcgi uwsgi scgi)),
        $redis,
        'server {',
        "listen 127.0.0.1:$self->{port} " . ($c->{listen} // '') . ';',
        $c->{server} // $Webhook,
        '}',
        $redis =~ /\bknock_redis\s/
            ? "server { listen unix:$dir/figures.sock; location / { knock_metrics; } }"
            : '',
        "}\n";

    open my $out, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";
    print {$out} $text;
    close $out or die "$dir/nginx.conf: $!\n";
}


# Reads the configuration anew.  Returns when the new workers run and the old
# ones take no more connections; those may still be at work.

sub reload {
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers;
    my $offset = -s $self->error_log;

    kill 'HUP', $self->{pid};

    wait_for('new workers', sub {
        my $log = $self->log_text($offset);

        die "nginx did not reload: $log" if $log =~ /\[emerg\]/;

        my $new = grep { !$old{$_} } $self->workers;
        my $left = grep { -d "/proc/$_"
                          && $log !~ /\b$_#\d+: gracefully shutting down/ }
                   keys %old;

        return $new >= ($self->{conf}{workers} // 1) && !$left;
    });

    # its connection is to a worker that leaves
    $self->client->close;
}


# Ends it, by default when the requests under way are answered.

sub stop {
    my ($self, $signal) = @_;

    $self->client->close;
    stop_process(delete $self->{pid}, $signal // 'QUIT') if $self->{pid};
}


sub _wait_for_start {
    my ($self) = @_;

    my $pid = $self->{pid};

    # the port may be somebody else's: the pid file is ours
    return wait_for('nginx', sub {
        return 'ended' if !is_running($pid);
        return _slurp("$self->{dir}/nginx.pid") =~ /^$pid$/m
               && $self->workers;
    }) ne 'ended';
}


sub _binary { return $ENV{KNOCK_NGINX} || '/usr/sbin/nginx' }


sub _slurp {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    # a master that is killed leaves its workers
    stop_process(delete $self->{pid}, 'TERM') if $self->{pid};
}

1;
