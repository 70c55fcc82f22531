
/*
 * The arena: the one allocator of the pure layer.  What a request needs is
 * taken from an arena and given back all at once by a reset; nothing is freed
 * by itself.  Memory is returned uninitialised unless said otherwise and
 * aligned to 8 bytes.
 */

#ifndef KNOCK_ARENA_H
#define KNOCK_ARENA_H


#include "knock_str.h"


typedef struct knock_arena_s  knock_arena_t;


/* a new arena whose first block holds `size` bytes; NULL: no memory */
knock_arena_t *knock_arena_create(size_t size);

/* gives back the arena and all that was taken from it; NULL is allowed */
void knock_arena_destroy(knock_arena_t *arena);

/*
 * Gives back all that was taken.  The first block is kept, later ones are
 * freed, so that one large request does not leave a large worker behind.
 */
void knock_arena_reset(knock_arena_t *arena);

/* `size` bytes, or NULL: no memory; a size of 0 gives a valid pointer */
void *knock_arena_alloc(knock_arena_t *arena, size_t size);

/* the same, zeroed; `n * size` is checked for overflow */
void *knock_arena_calloc(knock_arena_t *arena, size_t n, size_t size);

/*
 * Makes a piece of `old` bytes `size` bytes long: in place if it is the last
 * one taken, else by a copy.  `p` NULL with old 0 is an alloc.
 */
void *knock_arena_realloc(knock_arena_t *arena, void *p, size_t old,
    size_t size);

/* bytes held from the system, for tests and metrics */
size_t knock_arena_size(const knock_arena_t *arena);

/* copies a slice into the arena; KNOCK_OK or KNOCK_ERROR: no memory */
int knock_arena_dup(knock_arena_t *arena, const knock_str_t *src,
    knock_str_t *dst);


#endif /* KNOCK_ARENA_H */
