
/* what the scope of an API key lets it do */

#include "ngx_http_knock_api.h"


static const knock_str_t *ngx_http_knock_api_concerned(
    ngx_http_knock_api_t *api);
static const char *ngx_http_knock_api_scope_name(unsigned scopes);


ngx_int_t
ngx_http_knock_api_permit(ngx_http_knock_api_t *api, knock_error_t *err)
{
    const knock_str_t    *environment;
    knock_api_request_t  *req;

    req = &api->req;

    if ((api->key->scopes & req->scopes) == 0) {
        (void) knock_error_set(err, KNOCK_E_FORBIDDEN,
                               "this API key may not do this: use one with "
                               "scope=%s, or without a scope",
                               ngx_http_knock_api_scope_name(req->scopes));
        return NGX_ERROR;
    }

    /* what all environments share may be read by every key */

    if (api->key->environments && req->where == KNOCK_API_IN_ACCOUNT
        && (req->scopes & KNOCK_API_SCOPE_READ) == 0)
    {
        (void) knock_error_set(err, KNOCK_E_FORBIDDEN,
                               "this API key is for some environments, and all "
                               "of them share what this call changes: use one "
                               "without environments=");
        return NGX_ERROR;
    }

    environment = ngx_http_knock_api_concerned(api);

    return environment ? ngx_http_knock_api_permit_in(api, environment, err)
                       : NGX_OK;
}


ngx_int_t
ngx_http_knock_api_permit_in(ngx_http_knock_api_t *api,
    const knock_str_t *environment, knock_error_t *err)
{
    ngx_uint_t    i;
    knock_str_t  *names;

    if (api->key->environments == NULL) {
        return NGX_OK;
    }

    names = api->key->environments->elts;

    for (i = 0; i < api->key->environments->nelts; i++) {
        if (knock_str_eq(&names[i], environment)) {
            return NGX_OK;
        }
    }

    (void) knock_error_set(err, KNOCK_E_FORBIDDEN,
                           "this API key is not for the environment "
                           "\"%.*s\": use one with environments=%.*s, or "
                           "without environments=",
                           (int) environment->len, environment->data,
                           (int) environment->len, environment->data);
    return NGX_ERROR;
}


/* the environment of a call; NULL: none, or it is not known yet */

static const knock_str_t *
ngx_http_knock_api_concerned(ngx_http_knock_api_t *api)
{
    knock_api_request_t  *req;

    req = &api->req;

    switch (req->where) {

    case KNOCK_API_IN_PATH:
        return &req->environment;

    case KNOCK_API_IN_BODY:

        if (req->to.len) {
            return &req->to;
        }

        if (req->preview_environment.len) {
            return &req->preview_environment;
        }

        /* fall through */

    case KNOCK_API_IN_FIRST:
        return api->environments;

    case KNOCK_API_IN_COMMIT:
        return req->environment.len ? &req->environment : NULL;

    default: /* KNOCK_API_IN_ACCOUNT */
        return NULL;
    }
}


/* the one that a call needs at least */

static const char *
ngx_http_knock_api_scope_name(unsigned scopes)
{
    if (scopes & KNOCK_API_SCOPE_READ) {
        return "read";
    }

    if (scopes & KNOCK_API_SCOPE_SEND) {
        return "send";
    }

    return scopes & KNOCK_API_SCOPE_CONSUME ? "consume" : "write";
}
