
#include "knock_entity.h"
#include "knock_limits.h"
#include "knock_map.h"


/* up to this many members a scan of the names costs less than a map */

#define KNOCK_ENTITY_FEW  16


/* fields under construction; the map is used beyond KNOCK_ENTITY_FEW */

typedef struct {
    knock_upsert_t  *upsert;
    knock_map_t     *map;
} knock_entity_fields_t;


static int knock_entity_quote(knock_arena_t *arena, const knock_str_t *str,
    knock_str_t *json);
static int knock_entity_start(knock_arena_t *arena, knock_upsert_t *upsert,
    size_t n, knock_entity_fields_t *fields);
static int knock_entity_set(knock_entity_fields_t *fields,
    const knock_str_t *name, const knock_json_t *value);
static knock_field_t *knock_entity_find(const knock_entity_fields_t *fields,
    const knock_str_t *name);
static int knock_entity_reserved(const knock_str_t *name);
static int knock_entity_full_name(knock_arena_t *arena,
    const knock_json_t *traits, knock_upsert_t *upsert);
static int knock_entity_is_text(const knock_json_t *v);


int
knock_entity_identify(knock_arena_t *arena, const knock_event_t *event,
    knock_upsert_t *upsert)
{
    int                     has_phone_number, has_created_at;
    size_t                  n;
    knock_str_t             name;
    const knock_json_t     *traits, *key, *value;
    knock_entity_fields_t   fields;

    knock_str_set(&upsert->collection, "$users");
    upsert->id = event->user_id;
    upsert->fields = NULL;
    upsert->nfields = 0;

    traits = event->traits;

    if (traits == NULL) {
        return KNOCK_OK;
    }

    /* one more for the name made of firstName and lastName */

    if (knock_entity_start(arena, upsert, (size_t) traits->count + 1, &fields)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    has_phone_number = (knock_json_get(traits, "phone_number") != NULL);
    has_created_at = (knock_json_get(traits, "created_at") != NULL);

    key = knock_json_first(traits);

    for (n = traits->count; n; n--, key = knock_json_next(value)) {

        value = knock_json_next(key);

        if (knock_json_string(arena, key, &name) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (knock_str_is(&name, "phone")) {
            if (has_phone_number) {
                continue;
            }

            knock_str_set(&name, "phone_number");

        } else if (knock_str_is(&name, "createdAt")) {
            if (has_created_at) {
                continue;
            }

            knock_str_set(&name, "created_at");
        }

        if (knock_entity_set(&fields, &name, value) != KNOCK_OK) {
            return KNOCK_ERROR;
        }
    }

    return knock_entity_full_name(arena, traits, upsert);
}


int
knock_entity_inline(knock_arena_t *arena, const knock_json_t *object,
    const char *collection, knock_upsert_t *upsert, const char **reason)
{
    int                  rc;
    const knock_json_t  *v;

    v = knock_json_get(object, "id");
    rc = v ? knock_event_id(arena, v, &upsert->id) : KNOCK_DECLINED;

    if (rc != KNOCK_OK) {
        *reason = "invalid_id";
        return rc;
    }

    upsert->collection.len = strlen(collection);
    upsert->collection.data = (unsigned char *) collection;

    v = knock_json_get(object, "collection");

    if (v && v->type != KNOCK_JSON_NULL) {

        /* a collection is a string, otherwise the rules are those of an id */

        rc = (v->type == KNOCK_JSON_STRING)
             ? knock_event_id(arena, v, &upsert->collection) : KNOCK_DECLINED;

        if (rc == KNOCK_ERROR) {
            return KNOCK_ERROR;
        }

        if (rc == KNOCK_DECLINED
            || upsert->collection.len > KNOCK_MAX_COLLECTION)
        {
            *reason = "invalid_collection";
            return KNOCK_DECLINED;
        }
    }

    return knock_entity_properties(arena, object, upsert);
}


int
knock_entity_properties(knock_arena_t *arena, const knock_json_t *object,
    knock_upsert_t *upsert)
{
    size_t                  n;
    knock_str_t             name;
    const knock_json_t     *key, *value;
    knock_entity_fields_t   fields;

    if (knock_entity_start(arena, upsert, object->count, &fields)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    key = knock_json_first(object);

    for (n = object->count; n; n--, key = knock_json_next(value)) {

        value = knock_json_next(key);

        if (knock_json_string(arena, key, &name) != KNOCK_OK
            || knock_entity_set(&fields, &name, value) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


int
knock_entity_stored(knock_arena_t *arena, const knock_upsert_t *upsert,
    const knock_str_t *updated_at, knock_upsert_t **stored)
{
    size_t           n;
    knock_field_t   *fields;
    knock_upsert_t  *whole;

    whole = knock_arena_alloc(arena, sizeof(knock_upsert_t));
    fields = knock_arena_calloc(arena, upsert->nfields + 3,
                                sizeof(knock_field_t));

    if (whole == NULL || fields == NULL) {
        return KNOCK_ERROR;
    }

    n = 0;

    knock_str_set(&fields[n].name, "id");

    if (knock_entity_quote(arena, &upsert->id, &fields[n++].json)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (!knock_str_is(&upsert->collection, "$users")) {
        knock_str_set(&fields[n].name, "collection");

        if (knock_entity_quote(arena, &upsert->collection, &fields[n++].json)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    knock_str_set(&fields[n].name, "updated_at");
    fields[n++].json = *updated_at;

    if (upsert->nfields) {
        memcpy(&fields[n], upsert->fields,
               upsert->nfields * sizeof(knock_field_t));
    }

    *whole = *upsert;
    whole->fields = fields;
    whole->nfields += n;

    *stored = whole;

    return KNOCK_OK;
}


static int
knock_entity_quote(knock_arena_t *arena, const knock_str_t *str,
    knock_str_t *json)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, str->len + 2);
    knock_buf_add_json(&buf, str);

    return knock_buf_str(&buf, json);
}


/* room for n fields */

static int
knock_entity_start(knock_arena_t *arena, knock_upsert_t *upsert, size_t n,
    knock_entity_fields_t *fields)
{
    upsert->nfields = 0;
    upsert->fields = knock_arena_alloc(arena, n * sizeof(knock_field_t));

    if (upsert->fields == NULL) {
        return KNOCK_ERROR;
    }

    fields->upsert = upsert;
    fields->map = NULL;

    if (n > KNOCK_ENTITY_FEW) {
        fields->map = knock_map_create(arena, n);

        if (fields->map == NULL) {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static int
knock_entity_set(knock_entity_fields_t *fields, const knock_str_t *name,
    const knock_json_t *value)
{
    knock_field_t  *field;

    if (knock_entity_reserved(name)) {
        return KNOCK_OK;
    }

    field = knock_entity_find(fields, name);

    if (field == NULL) {
        field = &fields->upsert->fields[fields->upsert->nfields++];
        field->name = *name;

        if (fields->map
            && knock_map_set(fields->map, name, field) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    field->json = knock_json_text(value);
    field->object = (value->type == KNOCK_JSON_OBJECT) ? value : NULL;

    return KNOCK_OK;
}


static knock_field_t *
knock_entity_find(const knock_entity_fields_t *fields,
    const knock_str_t *name)
{
    size_t           i;
    knock_upsert_t  *upsert;

    if (fields->map) {
        return knock_map_get(fields->map, name);
    }

    upsert = fields->upsert;

    for (i = 0; i < upsert->nfields; i++) {
        if (knock_str_eq(&upsert->fields[i].name, name)) {
            return &upsert->fields[i];
        }
    }

    return NULL;
}


/* what says who an entity is, or is kept by the store */

static int
knock_entity_reserved(const knock_str_t *name)
{
    return knock_str_is(name, "id")
           || knock_str_is(name, "collection")
           || knock_str_is(name, "updated_at");
}


/*
 * The texts of two JSON strings, joined as they were written: escapes end
 * within their string, so that the text in between needs no decoding.
 */

static int
knock_entity_full_name(knock_arena_t *arena, const knock_json_t *traits,
    knock_upsert_t *upsert)
{
    unsigned char       *p;
    knock_field_t       *field;
    const knock_json_t  *first, *last;

    if (knock_json_get(traits, "name")) {
        return KNOCK_OK;
    }

    first = knock_json_get(traits, "firstName");
    last = knock_json_get(traits, "lastName");

    if (!knock_entity_is_text(first) || !knock_entity_is_text(last)) {
        return KNOCK_OK;
    }

    field = &upsert->fields[upsert->nfields++];

    knock_str_set(&field->name, "name");
    field->object = NULL;

    /* less a quote of each, and a space */

    field->json.len = (size_t) first->len + last->len - 1;
    field->json.data = knock_arena_alloc(arena, field->json.len);

    if (field->json.data == NULL) {
        return KNOCK_ERROR;
    }

    p = field->json.data;

    memcpy(p, first->data, first->len - 1);
    p += first->len - 1;

    *p++ = ' ';

    memcpy(p, last->data + 1, last->len - 1);

    return KNOCK_OK;
}


static int
knock_entity_is_text(const knock_json_t *v)
{
    return v && v->type == KNOCK_JSON_STRING && v->len > 2;
}
