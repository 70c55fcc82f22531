
/*
 * Replies: read, matched with the commands that were sent, told apart by what
 * an error means.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_COMPLAIN_EVERY  30000

/* what Redis says before it closes; it has read no more than the length */
#define NGX_HTTP_KNOCK_REDIS_TOO_LONG_SAID                                   \
    "ERR Protocol error: invalid bulk length"

#define NGX_HTTP_KNOCK_REDIS_ABORTED                                         \
    "EXECABORT Transaction discarded because of: "


typedef enum {
    NGX_HTTP_KNOCK_REDIS_FAIL = 0,     /* would fail again: ERROR */
    NGX_HTTP_KNOCK_REDIS_LATER,        /* RETRY */
    NGX_HTTP_KNOCK_REDIS_RECONNECT,    /* RETRY, over another connection */
    NGX_HTTP_KNOCK_REDIS_REMAP,        /* RETRY, with another map of slots */
    NGX_HTTP_KNOCK_REDIS_REDIRECT,     /* send it again to another node */
    NGX_HTTP_KNOCK_REDIS_LOAD          /* load the library, send it again */
} ngx_http_knock_redis_action_e;


typedef struct {
    ngx_str_t                      code;    /* the error starts with it */
    ngx_http_knock_redis_action_e  action;
    ngx_str_t                      hint;
} ngx_http_knock_redis_error_t;


static void ngx_http_knock_redis_bad_reply(ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_reply(ngx_http_knock_redis_node_t *node,
    redisReply *reply);
static void ngx_http_knock_redis_stray(ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_said_too_long(
    ngx_http_knock_redis_node_t *node, ngx_http_knock_redis_command_t *cmd);
static ngx_int_t ngx_http_knock_redis_fits(
    ngx_http_knock_redis_command_t *cmd, redisReply *reply);
static redisReply *ngx_http_knock_redis_part(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply,
    redisReply *refusal);
static void ngx_http_knock_redis_unwrap(redisReply *reply);
static const ngx_http_knock_redis_error_t *ngx_http_knock_redis_find_error(
    redisReply *reply);


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
      ngx_string("its slot is being moved, and its keys are on both sides") },

    { ngx_string("CLUSTERDOWN"),
      NGX_HTTP_KNOCK_REDIS_REMAP,
      ngx_string("see CLUSTER INFO") },

    { ngx_string("READONLY"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("this is a replica: without mode=sentinel point knock_redis "
                 "to the master") },

    { ngx_string("MASTERDOWN"),
      NGX_HTTP_KNOCK_REDIS_RECONNECT,
      ngx_string("this is a replica without its master: without "
                 "mode=sentinel point knock_redis to the master") },

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
      NGX_HTTP_KNOCK_REDIS_REDIRECT,
      ngx_string("this is a node of a cluster, which needs mode=cluster") },

    { ngx_string("ASK"),
      NGX_HTTP_KNOCK_REDIS_REDIRECT,
      ngx_string("this is a node of a cluster, which needs mode=cluster") },

    { ngx_string("ERR unknown command"),
      NGX_HTTP_KNOCK_REDIS_FAIL,
      ngx_string("Redis 7.0 or later is needed, with all of its commands") }
};


static const ngx_http_knock_redis_error_t  ngx_http_knock_redis_astray = {
    ngx_null_string,
    NGX_HTTP_KNOCK_REDIS_LATER,
    ngx_string("it cannot be sent there, or was sent round: see CLUSTER SLOTS")
};


