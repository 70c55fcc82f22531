package Test::Nginx::Util;

# What every part of the runner shares: the settings of this run (from the
# environment, then from the calls that a .t file makes), where its files lie,
# and the few helpers that need nothing else.
#
# The settings are package variables under the names that CPAN's Test::Nginx
# gives them, since .t files and "--- init" code read some of them, such as
# $Test::Nginx::Util::ServerPort.

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(:flock);
use File::Spec;
use IO::Socket::INET;
use Test::Builder;
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(
    $ServerPort $ServerPortForClient $ServerAddr $ServerName
    $ServRoot $LogDir $ErrLogFile $AccLogFile $HtmlDir $ConfDir $ConfFile
    $PidFile $RandPorts $NginxBinary $Timeout $TestNginxSleep
    bail_out on_bail_out expand_env_in_text free_port parse_time trim
    run_perl uncounted verbose
);

our $NginxBinary = $ENV{TEST_NGINX_BINARY} || 'nginx';
our $LoadModules = $ENV{TEST_NGINX_LOAD_MODULES};
our $Verbose     = $ENV{TEST_NGINX_VERBOSE};

our $ServerAddr = '127.0.0.1';
our $ServerName = 'localhost';

our $Timeout        = $ENV{TEST_NGINX_TIMEOUT} || 3;
our $TestNginxSleep = $ENV{TEST_NGINX_SLEEP}   || 0.015;
our $RepeatEach     = 1;
our $NoShuffle      = $ENV{TEST_NGINX_NO_SHUFFLE}       || 0;
our $NoNginxManager = $ENV{TEST_NGINX_NO_NGINX_MANAGER} || 0;
our $ForceRestart   = $ENV{TEST_NGINX_FORCE_RESTART_ON_TEST} // 1;

our $Workers              = 1;
our $WorkerConnections    = 64;
our $LogLevel             = $ENV{TEST_NGINX_LOG_LEVEL}      || 'debug';
our $MasterProcessEnabled = $ENV{TEST_NGINX_MASTER_PROCESS} || 'off';
our $NoRootLocation       = 0;
our $NoLongString         = 0;
our $CheckAccumErrLog     = $ENV{TEST_NGINX_CHECK_ACCUM_ERR_LOG};
our $ConfigPreamble       = '';
our $FilterHttpConfig;
our @EnvToNginx;

our $WorkerUser = $ENV{TEST_NGINX_WORKER_USER};
if (defined $WorkerUser && $WorkerUser !~ /^\w[-\w]*(?:\s+\w[-\w]*)?$/) {
    die "TEST_NGINX_WORKER_USER must be a user, or a user and a group\n";
}

# The ports that $TEST_NGINX_RAND_PORT_N stands for in the current block.
our $RandPorts = {};


# free_port(\%taken): a TCP port of 127.0.0.1 on which nothing listens and
# which is no key of %taken; undef where none was found. It is taken from below
# the range from which the kernel serves outgoing connections, so that none of
# those can sit on it by the time a server binds it.
sub free_port {
    my ($taken) = @_;

    for (1 .. 1000) {
        my $port = 10000 + int rand 22000;
        next if $taken && $taken->{$port};

        my $probe = IO::Socket::INET->new(
            LocalAddr => '0.0.0.0',
            LocalPort => $port,
            Proto     => 'tcp',
            Listen    => 1,
        );
        next unless $probe;

        close $probe;
        return $port;
    }

    return undef;
}


our $ServerPort
    = $ENV{TEST_NGINX_RANDOMIZE}
    ? free_port()
    : $ENV{TEST_NGINX_SERVER_PORT} || $ENV{TEST_NGINX_PORT} || free_port();

our $ServerPortForClient
    = $ENV{TEST_NGINX_RANDOMIZE}
    ? $ServerPort
    : $ENV{TEST_NGINX_CLIENT_PORT} || $ServerPort;

