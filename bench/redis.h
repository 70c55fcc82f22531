/*
 * A blocking, pipelining Redis client over a unix socket.  Any failure ends
 * the program with a message.
 */

#ifndef BENCH_REDIS_H
#define BENCH_REDIS_H


#include <stddef.h>
#include <stdint.h>

#include "json.h"


typedef struct {
    int           fd;
    const char   *path;

    char         *out;
    size_t        out_len;

    char         *in;
    size_t        in_pos;
    size_t        in_len;
    size_t        in_size;
} redis_t;


void redis_connect(redis_t *redis, const char *path);

/* Puts a command in the pipeline: words, each a char pointer, then NULL. */
void redis_add(redis_t *redis, ...);

/* Sends what is in the pipeline. */
void redis_flush(redis_t *redis);

/*
 * Takes a reply, which may not be an error: of a number or an array its value
 * or length; of a string its length and, until the next is taken, its text.
 */
int64_t redis_reply(redis_t *redis, json_slice_t *text);


#endif /* BENCH_REDIS_H */
