
/*
 * Which call of the control API a method and a path are, and the keys and ids
 * in that path.
 */

#include "knock_api_internal.h"
#include "knock_action.h"
#include "knock_event.h"


#define KNOCK_API_BASE       "/v1/"
#define KNOCK_API_MAX_PARTS  3          /* keys and ids of one path */


typedef struct {
    const char          *pattern;
    knock_api_method_e   method;
    knock_api_op_e       op;
} knock_api_route_t;


/* what a capital letter of a pattern stands for */

typedef struct {
    char                 letter;
    const char          *name;
    size_t               offset;        /* in the request */
    int                (*check)(knock_arena_t *arena, knock_str_t *value);
    const char          *expected;
} knock_api_part_t;


/* a part of the path as it was found: still encoded */

typedef struct {
    const knock_api_part_t  *part;
    knock_str_t              raw;
} knock_api_found_t;


static int knock_api_relative(const knock_str_t *path, knock_str_t *rest);
static size_t knock_api_match(const char *pattern, const knock_str_t *path,
    knock_api_found_t *found);
static const knock_api_part_t *knock_api_part(char letter);
static int knock_api_not_allowed(knock_arena_t *arena, unsigned methods,
    knock_api_request_t *req, knock_error_t *err);
static int knock_api_parts(knock_arena_t *arena,
    const knock_api_found_t *found, size_t n, knock_api_request_t *req,
    knock_error_t *err);
static int knock_api_check_key(knock_arena_t *arena, knock_str_t *value);
static int knock_api_check_environment(knock_arena_t *arena,
    knock_str_t *value);
static int knock_api_check_id(knock_arena_t *arena, knock_str_t *value);
static int knock_api_check_event(knock_arena_t *arena, knock_str_t *value);


/*
 * A capital letter is a key or id, K is the rest of the path; see
 * knock_api_part_table.  A path may fit several patterns, a user's id may be
 * "bulk": the first one that has the method is taken.
 */

static const knock_api_route_t  knock_api_route_table[] = {

    { "environments", KNOCK_API_GET, KNOCK_API_ENVIRONMENT_LIST },
    { "environments", KNOCK_API_POST, KNOCK_API_ENVIRONMENT_CREATE },

    { "sources", KNOCK_API_GET, KNOCK_API_SOURCE_LIST },
    { "sources", KNOCK_API_POST, KNOCK_API_SOURCE_CREATE },
    { "sources/S", KNOCK_API_GET, KNOCK_API_SOURCE_GET },
    { "sources/S", KNOCK_API_PATCH, KNOCK_API_SOURCE_PATCH },
    { "sources/S", KNOCK_API_DELETE, KNOCK_API_SOURCE_DELETE },

    { "sources/S/environments/E", KNOCK_API_GET, KNOCK_API_ENDPOINT_GET },
    { "sources/S/environments/E", KNOCK_API_PATCH, KNOCK_API_ENDPOINT_PATCH },
    { "sources/S/environments/E/rotate", KNOCK_API_POST,
      KNOCK_API_ENDPOINT_ROTATE },
    { "sources/S/environments/E/events", KNOCK_API_GET, KNOCK_API_EVENT_LIST },
    { "sources/S/environments/E/events/K", KNOCK_API_DELETE,
      KNOCK_API_EVENT_DELETE },
    { "sources/S/environments/E/logs", KNOCK_API_GET, KNOCK_API_LOG_LIST },

    { "workflows", KNOCK_API_GET, KNOCK_API_WORKFLOW_LIST },
    { "workflows/W", KNOCK_API_GET, KNOCK_API_WORKFLOW_GET },
    { "workflows/W", KNOCK_API_PUT, KNOCK_API_WORKFLOW_PUT },
    { "workflows/W", KNOCK_API_DELETE, KNOCK_API_WORKFLOW_DELETE },

    { "actions", KNOCK_API_GET, KNOCK_API_ACTION_LIST },
    { "actions/A", KNOCK_API_GET, KNOCK_API_ACTION_GET },
    { "actions/A", KNOCK_API_PUT, KNOCK_API_ACTION_PUT },
    { "actions/A", KNOCK_API_DELETE, KNOCK_API_ACTION_DELETE },
    { "actions/A/preview", KNOCK_API_POST, KNOCK_API_ACTION_PREVIEW },

    { "environments/E/workflows", KNOCK_API_GET, KNOCK_API_ENV_WORKFLOW_LIST },
    { "environments/E/workflows/W", KNOCK_API_GET,
      KNOCK_API_ENV_WORKFLOW_GET },
    { "environments/E/workflows/W", KNOCK_API_PATCH,
      KNOCK_API_ENV_WORKFLOW_PATCH },
    { "environments/E/workflows/W/test", KNOCK_API_POST,
      KNOCK_API_WORKFLOW_TEST },
    { "environments/E/actions", KNOCK_API_GET, KNOCK_API_ENV_ACTION_LIST },
    { "environments/E/actions/A", KNOCK_API_GET, KNOCK_API_ENV_ACTION_GET },
    { "environments/E/actions/A", KNOCK_API_PATCH,
      KNOCK_API_ENV_ACTION_PATCH },

    { "commits", KNOCK_API_GET, KNOCK_API_COMMIT_LIST },
    { "commits", KNOCK_API_POST, KNOCK_API_COMMIT_CREATE },
    { "commits/publish", KNOCK_API_POST, KNOCK_API_COMMIT_PUBLISH },
    { "commits/C", KNOCK_API_GET, KNOCK_API_COMMIT_GET },
    { "commits/C/revert", KNOCK_API_POST, KNOCK_API_COMMIT_REVERT },

    { "environments/E/users", KNOCK_API_GET, KNOCK_API_USER_LIST },
    { "environments/E/users/bulk", KNOCK_API_POST, KNOCK_API_USER_BULK },
    { "environments/E/users/U", KNOCK_API_GET, KNOCK_API_USER_GET },
    { "environments/E/users/U", KNOCK_API_PUT, KNOCK_API_USER_PUT },
    { "environments/E/users/U", KNOCK_API_DELETE, KNOCK_API_USER_DELETE },

    { "environments/E/runs", KNOCK_API_GET, KNOCK_API_RUN_LIST },

    { NULL, KNOCK_API_OTHER, KNOCK_API_OP_COUNT }
};


