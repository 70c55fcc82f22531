
/*
 * A growing list of slices in an arena, for arguments of commands.  A failed
 * allocation is remembered, as knock_buf.h does: the one check stands at the
 * end.
 */

#ifndef KNOCK_STRS_H
#define KNOCK_STRS_H


#include "knock_arena.h"


typedef struct {
    knock_arena_t  *arena;
    knock_str_t    *items;
    size_t          n;
    size_t          cap;
    int             failed;
} knock_strs_t;


/* starts an empty list */
void knock_strs_init(knock_strs_t *strs, knock_arena_t *arena);

/* adds a slice, whose bytes are not copied; those of len 0 need not be there */
void knock_strs_add(knock_strs_t *strs, const knock_str_t *str);

/* adds a C string literal without its NUL */
#define knock_strs_add_lit(strs, text)                                       \
    knock_strs_add(strs, &(knock_str_t) knock_string(text))

/* adds the decimal digits of n, as a text in the arena */
void knock_strs_add_uint(knock_strs_t *strs, uint64_t n);

/* adds all slices of another list */
void knock_strs_join(knock_strs_t *strs, const knock_strs_t *more);


#endif /* KNOCK_STRS_H */
