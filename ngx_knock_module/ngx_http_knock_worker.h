
/*
 * The state of a worker process: its Redis client, the live configuration of
 * each environment, and the requests that wait for one or the other.
 *
 * A job is one request's way through: it is processed as soon as its body is
 * there, in rounds.  A round takes the next events that are not done; what
 * they do joins the calls that are collected for the places of their
 * environment, which go out at the end of the turn of the event loop; with the
 * last reply the round ends.  What Redis wants to have again, and what there
 * was no room for, is for the next round; the last one answers the request.
 * Where the cached configuration is not enough to go by (an unknown token, a
 * refusal that a newer setting might have lifted, a call that came back stale)
 * the job waits for a refresh that begins after it has come, and is processed
 * anew.
 *
 * A job lives outside its request's pool: the request may go at any time, the
 * round that is under way is then completed all the same.
 */

#ifndef _NGX_HTTP_KNOCK_WORKER_H_INCLUDED_
#define _NGX_HTTP_KNOCK_WORKER_H_INCLUDED_


#include "ngx_http_knock_metrics.h"
#include "knock_answer.h"
#include "knock_apply.h"
#include "knock_receive.h"


typedef struct ngx_http_knock_config_s  ngx_http_knock_config_t;
typedef struct ngx_http_knock_group_s   ngx_http_knock_group_t;
typedef struct ngx_http_knock_call_s    ngx_http_knock_call_t;


typedef enum {
    NGX_HTTP_KNOCK_IDLE = 0,
    NGX_HTTP_KNOCK_WAITING,     /* for a refresh */
    NGX_HTTP_KNOCK_APPLYING     /* in calls, collected or sent */
} ngx_http_knock_state_e;


/* what becomes of a round's calls; of several the last one here counts */

typedef enum {
    NGX_HTTP_KNOCK_DONE = 0,
    NGX_HTTP_KNOCK_AGAIN,       /* alone */
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

    /*
     * Finds the elements of the job: see knock_receive(); the arena is that of
     * their JSON.
     */
    int                     (*open)(ngx_http_knock_job_t *job,
                                    knock_arena_t *arena,
                                    const knock_json_t **first, size_t *n,
                                    knock_error_t *err);

    /* makes what an element does, in the manner of knock_receive_event() */
    int                     (*make)(ngx_http_knock_job_t *job,
                                    knock_round_t *round,
                                    knock_element_t *element,
                                    knock_task_t **task, knock_error_t *err);

    /*
     * Answer the request and free the job, by ngx_http_knock_job_finish() or
     * ngx_http_knock_job_free(): with job->applied, or with an error.
     */
    void                    (*applied)(ngx_http_knock_job_t *job);
    void                    (*refused)(ngx_http_knock_job_t *job,
                                       const knock_error_t *err);
} ngx_http_knock_job_type_t;


/* what a round does at one place, in the call of that place */

typedef struct {
    ngx_queue_t                 queue;
    ngx_http_knock_job_t       *job;
    ngx_http_knock_group_t     *group;
    knock_unit_t               *units;          /* in order */
    knock_unit_t              **last;
    unsigned                    marked:1;       /* each unit has a mark */
    unsigned                    collected:1;    /* not yet sent */
} ngx_http_knock_part_t;


struct ngx_http_knock_job_s {
    ngx_queue_t                 queue;
    knock_arena_t              *arena;      /* of a round; stays with the job */

    /* from here on a new job is zeroed */

    ngx_http_knock_job_type_t  *type;
    ngx_http_knock_state_e      state;
    ngx_http_knock_worker_t    *worker;

    ngx_http_request_t         *request;    /* NULL: it has gone */
    ngx_http_cleanup_pt        *cleanup;    /* of the request, for this job */
    void                       *data;       /* in the request's pool */
    size_t                      body_bytes;

    ngx_http_knock_env_t       *env;
    ngx_http_knock_config_t    *config;     /* that it goes by */
    const knock_endpoint_t     *endpoint;   /* of this; NULL: nothing is
                                               counted and logged */
    uint64_t                    now;        /* ms, when it came */

    knock_arena_t              *kept;       /* of what outlives a round */
    knock_flood_t               flood;
    knock_arena_t              *json;       /* of the elements' JSON; NULL: it
                                               goes with the first round */
    knock_element_t            *elements;   /* NULL: not opened yet */
    knock_element_t             one;        /* where there is one */
    size_t                      nelements;
    size_t                      first;      /* that is not done */

    knock_task_t               *tasks;      /* of the round */
    ngx_http_knock_part_t     **parts;      /* by place, NULL: none there */
    ngx_http_knock_part_t      *part;       /* where there is one place */
    ngx_uint_t                  pending;    /* parts to come back */
    ngx_http_knock_result_e     result;     /* of those that came */
    const char                 *why;        /* of a broken one */

    knock_applied_t             applied;    /* as far as it is done */
    knock_faults_t             *faults;     /* NULL: none */

