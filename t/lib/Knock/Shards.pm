package Knock::Shards;

# Where things stand when an environment is split by knock_shards: for tests.
#
#   shard_of('u1', 4)                       # 0 .. 3
#   shard_key('development', 'u1', 4, 'user:u1')
#
# With one shard all stands at home, in the environment itself.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(crc16 shard_of shard_key places);


# CRC-16/XMODEM, bit by bit, of bytes.

sub crc16 {
    my ($bytes) = @_;

    my $crc = 0;

    for my $byte (unpack 'C*', $bytes) {
        $crc ^= $byte << 8;
        $crc = ($crc << 1 ^ ($crc & 0x8000 ? 0x1021 : 0)) & 0xffff for 1 .. 8;
    }

    return $crc;
}


sub shard_of {
    my ($id, $shards) = @_;

    return crc16($id) % $shards;
}


# The key with this name beside all that is of this id.

sub shard_key {
    my ($environment, $id, $shards, $name) = @_;

    my $tag = $shards > 1 ? "$environment/" . shard_of($id, $shards)
                          : $environment;

    return "knock:{$tag}:$name";
}


# The tags of an environment's shards, or of itself if it is but one.

sub places {
    my ($environment, $shards) = @_;

    return $shards > 1 ? map { "$environment/$_" } 0 .. $shards - 1
                       : ($environment);
}


1;
