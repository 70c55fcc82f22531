
/*
 * The arena is a list of blocks, the newest first, and a piece is cut from
 * the newest by moving a pointer.  The first block is the last of the list
 * and stays through resets.
 *
 * Built with AddressSanitizer, what has not been taken is poisoned, and a gap
 * is left behind each piece, so that a read past its end is seen.
 */

#include <stdlib.h>
#include "knock_arena.h"

#if !defined(__SANITIZE_ADDRESS__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__  1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)

#include <sanitizer/asan_interface.h>

#define KNOCK_ARENA_GAP         8
#define knock_arena_show(p, n)  __asan_unpoison_memory_region(p, n)

/* a function: gcc warns where bytes that were never set go in as const */

static void __attribute__((noinline))
knock_arena_hide(void *p, size_t n)
{
    __asan_poison_memory_region(p, n);
}

#else

#define KNOCK_ARENA_GAP         0
#define knock_arena_show(p, n)
#define knock_arena_hide(p, n)

#endif


#define KNOCK_ARENA_ALIGN  8

#define knock_arena_up(size)                                                 \
    ((((size) + KNOCK_ARENA_ALIGN - 1) & ~(size_t) (KNOCK_ARENA_ALIGN - 1))  \
     + KNOCK_ARENA_GAP)


typedef struct knock_block_s  knock_block_t;

struct knock_block_s {
    knock_block_t  *next;
    unsigned char  *pos;
    unsigned char  *end;
    uint64_t        data[];         /* keeps the first piece aligned */
};


struct knock_arena_s {
    knock_block_t  *block;
    size_t          block_size;     /* of the first, and the least of others */
    size_t          size;
};


static knock_block_t *knock_block_create(size_t size);
static void knock_block_destroy(knock_block_t *block);
static void *knock_arena_alloc_slow(knock_arena_t *arena, size_t size)
    __attribute__((noinline));
static size_t knock_arena_round(size_t size);
static void *knock_arena_grow_block(knock_arena_t *arena, size_t size);


knock_arena_t *
knock_arena_create(size_t size)
{
    knock_arena_t  *arena;

    size = knock_arena_round(size);

    if (size == 0) {
        return NULL;
    }

    arena = malloc(sizeof(knock_arena_t));
    if (arena == NULL) {
        return NULL;
    }

    arena->block = knock_block_create(size);
    if (arena->block == NULL) {
        free(arena);
        return NULL;
    }

    arena->block_size = size;
    arena->size = size;

    return arena;
}


void
knock_arena_destroy(knock_arena_t *arena)
{
    knock_block_t  *block, *next;

    if (arena == NULL) {
        return;
    }

    for (block = arena->block; block != NULL; block = next) {
        next = block->next;
        knock_block_destroy(block);
    }

    free(arena);
}


void
knock_arena_reset(knock_arena_t *arena)
{
    knock_block_t  *block, *next;

    for (block = arena->block; block->next != NULL; block = next) {
        next = block->next;
        knock_block_destroy(block);
    }

    block->pos = (unsigned char *) block->data;
    knock_arena_hide(block->pos, (size_t) (block->end - block->pos));

    arena->block = block;
    arena->size = arena->block_size;
}


void *
knock_arena_alloc(knock_arena_t *arena, size_t size)
{
    size_t          need, room;
    knock_block_t  *block;
    unsigned char  *p;

    block = arena->block;
    room = (size_t) (block->end - block->pos);

    /* what is 0 or could overflow is not below the room, and goes on */

    if (size - 1 < room) {
        need = knock_arena_up(size);

        if (need <= room) {
            p = block->pos;
            block->pos += need;

            knock_arena_show(p, size);

            return p;
        }
    }

    return knock_arena_alloc_slow(arena, size);
}


