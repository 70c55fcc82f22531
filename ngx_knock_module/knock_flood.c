
/*
 * A string is told from others by Lua's hash and half of ours, which is
 * seeded; these stand in a table of open addressing that is at most half full.
 * Chains are only counted.  There are as many as strings, as in Lua's table.
 */

#include "knock_flood.h"
#include "knock_map.h"


#define KNOCK_FLOOD_SLOTS  4096


static int knock_flood_grow(knock_flood_t *flood);
static void knock_flood_count(knock_flood_t *flood, uint64_t print);
static uint64_t *knock_flood_slot(const knock_flood_t *flood, uint64_t print);
static uint32_t knock_flood_hash(const knock_str_t *str);


void
knock_flood_init(knock_flood_t *flood, knock_arena_t *arena)
{
    memset(flood, 0, sizeof(knock_flood_t));

    flood->arena = arena;
}


int
knock_flood_expect(knock_flood_t *flood, size_t n)
{
    flood->seen += n;

    return flood->seen > KNOCK_FLOOD_FREE;
}


int
knock_flood_string(knock_flood_t *flood, const knock_str_t *str)
{
    uint32_t  hash;
    uint64_t  print, *slot;

    if (flood->n == flood->nslots / 2 && knock_flood_grow(flood) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    hash = knock_flood_hash(str);

    /* none is 0, which a free slot is */

    print = (knock_map_hash(str) | 1) << 32 | hash;
    slot = knock_flood_slot(flood, print);

    if (*slot) {
        return KNOCK_OK;
    }

    if (flood->chains[hash & (flood->nchains - 1)] >= KNOCK_FLOOD_CHAIN) {
        return KNOCK_DECLINED;
    }

    *slot = print;
    flood->n++;

    knock_flood_count(flood, print);

    return KNOCK_OK;
}


/* where there are more chains each is cut in two: they are counted anew */

static int
knock_flood_grow(knock_flood_t *flood)
{
    size_t     i, n;
    uint64_t  *slots;

    n = flood->nslots;
    slots = flood->slots;

    flood->nslots = n ? 2 * n : KNOCK_FLOOD_SLOTS;
    flood->nchains = KNOCK_FLOOD_CHAINS;

    if (flood->nchains < flood->nslots / 2) {
        flood->nchains = flood->nslots / 2;
    }

    flood->chains = knock_arena_calloc(flood->arena, flood->nchains, 1);
    flood->slots = knock_arena_calloc(flood->arena, flood->nslots,
                                      sizeof(uint64_t));

    if (flood->chains == NULL || flood->slots == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (slots[i]) {
            *knock_flood_slot(flood, slots[i]) = slots[i];
            knock_flood_count(flood, slots[i]);
        }
    }

    return KNOCK_OK;
}


static void
knock_flood_count(knock_flood_t *flood, uint64_t print)
{
    flood->chains[print & (flood->nchains - 1)]++;
}


/* the slot of a string, or the free one where it would go: by our hash */

static uint64_t *
knock_flood_slot(const knock_flood_t *flood, uint64_t print)
{
    size_t  i, mask;

    mask = flood->nslots - 1;

    for (i = print >> 33 & mask; flood->slots[i] && flood->slots[i] != print;
         i = (i + 1) & mask)
    {
        /* void */
    }

    return &flood->slots[i];
}


/* as Lua in Redis 7 and in Valkey does it: all bytes, from the last one on */

static uint32_t
knock_flood_hash(const knock_str_t *str)
{
    size_t    i;
    uint32_t  h;

    h = (uint32_t) str->len;

    for (i = str->len; i; i--) {
        h ^= (h << 5) + (h >> 2) + str->data[i - 1];
    }

    return h;
}
