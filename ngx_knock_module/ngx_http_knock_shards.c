
/* what a job in several places needs beside itself: kept for the next ones */

#include "ngx_http_knock_worker.h"


#define NGX_HTTP_KNOCK_SHARDS_ARENA  (16 * 1024)

/* so many are kept */
#define NGX_HTTP_KNOCK_KEPT_SHARDS   64


static void ngx_http_knock_shards_destroy(ngx_http_knock_shards_t *shards);


ngx_http_knock_shards_t *
ngx_http_knock_shards_create(ngx_http_knock_worker_t *worker,
    ngx_uint_t nplaces)
{
    u_char                   *p;
    size_t                    size;
    ngx_queue_t              *q;
    ngx_http_knock_shards_t  *shards;

    if (!ngx_queue_empty(&worker->free_shards)) {
        q = ngx_queue_head(&worker->free_shards);
        ngx_queue_remove(q);
        worker->nfree_shards--;

        return ngx_queue_data(q, ngx_http_knock_shards_t, queue);
    }

    size = sizeof(knock_part_t) + sizeof(ngx_http_knock_part_t)
           + sizeof(knock_outcome_t) + sizeof(knock_need_t *);

    shards = ngx_calloc(sizeof(ngx_http_knock_shards_t) + nplaces * size,
                        worker->log);
    if (shards == NULL) {
        return NULL;
    }

    shards->arena = knock_arena_create(NGX_HTTP_KNOCK_SHARDS_ARENA);
    if (shards->arena == NULL) {
        ngx_free(shards);
        return NULL;
    }

    shards->nplaces = nplaces;
    shards->parts.arena = shards->arena;

    p = (u_char *) shards + sizeof(ngx_http_knock_shards_t);

    shards->parts.parts = (knock_part_t *) p;
    p += nplaces * sizeof(knock_part_t);

    shards->links = (ngx_http_knock_part_t *) p;
    p += nplaces * sizeof(ngx_http_knock_part_t);

    shards->outcomes = (knock_outcome_t *) p;
    p += nplaces * sizeof(knock_outcome_t);

    shards->needs = (knock_need_t **) p;

    return shards;
}


void
ngx_http_knock_shards_free(ngx_http_knock_worker_t *worker,
    ngx_http_knock_shards_t *shards)
{
    ngx_http_knock_env_release(shards->config);
    shards->config = NULL;

    if (worker->nfree_shards >= NGX_HTTP_KNOCK_KEPT_SHARDS) {
        ngx_http_knock_shards_destroy(shards);
        return;
    }

    knock_arena_reset(shards->arena);

    ngx_memzero(shards->outcomes, shards->nplaces * sizeof(knock_outcome_t));
    ngx_memzero(shards->needs, shards->nplaces * sizeof(knock_need_t *));

    ngx_queue_insert_head(&worker->free_shards, &shards->queue);
    worker->nfree_shards++;
}


void
ngx_http_knock_shards_free_all(ngx_http_knock_worker_t *worker)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&worker->free_shards)) {
        q = ngx_queue_head(&worker->free_shards);
        ngx_queue_remove(q);

        ngx_http_knock_shards_destroy(ngx_queue_data(q,
                                             ngx_http_knock_shards_t, queue));
    }

    worker->nfree_shards = 0;
}


static void
ngx_http_knock_shards_destroy(ngx_http_knock_shards_t *shards)
{
    knock_arena_destroy(shards->arena);
    ngx_free(shards);
}
