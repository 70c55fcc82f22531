
/*
 * The control API without its effects: from a method, a path and a query to
 * one of its calls, and from a body to the documents and arguments of that
 * call, checked.  Who asks, what is stored and what is answered are not seen
 * from here.
 *
 *     knock_api_route()      which call, and what the address says
 *     knock_api_body()       what the body says, for that call
 *     knock_api_condition()  what If-Match and If-None-Match ask for
 */

#ifndef KNOCK_API_H
#define KNOCK_API_H


#include "knock_json.h"
#include "knock_limits.h"


/* the calls, in the order of the contract's table */

typedef enum {
    KNOCK_API_ENVIRONMENT_LIST = 0,
    KNOCK_API_ENVIRONMENT_CREATE,
    KNOCK_API_SOURCE_LIST,
    KNOCK_API_SOURCE_CREATE,
    KNOCK_API_SOURCE_GET,
    KNOCK_API_SOURCE_PATCH,
    KNOCK_API_SOURCE_DELETE,
    KNOCK_API_ENDPOINT_GET,
    KNOCK_API_ENDPOINT_PATCH,
    KNOCK_API_ENDPOINT_ROTATE,
    KNOCK_API_EVENT_LIST,
    KNOCK_API_EVENT_DELETE,
    KNOCK_API_LOG_LIST,
    KNOCK_API_WORKFLOW_LIST,
    KNOCK_API_WORKFLOW_GET,
    KNOCK_API_WORKFLOW_PUT,
    KNOCK_API_WORKFLOW_DELETE,
    KNOCK_API_ACTION_LIST,
    KNOCK_API_ACTION_GET,
    KNOCK_API_ACTION_PUT,
    KNOCK_API_ACTION_DELETE,
    KNOCK_API_ACTION_PREVIEW,
    KNOCK_API_ENV_WORKFLOW_LIST,
    KNOCK_API_ENV_WORKFLOW_GET,
    KNOCK_API_ENV_WORKFLOW_PATCH,
    KNOCK_API_WORKFLOW_TEST,
    KNOCK_API_ENV_ACTION_LIST,
    KNOCK_API_ENV_ACTION_GET,
    KNOCK_API_ENV_ACTION_PATCH,
    KNOCK_API_COMMIT_LIST,
    KNOCK_API_COMMIT_CREATE,
    KNOCK_API_COMMIT_GET,
    KNOCK_API_COMMIT_PUBLISH,
    KNOCK_API_COMMIT_REVERT,
    KNOCK_API_USER_LIST,
    KNOCK_API_USER_GET,
    KNOCK_API_USER_PUT,
    KNOCK_API_USER_DELETE,
    KNOCK_API_USER_BULK,
    KNOCK_API_RUN_LIST,
    KNOCK_API_OP_COUNT
} knock_api_op_e;


typedef enum {
    KNOCK_API_GET = 0,              /* and HEAD */
    KNOCK_API_POST,
    KNOCK_API_PUT,
    KNOCK_API_PATCH,
    KNOCK_API_DELETE,
    KNOCK_API_OTHER
} knock_api_method_e;


/* what an API key may do: its scopes, by which the table of routes goes */

#define KNOCK_API_SCOPE_READ     1u
#define KNOCK_API_SCOPE_SEND     2u
#define KNOCK_API_SCOPE_CONSUME  4u
#define KNOCK_API_SCOPE_WRITE    8u
#define KNOCK_API_SCOPE_ALL      15u


/* which environment a call concerns, for keys that are for some only */

typedef enum {
    KNOCK_API_IN_ACCOUNT = 0,       /* none, or all of them */
    KNOCK_API_IN_PATH,              /* the one in its path */
    KNOCK_API_IN_FIRST,             /* the first one: that of the drafts */
    KNOCK_API_IN_BODY,              /* the one in its body, or the first */
    KNOCK_API_IN_COMMIT             /* those of the commits it finds */
} knock_api_where_e;


