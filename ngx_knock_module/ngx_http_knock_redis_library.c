
/*
 * The function library: loaded when Redis says that it misses it, while the
 * commands that it said so to wait to be sent again.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_RESENDS  2


static void ngx_http_knock_redis_loaded(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);


ngx_int_t
ngx_http_knock_redis_park(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    size_t       argvlen[4];
    const char  *argv[4];

    if (cmd->internal
        || node->client->library.len == 0
        || cmd->resent == NGX_HTTP_KNOCK_REDIS_RESENDS)
    {
        return NGX_DECLINED;
    }

    if (!node->loading) {

        argv[0] = "FUNCTION";
        argvlen[0] = sizeof("FUNCTION") - 1;

        argv[1] = "LOAD";
        argvlen[1] = sizeof("LOAD") - 1;

        argv[2] = "REPLACE";
        argvlen[2] = sizeof("REPLACE") - 1;

        argv[3] = (char *) node->client->library.data;
        argvlen[3] = node->client->library.len;

        if (ngx_http_knock_redis_internal(node, 4, argv, argvlen,
                                          ngx_http_knock_redis_loaded)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        node->loading = 1;
        node->stats->library_loads++;

        ngx_post_event(&node->flush, &ngx_posted_events);
    }

    cmd->resent++;

    ngx_queue_remove(&cmd->queue);
    ngx_queue_insert_tail(&node->parked, &cmd->queue);

    return NGX_OK;
}


static void
ngx_http_knock_redis_loaded(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    u_char                           text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    u_char                          *p;
    ngx_str_t                        reason;
    ngx_queue_t                      parked, *q;
    ngx_http_knock_redis_command_t  *cmd;

    node->loading = 0;

    if (status == NGX_HTTP_KNOCK_REDIS_LOST
        || status == NGX_HTTP_KNOCK_REDIS_DOWN
        || ngx_queue_empty(&node->parked))
    {
        return;
    }

    ngx_queue_init(&parked);
    ngx_queue_add(&parked, &node->parked);
    ngx_queue_init(&node->parked);

    if (status == NGX_HTTP_KNOCK_REDIS_OK) {

        ngx_log_error(NGX_LOG_NOTICE, node->cycle->log, 0,
                      "loaded the function library into Redis \"%V\"",
                      &node->server.url);

        for (q = ngx_queue_head(&parked);
             q != ngx_queue_sentinel(&parked);
             q = ngx_queue_next(q))
        {
            cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
            ngx_http_knock_redis_rewind(node->client, cmd);
        }

        /* in their order, before those that were never sent */

        if (!ngx_queue_empty(&node->waiting)) {
            ngx_queue_add(&parked, &node->waiting);
            ngx_queue_init(&node->waiting);
        }

        ngx_queue_add(&node->waiting, &parked);

        ngx_post_event(&node->flush, &ngx_posted_events);

        return;
    }

    p = ngx_snprintf(text, sizeof(text), "FUNCTION LOAD failed: %V", why);
    reason.data = text;
    reason.len = (size_t) (p - text);

    ngx_http_knock_redis_complain(node, &node->client->library,
                                  "refuses commands", &reason);

    while (!ngx_queue_empty(&parked)) {
        q = ngx_queue_head(&parked);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(node, cmd, status, reply, &reason);
    }
}
