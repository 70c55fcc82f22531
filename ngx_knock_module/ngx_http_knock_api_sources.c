
#include "ngx_http_knock_api.h"
#include "knock_log_entry.h"


/* 32 hex digits: 128 random bits */
#define NGX_HTTP_KNOCK_TOKEN  16


static void ngx_http_knock_api_environment_create(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_environment_endpoints(
    ngx_http_knock_api_t *api);
static void ngx_http_knock_api_source_create(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_source_patch(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_source_get(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next);
static void ngx_http_knock_api_source_delete(ngx_http_knock_api_t *api);
static ngx_int_t ngx_http_knock_api_endpoint_create(ngx_http_knock_api_t *api,
    const knock_str_t *base, const knock_str_t *source);
static void ngx_http_knock_api_endpoint(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_endpoint_get(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_logs(ngx_http_knock_api_t *api);


void
ngx_http_knock_api_sources(ngx_http_knock_api_t *api)
{
    const knock_str_t    *base;
    knock_api_request_t  *req;

    req = &api->req;

    switch (req->op) {

    case KNOCK_API_ENVIRONMENT_LIST:
        ngx_http_knock_api_step(api, ngx_http_knock_api_relay);
        ngx_http_knock_api_function(api, "knock_environment_list");
        ngx_http_knock_api_account_key(api, "environments");
        ngx_http_knock_api_account_key(api, "environment_info");
        ngx_http_knock_api_send(api);
        ngx_http_knock_api_sent(api);
        return;

    case KNOCK_API_ENVIRONMENT_CREATE:
        ngx_http_knock_api_environment_create(api);
        return;

    case KNOCK_API_SOURCE_LIST:
        ngx_http_knock_api_step(api, ngx_http_knock_api_relay);
        ngx_http_knock_api_function(api, "knock_source_list");
        ngx_http_knock_api_account_key(api, "sources");
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
        ngx_http_knock_api_send(api);
        ngx_http_knock_api_sent(api);
        return;

    case KNOCK_API_SOURCE_CREATE:
        ngx_http_knock_api_source_create(api);
        return;

    case KNOCK_API_SOURCE_GET:
        ngx_http_knock_api_source_get(api, ngx_http_knock_api_relay);
        return;

    case KNOCK_API_SOURCE_PATCH:
        ngx_http_knock_api_source_get(api, ngx_http_knock_api_source_patch);
        return;

    case KNOCK_API_SOURCE_DELETE:
        ngx_http_knock_api_source_get(api, ngx_http_knock_api_source_delete);
        return;

    default:
        base = ngx_http_knock_api_base(api, &req->environment);

        if (base) {
            ngx_http_knock_api_endpoint(api, base);
        }
    }
}


/*
 * Sources have an endpoint in every environment, so a new environment gets one
 * for each; only then it is named, and so known.
 */

static void
ngx_http_knock_api_environment_create(ngx_http_knock_api_t *api)
{
    size_t         i;
    ngx_uint_t     after;
    knock_error_t  err;

    after = api->req.after.len == 0;

    for (i = 0; i < api->nenvironments; i++) {

        if (knock_str_eq(&api->environments[i], &api->req.new_key)) {
            (void) knock_error_set(&err, KNOCK_E_EXISTS,
                                   "there is an environment \"%.*s\" already: "
                                   "choose another key",
                                   (int) api->req.new_key.len,
                                   api->req.new_key.data);
            ngx_http_knock_api_error(api, &err);
            return;
        }

        if (knock_str_eq(&api->environments[i], &api->req.after)) {
            after = 1;
        }
    }

    if (!after) {
        (void) knock_error_set(&err, KNOCK_E_INVALID_BODY,
                               "\"after\": there is no environment \"%.*s\"",
                               (int) api->req.after.len, api->req.after.data);
        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_environment_endpoints);

    ngx_http_knock_api_function(api, "knock_source_keys");
    ngx_http_knock_api_account_key(api, "sources");
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_environment_endpoints(ngx_http_knock_api_t *api)
{
    size_t                   i;
    knock_str_t              base, prefix;
    ngx_http_knock_reply_t  *sources;

    sources = api->replies;
    prefix = ngx_http_knock_str(&api->worker->conf->prefix);

    if (knock_keys_base(api->arena, &prefix, &api->req.new_key, &base)
        != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    for (i = 0; i < sources->n; i++) {
        if (ngx_http_knock_api_endpoint_create(api, &base,
                                               &sources->elements[i].str)
            != NGX_OK)
        {
            api->failed = 1;
        }
    }

    ngx_http_knock_api_function(api, "knock_environment_create");
    ngx_http_knock_api_account_key(api, "environments");
    ngx_http_knock_api_account_key(api, "environment_info");
    ngx_http_knock_api_arg(api, &api->req.new_key);
    ngx_http_knock_api_arg(api, &api->req.text);
    ngx_http_knock_api_arg(api, &api->req.after);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


/* an endpoint that is there already stays, so that a retry completes */

static void
ngx_http_knock_api_source_create(ngx_http_knock_api_t *api)
{
    size_t  i;

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    for (i = 0; i < api->nenvironments; i++) {
        if (ngx_http_knock_api_endpoint_create(api, &api->bases[i],
                                               &api->req.new_key)
            != NGX_OK)
        {
            api->failed = 1;
        }
    }

    ngx_http_knock_api_function(api, "knock_source_create");
    ngx_http_knock_api_account_key(api, "sources");
    ngx_http_knock_api_arg(api, &api->req.new_key);
    ngx_http_knock_api_arg(api, &api->req.text);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static ngx_int_t
ngx_http_knock_api_endpoint_create(ngx_http_knock_api_t *api,
    const knock_str_t *base, const knock_str_t *source)
{
    knock_str_t  token;

    token = ngx_http_knock_api_random(api, NGX_HTTP_KNOCK_TOKEN);

    if (token.len == 0) {
        return NGX_ERROR;
    }

    ngx_http_knock_api_function(api, "knock_endpoint_create");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_ENDPOINTS, NULL);
    ngx_http_knock_api_arg(api, source);
    ngx_http_knock_api_arg(api, &token);
    ngx_http_knock_api_arg(api, &api->created_at);
    ngx_http_knock_api_send(api);

    return NGX_OK;
}


static void
ngx_http_knock_api_source_get(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next)
{
    ngx_http_knock_api_step(api, next);

    ngx_http_knock_api_function(api, "knock_source_get");
    ngx_http_knock_api_account_key(api, "sources");
    ngx_http_knock_api_arg(api, &api->req.source);
    ngx_http_knock_api_arg(api, &api->if_match);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


/* the document with the new name; what was read is what is replaced */

static void
ngx_http_knock_api_source_patch(ngx_http_knock_api_t *api)
{
    knock_str_t              text;
    knock_error_t            err;
    ngx_http_knock_reply_t  *reply;

    reply = api->replies;

    if (ngx_http_knock_api_status(reply) != NGX_HTTP_OK || reply->n < 3
        || api->req.name.len == 0)
    {
        ngx_http_knock_api_relay(api);
        return;
    }

    if (knock_api_rename(api->arena, &reply->elements[1].str, &api->req.name,
                         &text, &err)
        != KNOCK_OK)
    {
        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    ngx_http_knock_api_function(api, "knock_source_set");
    ngx_http_knock_api_account_key(api, "sources");
    ngx_http_knock_api_arg(api, &api->req.source);
    ngx_http_knock_api_arg(api, &text);
    ngx_http_knock_api_arg(api, &reply->elements[2].str);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_source_delete(ngx_http_knock_api_t *api)
{
    size_t              i;
    const knock_str_t  *base;

    if (ngx_http_knock_api_status(api->replies) != NGX_HTTP_OK) {
        ngx_http_knock_api_relay(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    for (i = 0; i < api->nenvironments; i++) {
        base = &api->bases[i];

        ngx_http_knock_api_function(api, "knock_endpoint_delete");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ENDPOINTS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE,
                               &api->req.source);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE_INFO,
                               &api->req.source);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_LOG, &api->req.source);
        ngx_http_knock_api_arg(api, &api->req.source);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_function(api, "knock_source_delete");
    ngx_http_knock_api_account_key(api, "sources");
    ngx_http_knock_api_arg(api, &api->req.source);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_endpoint(ngx_http_knock_api_t *api, const knock_str_t *base)
{
    size_t                i;
    knock_str_t           token, status;
    knock_api_request_t  *req;

    req = &api->req;

    ngx_http_knock_api_step(api, req->op == KNOCK_API_LOG_LIST
                                 ? ngx_http_knock_api_logs
                                 : ngx_http_knock_api_relay);
    switch (req->op) {

    case KNOCK_API_ENDPOINT_GET:
        ngx_http_knock_api_endpoint_get(api, base);
        break;

    case KNOCK_API_ENDPOINT_PATCH:
    case KNOCK_API_ENDPOINT_ROTATE:
        ngx_http_knock_api_function(api, req->op == KNOCK_API_ENDPOINT_PATCH
                                         ? "knock_endpoint_patch"
                                         : "knock_endpoint_rotate");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ENDPOINTS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE, &req->source);
        ngx_http_knock_api_arg(api, &req->source);
        ngx_http_knock_api_arg(api, &req->environment);
        ngx_http_knock_api_arg(api, &api->url);

        if (req->op == KNOCK_API_ENDPOINT_ROTATE) {
            token = ngx_http_knock_api_random(api, NGX_HTTP_KNOCK_TOKEN);

            if (token.len == 0) {
                api->failed = 1;
            }

            ngx_http_knock_api_arg(api, &token);
            ngx_http_knock_api_arg(api, &api->if_match);
            ngx_http_knock_api_arg(api, &req->grace);

        } else {
            ngx_http_knock_api_arg(api, &api->if_match);

            for (i = 0; i < req->nfields; i++) {
                ngx_http_knock_api_arg(api, &req->fields[i]);
            }
        }

        ngx_http_knock_api_send(api);
        break;

    case KNOCK_API_EVENT_LIST:
        ngx_http_knock_api_endpoint_get(api, base);

        ngx_http_knock_api_function(api, "knock_catalogue_list");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE, &req->source);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE_INFO,
                               &req->source);
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
        ngx_http_knock_api_send(api);
        break;

    case KNOCK_API_EVENT_DELETE:
        ngx_http_knock_api_function(api, "knock_catalogue_delete");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE, &req->source);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE_INFO,
                               &req->source);
        ngx_http_knock_api_arg(api, &req->key);
        ngx_http_knock_api_send(api);
        break;

    default: /* KNOCK_API_LOG_LIST */

        /* stored as its first letter; what is too large has failed too */

        status = req->status;

        if (knock_str_is(&status, "failed")) {
            knock_str_set(&status, "fl");

        } else if (status.len) {
            status.len = 1;
        }

        ngx_http_knock_api_endpoint_get(api, base);

        ngx_http_knock_api_function(api, "knock_log_page");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_LOG, &req->source);
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
        ngx_http_knock_api_arg(api, &status);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_endpoint_get(ngx_http_knock_api_t *api,
    const knock_str_t *base)
{
    ngx_http_knock_api_function(api, "knock_endpoint_get");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_ENDPOINTS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_CATALOGUE, &api->req.source);
    ngx_http_knock_api_arg(api, &api->req.source);
    ngx_http_knock_api_arg(api, &api->req.environment);
    ngx_http_knock_api_arg(api, &api->url);
    ngx_http_knock_api_send(api);
}


/* cursor, then id, status, verdict and document of each entry */

static void
ngx_http_knock_api_logs(ngx_http_knock_api_t *api)
{
    int                      rc;
    size_t                   i;
    knock_buf_t              buf;
    knock_error_t            err;
    ngx_http_knock_reply_t  *page, *e;

    page = &api->replies[1];

    if (ngx_http_knock_api_status(&api->replies[0]) != NGX_HTTP_OK
        || ngx_http_knock_api_status(page) != 0
        || page->elements == NULL || page->n == 0)
    {
        ngx_http_knock_api_relay(api);
        return;
    }

    knock_buf_init(&buf, api->arena, 4096);
    knock_buf_add_lit(&buf, "{\"items\":[");

    for (i = 1; i + 3 < page->n; i += 4) {
        e = &page->elements[i];

        rc = knock_log_entry(api->arena, &buf, &e[0].str, &e[1].str,
                             &e[2].str, &e[3].str, &err);
        if (rc == KNOCK_ERROR) {
            ngx_http_knock_api_memory(api);
            return;
        }
    }

    ngx_http_knock_api_list(api, &buf, &page->elements[0].str);
}
