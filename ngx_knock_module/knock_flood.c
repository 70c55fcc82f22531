
#include "knock_flood.h"


struct knock_flood_string_s {
    knock_flood_string_t  *next;
    knock_str_t            str;
    uint32_t               hash;
};


static int knock_flood_object(knock_flood_t *flood, const knock_json_t *object);
static int knock_flood_string(knock_flood_t *flood, const knock_str_t *str);
static uint32_t knock_flood_hash(const knock_str_t *str);


void
knock_flood_init(knock_flood_t *flood, knock_arena_t *arena)
{
    memset(flood, 0, sizeof(knock_flood_t));

    flood->arena = arena;
}


int
knock_flood_event(knock_flood_t *flood, const knock_event_t *event,
    knock_error_t *err)
{
    int                  rc;
    const knock_json_t  *v, *end;

    flood->seen += event->root->span;

    if (flood->seen <= KNOCK_FLOOD_FREE) {
        return KNOCK_OK;
    }

    if (flood->chains == NULL) {
        flood->chains = knock_arena_calloc(flood->arena, KNOCK_FLOOD_CHAINS,
                                           sizeof(knock_flood_string_t *));
        if (flood->chains == NULL) {
            return knock_error_memory(err);
        }
    }

    end = knock_json_next(event->root);

    for (v = event->root; v < end; v++) {

        if (v->type != KNOCK_JSON_OBJECT
            || (v != event->traits && knock_json_get(v, "id") == NULL))
        {
            continue;
        }

        rc = knock_flood_object(flood, v);

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                                   "names or values of fields were chosen to "
                                   "collide in a hash table of Redis: send "
                                   "them in smaller batches if they were not");
        }
    }

    return KNOCK_OK;
}


static int
knock_flood_object(knock_flood_t *flood, const knock_json_t *object)
{
    int                  rc;
    size_t               n;
    knock_str_t          str;
    const knock_json_t  *key, *value;

    key = knock_json_first(object);

    for (n = object->count; n; n--, key = knock_json_next(value)) {

        value = knock_json_next(key);

        if (knock_json_string(flood->arena, key, &str) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        rc = knock_flood_string(flood, &str);

        if (rc == KNOCK_OK) {
            str = knock_json_text(value);
            rc = knock_flood_string(flood, &str);
        }

        if (rc != KNOCK_OK) {
            return rc;
        }
    }

    return KNOCK_OK;
}


static int
knock_flood_string(knock_flood_t *flood, const knock_str_t *str)
{
    size_t                  n;
    uint32_t                hash;
    knock_flood_string_t  **chain, *s;

    if (str->len > KNOCK_FLOOD_LONGEST) {
        return KNOCK_OK;
    }

    hash = knock_flood_hash(str);
    chain = &flood->chains[hash % KNOCK_FLOOD_CHAINS];

    for (n = 0, s = *chain; s; s = s->next, n++) {
        if (s->hash == hash && knock_str_eq(&s->str, str)) {
            return KNOCK_OK;
        }
    }

    if (n >= KNOCK_FLOOD_CHAIN + 4 * (flood->n / KNOCK_FLOOD_CHAINS)) {
        return KNOCK_DECLINED;
    }

    s = knock_arena_alloc(flood->arena, sizeof(knock_flood_string_t));
    if (s == NULL) {
        return KNOCK_ERROR;
    }

    s->str = *str;
    s->hash = hash;
    s->next = *chain;

    *chain = s;
    flood->n++;

    return KNOCK_OK;
}


/* as Lua in Redis 7 and in Valkey does it: all bytes, from the last one on */

static uint32_t
knock_flood_hash(const knock_str_t *str)
{
    size_t    i;
    uint32_t  h;

    h = (uint32_t) str->len;

    for (i = str->len; i; i--) {
        h ^= (h << 5) + (h >> 2) + str->data[i - 1];
    }

    return h;
}
