
/*
 * Replicas that are waited for, with min_replicas=.  WAIT stands behind all
 * that is written in one turn, a turn's commands at a time: Redis does nothing
 * for a connection that waits, and so what comes meanwhile shares the next
 * WAIT.  An OK to a command that writes is held until WAIT is answered.
 *
 * WAIT waits for what its own connection has written, from Redis 7.2 on for
 * nothing else.  But a repeat may find its event applied over another one, and
 * not be on a replica yet: so there is a write in front of each WAIT.
 */

#include "ngx_http_knock_redis_internal.h"
#include "knock_keys.h"


static void ngx_http_knock_redis_touched(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_waited(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_let_go(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_status_e status, ngx_str_t *why);


ngx_int_t
ngx_http_knock_redis_set_base(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd, const knock_str_t *key)
{
    u_char       *p;
    knock_str_t   base;

    base = ngx_http_knock_redis_base(key);

    if (cmd->base_size < base.len + 1) {

        cmd->base.data = ngx_pnalloc(redis->pool, base.len + 1);
        if (cmd->base.data == NULL) {
            cmd->base_size = 0;
            return NGX_ERROR;
        }

        cmd->base_size = base.len + 1;
    }

    p = ngx_cpymem(cmd->base.data, base.data, base.len);
    *p = ':';

    cmd->base.len = base.len + 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_knock_redis_wait(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    u_char        replicas[NGX_INT_T_LEN], msec[NGX_INT_T_LEN];
    size_t        argvlen[3];
    const char   *argv[3];
    knock_str_t   key;

    if (knock_keys_make(node->replies, &cmd->base, KNOCK_KEY_REPLICATED, NULL,
                        &key)
        != KNOCK_OK)
    {
        return NGX_ERROR;
    }

    /* its slot may be on its way to another node of a cluster */

    if (cmd->asking) {
        ngx_http_knock_redis_asking(node);
    }

    argv[0] = "SET";
    argvlen[0] = sizeof("SET") - 1;

    argv[1] = (char *) key.data;
    argvlen[1] = key.len;

    argv[2] = "1";
    argvlen[2] = 1;

    if (ngx_http_knock_redis_internal(node, 3, argv, argvlen,
                                      ngx_http_knock_redis_touched)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    argv[0] = "WAIT";
    argvlen[0] = sizeof("WAIT") - 1;

    argv[1] = (char *) replicas;
    argvlen[1] = (size_t) (ngx_sprintf(replicas, "%ui",
                                       node->conf->min_replicas) - replicas);

    argv[2] = (char *) msec;
    argvlen[2] = (size_t) (ngx_sprintf(msec, "%M",
                                       node->conf->min_replicas_timeout)
                           - msec);

    if (ngx_http_knock_redis_internal(node, 3, argv, argvlen,
                                      ngx_http_knock_redis_waited)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    node->awaiting = 1;

    return NGX_OK;
}


void
ngx_http_knock_redis_hold(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply)
{
    cmd->reply = reply;

    ngx_queue_remove(&cmd->queue);
    ngx_queue_insert_tail(&node->held, &cmd->queue);
}


/* without the write nobody can say what WAIT has waited for */

static void
ngx_http_knock_redis_touched(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    if (status == NGX_HTTP_KNOCK_REDIS_ERROR
        || status == NGX_HTTP_KNOCK_REDIS_RETRY)
    {
        ngx_http_knock_redis_let_go(data, NGX_HTTP_KNOCK_REDIS_RETRY, why);
    }
}


static void
ngx_http_knock_redis_waited(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    u_char     *p;
    u_char      text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t   reason;

    switch (status) {

    case NGX_HTTP_KNOCK_REDIS_OK:
        break;

    case NGX_HTTP_KNOCK_REDIS_ERROR:
    case NGX_HTTP_KNOCK_REDIS_RETRY:
        node->awaiting = 0;
        ngx_http_knock_redis_let_go(node, NGX_HTTP_KNOCK_REDIS_RETRY, why);
        goto done;

    default:
        return;
    }

    node->awaiting = 0;

    if (reply->type == REDIS_REPLY_INTEGER
        && reply->integer >= (long long) node->conf->min_replicas)
    {
        ngx_http_knock_redis_let_go(node, NGX_HTTP_KNOCK_REDIS_OK, why);
        goto done;
    }

    p = ngx_snprintf(text, sizeof(text), "min_replicas=%ui, but after %Mms "
                     "only %L replicas have what was written; bring replicas "
                     "back, see INFO replication, or lower min_replicas=",
                     node->conf->min_replicas,
                     node->conf->min_replicas_timeout, reply->integer);

    reason.data = text;
    reason.len = (size_t) (p - text);

    if (!ngx_queue_empty(&node->held)) {
        ngx_http_knock_redis_complain(node, &node->conf->min_replicas,
                                      "does not replicate", &reason);
    }

    ngx_http_knock_redis_let_go(node, NGX_HTTP_KNOCK_REDIS_RETRY, &reason);

done:

    if (!ngx_queue_empty(&node->waiting)) {
        ngx_post_event(&node->flush, &ngx_posted_events);
    }
}


/* answers what is held: by its reply, or by why it is not to be relied on */

static void
ngx_http_knock_redis_let_go(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_status_e status, ngx_str_t *why)
{
    redisReply                      *reply;
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    while (!ngx_queue_empty(&node->held)) {

        q = ngx_queue_head(&node->held);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        reply = (status == NGX_HTTP_KNOCK_REDIS_OK) ? cmd->reply : NULL;

        ngx_http_knock_redis_done(node, cmd, status, reply, why);
    }
}
