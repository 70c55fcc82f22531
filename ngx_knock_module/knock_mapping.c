
#include "knock_mapping.h"
#include "knock_map.h"


/* up to this many elements a scan of the recipients costs less than a map */

#define KNOCK_MAPPING_FEW  16

#define KNOCK_MAPPING_MAX_KEY  (KNOCK_MAX_COLLECTION + 1 + KNOCK_MAX_ID)


/* the distinct recipients of an action, under construction */

typedef struct {
    knock_arena_t     *arena;
    knock_resolved_t  *resolved;
    knock_map_t       *map;         /* NULL: there are few */
    size_t             max;
} knock_mapping_set_t;


static int knock_mapping_recipients(knock_arena_t *arena,
    const knock_event_t *event, const knock_limits_t *limits,
    knock_resolved_t *resolved);
static int knock_mapping_elements(knock_arena_t *arena,
    const knock_action_t *action, const knock_event_t *event,
    knock_path_found_t *elements);
static int knock_mapping_is_list(const knock_param_t *param,
    const knock_path_found_t *found);
static int knock_mapping_collect(knock_arena_t *arena,
    const knock_path_found_t *elements, const knock_limits_t *limits,
    knock_resolved_t *resolved);
static int knock_mapping_leave_out(knock_arena_t *arena,
    knock_resolved_t *resolved, size_t room, const knock_json_t *v,
    const char *reason);
static int knock_mapping_add(knock_mapping_set_t *set,
    const knock_ref_t *ref);
static knock_ref_t *knock_mapping_known(const knock_mapping_set_t *set,
    const knock_ref_t *ref, const knock_str_t *key);
static int knock_mapping_join(knock_arena_t *arena, knock_ref_t *known,
    const knock_ref_t *ref);
static void knock_mapping_missing(knock_resolved_t *resolved);
static int knock_mapping_find(knock_arena_t *arena, knock_param_t *param,
    const knock_event_t *event, knock_path_found_t *found);
static int knock_mapping_single(knock_arena_t *arena, knock_param_t *param,
    const knock_event_t *event, const knock_json_t **v);
static int knock_mapping_ref(knock_arena_t *arena, const knock_json_t *v,
    const char *collection, knock_ref_t *ref, const char **reason);
static int knock_mapping_single_ref(knock_arena_t *arena,
    knock_param_t *param, const knock_event_t *event, const char *collection,
    knock_ref_t **ref);


