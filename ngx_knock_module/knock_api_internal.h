
/*
 * What the files of knock_api.h share; nobody else includes this.
 *
 *   knock_api_route.c      which call the path is, and the keys and ids in it
 *   knock_api_path.c       the path, as nginx has decoded it and as it was sent
 *   knock_api_query.c      the query
 *   knock_api_condition.c  what If-Match and If-None-Match ask for
 *   knock_api_body.c       the bodies: the fields of each, and what they make
 *   knock_api_fields.c     reads an object by a table of fields
 *   knock_api_checks.c     the checks of a field's value
 *   knock_api_document.c   the documents that are more than a list of fields
 */

#ifndef KNOCK_API_INTERNAL_H
#define KNOCK_API_INTERNAL_H


#include "knock_api.h"


#define KNOCK_API_STR_(x)  #x
#define KNOCK_API_STR(x)   KNOCK_API_STR_(x)


/* what stands after "expected" in an error */

#define KNOCK_API_EXPECTED_KEY                                               \
    "1 to " KNOCK_API_STR(KNOCK_MAX_KEY) " of the characters A-Z, a-z, "     \
    "0-9, \"_\" and \"-\""

#define KNOCK_API_EXPECTED_ENVIRONMENT                                       \
    "1 to " KNOCK_API_STR(KNOCK_MAX_KEY) " of the characters a-z, 0-9, "     \
    "\"_\" and \"-\""

#define KNOCK_API_EXPECTED_ID                                                \
    "an id: a string of 1 to " KNOCK_API_STR(KNOCK_MAX_ID) " bytes without " \
    "control characters, or an integer"


/* knock_api_path.c */

/* what follows the base: parts with a "/" between each two; len 0: no path */

typedef struct {
    knock_str_t           text;
    const unsigned char  *inner;    /* 1: this "/" is of a part; NULL: none */
} knock_api_path_t;

/*
 * Reads the path as nginx has decoded it and as it was sent, which are the
 * same, without `inner`, unless a "/" or "." was sent encoded.  KNOCK_OK, or
 * KNOCK_ERROR with the error filled: what was sent is not what nginx decoded.
 */
int knock_api_paths(knock_arena_t *arena, const knock_api_address_t *address,
    knock_api_path_t *decoded, knock_api_path_t *sent, knock_error_t *err);

/* whether a byte is a "/" between two parts */
int knock_api_separates(const knock_api_path_t *path, size_t i);


/* knock_api_query.c */

int knock_api_query(knock_arena_t *arena, const knock_str_t *query,
    knock_api_request_t *req, knock_error_t *err);

/* the value of a hex digit, or -1 */
int knock_api_hex(unsigned char c);

/*
 * Bytes as a JSON string, so that the rules of those hold for them.
 * KNOCK_OK; KNOCK_DECLINED: they are not UTF-8; KNOCK_ERROR: no memory.
 */
int knock_api_json(knock_arena_t *arena, const knock_str_t *value,
    knock_json_t **token);


/* a body under examination */

typedef struct {
    knock_arena_t        *arena;
    uint64_t              now;
    knock_api_request_t  *req;
    knock_error_t        *err;
    const knock_json_t   *root;
} knock_api_body_t;


typedef struct knock_api_field_s  knock_api_field_t;


/*
 * Of one value.  KNOCK_OK, with *str the decoded string of a string;
 * KNOCK_DECLINED: not what is expected; KNOCK_ERROR with the error filled.
 */

typedef int knock_api_check_t(knock_api_body_t *b,
    const knock_api_field_t *field, const knock_json_t *v, knock_str_t *str);


/* where in the request a value goes: its string, text, token or truth */

typedef enum {
    KNOCK_API_SET_NOTHING = 0,
    KNOCK_API_SET_STRING,
    KNOCK_API_SET_TEXT,
    KNOCK_API_SET_VALUE,
    KNOCK_API_SET_TRUTH
} knock_api_set_e;


struct knock_api_field_s {
    const char           *name;
    knock_api_check_t    *check;
    size_t                max;      /* bytes of a string, elements */
    unsigned              flags;
    knock_api_set_e       set;
    size_t                offset;   /* in the request */
    const char           *expected; /* what stands after "expected" */
};


#define KNOCK_API_REQUIRED    1
#define KNOCK_API_NULLABLE    2     /* null is a value, not an absence */

#define KNOCK_API_MAX_FIELDS  8     /* of one object */

#define KNOCK_API_TO(member)  offsetof(knock_api_request_t, member)

#define KNOCK_API_FIELD_END                                                  \
    { NULL, NULL, 0, 0, KNOCK_API_SET_NOTHING, 0, NULL }


/* knock_api_fields.c */

/*
 * Checks an object's members and puts into the request what goes there.
 * `prefix` stands before their names in an error.  KNOCK_OK, or KNOCK_ERROR.
 */
int knock_api_fields(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object);


/* knock_api_checks.c */

knock_api_check_t  knock_api_is_string;
knock_api_check_t  knock_api_is_key;
knock_api_check_t  knock_api_is_key_of_path;
knock_api_check_t  knock_api_is_environment;
knock_api_check_t  knock_api_is_kind;
knock_api_check_t  knock_api_is_secret;
knock_api_check_t  knock_api_is_grace;
knock_api_check_t  knock_api_is_end_of_grace;
knock_api_check_t  knock_api_is_boolean;
knock_api_check_t  knock_api_is_object;
knock_api_check_t  knock_api_is_resource;
knock_api_check_t  knock_api_is_resource_type;
knock_api_check_t  knock_api_is_existing;
knock_api_check_t  knock_api_is_recipients;
knock_api_check_t  knock_api_is_users;


#endif /* KNOCK_API_INTERNAL_H */
