
#include "knock_unit.h"
#include "knock_limits.h"
#include "knock_map.h"


/* the value of one field of one entity, as the ops of a unit go by */

typedef struct {
    knock_str_t           text;
    const knock_json_t   *object;       /* NULL: it is no object */
} knock_value_t;


static int knock_unit_field_key(knock_arena_t *arena, const knock_op_t *op,
    const knock_field_t *field, knock_str_t *key);
static int knock_unit_bases(knock_arena_t *arena, const knock_unit_t *unit,
    const knock_need_t *need, knock_map_t *values, size_t *nops, size_t *n);
static int knock_unit_value(knock_arena_t *arena, const knock_str_t *text,
    knock_value_t *value);
static int knock_unit_fold_op(knock_arena_t *arena, knock_map_t *values,
    knock_op_t *op);


int
knock_unit_plan(knock_arena_t *arena, const knock_unit_t *unit, char *plan)
{
    size_t                     e, i, j, bytes, nops;
    knock_op_t                *op;
    knock_map_t               *set;
    knock_str_t                key;
    knock_field_t             *field;
    const knock_unit_event_t  *event;

    *plan = '0';
    nops = 0;

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];
        nops += event->nops;

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];
            bytes = 0;

            for (j = 0; j < op->upsert->nfields; j++) {
                field = &op->upsert->fields[j];
                bytes += field->name.len + field->json.len;

                if (field->object) {
                    *plan = '1';
                }
            }

            if (bytes >= KNOCK_CHECK_BYTES) {
                *plan = '1';
            }
        }
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


int
knock_unit_fold(knock_arena_t *arena, knock_unit_t *unit,
    const knock_need_t *need)
{
    size_t               e, i, n, nops, nbases;
    knock_map_t         *values;
    knock_unit_event_t  *event;

    values = knock_map_create(arena, need->nbases);
    if (values == NULL) {
        return KNOCK_ERROR;
    }

    if (knock_unit_bases(arena, unit, need, values, &nops, &nbases)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (nops != need->verdicts.len || nbases != need->nbases) {
        return KNOCK_OK;
    }

    n = 0;

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];

        for (i = 0; i < event->nops; i++) {
            if (need->verdicts.data[n++] == 'y'
                && knock_unit_fold_op(arena, values, &event->ops[i])
                   != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }
        }
    }

    unit->need = need;

    return KNOCK_OK;
}


/* puts the stored values in place, and counts what the unit asks for */

static int
knock_unit_bases(knock_arena_t *arena, const knock_unit_t *unit,
    const knock_need_t *need, knock_map_t *values, size_t *nops, size_t *n)
{
    size_t                     e, i, j;
    knock_op_t                *op;
    knock_str_t                key;
    knock_value_t             *value;
    knock_field_t             *field;
    const knock_unit_event_t  *event;

    *nops = 0;
    *n = 0;

    for (e = 0; e < unit->nevents; e++) {
        event = &unit->events[e];
        *nops += event->nops;

        for (i = 0; i < event->nops; i++) {
            op = &event->ops[i];

            for (j = 0; j < op->upsert->nfields; j++) {
                field = &op->upsert->fields[j];

                if (field->object == NULL) {
                    continue;
                }

                if (knock_unit_field_key(arena, op, field, &key) != KNOCK_OK) {
                    return KNOCK_ERROR;
                }

                if (knock_map_get(values, &key)) {
                    continue;
                }

                value = knock_arena_alloc(arena, sizeof(knock_value_t));

                if (value == NULL
                    || knock_map_set(values, &key, value) != KNOCK_OK)
                {
                    return KNOCK_ERROR;
                }

                if (*n < need->nbases
                    && knock_unit_value(arena, &need->bases[*n], value)
                       != KNOCK_OK)
                {
                    return KNOCK_ERROR;
                }

                (*n)++;
            }
        }
    }

    return KNOCK_OK;
}


/* what is stored may be anything; only a whole JSON object is merged into */

static int
knock_unit_value(knock_arena_t *arena, const knock_str_t *text,
    knock_value_t *value)
{
    knock_json_t   *root;
    knock_error_t   err;

    value->text = *text;
    value->object = NULL;

    if (text->len == 0 || text->data[0] != '{') {
        return KNOCK_OK;
    }

    if (knock_json_parse(arena, text, KNOCK_MAX_STORED_DEPTH, &root, &err)
        != KNOCK_OK)
    {
        return err.code == KNOCK_E_INTERNAL ? KNOCK_ERROR : KNOCK_OK;
    }

    value->object = root;

    return KNOCK_OK;
}


static int
knock_unit_fold_op(knock_arena_t *arena, knock_map_t *values, knock_op_t *op)
{
    size_t          j;
    knock_str_t     key, merged;
    knock_value_t  *value;
    knock_field_t  *field;

    for (j = 0; j < op->upsert->nfields; j++) {
        field = &op->upsert->fields[j];

        if (knock_unit_field_key(arena, op, field, &key) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        value = knock_map_get(values, &key);
        if (value == NULL) {
            continue;
        }

        if (field->object && value->object) {
            if (knock_json_merge(arena, value->object, field->object, &merged)
                != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            field->json = merged;
        }

        if (knock_unit_value(arena, &field->json, value) != KNOCK_OK) {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
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
