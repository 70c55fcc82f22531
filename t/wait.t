# A wait in vain says for what, and does not hide the tests behind it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir('knock-wait-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

my $said = run(<<'_EOT_');
subtest 'one' => sub {
    wait_for('the moon', sub { 0 }, 0.1);
    ok 1, 'behind it';
};
ok !eval { wait_for('the sun', sub { 0 }, 0.1); 1 }, 'death';
is $@, "waited in vain for the sun\n", 'and what it says';
is wait_for('this', sub { 7 }), 7, 'no wait in vain';
_EOT_

like $said, qr/^    not ok 1 - waited in vain for the moon$/m,
     'a failed test says for what it waited';
like $said, qr/^    ok 2 - behind it$/m, 'the test behind it runs';
like $said, qr/^not ok 1 - one$/m, 'and that it was in has failed';
like $said, qr/^ok $_ /m, "test $_ behind that runs" for 2 .. 4;

$said = run(join '', map { "wait_for('star $_', sub { 0 }, 0.1);\n" }
                     1 .. 5);

is_deeply [$said =~ /^(?!#).*in vain for (star \d)/mg], [map { "star $_" } 1 .. 4],
          'a file that waits in vain again and again ends';

done_testing;


# What a test with this text says.

sub run {
    my ($text) = @_;

    open my $out, '>', "$dir/x.t" or die "$dir/x.t: $!\n";
    print {$out} "use Test::More;\nuse Knock::Server qw(wait_for);\n",
                 $text, "done_testing;\n";
    close $out or die "$dir/x.t: $!\n";

    return scalar `$^X $dir/x.t 2>&1`;
}
