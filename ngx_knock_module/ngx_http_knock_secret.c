
/*
 * An endpoint's URL and an API key are as good as passwords, and nginx writes
 * them into error.log.  Behind whatever it logs of a request it writes the
 * request's line: of a body that is too large, a client that went away.  And
 * what it complains of while it reads a head it quotes: a header that came
 * twice, or is none.
 *
 * What is written behind a line comes from a handler of the connection's log,
 * and that calls a handler which is a member of the request.
 *
 * The request's is replaced before nginx looks for the location, since nginx
 * complains of large bodies as soon as it has one; and then looks each time
 * whether that is a webhook's.  Once it is, the URL stays a secret, wherever
 * the request is redirected to.
 *
 * Before that nobody knows whose URL it is.  So the connection's is replaced
 * too: while a head is read it leaves out every URL, and what was quoted.
 */

#include "ngx_http_knock_module.h"


static ngx_int_t ngx_http_knock_secret_begin(ngx_http_request_t *r);
static ngx_int_t ngx_http_knock_secret_located(ngx_http_request_t *r);
static void ngx_http_knock_secret_connection(ngx_connection_t *c);
static u_char *ngx_http_knock_secret_log(ngx_log_t *log, u_char *buf,
    size_t len);
static u_char *ngx_http_knock_secret_quoted(u_char *buf, size_t len);
static u_char *ngx_http_knock_secret_head(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);
static u_char *ngx_http_knock_secret_by_location(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);
static u_char *ngx_http_knock_secret_write(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);
static u_char *ngx_http_knock_secret_context(ngx_http_request_t *r,
    const char *url, u_char *buf, size_t len);


/* nginx's own, which every request and every connection begins with */

static ngx_http_log_handler_pt  ngx_http_knock_next_log_handler;
static ngx_log_handler_pt       ngx_http_knock_next_connection_handler;


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


/* connections are nginx's, but for what is to be done right behind it */

void
ngx_http_knock_secret_listen(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].handler == ngx_http_init_connection
            && ls[i].type == SOCK_STREAM)
        {
            ls[i].handler = ngx_http_knock_secret_connection;
        }
    }
}


static void
ngx_http_knock_secret_connection(ngx_connection_t *c)
{
    unsigned      ready;
    ngx_event_t  *rev;

    /* what can be read at once is read when the handler has been replaced */

    rev = c->read;
    ready = rev->ready;
    rev->ready = 0;

    ngx_http_init_connection(c);

    if (c->fd == (ngx_socket_t) -1) {
        return;
    }

    ngx_http_knock_next_connection_handler = c->log->handler;
    c->log->handler = ngx_http_knock_secret_log;

    if (ready) {
        rev->ready = 1;
        ngx_post_event(rev, &ngx_posted_events);
    }
}


static u_char *
ngx_http_knock_secret_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              *p;
    ngx_http_request_t  *r;
    ngx_http_log_ctx_t  *ctx;

    ctx = log->data;
    r = ctx->request;

    if (r && r->log_handler != ngx_http_knock_secret_head
        && r->log_handler != ngx_http_knock_secret_by_location
        && r->log_handler != ngx_http_knock_secret_write)
    {
        ngx_http_knock_next_log_handler = r->log_handler;
        r->log_handler = ngx_http_knock_secret_head;
    }

    p = buf;

    if (r == NULL || r->log_handler == ngx_http_knock_secret_head) {
        p = ngx_http_knock_secret_quoted(buf, len);
        len += (size_t) (buf - p);
    }

    return ngx_http_knock_next_connection_handler(log, p, len);
}


/*
 * The line so far stands in front of `buf`, in a buffer of a known size: what
 * it quotes of a header goes, up to where the rest is written.
 */

static u_char *
ngx_http_knock_secret_quoted(u_char *buf, size_t len)
{
    u_char     *p;
    ngx_str_t  *text;

    static ngx_str_t  texts[] = {
        ngx_string("client sent "), ngx_string(": \"")
    };

    if (len >= NGX_MAX_ERROR_STR) {
        return buf;
    }

    text = texts;

    for (p = buf + len - NGX_MAX_ERROR_STR; p < buf; p++) {

        if ((size_t) (buf - p) < text->len
            || ngx_strncmp(p, text->data, text->len) != 0)
        {
            continue;
        }

        if (text == &texts[1]) {
            return ngx_slprintf(p, buf + len, ": (left out)");
        }

        text++;
    }

    return buf;
}


static ngx_int_t
ngx_http_knock_secret_begin(ngx_http_request_t *r)
{
    if (r->log_handler == ngx_http_knock_secret_by_location) {
        return NGX_DECLINED;
    }

    if (r->log_handler != ngx_http_knock_secret_head) {
        ngx_http_knock_next_log_handler = r->log_handler;
    }

    r->log_handler = ngx_http_knock_secret_by_location;

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


static u_char *
ngx_http_knock_secret_head(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    return ngx_http_knock_secret_context(r, "a URL", buf, len);
}


static u_char *
ngx_http_knock_secret_write(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    return ngx_http_knock_secret_context(r, "an endpoint's URL", buf, len);
}


/* as nginx's own, but for the URL and the referrer */

static u_char *
ngx_http_knock_secret_context(ngx_http_request_t *r, const char *url,
    u_char *buf, size_t len)
{
    u_char                    *p, *last;
    ngx_http_core_srv_conf_t  *cscf;

    last = buf + len;
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    p = ngx_slprintf(buf, last, ", server: %V, request: \"%V (%s) %V\"",
                     &cscf->server_name, &r->method_name, url,
                     &r->http_protocol);

    if (r->headers_in.host) {
        p = ngx_slprintf(p, last, ", host: \"%V\"",
                         &r->headers_in.host->value);
    }

    return p;
}
