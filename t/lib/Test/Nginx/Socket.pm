package Test::Nginx::Socket;

# Runs the blocks of a .t file against nginx: for each one a fresh server on the
# block's configuration, a request, and checks of the response and the logs. It
# understands the same files as CPAN's Test::Nginx::Socket 0.33 and comes to the
# same verdicts, with nothing but core Perl, and serves where that one is not
# installed.
#
#     use Test::Nginx::Socket;
#     plan tests => repeat_each() * 2 * blocks();
#     run_tests();
#
#     __DATA__
#
#     === it answers
#     --- config
#     location /a { return 200 "a\n"; }
#     --- request
#     GET /a
#     --- response_body
#     a
#
# This file holds what a .t file calls, and the loop over the blocks.

use 5.014;
use strict;
use warnings;

use Carp qw(carp cluck confess croak);
use List::Util qw(shuffle);
use Scalar::Util qw(looks_like_number);
use Test::More;
use Time::HiRes qw(sleep);

use Test::Nginx::Check qw(
    check_error_code check_raw_response_headers check_response_body
    check_response_headers filter_response_body is_verdict verdict
);
use Test::Nginx::Client qw(send_request);
use Test::Nginx::Config qw(write_config_file);
use Test::Nginx::Log qw(
    check_access_log check_error_log check_shutdown_error_log rewind_error_log
);
use Test::Nginx::Request qw(requests_of);
use Test::Nginx::Response qw(http09_response parse_response);
use Test::Nginx::Server qw(
    remove_private_root setup_server_root start_nginx stop_nginx
    write_user_files
);
use Test::Nginx::Settings;
use Test::Nginx::Skip qw(skip_or_todo);
use Test::Nginx::Spec;
use Test::Nginx::TcpListen;
use Test::Nginx::Util qw(
    $ErrLogFile $NginxBinary $RandPorts $ServerPort $Timeout
    bail_out expand_env_in_text on_bail_out parse_time run_perl uncounted
    verbose
);

our $VERSION = '0.33';

my @from_test_more = qw(
    ok is isnt like unlike is_deeply cmp_ok pass fail skip todo_skip diag
    eq_array eq_hash eq_set can_ok isa_ok use_ok plan
);

my @own = qw(
    run_tests blocks next_block first_block filters filter_arguments is_str
    add_block_preprocessor add_cleanup_handler add_test_cleanup_handler
    add_response_body_check bail_out carp cluck confess croak no_diff
);

my @block_preprocessors;
my @cleanup_handlers;
my @test_cleanup_handlers;
my @response_body_checks;

# Only the process that the .t file runs in has anything to clean up.
my $owner = $$;

# The block that ran last, and the configuration of the server that runs.
my $previous_block;
my $previous_config;

my $tcp_server;

on_bail_out(\&_clean_up);


# The caller gets strict and warnings with the functions. Arguments make the
# plan: use Test::Nginx::Socket tests => 3.
sub import {
    my ($class, @plan) = @_;

    strict->import;
    warnings->import;

    no strict 'refs';
    my $caller = caller;
    *{"${caller}::$_"} = \&$_ for @from_test_more, @own;
    *{"${caller}::$_"} = Test::Nginx::Settings->can($_)
        for @Test::Nginx::Settings::NAMES;
    *{"${caller}::TODO"} = \$Test::More::TODO;

    plan(@plan) if @plan;
    return;
}


# blocks(): the blocks that are to run; their number in scalar context.
sub blocks () { return Test::Nginx::Spec::blocks() }

# next_block(), first_block(): the blocks one by one, then undef.
sub next_block ()  { return Test::Nginx::Spec::next_block() }
sub first_block () { return Test::Nginx::Spec::first_block() }

# filters(@names) for all sections, filters({ section => [@names] }) for some.
sub filters { return Test::Nginx::Spec::add_filters(@_) }

# filter_arguments(): for a filter function of one's own, what follows "=".
sub filter_arguments () { return $Test::Nginx::Filter::argument }

# add_block_preprocessor { my $block = shift; ... }: runs on each block before
# it does, the one added last first.
sub add_block_preprocessor (&) { unshift @block_preprocessors, @_; return }

# add_cleanup_handler($code): runs, without arguments, when all blocks are done
# and once more when the program ends, the one added last first.
sub add_cleanup_handler ($) { unshift @cleanup_handlers, @_; return }

# add_test_cleanup_handler($code): runs after each block, with the block.
sub add_test_cleanup_handler ($) { unshift @test_cleanup_handlers, @_; return }

# add_response_body_check($code): runs on each response with (block, body, index
# of the request, index of the repetition, undef), and may report tests.
sub add_response_body_check ($) { push @response_body_checks, @_; return }

