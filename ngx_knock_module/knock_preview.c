
#include "knock_preview.h"
#include "knock_keys.h"
#include "knock_log.h"


static int knock_preview_keys(knock_arena_t *arena,
    const knock_preview_in_t *in, knock_preview_t *preview);
static int knock_preview_ask(knock_arena_t *arena,
    const knock_preview_in_t *in, knock_preview_t *preview,
    const knock_ref_t *ref, size_t *asked);
static int knock_preview_identified(const knock_preview_t *preview,
    const knock_ref_t *ref);
static int knock_preview_in_recipients(const knock_resolved_t *resolved,
    const knock_ref_t *ref);
static int knock_preview_same(const knock_ref_t *a, const knock_ref_t *b);
static int knock_preview_missing(const knock_str_t *exists, size_t asked);
static void knock_preview_outcome(knock_buf_t *buf,
    const knock_preview_t *preview);
static void knock_preview_mismatch(knock_buf_t *buf,
    const knock_preview_t *preview);
static void knock_preview_parameters(knock_buf_t *buf,
    const knock_preview_t *preview);
static void knock_preview_skipped(knock_buf_t *buf,
    const knock_preview_t *preview, const knock_str_t *exists);
static void knock_preview_identifies(knock_buf_t *buf,
    const knock_preview_t *preview);
static void knock_preview_item(knock_buf_t *buf);
static void knock_preview_add_text(knock_buf_t *buf, const char *text);


