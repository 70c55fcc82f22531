
#include "ngx_http_knock_metrics.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"


/* seconds after which a sender may try again */
#define NGX_HTTP_KNOCK_RETRY_AFTER  "1"


static ngx_int_t ngx_http_knock_set_answered(ngx_http_request_t *r);


ngx_int_t
ngx_http_knock_send_error(ngx_http_request_t *r, const knock_error_t *err)
{
    ngx_int_t       rc;
    knock_str_t     json, none = knock_null_string;
    knock_arena_t  *arena;

    arena = knock_arena_create(NGX_HTTP_KNOCK_ANSWER_ARENA);
    if (arena == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (knock_answer_refused(arena, err, &none, &json) == KNOCK_OK) {
        rc = ngx_http_knock_send(r, knock_error_status(err->code), &json);
    }

    knock_arena_destroy(arena);

    return rc;
}


ngx_int_t
ngx_http_knock_send_refusal(ngx_http_request_t *r, const knock_error_t *err,
    const char *allow)
{
    ngx_int_t  rc;

    /* a body that is waited with is not asked for, so it may never come */

    if (r->headers_in.expect && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    /* or the body would be read as the next request */

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (allow && ngx_http_knock_add_header(r, "Allow", allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_knock_send_error(r, err);
}


ngx_int_t
ngx_http_knock_send(ngx_http_request_t *r, ngx_uint_t status,
    const knock_str_t *json)
{
    static ngx_str_t  type = ngx_string("application/json");

    if (ngx_http_knock_set_answered(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (status >= NGX_HTTP_BAD_REQUEST) {
        ngx_http_knock_metrics_refused(r, json);
    }

    if (ngx_http_knock_add_headers(r, status) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* or nginx takes conditions for its own to judge, by no ETag */

    r->disable_not_modified = 1;

    return ngx_http_knock_send_text(r, status, &type, json);
}


ngx_int_t
ngx_http_knock_send_text(ngx_http_request_t *r, ngx_uint_t status,
    const ngx_str_t *type, const knock_str_t *text)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    b = ngx_create_temp_buf(r->pool, text->len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_cpymem(b->pos, text->data, text->len);
    b->last_buf = r == r->main;
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = (off_t) text->len;

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    if (status == NGX_HTTP_NOT_MODIFIED) {
        r->headers_out.content_length_n = -1;
        ngx_str_null(&r->headers_out.content_type);
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/*
 * What finalizing has posted (the end of a request that cannot be written to,
 * the parent of a subrequest) is nginx's to run: not in here, where nginx's
 * own call of a handler of the same request, or of another one of the same
 * connection, may be under way, which would then go on with a request that is
 * freed.  So it is left to an event of the connection, which goes with it.
 */

void
ngx_http_knock_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_finalize_request(r, rc);

    if (c->destroyed) {
        return;
    }

    /* by now that may be the next request */

    r = c->data;

    if (r->main->posted_requests) {
        ngx_post_event(c->write, &ngx_posted_events);
    }
}


/* the filter leaves alone what the module has written */

static ngx_int_t
ngx_http_knock_set_answered(ngx_http_request_t *r)
{
    ngx_http_knock_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_knock_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_knock_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_knock_module);
    }

    ctx->answered = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_knock_add_headers(ngx_http_request_t *r, ngx_uint_t status)
{
    if (ngx_http_knock_add_header(r, "X-Content-Type-Options", "nosniff")
        != NGX_OK
        || ngx_http_knock_add_header(r, "Cache-Control", "no-store")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status != NGX_HTTP_TOO_MANY_REQUESTS
        && status != NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        return NGX_OK;
    }

    return ngx_http_knock_add_header(r, "Retry-After",
                                     NGX_HTTP_KNOCK_RETRY_AFTER);
}


ngx_int_t
ngx_http_knock_add_header(ngx_http_request_t *r, const char *name,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}
