
#include "knock_buf.h"


#define KNOCK_BUF_MIN  64


static unsigned char *knock_buf_room(knock_buf_t *buf, size_t len);
static size_t knock_buf_escape(unsigned char c, unsigned char *out);


static const char  knock_buf_hex[] = "0123456789abcdef";


void
knock_buf_init(knock_buf_t *buf, knock_arena_t *arena, size_t cap)
{
    buf->arena = arena;
    buf->len = 0;
    buf->cap = cap;
    buf->data = knock_arena_alloc(arena, cap);
    buf->failed = (buf->data == NULL);
}


void
knock_buf_add(knock_buf_t *buf, const void *data, size_t len)
{
    unsigned char  *p;

    if (len == 0) {
        return;
    }

    p = knock_buf_room(buf, len);
    if (p == NULL) {
        return;
    }

    memcpy(p, data, len);
    buf->len += len;
}


void
knock_buf_add_str(knock_buf_t *buf, const knock_str_t *str)
{
    knock_buf_add(buf, str->data, str->len);
}


void
knock_buf_add_char(knock_buf_t *buf, char c)
{
    unsigned char  *p;

    p = knock_buf_room(buf, 1);
    if (p == NULL) {
        return;
    }

    *p = (unsigned char) c;
    buf->len++;
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
knock_buf_add_json(knock_buf_t *buf, const knock_str_t *str)
{
    size_t          i, from;
    unsigned char   c, escape[6];

    knock_buf_add_char(buf, '"');

    from = 0;

    for (i = 0; i < str->len; i++) {
        c = str->data[i];

        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }

        knock_buf_add(buf, str->data + from, i - from);
        knock_buf_add(buf, escape, knock_buf_escape(c, escape));

        from = i + 1;
    }

    if (from < str->len) {
        knock_buf_add(buf, str->data + from, str->len - from);
    }

    knock_buf_add_char(buf, '"');
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


/* where the next `len` bytes go, or NULL if there is no memory for them */

static unsigned char *
knock_buf_room(knock_buf_t *buf, size_t len)
{
    size_t          cap;
    unsigned char  *data;

    if (buf->failed) {
        return NULL;
    }

    if (len <= buf->cap - buf->len) {
        return buf->data + buf->len;
    }

    if (len > SIZE_MAX / 4 || buf->cap > SIZE_MAX / 4) {
        buf->failed = 1;
        return NULL;
    }

    cap = buf->cap * 2 + KNOCK_BUF_MIN;

    if (cap < buf->len + len) {
        cap = buf->len + len;
    }

    data = knock_arena_realloc(buf->arena, buf->data, buf->cap, cap);
    if (data == NULL) {
        buf->failed = 1;
        return NULL;
    }

    buf->data = data;
    buf->cap = cap;

    return data + buf->len;
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
