
/*
 * The state of a worker process: its Redis client, the live configuration of
 * each environment, and the requests that wait for one or the other.
 *
 * A job is one request's way through: it is processed as soon as its body is
 * there; what it does joins the call being collected for its environment,
 * which goes out at the end of the turn of the event loop; the reply answers
 * it.  Where the environment is split into shards, it has a part for each that
 * it touches, in as many calls, and when all have been applied one for home.
 * Where the cached configuration is not enough to go by (an unknown token, a
 * refusal that a newer setting might have lifted, a call that came back stale)
 * the job waits for a refresh that begins after it has come, and is processed
 * anew.
 *
 * A job lives outside its request's pool: the request may go at any time, the
 * call that the job is part of is then completed all the same.
 */

#ifndef _NGX_HTTP_KNOCK_WORKER_H_INCLUDED_
#define _NGX_HTTP_KNOCK_WORKER_H_INCLUDED_


#include "ngx_http_knock_metrics.h"
#include "knock_apply.h"
#include "knock_receive.h"


typedef struct ngx_http_knock_config_s  ngx_http_knock_config_t;
typedef struct ngx_http_knock_env_s     ngx_http_knock_env_t;
typedef struct ngx_http_knock_group_s   ngx_http_knock_group_t;
typedef struct ngx_http_knock_shards_s  ngx_http_knock_shards_t;


typedef enum {
    NGX_HTTP_KNOCK_IDLE = 0,
    NGX_HTTP_KNOCK_WAITING,     /* for a refresh */
    NGX_HTTP_KNOCK_APPLYING     /* in calls, collected or sent */
} ngx_http_knock_state_e;


/* what becomes of a job's parts; of several the last one here counts */

typedef enum {
    NGX_HTTP_KNOCK_DONE = 0,
    NGX_HTTP_KNOCK_AGAIN,       /* with what Redis said, or alone */
    NGX_HTTP_KNOCK_STALE,       /* under a newer configuration */
    NGX_HTTP_KNOCK_GUARDED,     /* If-Match does not match */
    NGX_HTTP_KNOCK_UNAVAILABLE,
    NGX_HTTP_KNOCK_BROKEN
} ngx_http_knock_result_e;


/* what a kind of job does; `job->request` is there whenever one is called */

typedef struct {

    /*
     * The environment that the job belongs to, in its live configuration.
     * NULL with *err filled in: there is none, as far as is known.
     */
    ngx_http_knock_env_t   *(*find)(ngx_http_knock_job_t *job,
                                    knock_error_t *err);

    /* makes the job's parts, in the manner of knock_receive() */
    int                     (*receive)(ngx_http_knock_job_t *job,
                                       knock_parts_t *parts,
                                       knock_received_t *received,
                                       knock_error_t *err);

    /*
     * Answer the request and free the job, by ngx_http_knock_job_finish() or
     * ngx_http_knock_job_free(): with what was applied, or with an error.
     */
    void                    (*applied)(ngx_http_knock_job_t *job,
                                       const knock_str_t *statuses,
                                       uint64_t runs);
    void                    (*refused)(ngx_http_knock_job_t *job,
                                       const knock_error_t *err);
} ngx_http_knock_job_type_t;


/* a job's part at one place, in the call of that place */

typedef struct {
    ngx_queue_t                 queue;
    ngx_http_knock_job_t       *job;
    ngx_http_knock_group_t     *group;
    knock_str_t                 statuses;       /* as expected, in the */
    uint64_t                    runs;           /* request's pool */
    unsigned                    collected:1;    /* not yet sent */
} ngx_http_knock_part_t;


/* events of a job whose kinds need no memory of their own */
#define NGX_HTTP_KNOCK_FEW  8


struct ngx_http_knock_job_s {
    ngx_queue_t                 queue;
    ngx_http_knock_job_type_t  *type;
    ngx_http_knock_state_e      state;
    ngx_http_knock_worker_t    *worker;

    ngx_http_request_t         *request;    /* NULL: it has gone */
    ngx_http_cleanup_pt        *cleanup;    /* of the request, for this job */
    void                       *data;       /* in the request's pool, */
    knock_received_t            received;   /* as what this points to */
    knock_need_t               *need;       /* and this; NULL: none */

    ngx_http_knock_part_t       part;       /* where there is one place */
    ngx_http_knock_shards_t    *shards;     /* where there are several */
    ngx_uint_t                  pending;    /* parts to come back */
    ngx_http_knock_result_e     result;     /* of those that came */
    const char                 *why;        /* of a broken one */

