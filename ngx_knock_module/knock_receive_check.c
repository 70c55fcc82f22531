
/*
 * What an event is refused for by itself, before anything is made of it: that
 * it is no JSON or no event, and strings that collide in Redis' Lua.
 */

#include "knock_receive_internal.h"
#include "knock_keys.h"


/* of each upsert as it is stored: the id's JSON, and the collection's */
#define KNOCK_RECEIVE_OWN  2


static int knock_receive_collides(knock_work_t *work);
static const knock_ref_t *knock_receive_tenant(
    const knock_resolved_t *resolved);
static size_t knock_receive_strings(const knock_ref_t *ref);
static int knock_receive_look(knock_work_t *work, const knock_ref_t *ref);
static int knock_receive_look_quoted(knock_work_t *work,
    const knock_str_t *str);


int
knock_receive_read(knock_round_t *round, const knock_receive_t *in,
    const knock_element_t *element, knock_event_t *event, knock_error_t *err)
{
    int                  rc, lone;
    const knock_json_t  *root;
    knock_json_batch_t   read;

    lone = 0;
    root = element->json;

    if (root && root->type == KNOCK_JSON_BAD) {
        (void) knock_json_why(&in->body, root, in->limits->max_depth, err);
        return KNOCK_DECLINED;
    }

    /* the text stays as it came, since it may be read again */

    if (root == NULL || (in->lone && knock_json_is_lone(root))) {
        rc = knock_json_parse_batch(round->arena, &element->text,
                                    in->limits->max_depth, NULL, &read, err);

        if (rc == KNOCK_OK && read.lone
            && knock_json_replace(round->arena, &element->text, read.root)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (rc != KNOCK_OK) {
            return err->code == KNOCK_E_INTERNAL ? KNOCK_ERROR
                                                 : KNOCK_DECLINED;
        }

        lone = read.lone;
        root = read.root;
    }

    if (knock_event_read(round->arena, root, event, err) != KNOCK_OK) {
        return err->code == KNOCK_E_INTERNAL ? KNOCK_ERROR : KNOCK_DECLINED;
    }

    if (lone) {
        knock_event_note_replaced(event);
    }

    return KNOCK_OK;
}


int
knock_receive_check(knock_work_t *work)
{
    int  rc;

    rc = knock_receive_collides(work);

    if (rc == KNOCK_DECLINED) {
        (void) knock_error_set(work->err, KNOCK_E_INVALID_EVENT,
                               "names, values or ids were chosen to collide "
                               "in a hash table of Redis: send them in "
                               "smaller batches if they were not");
    }

    return rc;
}


/*
 * An event on which nothing acts brings Lua its key and its mark.
 * KNOCK_DECLINED: its strings collide.
 */

static int
knock_receive_collides(knock_work_t *work)
{
    int                      rc;
    size_t                   i, j, n;
    knock_str_t              mark;
    const knock_resolved_t  *resolved;

    n = 2 + (work->user.nupserts ? knock_receive_strings(&work->user) : 0);

    for (i = 0; i < work->nactions; i++) {
        resolved = &work->resolved[i];

        n += knock_receive_strings(resolved->actor)
             + knock_receive_strings(knock_receive_tenant(resolved));

        for (j = 0; j < resolved->nrecipients; j++) {
            n += knock_receive_strings(&resolved->recipients[j]);
        }
    }

    if (!knock_flood_expect(work->round->flood, n)) {
        return KNOCK_OK;
    }

    mark.len = KNOCK_MARK_LEN;
    mark.data = work->task->mark;

    rc = knock_flood_string(work->round->flood, &work->event->key);

    if (rc == KNOCK_OK && work->task->marked) {
        rc = knock_flood_string(work->round->flood, &mark);
    }

    if (rc == KNOCK_OK && work->user.nupserts) {
        rc = knock_receive_look(work, &work->user);
    }

    for (i = 0; rc == KNOCK_OK && i < work->nactions; i++) {
        resolved = &work->resolved[i];

        rc = knock_receive_look(work, resolved->actor);

        if (rc == KNOCK_OK) {
            rc = knock_receive_look(work, knock_receive_tenant(resolved));
        }

        for (j = 0; rc == KNOCK_OK && j < resolved->nrecipients; j++) {
            rc = knock_receive_look(work, &resolved->recipients[j]);
        }
    }

    return rc;
}


/* a bare one stands in its runs only */

static const knock_ref_t *
knock_receive_tenant(const knock_resolved_t *resolved)
{
    return resolved->tenant && resolved->tenant->nupserts ? resolved->tenant
                                                          : NULL;
}


/* how many strings somebody is at the most */

static size_t
knock_receive_strings(const knock_ref_t *ref)
{
    size_t  i, n;

    if (ref == NULL) {
        return 0;
    }

    for (n = 1, i = 0; i < ref->nupserts; i++) {
        n += KNOCK_RECEIVE_OWN + 2 * ref->upserts[i].nfields;
    }

    return n;
}


/* his key, and names and values of his fields */

static int
knock_receive_look(knock_work_t *work, const knock_ref_t *ref)
{
    int                   rc;
    size_t                i, j, place;
    knock_str_t           key;
    const knock_live_t   *live;
    const knock_field_t  *field;

    if (ref == NULL) {
        return KNOCK_OK;
    }

    live = work->round->live;
    place = knock_keys_shard(&ref->id, live->nshards);

    if (knock_keys_entity(work->arena, &live->places[place].base, &ref->collection,
                          &ref->id, &key)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    rc = knock_flood_string(work->round->flood, &key);

    if (rc == KNOCK_OK && ref->nupserts) {
        rc = knock_receive_look_quoted(work, &ref->id);
    }

    if (rc == KNOCK_OK && ref->nupserts) {
        rc = knock_receive_look_quoted(work, &ref->collection);
    }

    for (i = 0; i < ref->nupserts; i++) {
        field = ref->upserts[i].fields;

        for (j = 0; rc == KNOCK_OK && j < ref->upserts[i].nfields; j++) {
            rc = knock_flood_string(work->round->flood, &field[j].name);

            if (rc == KNOCK_OK) {
                rc = knock_flood_string(work->round->flood, &field[j].json);
            }
        }
    }

    return rc;
}


static int
knock_receive_look_quoted(knock_work_t *work, const knock_str_t *str)
{
    knock_buf_t  buf;
    knock_str_t  json;

    knock_buf_init(&buf, work->arena, str->len + 2);
    knock_buf_add_json(&buf, str);

    return knock_buf_str(&buf, &json) == KNOCK_OK
           ? knock_flood_string(work->round->flood, &json) : KNOCK_ERROR;
}
