# HTTP/2: bodies, and streams that are reset in mid-body and in mid-wait.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::H2;
use Knock::HeldRedis;
use Knock::Nginx;

my $fake = Knock::HeldRedis->new(unix => 1);
my $nginx = $fake->nginx(listen => 'http2', http => <<'_EOC_');
client_max_body_size 100k;
client_body_buffer_size 1k;
_EOC_
my $figures = Knock::Figures->new($nginx, $fake);

# no stream of a connection is used again

my ($h2, $stream);

bodies();
refused_before_the_body();
streams_beside_each_other();
reset_in_mid_body();
reset_in_mid_wait();
reset_with_the_end();
connection_gone();
by_another_client();

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


sub begin {
    $h2->close if $h2;
    $h2 = Knock::H2->new($nginx->port);
    $stream = -1;
}

sub next_stream { return $stream += 2 }


# Serves until a stream is answered.

sub answer {
    my ($id) = @_;

    $fake->run_until("an answer on stream $id", sub {
        $h2->begun($id) && $h2->{streams}{$id}{done};
    });

    return $h2->answer($id);
}


sub is_applied {
    my ($id, $what) = @_;

    my $call = $fake->call;

    $fake->reply($call, applied($call, 'p'));

    my $answer = answer($id);

    is "$answer->{status} $answer->{body}", '200 {"accepted":'
       . scalar(events($call)) . qq(,"duplicates":0,"ignored":0,"runs":0,"errors":[]}\n),
       $what;
}


