
#include "knock_counts.h"


static knock_count_t *knock_counts_find(knock_counts_t *counts,
    size_t catalogue, const knock_str_t *key);


int
knock_counts_init(knock_counts_t *counts, knock_arena_t *arena)
{
    memset(counts, 0, sizeof(knock_counts_t));

    counts->arena = arena;
    counts->last = &counts->first;
    counts->map = knock_map_create(arena, 0);

    knock_buf_init(&counts->tally, arena, 16 * sizeof(void *));

    return counts->map && !counts->tally.failed ? KNOCK_OK : KNOCK_ERROR;
}


size_t
knock_counts_add(knock_counts_t *counts, size_t catalogue,
    const knock_str_t *key, const knock_str_t *sample, size_t event)
{
    void           *p;
    knock_count_t  *count;

    count = knock_counts_find(counts, catalogue, key);
    if (count == NULL) {
        return 0;
    }

    p = count;
    knock_buf_add(&counts->tally, &p, sizeof(p));

    if (counts->tally.failed) {
        counts->tally.failed = 0;
        return 0;
    }

    counts->nevents++;
    count->events++;

    if (sample->len) {
        count->sample = *sample;
        count->sampled = event;
    }

    return count->number;
}


static knock_count_t *
knock_counts_find(knock_counts_t *counts, size_t catalogue,
    const knock_str_t *key)
{
    knock_count_t  *first, *count;

    first = knock_map_get(counts->map, key);

    for (count = first; count; count = count->other) {
        if (count->catalogue == catalogue) {
            return count;
        }
    }

    count = knock_arena_calloc(counts->arena, 1, sizeof(knock_count_t));

    if (count == NULL || knock_map_set(counts->map, key, count) != KNOCK_OK) {
        return NULL;
    }

    count->number = ++counts->n;
    count->catalogue = catalogue;
    count->key = *key;
    count->other = first;

    *counts->last = count;
    counts->last = &count->next;

    return count;
}


void
knock_counts_rewind(knock_counts_t *counts, size_t nevents)
{
    void           *p;
    knock_count_t  *count;

    while (counts->nevents > nevents) {
        counts->nevents--;
        counts->tally.len -= sizeof(p);

        memcpy(&p, counts->tally.data + counts->tally.len, sizeof(p));
        count = p;

        count->events--;

        if (count->sampled) {
            count->sampled = 0;
            count->sample.len = 0;
        }
    }
}
