
#include "knock_parts.h"


/* where the verdicts of a shard have been read to */

typedef struct {
    size_t   event;     /* of its part */
    size_t   at;        /* in the verdicts, those of that event */
} knock_reading_t;


static int knock_parts_begin(knock_parts_t *parts, size_t place);
static int knock_parts_grow(knock_parts_t *parts, knock_part_t *part,
    size_t size);
static knock_op_t *knock_parts_op(knock_parts_t *parts, size_t place);
static int knock_parts_add_one(knock_parts_t *parts, size_t place);
static void knock_parts_read(const knock_outcome_t *outcome,
    knock_reading_t *reading, size_t event);
static char knock_parts_verdict(const knock_outcome_t *outcome,
    knock_reading_t *reading, size_t event, int actor);
static int knock_parts_verdicts(knock_parts_t *parts,
    const knock_outcome_t *outcomes, knock_reading_t *readings,
    const knock_str_t *order, size_t event, knock_str_t *verdicts);


void
knock_parts_whole(knock_parts_t *parts, knock_part_t *part,
    knock_apply_t *apply, knock_arena_t *arena, const knock_live_t *live,
    const knock_need_t *need)
{
    memset(part, 0, sizeof(knock_part_t));

    part->apply = apply;
    part->arena = arena;
    part->need = need;

    memset(parts, 0, sizeof(knock_parts_t));

    parts->arena = arena;
    parts->live = live;
    parts->parts = part;
}


size_t
knock_parts_place(const knock_parts_t *parts, const knock_str_t *id)
{
    return knock_keys_shard(id, parts->live->nshards);
}


static int
knock_parts_begin(knock_parts_t *parts, size_t place)
{
    knock_part_t  *part;

    part = &parts->parts[place];

    if (part->apply->arena) {
        return KNOCK_OK;
    }

    return knock_apply_begin(part->apply, part->arena, parts->live, place);
}


size_t
knock_parts_entity(knock_parts_t *parts, size_t place,
    const knock_str_t *collection, const knock_str_t *id)
{
    knock_str_t  key;

    if (knock_parts_begin(parts, place) != KNOCK_OK
        || knock_keys_entity(parts->arena, &parts->live->places[place].base,
                             collection, id, &key)
           != KNOCK_OK)
    {
        return 0;
    }

    return knock_apply_key(parts->parts[place].apply, &key);
}


knock_unit_event_t *
knock_parts_event(knock_parts_t *parts, size_t place, size_t event)
{
    size_t               n;
    knock_part_t        *part;
    knock_unit_event_t  *last;

    part = &parts->parts[place];
    n = part->unit.nevents;

    if (n && part->events[n - 1] == event) {
        return &part->unit.events[n - 1];
    }

    if (n == part->size
        && knock_parts_grow(parts, part, n ? 2 * n : 4) != KNOCK_OK)
    {
        return NULL;
    }

    part->events[n] = event;
    part->unit.nevents++;
    part->unit.told = parts->told && place != parts->live->home;
    part->nops = 0;

    last = &part->unit.events[n];
    memset(last, 0, sizeof(knock_unit_event_t));

    return last;
}


int
knock_parts_reserve(knock_parts_t *parts, size_t place, size_t n)
{
    return knock_parts_grow(parts, &parts->parts[place], n);
}


static int
knock_parts_grow(knock_parts_t *parts, knock_part_t *part, size_t size)
{
    size_t               n, *events;
    knock_unit_event_t  *unit;

    n = part->size;

    unit = knock_arena_realloc(parts->arena, part->unit.events,
                               n * sizeof(knock_unit_event_t),
                               size * sizeof(knock_unit_event_t));
    events = knock_arena_realloc(parts->arena, part->events,
                                 n * sizeof(size_t), size * sizeof(size_t));

    if (unit == NULL || events == NULL) {
        return KNOCK_ERROR;
    }

    part->unit.events = unit;
    part->events = events;
    part->size = size;

    return KNOCK_OK;
}


