
/*
 * Replies: read, matched with the commands that were sent, told apart by what
 * an error means, and the function library that is loaded when Redis says
 * that it misses it.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_RESENDS         2
#define NGX_HTTP_KNOCK_REDIS_COMPLAIN_EVERY  30000

#define NGX_HTTP_KNOCK_REDIS_ABORTED                                         \
    "EXECABORT Transaction discarded because of: "


typedef enum {
    NGX_HTTP_KNOCK_REDIS_FAIL = 0,     /* would fail again: ERROR */
    NGX_HTTP_KNOCK_REDIS_LATER,        /* RETRY */
    NGX_HTTP_KNOCK_REDIS_RECONNECT,    /* RETRY, over another connection */
    NGX_HTTP_KNOCK_REDIS_LOAD          /* load the library, send it again */
} ngx_http_knock_redis_action_e;


typedef struct {
    ngx_str_t                      code;    /* the error starts with it */
    ngx_http_knock_redis_action_e  action;
    ngx_str_t                      hint;
} ngx_http_knock_redis_error_t;


static void ngx_http_knock_redis_bad_reply(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_reply(ngx_http_knock_redis_t *redis,
    redisReply *reply);
static void ngx_http_knock_redis_stray(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd);
static ngx_int_t ngx_http_knock_redis_fits(
    ngx_http_knock_redis_command_t *cmd, redisReply *reply);
static redisReply *ngx_http_knock_redis_part(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply,
    redisReply *refusal);
static void ngx_http_knock_redis_unwrap(redisReply *reply);
static const ngx_http_knock_redis_error_t *ngx_http_knock_redis_find_error(
    redisReply *reply);
static void ngx_http_knock_redis_complain(ngx_http_knock_redis_t *redis,
    const void *about, ngx_str_t *why);
static ngx_int_t ngx_http_knock_redis_park(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd);
static void ngx_http_knock_redis_loaded(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);


/* what an error reply means; any other one is a FAIL */

static const ngx_http_knock_redis_error_t  ngx_http_knock_redis_errors[] = {

    { ngx_string("ERR Function not found"),
      NGX_HTTP_KNOCK_REDIS_LOAD,
      ngx_string("the function library is missing") },

    { ngx_string("KNOCKLIB"),
      NGX_HTTP_KNOCK_REDIS_LOAD,
      ngx_string("the function library is of another version") },

    { ngx_string("LOADING"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("wait until Redis has read its data set") },

    { ngx_string("BUSY"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("a script runs for too long; see FUNCTION KILL and SCRIPT "
                 "KILL") },

    { ngx_string("OOM"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("raise maxmemory, or let consumers catch up") },

    { ngx_string("MISCONF"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("Redis cannot save to its disk: see its log") },

    { ngx_string("NOREPLICAS"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("bring replicas back, or lower min-replicas-to-write") },

    { ngx_string("NOPERM"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("widen the permissions of this user by ACL SETUSER") },

    { ngx_string("TRYAGAIN"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_null_string },

    { ngx_string("CLUSTERDOWN"),
      NGX_HTTP_KNOCK_REDIS_LATER,
      ngx_string("see CLUSTER INFO") },

    { ngx_string("READONLY"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("this is a replica: point knock_redis to the master") },

    { ngx_string("MASTERDOWN"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("this is a replica without its master: point knock_redis to "
                 "the master") },

    { ngx_string("NOAUTH"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("give knock_redis a password") },

    { ngx_string("WRONGPASS"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("correct the user and password of knock_redis") },

    { ngx_string("CROSSSLOT"),
      NGX_HTTP_KNOCK_REDIS_FAIL,
      ngx_null_string },

    { ngx_string("MOVED"),
      NGX_HTTP_KNOCK_REDIS_FAIL,
      ngx_string("this is a node of a cluster, which needs mode=cluster") },

    { ngx_string("ASK"),
      NGX_HTTP_KNOCK_REDIS_FAIL,
      ngx_string("this is a node of a cluster, which needs mode=cluster") },

    { ngx_string("ERR unknown command"),
      NGX_HTTP_KNOCK_REDIS_FAIL,
      ngx_string("Redis 7.0 or later is needed") }
};


void
ngx_http_knock_redis_read_handler(ngx_event_t *rev)
{
    ssize_t                  n;
    redisReply              *reply;
    ngx_connection_t        *c;
    ngx_http_knock_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    if (c->close) {

        /* idle at a graceful shutdown, or worker_shutdown_timeout is over */

        ngx_http_knock_redis_close(redis);
        ngx_http_knock_redis_drop_all(redis,
                                      ngx_http_knock_redis_why(redis,
                                                  "the worker is exiting"));
        return;
    }

    do {
        n = c->recv(c, redis->buffer, NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0) {
            ngx_http_knock_redis_fail(redis, 0,
                                      "the connection was closed by Redis; "
                                      "check that redis-server runs");
            return;
        }

        if (n == NGX_ERROR) {
            ngx_http_knock_redis_fail(redis, ngx_socket_errno,
                                      "reading from Redis failed");
            return;
        }

        (void) redisReaderFeed(redis->reader, (char *) redis->buffer,
                               (size_t) n);

        for ( ;; ) {

            if (redisReaderGetReply(redis->reader, (void **) &reply)
                != REDIS_OK)
            {
                ngx_http_knock_redis_bad_reply(redis);
                return;
            }

            if (reply == NULL) {
                break;
            }

            /* from 1.0 on hiredis reads RESP3 too, which nobody asks for */

            if (reply->type > REDIS_REPLY_ERROR) {
                ngx_http_knock_redis_fail(redis, 0,
                                          "what came is no reply of Redis: a "
                                          "type of RESP3 (%d); check what "
                                          "listens there", reply->type);
                return;
            }

            ngx_http_knock_redis_reply(redis, reply);
            knock_arena_reset(redis->replies);

            if (redis->connection == NULL) {
                return;
            }
        }

        if (redis->reader->len > NGX_HTTP_KNOCK_REDIS_MAX_STRING) {
            ngx_http_knock_redis_fail(redis, 0, "a reply is too large");
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_knock_redis_fail(redis, 0, "no event for the connection");
        return;
    }

    ngx_http_knock_redis_settle(redis);
}


static void
ngx_http_knock_redis_bad_reply(ngx_http_knock_redis_t *redis)
{
    if (redis->reader->err == REDIS_ERR_OOM) {
        ngx_http_knock_redis_fail(redis, 0, "a reply is too large");
        return;
    }

    ngx_http_knock_redis_fail(redis, 0,
                              "what came is no reply of Redis: %s; check what "
                              "listens there", redis->reader->errstr);
}


static void
ngx_http_knock_redis_reply(ngx_http_knock_redis_t *redis, redisReply *reply)
{
    u_char                               text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t                            why;
    redisReply                           refusal;
    ngx_queue_t                         *q;
    ngx_http_knock_redis_status_e        status;
    ngx_http_knock_redis_command_t      *cmd;
    const ngx_http_knock_redis_error_t  *error;

    cmd = NULL;

    if (!ngx_queue_empty(&redis->sent)) {
        q = ngx_queue_head(&redis->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
    }

    /* nor can there be the last reply to what is not written to its end */

    if (cmd == NULL
        || (cmd->buf.pos < cmd->buf.last && cmd->part + 1 == cmd->parts))
    {
        ngx_http_knock_redis_stray(redis, cmd);
        return;
    }

    redis->active_at = ngx_current_msec;

    if (cmd->parts > 1) {

        if (!ngx_http_knock_redis_fits(cmd, reply)) {
            ngx_http_knock_redis_stray(redis, cmd);
            return;
        }

        reply = ngx_http_knock_redis_part(redis, cmd, reply, &refusal);

        if (reply == NULL) {
            return;
        }
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        ngx_str_null(&why);
        ngx_http_knock_redis_done(redis, cmd, NGX_HTTP_KNOCK_REDIS_OK, reply,
                                  &why);
        return;
    }

    ngx_http_knock_redis_unwrap(reply);

    error = ngx_http_knock_redis_find_error(reply);

    if (error && error->action == NGX_HTTP_KNOCK_REDIS_LOAD
        && ngx_http_knock_redis_park(redis, cmd) == NGX_OK)
    {
        return;
    }

    if (error && error->hint.len) {
        ngx_http_knock_redis_why(redis, "%*s (%V)", (size_t) reply->len,
                                 reply->str, &error->hint);

    } else {
        ngx_http_knock_redis_why(redis, "%*s", (size_t) reply->len,
                                 reply->str);
    }

    /* a copy, as the handler may have the client say something else */

    why.len = redis->why.len;
    why.data = text;
    ngx_memcpy(text, redis->why.data, why.len);

    status = NGX_HTTP_KNOCK_REDIS_ERROR;

    if (error && (error->action == NGX_HTTP_KNOCK_REDIS_LATER
                  || error->action == NGX_HTTP_KNOCK_REDIS_RECONNECT))
    {
        status = NGX_HTTP_KNOCK_REDIS_RETRY;
        ngx_http_knock_redis_complain(redis, error, &why);
    }

    ngx_http_knock_redis_done(redis, cmd, status, reply, &why);

    if (redis->state == NGX_HTTP_KNOCK_REDIS_READY
        && error && error->action == NGX_HTTP_KNOCK_REDIS_RECONNECT)
    {
        /* replies that are on their way are waited for, then it is closed */

        ngx_http_knock_redis_why(redis, "%V", &why);
        redis->draining = 1;
    }
}


static void
ngx_http_knock_redis_stray(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    redis->stats.strays++;

    if (cmd && cmd->parts > 1 && cmd->refused.len) {
        ngx_http_knock_redis_fail(redis, 0,
                                  "what was to be done together was done one "
                                  "by one, as Redis said \"%V\"",
                                  &cmd->refused);
        return;
    }

    ngx_http_knock_redis_fail(redis, 0,
                              "a reply came that was not asked for; check "
                              "what listens there");
}


/*
 * Whether this can be the next reply to a transaction: +OK, +QUEUED and in the
 * end a reply to each command between MULTI and EXEC, or an error in place of
 * any of them.  With one too many all later ones would be mistaken.
 */

static ngx_int_t
ngx_http_knock_redis_fits(ngx_http_knock_redis_command_t *cmd,
    redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        return 1;
    }

    if (cmd->part + 1 < cmd->parts) {
        return reply->type == REDIS_REPLY_STATUS;
    }

    return reply->type == REDIS_REPLY_ARRAY
           && reply->elements == cmd->parts - 2;
}


/*
 * The reply that answers a transaction, or NULL: others are to come.  What
 * Redis says against one of its commands stands in the reply to that one, or
 * in its place in the reply to EXEC.
 */

static redisReply *
ngx_http_knock_redis_part(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply,
    redisReply *refusal)
{
    size_t  i, len;

    if (++cmd->part < cmd->parts) {

        if (reply->type != REDIS_REPLY_ERROR || cmd->refused.len) {
            return NULL;
        }

        len = ngx_min((size_t) reply->len, NGX_HTTP_KNOCK_REDIS_WHY_SIZE);

        if (cmd->refused.data == NULL) {
            cmd->refused.data = ngx_pnalloc(redis->pool,
                                            NGX_HTTP_KNOCK_REDIS_WHY_SIZE);
            if (cmd->refused.data == NULL) {
                return NULL;
            }
        }

        ngx_memcpy(cmd->refused.data, reply->str, len);
        cmd->refused.len = len;

        return NULL;
    }

    if (cmd->refused.len) {
        ngx_memzero(refusal, sizeof(redisReply));

        refusal->type = REDIS_REPLY_ERROR;
        refusal->str = (char *) cmd->refused.data;
        refusal->len = cmd->refused.len;

        return refusal;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        return reply;
    }

    for (i = 0; i < cmd->answer; i++) {
        if (reply->element[i]->type == REDIS_REPLY_ERROR) {
            return reply->element[i];
        }
    }

    return reply->element[cmd->answer];
}


/*
 * What Redis has against EXEC itself, as memory ran out or it has become a
 * replica since the commands were queued, stands behind words of EXEC's own.
 */

static void
ngx_http_knock_redis_unwrap(redisReply *reply)
{
    size_t  len;

    len = sizeof(NGX_HTTP_KNOCK_REDIS_ABORTED) - 1;

    if ((size_t) reply->len > len
        && ngx_memcmp(reply->str, NGX_HTTP_KNOCK_REDIS_ABORTED, len) == 0)
    {
        reply->str += len;
        reply->len -= len;
    }
}


static const ngx_http_knock_redis_error_t *
ngx_http_knock_redis_find_error(redisReply *reply)
{
    size_t                               len, n;
    ngx_uint_t                           i;
    const ngx_http_knock_redis_error_t  *error;

    len = reply->len;

    for (i = 0;
         i < sizeof(ngx_http_knock_redis_errors)
             / sizeof(ngx_http_knock_redis_errors[0]);
         i++)
    {
        error = &ngx_http_knock_redis_errors[i];
        n = error->code.len;

        if (len >= n
            && ngx_memcmp(reply->str, error->code.data, n) == 0
            && (len == n || reply->str[n] == ' '))
        {
            return error;
        }
    }

    return NULL;
}


/* what makes each command fail for a while is logged now and then only */

static void
ngx_http_knock_redis_complain(ngx_http_knock_redis_t *redis,
    const void *about, ngx_str_t *why)
{
    if (redis->complaint == about
        && ngx_current_msec - redis->complained_at
           < NGX_HTTP_KNOCK_REDIS_COMPLAIN_EVERY)
    {
        return;
    }

    redis->complaint = about;
    redis->complained_at = ngx_current_msec;

    ngx_log_error(NGX_LOG_ERR, redis->cycle->log, 0,
                  "Redis \"%V\" refuses commands: %V", &redis->conf->url, why);
}


/* sets a command aside until the library is loaded, unless it was in vain */

static ngx_int_t
ngx_http_knock_redis_park(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    size_t       argvlen[4];
    const char  *argv[4];

    if (cmd->internal
        || redis->library.len == 0
        || cmd->resent == NGX_HTTP_KNOCK_REDIS_RESENDS)
    {
        return NGX_DECLINED;
    }

    if (!redis->loading) {

        argv[0] = "FUNCTION";
        argvlen[0] = sizeof("FUNCTION") - 1;

        argv[1] = "LOAD";
        argvlen[1] = sizeof("LOAD") - 1;

        argv[2] = "REPLACE";
        argvlen[2] = sizeof("REPLACE") - 1;

        argv[3] = (char *) redis->library.data;
        argvlen[3] = redis->library.len;

        if (ngx_http_knock_redis_internal(redis, 4, argv, argvlen,
                                          ngx_http_knock_redis_loaded)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        redis->loading = 1;
        redis->stats.library_loads++;

        ngx_post_event(&redis->flush, &ngx_posted_events);
    }

    cmd->resent++;

    ngx_queue_remove(&cmd->queue);
    ngx_queue_insert_tail(&redis->parked, &cmd->queue);

    return NGX_OK;
}


static void
ngx_http_knock_redis_loaded(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_t *redis = data;

    u_char                           text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    u_char                          *p;
    ngx_str_t                        reason;
    ngx_queue_t                      parked, *q;
    ngx_http_knock_redis_command_t  *cmd;

    redis->loading = 0;

    if (status == NGX_HTTP_KNOCK_REDIS_LOST
        || status == NGX_HTTP_KNOCK_REDIS_DOWN
        || ngx_queue_empty(&redis->parked))
    {
        return;
    }

    ngx_queue_init(&parked);
    ngx_queue_add(&parked, &redis->parked);
    ngx_queue_init(&redis->parked);

    if (status == NGX_HTTP_KNOCK_REDIS_OK) {

        ngx_log_error(NGX_LOG_NOTICE, redis->cycle->log, 0,
                      "loaded the function library into Redis \"%V\"",
                      &redis->conf->url);

        for (q = ngx_queue_head(&parked);
             q != ngx_queue_sentinel(&parked);
             q = ngx_queue_next(q))
        {
            cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
            ngx_http_knock_redis_rewind(redis, cmd);
        }

        /* in their order, before those that were never sent */

        if (!ngx_queue_empty(&redis->waiting)) {
            ngx_queue_add(&parked, &redis->waiting);
            ngx_queue_init(&redis->waiting);
        }

        ngx_queue_add(&redis->waiting, &parked);

        ngx_post_event(&redis->flush, &ngx_posted_events);

        return;
    }

    p = ngx_snprintf(text, sizeof(text), "FUNCTION LOAD failed: %V", why);
    reason.data = text;
    reason.len = (size_t) (p - text);

    ngx_http_knock_redis_complain(redis, &redis->library, &reason);

    while (!ngx_queue_empty(&parked)) {
        q = ngx_queue_head(&parked);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(redis, cmd, status, reply, &reason);
    }
}
