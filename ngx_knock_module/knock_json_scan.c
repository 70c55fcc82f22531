
/*
 * The strings of JSON that are more than plain ASCII: escapes and UTF-8; and
 * how the reader words what it refuses.
 */

#include <stdio.h>
#include "knock_json_scan.h"


static unsigned char *knock_json_scan_escape(knock_json_parser_t *ps,
    unsigned char *p);
static unsigned char *knock_json_scan_utf8(knock_json_parser_t *ps,
    unsigned char *p);


unsigned char *
knock_json_scan_special(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    for ( ;; ) {

        if (p == ps->end) {
            return knock_json_expected(ps, p, "the end of a string");
        }

        if (*p == '"') {
            return p;
        }

        if (*p == '\\') {
            token->escaped = 1;
            p = knock_json_scan_escape(ps, p);

        } else if (*p >= 0x80) {
            p = knock_json_scan_utf8(ps, p);

        } else {
            p = knock_json_refuse(ps, p, "a control character in a string "
                                  "must be escaped");
        }

        if (p == NULL) {
            return NULL;
        }

        p = knock_json_scan_plain(ps, p);
    }
}


static unsigned char *
knock_json_scan_escape(knock_json_parser_t *ps, unsigned char *p)
{
    uint32_t  unit;

    switch (knock_json_peek(ps, p + 1)) {

    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;

    case 'u':
        break;

    default:
        return knock_json_expected(ps, p + 1, "one of \"\\/bfnrtu after '\\'");
    }

    if (knock_json_unit(p, ps->end, &unit) != KNOCK_OK) {
        return knock_json_refuse(ps, p, "expected four hex digits "
                                 "after '\\u'");
    }

    if (unit < 0xd800 || unit > 0xdfff) {
        return p + 6;
    }

    /* a high surrogate, and a low one right behind it */

    if (unit > 0xdbff
        || knock_json_unit(p + 6, ps->end, &unit) != KNOCK_OK
        || unit < 0xdc00 || unit > 0xdfff)
    {
        return knock_json_refuse(ps, p, "a surrogate escape without its pair "
                                 "is no character");
    }

    return p + 12;
}


/* passes over a run of UTF-8 sequences: RFC 3629, section 4 */

static unsigned char *
knock_json_scan_utf8(knock_json_parser_t *ps, unsigned char *p)
{
    size_t         i, n;
    unsigned char  c, low, high;

    for ( /* void */ ; p < ps->end && *p >= 0x80; p += n) {
        c = *p;

        /* the second byte's range excludes overlong forms and surrogates */

        low = 0x80;
        high = 0xbf;

        if (c < 0xc2 || c > 0xf4) {
            n = 0;

        } else if (c < 0xe0) {
            n = 2;

        } else if (c < 0xf0) {
            n = 3;
            low = (c == 0xe0) ? 0xa0 : low;
            high = (c == 0xed) ? 0x9f : high;

        } else {
            n = 4;
            low = (c == 0xf0) ? 0x90 : low;
            high = (c == 0xf4) ? 0x8f : high;
        }

        if (n == 0 || (size_t) (ps->end - p) < n || p[1] < low || p[1] > high) {
            return knock_json_refuse(ps, p, "a string must be valid UTF-8");
        }

        for (i = 2; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return knock_json_refuse(ps, p,
                                         "a string must be valid UTF-8");
            }
        }
    }

    return p;
}


int
knock_json_unit(const unsigned char *p, const unsigned char *end,
    uint32_t *unit)
{
    size_t         i;
    uint32_t       n;
    unsigned char  c;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return KNOCK_ERROR;
    }

    n = 0;

    for (i = 2; i < 6; i++) {
        c = p[i];

        if (knock_json_is_digit(c)) {
            n = n * 16 + (uint32_t) (c - '0');
            continue;
        }

        c |= 0x20;

        if (c < 'a' || c > 'f') {
            return KNOCK_ERROR;
        }

        n = n * 16 + (uint32_t) (c - 'a' + 10);
    }

    *unit = n;

    return KNOCK_OK;
}


unsigned char *
knock_json_expected(knock_json_parser_t *ps, unsigned char *p,
    const char *what)
{
    char    found[sizeof("the end of the text")];
    size_t  offset;

    if (p == ps->end) {
        (void) snprintf(found, sizeof(found), "the end of the text");

    } else if (*p > 0x20 && *p < 0x7f) {
        (void) snprintf(found, sizeof(found), "'%c'", *p);

    } else {
        (void) snprintf(found, sizeof(found), "byte 0x%02x", *p);
    }

    offset = (size_t) (p - ps->start);

    (void) knock_error_set(ps->err, KNOCK_E_INVALID_JSON,
                           "byte %zu: expected %s, found %s",
                           offset, what, found);

    ps->err->offset = offset;

    return NULL;
}


unsigned char *
knock_json_refuse(knock_json_parser_t *ps, unsigned char *p, const char *why)
{
    size_t  offset;

    offset = (size_t) (p - ps->start);

    (void) knock_error_set(ps->err, KNOCK_E_INVALID_JSON, "byte %zu: %s",
                           offset, why);

    ps->err->offset = offset;

    return NULL;
}