#define KNOCK_API_LIMIT          100        /* elements of a page */
#define KNOCK_API_MAX_LIMIT      1000
#define KNOCK_API_MAX_CURSOR     2048       /* bytes */
#define KNOCK_API_MAX_NAME       256        /* bytes, decoded */
#define KNOCK_API_MAX_AUTHOR     256
#define KNOCK_API_MAX_MESSAGE    1000
#define KNOCK_API_MAX_SECRET     256
#define KNOCK_API_MAX_GRACE      2592000    /* seconds, 30 days */
#define KNOCK_API_MAX_DOCUMENT   (256 * 1024)
#define KNOCK_API_MAX_ELEMENTS   1000       /* recipients or users of a call */

/* of a body: an event or user in it may be as deep as one that is received */
#define KNOCK_API_MAX_DEPTH      (KNOCK_MAX_DEPTH + 2)


/* where a call was sent to */

typedef struct {
    knock_str_t          uri;           /* the path as nginx decoded it */
    knock_str_t          raw;           /* and as it was sent; len 0: it was
                                           another one */
    knock_str_t          location;      /* the name of the location */
    knock_str_t          query;         /* raw, without '?'; may be empty */
} knock_api_address_t;


/*
 * A call.  Slices and values point into the query, the body or the arena.  What a call has no use for is 0, NULL or of length 0.
 */

typedef struct {
    knock_api_op_e       op;
    unsigned             scopes;        /* a key with any of these may */
    knock_api_where_e    where;

    /* of the address */

    knock_str_t          source;
    knock_str_t          environment;
    knock_str_t          key;           /* of a workflow or action, the id of
                                           a commit or user, an event key */
    size_t               limit;         /* always set */
    knock_str_t          cursor;        /* len 0: from the start */
    knock_str_t          status;        /* "processed", "ignored", "duplicate"
                                           or "failed"; len 0: any */

    const char          *allow;         /* with KNOCK_E_METHOD_NOT_ALLOWED:
                                           the methods, "GET, POST" */

    /* of the body */

    knock_str_t          text;          /* the document to store: of POST
                                           sources and environments, PUT
                                           workflows and actions */
    knock_str_t          new_key;       /* POST sources, environments */
    knock_str_t          after;         /* POST environments; len 0: last */
    knock_str_t          name;          /* PATCH source: its JSON text */
    knock_str_t          message;       /* of a commit: JSON texts, "null" if */
    knock_str_t          author;        /* not given */
    knock_str_t          resource_type; /* "workflow", "action"; len 0: all */
    knock_str_t          resource_key;
    knock_str_t          to;            /* publish: an environment */
    knock_str_t          action_source; /* of PUT action, of preview's action */

    knock_str_t          grace;         /* rotate, PATCH endpoint: seconds */
    knock_str_t          valid_until;   /* PATCH endpoint: ms since 1970 */
    knock_str_t         *fields;        /* PATCH endpoint: name, value, name,
                                           value... with "0", "1", one of these
                                           or the secret; of len 0: remove */
    size_t               nfields;       /* slices, two for each setting */

    int                  active;        /* PATCH of an environment's workflow
                                           or action: 0 or 1 */

    const knock_json_t  *event;         /* preview: an object */
    const knock_json_t  *action;        /* preview: the unsaved document,
                                           normalised; NULL: the saved one */
    knock_str_t          preview_environment;

    const knock_json_t  *recipients;    /* test: an array of ids */
    const knock_json_t  *actor;         /* an id, or NULL */
    const knock_json_t  *tenant;        /* an id, or NULL */
    const knock_json_t  *data;          /* an object, or NULL */

    const knock_json_t  *user;          /* PUT user: the object, with "id" */
    const knock_json_t  *users;         /* bulk: an array of such objects */
} knock_api_request_t;


