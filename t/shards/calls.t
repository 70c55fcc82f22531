# knock_shards: every call of the API, where an environment is in five slots.

use strict;
use warnings;

use Knock::Api;

$Knock::Api::Http = "knock_shards 5;\n";

do './t/09-calls.t';
die $@ if $@;
