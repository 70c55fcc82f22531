
/*
 * What comes between a connection and the first command of a user's: AUTH,
 * SELECT, CLIENT SETNAME and an empty transaction in one flight, and their
 * replies.  Where MULTI is refused, what was meant to be a transaction would
 * be done command by command: there the connection is of no use.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_GREETING_SIZE  64


static ngx_int_t ngx_http_knock_redis_greetings(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_greeted(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_ready(ngx_http_knock_redis_t *redis);
static void ngx_http_knock_redis_write_handler(ngx_event_t *wev);


void
ngx_http_knock_redis_greet(ngx_http_knock_redis_t *redis)
{
    ngx_connection_t  *c;

    c = redis->connection;

    redis->state = NGX_HTTP_KNOCK_REDIS_GREETING;

    c->read->handler = ngx_http_knock_redis_read_handler;
    c->write->handler = ngx_http_knock_redis_write_handler;

    if (ngx_http_knock_redis_create_reader(redis) != NGX_OK
        || ngx_http_knock_redis_greetings(redis) != NGX_OK)
    {
        ngx_http_knock_redis_fail(redis, 0, "no memory for the connection");
        return;
    }

    /* it may have come already, and its event with it */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_http_knock_redis_write(redis);
}


/* everything before the first command of the user's, in one flight */

static ngx_int_t
ngx_http_knock_redis_greetings(ngx_http_knock_redis_t *redis)
{
    u_char                       *p;
    u_char                        db[NGX_INT_T_LEN];
    u_char                        name[NGX_HTTP_KNOCK_REDIS_GREETING_SIZE];
    size_t                        argvlen[3];
    ngx_uint_t                    n;
    const char                   *argv[3];
    ngx_http_knock_redis_conf_t  *conf;

    conf = redis->conf;
    redis->greetings = 0;

    if (conf->password.len) {

        n = 0;

        argv[n] = "AUTH";
        argvlen[n++] = sizeof("AUTH") - 1;

        if (conf->user.len) {
            argv[n] = (char *) conf->user.data;
            argvlen[n++] = conf->user.len;
        }

        argv[n] = (char *) conf->password.data;
        argvlen[n++] = conf->password.len;

        if (ngx_http_knock_redis_internal(redis, n, argv, argvlen,
                                          ngx_http_knock_redis_greeted)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        redis->greetings++;
    }

    if (conf->db) {

        argv[0] = "SELECT";
        argvlen[0] = sizeof("SELECT") - 1;

        p = ngx_sprintf(db, "%ui", conf->db);
        argv[1] = (char *) db;
        argvlen[1] = (size_t) (p - db);

        if (ngx_http_knock_redis_internal(redis, 2, argv, argvlen,
                                          ngx_http_knock_redis_greeted)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        redis->greetings++;
    }

    /* names the connection in CLIENT LIST, and asks whether we are let in */

    argv[0] = "CLIENT";
    argvlen[0] = sizeof("CLIENT") - 1;

    argv[1] = "SETNAME";
    argvlen[1] = sizeof("SETNAME") - 1;

    p = ngx_snprintf(name, sizeof(name), "knock-%P", ngx_pid);
    argv[2] = (char *) name;
    argvlen[2] = (size_t) (p - name);

    if (ngx_http_knock_redis_internal(redis, 3, argv, argvlen,
                                      ngx_http_knock_redis_greeted)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    redis->greetings++;

    argv[0] = "MULTI";
    argvlen[0] = sizeof("MULTI") - 1;

    argv[1] = "EXEC";
    argvlen[1] = sizeof("EXEC") - 1;

    for (n = 0; n < 2; n++) {
        if (ngx_http_knock_redis_internal(redis, 1, argv + n, argvlen + n,
                                          ngx_http_knock_redis_greeted)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        redis->greetings++;
    }

    return NGX_OK;
}


static void
ngx_http_knock_redis_greeted(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_t *redis = data;

    switch (status) {

    case NGX_HTTP_KNOCK_REDIS_OK:

        if (--redis->greetings == 0) {
            ngx_http_knock_redis_ready(redis);
        }

        break;

    case NGX_HTTP_KNOCK_REDIS_ERROR:
    case NGX_HTTP_KNOCK_REDIS_RETRY:

        /* the others of the flight are dropped by this */

        ngx_http_knock_redis_fail(redis, 0, "Redis let us not in: %V", why);
        break;

    default:
        break;
    }
}


static void
ngx_http_knock_redis_ready(ngx_http_knock_redis_t *redis)
{
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    redis->state = NGX_HTTP_KNOCK_REDIS_READY;
    redis->stats.up = 1;
    redis->ready_at = ngx_current_msec;

    ngx_del_timer(&redis->connect_timer);

    if (redis->outage) {
        redis->outage = 0;
        redis->stats.reconnects++;

        ngx_log_error(NGX_LOG_INFO, redis->cycle->log, 0,
                      "Redis \"%V\" is back", &redis->conf->url);
    }

    ngx_http_knock_redis_hush(redis, 0);

    for (q = ngx_queue_head(&redis->waiting);
         q != ngx_queue_sentinel(&redis->waiting);
         q = ngx_queue_next(q))
    {
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_rewind(redis, cmd);
    }

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


static void
ngx_http_knock_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t        *c;
    ngx_http_knock_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    ngx_http_knock_redis_write(redis);
    ngx_http_knock_redis_settle(redis);
}
