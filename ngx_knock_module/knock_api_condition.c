
/*
 * What If-Match and If-None-Match ask for, as the library takes it: conditions
 * with a space between, "*" or ETags with commas between, behind a "!" where
 * the resource must have none of them.
 */

#include "knock_api_internal.h"


/* of what a header names, so that it matches nothing and is not empty */
#define KNOCK_API_NO_ETAG  "-"


static size_t knock_api_etag(const knock_str_t *list, size_t i,
    knock_str_t *etag);
static int knock_api_is_etag(const knock_str_t *etag);


void
knock_api_condition(knock_buf_t *buf, const knock_str_t *value, int none)
{
    size_t       i, len;
    knock_str_t  etag;

    if (buf->len != 0) {
        knock_buf_add_char(buf, ' ');
    }

    if (none) {
        knock_buf_add_char(buf, '!');
    }

    if (knock_str_is(value, "*")) {
        knock_buf_add_char(buf, '*');
        return;
    }

    len = buf->len;

    for (i = 0; i < value->len; /* void */ ) {
        i = knock_api_etag(value, i, &etag);

        if (!knock_api_is_etag(&etag)) {
            continue;
        }

        if (buf->len != len) {
            knock_buf_add_char(buf, ',');
        }

        knock_buf_add_str(buf, &etag);
    }

    if (buf->len == len) {
        knock_buf_add_lit(buf, KNOCK_API_NO_ETAG);
    }
}


/*
 * The next of a list, from i on: in quotes with W/ before them or without, or
 * bare.  Gives where it ends.
 */

static size_t
knock_api_etag(const knock_str_t *list, size_t i, knock_str_t *etag)
{
    int             quoted;
    size_t          first;
    unsigned char  *p;

    p = list->data;

    while (p[i] == ' ' || p[i] == '\t' || p[i] == ',') {
        if (++i == list->len) {
            break;
        }
    }

    if (list->len - i > 2 && memcmp(p + i, "W/", 2) == 0) {
        i += 2;
    }

    quoted = i < list->len && p[i] == '"';
    i += quoted ? 1 : 0;

    for (first = i; i < list->len; i++) {
        if (quoted ? p[i] == '"' : p[i] == ',' || p[i] == ' ') {
            break;
        }
    }

    etag->data = p + first;
    etag->len = quoted && i == list->len ? 0 : i - first;

    return quoted && i < list->len ? i + 1 : i;
}


/* whether it may be one of the library's: those are hex */

static int
knock_api_is_etag(const knock_str_t *etag)
{
    size_t  i;

    for (i = 0; i < etag->len; i++) {
        if (knock_api_hex(etag->data[i]) < 0) {
            return 0;
        }
    }

    return etag->len != 0;
}


int
knock_api_condition_names(const knock_str_t *condition,
    const knock_str_t *etag)
{
    size_t       i;
    knock_str_t  one;

    if (knock_str_is(condition, "*")) {
        return etag->len != 0;
    }

    for (i = 0; i < condition->len; /* void */ ) {
        i = knock_api_etag(condition, i, &one);

        if (knock_str_eq(&one, etag)) {
            return 1;
        }
    }

    return 0;
}
