
/*
 * Which call of the control API a method and a path are, and the keys and ids
 * in that path.
 */

#include "knock_api_internal.h"
#include "knock_action.h"
#include "knock_event.h"


#define KNOCK_API_MAX_PARTS  3          /* keys and ids of one path */


/* the scope that a call needs, as the scopes of the keys that have it */

#define KNOCK_API_READ                                                       \
    (KNOCK_API_SCOPE_READ | KNOCK_API_SCOPE_SEND | KNOCK_API_SCOPE_WRITE)

#define KNOCK_API_READ_OR_CONSUME  KNOCK_API_SCOPE_ALL

#define KNOCK_API_SEND     (KNOCK_API_SCOPE_SEND | KNOCK_API_SCOPE_WRITE)
#define KNOCK_API_CONSUME  (KNOCK_API_SCOPE_CONSUME | KNOCK_API_SCOPE_WRITE)
#define KNOCK_API_WRITE    KNOCK_API_SCOPE_WRITE


typedef struct {
    const char          *pattern;
    knock_api_method_e   method;
    knock_api_op_e       op;
    unsigned             scopes;
    knock_api_where_e    where;
} knock_api_route_t;


/* what a capital letter of a pattern stands for */

typedef struct {
    char                 letter;
    const char          *name;
    size_t               offset;        /* in the request */
    int                (*check)(knock_arena_t *arena, knock_str_t *value);
    const char          *expected;
} knock_api_part_t;


/* a part of the path as it was found */

typedef struct {
    const knock_api_part_t  *part;
    knock_str_t              text;
} knock_api_found_t;


static int knock_api_choose(const knock_api_path_t *decoded,
    const knock_api_path_t *sent, const knock_api_path_t **path,
    knock_error_t *err);
static size_t knock_api_match(const char *pattern,
    const knock_api_path_t *path, knock_api_found_t *found);
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
 * The calls: path, method, name; the scope that an API key needs for it, which
 * is READ, SEND (makes events or runs), CONSUME (reports on runs) or WRITE, or
 * READ_OR_CONSUME of what consumers read too; and the environment that the key
 * has to be for, if it is for some only: see knock_api_where_e.
 *
 * A capital letter is a key or id, K is the rest of the path; see
 * knock_api_part_table.  A path may fit several patterns, a user's id may be
 * "bulk": the first one that has the method is taken.
 */

