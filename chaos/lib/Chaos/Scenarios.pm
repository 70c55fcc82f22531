package Chaos::Scenarios;

# All scenarios, in the order in which they run; Chaos::Run says what one is.

use strict;
use warnings;

use Exporter qw(import);

use Chaos::Scenarios::Cluster;
use Chaos::Scenarios::Nginx;
use Chaos::Scenarios::Network;
use Chaos::Scenarios::Redis;
use Chaos::Scenarios::Sentinel;

our @EXPORT_OK = qw(@Scenarios);

our @Scenarios = (@Chaos::Scenarios::Redis::Scenarios,
                  @Chaos::Scenarios::Network::Scenarios,
                  @Chaos::Scenarios::Sentinel::Scenarios,
                  @Chaos::Scenarios::Cluster::Scenarios,
                  @Chaos::Scenarios::Nginx::Scenarios);

1;
