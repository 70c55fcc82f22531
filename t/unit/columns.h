
/* for tests: what a call holds of its units, as one text */

#ifndef COLUMNS_H
#define COLUMNS_H


#include "knock_apply.h"


static void
columns_add(knock_buf_t *buf, const knock_strs_t *strs)
{
    size_t  i;

    knock_buf_add_lit(buf, " |");

    for (i = 0; i < strs->n; i++) {
        knock_buf_add_char(buf, ' ');

        if (strs->items[i].len == 0) {
            knock_buf_add_lit(buf, "''");
        }

        knock_buf_add_str(buf, &strs->items[i]);
    }
}


/* the strings of packs, as MessagePack's raw strings */

static void
columns_add_packs(knock_buf_t *buf, const knock_strs_t *packs)
{
    size_t          i, n;
    knock_str_t     s;
    knock_strs_t    strings;
    unsigned char  *p, *end;

    knock_strs_init(&strings, buf->arena);

    for (i = 0; i < packs->n; i++) {
        p = packs->items[i].data;
        end = p + packs->items[i].len;

        while (p < end) {
            n = *p == 0xda ? 2 : *p == 0xdb ? 4 : 0;
            s.len = n ? 0 : *p & 0x1f;

            for (p++; n; n--) {
                s.len = s.len << 8 | *p++;
            }

            s.data = p;
            p += s.len;

            knock_strs_add(&strings, &s);
        }
    }

    columns_add(buf, &strings);
}


/*
 * The numbers, then behind a '|' each the fields, runs, logs, event keys with
 * their samples, and texts; '' is one without bytes.
 */

static inline const char *
columns(const knock_apply_t *apply)
{
    knock_buf_t           buf;
    knock_strs_t          counts;
    const knock_count_t  *count;

    knock_buf_init(&buf, apply->arena, 256);
    knock_strs_init(&counts, apply->arena);

    for (count = apply->counts.first; count; count = count->next) {
        knock_strs_add(&counts, &count->key);
        knock_strs_add(&counts, &count->sample);
    }

    if (apply->numbers.len) {
        knock_buf_add(&buf, apply->numbers.data + 1, apply->numbers.len - 1);
    }

    columns_add_packs(&buf, &apply->packs);
    columns_add(&buf, &apply->runs);
    columns_add(&buf, &apply->logs);
    columns_add(&buf, &counts);
    columns_add(&buf, &apply->texts);
    knock_buf_add_char(&buf, '\0');

    return buf.failed || counts.failed ? "no memory" : (char *) buf.data;
}


#endif /* COLUMNS_H */
