
/*
 * The URLs of Redis, or of the Sentinels.
 *
 *   redis://[user:password@]host[:port][/db]
 *   rediss://...                               the same over TLS
 *   unix:/path
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_PORT           6379
#define NGX_HTTP_KNOCK_REDIS_SENTINEL_PORT  26379


static ngx_uint_t ngx_http_knock_redis_equal(ngx_str_t *a, ngx_str_t *b);
static char *ngx_http_knock_redis_parse_server(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server,
    ngx_str_t *url);
static char *ngx_http_knock_redis_parse_user(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *text);
static ngx_int_t ngx_http_knock_redis_unescape(ngx_conf_t *cf, ngx_str_t *dst,
    u_char *start, u_char *end);
static char *ngx_http_knock_redis_parse_addr(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server,
    ngx_str_t *addr);


ngx_int_t
ngx_http_knock_redis_is_url(ngx_str_t *arg)
{
    return ngx_strncmp(arg->data, "redis://", 8) == 0
           || ngx_strncmp(arg->data, "rediss://", 9) == 0
           || ngx_strncmp(arg->data, "unix:", 5) == 0;
}


char *
ngx_http_knock_redis_parse_url(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *url)
{
    char                           *rv;
    ngx_http_knock_redis_conf_t     before;
    ngx_http_knock_redis_server_t  *server;

    before = *conf;

    conf->tls = 0;
    conf->db = 0;
    ngx_str_null(&conf->user);
    ngx_str_null(&conf->password);

    server = ngx_array_push(&conf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_knock_redis_server_t));

    rv = ngx_http_knock_redis_parse_server(cf, conf, server, url);

    if (rv != NGX_CONF_OK || conf->servers.nelts == 1) {
        return rv;
    }

    if (conf->tls != before.tls || conf->db != before.db
        || !ngx_http_knock_redis_equal(&conf->user, &before.user)
        || !ngx_http_knock_redis_equal(&conf->password, &before.password))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the URLs of Redis must agree in all but host and "
                           "port; user=, password= and db= speak for all");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_knock_redis_equal(ngx_str_t *a, ngx_str_t *b)
{
    if (a->len != b->len) {
        return 0;
    }

    return a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0;
}


static char *
ngx_http_knock_redis_parse_server(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server,
    ngx_str_t *url)
{
    char       *rv;
    u_char     *p, *at, *end, *slash;
    ngx_int_t   db;
    ngx_str_t   scheme, user, addr;

    if (ngx_strncmp(url->data, "unix:", 5) == 0) {
        server->url = *url;
        return ngx_http_knock_redis_parse_addr(cf, conf, server, url);
    }

    if (ngx_strncmp(url->data, "redis://", 8) == 0) {
        ngx_str_set(&scheme, "redis://");

    } else if (ngx_strncmp(url->data, "rediss://", 9) == 0) {
        ngx_str_set(&scheme, "rediss://");
        conf->tls = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the URL of Redis must start with \"redis://\", "
                           "\"rediss://\" or \"unix:\"");
        return NGX_CONF_ERROR;
    }

#if !(NGX_SSL)

    if (conf->tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"rediss://\" needs an nginx built with "
                           "--with-http_ssl_module");
        return NGX_CONF_ERROR;
    }

#endif

    p = url->data + scheme.len;
    end = url->data + url->len;

    slash = ngx_strlchr(p, end, '/');
    addr.len = (size_t) ((slash ? slash : end) - p);

    for (at = p + addr.len; at > p && at[-1] != '@'; at--) { /* void */ }

    if (at > p) {
        user.data = p;
        user.len = (size_t) (at - 1 - p);

        rv = ngx_http_knock_redis_parse_user(cf, conf, &user);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    addr.len -= (size_t) (at - p);
    addr.data = at;

    if (slash && slash + 1 < end) {
        db = ngx_atoi(slash + 1, (size_t) (end - slash - 1));

        if (db == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "what follows the host and \"/\" in the URL of "
                               "Redis must be the number of a database; in a "
                               "password, \"/\" is written as \"%%2F\"");
            return NGX_CONF_ERROR;
        }

        conf->db = (ngx_uint_t) db;
    }

    server->url.len = scheme.len + (size_t) (end - at);
    server->url.data = ngx_pnalloc(cf->pool, server->url.len);
    if (server->url.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(server->url.data, scheme.data, scheme.len);
    ngx_memcpy(p, at, (size_t) (end - at));

    return ngx_http_knock_redis_parse_addr(cf, conf, server, &addr);
}


static char *
ngx_http_knock_redis_parse_user(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *text)
{
    u_char  *colon, *end;

    end = text->data + text->len;
    colon = ngx_strlchr(text->data, end, ':');

    if (colon == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "what precedes \"@\" in the URL of Redis must be "
                           "\"user:password\" or \":password\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_knock_redis_unescape(cf, &conf->user, text->data, colon)
        != NGX_OK
        || ngx_http_knock_redis_unescape(cf, &conf->password, colon + 1, end)
           != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the user or the password in the URL of Redis has "
                           "a \"%%\" that two hexadecimal digits do not "
                           "follow; write \"%%\" itself as \"%%25\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_knock_redis_unescape(ngx_conf_t *cf, ngx_str_t *dst, u_char *start,
    u_char *end)
{
    u_char     *p, *d;
    ngx_int_t   ch;

    dst->data = ngx_pnalloc(cf->pool, (size_t) (end - start) + 1);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    d = dst->data;

    for (p = start; p < end; p++) {

        if (*p != '%') {
            *d++ = *p;
            continue;
        }

        if (end - p < 3) {
            return NGX_ERROR;
        }

        ch = ngx_hextoi(p + 1, 2);
        if (ch == NGX_ERROR) {
            return NGX_ERROR;
        }

        *d++ = (u_char) ch;
        p += 2;
    }

    dst->len = (size_t) (d - dst->data);

    return NGX_OK;
}


static char *
ngx_http_knock_redis_parse_addr(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server,
    ngx_str_t *addr)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *addr;
    u.default_port = conf->mode == NGX_HTTP_KNOCK_REDIS_SENTINEL
                     ? NGX_HTTP_KNOCK_REDIS_SENTINEL_PORT
                     : NGX_HTTP_KNOCK_REDIS_PORT;

    if (addr->len == 0) {
        u.err = "no host";

    } else if (ngx_parse_url(cf->pool, &u) == NGX_OK && u.naddrs) {
        server->addrs = u.addrs;
        server->naddrs = u.naddrs;
        server->host = u.host;
        server->port = u.port;
        server->resolve = (u.family != AF_UNIX
                           && !ngx_http_knock_redis_is_address(&u.host));

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in the URL of Redis \"%V\"",
                       u.err ? u.err : "no address", &server->url);

    return NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_knock_redis_is_address(ngx_str_t *host)
{
#if (NGX_HAVE_INET6)

    u_char  addr[16];

    if (host->data[0] == '['
        || ngx_inet6_addr(host->data, host->len, addr) == NGX_OK)
    {
        return 1;
    }

#endif

    return ngx_inet_addr(host->data, host->len) != INADDR_NONE;
}
