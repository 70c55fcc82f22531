
/*
 * The parser: takes exactly what RFC 8259 takes, which another reading of it
 * and cJSON, which is laxer, have their say on; the text of what it gives is
 * the text that came.
 */

#include <cjson/cJSON.h>

#include "fuzz.h"
#include "strict.h"


/* deep enough to matter; a text of 4 kB reaches it */
#define DEPTH  64

/* cJSON refuses numbers of more digits than this */
#define CJSON_NUMBER  63


static void json_value(knock_arena_t *arena, const knock_json_t *v,
    const knock_str_t *text, int *same);
static void json_string(knock_arena_t *arena, const knock_json_t *v);
static void json_object(knock_arena_t *arena, const knock_json_t *v);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             rc, same;
    cJSON          *c;
    const char     *end;
    knock_str_t     text;
    knock_json_t   *root;
    knock_arena_t  *arena;
    knock_error_t   err;

    text.len = size;
    text.data = (unsigned char *) (uintptr_t) data;

    arena = knock_arena_create(1024);
    check(arena != NULL);

    rc = knock_json_parse(arena, &text, DEPTH, &root, &err);

    check((rc == KNOCK_OK) == strict_json(data, size, DEPTH));

    if (rc != KNOCK_OK) {
        check(rc == KNOCK_ERROR && err.code == KNOCK_E_INVALID_JSON);
        check(err.offset <= size && err.message[0] != '\0');
        check(strict_utf8((unsigned char *) err.message, strlen(err.message)));
        knock_arena_destroy(arena);
        return 0;
    }

    same = 1;
    json_value(arena, root, &text, &same);

    end = NULL;
    c = cJSON_ParseWithLengthOpts((const char *) data, size, &end, 0);
    check(c != NULL || !same);

    cJSON_Delete(c);
    knock_arena_destroy(arena);

    return 0;
}


/* *same is cleared where cJSON cannot hold what stands there */

static void
json_value(knock_arena_t *arena, const knock_json_t *v,
    const knock_str_t *text, int *same)
{
    size_t               i, n;
    knock_str_t          s;
    const knock_json_t  *child;

    s = knock_json_text(v);
    check(s.len > 0 && fuzz_within(&s, text));

    switch (v->type) {

    case KNOCK_JSON_NUMBER:
        check(knock_json_is_integer(v)
              == (memchr(s.data, '.', s.len) == NULL
                  && memchr(s.data, 'e', s.len) == NULL
                  && memchr(s.data, 'E', s.len) == NULL));

        if (s.len > CJSON_NUMBER) {
            *same = 0;
        }

        break;

    case KNOCK_JSON_STRING:
        json_string(arena, v);
        break;

    case KNOCK_JSON_ARRAY:
        check(s.data[0] == '[' && s.data[s.len - 1] == ']');
        break;

    case KNOCK_JSON_OBJECT:
        check(s.data[0] == '{' && s.data[s.len - 1] == '}');
        break;

    default:
        check(s.len == (v->type == KNOCK_JSON_FALSE ? 5u : 4u));
    }

    if (v->type != KNOCK_JSON_ARRAY && v->type != KNOCK_JSON_OBJECT) {
        check(v->span == 1 && knock_json_first(v) == NULL);
        return;
    }

    n = v->count * (v->type == KNOCK_JSON_OBJECT ? 2u : 1u);
    child = v + 1;

    check((knock_json_first(v) == NULL) == (n == 0));

    /* children stand in order, apart, within it, and make up its span */

    for (i = 0; i < n; i++, child = knock_json_next(child)) {
        check(child->data > v->data && child->data + child->len
                                       < v->data + v->len);
        check(i == 0 || child->data > child[-1].data);

        if (v->type == KNOCK_JSON_ARRAY) {
            check(knock_json_element(v, i) == child);

        } else if (i % 2 == 0) {
            check(child->type == KNOCK_JSON_STRING);
        }

        json_value(arena, child, &s, same);
    }

    check(child == v + v->span);

    if (v->type == KNOCK_JSON_OBJECT) {
        json_object(arena, v);
    }
}


/* decoded, a string is UTF-8; written anew, it decodes to the same */

static void
json_string(knock_arena_t *arena, const knock_json_t *v)
{
    knock_buf_t    buf;
    knock_str_t    s, written, again;
    knock_json_t  *root;
    knock_error_t  err;

    check(knock_json_string(arena, v, &s) == KNOCK_OK);
    check(strict_utf8(s.data, s.len));
    check(knock_json_string_eq(v, &s));

    knock_buf_init(&buf, arena, 0);
    knock_buf_add_json(&buf, &s);
    check(knock_buf_str(&buf, &written) == KNOCK_OK);

    check(knock_json_parse(arena, &written, DEPTH, &root, &err) == KNOCK_OK);
    check(knock_json_string(arena, root, &again) == KNOCK_OK);
    check(knock_str_eq(&s, &again));
}


/* of keys that are the same the last one counts */

static void
json_object(knock_arena_t *arena, const knock_json_t *v)
{
    size_t               i, j;
    knock_str_t          name, other;
    const knock_json_t  *key, *later, *found;

    if (v->count > 32) {
        return;
    }

    for (key = v + 1, i = 0; i < v->count; i++) {
        check(knock_json_string(arena, key, &name) == KNOCK_OK);

        found = key + 1;
        later = knock_json_next(key + 1);

        for (j = i + 1; j < v->count; j++) {
            check(knock_json_string(arena, later, &other) == KNOCK_OK);

            if (knock_str_eq(&name, &other)) {
                found = later + 1;
            }

            later = knock_json_next(later + 1);
        }

        check(knock_json_member(v, &name) == found);

        key = knock_json_next(key + 1);
    }
}