# Held open for as long as the process lives: whoever has the lock on t/ has
# t/servroot, and runs beside it get folders of their own.
my $servroot_lock;

# True where the folder was made for this run alone, and goes away with it.
our $ServRootIsPrivate = 0;


sub _choose_servroot {
    my $default = File::Spec->rel2abs('t/servroot');
    my $given   = $ENV{TEST_NGINX_SERVROOT};

    if (!$ENV{TEST_NGINX_RANDOMIZE}) {
        return $given if $given;

        return $default
            unless open $servroot_lock, '<', File::Spec->rel2abs('t');
        return $default if flock $servroot_lock, LOCK_EX | LOCK_NB;
    }

    $ServRootIsPrivate = 1;
    return "${default}_$ServerPort";
}


our $ServRoot = _choose_servroot();
$ENV{TEST_NGINX_SERVER_ROOT} = $ServRoot;

our $LogDir     = "$ServRoot/logs";
our $ErrLogFile = "$LogDir/error.log";
our $AccLogFile = "$LogDir/access.log";
our $HtmlDir    = "$ServRoot/html";
our $ConfDir    = "$ServRoot/conf";
our $ConfFile   = "$ConfDir/nginx.conf";
our $PidFile    = "$LogDir/nginx.pid";


# verbose(@text): says it on stderr where TEST_NGINX_VERBOSE asks for it.
sub verbose {
    warn @_, "\n" if $Verbose;
    return;
}


my @before_bail_out;

# on_bail_out($code): $code runs before a bail-out ends the program.
sub on_bail_out {
    push @before_bail_out, @_;
    return;
}


# bail_out(@text): ends the whole run, of all files, with this reason.
sub bail_out {
    my @reason = @_;

    $_->() for splice @before_bail_out;
    Test::Builder->new->BAIL_OUT(join '', @reason);
}


# uncounted(): says that a test was just reported beyond those which the plan
# counts, so the count at the end proves nothing.
sub uncounted {
    Test::Builder->new->no_ending(1);
    return;
}


# expand_env_in_text($text, $block_name, \%rand_ports): $text with each
# $TEST_NGINX_NAME replaced by that environment variable, and each
# $TEST_NGINX_RAND_PORT_N by a free port, the same one throughout \%rand_ports.
# A variable that is not set ends the run, since an empty string in a
# configuration would be much harder to find.
sub expand_env_in_text {
    my ($text, $name, $rand_ports) = @_;

    return undef unless defined $text;

    my $value = sub {
        my ($var) = @_;

        return $rand_ports->{$var} //= _new_rand_port($name, $rand_ports)
            if $var =~ /^TEST_NGINX_RAND_PORT_[0-9]+$/;

        return $ENV{$var}
            // bail_out("$name - No environment $var defined.\n");
    };

    $text =~ s/\$(TEST_NGINX_[A-Z0-9_]+)/$value->($1)/ge;
    return $text;
}


sub _new_rand_port {
    my ($name, $rand_ports) = @_;

    my %taken = map { $_ => 1 } grep {defined} $ServerPort,
        values %$rand_ports;
    return free_port(\%taken) // bail_out("$name - no port is free.\n");
}


# parse_time($text): seconds of "2", "2s" or "200ms"; undef of undef.
sub parse_time {
    my ($text) = @_;

    return undef unless defined $text;
    return $1 / 1000 if $text =~ /^(.*[^_a-zA-Z])ms$/s;
    return $1 if $text =~ /^(.*[^_a-zA-Z])s$/s;
    return $text;
}


# trim($text): $text as one line, without spare white space.
sub trim {
    my ($text) = @_;

    return undef unless defined $text;
    return join ' ', split ' ', $text;
}


# run_perl($code): evaluates code that a block holds ("--- init") in this
# package, where it finds the settings by their short names; returns the error,
# or '' where there was none.
sub run_perl {
    eval $_[0];
    return $@;
}


1;
