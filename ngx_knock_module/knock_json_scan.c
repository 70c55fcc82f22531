
/* The strings of JSON that are more than plain ASCII: escapes and UTF-8. */

#include "knock_json_scan.h"


#define KNOCK_JSON_REPLACEMENT  "\\ufffd"


static unsigned char *knock_json_scan_escape(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static int knock_json_is_pair(const unsigned char *p,
    const unsigned char *end, uint32_t unit);
static void knock_json_replace_string(unsigned char *p, unsigned char *end);
static unsigned char *knock_json_scan_utf8(knock_json_parser_t *ps,
    unsigned char *p);


unsigned char *
knock_json_scan_special(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    for ( ;; ) {

        if (p == ps->end) {
            return knock_json_refuse(ps, p, KNOCK_JSON_NO_QUOTE);
        }

        if (*p == '"') {
            return p;
        }

        if (*p == '\\') {
            token->escaped |= KNOCK_JSON_ESCAPED;
            p = knock_json_scan_escape(ps, p, token);

        } else if (*p >= 0x80) {
            p = knock_json_scan_utf8(ps, p);

        } else {
            p = knock_json_refuse(ps, p, KNOCK_JSON_CONTROL);
        }

        if (p == NULL) {
            return NULL;
        }

        p = knock_json_scan_plain(ps, p);
    }
}


static unsigned char *
knock_json_scan_escape(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
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
        return knock_json_refuse(ps, p + 1, KNOCK_JSON_NO_ESCAPE);
    }

    if (knock_json_unit(p, ps->end, &unit) != KNOCK_OK) {
        return knock_json_refuse(ps, p, KNOCK_JSON_HEX);
    }

    if (unit < 0xd800 || unit > 0xdfff) {
        return p + 6;
    }

    if (knock_json_is_pair(p, ps->end, unit)) {
        return p + 12;
    }

    if (!ps->lone) {
        return knock_json_refuse(ps, p, KNOCK_JSON_SURROGATE);
    }

    ps->replaced = 1;
    token->escaped |= KNOCK_JSON_REPLACED;

    return p + 6;
}


/* whether the escape at p is a high surrogate with a low one right behind it */

static int
knock_json_is_pair(const unsigned char *p, const unsigned char *end,
    uint32_t unit)
{
    return unit <= 0xdbff
           && knock_json_unit(p + 6, end, &unit) == KNOCK_OK
           && unit >= 0xdc00 && unit <= 0xdfff;
}


int
knock_json_replace(knock_json_parser_t *ps)
{
    knock_str_t    text, copy;
    knock_json_t  *token;

    text.len = (size_t) (ps->end - ps->start);
    text.data = ps->start;

    if (knock_arena_dup(ps->arena, &text, &copy) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    for (token = ps->tokens; token < ps->next; token++) {
        token->data = copy.data + (token->data - text.data);

        if (token->type == KNOCK_JSON_STRING
            && token->escaped & KNOCK_JSON_REPLACED)
        {
            knock_json_replace_string(token->data + 1,
                                      token->data + token->len - 1);
        }
    }

    return KNOCK_OK;
}


/* an escape of a surrogate is as long as the one that takes its place */

static void
knock_json_replace_string(unsigned char *p, unsigned char *end)
{
    uint32_t  unit;

    while (p < end) {

        if (*p != '\\') {
            p++;

        } else if (knock_json_unit(p, end, &unit) != KNOCK_OK) {
            p += 2;

        } else if (unit < 0xd800 || unit > 0xdfff) {
            p += 6;

        } else if (knock_json_is_pair(p, end, unit)) {
            p += 12;

        } else {
            memcpy(p, KNOCK_JSON_REPLACEMENT, 6);
            p += 6;
        }
    }
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
            return knock_json_refuse(ps, p, KNOCK_JSON_UTF8);
        }

        for (i = 2; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return knock_json_refuse(ps, p, KNOCK_JSON_UTF8);
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
