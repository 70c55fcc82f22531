# Clients that end their sending side after a whole request, and wait for the
# answer: each gets it, at whatever moment the end comes.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Nginx;
use Knock::Server qw(start_redis connect_redis configure wait_for);

use constant TIMES => 100;
use constant KEY => 'a key for the tests';

my @key = (Authorization => 'Bearer ' . KEY);
my $keys = File::Temp->new;

print {$keys} sha256_hex(KEY), "\n";
close $keys;
chmod 0644, $keys->filename;

my $server = <<"_EOC_";
$Knock::Nginx::Webhook
location /v1/ { knock_api; knock_api_keys @{[$keys->filename]}; }
location = /metrics { knock_metrics; }
location = /plain { return 200 "plain\\n"; }
_EOC_

my $plain = "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n";
my $get = join "\r\n", 'GET /v1/sources HTTP/1.1', 'Host: h',
                       "$key[0]: $key[1]", '', '';
my $scrape = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";

at_any_moment();

my $fake = Knock::HeldRedis->new(unix => 1);
my $nginx = $fake->nginx(server => $server);
my $figures = Knock::Figures->new($nginx, $fake);

while_it_waits();
while_figures_wait();
several_of_a_connection();
more_to_come();
gone_after_all();
closed();
not_whole();

is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;


# With a real Redis: at once behind the request, or when it has been read.

sub at_any_moment {
    my $redis = start_redis();

    configure(connect_redis($redis));

    my $nginx = Knock::Nginx->start(redis => $redis, server => $server);

    wait_for('Redis to be there', sub {
        $nginx->post('/in/dev', track('T'))->{status} == 200
    });

    my %requests = (
        'an event'         => [200, post('/in/dev', track('T'))],
        'an unknown token' => [404, post('/in/unknown', track('T'))],
        'no JSON'          => [400, post('/in/dev', '{"bad')],
        'a wrong type'     => [415, post('/in/dev', track('T'),
                                         'Content-Type' => 'text/plain')],
        'a call that reads'  => [200, $get],
        'a call that writes' => [200, post(
            '/v1/environments/development/users/bulk', '{"users":[{"id":"u"}]}',
            @key)],
        'metrics'          => [200, $scrape],
    );

    for my $what (sort keys %requests) {
        my ($status, $text) = @{ $requests{$what} };
        my %got;

        for my $n (1 .. TIMES) {
            my $http = $nginx->new_client;

            $http->send($text);
            Knock::HeldRedis::wait_read($http) if $n % 2;
            $http->half_close;

            my $answer = eval { $http->answer } // { status => $@ };

            $got{ $answer->{status} }++;
        }

        is_deeply \%got, { $status => TIMES }, "$what: all are answered";
    }

    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# The end comes, and is seen, while Redis is waited for.

sub while_it_waits {
    my $large = ' ' x 100_000 . track('T');
    my %requests = (
        'an event'        => post('/in/dev', track('T')),
        'a large one'     => post('/in/dev', $large),
        'in chunks'       => "POST /in/dev HTTP/1.1\r\nHost: h\r\n"
                             . "Transfer-Encoding: chunked\r\n\r\n"
                             . sprintf("%x\r\n%s\r\n0\r\n\r\n",
                                       length track('T'), track('T')),
        'of HTTP/1.0'     => post('/in/dev', track('T')) =~ s{/1\.1}{/1.0}r,
        'the last one'    => post('/in/dev', track('T'), Connection => 'close'),
        'a call'          => $get,
        'a call with a body'
                          => post('/v1/workflows/w',
                                  '{"name":"w","definition":{}}', @key)
                             =~ s/^POST/PUT/r,
        'a call that writes users'
                          => post('/v1/environments/development/users/bulk',
                                  '{"users":[{"id":"u"}]}', @key),
    );

    for my $what (sort keys %requests) {
        my $http = $nginx->new_client;

        $http->send($requests{$what});

        my $call = $fake->call;
        my $applies = $call->{args}[1] eq 'knock_apply';

        $http->half_close;
        $nginx->seen;
        ok $http->silent(0), "$what: it waits on";
        $fake->reply($call, $applies ? applied($call, 'p')
                                     : array(":200\r\n", bulk("{}\n")));
        is $fake->answer($http)->{status}, 200, "$what: it is answered";
        is eval { $http->rest } // $@, '', "$what: that is all";
        $figures->is_quiet($what, $what =~ /call/ ? 'api_requests' : 'requests',
                           { 200 => 1 });
    }

    # an answer that is none of Redis'

    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T')));

    my $call = $fake->call;

    $http->half_close;
    $nginx->seen;
    $fake->close($call->{conn});
    ok unavailable($fake->answer($http)), 'Redis is lost: 503';
    $fake->ready;
    $figures->is_quiet('Redis is lost', requests => { 503 => 1 },
                       redis_lost => 1);
}


sub while_figures_wait {
    my (@held, $http);

    $fake->{auto} = sub {
        return if $_[1]{args}[0] ne 'LLEN';
        push @held, $_[1];
        return '';
    };

    $http = $nginx->new_client;
    $http->send($scrape);
    $fake->run_until('it to be asked', sub { @held });
    $http->half_close;
    $nginx->seen;
    $fake->{auto} = undef;
    $fake->reply($held[0], ":0\r\n");
    like $fake->answer($http)->{body}, qr/^knock_redis_up 1$/m,
         'metrics: they are answered';
    $figures->is_quiet('metrics');
}


# Pipelined, and the end behind all of them.

sub several_of_a_connection {
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T1')) . $plain
                . post('/in/dev', track('T2')) . $get);
    $http->half_close;
    $nginx->seen;

    for my $n (1, 2) {
        my $call = $fake->call;

        is_deeply [events($call)], ["track/T$n"], "pipelined: event $n";
        $nginx->seen;
        $fake->reply($call, applied($call, 'p'));
        is $fake->answer($http)->{status}, 200, "pipelined: answered ($n)";
        is $fake->answer($http)->{body}, "plain\n", 'pipelined: the next one'
            if $n == 1;
    }

    $fake->reply($fake->call, array(":200\r\n", bulk("{}\n")));
    is $fake->answer($http)->{body}, "{}\n", 'pipelined: the last one';
    is eval { $http->rest } // $@, '', 'pipelined: that is all';
    $figures->is_quiet('pipelined', requests => { 200 => 2 },
                       api_requests => { 200 => 1 });
}


