package Knock::Api;

# The control API for tests: an nginx with the API and the webhook, a file of
# API keys made for it, and calls.
#
#   my $api = Knock::Api->start(workers => 4);
#   my $answer = $api->call(GET => '/sources');
#   is $answer->{status}, 200;
#   is_deeply $answer->{json}, { items => [], cursor => undef };
#
# Its Redis is that of Knock::Test, and is emptied first.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;

use Knock::Nginx;
use Knock::Test;

our $Key = 'a key for the tests';

# added to the http block of each
our $Http = '';

my $codec = JSON::PP->new->utf8->canonical;


# Starts it; `conf` is for Knock::Nginx, `server` is added to the server block.

sub start {
    my ($class, %conf) = @_;

    my $server = delete $conf{server} // '';

    $conf{http} = ($conf{http} // '') . $Http;

    my $folder = File::Temp::tempdir('knock-keys-XXXXXXXX', TMPDIR => 1,
                                     CLEANUP => 1);

    chmod 0755, $folder;

    my $self = bless { keys => "$folder/keys", seen => [] }, $class;

    $self->write_keys($Key);
    redis('FLUSHALL');

    $self->{nginx} = Knock::Nginx->start(
        redis => redis_server(),
        server => <<"_EOC_",
client_max_body_size 16m;
location /v1/ {
    knock_api;
    knock_api_keys $folder/keys;
}
location ~ ^/integrations/receive/(?<token>[\\w-]+)\$ {
    knock_webhook \$token;
}
$server
_EOC_
        %conf);

    return $self;
}


sub nginx { return $_[0]{nginx} }


# Makes these the API keys, by the next reload.

sub write_keys {
    my ($self, @keys) = @_;

    open my $out, '>', $self->{keys} or die "$self->{keys}: $!\n";
    print {$out} "# the keys of a test\n\n", map { sha256_hex($_) . "\n" } @keys;
    close $out or die "$self->{keys}: $!\n";
}


# The rows [METHOD, pattern] of the table of calls in the module's source, in
# its order; a capital letter in a pattern stands for a key or an id.

sub routes {
    my ($folder) = grep { -d } map { "$_/ngx_knock_module" }
                   '.', __FILE__ =~ s{[^/]*$}{../../..}r;
    my $table;

    for my $file (glob "$folder/knock_api*.c") {
        open my $in, '<', $file or die "$file: $!\n";
        my $text = do { local $/; <$in> };

        ($table) = $text =~ /knock_api_route_table\[\] = \{(.*?)\n\};/s
            and last;
    }

    die "no table of calls in $folder\n" unless $table;

    my @rows;

    while ($table =~ /\{ "([^"]+)", KNOCK_API_([A-Z]+),/g) {
        push @rows, [ $2, $1 ];
    }

    return @rows;
}


# One call: { status, headers, body, json, etag }.  A body that is a reference
# is encoded.  Headers come after the key's; `client` among them is no header
# but the connection to take, `base` what stands before the path.  Of all calls
# is kept what was asked and answered.

