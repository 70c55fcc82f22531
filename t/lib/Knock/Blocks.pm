package Knock::Blocks;

# Short sections for Test::Nginx's blocks that post events and look at what
# Redis holds afterwards:
#
#   --- post
#   {"type":"identify","userId":"u1"}
#   prod {"type":"page"}
#   --- answer
#   1 0 0 0
#   0 0 1 0
#   --- redis
#   HGET knock:{development}:user:u1 id => "u1"
#   LRANGE knock:{development}:runs 0 -1 => /"actor":null.*"actor":null/
#
# post: a request a line, its token in front unless it is `dev`.  answer: a
# line for each, either the answer's accepted, duplicates, ignored and runs,
# and behind them index:code of each of its errors (index:code:action where
# the answer names one), or a refusal's status and code.  redis: a command a
# line, words or 'quoted ones', and its reply: an element a line, the lines
# joined by " | ", or a /pattern/ that the whole reply is to match.

use strict;
use warnings;

use Exporter qw(import);
use Text::ParseWords qw(shellwords);

our @EXPORT_OK = qw(short_sections);


# To be called behind Knock::Test::begin_blocks(), with the same argument.

sub short_sections {
    my ($add_block_preprocessor) = @_;

    $add_block_preprocessor->(sub {
        my ($block) = @_;
        my (@requests, @codes, @bodies);

        my @posts = lines($block->post);
        my @answers = lines($block->answer);

        return unless @posts || defined $block->redis;

        die $block->name . ": posts and answers don't match\n"
            if @posts != @answers;

        for my $post (@posts) {
            my ($token, $body) = $post =~ /^([\w-]+) (.*)/ ? ($1, $2)
                                                           : ('dev', $post);
            my ($code, $pattern) = answer(shift @answers);

            push @requests, "POST /in/$token\n$body";
            push @codes, $code;
            push @bodies, $pattern;
        }

        for my $line (lines($block->redis)) {
            my ($command, $reply) = $line =~ /^(.*?) =>(?: (.*))?$/
                or die $block->name . ": no command: $line\n";

            push @requests, 'GET /redis/'
                            . join '/', map { escape($_) } shellwords($command);
            push @codes, 200;
            push @bodies, reply($reply // '');
        }

        $block->set_value('request', \@requests);
        $block->set_value('error_code', \@codes);
        $block->set_value('response_body_like', \@bodies);
    });
}


sub lines {
    my ($text) = @_;

    return grep { /\S/ } split /\n/, $text // '';
}


# The status and a pattern of the body.

sub answer {
    my ($line) = @_;

    if ($line =~ /^(\d{3}) (\w+)$/) {
        return $1, qq(\\A\\{"error":\\{"code":"$2","message":"[^"]);
    }

    my ($accepted, $duplicates, $ignored, $runs, @errors) = split ' ', $line;

    my $errors = join ',', map {
        my ($index, $code, $action) = split /:/;

        qq(\\{"index":$index,)
        . (defined $action ? qq("action":"$action",) : '')
        . qq("code":"$code","message":"(?:[^"\\\\]|\\\\.)+"\\})
    } @errors;

    return 200, qq(\\A\\{"accepted":$accepted,"duplicates":$duplicates,)
                . qq("ignored":$ignored,"runs":$runs,)
                . qq("errors":\\[$errors\\]\\}\\s*\\z);
}


sub reply {
    my ($text) = @_;

    return "\\A(?:$1)\\s*\\z" if $text =~ m{^/(.*)/$};
    return '\A' . join('\n', map { quotemeta } split / \| /, $text) . '\s*\z';
}


sub escape {
    my ($text) = @_;

    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/([^A-Za-z0-9_:-])/sprintf '%%%02X', ord $1/ge;

    return $text;
}

1;
