
/*
 * The parser against cJSON, which reads the same language by other means:
 * wherever both can hold a document, their trees must be the same.  What cJSON
 * is lax about or cannot hold is left out here and tested in test_json.c.
 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <cjson/cJSON.h>

#include "knock_json.h"


#define DOCUMENTS  20000
#define DEPTH      64


static uint32_t  state;


/* xorshift32: the same documents on every machine */

static uint32_t
roll(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;

    return state % n;
}


static void
compare(knock_arena_t *arena, const knock_json_t *v, const cJSON *c)
{
    size_t               i;
    char                 number[64];
    cJSON               *child;
    knock_str_t          s;
    const knock_json_t  *p;

    switch (v->type) {

    case KNOCK_JSON_NULL:
        assert_true(cJSON_IsNull(c));
        return;

    case KNOCK_JSON_FALSE:
        assert_true(cJSON_IsFalse(c));
        return;

    case KNOCK_JSON_TRUE:
        assert_true(cJSON_IsTrue(c));
        return;

    case KNOCK_JSON_NUMBER:
        assert_true(cJSON_IsNumber(c));
        assert_true(v->len < sizeof(number));
        memcpy(number, v->data, v->len);
        number[v->len] = '\0';
        assert_true(strtod(number, NULL) == c->valuedouble);
        return;

    case KNOCK_JSON_STRING:
        assert_true(cJSON_IsString(c));
        assert_int_equal(knock_json_string(arena, v, &s), KNOCK_OK);
        assert_int_equal(s.len, strlen(c->valuestring));
        assert_memory_equal(s.data, c->valuestring, s.len);
        return;

    case KNOCK_JSON_ARRAY:
        assert_true(cJSON_IsArray(c));
        break;

    default:
        assert_true(cJSON_IsObject(c));
    }

    assert_int_equal(v->count, cJSON_GetArraySize(c));

    p = knock_json_first(v);
    child = c->child;

    for (i = 0; i < v->count; i++, child = child->next) {

        if (v->type == KNOCK_JSON_OBJECT) {
            assert_int_equal(knock_json_string(arena, p, &s), KNOCK_OK);
            assert_int_equal(s.len, strlen(child->string));
            assert_memory_equal(s.data, child->string, s.len);
            p = knock_json_next(p);
        }

        compare(arena, p, child);
        p = knock_json_next(p);
    }

    assert_null(child);
}


/* a document that both can hold */

static void
generate(knock_buf_t *buf, unsigned depth)
{
    static const char  *scalars[] = {
        "null", "true", "false", "0", "-1", "12", "3.25", "1e3", "-2.5E-2",
        "9007199254740993", "\"\"", "\"a\"", "\"two words\"",
        "\"\\u00e9\\n\\\"\\\\\\/\"", "\"\\ud83d\\ude00\"", "\"\xc3\xa9\"",
        "\"\xf0\x9f\x98\x80\""
    };
    static const char  *names[] = {
        "\"a\":", "\"A\":", "\"\":", "\"type\" : ", "\"\\u0061\":",
        "\"a.b\":", "\"\xe2\x82\xac\":"
    };
    static const char  *spaces[] = { "", "", "", " ", "\n", "\t\r\n " };

    size_t    i, n;
    uint32_t  kind;

    kind = depth ? roll(4) : 0;

    if (kind < 2) {
        const char  *s = scalars[roll(sizeof(scalars) / sizeof(char *))];

        knock_buf_add(buf, s, strlen(s));
        return;
    }

    knock_buf_add_char(buf, kind == 2 ? '[' : '{');

    n = roll(6);

    for (i = 0; i < n; i++) {
        const char  *s = spaces[roll(sizeof(spaces) / sizeof(char *))];

        if (i) {
            knock_buf_add_char(buf, ',');
        }

        knock_buf_add(buf, s, strlen(s));

        if (kind == 3) {
            s = names[roll(sizeof(names) / sizeof(char *))];
            knock_buf_add(buf, s, strlen(s));
        }

        generate(buf, depth - 1);
    }

    knock_buf_add_char(buf, kind == 2 ? ']' : '}');
}


static void
trees_are_the_same(void **unused)
{
    size_t          i;
    cJSON          *c;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_json_t   *root;
    knock_arena_t  *arena;
    knock_error_t   err;

    (void) unused;

    state = 20260730;

    arena = knock_arena_create(4096);
    assert_non_null(arena);

    for (i = 0; i < DOCUMENTS; i++) {
        knock_arena_reset(arena);

        knock_buf_init(&buf, arena, 64);
        generate(&buf, 6);
        assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

        assert_int_equal(knock_json_parse(arena, &text, DEPTH, &root, &err),
                         KNOCK_OK);

        c = cJSON_ParseWithLength((char *) text.data, text.len);
        assert_non_null(c);

        compare(arena, root, c);

        cJSON_Delete(c);
    }

    knock_arena_destroy(arena);
}


/* what cJSON refuses of broken documents is refused here too */

static void
no_laxer_than_cjson(void **unused)
{
    size_t          i, refused;
    cJSON          *c;
    const char     *end;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_json_t   *root;
    knock_arena_t  *arena;
    knock_error_t   err;

    (void) unused;

    state = 1;
    refused = 0;

    arena = knock_arena_create(4096);
    assert_non_null(arena);

    for (i = 0; i < DOCUMENTS; i++) {
        knock_arena_reset(arena);

        knock_buf_init(&buf, arena, 64);
        generate(&buf, 4);
        assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

        text.data[roll((uint32_t) text.len)] =
            (unsigned char) "{}[],:\"\\01 e-x"[roll(14)];

        end = NULL;
        c = cJSON_ParseWithLengthOpts((char *) text.data, text.len, &end, 0);

        if (c == NULL) {
            refused++;
            assert_int_equal(knock_json_parse(arena, &text, DEPTH, &root,
                                              &err),
                             KNOCK_ERROR);
        }

        cJSON_Delete(c);
    }

    assert_true(refused > DOCUMENTS / 10);

    knock_arena_destroy(arena);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(trees_are_the_same),
        cmocka_unit_test(no_laxer_than_cjson),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
