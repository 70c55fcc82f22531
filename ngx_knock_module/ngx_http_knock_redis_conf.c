
/*
 * The arguments of "knock_redis": a URL and parameters.
 *
 *   redis://[user:password@]host[:port][/db]
 *   rediss://...                               the same over TLS
 *   unix:/path
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_PORT           6379
#define NGX_HTTP_KNOCK_REDIS_PASSWORD_SIZE  4096


typedef struct {
    ngx_str_t    name;
    char      *(*parse)(ngx_conf_t *cf, ngx_http_knock_redis_conf_t *conf,
                        ngx_str_t *value, ngx_uint_t offset);
    ngx_uint_t   offset;
    ngx_uint_t   tls;       /* makes sense with rediss:// only */
} ngx_http_knock_redis_param_t;


static char *ngx_http_knock_redis_parse_param(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *arg);
static char *ngx_http_knock_redis_check(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);

static char *ngx_http_knock_redis_parse_url(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *url);
static char *ngx_http_knock_redis_parse_user(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *text);
static ngx_int_t ngx_http_knock_redis_unescape(ngx_conf_t *cf, ngx_str_t *dst,
    u_char *start, u_char *end);
static char *ngx_http_knock_redis_parse_addr(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *addr);
#if (NGX_SSL)
static ngx_int_t ngx_http_knock_redis_set_ssl_name(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);
#endif
static ngx_int_t ngx_http_knock_redis_is_address(ngx_str_t *host);

static char *ngx_http_knock_redis_param_msec(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_num(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_size(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_str(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_flag(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_mode(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);
static char *ngx_http_knock_redis_param_password_file(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset);


#define ngx_http_knock_redis_param(name, type, member, tls)                  \
    { ngx_string(name "="), ngx_http_knock_redis_param_##type,               \
      offsetof(ngx_http_knock_redis_conf_t, member), tls }


static ngx_http_knock_redis_param_t  ngx_http_knock_redis_params[] = {

    ngx_http_knock_redis_param("mode", mode, url, 0),

    ngx_http_knock_redis_param("user", str, user, 0),
    ngx_http_knock_redis_param("password", str, password, 0),
    ngx_http_knock_redis_param("password_file", password_file, password, 0),
    ngx_http_knock_redis_param("db", num, db, 0),

    ngx_http_knock_redis_param("connect_timeout", msec, connect_timeout, 0),
    ngx_http_knock_redis_param("timeout", msec, timeout, 0),
    ngx_http_knock_redis_param("reconnect", msec, reconnect_min, 0),
    ngx_http_knock_redis_param("reconnect_max", msec, reconnect_max, 0),
    ngx_http_knock_redis_param("ping", msec, ping, 0),

    ngx_http_knock_redis_param("max_pending", num, max_pending, 0),
    ngx_http_knock_redis_param("max_pending_bytes", size, max_pending_bytes,
                               0),

    ngx_http_knock_redis_param("verify", flag, ssl_verify, 1),
    ngx_http_knock_redis_param("name", str, ssl_name, 1),
    ngx_http_knock_redis_param("ca", str, ssl_ca, 1),
    ngx_http_knock_redis_param("cert", str, ssl_certificate, 1),
    ngx_http_knock_redis_param("key", str, ssl_certificate_key, 1)
};

#define NGX_HTTP_KNOCK_REDIS_PARAMS                                          \
    (sizeof(ngx_http_knock_redis_params)                                     \
     / sizeof(ngx_http_knock_redis_params[0]))


char *
ngx_http_knock_redis_parse(ngx_conf_t *cf, ngx_http_knock_redis_conf_t *conf)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    conf->connect_timeout = 1000;
    conf->timeout = 5000;
    conf->reconnect_min = 100;
    conf->reconnect_max = 5000;
    conf->ping = 30000;
    conf->max_pending = 8192;
    conf->max_pending_bytes = 64 * 1024 * 1024;
    conf->ssl_verify = 1;

    rv = ngx_http_knock_redis_parse_url(cf, conf, &value[1]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        rv = ngx_http_knock_redis_parse_param(cf, conf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return ngx_http_knock_redis_check(cf, conf);
}


static char *
ngx_http_knock_redis_parse_param(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *arg)
{
    size_t                         len;
    u_char                        *p;
    ngx_str_t                      value;
    ngx_uint_t                     i;
    ngx_http_knock_redis_param_t  *param;

    for (i = 0; i < NGX_HTTP_KNOCK_REDIS_PARAMS; i++) {

        param = &ngx_http_knock_redis_params[i];
        len = param->name.len;

        if (arg->len < len
            || ngx_strncmp(arg->data, param->name.data, len) != 0)
        {
            continue;
        }

        value.data = arg->data + len;
        value.len = arg->len - len;

        if (value.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" needs a value", &param->name);
            return NGX_CONF_ERROR;
        }

        if (param->tls && !conf->tls) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is for TLS, but the URL does not start "
                               "with \"rediss://\"", &param->name);
            return NGX_CONF_ERROR;
        }

        return param->parse(cf, conf, &value, param->offset);
    }

    if (ngx_strncmp(arg->data, "redis://", 8) == 0
        || ngx_strncmp(arg->data, "rediss://", 9) == 0
        || ngx_strncmp(arg->data, "unix:", 5) == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "several URLs are not supported: give one, that "
                           "of the master");
        return NGX_CONF_ERROR;
    }

    /* what follows "=" is not for the log, it may be a misspelt password */

    p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

    if (p) {
        arg->len = (size_t) (p - arg->data);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown parameter \"%V\"", arg);

    return NGX_CONF_ERROR;
}


/* what is wrong only with everything seen */

static char *
ngx_http_knock_redis_check(ngx_conf_t *cf, ngx_http_knock_redis_conf_t *conf)
{
    if (conf->user.len && conf->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "Redis user \"%V\" has no password", &conf->user);
        return NGX_CONF_ERROR;
    }

    if (conf->connect_timeout == 0 || conf->timeout == 0
        || conf->reconnect_min == 0 || conf->max_pending == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"connect_timeout\", \"timeout\", \"reconnect\" "
                           "and \"max_pending\" must be more than 0");
        return NGX_CONF_ERROR;
    }

    if (conf->reconnect_max < conf->reconnect_min) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"reconnect_max\" must not be less than "
                           "\"reconnect\"");
        return NGX_CONF_ERROR;
    }

    if (!conf->ssl_certificate.len != !conf->ssl_certificate_key.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cert\" and \"key\" go together");
        return NGX_CONF_ERROR;
    }