void
ngx_http_knock_redis_read_handler(ngx_event_t *rev)
{
    ssize_t                       n;
    redisReply                   *reply;
    ngx_connection_t             *c;
    ngx_http_knock_redis_node_t  *node;

    c = rev->data;
    node = c->data;

    if (c->close) {

        /* idle at a graceful shutdown, or worker_shutdown_timeout is over */

        ngx_http_knock_redis_close(node);
        ngx_http_knock_redis_drop_all(node,
                                      ngx_http_knock_redis_why(node,
                                                  "the worker is exiting"));
        return;
    }

    do {
        n = c->recv(c, node->client->buffer, NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0) {
            ngx_http_knock_redis_fail(node, 0,
                                      "the connection was closed by Redis; "
                                      "check that %s runs",
                                      ngx_http_knock_redis_program(node));
            return;
        }

        if (n == NGX_ERROR) {
            ngx_http_knock_redis_fail(node, ngx_socket_errno,
                                      "reading from Redis failed");
            return;
        }

        (void) redisReaderFeed(node->reader, (char *) node->client->buffer,
                               (size_t) n);

        for ( ;; ) {

            if (redisReaderGetReply(node->reader, (void **) &reply)
                != REDIS_OK)
            {
                ngx_http_knock_redis_bad_reply(node);
                return;
            }

            if (reply == NULL) {
                break;
            }

            /* from 1.0 on hiredis reads RESP3 too, which nobody asks for */

            if (reply->type > REDIS_REPLY_ERROR) {
                ngx_http_knock_redis_fail(node, 0,
                                          "what came is no reply of Redis: a "
                                          "type of RESP3 (%d); check what "
                                          "listens there", reply->type);
                return;
            }

            ngx_http_knock_redis_reply(node, reply);

            if (ngx_queue_empty(&node->held)) {
                knock_arena_reset(node->replies);
            }

            if (node->connection == NULL) {
                return;
            }
        }

        if (node->reader->len > NGX_HTTP_KNOCK_REDIS_MAX_STRING) {
            ngx_http_knock_redis_fail(node, 0, "a reply is too large");
            return;
        }

    } while (rev->ready);

    if (c->write->error) {
        ngx_http_knock_redis_fail(node, 0, "writing to Redis failed");
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_knock_redis_fail(node, 0, "no event for the connection");
        return;
    }

    ngx_http_knock_redis_settle(node);
}


static void
ngx_http_knock_redis_bad_reply(ngx_http_knock_redis_node_t *node)
{
    if (node->reader->err == REDIS_ERR_OOM) {
        ngx_http_knock_redis_fail(node, 0, "a reply is too large");
        return;
    }

    ngx_http_knock_redis_fail(node, 0,
                              "what came is no reply of Redis: %s; check what "
                              "listens there", node->reader->errstr);
}