static const knock_api_route_t  knock_api_route_table[] = {

    { "environments", KNOCK_API_GET, KNOCK_API_ENVIRONMENT_LIST,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "environments", KNOCK_API_POST, KNOCK_API_ENVIRONMENT_CREATE,
      KNOCK_API_WRITE, KNOCK_API_IN_ACCOUNT },

    { "sources", KNOCK_API_GET, KNOCK_API_SOURCE_LIST,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "sources", KNOCK_API_POST, KNOCK_API_SOURCE_CREATE,
      KNOCK_API_WRITE, KNOCK_API_IN_ACCOUNT },
    { "sources/S", KNOCK_API_GET, KNOCK_API_SOURCE_GET,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "sources/S", KNOCK_API_PATCH, KNOCK_API_SOURCE_PATCH,
      KNOCK_API_WRITE, KNOCK_API_IN_ACCOUNT },
    { "sources/S", KNOCK_API_DELETE, KNOCK_API_SOURCE_DELETE,
      KNOCK_API_WRITE, KNOCK_API_IN_ACCOUNT },

    { "sources/S/environments/E", KNOCK_API_GET, KNOCK_API_ENDPOINT_GET,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "sources/S/environments/E", KNOCK_API_PATCH, KNOCK_API_ENDPOINT_PATCH,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "sources/S/environments/E/rotate", KNOCK_API_POST,
      KNOCK_API_ENDPOINT_ROTATE,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "sources/S/environments/E/events", KNOCK_API_GET, KNOCK_API_EVENT_LIST,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "sources/S/environments/E/events/K", KNOCK_API_DELETE,
      KNOCK_API_EVENT_DELETE,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "sources/S/environments/E/logs", KNOCK_API_GET, KNOCK_API_LOG_LIST,
      KNOCK_API_READ, KNOCK_API_IN_PATH },

    { "workflows", KNOCK_API_GET, KNOCK_API_WORKFLOW_LIST,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "workflows/W", KNOCK_API_GET, KNOCK_API_WORKFLOW_GET,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "workflows/W", KNOCK_API_PUT, KNOCK_API_WORKFLOW_PUT,
      KNOCK_API_WRITE, KNOCK_API_IN_FIRST },
    { "workflows/W", KNOCK_API_DELETE, KNOCK_API_WORKFLOW_DELETE,
      KNOCK_API_WRITE, KNOCK_API_IN_FIRST },

    { "actions", KNOCK_API_GET, KNOCK_API_ACTION_LIST,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "actions/A", KNOCK_API_GET, KNOCK_API_ACTION_GET,
      KNOCK_API_READ, KNOCK_API_IN_ACCOUNT },
    { "actions/A", KNOCK_API_PUT, KNOCK_API_ACTION_PUT,
      KNOCK_API_WRITE, KNOCK_API_IN_FIRST },
    { "actions/A", KNOCK_API_DELETE, KNOCK_API_ACTION_DELETE,
      KNOCK_API_WRITE, KNOCK_API_IN_FIRST },
    { "actions/A/preview", KNOCK_API_POST, KNOCK_API_ACTION_PREVIEW,
      KNOCK_API_READ, KNOCK_API_IN_BODY },

    { "environments/E/workflows", KNOCK_API_GET, KNOCK_API_ENV_WORKFLOW_LIST,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "environments/E/workflows/W", KNOCK_API_GET, KNOCK_API_ENV_WORKFLOW_GET,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "environments/E/workflows/W", KNOCK_API_PATCH,
      KNOCK_API_ENV_WORKFLOW_PATCH,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "environments/E/workflows/W/test", KNOCK_API_POST,
      KNOCK_API_WORKFLOW_TEST,
      KNOCK_API_SEND, KNOCK_API_IN_PATH },
    { "environments/E/actions", KNOCK_API_GET, KNOCK_API_ENV_ACTION_LIST,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "environments/E/actions/A", KNOCK_API_GET, KNOCK_API_ENV_ACTION_GET,
      KNOCK_API_READ, KNOCK_API_IN_PATH },
    { "environments/E/actions/A", KNOCK_API_PATCH, KNOCK_API_ENV_ACTION_PATCH,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },

    { "commits", KNOCK_API_GET, KNOCK_API_COMMIT_LIST,
      KNOCK_API_READ, KNOCK_API_IN_COMMIT },
    { "commits", KNOCK_API_POST, KNOCK_API_COMMIT_CREATE,
      KNOCK_API_WRITE, KNOCK_API_IN_FIRST },
    { "commits/publish", KNOCK_API_POST, KNOCK_API_COMMIT_PUBLISH,
      KNOCK_API_WRITE, KNOCK_API_IN_BODY },
    { "commits/C", KNOCK_API_GET, KNOCK_API_COMMIT_GET,
      KNOCK_API_READ, KNOCK_API_IN_COMMIT },
    { "commits/C/revert", KNOCK_API_POST, KNOCK_API_COMMIT_REVERT,
      KNOCK_API_WRITE, KNOCK_API_IN_COMMIT },

    { "environments/E/users", KNOCK_API_GET, KNOCK_API_USER_LIST,
      KNOCK_API_READ_OR_CONSUME, KNOCK_API_IN_PATH },
    { "environments/E/users/bulk", KNOCK_API_POST, KNOCK_API_USER_BULK,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "environments/E/users/U", KNOCK_API_GET, KNOCK_API_USER_GET,
      KNOCK_API_READ_OR_CONSUME, KNOCK_API_IN_PATH },
    { "environments/E/users/U", KNOCK_API_PUT, KNOCK_API_USER_PUT,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },
    { "environments/E/users/U", KNOCK_API_DELETE, KNOCK_API_USER_DELETE,
      KNOCK_API_WRITE, KNOCK_API_IN_PATH },

    { "environments/E/runs", KNOCK_API_GET, KNOCK_API_RUN_LIST,
      KNOCK_API_READ_OR_CONSUME, KNOCK_API_IN_PATH },

    { NULL, KNOCK_API_OTHER, KNOCK_API_OP_COUNT, 0, KNOCK_API_IN_ACCOUNT }
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
    const knock_api_address_t *address, knock_api_request_t *req,
    knock_error_t *err)
{
    size_t                    n;
    unsigned                  methods;
    knock_api_path_t          decoded, sent;
    knock_api_found_t         found[KNOCK_API_MAX_PARTS];
    const knock_api_path_t   *path;
    const knock_api_route_t  *route;

    memset(req, 0, sizeof(knock_api_request_t));

    req->op = KNOCK_API_OP_COUNT;
    req->limit = KNOCK_API_LIMIT;

    if (knock_api_paths(arena, address, &decoded, &sent, err) != KNOCK_OK
        || knock_api_choose(&decoded, &sent, &path, err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    methods = 0;

    for (route = knock_api_route_table; route->pattern; route++) {

        n = knock_api_match(route->pattern, path, found);

        if (n > KNOCK_API_MAX_PARTS) {
            continue;
        }

        if (route->method == method) {
            req->op = route->op;
            req->scopes = route->scopes;
            req->where = route->where;

            if (knock_api_parts(arena, found, n, req, err) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

            return knock_api_query(arena, &address->query, req, err);
        }

        methods |= 1u << route->method;
    }

    if (methods != 0) {
        return knock_api_not_allowed(arena, methods, req, err);
    }

    return knock_error_set(err, KNOCK_E_NOT_FOUND, "the API has no such path, "
                           "look for a part that is misspelt, empty or "
                           "missing");
}


/*
 * What nginx decoded counts where it fits a call that what was sent does not
 * fit.  If that fits others they are another resource than nginx let in.
 */

static int
knock_api_choose(const knock_api_path_t *decoded, const knock_api_path_t *sent,
    const knock_api_path_t **path, knock_error_t *err)
{
    int                       other, fits, fits_sent;
    knock_api_found_t         found[KNOCK_API_MAX_PARTS];
    const knock_api_route_t  *route;

    *path = decoded;

    if (sent->inner == NULL) {
        return KNOCK_OK;
    }

    other = 0;
    fits_sent = 0;

    for (route = knock_api_route_table; route->pattern; route++) {

        fits = knock_api_match(route->pattern, sent, found)
               <= KNOCK_API_MAX_PARTS;

        fits_sent |= fits;
        other |= !fits && knock_api_match(route->pattern, decoded, found)
                          <= KNOCK_API_MAX_PARTS;
    }

    if (other && fits_sent) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "the path is that of another call once its "
                               "%%2F are decoded: an id with this \"/\" cannot "
                               "be named by a path");
    }

    if (fits_sent) {
        *path = sent;
    }

    return KNOCK_OK;
}


/* the number of parts found; more than there can be: it does not fit */

static size_t
knock_api_match(const char *pattern, const knock_api_path_t *path,
    knock_api_found_t *found)
{
    size_t              i, n, len;
    const knock_str_t  *text;

    text = &path->text;
    len = text->len;

    for (i = 0, n = 0; *pattern != '\0'; pattern++) {

        if (*pattern < 'A' || *pattern > 'Z') {

            if (i == len || text->data[i] != (unsigned char) *pattern
                || (*pattern == '/' && !knock_api_separates(path, i)))
            {
                return KNOCK_API_MAX_PARTS + 1;
            }

            i++;
            continue;
        }

        found[n].part = knock_api_part(*pattern);
        found[n].text.data = text->data + i;

        while (i < len && (!knock_api_separates(path, i) || *pattern == 'K')) {
            i++;
        }

        found[n].text.len = (size_t) (text->data + i - found[n].text.data);
        n++;
    }

    return i == len ? n : KNOCK_API_MAX_PARTS + 1;
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

        rc = knock_arena_dup(arena, &found[i].text, value);

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
