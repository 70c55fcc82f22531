
/*
 * Where the master is.  A connection to one of the Sentinels, whichever can
 * be had, is kept; over it the address of the master is asked for before each
 * attempt to connect to it, and every second, so that a switch is followed
 * though the old master still takes connections.
 */

#include "ngx_http_knock_redis_internal.h"


/* between two questions while the master is there, ms */
#define NGX_HTTP_KNOCK_REDIS_SENTINEL_EVERY     1000

/* of one that is of no use this is said as often, ms */
#define NGX_HTTP_KNOCK_REDIS_SENTINEL_COMPLAIN  30000

/* before the next Sentinel of a round is tried, ms */
#define NGX_HTTP_KNOCK_REDIS_SENTINEL_NEXT      1


struct ngx_http_knock_redis_sentinel_s {
    ngx_http_knock_redis_t          *client;
    ngx_http_knock_redis_node_t     *node;      /* to the one in use */
    ngx_http_knock_redis_stats_t     stats;     /* not those of Redis */

    ngx_uint_t                       current;   /* of conf->servers */
    ngx_uint_t                       tried;     /* in this round */
    ngx_msec_t                      *complained;    /* of each, or 0 */

    unsigned                         asked:1;   /* the answer is to come */
    unsigned                         doubted:1;
};


