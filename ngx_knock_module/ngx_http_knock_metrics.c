
#include "ngx_http_knock_worker.h"


/*
 * Workers, and those of older configurations that still have requests: as
 * many processes have a block each.  A fixed number, as a zone of another
 * size is another one, and would begin at zero.
 */
#define NGX_HTTP_KNOCK_BLOCKS      128

#define NGX_HTTP_KNOCK_COPY_EVERY  1000

/* workers write into cache lines of their own */
#define NGX_HTTP_KNOCK_LINE        ((size_t) NGX_CPU_CACHE_LINE)


/* the beginning of the zone */

typedef struct {
    size_t                   size;      /* of a block, whole cache lines */
    u_char                  *blocks;
} ngx_http_knock_zone_t;


/* what is copied of the Redis client's figures */

typedef struct {
    size_t                   cell;
    size_t                   offset;
} ngx_http_knock_copied_t;


static ngx_int_t ngx_http_knock_metrics_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_knock_block_t *ngx_http_knock_metrics_block(
    ngx_http_knock_zone_t *zone, ngx_uint_t n);
static ngx_uint_t ngx_http_knock_metrics_dead(ngx_http_knock_block_t *block);
static void ngx_http_knock_metrics_clear(ngx_http_knock_block_t *block);
static void ngx_http_knock_metrics_timer(ngx_event_t *ev);
static void ngx_http_knock_metrics_errors(ngx_http_knock_metrics_t *metrics,
    const uint64_t *errors);


static const ngx_http_knock_copied_t  ngx_http_knock_copied[] = {
    { KNOCK_CELL_CONNECTS,
      offsetof(ngx_http_knock_redis_stats_t, connects) },
    { KNOCK_CELL_FAILURES,
      offsetof(ngx_http_knock_redis_stats_t, failures) },
    { KNOCK_CELL_RECONNECTS,
      offsetof(ngx_http_knock_redis_stats_t, reconnects) },
    { KNOCK_CELL_TIMEOUTS,
      offsetof(ngx_http_knock_redis_stats_t, timeouts) },
    { KNOCK_CELL_COMMANDS,
      offsetof(ngx_http_knock_redis_stats_t, commands) },
    { KNOCK_CELL_REFUSED,
      offsetof(ngx_http_knock_redis_stats_t, refused) },
    { KNOCK_CELL_REPLY_ERRORS,
      offsetof(ngx_http_knock_redis_stats_t, errors) },
    { KNOCK_CELL_LOST,
      offsetof(ngx_http_knock_redis_stats_t, lost) },
    { KNOCK_CELL_LOADS,
      offsetof(ngx_http_knock_redis_stats_t, library_loads) },
    { KNOCK_CELL_STRAYS,
      offsetof(ngx_http_knock_redis_stats_t, strays) }
};


/* of these a process has its own: they go with it */

static const size_t  ngx_http_knock_gauges[] = {
    KNOCK_CELL_CONNECTIONS, KNOCK_CELL_IN_FLIGHT,
    KNOCK_CELL_PENDING_COMMANDS, KNOCK_CELL_PENDING_BYTES,
    KNOCK_CELL_BODY_BYTES
};


#define NGX_HTTP_KNOCK_GAUGES                                                \
    (sizeof(ngx_http_knock_gauges) / sizeof(ngx_http_knock_gauges[0]))


ngx_int_t
ngx_http_knock_metrics_zone(ngx_conf_t *cf)
{
    size_t                       size;
    ngx_str_t                    name;
    ngx_shm_zone_t              *shm_zone;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_knock_module);

    /*
     * A zone is taken over at a reload if it has the same name and size.  One
     * with other cells has another name: it begins at zero, while the workers
     * of the old configuration count on in theirs.
     */

    name.data = ngx_pnalloc(cf->pool, sizeof("knock_metrics_12345678") - 1);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    name.len = (size_t) (ngx_sprintf(name.data, "knock_metrics_%08xD",
                                     knock_metrics_layout())
                         - name.data);

    /* with what the allocator of the zone needs for itself */

    size = sizeof(ngx_http_knock_zone_t)
           + NGX_HTTP_KNOCK_BLOCKS * ngx_align(sizeof(ngx_http_knock_block_t),
                                               NGX_HTTP_KNOCK_LINE);
    size = ngx_align(size + size / 16 + 16 * ngx_pagesize, ngx_pagesize);

    shm_zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_knock_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_knock_metrics_init_zone;
    shm_zone->data = NULL;

    kmcf->metrics = shm_zone;

    return NGX_OK;
}


/* `data` is the zone's of the configuration before, if it is the same one */