int
knock_parts_upsert(knock_parts_t *parts, size_t place, size_t entity,
    knock_op_kind_e kind, const knock_upsert_t *upsert,
    const knock_str_t *updated_at)
{
    knock_op_t  *op;

    op = knock_parts_op(parts, place);

    if (op == NULL
        || knock_entity_stored(parts->arena, upsert, updated_at, &op->upsert)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    op->entity = entity;
    op->kind = kind;

    return KNOCK_OK;
}


/* a new op of the place's last event, zeroed.  NULL: no memory */

static knock_op_t *
knock_parts_op(knock_parts_t *parts, size_t place)
{
    size_t               size;
    knock_op_t          *ops;
    knock_part_t        *part;
    knock_unit_event_t  *event;

    part = &parts->parts[place];
    event = &part->unit.events[part->unit.nevents - 1];

    if (event->nops == part->nops) {
        size = part->nops ? 2 * part->nops : 2;

        ops = knock_arena_realloc(parts->arena, event->ops,
                                  part->nops * sizeof(knock_op_t),
                                  size * sizeof(knock_op_t));
        if (ops == NULL) {
            return NULL;
        }

        event->ops = ops;
        part->nops = size;
    }

    ops = &event->ops[event->nops++];
    memset(ops, 0, sizeof(knock_op_t));

    return ops;
}


int
knock_parts_add(knock_parts_t *parts)
{
    size_t                i, last;
    knock_part_t         *part;
    knock_apply_point_t  *points;

    last = parts->live->nshards;
    points = knock_arena_calloc(parts->arena, last,
                                sizeof(knock_apply_point_t));
    if (points == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < last; i++) {
        part = &parts->parts[i];

        if (part->unit.nevents == 0 || part->done) {
            continue;
        }

        if (knock_parts_begin(parts, i) != KNOCK_OK) {
            break;
        }

        knock_apply_point(part->apply, &points[i]);

        if (knock_parts_add_one(parts, i) != KNOCK_OK) {
            break;
        }
    }

    if (i == last) {
        return KNOCK_OK;
    }

    while (i--) {
        part = &parts->parts[i];

        if (part->unit.nevents && !part->done) {
            knock_apply_rewind(part->apply, &points[i]);
        }
    }

    return KNOCK_ERROR;
}


static int
knock_parts_add_one(knock_parts_t *parts, size_t place)
{
    knock_part_t  *part;

    part = &parts->parts[place];

    if (part->need
        && knock_unit_fold(parts->arena, &part->unit, part->need,
                           part->apply->values)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (knock_unit_expect(parts->arena, &part->unit, &part->statuses,
                          &part->runs)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_apply_add(part->apply, &part->unit);
}


/* knock.lua finds a catalogue's second key behind its first */

int
knock_parts_home(knock_parts_t *parts)
{
    size_t                   info;
    knock_part_t            *part;
    const knock_endpoint_t  *endpoint;

    if (knock_parts_begin(parts, parts->live->home) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    endpoint = parts->endpoint;
    part = &parts->parts[parts->live->home];

    part->unit.catalogue = knock_apply_key(part->apply, &endpoint->catalogue);
    info = knock_apply_key(part->apply, &endpoint->catalogue_info);
    part->unit.log = knock_apply_key(part->apply, &endpoint->log);

    return part->unit.catalogue && info == part->unit.catalogue + 1
           && part->unit.log
           ? KNOCK_OK : KNOCK_ERROR;
}


int
knock_parts_add_home(knock_parts_t *parts, const knock_outcome_t *outcomes,
    const knock_str_t *orders)
{
    size_t               i, e, home;
    knock_unit_t        *unit;
    knock_reading_t     *readings;
    knock_unit_event_t  *event;

    home = parts->live->home;
    unit = &parts->parts[home].unit;

    readings = knock_arena_calloc(parts->arena, home, sizeof(knock_reading_t));

    if (readings == NULL || knock_parts_home(parts) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        /* one that is too large at a shard is not remembered at home */

        for (i = 0; i < home; i++) {
            knock_parts_read(&outcomes[i], &readings[i], e);

            if (readings[i].event < outcomes[i].statuses.len
                && outcomes[i].events[readings[i].event] == e
                && outcomes[i].statuses.data[readings[i].event]
                   == KNOCK_STATUS_LARGE)
            {
                event->status = KNOCK_STATUS_LARGE;
            }
        }

        if (event->log.len && event->status == KNOCK_STATUS_PROCESSED
            && knock_parts_verdicts(parts, outcomes, readings, &orders[e], e,
                                    &event->verdicts)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return knock_parts_add_one(parts, home);
}


/* goes on to an event of the request, or to the first one behind it */

static void
knock_parts_read(const knock_outcome_t *outcome, knock_reading_t *reading,
    size_t event)
{
    const knock_str_t  *v;

    v = &outcome->verdicts;

    while (reading->event < outcome->statuses.len
           && outcome->events[reading->event] < event)
    {
        reading->event++;

        while (v->data && reading->at < v->len
               && v->data[reading->at++] != ' ')
        {
            /* void */
        }
    }
}


static int
knock_parts_verdicts(knock_parts_t *parts, const knock_outcome_t *outcomes,
    knock_reading_t *readings, const knock_str_t *order, size_t event,
    knock_str_t *verdicts)
{
    int          actor;
    size_t       i;
    uint16_t     place;
    knock_buf_t  buf;

    knock_buf_init(&buf, parts->arena, order->len / sizeof(uint16_t));

    for (i = 0; i < order->len; i += sizeof(uint16_t)) {
        memcpy(&place, order->data + i, sizeof(uint16_t));

        if (place == KNOCK_PARTS_ACTION_END) {
            knock_buf_add_char(&buf, ';');
            continue;
        }

        actor = (place & KNOCK_PARTS_ACTOR) != 0;
        place &= (uint16_t) ~KNOCK_PARTS_ACTOR;

        knock_buf_add_char(&buf, knock_parts_verdict(&outcomes[place],
                                                     &readings[place], event,
                                                     actor));
    }

    return knock_buf_str(&buf, verdicts);
}


/* the next one that a shard has for the event */

static char
knock_parts_verdict(const knock_outcome_t *outcome, knock_reading_t *reading,
    size_t event, int actor)
{
    unsigned char       c;
    const knock_str_t  *v;

    v = &outcome->verdicts;

    if (reading->event >= outcome->statuses.len
        || outcome->events[reading->event] != event)
    {
        return KNOCK_VERDICT_BEFORE;
    }

    if (outcome->statuses.data[reading->event] == KNOCK_STATUS_DUPLICATE) {
        return KNOCK_VERDICT_BEFORE;
    }

    if (v->data == NULL) {
        return actor ? 'a' : 'r';
    }

    while (reading->at < v->len && v->data[reading->at] != ' ') {
        c = v->data[reading->at++];

        if (c != ';') {
            return (char) c;
        }
    }

    return KNOCK_VERDICT_BEFORE;
}


int
knock_parts_statuses(knock_arena_t *arena, const knock_outcome_t *outcomes,
    size_t n, size_t nevents, knock_str_t *statuses)
{
    size_t          i, e;
    unsigned char  *p, status;

    statuses->len = nevents;
    statuses->data = knock_arena_alloc(arena, nevents);

    if (statuses->data == NULL) {
        return KNOCK_ERROR;
    }

    memset(statuses->data, KNOCK_STATUS_PROCESSED, nevents);

    for (i = 0; i < n; i++) {
        for (e = 0; e < outcomes[i].statuses.len; e++) {
            p = &statuses->data[outcomes[i].events[e]];
            status = outcomes[i].statuses.data[e];

            if (status == KNOCK_STATUS_LARGE) {
                *p = status;
            }
        }
    }

    return KNOCK_OK;
}
