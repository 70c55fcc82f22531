# knock_shards: the line between before and after a change of the API is as
# sharp with five slots as with one.

use strict;
use warnings;

use Knock::Api;

$Knock::Api::Http = "knock_shards 5;\n";

do './t/09-boundary.t';
die $@ if $@;
