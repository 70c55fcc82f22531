
/*
 * The path of a call of the control API, without its base, in two readings.
 *
 * nginx decodes a path, and takes doubled slashes and dots out of it, before it
 * looks for the location.  What a location lets in, or keeps out, it knows by
 * the decoded path, so that says which call it is.  But there a "/" of an id
 * cannot be told from one between two parts.  So the path as it was sent is
 * read too, where the slashes of ids are encoded.
 */

#include "knock_api_internal.h"


#define KNOCK_API_BASE  "/v1/"


static int knock_api_base(const knock_api_address_t *address, size_t *end);
static int knock_api_sent(knock_arena_t *arena,
    const knock_api_address_t *address, size_t base, knock_api_path_t *sent,
    knock_error_t *err);
static int knock_api_encodes(const knock_str_t *raw);
static int knock_api_octet(const unsigned char *p, const unsigned char *end);
static void knock_api_trim(knock_api_path_t *path);


int
knock_api_paths(knock_arena_t *arena, const knock_api_address_t *address,
    knock_api_path_t *decoded, knock_api_path_t *sent, knock_error_t *err)
{
    int     rc;
    size_t  base;

    memset(decoded, 0, sizeof(knock_api_path_t));
    memset(sent, 0, sizeof(knock_api_path_t));

    if (knock_api_base(address, &base) != KNOCK_OK) {
        return KNOCK_OK;
    }

    decoded->text.data = address->uri.data + base;
    decoded->text.len = address->uri.len - base;

    rc = knock_api_sent(arena, address, base, sent, err);

    if (rc == KNOCK_ERROR) {
        return KNOCK_ERROR;
    }

    if (rc == KNOCK_DECLINED) {
        *sent = *decoded;
    }

    knock_api_trim(decoded);
    knock_api_trim(sent);

    return KNOCK_OK;
}


/*
 * The base ends behind the first "/v1/".  In a location that is a prefix of
 * the path this begins within the prefix or right behind it, or what a
 * location keeps out would be let in by another one as /x/v1/...
 */

static int
knock_api_base(const knock_api_address_t *address, size_t *end)
{
    size_t              i, len, most;
    const knock_str_t  *uri, *location;

    uri = &address->uri;
    location = &address->location;

    len = sizeof(KNOCK_API_BASE) - 1;
    most = uri->len;

    if (location->len != 0 && location->len <= uri->len
        && memcmp(uri->data, location->data, location->len) == 0)
    {
        most = location->len;

        if (location->data[most - 1] == '/') {
            most--;
        }
    }

    for (i = 0; i <= most && i + len <= uri->len; i++) {
        if (memcmp(uri->data + i, KNOCK_API_BASE, len) == 0) {
            *end = i + len;
            return KNOCK_OK;
        }
    }

    return KNOCK_DECLINED;
}


/*
 * Decodes the path as it was sent, beside what nginx has made of it, which has
 * one slash for several.  KNOCK_OK; KNOCK_DECLINED: nothing can be learnt from
 * it; KNOCK_ERROR: no memory, or nginx has taken more than slashes out of it.
 */

static int
knock_api_sent(knock_arena_t *arena, const knock_api_address_t *address,
    size_t base, knock_api_path_t *sent, knock_error_t *err)
{
    int                   c, encoded;
    size_t                at, n, first;
    unsigned char        *text, *inner;
    const knock_str_t    *uri, *raw;
    const unsigned char  *p, *end;

    uri = &address->uri;
    raw = &address->raw;

    if (!knock_api_encodes(raw)) {
        return KNOCK_DECLINED;
    }

    text = knock_arena_alloc(arena, raw->len);
    inner = knock_arena_alloc(arena, raw->len);

    if (text == NULL || inner == NULL) {
        return knock_error_memory(err);
    }

    p = raw->data;
    end = p + raw->len;
    first = 0;

    for (at = 0, n = 0; p < end; p += encoded ? 3 : 1) {

        encoded = *p == '%';
        c = encoded ? knock_api_octet(p, end) : *p;

        if (at < uri->len && c == uri->data[at]) {
            at++;

        } else if (c != '/' || n == 0 || text[n - 1] != '/') {
            break;

        } else if (!encoded && !inner[n - 1]) {
            continue;
        }

        text[n] = (unsigned char) c;
        inner[n] = encoded && c == '/';
        n++;

        if (at == base && first == 0) {
            first = n;
        }
    }

    if (p < end || at < uri->len) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "\".\" and \"..\" are taken out of a path, "
                               "also where they or the slashes around them "
                               "are encoded: an id that has them cannot be "
                               "named by a path");
    }

    sent->text.data = text + first;
    sent->text.len = n - first;
    sent->inner = inner + first;

    return KNOCK_OK;
}


/* whether a slash or a dot is encoded */

static int
knock_api_encodes(const knock_str_t *raw)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i + 2 < raw->len; i++) {

        if (raw->data[i] != '%' || raw->data[i + 1] != '2') {
            continue;
        }

        c = raw->data[i + 2] | 0x20;

        if (c == 'e' || c == 'f') {
            return 1;
        }
    }

    return 0;
}


/* the byte that "%xx" stands for, or -1 */

static int
knock_api_octet(const unsigned char *p, const unsigned char *end)
{
    int  high, low;

    if (end - p < 3) {
        return -1;
    }

    high = knock_api_hex(p[1]);
    low = knock_api_hex(p[2]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}


/* a path with an empty part is none; a slash at its end does not count */

static void
knock_api_trim(knock_api_path_t *path)
{
    size_t  i, len;

    len = path->text.len;

    for (i = 1; i < len; i++) {
        if (knock_api_separates(path, i) && knock_api_separates(path, i - 1)) {
            path->text.len = 0;
            return;
        }
    }

    if (len != 0 && knock_api_separates(path, len - 1)) {
        path->text.len--;
    }
}


int
knock_api_separates(const knock_api_path_t *path, size_t i)
{
    return path->text.data[i] == '/'
           && (path->inner == NULL || !path->inner[i]);
}
