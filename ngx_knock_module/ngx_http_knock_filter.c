
#include "ngx_http_knock_metrics.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"


#define NGX_HTTP_KNOCK_FILTER_ARENA  1024


static ngx_int_t ngx_http_knock_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_knock_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_knock_filter_text(ngx_http_request_t *r,
    ngx_str_t *text);


/* each status by the code that has it, and why that may be */

static const struct {
    knock_error_code_e   code;
    const char          *why;
} ngx_http_knock_refusals[] = {

    { KNOCK_E_UNAUTHORIZED,
      "auth_basic or auth_request asks for other credentials" },

    { KNOCK_E_FORBIDDEN,
      "deny, limit_except or auth_request keeps it out of this location" },

    { KNOCK_E_NOT_FOUND, "a rule for this location says that nothing is here" },

    { KNOCK_E_METHOD_NOT_ALLOWED,
      "a rule for this location does not take its method" },

    { KNOCK_E_REQUEST_TIMEOUT, "it did not come in time, send it again" },

    { KNOCK_E_LENGTH,
      "the body is longer than client_max_body_size allows, send smaller "
      "batches or raise it" },

    { KNOCK_E_UNSUPPORTED_MEDIA, "send JSON as application/json" },

    { KNOCK_E_TOO_MANY_REQUESTS,
      "limit_req or limit_conn lets no more in, send it again later" },

    { KNOCK_E_BAD_GATEWAY, "send it again later" },

    { KNOCK_E_SERVICE_UNAVAILABLE,
      "limit_req or limit_conn lets no more in, or the location is closed, "
      "send it again later" },

    { KNOCK_E_GATEWAY_TIMEOUT, "send it again later" },

    { KNOCK_E_NONE, "the server's error log says why" }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_knock_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_knock_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_knock_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_header_filter(ngx_http_request_t *r)
{
    ngx_http_knock_ctx_t       *ctx;
    ngx_http_knock_loc_conf_t  *klcf;

    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    if ((klcf->token == NULL && !klcf->api) || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ngx_http_knock_metrics_answer(r, r->headers_out.status);

    if (r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_knock_module);

    if (ctx && ctx->answered) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_knock_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_knock_module);
    }

    if (ngx_http_knock_filter_text(r, &ctx->text) != NGX_OK
        || ngx_http_knock_add_headers(r, r->headers_out.status) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->replaced = 1;

    r->headers_out.content_length_n = (off_t) ctx->text.len;

    if (r->headers_out.content_length) {
        r->headers_out.content_length->hash = 0;
        r->headers_out.content_length = NULL;
    }

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_knock_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t             *b;
    ngx_chain_t            out, *cl;
    ngx_http_knock_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_knock_module);

    if (ctx == NULL || !ctx->replaced || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    if (ctx->text.len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->text.data;
    b->last = ctx->text.data + ctx->text.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    ctx->text.len = 0;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static ngx_int_t
ngx_http_knock_filter_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_uint_t           i, status;
    knock_str_t          json, none = knock_null_string;
    knock_arena_t       *arena;
    knock_error_t        err;
    knock_error_code_e   code;

    status = r->headers_out.status;

    for (i = 0; ngx_http_knock_refusals[i].code != KNOCK_E_NONE; i++) {
        if (knock_error_status(ngx_http_knock_refusals[i].code) == status) {
            break;
        }
    }

    code = ngx_http_knock_refusals[i].code;

    if (code == KNOCK_E_NONE) {
        code = status >= NGX_HTTP_INTERNAL_SERVER_ERROR
               ? KNOCK_E_INTERNAL : KNOCK_E_INVALID_REQUEST;
    }

    (void) knock_error_set(&err, code, "nginx refused the request with %d: %s",
                           (int) status, ngx_http_knock_refusals[i].why);

    arena = knock_arena_create(NGX_HTTP_KNOCK_FILTER_ARENA);
    if (arena == NULL) {
        return NGX_ERROR;
    }

    if (knock_answer_refused(arena, &err, &none, &json) != KNOCK_OK) {
        knock_arena_destroy(arena);
        return NGX_ERROR;
    }

    ngx_http_knock_metrics_refused(r, &json);

    text->len = json.len;
    text->data = ngx_pnalloc(r->pool, json.len);

    if (text->data) {
        ngx_memcpy(text->data, json.data, json.len);
    }

    knock_arena_destroy(arena);

    return text->data ? NGX_OK : NGX_ERROR;
}
