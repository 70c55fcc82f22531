
#include "knock_unit.h"
#include "knock_buf.h"
#include "knock_json_merge.h"
#include "knock_limits.h"
#include "knock_map.h"


#define KNOCK_UNIT_SCRATCH  (16 * 1024)


/* one op's setting of a field */

typedef struct knock_setting_s  knock_setting_t;

struct knock_setting_s {
    knock_field_t    *field;
    unsigned char     verdict;
    knock_setting_t  *next;
};


/* the value of one field of one entity, as the units of a call go by */

typedef struct knock_value_s  knock_value_t;

struct knock_value_s {
    knock_str_t          text;
    const knock_need_t  *used;      /* of the last unit that merges into it */
    knock_setting_t     *first;     /* what that unit sets, in order */
    knock_setting_t    **last;
    knock_value_t       *next;      /* of that unit */
};


/* the values of one unit, in order of first appearance */

typedef struct {
    knock_arena_t        *arena;
    knock_arena_t        *scratch;
    knock_map_t          *values;       /* those of the call */
    const knock_unit_t   *unit;
    const knock_need_t   *need;

    knock_need_t         *used;         /* what the merge is made from */
    knock_value_t        *first;
    knock_value_t       **last;
    size_t                nops;
} knock_fold_t;


static int knock_unit_sizes(knock_arena_t *arena, const knock_unit_t *unit,
    char *plan);
static size_t knock_unit_length(const knock_field_t *field);
static int knock_unit_field_key(knock_arena_t *arena, const knock_op_t *op,
    const knock_field_t *field, knock_str_t *key);
static int knock_fold_bases(knock_fold_t *fold);
static int knock_fold_base(knock_fold_t *fold, const knock_op_t *op,
    const knock_field_t *field);
static int knock_fold_settings(knock_fold_t *fold);
static int knock_fold_setting(knock_fold_t *fold, const knock_op_t *op,
    knock_field_t *field, unsigned char verdict);
static int knock_fold_value(knock_fold_t *fold, knock_value_t *value);
static int knock_fold_parse(knock_arena_t *arena, const knock_str_t *text,
    const knock_json_t **object);
static int knock_fold_length(knock_fold_t *fold, knock_field_t *field,
    size_t len);


int
knock_unit_plan(knock_arena_t *arena, const knock_unit_t *unit, char *plan)
{
    size_t                     e, i, j, nops;
    knock_op_t                *op;
    knock_map_t               *set;
    knock_str_t                key;
    knock_field_t             *field;
    const knock_unit_event_t  *event;

    *plan = '0';
    nops = 0;

    for (e = 0; e < unit->nevents; e++) {
        nops += unit->events[e].nops;
    }

    if (nops == 0) {
        return KNOCK_OK;
    }

    if (knock_unit_sizes(arena, unit, plan) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (*plan == '0' || nops < 2) {
        return KNOCK_OK;
    }

    set = knock_map_create(arena, 64);
    if (set == NULL) {
        return KNOCK_ERROR;
    }

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];

            for (j = 0; j < op->upsert->nfields; j++) {
                field = &op->upsert->fields[j];

                if (knock_unit_field_key(arena, op, field, &key) != KNOCK_OK) {
                    return KNOCK_ERROR;
                }

                if (field->object && knock_map_get(set, &key)) {
                    *plan = '2';
                    return KNOCK_OK;
                }

                if (knock_map_set(set, &key, field) != KNOCK_OK) {
                    return KNOCK_ERROR;
                }
            }
        }
    }

    return KNOCK_OK;
}


/*
 * Gives each op the bytes that the whole unit brings to its entity: many small
 * ops can make it as large as a single one can.
 */

static int
knock_unit_sizes(knock_arena_t *arena, const knock_unit_t *unit, char *plan)
{
    size_t                     e, i, j, n;
    size_t                    *bytes;
    knock_op_t                *op;
    knock_field_t             *field;
    const knock_unit_event_t  *event;

    n = 0;

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        for (i = 0; i < event->nops; i++) {
            if (event->ops[i].entity >= n) {
                n = event->ops[i].entity + 1;
            }
        }
    }

    bytes = knock_arena_calloc(arena, n, sizeof(size_t));
    if (bytes == NULL) {
        return KNOCK_ERROR;
    }

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];

            for (j = 0; j < op->upsert->nfields; j++) {
                field = &op->upsert->fields[j];
                bytes[op->entity] += field->name.len
                                     + knock_unit_length(field);

                if (field->object) {
                    *plan = '1';
                }
            }

            if (bytes[op->entity] >= KNOCK_CHECK_BYTES) {
                *plan = '1';
            }
        }
    }

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        for (i = 0; i < event->nops; i++) {
            event->ops[i].bytes = bytes[event->ops[i].entity];
        }
    }

    return KNOCK_OK;
}