sub call {
    my ($self, $method, $path, $body, %headers) = @_;

    my $client = delete $headers{client} // $self->{nginx}->client;
    my $base = delete $headers{base} // '/v1';
    my $text = ref $body ? $codec->encode($body) : $body;

    $headers{Authorization} = "Bearer $Key"
        unless exists $headers{Authorization};
    delete $headers{Authorization} unless defined $headers{Authorization};
    $headers{'Content-Type'} //= 'application/json' if defined $text;
    $text //= '' unless $method eq 'GET' || $method eq 'HEAD';

    my $answer = $client->request($method, "$base$path", $text, %headers);

    $answer->{json} = eval { $codec->decode($answer->{body}) }
        if length $answer->{body};
    ($answer->{etag}) = ($answer->{headers}{etag} // '') =~ /^"(.+)"$/;

    push @{ $self->{seen} }, { method => $method, path => $path,
                               request => $text, answer => $answer };

    return $answer;
}


# A call that must succeed with this status; gives its JSON.

sub done {
    my ($self, $title, $status, @call) = @_;

    my $answer = $self->call(@call);

    is $answer->{status}, $status, $title
        or diag("$call[0] $call[1]: $answer->{body}");

    $self->{last} = $answer;

    return $answer->{json} // {};
}


# The last answer of done().

sub last { return $_[0]{last} }


# A call that must be refused with this status and error code, and must leave
# Redis as it was; gives the answer.

sub refused {
    my ($self, $title, $status, $code, @call) = @_;

    my $before = $self->digest;
    my $answer = $self->call(@call);
    my $error = ref $answer->{json} eq 'HASH' ? $answer->{json}{error} : undef;

    my @wrong;

    push @wrong, "status $answer->{status}" if $answer->{status} != $status;
    push @wrong, 'no error object'
        unless ref $error eq 'HASH'
               && join(' ', sort keys %{ $answer->{json} }) eq 'error';
    push @wrong, 'code ' . ($error->{code} // 'none')
        if ref $error eq 'HASH' && ($error->{code} // '') ne $code;
    push @wrong, 'no message'
        if ref $error eq 'HASH' && !length($error->{message} // '');
    push @wrong, 'Redis has changed' if $self->digest ne $before;

    is join(', ', @wrong), '', $title
        or diag("$call[0] $call[1]: $answer->{status} $answer->{body}");

    return $answer;
}


# A digest of all that Redis holds.  What has no order is put in one: that of a
# hash or set changes while Redis makes room in it.

sub digest {
    return redis('EVAL', <<'_EOL_', 0);
local read = {
    hash = function(key)
        local all, pairs = redis.call('HGETALL', key), {}

        for i = 1, #all, 2 do
            pairs[#pairs + 1] = redis.sha1hex(all[i])
                                .. redis.sha1hex(all[i + 1])
        end

        table.sort(pairs)

        return table.concat(pairs)
    end,

    set = function(key)
        local all = redis.call('SMEMBERS', key)

        table.sort(all)

        return table.concat(all, '\n')
    end,

    zset = function(key)
        return table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'),
                            '\n')
    end
}

local keys, parts = redis.call('KEYS', '*'), {}

table.sort(keys)

for i, key in ipairs(keys) do
    local type = redis.call('TYPE', key).ok
    local text = read[type] and read[type](key) or redis.call('DUMP', key)

    parts[i] = key .. ' ' .. type .. ' '
               .. tostring(redis.call('PEXPIRETIME', key)) .. ' '
               .. redis.sha1hex(text)
end

return redis.sha1hex(table.concat(parts, '\n'))
_EOL_
}


# Sends an event to an endpoint as its answer describes it; gives what
# Knock::Http does, with `json`.

sub event {
    my ($self, $endpoint, $event, $client) = @_;

    my ($path) = $endpoint->{url} =~ m{^https?://[^/]+(/.*)$}
        or die "no URL: $endpoint->{url}\n";
    my $answer = ($client // $self->{nginx}->client)->post(
        $path, ref $event ? $codec->encode($event) : $event,
        'Content-Type' => 'application/json');

    $answer->{json} = eval { $codec->decode($answer->{body}) };

    return $answer;
}


# What an event is answered: "status runs ignored errors".

sub outcome {
    my ($self, @event) = @_;

    my $answer = $self->event(@event);
    my $json = $answer->{json};

    return $answer->{status} if $answer->{status} != 200;
    return join ' ', 200, map { "$json->{$_} $_" } qw(accepted ignored runs);
}


# All documents of a list, page by page; `path` may have a query.

sub pages {
    my ($self, $path, $limit) = @_;

    my ($cursor, @items);
    my $sign = $path =~ /\?/ ? '&' : '?';

    for my $page (1 .. 1000) {
        my $answer = $self->call(GET => "$path${sign}limit=$limit"
            . (defined $cursor ? "&cursor=$cursor" : ''));

        die "page $page: $answer->{status} $answer->{body}\n"
            if $answer->{status} != 200;
        die "page $page is too long\n"
            if @{ $answer->{json}{items} } > $limit;

        push @items, @{ $answer->{json}{items} };
        $cursor = $answer->{json}{cursor};

        return \@items unless defined $cursor;
    }

    die "a list without end\n";
}


# What a test ends with.

sub end {
    my ($self) = @_;

    is_deeply [$self->{nginx}->complaints], [],
              'nothing to complain of in the log';
}

1;
