
/*
 * The connection of the Redis client: resolve the name, connect, and when
 * anything fails, close, wait, try again.
 */

#include "ngx_http_knock_redis_internal.h"


static ngx_int_t ngx_http_knock_redis_resolve(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_resolved(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_knock_redis_keep_addrs(ngx_http_knock_redis_t *redis,
    ngx_resolver_ctx_t *ctx);
static void ngx_http_knock_redis_connect_addr(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_connect_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_connected(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_connect_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_back_off(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_backoff_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_close_connection(
    ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_set_why(ngx_http_knock_redis_t *redis,
    ngx_err_t err, const char *fmt, va_list args);


void
ngx_http_knock_redis_connect(ngx_http_knock_redis_t *redis)
{
    redis->stats.connects++;
    redis->tries = 0;

    redis->backoff_timer.handler = ngx_http_knock_redis_backoff_timer_handler;
    redis->backoff_timer.data = redis;
    redis->backoff_timer.log = redis->cycle->log;
    redis->backoff_timer.cancelable = 1;

    redis->connect_timer.handler = ngx_http_knock_redis_connect_timer_handler;
    redis->connect_timer.data = redis;
    redis->connect_timer.log = redis->cycle->log;

    ngx_add_timer(&redis->connect_timer, redis->conf->connect_timeout);

    if (ngx_http_knock_redis_resolve(redis) != NGX_OK) {
        ngx_http_knock_redis_connect_addr(redis);
    }

    ngx_http_knock_redis_settle(redis);
}


/* NGX_OK: ngx_http_knock_redis_resolved() goes on, or has already */

static ngx_int_t
ngx_http_knock_redis_resolve(ngx_http_knock_redis_t *redis)
{
    ngx_resolver_ctx_t           *ctx;
    ngx_http_knock_redis_conf_t  *conf;

    conf = redis->conf;

    if (!conf->resolve || conf->resolver == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_resolve_start(conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = conf->host;
    ctx->handler = ngx_http_knock_redis_resolved;
    ctx->data = redis;
    ctx->cancelable = 1;

    /* so that there is time left to try the addresses known so far */

    ctx->timeout = ngx_min(conf->resolver_timeout, conf->connect_timeout / 2);

    redis->resolving = ctx;
    redis->state = NGX_HTTP_KNOCK_REDIS_RESOLVING;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        redis->resolving = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_knock_redis_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t               level;
    ngx_http_knock_redis_t  *redis;

    redis = ctx->data;
    redis->resolving = NULL;

    if (ctx->state) {
        level = redis->unresolved ? NGX_LOG_INFO : NGX_LOG_WARN;

        ngx_log_error(level, redis->cycle->log, 0,
                      "\"%V\" could not be resolved (%i: %s), trying the "
                      "addresses known before", &ctx->name, ctx->state,
                      ngx_resolver_strerror(ctx->state));

        redis->unresolved = 1;

    } else if (ngx_http_knock_redis_keep_addrs(redis, ctx) == NGX_OK) {
        redis->unresolved = 0;
    }

    ngx_resolve_name_done(ctx);

    ngx_http_knock_redis_connect_addr(redis);
    ngx_http_knock_redis_settle(redis);
}


static ngx_int_t
ngx_http_knock_redis_keep_addrs(ngx_http_knock_redis_t *redis,
    ngx_resolver_ctx_t *ctx)
{
    u_char           *p;
    ngx_uint_t        i;
    ngx_addr_t       *addrs;
    ngx_pool_t       *pool;
    struct sockaddr  *sockaddr;

    pool = ngx_create_pool(1024, redis->cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    addrs = ngx_pcalloc(pool, ctx->naddrs * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        goto failed;
    }

    for (i = 0; i < ctx->naddrs; i++) {

        sockaddr = ngx_palloc(pool, ctx->addrs[i].socklen);
        if (sockaddr == NULL) {
            goto failed;
        }

        ngx_memcpy(sockaddr, ctx->addrs[i].sockaddr, ctx->addrs[i].socklen);
        ngx_inet_set_port(sockaddr, redis->conf->port);

        p = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);
        if (p == NULL) {
            goto failed;
        }

        addrs[i].sockaddr = sockaddr;
        addrs[i].socklen = ctx->addrs[i].socklen;
        addrs[i].name.data = p;
        addrs[i].name.len = ngx_sock_ntop(sockaddr, addrs[i].socklen, p,
                                          NGX_SOCKADDR_STRLEN, 1);
    }

    if (redis->resolved_pool) {
        ngx_destroy_pool(redis->resolved_pool);
    }

    redis->resolved_pool = pool;
    redis->addrs = addrs;
    redis->naddrs = ctx->naddrs;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


/* tries the addresses in turn, from the one that is next */

static void
ngx_http_knock_redis_connect_addr(ngx_http_knock_redis_t *redis)
{
    ngx_int_t               rc;
    ngx_err_t               err;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    redis->state = NGX_HTTP_KNOCK_REDIS_CONNECTING;

    for ( ;; ) {

        addr = &redis->addrs[redis->addr % redis->naddrs];

        ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

        pc.sockaddr = addr->sockaddr;
        pc.socklen = addr->socklen;
        pc.name = &addr->name;
        pc.get = ngx_event_get_peer;
        pc.log = &redis->log;
        pc.log_error = NGX_ERROR_INFO;
        pc.so_keepalive = (addr->sockaddr->sa_family != AF_UNIX);

        ngx_set_errno(0);
        ngx_http_knock_redis_hush(redis, 1);

        rc = ngx_event_connect_peer(&pc);

        err = ngx_socket_errno;
        ngx_http_knock_redis_hush(redis, redis->outage);

        if (rc == NGX_OK || rc == NGX_AGAIN) {
            break;
        }

        redis->addr++;

        if (rc == NGX_ERROR) {
            ngx_http_knock_redis_fail(redis, err,
                                      "no connection could be made; raise "
                                      "worker_connections or the limit of "
                                      "open files");
            return;
        }

        /* NGX_DECLINED, NGX_BUSY */

        if (++redis->tries >= redis->naddrs) {
            ngx_http_knock_redis_fail(redis, err,
                                      "connecting to %V failed; check that "
                                      "redis-server runs and listens there",
                                      &addr->name);
            return;
        }
    }

    c = pc.connection;

    redis->connection = c;

    c->data = redis;
    c->idle = 0;
    c->log = &redis->log;
    c->read->handler = ngx_http_knock_redis_connect_handler;
    c->write->handler = ngx_http_knock_redis_connect_handler;

    /* TLS allocates from it */

    c->pool = ngx_create_pool(256, &redis->log);
    if (c->pool == NULL) {
        ngx_http_knock_redis_fail(redis, 0, "no memory for the connection");
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_knock_redis_connected(redis);
    }
}


static void
ngx_http_knock_redis_connect_handler(ngx_event_t *ev)
{
    int                      err;
    socklen_t                len;
    ngx_addr_t              *addr;
    ngx_connection_t        *c;
    ngx_http_knock_redis_t  *redis;

    c = ev->data;
    redis = c->data;

    if (c->close) {
        ngx_http_knock_redis_fail(redis, 0, "the worker is exiting");
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err == 0) {
        ngx_http_knock_redis_connected(redis);
        ngx_http_knock_redis_settle(redis);
        return;
    }

    addr = &redis->addrs[redis->addr++ % redis->naddrs];

    if (++redis->tries >= redis->naddrs) {
        ngx_http_knock_redis_fail(redis, err,
                                  "connecting to %V failed; check that "
                                  "redis-server runs and listens there",
                                  &addr->name);
        return;
    }

    ngx_http_knock_redis_close_connection(redis);
    ngx_http_knock_redis_connect_addr(redis);
    ngx_http_knock_redis_settle(redis);
}


static void
ngx_http_knock_redis_connected(ngx_http_knock_redis_t *redis)
{
    if (ngx_tcp_nodelay(redis->connection) != NGX_OK) {
        ngx_http_knock_redis_fail(redis, 0, "TCP_NODELAY could not be set");
        return;
    }

#if (NGX_SSL)

    if (redis->conf->tls) {
        redis->state = NGX_HTTP_KNOCK_REDIS_HANDSHAKE;
        ngx_http_knock_redis_tls_connect(redis);
        return;
    }

#endif

    ngx_http_knock_redis_greet(redis);
}


static void
ngx_http_knock_redis_connect_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_t  *redis;

    redis = ev->data;

    switch (redis->state) {

    case NGX_HTTP_KNOCK_REDIS_HANDSHAKE:
        ngx_http_knock_redis_fail(redis, 0,
                                  "no TLS handshake within %Mms; check that "
                                  "Redis expects TLS on this port",
                                  redis->conf->connect_timeout);
        break;

    case NGX_HTTP_KNOCK_REDIS_GREETING:
        ngx_http_knock_redis_fail(redis, 0,
                                  "connected, but no reply within %Mms; check "
                                  "that it is Redis, and whether it expects "
                                  "TLS", redis->conf->connect_timeout);
        break;

    default:

        /* let the next attempt begin with another address */

        redis->addr++;

        ngx_http_knock_redis_fail(redis, 0,
                                  "no connection within %Mms; check that the "
                                  "address can be reached, or raise "
                                  "connect_timeout=",
                                  redis->conf->connect_timeout);
    }
}


void ngx_cdecl
ngx_http_knock_redis_fail(ngx_http_knock_redis_t *redis, ngx_err_t err,
    const char *fmt, ...)
{
    va_list     args;
    ngx_uint_t  level;

    va_start(args, fmt);
    ngx_http_knock_redis_set_why(redis, err, fmt, args);
    va_end(args);

    redis->stats.failures++;

    level = redis->outage ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, redis->cycle->log, 0, "Redis \"%V\" is away: %V",
                  &redis->conf->url, &redis->why);

    /* it was up for long enough to call this a new trouble */

    if (redis->state == NGX_HTTP_KNOCK_REDIS_READY
        && ngx_current_msec - redis->ready_at >= redis->conf->reconnect_max)
    {
        redis->failed = 0;
    }

    redis->outage = 1;

    ngx_http_knock_redis_close(redis);

    ngx_http_knock_redis_hush(redis, 1);
    ngx_http_knock_redis_back_off(redis);

    ngx_http_knock_redis_drop_all(redis, &redis->why);
}


/* doubles with each failure; the jitter keeps the workers from a stampede */

static void
ngx_http_knock_redis_back_off(ngx_http_knock_redis_t *redis)
{
    ngx_uint_t  i;
    ngx_msec_t  delay;

    delay = redis->conf->reconnect_min;

    for (i = 0; i < redis->failed && delay < redis->conf->reconnect_max; i++) {
        delay *= 2;
    }

    redis->failed++;

    delay = ngx_min(delay, redis->conf->reconnect_max);
    delay = delay / 2 + (ngx_msec_t) ngx_random() % (delay / 2 + 1);

    ngx_add_timer(&redis->backoff_timer, delay);
}


static void
ngx_http_knock_redis_backoff_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_t  *redis;

    redis = ev->data;

    /* a worker that shuts down connects when there is a command only */

    if (ngx_exiting) {
        return;
    }

    ngx_http_knock_redis_connect(redis);
}


void
ngx_http_knock_redis_close(ngx_http_knock_redis_t *redis)
{
    redis->state = NGX_HTTP_KNOCK_REDIS_CLOSED;
    redis->stats.up = 0;
    redis->loading = 0;
    redis->draining = 0;

    if (redis->connect_timer.timer_set) {
        ngx_del_timer(&redis->connect_timer);
    }

    if (redis->reply_timer.timer_set) {
        ngx_del_timer(&redis->reply_timer);
    }

    if (redis->ping_timer.timer_set) {
        ngx_del_timer(&redis->ping_timer);
    }

    if (redis->resolving) {
        ngx_resolve_name_done(redis->resolving);
        redis->resolving = NULL;
    }

    if (redis->connection) {
        ngx_http_knock_redis_close_connection(redis);
    }
}


static void
ngx_http_knock_redis_close_connection(ngx_http_knock_redis_t *redis)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = redis->connection;
    redis->connection = NULL;

    if (redis->reader) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
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
ngx_http_knock_redis_why(ngx_http_knock_redis_t *redis, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_http_knock_redis_set_why(redis, 0, fmt, args);
    va_end(args);

    return &redis->why;
}


static void
ngx_http_knock_redis_set_why(ngx_http_knock_redis_t *redis, ngx_err_t err,
    const char *fmt, va_list args)
{
    u_char  *p, *last;
    u_char   text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];

    /* not in place: redis->why itself may be among the arguments */

    last = text + sizeof(text);
    p = ngx_vslprintf(text, last, fmt, args);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, (size_t) (last - p));
        p = ngx_slprintf(p, last, ")");
    }

    redis->why.len = (size_t) (p - text);

    for (last = redis->why.data, p = text; p < text + redis->why.len; p++) {
        *last++ = (*p < 0x20 || *p == 0x7f) ? '.' : *p;
    }
}


/*
 * nginx' own lines about a connection say more of a failure, but once an
 * outage will do, and what connect() says, we say with a hint.
 */

void
ngx_http_knock_redis_hush(ngx_http_knock_redis_t *redis, ngx_uint_t hush)
{
    ngx_uint_t  level;

    level = redis->cycle->log->log_level;

    if (hush && !(level & NGX_LOG_DEBUG_ALL)) {
        level = ngx_min(level, NGX_LOG_ALERT);
    }

    redis->log.log_level = level;
}
