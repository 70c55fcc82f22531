
#include "knock_log_entry.h"
#include "knock_json.h"
#include "knock_limits.h"
#include "knock_unit.h"


/* the verdicts of knock_apply on an action's actor and recipients */

#define KNOCK_LOG_ACTOR_KNOWN     'a'
#define KNOCK_LOG_ACTOR_UNKNOWN   'u'
#define KNOCK_LOG_RUN             'r'
#define KNOCK_LOG_NOT_IDENTIFIED  'n'
#define KNOCK_LOG_TOO_LARGE       'l'
#define KNOCK_LOG_BEFORE          'b'     /* either, by an earlier try */
#define KNOCK_LOG_ACTION_END      ';'


/* the work on one entry */

typedef struct {
    knock_buf_t  *buf;
    char          status;       /* of the event, a knock_status_e */
    knock_str_t   verdict;      /* what is left of it */
} knock_log_work_t;


static const char *knock_log_entry_status(char status);
static int knock_log_entry_write(knock_log_work_t *work,
    const knock_str_t *id, const knock_json_t *doc);
static int knock_log_entry_reason(knock_log_work_t *work,
    const knock_json_t *doc, const knock_json_t *actions);
static int knock_log_entry_action(knock_log_work_t *work,
    const knock_json_t *action);
static int knock_log_entry_verdicts(knock_log_work_t *work,
    const knock_json_t *action, knock_str_t *recipients, int *unknown);
static int knock_log_entry_recipients(knock_log_work_t *work,
    const knock_json_t *action, const knock_str_t *verdicts);
static int knock_log_entry_left_out(knock_log_work_t *work,
    const knock_json_t *action, int first);
static int knock_log_entry_copy(knock_log_work_t *work,
    const knock_json_t *object, const char *name, knock_json_type_e type);
static const char *knock_log_entry_skipped(unsigned char verdict);
static unsigned char knock_log_entry_next(knock_log_work_t *work);
static int knock_log_entry_is(const knock_json_t *v, knock_json_type_e type);


