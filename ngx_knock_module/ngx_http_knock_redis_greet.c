
/*
 * What comes between a connection and the first command of a user's, in one
 * flight, and the replies: AUTH, SELECT, CLIENT SETNAME, then what will be
 * needed.  Redis' settings are asked for, a script is run, and there is an
 * empty transaction: without them the connection is of no use.  Its name is
 * for people who look at CLIENT LIST, and may be refused.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_GREETING_SIZE  64

/* one that may write is kept waiting by CLIENT PAUSE, as in a failover */
#define NGX_HTTP_KNOCK_REDIS_SCRIPT         "#!lua flags=no-writes\nreturn 1"


static ngx_int_t ngx_http_knock_redis_greetings(
    ngx_http_knock_redis_node_t *node);
static ngx_int_t ngx_http_knock_redis_log_in(
    ngx_http_knock_redis_node_t *node);
static ngx_int_t ngx_http_knock_redis_say(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler);
static void ngx_http_knock_redis_greeted(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_named(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_scripted(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_role(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_ready(ngx_http_knock_redis_node_t *node);
static void ngx_http_knock_redis_write_handler(ngx_event_t *wev);


void
ngx_http_knock_redis_greet(ngx_http_knock_redis_node_t *node)
{
    ngx_connection_t  *c;

    c = node->connection;

    node->state = NGX_HTTP_KNOCK_REDIS_GREETING;

    c->read->handler = ngx_http_knock_redis_read_handler;
    c->write->handler = ngx_http_knock_redis_write_handler;

    if (ngx_http_knock_redis_create_reader(node) != NGX_OK
        || ngx_http_knock_redis_greetings(node) != NGX_OK)
    {
        ngx_http_knock_redis_fail(node, 0, "no memory for the connection");
        return;
    }

    /* it may have come already, and its event with it */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_http_knock_redis_write(node);
}


/* everything before the first command of the user's, in one flight */

static ngx_int_t
ngx_http_knock_redis_greetings(ngx_http_knock_redis_node_t *node)
{
    u_char                       *p;
    u_char                        db[NGX_INT_T_LEN];
    u_char                        name[NGX_HTTP_KNOCK_REDIS_GREETING_SIZE];
    size_t                        argvlen[3];
    const char                   *argv[3];
    ngx_http_knock_redis_conf_t  *conf;

    conf = node->conf;
    node->greetings = 0;

    if (ngx_http_knock_redis_log_in(node) != NGX_OK) {
        return NGX_ERROR;
    }

    if (conf->db && !node->is_sentinel) {

        argv[0] = "SELECT";
        argvlen[0] = sizeof("SELECT") - 1;

        p = ngx_sprintf(db, "%ui", conf->db);
        argv[1] = (char *) db;
        argvlen[1] = (size_t) (p - db);

        if (ngx_http_knock_redis_say(node, 2, argv, argvlen,
                                     ngx_http_knock_redis_greeted)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    argv[0] = "CLIENT";
    argvlen[0] = sizeof("CLIENT") - 1;

    argv[1] = "SETNAME";
    argvlen[1] = sizeof("SETNAME") - 1;

    p = ngx_snprintf(name, sizeof(name), "knock-%P", ngx_pid);
    argv[2] = (char *) name;
    argvlen[2] = (size_t) (p - name);

    if (ngx_http_knock_redis_say(node, 3, argv, argvlen,
                                 ngx_http_knock_redis_named)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (node->is_sentinel) {
        return NGX_OK;
    }

    if (ngx_http_knock_redis_ask_settings(node) != NGX_OK) {
        return NGX_ERROR;
    }

    node->greetings += 2;

    argv[0] = "EVAL";
    argvlen[0] = sizeof("EVAL") - 1;

    argv[1] = NGX_HTTP_KNOCK_REDIS_SCRIPT;
    argvlen[1] = sizeof(NGX_HTTP_KNOCK_REDIS_SCRIPT) - 1;

    argv[2] = "0";
    argvlen[2] = 1;

    if (ngx_http_knock_redis_say(node, 3, argv, argvlen,
                                 ngx_http_knock_redis_scripted)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    argv[0] = "MULTI";
    argvlen[0] = sizeof("MULTI") - 1;

    argv[1] = "EXEC";
    argvlen[1] = sizeof("EXEC") - 1;

    if (ngx_http_knock_redis_say(node, 1, argv, argvlen,
                                 ngx_http_knock_redis_greeted)
        != NGX_OK
        || ngx_http_knock_redis_say(node, 1, argv + 1, argvlen + 1,
                                    ngx_http_knock_redis_greeted)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_SENTINEL) {

        argv[0] = "ROLE";
        argvlen[0] = sizeof("ROLE") - 1;

        if (ngx_http_knock_redis_say(node, 1, argv, argvlen,
                                     ngx_http_knock_redis_role)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conf->min_replicas) {

        /* whether it may be said; it waits for nothing */

        argv[0] = "WAIT";
        argvlen[0] = sizeof("WAIT") - 1;

        argv[1] = argv[2] = "0";
        argvlen[1] = argvlen[2] = 1;

        return ngx_http_knock_redis_say(node, 3, argv, argvlen,
                                        ngx_http_knock_redis_greeted);
    }

    return NGX_OK;
}


/* the Sentinels have a user and a password of their own */

static ngx_int_t
ngx_http_knock_redis_log_in(ngx_http_knock_redis_node_t *node)
{
    size_t                        argvlen[3];
    ngx_str_t                    *user, *password;
    ngx_uint_t                    n;
    const char                   *argv[3];
    ngx_http_knock_redis_conf_t  *conf;

    conf = node->conf;

    user = node->is_sentinel ? &conf->sentinel_user : &conf->user;
    password = node->is_sentinel ? &conf->sentinel_password : &conf->password;

    if (password->len == 0) {
        return NGX_OK;
    }

    n = 0;

    argv[n] = "AUTH";
    argvlen[n++] = sizeof("AUTH") - 1;

    if (user->len) {
        argv[n] = (char *) user->data;
        argvlen[n++] = user->len;
    }

    argv[n] = (char *) password->data;
    argvlen[n++] = password->len;

    return ngx_http_knock_redis_say(node, n, argv, argvlen,
                                    ngx_http_knock_redis_greeted);
}


static ngx_int_t
ngx_http_knock_redis_say(ngx_http_knock_redis_node_t *node, ngx_uint_t argc,
    const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler)
{
    if (ngx_http_knock_redis_question(node, argc, argv, argvlen, handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    node->greetings++;

    return NGX_OK;
}


static void
ngx_http_knock_redis_greeted(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    switch (status) {

    case NGX_HTTP_KNOCK_REDIS_OK:
        ngx_http_knock_redis_passed(node);
        break;

    case NGX_HTTP_KNOCK_REDIS_ERROR:
    case NGX_HTTP_KNOCK_REDIS_RETRY:
        ngx_http_knock_redis_not_let_in(node, why);
        break;

    default:
        break;
    }
}


static void
ngx_http_knock_redis_named(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    if (!ngx_http_knock_redis_is_denied(status, reply)) {
        ngx_http_knock_redis_greeted(data, status, reply, why);
        return;
    }

    ngx_http_knock_redis_remark(node, NGX_HTTP_KNOCK_REDIS_ON_NAME,
                                NGX_LOG_NOTICE,
                                "gives the connection no name in CLIENT LIST, "
                                "and is used without: %V", why);
    ngx_http_knock_redis_passed(node);
}


/* what passes by itself, as LOADING, is not the log-in's concern */

static void
ngx_http_knock_redis_scripted(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    if (status == NGX_HTTP_KNOCK_REDIS_RETRY
        && !ngx_http_knock_redis_is_denied(status, reply))
    {
        ngx_http_knock_redis_passed(data);
        return;
    }

    ngx_http_knock_redis_greeted(data, status, reply, why);
}


void
ngx_http_knock_redis_passed(ngx_http_knock_redis_node_t *node)
{
    if (node->state == NGX_HTTP_KNOCK_REDIS_GREETING
        && --node->greetings == 0)
    {
        ngx_http_knock_redis_ready(node);
    }
}


void
ngx_http_knock_redis_not_let_in(ngx_http_knock_redis_node_t *node,
    ngx_str_t *why)
{
    if (node->is_sentinel) {
        ngx_http_knock_redis_fail(node, 0, "it let us not in: %V; check "
                                  "sentinel_user= and sentinel_password=",
                                  why);
        return;
    }

    /* it may have been away before, for another reason */

    if (ngx_http_knock_redis_is_news(node, NGX_HTTP_KNOCK_REDIS_ON_LOG_IN, why))
    {
        node->outage = 0;
    }

    /* the others of the flight are dropped by this */

    ngx_http_knock_redis_fail(node, 0, "Redis let us not in: %V", why);
}


/* what the Sentinels say may be old, or this be a master that is one no more */

static void
ngx_http_knock_redis_role(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    if (status == NGX_HTTP_KNOCK_REDIS_OK
        && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0
            || reply->element[0]->type != REDIS_REPLY_STRING
            || ngx_strcmp(reply->element[0]->str, "master") != 0))
    {
        ngx_http_knock_redis_fail(node, 0,
                                  "a Sentinel names it as the master, which "
                                  "it is not; another one is asked");
        return;
    }

    ngx_http_knock_redis_greeted(data, status, reply, why);
}


static void
ngx_http_knock_redis_ready(ngx_http_knock_redis_node_t *node)
{
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    node->state = NGX_HTTP_KNOCK_REDIS_READY;
    node->unfit = NULL;
    node->stats->up++;

    ngx_http_knock_redis_unremark(node, NGX_HTTP_KNOCK_REDIS_ON_LOG_IN);
    node->ready_at = ngx_current_msec;

    ngx_del_timer(&node->connect_timer);

    if (node->is_sentinel) {
        ngx_http_knock_redis_sentinel_question(node->client->sentinel);
        return;
    }

    if (node->outage) {
        node->outage = 0;
        node->stats->reconnects++;

        ngx_log_error(NGX_LOG_INFO, node->cycle->log, 0,
                      "Redis \"%V\" is back", &node->server.url);
    }

    ngx_http_knock_redis_hush(node, 0);

    if (node->client->cluster) {
        ngx_http_knock_redis_map_ready(node);
    }

    for (q = ngx_queue_head(&node->waiting);
         q != ngx_queue_sentinel(&node->waiting);
         q = ngx_queue_next(q))
    {
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);
        ngx_http_knock_redis_rewind(node->client, cmd);
    }

    ngx_post_event(&node->flush, &ngx_posted_events);
}


static void
ngx_http_knock_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t             *c;
    ngx_http_knock_redis_node_t  *node;

    c = wev->data;
    node = c->data;

    ngx_http_knock_redis_write(node);
    ngx_http_knock_redis_settle(node);
}
