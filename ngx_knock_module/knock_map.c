
/*
 * Open addressing with linear probing in a table of a power of two that is
 * at most half full.  The hash is SipHash-1-3, keyed from the process's
 * seed: senders choose the keys, and a weaker mix would let them choose the
 * collisions too.
 */

#include "knock_map.h"


#define KNOCK_MAP_MIN  8


typedef struct {
    uint64_t      hash;
    knock_str_t   key;
    void         *value;            /* NULL: the slot is free */
} knock_map_slot_t;


struct knock_map_s {
    knock_arena_t     *arena;
    knock_map_slot_t  *slots;
    size_t             mask;        /* slots - 1 */
    size_t             n;           /* entries */
};


static int knock_map_grow(knock_map_t *map);
static knock_map_slot_t *knock_map_slot(const knock_map_t *map,
    uint64_t hash, const knock_str_t *key);
static uint64_t knock_map_mix(uint64_t x);


static uint64_t  knock_map_key[2];


void
knock_map_seed(uint64_t seed)
{
    knock_map_key[0] = knock_map_mix(seed);
    knock_map_key[1] = knock_map_mix(~seed);
}


knock_map_t *
knock_map_create(knock_arena_t *arena, size_t n)
{
    size_t        size;
    knock_map_t  *map;

    if (n > SIZE_MAX / 4) {
        return NULL;
    }

    for (size = KNOCK_MAP_MIN; size / 2 < n; size *= 2) { /* void */ }

    map = knock_arena_alloc(arena, sizeof(knock_map_t));
    if (map == NULL) {
        return NULL;
    }

    map->slots = knock_arena_calloc(arena, size, sizeof(knock_map_slot_t));
    if (map->slots == NULL) {
        return NULL;
    }

    map->arena = arena;
    map->mask = size - 1;
    map->n = 0;

    return map;
}


void *
knock_map_get(const knock_map_t *map, const knock_str_t *key)
{
    return knock_map_slot(map, knock_map_hash(key), key)->value;
}


int
knock_map_set(knock_map_t *map, const knock_str_t *key, void *value)
{
    uint64_t           hash;
    knock_map_slot_t  *slot;

    hash = knock_map_hash(key);
    slot = knock_map_slot(map, hash, key);

    if (slot->value != NULL) {
        slot->value = value;
        return KNOCK_OK;
    }

    if (map->n > map->mask / 2) {

        if (knock_map_grow(map) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        slot = knock_map_slot(map, hash, key);
    }

    slot->hash = hash;
    slot->key = *key;
    slot->value = value;

    map->n++;

    return KNOCK_OK;
}


static int
knock_map_grow(knock_map_t *map)
{
    size_t             i, size;
    knock_map_t        grown;
    knock_map_slot_t  *from;

    size = map->mask + 1;

    if (size > SIZE_MAX / 2) {
        return KNOCK_ERROR;
    }

    grown.slots = knock_arena_calloc(map->arena, size * 2,
                                     sizeof(knock_map_slot_t));
    if (grown.slots == NULL) {
        return KNOCK_ERROR;
    }

    grown.arena = map->arena;
    grown.mask = size * 2 - 1;
    grown.n = map->n;

    for (i = 0; i < size; i++) {
        from = &map->slots[i];

        if (from->value != NULL) {
            *knock_map_slot(&grown, from->hash, &from->key) = *from;
        }
    }

    *map = grown;

    return KNOCK_OK;
}


/* the slot that holds the key, or else the free one where it would go */

static knock_map_slot_t *
knock_map_slot(const knock_map_t *map, uint64_t hash, const knock_str_t *key)
{
    size_t             i;
    knock_map_slot_t  *slot;

    for (i = (size_t) hash & map->mask; ; i = (i + 1) & map->mask) {
        slot = &map->slots[i];

        if (slot->value == NULL
            || (slot->hash == hash && knock_str_eq(&slot->key, key)))
        {
            return slot;
        }
    }
}


#define knock_map_rotate(x, n)  (((x) << (n)) | ((x) >> (64 - (n))))

#define knock_map_round(v)                                                   \
    v[0] += v[1];                                                            \
    v[2] += v[3];                                                            \
    v[1] = knock_map_rotate(v[1], 13) ^ v[0];                                \
    v[3] = knock_map_rotate(v[3], 16) ^ v[2];                                \
    v[0] = knock_map_rotate(v[0], 32);                                       \
    v[2] += v[1];                                                            \
    v[0] += v[3];                                                            \
    v[1] = knock_map_rotate(v[1], 17) ^ v[2];                                \
    v[3] = knock_map_rotate(v[3], 21) ^ v[0];                                \
    v[2] = knock_map_rotate(v[2], 32)


uint64_t
knock_map_hash(const knock_str_t *key)
{
    size_t                len;
    uint64_t              word, v[4];
    const unsigned char  *p;

    v[0] = knock_map_key[0] ^ 0x736f6d6570736575;
    v[1] = knock_map_key[1] ^ 0x646f72616e646f6d;
    v[2] = knock_map_key[0] ^ 0x6c7967656e657261;
    v[3] = knock_map_key[1] ^ 0x7465646279746573;

    p = key->data;

    /* words are read in the machine's order: hashes never leave the process */

    for (len = key->len; len >= sizeof(word); len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        p += sizeof(word);

        v[3] ^= word;
        knock_map_round(v);
        v[0] ^= word;
    }

    word = 0;

    if (len != 0) {
        memcpy(&word, p, len);
    }

    word ^= (uint64_t) key->len << 56;

    v[3] ^= word;
    knock_map_round(v);
    v[0] ^= word;

    v[2] ^= 0xff;
    knock_map_round(v);
    knock_map_round(v);
    knock_map_round(v);

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}


/* spreads the bits of the seed (the finaliser of splitmix64) */

static uint64_t
knock_map_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}
