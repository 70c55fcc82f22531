
#include <stdio.h>
#include <string.h>

#include "strict.h"


typedef struct {
    const unsigned char  *p;
    const unsigned char  *end;
    int                   lone;     /* surrogates are allowed */
    const unsigned char  *start;    /* of the text that may be a batch */
    strict_batch_t       *batch;
} strict_t;


static int strict_value(strict_t *s, size_t depth);


static int
strict_next(const strict_t *s)
{
    return s->p < s->end ? *s->p : -1;
}


static void
strict_space(strict_t *s)
{
    while (strict_next(s) == ' ' || strict_next(s) == '\t'
           || strict_next(s) == '\n' || strict_next(s) == '\r')
    {
        s->p++;
    }
}


static int
strict_take(strict_t *s, int c)
{
    if (strict_next(s) != c) {
        return 0;
    }

    s->p++;

    return 1;
}


/* digits: how many there are */

static size_t
strict_digits(strict_t *s)
{
    size_t  n;

    for (n = 0; strict_next(s) >= '0' && strict_next(s) <= '9'; n++) {
        s->p++;
    }

    return n;
}


static int
strict_number(strict_t *s)
{
    int     zero;
    size_t  n;

    strict_take(s, '-');

    zero = strict_next(s) == '0';
    n = strict_digits(s);

    if (n == 0 || (zero && n > 1)) {
        return 0;
    }

    if (strict_take(s, '.') && strict_digits(s) == 0) {
        return 0;
    }

    if (strict_take(s, 'e') || strict_take(s, 'E')) {

        if (!strict_take(s, '+')) {
            strict_take(s, '-');
        }

        return strict_digits(s) != 0;
    }

    return 1;
}


/* four hex digits; -1 if they are none */

static long
strict_hex(strict_t *s)
{
    int          i;
    long         n;
    const char  *at, *digits = "0123456789abcdef0123456789ABCDEF";

    for (n = 0, i = 0; i < 4; i++) {

        if (strict_next(s) < 1) {
            return -1;
        }

        at = strchr(digits, *s->p);
        if (at == NULL) {
            return -1;
        }

        n = n * 16 + (at - digits) % 16;
        s->p++;
    }

    return n;
}


static int
strict_escape(strict_t *s)
{
    long                  unit;
    const unsigned char  *p;

    if (!strict_take(s, 'u')) {
        if (strict_next(s) < 1 || !strchr("\"\\/bfnrt", *s->p)) {
            return 0;
        }

        s->p++;
        return 1;
    }

    unit = strict_hex(s);
    p = s->p;

    if (unit >= 0xd800 && unit <= 0xdbff && strict_take(s, '\\')
        && strict_take(s, 'u'))
    {
        unit = strict_hex(s);

        if (unit >= 0xdc00 && unit <= 0xdfff) {
            return 1;
        }

        unit = 0xd800;
    }

    s->p = p;

    return unit >= 0 && (s->lone || unit < 0xd800 || unit > 0xdfff);
}


/* one character of more than one byte */

static int
strict_char(strict_t *s)
{
    int            i, n;
    unsigned char  c;
    unsigned long  code;

    c = *s->p++;

    if (c >= 0xc0 && c < 0xe0) {
        n = 1;
        code = c & 0x1f;

    } else if (c >= 0xe0 && c < 0xf0) {
        n = 2;
        code = c & 0x0f;

    } else if (c >= 0xf0 && c < 0xf8) {
        n = 3;
        code = c & 0x07;

    } else {
        return 0;
    }

    for (i = 0; i < n; i++) {

        if (strict_next(s) < 0x80 || strict_next(s) > 0xbf) {
            return 0;
        }

        code = code << 6 | (*s->p++ & 0x3f);
    }

    if (code < (n == 1 ? 0x80ul : n == 2 ? 0x800ul : 0x10000ul)) {
        return 0;
    }

    return code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}


static int
strict_string(strict_t *s)
{
    int  c;

    if (!strict_take(s, '"')) {
        return 0;
    }

    while (!strict_take(s, '"')) {
        c = strict_next(s);

        if (c < 0x20) {
            return 0;
        }

        if (c == '\\') {
            s->p++;

            if (!strict_escape(s)) {
                return 0;
            }

        } else if (c < 0x80) {
            s->p++;

        } else if (!strict_char(s)) {
            return 0;
        }
    }

    return 1;
}


/* elements, or members with their keys, up to the closing bracket */

static int
strict_list(strict_t *s, size_t depth, int object)
{
    s->p++;

    if (depth == 0) {
        return 0;
    }

    strict_space(s);

    if (strict_take(s, object ? '}' : ']')) {
        return 1;
    }

    do {
        strict_space(s);

        if (object) {
            if (!strict_string(s)) {
                return 0;
            }

            strict_space(s);

            if (!strict_take(s, ':')) {
                return 0;
            }

            strict_space(s);
        }

        if (!strict_value(s, depth - 1)) {
            return 0;
        }

        strict_space(s);

    } while (strict_take(s, ','));

    return strict_take(s, object ? '}' : ']');
}


static int
strict_value(strict_t *s, size_t depth)
{
    size_t       i, len;
    const char  *literals[] = { "null", "true", "false" };

    switch (strict_next(s)) {

    case '{':
        return strict_list(s, depth, 1);

    case '[':
        return strict_list(s, depth, 0);

    case '"':
        return strict_string(s);
    }

    for (i = 0; i < 3; i++) {
        len = strlen(literals[i]);

        if ((size_t) (s->end - s->p) >= len
            && memcmp(s->p, literals[i], len) == 0)
        {
            s->p += len;
            return 1;
        }
    }

    return strict_number(s);
}