static ngx_int_t
ngx_http_knock_metrics_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                  size;
    ngx_slab_pool_t        *shpool;
    ngx_http_knock_zone_t  *zone;

    size = ngx_align(sizeof(ngx_http_knock_block_t), NGX_HTTP_KNOCK_LINE);

    if (data) {
        shm_zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    zone = ngx_slab_calloc(shpool, sizeof(ngx_http_knock_zone_t)
                                   + NGX_HTTP_KNOCK_LINE
                                   + NGX_HTTP_KNOCK_BLOCKS * size);
    if (zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "knock: the shared memory \"%V\" is too small for the "
                      "metrics: this is a fault of the module, report it",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    zone->size = size;
    zone->blocks = ngx_align_ptr((u_char *) zone
                                 + sizeof(ngx_http_knock_zone_t),
                                 NGX_HTTP_KNOCK_LINE);

    shpool->data = zone;
    shm_zone->data = zone;

    return NGX_OK;
}


static ngx_http_knock_block_t *
ngx_http_knock_metrics_block(ngx_http_knock_zone_t *zone, ngx_uint_t n)
{
    return (ngx_http_knock_block_t *) (zone->blocks + n * zone->size);
}


void
ngx_http_knock_metrics_begin(ngx_http_knock_worker_t *worker)
{
    ngx_uint_t                 i;
    ngx_event_t               *timer;
    ngx_atomic_uint_t          owner;
    ngx_http_knock_zone_t     *zone;
    ngx_http_knock_block_t    *block;
    ngx_http_knock_metrics_t  *metrics;

    zone = worker->conf->metrics->data;
    metrics = &worker->metrics;

    /*
     * The last one is everybody's who finds no other.  Blocks of processes
     * that died are freed first, all of them: what they had in flight is gone.
     */

    for (i = 0; i < NGX_HTTP_KNOCK_BLOCKS - 1; i++) {
        block = ngx_http_knock_metrics_block(zone, i);
        owner = block->owner;

        if (owner && ngx_http_knock_metrics_dead(block)) {
            ngx_http_knock_metrics_clear(block);
            (void) ngx_atomic_cmp_set(&block->owner, owner, 0);
        }
    }

    for (i = 0; i < NGX_HTTP_KNOCK_BLOCKS - 1; i++) {
        block = ngx_http_knock_metrics_block(zone, i);

        if (block->owner == 0
            && ngx_atomic_cmp_set(&block->owner, 0,
                                  (ngx_atomic_uint_t) ngx_pid))
        {
            break;
        }
    }

    metrics->shared = (i == NGX_HTTP_KNOCK_BLOCKS - 1);
    metrics->block = ngx_http_knock_metrics_block(zone, i);

    timer = &metrics->timer;

    timer->handler = ngx_http_knock_metrics_timer;
    timer->data = worker;
    timer->log = worker->log;
    timer->cancelable = 1;

    ngx_add_timer(timer, NGX_HTTP_KNOCK_COPY_EVERY);
}


/* no such process; that one of its number may come later is put up with */

static ngx_uint_t
ngx_http_knock_metrics_dead(ngx_http_knock_block_t *block)
{
    return kill((pid_t) block->owner, 0) == -1 && ngx_errno == ESRCH;
}


static void
ngx_http_knock_metrics_clear(ngx_http_knock_block_t *block)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_KNOCK_GAUGES; i++) {
        block->cells[ngx_http_knock_gauges[i]] = 0;
    }
}


void
ngx_http_knock_metrics_end(ngx_http_knock_worker_t *worker)
{
    ngx_http_knock_metrics_t  *metrics;

    metrics = &worker->metrics;

    if (metrics->timer.timer_set) {
        ngx_del_timer(&metrics->timer);
    }

    ngx_http_knock_metrics_copy(worker);

    if (!metrics->shared) {
        ngx_http_knock_metrics_clear(metrics->block);
        ngx_memory_barrier();
        metrics->block->owner = 0;
    }
}


static void
ngx_http_knock_metrics_timer(ngx_event_t *ev)
{
    ngx_http_knock_metrics_copy(ev->data);

    ngx_add_timer(ev, NGX_HTTP_KNOCK_COPY_EVERY);
}


void
ngx_http_knock_metrics_copy(ngx_http_knock_worker_t *worker)
{
    size_t                               offset;
    ngx_uint_t                           i, now, before;
    ngx_atomic_t                        *cells;
    ngx_http_knock_metrics_t            *metrics;
    const ngx_http_knock_redis_stats_t  *stats;

    metrics = &worker->metrics;
    cells = metrics->block->cells;
    stats = ngx_http_knock_redis_stats(worker->redis);

    for (i = 0;
         i < sizeof(ngx_http_knock_copied) / sizeof(ngx_http_knock_copied[0]);
         i++)
    {
        offset = ngx_http_knock_copied[i].offset;

        now = *(const ngx_uint_t *) ((const u_char *) stats + offset);
        before = *(ngx_uint_t *) ((u_char *) &metrics->copied + offset);

        if (now != before) {
            ngx_http_knock_metrics_add(metrics, ngx_http_knock_copied[i].cell,
                                       now - before);
        }
    }

    metrics->copied = *stats;

    if (metrics->shared) {
        return;
    }

    cells[KNOCK_CELL_CONNECTIONS] = stats->up;
    cells[KNOCK_CELL_IN_FLIGHT] = worker->njobs;
    cells[KNOCK_CELL_PENDING_COMMANDS] = stats->in_flight;
    cells[KNOCK_CELL_PENDING_BYTES] = stats->bytes;
    cells[KNOCK_CELL_BODY_BYTES] = worker->body_bytes;
}


