
#include "knock_task.h"
#include "knock_time.h"


static knock_unit_t *knock_task_add(knock_round_t *round, knock_task_t *task,
    size_t place);
static int knock_task_op(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, knock_op_kind_e kind,
    const knock_upsert_t *upsert, const knock_str_t *identified_at);
static void *knock_task_more(knock_arena_t *arena, void *list, size_t n,
    size_t size);
static knock_told_t *knock_element_told(const knock_element_t *element,
    size_t place);
static knock_told_t *knock_element_tell(knock_element_t *element,
    size_t place, knock_arena_t *kept);
static void knock_task_done(knock_task_t *task);
static void knock_task_repeated(const knock_unit_t *unit);


int
knock_round_init(knock_round_t *round, knock_arena_t *arena,
    const knock_live_t *live, knock_flood_t *flood, uint64_t now)
{
    unsigned char  *p;

    p = knock_arena_alloc(arena, KNOCK_TIME_LEN + 2);
    if (p == NULL) {
        return KNOCK_ERROR;
    }

    p[0] = '"';
    knock_time_format(now, p + 1);
    p[KNOCK_TIME_LEN + 1] = '"';

    round->arena = arena;
    round->live = live;
    round->updated_at.len = KNOCK_TIME_LEN + 2;
    round->updated_at.data = p;
    round->flood = flood;
    round->bytes = 0;

    return KNOCK_OK;
}


knock_task_t *
knock_task_create(knock_round_t *round, knock_element_t *element)
{
    knock_task_t  *task;

    task = knock_arena_calloc(round->arena, 1, sizeof(knock_task_t));

    if (task) {
        task->element = element;
        task->status = KNOCK_STATUS_PROCESSED;
    }

    return task;
}


int
knock_task_unit(knock_round_t *round, knock_task_t *task,
    const knock_str_t *id, knock_unit_t **unit)
{
    size_t               place;
    const knock_told_t  *told;

    place = knock_keys_shard(id, round->live->nshards);

    for (*unit = task->units; *unit; *unit = (*unit)->next) {
        if ((*unit)->place == place) {
            return KNOCK_OK;
        }
    }

    told = knock_element_told(task->element, place);

    if (told && told->done) {
        return KNOCK_DECLINED;
    }

    *unit = knock_task_add(round, task, place);

    return *unit ? KNOCK_OK : KNOCK_ERROR;
}


static knock_unit_t *
knock_task_add(knock_round_t *round, knock_task_t *task, size_t place)
{
    knock_unit_t        *unit;
    const knock_told_t  *told;

    unit = knock_arena_calloc(round->arena, 1, sizeof(knock_unit_t));
    if (unit == NULL) {
        return NULL;
    }

    unit->task = task;
    unit->place = place;
    unit->next = task->units;
    task->units = unit;

    if (task->marked) {
        unit->mark = task->mark;
    }

    told = knock_element_told(task->element, place);

    if (told && told->arena) {
        unit->need = &told->need;
    }

    return unit;
}


