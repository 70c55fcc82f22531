
#include "ngx_http_knock_log.h"


/* an event is written no later than this after its verdict */
#define NGX_HTTP_KNOCK_LOG_DELAY  100

/* a journal of so many bytes is written at once */
#define NGX_HTTP_KNOCK_LOG_FLUSH  (256 * 1024)

/* as much as a worker keeps, while Redis is slow or away */
#define NGX_HTTP_KNOCK_LOG_BYTES  (8 * 1024 * 1024)

/* journals of an environment that are being written at a time */
#define NGX_HTTP_KNOCK_LOG_CALLS  2

/* events that are not logged, and kept as samples, in a second */
#define NGX_HTTP_KNOCK_LOG_SAMPLES  64

#define NGX_HTTP_KNOCK_LOG_ARENA  (80 * 1024)


/* the journal of an endpoint */

typedef struct {
    ngx_queue_t               queue;
    ngx_http_knock_env_t     *env;
    knock_arena_t            *arena;
    knock_journal_t           journal;
    knock_journal_keys_t      keys;
} ngx_http_knock_journal_t;


/* a journal that is being written */

typedef struct {
    ngx_http_knock_env_t     *env;
    ngx_uint_t                events;
    ngx_uint_t                entries;
} ngx_http_knock_log_call_t;


static ngx_http_knock_journal_t *ngx_http_knock_log_journal(
    ngx_http_knock_env_t *env, const knock_endpoint_t *endpoint);
static u_char *ngx_http_knock_log_copy(knock_str_t *to, const knock_str_t *from,
    u_char *p);
static void ngx_http_knock_log_conf(ngx_http_knock_worker_t *worker,
    knock_journal_conf_t *conf);
static void ngx_http_knock_log_send(ngx_http_knock_journal_t *journal);
static void ngx_http_knock_log_clear(ngx_http_knock_journal_t *journal);
static void ngx_http_knock_log_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_log_drop(ngx_http_knock_worker_t *worker,
    ngx_uint_t events, ngx_uint_t entries);
static void ngx_http_knock_log_schedule(ngx_http_knock_worker_t *worker);


void
ngx_http_knock_log_add(ngx_http_knock_env_t *env,
    const knock_endpoint_t *endpoint, const knock_record_t *record)
{
    size_t                     before;
    knock_journal_conf_t       conf;
    ngx_http_knock_worker_t   *worker;
    ngx_http_knock_journal_t  *journal;

    worker = env->worker;
    journal = NULL;

    if (worker->log_bytes < NGX_HTTP_KNOCK_LOG_BYTES) {
        journal = ngx_http_knock_log_journal(env, endpoint);
    }

    if (journal == NULL) {
        ngx_http_knock_log_drop(worker, 1, record->doc.len != 0);
        return;
    }

    ngx_http_knock_log_conf(worker, &conf);

    before = journal->journal.bytes;

    if (knock_journal_add(&journal->journal, &conf, record) != KNOCK_OK) {
        ngx_http_knock_complain_memory(worker, "the event log");
        ngx_http_knock_log_drop(worker, journal->journal.events,
                                journal->journal.entries);

        worker->log_bytes -= before;
        ngx_http_knock_log_clear(journal);
        return;
    }

    worker->log_bytes += journal->journal.bytes - before;

    if (journal->journal.bytes >= NGX_HTTP_KNOCK_LOG_FLUSH) {
        ngx_http_knock_log_send(journal);
    }

    ngx_http_knock_log_schedule(worker);
}


ngx_uint_t
ngx_http_knock_log_sampled(ngx_http_knock_worker_t *worker)
{
    if (worker->samples_sec != ngx_time()) {
        worker->samples_sec = ngx_time();
        worker->samples = NGX_HTTP_KNOCK_LOG_SAMPLES;
    }

    if (worker->samples == 0) {
        return 0;
    }

    worker->samples--;

    return 1;
}


/* NULL: no memory */

