
#include <string.h>

#include "strict.h"


typedef struct {
    const unsigned char  *p;
    const unsigned char  *end;
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
    long  unit;

    if (!strict_take(s, 'u')) {
        if (strict_next(s) < 1 || !strchr("\"\\/bfnrt", *s->p)) {
            return 0;
        }

        s->p++;
        return 1;
    }

    unit = strict_hex(s);

    if (unit >= 0xd800 && unit <= 0xdbff) {

        if (!strict_take(s, '\\') || !strict_take(s, 'u')) {
            return 0;
        }

        unit = strict_hex(s);
        return unit >= 0xdc00 && unit <= 0xdfff;
    }

    return unit >= 0 && !(unit >= 0xdc00 && unit <= 0xdfff);
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


int
strict_json(const unsigned char *text, size_t len, size_t depth)
{
    strict_t  s;

    s.p = text;
    s.end = text + len;

    strict_space(&s);

    if (!strict_value(&s, depth)) {
        return 0;
    }

    strict_space(&s);

    return s.p == s.end;
}


int
strict_utf8(const unsigned char *text, size_t len)
{
    strict_t  s;

    s.p = text;
    s.end = text + len;

    while (s.p < s.end) {

        if (*s.p < 0x80) {
            s.p++;

        } else if (!strict_char(&s)) {
            return 0;
        }
    }

    return 1;
}
