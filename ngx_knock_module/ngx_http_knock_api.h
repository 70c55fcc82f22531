
/*
 * The control API's calls.  A call is a few steps; a step is one or more
 * commands to Redis that go out together, and what is to be done when all
 * have been answered.  Every step's commands are functions of
 * redis-schema/knock.lua with keys of one slot, and most of them answer with
 * a status and a finished document, which is relayed.
 *
 * The state lives outside the request's pool: the request may go while Redis
 * is being waited for, the answers are then dropped.
 */

#ifndef _NGX_HTTP_KNOCK_API_H_INCLUDED_
#define _NGX_HTTP_KNOCK_API_H_INCLUDED_


#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_api_keys.h"
#include "knock_api.h"
#include "knock_digest.h"


typedef struct ngx_http_knock_api_s  ngx_http_knock_api_t;


/* a reply of Redis, copied into the call's arena */

typedef struct ngx_http_knock_reply_s  ngx_http_knock_reply_t;

struct ngx_http_knock_reply_s {
    ngx_uint_t               integer;   /* 1: n is the value */
    size_t                   n;         /* elements */
    ngx_http_knock_reply_t  *elements;  /* NULL: no array */
    knock_str_t              str;
};


typedef void (*ngx_http_knock_api_step_pt)(ngx_http_knock_api_t *api);


struct ngx_http_knock_api_s {
    ngx_http_request_t          *request;       /* NULL: it has gone */
    ngx_http_cleanup_pt         *cleanup;
    ngx_http_knock_worker_t     *worker;
    knock_arena_t               *arena;

    knock_api_request_t          req;
    const ngx_http_knock_api_key_t  *key;       /* of who calls */
    knock_str_t                  if_match;      /* of a write, and of a read */
    knock_str_t                  if_none_match; /* see knock_api_condition() */
    knock_str_t                  url;           /* webhook URLs begin so */
    uint64_t                     now;           /* ms since 1970 */
    knock_str_t                  created_at;    /* the same, as RFC 3339 */

    knock_str_t                 *environments;  /* in order */
    size_t                       nenvironments;
    knock_str_t                 *bases;         /* of their Redis keys */

    const knock_str_t           *home;          /* one of these, and of its */
    knock_str_t                 *places;        /* shards and itself: see */
    size_t                       nshards;       /* knock_keys_places() */
    void                        *telling;       /* of a change */

    /* the step under way */

    ngx_http_knock_api_step_pt   next;
    ngx_http_knock_reply_t      *replies;       /* in order of the commands */
    size_t                       nreplies;
    ngx_uint_t                   pending;
    unsigned                     failed:1;      /* a reply is missing */
    unsigned                     reads:1;       /* and changes nothing */

    /* the command being built */

    knock_strs_t                 args;
    size_t                       nkeys;

    void                        *data;          /* of the call */
};


/* ngx_http_knock_api_call.c */

/*
 * Begins a step: `next` is called when all of its commands, which follow, are
 * answered, and the request is still there.
 */
void ngx_http_knock_api_step(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next);

/*
 * Builds a command: the function's name, its keys, then its arguments (the
 * library's version is put before them), and sends it.  What goes wrong is
 * remembered and answered at the end of the step.
 */
void ngx_http_knock_api_function(ngx_http_knock_api_t *api, const char *name);
void ngx_http_knock_api_key(ngx_http_knock_api_t *api, const knock_str_t *base,
    knock_key_e name, const knock_str_t *of);
void ngx_http_knock_api_account_key(ngx_http_knock_api_t *api,
    const char *name);
void ngx_http_knock_api_raw_key(ngx_http_knock_api_t *api,
    const knock_str_t *key);
void ngx_http_knock_api_arg(ngx_http_knock_api_t *api, const knock_str_t *arg);
void ngx_http_knock_api_text(ngx_http_knock_api_t *api, const char *arg);
void ngx_http_knock_api_number(ngx_http_knock_api_t *api, size_t n);
void ngx_http_knock_api_send(ngx_http_knock_api_t *api);

/* a command of `n` words, for the slot of a key; NULL: for any node */
void ngx_http_knock_api_command(ngx_http_knock_api_t *api,
    const knock_str_t *key, const knock_str_t *words, size_t n);

/* ends the building of a step: it may already have failed */
void ngx_http_knock_api_sent(ngx_http_knock_api_t *api);

/* the status of a reply { status, json, etag }, or 0 if it is none such */
ngx_uint_t ngx_http_knock_api_status(const ngx_http_knock_reply_t *reply);