# What comes while a request waits is the next one, not an end.

sub more_to_come {
    my $http = $nginx->new_client;

    $http->send(post('/in/dev', track('T1')));

    my $call = $fake->call;

    $http->send(post('/in/dev', track('T2')));
    $nginx->seen;
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, 'sent meanwhile: the first one';
    $call = $fake->call;
    is_deeply [events($call)], ['track/T2'], 'sent meanwhile: the second one';
    $http->half_close;
    $nginx->seen;
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, 'sent meanwhile: answered';
    $figures->is_quiet('sent meanwhile', requests => { 200 => 2 });
}


# An end, and then a reset: behind an end, too, that is noticed at once.

sub gone_after_all {
    for my $more ('', post('/in/dev', track('Next'))) {
        my $http = $nginx->new_client;
        my $what = 'a reset behind an end' . ($more ? ', and a request' : '');
        my $offset = -s $nginx->error_log;

        $http->send(post('/in/dev', track('T')));

        my $call = $fake->call;

        $http->send($more) if $more;
        $http->half_close;
        $nginx->seen;
        unlike $nginx->log_text($offset), qr/prematurely closed/,
               "$what: the end is none";
        $http->reset;
        $fake->run_until("$what to be noticed", sub {
            $nginx->log_text($offset) =~ /prematurely closed/;
        });
        $fake->reply($call, applied($call, 'p'));
        $figures->is_quiet($what, requests => { 499 => 1 });
        is_deeply $fake->{calls}, [], "$what: no more is applied";
    }
}


# One that has gone in good order cannot be told from one that waits: it is
# answered, and nothing of it is left.

sub closed {
    for my $text (post('/in/dev', track('T')), $get) {
        my $http = $nginx->new_client;

        $http->send($text);

        my $call = $fake->call;
        my $applies = $call->{args}[1] eq 'knock_apply';

        $http->close;
        $nginx->seen;
        $fake->reply($call, $applies ? applied($call, 'p')
                                     : array(":200\r\n", bulk("{}\n")));
        $figures->is_quiet('closed', $applies ? 'requests' : 'api_requests',
                           { 200 => 1 });
    }
}


# The end of a request that is not whole is the end of it.

sub not_whole {
    for my $cut (1, length track('T')) {
        my $http = $nginx->new_client;

        $http->send(substr post('/in/dev', track('T')), 0, -$cut);
        $http->half_close;
        unlike eval { $http->rest } // $@, qr/"accepted"/,
               'one that is not whole is not received';
    }

    is_deeply $fake->{calls}, [], 'nor applied';
    $figures->is_quiet('not whole', requests => {});
}