sub bodies {
    begin();

    my $id = next_stream();

    $h2->send(headers($id, '/in/dev'), data($id, track('One'), 1));
    is_applied($id, 'a body in one frame');

    $id = next_stream();
    $h2->send(headers($id, '/in/dev', 'content-length' => length track('Two')),
              data($id, track('Two'), 1));
    is_applied($id, 'a body with its length');

    $id = next_stream();
    $h2->send(headers($id, '/in/dev'));
    for my $octet (split //, track('Three')) {
        $h2->send(data($id, $octet));
    }
    $h2->sync;
    $h2->send(data($id, '', 1));
    is_applied($id, 'a body an octet at a time, ended by an empty frame');

    # more than the buffer: a file

    my $body = '[' . join(',', map { track("T$_") } 1 .. 1000) . ']';

    $id = next_stream();
    $h2->send(headers($id, '/in/dev'));
    $h2->send(data($id, $_, 0)), $h2->sync
        for map { substr $body, $_ * 9000, 9000 }
            0 .. int(length($body) / 9000);
    $h2->send(data($id, '', 1));
    is_applied($id, 'a body in a file');

    $id = next_stream();
    $h2->send(headers($id, '/in/dev', end => 1));
    like answer($id)->{body}, qr/^\{"error":\{"code":"invalid_json"/,
         'no body at all';
    $figures->is_quiet('bodies', requests => { 200 => 4, 400 => 1 });
}


# What is refused at once is refused on its stream only.

sub refused_before_the_body {
    begin();

    for (['415', 'content-type' => 'text/plain'],
         ['415', 'content-encoding' => 'gzip'],
         ['405', method => 'DELETE'],
         ['413', 'content-length' => 200_000])
    {
        my ($status, %more) = @$_;
        my $id = next_stream();

        $h2->send(headers($id, '/in/dev', %more));
        is answer($id)->{status}, $status, "refused before the body: $status";

        # its body comes all the same

        $h2->send(data($id, 'x' x 1000), data($id, '', 1));
        $h2->sync;
    }

    my $id = next_stream();

    $h2->send(headers($id, '/in/dev'), data($id, track('After'), 1));
    is_applied($id, 'and the next stream is served');

    # the limit counts what comes, with no length in front

    $id = next_stream();
    $h2->send(headers($id, '/in/dev'));
    for (1 .. 11) {
        last if $h2->begun($id);
        $h2->send(data($id, ' ' x 10000));
        $h2->sync;
    }
    my $answer = answer($id);
    is $answer->{status}, 413, 'more than client_max_body_size: 413';
    like $answer->{body}, qr/"code":"body_too_large"/, 'as JSON';
    $figures->is_quiet('refused',
                       requests => { 200 => 1, 405 => 1, 413 => 2, 415 => 2 });
}


sub streams_beside_each_other {
    begin();

    my @ids = map { next_stream() } 1 .. 10;

    $h2->send(map { headers($_, '/in/dev') } @ids);
    $h2->send(map { data($_, track("T$_"), 1) } reverse @ids);

    # one turn of the loop: one call for all of them

    my $call = $fake->call;

    is scalar(events($call)), 10, 'ten streams, one call';
    $fake->reply($call, applied($call, 'p'));
    is_deeply [map { answer($_)->{status} } @ids], [(200) x 10],
              'each of them is answered';
    $figures->is_quiet('ten streams', requests => { 200 => 10 });
}


sub reset_in_mid_body {
    begin();

    for my $sent ('', '{"type":', '[' . track('Gone') . ',', 'x' x 5000) {
        my $id = next_stream();

        $h2->send(headers($id, '/in/dev'), data($id, $sent));
        $h2->sync;
        $h2->send(reset_stream($id));
        $h2->sync;
    }

    my $id = next_stream();

    # at once

    $h2->send(headers($id, '/in/dev'), data($id, '['), reset_stream($id));
    $h2->sync;

    $id = next_stream();
    $h2->send(headers($id, '/in/dev'), data($id, track('After'), 1));
    is_applied($id, 'reset in mid-body: the next stream is served, alone');
    $figures->is_quiet('reset in mid-body', requests => { 200 => 1 });
}


# The reply comes when the stream has gone, of whatever kind it is.

sub reset_in_mid_wait {
    my $need = array(array(bulk('need'), bulk(''), array()));
    my @replies = (
        ['applied', sub { $fake->reply($_[0], applied($_[0], 'p')) }],
        ['an error', sub { $fake->reply($_[0], error('ERR no')) }],
        ['an error that passes', sub { $fake->reply($_[0], error('OOM no')) }],
        ['stale', sub { $fake->reply($_[0], array(bulk('stale'))) }],
        ['needs a merge', sub { $fake->reply($_[0], $need) }],
        ['another function\'s', sub { $fake->reply($_[0], "*-1\r\n") }],
        ['none, the connection is lost', sub { $fake->close($_[0]{conn}) }],
    );

    begin();

    for (@replies) {
        my ($what, $reply) = @$_;
        my ($gone, $stays) = (next_stream(), next_stream());

        $fake->ready;
        $h2->send(headers($gone, '/in/dev'), data($gone, track('Gone'), 1));

        my $call = $fake->call;

        $h2->send(headers($stays, '/in/dev'), data($stays, full('Stays'), 1));

        my $other = $fake->call;

        $h2->send(reset_stream($gone));
        $h2->sync;
        $reply->($call);

        if ($what =~ /lost/) {
            is answer($stays)->{status}, 503, "reset in mid-wait: $what";
        } else {
            $fake->reply($other, applied($other, 'p'));
            is answer($stays)->{status}, 200, "reset in mid-wait: $what";
        }

        ok !$h2->begun($gone), 'nothing on the stream that was reset';
        $fake->ready;
        $figures->is_quiet("reset in mid-wait: $what", requests => {
            499 => 1, ($what =~ /lost/ ? 503 : 200) => 1 });
    }

    # while it is collected for the next call, which then goes out

    my ($first, $gone, $stays) = map { next_stream() } 1 .. 3;

    $fake->ready;
    $h2->send(headers($first, '/in/dev'), data($first, track('First'), 1));

    my $call = $fake->call;

    $h2->send(map { headers($_, '/in/dev'), data($_, track("T$_"), 1) }
                  $gone, $stays);
    $h2->sync;
    $h2->send(reset_stream($gone));

    my $next = $fake->call;

    is_deeply [events($next)], ["track/T$gone", "track/T$stays"],
              'reset while it is collected: the call is whole';
    $fake->reply($call, applied($call, 'p'));
    $fake->reply($next, applied($next, 'p'));
    is answer($_)->{status}, 200, 'others are answered' for $first, $stays;
    ok !$h2->begun($gone), 'nothing on the stream that was reset';

    # while it waits for what is live

    my @held;

    $fake->ready;
    $fake->{auto} = sub {
        return if $_[1]{args}[1] ne 'knock_live';
        push @held, $_[1];
        return '';
    };

    my $id = next_stream();

    $h2->send(headers($id, '/in/unknown'), data($id, track('Gone'), 1));
    $fake->run_until('what is live to be asked', sub { @held });
    $h2->send(reset_stream($id));
    $h2->sync;
    $fake->{auto} = undef;
    $fake->reply($held[0], $fake->live);

    $id = next_stream();
    $h2->send(headers($id, '/in/dev'), data($id, track('After'), 1));
    is_applied($id, 'reset while what is live is read');
    $figures->is_quiet('reset while it waits for others',
                       requests => { 499 => 2, 200 => 3 });
}


# The end of the body and the reset come in one packet: the request is in a
# call that has not gone out.

sub reset_with_the_end {
    begin();

    my ($gone, $stays, $gone_too) = map { next_stream() } 1 .. 3;

    $h2->send((map { headers($_, '/in/dev') } $gone, $stays, $gone_too),
              data($gone, track('Gone'), 1), data($stays, track('Stays'), 1),
              data($gone_too, track('GoneToo'), 1),
              reset_stream($gone), reset_stream($gone_too));

    my @events;

    until (grep { $_ eq 'track/Stays' } @events) {
        my $call = $fake->call;

        push @events, events($call);
        $fake->reply($call, applied($call, 'p'));
    }

    is answer($stays)->{status}, 200, 'reset with the end: others are served';

    # nothing that is read from the memory of one that has gone

    is_deeply [grep { !/^track\/(?:Gone|Stays|GoneToo)$/ } @events], [],
              'reset with the end: what goes out is whole';
    $h2->sync;
    ok !$h2->begun($gone) && !$h2->begun($gone_too),
       'reset with the end: no answer';

    # whatever of it has come later

    $fake->run_for(0.05);
    while (my $call = shift @{ $fake->{calls} }) {
        $fake->reply($call, applied($call, 'p'));
    }

    $figures->is_quiet('reset with the end');
}


sub connection_gone {
    for my $how (qw(close reset)) {
        for my $where ('mid-body', 'mid-wait') {
            begin();

            my @ids = map { next_stream() } 1 .. 3;

            $h2->send(map { headers($_, '/in/dev'),
                            data($_, track('T'), $where eq 'mid-wait') } @ids);
            $h2->sync;

            my $call = $where eq 'mid-wait' ? $fake->call : undef;

            $h2->$how;
            undef $h2;
            begin();
            $fake->reply($call, applied($call, 'p')) if $call;

            my $id = next_stream();

            $h2->send(headers($id, '/in/dev'), data($id, track('After'), 1));
            is_applied($id, "the whole connection gone in $where by $how");
            $figures->is_quiet("the connection gone in $where by $how",
                requests => { 200 => 1, $call ? (499 => 3) : () });
        }
    }
}


# As a sender's library does it.

sub by_another_client {
    my $file = $nginx->dir . '/body';

    open my $out, '>', $file or die;
    print {$out} '[', join(',', map { track("T$_") } 1 .. 500), ']';
    close $out;

    $fake->{serve} = 1;

    for my $command (
        ['nghttp', '-d', $file, '-H', ':method: POST',
         'http://127.0.0.1:' . $nginx->port . '/in/dev'],
        ['curl', '-s', '--http2-prior-knowledge', '--data-binary', "\@$file",
         '-H', 'Content-Type: application/json',
         'http://127.0.0.1:' . $nginx->port . '/in/dev'])
    {
        my $pid = open my $in, '-|', @$command;

        SKIP: {
            skip "no $command->[0]", 1 unless $pid;

            my $text = '';

            $fake->run_until("$command->[0] to end", sub {
                vec(my $bits = '', fileno $in, 1) = 1;
                return if select($bits, undef, undef, 0) <= 0;
                return !sysread $in, $text, 4096, length $text;
            });
            like $text, qr/"ignored":500,/, $command->[0];
        }
    }

    # killed while it waits

    $fake->{serve} = 0;

    my $pid = fork // die;

    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        exec 'nghttp', '-d', $file, '-H', ':method: POST',
             'http://127.0.0.1:' . $nginx->port . '/in/dev'
            or POSIX::_exit(0);
    }

    my $call = $fake->call;

    kill 'KILL', $pid;
    waitpid $pid, 0;
    $fake->reply($call, applied($call, 'p'));

    begin();

    my $id = next_stream();

    $h2->send(headers($id, '/in/dev'), data($id, track('After'), 1));
    is_applied($id, 'nghttp killed in mid-wait');
    $figures->is_quiet('another client');
}
