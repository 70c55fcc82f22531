
/*
 * The map of a cluster's slots: when it is asked for, whom, and what a new one
 * changes.
 *
 * It is asked for at the start, and again whenever something shows that it is
 * not true any more: a redirect, a node that is lost, CLUSTERDOWN.  Any node
 * will do; as long as none can be reached, the servers of knock_redis are
 * tried in turn.  While a node that owns slots is away, the map is asked for
 * now and then, so that its replica is found when it has taken over.
 */

#include "ngx_http_knock_redis_cluster.h"


/* between two maps, ms */
#define NGX_HTTP_KNOCK_REDIS_MAP_LEAST  100

/* the same, while a node is away that owns slots */
#define NGX_HTTP_KNOCK_REDIS_MAP_AWAY   250

/* between two looks for nodes that nobody needs any more, ms */
#define NGX_HTTP_KNOCK_REDIS_MAP_SWEEP  1000


static void ngx_http_knock_redis_map_step(
    ngx_http_knock_redis_cluster_t *cluster);
static ngx_uint_t ngx_http_knock_redis_map_known(
    ngx_http_knock_redis_cluster_t *cluster);
static ngx_uint_t ngx_http_knock_redis_map_closed(
    ngx_http_knock_redis_cluster_t *cluster);
static ngx_uint_t ngx_http_knock_redis_map_seed(
    ngx_http_knock_redis_cluster_t *cluster);
static ngx_int_t ngx_http_knock_redis_map_question(
    ngx_http_knock_redis_cluster_t *cluster,
    ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_map_answer(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_map_taken(
    ngx_http_knock_redis_cluster_t *cluster);
static void ngx_http_knock_redis_map_hand_on(
    ngx_http_knock_redis_cluster_t *cluster);
static void ngx_http_knock_redis_map_look_after(
    ngx_http_knock_redis_cluster_t *cluster);
static void ngx_http_knock_redis_map_wake(
    ngx_http_knock_redis_cluster_t *cluster, ngx_msec_t delay);


void
ngx_http_knock_redis_map_ask(ngx_http_knock_redis_cluster_t *cluster)
{
    cluster->attempt++;
    cluster->seeds = 0;
    cluster->asked = NULL;

    ngx_http_knock_redis_map_step(cluster);
}


/* asks the next one, or waits for its connection, or gives up */

static void
ngx_http_knock_redis_map_step(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_http_knock_redis_node_t  *node;

    if (ngx_http_knock_redis_map_known(cluster)
        || ngx_http_knock_redis_map_closed(cluster)
        || ngx_http_knock_redis_map_seed(cluster))
    {
        return;
    }

    node = cluster->client->node;

    ngx_http_knock_redis_fail(node, 0,
                              "no node of the cluster says which one serves "
                              "which keys, the last one because: %V",
                              &node->why);
}


/* whether one of the nodes is asked now, or will be when it is connected */

static ngx_uint_t
ngx_http_knock_redis_map_known(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_uint_t                    coming;
    ngx_queue_t                  *q, *next;
    ngx_http_knock_redis_node_t  *node;

    coming = 0;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->attempt == cluster->attempt
            || node->state == NGX_HTTP_KNOCK_REDIS_CLOSED)
        {
            continue;
        }

        if (node->state != NGX_HTTP_KNOCK_REDIS_READY || node->draining) {
            coming = 1;
            continue;
        }

        if (ngx_http_knock_redis_map_question(cluster, node) == NGX_OK) {

            /* another one the next time: this one may be behind */

            ngx_queue_remove(q);
            ngx_queue_insert_tail(&cluster->nodes, q);

            return 1;
        }
    }

    return coming;
}


/* whether a node that is not connected is being connected to */

static ngx_uint_t
ngx_http_knock_redis_map_closed(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->attempt != cluster->attempt
            && node->state == NGX_HTTP_KNOCK_REDIS_CLOSED)
        {
            ngx_http_knock_redis_hurry(node);
            return 1;
        }
    }

    return 0;
}


/* the same of the servers of knock_redis */

static ngx_uint_t
ngx_http_knock_redis_map_seed(ngx_http_knock_redis_cluster_t *cluster)
{
    knock_str_t                     host;
    ngx_array_t                    *servers;
    ngx_http_knock_redis_node_t    *node;
    ngx_http_knock_redis_server_t  *server;

    servers = &cluster->client->conf->servers;

    while (cluster->seeds < servers->nelts) {

        server = servers->elts;
        server += cluster->seed % servers->nelts;

        cluster->seed++;
        cluster->seeds++;

        host.len = server->host.len;
        host.data = server->host.data;

        node = ngx_http_knock_redis_cluster_find(cluster, &host, server->port);

        if (node == NULL) {
            node = ngx_http_knock_redis_cluster_add(cluster, server);
        }

        if (node == NULL || node->attempt == cluster->attempt) {
            continue;
        }

        ngx_http_knock_redis_hurry(node);

        return 1;
    }

    return 0;
}


