
/*
 * Replies of Redis: the first four bytes of the input choose where it is cut,
 * what follows is what a connection brings.  hiredis' reader with the module's
 * objects, fed piece by piece, gives what it gives with its own objects, fed
 * at once.  A reply in the form of knock_live's makes a configuration.
 */

#include "ngx_http_knock_redis_internal.h"

#include "fuzz.h"
#include "knock_live.h"


#define REPLIES  16


static redisReplyObjectFunctions  hiredis;      /* its own */


static size_t reply_whole(const uint8_t *data, size_t size,
    redisReply **whole);
static void *reply_array(const redisReadTask *task,
    ngx_http_knock_redis_nelts_t n);
static size_t reply_piece(uint32_t *seed, size_t left);
static void reply_same(const redisReply *a, const redisReply *b);
static void reply_live(const redisReply *reply);
static int reply_strings(knock_arena_t *arena, const redisReply *reply,
    knock_str_t **strings, size_t *n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                           rc;
    void                         *reply;
    size_t                        at, n, piece, taken;
    uint32_t                      seed;
    redisReply                   *whole[REPLIES];
    ngx_http_knock_redis_node_t   node;

    if (size < sizeof(seed)) {
        return 0;
    }

    memcpy(&seed, data, sizeof(seed));
    data += sizeof(seed);
    size -= sizeof(seed);

    n = reply_whole(data, size, whole);

    /* the module's objects, in pieces */

    ngx_memzero(&node, sizeof(ngx_http_knock_redis_node_t));

    node.replies = knock_arena_create(256);
    check(node.replies != NULL);
    check(ngx_http_knock_redis_create_reader(&node) == NGX_OK);

    taken = 0;

    for (at = 0; at < size && taken < n; at += piece) {
        piece = reply_piece(&seed, size - at);

        redisReaderFeed(node.reader, (const char *) data + at, piece);

        while (taken < n) {
            rc = redisReaderGetReply(node.reader, &reply);

            /* what reads as a whole has no mistake in it */

            check(rc == REDIS_OK);

            if (reply == NULL) {
                break;
            }

            reply_same(whole[taken], reply);
            reply_live(reply);
            knock_arena_reset(node.replies);
            taken++;
        }
    }

    check(taken == n);

    /* and of the rest at least no harm */

    if (at < size) {
        redisReaderFeed(node.reader, (const char *) data + at, size - at);
    }

    while (n < REPLIES && redisReaderGetReply(node.reader, &reply) == REDIS_OK
           && reply != NULL)
    {
        check(0);
    }

    redisReaderFree(node.reader);
    knock_arena_destroy(node.replies);

    while (n) {
        freeReplyObject(whole[--n]);
    }

    return 0;
}


/* by hiredis alone, at once: how many replies there are */

static size_t
reply_whole(const uint8_t *data, size_t size, redisReply **whole)
{
    void                       *reply;
    size_t                      n;
    redisReader                *reader;
    redisReplyObjectFunctions   functions;

    reader = redisReaderCreate();
    check(reader != NULL);

    hiredis = *reader->fn;
    functions = hiredis;
    functions.createArray = reply_array;
    reader->fn = &functions;

    redisReaderFeed(reader, (const char *) data, size);

    for (n = 0; n < REPLIES; n++) {

        if (redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL) {
            break;
        }

        whole[n] = reply;
    }

    redisReaderFree(reader);

    return n;
}


/* hiredis would take 16 GB for an array that is announced, at any depth */

static void *
reply_array(const redisReadTask *task, ngx_http_knock_redis_nelts_t n)
{
    size_t                depth;
    const redisReadTask  *outer;

    depth = 0;

    for (outer = task; outer; outer = outer->parent) {
        depth++;
    }

    return n > NGX_HTTP_KNOCK_REDIS_MAX_ARRAY
           || depth > NGX_HTTP_KNOCK_REDIS_MAX_DEPTH
           ? NULL : hiredis.createArray(task, n);
}