    size_t                      body_bytes;
    u_char                     *kinds;      /* of the events, for metrics: the
                                               cell of what is expected */
    size_t                      nkinds;
    u_char                      few[NGX_HTTP_KNOCK_FEW];

    ngx_uint_t                  tries;
    unsigned                    held:1;         /* is counted in */
    unsigned                    confirmed:1;    /* by a refresh begun since */
    unsigned                    alone:1;        /* shares no call */
    unsigned                    begun:1;        /* applied at a place: goes on
                                                   by the same configuration */
};


/*
 * Of a job in several places: what a try makes, and what all tries have come
 * to.  A part that has been applied stays so, and is not made again.
 */

struct ngx_http_knock_shards_s {
    ngx_queue_t                 queue;          /* of the free ones */
    knock_arena_t              *arena;          /* of the last try */
    knock_parts_t               parts;
    ngx_http_knock_part_t      *links;          /* of each place */
    knock_outcome_t            *outcomes;       /* of each, in the request's */
    knock_need_t              **needs;          /* pool, as these */
    knock_str_t                *orders;
    ngx_http_knock_env_t       *env;
    ngx_http_knock_config_t    *config;         /* that the last try went by */
    ngx_uint_t                  nplaces;        /* home is the last one */
};


/*
 * What has been read of an environment.  It is kept for as long as it goes by
 * it: a job that has been applied in a place goes on by what it began with.
 */

struct ngx_http_knock_config_s {
    ngx_uint_t                refs;
    knock_arena_t            *arena;
    knock_live_t             *live;
};


/*
 * What is collected for one place of an environment.  Of several there are two
 * groups each: what is in the second one has been applied at another place,
 * and is so here too, whatever has changed meanwhile.
 */

struct ngx_http_knock_group_s {
    ngx_http_knock_env_t     *env;
    size_t                    place;
    knock_arena_t            *arena;
    knock_apply_t             apply;
    ngx_queue_t               parts;            /* ngx_http_knock_part_t */
    ngx_uint_t                ncalls;           /* under way */
    unsigned                  collecting:1;
    unsigned                  begun:1;          /* the second one */

    /*
     * A version of the configuration that a shard had, and not the worker;
     * and which refresh had begun then
     */
    ngx_str_t                 ahead;
    u_char                    ahead_data[64];
    ngx_uint_t                ahead_at;
};


struct ngx_http_knock_env_s {
    ngx_queue_t               queue;
    ngx_http_knock_worker_t  *worker;
    ngx_str_t                 name;

    ngx_http_knock_config_t  *config;
    knock_live_t             *live;         /* of this; NULL: not read yet */
    ngx_uint_t                read_at;      /* the last refresh that read it */
    unsigned                  asked:1;      /* a reply is awaited */
    unsigned                  listed:1;     /* in the list last read */

    ngx_http_knock_group_t   *groups;       /* of each place */
    ngx_uint_t                ngroups;
    ngx_uint_t                nplaces;
};


/* what has been logged lately */

#define NGX_HTTP_KNOCK_COMPLAINTS  32

typedef struct {
    uint32_t                     key;           /* a hash of what it is about */
    time_t                       sec;           /* 0: none */
    ngx_uint_t                   more;          /* left out since */
} ngx_http_knock_complaint_t;


/* what is known of whether events would be taken */

typedef struct {
    ngx_queue_t                  waiting;       /* requests, for an answer */
    ngx_event_t                  timer;         /* of the question */
    ngx_msec_t                   until;         /* the answer is good */
    ngx_uint_t                   pending;       /* replies to come, and us */
    size_t                       why_len;       /* where it is no */
    u_char                       why[128];
    unsigned                     ok:1;
    unsigned                     asking:1;      /* one is under way, */
    unsigned                     late:1;        /* for too long */
    unsigned                     reading:1;     /* what is live, at first */
} ngx_http_knock_ready_t;


struct ngx_http_knock_worker_s {
    ngx_http_knock_main_conf_t  *conf;
    ngx_http_knock_redis_t      *redis;
    ngx_str_t                    library;
    ngx_log_t                   *log;

    ngx_queue_t                  envs;
    ngx_event_t                  flush;         /* posted: sends the calls */
    ngx_event_t                  destroy;       /* posted, when retired */