    ngx_uint_t                  tries;      /* rounds that did nothing */
    unsigned                    held:1;     /* it is counted in */
    unsigned                    confirmed:1;    /* by a refresh begun since */
    unsigned                    alone:1;    /* shares no call */
    unsigned                    begun:1;    /* some of it is done */
    unsigned                    pinned:1;   /* goes on by what it began with */
    unsigned                    unread:1;   /* JSON of the elements has gone */
    unsigned                    lost:1;     /* Redis refused an event */
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
 * What is collected for one place of an environment, of which there are two
 * groups each: what is in the second one goes by what it began with, and is
 * applied whatever has changed meanwhile.
 */

struct ngx_http_knock_group_s {
    ngx_http_knock_env_t     *env;
    size_t                    place;
    knock_arena_t            *arena;
    knock_arena_t            *spare;            /* for the next call, or NULL */
    knock_apply_t             apply;
    ngx_queue_t               parts;            /* ngx_http_knock_part_t */
    ngx_uint_t                ncalls;           /* under way */
    ngx_http_knock_call_t    *sent;             /* the last one of them, if */
    ngx_uint_t                mistakes;         /* its values may stand */
    unsigned                  collecting:1;
    unsigned                  pinned:1;         /* the second one */

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

    ngx_queue_t               journals;     /* of its endpoints */
    ngx_uint_t                nlogs;        /* that are being written */

    ngx_http_knock_group_t   *groups;       /* of each place, then again */
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
    knock_arena_t               *answer;        /* the one being made */

    ngx_uint_t                   njobs;         /* requests in flight */
    size_t                       body_bytes;    /* of theirs */
    ngx_uint_t                   ncalls;        /* commands under way */

    ngx_uint_t                   samples;       /* left in this second */
    time_t                       samples_sec;

    ngx_event_t                  log_timer;     /* writes the journals */
    size_t                       log_bytes;     /* that they hold */
    ngx_uint_t                   nlogs;         /* that are being written */

    uint64_t                     token;         /* random, and */
    ngx_uint_t                   calls;         /* a count: no other call of
                                                   any worker has both */

    ngx_http_knock_metrics_t     metrics;
    ngx_http_knock_complaint_t   complaints[NGX_HTTP_KNOCK_COMPLAINTS];
};


/* the first block of a call's arena */
#define NGX_HTTP_KNOCK_GROUP_ARENA  (16 * 1024)


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
 * ngx_http_knock_apply.c: makes the next round of a job and adds it to the
 * calls of its environment (starting them) to be sent at the end of this turn.
 * NGX_OK; NGX_DONE: there is nothing left to do; NGX_DECLINED with *err filled
 * in: the job is to be refused with it; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_apply(ngx_http_knock_job_t *job, knock_error_t *err);

/* has a call that was begun sent, or thrown away, at the end of the turn */
void ngx_http_knock_apply_collect(ngx_http_knock_group_t *group);

/*
 * ngx_http_knock_call.c: sends what has been collected for a place, or for all
 * of an environment.
 */
void ngx_http_knock_call_flush(ngx_http_knock_group_t *group);
void ngx_http_knock_call_flush_env(ngx_http_knock_env_t *env);

#define NGX_HTTP_KNOCK_STRANGE                                               \
    "Redis answered what knock_apply does not: another library is loaded "   \
    "there"

/* the values of objects in the last call that is under way, or NULL */
const knock_map_t *ngx_http_knock_call_values(ngx_http_knock_group_t *group);

/* the handler of worker->flush: sends what has been collected for all */
void ngx_http_knock_call_flush_handler(ngx_event_t *ev);

/*
 * ngx_http_knock_settle.c: takes what knock_apply says of the parts in the
 * queue; `mistaken` is set if objects were merged into what is not stored.
 * NGX_OK, or NGX_ERROR: it is nothing that knock_apply says.
 */
ngx_int_t ngx_http_knock_settle_reply(ngx_queue_t *parts, redisReply *reply,
    ngx_uint_t *mistaken);

/*
 * A part has come back; with the last one the round ends, and the job goes on
 * or is answered.
 */
void ngx_http_knock_settle(ngx_http_knock_part_t *part,
    ngx_http_knock_result_e result, const char *why);

/* ends a round whose parts have all come back */
void ngx_http_knock_settle_job(ngx_http_knock_job_t *job);

/* answers a job with nothing left to do: refused if none of it was any good */
void ngx_http_knock_settle_done(ngx_http_knock_job_t *job);

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

/*
 * Answers the job's request, if it is still there, with an error, and frees
 * the job, which is in no queue.
 */
void ngx_http_knock_job_refuse(ngx_http_knock_job_t *job,
    const knock_error_t *err);

/* the same for a request that Redis could not serve: 503 and Retry-After */
void ngx_http_knock_job_unavailable(ngx_http_knock_job_t *job);

/* the same for one that there is no memory for, which is logged */
void ngx_http_knock_job_memory(ngx_http_knock_job_t *job);

/* the arena of what outlives a round; NULL: no memory */
knock_arena_t *ngx_http_knock_job_kept(ngx_http_knock_job_t *job);

/* begins anew: nothing of the job has been applied */
void ngx_http_knock_job_reset(ngx_http_knock_job_t *job);

/* adds to what is wrong with the job's elements; without memory it is lost */
void ngx_http_knock_job_fault(ngx_http_knock_job_t *job, size_t index,
    const knock_str_t *action, const knock_error_t *err);

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
