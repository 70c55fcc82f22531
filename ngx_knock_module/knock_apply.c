
#include "knock_apply.h"
#include "knock_limits.h"


/* what is known of a key's entity, in this call up to now */
#define KNOCK_ROLE_MUST      1      /* a plain call needs it to be there */
#define KNOCK_ROLE_UPSERTED  2      /* the call itself has put it there */

/* the largest index of a key that a plan has bits for */
#define KNOCK_PLAN_KEY       0xffff

/* fields of a pack: its strings pass through Lua's stack at once */
#define KNOCK_PACK_FIELDS    1000

/* added to a unit's plan: its verdicts are to be told */
#define KNOCK_APPLY_TOLD     4


static int knock_apply_check(const knock_apply_t *apply);
static void knock_apply_head(knock_apply_t *apply, const knock_unit_t *unit,
    char plan);
static void knock_apply_event(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_unit_event_t *event);
static size_t knock_apply_status(knock_status_e status);
static int knock_apply_seen(knock_apply_t *apply,
    const knock_unit_event_t *event);
static void knock_apply_op(knock_apply_t *apply, const knock_op_t *op);
static void knock_apply_brought(knock_apply_t *apply, size_t entity,
    size_t n);
static void knock_apply_field(knock_apply_t *apply, knock_buf_t *pack,
    const knock_field_t *field, size_t i);
static void knock_apply_packed(knock_buf_t *pack, const knock_str_t *str);
static void knock_apply_pack(knock_apply_t *apply, const knock_buf_t *pack);
static void knock_apply_action(knock_apply_t *apply,
    const knock_unit_action_t *action, int acts, int asked);
static void knock_apply_must(knock_apply_t *apply, size_t entity);
static void knock_apply_log(knock_apply_t *apply, size_t log,
    const knock_unit_event_t *event);
static void knock_apply_number(knock_apply_t *apply, size_t n);
static void knock_apply_string(knock_apply_t *apply, knock_strs_t *strs,
    const knock_str_t *str);


int
knock_apply_begin(knock_apply_t *apply, knock_arena_t *arena,
    const knock_live_t *live, size_t place)
{
    static const knock_key_e  fixed[] = {
        KNOCK_KEY_VERSION, KNOCK_KEY_RUNS, KNOCK_KEY_SEEN_0, KNOCK_KEY_SEEN_1,
        KNOCK_KEY_LARGE
    };

    size_t  i;

    memset(apply, 0, sizeof(knock_apply_t));

    apply->arena = arena;
    apply->live = live;
    apply->place = place;
    apply->plain = 1;

    knock_strs_init(&apply->keys, arena);
    knock_strs_init(&apply->marks, arena);
    knock_strs_init(&apply->packs, arena);
    knock_strs_init(&apply->runs, arena);
    knock_strs_init(&apply->logs, arena);
    knock_strs_init(&apply->texts, arena);

    knock_buf_init(&apply->roles, arena, 64);
    knock_buf_init(&apply->brought, arena, 64 * sizeof(uint16_t));
    knock_buf_init(&apply->numbers, arena, 256);
    knock_buf_init(&apply->must, arena, 64);
    knock_buf_init(&apply->ops, arena, 64);
    knock_buf_init(&apply->log_keys, arena, 64);

    apply->indexes = knock_map_create(arena, 32);
    apply->values = knock_map_create(arena, 0);
    apply->seen = knock_map_create(arena, 0);

    if (apply->indexes == NULL || apply->values == NULL
        || apply->seen == NULL || knock_apply_check(apply) != KNOCK_OK
        || knock_counts_init(&apply->counts, arena) != KNOCK_OK)
    {
        goto failed;
    }

    for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (knock_apply_key(apply, &live->places[place].keys[fixed[i]]) == 0) {
            goto failed;
        }
    }

    return KNOCK_OK;

failed:

    apply->arena = NULL;

    return KNOCK_ERROR;
}


