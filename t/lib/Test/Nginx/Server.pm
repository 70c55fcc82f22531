package Test::Nginx::Server;

# The nginx under test and the folder it runs in: laid anew, started and
# stopped, by the id in its pid file and never by name.

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path remove_tree);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use Test::Nginx::Util qw(
    $ServRoot $LogDir $ErrLogFile $HtmlDir $ConfDir $ConfFile $PidFile
    $NginxBinary $TestNginxSleep $Timeout
    bail_out expand_env_in_text verbose
);

our @EXPORT_OK = qw(
    is_running setup_server_root write_user_files start_nginx stop_nginx
    stop_process remove_private_root
);

# Of the server that runs now; undef where none does.
my $nginx_pid;


# is_running($pid): true while that process lives. One that has ended but was
# not reaped yet counts as gone: that is up to its parent, not to us.
sub is_running {
    my ($pid) = @_;

    waitpid $pid, WNOHANG;
    return 0 unless kill 0, $pid;

    my $stat = _slurp("/proc/$pid/stat");
    return !defined $stat || $stat !~ /.*\) [ZX]/s;
}


# setup_server_root(): an empty folder with conf, html and logs. Only what such
# a folder holds is removed: were TEST_NGINX_SERVROOT set to a folder of
# somebody's own, its other files would stay, and the run end.
sub setup_server_root {
    if (-d $ServRoot) {
        remove_tree($ConfDir, $HtmlDir, $LogDir, "$ServRoot/cache",
            glob("$ServRoot/*_cache"), glob("$ServRoot/*_temp"));
        rmdir $ServRoot
            or bail_out("Can't remove $ServRoot (not empty?): $!");
    }

    make_path($ConfDir, $HtmlDir, $LogDir);

    _write("$HtmlDir/index.html",
        '<html><head><title>It works!</title></head>'
            . '<body>It works!</body></html>');
    return;
}


# remove_private_root(): removes a folder that was made for this run alone.
sub remove_private_root {
    remove_tree($ServRoot) if $Test::Nginx::Util::ServRootIsPrivate;
    return;
}


# write_user_files($block, \%rand_ports): writes the files of "user_files",
# below html/ unless the name begins with a slash. The section is text, where
# each file begins with ">>> NAME [DATE]", or an array of [name, text, date].
sub write_user_files {
    my ($block, $rand_ports) = @_;

    my $name  = $block->name;
    my $files = $block->user_files or return;

    $files = _parse_user_files($files) unless ref $files;
    bail_out("$name - user_files must be a text or an array")
        unless ref $files eq 'ARRAY';

    for my $file (@$files) {
        my ($path, $text, $date) = @$file;
        $path = "$HtmlDir/$path" unless $path =~ m{^/};

        make_path($1) if $path =~ m{(.*)/} && !-d $1;
        _write($path, expand_env_in_text($text // '', $name, $rand_ports));

        next unless $date;
        local $ENV{TZ} = 'GMT';
        system('touch', '-t', $date, $path) == 0
            or bail_out("$name - touch -t '$date' $path failed\n");
    }

    return;
}


sub _parse_user_files {
    my ($text) = @_;

    my @files;
    for my $line ($text =~ /^(.+\n?|\n)/gm) {
        if ($line =~ />>> (\S+)(?:[ \t]+(.+))?/) {
            push @files, [$1, '', $2];
        }
        elsif (@files) {
            $files[-1][1] .= $line;
        }
    }

    return \@files;
}


# start_nginx($block): starts it on $ConfFile. Returns the status of the
# command, in the form of $?: 0 where the server is up.
sub start_nginx {
    my ($block) = @_;

    my $log = "$LogDir/error.log";
    my @cmd = ($NginxBinary, '-e', $log, '-p', "$ServRoot/", '-c', $ConfFile);

    my $pid = fork // bail_out("fork() failed: $!");
    if (!$pid) {
        $ENV{LD_PRELOAD} = join ' ', grep {defined}
            $ENV{TEST_NGINX_LD_PRELOAD}, $ENV{LD_PRELOAD}
            if defined $ENV{TEST_NGINX_LD_PRELOAD};

        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null' if defined $block->suppress_stderr;
        exec {$NginxBinary} @cmd or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    my $status = $?;
    return $status if $status;

    # nginx returns as soon as it listens, and writes the pid a moment later.
    _wait_until($Timeout, sub { defined($nginx_pid = _pid_from_file()) });
    sleep $TestNginxSleep;
    return 0;
}


# stop_nginx(): stops the server, also one that an earlier run left behind.
sub stop_nginx {
    my $pid = _pid_from_file() // $nginx_pid;
    undef $nginx_pid;

    return unless defined $pid;

    stop_process($pid) if _is_ours($pid) && is_running($pid);
    unlink $PidFile;
    return;
}


# stop_process($pid): asks it to quit, waits, and in the end kills it and the
# processes that it started.
sub stop_process {
    my ($pid) = @_;

    my @signals = $ENV{TEST_NGINX_FAST_SHUTDOWN} ? qw(TERM) : qw(QUIT TERM);
    my $gone = sub { !is_running($pid) };

    for my $signal (@signals) {
        verbose("sending $signal to $pid");
        kill $signal, $pid;
        return if _wait_until($Timeout, $gone);
        warn "process $pid did not end within $Timeout s of SIG$signal\n";
    }

    kill 'KILL', $pid, _children($pid);
    _wait_until($Timeout, $gone)
        or warn "process $pid outlives SIGKILL\n";
    return;
}


sub _wait_until {
    my ($seconds, $done) = @_;

    my $end = time + $seconds;
    until ($done->()) {
        return 0 if time > $end;
        sleep 0.01;
    }

    return 1;
}


sub _pid_from_file {
    my $text = _slurp($PidFile) // return undef;
    return $text =~ /^(\d+)/ ? $1 : undef;
}


# A pid file may be old, and its number be another process's by now. What we
# start has our folder on its command line. Without /proc it can't be told.
sub _is_ours {
    my ($pid) = @_;

    my $cmd = _slurp("/proc/$pid/cmdline");
    return !-d '/proc/self' || defined $cmd && index($cmd, $ServRoot) >= 0;
}


sub _children {
    my ($parent) = @_;

    my @children;
    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($pid, $ppid) = (_slurp($stat) // '') =~ /^(\d+) .*\) \S (\d+)/s;
        push @children, $pid if defined $ppid && $ppid == $parent;
    }

    return @children;
}


# read_error_log(): all that nginx wrote to its error log, '' where nothing.
sub read_error_log { return _slurp($ErrLogFile) // '' }


sub _slurp {
    my ($path) = @_;

    open my $in, '<', $path or return undef;
    local $/;
    return scalar <$in>;
}


sub _write {
    my ($path, $text) = @_;

    open my $out, '>:raw', $path
        or bail_out("Cannot open $path for writing: $!\n");
    print {$out} $text;
    close $out or bail_out("Cannot write $path: $!\n");
    return;
}


1;