static ngx_http_knock_journal_t *
ngx_http_knock_log_journal(ngx_http_knock_env_t *env,
    const knock_endpoint_t *endpoint)
{
    size_t                     len;
    u_char                    *p;
    ngx_queue_t               *q;
    const knock_str_t         *endpoints;
    knock_journal_keys_t      *keys;
    ngx_http_knock_journal_t  *journal;

    endpoints = &env->live->places[env->live->home].keys[KNOCK_KEY_ENDPOINTS];

    for (q = ngx_queue_head(&env->journals);
         q != ngx_queue_sentinel(&env->journals);
         q = ngx_queue_next(q))
    {
        journal = ngx_queue_data(q, ngx_http_knock_journal_t, queue);

        if (knock_str_eq(&journal->keys.log, &endpoint->log)) {
            return journal;
        }
    }

    len = endpoint->source.len + endpoints->len + endpoint->log.len
          + endpoint->log_sizes.len + endpoint->catalogue.len
          + endpoint->catalogue_info.len;

    journal = ngx_calloc(sizeof(ngx_http_knock_journal_t) + len,
                         env->worker->log);
    if (journal == NULL) {
        return NULL;
    }

    journal->env = env;
    journal->arena = knock_arena_create(NGX_HTTP_KNOCK_LOG_ARENA);

    if (journal->arena == NULL
        || knock_journal_init(&journal->journal, journal->arena) != KNOCK_OK)
    {
        knock_arena_destroy(journal->arena);
        ngx_free(journal);
        return NULL;
    }

    /* the endpoint may go before what is gathered for it is written */

    keys = &journal->keys;
    p = (u_char *) journal + sizeof(ngx_http_knock_journal_t);

    p = ngx_http_knock_log_copy(&keys->source, &endpoint->source, p);
    p = ngx_http_knock_log_copy(&keys->endpoints, endpoints, p);
    p = ngx_http_knock_log_copy(&keys->log, &endpoint->log, p);
    p = ngx_http_knock_log_copy(&keys->log_sizes, &endpoint->log_sizes, p);
    p = ngx_http_knock_log_copy(&keys->catalogue, &endpoint->catalogue, p);

    (void) ngx_http_knock_log_copy(&keys->catalogue_info,
                                   &endpoint->catalogue_info, p);

    ngx_queue_insert_tail(&env->journals, &journal->queue);

    return journal;
}


/* gives what is behind the copy */

static u_char *
ngx_http_knock_log_copy(knock_str_t *to, const knock_str_t *from, u_char *p)
{
    to->data = p;
    to->len = from->len;

    return ngx_cpymem(p, from->data, from->len);
}


static void
ngx_http_knock_log_conf(ngx_http_knock_worker_t *worker,
    knock_journal_conf_t *conf)
{
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = worker->conf;

    conf->body = kmcf->event_log_body;
    conf->log_length = kmcf->event_log_length;
    conf->log_bytes = kmcf->event_log_size;
    conf->catalogue_length = kmcf->catalogue_length;
}


/* what cannot be sent now stays, and is tried again with what comes to it */

static void
ngx_http_knock_log_send(ngx_http_knock_journal_t *journal)
{
    size_t                      i;
    ngx_int_t                   rc;
    const char                **argv;
    size_t                     *argvlen;
    const knock_strs_t         *args;
    knock_journal_conf_t        conf;
    ngx_http_knock_env_t       *env;
    ngx_http_knock_worker_t    *worker;
    knock_journal_commands_t    commands;
    ngx_http_knock_log_call_t  *call;

    env = journal->env;
    worker = env->worker;

    if (journal->journal.events == 0
        || env->nlogs >= NGX_HTTP_KNOCK_LOG_CALLS)
    {
        return;
    }

    ngx_http_knock_log_conf(worker, &conf);

    call = ngx_alloc(sizeof(ngx_http_knock_log_call_t), worker->log);
    if (call == NULL) {
        return;
    }

    call->env = env;
    call->events = journal->journal.events;
    call->entries = journal->journal.entries;

    rc = NGX_ERROR;

    if (knock_journal_command(&journal->journal, &conf, &journal->keys,
                              &commands)
        == KNOCK_OK)
    {
        args = &commands.args;

        argv = knock_arena_alloc(journal->arena, args->n * sizeof(char *));
        argvlen = knock_arena_alloc(journal->arena, args->n * sizeof(size_t));

        if (argv && argvlen) {
            for (i = 0; i < args->n; i++) {
                argv[i] = (const char *) args->items[i].data;
                argvlen[i] = args->items[i].len;
            }

            /* the FCALL is the last command, but for EXEC */

            rc = ngx_http_knock_redis_transaction(worker->redis,
                                        &journal->keys.log, commands.argc,
                                        commands.n, argv, argvlen,
                                        commands.n > 1 ? commands.n - 3 : 0,
                                        ngx_http_knock_log_handler, call);
        }
    }

    if (rc != NGX_OK) {
        ngx_free(call);
        return;
    }

    env->nlogs++;
    worker->nlogs++;
    worker->log_bytes -= journal->journal.bytes;

    ngx_http_knock_log_clear(journal);
}


