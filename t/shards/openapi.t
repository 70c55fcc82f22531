# knock_shards: what the API answers with five slots is what its description
# says.

use strict;
use warnings;

use Knock::Api;

$Knock::Api::Http = "knock_shards 5;\n";

do './t/09-openapi.t';
die $@ if $@;
