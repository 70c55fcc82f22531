
#include "knock_apply.h"


#define knock_apply_entity(apply, n)                                         \
    (&((knock_apply_entity_t *) (apply)->entities.data)[(n) - 1])


static uint32_t knock_apply_key(knock_apply_t *apply, const knock_str_t *key,
    uint32_t asked);
static int knock_apply_merges(const knock_apply_t *apply,
    const knock_unit_t *unit);
static void knock_apply_mark(knock_apply_t *apply, const knock_unit_t *unit);
static uint32_t knock_apply_texts(knock_apply_t *apply,
    const knock_need_t *used);
static void knock_apply_op(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_op_t *op, uint32_t text);
static uint32_t knock_apply_packs(knock_apply_t *apply,
    const knock_upsert_t *upsert, uint32_t entity);
static void knock_apply_pack(knock_apply_t *apply, const knock_buf_t *pack);
static size_t knock_apply_packed_len(knock_apply_t *apply,
    const knock_upsert_t *upsert, uint32_t entity);
static void knock_apply_packed(knock_buf_t *pack, const knock_str_t *str);
static void knock_apply_string(knock_apply_t *apply, knock_strs_t *strs,
    const knock_str_t *str);
static void knock_apply_number(knock_buf_t *numbers, size_t n);


int
knock_apply_begin(knock_apply_t *apply, knock_arena_t *arena,
    const knock_live_t *live, size_t place)
{
    memset(apply, 0, sizeof(knock_apply_t));

    apply->live = live;
    apply->place = place;

    knock_strs_init(&apply->asked, arena);
    knock_strs_init(&apply->brought, arena);
    knock_strs_init(&apply->marks, arena);
    knock_strs_init(&apply->looked, arena);
    knock_strs_init(&apply->packs, arena);
    knock_strs_init(&apply->runs, arena);
    knock_strs_init(&apply->texts, arena);

    knock_buf_init(&apply->entities, arena, 16 * sizeof(knock_apply_entity_t));
    knock_buf_init(&apply->mark_events, arena, 64);
    knock_buf_init(&apply->looked_events, arena, 0);
    knock_buf_init(&apply->twins, arena, 0);
    knock_buf_init(&apply->first_runs, arena, 64);
    knock_buf_init(&apply->requests, arena, 64);
    knock_buf_init(&apply->run_entities, arena, 64);
    knock_buf_init(&apply->actors, arena, 64);
    knock_buf_init(&apply->ops, arena, 4 * sizeof(knock_apply_op_t));

    apply->index = knock_map_create(arena, 32);
    apply->values = knock_map_create(arena, 0);
    apply->marked = knock_map_create(arena, 32);

    if (apply->index == NULL || apply->values == NULL || apply->marked == NULL)
    {
        return KNOCK_ERROR;
    }

    apply->arena = arena;

    return KNOCK_OK;
}


void
knock_apply_add(knock_apply_t *apply, knock_arena_t *arena,
    knock_unit_t *unit, const knock_map_t *sent)
{
    size_t                 i;
    uint32_t               text;
    const knock_target_t  *target;

    unit->event = ++apply->nevents;
    unit->run = apply->runs.n;
    unit->actor = apply->nactors;
    unit->said = KNOCK_SAID_APPLIED;
    unit->left_out = 0;

    knock_apply_number(&apply->first_runs, apply->runs.n + 1);
    knock_apply_number(&apply->requests, apply->nrequests);

    if (unit->mark) {
        knock_apply_mark(apply, unit);
    }

    text = 0;

    if (knock_apply_merges(apply, unit)) {

        if (knock_unit_fold(arena, unit, apply->values, sent) != KNOCK_OK) {
            apply->failed = 1;
            return;
        }

        text = knock_apply_texts(apply, unit->used);
        apply->merges |= text > 0;
    }

    for (i = 0; i < unit->nops; i++) {
        knock_apply_op(apply, unit, &unit->ops[i], i ? 0 : text);
    }

    for (i = 0; i < unit->nruns; i++) {
        target = &unit->runs[i];

        knock_apply_number(&apply->run_entities,
                           knock_apply_key(apply, &target->key, 1));
        knock_apply_string(apply, &apply->runs, &target->run);
        apply->run_bytes += target->run.len;
    }

    for (i = 0; i < unit->nactors; i++) {
        knock_apply_number(&apply->actors, apply->nevents);
        knock_apply_number(&apply->actors,
                           knock_apply_key(apply, &unit->actors[i].key, 1));
        apply->nactors++;
    }
}