static void ngx_http_knock_redis_sentinel_answer(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static ngx_int_t ngx_http_knock_redis_sentinel_address(redisReply *reply,
    knock_str_t *host, in_port_t *port);
static void ngx_http_knock_redis_sentinel_told(
    ngx_http_knock_redis_sentinel_t *sentinel, const knock_str_t *host,
    in_port_t port);
static ngx_int_t ngx_http_knock_redis_sentinel_move(
    ngx_http_knock_redis_sentinel_t *sentinel, const knock_str_t *host,
    in_port_t port);
static void ngx_http_knock_redis_sentinel_use(
    ngx_http_knock_redis_sentinel_t *sentinel, ngx_uint_t i);


ngx_http_knock_redis_sentinel_t *
ngx_http_knock_redis_sentinel_create(ngx_http_knock_redis_t *redis)
{
    ngx_http_knock_redis_node_t      *node;
    ngx_http_knock_redis_sentinel_t  *sentinel;

    sentinel = ngx_pcalloc(redis->pool,
                           sizeof(ngx_http_knock_redis_sentinel_t));
    if (sentinel == NULL) {
        return NULL;
    }

    sentinel->complained = ngx_pcalloc(redis->pool,
                                       redis->conf->servers.nelts
                                       * sizeof(ngx_msec_t));
    if (sentinel->complained == NULL) {
        return NULL;
    }

    node = ngx_http_knock_redis_node_create(redis, NULL);
    if (node == NULL) {
        return NULL;
    }

    node->is_sentinel = 1;
    node->ping = NGX_HTTP_KNOCK_REDIS_SENTINEL_EVERY;
    node->stats = &sentinel->stats;

    /* nginx' own lines about this connection are not wanted */

    node->outage = 1;

    sentinel->client = redis;
    sentinel->node = node;

    /* not all the workers of all the machines ask the same one */

    ngx_http_knock_redis_sentinel_use(sentinel, (ngx_uint_t) ngx_random());

    return sentinel;
}


void
ngx_http_knock_redis_sentinel_destroy(
    ngx_http_knock_redis_sentinel_t *sentinel)
{
    ngx_http_knock_redis_node_destroy(sentinel->node);
}


void
ngx_http_knock_redis_sentinel_ask(ngx_http_knock_redis_sentinel_t *sentinel)
{
    ngx_http_knock_redis_node_t  *node;

    node = sentinel->node;

    sentinel->tried = 0;

    if (sentinel->doubted && node->conf->servers.nelts > 1) {
        ngx_http_knock_redis_close(node);
        ngx_http_knock_redis_drop_all(node,
                                      ngx_http_knock_redis_why(node,
                                                 "another one is asked"));

        ngx_http_knock_redis_sentinel_use(sentinel, sentinel->current + 1);
    }

    switch (node->state) {

    case NGX_HTTP_KNOCK_REDIS_READY:
        ngx_http_knock_redis_sentinel_question(sentinel);
        ngx_http_knock_redis_settle(node);
        break;

    case NGX_HTTP_KNOCK_REDIS_CLOSED:
        ngx_http_knock_redis_hurry(node);
        break;

    default:
        break;
    }
}


void
ngx_http_knock_redis_sentinel_doubt(ngx_http_knock_redis_sentinel_t *sentinel)
{
    sentinel->doubted = 1;
}


void
ngx_http_knock_redis_sentinel_question(
    ngx_http_knock_redis_sentinel_t *sentinel)
{
    size_t                        argvlen[3];
    const char                   *argv[3];
    ngx_http_knock_redis_node_t  *node;
    ngx_http_knock_redis_conf_t  *conf;

    if (sentinel->asked) {
        return;
    }

    node = sentinel->node;
    conf = node->conf;

    argv[0] = "SENTINEL";
    argvlen[0] = sizeof("SENTINEL") - 1;

    argv[1] = "GET-MASTER-ADDR-BY-NAME";
    argvlen[1] = sizeof("GET-MASTER-ADDR-BY-NAME") - 1;

    argv[2] = (char *) conf->master.data;
    argvlen[2] = conf->master.len;

    if (ngx_http_knock_redis_internal(node, 3, argv, argvlen,
                                      ngx_http_knock_redis_sentinel_answer)
        != NGX_OK)
    {
        ngx_http_knock_redis_fail(node, 0, "no memory to ask it");
        return;
    }

    sentinel->asked = 1;

    ngx_http_knock_redis_write(node);
}


static void
ngx_http_knock_redis_sentinel_answer(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    in_port_t                         port;
    knock_str_t                       host;
    ngx_http_knock_redis_sentinel_t  *sentinel;

    sentinel = node->client->sentinel;
    sentinel->asked = 0;

    switch (status) {

    case NGX_HTTP_KNOCK_REDIS_OK:
        break;

    case NGX_HTTP_KNOCK_REDIS_ERROR:
    case NGX_HTTP_KNOCK_REDIS_RETRY:
        ngx_http_knock_redis_fail(node, 0, "it said \"%V\"", why);
        return;

    default:
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {
        ngx_http_knock_redis_fail(node, 0,
                                  "it knows no master \"%V\"; check master=",
                                  &node->conf->master);
        return;
    }

    if (ngx_http_knock_redis_sentinel_address(reply, &host, &port) != NGX_OK) {
        ngx_http_knock_redis_fail(node, 0,
                                  "its answer is no address; check that it is "
                                  "a Sentinel");
        return;
    }

    node->failed = 0;
    sentinel->tried = 0;
    sentinel->complained[sentinel->current] = 0;

    ngx_http_knock_redis_sentinel_told(sentinel, &host, port);
}


static ngx_int_t
ngx_http_knock_redis_sentinel_address(redisReply *reply, knock_str_t *host,
    in_port_t *port)
{
    ngx_int_t  n;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING
        || reply->element[0]->len == 0)
    {
        return NGX_ERROR;
    }

    n = ngx_atoi((u_char *) reply->element[1]->str,
                 (size_t) reply->element[1]->len);

    if (n < 1 || n > 65535) {
        return NGX_ERROR;
    }

    host->data = (u_char *) reply->element[0]->str;
    host->len = (size_t) reply->element[0]->len;
    *port = (in_port_t) n;

    return NGX_OK;
}


static void
ngx_http_knock_redis_sentinel_told(ngx_http_knock_redis_sentinel_t *sentinel,
    const knock_str_t *host, in_port_t port)
{
    ngx_int_t                     rc;
    ngx_uint_t                    same;
    ngx_http_knock_redis_node_t  *master;

    master = sentinel->client->node;

    same = ngx_http_knock_redis_is_at(master, host, port);

    if (master->state == NGX_HTTP_KNOCK_REDIS_ASKING) {

        rc = same ? NGX_OK
                  : ngx_http_knock_redis_sentinel_move(sentinel, host, port);

        if (rc == NGX_OK) {
            ngx_http_knock_redis_resolve_and_connect(master);
        }

        ngx_http_knock_redis_settle(master);
        return;
    }

    if (same) {
        return;
    }

    /* in a back-off there is no need to wait for its end any more */

    if (master->state != NGX_HTTP_KNOCK_REDIS_CLOSED) {
        ngx_http_knock_redis_fail(master, 0,
                                  "Sentinel \"%V\" names another one",
                                  &sentinel->node->server.url);
    }

    sentinel->doubted = 0;

    if (ngx_http_knock_redis_sentinel_move(sentinel, host, port) == NGX_OK) {
        master->told = 1;
        ngx_http_knock_redis_hurry(master);
    }
}


/* NGX_ERROR: it has failed */

static ngx_int_t
ngx_http_knock_redis_sentinel_move(ngx_http_knock_redis_sentinel_t *sentinel,
    const knock_str_t *host, in_port_t port)
{
    ngx_int_t                     rc;
    ngx_str_t                     name;
    ngx_http_knock_redis_node_t  *master;

    master = sentinel->client->node;

    rc = ngx_http_knock_redis_set_server(master, host, port);

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, master->cycle->log, 0,
                      "Sentinel \"%V\" says that the master \"%V\" is at %V",
                      &sentinel->node->server.url, &master->conf->master,
                      &master->server.url);
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        name.len = host->len;
        name.data = host->data;

        ngx_http_knock_redis_fail(master, 0,
                                  "the Sentinels call the master \"%V\", a "
                                  "name: put a resolver in the http block",
                                  &name);

    } else {
        ngx_http_knock_redis_fail(master, 0, "no memory for its address");
    }

    return NGX_ERROR;
}


