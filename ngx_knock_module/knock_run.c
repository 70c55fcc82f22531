
#include "knock_run.h"
#include "knock_time.h"


/* of a run without what it shares with others, and without the recipient */
#define KNOCK_RUN_OWN  128


static void knock_run_add_optional(knock_buf_t *buf, const knock_str_t *str);
static void knock_run_add_text(knock_buf_t *buf, const knock_str_t *json,
    const char *none);


int
knock_run_start(knock_arena_t *arena, const knock_trigger_t *trigger,
    const knock_str_t *message, knock_run_t *run)
{
    knock_buf_t    buf;
    knock_str_t    parts[5];
    unsigned char  text[KNOCK_UUID_LEN];
    unsigned char  time[KNOCK_TIME_LEN];

    run->environment = trigger->environment;
    run->source = trigger->source;
    run->action = trigger->action;
    run->message = *message;

    knock_str_set(&parts[0], "trigger");
    parts[1] = trigger->environment;
    parts[2] = trigger->source;
    parts[3] = *message;
    parts[4] = trigger->action;

    knock_digest_uuid(parts, 5, text);

    knock_buf_init(&buf, arena, 512);

    knock_buf_add_lit(&buf, ",\"trigger_id\":\"");
    knock_buf_add(&buf, text, KNOCK_UUID_LEN);
    knock_buf_add_lit(&buf, "\",\"workflow\":");
    knock_buf_add_json(&buf, &trigger->workflow);
    knock_buf_add_lit(&buf, ",\"environment\":");
    knock_buf_add_json(&buf, &trigger->environment);
    knock_buf_add_lit(&buf, ",\"source\":");
    knock_run_add_optional(&buf, &trigger->source);
    knock_buf_add_lit(&buf, ",\"event\":");
    knock_run_add_optional(&buf, &trigger->event);
    knock_buf_add_lit(&buf, ",\"message_id\":");
    knock_run_add_optional(&buf, &trigger->message_id);
    knock_buf_add_lit(&buf, ",\"action\":");
    knock_run_add_optional(&buf, &trigger->action);

    if (knock_buf_str(&buf, &run->middle) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    knock_time_format(trigger->now, time);

    knock_buf_init(&buf, arena, 512 + trigger->data.len);

    knock_buf_add_lit(&buf, ",\"actor\":");
    knock_run_add_ref(&buf, trigger->actor);
    knock_buf_add_lit(&buf, ",\"tenant\":");
    knock_run_add_optional(&buf, &trigger->tenant);
    knock_buf_add_lit(&buf, ",\"cancellation_key\":");
    knock_run_add_optional(&buf, &trigger->cancellation_key);
    knock_buf_add_lit(&buf, ",\"data\":");
    knock_run_add_text(&buf, &trigger->data, "{}");
    knock_buf_add_lit(&buf, ",\"timestamp\":");
    knock_run_add_text(&buf, &trigger->timestamp, "null");
    knock_buf_add_lit(&buf, ",\"enqueued_at\":\"");
    knock_buf_add(&buf, time, KNOCK_TIME_LEN);

    if (trigger->test) {
        knock_buf_add_lit(&buf, "\",\"test\":true}");

    } else {
        knock_buf_add_lit(&buf, "\",\"test\":false}");
    }

    return knock_buf_str(&buf, &run->tail);
}


int
knock_run_prepare(knock_arena_t *arena, const knock_str_t *environment,
    const knock_str_t *source, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    uint64_t now, knock_run_t *run)
{
    knock_trigger_t  trigger;

    memset(&trigger, 0, sizeof(knock_trigger_t));

    trigger.workflow = resolved->action->workflow;
    trigger.environment = *environment;
    trigger.source = *source;
    trigger.event = event->key;
    trigger.message_id = event->message_id;
    trigger.action = resolved->action->key;
    trigger.actor = resolved->actor;
    trigger.cancellation_key = resolved->cancellation_key;
    trigger.now = now;

    if (resolved->tenant) {
        trigger.tenant = resolved->tenant->id;
    }

    if (event->properties) {
        trigger.data = knock_json_text(event->properties);
    }

    if (event->timestamp) {
        trigger.timestamp = knock_json_text(event->timestamp);
    }

    return knock_run_start(arena, &trigger, message, run);
}


int
knock_run_count(const knock_run_t *run, size_t n, size_t max, size_t *bytes)
{
    size_t  each;

    each = KNOCK_RUN_OWN + run->middle.len + run->tail.len;

    if (*bytes > max || n > (max - *bytes) / each) {
        return KNOCK_DECLINED;
    }

    *bytes += n * each;

    return KNOCK_OK;
}


int
knock_run_build(knock_arena_t *arena, const knock_run_t *run,
    const knock_ref_t *recipient, knock_str_t *json)
{
    knock_buf_t    buf;
    knock_str_t    parts[6];
    unsigned char  text[KNOCK_UUID_LEN];

    parts[0] = run->environment;
    parts[1] = run->source;
    parts[2] = run->message;
    parts[3] = run->action;
    parts[4] = recipient->collection;
    parts[5] = recipient->id;

    knock_digest_uuid(parts, 6, text);

    knock_buf_init(&buf, arena, KNOCK_RUN_OWN + run->middle.len
                                + run->tail.len + recipient->collection.len
                                + recipient->id.len);

    knock_buf_add_lit(&buf, "{\"id\":\"");
    knock_buf_add(&buf, text, KNOCK_UUID_LEN);
    knock_buf_add_lit(&buf, "\"");
    knock_buf_add_str(&buf, &run->middle);
    knock_buf_add_lit(&buf, ",\"recipient\":");
    knock_run_add_ref(&buf, recipient);
    knock_buf_add_str(&buf, &run->tail);

    return knock_buf_str(&buf, json);
}


void
knock_run_add_ref(knock_buf_t *buf, const knock_ref_t *ref)
{
    if (ref == NULL) {
        knock_buf_add_lit(buf, "null");
        return;
    }

    knock_buf_add_lit(buf, "{\"collection\":");
    knock_buf_add_json(buf, &ref->collection);
    knock_buf_add_lit(buf, ",\"id\":");
    knock_buf_add_json(buf, &ref->id);
    knock_buf_add_char(buf, '}');
}


static void
knock_run_add_optional(knock_buf_t *buf, const knock_str_t *str)
{
    if (str->data == NULL) {
        knock_buf_add_lit(buf, "null");
        return;
    }

    knock_buf_add_json(buf, str);
}


static void
knock_run_add_text(knock_buf_t *buf, const knock_str_t *json,
    const char *none)
{
    if (json->data == NULL) {
        knock_buf_add(buf, none, strlen(none));
        return;
    }

    knock_buf_add_str(buf, json);
}