    ngx_queue_t                  waiting;       /* for the next refresh */
    ngx_queue_t                  refreshing;    /* for the one under way */
    ngx_uint_t                   pending;       /* replies it awaits */
    ngx_uint_t                   refreshes;     /* that have begun */
    unsigned                     refresh_failed:1;

    ngx_http_knock_ready_t       ready;

    ngx_queue_t                  free;          /* jobs, to be used again */
    ngx_uint_t                   nfree;
    ngx_queue_t                  free_shards;   /* as jobs */
    ngx_uint_t                   nfree_shards;
    knock_arena_t               *answer;        /* the one being made */

    ngx_uint_t                   njobs;         /* requests in flight */
    size_t                       body_bytes;    /* of theirs */
    ngx_uint_t                   ncalls;        /* commands under way */

    uint64_t                     token;         /* random, and */
    ngx_uint_t                   calls;         /* a count: no other call of
                                                   any worker has both */

    unsigned                     samples;       /* left in this second */
    time_t                       samples_sec;

    ngx_http_knock_metrics_t     metrics;
    ngx_http_knock_complaint_t   complaints[NGX_HTTP_KNOCK_COMPLAINTS];
};


/*
 * The state for a configuration, made if there is none.  NULL: no memory.
 */
ngx_http_knock_worker_t *ngx_http_knock_worker_get(
    ngx_http_knock_main_conf_t *kmcf);

/* lets the state go as soon as nothing is in flight */
void ngx_http_knock_worker_retire(ngx_http_knock_main_conf_t *kmcf);

/* to be called when something has come to its end: it may be the last */
void ngx_http_knock_worker_check_retired(ngx_http_knock_worker_t *worker);

/* lets it go now; what is in flight is answered as lost */
void ngx_http_knock_worker_destroy(ngx_http_knock_main_conf_t *kmcf);


/*
 * ngx_http_knock_live.c: starts reading the list of environments and what is
 * live in each, unless that is under way; jobs in worker->waiting are then
 * processed, confirmed, or answered if Redis cannot be asked.
 */
void ngx_http_knock_live_refresh(ngx_http_knock_worker_t *worker);

/* makes a job wait for a refresh that begins from now on */
void ngx_http_knock_live_wait(ngx_http_knock_job_t *job);

/*
 * ngx_http_knock_ready.c: to be called once, and whenever a refresh has ended,
 * which it may wait for.
 */
void ngx_http_knock_ready_init(ngx_http_knock_worker_t *worker);
void ngx_http_knock_ready_read(ngx_http_knock_worker_t *worker);

/*
 * ngx_http_knock_env.c: the environment of this name, made if it is new, not
 * read yet.  NULL: no memory.
 */
ngx_http_knock_env_t *ngx_http_knock_env_get(ngx_http_knock_worker_t *worker,
    const char *name, size_t len);

/* frees one that is there no longer, unless it is busy: then try again */
void ngx_http_knock_env_free(ngx_http_knock_env_t *env);

/* lets go of what was read of an environment, or of NULL */
void ngx_http_knock_env_release(ngx_http_knock_config_t *config);

/* frees all environments */
void ngx_http_knock_env_destroy_all(ngx_http_knock_worker_t *worker);


/*
 * ngx_http_knock_apply.c: adds what a job does to the calls of an environment
 * (starting them) to be sent at the end of this turn.
 * NGX_OK; NGX_DECLINED with *err filled in: the job is to be refused with it;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_apply(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_error_t *err);

/* of a job in several places: where its parts are collected, by place */
ngx_http_knock_group_t *ngx_http_knock_apply_groups(ngx_http_knock_job_t *job);

/* puts a part that was added to a place's call into its queue */
void ngx_http_knock_apply_join(ngx_http_knock_job_t *job,
    ngx_http_knock_part_t *part, ngx_http_knock_group_t *group);

/* has a call that was begun sent, or thrown away, at the end of the turn */
void ngx_http_knock_apply_collect(ngx_http_knock_group_t *group);

/*
 * ngx_http_knock_call.c: sends what has been collected for a place, or for all
 * of an environment.
 */
void ngx_http_knock_call_flush(ngx_http_knock_group_t *group);
void ngx_http_knock_call_flush_env(ngx_http_knock_env_t *env);

/* the handler of worker->flush: sends what has been collected for all */
void ngx_http_knock_call_flush_handler(ngx_event_t *ev);

/*
 * ngx_http_knock_settle.c: takes what came of a job's part; with the last one
 * the job goes on or is answered.  `unit` is what knock_apply answered for it,
 * or NULL: all is as expected.
 */
