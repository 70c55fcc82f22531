
/*
 * The arguments of "knock_redis": URLs, which ngx_http_knock_redis_url.c
 * reads, and parameters.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_PASSWORD_SIZE  4096

/* a parameter makes sense with rediss://, or with mode=sentinel only */
#define NGX_HTTP_KNOCK_REDIS_TLS_ONLY       1
#define NGX_HTTP_KNOCK_REDIS_SENTINEL_ONLY  2


typedef struct {
    ngx_str_t    name;
    char      *(*parse)(ngx_conf_t *cf, ngx_http_knock_redis_conf_t *conf,
                        ngx_str_t *value, ngx_uint_t offset);
    ngx_uint_t   offset;
    ngx_uint_t   only;      /* where it makes sense, 0: everywhere */
} ngx_http_knock_redis_param_t;


static char *ngx_http_knock_redis_parse_param(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *arg);
static char *ngx_http_knock_redis_check(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);
static char *ngx_http_knock_redis_check_cluster(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);

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


#define ngx_http_knock_redis_param(name, type, member, only)                 \
    { ngx_string(name "="), ngx_http_knock_redis_param_##type,               \
      offsetof(ngx_http_knock_redis_conf_t, member), only }

#define ngx_http_knock_redis_tls_param(name, type, member)                   \
    ngx_http_knock_redis_param(name, type, member,                           \
                               NGX_HTTP_KNOCK_REDIS_TLS_ONLY)

#define ngx_http_knock_redis_sentinel_param(name, type, member)              \
    ngx_http_knock_redis_param(name, type, member,                           \
                               NGX_HTTP_KNOCK_REDIS_SENTINEL_ONLY)


static ngx_http_knock_redis_param_t  ngx_http_knock_redis_params[] = {

    ngx_http_knock_redis_param("mode", mode, mode, 0),

    ngx_http_knock_redis_sentinel_param("master", str, master),
    ngx_http_knock_redis_sentinel_param("sentinel_user", str, sentinel_user),
    ngx_http_knock_redis_sentinel_param("sentinel_password", str,
                                        sentinel_password),
    ngx_http_knock_redis_sentinel_param("sentinel_password_file",
                                        password_file, sentinel_password),

    ngx_http_knock_redis_param("user", str, user, 0),
    ngx_http_knock_redis_param("password", str, password, 0),
    ngx_http_knock_redis_param("password_file", password_file, password, 0),
    ngx_http_knock_redis_param("db", num, db, 0),

    ngx_http_knock_redis_param("connect_timeout", msec, connect_timeout, 0),
    ngx_http_knock_redis_param("timeout", msec, timeout, 0),
    ngx_http_knock_redis_param("reconnect", msec, reconnect_min, 0),
    ngx_http_knock_redis_param("reconnect_max", msec, reconnect_max, 0),
    ngx_http_knock_redis_param("ping", msec, ping, 0),

    ngx_http_knock_redis_param("min_replicas", num, min_replicas, 0),
    ngx_http_knock_redis_param("min_replicas_timeout", msec,
                               min_replicas_timeout, 0),

    ngx_http_knock_redis_param("max_pending", num, max_pending, 0),
    ngx_http_knock_redis_param("max_pending_bytes", size, max_pending_bytes,
                               0),

    ngx_http_knock_redis_tls_param("verify", flag, ssl_verify),
    ngx_http_knock_redis_tls_param("name", str, ssl_name),
    ngx_http_knock_redis_tls_param("ca", str, ssl_ca),
    ngx_http_knock_redis_tls_param("cert", str, ssl_certificate),
    ngx_http_knock_redis_tls_param("key", str, ssl_certificate_key)
};

#define NGX_HTTP_KNOCK_REDIS_PARAMS                                          \
    (sizeof(ngx_http_knock_redis_params)                                     \
     / sizeof(ngx_http_knock_redis_params[0]))