int
knock_mapping_resolve(knock_arena_t *arena, const knock_action_t *action,
    const knock_event_t *event, const knock_limits_t *limits,
    knock_resolved_t *resolved)
{
    int                  rc;
    size_t               i;
    const knock_json_t  *v;

    memset(resolved, 0, sizeof(knock_resolved_t));

    resolved->action = action;

    if (knock_mapping_recipients(arena, event, limits, resolved)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (resolved->error.code != KNOCK_E_NONE) {
        return KNOCK_OK;
    }

    if (knock_mapping_single_ref(arena, action->actor, event, "$users",
                                 &resolved->actor)
        != KNOCK_OK
        || knock_mapping_single_ref(arena, action->tenant, event, "$tenants",
                                    &resolved->tenant)
           != KNOCK_OK
        || knock_mapping_single(arena, action->cancellation_key, event, &v)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (resolved->tenant) {

        /* a tenant stays one, whatever collection its object claims */

        knock_str_set(&resolved->tenant->collection, "$tenants");

        for (i = 0; i < resolved->tenant->nupserts; i++) {
            resolved->tenant->upserts[i].collection =
                                                 resolved->tenant->collection;
        }
    }

    if (v) {
        rc = knock_event_id(arena, v, &resolved->cancellation_key);

        if (rc == KNOCK_ERROR) {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static int
knock_mapping_recipients(knock_arena_t *arena, const knock_event_t *event,
    const knock_limits_t *limits, knock_resolved_t *resolved)
{
    int                 rc;
    knock_path_found_t  elements;

    rc = knock_mapping_elements(arena, resolved->action, event, &elements);

    if (rc == KNOCK_DECLINED) {
        knock_mapping_missing(resolved);
        return KNOCK_OK;
    }

    if (rc != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    rc = knock_mapping_collect(arena, &elements, limits, resolved);

    if (rc == KNOCK_DECLINED) {
        resolved->recipients = NULL;
        resolved->nrecipients = 0;
        resolved->left_out = NULL;
        resolved->nleft_out = 0;

        (void) knock_error_set(&resolved->error, KNOCK_E_TOO_MANY_RECIPIENTS,
                               "more than %zu distinct recipients: send fewer "
                               "with an event, or raise knock_max_recipients",
                               limits->max_recipients);
        return KNOCK_OK;
    }

    return rc;
}


/*
 * The values that the parts of "recipients" find, lists opened up: those that
 * are to be recipients each.  KNOCK_DECLINED: every part is missing.
 */

static int
knock_mapping_elements(knock_arena_t *arena, const knock_action_t *action,
    const knock_event_t *event, knock_path_found_t *elements)
{
    size_t               i, n, left;
    knock_param_t       *param;
    const knock_json_t  *v;
    knock_path_found_t  *found;

    found = knock_arena_alloc(arena, action->nrecipients
                                     * sizeof(knock_path_found_t));
    if (found == NULL) {
        return KNOCK_ERROR;
    }

    elements->n = 0;
    left = action->nrecipients;

    for (i = 0; i < action->nrecipients; i++) {
        param = &action->recipients[i];

        if (knock_mapping_find(arena, param, event, &found[i]) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (found[i].n == 0) {
            left--;
            continue;
        }

        elements->n += knock_mapping_is_list(param, &found[i])
                       ? found[i].values[0]->count : found[i].n;
    }

    if (left == 0) {
        return KNOCK_DECLINED;
    }

    elements->values = knock_arena_alloc(arena, elements->n
                                                * sizeof(knock_json_t *));
    if (elements->values == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0, n = 0; i < action->nrecipients; i++) {

        if (!knock_mapping_is_list(&action->recipients[i], &found[i])) {
            for (left = 0; left < found[i].n; left++) {
                elements->values[n++] = found[i].values[left];
            }

            continue;
        }

        v = knock_json_first(found[i].values[0]);

        for (left = found[i].values[0]->count; left; left--) {
            elements->values[n++] = v;
            v = knock_json_next(v);
        }
    }

    return KNOCK_OK;
}


/* what a [*] found are elements already, and a list among them is wrong */

static int
knock_mapping_is_list(const knock_param_t *param,
    const knock_path_found_t *found)
{
    return !param->path.many
           && found->n == 1
           && found->values[0]->type == KNOCK_JSON_ARRAY;
}


/* KNOCK_DECLINED: there are too many */

static int
knock_mapping_collect(knock_arena_t *arena,
    const knock_path_found_t *elements, const knock_limits_t *limits,
    knock_resolved_t *resolved)
{
    int                   rc;
    size_t                i;
    const char           *reason;
    knock_ref_t           ref;
    knock_mapping_set_t   set;

    set.arena = arena;
    set.resolved = resolved;
    set.map = NULL;
    set.max = elements->n < limits->max_recipients ? elements->n
                                                   : limits->max_recipients;

    resolved->recipients = knock_arena_alloc(arena,
                                             set.max * sizeof(knock_ref_t));
    if (resolved->recipients == NULL) {
        return KNOCK_ERROR;
    }

    if (elements->n > KNOCK_MAPPING_FEW) {
        set.map = knock_map_create(arena, set.max);

        if (set.map == NULL) {
            return KNOCK_ERROR;
        }
    }

    for (i = 0; i < elements->n; i++) {
        rc = knock_mapping_ref(arena, elements->values[i], "$users", &ref,
                               &reason);

        if (rc == KNOCK_DECLINED) {
            rc = knock_mapping_leave_out(arena, resolved, elements->n - i,
                                         elements->values[i], reason);

        } else if (rc == KNOCK_OK) {
            rc = knock_mapping_add(&set, &ref);
        }

        if (rc != KNOCK_OK) {
            return rc;
        }
    }

    return KNOCK_OK;
}


/* the first to be left out takes room for itself and all that may follow */

static int
knock_mapping_leave_out(knock_arena_t *arena, knock_resolved_t *resolved,
    size_t room, const knock_json_t *v, const char *reason)
{
    if (resolved->left_out == NULL) {
        resolved->left_out = knock_arena_alloc(arena,
                                             room * sizeof(knock_left_out_t));
        if (resolved->left_out == NULL) {
            return KNOCK_ERROR;
        }
    }

    resolved->left_out[resolved->nleft_out].value = v;
    resolved->left_out[resolved->nleft_out].reason = reason;
    resolved->nleft_out++;

    return KNOCK_OK;
}


/*
 * Adds a recipient, or to a known one what is inline with it.  The key of the
 * map is collection, NUL, id: neither holds control characters.
 * KNOCK_DECLINED: one too many.
 */

static int
knock_mapping_add(knock_mapping_set_t *set, const knock_ref_t *ref)
{
    knock_str_t         key, copy;
    knock_ref_t        *known;
    unsigned char       bytes[KNOCK_MAPPING_MAX_KEY];
    knock_resolved_t   *resolved;

    key.len = 0;
    key.data = bytes;

    if (set->map) {
        key.len = ref->collection.len + 1 + ref->id.len;

        memcpy(bytes, ref->collection.data, ref->collection.len);
        bytes[ref->collection.len] = '\0';
        memcpy(bytes + ref->collection.len + 1, ref->id.data, ref->id.len);
    }

    known = knock_mapping_known(set, ref, &key);

    if (known) {
        return knock_mapping_join(set->arena, known, ref);
    }

    resolved = set->resolved;

    if (resolved->nrecipients == set->max) {
        return KNOCK_DECLINED;
    }

    known = &resolved->recipients[resolved->nrecipients++];
    *known = *ref;

    if (set->map == NULL) {
        return KNOCK_OK;
    }

    if (knock_arena_dup(set->arena, &key, &copy) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_map_set(set->map, &copy, known);
}


static knock_ref_t *
knock_mapping_known(const knock_mapping_set_t *set, const knock_ref_t *ref,
    const knock_str_t *key)
{
    size_t        i;
    knock_ref_t  *known;

    if (set->map) {
        return knock_map_get(set->map, key);
    }

    for (i = 0; i < set->resolved->nrecipients; i++) {
        known = &set->resolved->recipients[i];

        if (knock_str_eq(&known->id, &ref->id)
            && knock_str_eq(&known->collection, &ref->collection))
        {
            return known;
        }
    }

    return NULL;
}


/* appends ref's upserts, one or none, to those of a known recipient */

static int
knock_mapping_join(knock_arena_t *arena, knock_ref_t *known,
    const knock_ref_t *ref)
{
    size_t           n;
    knock_upsert_t  *upserts;

    if (ref->nupserts == 0) {
        return KNOCK_OK;
    }

    n = known->nupserts;

    if (n == 0) {
        known->upserts = ref->upserts;
        known->nupserts = ref->nupserts;
        return KNOCK_OK;
    }

    /* the room is the next power of two, so that it is full at each of them */

    if ((n & (n - 1)) == 0) {
        upserts = knock_arena_realloc(arena, known->upserts,
                                      n * sizeof(knock_upsert_t),
                                      2 * n * sizeof(knock_upsert_t));
        if (upserts == NULL) {
            return KNOCK_ERROR;
        }

        known->upserts = upserts;
    }

    known->upserts[known->nupserts++] = ref->upserts[0];

    return KNOCK_OK;
}


static void
knock_mapping_missing(knock_resolved_t *resolved)
{
    knock_param_t  *param;

    param = resolved->action->recipients;

    if (resolved->action->nrecipients > 1 || param->literal) {
        (void) knock_error_set(&resolved->error, KNOCK_E_RECIPIENTS_MISSING,
                               "no part of the action's \"recipients\" is in "
                               "the event: send one, or change the action");
        return;
    }

    (void) knock_error_set(&resolved->error, KNOCK_E_RECIPIENTS_MISSING,
                           "the event has none of the action's "
                           "\"recipients\", send them or change the path: "
                           "%.*s", (int) param->path.text.len,
                           (char *) param->path.text.data);
}


/*
 * What a parameter finds; a single null is the same as nothing.  Most paths
 * go into the properties, which were found when the event was read.
 */

static int
knock_mapping_find(knock_arena_t *arena, knock_param_t *param,
    const knock_event_t *event, knock_path_found_t *found)
{
    knock_path_t         path;
    const knock_json_t  *from;

    path = param->path;
    from = event->root;

    if (path.properties && event->properties) {
        path.steps++;
        path.nsteps--;
        from = event->properties;
    }

    if (param->literal) {
        found->values = &param->literal;
        found->n = 1;

    } else if (knock_path_find(arena, &path, from, found) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (!param->path.many
        && found->n == 1
        && found->values[0]->type == KNOCK_JSON_NULL)
    {
        found->n = 0;
    }

    return KNOCK_OK;
}


/* the value of a parameter that has one; NULL: it is not given or missing */

static int
knock_mapping_single(knock_arena_t *arena, knock_param_t *param,
    const knock_event_t *event, const knock_json_t **v)
{
    knock_path_found_t  found;

    *v = NULL;

    if (param == NULL) {
        return KNOCK_OK;
    }

    if (knock_mapping_find(arena, param, event, &found) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (found.n) {
        *v = found.values[0];
    }

    return KNOCK_OK;
}


/*
 * The reference that an id or an inline object is.  KNOCK_DECLINED: it is
 * neither, with the reason.
 */

static int
knock_mapping_ref(knock_arena_t *arena, const knock_json_t *v,
    const char *collection, knock_ref_t *ref, const char **reason)
{
    int              rc;
    knock_upsert_t  *upsert;

    switch (v->type) {

    case KNOCK_JSON_STRING:
    case KNOCK_JSON_NUMBER:
        ref->collection.len = strlen(collection);
        ref->collection.data = (unsigned char *) collection;
        ref->upserts = NULL;
        ref->nupserts = 0;

        *reason = "invalid_id";

        return knock_event_id(arena, v, &ref->id);

    case KNOCK_JSON_OBJECT:
        upsert = knock_arena_alloc(arena, sizeof(knock_upsert_t));
        if (upsert == NULL) {
            return KNOCK_ERROR;
        }

        rc = knock_entity_inline(arena, v, collection, upsert, reason);
        if (rc != KNOCK_OK) {
            return rc;
        }

        ref->collection = upsert->collection;
        ref->id = upsert->id;
        ref->upserts = upsert;
        ref->nupserts = 1;

        return KNOCK_OK;

    default:
        *reason = "invalid_recipient";
        return KNOCK_DECLINED;
    }
}


/* actor and tenant: what is no reference is null */

static int
knock_mapping_single_ref(knock_arena_t *arena, knock_param_t *param,
    const knock_event_t *event, const char *collection, knock_ref_t **ref)
{
    int                  rc;
    const char          *reason;
    knock_ref_t         *found;
    const knock_json_t  *v;

    if (knock_mapping_single(arena, param, event, &v) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (v == NULL) {
        return KNOCK_OK;
    }

    found = knock_arena_alloc(arena, sizeof(knock_ref_t));
    if (found == NULL) {
        return KNOCK_ERROR;
    }

    rc = knock_mapping_ref(arena, v, collection, found, &reason);

    if (rc == KNOCK_OK) {
        *ref = found;
    }

    return rc == KNOCK_ERROR ? KNOCK_ERROR : KNOCK_OK;
}
