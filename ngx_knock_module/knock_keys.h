
/*
 * The names of the Redis keys, in one table; redis-schema/README.md documents
 * the same table.  Every key of an environment begins with
 * PREFIX:{ENVIRONMENT}:, one of the account with PREFIX:{@}:, and so they
 * stand in one slot; the braces of an id come after the tag's and count for
 * nothing.  Of an environment in several shards, users, objects, runs and
 * marks begin with PREFIX:{ENVIRONMENT/SHARD}: instead.
 */

#ifndef KNOCK_KEYS_H
#define KNOCK_KEYS_H


#include "knock_arena.h"


/* X(name, text) */

#define KNOCK_KEY_TABLE(X)                                                   \
    X(VERSION,         "version")                                            \
    X(RUNS,            "runs")                                               \
    X(SEEN_0,          "seen:0")                                             \
    X(SEEN_1,          "seen:1")                                             \
    X(LARGE,           "large")                                              \
    X(ENDPOINTS,       "endpoints")                                          \
    X(WORKFLOWS,       "workflows")                                          \
    X(ACTIONS,         "actions")                                            \
    X(TOGGLES,         "toggles")                                            \
    X(DRAFTS,          "drafts")             /* in the first environment */  \
    X(COMMITS,         "commits")                                            \
    X(COMMIT_IDS,      "commit_ids")                                         \
    /* followed by what they are of */                                       \
    X(CATALOGUE,       "catalogue:")                                         \
    X(CATALOGUE_INFO,  "catalogue_info:")                                    \
    X(LOG,             "log:")                                               \
    X(USER,            "user:")                                              \
    X(OBJECT,          "object:")                                            \
    /* written before replicas are waited for */                             \
    X(REPLICATED,      "replicated")                                         \
    /* never there: waited for where MULTI is refused */                     \
    X(GATE,            "gate")                                               \
    /* of the account, whose tag no environment can have */                  \
    X(ENVIRONMENTS,      "environments")                                     \
    X(ENVIRONMENT_INFO,  "environment_info")                                 \
    X(SOURCES,           "sources")


#define KNOCK_KEY_ACCOUNT  "@"


typedef enum {
#define KNOCK_KEY_ENUM(name, text)  KNOCK_KEY_##name,
    KNOCK_KEY_TABLE(KNOCK_KEY_ENUM)
#undef KNOCK_KEY_ENUM
    KNOCK_KEY_COUNT
} knock_key_e;


/*
 * "prefix:{environment}:" in the arena.  KNOCK_OK or KNOCK_ERROR: no memory.
 */
int knock_keys_base(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, knock_str_t *base);

/*
 * The bases of an environment's places in the arena: of its shards, which are
 * "prefix:{environment/shard}:", and behind them, where there are several, of
 * the environment itself.  KNOCK_OK or KNOCK_ERROR: no memory.
 */
int knock_keys_places(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, size_t nshards, knock_str_t **bases);

/* how many places so many shards make */
#define knock_keys_nplaces(nshards)  ((nshards) > 1 ? (nshards) + 1 : 1)

/*
 * The shard, from 0, of a user's or another recipient's id: CRC16 of its
 * bytes, as Redis Cluster takes it of a key, modulo the number of shards.
 * Where an entity stands follows from it: it must never change.
 */
size_t knock_keys_shard(const knock_str_t *id, size_t nshards);

/*
 * A key in the arena: base, the table's text and, unless NULL, `of`.
 * KNOCK_OK or KNOCK_ERROR: no memory.
 */
int knock_keys_make(knock_arena_t *arena, const knock_str_t *base,
    knock_key_e name, const knock_str_t *of, knock_str_t *key);

/* the table's text of a key */
const knock_str_t *knock_keys_text(knock_key_e name);

/*
 * The key of a user ("$users": `user:ID`) or of another entity
 * (`object:COLLECTION:ID`, with '%' and ':' of the collection as %25 and %3A,
 * so that no two entities share a key).  KNOCK_OK or KNOCK_ERROR: no memory.
 */
int knock_keys_entity(knock_arena_t *arena, const knock_str_t *base,
    const knock_str_t *collection, const knock_str_t *id, knock_str_t *key);


#endif /* KNOCK_KEYS_H */