char *
ngx_http_knock_redis_parse(ngx_conf_t *cf, ngx_http_knock_redis_conf_t *conf)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i, n;

    value = cf->args->elts;

    conf->connect_timeout = 1000;
    conf->timeout = 5000;
    conf->reconnect_min = 100;
    conf->reconnect_max = 5000;
    conf->ping = 30000;
    conf->min_replicas_timeout = 500;
    conf->max_pending = 8192;
    conf->max_pending_bytes = 64 * 1024 * 1024;
    conf->ssl_verify = 1;

    if (ngx_array_init(&conf->servers, cf->pool, 4,
                       sizeof(ngx_http_knock_redis_server_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* what the URLs mean depends on the mode, the others on both */

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "mode=", 5) != 0) {
            continue;
        }

        rv = ngx_http_knock_redis_parse_param(cf, conf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    for (n = 1; n < cf->args->nelts; n++) {

        if (n > 1 && !ngx_http_knock_redis_is_url(&value[n])) {
            break;
        }

        rv = ngx_http_knock_redis_parse_url(cf, conf, &value[n]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    for (i = n; i < cf->args->nelts; i++) {

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

        if (param->only == NGX_HTTP_KNOCK_REDIS_SENTINEL_ONLY
            && conf->mode != NGX_HTTP_KNOCK_REDIS_SENTINEL)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is for Sentinel, but there is no "
                               "\"mode=sentinel\"", &param->name);
            return NGX_CONF_ERROR;
        }

        if (param->only == NGX_HTTP_KNOCK_REDIS_TLS_ONLY && !conf->tls) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is for TLS, but the URL does not start "
                               "with \"rediss://\"", &param->name);
            return NGX_CONF_ERROR;
        }

        return param->parse(cf, conf, &value, param->offset);
    }

    if (ngx_http_knock_redis_is_url(arg)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the URLs of Redis must precede the parameters");
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
#if (NGX_SSL)
    ngx_uint_t                      i;
    ngx_http_knock_redis_server_t  *servers;
#endif

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_SINGLE && conf->servers.nelts > 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "several URLs need \"mode=sentinel\" or "
                           "\"mode=cluster\": without it give one, that of "
                           "the master");
        return NGX_CONF_ERROR;
    }

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_CLUSTER
        && ngx_http_knock_redis_check_cluster(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->mode == NGX_HTTP_KNOCK_REDIS_SENTINEL && conf->master.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"mode=sentinel\" needs \"master=\", the name "
                           "that the Sentinels have for the master");
        return NGX_CONF_ERROR;
    }

    if (conf->sentinel_user.len && conf->sentinel_password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sentinel_user\" needs \"sentinel_password\"");
        return NGX_CONF_ERROR;
    }

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

    if (conf->min_replicas && (conf->min_replicas_timeout == 0
                               || conf->min_replicas_timeout >= conf->timeout))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"min_replicas_timeout\" must be more than 0 and "
                           "less than \"timeout\"");
        return NGX_CONF_ERROR;
    }

    if (!conf->ssl_certificate.len != !conf->ssl_certificate_key.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cert\" and \"key\" go together");
        return NGX_CONF_ERROR;
    }

#if (NGX_SSL)

    if (conf->tls) {

        servers = conf->servers.elts;

        for (i = 0; i < conf->servers.nelts; i++) {
            if (ngx_http_knock_redis_tls_name(cf->pool, conf, &servers[i])
                != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }
        }

        return ngx_http_knock_redis_tls_conf(cf, conf);
    }

#endif

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_redis_check_cluster(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf)
{
    ngx_uint_t                      i;
    ngx_http_knock_redis_server_t  *servers;

    if (conf->db) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a cluster has no other database than 0: leave "
                           "out \"db=\" and what follows \"/\" in the URLs");
        return NGX_CONF_ERROR;
    }

    servers = conf->servers.elts;

    for (i = 0; i < conf->servers.nelts; i++) {

        if (ngx_strncmp(servers[i].url.data, "unix:", 5) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" with \"mode=cluster\": the nodes of "
                               "a cluster are reached by TCP, give host and "
                               "port", &servers[i].url);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
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
        conf->mode = NGX_HTTP_KNOCK_REDIS_SINGLE;

    } else if (value->len == 8 && ngx_strncmp(value->data, "sentinel", 8) == 0)
    {
        conf->mode = NGX_HTTP_KNOCK_REDIS_SENTINEL;

    } else if (value->len == 7 && ngx_strncmp(value->data, "cluster", 7) == 0)
    {
        conf->mode = NGX_HTTP_KNOCK_REDIS_CLUSTER;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "mode \"%V\" is not supported: use "
                           "\"mode=single\" with the URL of the master, "
                           "\"mode=sentinel\" with those of the Sentinels, or "
                           "\"mode=cluster\" with those of nodes of the "
                           "cluster", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
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
