
#include "knock_strs.h"
#include "knock_buf.h"


#define KNOCK_STRS_MIN  16


static int knock_strs_room(knock_strs_t *strs, size_t n);


void
knock_strs_init(knock_strs_t *strs, knock_arena_t *arena)
{
    memset(strs, 0, sizeof(knock_strs_t));
    strs->arena = arena;
}


void
knock_strs_add(knock_strs_t *strs, const knock_str_t *str)
{
    if (knock_strs_room(strs, 1) != KNOCK_OK) {
        return;
    }

    strs->items[strs->n].len = str->len;
    strs->items[strs->n].data = str->data ? str->data : (unsigned char *) "";
    strs->n++;
}


void
knock_strs_add_uint(knock_strs_t *strs, uint64_t n)
{
    knock_buf_t  buf;
    knock_str_t  digits;

    knock_buf_init(&buf, strs->arena, sizeof("18446744073709551615"));
    knock_buf_add_uint(&buf, n);

    if (knock_buf_str(&buf, &digits) != KNOCK_OK) {
        strs->failed = 1;
        return;
    }

    knock_strs_add(strs, &digits);
}


void
knock_strs_join(knock_strs_t *strs, const knock_strs_t *more)
{
    if (more->failed) {
        strs->failed = 1;
    }

    if (more->n == 0 || knock_strs_room(strs, more->n) != KNOCK_OK) {
        return;
    }

    memcpy(strs->items + strs->n, more->items, more->n * sizeof(knock_str_t));
    strs->n += more->n;
}


static int
knock_strs_room(knock_strs_t *strs, size_t n)
{
    size_t        cap;
    knock_str_t  *items;

    if (strs->failed) {
        return KNOCK_ERROR;
    }

    if (n <= strs->cap - strs->n) {
        return KNOCK_OK;
    }

    cap = strs->cap ? strs->cap : KNOCK_STRS_MIN;

    while (cap - strs->n < n) {
        cap *= 2;
    }

    items = knock_arena_realloc(strs->arena, strs->items,
                                strs->cap * sizeof(knock_str_t),
                                cap * sizeof(knock_str_t));
    if (items == NULL) {
        strs->failed = 1;
        return KNOCK_ERROR;
    }

    strs->items = items;
    strs->cap = cap;

    return KNOCK_OK;
}
