
/*
 * An endpoint's URL is as good as a password, and nginx writes a request's
 * line behind whatever it logs of the request: a body that is too large, a
 * client that went away.  Of requests to a webhook it is to leave the URL out.
 *
 * The handler that writes this is a member of the request.  It is replaced
 * before nginx looks for the location, since nginx complains of large bodies
 * as soon as it has one; and then looks each time whether that is a webhook's.
 * Once it is, the URL stays a secret, wherever the request is redirected to.
 */

#include "ngx_http_knock_module.h"


static ngx_int_t ngx_http_knock_secret_begin(ngx_http_request_t *r);
static ngx_int_t ngx_http_knock_secret_located(ngx_http_request_t *r);
static u_char *ngx_http_knock_secret_by_location(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);
static u_char *ngx_http_knock_secret_write(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);


/* nginx's own, which every request begins with */

static ngx_http_log_handler_pt  ngx_http_knock_next_log_handler;


ngx_int_t
ngx_http_knock_secret_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *begin, *located;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    begin = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    located = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);

    if (begin == NULL || located == NULL) {
        return NGX_ERROR;
    }

    *begin = ngx_http_knock_secret_begin;
    *located = ngx_http_knock_secret_located;

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_secret_begin(ngx_http_request_t *r)
{
    if (r->log_handler != ngx_http_knock_secret_by_location) {
        ngx_http_knock_next_log_handler = r->log_handler;
        r->log_handler = ngx_http_knock_secret_by_location;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_knock_secret_located(ngx_http_request_t *r)
{
    ngx_http_knock_loc_conf_t  *klcf;

    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    if (klcf->token) {
        r->main->log_handler = ngx_http_knock_secret_write;
    }

    return NGX_DECLINED;
}


static u_char *
ngx_http_knock_secret_by_location(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len)
{
    ngx_http_knock_loc_conf_t  *klcf;

    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    if (klcf->token == NULL) {
        return ngx_http_knock_next_log_handler(r, sr, buf, len);
    }

    r->log_handler = ngx_http_knock_secret_write;

    return ngx_http_knock_secret_write(r, sr, buf, len);
}


/* as nginx's own, but for the URL and the referrer */

static u_char *
ngx_http_knock_secret_write(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    u_char                    *p, *last;
    ngx_http_core_srv_conf_t  *cscf;

    last = buf + len;
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    p = ngx_slprintf(buf, last,
                     ", server: %V, request: \"%V (an endpoint's URL) %V\"",
                     &cscf->server_name, &r->method_name, &r->http_protocol);

    if (r->headers_in.host) {
        p = ngx_slprintf(p, last, ", host: \"%V\"",
                         &r->headers_in.host->value);
    }

    return p;
}
