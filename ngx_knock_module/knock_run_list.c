
#include "knock_run_list.h"
#include "knock_buf.h"


/* digits of an offset, which Redis takes as a number */
#define KNOCK_RUN_OFFSET  9

/* what each shard is asked for at least, as it may have more than its share */
#define KNOCK_RUN_SHARE   16


static size_t knock_run_newest(const knock_run_slice_t *slices,
    const size_t *taken, size_t nshards);
static int knock_run_compare(const knock_str_t *one, const knock_str_t *two);
static void knock_run_list_head(knock_buf_t *buf,
    const knock_run_slice_t *slices, size_t nshards);
static void knock_run_list_cursor(knock_buf_t *buf,
    const knock_run_slice_t *slices, const size_t *taken, size_t nshards);


int
knock_run_cursor(const knock_str_t *cursor, knock_run_slice_t *slices,
    size_t nshards, knock_error_t *err)
{
    size_t                i, digits;
    const unsigned char  *p, *end;

    p = cursor->data;
    end = p + cursor->len;

    for (i = 0; i < nshards; i++) {
        slices[i].offset = 0;

        if (cursor->len == 0) {
            continue;
        }

        for (digits = 0; p < end && *p >= '0' && *p <= '9'; p++, digits++) {
            if (digits == KNOCK_RUN_OFFSET) {
                goto invalid;
            }

            slices[i].offset = slices[i].offset * 10 + (*p - '0');
        }

        if (digits == 0) {
            goto invalid;
        }

        if (i + 1 < nshards && (p == end || *p++ != '.')) {
            goto invalid;
        }
    }

    if (p == end) {
        return KNOCK_OK;
    }

invalid:

    return knock_error_set(err, KNOCK_E_INVALID_CURSOR,
                           "no list of runs answered the cursor \"%.*s\": "
                           "leave it out to begin anew",
                           (int) cursor->len, (const char *) cursor->data);
}


size_t
knock_run_wanted(size_t limit, size_t nshards)
{
    size_t  n;

    if (nshards == 1) {
        return limit;
    }

    n = limit / nshards * 2 + KNOCK_RUN_SHARE;

    return n < limit ? n : limit;
}


int
knock_run_list(knock_arena_t *arena, knock_run_slice_t *slices,
    size_t nshards, size_t limit, knock_str_t *json)
{
    size_t                     n, i, *taken;
    knock_buf_t                buf;
    const knock_listed_run_t  *run;

    taken = knock_arena_calloc(arena, nshards, sizeof(size_t));
    if (taken == NULL) {
        return KNOCK_ERROR;
    }

    knock_buf_init(&buf, arena, 4096);

    knock_run_list_head(&buf, slices, nshards);

    for (n = 0; n < limit; n++) {

        i = knock_run_newest(slices, taken, nshards);

        if (i == nshards) {
            break;
        }

        run = &slices[i].runs[taken[i]++];

        if (n) {
            knock_buf_add_char(&buf, ',');
        }

        knock_buf_add_str(&buf, &run->text);
    }

    knock_run_list_cursor(&buf, slices, taken, nshards);

    return knock_buf_str(&buf, json);
}


/*
 * The shard that has the next one; nshards: none has, or one would have to be
 * asked again.
 */

static size_t
knock_run_newest(const knock_run_slice_t *slices, const size_t *taken,
    size_t nshards)
{
    size_t                     i, newest;
    const knock_listed_run_t  *run, *best;

    newest = nshards;
    best = NULL;

    for (i = 0; i < nshards; i++) {

        if (taken[i] == slices[i].n) {
            if (slices[i].offset + taken[i] < slices[i].length) {
                return nshards;
            }

            continue;
        }

        run = &slices[i].runs[taken[i]];

        if (best == NULL || knock_run_compare(&run->at, &best->at) > 0) {
            best = run;
            newest = i;
        }
    }

    return newest;
}


/* times of RFC 3339 in UTC, of one length, are in order as text */

static int
knock_run_compare(const knock_str_t *one, const knock_str_t *two)
{
    int     rc;
    size_t  len;

    len = one->len < two->len ? one->len : two->len;
    rc = memcmp(one->data, two->data, len);

    if (rc == 0) {
        return one->len == two->len ? 0 : one->len < two->len ? -1 : 1;
    }

    return rc;
}


static void
knock_run_list_head(knock_buf_t *buf, const knock_run_slice_t *slices,
    size_t nshards)
{
    size_t              i;
    uint64_t            length;
    const knock_str_t  *oldest;

    length = 0;
    oldest = NULL;

    for (i = 0; i < nshards; i++) {
        length += slices[i].length;

        if (knock_str_is(&slices[i].oldest, "null")) {
            continue;
        }

        if (oldest == NULL
            || knock_run_compare(&slices[i].oldest, oldest) < 0)
        {
            oldest = &slices[i].oldest;
        }
    }

    knock_buf_add_lit(buf, "{\"length\":");
    knock_buf_add_uint(buf, length);
    knock_buf_add_lit(buf, ",\"oldest_at\":");

    if (oldest) {
        knock_buf_add_str(buf, oldest);

    } else {
        knock_buf_add_lit(buf, "null");
    }

    knock_buf_add_lit(buf, ",\"items\":[");
}


static void
knock_run_list_cursor(knock_buf_t *buf, const knock_run_slice_t *slices,
    const size_t *taken, size_t nshards)
{
    int     more;
    size_t  i;

    more = 0;

    for (i = 0; i < nshards; i++) {
        more |= slices[i].offset + taken[i] < slices[i].length;
    }

    knock_buf_add_lit(buf, "],\"cursor\":");

    if (!more) {
        knock_buf_add_lit(buf, "null}");
        return;
    }

    for (i = 0; i < nshards; i++) {
        knock_buf_add_char(buf, i ? '.' : '"');
        knock_buf_add_uint(buf, slices[i].offset + taken[i]);
    }

    knock_buf_add_lit(buf, "\"}");
}
