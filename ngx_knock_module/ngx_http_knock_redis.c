
/*
 * The client of Redis: made and ended with a worker, and what it takes of
 * commands, which are a node's business then.
 */

#include "ngx_http_knock_redis_internal.h"


static void ngx_http_knock_redis_cleanup(void *data);
static ngx_int_t ngx_http_knock_redis_accept(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t waits, const size_t *argc,
    ngx_uint_t n, const char **argv, const size_t *argvlen, ngx_uint_t answer,
    ngx_http_knock_redis_handler_pt handler, void *data);


ngx_http_knock_redis_t *
ngx_http_knock_redis_create(ngx_cycle_t *cycle,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *library)
{
    ngx_pool_t                     *pool;
    ngx_pool_cleanup_t             *cln;
    ngx_http_knock_redis_t         *redis;
    ngx_http_knock_redis_server_t  *server;

    /*
     * Without a master process a reload goes on in the same process, and the
     * cycle that conf and the log belong to may be freed under the client.
     */

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    redis = ngx_pcalloc(pool, sizeof(ngx_http_knock_redis_t));
    if (redis == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    redis->pool = pool;
    redis->conf = conf;
    redis->cycle = cycle;
    redis->cleanup = cln;
    redis->library = *library;

    ngx_queue_init(&redis->free);

    redis->buffer = ngx_palloc(pool, NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE);
    if (redis->buffer == NULL) {
        goto failed;
    }

    server = NULL;

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_SINGLE) {
        server = conf->servers.elts;
    }

    redis->node = ngx_http_knock_redis_node_create(redis, server);
    if (redis->node == NULL) {
        goto failed;
    }

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_CLUSTER) {

        server = conf->servers.elts;
        redis->node->server.url = server->url;

        redis->cluster = ngx_http_knock_redis_cluster_create(redis);
        if (redis->cluster == NULL) {
            goto failed;
        }
    }

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_SENTINEL) {

        redis->node->server.url = conf->master;

        redis->sentinel = ngx_http_knock_redis_sentinel_create(redis);
        if (redis->sentinel == NULL) {
            goto failed;
        }
    }

    cln->handler = ngx_http_knock_redis_cleanup;
    cln->data = redis;

    ngx_http_knock_redis_connect(redis->node);

    return redis;

failed:

    if (redis->node) {
        ngx_http_knock_redis_node_destroy(redis->node);
    }

    ngx_destroy_pool(pool);

    return NULL;
}


static void
ngx_http_knock_redis_cleanup(void *data)
{
    ngx_http_knock_redis_destroy(data);
}


void
ngx_http_knock_redis_destroy(ngx_http_knock_redis_t *redis)
{
    redis->destroyed = 1;
    redis->cleanup->handler = NULL;

    if (redis->sentinel) {
        ngx_http_knock_redis_sentinel_destroy(redis->sentinel);
    }

    if (redis->cluster) {
        ngx_http_knock_redis_cluster_destroy(redis->cluster);
    }

    ngx_http_knock_redis_node_destroy(redis->node);
    ngx_http_knock_redis_release_all(redis);

    ngx_destroy_pool(redis->pool);
}


const ngx_http_knock_redis_stats_t *
ngx_http_knock_redis_stats(ngx_http_knock_redis_t *redis)
{
    return &redis->stats;
}


ngx_int_t
ngx_http_knock_redis_command(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t argc, const char **argv,
    const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler, void *data)
{
    size_t  n;

    n = argc;

    return ngx_http_knock_redis_transaction(redis, key, &n, 1, argv, argvlen,
                                            0, handler, data);
}


ngx_int_t
ngx_http_knock_redis_read(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t argc, const char **argv,
    const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler, void *data)
{
    size_t  n;

    n = argc;

    return ngx_http_knock_redis_accept(redis, key, 0, &n, 1, argv, argvlen, 0,
                                       handler, data);
}


ngx_int_t
ngx_http_knock_redis_transaction(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, const size_t *argc, ngx_uint_t n,
    const char **argv, const size_t *argvlen, ngx_uint_t answer,
    ngx_http_knock_redis_handler_pt handler, void *data)
{
    return ngx_http_knock_redis_accept(redis, key,
                                       redis->conf->min_replicas != 0,
                                       argc, n, argv, argvlen, answer,
                                       handler, data);
}


static ngx_int_t
ngx_http_knock_redis_accept(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t waits, const size_t *argc,
    ngx_uint_t n, const char **argv, const size_t *argvlen, ngx_uint_t answer,
    ngx_http_knock_redis_handler_pt handler, void *data)
{
    size_t                           size, room, args;
    ngx_uint_t                       i, slot;
    ngx_http_knock_redis_node_t     *node;
    ngx_http_knock_redis_stats_t    *stats;
    ngx_http_knock_redis_command_t  *cmd;

    node = redis->node;
    slot = 0;
    stats = &redis->stats;

    if (redis->cluster) {
        node = ngx_http_knock_redis_cluster_route(redis->cluster, key, &slot);
    }

    if (redis->destroyed
        || node->draining
        || node->backoff_timer.timer_set
        || stats->in_flight >= redis->conf->max_pending)
    {
        stats->refused++;
        return NGX_BUSY;
    }

    /* asked before formatting, which takes that much memory */

    room = redis->conf->max_pending_bytes;
    size = stats->bytes;

    for (args = 0, i = 0; i < n; i++) {
        args += argc[i];
    }

    for (i = 0; i < args; i++) {

        if (size > room || argvlen[i] > room - size) {
            stats->refused++;
            return NGX_BUSY;
        }

        size += argvlen[i] + NGX_HTTP_KNOCK_REDIS_OVERHEAD;
    }

    cmd = ngx_http_knock_redis_format(redis, key, argc, n, argv, argvlen);
    if (cmd == NULL) {
        return NGX_ERROR;
    }

    /* what has no key writes nothing */

    waits = waits && key;

    if (waits && ngx_http_knock_redis_set_base(redis, cmd, key) != NGX_OK) {
        ngx_http_knock_redis_release(redis, cmd);
        return NGX_ERROR;
    }

    cmd->internal = 0;
    cmd->slot = slot;
    cmd->waits = waits ? 1 : 0;
    cmd->answer = n > 1 ? answer + 1 : answer;   /* behind the gate's */
    cmd->handler = handler;
    cmd->data = data;

    stats->commands++;
    stats->in_flight++;
    stats->bytes += cmd->len;

    ngx_http_knock_redis_node_queue(node, cmd);

    return NGX_OK;
}