int
knock_log_entry(knock_arena_t *arena, knock_buf_t *buf, const knock_str_t *id,
    const knock_str_t *status, const knock_str_t *verdict,
    const knock_str_t *doc, knock_error_t *err)
{
    size_t             len;
    knock_json_t      *root;
    knock_log_work_t   work;

    len = buf->len;

    if (status->len != 1
        || knock_log_entry_status((char) status->data[0]) == NULL)
    {
        return KNOCK_DECLINED;
    }

    if (knock_json_parse(arena, doc, KNOCK_MAX_STORED_DEPTH, &root, err)
        != KNOCK_OK)
    {
        return err->code == KNOCK_E_INTERNAL ? KNOCK_ERROR : KNOCK_DECLINED;
    }

    work.buf = buf;
    work.status = (char) status->data[0];
    work.verdict = *verdict;

    if (len && buf->data[len - 1] == '}') {
        knock_buf_add_char(buf, ',');
    }

    if (root->type != KNOCK_JSON_OBJECT
        || knock_log_entry_write(&work, id, root) != KNOCK_OK
        || work.verdict.len)
    {
        buf->len = len;
        return KNOCK_DECLINED;
    }

    if (buf->failed) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static const char *
knock_log_entry_status(char status)
{
    switch (status) {

    case KNOCK_STATUS_PROCESSED:
        return "\"processed\"";

    case KNOCK_STATUS_IGNORED:
        return "\"ignored\"";

    case KNOCK_STATUS_DUPLICATE:
        return "\"duplicate\"";

    case KNOCK_STATUS_FAILED:
    case KNOCK_STATUS_LARGE:
        return "\"failed\"";

    default:
        return NULL;
    }
}


/* KNOCK_OK, or KNOCK_DECLINED: the document is not one of the log */

static int
knock_log_entry_write(knock_log_work_t *work, const knock_str_t *id,
    const knock_json_t *doc)
{
    size_t               i;
    const char          *status;
    knock_buf_t         *buf;
    const knock_json_t  *actions, *action;

    buf = work->buf;

    actions = knock_json_get(doc, "actions");

    if (!knock_log_entry_is(actions, KNOCK_JSON_ARRAY)) {
        return KNOCK_DECLINED;
    }

    knock_buf_add_lit(buf, "{\"id\":");
    knock_buf_add_json(buf, id);

    if (knock_log_entry_copy(work, doc, "event", KNOCK_JSON_STRING)
        != KNOCK_OK
        || knock_log_entry_copy(work, doc, "message_id", KNOCK_JSON_NULL)
           != KNOCK_OK
        || knock_log_entry_copy(work, doc, "received_at", KNOCK_JSON_STRING)
           != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    status = knock_log_entry_status(work->status);

    knock_buf_add_lit(buf, ",\"status\":");
    knock_buf_add(buf, status, strlen(status));

    if (knock_log_entry_reason(work, doc, actions) != KNOCK_OK) {
        return KNOCK_DECLINED;
    }

    /* most events have none, and documents of older workers neither */

    if (knock_json_get(doc, "notes") == NULL) {
        knock_buf_add_lit(buf, ",\"notes\":[]");

    } else if (knock_log_entry_copy(work, doc, "notes", KNOCK_JSON_ARRAY)
               != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    knock_buf_add_lit(buf, ",\"actions\":[");

    action = knock_json_first(actions);

    for (i = 0; i < actions->count; i++) {
        if (i) {
            knock_buf_add_char(buf, ',');
        }

        if (knock_log_entry_action(work, action) != KNOCK_OK) {
            return KNOCK_DECLINED;
        }

        action = knock_json_next(action);
    }

    knock_buf_add_lit(buf, "]}");

    return KNOCK_OK;
}


static int
knock_log_entry_reason(knock_log_work_t *work, const knock_json_t *doc,
    const knock_json_t *actions)
{
    const knock_json_t  *error;

    switch (work->status) {

    case KNOCK_STATUS_LARGE:
        knock_buf_add_lit(work->buf, ",\"reason\":\"user_too_large\"");
        return KNOCK_OK;

    case KNOCK_STATUS_DUPLICATE:
        knock_buf_add_lit(work->buf, ",\"reason\":null");
        return KNOCK_OK;

    case KNOCK_STATUS_FAILED:
        error = knock_json_get(knock_json_first(actions), "error");

        if (knock_log_entry_is(error, KNOCK_JSON_STRING)) {
            knock_buf_add_lit(work->buf, ",\"reason\":");
            knock_buf_add(work->buf, error->data, error->len);
            return KNOCK_OK;
        }

        break;

    default:
        break;
    }

    return knock_log_entry_copy(work, doc, "reason", KNOCK_JSON_NULL);
}


static int
knock_log_entry_action(knock_log_work_t *work, const knock_json_t *action)
{
    int                  unknown, failed;
    size_t               i, runs;
    knock_str_t          verdicts;
    knock_buf_t         *buf;
    const knock_json_t  *error;

    buf = work->buf;

    if (action->type != KNOCK_JSON_OBJECT
        || knock_log_entry_verdicts(work, action, &verdicts, &unknown)
           != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    error = knock_json_get(action, "error");
    failed = knock_log_entry_is(error, KNOCK_JSON_STRING);

    knock_buf_add_char(buf, '{');

    if (knock_log_entry_copy(work, action, "action", KNOCK_JSON_STRING)
        != KNOCK_OK
        || knock_log_entry_copy(work, action, "workflow", KNOCK_JSON_STRING)
           != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    knock_buf_add_lit(buf, ",\"status\":");

    if (work->status == KNOCK_STATUS_DUPLICATE) {
        knock_buf_add_lit(buf, "\"duplicate\"");

    } else if (failed) {
        knock_buf_add_lit(buf, "\"failed\"");

    } else if (work->status == KNOCK_STATUS_PROCESSED) {
        knock_buf_add_lit(buf, "\"processed\"");

    } else {
        knock_buf_add_lit(buf, "\"skipped\"");
    }

    if (knock_log_entry_copy(work, action, "error", KNOCK_JSON_NULL)
        != KNOCK_OK
        || knock_log_entry_copy(work, action, "recipients", KNOCK_JSON_ARRAY)
           != KNOCK_OK
        || knock_log_entry_copy(work, action, "actor", 0) != KNOCK_OK
        || knock_log_entry_copy(work, action, "tenant", KNOCK_JSON_NULL)
           != KNOCK_OK
        || knock_log_entry_copy(work, action, "cancellation_key",
                                KNOCK_JSON_NULL)
           != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    for (i = 0, runs = 0; i < verdicts.len; i++) {
        runs += verdicts.data[i] == KNOCK_LOG_RUN;
    }

    knock_buf_add_lit(buf, ",\"runs\":");
    knock_buf_add_uint(buf, runs);

    if (unknown) {
        knock_buf_add_lit(buf, ",\"actor_identified\":false");
    }

    knock_buf_add_lit(buf, ",\"skipped\":[");

    if (knock_log_entry_recipients(work, action, &verdicts) != KNOCK_OK
        || knock_log_entry_left_out(work, action, runs == verdicts.len)
           != KNOCK_OK)
    {
        return KNOCK_DECLINED;
    }

    knock_buf_add_lit(buf, "]}");

    return KNOCK_OK;
}


/*
 * Takes an action's verdicts: one on the actor where there is one, one on each
 * recipient, the end.  An event that was not processed has none.
 */

static int
knock_log_entry_verdicts(knock_log_work_t *work, const knock_json_t *action,
    knock_str_t *recipients, int *unknown)
{
    unsigned char        c;
    const knock_json_t  *v;

    *unknown = 0;

    recipients->len = 0;
    recipients->data = work->verdict.data;

    if (work->status != KNOCK_STATUS_PROCESSED) {
        return KNOCK_OK;
    }

    v = knock_json_get(action, "actor");

    if (v && v->type != KNOCK_JSON_NULL) {
        c = knock_log_entry_next(work);

        if (c != KNOCK_LOG_ACTOR_KNOWN && c != KNOCK_LOG_ACTOR_UNKNOWN
            && c != KNOCK_LOG_BEFORE)
        {
            return KNOCK_DECLINED;
        }

        *unknown = (c == KNOCK_LOG_ACTOR_UNKNOWN);
    }

    v = knock_json_get(action, "recipients");

    if (!knock_log_entry_is(v, KNOCK_JSON_ARRAY)
        || work->verdict.len < v->count)
    {
        return KNOCK_DECLINED;
    }

    recipients->len = v->count;
    recipients->data = work->verdict.data;

    work->verdict.len -= v->count;
    work->verdict.data += v->count;

    return knock_log_entry_next(work) == KNOCK_LOG_ACTION_END ? KNOCK_OK
                                                             : KNOCK_DECLINED;
}


/* those among the recipients who got no run; `verdicts` may be empty */

static int
knock_log_entry_recipients(knock_log_work_t *work, const knock_json_t *action,
    const knock_str_t *verdicts)
{
    int                  first;
    size_t               i;
    const char          *reason;
    const knock_json_t  *v;

    first = 1;
    v = knock_json_first(knock_json_get(action, "recipients"));

    for (i = 0; i < verdicts->len; i++, v = knock_json_next(v)) {

        if (verdicts->data[i] == KNOCK_LOG_RUN) {
            continue;
        }

        reason = knock_log_entry_skipped(verdicts->data[i]);
        if (reason == NULL) {
            return KNOCK_DECLINED;
        }

        if (!first) {
            knock_buf_add_char(work->buf, ',');
        }

        first = 0;

        knock_buf_add_lit(work->buf, "{\"recipient\":");
        knock_buf_add(work->buf, v->data, v->len);
        knock_buf_add_lit(work->buf, ",\"reason\":\"");
        knock_buf_add(work->buf, reason, strlen(reason));
        knock_buf_add_lit(work->buf, "\"}");
    }

    return KNOCK_OK;
}


static int
knock_log_entry_left_out(knock_log_work_t *work, const knock_json_t *action,
    int first)
{
    size_t               i;
    const knock_json_t  *left_out, *v;

    left_out = knock_json_get(action, "left_out");

    if (!knock_log_entry_is(left_out, KNOCK_JSON_ARRAY)) {
        return KNOCK_DECLINED;
    }

    v = knock_json_first(left_out);

    for (i = 0; i < left_out->count; i++, v = knock_json_next(v)) {

        if (v->type != KNOCK_JSON_OBJECT) {
            return KNOCK_DECLINED;
        }

        if (i || !first) {
            knock_buf_add_char(work->buf, ',');
        }

        knock_buf_add_char(work->buf, '{');

        if (knock_log_entry_copy(work, v, "recipient", 0) != KNOCK_OK
            || knock_log_entry_copy(work, v, "reason", KNOCK_JSON_STRING)
               != KNOCK_OK)
        {
            return KNOCK_DECLINED;
        }

        knock_buf_add_char(work->buf, '}');
    }

    return KNOCK_OK;
}


/*
 * Copies a member, behind a comma if it is not the object's first.  The type
 * is the one that the value must have; 0, any; null, a string or null.
 */

static int
knock_log_entry_copy(knock_log_work_t *work, const knock_json_t *object,
    const char *name, knock_json_type_e type)
{
    knock_str_t          key;
    const knock_json_t  *v;

    key.len = strlen(name);
    key.data = (unsigned char *) name;

    v = knock_json_member(object, &key);

    if (v == NULL
        || (type && v->type != type
            && (type != KNOCK_JSON_NULL || v->type != KNOCK_JSON_STRING)))
    {
        return KNOCK_DECLINED;
    }

    if (work->buf->len && work->buf->data[work->buf->len - 1] != '{') {
        knock_buf_add_char(work->buf, ',');
    }

    knock_buf_add_json(work->buf, &key);
    knock_buf_add_char(work->buf, ':');
    knock_buf_add(work->buf, v->data, v->len);

    return KNOCK_OK;
}


static const char *
knock_log_entry_skipped(unsigned char verdict)
{
    switch (verdict) {

    case KNOCK_LOG_NOT_IDENTIFIED:
        return "recipient_not_identified";

    case KNOCK_LOG_TOO_LARGE:
        return "user_too_large";

    case KNOCK_LOG_BEFORE:
        return "applied_before";

    default:
        return NULL;
    }
}


/* the next verdict, or NUL */

static unsigned char
knock_log_entry_next(knock_log_work_t *work)
{
    if (work->verdict.len == 0) {
        return '\0';
    }

    work->verdict.len--;

    return *work->verdict.data++;
}


static int
knock_log_entry_is(const knock_json_t *v, knock_json_type_e type)
{
    return v && v->type == type;
}
