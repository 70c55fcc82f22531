# knock_shards: the guide's walk, where an environment is in five slots and
# two workers serve it.

use strict;
use warnings;

use Knock::Api;

$Knock::Api::Http = "knock_shards 5;\n";

do './t/09-guide.t';
die $@ if $@;
