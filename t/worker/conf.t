# Configurations: `nginx -t` with the module, and what is refused, with a
# message that says what is wrong.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir('knock-conf-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $nginx = $ENV{KNOCK_NGINX} || '/usr/sbin/nginx';
my $webhook = 'location / { knock_webhook $uri; }';

accepted();
refused();
nothing_is_done();

done_testing;


# What `nginx -t` says, and whether it is content.

sub check {
    my ($http, $server) = @_;

    open my $out, '>', "$dir/nginx.conf" or die;
    print {$out} "load_module $ENV{KNOCK_MODULE};\n",
                 "pid $dir/nginx.pid; error_log $dir/error.log;\n",
                 "events {}\nhttp {\naccess_log off;\n",
                 (map { "${_}_temp_path $dir/$_;\n" }
                      qw(client_body proxy fastcgi uwsgi scgi)),
                 "$http\nserver { listen 127.0.0.1:1;\n$server\n}\n}\n";
    close $out;

    my $said = `$nginx -t -e $dir/error.log -p $dir -c $dir/nginx.conf 2>&1`;

    return ($? == 0, $said);
}


sub accepted {
    my @http = (
        '',                                 # loaded, and not used
        'knock_redis unix:/tmp/redis.sock;',
        'knock_redis redis://127.0.0.1;',
        'knock_redis redis://127.0.0.1:6380/15;',
        'knock_redis redis://localhost:6380;',
        'knock_redis redis://[::1]:6380/1;',
        'knock_redis redis://:password@127.0.0.1;',
        'knock_redis redis://user:pass%40word@127.0.0.1:6379/0;',
        'knock_redis rediss://127.0.0.1 verify=off;',
        'knock_redis rediss://localhost name=redis.example.com;',
        'knock_redis redis://127.0.0.1 mode=single;',
        'knock_redis redis://127.0.0.1 redis://[::1]:26380 mode=sentinel '
            . 'master=m sentinel_user=u sentinel_password=p password=x;',
        'knock_redis redis://127.0.0.1 min_replicas=2;',
        'knock_redis redis://127.0.0.1 timeout=400ms;',
        'knock_redis redis://127.0.0.1 connect_timeout=1s timeout=500ms '
            . 'reconnect=1ms reconnect_max=1s ping=0 max_pending=1 '
            . 'max_pending_bytes=1m user=u password=p db=3;',
        'knock_redis unix:/tmp/redis.sock; knock_prefix my-app:v1.2_x;',
        'knock_redis unix:/tmp/redis.sock; knock_max_batch 1; '
            . 'knock_max_recipients 1; knock_max_depth 1; '
            . 'knock_dedupe_window 1s; knock_event_log_length 1; '
            . 'knock_catalogue_length 1; knock_event_log errors; '
            . 'knock_batch_signature whole;',
        'knock_redis unix:/tmp/redis.sock; knock_max_in_flight 1;',
        'knock_redis unix:/tmp/redis.sock; knock_max_in_flight 2147483647 1k;',
        'knock_redis unix:/tmp/redis.sock; knock_max_in_flight 10 4096m;',
    );

    for my $http (@http) {
        my ($ok, $said) = check($http, $http ? $webhook : '');

        ok $ok, 'accepted: ' . ($http || 'nothing') or diag $said;
        unlike $said, qr/\[(?:warn|alert|emerg)\]|Sanitizer/, 'in silence';
    }

    my ($ok) = check('knock_redis unix:/r;', 'location ~ ^/in/(?<t>\w+)$ {
        knock_max_batch 10; knock_webhook $t; }
        location = /fixed { knock_webhook "to$arg_ken"; }');

    ok $ok, 'accepted: tokens of all kinds';

    ($ok) = check('knock_redis unix:/r;',
                  'location = /metrics { knock_metrics; deny all; }
                   location = /again {
                       knock_metrics;
                       limit_except GET { deny all; }
                   }');

    ok $ok, 'accepted: metrics in several places';

    ($ok) = check('knock_redis unix:/r;',
                  'location = /ready { knock_ready; allow all; }
                   location = /again {
                       knock_ready;
                       limit_except GET { deny all; }
                   }');

    ok $ok, 'accepted: knock_ready in several places';
}


sub refused {
    my $redis = 'knock_redis unix:/r;';

    open my $out, '>', "$dir/empty" or die;
    close $out;
    open $out, '>', "$dir/long" or die;
    print {$out} 'x' x 5000;
    close $out;

    my @cases = (
        # what, http, server, message
        ['no knock_redis', '', $webhook,
         qr/"knock_webhook" has no Redis to write to: put "knock_redis"/],
        ['knock_redis twice', $redis x 2, $webhook,
         qr/"knock_redis" directive is duplicate/],
        ['knock_prefix twice', "$redis knock_prefix a; knock_prefix b;", '',
         qr/"knock_prefix" directive is duplicate/],
        ['knock_webhook twice', $redis,
         'location / { knock_webhook a; knock_webhook b; }',
         qr/"knock_webhook" directive is duplicate/],
        ['a limit twice', "$redis knock_max_batch 1; knock_max_batch 2;", '',
         qr/"knock_max_batch" directive is duplicate/],
        ['knock_redis in a server', '', $redis,
         qr/"knock_redis" directive is not allowed here/],
        ['knock_webhook in a server', $redis, 'knock_webhook a;',
         qr/"knock_webhook" directive is not allowed here/],
        ['knock_webhook without a token', $redis,
         'location / { knock_webhook; }',
         qr/invalid number of arguments in "knock_webhook"/],
        ['an unknown variable', $redis, 'location / { knock_webhook $nope; }',
         qr/unknown "nope" variable/],

        (map { my ($url, $message) = @$_;
               ["the URL $url", "knock_redis $url;", $webhook, $message] }
            ['127.0.0.1:6379', qr/must start with "redis:\/\/"/],
            ['http://127.0.0.1', qr/must start with "redis:\/\/"/],
            ['redis://', qr/no host/],
            ['redis://:0', qr/in the URL of Redis/],
            ['redis://127.0.0.1:0', qr/invalid port/],
            ['redis://127.0.0.1:65536', qr/invalid port/],
            ['redis://127.0.0.1:six', qr/invalid port/],
            ['redis://127.0.0.1/db', qr/must be the number of a database/],
            ['redis://u:pa/ss@127.0.0.1', qr/"\/" is written as "%2F"/],
            ['redis://user@127.0.0.1', qr/must be "user:password"/],
            ['redis://u:p%4@127.0.0.1', qr/two hexadecimal digits/],
            ['redis://u:p%zz@127.0.0.1', qr/two hexadecimal digits/],
            ['redis://u:@127.0.0.1', qr/Redis user "u" has no password/],
            ['redis://no-such-host.invalid', qr/host not found/],
            ['unix:', qr/in the URL of Redis/],
            ['"redis://127.0.0.1 "', qr/in the URL of Redis/]),

        (map { my ($param, $message) = @$_;
               ["the parameter $param", "knock_redis redis://127.0.0.1 $param;",
                $webhook, $message] }
            ['mode=several', qr/mode "several" is not supported: use/],
            ['mode=cluster db=1', qr/a cluster has no other database than 0/],
            ['mode=cluster master=m', qr/"master=" is for Sentinel, but/],
            ['unix:/s mode=cluster', qr/"unix:\/s" with "mode=cluster"/],
            ['mode=sentinel', qr/"mode=sentinel" needs "master=", the name/],
            ['mode=sentinel master=', qr/"master=" needs a value/],
            ['master=m', qr/"master=" is for Sentinel, but there is no/],
            ['mode=sentinel master=m sentinel_user=u',
             qr/"sentinel_user" needs "sentinel_password"/],
            ["mode=sentinel master=m sentinel_password_file=$dir/empty",
             qr/must hold a password of less than/],
            ['redis://127.0.0.2', qr/several URLs need "mode=sentinel"/],
            ['timeout=1s redis://127.0.0.2', qr/must precede the parameters/],
            ['rediss://127.0.0.2 mode=sentinel master=m',
             qr/must agree in all but host and port/],
            ['redis://127.0.0.2/1 mode=sentinel master=m',
             qr/must agree in all but host and port/],
            ['redis://:other@127.0.0.2 mode=sentinel master=m password=x',
             qr/must agree in all but host and port/],
            ['timeout=0', qr/must be more than 0/],
            ['connect_timeout=0', qr/must be more than 0/],
            ['reconnect=0', qr/must be more than 0/],
            ['max_pending=0', qr/must be more than 0/],
            ['reconnect=2s reconnect_max=1s', qr/must not be less than/],
            ['min_replicas=1 min_replicas_timeout=0',
             qr/"min_replicas_timeout" must be more than 0 and less than/],
            ['min_replicas=1 min_replicas_timeout=5s',
             qr/"min_replicas_timeout" must be more than 0 and less than/],
            ['min_replicas=all', qr/invalid number "all"/],
            ['timeout=fast', qr/invalid time "fast"/],
            ['timeout=', qr/"timeout=" needs a value/],
            ['db=-1', qr/invalid number "-1"/],
            ['db=x', qr/invalid number "x"/],
            ['max_pending_bytes=0', qr/invalid size "0"/],
            ['max_pending_bytes=2g', qr/invalid size "2g"/],
            ['user=u', qr/Redis user "u" has no password/],
            ["password_file=$dir/none", qr/open\(\) "\S*none" failed/],
            ["password_file=$dir/empty", qr/must hold a password of less than/],
            ["password_file=$dir/long", qr/must hold a password of less than/],
            ['ca=/x', qr/"ca=" is for TLS, but the URL does not start with/],
            ['verify=off', qr/is for TLS/],
            ['pasword=secret', qr/unknown parameter "pasword"/],
            ['what', qr/unknown parameter "what"/]),

        ['TLS: a CA that is not there',
         "knock_redis rediss://127.0.0.1 ca=$dir/none;", $webhook,
         qr/\[emerg\].*none/],
        ['TLS: a certificate without its key',
         "knock_redis rediss://127.0.0.1 verify=off cert=$dir/none;",
         $webhook, qr/"cert" and "key" go together/],
        ['TLS: verify=maybe', 'knock_redis rediss://127.0.0.1 verify=maybe;',
         $webhook, qr/must be "on" or "off"/],

        (map { my $prefix = $_;
               ["the prefix $prefix", "$redis knock_prefix $prefix;",
                $webhook, qr/invalid prefix "[^"]*": use letters, digits/] }
             '""', '"{a}"', '"a b"', '"a{b"', "\xc3\xa9", 'a/b', 'a*'),

        (map { my $limit = $_;
               map { ["$limit $_", "$redis $limit $_;", $webhook,
                      qr/invalid (?:value|number)/] }
                   qw(0 -1 many 99999999999) }
             qw(knock_max_batch knock_max_recipients knock_max_depth
                knock_event_log_length knock_catalogue_length)),

        (map { my $name = $_;
               ["$name twice", $redis, "location / { $name; $name; }",
                qr/"$name" directive is duplicate/],
               ["$name in a server", $redis, "$name;",
                qr/"$name" directive is not allowed here/],
               ["$name in the http block", "$redis $name;", '',
                qr/"$name" directive is not allowed here/],
               ["$name in an \"if\"", $redis,
                "location / { if (\$arg_a) { $name; } }",
                qr/"$name" directive is not allowed here/],
               ["$name in a \"limit_except\"", $redis,
                "location / { limit_except GET { $name; } }",
                qr/"$name" directive is not allowed here/],
               ["$name with an argument", $redis, "location / { $name on; }",
                qr/invalid number of arguments in "$name"/],
               ["$name without knock_redis", '', "location / { $name; }",
                qr/"$name" has no Redis to write to: put "knock_redis"/] }
             qw(knock_metrics knock_ready)),

        (map { ["knock_max_in_flight $_", "$redis knock_max_in_flight $_;",
                $webhook, qr/invalid number of requests "$_"/] }
             qw(-1 many 1k 99999999999999999999)),
        (map { ["knock_max_in_flight $_", "$redis knock_max_in_flight $_;",
                $webhook, qr/invalid value $_: it must be from 1/] }
             qw(0 2147483648)),
        (map { ["knock_max_in_flight 1 $_", "$redis knock_max_in_flight 1 $_;",
                $webhook, qr/invalid size "$_" of the bodies in flight/] }
             qw(0 0m -1 much 1g 99999999999999999999m)),
        ['knock_max_in_flight with three values',
         "$redis knock_max_in_flight 1 1m 1;", $webhook,
         qr/invalid number of arguments in "knock_max_in_flight"/],
        ['knock_max_in_flight twice',
         "$redis knock_max_in_flight 1 1m; knock_max_in_flight 2;", $webhook,
         qr/"knock_max_in_flight" directive is duplicate/],
        ['knock_max_in_flight in a server', $redis,
         'knock_max_in_flight 1; location / { knock_webhook a; }',
         qr/"knock_max_in_flight" directive is not allowed here/],
        ['knock_max_in_flight in a location', $redis,
         'location / { knock_max_in_flight 1; knock_webhook a; }',
         qr/"knock_max_in_flight" directive is not allowed here/],

        ['knock_dedupe_window 0', "$redis knock_dedupe_window 0;", $webhook,
         qr/the window must be longer than zero/],
        ['knock_dedupe_window x', "$redis knock_dedupe_window x;", $webhook,
         qr/invalid value/],
        ['knock_event_log maybe', "$redis knock_event_log maybe;", $webhook,
         qr/invalid value "maybe"/],
        ['knock_batch_signature last', "$redis knock_batch_signature last;",
         $webhook, qr/invalid value "last"/],
    );

    for (@cases) {
        my ($what, $http, $server, $message) = @$_;
        my ($ok, $said) = check($http, $server);

        ok !$ok && $said =~ $message && $said !~ /Sanitizer/, "refused: $what"
            or diag $said;

        # a line that leads there, but for two messages of nginx's own
        like $said, qr/\[emerg\].* in \S*nginx\.conf:\d+/, 'with its line'
            unless $what =~ /unknown variable|CA that is not/;
        unlike $said, qr/secret|pa\/ss|p%4|xxxxx/, 'and without a password';
    }
}


# A test of a configuration connects to nobody.

sub nothing_is_done {
    require Knock::HeldRedis;

    my $fake = Knock::HeldRedis->new(unix => 1);
    my ($ok) = check("knock_redis $fake->{path};" =~ s/ \// unix:\//r,
                     $webhook);

    ok $ok, 'accepted: a Redis that is there';
    $fake->step(0.1);
    is $fake->{accepted}, 0, 'nginx -t does not connect to it';
}
