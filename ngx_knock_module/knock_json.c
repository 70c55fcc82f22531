
/*
 * What is asked of the tokens that the parser has made: members and elements,
 * and the bytes that a string stands for.
 */

#include "knock_json_scan.h"


static unsigned char *knock_json_unescape(unsigned char *p,
    const unsigned char *end, unsigned char *out, size_t *n);


const knock_json_t *
knock_json_member(const knock_json_t *obj, const knock_str_t *key)
{
    size_t               i;
    const knock_json_t  *name, *found;

    if (obj == NULL || obj->type != KNOCK_JSON_OBJECT) {
        return NULL;
    }

    found = NULL;
    name = obj + 1;

    for (i = 0; i < obj->count; i++) {
        if (knock_json_string_eq(name, key)) {
            found = name + 1;
        }

        name = knock_json_next(name + 1);
    }

    return found;
}


const knock_json_t *
knock_json_first(const knock_json_t *v)
{
    return v->count != 0 ? v + 1 : NULL;
}


const knock_json_t *
knock_json_element(const knock_json_t *array, size_t n)
{
    const knock_json_t  *v;

    if (array->type != KNOCK_JSON_ARRAY || n >= array->count) {
        return NULL;
    }

    for (v = array + 1; n != 0; n--) {
        v = knock_json_next(v);
    }

    return v;
}


int
knock_json_string(knock_arena_t *arena, const knock_json_t *v,
    knock_str_t *str)
{
    size_t          n, len;
    unsigned char  *p, *end, *out;

    p = v->data + 1;
    end = v->data + v->len - 1;
    len = v->len - 2;

    if (!v->escaped) {
        str->len = len;
        str->data = p;

        return KNOCK_OK;
    }

    /* what an escape stands for is never longer than the escape */

    out = knock_arena_alloc(arena, len);
    if (out == NULL) {
        return KNOCK_ERROR;
    }

    str->data = out;

    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }

        p = knock_json_unescape(p, end, out, &n);
        out += n;
    }

    str->len = (size_t) (out - str->data);
    str->data = knock_arena_realloc(arena, str->data, len, str->len);

    return KNOCK_OK;
}


int
knock_json_escaped_eq(const knock_json_t *v, const knock_str_t *str)
{
    size_t          n, at;
    unsigned char  *p, *end, bytes[4];

    p = v->data + 1;
    end = v->data + v->len - 1;

    for (at = 0; p < end; at += n) {

        if (*p != '\\') {
            bytes[0] = *p++;
            n = 1;

        } else {
            p = knock_json_unescape(p, end, bytes, &n);
        }

        if (str->len - at < n || memcmp(str->data + at, bytes, n) != 0) {
            return 0;
        }
    }

    return at == str->len;
}


/*
 * Decodes the escape at p, which the parser has accepted, into at most 4
 * bytes; returns what follows it.
 */

static unsigned char *
knock_json_unescape(unsigned char *p, const unsigned char *end,
    unsigned char *out, size_t *n)
{
    uint32_t  c, low;

    *n = 1;

    switch (p[1]) {

    case 'b':
        *out = '\b';
        return p + 2;

    case 'f':
        *out = '\f';
        return p + 2;

    case 'n':
        *out = '\n';
        return p + 2;

    case 'r':
        *out = '\r';
        return p + 2;

    case 't':
        *out = '\t';
        return p + 2;

    case 'u':
        break;

    default:
        *out = p[1];
        return p + 2;
    }

    c = 0;
    low = 0;

    (void) knock_json_unit(p, end, &c);
    p += 6;

    if (c < 0x80) {
        out[0] = (unsigned char) c;
        return p;
    }

    if (c < 0x800) {
        out[0] = (unsigned char) (0xc0 | c >> 6);
        out[1] = (unsigned char) (0x80 | (c & 0x3f));
        *n = 2;
        return p;
    }

    if (c < 0xd800 || c > 0xdfff) {
        out[0] = (unsigned char) (0xe0 | c >> 12);
        out[1] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
        out[2] = (unsigned char) (0x80 | (c & 0x3f));
        *n = 3;
        return p;
    }

    (void) knock_json_unit(p, end, &low);
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);

    out[0] = (unsigned char) (0xf0 | c >> 18);
    out[1] = (unsigned char) (0x80 | (c >> 12 & 0x3f));
    out[2] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
    out[3] = (unsigned char) (0x80 | (c & 0x3f));
    *n = 4;

    return p + 6;
}


int
knock_json_is_integer(const knock_json_t *v)
{
    size_t  i;

    if (v->type != KNOCK_JSON_NUMBER) {
        return 0;
    }

    for (i = 0; i < v->len; i++) {
        if (v->data[i] != '-' && !knock_json_is_digit(v->data[i])) {
            return 0;
        }
    }

    return 1;
}
