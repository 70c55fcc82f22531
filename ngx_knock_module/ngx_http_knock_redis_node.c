
/*
 * The commands of a node: how they are queued, written, limited in time, and
 * answered when there is no reply.
 */

#include "ngx_http_knock_redis_internal.h"


static void ngx_http_knock_redis_hand_over(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd);
static ngx_int_t ngx_http_knock_redis_await_room(ngx_event_t *wev);
static void ngx_http_knock_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_reply_timer_handler(ngx_event_t *ev);
static void ngx_http_knock_redis_no_reply(ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_ping_timer_handler(ngx_event_t *ev);


ngx_http_knock_redis_node_t *
ngx_http_knock_redis_node_create(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_server_t *server)
{
    ngx_log_t                    *log;
    ngx_pool_t                   *pool;
    ngx_http_knock_redis_node_t  *node;

    log = redis->cycle->log;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (pool == NULL) {
        return NULL;
    }

    node = ngx_pcalloc(pool, sizeof(ngx_http_knock_redis_node_t));
    if (node == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    node->replies = knock_arena_create(NGX_HTTP_KNOCK_REDIS_REPLY_SIZE);
    if (node->replies == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    node->pool = pool;
    node->client = redis;
    node->conf = redis->conf;
    node->cycle = redis->cycle;
    node->ping = redis->conf->ping;
    node->ident = (ngx_socket_t) -1;
    node->log = *log;
    node->stats = &redis->stats;
    node->why.data = node->why_data;
    node->refused.data = node->refused_data;
    node->out_last = &node->out;

    if (server) {
        node->server = *server;
    }

    ngx_queue_init(&node->waiting);
    ngx_queue_init(&node->sent);
    ngx_queue_init(&node->parked);
    ngx_queue_init(&node->held);

    node->flush.handler = ngx_http_knock_redis_flush_handler;
    node->flush.data = node;
    node->flush.log = log;

    node->reply_timer.handler = ngx_http_knock_redis_reply_timer_handler;
    node->reply_timer.data = node;
    node->reply_timer.log = log;

    node->ping_timer.handler = ngx_http_knock_redis_ping_timer_handler;
    node->ping_timer.data = node;
    node->ping_timer.log = log;
    node->ping_timer.cancelable = 1;

    return node;
}


void
ngx_http_knock_redis_node_destroy(ngx_http_knock_redis_node_t *node)
{
    ngx_http_knock_redis_close(node);

    ngx_http_knock_redis_drop_all(node,
                                  ngx_http_knock_redis_why(node,
                                                  "the worker is exiting"));

    knock_arena_destroy(node->replies);

    if (node->flush.posted) {
        ngx_delete_posted_event(&node->flush);
    }

    if (node->backoff_timer.timer_set) {
        ngx_del_timer(&node->backoff_timer);
    }

    if (node->resolved_pool) {
        ngx_destroy_pool(node->resolved_pool);
    }

    if (node->server_pool) {
        ngx_destroy_pool(node->server_pool);
    }

    ngx_destroy_pool(node->pool);
}


void
ngx_http_knock_redis_node_queue(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_queue_insert_tail(&node->waiting, &cmd->queue);

    node->in_flight++;

    if (node->connection) {
        node->connection->idle = 0;
    }

    node->connect_timer.cancelable = 0;

    if (node->state == NGX_HTTP_KNOCK_REDIS_READY
        || node->state == NGX_HTTP_KNOCK_REDIS_CLOSED)
    {
        ngx_post_event(&node->flush, &ngx_posted_events);
    }
}


ngx_int_t
ngx_http_knock_redis_internal(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler)
{
    size_t                           n;
    ngx_http_knock_redis_command_t  *cmd;

    n = argc;

    cmd = ngx_http_knock_redis_format(node->client, NULL, &n, 1, argv,
                                      argvlen);
    if (cmd == NULL) {
        return NGX_ERROR;
    }

    if (node->is_sentinel) {

        /* there are others */

        cmd->deadline = ngx_current_msec + node->conf->connect_timeout;
    }

    cmd->internal = 1;
    cmd->waits = 0;
    cmd->handler = handler;
    cmd->data = node;

    ngx_http_knock_redis_hand_over(node, cmd);

    return NGX_OK;
}


ngx_int_t
ngx_http_knock_redis_question(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler)
{
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    if (ngx_http_knock_redis_internal(node, argc, argv, argvlen, handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    q = ngx_queue_last(&node->sent);
    cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
    cmd->question = 1;

    return NGX_OK;
}


static void
ngx_http_knock_redis_hand_over(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_queue_insert_tail(&node->sent, &cmd->queue);

    cmd->link.buf = &cmd->buf;
    cmd->link.next = NULL;

    *node->out_last = &cmd->link;
    node->out_last = &cmd->link.next;
}


void
ngx_http_knock_redis_write(ngx_http_knock_redis_node_t *node)
{
    ngx_queue_t                     *q;
    ngx_connection_t                *c;
    ngx_http_knock_redis_command_t  *cmd, *last;

    c = node->connection;

    if (node->state == NGX_HTTP_KNOCK_REDIS_READY && !node->draining
        && !node->awaiting)
    {
        last = NULL;

        while (!ngx_queue_empty(&node->waiting)) {
            q = ngx_queue_head(&node->waiting);
            cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

            if (ngx_http_knock_redis_refuse_long(node, cmd) == NGX_OK) {
                continue;
            }

            ngx_queue_remove(q);

            if (cmd->asking) {
                ngx_http_knock_redis_asking(node);
            }

            ngx_http_knock_redis_hand_over(node, cmd);

            if (cmd->waits) {
                last = cmd;
            }
        }

        if (last && ngx_http_knock_redis_wait(node, last) != NGX_OK) {
            ngx_http_knock_redis_fail(node, 0, "no memory to wait for "
                                      "replicas");
            return;
        }
    }

    /*
     * Once is enough, it writes until the socket is full; over TLS it may be
     * a read that has to come first, then the socket stays ready for writing.
     */

    if ((node->out || c->buffered) && c->write->ready) {

        node->out = c->send_chain(c, node->out, 0);

        if (node->out == NGX_CHAIN_ERROR) {

            /* it may have said why before it closed: that is read first */

            node->out = NULL;
            c->read->ready = 1;
            c->read->available = -1;
            ngx_post_event(c->read, &ngx_posted_events);
        }

        if (node->out == NULL) {
            node->out_last = &node->out;
        }
    }

    if (ngx_http_knock_redis_await_room(c->write) != NGX_OK) {
        ngx_http_knock_redis_fail(node, 0, "no event for the connection");
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
ngx_http_knock_redis_done(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    void                             *data;
    ngx_http_knock_redis_stats_t     *stats;
    ngx_http_knock_redis_handler_pt   handler;

    ngx_queue_remove(&cmd->queue);

    if (!cmd->internal) {
        stats = node->stats;

        node->in_flight--;
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
        case NGX_HTTP_KNOCK_REDIS_TOO_LONG:
            stats->lost++;
            break;
        }
    }

    handler = cmd->handler;
    data = cmd->data;

    ngx_http_knock_redis_release(node->client, cmd);

    handler(data, status, reply, why);
}


void
ngx_http_knock_redis_drop_all(ngx_http_knock_redis_node_t *node,
    ngx_str_t *why)
{
    u_char                           text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t                        reason;
    ngx_queue_t                      lost, down, *q;
    ngx_http_knock_redis_command_t  *cmd;

    /* out of the way of what the handlers will queue or say */

    reason.len = why->len;
    reason.data = text;
    ngx_memcpy(text, why->data, why->len);

    node->out = NULL;
    node->out_last = &node->out;

    ngx_queue_init(&lost);
    ngx_queue_init(&down);

    /* what is still in parts here, Redis cannot have run */

    while (!ngx_queue_empty(&node->sent)) {
        q = ngx_queue_head(&node->sent);
        ngx_queue_remove(q);

        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        if (cmd->buf.pos == cmd->buf.last) {
            ngx_queue_insert_tail(&lost, q);

        } else {
            ngx_queue_insert_tail(&down, q);
        }
    }

    if (!ngx_queue_empty(&node->held)) {
        ngx_queue_add(&lost, &node->held);
        ngx_queue_init(&node->held);
    }

    if (!ngx_queue_empty(&node->parked)) {
        ngx_queue_add(&down, &node->parked);
        ngx_queue_init(&node->parked);
    }

    if (!ngx_queue_empty(&node->waiting)) {
        ngx_queue_add(&down, &node->waiting);
        ngx_queue_init(&node->waiting);
    }

    while (!ngx_queue_empty(&lost)) {
        q = ngx_queue_head(&lost);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(node, cmd, NGX_HTTP_KNOCK_REDIS_LOST, NULL,
                                  &reason);
    }

    while (!ngx_queue_empty(&down)) {
        q = ngx_queue_head(&down);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_done(node, cmd, NGX_HTTP_KNOCK_REDIS_DOWN, NULL,
                                  &reason);
    }
}


ngx_uint_t
ngx_http_knock_redis_busy(ngx_http_knock_redis_node_t *node)
{
    ngx_http_knock_redis_node_t  *master;

    master = node->client->node;

    if (!node->is_sentinel) {
        return node->in_flight != 0
               || (node->client->cluster && master->in_flight);
    }

    return master->in_flight
           && master->state == NGX_HTTP_KNOCK_REDIS_ASKING;
}


void
ngx_http_knock_redis_settle(ngx_http_knock_redis_node_t *node)
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

    busy = ngx_http_knock_redis_busy(node);

    node->connect_timer.cancelable = !busy;
    node->reply_timer.cancelable = !busy;

    if (node->state != NGX_HTTP_KNOCK_REDIS_READY) {
        return;
    }

    if (node->draining && ngx_queue_empty(&node->sent)) {

        /* what Redis said has been logged already */

        node->outage = 1;

        ngx_http_knock_redis_fail(node, 0,
                                  "reconnecting, as Redis said \"%V\"",
                                  &node->why);
        return;
    }

    if (ngx_exiting && !busy) {
        ngx_http_knock_redis_close(node);
        ngx_http_knock_redis_drop_all(node,
                                      ngx_http_knock_redis_why(node,
                                                  "the worker is exiting"));
        return;
    }

    c = node->connection;

    c->idle = ngx_queue_empty(&node->waiting)
              && ngx_queue_empty(&node->sent)
              && ngx_queue_empty(&node->parked)
              && !c->buffered;

    if (ngx_queue_empty(&node->sent)) {

        if (node->reply_timer.timer_set) {
            ngx_del_timer(&node->reply_timer);
        }

    } else if (!node->reply_timer.timer_set) {

        q = ngx_queue_head(&node->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        left = (ngx_msec_int_t) (cmd->deadline - ngx_current_msec);
        ngx_add_timer(&node->reply_timer,
                      left > 0 ? (ngx_msec_t) left : 1);
    }

    if (!node->ping_timer.timer_set && node->ping) {
        ngx_add_timer(&node->ping_timer, node->ping);
    }
}


static void
ngx_http_knock_redis_flush_handler(ngx_event_t *ev)
{
    ngx_http_knock_redis_node_t  *node;

    node = ev->data;

    switch (node->state) {

    case NGX_HTTP_KNOCK_REDIS_READY:
        ngx_http_knock_redis_write(node);
        break;

    case NGX_HTTP_KNOCK_REDIS_CLOSED:

        /* closed for being idle as the worker shuts down, yet needed again */

        if (!node->backoff_timer.timer_set
            && !ngx_queue_empty(&node->waiting))
        {
            ngx_http_knock_redis_connect(node);
        }

        break;

    default:
        break;
    }

    ngx_http_knock_redis_settle(node);
}


static void
ngx_http_knock_redis_reply_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t                     *q;
    ngx_msec_int_t                   left;
    ngx_http_knock_redis_node_t     *node;
    ngx_http_knock_redis_command_t  *cmd;

    node = ev->data;

    if (!ngx_queue_empty(&node->sent)) {

        /* the timer was set for a head of the queue that may be gone */

        q = ngx_queue_head(&node->sent);
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        left = (ngx_msec_int_t) (cmd->deadline - ngx_current_msec);

        if (left <= 0) {
            node->stats->timeouts++;
            ngx_http_knock_redis_no_reply(node);
        }
    }

    ngx_http_knock_redis_settle(node);
}


static void
ngx_http_knock_redis_no_reply(ngx_http_knock_redis_node_t *node)
{
    if (node->is_sentinel) {
        ngx_http_knock_redis_fail(node, 0,
                                  "no reply within %Mms; check what keeps it, "
                                  "or raise connect_timeout=",
                                  node->conf->connect_timeout);
        return;
    }

    ngx_http_knock_redis_fail(node, 0,
                              "no reply within %Mms; check what keeps Redis "
                              "(SLOWLOG GET), or raise timeout=",
                              node->conf->timeout);
}


static void
ngx_http_knock_redis_ping_timer_handler(ngx_event_t *ev)
{
    ngx_msec_int_t                left;
    ngx_http_knock_redis_node_t  *node;

    node = ev->data;

    if (node->is_sentinel) {
        left = (ngx_msec_int_t) (node->active_at + node->ping
                                 - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, (ngx_msec_t) left);
            return;
        }

        ngx_http_knock_redis_sentinel_question(node->client->sentinel);

    } else if (ngx_http_knock_redis_ask_settings(node) == NGX_OK) {
        ngx_http_knock_redis_write(node);
    }

    ngx_http_knock_redis_settle(node);
}


void
ngx_http_knock_redis_ignored(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    /* that there was a reply is all that counts */
}
