
/*
 * What CLUSTER SLOTS answers: for each range of slots its first and last one,
 * and the nodes that have it, the master first; a node is a host, a port, an
 * id and, since 7.0, more that is known of it, as names and values.
 */

#include "ngx_http_knock_redis_cluster.h"


static ngx_int_t ngx_http_knock_redis_slots_check(redisReply *range);
static void ngx_http_knock_redis_slots_endpoint(
    ngx_http_knock_redis_node_t *node, redisReply *master, u_char *text,
    knock_str_t *host);
static redisReply *ngx_http_knock_redis_slots_ip(redisReply *master);


void
ngx_http_knock_redis_slots_set(ngx_http_knock_redis_cluster_t *cluster,
    ngx_uint_t slot, ngx_http_knock_redis_node_t *node)
{
    ngx_http_knock_redis_node_t  *owner;

    owner = cluster->owners[slot];

    if (owner) {
        owner->slots--;
        cluster->owned--;
    }

    if (node) {
        node->slots++;
        cluster->owned++;
    }

    cluster->owners[slot] = node;
}


ngx_int_t
ngx_http_knock_redis_slots_take(ngx_http_knock_redis_cluster_t *cluster,
    ngx_http_knock_redis_node_t *node, redisReply *reply)
{
    u_char                        text[NGX_SOCKADDR_STRLEN];
    ngx_uint_t                    i, slot;
    redisReply                   *range, *master;
    knock_str_t                   host;
    ngx_http_knock_redis_node_t  *owner;

    /* one that has been forgotten by the others knows no slots */

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return NGX_DECLINED;
    }

    for (i = 0; i < reply->elements; i++) {
        if (ngx_http_knock_redis_slots_check(reply->element[i]) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    for (slot = 0; slot < KNOCK_SLOTS; slot++) {
        ngx_http_knock_redis_slots_set(cluster, slot, NULL);
    }

    for (i = 0; i < reply->elements; i++) {

        range = reply->element[i];
        master = range->element[2];

        ngx_http_knock_redis_slots_endpoint(node, master, text, &host);

        owner = NULL;

        if (host.len) {
            owner = ngx_http_knock_redis_cluster_node(cluster, &host,
                                   (in_port_t) master->element[1]->integer);
        }

        for (slot = (ngx_uint_t) range->element[0]->integer;
             slot <= (ngx_uint_t) range->element[1]->integer;
             slot++)
        {
            ngx_http_knock_redis_slots_set(cluster, slot, owner);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_redis_slots_check(redisReply *range)
{
    redisReply  *first, *last, *master, *host, *port;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3) {
        return NGX_DECLINED;
    }

    first = range->element[0];
    last = range->element[1];
    master = range->element[2];

    if (first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER
        || first->integer < 0 || last->integer < first->integer
        || last->integer >= KNOCK_SLOTS
        || master->type != REDIS_REPLY_ARRAY || master->elements < 2)
    {
        return NGX_DECLINED;
    }

    host = master->element[0];
    port = master->element[1];

    if ((host->type != REDIS_REPLY_STRING && host->type != REDIS_REPLY_NIL)
        || port->type != REDIS_REPLY_INTEGER
        || port->integer < 1 || port->integer > 65535)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* an empty host: there is none to be had */

static void
ngx_http_knock_redis_slots_endpoint(ngx_http_knock_redis_node_t *node,
    redisReply *master, u_char *text, knock_str_t *host)
{
    redisReply  *name;

    name = master->element[0];

    if (name->type == REDIS_REPLY_STRING && name->len == 1
        && name->str[0] == '?')
    {
        /* it is to have a name, and nobody has given it one */

        name = ngx_http_knock_redis_slots_ip(master);

        if (name == NULL) {
            host->len = 0;
            return;
        }
    }

    if (name->type == REDIS_REPLY_NIL || name->len == 0) {
        ngx_http_knock_redis_slots_host(node, text, host);
        return;
    }

    host->len = (size_t) name->len;
    host->data = (u_char *) name->str;
}


static redisReply *
ngx_http_knock_redis_slots_ip(redisReply *master)
{
    size_t       i;
    redisReply  *more, *name, *value;

    if (master->elements < 4
        || master->element[3]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    more = master->element[3];

    for (i = 0; i + 1 < more->elements; i += 2) {

        name = more->element[i];
        value = more->element[i + 1];

        if (name->type == REDIS_REPLY_STRING
            && value->type == REDIS_REPLY_STRING
            && ngx_strcmp(name->str, "ip") == 0)
        {
            return value;
        }
    }

    return NULL;
}


void
ngx_http_knock_redis_slots_host(ngx_http_knock_redis_node_t *node,
    u_char *text, knock_str_t *host)
{
    ngx_connection_t  *c;

    c = node->connection;

    /* a name that cannot be resolved has been when the worker started */

    if (node->server.resolve && node->conf->resolver == NULL && c) {
        host->data = text;
        host->len = ngx_sock_ntop(c->sockaddr, c->socklen, text,
                                  NGX_SOCKADDR_STRLEN, 0);
        return;
    }

    host->data = node->server.host.data;
    host->len = node->server.host.len;
}
