
#include "knock_apply.h"
#include "knock_limits.h"


#define KNOCK_DIGITS  20


static void knock_strs_add(knock_apply_t *apply, knock_strs_t *strs,
    const void *data, size_t len);
static void knock_apply_bytes(knock_apply_t *apply, const void *data,
    size_t len);
static void knock_apply_str(knock_apply_t *apply, const knock_str_t *str);
static void knock_apply_uint(knock_apply_t *apply, size_t n);
static void knock_apply_event(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_unit_event_t *event);
static void knock_apply_op(knock_apply_t *apply, const knock_op_t *op);


int
knock_apply_begin(knock_apply_t *apply, knock_arena_t *arena,
    const knock_live_t *live)
{
    static const knock_key_e  fixed[] = {
        KNOCK_KEY_VERSION, KNOCK_KEY_RUNS, KNOCK_KEY_SEEN_0, KNOCK_KEY_SEEN_1,
        KNOCK_KEY_LARGE
    };

    size_t  i;

    memset(apply, 0, sizeof(knock_apply_t));

    apply->arena = arena;
    apply->live = live;

    apply->indexes = knock_map_create(arena, 64);
    apply->values = knock_map_create(arena, 0);

    if (apply->indexes == NULL || apply->values == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (knock_apply_key(apply, &live->keys[fixed[i]]) == 0) {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


size_t
knock_apply_key(knock_apply_t *apply, const knock_str_t *key)
{
    size_t   n;
    void    *found;

    found = knock_map_get(apply->indexes, key);
    if (found) {
        return (size_t) (uintptr_t) found;
    }

    n = apply->keys.n;

    knock_strs_add(apply, &apply->keys, key->data, key->len);

    if (apply->keys.n == n) {
        return 0;
    }

    if (knock_map_set(apply->indexes, key, (void *) (uintptr_t) (n + 1))
        != KNOCK_OK)
    {
        apply->keys.n = n;
        return 0;
    }

    return n + 1;
}


int
knock_apply_add(knock_apply_t *apply, const knock_unit_t *unit)
{
    char    plan;
    size_t  i, units, marks, bytes;

    units = apply->units.n;
    marks = apply->marks.n;
    bytes = apply->bytes;

    apply->failed = 0;

    if (knock_unit_plan(apply->arena, unit, &plan) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    knock_apply_uint(apply, unit->nevents);
    knock_apply_bytes(apply, plan == '0' ? "0" : plan == '1' ? "1" : "2", 1);

    if (unit->need) {
        knock_apply_str(apply, &unit->need->verdicts);
        knock_apply_uint(apply, unit->need->nbases);

        for (i = 0; i < unit->need->nbases; i++) {
            knock_apply_str(apply, &unit->need->bases[i]);
        }

    } else {
        knock_apply_bytes(apply, "", 0);
        knock_apply_bytes(apply, "0", 1);
    }

    knock_apply_uint(apply, unit->guard);
    knock_apply_str(apply, &unit->guard_etag);

    for (i = 0; i < unit->nevents; i++) {
        knock_apply_event(apply, unit, &unit->events[i]);
    }

    if (apply->failed) {
        apply->units.n = units;
        apply->marks.n = marks;
        apply->bytes = bytes;

        return KNOCK_ERROR;
    }

    apply->nunits++;
    apply->nevents += unit->nevents;

    return KNOCK_OK;
}


static void
knock_apply_event(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_unit_event_t *event)
{
    char                  status;
    size_t                i, j;
    knock_unit_action_t  *action;

    status = (char) event->status;

    if (event->marked) {
        knock_strs_add(apply, &apply->marks, event->mark, KNOCK_MARK_LEN);
    }

    knock_apply_bytes(apply, event->marked ? "1" : "0", 1);
    knock_apply_bytes(apply, status == 'p' ? "p" : status == 'i' ? "i" : "f",
                      1);
    knock_apply_uint(apply, unit->catalogue);
    knock_apply_str(apply, &event->key);
    knock_apply_str(apply, &event->sample);
    knock_apply_uint(apply, event->log.len ? unit->log : 0);
    knock_apply_str(apply, &event->log);

    knock_apply_uint(apply, event->nops);

    for (i = 0; i < event->nops; i++) {
        knock_apply_op(apply, &event->ops[i]);
    }

    knock_apply_uint(apply, event->nactions);

    for (i = 0; i < event->nactions; i++) {
        action = &event->actions[i];

        knock_apply_uint(apply, action->actor);
        knock_apply_uint(apply, action->nenqueues);

        for (j = 0; j < action->nenqueues; j++) {
            knock_apply_uint(apply, action->enqueues[j].entity);
            knock_apply_str(apply, &action->enqueues[j].run);
        }
    }
}


static void
knock_apply_op(knock_apply_t *apply, const knock_op_t *op)
{
    size_t                 j, nobjects;
    const knock_field_t   *field;
    const knock_upsert_t  *upsert;

    upsert = op->upsert;
    nobjects = 0;

    for (j = 0; j < upsert->nfields; j++) {
        nobjects += upsert->fields[j].object != NULL;
    }

    knock_apply_uint(apply, op->entity);
    knock_apply_bytes(apply, op->kind == KNOCK_OP_EVENT ? "e" : "r", 1);
    knock_apply_uint(apply, op->bytes);
    knock_apply_uint(apply, upsert->nfields - nobjects);
    knock_apply_uint(apply, nobjects);

    for (j = 0; j < upsert->nfields; j++) {
        field = &upsert->fields[j];

        if (field->object == NULL) {
            knock_apply_str(apply, &field->name);
            knock_apply_str(apply, &field->json);
        }
    }

    for (j = 0; nobjects && j < upsert->nfields; j++) {
        field = &upsert->fields[j];

        if (field->object) {
            knock_apply_str(apply, &field->name);
            knock_apply_str(apply, &field->json);
        }
    }
}


int
knock_apply_command(knock_apply_t *apply, const knock_apply_conf_t *conf,
    size_t *argc, const char ***argv, size_t **argvlen)
{
    size_t         i, n;
    size_t        *lens;
    const char   **args;
    knock_strs_t   head;
    knock_apply_t  call;

    /* the same arguments again, in a list of their own: head, then units */

    call = *apply;
    call.failed = 0;

    memset(&head, 0, sizeof(knock_strs_t));
    call.units = head;

    knock_apply_bytes(&call, "FCALL", 5);
    knock_apply_bytes(&call, "knock_apply", 11);
    knock_apply_uint(&call, apply->keys.n);

    for (i = 0; i < apply->keys.n; i++) {
        knock_apply_str(&call, &apply->keys.items[i]);
    }

    knock_apply_bytes(&call, KNOCK_LIBRARY_VERSION,
                      sizeof(KNOCK_LIBRARY_VERSION) - 1);
    knock_apply_str(&call, &apply->live->version);
    knock_apply_uint(&call, (size_t) conf->window);
    knock_apply_uint(&call, conf->log_length);
    knock_apply_uint(&call, conf->catalogue_length);
    knock_apply_uint(&call, apply->marks.n);

    for (i = 0; i < apply->marks.n; i++) {
        knock_apply_str(&call, &apply->marks.items[i]);
    }

    knock_apply_uint(&call, apply->nunits);

    if (call.failed) {
        return KNOCK_ERROR;
    }

    head = call.units;
    n = head.n + apply->units.n;

    args = knock_arena_alloc(apply->arena, n * sizeof(char *));
    lens = knock_arena_alloc(apply->arena, n * sizeof(size_t));

    if (args == NULL || lens == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < head.n; i++) {
        args[i] = (const char *) head.items[i].data;
        lens[i] = head.items[i].len;
    }

    for (i = 0; i < apply->units.n; i++) {
        args[head.n + i] = (const char *) apply->units.items[i].data;
        lens[head.n + i] = apply->units.items[i].len;
    }

    *argc = n;
    *argv = args;
    *argvlen = lens;

    return KNOCK_OK;
}


static void
knock_apply_str(knock_apply_t *apply, const knock_str_t *str)
{
    knock_apply_bytes(apply, str->data, str->len);
}


static void
knock_apply_uint(knock_apply_t *apply, size_t n)
{
    static const char  digits[] = "0123456789";

    size_t          i;
    unsigned char  *p;

    if (n < 10) {
        knock_apply_bytes(apply, &digits[n], 1);
        return;
    }

    p = knock_arena_alloc(apply->arena, KNOCK_DIGITS);

    if (p == NULL) {
        apply->failed = 1;
        return;
    }

    i = KNOCK_DIGITS;

    do {
        p[--i] = (unsigned char) ('0' + n % 10);
        n /= 10;
    } while (n);

    knock_apply_bytes(apply, p + i, KNOCK_DIGITS - i);
}


static void
knock_apply_bytes(knock_apply_t *apply, const void *data, size_t len)
{
    knock_strs_add(apply, &apply->units, data, len);
    apply->bytes += len;
}


static void
knock_strs_add(knock_apply_t *apply, knock_strs_t *strs, const void *data,
    size_t len)
{
    size_t        cap;
    knock_str_t  *items;

    if (strs->n == strs->cap) {
        cap = strs->cap ? strs->cap * 2 : 64;

        items = knock_arena_realloc(apply->arena, strs->items,
                                    strs->cap * sizeof(knock_str_t),
                                    cap * sizeof(knock_str_t));
        if (items == NULL) {
            apply->failed = 1;
            return;
        }

        strs->items = items;
        strs->cap = cap;
    }

    strs->items[strs->n].data = (unsigned char *) (data ? data : "");
    strs->items[strs->n].len = len;
    strs->n++;
}
