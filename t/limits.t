# The numbers that the documentation gives are those of the code: defaults of
# knock_redis' parameters, limits in the pages, bounds in docs/openapi.yaml.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Knock::Files qw(slurp);

my %code = constants();

parameters();
pages();
description();

done_testing;


# The numbers that #define gives a name in the module.

sub constants {
    my %value;

    for my $file (glob 'ngx_knock_module/*.[ch]') {
        my $text = slurp($file) =~ s,/\*.*?\*/,,gsr;

        while ($text =~ /^#define (\w+) +\(?(\d+(?: \* \d+)*)\)? *$/mg) {
            $value{$1} = product($2);
        }
    }

    # what is no #define of its own

    $value{TOKEN_BITS} = $value{NGX_HTTP_KNOCK_TOKEN} * 8;
    $value{RUN_BYTES} = 3 / 4 * product(
        slurp('ngx_knock_module/ngx_http_knock_redis_conf.c')
            =~ /max_pending_bytes = ([\d *]+);/);

    return %value;
}


sub product {
    my $number = 1;

    $number *= $_ for split / \* /, $_[0];

    return $number;
}


# README's table of parameters has the names that knock_redis takes, and their
# defaults.

sub parameters {
    my $source = slurp('ngx_knock_module/ngx_http_knock_redis_conf.c');
    my ($parse) = $source =~ /^ngx_http_knock_redis_parse\(.*?\n(\{.*?^\})/ms;
    my (%taken, %documented);

    while ($source =~ /^    ngx_http_knock_redis_(?:\w+_)?param\("(\w+)",\s+(\w+),\s+(\w+)/mg) {
        my ($name, $type, $member) = ($1, $2, $3);
        my ($default) = $parse =~ /conf->$member = ([\d *]+);/;

        $taken{$name} = default_of($type, defined $default
                                          ? product($default) : '');
    }

    for (slurp('README.md') =~ /^(\| `\w+=`.*)$/mg) {
        my (undef, $names, $default) = split / *\| */;

        $documented{$_} = $default =~ s/`//gr for $names =~ /`(\w+)=`/g;
    }

    cmp_ok scalar keys %taken, '>', 20, 'knock_redis has parameters';
    is_deeply [sort keys %documented], [sort keys %taken],
              'README has all of them';

    for my $name (sort keys %taken) {
        my $default = $documented{$name} // '';

        # what follows from the URL or from the system is said in words
        $default = '' if $default =~ /^(?:those|the) /;

        is $default, $taken{$name}, "$name= has the default that README says";
    }
}


# A default as README writes it.

sub default_of {
    my ($type, $value) = @_;

    return 'single' if $type eq 'mode';
    return $value ? 'on' : 'off' if $type eq 'flag';
    return $value || 0 if $type eq 'num';
    return '' unless length $value;

    return $type eq 'size' ? $value / 1024 / 1024 . 'm'
         : $value % 1000   ? "${value}ms" : $value / 1000 . 's';
}


# Where pages give a limit: the words around it, and its name in the code.
# Each has to be found, and to be that number wherever it is.

sub pages {
    my $size = qr/([\d,]+(?: [kM]B)?)/;

    for (
        ['README.md', qr/, up to $size and so /, 'KNOCK_MAX_SHARDS'],
        ['README.md', qr/ $size is what Segment sends/, 'KNOCK_MAX_BATCH'],
        ['docs/api.md', qr/ Over $size: 413/, 'NGX_HTTP_KNOCK_API_BODY'],
        ['docs/api.md', qr/ A key has 1 to $size of /, 'KNOCK_MAX_KEY'],
        ['docs/api.md', qr/`\?limit=` \(1 to $size,/, 'KNOCK_API_MAX_LIMIT'],
        ['docs/api.md', qr/, default $size\)/, 'KNOCK_API_LIMIT'],
        ['docs/api.md', qr/`signing_secret` \| none \| 1 to $size bytes/,
         'KNOCK_API_MAX_SECRET'],
        ['docs/api.md', qr/ document has at most $size\./,
         'KNOCK_API_MAX_DOCUMENT'],
        ['docs/api.md', qr/`message` has at most $size bytes/,
         'KNOCK_API_MAX_MESSAGE'],
        ['docs/api.md', qr/, `author` $size\./, 'KNOCK_API_MAX_AUTHOR'],
        ['docs/api.md', qr/ A user has at most $size\./,
         'KNOCK_MAX_USER_BYTES'],
        ['docs/api.md', qr/ A bulk has 1 to $size users/,
         'KNOCK_API_MAX_ELEMENTS'],
        ['docs/errors.md', qr/ for the API than $size /,
         'NGX_HTTP_KNOCK_API_BODY'],
        ['docs/errors.md', qr/ of `max_pending_bytes=` \($size\)/,
         'RUN_BYTES'],
        ['docs/errors.md', qr/ would hold more than $size /,
         'KNOCK_MAX_USER_BYTES'],
        ['docs/security.md', qr/ $size random bits/, 'TOKEN_BITS'],
        ['docs/security.md', qr/, $size values, /, 'KNOCK_MAX_VALUES'],
        ['docs/security.md', qr/, $size a user /, 'KNOCK_MAX_USER_BYTES'],
        ['docs/security.md', qr/ a request may put $size on /, 'RUN_BYTES'],
        ['docs/security.md', qr/, up to $size bytes each/, 'KNOCK_MAX_LOGGED'],
        ['docs/operations.md', qr/; $size each at most/,
         'KNOCK_MAX_USER_BYTES'],
        ['redis-schema/README.md', qr/ A mark is $size bytes/,
         'KNOCK_MARK_LEN'],
        ['redis-schema/README.md', qr/ limit of $size /,
         'KNOCK_MAX_USER_BYTES'],
    ) {
        my ($file, $words, $name) = @$_;

        my @said = (" " . slurp($file) =~ s/\n/ /gr) =~ /$words/g;

        is_deeply [map { number($_) } @said], [($code{$name}) x (@said || 1)],
                  "$file: $name";
    }
}


sub number {
    my ($digits, $unit) = split / /, $_[0] =~ tr/,//dr;

    return $digits * { '' => 1, kB => 1024, MB => 1024 * 1024 }
                     ->{ $unit // '' };
}


# Each bound in the API's description, by the name of what it bounds.

sub description {
    my $json = `python3 -c 'import json, sys, yaml
print(json.dumps(yaml.safe_load(open("docs/openapi.yaml")), default=str))'`;

    $? == 0 or BAIL_OUT('docs/openapi.yaml cannot be read');

    my %bound = (
        limit    => 'KNOCK_API_MAX_LIMIT',    cursor  => 'KNOCK_API_MAX_CURSOR',
        name     => 'KNOCK_API_MAX_NAME',     message => 'KNOCK_API_MAX_MESSAGE',
        author   => 'KNOCK_API_MAX_AUTHOR',   user    => 'KNOCK_MAX_ID',
        Id       => 'KNOCK_MAX_ID',           users   => 'KNOCK_API_MAX_ELEMENTS',
        Parameter => 'KNOCK_MAX_PATH',
        recipients     => 'KNOCK_API_MAX_ELEMENTS',
        signing_secret => 'KNOCK_API_MAX_SECRET',
        previous_signing_secret => 'KNOCK_API_MAX_SECRET',
        Grace          => 'KNOCK_API_MAX_GRACE',
        after          => 'KNOCK_MAX_KEY',
        Key            => 'KNOCK_MAX_KEY',
        EnvironmentKey => 'KNOCK_MAX_KEY',
    );
    my $n = 0;

    walk(JSON::PP->new->utf8->decode($json), [], sub {
        my ($node, @path) = @_;
        my ($what) = grep { !/^(?:schema|oneOf|\d+)$/ } reverse @path;
        my @bounds = map { $node->{$_} // () } qw(maxLength maxItems maximum);
        my $where = join '/', @path;

        push @bounds, $1
            if !ref $node->{pattern}
               && ($node->{pattern} // '') =~ /\{1,(\d+)\}/;

        for my $bound (@bounds) {
            my $name = $bound{$what} // 'no name in %bound';

            is $bound, $code{$name}, "$where: $name";
            $n++;
        }

        is $node->{default}, $code{KNOCK_API_LIMIT}, "$where has its default"
            if $what eq 'limit' && exists $node->{default};
    });

    cmp_ok $n, '>', 20, 'docs/openapi.yaml has bounds';
}


# Calls the code with each object and the names that lead there.

sub walk {
    my ($node, $path, $code) = @_;

    if (ref $node eq 'HASH') {
        $code->($node, @$path) if @$path;
        walk($node->{$_}, [@$path, $_], $code) for sort keys %$node;

    } elsif (ref $node eq 'ARRAY') {
        walk($node->[$_], [@$path, $_], $code) for 0 .. $#$node;
    }
}
