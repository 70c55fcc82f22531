
/*
 * What is stored of users and other recipients: an upsert is a list of
 * top-level properties with the JSON text of each.  Fields are those of the
 * user document; only what is given changes.
 */

#ifndef KNOCK_ENTITY_H
#define KNOCK_ENTITY_H


#include "knock_event.h"


#define KNOCK_MAX_COLLECTION  64    /* bytes of a collection's name */


typedef struct {
    knock_str_t          name;      /* decoded bytes of the property's name */
    knock_str_t          json;      /* its value's text */
    const knock_json_t  *object;    /* the value if it is an object (it then
                                       merges deeply), else NULL */
} knock_field_t;


typedef struct {
    knock_str_t     collection;     /* "$users", "$tenants", "projects" */
    knock_str_t     id;
    knock_field_t  *fields;         /* each name once, "id" not among them */
    size_t          nfields;
} knock_upsert_t;


/*
 * The user that an identify event upserts.  The rules:
 * `phone` is phone_number (an explicit `phone_number` wins), `createdAt` is
 * created_at (an explicit `created_at` wins), firstName and lastName, both
 * non-empty strings, make `name` joined by a space where there is no `name`
 * and stay as they are too; anything else keeps its name.  An explicit null
 * is explicit.  Traits named `id`,
 * `collection` and `updated_at` are the user's own and are left out.
 * event->user_id must be set; no traits at all is an upsert of the id alone.
 * Of a duplicated trait the last one counts, at the place of the first.
 * Everything is a slice of the event or of the arena.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_entity_identify(knock_arena_t *arena, const knock_event_t *event,
    knock_upsert_t *upsert);

/*
 * The upsert that an inline recipient, actor or tenant stands for: an object
 * with an "id" and optionally a "collection" (a string of 1 to
 * KNOCK_MAX_COLLECTION bytes without control characters; null or without one:
 * `collection`, e.g. "$users").  Its other properties are taken as named,
 * without `id`, `collection`, `updated_at`; of a duplicated one the last one
 * counts, at the place of the first.
 * KNOCK_OK; KNOCK_DECLINED with a reason of the log ("invalid_id",
 * "invalid_collection") in *reason; KNOCK_ERROR: no memory.
 */
int knock_entity_inline(knock_arena_t *arena, const knock_json_t *object,
    const char *collection, knock_upsert_t *upsert, const char **reason);

/*
 * The fields alone of an upsert, by the same rule, from an object whose
 * collection and id are told elsewhere.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_entity_properties(knock_arena_t *arena, const knock_json_t *object,
    knock_upsert_t *upsert);

/*
 * What is stored of an upsert: its fields behind those that every entity has,
 * "id", "collection" (a user has none) and "updated_at", a time as JSON text.
 * The whole is taken from the arena, objects of the fields are shared.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_entity_stored(knock_arena_t *arena, const knock_upsert_t *upsert,
    const knock_str_t *updated_at, knock_upsert_t **stored);


#endif /* KNOCK_ENTITY_H */
