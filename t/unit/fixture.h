
/*
 * What several unit tests share: an arena that each test gets anew, documents
 * from text, and comparisons that say what they saw.
 */

#ifndef FIXTURE_H
#define FIXTURE_H


#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_buf.h"
#include "knock_digest.h"
#include "knock_event.h"
#include "knock_map.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


static knock_arena_t  *arena;


static inline int
setup(void **state)
{
    (void) state;

    knock_map_seed(42);

    arena = knock_arena_create(4096);

    return arena == NULL || knock_digest_init() != KNOCK_OK;
}


static inline int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


/* a slice of the C string, which must live as long */

static inline knock_str_t
str(const char *text)
{
    knock_str_t  s;

    s.len = strlen(text);
    s.data = (unsigned char *) text;

    return s;
}


/* the slice as a C string in the arena */

static inline const char *
text(const knock_str_t *s)
{
    char  *p;

    p = knock_arena_calloc(arena, 1, s->len + 1);
    assert_non_null(p);

    if (s->len) {
        memcpy(p, s->data, s->len);
    }

    return p;
}


static inline void
assert_starts(const char *s, const char *prefix)
{
    if (strncmp(s, prefix, strlen(prefix)) != 0) {
        fail_msg("\"%s\" does not start with \"%s\"", s, prefix);
    }
}


static inline void
assert_str(const knock_str_t *s, const char *expected)
{
    if (!knock_str_is(s, expected)) {
        fail_msg("\"%.*s\" is not \"%s\"", (int) s->len, (char *) s->data,
                 expected);
    }
}


/* NULL: there is none, which is not the empty one */

static inline void
assert_str_or_null(const knock_str_t *s, const char *expected)
{
    if (expected == NULL) {
        assert_null(s->data);
        return;
    }

    assert_non_null(s->data);
    assert_str(s, expected);
}


/* NULL: there is none */

static inline void
assert_text(const knock_json_t *v, const char *expected)
{
    knock_str_t  s;

    if (expected == NULL) {
        assert_null(v);
        return;
    }

    assert_non_null(v);
    s = knock_json_text(v);
    assert_str(&s, expected);
}


static inline const knock_json_t *
parse(const char *json)
{
    knock_str_t     s, copy;
    knock_json_t   *root;
    knock_error_t   err;

    s = str(json);

    assert_int_equal(knock_arena_dup(arena, &s, &copy), KNOCK_OK);

    if (knock_json_parse(arena, &copy, 64, &root, &err) != KNOCK_OK) {
        fail_msg("%s: %s", json, err.message);
    }

    return root;
}


static inline const knock_event_t *
read_event(const char *json)
{
    knock_event_t  *event;
    knock_error_t   err;

    event = knock_arena_alloc(arena, sizeof(knock_event_t));
    assert_non_null(event);

    if (knock_event_read(arena, parse(json), event, &err) != KNOCK_OK) {
        fail_msg("%s: %s", json, err.message);
    }

    return event;
}


/* n times the unit between prefix and suffix */

static inline const char *
repeat(const char *prefix, const char *unit, size_t n, const char *suffix)
{
    knock_buf_t  buf;
    knock_str_t  s;

    knock_buf_init(&buf, arena, 256);
    knock_buf_add(&buf, prefix, strlen(prefix));

    while (n--) {
        knock_buf_add(&buf, unit, strlen(unit));
    }

    knock_buf_add(&buf, suffix, strlen(suffix));
    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


#endif /* FIXTURE_H */