static const knock_api_part_t  knock_api_part_table[] = {

    { 'S', "a source's key", offsetof(knock_api_request_t, source),
      knock_api_check_key, KNOCK_API_EXPECTED_KEY },

    { 'E', "an environment's key",
      offsetof(knock_api_request_t, environment),
      knock_api_check_environment, KNOCK_API_EXPECTED_ENVIRONMENT },

    { 'W', "a workflow's key", offsetof(knock_api_request_t, key),
      knock_api_check_key, KNOCK_API_EXPECTED_KEY },

    { 'A', "an action's key", offsetof(knock_api_request_t, key),
      knock_api_check_key, KNOCK_API_EXPECTED_KEY },

    { 'C', "a commit's id", offsetof(knock_api_request_t, key),
      knock_api_check_key, KNOCK_API_EXPECTED_KEY },

    { 'U', "a user's id", offsetof(knock_api_request_t, key),
      knock_api_check_id,
      "1 to " KNOCK_API_STR(KNOCK_MAX_ID) " bytes of UTF-8 without control "
      "characters" },

    { 'K', "an event key", offsetof(knock_api_request_t, key),
      knock_api_check_event,
      "track/ and an event name of 1 to "
      KNOCK_API_STR(KNOCK_MAX_EVENT_NAME) " bytes of UTF-8, identify, page, "
      "screen, group or alias" },

    { '\0', NULL, 0, NULL, NULL }
};


/* by knock_api_method_e */

static const char *const  knock_api_methods[KNOCK_API_OTHER] = {
    "GET", "POST", "PUT", "PATCH", "DELETE"
};


int
knock_api_route(knock_arena_t *arena, knock_api_method_e method,
    const knock_str_t *path, const knock_str_t *query,
    knock_api_request_t *req, knock_error_t *err)
{
    size_t                    n;
    unsigned                  methods;
    knock_str_t               rest;
    knock_api_found_t         found[KNOCK_API_MAX_PARTS];
    const knock_api_route_t  *route;

    memset(req, 0, sizeof(knock_api_request_t));

    req->op = KNOCK_API_OP_COUNT;
    req->limit = KNOCK_API_LIMIT;

    methods = 0;

    if (knock_api_relative(path, &rest) == KNOCK_OK) {

        for (route = knock_api_route_table; route->pattern; route++) {

            n = knock_api_match(route->pattern, &rest, found);

            if (n > KNOCK_API_MAX_PARTS) {
                continue;
            }

            if (route->method == method) {
                req->op = route->op;

                if (knock_api_parts(arena, found, n, req, err) != KNOCK_OK) {
                    return KNOCK_ERROR;
                }

                return knock_api_query(arena, query, req, err);
            }

            methods |= 1u << route->method;
        }
    }

    if (methods != 0) {
        return knock_api_not_allowed(arena, methods, req, err);
    }

    return knock_error_set(err, KNOCK_E_NOT_FOUND, "the API has no such path, "
                           "look for a part that is misspelt, empty or "
                           "missing");
}


/* what follows the base, without a slash at its end; no part of it is empty */

