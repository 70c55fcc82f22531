
#include "knock_buf.h"


#define KNOCK_BUF_MIN     64
#define KNOCK_BUF_ESCAPE  6
#define KNOCK_BUF_WORD    8


static const unsigned char *knock_buf_plain(const unsigned char *p,
    const unsigned char *end);
static inline uint64_t knock_buf_special(const unsigned char *p);
static size_t knock_buf_escape(unsigned char c, unsigned char *out);


static const char  knock_buf_hex[] = "0123456789abcdef";


void
knock_buf_init(knock_buf_t *buf, knock_arena_t *arena, size_t cap)
{
    buf->arena = arena;
    buf->len = 0;
    buf->data = knock_arena_alloc(arena, cap);
    buf->failed = (buf->data == NULL);
    buf->cap = buf->failed ? 0 : cap;
}


unsigned char *
knock_buf_grow(knock_buf_t *buf, size_t len)
{
    size_t          cap;
    unsigned char  *data;

    if (buf->failed) {
        return NULL;
    }

    if (len > SIZE_MAX / 4 || buf->cap > SIZE_MAX / 4) {
        goto failed;
    }

    cap = buf->cap * 2 + KNOCK_BUF_MIN;

    if (cap < buf->len + len) {
        cap = buf->len + len;
    }

    data = knock_arena_realloc(buf->arena, buf->data, buf->cap, cap);
    if (data == NULL) {
        goto failed;
    }

    buf->data = data;
    buf->cap = cap;

    return data + buf->len;

failed:

    buf->failed = 1;
    buf->cap = buf->len;

    return NULL;
}


void
knock_buf_add_uint(knock_buf_t *buf, uint64_t n)
{
    unsigned char  *p, digits[sizeof("18446744073709551615") - 1];

    p = digits + sizeof(digits);

    do {
        *--p = (unsigned char) ('0' + n % 10);
        n /= 10;
    } while (n != 0);

    knock_buf_add(buf, p, (size_t) (digits + sizeof(digits) - p));
}


void
knock_buf_add_bits(knock_buf_t *buf, size_t n, unsigned bits)
{
    while (bits) {
        bits -= 8;
        knock_buf_add_char(buf, (char) (n >> bits & 0xff));
    }
}


void
knock_buf_add_json(knock_buf_t *buf, const knock_str_t *str)
{
    unsigned char         escape[KNOCK_BUF_ESCAPE];
    const unsigned char  *p, *from, *end;

    knock_buf_add_char(buf, '"');

    from = str->data;
    end = from + str->len;

    for (p = knock_buf_plain(from, end);
         p < end;
         p = knock_buf_plain(from, end))
    {
        knock_buf_add(buf, from, (size_t) (p - from));
        knock_buf_add(buf, escape, knock_buf_escape(*p, escape));

        from = p + 1;
    }

    knock_buf_add(buf, from, (size_t) (end - from));
    knock_buf_add_char(buf, '"');
}


/* passes over bytes that need no escape, 8 at a time, the last ones too */

static const unsigned char *
knock_buf_plain(const unsigned char *p, const unsigned char *end)
{
    if (end - p >= KNOCK_BUF_WORD) {

        for ( /* void */ ; end - p > KNOCK_BUF_WORD; p += KNOCK_BUF_WORD) {
            if (knock_buf_special(p)) {
                goto found;
            }
        }

        if (!knock_buf_special(end - KNOCK_BUF_WORD)) {
            return end;
        }
    }

found:

    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/*
 * Not 0 if there is one among 8 bytes that needs an escape: x - ones borrows
 * into the high bit of a byte where x has a zero.
 */

static inline uint64_t
knock_buf_special(const unsigned char *p)
{
    uint64_t  bytes, quote, backslash;

    const uint64_t  ones = 0x0101010101010101;
    const uint64_t  highs = 0x8080808080808080;

    memcpy(&bytes, p, sizeof(bytes));

    quote = bytes ^ (ones * '"');
    backslash = bytes ^ (ones * '\\');

    return (((bytes - ones * 0x20) & ~bytes)
            | ((quote - ones) & ~quote)
            | ((backslash - ones) & ~backslash))
           & highs;
}


int
knock_buf_str(const knock_buf_t *buf, knock_str_t *str)
{
    if (buf->failed) {
        return KNOCK_ERROR;
    }

    str->len = buf->len;
    str->data = buf->data;

    return KNOCK_OK;
}


/* the escape sequence of a byte that needs one; returns its length */

static size_t
knock_buf_escape(unsigned char c, unsigned char *out)
{
    out[0] = '\\';

    switch (c) {

    case '"':
    case '\\':
        out[1] = c;
        return 2;

    case '\b':
        out[1] = 'b';
        return 2;

    case '\f':
        out[1] = 'f';
        return 2;

    case '\n':
        out[1] = 'n';
        return 2;

    case '\r':
        out[1] = 'r';
        return 2;

    case '\t':
        out[1] = 't';
        return 2;

    default:
        out[1] = 'u';
        out[2] = '0';
        out[3] = '0';
        out[4] = (unsigned char) knock_buf_hex[c >> 4];
        out[5] = (unsigned char) knock_buf_hex[c & 0xf];
        return 6;
    }
}
