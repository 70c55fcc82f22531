
#include "knock_unit.h"
#include "knock_buf.h"
#include "knock_json_merge.h"
#include "knock_limits.h"


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
    int                  known;
    const knock_need_t  *used;      /* of the last unit that merges into it */
    knock_setting_t     *first;     /* what that unit sets, in order */
    knock_setting_t    **last;
    knock_value_t       *next;      /* of that unit */
};


/* the values of one unit, in order of first appearance */

typedef struct {
    knock_arena_t      *arena;
    knock_arena_t      *scratch;
    knock_map_t        *values;
    const knock_map_t  *sent;
    knock_unit_t       *unit;

    knock_need_t       *used;       /* what the merge is made from */
    knock_value_t      *first;
    knock_value_t     **last;
    size_t              nobjects;
    size_t              unknown;
} knock_fold_t;


/* the value that a setting is laid on */

typedef struct {
    knock_str_t         text;
    knock_merge_t      *merge;      /* of an object; NULL: the text is it */
} knock_folded_t;


static size_t knock_fold_objects(const knock_unit_t *unit);
static int knock_fold_bases(knock_fold_t *fold);
static int knock_fold_base(knock_fold_t *fold, const knock_op_t *op,
    const knock_field_t *field);
static knock_value_t *knock_fold_find(knock_fold_t *fold,
    const knock_op_t *op, const knock_field_t *field);
static int knock_fold_verdicts(knock_fold_t *fold);
static int knock_fold_settings(knock_fold_t *fold);
static int knock_fold_setting(knock_fold_t *fold, const knock_op_t *op,
    knock_field_t *field, unsigned char verdict);
static int knock_fold_value(knock_fold_t *fold, knock_value_t *value);
static int knock_fold_lay(knock_fold_t *fold, knock_folded_t *folded,
    const knock_field_t *field);
static int knock_fold_fill(knock_fold_t *fold, knock_folded_t *folded,
    const knock_field_t *field);
static size_t knock_fold_len(const knock_folded_t *folded);
static int knock_fold_parse(knock_arena_t *arena, const knock_str_t *text,
    const knock_json_t **object);
static int knock_fold_length(knock_fold_t *fold, knock_field_t *field,
    size_t len);
static int knock_fold_key(knock_arena_t *arena, const knock_op_t *op,
    const knock_field_t *field, knock_str_t *key);