int
knock_task_upsert(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, knock_op_kind_e kind,
    const knock_upsert_t *upsert, const knock_str_t *identified_at)
{
    size_t          i, objects;
    knock_upsert_t  part;

    /* an op has no more objects than a pack: then there are several */

    part = *upsert;
    part.nfields = 0;

    for (i = 0, objects = 0; i < upsert->nfields; i++) {

        if (upsert->fields[i].object && ++objects > KNOCK_PACK_FIELDS) {

            if (knock_task_op(round, unit, key, kind, &part, identified_at)
                != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            part.fields += part.nfields;
            part.nfields = 0;
            objects = 1;
        }

        part.nfields++;
    }

    for (i = 0; unit->need && i < unit->need->nbases; i++) {
        round->bytes += 2 * unit->need->bases[i].len;
    }

    return knock_task_op(round, unit, key, kind, &part, identified_at);
}


static int
knock_task_op(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, knock_op_kind_e kind,
    const knock_upsert_t *upsert, const knock_str_t *identified_at)
{
    size_t       i;
    knock_op_t  *op;

    op = knock_task_more(round->arena, unit->ops, unit->nops,
                         sizeof(knock_op_t));
    if (op == NULL) {
        return KNOCK_ERROR;
    }

    unit->ops = op;
    op += unit->nops++;

    op->key = *key;
    op->kind = kind;

    if (knock_entity_stored(round->arena, upsert, &round->updated_at,
                            identified_at, &op->upsert)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < op->upsert->nfields; i++) {
        round->bytes += op->upsert->fields[i].name.len
                        + op->upsert->fields[i].json.len;
    }

    return KNOCK_OK;
}


int
knock_task_run(knock_round_t *round, knock_unit_t *unit, size_t room,
    const knock_str_t *key, const knock_str_t *run, unsigned char *verdict)
{
    knock_target_t  *target;

    target = unit->runs;

    if (unit->nruns == unit->room) {

        if (round->live->nshards > 1) {
            room = unit->room + 1;
        }

        target = knock_arena_realloc(round->arena, target,
                                     unit->room * sizeof(knock_target_t),
                                     (unit->room + room)
                                     * sizeof(knock_target_t));
        if (target == NULL) {
            return KNOCK_ERROR;
        }

        unit->runs = target;
        unit->room += room;
    }

    target += unit->nruns++;

    target->key = *key;
    target->run = *run;
    target->verdict = verdict;

    round->bytes += run->len;

    return KNOCK_OK;
}


int
knock_task_actor(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, unsigned char *verdict)
{
    knock_target_t  *target;

    target = knock_task_more(round->arena, unit->actors, unit->nactors,
                             sizeof(knock_target_t));
    if (target == NULL) {
        return KNOCK_ERROR;
    }

    unit->actors = target;
    target += unit->nactors++;

    memset(target, 0, sizeof(knock_target_t));

    target->key = *key;
    target->verdict = verdict;

    return KNOCK_OK;
}


/* a list of n has room up to the next power of two */

static void *
knock_task_more(knock_arena_t *arena, void *list, size_t n, size_t size)
{
    if (n & (n - 1)) {
        return list;
    }

    return knock_arena_realloc(arena, list, n * size, (n ? 2 * n : 1) * size);
}


int
knock_task_key(knock_round_t *round, const knock_unit_t *unit,
    const knock_str_t *collection, const knock_str_t *id, knock_str_t *key)
{
    return knock_keys_entity(round->arena,
                             &round->live->places[unit->place].base,
                             collection, id, key);
}


int
knock_task_finish(knock_round_t *round, knock_task_t *task)
{
    size_t               place;
    unsigned             idle, stands;
    knock_unit_t        *unit;
    const knock_told_t  *told;

    idle = 1;
    stands = 0;

    for (told = task->element->told; told; told = told->next) {
        stands |= told->done;
    }

    for (unit = task->units; unit; unit = unit->next) {
        unit->idle = (unit->nops == 0 && unit->nruns == 0);
        idle &= unit->idle;
    }

    /* what only asks for an actor must not remember the event */

    for (unit = task->units; unit && !idle; unit = unit->next) {
        if (unit->idle) {
            unit->mark = NULL;
        }
    }

    if (idle && !stands) {
        place = task->marked ? ((size_t) task->mark[0] << 8 | task->mark[1])
                               % round->live->nshards
                             : 0;

        for (unit = task->units; unit; unit = unit->next) {
            unit->mark = NULL;

            if (unit->place == place) {
                break;
            }
        }

        if (unit == NULL) {
            unit = knock_task_add(round, task, place);
        }

        if (unit == NULL) {
            return KNOCK_ERROR;
        }

        unit->idle = 0;
        unit->mark = task->marked ? task->mark : NULL;
    }

    for (unit = task->units; unit; unit = unit->next) {
        unit->forgotten = (task->status == KNOCK_STATUS_FAILED);
    }

    return KNOCK_OK;
}


int
knock_task_settle(knock_task_t *task)
{
    int            done;
    knock_unit_t  *unit;

    done = 1;

    for (unit = task->units; unit; unit = unit->next) {

        switch (unit->said) {

        case KNOCK_SAID_APPLIED:
        case KNOCK_SAID_DUPLICATE:
        case KNOCK_SAID_LARGE:
            break;

        case KNOCK_SAID_REFUSED:
            task->refused = 1;
            break;

        default:
            done = 0;
        }

        if (unit->said == KNOCK_SAID_APPLIED) {
            task->runs += unit->nruns - unit->left_out;
        }
    }

    if (!done) {
        return KNOCK_DECLINED;
    }

    knock_task_done(task);

    return KNOCK_OK;
}


/* what stands at a place is not made there again */

int
knock_task_keep(knock_task_t *task, knock_arena_t *kept)
{
    knock_told_t     *told;
    knock_unit_t     *unit;
    knock_element_t  *element;

    element = task->element;

    for (unit = task->units; unit; unit = unit->next) {

        if (unit->idle || (unit->said != KNOCK_SAID_APPLIED
                           && unit->said != KNOCK_SAID_DUPLICATE
                           && unit->said != KNOCK_SAID_LARGE))
        {
            continue;
        }

        told = knock_element_tell(element, unit->place, kept);
        if (told == NULL) {
            return KNOCK_ERROR;
        }

        told->done = 1;
        told->duplicate = (unit->said == KNOCK_SAID_DUPLICATE);
        told->large = (unit->said == KNOCK_SAID_LARGE);

        if (told->duplicate) {
            knock_task_repeated(unit);
        }
    }

    if (element->told && task->verdicts.len
        && knock_arena_dup(kept, &task->verdicts, &element->verdicts)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/* the event is a repeat where all that it does has been done */

static void
knock_task_done(knock_task_t *task)
{
    int                  fresh, large;
    knock_unit_t        *unit;
    const knock_told_t  *told;

    fresh = 0;
    large = 0;

    for (unit = task->units; unit; unit = unit->next) {
        fresh |= (!unit->idle && unit->said != KNOCK_SAID_DUPLICATE);
        large |= (unit->said == KNOCK_SAID_LARGE);
    }

    for (told = task->element->told; told; told = told->next) {
        fresh |= (told->done && !told->duplicate);
        large |= told->large;
    }

    if (large) {
        task->status = KNOCK_STATUS_LARGE;

    } else if (!fresh) {
        task->status = KNOCK_STATUS_DUPLICATE;
        return;
    }

    for (unit = task->units; unit; unit = unit->next) {
        if (unit->said == KNOCK_SAID_DUPLICATE) {
            knock_task_repeated(unit);
        }
    }
}


/* an earlier try of the request has done what the unit does */

static void
knock_task_repeated(const knock_unit_t *unit)
{
    size_t  i;

    for (i = 0; i < unit->nruns; i++) {
        if (unit->runs[i].verdict) {
            *unit->runs[i].verdict = 'b';
        }
    }

    for (i = 0; i < unit->nactors; i++) {
        if (unit->actors[i].verdict) {
            *unit->actors[i].verdict = 'b';
        }
    }
}


int
knock_task_need(const knock_unit_t *unit, const knock_need_t *need,
    knock_arena_t *kept)
{
    size_t           i, size;
    knock_told_t    *told;
    knock_arena_t   *arena;

    told = knock_element_tell(unit->task->element, unit->place, kept);
    if (told == NULL) {
        return KNOCK_ERROR;
    }

    size = need->verdicts.len + need->nbases * (sizeof(knock_str_t) + 16) + 64;

    for (i = 0; i < need->nbases; i++) {
        size += need->bases[i].len;
    }

    arena = knock_arena_create(size);
    if (arena == NULL) {
        return KNOCK_ERROR;
    }

    knock_arena_destroy(told->arena);

    told->arena = arena;
    told->need.nbases = need->nbases;
    told->need.bases = knock_arena_alloc(arena, need->nbases
                                                * sizeof(knock_str_t));

    if (told->need.bases == NULL
        || knock_arena_dup(arena, &need->verdicts, &told->need.verdicts)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < need->nbases; i++) {
        if (knock_arena_dup(arena, &need->bases[i], &told->need.bases[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static knock_told_t *
knock_element_told(const knock_element_t *element, size_t place)
{
    knock_told_t  *told;

    for (told = element->told; told; told = told->next) {
        if (told->place == place) {
            return told;
        }
    }

    return NULL;
}


static knock_told_t *
knock_element_tell(knock_element_t *element, size_t place,
    knock_arena_t *kept)
{
    knock_told_t  *told;

    told = knock_element_told(element, place);
    if (told) {
        return told;
    }

    told = knock_arena_calloc(kept, 1, sizeof(knock_told_t));

    if (told) {
        told->place = place;
        told->next = element->told;
        element->told = told;
    }

    return told;
}


void
knock_element_clear(knock_element_t *element)
{
    knock_told_t  *told;

    for (told = element->told; told; told = told->next) {
        knock_arena_destroy(told->arena);
        told->arena = NULL;
    }

    element->told = NULL;
}
