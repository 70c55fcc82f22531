
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


static void ngx_http_knock_worker_destroy_handler(ngx_event_t *ev);
static void ngx_http_knock_worker_cleanup(void *data);


ngx_http_knock_worker_t *
ngx_http_knock_worker_get(ngx_http_knock_main_conf_t *kmcf)
{
    ngx_cycle_t              *cycle;
    ngx_pool_cleanup_t       *cln;
    ngx_http_knock_worker_t  *worker;

    if (kmcf->worker) {
        return kmcf->worker;
    }

    cycle = (ngx_cycle_t *) ngx_cycle;

    worker = ngx_calloc(sizeof(ngx_http_knock_worker_t), cycle->log);
    if (worker == NULL) {
        return NULL;
    }

    worker->answer = knock_arena_create(NGX_HTTP_KNOCK_ANSWER_ARENA);
    if (worker->answer == NULL) {
        ngx_free(worker);
        return NULL;
    }

    /* a configuration may be thrown away with its pool only */

    cln = ngx_pool_cleanup_add(kmcf->pool, 0);
    if (cln == NULL) {
        knock_arena_destroy(worker->answer);
        ngx_free(worker);
        return NULL;
    }

    worker->conf = kmcf;
    worker->log = cycle->log;

    if (knock_digest_random((u_char *) &worker->token, sizeof(worker->token))
        != KNOCK_OK)
    {
        ngx_free(worker);
        return NULL;
    }

    ngx_queue_init(&worker->free);
    ngx_queue_init(&worker->free_shards);
    ngx_queue_init(&worker->envs);
    ngx_queue_init(&worker->waiting);
    ngx_queue_init(&worker->refreshing);

    worker->flush.handler = ngx_http_knock_call_flush_handler;
    worker->flush.data = worker;
    worker->flush.log = cycle->log;

    worker->destroy.handler = ngx_http_knock_worker_destroy_handler;
    worker->destroy.data = worker;
    worker->destroy.log = cycle->log;

    ngx_http_knock_ready_init(worker);

    worker->library.len = ngx_http_knock_library_len;
    worker->library.data = (u_char *) ngx_http_knock_library;

    worker->redis = ngx_http_knock_redis_create(cycle, kmcf->redis,
                                                &worker->library);
    if (worker->redis == NULL) {
        knock_arena_destroy(worker->answer);
        ngx_free(worker);
        return NULL;
    }

    ngx_http_knock_metrics_begin(worker);

    kmcf->worker = worker;

    cln->handler = ngx_http_knock_worker_cleanup;
    cln->data = kmcf;

    ngx_http_knock_live_refresh(worker);

    return worker;
}


void
ngx_http_knock_worker_retire(ngx_http_knock_main_conf_t *kmcf)
{
    kmcf->retired = 1;

    if (kmcf->worker) {
        ngx_http_knock_worker_check_retired(kmcf->worker);
    }
}


void
ngx_http_knock_worker_check_retired(ngx_http_knock_worker_t *worker)
{
    if (!worker->conf->retired || worker->njobs || worker->ncalls) {
        return;
    }

    /*
     * Not at once: the caller may be a handler of the client.  At a reload no
     * event is being handled, only the next ones are not waited for.
     */

    ngx_post_event(&worker->destroy, &ngx_posted_next_events);
}


static void
ngx_http_knock_worker_destroy_handler(ngx_event_t *ev)
{
    ngx_http_knock_worker_t  *worker = ev->data;

    if (worker->njobs == 0 && worker->ncalls == 0) {
        ngx_http_knock_worker_destroy(worker->conf);
    }
}


static void
ngx_http_knock_worker_cleanup(void *data)
{
    ngx_http_knock_worker_destroy(data);
}


void
ngx_http_knock_worker_destroy(ngx_http_knock_main_conf_t *kmcf)
{
    ngx_http_knock_worker_t  *worker;

    worker = kmcf->worker;
    if (worker == NULL) {
        return;
    }

    ngx_http_knock_metrics_end(worker);
    ngx_http_knock_redis_destroy(worker->redis);

    if (worker->flush.posted) {
        ngx_delete_posted_event(&worker->flush);
    }

    if (worker->destroy.posted) {
        ngx_delete_posted_event(&worker->destroy);
    }

    ngx_http_knock_env_destroy_all(worker);
    ngx_http_knock_job_free_all(worker);
    knock_arena_destroy(worker->answer);

    kmcf->worker = NULL;

    ngx_free(worker);
}