static int
strict_whole(const unsigned char *text, size_t len, size_t depth, int lone)
{
    strict_t  s = { text, text + len, lone, NULL, NULL };

    strict_space(&s);

    if (!strict_value(&s, depth)) {
        return 0;
    }

    strict_space(&s);

    return s.p == s.end;
}


int
strict_json(const unsigned char *text, size_t len, size_t depth)
{
    return strict_whole(text, len, depth, 0);
}


int
strict_sent(const unsigned char *text, size_t len, size_t depth)
{
    return strict_whole(text, len, depth, 1);
}


/* passes over a string, or what stands between brackets of one kind */

static int
strict_closed(strict_t *s)
{
    int  c, close;

    c = *s->p++;

    if (c == '"') {
        while (!strict_take(s, '"')) {
            s->p += strict_next(s) == '\\';

            if (s->p >= s->end) {
                return 0;
            }

            s->p++;
        }

        return 1;
    }

    close = c == '[' ? ']' : '}';

    while (!strict_take(s, close)) {
        c = strict_next(s);

        if (c == -1 || c == ']' || c == '}') {
            return 0;
        }

        if (c == '[' || c == '{' || c == '"') {
            if (!strict_closed(s)) {
                return 0;
            }

        } else {
            s->p++;
        }
    }

    return 1;
}


/* an element that is none, up to white space in front of what follows it */

static int
strict_bad(strict_t *s)
{
    int                   c;
    const unsigned char  *from, *to;

    from = s->p;
    to = from;

    for ( ;; ) {
        strict_space(s);
        c = strict_next(s);

        if (c == ',' || c == ']') {
            s->p = to;
            return to > from;
        }

        if (c == -1 || c == '}') {
            return 0;
        }

        if (c == '[' || c == '{' || c == '"') {
            if (!strict_closed(s)) {
                return 0;
            }

        } else {
            s->p++;
        }

        to = s->p;
    }
}


static int
strict_elements(strict_t *s, size_t depth)
{
    size_t                n;
    strict_t              saved;
    const unsigned char  *from;

    s->p++;
    s->batch->n = 0;
    strict_space(s);

    if (strict_take(s, ']')) {
        return 1;
    }

    do {
        strict_space(s);

        saved = *s;
        from = s->p;
        n = s->batch->n++;

        if (n < STRICT_ELEMENTS) {
            s->batch->from[n] = (size_t) (from - s->start);
            s->batch->bad[n] = 0;
        }

        if (!strict_value(s, depth)) {
            *s = saved;

            if (!strict_bad(s)) {
                return 0;
            }

            if (n < STRICT_ELEMENTS) {
                s->batch->bad[n] = 1;
            }
        }

        if (n < STRICT_ELEMENTS) {
            s->batch->to[n] = (size_t) (s->p - s->start);
        }

        strict_space(s);

    } while (strict_take(s, ','));

    return strict_take(s, ']');
}


/* whether a key, quotes included, says batch; any letter may be escaped */

static int
strict_is_batch(const unsigned char *p, const unsigned char *end)
{
    char         lower[8], upper[8];
    const char  *name;

    for (p++, name = "batch"; *name != '\0'; name++) {
        (void) snprintf(lower, sizeof(lower), "\\u%04x", *name);
        (void) snprintf(upper, sizeof(upper), "\\u%04X", *name);

        if (*p == (unsigned char) *name) {
            p++;

        } else if (end - p > 6 && (memcmp(p, lower, 6) == 0
                                   || memcmp(p, upper, 6) == 0))
        {
            p += 6;

        } else {
            return 0;
        }
    }

    return p + 1 == end;
}


/*
 * The members of the root.  Once a batch has begun, what stands behind it may
 * nest as deep as it.
 */

static int
strict_members(strict_t *s, size_t depth)
{
    int                   found, begun, named, ok;
    const unsigned char  *key;

    s->p++;
    found = 0;
    begun = 0;
    strict_space(s);

    if (strict_take(s, '}')) {
        return 2;
    }

    do {
        strict_space(s);
        key = s->p;

        if (!strict_string(s)) {
            return 0;
        }

        named = strict_is_batch(key, s->p);
        strict_space(s);

        if (!strict_take(s, ':')) {
            return 0;
        }

        strict_space(s);

        if (named) {
            found = strict_next(s) == '[';
            begun |= found;
        }

        ok = named && found ? strict_elements(s, depth)
                            : strict_value(s, begun ? depth + 1 : depth - 1);
        if (!ok) {
            return 0;
        }

        strict_space(s);

    } while (strict_take(s, ','));

    return strict_take(s, '}') ? 2 - found : 0;
}


int
strict_batch(const unsigned char *text, size_t len, size_t depth,
    strict_batch_t *batch)
{
    int       kind;
    strict_t  s = { text, text + len, 1, text, batch };

    strict_space(&s);

    if (strict_next(&s) == '[') {
        kind = strict_elements(&s, depth);

    } else if (strict_next(&s) == '{') {
        kind = strict_members(&s, depth);

    } else {
        kind = strict_value(&s, depth) ? 2 : 0;
    }

    strict_space(&s);

    return s.p == s.end ? kind : 0;
}


int
strict_utf8(const unsigned char *text, size_t len)
{
    strict_t  s = { text, text + len, 0, NULL, NULL };

    while (s.p < s.end) {

        if (*s.p < 0x80) {
            s.p++;

        } else if (!strict_char(&s)) {
            return 0;
        }
    }

    return 1;
}
