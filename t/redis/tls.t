# Redis over TLS, with what examples/tls makes and says.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use Test::More;

use Knock::Cluster;
use Knock::HeldRedis;
use Knock::Sentinel qw(start_sentinel);
use Knock::Server qw(start_redis start_process stop_process connect_redis
                      free_port wait_for);

my ($examples) = grep { -d } map { "$_/examples/tls" }
                 '.', __FILE__ =~ s{[^/]*$}{../..}r;
my $dir = tempdir('knock-tls-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

chmod 0755, $dir;

# the certificates of several authorities; in `named` Redis has one that does
# not name the address

certificates('made', 'redis.example.com', '127.0.0.1');
certificates('other', 'redis.example.com', '127.0.0.1');
certificates('named', 'redis.example.com');

my $server = tls_redis('made');

plan(skip_all => 'this redis-server has no TLS') unless $server;

my $at = "rediss://127.0.0.1:$server->{tls}";

works('by the address in the certificate', "$at ca=$dir/made/ca.crt");
works('by a name given', "$at ca=$dir/made/ca.crt name=redis.example.com");
works('not verified', "$at verify=off");
works('user, password and database',
      "rediss://knock:s3cret\@127.0.0.1:$server->{tls}/2 ca=$dir/made/ca.crt", 2);

fails('another authority', "$at ca=$dir/other/ca.crt",
      qr/its certificate is not trusted: .*give the file of its authority/);
fails('no authority named', $at,
      qr/its certificate is not trusted: .*give the file of its authority/);
fails('another name', "$at ca=$dir/made/ca.crt name=other.example.com",
      qr/its certificate is not for "other\.example\.com"; give the name/);

# the other way round

fails('TLS where there is none',
      "rediss://127.0.0.1:$server->{port} verify=off connect_timeout=500ms",
      qr/(?:the TLS handshake failed|no TLS handshake within 500ms); check that Redis expects TLS/);
fails('none where there is TLS', "redis://127.0.0.1:$server->{tls}",
      qr/is away: .*(?:closed by Redis|is no reply of Redis|reading from Redis failed)/);
silent();
server_name();

large();
sentinel();
cluster();

# a certificate that does not name the address

my $named = tls_redis('named');

fails('an address that is not in the certificate',
      "rediss://127.0.0.1:$named->{tls} ca=$dir/named/ca.crt",
      qr/its certificate is not for "127\.0\.0\.1"; give the name/);
works('its name instead', "rediss://127.0.0.1:$named->{tls} ca=$dir/named/ca.crt "
                          . 'name=redis.example.com', 0, $named);

# Redis asks for a certificate

my $asks = tls_redis('made', 'yes');
my $asked = "rediss://127.0.0.1:$asks->{tls} ca=$dir/made/ca.crt";

works('with a certificate', "$asked cert=$dir/made/nginx.crt key=$dir/made/nginx.key",
      0, $asks);
fails('without one that is asked for', $asked, qr/is away: /);
fails('with one of another authority',
      "$asked cert=$dir/other/nginx.crt key=$dir/other/nginx.key",
      qr/is away: /);

as_in_the_examples();
renewed();

done_testing;


# A folder of certificates for these names, as the script of the examples makes
# them.

sub certificates {
    my ($name, @names) = @_;
    my $said = `$examples/certificates $dir/$name @names 2>&1`;

    die "certificates: $said\n" if $?;
}


# The parts of a file of the examples, with the paths and the port of this test.

sub example {
    my ($name, $port) = @_;

    open my $in, '<', "$examples/$name" or die "$examples/$name: $!\n";
    my $text = do { local $/; <$in> };

    $text =~ s{/etc/(?:redis/tls|nginx/redis-tls)}{$dir/made}g;
    $text =~ s/\b6379\b/$port/g;

    return $text;
}


sub serial { return scalar `openssl x509 -noout -serial -in $dir/made/$_[0]` }


sub tls_redis {
    my ($made, $clients) = @_;

    my $port = free_port();
    my $server = eval {
        start_redis(args => [
            '--tls-port', $port,
            '--tls-cert-file', "$dir/$made/redis.crt",
            '--tls-key-file', "$dir/$made/redis.key",
            '--tls-ca-cert-file', "$dir/$made/ca.crt",
            '--tls-auth-clients', $clients // 'no']);
    } or return;

    $server->{tls} = $port;
    configure($server);

    return $server;
}


sub configure {
    my ($server) = @_;
    my $redis = connect_redis($server);

    $redis->command(qw(ACL SETUSER knock on >s3cret ~knock:* +@all));

    for my $db (0, 2) {
        $redis->command('SELECT', $db);
        $redis->command(qw(HSET knock:{development}:endpoints
                           segment/token dev));
        $redis->command(qw(SET knock:{development}:version 1));
    }
}


# Both sides by the files of the examples.

sub as_in_the_examples {
    my $port = free_port();
    my @args = map { my ($name, $value) = split; ("--$name", $value) }
               grep { /^\w/ && !/^port / } split /\n/, example('redis.conf', $port);
    my ($directive) = example('knock.conf', $port) =~ /^knock_redis (.*?);/ms;
    my $server = start_redis(args => \@args);

    configure($server);
    works('as in the examples', $directive =~ s/\s+/ /gr, 0, $server);
    fails('as in the examples, for another name',
          $directive =~ s/name=\S+/name=other.example.com/r =~ s/\s+/ /gr,
          qr/its certificate is not for "other\.example\.com"/);
    fails('as in the examples, with no certificate',
          $directive =~ s/cert=\S+//r =~ s/key=\S+//r =~ s/\s+/ /gr,
          qr/is away: /);
}


# New certificates of the same authority: those who trust it take them.

sub renewed {
    my @files = qw(ca.crt redis.crt nginx.crt);
    my %old = map { $_ => serial($_) } @files;

    certificates('made', 'redis.example.com', '127.0.0.1');

    is serial('ca.crt'), $old{'ca.crt'}, 'renewed: the same authority';
    isnt serial($_), $old{$_}, "renewed: another $_" for @files[1, 2];

    my $redis = connect_redis($asks);

    $redis->command('CONFIG', 'SET', 'tls-cert-file', "$dir/made/redis.crt",
                    'tls-key-file', "$dir/made/redis.key");
    works('renewed', "$asked cert=$dir/made/nginx.crt key=$dir/made/nginx.key",
          0, $asks);
}


sub works {
    my ($what, $redis, $db, $at) = @_;

    my $nginx = Knock::Nginx->start(http => "knock_redis $redis timeout=30s "
                                            . "connect_timeout=30s;");

    like $nginx->post('/in/dev', track('T'))->{body}, qr/"ignored":1/, $what;

    my $list = connect_redis($at // $server)->command(qw(CLIENT LIST));
    my ($worker) = $nginx->workers;

    $db //= 0;

    like $list, qr/ name=knock-$worker .* db=$db /,
         "$what: the connection has its name and database";
    is_deeply [$nginx->complaints], [], "$what: no complaints in the log";
}


sub fails {
    my ($what, $redis, $message) = @_;

    # of two values the last one counts
    my ($url, $params) = split ' ', $redis, 2;
    my $nginx = Knock::Nginx->start(http => "knock_redis $url "
        . 'connect_timeout=10s reconnect=10ms reconnect_max=10ms '
        . ($params // '') . ';');

    my $answer = $nginx->post('/in/dev', track('T'));

    ok unavailable($answer), "$what: 503" or diag $answer->{body};
    eval { wait_for('the log', sub { $nginx->log_text =~ $message }) };
    like $nginx->log_text, $message, "$what: logged";
    $nginx->stop;
    is_deeply [$nginx->complaints], [], "$what: no complaints in the log";
}


# Nobody answers to the handshake.

sub silent {
    my $fake = Knock::HeldRedis->new;

    fails('no handshake',
          "rediss://127.0.0.1:$fake->{port} verify=off connect_timeout=300ms",
          qr/no TLS handshake within \d+ms; check that Redis expects TLS/);
}


# rediss:// means the Sentinels and the master.

sub sentinel {
    my $port = free_port();

    start_sentinel(master => $server->{tls}, conf => join "\n",
        "tls-port $port", 'tls-replication yes', 'tls-auth-clients no',
        "tls-cert-file $dir/made/redis.crt", "tls-key-file $dir/made/redis.key",
        "tls-ca-cert-file $dir/made/ca.crt", '');

    works('Sentinels', "rediss://127.0.0.1:$port ca=$dir/made/ca.crt "
                       . 'mode=sentinel master=knock');
    fails('Sentinels that are not trusted',
          "rediss://127.0.0.1:$port mode=sentinel master=knock",
          qr/Sentinel \S+ is passed over: its certificate is not trusted/);
}


# Nobody but who asks for the name gets the certificate of our authority.  What
# answers is no Redis, and says nothing after the handshake.

sub server_name {
    my $port = free_port();
    my $pid = start_process("$dir/s_server", 'openssl', 's_server', '-www',
        '-accept', "127.0.0.1:$port", '-servername', 'redis.example.com',
        '-cert', "$dir/other/redis.crt", '-key', "$dir/other/redis.key",
        '-cert2', "$dir/made/redis.crt", '-key2', "$dir/made/redis.key");
    my $there = "rediss://127.0.0.1:$port ca=$dir/made/ca.crt connect_timeout=2s";

    wait_for('a server of TLS', sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
    });

    fails('the name is asked for', "$there name=redis.example.com",
          qr/is away: connected, but no reply within 2000ms/);
    fails('an address is not', $there, qr/its certificate is not trusted/);
    stop_process($pid);
}


# rediss:// means each node, at the port that it tells those who ask over TLS.

sub cluster {
    my $cluster = Knock::Cluster->start(masters => 2, args => sub {
        return ('--tls-port', free_port(), '--tls-cluster', 'yes',
                '--tls-auth-clients', 'no', '--tls-replication', 'yes',
                '--tls-cert-file', "$dir/made/redis.crt",
                '--tls-key-file', "$dir/made/redis.key",
                '--tls-client-cert-file', "$dir/made/nginx.crt",
                '--tls-client-key-file', "$dir/made/nginx.key",
                '--tls-ca-cert-file', "$dir/made/ca.crt");
    });
    my $env = '{development}';
    my $owner = $cluster->owner($env);
    my ($seed) = grep { $_ != $owner } $cluster->nodes;
    my ($port) = Knock::Cluster::ask($seed, qw(CONFIG GET tls-port))->[1];

    $cluster->command($env, 'HSET', "knock:$env:endpoints",
                      'segment/token', 'dev');
    $cluster->command($env, 'SET', "knock:$env:version", 1);

    works('a cluster', "rediss://127.0.0.1:$port ca=$dir/made/ca.crt "
                       . 'mode=cluster', 0, $owner);
}


# Large commands and replies go in many records.

sub large {
    my $redis = connect_redis($server);
    my $nginx = Knock::Nginx->start(
        http => "knock_redis $at ca=$dir/made/ca.crt timeout=30s "
                . "connect_timeout=30s;\nclient_max_body_size 16m;");
    my $body = '[' . join(',', map {
        track("T$_", properties => '{"x":"' . "$_ " x 200 . '"}')
    } 1 .. 4000) . ']';

    # what is live, of more than a megabyte

    $redis->command(qw(HSET knock:{development}:toggles), "workflow/$_",
                    'x' x 10_000) for 1 .. 120;
    $redis->command(qw(SET knock:{development}:version 2));

    cmp_ok length $body, '>', 3_900_000, 'a batch of ' . length $body;
    like $nginx->post('/in/dev', $body)->{body}, qr/"ignored":4000,/,
         'a large command and large replies';
    is $nginx->post('/in/dev', track('T'))->{status}, 200, 'and one after them';
    is_deeply [$nginx->complaints], [], 'no complaints in the log';
}