/*
 * Finds the call of a method and an address, and reads its query.
 *
 * What follows the first "/v1/" of the path counts; in a location that is a
 * prefix of it this begins within the prefix or right behind it.  A slash at
 * the end is ignored, an empty part is not found.  An event key is the rest of
 * the path, so that its slashes may stand as they are (one at its end must be
 * %2F).  In the query '+' is a space; of a repeated parameter the last one
 * counts.
 *
 * The path as nginx decoded it says which call it is.  Where that leaves this
 * open, since a "/" of an id was sent as %2F, the path as it was sent is asked;
 * where the two are different calls it is neither.
 *
 * Clears *req first.  KNOCK_OK, or KNOCK_ERROR with
 *   KNOCK_E_NOT_FOUND            no call has this path
 *   KNOCK_E_METHOD_NOT_ALLOWED   some have, with other methods: req->allow
 *   KNOCK_E_INVALID_PARAMETER    a key, id or event key that is none, or
 *                                cannot be told from the rest of the path; a
 *                                "limit" that is no number from 1 to
 *                                KNOCK_API_MAX_LIMIT, an unknown "status", an
 *                                unknown parameter; in the query "%" without
 *                                two hex digits, what is not UTF-8
 */
int knock_api_route(knock_arena_t *arena, knock_api_method_e method,
    const knock_api_address_t *address, knock_api_request_t *req,
    knock_error_t *err);

/*
 * Adds what an If-Match, or with `none` an If-None-Match, asks for, as the
 * functions of the library take it.  What is none of their ETags matches
 * nothing.
 */
void knock_api_condition(knock_buf_t *buf, const knock_str_t *value, int none);

/* whether such a condition, of one header, names an ETag */
int knock_api_condition_names(const knock_str_t *condition,
    const knock_str_t *etag);

/*
 * Checks the body of the call that req holds and fills in what req has of it.
 * `now` is in milliseconds since 1970, for "created_at".  Null is as if not
 * given, except for a signing secret.  No body at all is as {}, except for a
 * PUT.  req keeps pointing into the body.
 *
 * KNOCK_OK, or KNOCK_ERROR with
 *   KNOCK_E_INVALID_JSON     and the byte
 *   KNOCK_E_INVALID_BODY     and the field: missing, of a wrong type, too
 *                            long, unknown
 *   KNOCK_E_INVALID_ACTION   as knock_action_compile() says it
 */
int knock_api_body(knock_arena_t *arena, const knock_str_t *body,
    uint64_t now, knock_api_request_t *req, knock_error_t *err);


/*
 * The documents that are more than a list of fields.
 *
 * An action's: `doc` with the key added, compiled, in the one order and form
 * that is stored, so that equal actions have equal texts.  A parameter keeps
 * its text, an absent one is null.  A "key" in it must be `key`.
 */

typedef struct {
    knock_str_t          text;
    const knock_json_t  *root;          /* the same, read */
    knock_str_t          source;
} knock_api_action_t;

int knock_api_action(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *key, knock_api_action_t *action, knock_error_t *err);

/*
 * The same for an action as the library answers it, whose "uncommitted" is no
 * part of the document.
 */
int knock_api_saved_action(knock_arena_t *arena, const knock_json_t *answer,
    const knock_str_t *key, knock_api_action_t *action, knock_error_t *err);

/*
 * A user's properties with the id as the first one, for
 * knock_entity_inline().  An "id" among them must be `id`, as a string or an
 * integer; a "collection" is refused.
 */
int knock_api_user(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *id, const knock_json_t **user, knock_error_t *err);

/*
 * A stored document with another name, the JSON text `name`.  KNOCK_OK, or
 * KNOCK_ERROR with KNOCK_E_INTERNAL, also if what is stored is no object.
 */
int knock_api_rename(knock_arena_t *arena, const knock_str_t *doc,
    const knock_str_t *name, knock_str_t *text, knock_error_t *err);

/* 1 if `key` is 1 to KNOCK_MAX_KEY bytes of [a-z0-9_-], else 0 */
int knock_api_environment_valid(const knock_str_t *key);


#endif /* KNOCK_API_H */
