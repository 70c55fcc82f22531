# Calls of the API whose client goes while they wait: for their own step, or for
# what they have an event's way do.

use strict;
use warnings;

use Test::More;

use Knock::Api;
use Knock::Figures;
use Knock::HeldRedis;

my $fake = Knock::HeldRedis->new(unix => 1);
my $api = Knock::Api->start(redis => { socket => $fake->{path} });
my $nginx = $api->nginx;
my $users = '/v1/environments/development/users';
my @key = (Authorization => "Bearer $Knock::Api::Key");

$fake->ready;

my $figures = Knock::Figures->new($nginx, $fake);
my $done = array(":200\r\n", bulk("{}\n"));
my %replies = (
    'a reply' => sub {
        $fake->reply($_[0], $_[0]{args}[1] eq 'knock_apply'
                            ? applied($_[0], 'p') : $done);
    },
    'an error' => sub { $fake->reply($_[0], error('ERR no')) },
    'none'     => sub { $fake->close($_[0]{conn}) },
);

for my $text (post("$users/u", '', @key) =~ s/^POST/GET/r,
              post("$users/u", '', @key) =~ s/^POST/DELETE/r,
              post("$users/u", '{"a":1}', @key) =~ s/^POST/PUT/r,
              post("$users/bulk", '{"users":[{"id":"u"}]}', @key))
{
    for my $reply (sort keys %replies) {
        my $http = $nginx->new_client;
        my $what = ($text =~ /^(\S+ \S+)/)[0] . ": gone; $reply";

        $http->send($text);

        my $call = $fake->call;

        $http->reset;
        $nginx->seen;
        $replies{$reply}->($call);
        $fake->ready;
        $figures->is_quiet($what, api_requests => { 499 => 1 });
    }
}

is_deeply $fake->{calls}, [], 'one that has gone asks for no more';
is_deeply [$nginx->complaints], [], 'no complaints in the log';

done_testing;
