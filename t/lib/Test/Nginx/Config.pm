package Test::Nginx::Config;

# Writes nginx.conf for a block. The order of what goes into it is part of what
# .t files rely on: main (load_module, main_config), http (temporary folders,
# http_config), server (listen, config, "location /"), post_main_config, events.

use strict;
use warnings;

use Exporter qw(import);
use Test::Nginx::Util qw(
    $ServerPort $ServerName $ServRoot $ErrLogFile $AccLogFile $HtmlDir
    $ConfFile $PidFile $NginxBinary
    bail_out expand_env_in_text
);

our @EXPORT_OK = qw(write_config_file);

# Passed on to nginx, so that sanitizers and preloaded libraries work there.
my @env_head = qw(LD_PRELOAD LD_LIBRARY_PATH);
my @env_tail = qw(ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS);


# write_config_file($block, $config, \%rand_ports): writes $ConfFile; $config
# is the block's "config" section with its variables already replaced.
sub write_config_file {
    my ($block, $config, $rand_ports) = @_;

    my $expand = sub {
        expand_env_in_text($_[0], scalar $block->name, $rand_ports) // '';
    };

    my $http_config = $expand->(scalar $block->http_config);
    $http_config = $Test::Nginx::Util::FilterHttpConfig->($http_config)
        if $Test::Nginx::Util::FilterHttpConfig;

    my $error_log = $expand->(scalar $block->error_log_file) || $ErrLogFile;

    my $text = join "\n",
        _main($error_log),
        $expand->(_load_modules() . ($block->main_config // '')),
        '',
        'http {',
        _http($http_config),
        $http_config,
        _server($block, $config),
        '}',
        '',
        $expand->(scalar $block->post_main_config),
        '',
        _events(),
        (map {"env $_;"} @env_tail),
        _user(),
        '';

    open my $out, '>', $ConfFile
        or bail_out("Can't open $ConfFile for writing: $!\n");
    print {$out} $text;
    close $out or bail_out("Can't write $ConfFile: $!\n");
    return;
}


sub _main {
    my ($error_log) = @_;

    return (
        "worker_processes $Test::Nginx::Util::Workers;",
        'daemon on;',
        "master_process $Test::Nginx::Util::MasterProcessEnabled;",
        "error_log $error_log $Test::Nginx::Util::LogLevel;",
        "pid $PidFile;",
        map { 'env ' . (/\s/ ? "'$_'" : $_) . ';' } @env_head,
            @Test::Nginx::Util::EnvToNginx,
    );
}


sub _load_modules {
    my @modules = split ' ', $Test::Nginx::Util::LoadModules // '';
    return join '', map {"load_module $_;\n"} @modules;
}


# Temporary folders under the server root, except where http_config names its
# own, which nginx would refuse as a duplicate, or the module isn't built in.
sub _http {
    my ($http_config) = @_;

    my @lines = ("    access_log $AccLogFile;");

    for my $module (qw(client_body proxy fastcgi scgi uwsgi)) {
        next if $http_config =~ /\b${module}_temp_path\b/;
        next if _nginx_build() =~ /--without-http_${module}_module/;
        push @lines, "    ${module}_temp_path $ServRoot/${module}_temp;";
    }

    my $postpone = $ENV{TEST_NGINX_POSTPONE_OUTPUT};
    push @lines, "    postpone_output $postpone;"
        if defined $postpone && $http_config !~ /\bpostpone_output\b/;

    return @lines,
        '    default_type text/plain;',
        '    keepalive_timeout 68000ms;';
}


sub _server {
    my ($block, $config) = @_;

    my $listen = $ServerPort
        . ($ENV{TEST_NGINX_REUSE_PORT} ? ' reuseport' : '');

    my $server_name = $block->server_name // $ServerName;
    $server_name =~ s/([\\'])/\\$1/g;

    my @root = (
        '        location / {',
        "            root $HtmlDir;",
        '            index index.html index.htm;',
        '        }',
    );

    return (
        '    server {',
        "        listen $listen;",
        "        server_name '$server_name';",
        '        client_max_body_size 30M;',
        $Test::Nginx::Util::ConfigPreamble,
        $config // '',
        $Test::Nginx::Util::NoRootLocation ? () : @root,
        '    }',
    );
}


sub _events {
    my $type = $ENV{TEST_NGINX_EVENT_TYPE};

    return (
        'events {',
        '    accept_mutex off;',
        "    worker_connections $Test::Nginx::Util::WorkerConnections;",
        $type ? "    use $type;" : (),
        '}',
    );
}


# Root's workers stay root, or they could not read a checkout in a home folder.
sub _user {
    my $user = $Test::Nginx::Util::WorkerUser;

    return "user $user;" if defined $user;
    return 'user root;' if $> == 0;
    return ();
}


my $nginx_build;

sub _nginx_build {
    return $nginx_build //= `$NginxBinary -V 2>&1` // '';
}


1;
