
/*
 * An object that something is merged into is opened: its members stand in a
 * node, each name once.  A member's value is a token, and a node besides once
 * it has been opened; it is written from the node only if that has changed, as
 * opening alone must not touch the text.  The length of a node's text is kept
 * up to date.
 */

#include "knock_json_merge.h"
#include "knock_map.h"


/* up to this many members are looked up by a loop, more by a map */

#define KNOCK_MERGE_LOOP  16


typedef struct knock_merge_node_s  knock_merge_node_t;


typedef struct {
    knock_str_t          name;
    const knock_json_t  *key;
    const knock_json_t  *value;
    knock_merge_node_t  *node;      /* NULL: has not been opened */
} knock_merge_member_t;


struct knock_merge_node_s {
    knock_merge_member_t  *members; /* in order */
    size_t                 n;
    size_t                 cap;
    size_t                 len;     /* of the text, if it is written from it */
    knock_map_t           *map;     /* name -> number from 1; NULL: few */
    unsigned               changed:1;
};


struct knock_merge_s {
    knock_arena_t         *arena;
    knock_merge_member_t   root;    /* without a name */
};


static int knock_merge_into(knock_arena_t *arena, knock_merge_member_t *m,
    const knock_json_t *over, int measure, size_t *len);
static int knock_merge_member(knock_arena_t *arena, knock_merge_node_t *node,
    const knock_merge_member_t *from, int measure, size_t *len);
static int knock_merge_open(knock_arena_t *arena, knock_merge_member_t *m);
static knock_merge_node_t *knock_merge_node(knock_arena_t *arena,
    const knock_json_t *object);
static knock_merge_member_t *knock_merge_find(const knock_merge_node_t *node,
    const knock_str_t *name);
static knock_merge_member_t *knock_merge_append(knock_arena_t *arena,
    knock_merge_node_t *node, const knock_str_t *name,
    const knock_json_t *key);
static int knock_merge_index(knock_arena_t *arena, knock_merge_node_t *node);
static size_t knock_merge_member_len(const knock_merge_member_t *m);
static void knock_merge_write(knock_buf_t *buf, const knock_merge_member_t *m);


knock_merge_t *
knock_merge_create(knock_arena_t *arena, const knock_json_t *base)
{
    knock_merge_t  *merge;

    merge = knock_arena_calloc(arena, 1, sizeof(knock_merge_t));

    if (merge != NULL) {
        merge->arena = arena;
        merge->root.value = base;
    }

    return merge;
}


int
knock_merge_add(knock_merge_t *merge, const knock_json_t *over)
{
    size_t  len;

    return knock_merge_into(merge->arena, &merge->root, over, 0, &len);
}


int
knock_merge_measure(knock_merge_t *merge, const knock_json_t *over,
    size_t *len)
{
    return knock_merge_into(merge->arena, &merge->root, over, 1, len);
}


size_t
knock_merge_len(const knock_merge_t *merge)
{
    return knock_merge_member_len(&merge->root);
}


int
knock_merge_text(const knock_merge_t *merge, knock_arena_t *arena,
    knock_str_t *text)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, knock_merge_len(merge));
    knock_merge_write(&buf, &merge->root);

    return knock_buf_str(&buf, text);
}


