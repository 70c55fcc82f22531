
/*
 * Merging: each line of the input is an object that is laid on those before.
 * The text is what another, simpler merge makes of it, step by step; doing the
 * last step again changes nothing but white space; and its length is known
 * beforehand.
 */

#include "fuzz.h"
#include "strict.h"
#include "knock_json_merge.h"


#define OBJECTS  6
#define DEPTH    64


static size_t merge_read(knock_arena_t *arena, knock_str_t *input,
    knock_str_t *lines, const knock_json_t **objects);
static knock_str_t merge_plain(knock_arena_t *arena, const knock_str_t *text);
static const knock_json_t *merge_parse(knock_arena_t *arena,
    const knock_str_t *text);
static void merge_simple(knock_arena_t *arena, knock_buf_t *buf,
    const knock_json_t *base, const knock_json_t *over);
static const knock_json_t *merge_named(knock_arena_t *arena,
    const knock_json_t *object, const knock_json_t *key, int *first);
static int merge_same(knock_arena_t *arena, const knock_json_t *a,
    const knock_json_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t               i, n, len;
    knock_buf_t          buf;
    knock_str_t          input, text, simple, again, lines[OBJECTS];
    knock_arena_t       *arena;
    knock_merge_t       *merge;
    const knock_json_t  *objects[OBJECTS];

    input.len = size;
    input.data = (unsigned char *) (uintptr_t) data;

    arena = knock_arena_create(1024);
    check(arena != NULL);

    n = merge_read(arena, &input, lines, objects);

    if (n < 2) {
        goto done;
    }

    merge = knock_merge_create(arena, objects[0]);
    check(merge != NULL);
    check(knock_merge_text(merge, arena, &text) == KNOCK_OK);
    check(text.len == objects[0]->len);

    simple = text;

    for (i = 1; i < n; i++) {
        check(knock_merge_measure(merge, objects[n - i], &len) == KNOCK_OK);
        check(knock_merge_text(merge, arena, &again) == KNOCK_OK);
        check(knock_str_eq(&again, &simple));

        check(knock_merge_measure(merge, objects[i], &len) == KNOCK_OK);
        check(knock_merge_add(merge, objects[i]) == KNOCK_OK);
        check(knock_merge_text(merge, arena, &text) == KNOCK_OK);
        check(text.len == len && text.len == knock_merge_len(merge));

        knock_buf_init(&buf, arena, 0);
        merge_simple(arena, &buf, merge_parse(arena, &simple), objects[i]);
        check(knock_buf_str(&buf, &simple) == KNOCK_OK);
        check(knock_str_eq(&text, &simple));
        check(strict_json(text.data, text.len, DEPTH));
    }

    check(knock_json_merge(arena, merge_parse(arena, &text), objects[n - 1],
                           &again)
          == KNOCK_OK);

    text = merge_plain(arena, &text);
    again = merge_plain(arena, &again);
    check(knock_str_eq(&text, &again));

done:

    knock_arena_destroy(arena);

    for (i = 0; i < OBJECTS; i++) {
        free(lines[i].data);
    }

    return 0;
}


/* the lines that are objects: how many there are */

static size_t
merge_read(knock_arena_t *arena, knock_str_t *input, knock_str_t *lines,
    const knock_json_t **objects)
{
    size_t  i, n;

    for (n = 0, i = 0; i < OBJECTS; i++) {
        lines[i] = fuzz_piece(input, '\n');
        objects[n] = merge_parse(arena, &lines[i]);

        if (objects[n] && objects[n]->type == KNOCK_JSON_OBJECT) {
            n++;
        }
    }

    return n;
}


static const knock_json_t *
merge_parse(knock_arena_t *arena, const knock_str_t *text)
{
    knock_json_t   *root;
    knock_error_t   err;

    return knock_json_parse(arena, text, DEPTH, &root, &err) == KNOCK_OK
           ? root : NULL;
}


/* laid on itself, an object in objects loses white space and repeated keys */

static knock_str_t
merge_plain(knock_arena_t *arena, const knock_str_t *text)
{
    knock_buf_t          buf;
    knock_str_t          plain;
    const knock_json_t  *object;

    object = merge_parse(arena, text);
    check(object != NULL);

    knock_buf_init(&buf, arena, 0);
    merge_simple(arena, &buf, object, object);
    check(knock_buf_str(&buf, &plain) == KNOCK_OK);

    return plain;
}


/* the same rule, by looking everything up everywhere */

static void
merge_simple(knock_arena_t *arena, knock_buf_t *buf, const knock_json_t *base,
    const knock_json_t *over)
{
    int                  first, commas;
    size_t               i, side;
    const knock_json_t  *key, *b, *o, *sides[2];

    sides[0] = base;
    sides[1] = over;
    commas = 0;

    knock_buf_add_char(buf, '{');

    for (side = 0; side < 2; side++) {
        key = sides[side] + 1;

        for (i = 0; i < sides[side]->count; i++) {
            b = merge_named(arena, base, key, &first);

            /* base's own keys where they come first, over's if new */

            if (side == 0 ? first : b == NULL) {
                o = merge_named(arena, over, key, &first);

                if (side == 0 || first) {
                    if (commas++) {
                        knock_buf_add_char(buf, ',');
                    }

                    knock_buf_add(buf, key->data, key->len);
                    knock_buf_add_char(buf, ':');

                    if (b && o && b->type == KNOCK_JSON_OBJECT
                        && o->type == KNOCK_JSON_OBJECT)
                    {
                        merge_simple(arena, buf, b, o);

                    } else {
                        b = o ? o : b;
                        check(b != NULL);
                        knock_buf_add(buf, b->data, b->len);
                    }
                }
            }

            key = key + 1 + key[1].span;
        }
    }

    knock_buf_add_char(buf, '}');
}


/*
 * The last value in `object` of the name that `key` has, or NULL; *first says
 * whether `key` itself is the first key of that name there.
 */

static const knock_json_t *
merge_named(knock_arena_t *arena, const knock_json_t *object,
    const knock_json_t *key, int *first)
{
    size_t               i;
    const knock_json_t  *p, *value;

    *first = 0;
    value = NULL;
    p = object + 1;

    for (i = 0; i < object->count; i++) {

        if (merge_same(arena, p, key)) {
            *first |= value == NULL && p == key;
            value = p + 1;
        }

        p = p + 1 + p[1].span;
    }

    return value;
}


static int
merge_same(knock_arena_t *arena, const knock_json_t *a, const knock_json_t *b)
{
    knock_str_t  x, y;

    check(knock_json_string(arena, a, &x) == KNOCK_OK);
    check(knock_json_string(arena, b, &y) == KNOCK_OK);

    return knock_str_eq(&x, &y);
}
