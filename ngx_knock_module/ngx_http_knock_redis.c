
/*
 * The commands of the Redis client: how they are queued, written, limited in
 * number and time, and answered when there is no reply.
 */

#include "ngx_http_knock_redis_internal.h"


static void ngx_http_knock_redis_cleanup(void *data);
static void ngx_http_knock_redis_hand_over(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd);
static ngx_int_t ngx_http_knock_redis_await_room(ngx_event_t *wev);
static void ngx_http_knock_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_reply_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_ping_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_ponged(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);


ngx_http_knock_redis_t *
ngx_http_knock_redis_create(ngx_cycle_t *cycle,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *library)
{
    ngx_pool_t              *pool;
    ngx_pool_cleanup_t      *cln;
    ngx_http_knock_redis_t  *redis;

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

    redis->buffer = ngx_palloc(pool, NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE);
    if (redis->buffer == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    redis->replies = knock_arena_create(NGX_HTTP_KNOCK_REDIS_REPLY_SIZE);
    if (redis->replies == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    cln->handler = ngx_http_knock_redis_cleanup;
    cln->data = redis;

    redis->cleanup = cln;
    redis->pool = pool;
    redis->conf = conf;
    redis->cycle = cycle;
    redis->ident = (ngx_socket_t) -1;
    redis->log = *cycle->log;
    redis->library = *library;
    redis->addrs = conf->addrs;
    redis->naddrs = conf->naddrs;
    redis->why.data = redis->why_data;
    redis->out_last = &redis->out;

    ngx_queue_init(&redis->waiting);
    ngx_queue_init(&redis->sent);
    ngx_queue_init(&redis->parked);
    ngx_queue_init(&redis->free);

    redis->flush.handler = ngx_http_knock_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = cycle->log;

    redis->reply_timer.handler = ngx_http_knock_redis_reply_timer_handler;
    redis->reply_timer.data = redis;
    redis->reply_timer.log = cycle->log;

    redis->ping_timer.handler = ngx_http_knock_redis_ping_timer_handler;
    redis->ping_timer.data = redis;
    redis->ping_timer.log = cycle->log;
    redis->ping_timer.cancelable = 1;

    ngx_http_knock_redis_connect(redis);

    return redis;
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

    ngx_http_knock_redis_close(redis);

    ngx_http_knock_redis_drop_all(redis,
                                  ngx_http_knock_redis_why(redis,
                                                  "the worker is exiting"));

    ngx_http_knock_redis_release_all(redis);
    knock_arena_destroy(redis->replies);

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }

    if (redis->backoff_timer.timer_set) {
        ngx_del_timer(&redis->backoff_timer);
    }

    if (redis->resolved_pool) {
        ngx_destroy_pool(redis->resolved_pool);
    }

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
ngx_http_knock_redis_transaction(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, const size_t *argc, ngx_uint_t n,
    const char **argv, const size_t *argvlen, ngx_uint_t answer,
    ngx_http_knock_redis_handler_pt handler, void *data)
{
    size_t                           size, room, args;
    ngx_uint_t                       i;
    ngx_http_knock_redis_stats_t    *stats;
    ngx_http_knock_redis_command_t  *cmd;

    stats = &redis->stats;

    if (redis->destroyed
        || redis->draining
        || redis->backoff_timer.timer_set
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

    cmd = ngx_http_knock_redis_format(redis, argc, n, argv, argvlen);
    if (cmd == NULL) {
        return NGX_ERROR;
    }

    cmd->internal = 0;
    cmd->answer = answer;
    cmd->handler = handler;
    cmd->data = data;

    ngx_queue_insert_tail(&redis->waiting, &cmd->queue);

    stats->commands++;
    stats->in_flight++;
    stats->bytes += cmd->len;

    if (redis->connection) {
        redis->connection->idle = 0;
    }

    redis->connect_timer.cancelable = 0;

    if (redis->state == NGX_HTTP_KNOCK_REDIS_READY
        || redis->state == NGX_HTTP_KNOCK_REDIS_CLOSED)
    {
        ngx_post_event(&redis->flush, &ngx_posted_events);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_knock_redis_internal(ngx_http_knock_redis_t *redis, ngx_uint_t argc,
    const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler)
{
    size_t                           n;
    ngx_http_knock_redis_command_t  *cmd;

    n = argc;

    cmd = ngx_http_knock_redis_format(redis, &n, 1, argv, argvlen);
    if (cmd == NULL) {
        return NGX_ERROR;
    }

    cmd->internal = 1;
    cmd->handler = handler;
    cmd->data = redis;

    ngx_http_knock_redis_hand_over(redis, cmd);

    return NGX_OK;
}


void
ngx_http_knock_redis_rewind(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_memzero(&cmd->buf, sizeof(ngx_buf_t));

    cmd->buf.pos = cmd->text;
    cmd->buf.last = cmd->buf.pos + cmd->len;
    cmd->buf.start = cmd->buf.pos;
    cmd->buf.end = cmd->buf.last;
    cmd->buf.memory = 1;
    cmd->buf.flush = 1;

    cmd->part = 0;
    cmd->refused.len = 0;

    cmd->deadline = ngx_current_msec + redis->conf->timeout;
}


static void
ngx_http_knock_redis_hand_over(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_queue_insert_tail(&redis->sent, &cmd->queue);

    cmd->link.buf = &cmd->buf;
    cmd->link.next = NULL;

    *redis->out_last = &cmd->link;
    redis->out_last = &cmd->link.next;
}


void
ngx_http_knock_redis_write(ngx_http_knock_redis_t *redis)
{
    ngx_queue_t                     *q;
    ngx_connection_t                *c;
    ngx_http_knock_redis_command_t  *cmd;

    c = redis->connection;

    if (redis->state == NGX_HTTP_KNOCK_REDIS_READY && !redis->draining) {

        while (!ngx_queue_empty(&redis->waiting)) {
            q = ngx_queue_head(&redis->waiting);
            ngx_queue_remove(q);

            cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
            ngx_http_knock_redis_hand_over(redis, cmd);
        }
    }

    /*
     * Once is enough, it writes until the socket is full; over TLS it may be
     * a read that has to come first, then the socket stays ready for writing.
     */

    if ((redis->out || c->buffered) && c->write->ready) {

        redis->out = c->send_chain(c, redis->out, 0);

        if (redis->out == NGX_CHAIN_ERROR) {
            redis->out = NULL;
            ngx_http_knock_redis_fail(redis, ngx_socket_errno,
                                      "writing to Redis failed");
            return;
        }

        if (redis->out == NULL) {
            redis->out_last = &redis->out;
        }
    }

    if (ngx_http_knock_redis_await_room(c->write) != NGX_OK) {
        ngx_http_knock_redis_fail(redis, 0, "no event for the connection");
    }
}


/*
 * Room in the socket is waited for only where there was none: epoll would
 * tell of it whenever Redis has read something, which wakes a worker, and
 * costs Redis the waking, once a command for nothing.
 */

static ngx_int_t
ngx_http_knock_redis_await_room(ngx_event_t *wev)
{
    if (wev->ready && wev->active && (ngx_event_flags & NGX_USE_EPOLL_EVENT)) {
        return ngx_del_event(wev, NGX_WRITE_EVENT, NGX_CLEAR_EVENT);
    }

    return ngx_handle_write_event(wev, 0);
}


void
ngx_http_knock_redis_done(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    void                             *data;
    ngx_http_knock_redis_stats_t     *stats;
    ngx_http_knock_redis_handler_pt   handler;

    ngx_queue_remove(&cmd->queue);

    if (!cmd->internal) {
        stats = &redis->stats;

        stats->in_flight--;
        stats->bytes -= cmd->len;

        switch (status) {

        case NGX_HTTP_KNOCK_REDIS_OK:
            break;

        case NGX_HTTP_KNOCK_REDIS_ERROR:
        case NGX_HTTP_KNOCK_REDIS_RETRY:
            stats->errors++;
            break;

        case NGX_HTTP_KNOCK_REDIS_LOST:
        case NGX_HTTP_KNOCK_REDIS_DOWN:
            stats->lost++;
            break;
        }
    }

    handler = cmd->handler;
    data = cmd->data;

    ngx_http_knock_redis_release(redis, cmd);

    handler(data, status, reply, why);
}


void
ngx_http_knock_redis_drop_all(ngx_http_knock_redis_t *redis, ngx_str_t *why)
{
    u_char                           text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t                        reason;
    ngx_queue_t                      lost, down, *q;
    ngx_http_knock_redis_command_t  *cmd;

    /* out of the way of what the handlers will queue or say */

    reason.len = why->len;
    reason.data = text;
    ngx_memcpy(text, why->data, why->len);

    redis->out = NULL;
    redis->out_last = &redis->out;

    ngx_queue_init(&lost);
    ngx_queue_init(&down);

    /* what is still in parts here, Redis cannot have run */

    while (!ngx_queue_empty(&redis->sent)) {
        q = ngx_queue_head(&redis->sent);
        ngx_queue_remove(q);

        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        if (cmd->buf.pos == cmd->buf.last) {
            ngx_queue_insert_tail(&lost, q);

        } else {
            ngx_queue_insert_tail(&down, q);
        }
    }

    if (!ngx_queue_empty(&redis->parked)) {
        ngx_queue_add(&down, &redis->parked);
        ngx_queue_init(&redis->parked);
    }

    if (!ngx_queue_empty(&redis->waiting)) {
        ngx_queue_add(&down, &redis->waiting);
        ngx_queue_init(&redis->waiting);
    }

    while (!ngx_queue_empty(&lost)) {
        q = ngx_queue_head(&lost);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(redis, cmd, NGX_HTTP_KNOCK_REDIS_LOST, NULL,
                                  &reason);
    }

    while (!ngx_queue_empty(&down)) {
        q = ngx_queue_head(&down);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(redis, cmd, NGX_HTTP_KNOCK_REDIS_DOWN, NULL,
                                  &reason);
    }
}


void
ngx_http_knock_redis_settle(ngx_http_knock_redis_t *redis)
{
    ngx_uint_t                       busy;
    ngx_queue_t                     *q;
    ngx_msec_int_t                   left;
    ngx_connection_t                *c;
    ngx_http_knock_redis_command_t  *cmd;

    /*
     * A worker that shuts down stays as long as there are timers that are not
     * cancelable: for a command of somebody's, but not for a ping.
     */

    busy = (redis->stats.in_flight != 0);

    redis->connect_timer.cancelable = !busy;
    redis->reply_timer.cancelable = !busy;

    if (redis->state != NGX_HTTP_KNOCK_REDIS_READY) {
        return;
    }

    if (redis->draining && ngx_queue_empty(&redis->sent)) {

        /* what Redis said has been logged already */

        redis->outage = 1;

        ngx_http_knock_redis_fail(redis, 0,
                                  "reconnecting, as Redis said \"%V\"",
                                  &redis->why);
        return;
    }

    if (ngx_exiting && !busy) {
        ngx_http_knock_redis_close(redis);
        ngx_http_knock_redis_drop_all(redis,
                                      ngx_http_knock_redis_why(redis,
                                                  "the worker is exiting"));
        return;
    }

    c = redis->connection;

    c->idle = ngx_queue_empty(&redis->waiting)
              && ngx_queue_empty(&redis->sent)
              && ngx_queue_empty(&redis->parked)
              && !c->buffered;

    if (ngx_queue_empty(&redis->sent)) {

        if (redis->reply_timer.timer_set) {
            ngx_del_timer(&redis->reply_timer);
        }

    } else if (!redis->reply_timer.timer_set) {

        q = ngx_queue_head(&redis->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        left = (ngx_msec_int_t) (cmd->deadline - ngx_current_msec);
        ngx_add_timer(&redis->reply_timer,
                      left > 0 ? (ngx_msec_t) left : 1);
    }

    if (!redis->ping_timer.timer_set && redis->conf->ping) {
        ngx_add_timer(&redis->ping_timer, redis->conf->ping);
    }
}


static void
ngx_http_knock_redis_flush_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_t  *redis;

    redis = ev->data;

    switch (redis->state) {

    case NGX_HTTP_KNOCK_REDIS_READY:
        ngx_http_knock_redis_write(redis);
        break;

    case NGX_HTTP_KNOCK_REDIS_CLOSED:

        /* closed for being idle as the worker shuts down, yet needed again */

        if (!redis->backoff_timer.timer_set
            && !ngx_queue_empty(&redis->waiting))
        {
            ngx_http_knock_redis_connect(redis);
        }

        break;

    default:
        break;
    }

    ngx_http_knock_redis_settle(redis);
}


static void
ngx_http_knock_redis_reply_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t                     *q;
    ngx_msec_int_t                   left;
    ngx_http_knock_redis_t          *redis;
    ngx_http_knock_redis_command_t  *cmd;

    redis = ev->data;

    if (!ngx_queue_empty(&redis->sent)) {

        /* the timer was set for a head of the queue that may be gone */

        q = ngx_queue_head(&redis->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        left = (ngx_msec_int_t) (cmd->deadline - ngx_current_msec);

        if (left <= 0) {
            redis->stats.timeouts++;
            ngx_http_knock_redis_fail(redis, 0,
                                      "no reply within %Mms; check what keeps "
                                      "Redis (SLOWLOG GET), or raise timeout=",
                                      redis->conf->timeout);
        }
    }

    ngx_http_knock_redis_settle(redis);
}


static void
ngx_http_knock_redis_ping_timer_handler(ngx_event_t *ev)
{
    ngx_msec_int_t           left;
    ngx_http_knock_redis_t  *redis;

    static const char       *argv[] = { "PING" };
    static const size_t      argvlen[] = { sizeof("PING") - 1 };

    redis = ev->data;

    left = (ngx_msec_int_t) (redis->active_at + redis->conf->ping
                             - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(ev, (ngx_msec_t) left);
        return;
    }

    /* a command in flight does as well as a ping */

    if (ngx_queue_empty(&redis->sent)) {

        if (ngx_http_knock_redis_internal(redis, 1, argv, argvlen,
                                          ngx_http_knock_redis_ponged)
            == NGX_OK)
        {
            ngx_http_knock_redis_write(redis);
        }
    }

    ngx_http_knock_redis_settle(redis);
}


static void
ngx_http_knock_redis_ponged(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    /* that there was a reply is all that counts */
}
