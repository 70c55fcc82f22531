
/*
 * The nodes of a cluster, and whose a command is.
 */

#include "ngx_http_knock_redis_cluster.h"


/* for so long a node that owns no slots is kept when nobody uses it, ms */
#define NGX_HTTP_KNOCK_REDIS_CLUSTER_IDLE      1000

/* between two lines about the same, ms */
#define NGX_HTTP_KNOCK_REDIS_CLUSTER_COMPLAIN  30000


ngx_http_knock_redis_cluster_t *
ngx_http_knock_redis_cluster_create(ngx_http_knock_redis_t *redis)
{
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = ngx_pcalloc(redis->pool, sizeof(ngx_http_knock_redis_cluster_t));
    if (cluster == NULL) {
        return NULL;
    }

    cluster->owners = ngx_pcalloc(redis->pool, KNOCK_SLOTS
                                  * sizeof(ngx_http_knock_redis_node_t *));
    if (cluster->owners == NULL) {
        return NULL;
    }

    cluster->client = redis;

    /* not all the workers of all the machines ask the same one */

    cluster->seed = (ngx_uint_t) ngx_random();

    ngx_queue_init(&cluster->nodes);

    cluster->timer.handler = ngx_http_knock_redis_map_timer_handler;
    cluster->timer.data = cluster;
    cluster->timer.log = redis->cycle->log;
    cluster->timer.cancelable = 1;

    return cluster;
}


void
ngx_http_knock_redis_cluster_destroy(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    while (!ngx_queue_empty(&cluster->nodes)) {
        q = ngx_queue_head(&cluster->nodes);
        ngx_queue_remove(q);

        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);
        ngx_http_knock_redis_node_destroy(node);
    }
}


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_route(ngx_http_knock_redis_cluster_t *cluster,
    const knock_str_t *key, ngx_uint_t *slot)
{
    ngx_http_knock_redis_node_t  *node;

    if (key) {
        *slot = knock_slot(key);
        node = cluster->owners[*slot];

    } else {
        *slot = KNOCK_SLOTS;
        node = ngx_http_knock_redis_cluster_any(cluster);
    }

    return node ? node : cluster->client->node;
}


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_any(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->state == NGX_HTTP_KNOCK_REDIS_READY && !node->draining) {
            return node;
        }
    }

    return NULL;
}


const char *
ngx_http_knock_redis_cluster_unfit(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->unfit) {
            return node->unfit;
        }
    }

    return NULL;
}


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_find(ngx_http_knock_redis_cluster_t *cluster,
    const knock_str_t *host, in_port_t port)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (ngx_http_knock_redis_is_at(node, host, port)) {
            return node;
        }
    }

    return NULL;
}


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_add(ngx_http_knock_redis_cluster_t *cluster,
    ngx_http_knock_redis_server_t *server)
{
    ngx_http_knock_redis_node_t  *node;

    node = ngx_http_knock_redis_node_create(cluster->client, server);

    if (node) {
        ngx_queue_insert_tail(&cluster->nodes, &node->queue);
    }

    return node;
}


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_node(ngx_http_knock_redis_cluster_t *cluster,
    const knock_str_t *host, in_port_t port)
{
    ngx_int_t                     rc;
    ngx_str_t                     name;
    ngx_http_knock_redis_node_t  *node;

    node = ngx_http_knock_redis_cluster_find(cluster, host, port);
    if (node) {
        return node;
    }

    node = ngx_http_knock_redis_cluster_add(cluster, NULL);
    if (node == NULL) {
        return NULL;
    }

    rc = ngx_http_knock_redis_set_server(node, host, port);
    if (rc == NGX_OK) {
        return node;
    }

    ngx_queue_remove(&node->queue);
    ngx_http_knock_redis_node_destroy(node);

    if (rc == NGX_DECLINED
        && (cluster->complained_at == 0
            || ngx_current_msec - cluster->complained_at
               >= NGX_HTTP_KNOCK_REDIS_CLUSTER_COMPLAIN))
    {
        cluster->complained_at = ngx_current_msec;

        name.len = host->len;
        name.data = host->data;

        ngx_log_error(NGX_LOG_ERR, cluster->client->cycle->log, 0,
                      "the cluster calls one of its nodes \"%V\", a name, so "
                      "that it cannot be reached: put a resolver in the http "
                      "block", &name);
    }

    return NULL;
}


ngx_uint_t
ngx_http_knock_redis_cluster_away(ngx_http_knock_redis_node_t *node)
{
    return node->draining || node->backoff_timer.timer_set;
}


void
ngx_http_knock_redis_cluster_pass(ngx_http_knock_redis_node_t *from,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_node_t *to)
{
    ngx_queue_remove(&cmd->queue);
    from->in_flight--;

    /* its time there counts from here */

    ngx_http_knock_redis_rewind(to->client, cmd);
    ngx_http_knock_redis_node_queue(to, cmd);
}


ngx_uint_t
ngx_http_knock_redis_cluster_sweep(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_uint_t                    n;
    ngx_queue_t                  *q, *next;
    ngx_http_knock_redis_node_t  *node;

    n = 0;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->slots) {
            continue;
        }

        if (node->in_flight
            || (node->state != NGX_HTTP_KNOCK_REDIS_CLOSED
                && ngx_current_msec - node->active_at
                   < NGX_HTTP_KNOCK_REDIS_CLUSTER_IDLE))
        {
            n++;
            continue;
        }

        ngx_queue_remove(q);
        ngx_http_knock_redis_node_destroy(node);
    }

    return n;
}