static void
ngx_http_knock_log_clear(ngx_http_knock_journal_t *journal)
{
    /* the first block of an emptied arena is there: it cannot fail */

    (void) knock_journal_init(&journal->journal, journal->arena);
}


static void
ngx_http_knock_log_handler(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_log_call_t *call = data;

    ngx_http_knock_env_t     *env;
    ngx_http_knock_worker_t  *worker;

    (void) reply;

    env = call->env;
    worker = env->worker;

    env->nlogs--;
    worker->nlogs--;

    if (status != NGX_HTTP_KNOCK_REDIS_OK) {
        ngx_http_knock_complain(worker, why,
                                "the event log of \"%V\" lacks entries: Redis "
                                "did not take them: %V", &env->name, why);

        ngx_http_knock_log_drop(worker, call->events, call->entries);
    }

    ngx_free(call);

    if (ngx_exiting) {
        ngx_http_knock_log_flush(env);
    }

    ngx_http_knock_worker_check_retired(worker);
}


static void
ngx_http_knock_log_drop(ngx_http_knock_worker_t *worker, ngx_uint_t events,
    ngx_uint_t entries)
{
    ngx_http_knock_metrics_add(&worker->metrics, KNOCK_CELL_LOG_DROPPED,
                               entries);
    ngx_http_knock_metrics_add(&worker->metrics, KNOCK_CELL_COUNTS_DROPPED,
                               events);
}


void
ngx_http_knock_log_flush(ngx_http_knock_env_t *env)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&env->journals);
         q != ngx_queue_sentinel(&env->journals);
         q = ngx_queue_next(q))
    {
        ngx_http_knock_log_send(ngx_queue_data(q, ngx_http_knock_journal_t,
                                               queue));
    }
}


void
ngx_http_knock_log_flush_all(ngx_http_knock_worker_t *worker)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        ngx_http_knock_log_flush(ngx_queue_data(q, ngx_http_knock_env_t,
                                                queue));
    }
}


ngx_uint_t
ngx_http_knock_log_busy(ngx_http_knock_env_t *env)
{
    ngx_uint_t                 n;
    ngx_queue_t               *q;
    ngx_http_knock_journal_t  *journal;

    n = env->nlogs;

    for (q = ngx_queue_head(&env->journals);
         q != ngx_queue_sentinel(&env->journals);
         q = ngx_queue_next(q))
    {
        journal = ngx_queue_data(q, ngx_http_knock_journal_t, queue);
        n += journal->journal.events;
    }

    return n;
}


void
ngx_http_knock_log_destroy(ngx_http_knock_env_t *env)
{
    ngx_queue_t               *q;
    ngx_http_knock_journal_t  *journal;

    while (!ngx_queue_empty(&env->journals)) {
        q = ngx_queue_head(&env->journals);
        ngx_queue_remove(q);

        journal = ngx_queue_data(q, ngx_http_knock_journal_t, queue);

        env->worker->log_bytes -= journal->journal.bytes;

        knock_arena_destroy(journal->arena);
        ngx_free(journal);
    }
}


/* not cancelable: a worker that shuts down writes what it has gathered */

static void
ngx_http_knock_log_schedule(ngx_http_knock_worker_t *worker)
{
    if (!worker->log_timer.timer_set && worker->log_bytes) {
        ngx_add_timer(&worker->log_timer, NGX_HTTP_KNOCK_LOG_DELAY);
    }
}


void
ngx_http_knock_log_timer_handler(ngx_event_t *ev)
{
    ngx_http_knock_worker_t *worker = ev->data;

    ngx_http_knock_log_flush_all(worker);

    /* a worker that is to exit does not wait for a Redis that is away */

    if (!ngx_exiting && !worker->conf->retired) {
        ngx_http_knock_log_schedule(worker);
    }
}
