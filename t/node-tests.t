# t/lib/node-tests: a test of node's that fails says itself what it has to say,
# and those beside it run and are counted.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use Knock::Files qw(slurp);

my $lib = dirname(abs_path(__FILE__)) . '/lib';

my $dir = tempdir('knock-node-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

my ($status, $out, $err) = run(<<'_EOT_');
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { waitFor } from 'LIB/servers.mjs'

test('one that is well', () => {})
describe('some', () => {
  test('one that fails', () => assert.equal(1, 2))
  test('one behind it', () => {})
})
test('one that waits', () => waitFor('the moon', () => false, 0.1))
test('the last', () => {})
_EOT_

isnt $status, 0, 'it fails';
like $out, qr/^3 passed, 2 failed, 0 skipped$/m, 'all are counted';
like $err, qr/^ *not ok \d+ - one that fails$/m, 'what failed is named';
like $err, qr/1 !== 2/, 'with its own message';
like $err, qr/waited in vain for the moon/, 'a wait says for what';
unlike $err, qr/well|behind it|the last/, 'what passed is not there';

($status, $out, $err) = run("import { test } from 'node:test'\n"
                            . "test('one', () => {})\n");

is $status, 0, 'where all is well';
like $out, qr/^1 passed, 0 failed, 0 skipped$/m, 'it is counted';
is $err, '', 'and nothing is said';

($status, $out, $err) = run("nonsense\n");

isnt $status, 0, 'a file that is no program fails';
like $out, qr/^0 passed, 1 failed, /m, 'and is counted';
like $err, qr/nonsense is not defined/, 'and says why';

done_testing;


# Status, output and errors of a file with this text.

sub run {
    my ($text) = @_;

    $text =~ s/LIB/$lib/;

    open my $file, '>', "$dir/x.test.mjs" or die "$dir: $!\n";
    print {$file} $text;
    close $file or die "$dir: $!\n";

    my $out = `$lib/node-tests 60 $dir/x.test.mjs 2> $dir/err`;

    return ($?, $out, scalar slurp("$dir/err"));
}
