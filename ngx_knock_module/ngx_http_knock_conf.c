
#include "ngx_http_knock_conf.h"
#include "ngx_http_knock_api_keys.h"


static char *ngx_http_knock_serve(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_flag_t *flag, ngx_http_handler_pt handler);
static char *ngx_http_knock_needs_redis(ngx_conf_t *cf, ngx_command_t *cmd);
static char *ngx_http_knock_prefix(ngx_conf_t *cf, void *post, void *data);
static char *ngx_http_knock_positive(ngx_conf_t *cf, void *post, void *data);
static char *ngx_http_knock_window(ngx_conf_t *cf, void *post, void *data);


ngx_conf_post_t  ngx_http_knock_prefix_post = { ngx_http_knock_prefix };
ngx_conf_post_t  ngx_http_knock_positive_post = { ngx_http_knock_positive };
ngx_conf_post_t  ngx_http_knock_window_post = { ngx_http_knock_window };


char *
ngx_http_knock_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_main_conf_t *kmcf = conf;

    if (kmcf->redis) {
        return "is duplicate";
    }

    kmcf->redis = ngx_pcalloc(cf->pool, sizeof(ngx_http_knock_redis_conf_t));
    if (kmcf->redis == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_knock_redis_parse(cf, kmcf->redis);
}


char *
ngx_http_knock_webhook(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_loc_conf_t *klcf = conf;

    ngx_str_t                          *value;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_compile_complex_value_t    ccv;

    if (klcf->token) {
        return "is duplicate";
    }

    if (ngx_http_knock_needs_redis(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    klcf->token = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (klcf->token == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = klcf->token;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_knock_webhook_handler;

    return NGX_CONF_OK;
}


char *
ngx_http_knock_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_loc_conf_t *klcf = conf;

    return ngx_http_knock_serve(cf, cmd, &klcf->api,
                                ngx_http_knock_api_handler);
}


char *
ngx_http_knock_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_loc_conf_t *klcf = conf;

    return ngx_http_knock_serve(cf, cmd, &klcf->metrics,
                                ngx_http_knock_metrics_handler);
}


char *
ngx_http_knock_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_loc_conf_t *klcf = conf;

    return ngx_http_knock_serve(cf, cmd, &klcf->ready,
                                ngx_http_knock_ready_handler);
}


/* a location that is served by what a directive without arguments names */

static char *
ngx_http_knock_serve(ngx_conf_t *cf, ngx_command_t *cmd, ngx_flag_t *flag,
    ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (*flag) {
        return "is duplicate";
    }

    if (ngx_http_knock_needs_redis(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    *flag = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;

    return NGX_CONF_OK;
}


char *
ngx_http_knock_max_in_flight(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_main_conf_t *kmcf = conf;

    ssize_t     size;
    ngx_int_t   n;
    ngx_str_t  *value;

    if (kmcf->max_in_flight != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of requests \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_knock_positive(cf, NULL, &n) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    kmcf->max_in_flight = (ngx_uint_t) n;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" of the bodies in flight: it "
                           "must be from 1, and may end in k or m", &value[2]);
        return NGX_CONF_ERROR;
    }

    kmcf->max_body_bytes = (size_t) size;

    return NGX_CONF_OK;
}


char *
ngx_http_knock_api_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_knock_loc_conf_t *klcf = conf;

    ngx_str_t  *value;

    if (klcf->api_keys != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    klcf->api_keys = ngx_http_knock_api_keys_read(cf, &value[1]);

    return klcf->api_keys ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_knock_needs_redis(ngx_conf_t *cf, ngx_command_t *cmd)
{
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_knock_module);

    if (kmcf->redis) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" has no Redis to write to: put \"knock_redis\" "
                       "into the http block, before the server", &cmd->name);

    return NGX_CONF_ERROR;
}


/* braces in front of an environment's would make another hash tag */

static char *
ngx_http_knock_prefix(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *prefix = data;

    size_t  i;
    u_char  c;

    for (i = 0; i < prefix->len; i++) {
        c = prefix->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.'
            && c != ':')
        {
            break;
        }
    }

    if (prefix->len == 0 || i < prefix->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid prefix \"%V\": use letters, digits, \"-\", "
                           "\"_\", \".\" and \":\"", prefix);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t *n = data;

    if (*n < 1 || *n > NGX_MAX_INT32_VALUE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value %i: it must be from 1 to %d", *n,
                           NGX_MAX_INT32_VALUE);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_knock_window(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *window = data;

    if (*window == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the window must be longer than zero: to take "
                           "repeated events as new ones set an endpoint's "
                           "\"idempotency_enabled\" to off");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
