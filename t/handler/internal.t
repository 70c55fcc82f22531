# The handler where it is not a client's own request: subrequests, redirects
# inside nginx, error pages, named locations.

use strict;
use warnings;

use Test::More;

use Knock::Figures;
use Knock::HeldRedis;
use Knock::Server qw(free_port wait_for);

my $fake = Knock::HeldRedis->new(unix => 1);
my $backend = free_port();

my $nginx = $fake->nginx(
    http => <<"_EOC_",
log_format short '\$request_method \$uri \$status';
log_subrequest on;
client_max_body_size 10k;
client_body_buffer_size 1k;
server {
    listen 127.0.0.1:$backend;
    location / { return 204; }
    location = /slow { knock_webhook dev; }
}
_EOC_
    server => <<"_EOC_");
$Knock::Nginx::Webhook

# copies go to the webhook
location = /mirrored {
    mirror /mirror;
    proxy_pass http://127.0.0.1:$backend;
}
location = /mirror { internal; knock_webhook dev; }

# the webhook has its own copies made
location = /mirrors { mirror /copy; knock_webhook dev; }
location = /copy { internal; access_log access.log short;
                   proxy_pass http://127.0.0.1:$backend; }

# asks before it receives
location = /guarded { auth_request /allow; knock_webhook dev; }
location = /closed { auth_request /deny; knock_webhook dev; }
location = /allow { internal; return 204; }
location = /deny { internal; return 403; }

# makes no sense, but must do no harm
location = /asks { auth_request /webhook; return 200 "in\n"; }
location = /asks-more { auth_request /webhook;
                        proxy_pass http://127.0.0.1:$backend; }
location = /webhook { internal; knock_webhook dev; }
location = /added { add_after_body /webhook; try_files /page.html =404; }

# blocks in a location
location = /branches { if (\$request_method = POST) { set \$x 1; }
                       knock_webhook dev; }
location = /guests { limit_except GET { allow 127.0.0.1; deny all; }
                     knock_webhook dev; }

# ways to get there
location = /rewritten { rewrite ^ /in/dev last; }
location = /tried { try_files /nothing \@knock; }
location = /falls { error_page 404 = \@knock; return 404; }
location = /falls-in { error_page 404 = /in/dev; return 404; }
location = /broken { error_page 502 504 = \@knock;
                     proxy_pass http://127.0.0.1:1; }
location \@knock { knock_webhook dev; }

# and from there
location = /paged {
    error_page 400 404 413 503 = /page;
    knock_webhook dev;
}
location = /page { return 200 "a page\n"; }
location = /limited { limit_except GET { deny all; } knock_webhook dev; }
_EOC_

mkdir $nginx->dir . '/html', 0755;
open my $page, '>', $nginx->dir . '/html/page.html' or die "page.html: $!\n";
print {$page} "page\n";
close $page;

my $http = $nginx->new_client;
my $figures = Knock::Figures->new($nginx, $fake);

blocks();
redirected_to_it();
pages_from_it();
asked_before();
as_a_subrequest();
mirrored();
mirrored_and_gone();

is_deeply [$nginx->complaints], [], 'no complaints in the log';
unlike $nginx->log_text, qr/\[crit\]|\[error\](?!.*(?:connect\(\) failed|too large body|access forbidden|auth request unexpected|Redis|knock))/,
       'nor other errors';

done_testing;


sub is_applied {
    my ($text, $event, $what) = @_;

    $http->send($text);

    my $call = $fake->call;

    is_deeply [events($call)], [$event], "$what: the body is there";
    $fake->reply($call, applied($call, 'p'));

    my $answer = $fake->answer($http);

    is $answer->{status}, 200, "$what: 200";
    like $answer->{body}, qr/^\{"accepted":1,/, "$what: its own answer";
}


sub blocks {
    is_applied(post('/branches', track('If')), 'track/If', 'behind an if');
    is_applied(post('/guests', track('Allowed')), 'track/Allowed',
               'behind a limit_except');
}


sub redirected_to_it {
    for my $path (qw(/rewritten /tried /falls /broken)) {
        is_applied(post($path, track('To')), 'track/To', $path);

        # in a file, and behind the head

        my $text = post($path, track('To', properties => '{"x":"'
                                           . 'x' x 5000 . '"}'));

        is_applied($text, 'track/To', "$path, a body in a file");
    }

    # nginx makes it a GET, which is not received; the body is discarded

    is $fake->ask($http, post('/falls-in', track('To')))->{status}, 405,
       'an error page by its URI is asked for by GET: 405';
    is_applied(post('/in/dev', track('After')), 'track/After',
               'and the next request');
}


# What the module answers itself is not replaced; what nginx refuses may be.

sub pages_from_it {
    $fake->{serve} = 1;

    like $fake->ask($http, post('/paged', '{"bad'))->{body},
         qr/"code":"invalid_json"/, "the module's own answer stays";
    is $fake->ask($http, post('/paged', 'x' x 20000))->{body}, "a page\n",
       'an error page for what nginx refuses';

    my $answer = $fake->ask($nginx->new_client,
                            post('/limited', track('T')));

    is $answer->{status}, 403, 'denied by nginx: 403';
    like $answer->{body}, qr/^\{"error":/, 'as JSON';

    $http = $nginx->new_client;
    $fake->{serve} = 0;
}


sub asked_before {
    is_applied(post('/guarded', track('Guarded')), 'track/Guarded',
               'behind auth_request');
    is_applied(post('/guarded', ' ' x 5000 . track('Guarded')),
               'track/Guarded', 'behind auth_request, in a file');
    is $fake->ask($http, post('/closed', track('Closed')))->{status}, 403,
       'refused by auth_request';
    is_applied(post('/in/dev', track('After')), 'track/After',
               'and the next request');
}


# A subrequest of another module is a GET without a body: nothing to receive.

sub as_a_subrequest {
    for my $path (qw(/asks /asks-more)) {
        my $answer = $fake->ask($http, post($path, track('T')));

        cmp_ok $answer->{status}, '>=', 200, "$path: answered";
        $http = $nginx->new_client;
    }

    my $answer = $fake->ask($http, "GET /added HTTP/1.1\r\nHost: x\r\n\r\n");

    is $answer->{status}, 200, 'added after a body: answered';
    like $answer->{body}, qr/^page\n\{"error":\{"code":"method_not_allowed"/,
         'by what the handler says to a GET';

    $http = $nginx->new_client;
    is_applied(post('/in/dev', track('After')), 'track/After',
               'after subrequests');
    is scalar(@{ $fake->{calls} }), 0, 'nothing was applied by them';
}


sub mirrored {
    # to the webhook: the main request is answered by its backend, and the
    # copy is applied whatever becomes of that

    $http->send(post('/mirrored', track('Copy')));

    my $call = $fake->call;

    is_deeply [events($call)], ['track/Copy'], 'a copy is received';
    is $fake->answer($http)->{status}, 204, 'while the original is answered';
    $fake->reply($call, applied($call, 'p'));

    $http->send(post('/mirrored', track('Copy', properties => '{"x":"'
                                        . 'x' x 5000 . '"}')));
    $call = $fake->call;
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 204, 'a copy in a file';

    # the next request of the connection waits for the copy

    $http->send(post('/mirrored', track('Copy'))
                . post('/in/dev', track('Next')));
    is $fake->answer($http)->{status}, 204, 'pipelined: the original';
    $call = $fake->call;
    $fake->reply($call, error('OOM no'));
    $call = $fake->call;
    is_deeply [events($call)], ['track/Next'], 'pipelined: then the next one';
    $fake->reply($call, applied($call, 'p'));
    is $fake->answer($http)->{status}, 200, 'which is served';

    # from the webhook

    is_applied(post('/mirrors', track('Mirrors')), 'track/Mirrors',
               'a location that mirrors');

    wait_for('the access log', sub {
        open my $in, '<', $nginx->dir . '/access.log' or return;
        local $/;
        return <$in> =~ m{POST /copy 204};
    });
    pass 'its copy has gone out';
}


# A copy is no request of the webhook's: neither its answer nor its end counts.

sub mirrored_and_gone {
    $figures->is_quiet('before');

    for my $how (qw(close reset)) {
        my $gone = $nginx->new_client;

        $gone->send(post('/mirrored', track('Gone')));

        my $call = $fake->call;

        is $fake->answer($gone)->{status}, 204, 'the original is answered';
        $gone->$how;
        $fake->reply($call, applied($call, 'p'));
        is_applied(post('/in/dev', track('After')), 'track/After',
                   "gone by $how while its copy waited");
        $figures->is_quiet("gone by $how while its copy waited",
                           requests => { 200 => 1 });
    }
}
