
/* knock_api_route: from a method and an address to a call of the API */

#include <ctype.h>

#include "fixture.h"
#include "mutate.h"

#include "knock_api.h"


#define GET     KNOCK_API_GET
#define POST    KNOCK_API_POST
#define PUT     KNOCK_API_PUT
#define PATCH   KNOCK_API_PATCH
#define DELETE  KNOCK_API_DELETE
#define OTHER   KNOCK_API_OTHER


/* the very bytes and none behind them, so that a sanitizer sees a step over */

static knock_str_t
exact(const char *text, size_t len)
{
    knock_str_t  str;

    str.len = len;
    str.data = malloc(len ? len : 1);
    assert_non_null(str.data);

    memcpy(str.data, text, len);

    return str;
}


/* as nginx decodes a path, but for slashes and dots that it takes out */

static size_t
decode(const char *path, size_t len, char *uri)
{
    char    digits[3] = { 0 };
    size_t  i, n;

    for (i = n = 0; i < len; i++) {

        if (path[i] == '%' && len - i > 2 && isxdigit((unsigned char) path[i + 1])
            && isxdigit((unsigned char) path[i + 2]))
        {
            memcpy(digits, path + i + 1, 2);
            uri[n++] = (char) strtol(digits, NULL, 16);
            i += 2;

        } else {
            uri[n++] = path[i];
        }
    }

    return n;
}


static int
route_bytes(knock_api_method_e method, const char *path, size_t path_len,
    const char *query, size_t query_len, knock_api_request_t *req,
    knock_error_t *err)
{
    int                  rc;
    char                *uri;
    knock_api_address_t  address;

    uri = malloc(path_len + 1);
    assert_non_null(uri);

    memset(&address, 0, sizeof(knock_api_address_t));

    address.raw = exact(path, path_len);
    address.uri = exact(uri, decode(path, path_len, uri));
    address.query = exact(query, query_len);

    free(uri);

    memset(err, 0, sizeof(knock_error_t));
    memset(req, 0xa5, sizeof(knock_api_request_t));

    rc = knock_api_route(arena, method, &address, req, err);

    /* nothing that is answered points into these */

    free(address.raw.data);
    free(address.uri.data);
    free(address.query.data);

    if (rc == KNOCK_OK) {
        assert_int_equal(err->code, KNOCK_E_NONE);

    } else {
        assert_int_equal(rc, KNOCK_ERROR);
        assert_int_not_equal(err->code, KNOCK_E_NONE);
        assert_true(strlen(err->message) > 0);
        assert_int_equal(req->allow != NULL,
                         err->code == KNOCK_E_METHOD_NOT_ALLOWED);
    }

    return rc;
}


static int
route(knock_api_method_e method, const char *path, const char *query,
    knock_api_request_t *req, knock_error_t *err)
{
    return route_bytes(method, path, strlen(path), query, strlen(query), req,
                       err);
}


static void
route_ok(knock_api_method_e method, const char *path, const char *query,
    knock_api_request_t *req)
{
    knock_error_t  err;

    if (route(method, path, query, req, &err) != KNOCK_OK) {
        fail_msg("%s?%s: %s", path, query, err.message);
    }
}


static void
assert_refused(knock_api_method_e method, const char *path, const char *query,
    knock_error_code_e code, const char *message)
{
    knock_error_t        err;
    knock_api_request_t  req;

    if (route(method, path, query, &req, &err) == KNOCK_OK) {
        fail_msg("%s?%s was taken", path, query);
    }

    if (err.code != code || strstr(err.message, message) == NULL) {
        fail_msg("%s?%s: %s, \"%s\"", path, query,
                 knock_error_name(err.code), err.message);
    }
}


