
/*
 * The string slice of the pure layer, laid out as nginx's ngx_str_t: a length
 * and bytes that need no terminating NUL and may hold any byte.  A slice owns
 * nothing: it points into a request body, a document or an arena, and is good
 * for as long as that is.
 */

#ifndef KNOCK_STR_H
#define KNOCK_STR_H


#include <stddef.h>
#include <stdint.h>
#include <string.h>


typedef struct {
    size_t          len;
    unsigned char  *data;
} knock_str_t;


/* return codes of the pure layer; KNOCK_ERROR comes with a filled error */

#define KNOCK_OK        0
#define KNOCK_ERROR    -1
#define KNOCK_DECLINED -5       /* what was looked for is not there */


#define knock_string(text)  { sizeof(text) - 1, (unsigned char *) (text) }
#define knock_null_string   { 0, NULL }

#define knock_str_set(str, text)                                             \
    (str)->len = sizeof(text) - 1; (str)->data = (unsigned char *) (text)


/* 1 if both slices hold the same bytes, else 0 */

static inline int
knock_str_eq(const knock_str_t *a, const knock_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


/* 1 if the slice holds exactly the C string's bytes, else 0 */

static inline int
knock_str_is(const knock_str_t *a, const char *text)
{
    size_t  len = strlen(text);

    return a->len == len && (len == 0 || memcmp(a->data, text, len) == 0);
}


#endif /* KNOCK_STR_H */