void
ngx_http_knock_redis_sentinel_failed(ngx_http_knock_redis_node_t *node)
{
    ngx_uint_t                        level;
    ngx_msec_t                       *complained;
    ngx_http_knock_redis_t           *redis;
    ngx_http_knock_redis_sentinel_t  *sentinel;

    redis = node->client;
    sentinel = redis->sentinel;

    sentinel->asked = 0;

    if (ngx_exiting && !ngx_http_knock_redis_busy(node)) {
        return;
    }

    complained = &sentinel->complained[sentinel->current];
    level = NGX_LOG_INFO;

    if (*complained == 0
        || ngx_current_msec - *complained
           >= NGX_HTTP_KNOCK_REDIS_SENTINEL_COMPLAIN)
    {
        *complained = ngx_current_msec;
        level = NGX_LOG_WARN;
    }

    ngx_log_error(level, node->cycle->log, 0,
                  "Sentinel \"%V\" is passed over: %V", &node->server.url,
                  &node->why);

    ngx_http_knock_redis_sentinel_use(sentinel, sentinel->current + 1);

    if (++sentinel->tried < node->conf->servers.nelts) {
        ngx_add_timer(&node->backoff_timer,
                      NGX_HTTP_KNOCK_REDIS_SENTINEL_NEXT);
        return;
    }

    sentinel->tried = 0;

    ngx_http_knock_redis_back_off(node);

    if (redis->node->state == NGX_HTTP_KNOCK_REDIS_ASKING) {
        ngx_http_knock_redis_fail(redis->node, 0,
                                  "no Sentinel says where the master is, the "
                                  "last one because: %V", &node->why);
    }
}


static void
ngx_http_knock_redis_sentinel_use(ngx_http_knock_redis_sentinel_t *sentinel,
    ngx_uint_t i)
{
    ngx_http_knock_redis_node_t    *node;
    ngx_http_knock_redis_server_t  *servers;

    node = sentinel->node;
    servers = node->conf->servers.elts;

    sentinel->current = i % node->conf->servers.nelts;
    sentinel->doubted = 0;

    if (node->resolved_pool) {
        ngx_destroy_pool(node->resolved_pool);
        node->resolved_pool = NULL;
    }

    node->server = servers[sentinel->current];
}