static int
knock_api_relative(const knock_str_t *path, knock_str_t *rest)
{
    size_t          i, base;
    unsigned char  *p, *end;

    base = sizeof(KNOCK_API_BASE) - 1;

    if (path->len < base) {
        return KNOCK_DECLINED;
    }

    p = path->data;
    end = p + path->len;

    while ((size_t) (end - p) >= base && memcmp(p, KNOCK_API_BASE, base) != 0) {
        p++;
    }

    if ((size_t) (end - p) < base) {
        return KNOCK_DECLINED;
    }

    p += base;

    rest->data = p;
    rest->len = (size_t) (end - p);

    /* the first part is a word of a pattern, it is not empty if one fits */

    for (i = 1; i < rest->len; i++) {
        if (p[i] == '/' && p[i - 1] == '/') {
            return KNOCK_DECLINED;
        }
    }

    if (rest->len != 0 && end[-1] == '/') {
        rest->len--;
    }

    return KNOCK_OK;
}


/* the number of parts found; more than there can be: it does not fit */

static size_t
knock_api_match(const char *pattern, const knock_str_t *path,
    knock_api_found_t *found)
{
    size_t          n;
    unsigned char  *p, *end;

    n = 0;
    p = path->data;
    end = p + path->len;

    for ( /* void */ ; *pattern != '\0'; pattern++) {

        if (*pattern < 'A' || *pattern > 'Z') {

            if (p == end || *p != (unsigned char) *pattern) {
                return KNOCK_API_MAX_PARTS + 1;
            }

            p++;
            continue;
        }

        found[n].part = knock_api_part(*pattern);
        found[n].raw.data = p;

        while (p < end && (*p != '/' || *pattern == 'K')) {
            p++;
        }

        found[n].raw.len = (size_t) (p - found[n].raw.data);
        n++;
    }

    return p == end ? n : KNOCK_API_MAX_PARTS + 1;
}


static const knock_api_part_t *
knock_api_part(char letter)
{
    const knock_api_part_t  *part;

    for (part = knock_api_part_table; part->letter != letter; part++) {
        /* void */
    }

    return part;
}


static int
knock_api_not_allowed(knock_arena_t *arena, unsigned methods,
    knock_api_request_t *req, knock_error_t *err)
{
    size_t       i;
    knock_str_t  text;
    knock_buf_t  allow;

    knock_buf_init(&allow, arena, sizeof("GET, POST, PUT, PATCH, DELETE"));

    for (i = 0; i < KNOCK_API_OTHER; i++) {

        if ((methods & 1u << i) == 0) {
            continue;
        }

        if (allow.len != 0) {
            knock_buf_add_lit(&allow, ", ");
        }

        knock_buf_add(&allow, knock_api_methods[i],
                      strlen(knock_api_methods[i]));
    }

    knock_buf_add_char(&allow, '\0');

    if (knock_buf_str(&allow, &text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    req->allow = (char *) text.data;

    return knock_error_set(err, KNOCK_E_METHOD_NOT_ALLOWED,
                           "this path takes %s", req->allow);
}


static int
knock_api_parts(knock_arena_t *arena, const knock_api_found_t *found,
    size_t n, knock_api_request_t *req, knock_error_t *err)
{
    int                      rc;
    size_t                   i;
    knock_str_t             *value;
    const knock_api_part_t  *part;

    for (i = 0; i < n; i++) {
        part = found[i].part;
        value = (knock_str_t *) (void *) ((char *) req + part->offset);

        rc = knock_api_decode(arena, &found[i].raw, '+', value);

        if (rc == KNOCK_OK) {
            rc = part->check(arena, value);
        }

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                                   "%s in the path: expected %s, "
                                   "percent-encoded", part->name,
                                   part->expected);
        }
    }

    return KNOCK_OK;
}


/* the checks: KNOCK_OK; KNOCK_DECLINED: it is none; KNOCK_ERROR: no memory */

static int
knock_api_check_key(knock_arena_t *arena, knock_str_t *value)
{
    (void) arena;

    return knock_key_valid(value) ? KNOCK_OK : KNOCK_DECLINED;
}


static int
knock_api_check_environment(knock_arena_t *arena, knock_str_t *value)
{
    (void) arena;

    return knock_api_environment_valid(value) ? KNOCK_OK : KNOCK_DECLINED;
}


static int
knock_api_check_id(knock_arena_t *arena, knock_str_t *value)
{
    int            rc;
    knock_json_t  *token;

    rc = knock_api_json(arena, value, &token);

    return rc == KNOCK_OK ? knock_event_id(arena, token, value) : rc;
}


static int
knock_api_check_event(knock_arena_t *arena, knock_str_t *value)
{
    knock_json_t  *token;

    if (!knock_event_key_valid(value)) {
        return KNOCK_DECLINED;
    }

    return knock_api_json(arena, value, &token);
}


int
knock_api_environment_valid(const knock_str_t *key)
{
    size_t  i;

    for (i = 0; i < key->len; i++) {
        if (key->data[i] >= 'A' && key->data[i] <= 'Z') {
            return 0;
        }
    }

    return knock_key_valid(key);
}