static void *
knock_arena_alloc_slow(knock_arena_t *arena, size_t size)
{
    size_t          need, block_size;
    knock_block_t  *block;
    unsigned char  *p;

    need = knock_arena_round(size);

    if (need == 0) {
        return NULL;
    }

    block = arena->block;

    if (need > (size_t) (block->end - block->pos)) {

        block_size = need > arena->block_size ? need : arena->block_size;

        block = knock_block_create(block_size);
        if (block == NULL) {
            return NULL;
        }

        block->next = arena->block;
        arena->block = block;
        arena->size += block_size;
    }

    p = block->pos;
    block->pos += need;

    knock_arena_show(p, size);

    return p;
}


void *
knock_arena_calloc(knock_arena_t *arena, size_t n, size_t size)
{
    void  *p;

    if (size != 0 && n > SIZE_MAX / size) {
        return NULL;
    }

    p = knock_arena_alloc(arena, n * size);
    if (p != NULL) {
        memset(p, 0, n * size);
    }

    return p;
}


void *
knock_arena_realloc(knock_arena_t *arena, void *p, size_t old, size_t size)
{
    size_t          need;
    knock_block_t  *block;
    unsigned char  *piece, *copy;

    if (p == NULL) {
        return knock_arena_alloc(arena, size);
    }

    need = knock_arena_round(size);

    if (need == 0) {
        return NULL;
    }

    block = arena->block;
    piece = p;

    if (piece + knock_arena_round(old) == block->pos) {

        if (need <= (size_t) (block->end - piece)) {
            knock_arena_hide(piece, (size_t) (block->pos - piece));
            knock_arena_show(piece, size);

            block->pos = piece + need;

            return p;
        }

        if (p == block->data && block->next != NULL) {
            return knock_arena_grow_block(arena, size);
        }
    }

    if (size <= old) {
        return p;
    }

    copy = knock_arena_alloc(arena, size);
    if (copy != NULL) {
        memcpy(copy, p, old);
    }

    return copy;
}


size_t
knock_arena_size(const knock_arena_t *arena)
{
    return arena->size;
}


int
knock_arena_dup(knock_arena_t *arena, const knock_str_t *src,
    knock_str_t *dst)
{
    unsigned char  *p;

    p = knock_arena_alloc(arena, src->len);
    if (p == NULL) {
        return KNOCK_ERROR;
    }

    if (src->len != 0) {
        memcpy(p, src->data, src->len);
    }

    dst->len = src->len;
    dst->data = p;

    return KNOCK_OK;
}


static knock_block_t *
knock_block_create(size_t size)
{
    knock_block_t  *block;

    block = malloc(sizeof(knock_block_t) + size);
    if (block == NULL) {
        return NULL;
    }

    block->next = NULL;
    block->pos = (unsigned char *) block->data;
    block->end = block->pos + size;

    knock_arena_hide(block->pos, size);

    return block;
}


static void
knock_block_destroy(knock_block_t *block)
{
    knock_arena_show(block->data,
                     (size_t) (block->end - (unsigned char *) block->data));
    free(block);
}


/*
 * What a piece of `size` bytes takes from its block, small enough to be added
 * to; 0: it is too large for any block.
 */

static size_t
knock_arena_round(size_t size)
{
    if (size > SIZE_MAX / 2) {
        return 0;
    }

    if (size == 0) {
        size = 1;
    }

    return knock_arena_up(size);
}


/*
 * A piece that has the newest block for itself grows with it: a long text
 * or token array that doubles again and again leaves no old copies behind.
 */

static void *
knock_arena_grow_block(knock_arena_t *arena, size_t size)
{
    size_t          need, had;
    knock_block_t  *block;

    need = knock_arena_round(size);
    block = arena->block;
    had = (size_t) (block->end - (unsigned char *) block->data);

    knock_arena_show(block->data, had);

    block = realloc(block, sizeof(knock_block_t) + need);
    if (block == NULL) {
        return NULL;
    }

    block->end = (unsigned char *) block->data + need;
    block->pos = block->end;

    knock_arena_hide(block->data, need);
    knock_arena_show(block->data, size);

    arena->block = block;
    arena->size += need - had;

    return block->data;
}
