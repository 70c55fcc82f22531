
#include "ngx_http_knock_api.h"
#include "ngx_http_knock_request.h"
#include "ngx_http_knock_send.h"
#include "knock_time.h"


#define NGX_HTTP_KNOCK_API_ARENA  8192
#define NGX_HTTP_KNOCK_API_BODY   (1024 * 1024)


static ngx_int_t ngx_http_knock_api_challenge(ngx_http_request_t *r);
static ngx_int_t ngx_http_knock_api_check(ngx_http_request_t *r,
    knock_error_t *err);
static ngx_uint_t ngx_http_knock_api_has_body(ngx_http_request_t *r);
static knock_api_method_e ngx_http_knock_api_method(ngx_http_request_t *r);
static void ngx_http_knock_api_body_handler(ngx_http_request_t *r);
static ngx_http_knock_api_t *ngx_http_knock_api_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker);
static void ngx_http_knock_api_cleanup(void *data);
static ngx_int_t ngx_http_knock_api_read(ngx_http_knock_api_t *api,
    knock_error_t *err);
static void ngx_http_knock_api_address(ngx_http_request_t *r,
    knock_api_address_t *address);
static ngx_int_t ngx_http_knock_api_url(ngx_http_knock_api_t *api);
static ngx_int_t ngx_http_knock_api_conditions(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_add_condition(ngx_http_request_t *r,
    knock_buf_t *buf, const char *header, int none);
static ngx_uint_t ngx_http_knock_api_has_etag(knock_api_op_e op);
static void ngx_http_knock_api_begin(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_environments(ngx_http_knock_api_t *api);


ngx_int_t
ngx_http_knock_api_handler(ngx_http_request_t *r)
{
    ngx_int_t      rc;
    knock_error_t  err;

    if (ngx_http_knock_api_check(r, &err) != NGX_OK) {

        if (err.code == KNOCK_E_UNAUTHORIZED
            && ngx_http_knock_api_challenge(r) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_knock_send_refusal(r, &err, NULL);
    }

    if (ngx_http_knock_job_admit(r, &err) != NGX_OK) {
        return ngx_http_knock_send_refusal(r, &err, NULL);
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_knock_api_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* where auth_request looks for it */

static ngx_int_t
ngx_http_knock_api_challenge(ngx_http_request_t *r)
{
    ngx_list_part_t  *part;

    if (ngx_http_knock_add_header(r, "WWW-Authenticate", "Bearer") != NGX_OK) {
        return NGX_ERROR;
    }

    part = r->headers_out.headers.last;
    r->headers_out.www_authenticate = (ngx_table_elt_t *) part->elts
                                      + part->nelts - 1;
    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_api_check(ngx_http_request_t *r, knock_error_t *err)
{
    ngx_http_knock_loc_conf_t  *klcf;

    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    if (klcf->api_keys == NULL) {
        (void) knock_error_set(err, KNOCK_E_FORBIDDEN,
                               "no API key has been set up here: name a file "
                               "of their hashes by knock_api_keys");
        return NGX_ERROR;
    }

    if (ngx_http_knock_api_keys_find(klcf->api_keys, r) == NULL) {
        (void) knock_error_set(err, KNOCK_E_UNAUTHORIZED,
                               "send a valid API key as \"Authorization: "
                               "Bearer KEY\"");
        return NGX_ERROR;
    }

    if (!ngx_http_knock_api_has_body(r)) {
        return NGX_OK;
    }

    if (r->headers_in.content_length_n > NGX_HTTP_KNOCK_API_BODY) {
        (void) knock_error_set(err, KNOCK_E_LENGTH,
                               "the body is longer than the %d bytes that the "
                               "API takes", NGX_HTTP_KNOCK_API_BODY);
        return NGX_ERROR;
    }

    return ngx_http_knock_check_body_type(r, err);
}


/* a subrequest that reads has the headers and the body of another request */

static ngx_uint_t
ngx_http_knock_api_has_body(ngx_http_request_t *r)
{
    return r == r->main || (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) == 0;
}


static void
ngx_http_knock_api_body_handler(ngx_http_request_t *r)
{
    knock_error_t                err;
    ngx_http_knock_api_t        *api;
    ngx_http_knock_worker_t     *worker;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);

    worker = ngx_http_knock_worker_get(kmcf);

    api = worker ? ngx_http_knock_api_create(r, worker) : NULL;

    if (api == NULL) {
        if (worker) {
            ngx_http_knock_complain_memory(worker, "a call of the API");
        }

        ngx_http_knock_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ngx_http_knock_api_read(api, &err) != NGX_OK) {

        if (err.code == KNOCK_E_METHOD_NOT_ALLOWED && api->req.allow) {
            (void) ngx_http_knock_add_header(r, "Allow", api->req.allow);
        }

        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_watch_client(r);

    ngx_http_knock_api_begin(api);
}


static ngx_http_knock_api_t *
ngx_http_knock_api_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker)
{
    ngx_time_t            *tp;
    ngx_http_cleanup_t    *cln;
    ngx_http_knock_api_t  *api;

    cln = ngx_http_cleanup_add(r, 0);
    api = ngx_calloc(sizeof(ngx_http_knock_api_t), r->connection->log);

    if (cln == NULL || api == NULL) {
        ngx_free(api);
        return NULL;
    }

    api->arena = knock_arena_create(NGX_HTTP_KNOCK_API_ARENA);
    if (api->arena == NULL) {
        ngx_free(api);
        return NULL;
    }

    tp = ngx_timeofday();

    api->request = r;
    api->worker = worker;
    api->nshards = worker->conf->shards;
    api->now = (uint64_t) tp->sec * 1000 + tp->msec;
    api->cleanup = &cln->handler;

    cln->handler = ngx_http_knock_api_cleanup;
    cln->data = api;

    worker->njobs++;

    return api;
}


static void
ngx_http_knock_api_cleanup(void *data)
{
    ngx_http_knock_api_t *api = data;

    ngx_http_knock_metrics_answer(api->request,
                                  NGX_HTTP_CLIENT_CLOSED_REQUEST);
    api->request = NULL;

    if (api->pending == 0) {
        ngx_http_knock_api_release(api);
    }
}


static ngx_int_t
ngx_http_knock_api_read(ngx_http_knock_api_t *api, knock_error_t *err)
{
    ngx_str_t                   s;
    knock_str_t                 body;
    ngx_http_request_t         *r;
    knock_api_address_t         address;
    ngx_http_knock_loc_conf_t  *klcf;

    r = api->request;
    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    api->key = ngx_http_knock_api_keys_find(klcf->api_keys, r);
    api->reads = r->method == NGX_HTTP_GET || r->method == NGX_HTTP_HEAD;

    api->created_at.len = KNOCK_TIME_LEN;
    api->created_at.data = knock_arena_alloc(api->arena, KNOCK_TIME_LEN);

    if (api->created_at.data == NULL
        || ngx_http_knock_api_url(api) != NGX_OK
        || ngx_http_knock_api_conditions(api) != NGX_OK)
    {
        (void) knock_error_memory(err);
        return NGX_ERROR;
    }

    knock_time_format(api->now, api->created_at.data);

    ngx_http_knock_api_address(r, &address);

    if (knock_api_route(api->arena, ngx_http_knock_api_method(r), &address,
                        &api->req, err)
        != KNOCK_OK
        || ngx_http_knock_api_permit(api, err) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_null(&s);

    if (ngx_http_knock_api_has_body(r)
        && ngx_http_knock_body(r, &s) != NGX_OK)
    {
        (void) knock_error_memory(err);
        return NGX_ERROR;
    }

    if (s.len > NGX_HTTP_KNOCK_API_BODY) {
        (void) knock_error_set(err, KNOCK_E_LENGTH,
                               "the body is longer than the %d bytes that the "
                               "API takes", NGX_HTTP_KNOCK_API_BODY);
        return NGX_ERROR;
    }

    body = ngx_http_knock_str(&s);

    if (knock_api_body(api->arena, &body, api->now, &api->req, err)
        != KNOCK_OK)
    {
        return NGX_ERROR;
    }

    if (api->if_match.len && !knock_str_is(&api->if_match, "*")
        && !ngx_http_knock_api_has_etag(api->req.op))
    {
        (void) knock_error_set(err, KNOCK_E_STALE,
                               "what this call changes has no ETag: send it "
                               "without If-Match and If-None-Match");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* by what nginx chose the location, which may be another path than was sent */

static void
ngx_http_knock_api_address(ngx_http_request_t *r, knock_api_address_t *address)
{
    size_t                     i;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    address->uri = ngx_http_knock_str(&r->uri);
    address->location = ngx_http_knock_str(&clcf->name);
    address->query = ngx_http_knock_str(&r->args);
    address->raw = ngx_http_knock_str(&r->unparsed_uri);

    if (!r->valid_unparsed_uri) {
        address->raw.len = 0;
    }

    for (i = 0; i < address->raw.len; i++) {
        if (address->raw.data[i] == '?' || address->raw.data[i] == '#') {
            address->raw.len = i;
        }
    }
}


/* a Host may hold any bytes, a URL is ASCII */

static ngx_int_t
ngx_http_knock_api_url(ngx_http_knock_api_t *api)
{
    size_t                      i;
    ngx_str_t                   s;
    knock_buf_t                 buf;
    ngx_http_knock_loc_conf_t  *klcf;

    static const char  hex[] = "0123456789ABCDEF";

    klcf = ngx_http_get_module_loc_conf(api->request, ngx_http_knock_module);

    if (ngx_http_complex_value(api->request, klcf->webhook_url, &s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    knock_buf_init(&buf, api->arena, s.len);

    for (i = 0; i < s.len; i++) {

        if (s.data[i] < 0x80) {
            knock_buf_add_char(&buf, (char) s.data[i]);
            continue;
        }

        knock_buf_add_char(&buf, '%');
        knock_buf_add_char(&buf, hex[s.data[i] >> 4]);
        knock_buf_add_char(&buf, hex[s.data[i] & 0xf]);
    }

    return knock_buf_str(&buf, &api->url) == KNOCK_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_knock_api_conditions(ngx_http_knock_api_t *api)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, api->arena, 64);

    if (api->reads) {
        ngx_http_knock_api_add_condition(api->request, &buf, "if-none-match",
                                         0);
        return knock_buf_str(&buf, &api->if_none_match) == KNOCK_OK
               ? NGX_OK : NGX_ERROR;
    }

    ngx_http_knock_api_add_condition(api->request, &buf, "if-match", 0);
    ngx_http_knock_api_add_condition(api->request, &buf, "if-none-match", 1);

    return knock_buf_str(&buf, &api->if_match) == KNOCK_OK
           ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_knock_api_add_condition(ngx_http_request_t *r, knock_buf_t *buf,
    const char *header, int none)
{
    knock_str_t       value;
    ngx_table_elt_t  *h;

    h = ngx_http_knock_header(r, header, ngx_strlen(header));

    if (h) {
        value = ngx_http_knock_str(&h->value);
        knock_api_condition(buf, &value, none);
    }
}


static knock_api_method_e
ngx_http_knock_api_method(ngx_http_request_t *r)
{
    switch (r->method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        return KNOCK_API_GET;

    case NGX_HTTP_POST:
        return KNOCK_API_POST;

    case NGX_HTTP_PUT:
        return KNOCK_API_PUT;

    case NGX_HTTP_PATCH:
        return KNOCK_API_PATCH;

    case NGX_HTTP_DELETE:
        return KNOCK_API_DELETE;

    default:
        return KNOCK_API_OTHER;
    }
}


/* whether a call that writes has something that an If-Match can name */

static ngx_uint_t
ngx_http_knock_api_has_etag(knock_api_op_e op)
{
    switch (op) {

    case KNOCK_API_SOURCE_PATCH:
    case KNOCK_API_SOURCE_DELETE:
    case KNOCK_API_ENDPOINT_PATCH:
    case KNOCK_API_ENDPOINT_ROTATE:
    case KNOCK_API_WORKFLOW_PUT:
    case KNOCK_API_WORKFLOW_DELETE:
    case KNOCK_API_ACTION_PUT:
    case KNOCK_API_ACTION_DELETE:
    case KNOCK_API_USER_PUT:
    case KNOCK_API_USER_DELETE:
        return 1;

    default:
        return 0;
    }
}


/* every call begins with the environments: they are few and they may grow */

static void
ngx_http_knock_api_begin(ngx_http_knock_api_t *api)
{
    ngx_http_knock_api_step(api, ngx_http_knock_api_environments);

    ngx_http_knock_api_function(api, "knock_environments");
    ngx_http_knock_api_account_key(api, "environments");
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_environments(ngx_http_knock_api_t *api)
{
    size_t                   i;
    knock_str_t              prefix;
    knock_error_t            err;
    ngx_http_knock_reply_t  *reply;

    reply = &api->replies[0];
    prefix = ngx_http_knock_str(&api->worker->conf->prefix);

    if (reply->elements == NULL || reply->n == 0) {
        ngx_http_knock_api_memory(api);
        return;
    }

    api->environments = knock_arena_alloc(api->arena,
                                          reply->n * sizeof(knock_str_t));
    api->bases = knock_arena_alloc(api->arena,
                                   reply->n * sizeof(knock_str_t));

    if (api->environments == NULL || api->bases == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    for (i = 0; i < reply->n; i++) {
        api->environments[i] = reply->elements[i].str;

        if (knock_keys_base(api->arena, &prefix, &api->environments[i],
                            &api->bases[i])
            != KNOCK_OK)
        {
            ngx_http_knock_api_memory(api);
            return;
        }
    }

    api->nenvironments = reply->n;

    if (ngx_http_knock_api_permit(api, &err) != NGX_OK) {
        ngx_http_knock_api_error(api, &err);
        return;
    }

    if (api->req.op <= KNOCK_API_LOG_LIST) {
        ngx_http_knock_api_sources(api);

    } else if (api->req.op >= KNOCK_API_COMMIT_LIST
               && api->req.op <= KNOCK_API_COMMIT_REVERT)
    {
        ngx_http_knock_api_commits(api);

    } else if (api->req.op == KNOCK_API_WORKFLOW_TEST
               || api->req.op >= KNOCK_API_USER_LIST)
    {
        ngx_http_knock_api_users(api);

    } else {
        ngx_http_knock_api_actions(api);
    }
}
