
/*
 * MOVED and ASK: the node that a command was sent to has not got its slot, and
 * says who has.  The command, or the transaction, is sent there, whole.
 *
 *   MOVED SLOT HOST:PORT   the slot has another owner, so the map is wrong
 *   ASK SLOT HOST:PORT     it is on its way there, and these keys have arrived
 *                          or are new; to be said behind ASKING, which holds
 *                          for one command, or for one transaction
 */

#include "ngx_http_knock_redis_cluster.h"


/* a command is redirected so often, then its time is not worth more tries */
#define NGX_HTTP_KNOCK_REDIS_HOPS  5


static ngx_int_t ngx_http_knock_redis_redirect_parse(
    ngx_http_knock_redis_node_t *node, redisReply *reply, u_char *text,
    knock_str_t *host, in_port_t *port);


ngx_int_t
ngx_http_knock_redis_redirect(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply)
{
    u_char                           text[NGX_SOCKADDR_STRLEN];
    in_port_t                        port;
    ngx_uint_t                       ask;
    knock_str_t                      host;
    ngx_http_knock_redis_node_t     *target;
    ngx_http_knock_redis_cluster_t  *cluster;

    cluster = node->client->cluster;

    ask = (reply->str[0] == 'A');

    if (!ask) {
        ngx_http_knock_redis_map_refresh(cluster);
    }

    if (cmd->internal
        || cmd->hops == NGX_HTTP_KNOCK_REDIS_HOPS
        || ngx_http_knock_redis_redirect_parse(node, reply, text, &host, &port)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    target = ngx_http_knock_redis_cluster_node(cluster, &host, port);

    if (target == NULL) {
        return NGX_DECLINED;
    }

    if (!ask && cmd->slot < KNOCK_SLOTS) {
        ngx_http_knock_redis_slots_set(cluster, cmd->slot, target);
    }

    if (ngx_http_knock_redis_cluster_away(target)) {
        return NGX_DECLINED;
    }

    cmd->hops++;
    cmd->asking = ask ? 1 : 0;

    ngx_http_knock_redis_cluster_pass(node, cmd, target);

    return NGX_OK;
}


/* no host stands for that of the node which says it */

static ngx_int_t
ngx_http_knock_redis_redirect_parse(ngx_http_knock_redis_node_t *node,
    redisReply *reply, u_char *text, knock_str_t *host, in_port_t *port)
{
    u_char     *p, *colon, *last;
    ngx_int_t   n;

    last = (u_char *) reply->str + reply->len;

    /* behind the slot; the address has colons of its own where it is of v6 */

    for (p = last; p > (u_char *) reply->str && p[-1] != ' '; p--) {
        /* void */
    }

    for (colon = last; colon > p && colon[-1] != ':'; colon--) { /* void */ }

    if (colon == p) {
        return NGX_DECLINED;
    }

    n = ngx_atoi(colon, (size_t) (last - colon));

    if (n < 1 || n > 65535) {
        return NGX_DECLINED;
    }

    *port = (in_port_t) n;

    host->data = p;
    host->len = (size_t) (colon - 1 - p);

    if (host->len == 0) {
        ngx_http_knock_redis_slots_host(node, text, host);

    } else if (host->len == 1 && *p == '?') {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_http_knock_redis_asking(ngx_http_knock_redis_node_t *node)
{
    static const char       *argv[] = { "ASKING" };
    static const size_t      argvlen[] = { sizeof("ASKING") - 1 };

    /* without it there is another redirect, which comes to an end too */

    (void) ngx_http_knock_redis_internal(node, 1, argv, argvlen,
                                         ngx_http_knock_redis_ignored);
}
