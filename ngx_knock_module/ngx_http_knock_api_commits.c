
#include "ngx_http_knock_api.h"


/* ids handed to a commit; the library makes more from them if it needs to */
#define NGX_HTTP_KNOCK_COMMIT_IDS  64

/* bytes of an id */
#define NGX_HTTP_KNOCK_COMMIT_ID   16


static void ngx_http_knock_api_commit(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_commit_list(ngx_http_knock_api_t *api);
static ngx_int_t ngx_http_knock_api_commit_cursor(ngx_http_knock_api_t *api,
    size_t environment, knock_str_t *cursor);
static void ngx_http_knock_api_commit_merge(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_commit_find(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next);
static ngx_int_t ngx_http_knock_api_commit_found(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_commit_get(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_revert(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_publish(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_publish_to(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_publish_docs(ngx_http_knock_api_t *api,
    const char *type, const ngx_http_knock_reply_t *docs);
static void ngx_http_knock_api_random_arg(ngx_http_knock_api_t *api);


void
ngx_http_knock_api_commits(ngx_http_knock_api_t *api)
{
    switch (api->req.op) {

    case KNOCK_API_COMMIT_LIST:
        ngx_http_knock_api_commit_list(api);
        return;

    case KNOCK_API_COMMIT_CREATE:
        ngx_http_knock_api_commit(api);
        return;

    case KNOCK_API_COMMIT_GET:
        ngx_http_knock_api_commit_find(api, ngx_http_knock_api_commit_get);
        return;

    case KNOCK_API_COMMIT_PUBLISH:
        ngx_http_knock_api_publish(api);
        return;

    default: /* KNOCK_API_COMMIT_REVERT */
        ngx_http_knock_api_commit_find(api, ngx_http_knock_api_revert);
    }
}


static void
ngx_http_knock_api_commit(ngx_http_knock_api_t *api)
{
    ngx_uint_t            i;
    const knock_str_t    *base;
    knock_api_request_t  *req;

    req = &api->req;
    base = &api->bases[0];

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    ngx_http_knock_api_function(api, "knock_commit");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMITS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMIT_IDS, NULL);
    ngx_http_knock_api_arg(api, &api->environments[0]);
    ngx_http_knock_api_arg(api, &req->message);
    ngx_http_knock_api_arg(api, &req->author);
    ngx_http_knock_api_arg(api, &api->created_at);
    ngx_http_knock_api_arg(api, &req->resource_type);
    ngx_http_knock_api_arg(api, &req->resource_key);

    for (i = 0; i < NGX_HTTP_KNOCK_COMMIT_IDS; i++) {
        ngx_http_knock_api_random_arg(api);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_random_arg(ngx_http_knock_api_t *api)
{
    knock_str_t  id;

    id = ngx_http_knock_api_random(api, NGX_HTTP_KNOCK_COMMIT_ID);

    if (id.len == 0) {
        api->failed = 1;
    }

    ngx_http_knock_api_arg(api, &id);
}


/*
 * An environment's commits stand in its own slot: a page is merged of all that
 * are asked for, and that the key is for.  A score is unique in its environment only, so a cursor "SCORE.N" names the
 * environment too: those after the Nth have their commit of that score ahead.
 */

static void
ngx_http_knock_api_commit_list(ngx_http_knock_api_t *api)
{
    size_t               i, n;
    size_t              *asked;
    knock_str_t          cursor;
    knock_error_t        err;
    const knock_str_t   *base;

    base = NULL;

    if (api->req.environment.len) {
        base = ngx_http_knock_api_base(api, &api->req.environment);
        if (base == NULL) {
            return;
        }
    }

    asked = knock_arena_alloc(api->arena,
                              api->nenvironments * sizeof(size_t));
    if (asked == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    api->data = asked;

    ngx_http_knock_api_step(api, ngx_http_knock_api_commit_merge);

    for (i = 0, n = 0; i < api->nenvironments; i++) {

        if ((base && base != &api->bases[i])
            || ngx_http_knock_api_permit_in(api, &api->environments[i], &err)
               != NGX_OK)
        {
            continue;
        }

        asked[n++] = i;

        ngx_http_knock_api_function(api, "knock_commit_page");
        ngx_http_knock_api_key(api, &api->bases[i], KNOCK_KEY_COMMITS, NULL);
        ngx_http_knock_api_key(api, &api->bases[i], KNOCK_KEY_COMMIT_IDS,
                               NULL);
        ngx_http_knock_api_number(api, api->req.limit);

        if (ngx_http_knock_api_commit_cursor(api, i, &cursor) != NGX_OK) {
            api->failed = 1;
        }

        ngx_http_knock_api_arg(api, &cursor);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


/* the score that an environment's part of the page begins below */

static ngx_int_t
ngx_http_knock_api_commit_cursor(ngx_http_knock_api_t *api,
    size_t environment, knock_str_t *cursor)
{
    off_t         score;
    u_char       *dot, *last;
    ngx_int_t     n;
    knock_buf_t   buf;

    *cursor = api->req.cursor;

    last = cursor->data + cursor->len;
    dot = cursor->len ? ngx_strlchr(cursor->data, last, '.') : NULL;

    if (dot == NULL) {
        return NGX_OK;
    }

    score = ngx_atoof(cursor->data, (size_t) (dot - cursor->data));
    n = ngx_atoi(dot + 1, (size_t) (last - (dot + 1)));

    /* what is none is left for the library to refuse */

    if (score == NGX_ERROR || n == NGX_ERROR) {
        return NGX_OK;
    }

    knock_buf_init(&buf, api->arena, NGX_OFF_T_LEN);
    knock_buf_add_uint(&buf, (uint64_t) score
                             + ((ngx_int_t) environment > n ? 1 : 0));

    return knock_buf_str(&buf, cursor) == KNOCK_OK ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_knock_api_commit_merge(ngx_http_knock_api_t *api)
{
    size_t                   i, n, best, last;
    size_t                  *at, *asked;
    knock_buf_t              buf, next;
    knock_str_t              score, newest, cursor;
    ngx_http_knock_reply_t  *page;

    at = knock_arena_calloc(api->arena, api->nreplies, sizeof(size_t));
    if (at == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    for (i = 0; i < api->nreplies; i++) {
        if (ngx_http_knock_api_status(&api->replies[i])) {
            ngx_http_knock_api_relay(api);
            return;
        }
    }

    last = 0;
    asked = api->data;
    knock_str_set(&newest, "");

    knock_buf_init(&buf, api->arena, 4096);
    knock_buf_add_lit(&buf, "{\"items\":[");

    for (n = 0; n < api->req.limit; n++) {
        best = api->nreplies;

        /* scores are whole numbers in decimal, the longer is the larger */

        for (i = 0; i < api->nreplies; i++) {
            page = &api->replies[i];

            if (page->elements == NULL || at[i] + 1 >= page->n) {
                continue;
            }

            score = page->elements[at[i]].str;

            if (best == api->nreplies || score.len > newest.len
                || (score.len == newest.len
                    && ngx_memcmp(score.data, newest.data, score.len) > 0))
            {
                best = i;
                newest = score;
            }
        }

        if (best == api->nreplies) {
            break;
        }

        if (n) {
            knock_buf_add_char(&buf, ',');
        }

        knock_buf_add_str(&buf,
                          &api->replies[best].elements[at[best] + 1].str);
        at[best] += 2;
        last = asked[best];
    }

    knock_buf_init(&next, api->arena, newest.len + NGX_SIZE_T_LEN + 1);

    if (n == api->req.limit) {
        knock_buf_add_str(&next, &newest);
        knock_buf_add_char(&next, '.');
        knock_buf_add_uint(&next, last);
    }

    if (knock_buf_str(&next, &cursor) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_list(api, &buf, &cursor);
}


static void
ngx_http_knock_api_commit_find(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next)
{
    size_t  i;

    ngx_http_knock_api_step(api, next);

    for (i = 0; i < api->nenvironments; i++) {
        ngx_http_knock_api_function(api, "knock_commit_get");
        ngx_http_knock_api_key(api, &api->bases[i], KNOCK_KEY_COMMITS, NULL);
        ngx_http_knock_api_arg(api, &api->req.key);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


/* the environment that the commit was found in, or NGX_ERROR: answered */

static ngx_int_t
ngx_http_knock_api_commit_found(ngx_http_knock_api_t *api)
{
    size_t         i;
    knock_error_t  err;

    for (i = 0; i < api->nreplies; i++) {
        if (ngx_http_knock_api_status(&api->replies[i]) == NGX_HTTP_OK) {
            break;
        }
    }

    if (i == api->nreplies) {
        ngx_http_knock_api_relay(api);
        return NGX_ERROR;
    }

    if (ngx_http_knock_api_permit_in(api, &api->environments[i], &err)
        != NGX_OK)
    {
        ngx_http_knock_api_error(api, &err);
        return NGX_ERROR;
    }

    return (ngx_int_t) i;
}


static void
ngx_http_knock_api_commit_get(ngx_http_knock_api_t *api)
{
    ngx_int_t  i;

    i = ngx_http_knock_api_commit_found(api);

    if (i != NGX_ERROR) {
        ngx_http_knock_api_answer(api, NGX_HTTP_OK,
                                  &api->replies[i].elements[1].str, NULL);
    }
}


static void
ngx_http_knock_api_revert(ngx_http_knock_api_t *api)
{
    ngx_int_t           i;
    const knock_str_t  *base;

    i = ngx_http_knock_api_commit_found(api);

    if (i == NGX_ERROR) {
        return;
    }

    base = &api->bases[i];

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    ngx_http_knock_api_function(api, "knock_commit_revert");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMITS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMIT_IDS, NULL);
    ngx_http_knock_api_arg(api, &api->req.key);
    ngx_http_knock_api_random_arg(api);
    ngx_http_knock_api_arg(api, &api->req.message);
    ngx_http_knock_api_arg(api, &api->req.author);
    ngx_http_knock_api_arg(api, &api->created_at);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


/*
 * What is live in the environment before is read, then made live in this one:
 * two slots, so two steps.  What goes over is what was live at the first.
 */

static void
ngx_http_knock_api_publish(ngx_http_knock_api_t *api)
{
    size_t         i;
    knock_error_t  err;

    for (i = 0; i < api->nenvironments; i++) {
        if (knock_str_eq(&api->environments[i], &api->req.to)) {
            break;
        }
    }

    if (i == 0 || i == api->nenvironments) {
        (void) knock_error_set(&err, KNOCK_E_INVALID_BODY,
                               i ? "\"to\": there is no environment \"%.*s\""
                                 : "\"to\": nothing comes before \"%.*s\": "
                                   "commits make drafts live there",
                               (int) api->req.to.len, api->req.to.data);
        ngx_http_knock_api_error(api, &err);
        return;
    }

    api->data = &api->bases[i];

    ngx_http_knock_api_step(api, ngx_http_knock_api_publish_to);

    ngx_http_knock_api_function(api, "knock_live_docs");
    ngx_http_knock_api_key(api, &api->bases[i - 1], KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_key(api, &api->bases[i - 1], KNOCK_KEY_ACTIONS, NULL);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_publish_to(ngx_http_knock_api_t *api)
{
    const knock_str_t       *base;
    knock_api_request_t     *req;
    ngx_http_knock_reply_t  *docs;

    req = &api->req;
    base = api->data;
    docs = api->replies;

    if (docs->elements == NULL || docs->n != 2) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    ngx_http_knock_api_function(api, "knock_publish");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMITS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_COMMIT_IDS, NULL);
    ngx_http_knock_api_arg(api, &req->to);
    ngx_http_knock_api_arg(api, &req->message);
    ngx_http_knock_api_arg(api, &req->author);
    ngx_http_knock_api_arg(api, &api->created_at);
    ngx_http_knock_api_random_arg(api);
    ngx_http_knock_api_arg(api, &req->resource_type);
    ngx_http_knock_api_arg(api, &req->resource_key);

    ngx_http_knock_api_publish_docs(api, "workflow", &docs->elements[0]);
    ngx_http_knock_api_publish_docs(api, "action", &docs->elements[1]);

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_publish_docs(ngx_http_knock_api_t *api, const char *type,
    const ngx_http_knock_reply_t *docs)
{
    size_t                i;
    knock_api_request_t  *req;

    req = &api->req;

    if (req->resource_type.len && !knock_str_is(&req->resource_type, type)) {
        return;
    }

    for (i = 0; i + 1 < docs->n; i += 2) {

        if (req->resource_type.len
            && !knock_str_eq(&req->resource_key, &docs->elements[i].str))
        {
            continue;
        }

        ngx_http_knock_api_text(api, type);
        ngx_http_knock_api_arg(api, &docs->elements[i].str);
        ngx_http_knock_api_arg(api, &docs->elements[i + 1].str);
    }
}
