
/*
 * The limits, in one place.  Those of the first struct are configured; the
 * others are part of the contract and fixed.
 */

#ifndef KNOCK_LIMITS_H
#define KNOCK_LIMITS_H


#include <stddef.h>


typedef struct {
    size_t  max_batch;          /* events of one body */
    size_t  max_recipients;     /* distinct recipients of one action */
    size_t  max_depth;          /* nesting of one event */
    size_t  max_run_bytes;      /* bytes of all runs of one request */
} knock_limits_t;


#define KNOCK_MAX_BATCH         4000
#define KNOCK_MAX_RECIPIENTS    1000
#define KNOCK_MAX_DEPTH         64

#define KNOCK_MAX_VALUES        4000000     /* JSON values of one body */
#define KNOCK_MAX_EVENT_NAME    512         /* bytes */
#define KNOCK_MAX_ID            256         /* bytes */
#define KNOCK_MAX_SHARDS        256         /* of an environment */
#define KNOCK_MAX_MESSAGE_ID    255         /* characters */
#define KNOCK_MAX_USER_BYTES    (256 * 1024)
#define KNOCK_CHECK_BYTES       2048        /* as CHECK_BYTES in knock.lua */
#define KNOCK_MAX_STORED_DEPTH  1024        /* of a value that is stored */
#define KNOCK_MAX_SAMPLE        (64 * 1024) /* bytes; a larger one is not kept */
#define KNOCK_MAX_LOGGED        256         /* bytes of a value in a log */
#define KNOCK_MAX_PATH_STEPS    32
#define KNOCK_MAX_PATH          1024        /* bytes */
#define KNOCK_MAX_KEY           64          /* bytes: a source, an action... */


#endif /* KNOCK_LIMITS_H */
