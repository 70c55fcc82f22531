
/* GET .../users: the users of an environment, found by SCAN */

#include "ngx_http_knock_api.h"


/* rounds for a page, where most keys are no users */
#define NGX_HTTP_KNOCK_SCANS  100


/* a page of users: SCAN's cursor, and how many of its keys went before */

typedef struct {
    size_t              shard;      /* that is gone through */
    knock_str_t         cursor;
    size_t              skip;
    ngx_uint_t          rounds;
    knock_str_t         next;       /* cursor of the answer, len 0: the end */
} ngx_http_knock_scan_t;


static ngx_int_t ngx_http_knock_api_scan_cursor(ngx_http_knock_api_t *api,
    ngx_http_knock_scan_t *scan);
static void ngx_http_knock_api_scan(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_scanned(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_scan_next(knock_buf_t *buf, size_t shard,
    const knock_str_t *cursor, size_t skip);
static void ngx_http_knock_api_user_page(ngx_http_knock_api_t *api);


/*
 * Users stand in no index: it would cost every event that makes one.  A page
 * is what SCAN finds; a cursor "C.k" is SCAN's own, and the k keys of what it
 * gives there that earlier pages had.  Shards are gone through one after the
 * other; in a later one than the first the cursor is "S.C.k".
 */

void
ngx_http_knock_api_user_list(ngx_http_knock_api_t *api)
{
    knock_error_t           err;
    ngx_http_knock_scan_t  *scan;

    scan = knock_arena_calloc(api->arena, 1, sizeof(ngx_http_knock_scan_t));
    if (scan == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    api->data = scan;

    knock_str_set(&scan->cursor, "0");

    if (api->req.cursor.len
        && ngx_http_knock_api_scan_cursor(api, scan) != NGX_OK)
    {
        (void) knock_error_set(&err, KNOCK_E_INVALID_PARAMETER,
                               "\"cursor\" is none that a page of users "
                               "gave: begin without one");
        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_api_scan(api);
}


static ngx_int_t
ngx_http_knock_api_scan_cursor(ngx_http_knock_api_t *api,
    ngx_http_knock_scan_t *scan)
{
    u_char       *p, *last;
    size_t        i, n, len;
    knock_str_t   parts[3];

    p = api->req.cursor.data;
    last = p + api->req.cursor.len;

    parts[0].data = p;
    parts[0].len = 0;

    for (n = 0; p < last; p++) {

        if (*p == '.') {
            if (++n == 3) {
                return NGX_ERROR;
            }

            parts[n].data = p + 1;
            parts[n].len = 0;
            continue;
        }

        if (*p < '0' || *p > '9' || parts[n].len++ == NGX_INT64_LEN) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i <= n; i++) {
        if (parts[i].len == 0) {
            return NGX_ERROR;
        }
    }

    if (n == 0) {
        return NGX_ERROR;
    }

    len = parts[n].len < NGX_INT32_LEN ? parts[n].len : NGX_INT32_LEN - 1;
    scan->skip = (size_t) ngx_atoi((u_char *) parts[n].data, len);
    scan->cursor = parts[n - 1];

    if (n == 2) {
        len = parts[0].len < NGX_INT32_LEN ? parts[0].len : NGX_INT32_LEN - 1;
        scan->shard = (size_t) ngx_atoi((u_char *) parts[0].data, len);
    }

    return scan->shard < api->nshards ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_knock_api_scan(ngx_http_knock_api_t *api)
{
    knock_buf_t             buf;
    knock_str_t             words[6];
    const knock_str_t      *base;
    ngx_http_knock_scan_t  *scan;

    scan = api->data;
    base = &api->places[scan->shard];

    /* neither a prefix nor an environment holds what a pattern would take
       for more than itself */

    knock_buf_init(&buf, api->arena, base->len + 8);
    knock_buf_add_str(&buf, base);
    knock_buf_add_lit(&buf, "user:*");

    knock_str_set(&words[0], "SCAN");
    words[1] = scan->cursor;
    knock_str_set(&words[2], "MATCH");
    knock_str_set(&words[4], "COUNT");
    knock_str_set(&words[5], "1000");

    if (knock_buf_str(&buf, &words[3]) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_scanned);
    ngx_http_knock_api_command(api, base, words, 6);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_scanned(ngx_http_knock_api_t *api)
{
    size_t                   i, n, shard;
    knock_buf_t              buf;
    knock_str_t              cursor;
    ngx_http_knock_scan_t   *scan;
    ngx_http_knock_reply_t  *reply, *keys;

    scan = api->data;
    reply = api->replies;

    if (reply->elements == NULL || reply->n != 2) {
        ngx_http_knock_api_memory(api);
        return;
    }

    cursor = reply->elements[0].str;
    keys = &reply->elements[1];

    shard = scan->shard;

    if (knock_str_is(&cursor, "0")) {
        shard++;
    }

    if (keys->n <= scan->skip && shard < api->nshards
        && ++scan->rounds < NGX_HTTP_KNOCK_SCANS)
    {
        scan->cursor = cursor;
        scan->shard = shard;
        scan->skip = 0;
        ngx_http_knock_api_scan(api);
        return;
    }

    n = keys->n > scan->skip ? keys->n - scan->skip : 0;

    knock_buf_init(&buf, api->arena, 64);

    if (n > api->req.limit) {
        n = api->req.limit;
        ngx_http_knock_api_scan_next(&buf, scan->shard, &scan->cursor,
                                     scan->skip + n);

    } else if (shard < api->nshards) {
        ngx_http_knock_api_scan_next(&buf, shard, &cursor, 0);
    }

    if (knock_buf_str(&buf, &scan->next) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_user_page);

    ngx_http_knock_api_function(api, "knock_user_list");

    for (i = 0; i < n; i++) {
        ngx_http_knock_api_raw_key(api, &keys->elements[scan->skip + i].str);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_scan_next(knock_buf_t *buf, size_t shard,
    const knock_str_t *cursor, size_t skip)
{
    if (shard) {
        knock_buf_add_uint(buf, shard);
        knock_buf_add_char(buf, '.');
    }

    knock_buf_add_str(buf, cursor);
    knock_buf_add_char(buf, '.');
    knock_buf_add_uint(buf, skip);
}


static void
ngx_http_knock_api_user_page(ngx_http_knock_api_t *api)
{
    size_t                   i;
    knock_buf_t              buf;
    ngx_http_knock_scan_t   *scan;
    ngx_http_knock_reply_t  *users;

    scan = api->data;
    users = api->replies;

    knock_buf_init(&buf, api->arena, 4096);
    knock_buf_add_lit(&buf, "{\"items\":[");

    for (i = 0; i < users->n; i++) {
        if (i) {
            knock_buf_add_char(&buf, ',');
        }

        knock_buf_add_str(&buf, &users->elements[i].str);
    }

    ngx_http_knock_api_list(api, &buf, &scan->next);
}
