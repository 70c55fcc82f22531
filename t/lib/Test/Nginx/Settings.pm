package Test::Nginx::Settings;

# The functions with which a .t file sets how it is run. Each sets its value if
# called with one, and returns the value in force.

use strict;
use warnings;

use Carp qw(croak);
use Test::Nginx::Util qw(
    $HtmlDir $ServRoot $ServerAddr $ServerName $ServerPort
    $ServerPortForClient $Timeout
);

# What Test::Nginx::Socket exports of this.
our @NAMES = qw(
    check_accum_error_log config_preamble env_to_nginx html_dir log_level
    master_off master_on master_process_enabled no_long_string
    no_nginx_manager no_root_location no_shuffle repeat_each server_addr
    server_name server_port server_port_for_client server_root timeout use_hup
    worker_connections workers
);

# How often each block's request is sent; each time all its tests are counted.
sub repeat_each (@) {
    $Test::Nginx::Util::RepeatEach = shift if @_;
    return $Test::Nginx::Util::RepeatEach;
}

# Seconds of silence after which a request, or a stopping server, is given up.
sub timeout (@) { $Timeout = shift if @_; return $Timeout }

sub log_level (@) {
    $Test::Nginx::Util::LogLevel = shift if @_;
    return $Test::Nginx::Util::LogLevel;
}

sub workers (@) {
    $Test::Nginx::Util::Workers = shift if @_;
    return $Test::Nginx::Util::Workers;
}

sub worker_connections (@) {
    $Test::Nginx::Util::WorkerConnections = shift if @_;
    return $Test::Nginx::Util::WorkerConnections;
}

# master_process on or off; with a boolean for an argument.
sub master_process_enabled (@) {
    $Test::Nginx::Util::MasterProcessEnabled = shift() ? 'on' : 'off' if @_;
    return $Test::Nginx::Util::MasterProcessEnabled;
}

# Off, as by default, there is one process, whatever workers() says.
sub master_on ()  { return master_process_enabled(1) }
sub master_off () { return master_process_enabled(0) }

# Where the server listens, and where the client connects.
sub server_addr (@) { $ServerAddr = shift if @_; return $ServerAddr }
sub server_port (@) { $ServerPort = shift if @_; return $ServerPort }

sub server_port_for_client (@) {
    $ServerPortForClient = shift if @_;
    return $ServerPortForClient;
}

# server_name of the server, and the Host of requests.
sub server_name (@) { $ServerName = shift if @_; return $ServerName }

# Absolute paths of the folder that nginx runs in, and of its html/.
sub server_root () { return $ServRoot }
sub html_dir ()    { return $HtmlDir }

# Lines that go before each block's own "config".
sub config_preamble ($) {
    $Test::Nginx::Util::ConfigPreamble = shift;
    return;
}

# Names, or NAME=VALUEs, of variables to keep in nginx's environment.
sub env_to_nginx (@) {
    croak 'env_to_nginx: no arguments specified' unless @_;

    for my $variable (@_) {
        croak "env_to_nginx: bad argument value: $variable\n"
            if $variable !~ /^[A-Za-z_]/ || $variable =~ /\n/;
        push @Test::Nginx::Util::EnvToNginx, $variable;
    }

    return;
}

# Blocks run in the order in which they are written.
sub no_shuffle () { $Test::Nginx::Util::NoShuffle = 1; return }

# There is no "location /" but what a block has itself.
sub no_root_location () { $Test::Nginx::Util::NoRootLocation = 1; return }

# No server is started or stopped: one runs already.
sub no_nginx_manager () { $Test::Nginx::Util::NoNginxManager = 1; return }

# error.log is checked from its beginning each time.
sub check_accum_error_log () {
    $Test::Nginx::Util::CheckAccumErrLog = 1;
    return;
}

# Failures always show the strings as is_string would not: nothing to turn off.
sub no_long_string () { return }

# Each block has a new server even so: what holds after a reload holds there.
sub use_hup () { return }


1;
