# knock_max_in_flight NUMBER SIZE: bodies of how many bytes together may wait
# for Redis.

use strict;
use warnings;

use Test::More;

use Knock::Api;
use Knock::Figures;
use Knock::HeldRedis ();
use Knock::Nginx;
use Knock::Server qw(wait_for);
use Knock::Test;

use constant SIZE => 10 * 1024;

my $nginx = start();
my $figures = Knock::Figures->new($nginx);

bytes();
the_rest();
in_chunks();
a_body_to_come();
larger_than_all();
one_call();

is_deeply [$nginx->complaints], [], 'nothing to complain about';
$nginx->stop;
is_deeply [$nginx->complaints], [], 'nor at the end';

done_testing();


sub start {
    redis('FLUSHALL');
    seed("endpoint development segment token=dev\n");

    my $nginx = Knock::Nginx->start(
        http => 'knock_redis unix:' . redis_server()->{socket}
                . ' timeout=60s; knock_max_in_flight 100 10k;',
        server => "$Knock::Nginx::Webhook location = /metrics { knock_metrics; }");

    wait_for('a connection', sub {
        $nginx->post('/in/dev', '{"type":"page"}')->{status} == 200
    });

    return $nginx;
}


# An event of so many bytes.

sub event {
    my ($bytes) = @_;

    return '{"type":"page","x":"' . 'x' x ($bytes - 22) . '"}';
}


sub head {
    my (@fields) = @_;

    return join "\r\n", 'POST /in/dev HTTP/1.1', 'Host: h', @fields, '', '';
}


sub figure {
    my ($name) = @_;

    return $nginx->get('/metrics')->{body} =~ /^$name (\d+)$/m ? $1 : undef;
}


# Runs the code while an event of so many bytes waits for Redis.

sub while_waits {
    my ($bytes, $code) = @_;
    my $client = $nginx->new_client;

    redis('CLIENT', 'PAUSE', 60_000, 'WRITE');
    $client->send(head("Content-Length: $bytes") . event($bytes));
    wait_for('it to wait', sub { figure('knock_body_bytes') == $bytes });

    $code->();

    redis('CLIENT', 'UNPAUSE');
    is $client->answer->{status}, 200, 'what waited is answered';
    $figures->is_quiet('what waited');
}


sub is_overloaded {
    my ($answer, $title) = @_;

    is $answer->{status}, 503, "$title: 503";
    like $answer->{body}, qr/"code":"overloaded"/, "$title: overloaded";
    is $answer->{headers}{'retry-after'}, 1, "$title: to be sent again";
}


sub bytes {
    while_waits(6000, sub {
        my $offset = -s $nginx->error_log;

        is_overloaded($nginx->post('/in/dev', event(6000)), 'one too many');
        like $nginx->log_text($offset),
             qr/1 requests with bodies of 6000 bytes wait for Redis, knock_max_in_flight/,
             'the log says why';

        # before the body, by what is said of its length

        my $client = $nginx->new_client;

        $client->send(head('Content-Length: 6000', 'Expect: 100-continue'));

        my $answer = $client->answer;

        is_overloaded($answer, 'at its head');
        is $answer->{continue}, 0, 'its body was not asked for';
    });

    is $nginx->post('/in/dev', event(6000))->{status}, 200,
       'then there is room again';
}


# Bodies that fit in are taken, to the last byte.

sub the_rest {
    while_waits(6000, sub {
        my $rest = SIZE - 6000;
        my $client = $nginx->new_client;

        is_overloaded($nginx->post('/in/dev', event($rest + 1)),
                      'a byte too many');
        $client->send(head("Content-Length: $rest") . event($rest));
        wait_for('both to wait', sub { figure('knock_body_bytes') == SIZE });
        is figure('knock_in_flight'), 2, 'two wait';
        is_overloaded($nginx->post('/in/dev', '{"type":"page"}'),
                      'there is room for nothing');

        redis('CLIENT', 'UNPAUSE');
        is $client->answer->{status}, 200, 'the rest is answered';
    });
}


# How long it is shows when all of it is there.

sub in_chunks {
    while_waits(6000, sub {
        my $client = $nginx->new_client;
        my $event = event(6000);

        $client->send(head('Transfer-Encoding: chunked')
                      . sprintf("%x\r\n%s\r\n", length $event, $event));
        ok $client->silent(0.1), 'in chunks: it is read to its end';
        $client->send("0\r\n\r\n");
        is_overloaded($client->answer, 'in chunks');
    });
}


# What is still to come takes no room; what came meanwhile does.

sub a_body_to_come {
    my $slow = $nginx->new_client;

    $slow->send(head('Content-Length: 6000') . substr event(6000), 0, 5999);
    is $nginx->post('/in/dev', event(6000))->{status}, 200,
       'a body that is to come takes no room';
    is figure('knock_in_flight'), 0, 'and is not in flight';

    while_waits(6000, sub {
        $slow->send('}');
        is_overloaded($slow->answer, 'when it has come');
    });
}


sub larger_than_all {
    is $nginx->post('/in/dev', event(2 * SIZE))->{status}, 200,
       'one that is larger than all may be is taken alone';

    while_waits(2 * SIZE, sub {
        is_overloaded($nginx->post('/in/dev', '{"type":"page"}'),
                      'beside it there is room for none');
    });
}


# A call of the API that writes users goes the way of an event, as one request.

sub one_call {
    my @held;
    my $fake = Knock::HeldRedis->new(unix => 1);
    my $api = Knock::Api->start(redis => { socket => $fake->{path} });
    my $figures = Knock::Figures->started($api->nginx, $fake);
    my $client = $api->nginx->new_client;

    $fake->ready;
    $client->send(Knock::HeldRedis::post(
        '/v1/environments/development/users/bulk', '{"users":[{"id":"u"}]}',
        Authorization => "Bearer $Knock::Api::Key"));

    my $call = $fake->call;

    # what the figures ask for comes behind the call

    $fake->{auto} = sub {
        return if $_[1]{args}[0] ne 'LLEN';
        push @held, $_[1];
        return '';
    };

    is $figures->now->{in_flight}, 1, 'a call that writes users is one request';

    $fake->{auto} = undef;
    $fake->reply($call, Knock::HeldRedis::applied($call, 'p'));
    $fake->reply($_, ":0\r\n") for @held;
    is $fake->answer($client)->{status}, 200, 'and is answered';
    $figures->is_quiet('a call', api_requests => { 200 => 1 });
}
