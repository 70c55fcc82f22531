
/* knock_api_body: the bodies of the API's calls, checked and normalised */

#include "fixture.h"
#include "mutate.h"

#include "knock_api.h"
#include "knock_action.h"
#include "knock_entity.h"


#define NOW      1772448845678      /* of the tests */
#define CREATED  "2026-03-02T10:54:05.678Z"

#define ENVIRONMENT_CREATE  KNOCK_API_ENVIRONMENT_CREATE
#define SOURCE_CREATE       KNOCK_API_SOURCE_CREATE
#define SOURCE_PATCH        KNOCK_API_SOURCE_PATCH
#define ENDPOINT_PATCH      KNOCK_API_ENDPOINT_PATCH
#define ENDPOINT_ROTATE     KNOCK_API_ENDPOINT_ROTATE
#define WORKFLOW_PUT        KNOCK_API_WORKFLOW_PUT
#define ACTION_PUT          KNOCK_API_ACTION_PUT
#define ACTION_PREVIEW      KNOCK_API_ACTION_PREVIEW
#define WORKFLOW_PATCH      KNOCK_API_ENV_WORKFLOW_PATCH
#define ACTION_PATCH        KNOCK_API_ENV_ACTION_PATCH
#define WORKFLOW_TEST       KNOCK_API_WORKFLOW_TEST
#define COMMIT_CREATE       KNOCK_API_COMMIT_CREATE
#define COMMIT_PUBLISH      KNOCK_API_COMMIT_PUBLISH
#define COMMIT_REVERT       KNOCK_API_COMMIT_REVERT
#define USER_PUT            KNOCK_API_USER_PUT
#define USER_BULK           KNOCK_API_USER_BULK

#define EXPECTED_KEY                                                         \
    "expected 1 to 64 of the characters A-Z, a-z, 0-9, \"_\" and \"-\""

/* a secret before, until then; and an hour from now */

#define UNTIL(time)                                                          \
    "{\"previous_signing_secret\":\"s\","                                    \
    "\"previous_signing_secret_valid_until\":" time "}"

#define AN_HOUR_ON  "2026-03-02T11:54:05.678Z"

#define EXPECTED_UNTIL                                                       \
    "\"previous_signing_secret_valid_until\": expected an RFC 3339 time that " \
    "is to come, in at most 2592000 seconds (30 days)"

#define EXPECTED_ID                                                          \
    "expected an id: a string of 1 to 256 bytes without control characters, " \
    "or an integer"


/* the key or id in the path is "k" */

static int
body_bytes(knock_api_op_e op, knock_str_t *body, knock_api_request_t *req,
    knock_error_t *err)
{
    int  rc;

    memset(err, 0, sizeof(knock_error_t));
    memset(req, 0, sizeof(knock_api_request_t));

    req->op = op;
    req->limit = KNOCK_API_LIMIT;
    knock_str_set(&req->key, "k");

    rc = knock_api_body(arena, body, NOW, req, err);

    if (rc == KNOCK_OK) {
        assert_int_equal(err->code, KNOCK_E_NONE);

    } else {
        assert_int_equal(rc, KNOCK_ERROR);
        assert_int_not_equal(err->code, KNOCK_E_NONE);
        assert_true(strlen(err->message) > 0);
    }

    return rc;
}


static int
body(knock_api_op_e op, const char *text, knock_api_request_t *req,
    knock_error_t *err)
{
    knock_str_t  str, copy;

    str.len = strlen(text);
    str.data = (unsigned char *) text;

    assert_int_equal(knock_arena_dup(arena, &str, &copy), KNOCK_OK);

    return body_bytes(op, &copy, req, err);
}


static void
body_ok(knock_api_op_e op, const char *text, knock_api_request_t *req)
{
    knock_error_t  err;

    if (body(op, text, req, &err) != KNOCK_OK) {
        fail_msg("%.200s: %s", text, err.message);
    }
}


static void
assert_refused(knock_api_op_e op, const char *text, knock_error_code_e code,
    const char *message)
{
    knock_error_t        err;
    knock_api_request_t  req;

    if (body(op, text, &req, &err) == KNOCK_OK) {
        fail_msg("%.200s was taken", text);
    }

    if (err.code != code
        || strncmp(err.message, message, strlen(message)) != 0)
    {
        fail_msg("%.200s: %s, \"%s\"", text, knock_error_name(err.code),
                 err.message);
    }
}


static const knock_api_op_e  bodiless[] = {
    KNOCK_API_ENVIRONMENT_LIST, KNOCK_API_SOURCE_LIST, KNOCK_API_SOURCE_GET,
    KNOCK_API_SOURCE_DELETE, KNOCK_API_ENDPOINT_GET,
    KNOCK_API_EVENT_LIST, KNOCK_API_EVENT_DELETE,
    KNOCK_API_LOG_LIST, KNOCK_API_WORKFLOW_LIST, KNOCK_API_WORKFLOW_GET,
    KNOCK_API_WORKFLOW_DELETE, KNOCK_API_ACTION_LIST, KNOCK_API_ACTION_GET,
    KNOCK_API_ACTION_DELETE, KNOCK_API_ENV_WORKFLOW_LIST,
    KNOCK_API_ENV_WORKFLOW_GET, KNOCK_API_ENV_ACTION_LIST,
    KNOCK_API_ENV_ACTION_GET, KNOCK_API_COMMIT_LIST, KNOCK_API_COMMIT_GET,
    KNOCK_API_USER_LIST, KNOCK_API_USER_GET, KNOCK_API_USER_DELETE,
    KNOCK_API_RUN_LIST
};

static const knock_api_op_e  with_body[] = {
    ENVIRONMENT_CREATE, SOURCE_CREATE, SOURCE_PATCH, ENDPOINT_PATCH,
    ENDPOINT_ROTATE, WORKFLOW_PUT, ACTION_PUT, ACTION_PREVIEW, WORKFLOW_PATCH, ACTION_PATCH,
    WORKFLOW_TEST, COMMIT_CREATE, COMMIT_PUBLISH, COMMIT_REVERT, USER_PUT,
    USER_BULK
};


static void
most_calls_have_no_body(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    (void) state;

    assert_int_equal(N(bodiless) + N(with_body), KNOCK_API_OP_COUNT);

    for (i = 0; i < N(bodiless); i++) {
        body_ok(bodiless[i], "", &req);
        body_ok(bodiless[i], "{}", &req);
        body_ok(bodiless[i], " { } ", &req);

        assert_refused(bodiless[i], "{\"key\":\"x\"}", KNOCK_E_INVALID_BODY,
                       "there is no such field, remove it: \"key\"");
        assert_refused(bodiless[i], "[]", KNOCK_E_INVALID_BODY,
                       "the body must be a JSON object");
    }
}