/* whether there is an object to be merged, or what others are merged into */

static int
knock_apply_merges(const knock_apply_t *apply, const knock_unit_t *unit)
{
    size_t                 i, j;
    const knock_upsert_t  *upsert;

    if (unit->nops == 0 || apply->merges) {
        return unit->nops > 0;
    }

    for (i = 0; i < unit->nops; i++) {
        upsert = unit->ops[i].upsert;

        for (j = 0; j < upsert->nfields; j++) {
            if (upsert->fields[j].object) {
                return 1;
            }
        }
    }

    return 0;
}


void
knock_apply_guard(knock_apply_t *apply, const knock_str_t *key,
    const knock_str_t *etag)
{
    apply->guard = knock_apply_key(apply, key, 0);
    apply->guard_etag = *etag;
}


/* the number, from 1, of an entity; 0: no memory */

static uint32_t
knock_apply_key(knock_apply_t *apply, const knock_str_t *key, uint32_t asked)
{
    void                  *found;
    knock_strs_t          *keys;
    knock_apply_entity_t   entity;

    found = knock_map_get(apply->index, key);
    if (found) {
        return (uint32_t) (uintptr_t) found;
    }

    keys = asked ? &apply->asked : &apply->brought;

    entity.place = (uint32_t) keys->n;
    entity.asked = asked;
    entity.bytes = 0;

    knock_apply_string(apply, keys, key);
    knock_buf_add(&apply->entities, &entity, sizeof(knock_apply_entity_t));

    found = (void *) (uintptr_t) (apply->asked.n + apply->brought.n);

    if (keys->failed || apply->entities.failed
        || knock_map_set(apply->index, key, found) != KNOCK_OK)
    {
        apply->failed = 1;
        return 0;
    }

    return (uint32_t) (uintptr_t) found;
}


/* of an event that failed nothing is remembered, and so it is nobody's twin */

static void
knock_apply_mark(knock_apply_t *apply, const knock_unit_t *unit)
{
    void         *twin;
    knock_str_t   mark;

    mark.len = KNOCK_MARK_LEN;
    mark.data = (unsigned char *) (uintptr_t) unit->mark;

    twin = knock_map_get(apply->marked, &mark);

    if (twin) {
        knock_apply_number(&apply->twins, apply->nevents);
        knock_apply_number(&apply->twins, (size_t) (uintptr_t) twin);
    }

    if (unit->forgotten) {
        knock_apply_string(apply, &apply->looked, &mark);
        knock_apply_number(&apply->looked_events, apply->nevents);
        return;
    }

    knock_apply_string(apply, &apply->marks, &mark);
    knock_apply_number(&apply->mark_events, apply->nevents);

    if (knock_map_set(apply->marked, &mark,
                      (void *) (uintptr_t) apply->nevents)
        != KNOCK_OK)
    {
        apply->failed = 1;
    }
}


/* what a unit was merged from; gives the number of the first text, or 0 */

static uint32_t
knock_apply_texts(knock_apply_t *apply, const knock_need_t *used)
{
    size_t    i;
    uint32_t  first;

    if (used == NULL) {
        return 0;
    }

    first = (uint32_t) apply->texts.n + 1;

    knock_apply_string(apply, &apply->texts, &used->verdicts);

    for (i = 0; i < used->nbases; i++) {
        knock_apply_string(apply, &apply->texts, &used->bases[i]);
    }

    return first;
}


