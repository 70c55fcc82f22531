
/*
 * The live configuration of one environment, as the worker caches it: its
 * endpoints by token, and for each event key the actions that act.  It is
 * built whole from Redis, never changed, and thrown away whole when the
 * version in Redis is another one.
 */

#ifndef KNOCK_LIVE_H
#define KNOCK_LIVE_H


#include "knock_action.h"
#include "knock_keys.h"
#include "knock_map.h"


/* the version of an environment that nothing was ever live in */
#define KNOCK_LIVE_NO_VERSION  "0"


typedef struct {
    knock_action_t  **items;        /* in order of their keys */
    size_t            n;
} knock_actions_t;


typedef struct {
    knock_str_t     source;
    knock_str_t     token;
    knock_str_t     signing_secret;     /* len 0: none is set */

    /* what they were before, which counts until then, in ms since 1970 */
    knock_str_t     previous_token;
    knock_str_t     previous_secret;
    uint64_t        previous_token_until;
    uint64_t        previous_secret_until;

    unsigned        enabled:1;
    unsigned        identify_enabled:1;
    unsigned        idempotency_enabled:1;

    knock_str_t     catalogue;          /* Redis keys */
    knock_str_t     catalogue_info;
    knock_str_t     log;

    knock_map_t    *actions;            /* event key -> knock_actions_t */
    knock_map_t    *idle;               /* event key -> why an action that is
                                           live for it does not act */
} knock_endpoint_t;


/* a slot of Redis keys: of the environment itself, or of one of its shards */

typedef struct {
    knock_str_t         base;
    knock_str_t         keys[KNOCK_KEY_CATALOGUE];  /* the whole ones */
} knock_place_t;


typedef struct {
    knock_str_t         environment;
    knock_str_t         version;

    /*
     * The shards, and behind them home, the environment itself, where the
     * configuration, the catalogue and the log stand.  One shard is home.
     */
    knock_place_t      *places;
    size_t              nplaces;
    size_t              nshards;
    size_t              home;

    knock_endpoint_t   *endpoints;
    size_t              nendpoints;
    knock_map_t        *tokens;         /* token -> knock_endpoint_t */

    size_t              nskipped;       /* actions that do not compile */
    knock_str_t         skipped;        /* the last one's key, and why */
    char                skipped_why[KNOCK_ERROR_MESSAGE];
} knock_live_t;


/*
 * What the function knock_live answers.  The lists with fields hold names and
 * values in turn: endpoints "SOURCE/field", actions key and document, toggles
 * "workflow/KEY" or "action/KEY" and "0" or "1".
 */

typedef struct {
    knock_str_t   version;
    knock_str_t  *endpoints;
    size_t        nendpoints;
    knock_str_t  *workflows;
    size_t        nworkflows;
    knock_str_t  *actions;
    size_t        nactions;
    knock_str_t  *toggles;
    size_t        ntoggles;
} knock_live_reply_t;


/*
 * Builds the configuration in an arena of its own; the reply's bytes are
 * copied.  `nshards` is 1 or more.  An action acts if it and its workflow are
 * live and neither is switched off; a document that does not compile is left
 * out and counted.  Without a token an endpoint is left out.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_live_build(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, size_t nshards,
    const knock_live_reply_t *reply, knock_live_t **live);

/* the endpoint that has a token at the time `now`, in ms, or NULL */
knock_endpoint_t *knock_live_endpoint(const knock_live_t *live,
    const knock_str_t *token, uint64_t now);

/* the actions for an event key, in order of key; NULL: there are none */
const knock_actions_t *knock_live_actions(const knock_endpoint_t *endpoint,
    const knock_str_t *event_key);

/*
 * Of an event key without actions that act: why the first one in order of key
 * that is live for it does not, "workflow_not_live", "action_inactive" or
 * "workflow_inactive"; "no_action": there is none.
 */
const char *knock_live_idle(const knock_endpoint_t *endpoint,
    const knock_str_t *event_key);


#endif /* KNOCK_LIVE_H */
