
#include "json.h"

#include <string.h>


static const char *json_space(const char *p, const char *end);
static const char *json_skip(const char *p, const char *end);
static const char *json_skip_string(const char *p, const char *end);
static int json_hex(const char *p);
static size_t json_utf8(char *to, unsigned code);


int
json_member(json_slice_t *rest, json_slice_t *key, json_slice_t *value)
{
    const char  *p, *end;

    p = rest->data;
    end = p + rest->len;

    p = json_space(p, end);

    if (p == end) {
        return -1;
    }

    if (*p == '}') {
        return 0;
    }

    if (*p != '{' && *p != ',') {
        return -1;
    }

    p = json_space(p + 1, end);

    if (p < end && *p == '}') {
        return 0;
    }

    key->data = p;
    p = json_skip_string(p, end);

    if (p == NULL) {
        return -1;
    }

    key->len = (size_t) (p - key->data);

    p = json_space(p, end);

    if (p == end || *p != ':') {
        return -1;
    }

    p = json_space(p + 1, end);

    value->data = p;
    p = json_skip(p, end);

    if (p == NULL) {
        return -1;
    }

    value->len = (size_t) (p - value->data);

    rest->data = p;
    rest->len = (size_t) (end - p);

    return 1;
}


int
json_is_string(json_slice_t value, const char *text)
{
    char    buf[1024];
    size_t  len;

    len = strlen(text);

    /* without escapes, as most are */

    if (value.len == len + 2) {
        return value.data[0] == '"' && memcmp(value.data + 1, text, len) == 0;
    }

    return json_string(value, buf, sizeof(buf)) == 0
           && strcmp(buf, text) == 0;
}


int
json_string(json_slice_t value, char *text, size_t size)
{
    int          code, low;
    size_t       n;
    const char  *p, *end;

    if (value.len < 2 || value.data[0] != '"'
        || value.data[value.len - 1] != '"')
    {
        return -1;
    }

    p = value.data + 1;
    end = value.data + value.len - 1;
    n = 0;

    while (p < end) {

        if (n + 5 > size) {
            return -1;
        }

        if (*p != '\\') {
            text[n++] = *p++;
            continue;
        }

        if (++p == end) {
            return -1;
        }

        switch (*p) {

        case 'b':
            text[n++] = '\b';
            break;

        case 'f':
            text[n++] = '\f';
            break;

        case 'n':
            text[n++] = '\n';
            break;

        case 'r':
            text[n++] = '\r';
            break;

        case 't':
            text[n++] = '\t';
            break;

        case 'u':
            if (end - p < 5 || (code = json_hex(p + 1)) < 0) {
                return -1;
            }

            p += 4;

            if (code >= 0xd800 && code < 0xdc00 && end - p > 6
                && p[1] == '\\' && p[2] == 'u'
                && (low = json_hex(p + 3)) >= 0xdc00)
            {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                p += 6;
            }

            n += json_utf8(text + n, (unsigned) code);
            break;

        default:
            text[n++] = *p;
        }

        p++;
    }

    text[n] = '\0';

    return 0;
}


static const char *
json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }

    return p;
}


/* Behind a value; NULL if there is no end to it. */

static const char *
json_skip(const char *p, const char *end)
{
    int  depth;

    depth = 0;

    while (p < end) {

        switch (*p) {

        case '"':
            p = json_skip_string(p, end);

            if (p == NULL) {
                return NULL;
            }

            break;

        case '{':
        case '[':
            depth++;
            p++;
            break;

        case '}':
        case ']':
            if (depth == 0) {
                return p;
            }

            depth--;
            p++;
            break;

        case ',':
            if (depth == 0) {
                return p;
            }

            p++;
            continue;

        default:
            p++;
            continue;
        }

        if (depth == 0) {
            return p;
        }
    }

    return depth == 0 ? p : NULL;
}


static const char *
json_skip_string(const char *p, const char *end)
{
    if (p == end || *p != '"') {
        return NULL;
    }

    for (p++; p < end; p++) {

        if (*p == '"') {
            return p + 1;
        }

        if (*p == '\\') {
            p++;
        }
    }

    return NULL;
}


static int
json_hex(const char *p)
{
    int  i, code;

    code = 0;

    for (i = 0; i < 4; i++) {
        code <<= 4;

        if (p[i] >= '0' && p[i] <= '9') {
            code |= p[i] - '0';

        } else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f') {
            code |= (p[i] | 0x20) - 'a' + 10;

        } else {
            return -1;
        }
    }

    return code;
}


static size_t
json_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        to[0] = (char) code;
        return 1;
    }

    if (code < 0x800) {
        to[0] = (char) (0xc0 | code >> 6);
        to[1] = (char) (0x80 | (code & 0x3f));
        return 2;
    }

    if (code < 0x10000) {
        to[0] = (char) (0xe0 | code >> 12);
        to[1] = (char) (0x80 | (code >> 6 & 0x3f));
        to[2] = (char) (0x80 | (code & 0x3f));
        return 3;
    }

    to[0] = (char) (0xf0 | code >> 18);
    to[1] = (char) (0x80 | (code >> 12 & 0x3f));
    to[2] = (char) (0x80 | (code >> 6 & 0x3f));
    to[3] = (char) (0x80 | (code & 0x3f));
    return 4;
}