# no_diff(): failed comparisons show no diff, as they never do here.
sub no_diff () { return }

# is_str($got, $expected, $name): one test, on a text or a regex.
sub is_str (@) {
    my ($got, $expected, $name) = @_;

    return like($got, $expected, $name) if ref $expected eq 'Regexp';
    return _report(is_verdict($got, $expected, $name));
}


# run_tests(): runs all blocks, in no particular order unless no_shuffle() was
# called.
sub run_tests () {
    local $SIG{INT}  = sub { exit 130 };
    local $SIG{TERM} = sub { exit 143 };

    $ENV{TEST_NGINX_SERVER_PORT} //= $ServerPort;

    my @blocks = blocks();
    @blocks = shuffle @blocks unless $Test::Nginx::Util::NoShuffle;

    for my $block (@blocks) {
        $_->($block) for @block_preprocessors;

        $block->set_value(name => "$0 " . $block->name);
        _run_block($block);
        $_->($block) for @test_cleanup_handlers;

        $previous_block = $block;
    }

    _clean_up();
    return;
}


sub _run_block {
    my ($block) = @_;

    return if defined $block->SKIP;

    my $name = $block->name;
    verbose("running $name");

    for my $section (qw(http2 http3 udp_listen)) {
        bail_out("$name - this runner has no \"$section\"")
            if defined $block->$section;
    }

    $RandPorts = {};
    my $config
        = expand_env_in_text(scalar $block->config, $name, $RandPorts);
    my ($unwanted, $count, $why) = skip_or_todo($block);

    local $Test::Nginx::Util::LogLevel
        = $block->log_level || $Test::Nginx::Util::LogLevel;

    my $failed = 0;
    if (_needs_start($block, $config) && ($unwanted // '') ne 'skip') {
        $previous_config = $config;
        _replace_server($block, $config);
        return _check_death($block) if defined $block->must_die;

        $failed = _start($block);
    }

    if ($block->init) {
        my $error = run_perl($block->init);
        bail_out("$name - init failed: $error") if $error;
    }

    rewind_error_log();

    for my $i (0 .. $Test::Nginx::Util::RepeatEach - 1) {
        if ($unwanted) {
            _skip($unwanted, "$name - $why", $count);
            next;
        }

        _run_once($block, $i, $failed);
    }

    _append_to_common_log($name);
    return;
}


# A block without a configuration goes on with the server of the one before.
sub _needs_start {
    my ($block, $config) = @_;

    if ($Test::Nginx::Util::NoNginxManager) {
        diag('NO_NGINX_MANAGER activated: config for '
                . $block->name . ' ignored')
            if defined $config;
        return 0;
    }

    if (!defined $config) {
        bail_out($block->name . " - No '--- config' section specified and"
                . ' could not get previous one.')
            unless defined $previous_config;
        return 0;
    }

    return 1 if $Test::Nginx::Util::ForceRestart;
    return !defined $previous_config || $config ne $previous_config;
}


sub _skip {
    my ($unwanted, $why, $count) = @_;

    no warnings 'exiting';
    if ($unwanted eq 'skip') {
        SKIP: { skip($why, $count) }
    }
    else {
        TODO: { todo_skip($why, $count) }
    }

    return;
}


# Stops the previous block's server and lays out the folder for the next one.
sub _replace_server {
    my ($block, $config) = @_;

    stop_nginx();
    _check_previous_shutdown();

    setup_server_root();
    rewind_error_log();

    if ($block->post_setup_server_root) {
        my $error = run_perl($block->post_setup_server_root);
        bail_out($block->name . " - post_setup_server_root failed: $error")
            if $error;
    }

    write_user_files($block, $RandPorts);
    write_config_file($block, $config, $RandPorts);
    return;
}


sub _check_previous_shutdown {
    return unless $previous_block;

    _report(check_shutdown_error_log($previous_block));
    return;
}


# Starts the server; returns true, having said why, if it does not start. Only a
# port that someone still holds is worth another try.
sub _start {
    my ($block) = @_;

    my $status;
    for my $try (1 .. 5) {
        $status = start_nginx($block) or return 0;

        last unless Test::Nginx::Server::read_error_log()
            =~ /Address already in use/;
        sleep 0.3 * $try;
    }

    diag($block->name . " - Cannot start $NginxBinary: exit code "
            . ($status >> 8) . ", signal " . ($status & 127)
            . "; its error log:\n" . Test::Nginx::Server::read_error_log());
    return 1;
}


# must_die: the start command has to fail, with the exit code that the section
# may give. No request is sent.
sub _check_death {
    my ($block) = @_;

    my $name = $block->name;
    my $code = $block->must_die;

    for my $i (0 .. $Test::Nginx::Util::RepeatEach - 1) {
        my $status = start_nginx($block);

        _report(
              $status >> 8 == 127 ? verdict(0, "$name - failed to execute"
                . ' the nginx command line')
            : $status & 127 ? verdict(0, "$name - nginx core dumped")
            : looks_like_number($code) ? is_verdict($code, $status >> 8,
                "$name - die with the expected exit code")
            : verdict($status != 0, "$name - die as expected"),
            check_error_log($block, $i),
        );

        stop_nginx() if $status == 0;
    }

    return;
}


# One repetition of a block. Where the server has not started, all its tests are
# counted, and fail.
sub _run_once {
    my ($block, $i, $failed) = @_;

    $tcp_server = Test::Nginx::TcpListen->start($block);
    write_user_files($block, $RandPorts) if $i;

    my $emit = $failed ? \&_report_failed : \&_report;
    _send_and_check($block, $i, $failed, $emit);

    if ($tcp_server) {
        $emit->($tcp_server->verdicts);
        $tcp_server->stop;
        undef $tcp_server;
    }

    return;
}


sub _send_and_check {
    my ($block, $i, $failed, $emit) = @_;

    my $name     = $block->name;
    my $requests = requests_of($block);
    my $pipeline = $block->pipelined_requests;
    my $timeout  = parse_time(scalar $block->timeout) // $Timeout;

    bail_out("$name - request empty") unless @$requests;

    my $run = {
        req_idx    => 0,
        repeat_idx => $i,
        need_array => $pipeline || @$requests > 1,
    };

    for my $request (@$requests) {
        my ($raw, $error)
            = $failed ? () : send_request($block, $request, $timeout);
        _uncounted_failure($error) if defined $error;

        my $is_head
            = join('', map { $_->{value} } @$request) =~ /^\s*HEAD\s+/;

        for (1 .. ($pipeline ? @$pipeline : 1)) {
            verbose('received [' . ($raw // '') . ']');

            $raw = _check_response($block, $raw // '', $is_head, $run, $emit);

            warn "WARNING: $name - unexpected extra bytes after last chunk in"
                . " response: \"$raw\"\n"
                if defined $raw && !$pipeline;

            sleep $block->wait if $block->wait;
            $emit->(check_error_log($block, $i));
            $emit->(check_access_log($block, $i))
                unless defined $block->ignore_response;

            $run->{req_idx}++;
        }
    }

    return;
}


# Returns what follows the response, undef where nothing does.
sub _check_response {
    my ($block, $raw, $is_head, $run, $emit) = @_;

    return undef if defined $block->ignore_response;

    my ($res, $raw_headers, $left, $error)
        = defined $block->http09
        ? (http09_response($raw), '')
        : parse_response($raw, $is_head);

    _uncounted_failure($block->name . " - $error") if defined $error;

    $emit->(
        check_error_code($block, $res, $run),
        check_raw_response_headers($block, $raw_headers, $run),
        check_response_headers($block, $res, $raw_headers, $run),
    );

    filter_response_body($block, $res, $run);
    $emit->(check_response_body($block, $res, $run));

    $_->($block, $res && $res->content, @$run{qw(req_idx repeat_idx)}, undef)
        for @response_body_checks;

    return $left;
}


sub _uncounted_failure {
    my ($why) = @_;

    uncounted();
    _report(verdict(0, $why));
    return;
}


# Reports verdicts as tests; returns whether the last one is good.
sub _report {
    my @verdicts = @_;

    my $tb = Test::More->builder;
    my $ok = 1;

    for my $verdict (@verdicts) {
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        $ok = $tb->ok($verdict->{ok}, $verdict->{name});
        $tb->diag($verdict->{diag}) if !$ok && defined $verdict->{diag};
    }

    return $ok;
}


sub _report_failed {
    return _report(map { verdict(0, $_->{name}, 'nginx has not started') } @_);
}


# TEST_NGINX_ERROR_LOG collects the logs of all blocks in one file.
sub _append_to_common_log {
    my ($name) = @_;

    my $path = $ENV{TEST_NGINX_ERROR_LOG} or return;

    open my $out, '>>', $path or bail_out("Can't append to $path: $!\n");
    print {$out} "\n=== $name\n", Test::Nginx::Server::read_error_log();
    close $out;
    return;
}


sub _clean_up {
    $_->() for @cleanup_handlers;

    $tcp_server->stop if $tcp_server;
    undef $tcp_server;
    return;
}


# The exit status is the tests' own, whatever the processes ended here return.
END {
    if ($$ == $owner) {
        local $?;
        local $!;

        _clean_up();

        if (!$ENV{TEST_NGINX_NO_CLEAN}
            && !$Test::Nginx::Util::NoNginxManager)
        {
            stop_nginx();
            _check_previous_shutdown();
            remove_private_root();
        }
    }
}


1;
