
/*
 * Where a node's server is, as others tell: the Sentinels, or the resolver.
 */

#include "ngx_http_knock_redis_internal.h"


static ngx_int_t ngx_http_knock_redis_describe(ngx_pool_t *pool,
    ngx_http_knock_redis_conf_t *conf, const knock_str_t *host,
    in_port_t port, ngx_http_knock_redis_server_t *server);


ngx_uint_t
ngx_http_knock_redis_is_at(ngx_http_knock_redis_node_t *node,
    const knock_str_t *host, in_port_t port)
{
    ngx_http_knock_redis_server_t  *server;

    server = &node->server;

    return server->port == port
           && server->host.len == host->len
           && ngx_memcmp(server->host.data, host->data, host->len) == 0;
}


ngx_int_t
ngx_http_knock_redis_set_server(ngx_http_knock_redis_node_t *node,
    const knock_str_t *host, in_port_t port)
{
    ngx_int_t                      rc;
    ngx_pool_t                    *pool;
    ngx_http_knock_redis_server_t  server;

    pool = ngx_create_pool(1024, node->cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_knock_redis_describe(pool, node->conf, host, port, &server);

    if (rc != NGX_OK) {
        ngx_destroy_pool(pool);
        return rc;
    }

    if (node->resolved_pool) {
        ngx_destroy_pool(node->resolved_pool);
        node->resolved_pool = NULL;
    }

    if (node->server_pool) {
        ngx_destroy_pool(node->server_pool);
    }

    node->server_pool = pool;
    node->server = server;
    node->addr = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_redis_describe(ngx_pool_t *pool,
    ngx_http_knock_redis_conf_t *conf, const knock_str_t *host,
    in_port_t port, ngx_http_knock_redis_server_t *server)
{
    u_char      *p;
    size_t       size;
    ngx_int_t    rc;
    ngx_str_t    name;
    ngx_uint_t   v6;
    ngx_addr_t  *addr;

    ngx_memzero(server, sizeof(ngx_http_knock_redis_server_t));

    server->port = port;
    server->host.len = host->len;
    server->host.data = ngx_pstrdup(pool, (ngx_str_t *) host);

    size = sizeof("rediss://[]:65535") - 1 + host->len;

    server->url.data = ngx_pnalloc(pool, size);
    addr = ngx_pcalloc(pool, sizeof(ngx_addr_t));

    if (server->host.data == NULL || server->url.data == NULL || addr == NULL)
    {
        return NGX_ERROR;
    }

    v6 = ngx_strlchr(server->host.data, server->host.data + host->len, ':')
         != NULL;

    p = ngx_sprintf(server->url.data, conf->tls ? "rediss://" : "redis://");

    name.data = p;

    p = ngx_sprintf(p, v6 ? "[%V]:%ud" : "%V:%ud", &server->host,
                    (ngx_uint_t) port);

    name.len = (size_t) (p - name.data);
    server->url.len = (size_t) (p - server->url.data);

#if (NGX_SSL)

    if (conf->tls
        && ngx_http_knock_redis_tls_name(pool, conf, server) != NGX_OK)
    {
        return NGX_ERROR;
    }

#endif

    rc = ngx_parse_addr(pool, addr, server->host.data, server->host.len);

    if (rc == NGX_DECLINED) {
        server->resolve = 1;
        return conf->resolver ? NGX_OK : NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_inet_set_port(addr->sockaddr, port);

    addr->name = name;
    server->addrs = addr;
    server->naddrs = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_knock_redis_keep_addrs(ngx_http_knock_redis_node_t *node,
    ngx_resolver_ctx_t *ctx)
{
    u_char           *p;
    ngx_uint_t        i;
    ngx_addr_t       *addrs;
    ngx_pool_t       *pool;
    struct sockaddr  *sockaddr;

    pool = ngx_create_pool(1024, node->cycle->log);
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
        ngx_inet_set_port(sockaddr, node->server.port);

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

    if (node->resolved_pool) {
        ngx_destroy_pool(node->resolved_pool);
    }

    node->resolved_pool = pool;
    node->server.addrs = addrs;
    node->server.naddrs = ctx->naddrs;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}