int
knock_json_merge(knock_arena_t *arena, const knock_json_t *base,
    const knock_json_t *over, knock_str_t *merged)
{
    knock_merge_t  *merge;

    merge = knock_merge_create(arena, base);

    if (merge == NULL || knock_merge_add(merge, over) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_merge_text(merge, arena, merged);
}


/*
 * Lays `over` on the object of a member, or with `measure` only finds the
 * length of that.  The recursion goes no deeper than the parser has let either
 * text nest.
 */

static int
knock_merge_into(knock_arena_t *arena, knock_merge_member_t *m,
    const knock_json_t *over, int measure, size_t *len)
{
    size_t               i;
    knock_merge_node_t  *from;

    if (knock_merge_open(arena, m) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    from = knock_merge_node(arena, over);
    if (from == NULL) {
        return KNOCK_ERROR;
    }

    *len = m->node->len;

    for (i = 0; i < from->n; i++) {
        if (knock_merge_member(arena, m->node, &from->members[i], measure, len)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    if (!measure) {
        m->node->len = *len;
        m->node->changed = 1;
    }

    return KNOCK_OK;
}


/* one member of what is laid on a node, whose length it changes */

static int
knock_merge_member(knock_arena_t *arena, knock_merge_node_t *node,
    const knock_merge_member_t *from, int measure, size_t *len)
{
    size_t                 before, after;
    knock_merge_member_t  *m;

    m = knock_merge_find(node, &from->name);

    if (m == NULL) {
        /* behind a comma unless it is the first, which makes "{}" longer */

        *len += from->key->len + 1 + (size_t) from->value->len;
        *len += *len > 2 + from->key->len + 1 + (size_t) from->value->len;

        if (measure) {
            return KNOCK_OK;
        }

        m = knock_merge_append(arena, node, &from->name, from->key);
        if (m == NULL) {
            return KNOCK_ERROR;
        }

        m->value = from->value;

        return KNOCK_OK;
    }

    before = knock_merge_member_len(m);

    if (m->value->type == KNOCK_JSON_OBJECT
        && from->value->type == KNOCK_JSON_OBJECT)
    {
        if (knock_merge_into(arena, m, from->value, measure, &after)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

    } else {
        after = from->value->len;

        if (!measure) {
            m->value = from->value;
            m->node = NULL;
        }
    }

    *len = *len - before + after;

    return KNOCK_OK;
}


static int
knock_merge_open(knock_arena_t *arena, knock_merge_member_t *m)
{
    if (m->node == NULL) {
        m->node = knock_merge_node(arena, m->value);
    }

    return m->node ? KNOCK_OK : KNOCK_ERROR;
}


/* the members of an object, each name once with its last value */

static knock_merge_node_t *
knock_merge_node(knock_arena_t *arena, const knock_json_t *object)
{
    size_t                 i;
    knock_str_t            name;
    knock_merge_node_t    *node;
    knock_merge_member_t  *m;
    const knock_json_t    *key;

    node = knock_arena_calloc(arena, 1, sizeof(knock_merge_node_t));
    if (node == NULL) {
        return NULL;
    }

    node->cap = object->count;
    node->members = knock_arena_alloc(arena, node->cap
                                             * sizeof(knock_merge_member_t));
    if (node->members == NULL) {
        return NULL;
    }

    if (node->cap > KNOCK_MERGE_LOOP
        && knock_merge_index(arena, node) != KNOCK_OK)
    {
        return NULL;
    }

    key = object + 1;

    for (i = 0; i < object->count; i++) {

        if (knock_json_string(arena, key, &name) != KNOCK_OK) {
            return NULL;
        }

        m = knock_merge_find(node, &name);

        if (m == NULL) {
            m = knock_merge_append(arena, node, &name, key);
            if (m == NULL) {
                return NULL;
            }
        }

        m->value = key + 1;
        key = knock_json_next(key + 1);
    }

    node->len = 2 + (node->n ? node->n - 1 : 0);

    for (i = 0; i < node->n; i++) {
        m = &node->members[i];
        node->len += m->key->len + 1 + (size_t) m->value->len;
    }

    return node;
}


static knock_merge_member_t *
knock_merge_find(const knock_merge_node_t *node, const knock_str_t *name)
{
    size_t  i;

    if (node->map != NULL) {
        i = (size_t) (uintptr_t) knock_map_get(node->map, name);
        return i ? &node->members[i - 1] : NULL;
    }

    for (i = 0; i < node->n; i++) {
        if (knock_str_eq(&node->members[i].name, name)) {
            return &node->members[i];
        }
    }

    return NULL;
}


/* a new member at the end, without a value yet */

static knock_merge_member_t *
knock_merge_append(knock_arena_t *arena, knock_merge_node_t *node,
    const knock_str_t *name, const knock_json_t *key)
{
    size_t                 cap;
    knock_merge_member_t  *m;

    if (node->n == node->cap) {
        cap = node->cap ? node->cap * 2 : 4;

        m = knock_arena_realloc(arena, node->members,
                                node->cap * sizeof(knock_merge_member_t),
                                cap * sizeof(knock_merge_member_t));
        if (m == NULL) {
            return NULL;
        }

        node->members = m;
        node->cap = cap;
    }

    m = &node->members[node->n++];

    m->name = *name;
    m->key = key;
    m->value = NULL;
    m->node = NULL;

    if (node->map == NULL && node->n > KNOCK_MERGE_LOOP) {
        return knock_merge_index(arena, node) == KNOCK_OK ? m : NULL;
    }

    if (node->map != NULL
        && knock_map_set(node->map, &m->name, (void *) (uintptr_t) node->n)
           != KNOCK_OK)
    {
        return NULL;
    }

    return m;
}


static int
knock_merge_index(knock_arena_t *arena, knock_merge_node_t *node)
{
    size_t  i;

    node->map = knock_map_create(arena, node->cap);
    if (node->map == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < node->n; i++) {
        if (knock_map_set(node->map, &node->members[i].name,
                          (void *) (uintptr_t) (i + 1))
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static size_t
knock_merge_member_len(const knock_merge_member_t *m)
{
    return m->node && m->node->changed ? m->node->len : m->value->len;
}


static void
knock_merge_write(knock_buf_t *buf, const knock_merge_member_t *m)
{
    size_t                       i;
    const knock_merge_member_t  *child;

    if (m->node == NULL || !m->node->changed) {
        knock_buf_add(buf, m->value->data, m->value->len);
        return;
    }

    knock_buf_add_char(buf, '{');

    for (i = 0; i < m->node->n; i++) {
        child = &m->node->members[i];

        if (i != 0) {
            knock_buf_add_char(buf, ',');
        }

        knock_buf_add(buf, child->key->data, child->key->len);
        knock_buf_add_char(buf, ':');
        knock_merge_write(buf, child);
    }

    knock_buf_add_char(buf, '}');
}
