
/*
 * Calls of the API in an environment of several shards: where its parts stand,
 * and that its shards know of a change before it is answered.
 */

#include "ngx_http_knock_api.h"


/* the answer that waits until the shards have been told */

typedef struct {
    ngx_uint_t               status;
    knock_str_t              json;
    knock_str_t              etag;

    knock_str_t            **places;    /* of each environment */
    ngx_http_knock_reply_t  *seen;      /* of each, its shards' versions */
} ngx_http_knock_telling_t;


static ngx_uint_t ngx_http_knock_api_configures(knock_api_op_e op);
static void ngx_http_knock_api_version(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_tell_what(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_tell_shards(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_told(ngx_http_knock_api_t *api);


ngx_int_t
ngx_http_knock_api_places(ngx_http_knock_api_t *api)
{
    return ngx_http_knock_api_places_of(api, &api->req.environment);
}


ngx_int_t
ngx_http_knock_api_places_of(ngx_http_knock_api_t *api,
    const knock_str_t *environment)
{
    knock_str_t         prefix;
    const knock_str_t  *base;

    /* without it the call has been answered, and is gone */

    base = ngx_http_knock_api_base(api, environment);
    if (base == NULL) {
        return NGX_DONE;
    }

    api->home = base;

    prefix = ngx_http_knock_str(&api->worker->conf->prefix);

    if (knock_keys_places(api->arena, &prefix, environment, api->nshards,
                          &api->places)
        != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return NGX_DONE;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_knock_api_any(const size_t *shards, size_t n, size_t shard)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (shards[i] == shard) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_knock_api_add(ngx_http_knock_api_t *api,
    void (*add)(ngx_http_knock_api_t *api, const knock_str_t *str),
    const knock_str_t *strs, const size_t *shards, size_t n, size_t shard)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (shards[i] == shard) {
            add(api, &strs[i]);
        }
    }
}


ngx_int_t
ngx_http_knock_api_gather(ngx_http_knock_api_t *api, const size_t *shards,
    size_t n, const knock_str_t *given, knock_str_t *gathered)
{
    size_t  i, shard, at, reply;

    gathered->len = n;
    gathered->data = knock_arena_alloc(api->arena, n + 1);

    if (gathered->data == NULL) {
        return NGX_ERROR;
    }

    for (shard = 0, reply = 0; shard < api->nshards; shard++) {

        for (i = 0, at = 0; i < n; i++) {

            if (shards[i] != shard) {
                continue;
            }

            if (at == given[reply].len) {
                return NGX_ERROR;
            }

            gathered->data[i] = given[reply].data[at++];
        }

        if (at == 0) {
            continue;
        }

        if (at != given[reply++].len) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * A worker that has not heard of the change yet sends the old version to the
 * shards too: they have to know better before the change counts as made.  What
 * they have is asked for first, so that one that is ahead of an environment
 * that has lost its newest version can be told from one that is just newer.
 */

ngx_int_t
ngx_http_knock_api_tell(ngx_http_knock_api_t *api, ngx_uint_t status,
    const knock_str_t *json, const knock_str_t *etag)
{
    size_t                     i, n, nshards;
    knock_str_t                prefix;
    ngx_http_knock_telling_t  *telling;

    nshards = api->nshards;

    if (nshards == 1 || api->telling || status >= NGX_HTTP_BAD_REQUEST
        || !ngx_http_knock_api_configures(api->req.op))
    {
        return NGX_DECLINED;
    }

    n = api->nenvironments;

    telling = knock_arena_calloc(api->arena, 1,
                                 sizeof(ngx_http_knock_telling_t));
    if (telling == NULL) {
        return NGX_ERROR;
    }

    telling->places = knock_arena_calloc(api->arena, n, sizeof(knock_str_t *));
    if (telling->places == NULL) {
        return NGX_ERROR;
    }

    telling->status = status;
    telling->json = *json;

    if (etag) {
        telling->etag = *etag;
    }

    prefix = ngx_http_knock_str(&api->worker->conf->prefix);

    for (i = 0; i < n; i++) {
        if (knock_keys_places(api->arena, &prefix, &api->environments[i],
                              nshards, &telling->places[i])
            != KNOCK_OK)
        {
            return NGX_ERROR;
        }
    }

    api->telling = telling;

    ngx_http_knock_api_step(api, ngx_http_knock_api_tell_what);

    for (i = 0; i < n * nshards; i++) {
        ngx_http_knock_api_version(api,
                                   &telling->places[i / nshards][i % nshards]);
    }

    ngx_http_knock_api_sent(api);

    return NGX_OK;
}


/* whether a call changes what is live in an environment */

static ngx_uint_t
ngx_http_knock_api_configures(knock_api_op_e op)
{
    switch (op) {

    case KNOCK_API_SOURCE_CREATE:
    case KNOCK_API_SOURCE_PATCH:
    case KNOCK_API_SOURCE_DELETE:
    case KNOCK_API_ENDPOINT_PATCH:
    case KNOCK_API_ENDPOINT_ROTATE:
    case KNOCK_API_ENV_WORKFLOW_PATCH:
    case KNOCK_API_ENV_ACTION_PATCH:
    case KNOCK_API_COMMIT_CREATE:
    case KNOCK_API_COMMIT_PUBLISH:
    case KNOCK_API_COMMIT_REVERT:
        return 1;

    default:
        return 0;
    }
}


static void
ngx_http_knock_api_version(ngx_http_knock_api_t *api, const knock_str_t *base)
{
    knock_str_t  words[2];

    knock_str_set(&words[0], "GET");

    if (knock_keys_make(api->arena, base, KNOCK_KEY_VERSION, NULL, &words[1])
        != KNOCK_OK)
    {
        api->failed = 1;
        return;
    }

    ngx_http_knock_api_command(api, &words[1], words, 2);
}


static void
ngx_http_knock_api_tell_what(ngx_http_knock_api_t *api)
{
    size_t                     i;
    ngx_http_knock_telling_t  *telling;

    telling = api->telling;
    telling->seen = api->replies;

    ngx_http_knock_api_step(api, ngx_http_knock_api_tell_shards);

    for (i = 0; i < api->nenvironments; i++) {
        ngx_http_knock_api_version(api, &api->bases[i]);
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_tell_shards(ngx_http_knock_api_t *api)
{
    size_t                     i, shard, nshards;
    knock_str_t                none;
    const knock_str_t         *seen, *version;
    ngx_http_knock_reply_t    *versions;
    ngx_http_knock_telling_t  *telling;

    nshards = api->nshards;
    telling = api->telling;
    versions = api->replies;

    knock_str_set(&none, "0");

    ngx_http_knock_api_step(api, ngx_http_knock_api_told);

    for (i = 0; i < api->nenvironments; i++) {
        version = versions[i].str.len ? &versions[i].str : &none;

        for (shard = 0; shard < nshards; shard++) {
            seen = &telling->seen[i * nshards + shard].str;

            ngx_http_knock_api_function(api, "knock_version_follow");
            ngx_http_knock_api_key(api, &telling->places[i][shard],
                                   KNOCK_KEY_VERSION, NULL);
            ngx_http_knock_api_arg(api, version);
            ngx_http_knock_api_arg(api, seen->len ? seen : &none);
            ngx_http_knock_api_send(api);
        }
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_told(ngx_http_knock_api_t *api)
{
    ngx_http_knock_telling_t *telling = api->telling;

    ngx_http_knock_api_answer(api, telling->status, &telling->json,
                              &telling->etag);
}