/* of a value, also where only its length is left */

static size_t
knock_unit_length(const knock_field_t *field)
{
    size_t  i, n;

    if (field->object == NULL || field->json.data[0] == '{') {
        return field->json.len;
    }

    for (n = 0, i = 0; i < field->json.len; i++) {
        n = n * 10 + (field->json.data[i] - '0');
    }

    return n;
}


int
knock_unit_expect(knock_arena_t *arena, const knock_unit_t *unit,
    knock_str_t *statuses, uint64_t *runs)
{
    size_t                     e, i;
    const knock_unit_event_t  *event;

    statuses->len = unit->nevents;
    statuses->data = knock_arena_alloc(arena, unit->nevents);

    if (statuses->data == NULL) {
        return KNOCK_ERROR;
    }

    *runs = 0;

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        statuses->data[e] = (unsigned char) event->status;

        for (i = 0; i < event->nactions; i++) {
            *runs += event->actions[i].nenqueues;
        }
    }

    return KNOCK_OK;
}


int
knock_unit_fold(knock_arena_t *arena, knock_unit_t *unit,
    const knock_need_t *need, knock_map_t *values)
{
    int             rc;
    knock_fold_t    fold;
    knock_value_t  *value;

    memset(&fold, 0, sizeof(knock_fold_t));

    fold.arena = arena;
    fold.values = values;
    fold.unit = unit;
    fold.need = need;
    fold.last = &fold.first;

    fold.used = knock_arena_calloc(arena, 1, sizeof(knock_need_t));
    if (fold.used == NULL) {
        return KNOCK_ERROR;
    }

    fold.used->verdicts = need->verdicts;
    fold.used->bases = knock_arena_calloc(arena, need->nbases,
                                          sizeof(knock_str_t));

    if (fold.used->bases == NULL || knock_fold_bases(&fold) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (fold.nops != need->verdicts.len || fold.used->nbases != need->nbases) {
        return KNOCK_OK;
    }

    if (knock_fold_settings(&fold) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    fold.scratch = knock_arena_create(KNOCK_UNIT_SCRATCH);

    rc = fold.scratch ? KNOCK_OK : KNOCK_ERROR;

    for (value = fold.first; value && rc == KNOCK_OK; value = value->next) {
        rc = knock_fold_value(&fold, value);
    }

    knock_arena_destroy(fold.scratch);

    if (rc == KNOCK_OK) {
        unit->need = fold.used;
    }

    return rc;
}


/* finds the values that the unit has objects for, and counts its ops */

static int
knock_fold_bases(knock_fold_t *fold)
{
    size_t                     e, i, j;
    knock_op_t                *op;
    knock_field_t             *field;
    const knock_unit_event_t  *event;

    for (e = 0; e < fold->unit->nevents; e++) {
        event = &fold->unit->events[e];
        fold->nops += event->nops;

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];

            for (j = 0; j < op->upsert->nfields; j++) {
                field = &op->upsert->fields[j];

                if (field->object
                    && knock_fold_base(fold, op, field) != KNOCK_OK)
                {
                    return KNOCK_ERROR;
                }
            }
        }
    }

    return KNOCK_OK;
}


/*
 * What an earlier unit of the call makes of a value is the base of this one,
 * or requests for one user that come at a time would go round one by one.
 */

static int
knock_fold_base(knock_fold_t *fold, const knock_op_t *op,
    const knock_field_t *field)
{
    size_t          n;
    knock_str_t     key;
    knock_value_t  *value;

    if (knock_unit_field_key(fold->arena, op, field, &key) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    value = knock_map_get(fold->values, &key);

    if (value && value->used == fold->used) {
        return KNOCK_OK;
    }

    n = fold->used->nbases++;

    if (value == NULL) {
        value = knock_arena_calloc(fold->arena, 1, sizeof(knock_value_t));

        if (value == NULL
            || knock_map_set(fold->values, &key, value) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (n < fold->need->nbases) {
            value->text = fold->need->bases[n];
        }
    }

    if (n < fold->need->nbases) {
        fold->used->bases[n] = value->text;
    }

    value->used = fold->used;
    value->first = NULL;
    value->last = &value->first;
    value->next = NULL;

    *fold->last = value;
    fold->last = &value->next;

    return KNOCK_OK;
}


static int
knock_fold_settings(knock_fold_t *fold)
{
    size_t                     e, i, j, n;
    unsigned char              verdict;
    knock_op_t                *op;
    const knock_unit_event_t  *event;

    n = 0;

    for (e = 0; e < fold->unit->nevents; e++) {
        event = &fold->unit->events[e];

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];
            verdict = fold->need->verdicts.data[n++];

            if (verdict == KNOCK_VERDICT_NONE) {
                continue;
            }

            for (j = 0; j < op->upsert->nfields; j++) {
                if (knock_fold_setting(fold, op, &op->upsert->fields[j],
                                       verdict)
                    != KNOCK_OK)
                {
                    return KNOCK_ERROR;
                }
            }
        }
    }

    return KNOCK_OK;
}


