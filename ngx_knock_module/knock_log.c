
#include "knock_log.h"
#include "knock_run.h"
#include "knock_time.h"


static void knock_log_notes(knock_buf_t *buf, unsigned notes);
static void knock_log_action(knock_buf_t *buf,
    const knock_resolved_t *resolved);
static void knock_log_text(knock_buf_t *buf, const char *text);


int
knock_log_build(knock_arena_t *arena, const knock_event_t *event,
    const char *reason, const knock_resolved_t *resolved, size_t n,
    uint64_t now, knock_str_t *doc)
{
    size_t         i;
    knock_buf_t    buf;
    unsigned char  time[KNOCK_TIME_LEN];

    knock_time_format(now, time);

    knock_buf_init(&buf, arena, 256 + n * 256);

    knock_buf_add_lit(&buf, "{\"event\":");
    knock_buf_add_json(&buf, &event->key);
    knock_buf_add_lit(&buf, ",\"message_id\":");

    if (event->message_id.data) {
        knock_buf_add_json(&buf, &event->message_id);

    } else {
        knock_buf_add_lit(&buf, "null");
    }

    knock_buf_add_lit(&buf, ",\"received_at\":\"");
    knock_buf_add(&buf, time, KNOCK_TIME_LEN);
    knock_buf_add_lit(&buf, "\",\"reason\":");
    knock_log_text(&buf, reason);

    if (event->notes) {
        knock_log_notes(&buf, event->notes);
    }

    knock_buf_add_lit(&buf, ",\"actions\":[");

    for (i = 0; i < n; i++) {
        if (i) {
            knock_buf_add_char(&buf, ',');
        }

        knock_log_action(&buf, &resolved[i]);
    }

    knock_buf_add_lit(&buf, "]}");

    return knock_buf_str(&buf, doc);
}


static void
knock_log_notes(knock_buf_t *buf, unsigned notes)
{
    unsigned  i;

    knock_buf_add_lit(buf, ",\"notes\":[");

    for (i = 0; notes; i++, notes >>= 1) {
        if (notes & 1) {
            knock_log_text(buf, knock_event_note(i));
            knock_buf_add_char(buf, notes > 1 ? ',' : ']');
        }
    }
}


static void
knock_log_action(knock_buf_t *buf, const knock_resolved_t *resolved)
{
    size_t                   i;
    const knock_left_out_t  *left;

    knock_buf_add_lit(buf, "{\"action\":");
    knock_buf_add_json(buf, &resolved->action->key);
    knock_buf_add_lit(buf, ",\"workflow\":");
    knock_buf_add_json(buf, &resolved->action->workflow);
    knock_buf_add_lit(buf, ",\"error\":");

    if (resolved->error.code != KNOCK_E_NONE) {
        knock_log_text(buf, knock_error_name(resolved->error.code));
        knock_buf_add_lit(buf, ",\"recipients\":[],\"actor\":null,"
                               "\"tenant\":null,\"cancellation_key\":null,"
                               "\"left_out\":[]}");
        return;
    }

    knock_buf_add_lit(buf, "null,");
    knock_log_add_resolved(buf, resolved);
    knock_buf_add_lit(buf, ",\"left_out\":[");

    for (i = 0; i < resolved->nleft_out; i++) {
        left = &resolved->left_out[i];

        if (i) {
            knock_buf_add_char(buf, ',');
        }

        knock_buf_add_lit(buf, "{\"recipient\":");

        if (left->value->len <= KNOCK_MAX_LOGGED) {
            knock_buf_add(buf, left->value->data, left->value->len);

        } else {
            knock_buf_add_lit(buf, "\"(too long to be logged)\"");
        }

        knock_buf_add_lit(buf, ",\"reason\":");
        knock_log_text(buf, left->reason);
        knock_buf_add_char(buf, '}');
    }

    knock_buf_add_lit(buf, "]}");
}


void
knock_log_add_resolved(knock_buf_t *buf, const knock_resolved_t *resolved)
{
    size_t  i;

    knock_buf_add_lit(buf, "\"recipients\":[");

    for (i = 0; i < resolved->nrecipients; i++) {
        if (i) {
            knock_buf_add_char(buf, ',');
        }

        knock_log_add_ref(buf, &resolved->recipients[i]);
    }

    knock_buf_add_lit(buf, "],\"actor\":");
    knock_log_add_ref(buf, resolved->actor);
    knock_buf_add_lit(buf, ",\"tenant\":");

    if (resolved->tenant) {
        knock_buf_add_json(buf, &resolved->tenant->id);

    } else {
        knock_buf_add_lit(buf, "null");
    }

    knock_buf_add_lit(buf, ",\"cancellation_key\":");

    if (resolved->cancellation_key.data) {
        knock_buf_add_json(buf, &resolved->cancellation_key);

    } else {
        knock_buf_add_lit(buf, "null");
    }
}


void
knock_log_add_ref(knock_buf_t *buf, const knock_ref_t *ref)
{
    if (ref && knock_str_is(&ref->collection, "$users")) {
        knock_buf_add_json(buf, &ref->id);
        return;
    }

    knock_run_add_ref(buf, ref);
}


static void
knock_log_text(knock_buf_t *buf, const char *text)
{
    knock_str_t  str;

    if (text == NULL) {
        knock_buf_add_lit(buf, "null");
        return;
    }

    str.data = (unsigned char *) text;
    str.len = strlen(text);

    knock_buf_add_json(buf, &str);
}
