#!/bin/sh
#
# Prints a text file as the C array that the module loads into Redis.
#
#   embed.sh redis-schema/knock.lua > ngx_http_knock_library.c

set -eu

test -r "$1" || { echo "$0: cannot read $1" >&2; exit 1; }

cat << 'END'

/* made from redis-schema/knock.lua by embed.sh */

#include <stddef.h>


extern const char    ngx_http_knock_library[];
extern const size_t  ngx_http_knock_library_len;


/* the length is without the closing NUL */

const char  ngx_http_knock_library[] = {
END

od -An -v -td1 "$1" \
    | awk '{ for (i = 1; i <= NF; i++) printf "%s,%s", $i, i < NF ? " " : "\n" }'

cat << 'END'
0
};

const size_t  ngx_http_knock_library_len = sizeof(ngx_http_knock_library) - 1;
END