static size_t
reply_piece(uint32_t *seed, size_t left)
{
    size_t  n;

    *seed = *seed * 1664525 + 1013904223;
    n = 1 + (*seed >> 24) % (*seed & 0x10000 ? 7 : 200);

    return n < left ? n : left;
}


static void
reply_same(const redisReply *a, const redisReply *b)
{
    size_t  i, tag;

    check(a->type == b->type);

    tag = 0;

    switch (a->type) {

#if (HIREDIS_MAJOR >= 1)

    case REDIS_REPLY_VERB:

        /* hiredis takes "txt:" off it */

        tag = 4;

        /* fall through */

    case REDIS_REPLY_DOUBLE:
    case REDIS_REPLY_BIGNUM:

#endif

    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        check(a->len + tag == b->len
              && memcmp(a->str, b->str + tag, a->len) == 0);
        check(b->str[b->len] == '\0');
        break;

#if (HIREDIS_MAJOR >= 1)
    case REDIS_REPLY_BOOL:
#endif

    case REDIS_REPLY_INTEGER:
        check(a->integer == b->integer);
        break;

#if (HIREDIS_MAJOR >= 1)
    case REDIS_REPLY_MAP:
    case REDIS_REPLY_SET:
    case REDIS_REPLY_PUSH:
    case REDIS_REPLY_ATTR:
#endif

    case REDIS_REPLY_ARRAY:
        check(a->elements == b->elements);

        for (i = 0; i < a->elements; i++) {
            reply_same(a->element[i], b->element[i]);
        }

        break;

    default:
        check(b->str == NULL && b->elements == 0);
    }
}


static void
reply_live(const redisReply *reply)
{
    size_t               i;
    knock_str_t          prefix = knock_string("k");
    knock_str_t          environment = knock_string("e");
    knock_str_t          key = knock_string("track/Comment Created");
    knock_live_t        *live;
    knock_arena_t       *scratch, *arena;
    knock_endpoint_t    *endpoint;
    knock_live_reply_t   lists;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    scratch = knock_arena_create(1024);
    arena = knock_arena_create(1024);
    check(scratch != NULL && arena != NULL);

    lists.version.len = reply->element[0]->len;
    lists.version.data = (unsigned char *) reply->element[0]->str;

    if (reply_strings(scratch, reply->element[1], &lists.endpoints,
                      &lists.nendpoints)
        && reply_strings(scratch, reply->element[2], &lists.workflows,
                         &lists.nworkflows)
        && reply_strings(scratch, reply->element[3], &lists.actions,
                         &lists.nactions)
        && reply_strings(scratch, reply->element[4], &lists.toggles,
                         &lists.ntoggles))
    {
        check(knock_live_build(arena, &prefix, &environment, 1, &lists,
                               &live)
              == KNOCK_OK);

        /* it holds copies */

        knock_arena_reset(scratch);

        for (i = 0; i < live->nendpoints; i++) {

            if (live->endpoints[i].token.len == 0) {
                continue;
            }

            endpoint = knock_live_endpoint(live, &live->endpoints[i].token,
                                           0);

            check(endpoint != NULL);
            (void) knock_live_actions(endpoint, &key);
            check(knock_live_idle(endpoint, &key) != NULL);
        }
    }

    knock_arena_destroy(scratch);
    knock_arena_destroy(arena);
}


static int
reply_strings(knock_arena_t *arena, const redisReply *reply,
    knock_str_t **strings, size_t *n)
{
    size_t  i;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return 0;
    }

    *n = reply->elements;
    *strings = knock_arena_calloc(arena, *n, sizeof(knock_str_t));
    check(*strings != NULL);

    for (i = 0; i < *n; i++) {

        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return 0;
        }

        (*strings)[i].len = reply->element[i]->len;
        (*strings)[i].data = (unsigned char *) reply->element[i]->str;
    }

    return 1;
}
