
#include "knock_json.h"
#include "knock_map.h"


/* up to this many members are looked up by a loop, more by a map */

#define KNOCK_MERGE_LOOP  16


typedef struct {
    knock_str_t          name;
    const knock_json_t  *key;
    const knock_json_t  *base;      /* NULL: base has no such member */
    const knock_json_t  *over;      /* NULL: over has no such member */
} knock_merge_member_t;


typedef struct {
    knock_arena_t         *arena;
    knock_merge_member_t  *members; /* each name once, in order */
    size_t                 n;
    knock_map_t           *map;     /* NULL: there are few */
} knock_merge_t;


static int knock_merge_object(knock_buf_t *buf, const knock_json_t *base,
    const knock_json_t *over);
static int knock_merge_init(knock_merge_t *merge, knock_arena_t *arena,
    size_t n);
static knock_merge_member_t *knock_merge_member(knock_merge_t *merge,
    const knock_json_t *key);


int
knock_json_merge(knock_arena_t *arena, const knock_json_t *base,
    const knock_json_t *over, knock_str_t *merged)
{
    knock_buf_t  buf;

    /* the result is never longer than both texts, so the buffer won't grow */

    knock_buf_init(&buf, arena, (size_t) base->len + over->len);

    if (knock_merge_object(&buf, base, over) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_buf_str(&buf, merged);
}


/* recursion goes no deeper than the parser has let either text nest */

static int
knock_merge_object(knock_buf_t *buf, const knock_json_t *base,
    const knock_json_t *over)
{
    size_t                 i;
    knock_merge_t          merge;
    knock_merge_member_t  *m;
    const knock_json_t    *key, *value;

    if (knock_merge_init(&merge, buf->arena,
                         (size_t) base->count + over->count)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    key = base + 1;

    for (i = 0; i < base->count; i++) {
        m = knock_merge_member(&merge, key);
        if (m == NULL) {
            return KNOCK_ERROR;
        }

        m->base = key + 1;
        key = knock_json_next(key + 1);
    }

    key = over + 1;

    for (i = 0; i < over->count; i++) {
        m = knock_merge_member(&merge, key);
        if (m == NULL) {
            return KNOCK_ERROR;
        }

        m->over = key + 1;
        key = knock_json_next(key + 1);
    }

    knock_buf_add_char(buf, '{');

    for (i = 0; i < merge.n; i++) {
        m = &merge.members[i];

        if (i != 0) {
            knock_buf_add_char(buf, ',');
        }

        knock_buf_add(buf, m->key->data, m->key->len);
        knock_buf_add_char(buf, ':');

        if (m->base != NULL && m->base->type == KNOCK_JSON_OBJECT
            && m->over != NULL && m->over->type == KNOCK_JSON_OBJECT)
        {
            if (knock_merge_object(buf, m->base, m->over) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

            continue;
        }

        /* a name stands here because one of the two has it */

        value = (m->over != NULL) ? m->over : m->base;

        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        knock_buf_add(buf, value->data, value->len);
    }

    knock_buf_add_char(buf, '}');

    return KNOCK_OK;
}


static int
knock_merge_init(knock_merge_t *merge, knock_arena_t *arena, size_t n)
{
    merge->arena = arena;
    merge->n = 0;
    merge->map = NULL;

    merge->members = knock_arena_calloc(arena, n,
                                        sizeof(knock_merge_member_t));
    if (merge->members == NULL) {
        return KNOCK_ERROR;
    }

    if (n > KNOCK_MERGE_LOOP) {
        merge->map = knock_map_create(arena, n);
        if (merge->map == NULL) {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


/* the member of the key's name, a new one at the end if there is none */

static knock_merge_member_t *
knock_merge_member(knock_merge_t *merge, const knock_json_t *key)
{
    size_t                 i;
    knock_str_t            name;
    knock_merge_member_t  *m;

    if (knock_json_string(merge->arena, key, &name) != KNOCK_OK) {
        return NULL;
    }

    if (merge->map != NULL) {
        m = knock_map_get(merge->map, &name);
        if (m != NULL) {
            return m;
        }

    } else {
        for (i = 0; i < merge->n; i++) {
            if (knock_str_eq(&merge->members[i].name, &name)) {
                return &merge->members[i];
            }
        }
    }

    m = &merge->members[merge->n++];

    m->name = name;
    m->key = key;

    if (merge->map != NULL
        && knock_map_set(merge->map, &m->name, m) != KNOCK_OK)
    {
        return NULL;
    }

    return m;
}
