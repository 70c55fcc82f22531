
/*
 * Deep merge, the rule of an upsert: `over` is laid on `base`.  Members that
 * both have as objects merge by the same rule, anything else of `over`
 * replaces (null and arrays too), members of `base` that `over` does not name
 * stay.  Keys stand in base's order, then over's; each once, a duplicated
 * key's last value.  Texts of values are taken as written.
 *
 * Many objects can be laid on one, each at the price of its own size: what has
 * been merged is kept as a tree, whose text is written once.
 */

#ifndef KNOCK_JSON_MERGE_H
#define KNOCK_JSON_MERGE_H


#include "knock_json.h"


typedef struct knock_merge_s  knock_merge_t;


/*
 * Begins with `base`, an object whose tokens and text must live as long, as
 * must those of what is laid on it.  All is taken from the arena.  NULL: no
 * memory.
 */
knock_merge_t *knock_merge_create(knock_arena_t *arena,
    const knock_json_t *base);

/*
 * Lays an object on it.  Linear in the size of `over`, taking all calls
 * together also in that of `base`.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_merge_add(knock_merge_t *merge, const knock_json_t *over);

/*
 * The length that the text would have with `over` laid on it, at the same
 * price; nothing is changed.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_merge_measure(knock_merge_t *merge, const knock_json_t *over,
    size_t *len);

/* the length of the text as it is now */
size_t knock_merge_len(const knock_merge_t *merge);

/* the text, in `arena`; KNOCK_OK, or KNOCK_ERROR: no memory */
int knock_merge_text(const knock_merge_t *merge, knock_arena_t *arena,
    knock_str_t *text);

/*
 * The text of `base` with the one object `over` laid on it.  Both must be
 * objects.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_json_merge(knock_arena_t *arena, const knock_json_t *base,
    const knock_json_t *over, knock_str_t *merged);


#endif /* KNOCK_JSON_MERGE_H */