static ngx_int_t
ngx_http_knock_redis_map_question(ngx_http_knock_redis_cluster_t *cluster,
    ngx_http_knock_redis_node_t *node)
{
    static const char       *argv[] = { "CLUSTER", "SLOTS" };
    static const size_t      argvlen[] = { sizeof("CLUSTER") - 1,
                                           sizeof("SLOTS") - 1 };

    node->attempt = cluster->attempt;

    if (ngx_http_knock_redis_internal(node, 2, argv, argvlen,
                                      ngx_http_knock_redis_map_answer)
        != NGX_OK)
    {
        ngx_http_knock_redis_why(cluster->client->node,
                                 "there is no memory to ask it");
        return NGX_ERROR;
    }

    cluster->asked = node;
    cluster->stale = 0;

    /* it may be in the middle of a read, so it is written from outside */

    ngx_post_event(&node->flush, &ngx_posted_events);

    /* if it stands still, there are others */

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    ngx_add_timer(&cluster->timer, node->conf->connect_timeout);

    return NGX_OK;
}


static void
ngx_http_knock_redis_map_answer(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    ngx_http_knock_redis_node_t     *lobby;
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = node->client->cluster;
    lobby = node->client->node;

    /* too late, or lost: then it is known already */

    if (cluster->asked != node
        || lobby->state != NGX_HTTP_KNOCK_REDIS_ASKING
        || status == NGX_HTTP_KNOCK_REDIS_LOST
        || status == NGX_HTTP_KNOCK_REDIS_DOWN)
    {
        return;
    }

    cluster->asked = NULL;

    if (status != NGX_HTTP_KNOCK_REDIS_OK) {
        ngx_http_knock_redis_why(lobby, "%V said to CLUSTER SLOTS \"%V\"",
                                 &node->server.url, why);

    } else if (ngx_http_knock_redis_slots_take(cluster, node, reply)
               != NGX_OK)
    {
        ngx_http_knock_redis_why(lobby,
                                 "what %V said to CLUSTER SLOTS is no map of "
                                 "a cluster", &node->server.url);

    } else {
        ngx_http_knock_redis_map_taken(cluster);
        return;
    }

    ngx_http_knock_redis_map_wake(cluster, 1);
}


static void
ngx_http_knock_redis_map_taken(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_http_knock_redis_node_t  *lobby;

    lobby = cluster->client->node;

    cluster->mapped_at = ngx_current_msec;

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    ngx_http_knock_redis_map_hand_on(cluster);

    if (cluster->owned < KNOCK_SLOTS) {
        ngx_http_knock_redis_fail(lobby, 0,
                                  "no node that can be reached serves %ui of "
                                  "the %d slots of the cluster; see CLUSTER "
                                  "SLOTS", KNOCK_SLOTS - cluster->owned,
                                  KNOCK_SLOTS);

    } else {

        if (lobby->outage) {
            lobby->outage = 0;

            ngx_log_error(NGX_LOG_INFO, lobby->cycle->log, 0,
                          "all slots of the cluster are served again");
        }

        lobby->failed = 0;
        ngx_http_knock_redis_close(lobby);
    }

    ngx_http_knock_redis_map_look_after(cluster);
}


/* sends what has waited for the map; what is left has no node */

static void
ngx_http_knock_redis_map_hand_on(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_uint_t                       slot;
    ngx_queue_t                      waiting, *q;
    ngx_http_knock_redis_node_t     *node, *lobby;
    ngx_http_knock_redis_command_t  *cmd;

    lobby = cluster->client->node;

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&lobby->waiting)) {
        ngx_queue_add(&waiting, &lobby->waiting);
        ngx_queue_init(&lobby->waiting);
    }

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        slot = cmd->slot;
        node = slot < KNOCK_SLOTS ? cluster->owners[slot]
                                  : ngx_http_knock_redis_cluster_any(cluster);

        if (node == NULL) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&lobby->waiting, q);

        } else if (ngx_http_knock_redis_cluster_away(node)) {
            ngx_http_knock_redis_done(lobby, cmd, NGX_HTTP_KNOCK_REDIS_DOWN,
                                      NULL, &node->why);

        } else {
            ngx_http_knock_redis_cluster_pass(lobby, cmd, node);
        }
    }
}