static void
a_body_is_a_json_object(void **state)
{
    size_t               i;
    knock_error_t        err;
    knock_api_request_t  req;

    (void) state;

    for (i = 0; i < N(with_body); i++) {
        assert_refused(with_body[i], "null", KNOCK_E_INVALID_BODY,
                       "the body must be a JSON object");
        assert_refused(with_body[i], "[{}]", KNOCK_E_INVALID_BODY,
                       "the body must be a JSON object");
        assert_refused(with_body[i], "\"x\"", KNOCK_E_INVALID_BODY,
                       "the body must be a JSON object");
        assert_refused(with_body[i], " ", KNOCK_E_INVALID_JSON, "byte 1: ");
        assert_refused(with_body[i], "{\"name\":01}", KNOCK_E_INVALID_JSON,
                       "byte 8: ");
        assert_refused(with_body[i], "{\"a\":\"\xff\"}",
                       KNOCK_E_INVALID_JSON, "byte 6: ");
        assert_refused(with_body[i], "{} x", KNOCK_E_INVALID_JSON,
                       "byte 3: ");
        assert_refused(with_body[i],
                       repeat("{\"a\":", "[", 100, ""), KNOCK_E_INVALID_JSON,
                       "byte 70: arrays and objects are nested deeper than "
                       "the limit of 66 levels");
    }

    assert_int_equal(body(SOURCE_CREATE, "{\"key\"}", &req, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.offset, 6);
}


static void
no_body_is_an_empty_object_but_of_a_put(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const knock_api_op_e  puts[] = { WORKFLOW_PUT, ACTION_PUT,
                                            USER_PUT };

    (void) state;

    for (i = 0; i < N(puts); i++) {
        assert_refused(puts[i], "", KNOCK_E_INVALID_JSON,
                       "byte 0: the text is empty, expected a JSON value");
    }

    body_ok(COMMIT_CREATE, "", &req);
    assert_str(&req.message, "null");
    assert_str(&req.author, "null");

    body_ok(COMMIT_REVERT, "", &req);

    assert_refused(SOURCE_CREATE, "", KNOCK_E_INVALID_BODY,
                   "\"key\" is required: " EXPECTED_KEY);
    assert_refused(ENDPOINT_PATCH, "", KNOCK_E_INVALID_BODY,
                   "there is nothing to change");
}


static void
documents_are_normalised(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const struct {
        knock_api_op_e   op;
        const char      *body;
        const char      *text;
    } cases[] = {
        { SOURCE_CREATE, "{\"key\":\"segment\"}",
          "{\"key\":\"segment\",\"kind\":\"segment\",\"name\":\"segment\","
          "\"created_at\":\"" CREATED "\"}" },
        { SOURCE_CREATE, " { \"name\" : \"S\\u00fc\\n\xc3\xbc\" , \"kind\" : "
          "\"s\\u0065gment\" , \"key\" : \"A\\u005fb-9\" } ",
          "{\"key\":\"A_b-9\",\"kind\":\"segment\",\"name\":"
          "\"S\\u00fc\\n\xc3\xbc\",\"created_at\":\"" CREATED "\"}" },
        { SOURCE_CREATE, "{\"key\":\"s\",\"kind\":null,\"name\":null}",
          "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"s\","
          "\"created_at\":\"" CREATED "\"}" },
        { SOURCE_CREATE, "{\"key\":\"s\",\"name\":\"\"}",
          "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"\","
          "\"created_at\":\"" CREATED "\"}" },

        /* of a duplicated field the last one counts, whatever was before */

        { SOURCE_CREATE, "{\"key\":7,\"kind\":\"x\",\"kind\":null,"
          "\"key\":\"s\"}",
          "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"s\","
          "\"created_at\":\"" CREATED "\"}" },

        { ENVIRONMENT_CREATE, "{\"key\":\"staging-2\"}",
          "{\"key\":\"staging-2\",\"name\":\"staging-2\",\"created_at\":\""
          CREATED "\"}" },
        { ENVIRONMENT_CREATE, "{\"after\":\"development\",\"key\":\"staging\","
          "\"name\":\"Staging\"}",
          "{\"key\":\"staging\",\"name\":\"Staging\",\"created_at\":\""
          CREATED "\"}" },

        { WORKFLOW_PUT, "{}", "{\"key\":\"k\",\"name\":\"k\","
          "\"definition\":{}}" },
        { WORKFLOW_PUT, "{\"key\":\"k\",\"name\":\"New\",\"definition\":null}",
          "{\"key\":\"k\",\"name\":\"New\",\"definition\":{}}" },
        { WORKFLOW_PUT, "{\"definition\":{ \"b\" : 1.0e2,\"a\":[ ],"
          "\"a\":\"\\u0041\"},\"key\":\"\\u006b\"}",
          "{\"key\":\"k\",\"name\":\"k\",\"definition\":{ \"b\" : 1.0e2,"
          "\"a\":[ ],\"a\":\"\\u0041\"}}" },

        { ACTION_PUT, "{\"source\":\"s\",\"event\":\"track/A\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":\"userId\"}",
          "{\"key\":\"k\",\"source\":\"s\",\"event\":\"track/A\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":\"userId\","
          "\"actor\":null,\"tenant\":null,\"cancellation_key\":null}" },
        { ACTION_PUT, "{ \"cancellation_key\" : {\"literal\" : [1, 2]} , "
          "\"tenant\":\"properties.org\",\"actor\":\"\\u0075serId\","
          "\"recipients\":[ \"userId\" , {\"literal\":\"u1\"} ],"
          "\"workflow\":\"\\u0077\",\"type\":\"workflows_trigger\",\"event\":"
          "\"track\\/A \\\"q\\\" \\u00fc\",\"source\":\"s\",\"key\":\"k\"}",
          "{\"key\":\"k\",\"source\":\"s\",\"event\":"
          "\"track/A \\\"q\\\" \xc3\xbc\","
          "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
          "\"recipients\":[ \"userId\" , {\"literal\":\"u1\"} ],"
          "\"actor\":\"\\u0075serId\",\"tenant\":\"properties.org\","
          "\"cancellation_key\":{\"literal\" : [1, 2]}}" },
        { ACTION_PUT, "{\"key\":null,\"source\":\"x\",\"source\":\"s\","
          "\"event\":\"page\",\"type\":\"workflows_trigger\",\"workflow\":"
          "\"w\",\"recipients\":\"userId\",\"actor\":null,"
          "\"tenant\":\"a\",\"tenant\":null}",
          "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":\"userId\","
          "\"actor\":null,\"tenant\":null,\"cancellation_key\":null}" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        body_ok(cases[i].op, cases[i].body, &req);
        assert_str(&req.text, cases[i].text);
    }
}


/* what was stored may be sent back */

static void
a_normalised_document_stays_as_it_is(void **state)
{
    char                *text;
    knock_api_request_t  req, again;

    (void) state;

    body_ok(WORKFLOW_PUT, "{\"name\":\"N\",\"definition\":{ \"a\":1 }}", &req);
    text = knock_arena_alloc(arena, req.text.len + 1);
    assert_non_null(text);
    memcpy(text, req.text.data, req.text.len);
    text[req.text.len] = '\0';

    body_ok(WORKFLOW_PUT, text, &again);
    assert_str(&again.text, text);

    body_ok(ACTION_PUT, "{\"source\":\"s\",\"event\":\"track/A\\u0000\","
            "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
            "\"recipients\":\"userId\"}", &req);
    text = knock_arena_alloc(arena, req.text.len + 1);
    assert_non_null(text);
    memcpy(text, req.text.data, req.text.len);
    text[req.text.len] = '\0';

    body_ok(ACTION_PUT, text, &again);
    assert_str(&again.text, text);
}


static void
keys_stand_beside_the_document(void **state)
{
    knock_api_request_t  req;

    (void) state;

    body_ok(SOURCE_CREATE, "{\"key\":\"s\\u0065g\"}", &req);
    assert_str(&req.new_key, "seg");
    assert_int_equal(req.after.len, 0);

    body_ok(ENVIRONMENT_CREATE, "{\"key\":\"qa\",\"after\":\"dev\"}", &req);
    assert_str(&req.new_key, "qa");
    assert_str(&req.after, "dev");

    body_ok(ENVIRONMENT_CREATE, "{\"key\":\"qa\",\"after\":null}", &req);
    assert_int_equal(req.after.len, 0);

    body_ok(SOURCE_PATCH, "{\"name\":\"A \\\"b\\\"\"}", &req);
    assert_str(&req.name, "\"A \\\"b\\\"\"");

    body_ok(SOURCE_PATCH, "{\"name\":\"\"}", &req);
    assert_str(&req.name, "\"\"");

    body_ok(ACTION_PUT, "{\"source\":\"se\\u0067\",\"event\":\"page\","
            "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
            "\"recipients\":\"userId\"}", &req);
    assert_str(&req.action_source, "seg");
}


static void
settings_are_pairs(void **state)
{
    size_t               i, n;
    const char *const   *expected;
    knock_api_request_t  req;

    static const struct {
        const char  *body;
        const char  *fields[9];
    } cases[] = {
        { "{\"enabled\":true}", { "enabled", "1" } },
        { "{\"enabled\":false}", { "enabled", "0" } },
        { "{\"identify_enabled\":true}", { "identify_enabled", "1" } },
        { "{\"idempotency_enabled\":false}", { "idempotency_enabled", "0" } },
        { "{\"signing_secret\":\"s\\u0065\\\"cret\"}",
          { "signing_secret", "se\"cret" } },
        { "{\"signing_secret\":null}", { "signing_secret", "" } },
        { "{\"signing_secret\":\"a\",\"signing_secret\":null}",
          { "signing_secret", "" } },
        { "{\"enabled\":null,\"identify_enabled\":false}",
          { "identify_enabled", "0" } },
        { "{\"signing_secret\":\"1\",\"idempotency_enabled\":true,"
          "\"enabled\":true,\"enabled\":false,\"identify_enabled\":true}",
          { "enabled", "0", "identify_enabled", "1", "idempotency_enabled",
            "1", "signing_secret", "1" } },
        { "{\"grace_seconds\":2592000,\"signing_secret\":\"s\"}",
          { "signing_secret", "s", "grace_seconds", "2592000" } },
        { "{\"grace_seconds\":0,\"signing_secret\":\"s\"}",
          { "signing_secret", "s", "grace_seconds", "0" } },
        { UNTIL("\"" AN_HOUR_ON "\""),
          { "previous_signing_secret", "s",
            "previous_signing_secret_valid_until", "1772452445678" } },
        { UNTIL("\"2026-04-01T11:54:05.678+01:00\""),
          { "previous_signing_secret", "s",
            "previous_signing_secret_valid_until", "1775040845678" } },
        { UNTIL("\"2026-03-02T10:54:05.679Z\",\"signing_secret\":\"t\""),
          { "signing_secret", "t", "previous_signing_secret", "s",
            "previous_signing_secret_valid_until", "1772448845679" } },
        { "{\"previous_signing_secret\":null}",
          { "previous_signing_secret", "" } }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        body_ok(ENDPOINT_PATCH, cases[i].body, &req);

        expected = cases[i].fields;

        for (n = 0; expected[n]; n++) {
            assert_true(n < req.nfields);
            assert_str(&req.fields[n], expected[n]);
        }

        assert_int_equal(req.nfields, n);
    }

    body_ok(ENDPOINT_PATCH, repeat("{\"signing_secret\":\"", "x", 256, "\"}"),
            &req);
    assert_int_equal(req.fields[1].len, 256);
}


static void
a_grace_of_a_rotation(void **state)
{
    knock_api_request_t  req;

    (void) state;

    body_ok(ENDPOINT_ROTATE, "", &req);
    assert_int_equal(req.grace.len, 0);
    body_ok(ENDPOINT_ROTATE, "{\"grace_seconds\":null}", &req);
    assert_int_equal(req.grace.len, 0);
    body_ok(ENDPOINT_ROTATE, "{\"grace_seconds\":3600}", &req);
    assert_str(&req.grace, "3600");
}


static void
a_toggle_is_0_or_1(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const knock_api_op_e  ops[] = { WORKFLOW_PATCH, ACTION_PATCH };

    (void) state;

    for (i = 0; i < N(ops); i++) {
        body_ok(ops[i], "{\"active\":true}", &req);
        assert_int_equal(req.active, 1);

        body_ok(ops[i], "{\"active\":true,\"active\":false}", &req);
        assert_int_equal(req.active, 0);
    }
}


static void
a_commit_has_message_author_and_resource(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const struct {
        knock_api_op_e   op;
        const char      *body;
        const char      *message;
        const char      *author;
        const char      *type;
        const char      *key;
        const char      *to;
    } cases[] = {
        { COMMIT_CREATE, "{}", "null", "null", "", "", "" },
        { COMMIT_CREATE, "{\"message\":null,\"author\":null,"
          "\"resource\":null}", "null", "null", "", "", "" },
        { COMMIT_CREATE, "{\"message\":\"m\\n\",\"author\":\"a\"}",
          "\"m\\n\"", "\"a\"", "", "", "" },
        { COMMIT_CREATE, "{\"message\":\"\",\"author\":\"\"}", "\"\"", "\"\"",
          "", "", "" },
        { COMMIT_CREATE, "{\"resource\":{\"type\":\"workflow\",\"key\":\"w\"}}",
          "null", "null", "workflow", "w", "" },
        { COMMIT_CREATE, "{\"resource\":{\"key\":\"\\u0061\",\"type\":"
          "\"\\u0061ction\"},\"author\":\"x\"}", "null", "\"x\"", "action",
          "a", "" },
        { COMMIT_PUBLISH, "{\"to\":\"production\"}", "null", "null", "", "",
          "production" },
        { COMMIT_PUBLISH, "{\"resource\":{\"type\":\"action\",\"key\":\"a\"},"
          "\"message\":\"m\",\"to\":\"p\"}", "\"m\"", "null", "action", "a",
          "p" },
        { COMMIT_REVERT, "{}", "null", "null", "", "", "" },
        { COMMIT_REVERT, "{\"message\":\"m\",\"author\":\"a\"}", "\"m\"",
          "\"a\"", "", "", "" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        body_ok(cases[i].op, cases[i].body, &req);

        assert_str(&req.message, cases[i].message);
        assert_str(&req.author, cases[i].author);
        assert_str(&req.resource_type, cases[i].type);
        assert_str(&req.resource_key, cases[i].key);
        assert_str(&req.to, cases[i].to);
    }
}


static void
a_preview_has_event_environment_and_action(void **state)
{
    knock_action_t       action;
    knock_error_t        err;
    knock_api_request_t  req;

    (void) state;

    body_ok(ACTION_PREVIEW, "{\"event\":{\"type\":\"track\"},"
            "\"environment\":\"dev\"}", &req);
    assert_text(req.event, "{\"type\":\"track\"}");
    assert_str(&req.preview_environment, "dev");
    assert_null(req.action);

    body_ok(ACTION_PREVIEW, "{\"event\":{},\"environment\":\"dev\","
            "\"action\":null}", &req);
    assert_null(req.action);

    /* an unsaved one comes with the key of the path */

    body_ok(ACTION_PREVIEW, "{\"event\":{},\"environment\":\"dev\",\"action\":"
            "{\"source\":\"s\",\"event\":\"page\",\"type\":"
            "\"workflows_trigger\",\"workflow\":\"w\","
            "\"recipients\":\"userId\"}}", &req);

    assert_text(req.action, "{\"key\":\"k\",\"source\":\"s\",\"event\":"
                "\"page\",\"type\":\"workflows_trigger\",\"workflow\":\"w\","
                "\"recipients\":\"userId\",\"actor\":null,\"tenant\":null,"
                "\"cancellation_key\":null}");
    assert_str(&req.action_source, "s");
    assert_int_equal(knock_action_compile(arena, req.action, &action, &err),
                     KNOCK_OK);
}


static void
a_test_has_recipients_and_parameters(void **state)
{
    knock_api_request_t  req;

    (void) state;

    body_ok(WORKFLOW_TEST, "{\"recipients\":[\"u1\", 42 ]}", &req);
    assert_text(req.recipients, "[\"u1\", 42 ]");
    assert_text(req.actor, NULL);
    assert_text(req.tenant, NULL);
    assert_text(req.data, NULL);

    body_ok(WORKFLOW_TEST, "{\"recipients\":[\"u1\"],\"actor\":\"u2\","
            "\"tenant\":7,\"data\":{\"a\":[]}}", &req);
    assert_text(req.actor, "\"u2\"");
    assert_text(req.tenant, "7");
    assert_text(req.data, "{\"a\":[]}");

    body_ok(WORKFLOW_TEST, "{\"recipients\":[\"u1\"],\"actor\":null,"
            "\"tenant\":null,\"data\":null}", &req);
    assert_text(req.actor, NULL);
    assert_text(req.tenant, NULL);
    assert_text(req.data, NULL);

    body_ok(WORKFLOW_TEST, repeat("{\"recipients\":[1", ",1", 999, "]}"),
            &req);
    assert_int_equal(req.recipients->count, 1000);
}


static void
a_user_comes_with_its_id(void **state)
{
    size_t               i;
    const char          *reason;
    knock_upsert_t       upsert;
    knock_api_request_t  req;

    static const struct {
        const char  *body;
        const char  *user;
    } cases[] = {
        { "{}", "{\"id\":\"k\"}" },
        { "{\"name\":\"Sam\"}", "{\"id\":\"k\",\"name\":\"Sam\"}" },
        { "{ \"n\\u0061me\" : { } , \"id\" : \"k\" , \"x\" : 1.50 }",
          "{\"id\":\"k\",\"n\\u0061me\":{ },\"x\":1.50}" },
        { "{\"id\":null,\"a\":1,\"a\":2,\"collection\":null}",
          "{\"id\":\"k\",\"a\":1,\"a\":2,\"collection\":null}" },
        { "{\"i\\u0064\":\"\\u006b\",\"updated_at\":null}",
          "{\"id\":\"k\",\"updated_at\":null}" },
        { "{\"id\":5,\"id\":\"k\"}", "{\"id\":\"k\"}" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        body_ok(USER_PUT, cases[i].body, &req);
        assert_text(req.user, cases[i].user);

        assert_int_equal(knock_entity_inline(arena, req.user, "$users",
                                             &upsert, &reason), KNOCK_OK);
        assert_str(&upsert.id, "k");
    }

    body_ok(USER_PUT, repeat("{\"a\":", "[", 65, repeat("", "]", 65, "}")),
            &req);
}


static void
an_integer_may_be_the_id_of_the_path(void **state)
{
    knock_error_t        err;
    knock_str_t          text;
    knock_api_request_t  req;

    (void) state;

    memset(&req, 0, sizeof(req));
    req.op = USER_PUT;
    knock_str_set(&req.key, "42");

    knock_str_set(&text, "{\"id\":42,\"x\":1}");
    assert_int_equal(knock_api_body(arena, &text, NOW, &req, &err), KNOCK_OK);
    assert_text(req.user, "{\"id\":\"42\",\"x\":1}");

    knock_str_set(&text, "{\"id\":43}");
    assert_int_equal(knock_api_body(arena, &text, NOW, &req, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_BODY);

    /* the id of a path may hold what a JSON string must escape */

    knock_str_set(&req.key, "a\"\\/");
    knock_str_set(&text, "{\"id\":\"a\\\"\\\\\\/\"}");
    assert_int_equal(knock_api_body(arena, &text, NOW, &req, &err), KNOCK_OK);
    assert_text(req.user, "{\"id\":\"a\\\"\\\\/\"}");
}


static void
users_come_in_bulk(void **state)
{
    knock_api_request_t  req;

    (void) state;

    body_ok(USER_BULK, "{\"users\":[{\"id\":\"u1\",\"name\":\"A\"},"
            "{\"x\":{},\"id\":7,\"collection\":null}]}", &req);
    assert_text(req.users, "[{\"id\":\"u1\",\"name\":\"A\"},"
                "{\"x\":{},\"id\":7,\"collection\":null}]");

    body_ok(USER_BULK, repeat("{\"users\":[{\"id\":1}", ",{\"id\":1}", 999,
                              "]}"), &req);
    assert_int_equal(req.users->count, 1000);

    body_ok(USER_BULK, repeat("{\"users\":[{\"id\":1,\"a\":", "[", 63,
                              repeat("", "]", 63, "}]}")), &req);
}


static const struct {
    knock_api_op_e   op;
    const char      *body;
    const char      *message;
} refused[] = {

    { SOURCE_CREATE, "{}", "\"key\" is required: " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":null}", "\"key\" is required: " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":7}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":[\"s\"]}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":\"\"}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":\"a b\"}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":\"a\\u0000\"}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":\"a/b\"}", "\"key\": " EXPECTED_KEY },
    { SOURCE_CREATE, "{\"key\":\"s\",\"kind\":\"http\"}",
      "\"kind\": expected \"segment\"" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"kind\":true}",
      "\"kind\": expected \"segment\"" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"name\":7}",
      "\"name\": expected a string of at most 256 bytes" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"Key\":\"t\"}",
      "there is no such field, remove it: \"Key\"" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"created_at\":null}",
      "there is no such field, remove it: \"created_at\"" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"key\\u0000\":1}",
      "there is no such field, remove it: \"key\\u0000\"" },
    { SOURCE_CREATE, "{\"key\":\"s\",\"\":1}",
      "there is no such field, remove it: \"\"" },

    { SOURCE_PATCH, "{}", "\"name\" is required: expected a string" },
    { SOURCE_PATCH, "{\"name\":null}", "\"name\" is required: expected a" },
    { SOURCE_PATCH, "{\"name\":{}}", "\"name\": expected a string" },
    { SOURCE_PATCH, "{\"name\":\"n\",\"key\":\"k\"}",
      "there is no such field, remove it: \"key\"" },
    { SOURCE_PATCH, "{\"name\":\"n\",\"kind\":\"segment\"}",
      "there is no such field, remove it: \"kind\"" },

    { ENVIRONMENT_CREATE, "{\"name\":\"x\"}", "\"key\" is required: expected "
      "an environment's key: 1 to 64 of the characters a-z, 0-9, \"_\" and "
      "\"-\"" },
    { ENVIRONMENT_CREATE, "{\"key\":\"Staging\"}", "\"key\": expected an "
      "environment's key" },
    { ENVIRONMENT_CREATE, "{\"key\":\"@\"}", "\"key\": expected an env" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"after\":\"A\"}",
      "\"after\": expected an environment's key" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"after\":false}",
      "\"after\": expected an environment's key" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"after\":\"\"}",
      "\"after\": expected an environment's key" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"name\":[]}",
      "\"name\": expected a string" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"kind\":\"segment\"}",
      "there is no such field, remove it: \"kind\"" },

    { ENDPOINT_PATCH, "{}", "there is nothing to change: give at least one of "
      "\"enabled\", \"identify_enabled\", \"idempotency_enabled\", "
      "\"signing_secret\" and \"previous_signing_secret\"" },
    { ENDPOINT_PATCH, "{\"enabled\":null}", "there is nothing to change" },
    { ENDPOINT_PATCH, "{\"enabled\":1}",
      "\"enabled\": expected true or false" },
    { ENDPOINT_PATCH, "{\"enabled\":\"true\"}",
      "\"enabled\": expected true or false" },
    { ENDPOINT_PATCH, "{\"identify_enabled\":{}}",
      "\"identify_enabled\": expected true or false" },
    { ENDPOINT_PATCH, "{\"enabled\":true,\"idempotency_enabled\":[]}",
      "\"idempotency_enabled\": expected true or false" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"\"}", "\"signing_secret\": "
      "expected a string of 1 to 256 bytes, or null to remove it" },
    { ENDPOINT_PATCH, "{\"signing_secret\":false}", "\"signing_secret\": "
      "expected a string of 1 to 256 bytes, or null to remove it" },
    { ENDPOINT_PATCH, "{\"enabled\":true,\"token\":\"x\"}",
      "there is no such field, remove it: \"token\"" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":2592001}",
      "\"grace_seconds\": expected a whole number of seconds from 0 to 2592000 "
      "(30 days)" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":-1}",
      "\"grace_seconds\": expected a whole number" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":1.0}",
      "\"grace_seconds\": expected a whole number" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":1e3}",
      "\"grace_seconds\": expected a whole number" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":"
      "18446744073709551617}", "\"grace_seconds\": expected a whole number" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":\"60\"}",
      "\"grace_seconds\": expected a whole number" },
    { ENDPOINT_PATCH, "{\"grace_seconds\":60}", "\"grace_seconds\": it keeps "
      "the secret that a new \"signing_secret\" replaces" },
    { ENDPOINT_PATCH, "{\"signing_secret\":null,\"grace_seconds\":60}",
      "\"grace_seconds\": it keeps" },
    { ENDPOINT_PATCH, "{\"signing_secret\":\"s\",\"grace_seconds\":60,"
      "\"previous_signing_secret\":null}", "\"grace_seconds\": it keeps" },
    { ENDPOINT_PATCH, "{\"previous_signing_secret\":\"s\"}",
      "\"previous_signing_secret\" and \"previous_signing_secret_valid_until"
      "\": give both of them" },
    { ENDPOINT_PATCH, "{\"previous_signing_secret\":\"\"}",
      "\"previous_signing_secret\": expected a string of 1 to 256 bytes" },
    { ENDPOINT_PATCH, "{\"previous_signing_secret_valid_until\":"
      "\"" AN_HOUR_ON "\"}", "\"previous_signing_secret\" and" },
    { ENDPOINT_PATCH, "{\"previous_signing_secret\":null,"
      "\"previous_signing_secret_valid_until\":\"" AN_HOUR_ON "\"}",
      "\"previous_signing_secret\" and" },
    { ENDPOINT_PATCH, UNTIL("\"2026-03-02T10:54:05.678Z\""), EXPECTED_UNTIL },
    { ENDPOINT_PATCH, UNTIL("\"2025-12-31T00:00:00Z\""), EXPECTED_UNTIL },
    { ENDPOINT_PATCH, UNTIL("\"2026-04-01T10:54:05.679Z\""), EXPECTED_UNTIL },
    { ENDPOINT_PATCH, UNTIL("\"9999-12-31T00:00:00Z\""), EXPECTED_UNTIL },
    { ENDPOINT_PATCH, UNTIL("\"tomorrow\""), EXPECTED_UNTIL },
    { ENDPOINT_PATCH, UNTIL("1772452445678"), EXPECTED_UNTIL },
    { ENDPOINT_ROTATE, "{\"grace_seconds\":2592001}",
      "\"grace_seconds\": expected a whole number of seconds from 0 to 2592000 "
      "(30 days)" },
    { ENDPOINT_ROTATE, "{\"grace\":60}",
      "there is no such field, remove it: \"grace\"" },
    { ENDPOINT_PATCH, "{\"signing_secret_set\":true}",
      "there is no such field, remove it: \"signing_secret_set\"" },

    { WORKFLOW_PUT, "{\"key\":\"w\"}",
      "\"key\": expected the key of the path, or leave it out" },
    { WORKFLOW_PUT, "{\"key\":7}", "\"key\": expected the key of the path" },
    { WORKFLOW_PUT, "{\"name\":1}", "\"name\": expected a string" },
    { WORKFLOW_PUT, "{\"definition\":[]}",
      "\"definition\": expected an object" },
    { WORKFLOW_PUT, "{\"definition\":\"{}\"}",
      "\"definition\": expected an object" },
    { WORKFLOW_PUT, "{\"uncommitted\":true}",
      "there is no such field, remove it: \"uncommitted\"" },

    { WORKFLOW_PATCH, "{}", "\"active\" is required: expected true or false" },
    { WORKFLOW_PATCH, "{\"active\":null}", "\"active\" is required" },
    { WORKFLOW_PATCH, "{\"active\":1}",
      "\"active\": expected true or false" },
    { WORKFLOW_PATCH, "{\"active\":true,\"live\":true}",
      "there is no such field, remove it: \"live\"" },
    { ACTION_PATCH, "{}", "\"active\" is required" },
    { ACTION_PATCH, "{\"active\":\"yes\"}", "\"active\": expected" },
    { ACTION_PATCH, "{\"enabled\":true}",
      "there is no such field, remove it: \"enabled\"" },

    { COMMIT_CREATE, "{\"message\":1}",
      "\"message\": expected a string of at most 1000 bytes" },
    { COMMIT_CREATE, "{\"author\":{}}",
      "\"author\": expected a string of at most 256 bytes" },
    { COMMIT_CREATE, "{\"resource\":\"workflow/w\"}", "\"resource\": expected "
      "{\"type\": \"workflow\" or \"action\", \"key\": ...}" },
    { COMMIT_CREATE, "{\"resource\":[]}", "\"resource\": expected {" },
    { COMMIT_CREATE, "{\"resource\":{}}",
      "\"resource.type\" is required: expected \"workflow\" or \"action\"" },
    { COMMIT_CREATE, "{\"resource\":{\"type\":\"source\",\"key\":\"k\"}}",
      "\"resource.type\": expected \"workflow\" or \"action\"" },
    { COMMIT_CREATE, "{\"resource\":{\"type\":1,\"key\":\"k\"}}",
      "\"resource.type\": expected" },
    { COMMIT_CREATE, "{\"resource\":{\"type\":\"workflow\"}}",
      "\"resource.key\" is required: " EXPECTED_KEY },
    { COMMIT_CREATE, "{\"resource\":{\"type\":\"action\",\"key\":\"a b\"}}",
      "\"resource.key\": " EXPECTED_KEY },
    { COMMIT_CREATE, "{\"resource\":{\"type\":\"action\",\"key\":\"a\","
      "\"id\":1}}", "there is no such field, remove it: resource.\"id\"" },
    { COMMIT_CREATE, "{\"to\":\"production\"}",
      "there is no such field, remove it: \"to\"" },

    { COMMIT_PUBLISH, "{}", "\"to\" is required: expected an environment's "
      "key" },
    { COMMIT_PUBLISH, "{\"to\":\"Production\"}", "\"to\": expected an env" },
    { COMMIT_PUBLISH, "{\"to\":1}", "\"to\": expected an environment's key" },
    { COMMIT_PUBLISH, "{\"to\":\"p\",\"from\":\"d\"}",
      "there is no such field, remove it: \"from\"" },
    { COMMIT_PUBLISH, "{\"to\":\"p\",\"resource\":{\"key\":\"k\"}}",
      "\"resource.type\" is required" },
    { COMMIT_PUBLISH, "{\"to\":\"p\",\"message\":[]}", "\"message\": " },

    { COMMIT_REVERT, "{\"message\":false}", "\"message\": expected a string" },
    { COMMIT_REVERT, "{\"author\":0}", "\"author\": expected a string" },
    { COMMIT_REVERT, "{\"resource\":null}",
      "there is no such field, remove it: \"resource\"" },

    { ACTION_PREVIEW, "{}", "\"event\" is required: expected an event, as an "
      "object" },
    { ACTION_PREVIEW, "{\"event\":[],\"environment\":\"d\"}",
      "\"event\": expected an event, as an object" },
    { ACTION_PREVIEW, "{\"event\":{}}", "\"environment\" is required: expected "
      "an environment's key" },
    { ACTION_PREVIEW, "{\"event\":{},\"environment\":\"D\"}",
      "\"environment\": expected an environment's key" },
    { ACTION_PREVIEW, "{\"event\":{},\"environment\":\"d\",\"action\":\"k\"}",
      "\"action\": expected an action that is not saved, as an object" },
    { ACTION_PREVIEW, "{\"event\":{},\"environment\":\"d\",\"action\":"
      "{\"key\":\"x\"}}", "\"key\": expected the key of the path, or leave it "
      "out" },
    { ACTION_PREVIEW, "{\"event\":{},\"environment\":\"d\",\"events\":[]}",
      "there is no such field, remove it: \"events\"" },

    { ACTION_PUT, "{\"key\":\"x\"}",
      "\"key\": expected the key of the path, or leave it out" },
    { ACTION_PUT, "{\"key\":{}}", "\"key\": expected the key of the path" },

    { WORKFLOW_TEST, "{}", "\"recipients\" is required: expected an array of "
      "1 to 1000 ids of users" },
    { WORKFLOW_TEST, "{\"recipients\":[]}", "\"recipients\": expected an "
      "array of 1 to 1000 ids of users" },
    { WORKFLOW_TEST, "{\"recipients\":\"u1\"}", "\"recipients\": expected an" },
    { WORKFLOW_TEST, "{\"recipients\":{\"id\":\"u1\"}}",
      "\"recipients\": expected an array" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u1\",{\"id\":\"u2\"}]}",
      "\"recipients\": the test runner takes existing ones by id only and does "
      "not identify inline: identify it first, then give its id" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u1\",null]}",
      "\"recipients[1]\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[[\"u1\"]]}",
      "\"recipients[0]\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[\"\"]}",
      "\"recipients[0]\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[\"a\\u0000\"]}",
      "\"recipients[0]\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[1.5]}",
      "\"recipients[0]\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"actor\":{\"id\":\"u\"}}",
      "\"actor\": the test runner takes existing ones by id only" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"tenant\":{\"id\":\"u\"}}",
      "\"tenant\": the test runner takes existing ones by id only" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"actor\":[\"u\"]}",
      "\"actor\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"tenant\":true}",
      "\"tenant\": " EXPECTED_ID },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"data\":[]}",
      "\"data\": expected an object" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\"],\"cancellation_key\":\"c\"}",
      "there is no such field, remove it: \"cancellation_key\"" },

    { USER_PUT, "{\"id\":\"K\"}",
      "\"id\": expected the id of the path, or leave it out" },
    { USER_PUT, "{\"id\":\"k\",\"id\":1}", "\"id\": expected the id of" },
    { USER_PUT, "{\"id\":{}}", "\"id\": expected the id of the path" },
    { USER_PUT, "{\"id\":\"\"}", "\"id\": expected the id of the path" },
    { USER_PUT, "{\"collection\":\"$users\"}",
      "\"collection\": a user has none, remove it" },
    { USER_PUT, "{\"collection\":1}",
      "\"collection\": a user has none, remove it" },

    { USER_BULK, "{}", "\"users\" is required: expected an array of 1 to 1000 "
      "users, objects with an \"id\"" },
    { USER_BULK, "{\"users\":[]}", "\"users\": expected an array of 1 to" },
    { USER_BULK, "{\"users\":{\"id\":1}}", "\"users\": expected an array" },
    { USER_BULK, "{\"users\":[{\"id\":1},\"u\"]}",
      "\"users[1]\": expected an object with an \"id\"" },
    { USER_BULK, "{\"users\":[{\"id\":1},{\"name\":\"x\"}]}",
      "\"users[1].id\" is required: " EXPECTED_ID },
    { USER_BULK, "{\"users\":[{\"id\":null}]}",
      "\"users[0].id\": " EXPECTED_ID },
    { USER_BULK, "{\"users\":[{\"id\":\"a\\n\"}]}",
      "\"users[0].id\": " EXPECTED_ID },
    { USER_BULK, "{\"users\":[{\"id\":1,\"collection\":\"x\"}]}",
      "\"users[0].collection\": a user has none, remove it" },
    { USER_BULK, "{\"users\":[{\"id\":1}],\"mode\":\"replace\"}",
      "there is no such field, remove it: \"mode\"" }
};


static void
a_mistake_is_named_with_its_field(void **state)
{
    size_t  i;

    (void) state;

    for (i = 0; i < N(refused); i++) {
        assert_refused(refused[i].op, refused[i].body, KNOCK_E_INVALID_BODY,
                       refused[i].message);
    }
}


static void
an_action_is_compiled(void **state)
{
    size_t               i;
    knock_error_t        err;
    knock_api_request_t  req;

    static const struct {
        const char  *body;
        const char  *message;
        size_t       offset;
    } cases[] = {
        { "{}", "\"source\" is required: expected 1 to 64", 0 },
        { "{\"source\":\"s\",\"event\":\"track/\"}", "\"event\": expected", 0 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":\"http\"}",
          "\"type\": expected \"workflows_trigger\"", 0 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\"}", "\"workflow\" is required", 0 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\"}",
          "\"recipients\" is required", 0 },
        { "{\"name\":\"n\"}", "an action has no such field, remove it: "
          "\"name\"", 0 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":"
          "\"properties..id\"}", "\"recipients\": ", 11 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":"
          "[\"userId\",\"a[\"]}", "\"recipients[1]\": ", 2 },
        { "{\"source\":\"s\",\"event\":\"page\",\"type\":"
          "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":"
          "\"userId\",\"actor\":\"a[*]\"}", "\"actor\": it has one value", 0 }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_refused(ACTION_PUT, cases[i].body, KNOCK_E_INVALID_ACTION,
                       cases[i].message);

        assert_int_equal(body(ACTION_PUT, cases[i].body, &req, &err),
                         KNOCK_ERROR);
        assert_int_equal(err.offset, cases[i].offset);

        assert_refused(ACTION_PREVIEW,
                       repeat("{\"event\":{},\"environment\":\"d\","
                              "\"action\":", cases[i].body, 1, "}"),
                       KNOCK_E_INVALID_ACTION, cases[i].message);
    }
}


static void
strings_have_their_lengths(void **state)
{
    size_t               i;
    knock_api_request_t  req;

    static const struct {
        knock_api_op_e   op;
        const char      *prefix;
        const char      *unit;
        size_t           max;           /* units */
        const char      *suffix;
    } cases[] = {
        { SOURCE_CREATE, "{\"key\":\"", "x", 64, "\"}" },
        { SOURCE_CREATE, "{\"key\":\"", "\\u0078", 64, "\"}" },
        { ENVIRONMENT_CREATE, "{\"key\":\"", "x", 64, "\"}" },
        { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"after\":\"", "x", 64, "\"}" },
        { SOURCE_CREATE, "{\"key\":\"s\",\"name\":\"", "\\n", 256, "\"}" },
        { ENVIRONMENT_CREATE, "{\"key\":\"s\",\"name\":\"", "x", 256, "\"}" },
        { SOURCE_PATCH, "{\"name\":\"", "\xc3\xbc", 128, "\"}" },
        { SOURCE_PATCH, "{\"name\":\"", "\\u00fc", 128, "\"}" },
        { WORKFLOW_PUT, "{\"name\":\"", "x", 256, "\"}" },
        { ENDPOINT_PATCH, "{\"signing_secret\":\"", "x", 256, "\"}" },
        { COMMIT_CREATE, "{\"message\":\"", "x", 1000, "\"}" },
        { COMMIT_CREATE, "{\"author\":\"", "x", 256, "\"}" },
        { COMMIT_CREATE, "{\"resource\":{\"type\":\"action\",\"key\":\"", "x",
          64, "\"}}" },
        { COMMIT_PUBLISH, "{\"to\":\"", "x", 64, "\"}" },
        { COMMIT_PUBLISH, "{\"to\":\"p\",\"message\":\"", "x", 1000, "\"}" },
        { COMMIT_REVERT, "{\"message\":\"", "x", 1000, "\"}" },
        { COMMIT_REVERT, "{\"author\":\"", "x", 256, "\"}" },
        { WORKFLOW_TEST, "{\"recipients\":[\"", "x", 256, "\"]}" },
        { WORKFLOW_TEST, "{\"recipients\":[1", "1", 255, "]}" },
        { WORKFLOW_TEST, "{\"recipients\":[1", ",1", 999, "]}" },
        { WORKFLOW_TEST, "{\"recipients\":[1],\"actor\":\"", "x", 256, "\"}" },
        { USER_BULK, "{\"users\":[{\"id\":\"", "x", 256, "\"}]}" },
        { USER_BULK, "{\"users\":[{\"id\":1}", ",{\"id\":1}", 999, "]}" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        body_ok(cases[i].op, repeat(cases[i].prefix, cases[i].unit,
                                    cases[i].max, cases[i].suffix), &req);

        assert_refused(cases[i].op,
                       repeat(cases[i].prefix, cases[i].unit,
                              cases[i].max + 1, cases[i].suffix),
                       KNOCK_E_INVALID_BODY, "\"");
    }
}


static void
documents_have_a_length(void **state)
{
    size_t               room;
    const char          *action;
    knock_api_request_t  req;

    (void) state;

    room = KNOCK_API_MAX_DOCUMENT
           - strlen("{\"key\":\"k\",\"name\":\"k\",\"definition\":"
                    "{\"a\":\"\"}}");

    body_ok(WORKFLOW_PUT, repeat("{\"definition\":{\"a\":\"", "x", room,
                                 "\"}}"), &req);
    assert_int_equal(req.text.len, KNOCK_API_MAX_DOCUMENT);

    assert_refused(WORKFLOW_PUT, repeat("{\"definition\":{\"a\":\"", "x",
                                        room + 1, "\"}}"),
                   KNOCK_E_INVALID_BODY, "the workflow takes 262145 bytes of "
                   "the 262144 that one may have");

    action = "{\"source\":\"s\",\"event\":\"page\",\"type\":"
             "\"workflows_trigger\",\"workflow\":\"w\","
             "\"recipients\":{\"literal\":\"";

    room = KNOCK_API_MAX_DOCUMENT - strlen(action)
           - strlen("\"key\":\"k\",\"},\"actor\":null,\"tenant\":null,"
                    "\"cancellation_key\":null}");

    body_ok(ACTION_PUT, repeat(action, "x", room, "\"}}"), &req);
    assert_int_equal(req.text.len, KNOCK_API_MAX_DOCUMENT);

    assert_refused(ACTION_PUT, repeat(action, "x", room + 1, "\"}}"),
                   KNOCK_E_INVALID_BODY, "the action takes 262145 bytes of "
                   "the 262144 that one may have");
}


static void
a_long_name_does_not_spoil_a_message(void **state)
{
    size_t               len;
    knock_str_t          text;
    knock_json_t        *token;
    knock_buf_t          buf;
    knock_error_t        err, parse;
    knock_api_request_t  req;

    (void) state;

    assert_int_equal(body(SOURCE_CREATE, repeat("{\"", "\xc3\xbc", 100000,
                                                "\":1}"), &req, &err),
                     KNOCK_ERROR);

    assert_int_equal(err.code, KNOCK_E_INVALID_BODY);

    len = strlen(err.message);
    assert_in_range(len, 500, KNOCK_ERROR_MESSAGE - 1);

    /* still UTF-8 */

    text.len = len;
    text.data = (unsigned char *) err.message;

    knock_buf_init(&buf, arena, 16);
    knock_buf_add_json(&buf, &text);
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);
    assert_int_equal(knock_json_parse(arena, &text, 1, &token, &parse),
                     KNOCK_OK);
}


static void
keys_of_environments(void **state)
{
    size_t       i;
    knock_str_t  key;

    static const struct {
        const char  *key;
        int          valid;
    } cases[] = {
        { "development", 1 }, { "qa-2_b", 1 }, { "0", 1 }, { "", 0 },
        { "Development", 0 }, { "a/0", 0 }, { "{a}", 0 }, { "@", 0 },
        { "\xc3\xbc", 0 }, { "a ", 0 }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        key.len = strlen(cases[i].key);
        key.data = (unsigned char *) cases[i].key;

        assert_int_equal(knock_api_environment_valid(&key), cases[i].valid);
    }
}


static void
only_an_object_is_an_action_or_a_user(void **state)
{
    knock_str_t          text = knock_string("[1]");
    knock_str_t          key = knock_string("k");
    knock_json_t        *doc;
    knock_error_t        err;
    knock_api_action_t   action;
    const knock_json_t  *user;

    (void) state;

    assert_int_equal(knock_json_parse(arena, &text, 4, &doc, &err), KNOCK_OK);

    assert_int_equal(knock_api_action(arena, doc, &key, &action, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);

    assert_int_equal(knock_api_user(arena, doc, &key, &user, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_BODY);
}


static void
a_saved_action_is_read_as_the_library_answers_it(void **state)
{
    size_t               i;
    knock_str_t          str, key = knock_string("k");
    knock_json_t        *answer;
    knock_error_t        err;
    knock_api_action_t   action;

    static const char  stored[] =
        "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\",\"type\":"
        "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":[\"userId\"],"
        "\"actor\":null,\"tenant\":null,\"cancellation_key\":null}";

    static const char *const  answers[] = {
        "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\",\"type\":"
        "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":[\"userId\"],"
        "\"actor\":null,\"tenant\":null,\"cancellation_key\":null,"
        "\"uncommitted\":true}",
        "{\"uncommitted\":false,\"key\":\"k\",\"source\":\"s\",\"event\":"
        "\"page\",\"type\":\"workflows_trigger\",\"workflow\":\"w\","
        "\"recipients\":[\"userId\"]}",
        stored
    };

    static const struct {
        const char          *answer;
        knock_error_code_e   code;
    } bad[] = {
        { "[]", KNOCK_E_INVALID_ACTION },
        { "{}", KNOCK_E_INVALID_ACTION },
        { "{\"uncommitted\":true}", KNOCK_E_INVALID_ACTION },
        { "{\"key\":\"x\"}", KNOCK_E_INVALID_BODY }
    };

    (void) state;

    for (i = 0; i < N(answers); i++) {
        str.len = strlen(answers[i]);
        str.data = (unsigned char *) answers[i];

        assert_int_equal(knock_json_parse(arena, &str, 8, &answer, &err),
                         KNOCK_OK);
        assert_int_equal(knock_api_saved_action(arena, answer, &key, &action,
                                                &err), KNOCK_OK);
        assert_str(&action.text, stored);
        assert_text(action.root, stored);
        assert_str(&action.source, "s");
    }

    for (i = 0; i < N(bad); i++) {
        str.len = strlen(bad[i].answer);
        str.data = (unsigned char *) bad[i].answer;

        assert_int_equal(knock_json_parse(arena, &str, 8, &answer, &err),
                         KNOCK_OK);
        assert_int_equal(knock_api_saved_action(arena, answer, &key, &action,
                                                &err), KNOCK_ERROR);
        assert_int_equal(err.code, bad[i].code);
    }
}


static void
a_stored_document_gets_another_name(void **state)
{
    size_t         i;
    knock_str_t    doc, name, text;
    knock_error_t  err;

    static const struct {
        const char  *doc;
        const char  *name;
        const char  *text;      /* NULL: refused */
    } cases[] = {
        { "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"s\","
          "\"created_at\":\"t\"}", "\"A \\\"b\\\"\"",
          "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"A \\\"b\\\"\","
          "\"created_at\":\"t\"}" },
        { "{\"key\":\"s\"}", "\"n\"", "{\"key\":\"s\",\"name\":\"n\"}" },
        { "[]", "\"n\"", NULL },
        { "", "\"n\"", NULL },
        { "{", "\"n\"", NULL }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        doc.len = strlen(cases[i].doc);
        doc.data = (unsigned char *) cases[i].doc;
        name.len = strlen(cases[i].name);
        name.data = (unsigned char *) cases[i].name;

        if (cases[i].text == NULL) {
            assert_int_equal(knock_api_rename(arena, &doc, &name, &text, &err),
                             KNOCK_ERROR);
            assert_int_equal(err.code, KNOCK_E_INTERNAL);
            continue;
        }

        assert_int_equal(knock_api_rename(arena, &doc, &name, &text, &err),
                         KNOCK_OK);
        assert_str(&text, cases[i].text);
    }
}


static void
the_codes_have_their_statuses(void **state)
{
    (void) state;

    assert_int_equal(knock_error_status(KNOCK_E_INVALID_JSON), 400);
    assert_int_equal(knock_error_status(KNOCK_E_INVALID_BODY), 422);
    assert_int_equal(knock_error_status(KNOCK_E_INVALID_ACTION), 422);
    assert_string_equal(knock_error_name(KNOCK_E_INVALID_BODY),
                        "invalid_body");
}


static const struct {
    knock_api_op_e   op;
    const char      *body;
} examples[] = {
    { SOURCE_CREATE, "{\"key\":\"s\",\"kind\":\"segment\",\"name\":\"S\"}" },
    { ENVIRONMENT_CREATE, "{\"key\":\"a\",\"name\":\"A\",\"after\":\"b\"}" },
    { SOURCE_PATCH, "{\"name\":\"\\u00fc\"}" },
    { ENDPOINT_PATCH, "{\"enabled\":true,\"identify_enabled\":false,"
      "\"idempotency_enabled\":true,\"signing_secret\":\"s\","
      "\"grace_seconds\":60}" },
    { ENDPOINT_PATCH, UNTIL("\"" AN_HOUR_ON "\"") },
    { ENDPOINT_ROTATE, "{\"grace_seconds\":60}" },
    { WORKFLOW_PUT, "{\"key\":\"k\",\"name\":\"N\","
      "\"definition\":{\"a\":[]}}" },
    { ACTION_PUT, "{\"key\":\"k\",\"source\":\"s\",\"event\":\"track/A\","
      "\"type\":\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":"
      "[\"userId\",{\"literal\":1}],\"actor\":\"a.b[0]\",\"tenant\":null,"
      "\"cancellation_key\":{\"literal\":\"c\"}}" },
    { ACTION_PREVIEW, "{\"event\":{\"type\":\"track\"},\"environment\":\"d\","
      "\"action\":{\"source\":\"s\",\"event\":\"page\",\"type\":"
      "\"workflows_trigger\",\"workflow\":\"w\",\"recipients\":\"userId\"}}" },
    { WORKFLOW_PATCH, "{\"active\":true}" },
    { WORKFLOW_TEST, "{\"recipients\":[\"u\",1],\"actor\":\"a\",\"tenant\":1,"
      "\"data\":{}}" },
    { COMMIT_CREATE, "{\"message\":\"m\",\"author\":\"a\",\"resource\":"
      "{\"type\":\"action\",\"key\":\"a\"}}" },
    { COMMIT_PUBLISH, "{\"to\":\"p\",\"message\":\"m\",\"author\":\"a\"}" },
    { COMMIT_REVERT, "{\"message\":\"m\",\"author\":\"a\"}" },
    { USER_PUT, "{\"id\":\"k\",\"name\":\"N\",\"a\":{\"b\":[1,2]}}" },
    { USER_BULK, "{\"users\":[{\"id\":\"u\"},{\"id\":1,\"a\":{}}]}" },
    { KNOCK_API_RUN_LIST, "{}" }
};


static void
random_bodies_are_taken_or_refused(void **state)
{
    int                  rc;
    char                 text[512];
    size_t               i, len, taken;
    uint32_t             seed = 20240229;
    knock_str_t          str;
    knock_json_t        *root;
    knock_error_t        err;
    knock_api_op_e       op;
    knock_api_request_t  req;

    static const char  likely[] = "{}[]\",:\\ntfu0 1.k\xc3\xff\0";

    (void) state;

    for (i = taken = 0; i < 60000; i++) {

        len = strlen(examples[i % N(examples)].body);
        memcpy(text, examples[i % N(examples)].body, len);
        len = mutate(text, len, sizeof(text), likely, sizeof(likely) - 1, 11,
                     &seed);

        op = random_next(&seed) % 8
             ? examples[i % N(examples)].op
             : (knock_api_op_e) (random_next(&seed) % KNOCK_API_OP_COUNT);

        /* the very bytes, so that a sanitizer sees a step over them */

        str.len = len;
        str.data = malloc(len ? len : 1);
        assert_non_null(str.data);
        memcpy(str.data, text, len);

        rc = body_bytes(op, &str, &req, &err);

        if (rc == KNOCK_OK) {
            taken++;

            if (req.text.len != 0) {
                assert_int_equal(knock_json_parse(arena, &req.text,
                                                  KNOCK_API_MAX_DEPTH, &root,
                                                  &err), KNOCK_OK);
                assert_int_equal(root->type, KNOCK_JSON_OBJECT);
            }

            assert_int_equal(req.nfields % 2, 0);

        } else if (err.code != KNOCK_E_INVALID_JSON
                   && err.code != KNOCK_E_INVALID_ACTION)
        {
            assert_int_equal(err.code, KNOCK_E_INVALID_BODY);
        }

        free(str.data);
        knock_arena_reset(arena);
    }

    assert_in_range(taken, 1000, 59000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(most_calls_have_no_body),
        cmocka_unit_test(a_body_is_a_json_object),
        cmocka_unit_test(no_body_is_an_empty_object_but_of_a_put),
        cmocka_unit_test(documents_are_normalised),
        cmocka_unit_test(a_normalised_document_stays_as_it_is),
        cmocka_unit_test(keys_stand_beside_the_document),
        cmocka_unit_test(settings_are_pairs),
        cmocka_unit_test(a_grace_of_a_rotation),
        cmocka_unit_test(a_toggle_is_0_or_1),
        cmocka_unit_test(a_commit_has_message_author_and_resource),
        cmocka_unit_test(a_preview_has_event_environment_and_action),
        cmocka_unit_test(a_test_has_recipients_and_parameters),
        cmocka_unit_test(a_user_comes_with_its_id),
        cmocka_unit_test(an_integer_may_be_the_id_of_the_path),
        cmocka_unit_test(users_come_in_bulk),
        cmocka_unit_test(a_mistake_is_named_with_its_field),
        cmocka_unit_test(an_action_is_compiled),
        cmocka_unit_test(strings_have_their_lengths),
        cmocka_unit_test(documents_have_a_length),
        cmocka_unit_test(a_long_name_does_not_spoil_a_message),
        cmocka_unit_test(keys_of_environments),
        cmocka_unit_test(only_an_object_is_an_action_or_a_user),
        cmocka_unit_test(a_saved_action_is_read_as_the_library_answers_it),
        cmocka_unit_test(a_stored_document_gets_another_name),
        cmocka_unit_test(the_codes_have_their_statuses),
        cmocka_unit_test(random_bodies_are_taken_or_refused)
    };

    return cmocka_run_group_tests_name("api_body", tests, setup, teardown);
}
