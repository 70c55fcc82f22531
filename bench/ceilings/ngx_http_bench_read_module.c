/*
 * Ceiling (c) of the benchmark: a content handler that reads the body, as
 * every receiver must, and answers 200 in the form of ngx_knock's answer,
 * having done nothing.  No receiver in nginx can be cheaper.
 *
 *     location /... { bench_read; }
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static char *ngx_http_bench_read(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_bench_read_handler(ngx_http_request_t *r);
static void ngx_http_bench_read_done(ngx_http_request_t *r);


static ngx_str_t  ngx_http_bench_read_type = ngx_string("application/json");

/* as long as the answer to one event that had a run */

static u_char  ngx_http_bench_read_answer[] =
    "{\"accepted\":1,\"duplicates\":0,\"ignored\":0,\"runs\":1,\"errors\":[]}\n";


static ngx_command_t  ngx_http_bench_read_commands[] = {

    { ngx_string("bench_read"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_bench_read,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_bench_read_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_bench_read_module = {
    NGX_MODULE_V1,
    &ngx_http_bench_read_module_ctx,       /* module context */
    ngx_http_bench_read_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what nginx's configure generates for a dynamic module */

ngx_module_t *ngx_modules[] = {
    &ngx_http_bench_read_module,
    NULL
};

char *ngx_module_names[] = {
    "ngx_http_bench_read_module",
    NULL
};

char *ngx_module_order[] = {
    NULL
};


static char *
ngx_http_bench_read(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_bench_read_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_bench_read_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (!(r->method & NGX_HTTP_POST)) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_bench_read_done);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_bench_read_done(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_BAD_REQUEST);
        return;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    b->pos = ngx_http_bench_read_answer;
    b->last = b->pos + sizeof(ngx_http_bench_read_answer) - 1;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type = ngx_http_bench_read_type;
    r->headers_out.content_type_len = ngx_http_bench_read_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));
}
