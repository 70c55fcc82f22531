# knock_shards: names that a sender chooses reach the key that they name and
# no other, where an environment is in five slots.

use strict;
use warnings;

use Knock::Api;

$Knock::Api::Http = "knock_shards 5;\n";

do './t/hostile/keys.t';
die $@ if $@;