static void
ngx_http_knock_redis_reply(ngx_http_knock_redis_node_t *node,
    redisReply *reply)
{
    u_char                               text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t                            why;
    redisReply                           refusal;
    ngx_queue_t                         *q;
    ngx_http_knock_redis_status_e        status;
    ngx_http_knock_redis_command_t      *cmd;
    const ngx_http_knock_redis_error_t  *error;

    cmd = NULL;

    if (!ngx_queue_empty(&node->sent)) {
        q = ngx_queue_head(&node->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
    }

    /* nor can there be the last reply to what is not written to its end */

    if (cmd && reply->type == REDIS_REPLY_ERROR
        && ngx_strcmp(reply->str, NGX_HTTP_KNOCK_REDIS_TOO_LONG_SAID) == 0)
    {
        ngx_http_knock_redis_said_too_long(node, cmd);
        return;
    }

    if (cmd == NULL
        || (cmd->buf.pos < cmd->buf.last && cmd->part + 1 == cmd->parts))
    {
        ngx_http_knock_redis_stray(node);
        return;
    }

    node->active_at = ngx_current_msec;

    if (cmd->parts > 1) {

        if (!ngx_http_knock_redis_fits(cmd, reply)) {
            ngx_http_knock_redis_stray(node);
            return;
        }

        if (cmd->part == 0 && reply->type == REDIS_REPLY_ERROR) {

            /* Redis stands at the gate behind MULTI, and goes no further */

            ngx_http_knock_redis_fail(node, 0,
                                      "MULTI was refused, by \"%*s\", so that "
                                      "nothing of what came behind it was "
                                      "done; widen the permissions of this "
                                      "user by ACL SETUSER",
                                      (size_t) reply->len, reply->str);
            return;
        }

        reply = ngx_http_knock_redis_part(node, cmd, reply, &refusal);

        if (reply == NULL) {
            return;
        }
    }

    if (reply->type != REDIS_REPLY_ERROR) {

        if (cmd->waits) {
            ngx_http_knock_redis_hold(node, cmd, reply);
            return;
        }

        ngx_str_null(&why);
        ngx_http_knock_redis_done(node, cmd, NGX_HTTP_KNOCK_REDIS_OK, reply,
                                  &why);
        return;
    }

    ngx_http_knock_redis_unwrap(reply);

    error = ngx_http_knock_redis_find_error(reply);

    if (error && error->action == NGX_HTTP_KNOCK_REDIS_LOAD
        && ngx_http_knock_redis_park(node, cmd) == NGX_OK)
    {
        return;
    }

    if (error && node->client->cluster) {

        switch (error->action) {

        case NGX_HTTP_KNOCK_REDIS_REDIRECT:

            if (ngx_http_knock_redis_redirect(node, cmd, reply) == NGX_OK) {
                return;
            }

            /* one of the client's own goes with another, which says it */

            error = cmd->internal ? NULL : &ngx_http_knock_redis_astray;
            break;

        case NGX_HTTP_KNOCK_REDIS_REMAP:
            ngx_http_knock_redis_map_refresh(node->client->cluster);
            break;

        default:
            break;
        }
    }

    if (error && error->hint.len) {
        ngx_http_knock_redis_why(node, "%*s (%V)", (size_t) reply->len,
                                 reply->str, &error->hint);

    } else if (error) {
        ngx_http_knock_redis_why(node, "%*s", (size_t) reply->len,
                                 reply->str);

    } else {
        ngx_http_knock_redis_why(node, "%*s (see whether FUNCTION LIST has "
                                 "the module's library, and whether another "
                                 "program writes to its keys)",
                                 (size_t) reply->len, reply->str);
    }

    /* a copy, as the handler may have the client say something else */

    why.len = node->why.len;
    why.data = text;
    ngx_memcpy(text, node->why.data, why.len);

    status = NGX_HTTP_KNOCK_REDIS_ERROR;

    if (error && (error->action == NGX_HTTP_KNOCK_REDIS_LATER
                  || error->action == NGX_HTTP_KNOCK_REDIS_RECONNECT
                  || error->action == NGX_HTTP_KNOCK_REDIS_REMAP))
    {
        status = NGX_HTTP_KNOCK_REDIS_RETRY;

        if (!cmd->question
            || error->action == NGX_HTTP_KNOCK_REDIS_RECONNECT)
        {
            ngx_http_knock_redis_complain(node, error, "refuses commands",
                                          &why);
        }
    }

    ngx_http_knock_redis_done(node, cmd, status, reply, &why);

    if (node->state == NGX_HTTP_KNOCK_REDIS_READY
        && error && error->action == NGX_HTTP_KNOCK_REDIS_RECONNECT)
    {
        /* replies that are on their way are waited for, then it is closed */

        ngx_http_knock_redis_why(node, "%V", &why);
        node->draining = 1;
    }
}


static void
ngx_http_knock_redis_stray(ngx_http_knock_redis_node_t *node)
{
    node->stats->strays++;

    ngx_http_knock_redis_fail(node, 0,
                              "a reply came that was not asked for; check "
                              "what listens there");
}


/*
 * It may not tell its limits, but that it has one is known from now on: such a
 * command does not take the others with it again.
 */

static void
ngx_http_knock_redis_said_too_long(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    if (node->max_arg == 0 || node->max_arg >= cmd->longest) {
        node->max_arg = cmd->longest - 1;
    }

    ngx_http_knock_redis_fail(node, 0,
                              "it takes no argument of %uz bytes; raise its "
                              "proto-max-bulk-len", cmd->longest);
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
ngx_http_knock_redis_part(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply,
    redisReply *refusal)
{
    size_t  i;

    if (cmd->part == 0) {
        node->refused.len = 0;
    }

    if (++cmd->part < cmd->parts) {

        if (reply->type == REDIS_REPLY_ERROR && node->refused.len == 0) {

            node->refused.len = ngx_min((size_t) reply->len,
                                        NGX_HTTP_KNOCK_REDIS_WHY_SIZE);
            ngx_memcpy(node->refused.data, reply->str, node->refused.len);
        }

        return NULL;
    }

    if (node->refused.len) {
        ngx_memzero(refusal, sizeof(redisReply));

        refusal->type = REDIS_REPLY_ERROR;
        refusal->str = (char *) node->refused.data;
        refusal->len = node->refused.len;

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

void
ngx_http_knock_redis_complain(ngx_http_knock_redis_node_t *node,
    const void *about, const char *what, ngx_str_t *why)
{
    if (node->is_sentinel) {
        return;
    }

    if (node->complaint == about
        && ngx_current_msec - node->complained_at
           < NGX_HTTP_KNOCK_REDIS_COMPLAIN_EVERY)
    {
        return;
    }

    node->complaint = about;
    node->complained_at = ngx_current_msec;

    ngx_log_error(NGX_LOG_ERR, node->cycle->log, 0,
                  "Redis \"%V\" %s: %V", &node->server.url, what, why);
}
