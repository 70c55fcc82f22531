# A Redis that holds nothing is a fault, no answer: Segment takes 404 for good
# and drops what it sent.

use strict;
use warnings;

use Test::More;

use Knock::Nginx;
use Knock::Test;

my $event = '{"type":"page","userId":"u1"}';

flushed();
empty_from_the_start();
lost_an_environment();
no_source_left();
a_single_line();

done_testing;


sub start {
    my (%conf) = @_;

    return Knock::Nginx->start(redis => redis_server(), %conf);
}


# That a request was told to retry, and why.

sub is_retry {
    my ($answer, $title) = @_;

    is $answer->{status}, 503, "$title: 503";
    is $answer->{headers}{'retry-after'}, 1, "$title: Retry-After";
    like $answer->{body},
         qr/^\{"error":\{"code":"redis_unavailable","message":"Redis holds no source/,
         "$title: the reason";
}


sub is_unknown {
    my ($answer, $title) = @_;

    is $answer->{status}, 404, "$title: 404";
    like $answer->{body}, qr/"code":"unknown_endpoint"/, "$title: the code";
}


sub flushed {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);

    my $nginx = start();

    is $nginx->post('/in/dev', $event)->{status}, 200, 'before: an event';
    is_unknown($nginx->post('/in/none', $event), 'before: another token');

    redis('FLUSHALL');

    is_retry($nginx->post('/in/dev', $event), 'flushed: a token that was known');
    is_retry($nginx->post('/in/none', $event), 'flushed: another one');
    is_retry($nginx->post('/in/none', "[$event,$event]"), 'flushed: a batch');
    is_deeply redis('KEYS', '*'), [], 'flushed: nothing is written';
    like $nginx->log_text, qr/\[error\] .*knock: Redis holds no source: has it/,
         'flushed: the log says it';

    seed($Knock::Test::Seed);

    is $nginx->post('/in/dev', $event)->{status}, 200, 'restored: an event';
    is_unknown($nginx->post('/in/none', $event), 'restored: another token');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


sub empty_from_the_start {
    redis('FLUSHALL');

    my $nginx = start(workers => 2);

    is_retry($nginx->new_client->post('/in/dev', $event), "empty, $_")
        for 1 .. 4;

    # the first source ends it

    seed("endpoint $_ segment token=$_") for qw(development production);

    is $nginx->post('/in/development', $event)->{status}, 200,
       'the first source: an event';
    is_unknown($nginx->post('/in/dev', $event), 'the first source: another');
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# As where a node of a cluster comes back without its data.

sub lost_an_environment {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);

    my $nginx = start();

    is $nginx->post('/in/prod', $event)->{status}, 200,
       'production: an event';

    redis('DEL', @{ redis('KEYS', 'knock:{production}:*') });

    is_retry($nginx->post('/in/prod', $event), 'production is lost: its URL');
    is_retry($nginx->post('/in/none', $event), 'production is lost: another');
    is $nginx->post('/in/dev', $event)->{status}, 200,
       'production is lost: development goes on';
    like $nginx->log_text,
         qr/knock: Redis holds nothing of the environment "production"/,
         'production is lost: the log says it';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}


# Nobody can tell a Redis whose last source was deleted from one that lost it.

sub no_source_left {
    redis('FLUSHALL');
    seed($Knock::Test::Seed);

    my $nginx = start();

    for my $env (qw(development production)) {
        redis('FCALL', 'knock_endpoint_delete', 5,
              (map { "knock:{$env}:$_" } qw(version endpoints catalogue:segment
                   catalogue_info:segment log:segment)), 1, 'segment');
    }

    is_retry($nginx->post('/in/dev', $event), 'the last source is deleted');

    seed('endpoint development other token=other');
    is_unknown($nginx->post('/in/dev', $event), 'another one is there');
}


# Many requests are no reason to fill the log.

sub a_single_line {
    redis('FLUSHALL');

    my $nginx = start();
    my $seconds = time;

    $nginx->post('/in/dev', $event) for 1 .. 200;
    $seconds = time - $seconds;

    my $lines = () = $nginx->log_text =~ /Redis holds no source/g;

    cmp_ok $lines, '>=', 1, 'it is said';
    cmp_ok $lines, '<=', $seconds + 2, 'and once a second at most';
}
