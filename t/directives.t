# Each directive is what README says of it: where it may stand, what holds
# without it, and what a server and a location take from where they stand in.
#
# README's syntax, default and context of each are tried; %Probe says by which
# requests one sees what is in force.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_hex sha256_hex);
use File::Temp qw(tempdir);
use Test::More;

use Knock::Files qw(slurp);
use Knock::Http;
use Knock::Nginx;
use Knock::Server qw(free_port wait_for);
use Knock::Test;

use constant SECRET => 'a secret';

my $dir = tempdir('knock-directives-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $nginx;
my $id = 0;

# Of a directive: values that it may have, none of them the default; the last
# is given to locations, the one before to a server, the first to the http
# block.  `probe` gives the value that is in force at a place.

my %Probe = (
    knock_api_keys => {
        values => [map { "$dir/keys-$_" } qw(http server location)],
        probe  => \&keys_in_force,
    },
    knock_webhook_url => {
        values => [map { "https://$_.example/" } qw(http server location)],
        probe  => \&url_in_force,
    },
    knock_batch_signature => {
        values => [qw(whole first whole)],
        probe  => \&signature_in_force,
    },
    knock_event_log => {
        values => [qw(off errors off)],
        probe  => \&log_in_force,
    },
    knock_max_batch => {
        values => [5, 3, 2],
        probe  => sub { most(\&batch, @_) },
    },
    knock_max_recipients => {
        values => [5, 3, 2],
        probe  => sub { most(\&recipients, @_) },
    },
    knock_max_depth => {
        values => [8, 5, 4],
        probe  => sub { most(\&nested, @_) },
    },
    knock_prefix           => { values => ['other'], probe => \&prefix },
    knock_shards           => { values => [3], probe => \&shards },
    knock_dedupe_window    => { values => ['2h'], probe => \&window },
    knock_catalogue_length => { values => [7], probe => \&catalogue },
    knock_event_log_length => { values => [200], probe => \&log_length },
    knock_max_in_flight    => { values => ['3 1m'], probe => \&in_flight },
    knock_redis            => { values => ['unix:/tmp/redis.sock'] },
);

for my $who (qw(http server location)) {
    open my $out, '>', "$dir/keys-$who" or die "$dir: $!\n";
    print {$out} sha256_hex($who), "\n";
    close $out or die "$dir: $!\n";
}

chmod 0755, $dir;

for my $directive (documented()) {
    subtest $directive->{name} => sub { tried($directive) };
}

done_testing;


# What README says: [{ name, syntax, default, contexts }].

sub documented {
    my $readme = slurp('README.md');
    my @found;

    while ($readme =~ /^[#]{3}\ (knock_\w+)\n\n
                       \ +syntax:\ +(.*);\n
                       \ +default:\ +(.*?);?\n
                       \ +context:\ +(.*)\n/xmg)
    {
        my ($name, $syntax, $default, $contexts) = ($1, $2, $3, $4);

        push @found, { name => $name, syntax => $syntax,
                       default => $default eq '-' ? undef
                                                  : $default =~ s/^$name //r,
                       contexts => [ split /, /, $contexts ] };
    }

    cmp_ok @found, '>', 15, 'README documents directives';

    return @found;
}


sub tried {
    my ($directive) = @_;

    my $name = $directive->{name};
    my $probe = $Probe{$name};
    my $handler = "@{ $directive->{contexts} }" eq 'location';

    return fail "say in %Probe how one sees what $name does"
        unless $probe || $handler;

    like $directive->{syntax}, qr/^$name\b/, 'its syntax has its name';
    places($directive, $probe ? $probe->{values}[-1] : '');

    return handles($directive) if $handler;
    return unless $probe->{probe};

    $probe->{default} = $directive->{default} // '';

    serve($name);
    is in_force($probe, 'plain'), $probe->{default}, 'README has its default';

    my ($http, $server, $location) = @{ $probe->{values} };

    serve($name, $http, $server, $location);
    is in_force($probe, 'plain'), $http, 'the http block says another value';

    inherited($probe) if $location;

    is_deeply [$nginx->complaints], [], 'nothing to complain about';
}


# What the probe sees at a place, with a message rather than death.

sub in_force {
    my ($probe, $place) = @_;

    my $seen = eval { $probe->{probe}->($probe, $place) };

    return $seen // "nothing is seen: $@";
}


# The blocks that it may stand in, by `nginx -t`.

sub places {
    my ($directive, $value) = @_;

    my $line = handler_line($directive, $value);
    my %blocks = (
        http         => ["$line", ''],
        server       => ['', $line],
        location     => ['', "location / { $line }"],
        if           => ['', "location / { if (\$arg_a) { $line } }"],
        limit_except => ['', "location / { limit_except GET { $line } }"],
    );

    my $redis = $directive->{name} eq 'knock_redis' ? ''
                                                    : 'knock_redis unix:/r;';
    my @accepted = grep { understood($redis, @{ $blocks{$_} }) }
                   sort keys %blocks;

    is_deeply \@accepted, [ sort @{ $directive->{contexts} } ],
              'it may stand where README says, and nowhere else';
}


sub handler_line {
    my ($directive, $value) = @_;

    $value = 'token' if $directive->{syntax} =~ / EXPR$/;

    return $directive->{name} . (length $value ? " $value" : '') . ';';
}


sub understood {
    my ($redis, $http, $server) = @_;

    open my $out, '>', "$dir/nginx.conf" or die "$dir: $!\n";
    print {$out} "load_module $ENV{KNOCK_MODULE};\npid $dir/pid;\n",
                 "error_log $dir/error.log;\nevents {}\nhttp {\n",
                 (map { "${_}_temp_path $dir/$_;\n" }
                      qw(client_body proxy fastcgi uwsgi scgi)),
                 "access_log off;\n$redis\n$http\n",
                 "server {\nlisten unix:$dir/sock;\n$server\n}\n}\n";
    close $out or die "$dir: $!\n";

    my $binary = $ENV{KNOCK_NGINX} || '/usr/sbin/nginx';

    return system("$binary -t -e $dir/error.log -p $dir/ -c $dir/nginx.conf "
                  . '> /dev/null 2>&1') == 0;
}


# A location is handled where the directive stands, and not in those within it.

sub handles {
    my ($directive) = @_;

    my $line = handler_line($directive, '');
    my $started = Knock::Nginx->start(redis => redis_server(),
        server => "location /v1/ { $line location /v1/inner/ { } }\n");

    isnt $started->get('/v1/x')->{status}, 404, 'its location is handled';
    is $started->get('/v1/inner/x')->{status}, 404,
       'one within has to say it itself';
    is_deeply [$started->complaints], [], 'nothing to complain about';
}


sub inherited {
    my ($probe) = @_;

    my ($http, $server, $location) = @{ $probe->{values} };

    is in_force($probe, 'here'), $location, "a location's own goes before it";
    is in_force($probe, 'around'), $location,
       'so does that of the location around';
    is in_force($probe, 'plain'), $http, 'its neighbour is as it was';

    $nginx->{client} = Knock::Http->new($nginx->{other});

    is in_force($probe, 'plain'), $server, "a location takes its server's";
    is in_force($probe, 'here'), $location, 'unless it has one of its own';
}


# Starts an nginx with a directive's values in the http block, the second of two
# servers, and locations of both: `here` has it, `around` stands in one that
# has it, `plain` has it not.  Each has a webhook and an API.

sub serve {
    my ($name, @values) = @_;

    my ($http, $server, $location) =
        map { defined $values[$_] ? "$name $values[$_];" : '' } 0 .. 2;
    my $places = place('plain', '', '') . place('here', '', $location)
               . place('around', $location, '')
               . place('open', '', "knock_api_keys $dir/keys-http;")
               . place('logged', '', 'knock_event_log on;');
    my $keys = $name eq 'knock_api_keys' ? ''
                                         : "knock_api_keys $dir/keys-http;";
    my $other = free_port();

    $nginx->stop if $nginx;
    redis('FLUSHALL');

    $nginx = Knock::Nginx->start(redis => redis_server(), server => $places,
        http => "client_max_body_size 16m;\n$keys\n$http\n"
                . "server { listen 127.0.0.1:$other; $server $places }\n");

    $nginx->{other} = $other;
    $nginx->{lines} = @values;

    for (['POST', '/sources', '{"key":"segment"}'],
         ['PUT', '/workflows/w', '{"name":"W"}'],
         ['PUT', '/actions/a', '{"source":"segment","event":"track/T",'
             . '"type":"workflows_trigger","workflow":"w",'
             . '"recipients":"properties.recipients"}'],
         ['POST', '/commits', '{}'])
    {
        my $answer = api('open', @$_);

        die "@$_: $answer->{body}\n" if $answer->{status} >= 300;
    }
}


sub place {
    my ($name, $around, $here) = @_;

    return <<_EOC_;
location /$name/ {
    $around
    location ~ ^/$name/in/(?<token>\\w+)\$ { knock_webhook \$token; $here }
    location /$name/v1/ { knock_api; $here }
}
_EOC_
}


sub api {
    my ($place, $method, $path, $body, $key) = @_;

    return $nginx->request($method, "/$place/v1$path", $body,
                           Authorization => 'Bearer ' . ($key // 'http'));
}


sub endpoint {
    my ($place) = @_;

    return api($place, GET => '/sources/segment/environments/development')
           ->{body} =~ /"url":"([^"]*?)(\w+)"/ ? ($1, $2) : die "no endpoint\n";
}


# Sends a body to the endpoint by way of a place.

sub post {
    my ($place, $body, @headers) = @_;

    return $nginx->post("/$place/in/" . (endpoint('open'))[1], $body,
                        @headers);
}


# The probes: each gives what is in force at a place.

sub keys_in_force {
    my ($probe, $place) = @_;

    my %status = map { ($_ => api($place, GET => '/sources', undef, $_)
                                  ->{status}) } qw(http server location);
    my @taken = grep { $status{$_} == 200 } sort keys %status;

    return "$dir/keys-@taken" if @taken;
    return join(' ', values %status) eq '403 403 403' ? '' : 'none of them';
}


# The default is README's text with its variables filled in.

sub url_in_force {
    my ($probe, $place) = @_;

    my ($url) = endpoint($place);
    my $default = $probe->{default} =~ s/\$scheme/http/r
                                    =~ s/\$http_host/localhost/r;

    return $url eq $default ? $probe->{default} : $url;
}


sub signature_in_force {
    my ($probe, $place) = @_;

    my $settings = '/sources/segment/environments/development';
    my $first = '{"type":"page"}';

    api('open', PATCH => $settings, qq({"signing_secret":"@{[SECRET]}"}));

    my $status = post($place, "[$first,$first]",
                      'X-Signature' => hmac_sha1_hex($first, SECRET))->{status};

    api('open', PATCH => $settings, '{"signing_secret":null}');

    return { 200 => 'first', 401 => 'whole' }->{$status};
}


# An event that is ignored and one whose action fails, then one that is logged:
# entries come in order.

sub log_in_force {
    my ($probe, $place) = @_;

    my $n = ++$id;

    post($place, qq([{"type":"page","messageId":"page-$n"},)
                 . qq({"type":"track","event":"T","messageId":"failing-$n"}]));
    post('logged', qq({"type":"page","messageId":"last-$n"}));

    my $logs = wait_for('the log', sub {
        my $logs = api('open', GET => '/sources/segment/environments/'
                                      . 'development/logs')->{body};

        return $logs =~ /"last-$n"/ && $logs;
    });

    return $logs =~ /"page-$n"/ ? 'on' : $logs =~ /"failing-$n"/ ? 'errors'
                                                                 : 'off';
}


# The number that is taken, and not one more, of those that may be in force.

sub most {
    my ($send, $probe, $place) = @_;

    for my $n (sort { $a <=> $b } @{ $probe->{values} }, $probe->{default}) {
        return $n if $send->($place, $n) && !$send->($place, $n + 1);
    }

    return 'none of them';
}


sub batch {
    my ($place, $n) = @_;

    return post($place, '[' . join(',', ('{"type":"page"}') x $n) . ']')
           ->{status} == 200;
}


sub recipients {
    my ($place, $n) = @_;

    my $list = join ',', map { qq({"id":"u$_"}) } 1 .. $n;

    return post($place, '{"type":"track","event":"T","properties":'
                        . qq({"recipients":[$list]}}))->{body}
           =~ /"runs":$n,/;
}


# The event is one level.

sub nested {
    my ($place, $n) = @_;

    return post($place, '{"type":"page","x":' . '[' x ($n - 1) . ']' x ($n - 1)
                        . '}')->{status} == 200;
}


sub prefix {
    my %prefixes = map { (s/:\{.*//r => 1) } @{ redis('KEYS', '*') };

    return join ' ', sort keys %prefixes;
}


sub shards {
    for my $n (1 .. 50) {
        api('open', PUT => "/environments/development/users/u$n", '{}');
    }

    my %shards = map { /\{development\/?(\d*)\}:user:/ ? ($1 => 1) : () }
                 @{ redis('KEYS', '*') };

    return scalar keys %shards;
}


# A mark is the time of its event: one just within the window is made of it,
# and one just past it.

sub window {
    my ($probe, $place) = @_;

    for my $window (@{ $probe->{values} }, $probe->{default}) {
        my $seconds = 3600 * ($window =~ /^(\d+)h$/)[0];
        my $event = qq({"type":"page","messageId":"m$window"});

        post($place, $event);
        age($seconds - 60);

        my $within = post($place, $event)->{body} =~ /"duplicates":1/;

        age($seconds + 60);

        return $window
            if $within && post($place, $event)->{body} =~ /"duplicates":0/;
    }

    return 'none of them';
}


sub age {
    my ($seconds) = @_;

    for my $key (map { "knock:{development}:seen:$_" } 0, 1) {
        my %marks = @{ redis('HGETALL', $key) };

        redis('HSET', $key, $_, (time - $seconds) * 1000)
            for grep { length } keys %marks;
    }
}


# Some more names than it may have; they are there when a later one is, which
# is the last to go.

sub catalogue {
    my ($probe, $place) = @_;

    my $key = 'knock:{development}:catalogue:segment';

    post($place, '[' . join(',', map { qq({"type":"track","event":"E$_"}) }
                                 1 .. 1100) . ']');
    post($place, '{"type":"track","event":"last"}');
    wait_for('the catalogue', sub { redis('ZSCORE', $key, 'track/last') });

    return redis('ZCARD', $key);
}


# Redis cuts a log by whole nodes of 100 entries.

sub log_length {
    my ($probe, $place) = @_;

    my $key = 'knock:{development}:log:segment';

    post($place, '[' . join(',', ('{"type":"page"}') x 1500) . ']');
    post($place, '{"type":"page","messageId":"last"}');
    wait_for('the log', sub {
        my ($entry) = @{ redis('XREVRANGE', $key, '+', '-', 'COUNT', 1) };

        return grep { /"last"/ } @{ $entry->[1] };
    });

    my $length = redis('XLEN', $key);

    return $length - $length % 100;
}


# So many wait for Redis, and no more.  The default is more than one test can
# have wait: it is what the source says.

sub in_flight {
    my ($probe, $place) = @_;

    if (!$nginx->{lines}) {
        my %value = slurp('ngx_knock_module/ngx_http_knock_module.c')
            =~ /^#define NGX_HTTP_KNOCK_MAX_(\w+) +(.*)$/mg;
        my ($megabytes) = $value{BODY_BYTES} =~ /^\((\d+) \* 1024 \* 1024\)$/;

        return "$value{IN_FLIGHT} ${megabytes}m";
    }

    my ($requests) = $probe->{values}[0] =~ /^(\d+)/;
    my $path = "/$place/in/" . (endpoint('open'))[1];
    my @clients = map { Knock::Http->new($nginx->port) } 1 .. $requests;

    redis('CLIENT', 'PAUSE', 60000, 'WRITE');

    $_->send("POST $path HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n"
             . '{"type":"page"}') for @clients;

    # which of them nginx reads first is nobody's affair

    my $over = wait_for('one that is refused', sub {
        my $answer = Knock::Http->new($nginx->port)->post($path,
                                                          '{"type":"page"}');

        return $answer->{body} =~ /overloaded/;
    });

    redis('CLIENT', 'UNPAUSE');

    my @taken = grep { $_->answer('POST')->{status} == 200 } @clients;

    return $over && @taken == $requests ? $probe->{values}[0] : 'another';
}
