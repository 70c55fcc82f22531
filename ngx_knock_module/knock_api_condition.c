
/*
 * What If-Match and If-None-Match ask for, as the library takes it: conditions
 * with a space between, "*" or ETags with commas between, behind a "!" where
 * the resource must have none of them.
 */

#include "knock_api_internal.h"


/* of what a header names, so that it matches nothing and is not empty */
#define KNOCK_API_NO_ETAG  "-"


static const unsigned char *knock_api_etag(const unsigned char *p,
    const unsigned char *end, knock_str_t *etag);
static int knock_api_is_etag(const knock_str_t *etag);


void
knock_api_condition(knock_buf_t *buf, const knock_str_t *value, int none)
{
    size_t                len;
    knock_str_t           etag;
    const unsigned char  *p, *end;

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

    p = value->data;
    end = p + value->len;
    len = buf->len;

    while (p < end) {
        p = knock_api_etag(p, end, &etag);

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


/* the next of a list, in quotes with W/ before them or without, or bare */

static const unsigned char *
knock_api_etag(const unsigned char *p, const unsigned char *end,
    knock_str_t *etag)
{
    int                   quoted;
    const unsigned char  *first;

    while (p < end && (*p == ' ' || *p == '\t' || *p == ',')) {
        p++;
    }

    if ((size_t) (end - p) > 2 && memcmp(p, "W/", 2) == 0) {
        p += 2;
    }

    quoted = p < end && *p == '"';
    first = p + quoted;

    for (p = first; p < end; p++) {
        if (quoted ? *p == '"' : *p == ',' || *p == ' ') {
            break;
        }
    }

    etag->data = (unsigned char *) first;
    etag->len = quoted && p == end ? 0 : (size_t) (p - first);

    return quoted && p < end ? p + 1 : p;
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
    knock_str_t           one;
    const unsigned char  *p, *end;

    if (knock_str_is(condition, "*")) {
        return etag->len != 0;
    }

    p = condition->data;
    end = p + condition->len;

    while (p < end) {
        p = knock_api_etag(p, end, &one);

        if (knock_str_eq(&one, etag)) {
            return 1;
        }
    }

    return 0;
}
