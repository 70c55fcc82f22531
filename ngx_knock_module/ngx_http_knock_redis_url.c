
/*
 * The URL of Redis.
 *
 *   redis://[user:password@]host[:port][/db]
 *   rediss://...                               the same over TLS
 *   unix:/path
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_PORT  6379


static char *ngx_http_knock_redis_parse_user(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *text);
static ngx_int_t ngx_http_knock_redis_unescape(ngx_conf_t *cf, ngx_str_t *dst,
    u_char *start, u_char *end);
static char *ngx_http_knock_redis_parse_addr(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *addr);


char *
ngx_http_knock_redis_parse_url(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *url)
{
    char       *rv;
    u_char     *p, *at, *end, *slash;
    ngx_int_t   db;
    ngx_str_t   scheme, user, addr;

    if (ngx_strncmp(url->data, "unix:", 5) == 0) {
        conf->url = *url;
        return ngx_http_knock_redis_parse_addr(cf, conf, url);
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

    conf->url.len = scheme.len + (size_t) (end - at);
    conf->url.data = ngx_pnalloc(cf->pool, conf->url.len);
    if (conf->url.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(conf->url.data, scheme.data, scheme.len);
    ngx_memcpy(p, at, (size_t) (end - at));

    return ngx_http_knock_redis_parse_addr(cf, conf, &addr);
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
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *addr)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *addr;
    u.default_port = NGX_HTTP_KNOCK_REDIS_PORT;

    if (addr->len == 0) {
        u.err = "no host";

    } else if (ngx_parse_url(cf->pool, &u) == NGX_OK && u.naddrs) {
        conf->addrs = u.addrs;
        conf->naddrs = u.naddrs;
        conf->host = u.host;
        conf->port = u.port;
        conf->resolve = (u.family != AF_UNIX
                         && !ngx_http_knock_redis_is_address(&u.host));

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in the URL of Redis \"%V\"",
                       u.err ? u.err : "no address", &conf->url);

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