void ngx_http_knock_settle_reply(ngx_http_knock_part_t *part,
    redisReply *unit);
void ngx_http_knock_settle(ngx_http_knock_part_t *part,
    ngx_http_knock_result_e result, const char *why);

/* the same for a part that Redis answers in a strange way, which is logged */
void ngx_http_knock_settle_broken(ngx_http_knock_part_t *part,
    const char *why);

#define NGX_HTTP_KNOCK_STRANGE                                               \
    "Redis answered what knock_apply does not: another library is loaded "   \
    "there"

/* goes on with a job whose parts have all come back */
void ngx_http_knock_settle_job(ngx_http_knock_job_t *job);

/* ngx_http_knock_shards.c: of a job in several places.  NULL: no memory */
ngx_http_knock_shards_t *ngx_http_knock_shards_create(
    ngx_http_knock_worker_t *worker, ngx_uint_t nplaces);
void ngx_http_knock_shards_free(ngx_http_knock_worker_t *worker,
    ngx_http_knock_shards_t *shards);
void ngx_http_knock_shards_free_all(ngx_http_knock_worker_t *worker);

/*
 * ngx_http_knock_job.c: a job for a request, which is answered by it.  NULL:
 * no memory.
 */
ngx_http_knock_job_t *ngx_http_knock_job_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker, ngx_http_knock_job_type_t *type,
    void *data);

/*
 * Processes a job that has its body: finds the environment, applies, waits or
 * answers.  The job may be gone afterwards.
 */
void ngx_http_knock_job_process(ngx_http_knock_job_t *job);

/* the same for one that has begun, in its environment */
void ngx_http_knock_job_continue(ngx_http_knock_job_t *job);

/*
 * Answer the job's request, if it is still there, and free the job: with what
 * was applied, or with an error.  The job is in no queue.
 */
void ngx_http_knock_job_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs);
void ngx_http_knock_job_refuse(ngx_http_knock_job_t *job,
    const knock_error_t *err);

/* the same for a request that Redis could not serve: 503 and Retry-After */
void ngx_http_knock_job_unavailable(ngx_http_knock_job_t *job);

/* the same for one that there is no memory for, which is logged */
void ngx_http_knock_job_memory(ngx_http_knock_job_t *job);

/*
 * Copies a string into the pool of the job's request, which is there; an empty
 * one has data too.  NGX_OK, or NGX_ERROR: no memory, and dst is empty.
 */
ngx_int_t ngx_http_knock_job_keep(ngx_http_knock_job_t *job,
    const knock_str_t *src, knock_str_t *dst);

/*
 * Remembers of which kinds the events of a job are, and which outcomes are
 * expected, for when it has been applied; without memory they go uncounted.
 */
void ngx_http_knock_job_kinds(ngx_http_knock_job_t *job,
    const knock_parts_t *parts, const knock_received_t *received);

/*
 * Whether a request, with the body that it announces, may be begun.  NGX_OK;
 * or NGX_BUSY with *err filled in, which is logged: as many wait for Redis as
 * knock_max_in_flight allows.
 */
ngx_int_t ngx_http_knock_job_admit(ngx_http_request_t *r, knock_error_t *err);

/*
 * Counts a job's request in, and the bytes of its body, until the job is freed;
 * that of a call of the API is counted by the call.
 */
void ngx_http_knock_job_hold(ngx_http_knock_job_t *job, size_t bytes);

/* frees a job; its request is answered by somebody else, or has gone */
void ngx_http_knock_job_free(ngx_http_knock_job_t *job);

/* gives back the memory of jobs that were freed */
void ngx_http_knock_job_free_all(ngx_http_knock_worker_t *worker);

/* sends the answer, which is copied, and frees the job */
void ngx_http_knock_job_finish(ngx_http_knock_job_t *job, ngx_uint_t status,
    const knock_str_t *json);


/*
 * ngx_http_knock_complain.c: logs why requests are answered 5xx, in a line
 * that says what to do; the same again, by its format and `why` (NULL: by the
 * format alone), once a second only, with the number of lines left out.
 */
void ngx_cdecl ngx_http_knock_complain(ngx_http_knock_worker_t *worker,
    const ngx_str_t *why, const char *fmt, ...);

/* the same for memory that was not to be had; `what` for */
void ngx_http_knock_complain_memory(ngx_http_knock_worker_t *worker,
    const char *what);


#endif /* _NGX_HTTP_KNOCK_WORKER_H_INCLUDED_ */
