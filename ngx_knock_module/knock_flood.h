
/*
 * Strings that were chosen to collide in Redis.  Lua, in which Redis runs
 * functions, keeps every string in one hash table, under a hash that has no
 * seed and is easily led to where one likes: a body of 7 MB that does so keeps
 * Redis from everything else for more than half a minute.  Here the strings
 * that a body brings are counted into the chains of such a table beforehand,
 * and an event that would make one too long is refused.
 */

#ifndef KNOCK_FLOOD_H
#define KNOCK_FLOOD_H


#include "knock_arena.h"


#define KNOCK_FLOOD_FREE     1024       /* strings of a body, let pass unseen */
#define KNOCK_FLOOD_CHAINS   16384      /* or as many as there are strings */
#define KNOCK_FLOOD_CHAIN    32         /* strings; by chance it is 10 or so */


/* of one body */

typedef struct {
    knock_arena_t  *arena;
    uint64_t       *slots;      /* NULL: nothing has been looked at yet */
    size_t          nslots;
    unsigned char  *chains;     /* strings in each */
    size_t          nchains;
    size_t          n;          /* distinct strings */
    size_t          seen;       /* strings, whether looked at or not */
} knock_flood_t;


/* the arena must outlive it */
void knock_flood_init(knock_flood_t *flood, knock_arena_t *arena);

/* n more strings come: 1 if they are to be looked at, 0: they are too few */
int knock_flood_expect(knock_flood_t *flood, size_t n);

/*
 * Looks at a string that Lua will be given, alone or in a table.  Its bytes
 * are not needed any more then.  KNOCK_OK; KNOCK_DECLINED: its chain is too
 * long; KNOCK_ERROR: no memory.  O(1), and linear in the string's length.
 */
int knock_flood_string(knock_flood_t *flood, const knock_str_t *str);


#endif /* KNOCK_FLOOD_H */