/* what the new map has left to do */

static void
ngx_http_knock_redis_map_look_after(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_queue_t                  *q;
    ngx_http_knock_redis_node_t  *node;

    if (cluster->stale) {
        ngx_http_knock_redis_map_refresh(cluster);
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_knock_redis_node_t, queue);

        if (node->slots == 0) {
            ngx_http_knock_redis_map_wake(cluster,
                                          NGX_HTTP_KNOCK_REDIS_MAP_SWEEP);

        } else if (node->outage) {
            cluster->stale = 1;
            ngx_http_knock_redis_map_wake(cluster,
                                          NGX_HTTP_KNOCK_REDIS_MAP_AWAY);
        }
    }
}


void
ngx_http_knock_redis_map_refresh(ngx_http_knock_redis_cluster_t *cluster)
{
    ngx_msec_t  delay, passed;

    cluster->stale = 1;

    if (cluster->client->node->state == NGX_HTTP_KNOCK_REDIS_ASKING) {
        return;
    }

    delay = 1;
    passed = ngx_current_msec - cluster->mapped_at;

    if (passed < NGX_HTTP_KNOCK_REDIS_MAP_LEAST) {
        delay = NGX_HTTP_KNOCK_REDIS_MAP_LEAST - passed;
    }

    ngx_http_knock_redis_map_wake(cluster, delay);
}


void
ngx_http_knock_redis_map_ready(ngx_http_knock_redis_node_t *node)
{
    ngx_http_knock_redis_node_t     *lobby;
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = node->client->cluster;
    lobby = node->client->node;

    if (lobby->state == NGX_HTTP_KNOCK_REDIS_ASKING) {

        if (cluster->asked == NULL) {
            ngx_http_knock_redis_map_wake(cluster, 1);
        }

    } else if (lobby->backoff_timer.timer_set) {

        /* nobody could be asked, now somebody can */

        ngx_http_knock_redis_map_refresh(cluster);
    }
}


void
ngx_http_knock_redis_map_failed(ngx_http_knock_redis_node_t *node)
{
    ngx_http_knock_redis_node_t     *lobby;
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = node->client->cluster;
    lobby = node->client->node;

    if (node == lobby) {
        return;
    }

    if (lobby->state != NGX_HTTP_KNOCK_REDIS_ASKING) {
        ngx_http_knock_redis_map_refresh(cluster);
        return;
    }

    node->attempt = cluster->attempt;

    if (cluster->asked == NULL || cluster->asked == node) {
        cluster->asked = NULL;

        ngx_http_knock_redis_why(lobby, "%V: %V", &node->server.url,
                                 &node->why);
        ngx_http_knock_redis_map_wake(cluster, 1);
    }
}


/* sooner than it was to go off anyway */

static void
ngx_http_knock_redis_map_wake(ngx_http_knock_redis_cluster_t *cluster,
    ngx_msec_t delay)
{
    ngx_event_t  *ev;

    ev = &cluster->timer;

    if (ev->timer_set) {

        if ((ngx_msec_int_t) (ev->timer.key - (ngx_current_msec + delay))
            <= 0)
        {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, delay);
}


void
ngx_http_knock_redis_map_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_node_t     *lobby;
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = ev->data;
    lobby = cluster->client->node;

    if (lobby->state == NGX_HTTP_KNOCK_REDIS_ASKING) {

        if (cluster->asked) {
            ngx_http_knock_redis_why(lobby, "%V did not answer CLUSTER SLOTS "
                                     "within %Mms",
                                     &cluster->asked->server.url,
                                     lobby->conf->connect_timeout);
            cluster->asked = NULL;
        }

        ngx_http_knock_redis_map_step(cluster);
        ngx_http_knock_redis_settle(lobby);

        return;
    }

    cluster->asked = NULL;

    if (cluster->owned && ngx_http_knock_redis_cluster_sweep(cluster)) {
        ngx_http_knock_redis_map_wake(cluster, NGX_HTTP_KNOCK_REDIS_MAP_SWEEP);
    }

    /* where nobody can be asked, the delay between attempts is kept to */

    if (cluster->stale
        && (!lobby->backoff_timer.timer_set
            || ngx_http_knock_redis_cluster_any(cluster)))
    {
        ngx_http_knock_redis_hurry(lobby);
    }
}
