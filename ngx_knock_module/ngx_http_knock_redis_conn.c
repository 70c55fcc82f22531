
/*
 * The connection of the Redis client: resolve the name, connect, and when
 * anything fails, close, wait, try again.
 */

#include "ngx_http_knock_redis_internal.h"


static ngx_int_t ngx_http_knock_redis_resolve(
    ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_http_knock_redis_connect_addr(
    ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_connect_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_connected(ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_connect_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_backoff_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_close_connection(
    ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_set_why(ngx_http_knock_redis_node_t *node,
    ngx_err_t err, const char *fmt, va_list args);


void
ngx_http_knock_redis_connect(ngx_http_knock_redis_node_t *node)
{
    node->tries = 0;

    node->backoff_timer.handler = ngx_http_knock_redis_backoff_timer_handler;
    node->backoff_timer.data = node;
    node->backoff_timer.log = node->cycle->log;
    node->backoff_timer.cancelable = 1;

    node->connect_timer.handler = ngx_http_knock_redis_connect_timer_handler;
    node->connect_timer.data = node;
    node->connect_timer.log = node->cycle->log;

    if (node->client->cluster && node == node->client->node) {

        node->state = NGX_HTTP_KNOCK_REDIS_ASKING;
        ngx_add_timer(&node->connect_timer, node->conf->timeout);

        ngx_http_knock_redis_map_ask(node->client->cluster);

    } else if (node->client->sentinel && !node->is_sentinel && !node->told) {

        node->state = NGX_HTTP_KNOCK_REDIS_ASKING;
        ngx_add_timer(&node->connect_timer, node->conf->connect_timeout);

        ngx_http_knock_redis_sentinel_ask(node->client->sentinel);

    } else {
        ngx_http_knock_redis_resolve_and_connect(node);
    }

    ngx_http_knock_redis_settle(node);
}


void
ngx_http_knock_redis_resolve_and_connect(ngx_http_knock_redis_node_t *node)
{
    node->told = 0;
    node->stats->connects++;

    ngx_add_timer(&node->connect_timer, node->conf->connect_timeout);

    if (ngx_http_knock_redis_resolve(node) != NGX_OK) {
        ngx_http_knock_redis_connect_addr(node);
    }
}


/* NGX_OK: ngx_http_knock_redis_resolved() goes on, or has already */

static ngx_int_t
ngx_http_knock_redis_resolve(ngx_http_knock_redis_node_t *node)
{
    ngx_resolver_ctx_t           *ctx;
    ngx_http_knock_redis_conf_t  *conf;

    conf = node->conf;

    if (!node->server.resolve || conf->resolver == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_resolve_start(conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = node->server.host;
    ctx->handler = ngx_http_knock_redis_resolved;
    ctx->data = node;
    ctx->cancelable = 1;

    /* so that there is time left to try the addresses known so far */

    ctx->timeout = ngx_min(conf->resolver_timeout, conf->connect_timeout / 2);

    node->resolving = ctx;
    node->state = NGX_HTTP_KNOCK_REDIS_RESOLVING;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        node->resolving = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_knock_redis_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                    level;
    ngx_http_knock_redis_node_t  *node;

    node = ctx->data;
    node->resolving = NULL;

    if (ctx->state) {
        level = node->unresolved ? NGX_LOG_INFO : NGX_LOG_WARN;

        ngx_log_error(level, node->cycle->log, 0,
                      "\"%V\" could not be resolved (%i: %s), trying the "
                      "addresses known before, if any", &ctx->name, ctx->state,
                      ngx_resolver_strerror(ctx->state));

        node->unresolved = 1;

    } else if (ngx_http_knock_redis_keep_addrs(node, ctx) == NGX_OK) {
        node->unresolved = 0;
    }

    ngx_resolve_name_done(ctx);

    ngx_http_knock_redis_connect_addr(node);
    ngx_http_knock_redis_settle(node);
}


/* tries the addresses in turn, from the one that is next */

static void
ngx_http_knock_redis_connect_addr(ngx_http_knock_redis_node_t *node)
{
    ngx_int_t               rc;
    ngx_err_t               err;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    node->state = NGX_HTTP_KNOCK_REDIS_CONNECTING;

    if (node->server.naddrs == 0) {
        ngx_http_knock_redis_fail(node, 0,
                                  "no address of \"%V\" is known; check the "
                                  "resolver of the http block",
                                  &node->server.host);
        return;
    }

    for ( ;; ) {

        addr = &node->server.addrs[node->addr % node->server.naddrs];

        ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

        pc.sockaddr = addr->sockaddr;
        pc.socklen = addr->socklen;
        pc.name = &addr->name;
        pc.get = ngx_event_get_peer;
        pc.log = &node->log;
        pc.log_error = NGX_ERROR_INFO;
        pc.so_keepalive = (addr->sockaddr->sa_family != AF_UNIX);

        ngx_set_errno(0);
        ngx_http_knock_redis_hush(node, 1);

        rc = ngx_event_connect_peer(&pc);

        err = ngx_socket_errno;
        ngx_http_knock_redis_hush(node, node->outage);

        if (rc == NGX_OK || rc == NGX_AGAIN) {
            break;
        }

        node->addr++;

        if (rc == NGX_ERROR) {
            ngx_http_knock_redis_fail(node, err,
                                      "no connection could be made; raise "
                                      "worker_connections or the limit of "
                                      "open files");
            return;
        }

        /* NGX_DECLINED, NGX_BUSY */

        if (++node->tries >= node->server.naddrs) {
            ngx_http_knock_redis_fail(node, err,
                                      "connecting to %V failed; check that "
                                      "%s runs and listens there",
                                      &addr->name,
                                      ngx_http_knock_redis_program(node));
            return;
        }
    }

    c = pc.connection;

    node->connection = c;

    c->data = node;
    c->idle = 0;
    c->log = &node->log;
    c->read->handler = ngx_http_knock_redis_connect_handler;
    c->write->handler = ngx_http_knock_redis_connect_handler;

    /* TLS allocates from it */

    c->pool = ngx_create_pool(256, &node->log);
    if (c->pool == NULL) {
        ngx_http_knock_redis_fail(node, 0, "no memory for the connection");
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_knock_redis_connected(node);
    }
}


static void
ngx_http_knock_redis_connect_handler(ngx_event_t *ev)
{
    int                           err;
    socklen_t                     len;
    ngx_addr_t                   *addr;
    ngx_connection_t             *c;
    ngx_http_knock_redis_node_t  *node;

    c = ev->data;
    node = c->data;

    if (c->close) {
        ngx_http_knock_redis_fail(node, 0, "the worker is exiting");
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err == 0) {
        ngx_http_knock_redis_connected(node);
        ngx_http_knock_redis_settle(node);
        return;
    }

    addr = &node->server.addrs[node->addr++ % node->server.naddrs];

    if (++node->tries >= node->server.naddrs) {
        ngx_http_knock_redis_fail(node, err,
                                  "connecting to %V failed; check that "
                                  "%s runs and listens there", &addr->name,
                                  ngx_http_knock_redis_program(node));
        return;
    }

    ngx_http_knock_redis_close_connection(node);
    ngx_http_knock_redis_connect_addr(node);
    ngx_http_knock_redis_settle(node);
}


static void
ngx_http_knock_redis_connected(ngx_http_knock_redis_node_t *node)
{
    if (ngx_tcp_nodelay(node->connection) != NGX_OK) {
        ngx_http_knock_redis_fail(node, 0, "TCP_NODELAY could not be set");
        return;
    }

#if (NGX_SSL)

    if (node->conf->tls) {
        node->state = NGX_HTTP_KNOCK_REDIS_HANDSHAKE;
        ngx_http_knock_redis_tls_connect(node);
        return;
    }

#endif

    ngx_http_knock_redis_greet(node);
}


static void
ngx_http_knock_redis_connect_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_node_t  *node;

    node = ev->data;

    switch (node->state) {

    case NGX_HTTP_KNOCK_REDIS_ASKING:
        ngx_http_knock_redis_fail(node, 0, node->client->cluster
                                  ? "no node of the cluster said within %Mms "
                                    "which one serves which keys; check that "
                                    "they run"
                                  : "no Sentinel said within %Mms where the "
                                    "master is; check that they run",
                                  node->client->cluster
                                  ? node->conf->timeout
                                  : node->conf->connect_timeout);
        break;

    case NGX_HTTP_KNOCK_REDIS_HANDSHAKE:
        ngx_http_knock_redis_fail(node, 0,
                                  "no TLS handshake within %Mms; check that "
                                  "Redis expects TLS on this port",
                                  node->conf->connect_timeout);
        break;

    case NGX_HTTP_KNOCK_REDIS_GREETING:
        ngx_http_knock_redis_fail(node, 0,
                                  "connected, but no reply within %Mms; check "
                                  "that it is Redis, and whether it expects "
                                  "TLS", node->conf->connect_timeout);
        break;

    default:

        /* let the next attempt begin with another address */

        node->addr++;

        ngx_http_knock_redis_fail(node, 0,
                                  "no connection within %Mms; check that the "
                                  "address can be reached, or raise "
                                  "connect_timeout=",
                                  node->conf->connect_timeout);
    }
}


void ngx_cdecl
ngx_http_knock_redis_fail(ngx_http_knock_redis_node_t *node, ngx_err_t err,
    const char *fmt, ...)
{
    va_list     args;
    ngx_uint_t  level;

    va_start(args, fmt);
    ngx_http_knock_redis_set_why(node, err, fmt, args);
    va_end(args);

    node->stats->failures++;

    if (node->is_sentinel) {
        ngx_http_knock_redis_close(node);
        ngx_http_knock_redis_drop_all(node, &node->why);
        ngx_http_knock_redis_sentinel_failed(node);
        return;
    }

    if (node->client->sentinel
        && node->state > NGX_HTTP_KNOCK_REDIS_ASKING
        && node->state < NGX_HTTP_KNOCK_REDIS_READY)
    {
        ngx_http_knock_redis_sentinel_doubt(node->client->sentinel);
    }

    level = node->outage ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, node->cycle->log, 0, "Redis \"%V\" is away: %V",
                  &node->server.url, &node->why);

    /* it was up for long enough to call this a new trouble */

    if (node->state == NGX_HTTP_KNOCK_REDIS_READY
        && ngx_current_msec - node->ready_at >= node->conf->reconnect_max)
    {
        node->failed = 0;
    }

    node->outage = 1;

    ngx_http_knock_redis_close(node);

    ngx_http_knock_redis_hush(node, 1);
    ngx_http_knock_redis_back_off(node);

    if (node->client->cluster) {
        ngx_http_knock_redis_map_failed(node);
    }

    ngx_http_knock_redis_drop_all(node, &node->why);
}


/* doubles with each failure; the jitter keeps the workers from a stampede */

void
ngx_http_knock_redis_back_off(ngx_http_knock_redis_node_t *node)
{
    ngx_uint_t  i;
    ngx_msec_t  delay;

    delay = node->conf->reconnect_min;

    for (i = 0; i < node->failed && delay < node->conf->reconnect_max; i++) {
        delay *= 2;
    }

    node->failed++;

    delay = ngx_min(delay, node->conf->reconnect_max);
    delay = delay / 2 + (ngx_msec_t) ngx_random() % (delay / 2 + 1);

    ngx_add_timer(&node->backoff_timer, delay);
}


static void
ngx_http_knock_redis_backoff_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_node_t  *node;

    node = ev->data;

    /* a worker that shuts down connects when there is a command only */

    if (ngx_exiting && !ngx_http_knock_redis_busy(node)) {
        return;
    }

    ngx_http_knock_redis_connect(node);
}


void
ngx_http_knock_redis_hurry(ngx_http_knock_redis_node_t *node)
{
    if (node->backoff_timer.timer_set) {
        ngx_del_timer(&node->backoff_timer);
    }

    if (ngx_exiting && !ngx_http_knock_redis_busy(node)) {
        return;
    }

    ngx_http_knock_redis_connect(node);
}


void
ngx_http_knock_redis_close(ngx_http_knock_redis_node_t *node)
{
    if (node->state == NGX_HTTP_KNOCK_REDIS_READY) {
        node->stats->up--;
    }

    node->state = NGX_HTTP_KNOCK_REDIS_CLOSED;
    node->loading = 0;
    node->draining = 0;
    node->awaiting = 0;

    if (node->connect_timer.timer_set) {
        ngx_del_timer(&node->connect_timer);
    }

    if (node->reply_timer.timer_set) {
        ngx_del_timer(&node->reply_timer);
    }

    if (node->ping_timer.timer_set) {
        ngx_del_timer(&node->ping_timer);
    }

    if (node->resolving) {
        ngx_resolve_name_done(node->resolving);
        node->resolving = NULL;
    }

    if (node->connection) {
        ngx_http_knock_redis_close_connection(node);
    }
}


static void
ngx_http_knock_redis_close_connection(ngx_http_knock_redis_node_t *node)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = node->connection;
    node->connection = NULL;

    if (node->reader) {
        redisReaderFree(node->reader);
        node->reader = NULL;
    }

#if (NGX_SSL)

    if (c->ssl) {

        /* quietly, so that it neither waits nor blocks */

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

#endif

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


ngx_str_t * ngx_cdecl
ngx_http_knock_redis_why(ngx_http_knock_redis_node_t *node, const char *fmt,
    ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_http_knock_redis_set_why(node, 0, fmt, args);
    va_end(args);

    return &node->why;
}


static void
ngx_http_knock_redis_set_why(ngx_http_knock_redis_node_t *node, ngx_err_t err,
    const char *fmt, va_list args)
{
    u_char  *p, *last;
    u_char   text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];

    /* not in place: node->why itself may be among the arguments */

    last = text + sizeof(text);
    p = ngx_vslprintf(text, last, fmt, args);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, (size_t) (last - p));
        p = ngx_slprintf(p, last, ")");
    }

    node->why.len = (size_t) (p - text);

    for (last = node->why.data, p = text; p < text + node->why.len; p++) {
        *last++ = (*p < 0x20 || *p == 0x7f) ? '.' : *p;
    }
}


/*
 * nginx' own lines about a connection say more of a failure, but once an
 * outage will do, and what connect() says, we say with a hint.
 */

void
ngx_http_knock_redis_hush(ngx_http_knock_redis_node_t *node, ngx_uint_t hush)
{
    ngx_uint_t  level;

    level = node->cycle->log->log_level;

    if (hush && !(level & NGX_LOG_DEBUG_ALL)) {
        level = ngx_min(level, NGX_LOG_ALERT);
    }

    node->log.log_level = level;
}
