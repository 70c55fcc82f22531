
/*
 * The objects of a reply, which hiredis' reader has made by its caller.  The
 * reader reads one reply at a time, so all are taken from one arena, and given
 * back together when the reply has been handled: hiredis' own objects are
 * several allocations for each element.
 */

#include "ngx_http_knock_redis_internal.h"


static redisReply *ngx_http_knock_redis_object(const redisReadTask *task,
    int type);
static void *ngx_http_knock_redis_object_string(const redisReadTask *task,
    char *str, size_t len);
static void *ngx_http_knock_redis_object_array(const redisReadTask *task,
    ngx_http_knock_redis_nelts_t n);
static void *ngx_http_knock_redis_object_integer(const redisReadTask *task,
    long long value);
static void *ngx_http_knock_redis_object_nil(const redisReadTask *task);
static void ngx_http_knock_redis_object_free(void *reply);

#if (HIREDIS_MAJOR >= 1)

static void *ngx_http_knock_redis_object_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_http_knock_redis_object_bool(const redisReadTask *task,
    int value);

#endif


/* hiredis takes no const */

static redisReplyObjectFunctions  ngx_http_knock_redis_objects = {
    .createString = ngx_http_knock_redis_object_string,
    .createArray = ngx_http_knock_redis_object_array,
    .createInteger = ngx_http_knock_redis_object_integer,
#if (HIREDIS_MAJOR >= 1)
    .createDouble = ngx_http_knock_redis_object_double,
    .createBool = ngx_http_knock_redis_object_bool,
#endif
    .createNil = ngx_http_knock_redis_object_nil,
    .freeObject = ngx_http_knock_redis_object_free
};


ngx_int_t
ngx_http_knock_redis_create_reader(ngx_http_knock_redis_node_t *node)
{
    redisReader  *reader;

    reader = redisReaderCreateWithFunctions(&ngx_http_knock_redis_objects);
    if (reader == NULL) {
        return NGX_ERROR;
    }

    /* of a connection before this one there may be half a reply */

    knock_arena_reset(node->replies);

    reader->privdata = node->replies;

    /* a large reply's buffer is freed as soon as it is not needed */

    reader->maxbuf = NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE;

    node->reader = reader;

    return NGX_OK;
}


static redisReply *
ngx_http_knock_redis_object(const redisReadTask *task, int type)
{
    redisReply  *reply, *parent;

    reply = knock_arena_alloc(task->privdata, sizeof(redisReply));
    if (reply == NULL) {
        return NULL;
    }

    ngx_memzero(reply, sizeof(redisReply));

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->element[task->idx] = reply;
    }

    return reply;
}


/* a string, a status or an error; with a NUL behind it */

static void *
ngx_http_knock_redis_object_string(const redisReadTask *task, char *str,
    size_t len)
{
    redisReply  *reply;

    reply = ngx_http_knock_redis_object(task, task->type);
    if (reply == NULL) {
        return NULL;
    }

    reply->str = knock_arena_alloc(task->privdata, len + 1);
    if (reply->str == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str, str, len);
    reply->str[len] = '\0';
    reply->len = len;

    return reply;
}


static void *
ngx_http_knock_redis_object_array(const redisReadTask *task,
    ngx_http_knock_redis_nelts_t n)
{
    redisReply           *reply;
    ngx_uint_t            depth;
    const redisReadTask  *outer;

    /* there is memory taken for as many elements as are announced */

    if (n > NGX_HTTP_KNOCK_REDIS_MAX_ARRAY) {
        return NULL;
    }

    depth = 1;

    for (outer = task->parent; outer; outer = outer->parent) {
        depth++;
    }

    if (depth > NGX_HTTP_KNOCK_REDIS_MAX_DEPTH) {
        return NULL;
    }

    reply = ngx_http_knock_redis_object(task, task->type);
    if (reply == NULL) {
        return NULL;
    }

    reply->element = knock_arena_alloc(task->privdata,
                                       (size_t) n * sizeof(redisReply *));
    if (reply->element == NULL) {
        return NULL;
    }

    reply->elements = (size_t) n;

    return reply;
}


static void *
ngx_http_knock_redis_object_integer(const redisReadTask *task, long long value)
{
    redisReply  *reply;

    reply = ngx_http_knock_redis_object(task, REDIS_REPLY_INTEGER);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_http_knock_redis_object_nil(const redisReadTask *task)
{
    return ngx_http_knock_redis_object(task, REDIS_REPLY_NIL);
}


static void
ngx_http_knock_redis_object_free(void *reply)
{
    /* goes with the arena */
}


#if (HIREDIS_MAJOR >= 1)

/* of another version of the protocol, which we do not ask for */

static void *
ngx_http_knock_redis_object_double(const redisReadTask *task, double value,
    char *str, size_t len)
{
    return ngx_http_knock_redis_object_string(task, str, len);
}


static void *
ngx_http_knock_redis_object_bool(const redisReadTask *task, int value)
{
    redisReply  *reply;

    reply = ngx_http_knock_redis_object(task, REDIS_REPLY_BOOL);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}

#endif
