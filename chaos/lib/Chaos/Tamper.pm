package Chaos::Tamper;

# What is done to Redis behind everybody's back, to see that the ledger finds
# it: code that is called with a topology.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(%Tampers);

our %Tampers = (
    # a run is not there
    lost => sub {
        my ($topology, $key) = (@_, _runs());

        $topology->command($key, 'LPOP', $key);
    },

    # one is there twice
    doubled => sub {
        my ($topology, $key) = (@_, _runs());
        my $run = $topology->command($key, 'LINDEX', $key, 0);

        $topology->command($key, 'RPUSH', $key, $run);
    },

    # one has other data
    other => sub {
        my ($topology, $key) = (@_, _runs());
        my $run = $topology->command($key, 'LINDEX', $key, 0);

        $topology->command($key, 'LSET', $key, 0,
                           $run =~ s/"n":(\d+)\.50/"n":$1.51/r);
    },

    # a user has lost what an event gave
    user => sub {
        my ($topology) = @_;

        for my $tag ($topology->tags) {
            my $key = "knock:$tag:user:s7";
            my %user = @{ $topology->command($key, 'HGETALL', $key) };
            my ($field) = grep { /^e\d/ } sort keys %user;

            $topology->command($key, 'HDEL', $key, $field) if $field;
        }
    },

    # an identify was done twice
    counted => sub {
        my ($topology) = @_;
        my $key = 'knock:' . ($topology->tags)[0] . ':catalogue_info:segment';

        $topology->command($key, 'HINCRBY', $key, 'cidentify', 1);
    },
);


sub _runs { return 'knock:{development}:runs' }

1;