#if (NGX_SSL)

    if (conf->tls) {

        if (ngx_http_knock_redis_set_ssl_name(cf, conf) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        return ngx_http_knock_redis_tls_conf(cf, conf);
    }

#endif

    return NGX_CONF_OK;
}


static char *
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


#if (NGX_SSL)

/* TLS wants the host without brackets, and with a terminating zero */

static ngx_int_t
ngx_http_knock_redis_set_ssl_name(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf)
{
    u_char     *p;
    ngx_str_t   name;

    if (conf->ssl_name.len == 0) {
        name = conf->host;

        if (name.data[0] == '[') {
            name.data++;
            name.len -= 2;
        }

        p = ngx_pnalloc(cf->pool, name.len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn(p, name.data, name.len + 1);

        conf->ssl_name.data = p;
        conf->ssl_name.len = name.len;
    }

    if (ngx_http_knock_redis_is_address(&conf->ssl_name)) {
        conf->ssl_name_ip = 1;
    }

    return NGX_OK;
}

#endif


static ngx_int_t
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


static char *
ngx_http_knock_redis_param_msec(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    ngx_int_t   msec;
    ngx_msec_t *field;

    msec = ngx_parse_time(value, 0);

    if (msec == NGX_ERROR || msec > NGX_MAX_INT32_VALUE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\", write it as \"2s\" or "
                           "\"500ms\"", value);
        return NGX_CONF_ERROR;
    }

    field = (ngx_msec_t *) ((char *) conf + offset);
    *field = (ngx_msec_t) msec;

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_param_num(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    ngx_int_t    num;
    ngx_uint_t  *field;

    num = ngx_atoi(value->data, value->len);

    if (num == NGX_ERROR || num > NGX_MAX_INT32_VALUE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid number \"%V\"",
                           value);
        return NGX_CONF_ERROR;
    }

    field = (ngx_uint_t *) ((char *) conf + offset);
    *field = (ngx_uint_t) num;

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_param_size(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    size_t   *field;
    ssize_t   size;

    size = ngx_parse_size(value);

    /* hiredis 0.14 counts in int */

    if (size <= 0 || size > NGX_MAX_INT32_VALUE / 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\", write it as \"64m\"; 1023m "
                           "are the most", value);
        return NGX_CONF_ERROR;
    }

    field = (size_t *) ((char *) conf + offset);
    *field = (size_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_param_str(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    ngx_str_t  *field;

    field = (ngx_str_t *) ((char *) conf + offset);
    *field = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_param_flag(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    ngx_flag_t  *field;

    field = (ngx_flag_t *) ((char *) conf + offset);

    if (value->len == 2 && ngx_strncmp(value->data, "on", 2) == 0) {
        *field = 1;

    } else if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        *field = 0;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\", it must be \"on\" or "
                           "\"off\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_param_mode(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    if (value->len == 6 && ngx_strncmp(value->data, "single", 6) == 0) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "mode \"%V\" is not supported: use \"mode=single\" "
                       "with the URL of the master", value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_knock_redis_param_password_file(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *value, ngx_uint_t offset)
{
    u_char      buf[NGX_HTTP_KNOCK_REDIS_PASSWORD_SIZE];
    ssize_t     n;
    ngx_fd_t    fd;
    ngx_str_t  *field;

    if (ngx_conf_full_name(cf->cycle, value, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(value->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", value);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, buf, sizeof(buf));

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", value);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", value);
    }

    if (n == -1) {
        return NGX_CONF_ERROR;
    }

    while (n && (buf[n - 1] == LF || buf[n - 1] == CR)) {
        n--;
    }

    if (n == 0 || n == (ssize_t) sizeof(buf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must hold a password of less than %uz "
                           "bytes", value, sizeof(buf));
        ngx_explicit_memzero(buf, sizeof(buf));
        return NGX_CONF_ERROR;
    }

    field = (ngx_str_t *) ((char *) conf + offset);

    field->len = (size_t) n;
    field->data = ngx_pnalloc(cf->pool, field->len);

    if (field->data) {
        ngx_memcpy(field->data, buf, field->len);
    }

    ngx_explicit_memzero(buf, sizeof(buf));

    return field->data ? NGX_CONF_OK : NGX_CONF_ERROR;
}