static const struct {
    const char          *path;
    knock_api_method_e   method;
    knock_api_op_e       op;
    const char          *source;
    const char          *environment;
    const char          *key;
} calls[] = {

    { "/v1/environments", GET, KNOCK_API_ENVIRONMENT_LIST, "", "", "" },
    { "/v1/environments", POST, KNOCK_API_ENVIRONMENT_CREATE, "", "", "" },

    { "/v1/sources", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/v1/sources", POST, KNOCK_API_SOURCE_CREATE, "", "", "" },
    { "/v1/sources/seg", GET, KNOCK_API_SOURCE_GET, "seg", "", "" },
    { "/v1/sources/seg", PATCH, KNOCK_API_SOURCE_PATCH, "seg", "", "" },
    { "/v1/sources/seg", DELETE, KNOCK_API_SOURCE_DELETE, "seg", "", "" },

    { "/v1/sources/seg/environments/dev", GET, KNOCK_API_ENDPOINT_GET,
      "seg", "dev", "" },
    { "/v1/sources/seg/environments/dev", PATCH, KNOCK_API_ENDPOINT_PATCH,
      "seg", "dev", "" },
    { "/v1/sources/seg/environments/dev/rotate", POST,
      KNOCK_API_ENDPOINT_ROTATE, "seg", "dev", "" },

    { "/v1/sources/seg/environments/dev/events", GET, KNOCK_API_EVENT_LIST,
      "seg", "dev", "" },
    { "/v1/sources/seg/environments/dev/events/track%2FSigned%20Up", DELETE,
      KNOCK_API_EVENT_DELETE, "seg", "dev", "track/Signed Up" },
    { "/v1/sources/seg/environments/dev/logs", GET, KNOCK_API_LOG_LIST,
      "seg", "dev", "" },

    { "/v1/workflows", GET, KNOCK_API_WORKFLOW_LIST, "", "", "" },
    { "/v1/workflows/w-1", GET, KNOCK_API_WORKFLOW_GET, "", "", "w-1" },
    { "/v1/workflows/w-1", PUT, KNOCK_API_WORKFLOW_PUT, "", "", "w-1" },
    { "/v1/workflows/w-1", DELETE, KNOCK_API_WORKFLOW_DELETE, "", "", "w-1" },

    { "/v1/actions", GET, KNOCK_API_ACTION_LIST, "", "", "" },
    { "/v1/actions/A_1", GET, KNOCK_API_ACTION_GET, "", "", "A_1" },
    { "/v1/actions/A_1", PUT, KNOCK_API_ACTION_PUT, "", "", "A_1" },
    { "/v1/actions/A_1", DELETE, KNOCK_API_ACTION_DELETE, "", "", "A_1" },
    { "/v1/actions/A_1/preview", POST, KNOCK_API_ACTION_PREVIEW, "", "",
      "A_1" },

    { "/v1/environments/dev/workflows", GET, KNOCK_API_ENV_WORKFLOW_LIST,
      "", "dev", "" },
    { "/v1/environments/dev/workflows/w", GET, KNOCK_API_ENV_WORKFLOW_GET,
      "", "dev", "w" },
    { "/v1/environments/dev/workflows/w", PATCH, KNOCK_API_ENV_WORKFLOW_PATCH,
      "", "dev", "w" },
    { "/v1/environments/dev/workflows/w/test", POST, KNOCK_API_WORKFLOW_TEST,
      "", "dev", "w" },

    { "/v1/environments/dev/actions", GET, KNOCK_API_ENV_ACTION_LIST,
      "", "dev", "" },
    { "/v1/environments/dev/actions/a", GET, KNOCK_API_ENV_ACTION_GET,
      "", "dev", "a" },
    { "/v1/environments/dev/actions/a", PATCH, KNOCK_API_ENV_ACTION_PATCH,
      "", "dev", "a" },

    { "/v1/commits", GET, KNOCK_API_COMMIT_LIST, "", "", "" },
    { "/v1/commits", POST, KNOCK_API_COMMIT_CREATE, "", "", "" },
    { "/v1/commits/0f3a", GET, KNOCK_API_COMMIT_GET, "", "", "0f3a" },
    { "/v1/commits/publish", POST, KNOCK_API_COMMIT_PUBLISH, "", "", "" },
    { "/v1/commits/0f3a/revert", POST, KNOCK_API_COMMIT_REVERT, "", "",
      "0f3a" },

    { "/v1/environments/dev/users", GET, KNOCK_API_USER_LIST, "", "dev", "" },
    { "/v1/environments/dev/users/u1", GET, KNOCK_API_USER_GET, "", "dev",
      "u1" },
    { "/v1/environments/dev/users/u1", PUT, KNOCK_API_USER_PUT, "", "dev",
      "u1" },
    { "/v1/environments/dev/users/u1", DELETE, KNOCK_API_USER_DELETE, "",
      "dev", "u1" },
    { "/v1/environments/dev/users/bulk", POST, KNOCK_API_USER_BULK, "", "dev",
      "" },

    { "/v1/environments/dev/runs", GET, KNOCK_API_RUN_LIST, "", "dev", "" },

    /* what stands before the first /v1/ does not count */

    { "/api/knock/v1/sources", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/a/v1/sources/v1/", GET, KNOCK_API_SOURCE_GET, "v1", "", "" },
    { "/v/v1v1/v1/sources/v1", GET, KNOCK_API_SOURCE_GET, "v1", "", "" },

    /* one slash at the end is ignored */

    { "/v1/sources/", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/v1/sources/seg/", GET, KNOCK_API_SOURCE_GET, "seg", "", "" },
    { "/v1/commits/publish/", POST, KNOCK_API_COMMIT_PUBLISH, "", "", "" },
    { "/v1/environments/dev/users/u1/", GET, KNOCK_API_USER_GET, "", "dev",
      "u1" },

    /* words of the API are keys and ids like others */

    { "/v1/sources/environments", GET, KNOCK_API_SOURCE_GET, "environments",
      "", "" },
    { "/v1/environments/users/users/users", GET, KNOCK_API_USER_GET, "",
      "users", "users" },
    { "/v1/environments/dev/users/bulk", GET, KNOCK_API_USER_GET, "", "dev",
      "bulk" },
    { "/v1/environments/dev/users/bulk", PUT, KNOCK_API_USER_PUT, "", "dev",
      "bulk" },
    { "/v1/environments/dev/users/bulk", DELETE, KNOCK_API_USER_DELETE, "",
      "dev", "bulk" },
    { "/v1/commits/publish", GET, KNOCK_API_COMMIT_GET, "", "", "publish" },
    { "/v1/commits/publish/revert", POST, KNOCK_API_COMMIT_REVERT, "", "",
      "publish" },

    /* words and keys may be percent-encoded too */

    { "/v1/%73ources", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/%761/sources", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/v1%2Fsources", GET, KNOCK_API_SOURCE_LIST, "", "", "" },
    { "/v1/commits%2Fpublish", POST, KNOCK_API_COMMIT_PUBLISH, "", "", "" },

    { "/v1/sources/%73e%67", GET, KNOCK_API_SOURCE_GET, "seg", "", "" },
    { "/v1/sources/s/environments/de%76", GET, KNOCK_API_ENDPOINT_GET, "s",
      "dev", "" },

    /* ids: any bytes that an id may have; a '+' is a '+' */

    { "/v1/environments/dev/users/a%2Fb", GET, KNOCK_API_USER_GET, "", "dev",
      "a/b" },
    { "/v1/environments/dev/users/a%2fb%2F", GET, KNOCK_API_USER_GET, "",
      "dev", "a/b/" },
    { "/v1/environments/dev/users/sam+x@a.b:c", GET, KNOCK_API_USER_GET, "",
      "dev", "sam+x@a.b:c" },
    { "/v1/environments/dev/users/%2B%25%3F%23%22%5C", GET, KNOCK_API_USER_GET,
      "", "dev", "+%?#\"\\" },
    { "/v1/environments/dev/users/J%C3%BCrgen%20%F0%9F%98%80", GET,
      KNOCK_API_USER_GET, "", "dev",
      "J\xc3\xbcrgen \xf0\x9f\x98\x80" },
    { "/v1/environments/dev/users/J\xc3\xbcrgen", GET, KNOCK_API_USER_GET, "",
      "dev", "J\xc3\xbcrgen" },
    { "/v1/environments/dev/users/%252F", GET, KNOCK_API_USER_GET, "", "dev",
      "%2F" },

    /* event keys: the rest of the path */

    { "/v1/sources/s/environments/e/events/identify", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "identify" },
    { "/v1/sources/s/environments/e/events/track/Signed%20Up", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/Signed Up" },
    { "/v1/sources/s/environments/e/events/track/a/b%2Fc/", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/a/b/c" },
    { "/v1/sources/s/environments/e/events/track/a%2F", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/a/" },
    { "/v1/sources/s/environments/e/events/track/http:%2F%2Fx", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/http://x" },
    { "/v1/sources/s/environments/e/events/track/1+1=2", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/1+1=2" },
    { "/v1/sources/s/environments/e/events/track/%2F", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track//" },
    { "/v1/sources/s/environments/e/events/track%2fa%0Ab", DELETE,
      KNOCK_API_EVENT_DELETE, "s", "e", "track/a\nb" }
};


static void
every_call_has_its_path(void **state)
{
    size_t               i;
    unsigned             seen[KNOCK_API_OP_COUNT] = { 0 };
    knock_api_request_t  req;

    (void) state;

    for (i = 0; i < N(calls); i++) {
        route_ok(calls[i].method, calls[i].path, "", &req);

        if (req.op != calls[i].op) {
            fail_msg("%s is call %d, not %d", calls[i].path, (int) req.op,
                     (int) calls[i].op);
        }

        seen[req.op]++;

        assert_str(&req.source, calls[i].source);
        assert_str(&req.environment, calls[i].environment);
        assert_str(&req.key, calls[i].key);

        assert_int_equal(req.limit, KNOCK_API_LIMIT);
        assert_int_equal(req.cursor.len, 0);
        assert_int_equal(req.status.len, 0);

        /* nothing is left of what was in it */

        assert_int_equal(req.text.len, 0);
        assert_int_equal(req.nfields, 0);
        assert_null(req.event);
        assert_null(req.users);
    }

    for (i = 0; i < KNOCK_API_OP_COUNT; i++) {
        assert_true(seen[i] > 0);
    }
}


static void
an_event_key_may_hold_a_nul(void **state)
{
    knock_api_request_t  req;

    (void) state;

    route_ok(DELETE, "/v1/sources/s/environments/e/events/track/a%00b", "",
             &req);

    assert_int_equal(req.key.len, 9);
    assert_memory_equal(req.key.data, "track/a\0b", 9);
}


static void
other_paths_are_not_found(void **state)
{
    size_t  i;

    static const char *const  paths[] = {
        "", "/", "v1", "/v1", "/v1/", "/v1//", "/v1/x", "/v2/sources",
        "/v1sources", "sources", "/V1/sources", "/v1/Sources", "v1/sources",
        "/v1//sources", "//v1//sources", "/v1/sources//", "/v1/sources//seg",
        "/v1/sources/seg//", "/v1/source", "/v1/sourcess",
        "/v1/sources/seg/environment", "/v1/sources/seg/environments",
        "/v1/sources/seg/environments//events",
        "/v1/sources/seg/environments/dev/rotate/x",
        "/v1/sources/seg/environments/dev/logs/x",
        "/v1/sources/seg/environments/dev/events//",
        "/v1/sources/seg/environments/dev/events/track//x",
        "/v1/sources/seg/environments/dev/events/track/x//",
        "/v1/environments/dev", "/v1/environments/dev/",
        "/v1/environments//users", "/v1/environments/dev/user",
        "/v1/environments/dev/users/a/b", "/v1/environments/dev/users/u//",
        "/v1/environments/dev/runs/1", "/v1/environments/dev/sources",
        "/v1/environments/dev/workflows/w/tests",
        "/v1/environments/dev/actions/a/test", "/v1/workflows/w/test",
        "/v1/actions/a/previews", "/v1/commits/c/reverts",
        "/v1/commits/c/revert/x", "/v1/users", "/v1/runs",

        /* what would be invalid anywhere else */

        "/v1/nothing/%zz", "/v1/\xff"
    };

    (void) state;

    for (i = 0; i < N(paths); i++) {
        assert_refused(GET, paths[i], "", KNOCK_E_NOT_FOUND, "no such path");
        assert_refused(OTHER, paths[i], "", KNOCK_E_NOT_FOUND, "no such path");
        assert_refused(DELETE, paths[i], "limit=x", KNOCK_E_NOT_FOUND,
                       "no such path");
    }
}


static void
other_methods_are_told_which(void **state)
{
    size_t               i;
    char                 message[80];
    knock_error_t        err;
    knock_api_request_t  req;

    static const struct {
        knock_api_method_e   method;
        const char          *path;
        const char          *allow;
    } cases[] = {
        { DELETE, "/v1/environments", "GET, POST" },
        { PUT, "/v1/sources", "GET, POST" },
        { POST, "/v1/sources/s", "GET, PATCH, DELETE" },
        { DELETE, "/v1/sources/s/environments/e", "GET, PATCH" },
        { GET, "/v1/sources/s/environments/e/rotate", "POST" },
        { DELETE, "/v1/sources/s/environments/e/events", "GET" },
        { GET, "/v1/sources/s/environments/e/events/identify", "DELETE" },
        { GET, "/v1/sources/s/environments/e/events/a/b/c", "DELETE" },
        { POST, "/v1/sources/s/environments/e/logs", "GET" },
        { POST, "/v1/workflows", "GET" },
        { PATCH, "/v1/workflows/w", "GET, PUT, DELETE" },
        { POST, "/v1/actions/a", "GET, PUT, DELETE" },
        { GET, "/v1/actions/a/preview", "POST" },
        { PUT, "/v1/environments/e/workflows", "GET" },
        { PUT, "/v1/environments/e/workflows/w", "GET, PATCH" },
        { GET, "/v1/environments/e/workflows/w/test", "POST" },
        { DELETE, "/v1/environments/e/actions/a", "GET, PATCH" },
        { PUT, "/v1/commits", "GET, POST" },
        { PUT, "/v1/commits/c", "GET" },
        { PUT, "/v1/commits/publish", "GET, POST" },
        { GET, "/v1/commits/c/revert", "POST" },
        { DELETE, "/v1/environments/e/users", "GET" },
        { POST, "/v1/environments/e/users/u", "GET, PUT, DELETE" },
        { PATCH, "/v1/environments/e/users/bulk", "GET, POST, PUT, DELETE" },
        { DELETE, "/v1/environments/e/runs/", "GET" },

        /* this comes before a look at keys and query */

        { OTHER, "/v1/sources/%zz", "GET, PATCH, DELETE" },
        { OTHER, "/v1/sources", "GET, POST" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_int_equal(route(cases[i].method, cases[i].path, "limit=x",
                               &req, &err), KNOCK_ERROR);

        assert_int_equal(err.code, KNOCK_E_METHOD_NOT_ALLOWED);
        assert_string_equal(req.allow, cases[i].allow);

        (void) snprintf(message, sizeof(message), "this path takes %s",
                        cases[i].allow);
        assert_string_equal(err.message, message);
    }
}


static void
keys_and_ids_are_checked(void **state)
{
    size_t  i;

    static const struct {
        knock_api_method_e   method;
        const char          *path;
        const char          *message;
    } cases[] = {
        { GET, "/v1/sources/a%20b", "a source's key in the path" },
        { GET, "/v1/sources/a.b", "a source's key in the path" },
        { GET, "/v1/sources/%C3%BC", "a source's key in the path" },
        { GET, "/v1/sources/a%2Fb", "a source's key in the path" },
        { GET, "/v1/sources/a+b", "a source's key in the path" },
        { GET, "/v1/sources/a%00", "a source's key in the path" },
        { GET, "/v1/sources/%", "a source's key in the path" },
        { GET, "/v1/sources/%4", "a source's key in the path" },
        { GET, "/v1/sources/%4g", "a source's key in the path" },
        { GET, "/v1/sources/%g4", "a source's key in the path" },
        { GET, "/v1/sources/%%41", "a source's key in the path" },
        { GET, "/v1/sources/%/", "a source's key in the path" },
        { GET, "/v1/sources/s!/environments/e", "a source's key in the path" },
        { GET, "/v1/sources/s/environments/E",
          "an environment's key in the path: expected 1 to 64 of the "
          "characters a-z" },
        { GET, "/v1/environments/Dev/runs", "an environment's key" },
        { GET, "/v1/environments/a%2F0/runs", "an environment's key" },
        { GET, "/v1/environments/%40/runs", "an environment's key" },
        { GET, "/v1/environments/%7Bx%7D/runs", "an environment's key" },
        { GET, "/v1/workflows/w!", "a workflow's key in the path: expected 1 "
          "to 64 of the characters A-Z, a-z, 0-9, \"_\" and \"-\", "
          "percent-encoded" },
        { GET, "/v1/environments/e/workflows/w!", "a workflow's key" },
        { PUT, "/v1/actions/a!", "an action's key" },
        { GET, "/v1/environments/e/actions/a!", "an action's key" },
        { GET, "/v1/commits/c!", "a commit's id" },
        { POST, "/v1/commits/c%0a/revert", "a commit's id" },

        { GET, "/v1/environments/e/users/%00", "a user's id in the path: "
          "expected 1 to 256 bytes of UTF-8 without control characters" },
        { GET, "/v1/environments/e/users/a%00b", "a user's id" },
        { GET, "/v1/environments/e/users/a%0Ab", "a user's id" },
        { GET, "/v1/environments/e/users/a%1F", "a user's id" },
        { GET, "/v1/environments/e/users/a%7F", "a user's id" },
        { GET, "/v1/environments/e/users/%C2%85", "a user's id" },
        { GET, "/v1/environments/e/users/%FF", "a user's id" },
        { GET, "/v1/environments/e/users/%C3", "a user's id" },
        { GET, "/v1/environments/e/users/%C0%AF", "a user's id" },
        { GET, "/v1/environments/e/users/%ED%A0%80", "a user's id" },
        { GET, "/v1/environments/e/users/\xff", "a user's id" },

        { DELETE, "/v1/sources/s/environments/e/events/track",
          "an event key in the path: expected track/ and an event name of 1 "
          "to 512 bytes" },
        { DELETE, "/v1/sources/s/environments/e/events/track/",
          "an event key" },
        { DELETE, "/v1/sources/s/environments/e/events/track%2F",
          "an event key" },
        { DELETE, "/v1/sources/s/environments/e/events/Identify",
          "an event key" },
        { DELETE, "/v1/sources/s/environments/e/events/identify/x",
          "an event key" },
        { DELETE, "/v1/sources/s/environments/e/events/x", "an event key" },
        { DELETE, "/v1/sources/s/environments/e/events/track/%FF",
          "an event key" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_refused(cases[i].method, cases[i].path, "",
                       KNOCK_E_INVALID_PARAMETER, cases[i].message);
    }
}


static void
keys_and_ids_have_their_lengths(void **state)
{
    size_t               i;
    const char          *path;
    knock_api_request_t  req;

    static const struct {
        knock_api_method_e   method;
        const char          *prefix;
        const char          *unit;
        size_t               max;       /* units */
        const char          *suffix;
    } cases[] = {
        { GET, "/v1/sources/", "x", 64, "" },
        { GET, "/v1/sources/", "%78", 64, "" },
        { GET, "/v1/workflows/", "X", 64, "" },
        { GET, "/v1/actions/", "0", 64, "/" },
        { GET, "/v1/commits/", "a", 64, "" },
        { GET, "/v1/environments/", "-", 64, "/runs" },
        { GET, "/v1/environments/e/users/", "x", 256, "" },
        { GET, "/v1/environments/e/users/", "%C3%BC", 128, "" },
        { GET, "/v1/environments/e/users/", "%22", 256, "" },
        { DELETE, "/v1/sources/s/environments/e/events/track/", "x", 512,
          "" },
        { DELETE, "/v1/sources/s/environments/e/events/track/", "%2F", 512,
          "" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        path = repeat(cases[i].prefix, cases[i].unit, cases[i].max,
                      cases[i].suffix);
        route_ok(cases[i].method, path, "", &req);

        path = repeat(cases[i].prefix, cases[i].unit, cases[i].max + 1,
                      cases[i].suffix);
        assert_refused(cases[i].method, path, "", KNOCK_E_INVALID_PARAMETER,
                       "expected");
    }

    assert_refused(GET, repeat("/v1/sources/", "x", 1000000, ""), "",
                   KNOCK_E_INVALID_PARAMETER, "a source's key");
    assert_refused(GET, repeat("/v1/", "x/", 1000000, ""), "",
                   KNOCK_E_NOT_FOUND, "no such path");
}


static void
the_query_is_read(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const struct {
        const char  *query;
        size_t       limit;
        const char  *cursor;
        const char  *status;
    } cases[] = {
        { "", 100, "", "" },
        { "limit=1", 1, "", "" },
        { "limit=1000", 1000, "", "" },
        { "limit=007", 7, "", "" },
        { "limit=%31%30", 10, "", "" },
        { "%6cimit=5", 5, "", "" },
        { "cursor=abc", 100, "abc", "" },
        { "cursor=a%20b+c%2Bd", 100, "a b c+d", "" },
        { "cursor=a=b", 100, "a=b", "" },
        { "cursor=%26%3D%C3%BC", 100, "&=\xc3\xbc", "" },
        { "cursor=1712-5&limit=20&status=failed", 20, "1712-5", "failed" },
        { "status=processed", 100, "", "processed" },
        { "status=ignored", 100, "", "ignored" },
        { "status=duplicate", 100, "", "duplicate" },

        /* empty ones are as if not given, the last one counts */

        { "cursor=&status=", 100, "", "" },
        { "cursor&status", 100, "", "" },
        { "&&limit=3&&", 3, "", "" },
        { "limit=1&limit=2", 2, "", "" },
        { "cursor=a&cursor=", 100, "", "" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        route_ok(GET, "/v1/sources/s/environments/e/logs", cases[i].query,
                 &req);

        assert_int_equal(req.op, KNOCK_API_LOG_LIST);
        assert_int_equal(req.limit, cases[i].limit);
        assert_str(&req.cursor, cases[i].cursor);
        assert_str(&req.status, cases[i].status);
    }
}


static void
the_query_is_checked(void **state)
{
    size_t  i;

    static const struct {
        const char  *query;
        const char  *message;
    } cases[] = {
        { "limit=0", "\"limit\": expected a number from 1 to 1000" },
        { "limit=", "\"limit\"" },
        { "limit", "\"limit\"" },
        { "limit=1001", "\"limit\"" },
        { "limit=-1", "\"limit\"" },
        { "limit=+1", "\"limit\"" },
        { "limit=1.5", "\"limit\"" },
        { "limit=1e2", "\"limit\"" },
        { "limit=0x10", "\"limit\"" },
        { "limit=5x", "\"limit\"" },
        { "limit=%2031", "\"limit\"" },
        { "limit=18446744073709551617", "\"limit\"" },
        { "limit=99999999999999999999999999999999999999", "\"limit\"" },
        { "limit=5&limit=x", "\"limit\"" },
        { "limit=5%00", "\"limit\"" },
        { "status=done", "\"status\": expected processed, ignored, duplicate "
          "or failed" },
        { "status=Failed", "\"status\"" },
        { "status=failed%00", "\"status\"" },
        { "cursor=%00", "\"cursor\": expected the \"cursor\" of the page "
          "before" },
        { "cursor=a%0d%0ab", "\"cursor\"" },
        { "cursor=%7f", "\"cursor\"" },
        { "cursor=%", "percent-encoded" },
        { "cursor=%a", "percent-encoded" },
        { "cursor=%a&limit=5", "percent-encoded" },
        { "cursor=%xy", "percent-encoded" },
        { "cursor=%FF", "UTF-8" },
        { "cursor=\x80", "UTF-8" },
        { "%=1", "percent-encoded" },
        { "page=2", "the query takes \"limit\", \"cursor\" and \"status\"" },
        { "environment=dev", "only the list of commits takes it" },
        { "Limit=2", "the query takes" },
        { "=2", "the query takes" },
        { "limit%3D2", "the query takes" },
        { "limit=2;cursor=1", "\"limit\"" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_refused(GET, "/v1/sources", cases[i].query,
                       KNOCK_E_INVALID_PARAMETER, cases[i].message);
    }

    assert_refused(GET, "/v1/sources", repeat("cursor=", "x", 2049, ""),
                   KNOCK_E_INVALID_PARAMETER, "\"cursor\"");
}


static void
commits_are_asked_for_by_environment(void **state)
{
    knock_api_request_t  req;

    (void) state;

    route_ok(GET, "/v1/commits", "environment=dev&limit=5", &req);
    assert_str(&req.environment, "dev");

    route_ok(GET, "/v1/commits", "environment=", &req);
    assert_int_equal(req.environment.len, 0);

    assert_refused(GET, "/v1/commits", "environment=Dev",
                   KNOCK_E_INVALID_PARAMETER,
                   "\"environment\": expected 1 to 64 of the characters a-z");
    assert_refused(GET, "/v1/commits/c", "environment=dev",
                   KNOCK_E_INVALID_PARAMETER, "only the list of commits");
}


static void
what_there_is_not_may_be_null(void **state)
{
    knock_error_t        err;
    knock_api_address_t  address;
    knock_api_request_t  req;

    (void) state;

    memset(&address, 0, sizeof(knock_api_address_t));

    assert_int_equal(knock_api_route(arena, GET, &address, &req, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_NOT_FOUND);

    knock_str_set(&address.uri, "/v1/sources");

    assert_int_equal(knock_api_route(arena, GET, &address, &req, &err),
                     KNOCK_OK);
    assert_int_equal(req.op, KNOCK_API_SOURCE_LIST);
}


/* what nginx decoded says which call it is, also where more was sent */

#define U       "/v1/environments/e/users/"
#define ANOTHER "that of another call"
#define DOTS    "are taken out of a path"

static void
the_path_is_what_nginx_made_of_it(void **state)
{
    int                  rc;
    size_t               i;
    knock_error_t        err;
    knock_api_address_t  address;
    knock_api_request_t  req;

    static const struct {
        knock_api_method_e   method;
        const char          *uri;
        const char          *raw;
        knock_api_op_e       op;    /* KNOCK_API_OP_COUNT: refused */
        const char          *key;   /* or what the error says */
    } cases[] = {

        /* another path was sent: a rewrite */

        { GET, "/v1/sources", "", KNOCK_API_SOURCE_LIST, "" },
        { GET, "/v1/sources", "/x", KNOCK_API_SOURCE_LIST, "" },
        { GET, U "u1", "/v1/commits", KNOCK_API_USER_GET, "u1" },
        { GET, U "a/b", "", KNOCK_API_OP_COUNT, "no such path" },

        /* slashes doubled: nginx merges them, those of ids are as sent */

        { GET, U "u1", "//v1//environments/e///users//u1",
          KNOCK_API_USER_GET, "u1" },
        { GET, U "a/b", U "a%2Fb", KNOCK_API_USER_GET, "a/b" },
        { GET, U "a/b", U "a%2F%2fb", KNOCK_API_USER_GET, "a//b" },
        { GET, U "a/b", "//v1/environments//e/users//a%2Fb",
          KNOCK_API_USER_GET, "a/b" },
        { GET, U "a/b/", U "a%2Fb%2F/", KNOCK_API_USER_GET, "a/b/" },
        { GET, U "a/b", U "a/b", KNOCK_API_OP_COUNT, "no such path" },
        { GET, U "a/b", U "a/%2Fb", KNOCK_API_OP_COUNT, "no such path" },
        { GET, U "a", U "%2Fa", KNOCK_API_USER_GET, "/a" },
        { GET, U "a/", U "a%2F", KNOCK_API_USER_GET, "a/" },
        { GET, U "%2F", U "%252F", KNOCK_API_USER_GET, "%2F" },
        { DELETE, "/v1/sources/s/environments/e/events/track/http:/x",
          "/v1/sources/s/environments/e/events/track%2Fhttp:%2F%2Fx",
          KNOCK_API_EVENT_DELETE, "track/http://x" },

        /* two calls */

        { POST, "/v1/commits/c/revert", "/v1/commits/c%2Frevert",
          KNOCK_API_OP_COUNT, ANOTHER },
        { GET, "/v1/sources/s/environments/e",
          "/v1/sources/s%2Fenvironments%2Fe", KNOCK_API_OP_COUNT, ANOTHER },
        { POST, U "bulk", U "%2Fbulk", KNOCK_API_OP_COUNT, ANOTHER },
        { GET, "/v1/sources", "/v1/%2Fsources", KNOCK_API_SOURCE_LIST, "" },

        /* dots: nginx goes by them, and nobody can tell whose they are */

        { GET, "/v1/sources", "/v1/x/../sources", KNOCK_API_SOURCE_LIST, "" },
        { GET, U "b", U "a/../b", KNOCK_API_USER_GET, "b" },
        { GET, U "b", U "a%2F..%2Fb", KNOCK_API_OP_COUNT, DOTS },
        { GET, U "b", U "a/..%2fb", KNOCK_API_OP_COUNT, DOTS },
        { POST, "/v1/commits/publish", "/v1/x/..%2fcommits/publish",
          KNOCK_API_OP_COUNT, DOTS },
        { DELETE, U, U "%2E", KNOCK_API_OP_COUNT, DOTS },
        { DELETE, "/v1/environments/e/", U "%2e%2E", KNOCK_API_OP_COUNT,
          DOTS },
        { GET, U "a.b", U "a%2Eb", KNOCK_API_USER_GET, "a.b" },

        /* what goes on, or stops short */

        { GET, U "a/b", U "a%2Fb%2Fc", KNOCK_API_OP_COUNT, DOTS },
        { GET, U "a/b/c", U "a%2Fb", KNOCK_API_OP_COUNT, DOTS },
        { GET, U "a/b", U "a%2Fb%2", KNOCK_API_OP_COUNT, DOTS },
        { GET, U "a/b", U "a%2Fb%", KNOCK_API_OP_COUNT, DOTS }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        memset(&address, 0, sizeof(knock_api_address_t));

        address.uri = exact(cases[i].uri, strlen(cases[i].uri));
        address.raw = exact(cases[i].raw, strlen(cases[i].raw));

        rc = knock_api_route(arena, cases[i].method, &address, &req, &err);

        free(address.uri.data);
        free(address.raw.data);

        if (rc == KNOCK_OK) {

            if (req.op != cases[i].op) {
                fail_msg("%s: call %d", cases[i].raw, (int) req.op);
            }

            assert_str(&req.key, cases[i].key);
            continue;
        }

        if (cases[i].op != KNOCK_API_OP_COUNT
            || strstr(err.message, cases[i].key) == NULL)
        {
            fail_msg("%s, %s: %s", cases[i].uri, cases[i].raw, err.message);
        }
    }
}


static void
a_location_has_one_base(void **state)
{
    int                  rc;
    size_t               i;
    knock_error_t        err;
    knock_api_address_t  address;
    knock_api_request_t  req;

    static const struct {
        const char  *location;
        const char  *uri;
        int          found;
    } cases[] = {
        { "/v1/", "/v1/sources", 1 },
        { "/v1", "/v1/sources", 1 },
        { "/v1/sources", "/v1/sources", 1 },
        { "/", "/v1/sources", 1 },
        { "/admin/v1/", "/admin/v1/sources", 1 },
        { "/admin/", "/admin/v1/sources", 1 },
        { "/admin", "/admin/v1/sources", 1 },

        { "/v1/", "/v1/x/v1/sources", 0 },
        { "/", "/x/v1/sources", 0 },
        { "/", "//v1/sources", 0 },
        { "/admin", "/administrator/v1/sources", 0 },
        { "/admin/", "/admin/x/v1/sources", 0 },

        /* an expression, a name, and a rewrite that stays in its location */

        { "^/(a|b)/v1/", "/a/v1/sources", 1 },
        { "@api", "/x/v1/sources", 1 },
        { "/api/", "/v1/sources", 1 }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        memset(&address, 0, sizeof(knock_api_address_t));

        address.uri = exact(cases[i].uri, strlen(cases[i].uri));
        address.location = exact(cases[i].location, strlen(cases[i].location));

        rc = knock_api_route(arena, GET, &address, &req, &err);

        free(address.uri.data);
        free(address.location.data);

        if ((rc == KNOCK_OK) != cases[i].found) {
            fail_msg("%s in %s", cases[i].uri, cases[i].location);
        }
    }
}


static void
the_codes_have_their_statuses(void **state)
{
    (void) state;

    assert_int_equal(knock_error_status(KNOCK_E_NOT_FOUND), 404);
    assert_int_equal(knock_error_status(KNOCK_E_METHOD_NOT_ALLOWED), 405);
    assert_int_equal(knock_error_status(KNOCK_E_INVALID_PARAMETER), 422);

    assert_string_equal(knock_error_name(KNOCK_E_NOT_FOUND), "not_found");
    assert_string_equal(knock_error_name(KNOCK_E_METHOD_NOT_ALLOWED),
                        "method_not_allowed");
    assert_string_equal(knock_error_name(KNOCK_E_INVALID_PARAMETER),
                        "invalid_parameter");
}


static void
random_paths_are_taken_or_refused(void **state)
{
    int                  rc;
    char                 path[256], query[256];
    size_t               i, path_len, query_len, taken;
    uint32_t             seed = 20240229;
    knock_error_t        err;
    knock_api_request_t  req;

    static const char  example[] = "cursor=a%20b&limit=20&status=failed";
    static const char  likely[] = "//%%2Ff0+&=.?v1AE\x80\xc3\xff\0\n{}\"";

    (void) state;

    for (i = taken = 0; i < 60000; i++) {

        path_len = strlen(calls[i % N(calls)].path);
        memcpy(path, calls[i % N(calls)].path, path_len);
        path_len = mutate(path, path_len, sizeof(path), likely,
                          sizeof(likely) - 1, 7, &seed);

        query_len = sizeof(example) - 1;
        memcpy(query, example, query_len);
        query_len = mutate(query, query_len, sizeof(query), likely,
                           sizeof(likely) - 1, 7, &seed);

        rc = route_bytes(random_next(&seed) % 4
                         ? calls[i % N(calls)].method
                         : (knock_api_method_e) (random_next(&seed) % 6),
                         path, path_len, query, query_len, &req, &err);

        if (rc == KNOCK_OK) {
            taken++;
            assert_in_range(req.op, 0, KNOCK_API_OP_COUNT - 1);
            assert_in_range(req.limit, 1, KNOCK_API_MAX_LIMIT);
            assert_in_range(req.cursor.len, 0, 256);
            assert_in_range(req.source.len, 0, 64);
            assert_in_range(req.environment.len, 0, 64);
            assert_in_range(req.key.len, 0, 518);

        } else if (err.code != KNOCK_E_NOT_FOUND
                   && err.code != KNOCK_E_METHOD_NOT_ALLOWED)
        {
            assert_int_equal(err.code, KNOCK_E_INVALID_PARAMETER);
        }

        knock_arena_reset(arena);
    }

    assert_in_range(taken, 1000, 59000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(every_call_has_its_path),
        cmocka_unit_test(an_event_key_may_hold_a_nul),
        cmocka_unit_test(other_paths_are_not_found),
        cmocka_unit_test(other_methods_are_told_which),
        cmocka_unit_test(keys_and_ids_are_checked),
        cmocka_unit_test(keys_and_ids_have_their_lengths),
        cmocka_unit_test(the_query_is_read),
        cmocka_unit_test(the_query_is_checked),
        cmocka_unit_test(commits_are_asked_for_by_environment),
        cmocka_unit_test(what_there_is_not_may_be_null),
        cmocka_unit_test(the_path_is_what_nginx_made_of_it),
        cmocka_unit_test(a_location_has_one_base),
        cmocka_unit_test(the_codes_have_their_statuses),
        cmocka_unit_test(random_paths_are_taken_or_refused)
    };

    return cmocka_run_group_tests_name("api_route", tests, setup, teardown);
}