size_t
knock_apply_key(knock_apply_t *apply, const knock_str_t *key)
{
    static const uint16_t  nothing = 0;

    size_t   n;
    void    *found;

    found = knock_map_get(apply->indexes, key);
    if (found) {
        return (size_t) (uintptr_t) found;
    }

    n = apply->keys.n;

    knock_strs_add(&apply->keys, key);
    knock_buf_add_char(&apply->roles, 0);
    knock_buf_add(&apply->brought, &nothing, sizeof(uint16_t));

    if (apply->keys.failed || apply->roles.failed || apply->brought.failed
        || knock_map_set(apply->indexes, key, (void *) (uintptr_t) (n + 1))
           != KNOCK_OK)
    {
        apply->keys.n = n;
        apply->keys.failed = 0;
        apply->roles.len = n;
        apply->roles.failed = 0;
        apply->brought.len = n * sizeof(uint16_t);
        apply->brought.failed = 0;
        return 0;
    }

    return n + 1;
}


int
knock_apply_add(knock_apply_t *apply, const knock_unit_t *unit)
{
    char                plan;
    size_t              i;
    knock_apply_point_t  point;

    if (knock_unit_plan(apply->arena, unit, &plan) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    knock_apply_point(apply, &point);
    apply->failed = 0;

    knock_apply_head(apply, unit, plan);

    for (i = 0; i < unit->nevents; i++) {
        apply->nevents++;
        knock_apply_event(apply, unit, &unit->events[i]);
    }

    if (knock_apply_check(apply) != KNOCK_OK) {
        knock_apply_rewind(apply, &point);
        return KNOCK_ERROR;
    }

    apply->nunits++;

    return KNOCK_OK;
}


void
knock_apply_point(const knock_apply_t *apply, knock_apply_point_t *point)
{
    point->marks = apply->marks.n;
    point->packs = apply->packs.n;
    point->runs = apply->runs.n;
    point->logs = apply->logs.n;
    point->texts = apply->texts.n;
    point->numbers = apply->numbers.len;
    point->must = apply->must.len;
    point->ops = apply->ops.len;
    point->log_keys = apply->log_keys.len;
    point->counted = apply->counts.nevents;
    point->nunits = apply->nunits;
    point->nevents = apply->nevents;
    point->bytes = apply->bytes;
    point->run_bytes = apply->run_bytes;
}


/* what the unit left in roles and maps may be wrong: the call is not plain */

void
knock_apply_rewind(knock_apply_t *apply, const knock_apply_point_t *point)
{
    apply->marks.n = point->marks;
    apply->packs.n = point->packs;
    apply->runs.n = point->runs;
    apply->logs.n = point->logs;
    apply->texts.n = point->texts;
    apply->numbers.len = point->numbers;
    apply->must.len = point->must;
    apply->ops.len = point->ops;
    apply->log_keys.len = point->log_keys;
    apply->nunits = point->nunits;
    apply->nevents = point->nevents;
    apply->bytes = point->bytes;
    apply->run_bytes = point->run_bytes;

    apply->marks.failed = 0;
    apply->packs.failed = 0;
    apply->runs.failed = 0;
    apply->logs.failed = 0;
    apply->texts.failed = 0;
    apply->numbers.failed = 0;
    apply->must.failed = 0;
    apply->ops.failed = 0;
    apply->log_keys.failed = 0;
    apply->plain = 0;

    knock_counts_rewind(&apply->counts, point->counted);
}


static int
knock_apply_check(const knock_apply_t *apply)
{
    return apply->failed || apply->marks.failed || apply->packs.failed
           || apply->runs.failed || apply->logs.failed || apply->texts.failed
           || apply->roles.failed || apply->brought.failed
           || apply->numbers.failed || apply->must.failed || apply->ops.failed
           || apply->log_keys.failed
           ? KNOCK_ERROR : KNOCK_OK;
}


static void
knock_apply_head(knock_apply_t *apply, const knock_unit_t *unit, char plan)
{
    size_t               i;
    const knock_need_t  *need;

    need = unit->need;

    if (plan != '0' || need || unit->guard) {
        apply->plain = 0;
    }

    knock_apply_number(apply, unit->nevents);
    knock_apply_number(apply, (size_t) (plan - '0')
                              + (unit->told ? KNOCK_APPLY_TOLD : 0));
    knock_apply_number(apply, need != NULL);
    knock_apply_number(apply, need ? need->nbases : 0);
    knock_apply_number(apply, unit->guard);

    if (need) {
        knock_apply_string(apply, &apply->texts, &need->verdicts);

        for (i = 0; i < need->nbases; i++) {
            knock_apply_string(apply, &apply->texts, &need->bases[i]);
        }
    }

    if (unit->guard) {
        knock_apply_string(apply, &apply->texts, &unit->guard_etag);
    }
}


static void
knock_apply_event(knock_apply_t *apply, const knock_unit_t *unit,
    const knock_unit_event_t *event)
{
    static const knock_str_t  none = knock_null_string;

    int     acts, again, logged, asked;
    size_t  i, count;

    acts = (event->status == KNOCK_STATUS_PROCESSED);
    logged = (event->log.len && unit->log);
    asked = logged || unit->told;

    if (event->status == KNOCK_STATUS_FAILED
        || event->status == KNOCK_STATUS_LARGE)
    {
        apply->plain = 0;
    }

    /* a repeat is no sample of what is counted */

    again = knock_apply_seen(apply, event);
    count = 0;

    if (unit->catalogue) {
        count = knock_counts_add(&apply->counts, unit->catalogue, &event->key,
                                 again ? &none : &event->sample,
                                 apply->nevents);
        apply->failed |= (count == 0);
        apply->bytes += event->sample.len;
    }

    knock_apply_number(apply, knock_apply_status(event->status));
    knock_apply_number(apply, count);
    knock_apply_number(apply, logged ? unit->log : 0);

    knock_apply_number(apply, event->nops);

    for (i = 0; i < event->nops; i++) {
        knock_apply_op(apply, &event->ops[i]);
    }

    knock_apply_number(apply, event->nactions);

    for (i = 0; i < event->nactions; i++) {
        knock_apply_action(apply, &event->actions[i], acts, asked);
    }

    if (logged) {
        knock_apply_log(apply, unit->log, event);
    }
}


/* as knock.lua has it in its table STATUS */

static size_t
knock_apply_status(knock_status_e status)
{
    switch (status) {

    case KNOCK_STATUS_PROCESSED:
        return 0;

    case KNOCK_STATUS_IGNORED:
        return 1;

    case KNOCK_STATUS_LARGE:
        return 3;

    default:
        return 2;
    }
}


/*
 * Gives 1 if the call has had the event already.  Which of the two counts,
 * the plan cannot say.
 */

static int
knock_apply_seen(knock_apply_t *apply, const knock_unit_event_t *event)
{
    knock_str_t  mark;

    knock_apply_number(apply, event->marked);

    if (!event->marked) {
        return 0;
    }

    mark.len = KNOCK_MARK_LEN;
    mark.data = (unsigned char *) event->mark;

    knock_apply_string(apply, &apply->marks, &mark);

    if (knock_map_get(apply->seen, &mark)) {
        apply->plain = 0;
        return 1;
    }

    if (knock_map_set(apply->seen, &mark, apply) != KNOCK_OK) {
        apply->failed = 1;
    }

    return 0;
}


static void
knock_apply_op(knock_apply_t *apply, const knock_op_t *op)
{
    size_t                 j, nobjects, before;
    knock_buf_t            pack;
    const knock_field_t   *field;
    const knock_upsert_t  *upsert;

    upsert = op->upsert;
    nobjects = 0;
    before = apply->bytes;

    knock_buf_init(&pack, apply->arena, 16 + 16 * upsert->nfields);

    for (j = 0; j < upsert->nfields; j++) {
        field = &upsert->fields[j];

        if (field->object) {
            nobjects++;

        } else {
            knock_apply_field(apply, &pack, field, j - nobjects);
        }
    }

    for (j = 0; nobjects && j < upsert->nfields; j++) {
        field = &upsert->fields[j];

        if (field->object) {
            knock_apply_field(apply, &pack, field, j);
        }
    }

    knock_apply_pack(apply, &pack);

    knock_apply_number(apply, op->entity);
    knock_apply_number(apply, op->kind == KNOCK_OP_RECIPIENT);
    knock_apply_number(apply, op->bytes);
    knock_apply_number(apply, upsert->nfields - nobjects);
    knock_apply_number(apply, nobjects);

    if (op->entity > KNOCK_PLAN_KEY || upsert->nfields == 0
        || upsert->nfields > KNOCK_PACK_FIELDS)
    {
        apply->plain = 0;
    }

    knock_buf_add_bits(&apply->ops, op->entity, 16);

    apply->roles.data[op->entity - 1] |= KNOCK_ROLE_UPSERTED;

    knock_apply_brought(apply, op->entity, apply->bytes - before);
}


/*
 * Units that bring little each, and need no look at what is stored, may bring
 * an entity much in one call: then it is looked at between them.
 */

static void
knock_apply_brought(knock_apply_t *apply, size_t entity, size_t n)
{
    uint16_t        bytes;
    unsigned char  *p;

    p = apply->brought.data + (entity - 1) * sizeof(uint16_t);

    memcpy(&bytes, p, sizeof(uint16_t));

    if (n >= KNOCK_CHECK_BYTES || bytes + n >= KNOCK_CHECK_BYTES) {
        apply->plain = 0;
        return;
    }

    bytes = (uint16_t) (bytes + n);
    memcpy(p, &bytes, sizeof(uint16_t));
}


/*
 * The i-th field of an op.  A pack holds no more than what a function of Lua
 * may give at once; the next ones go into another.
 */

static void
knock_apply_field(knock_apply_t *apply, knock_buf_t *pack,
    const knock_field_t *field, size_t i)
{
    if (i && i % KNOCK_PACK_FIELDS == 0) {
        knock_apply_pack(apply, pack);
        knock_buf_init(pack, apply->arena, 1024);
    }

    knock_apply_packed(pack, &field->name);
    knock_apply_packed(pack, &field->json);
}


/* a string in MessagePack, of the forms that are in its first version */

static void
knock_apply_packed(knock_buf_t *pack, const knock_str_t *str)
{
    if (str->len < 32) {
        knock_buf_add_bits(pack, 0xa0 | str->len, 8);

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
knock_apply_pack(knock_apply_t *apply, const knock_buf_t *pack)
{
    knock_str_t  s;

    if (knock_buf_str(pack, &s) != KNOCK_OK) {
        apply->failed = 1;
        return;
    }

    knock_apply_string(apply, &apply->packs, &s);
}


static void
knock_apply_action(knock_apply_t *apply, const knock_unit_action_t *action,
    int acts, int asked)
{
    size_t  j;

    knock_apply_number(apply, action->actor);
    knock_apply_number(apply, action->nenqueues);

    if (acts && asked && action->actor) {
        knock_apply_must(apply, action->actor);
    }

    for (j = 0; j < action->nenqueues; j++) {
        knock_apply_number(apply, action->enqueues[j].entity);
        knock_apply_string(apply, &apply->runs, &action->enqueues[j].run);
        apply->run_bytes += action->enqueues[j].run.len;
        knock_apply_must(apply, action->enqueues[j].entity);
    }

    if (action->nenqueues && !acts) {
        apply->plain = 0;
    }
}


static void
knock_apply_must(knock_apply_t *apply, size_t entity)
{
    if (apply->roles.data[entity - 1]) {
        return;
    }

    apply->roles.data[entity - 1] = KNOCK_ROLE_MUST;

    if (entity > KNOCK_PLAN_KEY) {
        apply->plain = 0;
    }

    knock_buf_add_bits(&apply->must, entity, 16);
}


/* what a log says of an event with which all goes as it is expected to */

static void
knock_apply_log(knock_apply_t *apply, size_t log,
    const knock_unit_event_t *event)
{
    size_t       i, j;
    knock_str_t  expected;
    knock_buf_t  buf;

    knock_buf_init(&buf, apply->arena, 16);
    knock_buf_add_char(&buf, (char) event->status);
    knock_buf_add_str(&buf, &event->verdicts);

    for (i = 0; event->status == KNOCK_STATUS_PROCESSED && i < event->nactions;
         i++)
    {
        if (event->actions[i].actor) {
            knock_buf_add_char(&buf, 'a');
        }

        for (j = 0; j < event->actions[i].nenqueues; j++) {
            knock_buf_add_char(&buf, 'r');
        }

        knock_buf_add_char(&buf, ';');
    }

    if (knock_buf_str(&buf, &expected) != KNOCK_OK) {
        apply->failed = 1;
        return;
    }

    knock_apply_string(apply, &apply->logs, &expected);
    knock_apply_string(apply, &apply->logs, &event->log);

    if (log > KNOCK_PLAN_KEY) {
        apply->plain = 0;
    }

    knock_buf_add_bits(&apply->log_keys, log, 16);
}


static void
knock_apply_number(knock_apply_t *apply, size_t n)
{
    knock_buf_add_char(&apply->numbers, ' ');
    knock_buf_add_uint(&apply->numbers, n);
}


static void
knock_apply_string(knock_apply_t *apply, knock_strs_t *strs,
    const knock_str_t *str)
{
    knock_strs_add(strs, str);
    apply->bytes += str->len;
}
