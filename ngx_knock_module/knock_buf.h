
/*
 * A growing text in an arena, for building JSON and other documents.  A
 * failed allocation is remembered: the appends after it do nothing, and the
 * one check stands at the end, in knock_buf_str().
 */

#ifndef KNOCK_BUF_H
#define KNOCK_BUF_H


#include "knock_arena.h"


typedef struct {
    knock_arena_t  *arena;
    unsigned char  *data;
    size_t          len;
    size_t          cap;        /* once it has failed: len */
    int             failed;
} knock_buf_t;


/* starts an empty text with room for `cap` bytes */
void knock_buf_init(knock_buf_t *buf, knock_arena_t *arena, size_t cap);

/* makes room for `len` more bytes; returns where, or NULL: no memory */
unsigned char *knock_buf_grow(knock_buf_t *buf, size_t len);

/* appends, inline: most are literals of a few bytes that there is room for */

static inline void
knock_buf_add(knock_buf_t *buf, const void *data, size_t len)
{
    unsigned char  *p;

    if (len == 0) {
        return;
    }

    p = (len <= buf->cap - buf->len) ? buf->data + buf->len
                                     : knock_buf_grow(buf, len);
    if (p == NULL) {
        return;
    }

    memcpy(p, data, len);
    buf->len += len;
}

static inline void
knock_buf_add_str(knock_buf_t *buf, const knock_str_t *str)
{
    knock_buf_add(buf, str->data, str->len);
}

static inline void
knock_buf_add_char(knock_buf_t *buf, char c)
{
    knock_buf_add(buf, &c, 1);
}

/* appends a C string literal without its NUL */
#define knock_buf_add_lit(buf, text)                                         \
    knock_buf_add(buf, text, sizeof(text) - 1)

/* appends the decimal digits of n */
void knock_buf_add_uint(knock_buf_t *buf, uint64_t n);

/* appends n in so many bits, 8 to 32, big-endian */
void knock_buf_add_bits(knock_buf_t *buf, size_t n, unsigned bits);

/*
 * Appends `str` as a JSON string, quotes included: RFC 8259, section 7.  The
 * bytes must be UTF-8; what is escaped is '"', '\' and the control characters.
 */
void knock_buf_add_json(knock_buf_t *buf, const knock_str_t *str);

/*
 * The text built so far, owned by the arena.  KNOCK_OK, or KNOCK_ERROR if
 * any append had no memory.
 */
int knock_buf_str(const knock_buf_t *buf, knock_str_t *str);


#endif /* KNOCK_BUF_H */