int
knock_unit_fold(knock_arena_t *arena, knock_unit_t *unit, knock_map_t *values,
    const knock_map_t *sent)
{
    int             rc;
    size_t          i;
    knock_fold_t    fold;
    knock_value_t  *value;

    memset(&fold, 0, sizeof(knock_fold_t));

    fold.arena = arena;
    fold.values = values;
    fold.sent = sent;
    fold.unit = unit;
    fold.last = &fold.first;
    fold.nobjects = knock_fold_objects(unit);

    unit->used = NULL;

    if (fold.nobjects == 0) {
        return knock_fold_settings(&fold);
    }

    if (unit->need && unit->need->verdicts.len != unit->nops) {
        unit->need = NULL;
    }

    fold.used = knock_arena_calloc(arena, 1, sizeof(knock_need_t));
    if (fold.used == NULL) {
        return KNOCK_ERROR;
    }

    fold.used->bases = knock_arena_calloc(arena, fold.nobjects,
                                          sizeof(knock_str_t));

    if (fold.used->bases == NULL || knock_fold_bases(&fold) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    unit->chained = fold.used->nbases < fold.nobjects;

    if (fold.unknown
        || (unit->need && fold.used->nbases != unit->need->nbases))
    {
        unit->need = NULL;
        return KNOCK_OK;
    }

    if (knock_fold_verdicts(&fold) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    for (value = fold.first, i = 0; value; value = value->next, i++) {
        value->text = fold.used->bases[i];
        value->known = 1;
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

    unit->used = fold.used;

    return rc;
}


size_t
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


static size_t
knock_fold_objects(const knock_unit_t *unit)
{
    size_t                 i, j, n;
    const knock_upsert_t  *upsert;

    for (n = 0, i = 0; i < unit->nops; i++) {
        upsert = unit->ops[i].upsert;

        for (j = 0; j < upsert->nfields; j++) {
            n += upsert->fields[j].object != NULL;
        }
    }

    return n;
}


/* finds the values that the unit has objects for */

static int
knock_fold_bases(knock_fold_t *fold)
{
    size_t            i, j;
    knock_field_t    *field;
    const knock_op_t *op;

    for (i = 0; i < fold->unit->nops; i++) {
        op = &fold->unit->ops[i];

        for (j = 0; j < op->upsert->nfields; j++) {
            field = &op->upsert->fields[j];

            if (field->object
                && knock_fold_base(fold, op, field) != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }
        }
    }

    return KNOCK_OK;
}


static int
knock_fold_base(knock_fold_t *fold, const knock_op_t *op,
    const knock_field_t *field)
{
    size_t               n;
    knock_value_t       *value;
    const knock_need_t  *need;

    value = knock_fold_find(fold, op, field);
    if (value == NULL) {
        return KNOCK_ERROR;
    }

    if (value->used == fold->used) {
        return KNOCK_OK;
    }

    n = fold->used->nbases++;
    need = fold->unit->need;

    if (value->known) {
        fold->used->bases[n] = value->text;

    } else if (need && n < need->nbases) {
        fold->used->bases[n] = need->bases[n];

    } else {
        fold->unknown++;
    }

    value->used = fold->used;
    value->first = NULL;
    value->last = &value->first;
    value->next = NULL;

    *fold->last = value;
    fold->last = &value->next;

    return KNOCK_OK;
}


/*
 * What an earlier unit makes of a value is the base of this one, or requests
 * for one user that come at a time would go round one by one.  NULL: no memory.
 */

static knock_value_t *
knock_fold_find(knock_fold_t *fold, const knock_op_t *op,
    const knock_field_t *field)
{
    knock_str_t           key;
    knock_value_t        *value;
    const knock_value_t  *sent;

    if (knock_fold_key(fold->arena, op, field, &key) != KNOCK_OK) {
        return NULL;
    }

    value = knock_map_get(fold->values, &key);
    if (value) {
        return value;
    }

    value = knock_arena_calloc(fold->arena, 1, sizeof(knock_value_t));

    if (value == NULL || knock_map_set(fold->values, &key, value) != KNOCK_OK)
    {
        return NULL;
    }

    sent = fold->sent ? knock_map_get(fold->sent, &key) : NULL;

    /* it may go before this call is sent */

    if (sent && sent->known) {
        if (knock_arena_dup(fold->arena, &sent->text, &value->text)
            != KNOCK_OK)
        {
            return NULL;
        }

        value->known = 1;
    }

    return value;
}


/* as they were told, unless units before this one have made a user newer */

static int
knock_fold_verdicts(knock_fold_t *fold)
{
    size_t                i;
    knock_str_t          *verdicts;
    unsigned char        *verdict;
    knock_value_t        *value;
    knock_unit_t         *unit;
    const knock_field_t  *field;

    unit = fold->unit;
    verdicts = &fold->used->verdicts;

    verdicts->len = unit->nops;
    verdicts->data = knock_arena_alloc(fold->arena, unit->nops);

    if (verdicts->data == NULL) {
        return KNOCK_ERROR;
    }

    memset(verdicts->data, KNOCK_VERDICT_APPLY, unit->nops);

    if (unit->need) {
        memcpy(verdicts->data, unit->need->verdicts.data, unit->nops);
    }

    for (i = 0; i < unit->nops; i++) {
        field = unit->ops[i].upsert->fields;
        verdict = &verdicts->data[i];

        if (!knock_str_is(&field->name, KNOCK_ORDERED)
            || *verdict == KNOCK_VERDICT_LARGE)
        {
            continue;
        }

        value = knock_fold_find(fold, &unit->ops[i], field);
        if (value == NULL) {
            return KNOCK_ERROR;
        }

        if (value->known) {
            *verdict = memcmp(value->text.data, field->json.data,
                              field->json.len) > 0
                       ? KNOCK_VERDICT_OLDER : KNOCK_VERDICT_APPLY;
        }

        value->known |= (*verdict == KNOCK_VERDICT_APPLY);
    }

    return KNOCK_OK;
}


static int
knock_fold_settings(knock_fold_t *fold)
{
    size_t             i, j;
    unsigned char      verdict;
    const knock_op_t  *op;

    for (i = 0; i < fold->unit->nops; i++) {
        op = &fold->unit->ops[i];

        verdict = fold->used ? fold->used->verdicts.data[i]
                             : KNOCK_VERDICT_APPLY;

        for (j = 0; j < op->upsert->nfields; j++) {
            if (knock_fold_setting(fold, op, &op->upsert->fields[j], verdict)
                != KNOCK_OK)
            {
                return KNOCK_ERROR;
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

    if (knock_fold_key(fold->arena, op, field, &key) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    value = knock_map_get(fold->values, &key);

    if (value == NULL) {
        return KNOCK_OK;
    }

    if (fold->used == NULL || value->used != fold->used) {

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
    int               rc;
    size_t            len;
    knock_field_t    *field, *last;
    knock_folded_t    folded;
    knock_setting_t  *setting;

    last = NULL;

    folded.text = value->text;
    folded.merge = NULL;

    knock_arena_reset(fold->scratch);

    for (setting = value->first; setting; setting = setting->next) {
        field = setting->field;
        len = field->json.len;

        if (setting->verdict == KNOCK_VERDICT_LARGE) {

            if (knock_fold_lay(fold, &folded, NULL) != KNOCK_OK
                || (field->object && folded.merge
                    && knock_merge_measure(folded.merge, field->object, &len)
                       != KNOCK_OK)
                || knock_fold_length(fold, field, len) != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            continue;
        }

        len = knock_fold_len(&folded);

        if (last && knock_fold_length(fold, last, len) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        last = field;

        rc = setting->verdict == KNOCK_VERDICT_OLDER
             ? knock_fold_fill(fold, &folded, field)
             : knock_fold_lay(fold, &folded, field);

        if (rc != KNOCK_OK) {
            return KNOCK_ERROR;
        }
    }

    if (last == NULL) {
        return KNOCK_OK;
    }

    if (folded.merge
        && knock_merge_text(folded.merge, fold->arena, &folded.text)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    value->text = folded.text;

    /* an older object adds nothing to what is none: Redis keeps that as it is */

    if (last->object == NULL
        || (folded.text.len && folded.text.data[0] == '{'))
    {
        last->json = folded.text;
    }

    return KNOCK_OK;
}


/*
 * Lays a field's value on what there is: an object on an object merges, else
 * it takes its place.  With no field the text is only read.
 */

static int
knock_fold_lay(knock_fold_t *fold, knock_folded_t *folded,
    const knock_field_t *field)
{
    const knock_json_t  *object;

    if (folded->merge == NULL && (field == NULL || field->object)) {

        if (knock_fold_parse(fold->scratch, &folded->text, &object)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (object) {
            folded->merge = knock_merge_create(fold->scratch, object);

            if (folded->merge == NULL) {
                return KNOCK_ERROR;
            }
        }
    }

    if (field == NULL) {
        return KNOCK_OK;
    }

    if (field->object && folded->merge) {
        return knock_merge_add(folded->merge, field->object);
    }

    folded->text = field->json;
    folded->merge = NULL;

    return KNOCK_OK;
}


/* the other way round: what there is stays, and an object fills in its gaps */

static int
knock_fold_fill(knock_fold_t *fold, knock_folded_t *folded,
    const knock_field_t *field)
{
    const knock_json_t  *object;

    if (folded->merge
        && knock_merge_text(folded->merge, fold->scratch, &folded->text)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    folded->merge = NULL;

    if (folded->text.len == 0) {
        folded->text = field->json;
        return KNOCK_OK;
    }

    if (field->object == NULL) {
        return KNOCK_OK;
    }

    if (knock_fold_parse(fold->scratch, &folded->text, &object) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (object == NULL) {
        return KNOCK_OK;
    }

    folded->merge = knock_merge_create(fold->scratch, field->object);

    return folded->merge ? knock_merge_add(folded->merge, object)
                         : KNOCK_ERROR;
}


static size_t
knock_fold_len(const knock_folded_t *folded)
{
    return folded->merge ? knock_merge_len(folded->merge) : folded->text.len;
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
knock_fold_key(knock_arena_t *arena, const knock_op_t *op,
    const knock_field_t *field, knock_str_t *key)
{
    unsigned char  *p;

    key->len = sizeof(size_t) + op->key.len + field->name.len;
    key->data = knock_arena_alloc(arena, key->len);

    if (key->data == NULL) {
        return KNOCK_ERROR;
    }

    p = key->data;

    memcpy(p, &op->key.len, sizeof(size_t));
    p += sizeof(size_t);

    memcpy(p, op->key.data, op->key.len);
    p += op->key.len;

    if (field->name.len) {
        memcpy(p, field->name.data, field->name.len);
    }

    return KNOCK_OK;
}