int
knock_preview_resolve(knock_arena_t *arena, const knock_preview_in_t *in,
    knock_preview_t *preview, knock_error_t *err)
{
    memset(preview, 0, sizeof(knock_preview_t));

    if (knock_action_compile(arena, in->action, &preview->action, err)
        != KNOCK_OK
        || knock_event_read(arena, in->event, &preview->event, err)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    preview->matches = knock_str_eq(&preview->event.key,
                                    &preview->action.event)
                       && (in->source.data == NULL
                           || knock_str_eq(&in->source,
                                           &preview->action.source));

    if (in->identify_enabled && preview->event.type == KNOCK_EVENT_IDENTIFY) {
        knock_str_set(&preview->user.collection, "$users");
        preview->user.id = preview->event.user_id;
    }

    if (knock_mapping_resolve(arena, &preview->action, &preview->event,
                              in->limits, &preview->resolved)
        != KNOCK_OK
        || knock_preview_keys(arena, in, preview) != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static int
knock_preview_keys(knock_arena_t *arena, const knock_preview_in_t *in,
    knock_preview_t *preview)
{
    size_t             i;
    knock_resolved_t  *resolved;

    resolved = &preview->resolved;

    preview->keys = knock_arena_calloc(arena, resolved->nrecipients + 1,
                                       sizeof(knock_str_t));
    preview->asked = knock_arena_calloc(arena, resolved->nrecipients + 1,
                                        sizeof(size_t));
    preview->shards = knock_arena_calloc(arena, resolved->nrecipients + 1,
                                         sizeof(size_t));

    if (preview->keys == NULL || preview->asked == NULL
        || preview->shards == NULL)
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < resolved->nrecipients; i++) {
        if (knock_preview_ask(arena, in, preview, &resolved->recipients[i],
                              &preview->asked[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    if (resolved->actor == NULL
        || knock_preview_in_recipients(resolved, resolved->actor))
    {
        return KNOCK_OK;
    }

    return knock_preview_ask(arena, in, preview, resolved->actor,
                             &preview->actor);
}


static int
knock_preview_ask(knock_arena_t *arena, const knock_preview_in_t *in,
    knock_preview_t *preview, const knock_ref_t *ref, size_t *asked)
{
    size_t  shard;

    if (ref->nupserts || knock_preview_identified(preview, ref)) {
        return KNOCK_OK;
    }

    shard = knock_keys_shard(&ref->id, in->nshards);
    preview->shards[preview->nkeys] = shard;

    if (knock_keys_entity(arena, &in->bases[shard], &ref->collection, &ref->id,
                          &preview->keys[preview->nkeys])
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    *asked = ++preview->nkeys;

    return KNOCK_OK;
}


/* 1 if the event itself or its actor identifies the same entity */

static int
knock_preview_identified(const knock_preview_t *preview,
    const knock_ref_t *ref)
{
    const knock_ref_t  *actor;

    actor = preview->resolved.actor;

    return (preview->user.id.data && knock_preview_same(&preview->user, ref))
           || (actor && actor->nupserts && knock_preview_same(actor, ref));
}


/* 1 if one of the recipients is the same entity, and inline */

static int
knock_preview_in_recipients(const knock_resolved_t *resolved,
    const knock_ref_t *ref)
{
    size_t  i;

    for (i = 0; i < resolved->nrecipients; i++) {
        if (resolved->recipients[i].nupserts
            && knock_preview_same(&resolved->recipients[i], ref))
        {
            return 1;
        }
    }

    return 0;
}


static int
knock_preview_same(const knock_ref_t *a, const knock_ref_t *b)
{
    return knock_str_eq(&a->id, &b->id)
           && knock_str_eq(&a->collection, &b->collection);
}


int
knock_preview_json(knock_arena_t *arena, const knock_preview_t *preview,
    const knock_str_t *exists, knock_str_t *json)
{
    size_t       i, runs;
    knock_buf_t  buf;

    if (exists->len != preview->nkeys) {
        return KNOCK_DECLINED;
    }

    for (i = 0; i < exists->len; i++) {
        if (exists->data[i] != '0' && exists->data[i] != '1') {
            return KNOCK_DECLINED;
        }
    }

    runs = 0;

    for (i = 0; i < preview->resolved.nrecipients; i++) {
        runs += !knock_preview_missing(exists, preview->asked[i]);
    }

    knock_buf_init(&buf, arena, 1024);

    knock_preview_outcome(&buf, preview);
    knock_preview_parameters(&buf, preview);

    knock_buf_add_lit(&buf, ",\"runs\":");
    knock_buf_add_uint(&buf, runs);

    if (knock_preview_missing(exists, preview->actor)) {
        knock_buf_add_lit(&buf, ",\"actor_identified\":false");
    }

    knock_preview_skipped(&buf, preview, exists);
    knock_preview_identifies(&buf, preview);

    knock_buf_add_char(&buf, '}');

    return knock_buf_str(&buf, json);
}


static int
knock_preview_missing(const knock_str_t *exists, size_t asked)
{
    return asked && exists->data[asked - 1] == '0';
}


static void
knock_preview_outcome(knock_buf_t *buf, const knock_preview_t *preview)
{
    int                   failed;
    const char           *status;
    const knock_error_t  *error;

    error = &preview->resolved.error;
    failed = (error->code != KNOCK_E_NONE);
    status = !preview->matches ? "ignored" : failed ? "failed" : "processed";

    knock_buf_add_lit(buf, "{\"event\":");
    knock_buf_add_json(buf, &preview->event.key);
    knock_buf_add_lit(buf, ",\"matches\":");
    knock_buf_add(buf, preview->matches ? "true" : "false",
                  preview->matches ? 4 : 5);
    knock_buf_add_lit(buf, ",\"action\":");
    knock_buf_add_json(buf, &preview->action.key);
    knock_buf_add_lit(buf, ",\"workflow\":");
    knock_buf_add_json(buf, &preview->action.workflow);
    knock_buf_add_lit(buf, ",\"status\":");
    knock_preview_add_text(buf, status);
    knock_buf_add_lit(buf, ",\"error\":");
    knock_preview_add_text(buf, failed ? knock_error_name(error->code) : NULL);
    knock_buf_add_lit(buf, ",\"message\":");

    if (failed) {
        knock_preview_add_text(buf, error->message);

    } else if (preview->matches) {
        knock_buf_add_lit(buf, "null");

    } else {
        knock_preview_mismatch(buf, preview);
    }
}


static void
knock_preview_mismatch(knock_buf_t *buf, const knock_preview_t *preview)
{
    knock_str_t  str;
    knock_buf_t  text;

    knock_buf_init(&text, buf->arena, 256);

    knock_buf_add_lit(&text, "this action acts on \"");
    knock_buf_add_str(&text, &preview->action.event);
    knock_buf_add_lit(&text, "\" of the source \"");
    knock_buf_add_str(&text, &preview->action.source);
    knock_buf_add_lit(&text, "\": it does nothing with this event");

    if (knock_buf_str(&text, &str) != KNOCK_OK) {
        buf->failed = 1;
        return;
    }

    knock_buf_add_json(buf, &str);
}


static void
knock_preview_parameters(knock_buf_t *buf, const knock_preview_t *preview)
{
    knock_buf_add_char(buf, ',');
    knock_log_add_resolved(buf, &preview->resolved);
}


static void
knock_preview_skipped(knock_buf_t *buf, const knock_preview_t *preview,
    const knock_str_t *exists)
{
    size_t                   i;
    const knock_left_out_t  *left;
    const knock_resolved_t  *resolved;

    resolved = &preview->resolved;

    knock_buf_add_lit(buf, ",\"skipped\":[");

    for (i = 0; i < resolved->nrecipients; i++) {
        if (!knock_preview_missing(exists, preview->asked[i])) {
            continue;
        }

        knock_preview_item(buf);
        knock_buf_add_lit(buf, "{\"recipient\":");
        knock_log_add_ref(buf, &resolved->recipients[i]);
        knock_buf_add_lit(buf, ",\"reason\":\"recipient_not_identified\"}");
    }

    for (i = 0; i < resolved->nleft_out; i++) {
        left = &resolved->left_out[i];

        knock_preview_item(buf);
        knock_buf_add_lit(buf, "{\"recipient\":");
        knock_buf_add(buf, left->value->data, left->value->len);
        knock_buf_add_lit(buf, ",\"reason\":");
        knock_preview_add_text(buf, left->reason);
        knock_buf_add_char(buf, '}');
    }

    knock_buf_add_char(buf, ']');
}


static void
knock_preview_identifies(knock_buf_t *buf, const knock_preview_t *preview)
{
    size_t                   i;
    const knock_ref_t       *ref, *user;
    const knock_resolved_t  *resolved;

    resolved = &preview->resolved;
    user = preview->user.id.data ? &preview->user : NULL;

    knock_buf_add_lit(buf, ",\"identifies\":[");

    if (user) {
        knock_log_add_ref(buf, user);
    }

    for (i = 0; i < resolved->nrecipients; i++) {
        ref = &resolved->recipients[i];

        if (ref->nupserts && !(user && knock_preview_same(user, ref))) {
            knock_preview_item(buf);
            knock_log_add_ref(buf, ref);
        }
    }

    ref = resolved->actor;

    if (ref && ref->nupserts
        && !(user && knock_preview_same(user, ref))
        && !knock_preview_in_recipients(resolved, ref))
    {
        knock_preview_item(buf);
        knock_log_add_ref(buf, ref);
    }

    ref = resolved->tenant;

    if (ref && ref->nupserts
        && !knock_preview_identified(preview, ref)
        && !knock_preview_in_recipients(resolved, ref))
    {
        knock_preview_item(buf);
        knock_log_add_ref(buf, ref);
    }

    knock_buf_add_char(buf, ']');
}


/* a comma, unless the item to come is the first of its list */

static void
knock_preview_item(knock_buf_t *buf)
{
    if (buf->len && buf->data[buf->len - 1] != '[') {
        knock_buf_add_char(buf, ',');
    }
}


static void
knock_preview_add_text(knock_buf_t *buf, const char *text)
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
