# The shipped site as it is installed: nginx understands it beside what the
# package loads, no line of its access.log holds an endpoint's URL, and only
# loopback reaches the API and the dashboard.

use strict;
use warnings;

use Cwd qw(getcwd);
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use Test::More;

use Knock::Files qw(slurp);
use Knock::Http;
use Knock::Nginx;
use Knock::Server qw(free_port wait_for);
use Knock::Test;

my $dir = tempdir('knock-shipped-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($public, $private) = (free_port(), free_port());
my $nginx;

chmod 0755, $dir;
write_file("$dir/keys", sha256_hex('example') . "\n");

understood();
listeners();
serves();

done_testing;


sub write_file {
    my ($name, $text) = @_;

    open my $out, '>', $name or die "$name: $!\n";
    print {$out} $text;
    close $out or die "$name: $!\n";
}


# A text in which each of these was replaced, and stood before.

sub replaced {
    my ($text, @pairs) = @_;

    while (my ($from, $to) = splice @pairs, 0, 2) {
        $text =~ s/\Q$from\E/$to/g or die "there is no $from\n";
    }

    return $text;
}


# examples/site.conf for this machine: its addresses and files are ours.

sub site {
    return replaced(slurp('examples/site.conf'),
        'redis://127.0.0.1:6379' => "unix:" . redis_server()->{socket},
        'listen 8080' => "listen $public",
        'hostname:8080' => "hostname:$public",
        'listen 127.0.0.1:8081' => "listen 127.0.0.1:$private",
        '/etc/nginx/knock-api-keys' => "$dir/keys",
        '/var/log/nginx/' => "$dir/",
        '/usr/share/libnginx-mod-http-knock' => getcwd());
}


# What `nginx -t` says of a file with this text.

sub check {
    my ($text) = @_;

    write_file("$dir/nginx.conf", $text);

    my $binary = $ENV{KNOCK_NGINX} || '/usr/sbin/nginx';
    my $said = `$binary -t -e $dir/error.log -p $dir/ -c $dir/nginx.conf \\
                -g 'pid $dir/nginx.pid; error_log $dir/error.log;' 2>&1`;

    return $? == 0 ? '' : $said;
}


sub understood {
    my $loads = replaced(slurp('debian/mod-http-knock.conf'),
                         'modules/ngx_knock_module.so', $ENV{KNOCK_MODULE});

    is check("$loads\nevents {}\nhttp {\n" . site() . "}\n"), '',
       "the site, beside the package's file that loads the module";

    my ($synopsis) = slurp('README.md') =~ /^## Synopsis\n\n((?: +\S.*\n|\n)+)/m;

    $synopsis = replaced($synopsis,
        'modules/ngx_knock_module.so' => $ENV{KNOCK_MODULE},
        'listen 8080' => "listen 127.0.0.1:$public",
        '/etc/nginx/knock-api-keys' => "$dir/keys");

    is check($synopsis), '', "README's synopsis";
    like check($loads . $synopsis), qr/is already loaded/,
         'which says that the package loads the module itself';
    like $synopsis, qr/^ *load_module .* # the package does that itself$/m,
         'beside the line';
}


# Each server of the site: what it listens to, what it serves.

sub listeners {
    my %locations;

    for my $server (slurp('examples/site.conf') =~ /^server \{(.*?)^\}/msg) {
        my ($listen) = $server =~ /^\s*listen (.*?);/m;

        push @{ $locations{$listen} },
             $server =~ /^\s*(knock_webhook|knock_api|alias)\b/mg;
    }

    is_deeply \%locations, { '8080' => ['knock_webhook'],
                             '127.0.0.1:8081' => ['knock_api', 'alias'] },
              'the API and the dashboard have a listener of their own';
}


sub serves {
    redis('FLUSHALL');

    # the logs of Debian's http block

    $nginx = Knock::Nginx->start(http => site(), server => '',
                                 access => "$dir/access.log");

    my %key = (Authorization => 'Bearer example');
    my $people = Knock::Http->new($private);
    my $segment = Knock::Http->new($public);

    is $people->post('/v1/sources', '{"key":"s"}', %key)->{status}, 201,
       'the API is served to this machine';
    is $segment->get('/v1/sources', %key)->{status}, 404,
       'and not where Segment comes';
    is $people->get('/dashboard/index.html')->{status}, 200,
       'so is the dashboard';
    is $segment->get('/dashboard/index.html')->{status}, 404,
       'and not there either';

    my $endpoint = '/v1/sources/s/environments/development';
    my $url = $people->get($endpoint, %key)->{body} =~ /"url":"([^"]*)"/ && $1;
    my ($place, $path, $token) =
        $url =~ m{^(http://[^/]+:$public)(/integrations/receive/([0-9a-f]+))$};

    ok defined $token, "the URL is that of Segment's listener" or diag $url;

    is $segment->post($path, '{"type":"page"}')->{status}, 200,
       'an event is taken there';

    unlogged($token, $path);
}


# Whatever is done with the URL.

sub unlogged {
    my ($token, $path) = @_;
    my $n = 0;

    for my $port ($public, $private) {
        for my $request (
            "POST $path HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{}\r\n",
            "POST $path/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST $path/more HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST /v1$path HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET /x/..$path?a=$token HTTP/1.1\r\nHost: a\r\n"
                . "Referer: http://a$path\r\n\r\n",
            "GET $path HTTP/1.1\r\n\r\n",
            "GET $path HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "$path\r\n", "POST $path HTTP/9\r\n\r\n", "POST $path%zz\r\n\r\n")
        {
            my $client = Knock::Http->new($port);

            $client->send($request);
            eval { $client->answer };       # to some there is none of 1.1
            $client->close;
            $n++;
        }
    }

    # a line is written when its request is over, which is after the answer

    my $lines = wait_for('the lines of the access log', sub {
        my @lines = split /\n/, slurp("$dir/access.log");

        return @lines >= $n && \@lines;
    });

    is_deeply [grep { /\Q$token\E/ } @$lines], [],
              'no line of access.log holds an endpoint\'s URL';
    like $lines->[-1], qr/ - \[.*\] ".*\(a URL\) .*" 400 \d+ /,
         'and they say what else there is to say';
    is_deeply [$nginx->complaints], [], 'nothing to complain of in the log';
}