static int
knock_fold_setting(knock_fold_t *fold, const knock_op_t *op,
    knock_field_t *field, unsigned char verdict)
{
    knock_str_t       key;
    knock_value_t    *value;
    knock_setting_t  *setting;

    if (knock_unit_field_key(fold->arena, op, field, &key) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    value = knock_map_get(fold->values, &key);

    if (value == NULL) {
        return KNOCK_OK;
    }

    if (value->used != fold->used) {

        if (verdict == KNOCK_VERDICT_APPLY) {
            value->text = field->json;
        }

        return KNOCK_OK;
    }

    setting = knock_arena_alloc(fold->arena, sizeof(knock_setting_t));
    if (setting == NULL) {
        return KNOCK_ERROR;
    }

    setting->field = field;
    setting->verdict = verdict;
    setting->next = NULL;

    *value->last = setting;
    value->last = &setting->next;

    return KNOCK_OK;
}


/*
 * Of the objects that one value takes on only the last one is written; of the
 * others, and of those that are too large, Redis wants to know the length.
 * An object that is too large is merged all the same, or it would be judged
 * by another length the next time; what follows goes on from the value before
 * it.
 */

static int
knock_fold_value(knock_fold_t *fold, knock_value_t *value)
{
    size_t               len;
    knock_str_t          text;
    knock_field_t       *field, *last;
    knock_merge_t       *merge;
    knock_setting_t     *setting;
    const knock_json_t  *object;

    last = NULL;
    text = value->text;
    merge = NULL;

    knock_arena_reset(fold->scratch);

    if (knock_fold_parse(fold->scratch, &text, &object) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (object) {
        merge = knock_merge_create(fold->scratch, object);
        if (merge == NULL) {
            return KNOCK_ERROR;
        }
    }

    for (setting = value->first; setting; setting = setting->next) {
        field = setting->field;

        if (setting->verdict == KNOCK_VERDICT_LARGE) {
            len = field->json.len;

            if (field->object && merge
                && knock_merge_measure(merge, field->object, &len) != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            if (knock_fold_length(fold, field, len) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

            continue;
        }

        len = merge ? knock_merge_len(merge) : text.len;

        if (last && knock_fold_length(fold, last, len) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        last = field;

        if (field->object && merge) {

            if (knock_merge_add(merge, field->object) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

            continue;
        }

        text = field->json;
        merge = NULL;

        if (field->object) {
            merge = knock_merge_create(fold->scratch, field->object);
            if (merge == NULL) {
                return KNOCK_ERROR;
            }
        }
    }

    if (last == NULL) {
        return KNOCK_OK;
    }

    if (merge && knock_merge_text(merge, fold->arena, &text) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    last->json = text;
    value->text = text;

    return KNOCK_OK;
}


/* what is stored may be anything; only a whole JSON object is merged into */

static int
knock_fold_parse(knock_arena_t *arena, const knock_str_t *text,
    const knock_json_t **object)
{
    knock_json_t   *root;
    knock_error_t   err;

    *object = NULL;

    if (text->len == 0 || text->data[0] != '{') {
        return KNOCK_OK;
    }

    if (knock_json_parse(arena, text, KNOCK_MAX_STORED_DEPTH, &root, &err)
        != KNOCK_OK)
    {
        return err.code == KNOCK_E_INTERNAL ? KNOCK_ERROR : KNOCK_OK;
    }

    *object = root;

    return KNOCK_OK;
}


/* puts the length of an object in its place; a scalar stays, it is short */

static int
knock_fold_length(knock_fold_t *fold, knock_field_t *field, size_t len)
{
    knock_buf_t  buf;

    if (field->object == NULL) {
        return KNOCK_OK;
    }

    knock_buf_init(&buf, fold->arena, 20);
    knock_buf_add_uint(&buf, len);

    return knock_buf_str(&buf, &field->json);
}


static int
knock_unit_field_key(knock_arena_t *arena, const knock_op_t *op,
    const knock_field_t *field, knock_str_t *key)
{
    key->len = sizeof(size_t) + field->name.len;
    key->data = knock_arena_alloc(arena, key->len);

    if (key->data == NULL) {
        return KNOCK_ERROR;
    }

    memcpy(key->data, &op->entity, sizeof(size_t));

    if (field->name.len) {
        memcpy(key->data + sizeof(size_t), field->name.data, field->name.len);
    }

    return KNOCK_OK;
}
