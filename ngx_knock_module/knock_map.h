
/*
 * A map from byte strings to pointers, in an arena.  Keys are not copied.
 * The hash is seeded per process, so that a sender who chooses the keys
 * cannot choose the collisions.  Look-up and insertion are O(1), growth
 * doubles.
 */

#ifndef KNOCK_MAP_H
#define KNOCK_MAP_H


#include "knock_arena.h"


typedef struct knock_map_s  knock_map_t;


/* an empty map with room for about `n` entries; NULL: no memory */
knock_map_t *knock_map_create(knock_arena_t *arena, size_t n);

/* the value of `key`, or NULL if it is not there */
void *knock_map_get(const knock_map_t *map, const knock_str_t *key);

/*
 * Sets `key` to `value` (not NULL), replacing what was there.  The key's
 * bytes must live as long as the map.  KNOCK_OK or KNOCK_ERROR: no memory.
 */
int knock_map_set(knock_map_t *map, const knock_str_t *key, void *value);

/* the hash that a map has for the key; senders cannot know it */
uint64_t knock_map_hash(const knock_str_t *key);

/* seeds the hash of this process; called once, before the first map */
void knock_map_seed(uint64_t seed);


#endif /* KNOCK_MAP_H */