static void
knock_apply_op(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_op_t *op, uint32_t text)
{
    size_t            packs;
    knock_apply_op_t  out;

    out.entity = knock_apply_key(apply, &op->key, 0);
    if (out.entity == 0) {
        return;
    }

    packs = apply->packs.n;

    out.event = (uint32_t) apply->nevents;
    out.packs = knock_apply_packs(apply, op->upsert, out.entity) | op->kind;
    out.resent = (unit->used != NULL);
    out.heavy = out.resent || unit->chained || apply->packs.n - packs > 2;
    out.text = text;

    knock_buf_add(&apply->ops, &out, sizeof(knock_apply_op_t));
}


/*
 * The fields of an op, the objects apart from the others; gives how many packs
 * there are, and whether one has objects.
 */

static uint32_t
knock_apply_packs(knock_apply_t *apply, const knock_upsert_t *upsert,
    uint32_t entity)
{
    size_t                i, n, packs;
    knock_buf_t           pack, objects;
    const knock_field_t  *field;

    knock_buf_init(&pack, apply->arena,
                   knock_apply_packed_len(apply, upsert, entity));
    knock_buf_init(&objects, apply->arena, 0);

    packs = apply->packs.n;

    for (i = 0, n = 0; i < upsert->nfields; i++) {
        field = &upsert->fields[i];

        if (field->object) {
            knock_apply_packed(&objects, &field->name);
            knock_apply_packed(&objects, &field->json);
            continue;
        }

        if (n && n % KNOCK_PACK_FIELDS == 0) {
            knock_apply_pack(apply, &pack);

            pack.data += pack.len;
            pack.cap -= pack.len;
            pack.len = 0;
        }

        knock_apply_packed(&pack, &field->name);
        knock_apply_packed(&pack, &field->json);
        n++;
    }

    knock_apply_pack(apply, &pack);

    if (objects.len) {
        knock_apply_pack(apply, &objects);
    }

    return (uint32_t) (4 * (apply->packs.n - packs)
                       + (objects.len ? 2 : 0));
}


static void
knock_apply_pack(knock_apply_t *apply, const knock_buf_t *pack)
{
    knock_str_t  text;

    if (knock_buf_str(pack, &text) != KNOCK_OK) {
        apply->failed = 1;
        return;
    }

    knock_apply_string(apply, &apply->packs, &text);
}


/* about what the packs need, and adds up what the call brings to the entity */

static size_t
knock_apply_packed_len(knock_apply_t *apply, const knock_upsert_t *upsert,
    uint32_t entity)
{
    size_t                i, len, bytes;
    const knock_field_t  *field;

    for (len = 0, bytes = 0, i = 0; i < upsert->nfields; i++) {
        field = &upsert->fields[i];

        bytes += field->name.len + knock_unit_length(field);

        if (field->object == NULL) {
            len += field->name.len + field->json.len + 10;
        }
    }

    knock_apply_entity(apply, entity)->bytes += bytes;

    return len;
}


/* a string in MessagePack, of the forms that are in its first version */

static void
knock_apply_packed(knock_buf_t *pack, const knock_str_t *str)
{
    if (str->len < 32) {
        knock_buf_add_char(pack, (char) (0xa0 | str->len));

    } else if (str->len <= 0xffff) {
        knock_buf_add_bits(pack, 0xda, 8);
        knock_buf_add_bits(pack, str->len, 16);

    } else {
        knock_buf_add_bits(pack, 0xdb, 8);
        knock_buf_add_bits(pack, str->len, 32);
    }

    knock_buf_add_str(pack, str);
}


static void
knock_apply_string(knock_apply_t *apply, knock_strs_t *strs,
    const knock_str_t *str)
{
    knock_strs_add(strs, str);
    apply->bytes += str->len;
}


static void
knock_apply_number(knock_buf_t *numbers, size_t n)
{
    uint32_t  number;

    number = (uint32_t) n;
    knock_buf_add(numbers, &number, sizeof(uint32_t));
}