/* a step's end: relays the last reply, or the first that is an error */
void ngx_http_knock_api_relay(ngx_http_knock_api_t *api);

/* answers and ends the call; json is copied, len 0 for 204 */
void ngx_http_knock_api_answer(ngx_http_knock_api_t *api, ngx_uint_t status,
    const knock_str_t *json, const knock_str_t *etag);

/* the same with a list, up to the last of its items; cursor len 0: the end */
void ngx_http_knock_api_list(ngx_http_knock_api_t *api, knock_buf_t *buf,
    const knock_str_t *cursor);

void ngx_http_knock_api_error(ngx_http_knock_api_t *api,
    const knock_error_t *err);
void ngx_http_knock_api_memory(ngx_http_knock_api_t *api);

/* lets go of a call that has been answered, or whose request has gone */
void ngx_http_knock_api_release(ngx_http_knock_api_t *api);

/* the base of the keys of an environment, or NULL after answering 404 */
const knock_str_t *ngx_http_knock_api_base(ngx_http_knock_api_t *api,
    const knock_str_t *environment);

/* `n` random bytes as hex, in the arena; NULL data: none to be had */
knock_str_t ngx_http_knock_api_random(ngx_http_knock_api_t *api, size_t n);


/* ngx_http_knock_api_permit.c */

/*
 * Whether the key's scope lets it make the call, in the environment that this
 * concerns, as far as this is known yet.  NGX_OK, or NGX_ERROR with the error.
 */
ngx_int_t ngx_http_knock_api_permit(ngx_http_knock_api_t *api,
    knock_error_t *err);

/* the same in an environment */
ngx_int_t ngx_http_knock_api_permit_in(ngx_http_knock_api_t *api,
    const knock_str_t *environment, knock_error_t *err);


/* ngx_http_knock_api_places.c */

/*
 * Finds the environment of the request (or this one): fills in api->home,
 * places and nshards.  NGX_OK, or NGX_DONE: the request has been answered.
 */
ngx_int_t ngx_http_knock_api_places(ngx_http_knock_api_t *api);
ngx_int_t ngx_http_knock_api_places_of(ngx_http_knock_api_t *api,
    const knock_str_t *environment);

/*
 * Of `n` things those that stand in a shard: whether there are any; and what
 * they have each in `strs`, added by ngx_http_knock_api_raw_key() or _arg().
 */
ngx_uint_t ngx_http_knock_api_any(const size_t *shards, size_t n,
    size_t shard);
void ngx_http_knock_api_add(ngx_http_knock_api_t *api,
    void (*add)(ngx_http_knock_api_t *api, const knock_str_t *str),
    const knock_str_t *strs, const size_t *shards, size_t n, size_t shard);

/*
 * Puts what the shards said, a byte for each of theirs of `n` things, into the
 * order of the things; `given` has a string for each shard that has any.
 * NGX_OK, or NGX_ERROR: no memory, or they said too much or too little.
 */
ngx_int_t ngx_http_knock_api_gather(ngx_http_knock_api_t *api,
    const size_t *shards, size_t n, const knock_str_t *given,
    knock_str_t *gathered);

/*
 * Before a change of the configuration is answered, tells it to the shards:
 * NGX_OK, and the answer follows; NGX_DECLINED, there is nothing to tell;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_api_tell(ngx_http_knock_api_t *api,
    ngx_uint_t status, const knock_str_t *json, const knock_str_t *etag);


/* the calls, by resource: each begins its first step, or answers */

/* ngx_http_knock_api_sources.c */
void ngx_http_knock_api_sources(ngx_http_knock_api_t *api);
/* ngx_http_knock_api_actions.c */
void ngx_http_knock_api_actions(ngx_http_knock_api_t *api);
/* ngx_http_knock_api_commits.c */
void ngx_http_knock_api_commits(ngx_http_knock_api_t *api);
/* ngx_http_knock_api_users.c */
void ngx_http_knock_api_users(ngx_http_knock_api_t *api);
/* ngx_http_knock_api_user_list.c */
void ngx_http_knock_api_user_list(ngx_http_knock_api_t *api);
/* ngx_http_knock_api_runs.c */
void ngx_http_knock_api_run_list(ngx_http_knock_api_t *api);
void ngx_http_knock_api_test(ngx_http_knock_api_t *api);


#endif /* _NGX_HTTP_KNOCK_API_H_INCLUDED_ */