void
ngx_http_knock_metrics_sum(ngx_http_knock_worker_t *worker, uint64_t *cells)
{
    size_t                   c;
    ngx_uint_t               i;
    ngx_http_knock_zone_t   *zone;
    ngx_http_knock_block_t  *block;

    zone = worker->conf->metrics->data;

    ngx_memzero(cells, KNOCK_CELL_COUNT * sizeof(uint64_t));

    for (i = 0; i < NGX_HTTP_KNOCK_BLOCKS; i++) {
        block = ngx_http_knock_metrics_block(zone, i);

        if (block->owner) {
            if (ngx_http_knock_metrics_dead(block)) {
                ngx_http_knock_metrics_clear(block);

            } else {
                cells[KNOCK_CELL_WORKERS]++;
            }
        }

        for (c = 0; c < KNOCK_CELL_COUNT; c++) {
            cells[c] += block->cells[c];
        }
    }
}


uint64_t
ngx_http_knock_metrics_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


void
ngx_http_knock_metrics_call(ngx_http_knock_worker_t *worker, uint64_t sent)
{
    uint64_t  time;

    time = ngx_http_knock_metrics_now() - sent;

    ngx_http_knock_metrics_add(&worker->metrics, knock_metrics_bucket(time),
                               1);
    ngx_http_knock_metrics_add(&worker->metrics, KNOCK_CELL_CALL_LAST, time);
}


/*
 * Statuses of Redis, or without data those that were expected: all went so.
 * Its types are the job's, whose request may have gone.
 */

void
ngx_http_knock_metrics_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    size_t                     i, cell;
    ngx_http_knock_metrics_t  *metrics;

    metrics = &job->worker->metrics;

    for (i = 0; i < job->nkinds; i++) {
        cell = KNOCK_CELL_EVENTS + job->kinds[i];

        if (statuses->data) {
            cell = knock_metrics_event(job->kinds[i] / KNOCK_METRICS_OUTCOMES,
                                       statuses->data[i]);
        }

        ngx_http_knock_metrics_add(metrics, cell, 1);
    }

    if (runs) {
        ngx_http_knock_metrics_add(metrics, KNOCK_CELL_RUNS, runs);
    }
}


void
ngx_http_knock_metrics_answer(ngx_http_request_t *r, ngx_uint_t status)
{
    size_t                       cell;
    ngx_http_knock_loc_conf_t   *klcf;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);
    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    if (kmcf->worker == NULL || r != r->main) {
        return;
    }

    cell = klcf->token ? KNOCK_CELL_REQUESTS : KNOCK_CELL_API_REQUESTS;

    ngx_http_knock_metrics_add(&kmcf->worker->metrics,
                               cell + knock_metrics_code((unsigned) status),
                               1);
}


void
ngx_http_knock_metrics_refused(ngx_http_request_t *r, const knock_str_t *json)
{
    uint64_t                     errors[KNOCK_E_COUNT];
    ngx_http_knock_loc_conf_t   *klcf;
    ngx_http_knock_main_conf_t  *kmcf;

    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);
    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);

    /* that events would be refused is asked every second, and refuses none */

    if (kmcf->worker == NULL || klcf->ready) {
        return;
    }

    ngx_memzero(errors, sizeof(errors));
    knock_metrics_refused(json, errors);

    ngx_http_knock_metrics_errors(&kmcf->worker->metrics, errors);
}


void
ngx_http_knock_metrics_listed(ngx_http_knock_worker_t *worker,
    const knock_str_t *list)
{
    uint64_t  errors[KNOCK_E_COUNT];

    ngx_memzero(errors, sizeof(errors));
    knock_metrics_listed(list, errors);

    ngx_http_knock_metrics_errors(&worker->metrics, errors);
}


static void
ngx_http_knock_metrics_errors(ngx_http_knock_metrics_t *metrics,
    const uint64_t *errors)
{
    size_t  i;

    for (i = 0; i < KNOCK_E_COUNT; i++) {
        if (errors[i]) {
            ngx_http_knock_metrics_add(metrics, KNOCK_CELL_ERRORS + i,
                                       errors[i]);
        }
    }
}
