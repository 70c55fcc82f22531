
/*
 * Strings that were chosen to collide in Redis.  Lua, in which Redis runs
 * functions, keeps every string in one hash table, under a hash that has no
 * seed and is easily led to where one likes: a body of 7 MB that does so keeps
 * Redis from everything else for more than half a minute.  Here the strings
 * that events bring are put into such a table beforehand, and an event that
 * makes one of its chains too long is refused.
 */

#ifndef KNOCK_FLOOD_H
#define KNOCK_FLOOD_H


#include "knock_event.h"


#define KNOCK_FLOOD_FREE     8192       /* values of a body, let pass unseen */
#define KNOCK_FLOOD_LONGEST  1024       /* bytes: of longer ones few fit in */
#define KNOCK_FLOOD_CHAINS   16384
#define KNOCK_FLOOD_CHAIN    64         /* strings, and four times the mean */


typedef struct knock_flood_string_s  knock_flood_string_t;


/* of one body */

typedef struct {
    knock_arena_t          *arena;
    knock_flood_string_t  **chains;     /* NULL: nothing has been kept yet */
    size_t                  seen;       /* values of all events */
    size_t                  n;          /* strings that are kept */
} knock_flood_t;


/* the arena must outlive it, and the text of the events too */
void knock_flood_init(knock_flood_t *flood, knock_arena_t *arena);

/*
 * Looks at what of an event can become a field of a user or an object: names
 * and values of the traits, and of whatever has an "id".  KNOCK_OK, or
 * KNOCK_ERROR with KNOCK_E_INVALID_EVENT, or KNOCK_E_INTERNAL: no memory.
 * Linear in the event's length.
 */
int knock_flood_event(knock_flood_t *flood, const knock_event_t *event,
    knock_error_t *err);


#endif /* KNOCK_FLOOD_H */
