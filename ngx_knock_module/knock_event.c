
#include "knock_event.h"
#include "knock_limits.h"
#include "knock_time.h"


/* the members of an event's root that are looked at, the shortest first */

enum {
    KNOCK_EVENT_F_TYPE = 0,
    KNOCK_EVENT_F_EVENT,
    KNOCK_EVENT_F_USER_ID,
    KNOCK_EVENT_F_TRAITS,
    KNOCK_EVENT_F_CONTEXT,
    KNOCK_EVENT_F_MESSAGE_ID,
    KNOCK_EVENT_F_TIMESTAMP,
    KNOCK_EVENT_F_PROPERTIES,
    KNOCK_EVENT_F_COUNT
};


/* the longest escape of one byte is "\u0000" */

#define KNOCK_EVENT_MAX_ESCAPE  6

#define KNOCK_EVENT_TRACK_PREFIX  "track/"

#define knock_event_add_note(event, note)                                    \
    (event)->notes |= 1u << KNOCK_NOTE_##note


static void knock_event_members(const knock_json_t *root,
    const knock_json_t **members);
static int knock_event_type(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err);
static int knock_event_track_key(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err);
static int knock_event_message_id(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err);
static int knock_event_identify(knock_arena_t *arena,
    const knock_json_t **members, knock_event_t *event, knock_error_t *err);
static int knock_event_map(const knock_json_t *v, const char *name,
    knock_event_t *event, const knock_json_t **map, knock_error_t *err);
static int knock_event_timestamp(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err);
static int knock_event_has_control(const knock_str_t *str);


static const knock_str_t  knock_event_fields[KNOCK_EVENT_F_COUNT] = {
    knock_string("type"),
    knock_string("event"),
    knock_string("userId"),
    knock_string("traits"),
    knock_string("context"),
    knock_string("messageId"),
    knock_string("timestamp"),
    knock_string("properties")
};


/* how many of them are shorter than 0, 1, ... bytes */

static const uint8_t  knock_event_shorter[] = {
    0, 0, 0, 0, 0, 1, 2, 4, 5, 5, 7, KNOCK_EVENT_F_COUNT
};

#define KNOCK_EVENT_F_LENGTHS  sizeof(knock_event_shorter)


/* in the order of knock_event_type_e */

static const knock_str_t  knock_event_types[] = {
    knock_string("track"),
    knock_string("identify"),
    knock_string("page"),
    knock_string("screen"),
    knock_string("group"),
    knock_string("alias")
};

#define KNOCK_EVENT_TYPES                                                    \
    (sizeof(knock_event_types) / sizeof(knock_event_types[0]))


/* the same, whose "properties" are what an event of the type has to say */

static const uint8_t  knock_event_properties[] = { 1, 0, 1, 1, 0, 0 };


static const char  *knock_event_note_codes[KNOCK_NOTES] = {
#define KNOCK_EVENT_NOTE_CODE(name, code)  code,
    KNOCK_EVENT_NOTES(KNOCK_EVENT_NOTE_CODE)
#undef KNOCK_EVENT_NOTE_CODE
};


int
knock_event_read(knock_arena_t *arena, const knock_json_t *root,
    knock_event_t *event, knock_error_t *err)
{
    const knock_json_t  *v, *members[KNOCK_EVENT_F_COUNT] = { NULL };

    memset(event, 0, sizeof(knock_event_t));

    event->root = root;

    if (root->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "an event must be a JSON object");
    }

    knock_event_members(root, members);

    if (knock_event_type(arena, members[KNOCK_EVENT_F_TYPE], event, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (event->type == KNOCK_EVENT_TRACK
        && knock_event_track_key(arena, members[KNOCK_EVENT_F_EVENT], event,
                                 err)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    v = members[KNOCK_EVENT_F_PROPERTIES];

    if (knock_event_properties[event->type]) {
        if (knock_event_map(v, "properties", event, &event->properties, err)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

    } else if (v && v->type == KNOCK_JSON_OBJECT) {
        event->properties = v;
    }

    if (event->type == KNOCK_EVENT_IDENTIFY
        && knock_event_identify(arena, members, event, err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (knock_event_timestamp(arena, members[KNOCK_EVENT_F_TIMESTAMP], event,
                              err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_event_message_id(arena, members[KNOCK_EVENT_F_MESSAGE_ID],
                                  event, err);
}


/*
 * One pass over the root for all that is wanted of it, as a look-up for each
 * would be a scan for each.  A later duplicate takes the place of an earlier.
 */

static void
knock_event_members(const knock_json_t *root, const knock_json_t **members)
{
    size_t               i, n, len, last;
    const knock_json_t  *key, *value;

    key = knock_json_first(root);

    for (n = root->count; n; n--, key = knock_json_next(value)) {

        value = knock_json_next(key);
        len = key->len - 2;

        if (key->escaped) {
            i = 0;
            last = KNOCK_EVENT_F_COUNT;

        } else if (len < KNOCK_EVENT_F_LENGTHS - 1) {
            i = knock_event_shorter[len];
            last = knock_event_shorter[len + 1];

        } else {
            continue;
        }

        for ( /* void */ ; i < last; i++) {
            if (knock_json_string_eq(key, &knock_event_fields[i])) {
                members[i] = value;
                break;
            }
        }
    }
}


static int
knock_event_type(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err)
{
    size_t              i, n;
    knock_str_t         type;
    const knock_str_t  *name;

    if (v == NULL || v->type != KNOCK_JSON_STRING) {
        goto unknown;
    }

    if (knock_json_string(arena, v, &type) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    for (i = 0; i < KNOCK_EVENT_TYPES; i++) {
        name = &knock_event_types[i];

        if (type.len != name->len) {
            continue;
        }

        /* the bit makes a lower-case letter of letters only */

        for (n = 0; n < type.len && (type.data[n] | 0x20) == name->data[n];
             n++)
        {
            /* void */
        }

        if (n == type.len) {
            event->type = (knock_event_type_e) i;
            event->key = *name;
            return KNOCK_OK;
        }
    }

unknown:

    return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                           "\"type\" %s: expected \"track\", \"identify\", "
                           "\"page\", \"screen\", \"group\" or \"alias\"",
                           v ? "is none of the six" : "is missing");
}


static int
knock_event_track_key(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err)
{
    size_t       prefix;
    knock_str_t  name;

    if (v == NULL) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "\"event\" is missing: a track needs the name "
                               "of its event");
    }

    if (v->type == KNOCK_JSON_NUMBER) {
        name = knock_json_text(v);
        knock_event_add_note(event, NAME);

    } else if (v->type != KNOCK_JSON_STRING) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "\"event\" must be a string, the name of the "
                               "event");

    } else if (knock_json_string(arena, v, &name) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (name.len == 0 || name.len > KNOCK_MAX_EVENT_NAME) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "\"event\" must be 1 to %d bytes long, it has "
                               "%zu", KNOCK_MAX_EVENT_NAME, name.len);
    }

    prefix = sizeof(KNOCK_EVENT_TRACK_PREFIX) - 1;

    event->key.len = prefix + name.len;
    event->key.data = knock_arena_alloc(arena, event->key.len);

    if (event->key.data == NULL) {
        return knock_error_memory(err);
    }

    memcpy(event->key.data, KNOCK_EVENT_TRACK_PREFIX, prefix);
    memcpy(event->key.data + prefix, name.data, name.len);

    return KNOCK_OK;
}


/* what is unusable is no error: the event is then processed as it is */

static int
knock_event_message_id(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err)
{
    size_t       i, chars;
    knock_str_t  str;

    if (v == NULL || v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    str.len = 0;

    if (v->type == KNOCK_JSON_NUMBER) {
        str = knock_json_text(v);

    } else if (v->type == KNOCK_JSON_STRING

        /* a character takes up to two escapes, a surrogate pair */

        && v->len - 2 <= KNOCK_MAX_MESSAGE_ID * 2 * KNOCK_EVENT_MAX_ESCAPE
        && knock_json_string(arena, v, &str) != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    chars = str.len;

    if (chars > KNOCK_MAX_MESSAGE_ID) {
        for (i = 0, chars = 0; i < str.len; i++) {
            chars += (str.data[i] & 0xc0) != 0x80;
        }
    }

    if (chars == 0 || chars > KNOCK_MAX_MESSAGE_ID) {
        knock_event_add_note(event, NO_MESSAGE);
        return KNOCK_OK;
    }

    event->message_id = str;

    if (v->type == KNOCK_JSON_NUMBER) {
        knock_event_add_note(event, MESSAGE_ID);
    }

    return KNOCK_OK;
}


/*
 * Empty traits are none.  What stands in "context" is looked at only where it
 * has to serve instead, and may be anything where it does not have to.
 */

static int
knock_event_identify(knock_arena_t *arena, const knock_json_t **members,
    knock_event_t *event, knock_error_t *err)
{
    int                  rc;
    const knock_json_t  *v, *context;

    v = members[KNOCK_EVENT_F_USER_ID];

    if (v && v->type != KNOCK_JSON_NULL) {
        rc = knock_event_id(arena, v, &event->user_id);

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED) {
            knock_event_add_note(event, USER_ID);
        }
    }

    v = members[KNOCK_EVENT_F_TRAITS];

    if (knock_event_map(v, "traits", event, &event->traits, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (event->traits && event->traits->count) {
        return KNOCK_OK;
    }

    context = knock_json_get(members[KNOCK_EVENT_F_CONTEXT], "traits");

    if (v == NULL || v->type == KNOCK_JSON_NULL) {
        return knock_event_map(context, "context.traits", event,
                               &event->traits, err);
    }

    if (context && context->type == KNOCK_JSON_OBJECT && context->count) {
        event->traits = context;
        knock_event_add_note(event, CONTEXT);
    }

    return KNOCK_OK;
}


/* an empty array is what PHP makes of an empty map */

static int
knock_event_map(const knock_json_t *v, const char *name, knock_event_t *event,
    const knock_json_t **map, knock_error_t *err)
{
    if (v == NULL || v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    if (v->type == KNOCK_JSON_ARRAY && v->count == 0) {
        knock_event_add_note(event, ARRAY);
        return KNOCK_OK;
    }

    if (v->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "\"%s\" must be an object or null", name);
    }

    *map = v;

    return KNOCK_OK;
}


/* a time that is a number is handed on as it would be written */

static int
knock_event_timestamp(knock_arena_t *arena, const knock_json_t *v,
    knock_event_t *event, knock_error_t *err)
{
    uint64_t       ms;
    knock_str_t    number;
    knock_json_t  *time;

    if (v == NULL || v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    if (v->type == KNOCK_JSON_STRING) {
        event->timestamp = v;
        return KNOCK_OK;
    }

    number = knock_json_text(v);

    if (v->type != KNOCK_JSON_NUMBER
        || knock_time_number(&number, &ms) != KNOCK_OK)
    {
        knock_event_add_note(event, NO_TIME);
        return KNOCK_OK;
    }

    time = knock_arena_calloc(arena, 1, sizeof(knock_json_t)
                                        + KNOCK_TIME_LEN + 2);
    if (time == NULL) {
        return knock_error_memory(err);
    }

    time->type = KNOCK_JSON_STRING;
    time->span = 1;
    time->len = KNOCK_TIME_LEN + 2;
    time->data = (unsigned char *) (time + 1);

    time->data[0] = '"';
    knock_time_format(ms, time->data + 1);
    time->data[KNOCK_TIME_LEN + 1] = '"';

    event->timestamp = time;
    knock_event_add_note(event, TIMESTAMP);

    return KNOCK_OK;
}


void
knock_event_note_replaced(knock_event_t *event)
{
    const knock_json_t  *v, *end;

    end = knock_json_next(event->root);

    for (v = event->root; v < end; v++) {
        if (v->type == KNOCK_JSON_STRING && v->escaped & KNOCK_JSON_REPLACED) {
            knock_event_add_note(event, SURROGATE);
            return;
        }
    }
}


const char *
knock_event_note(knock_event_note_e note)
{
    return knock_event_note_codes[note];
}


int
knock_event_id(knock_arena_t *arena, const knock_json_t *v, knock_str_t *id)
{
    knock_str_t  str;

    switch (v->type) {

    case KNOCK_JSON_NUMBER:
        if (!knock_json_is_integer(v) || v->len > KNOCK_MAX_ID) {
            return KNOCK_DECLINED;
        }

        *id = knock_json_text(v);

        return KNOCK_OK;

    case KNOCK_JSON_STRING:

        /* spares the decoding of what is too long in any case */

        if (v->len - 2 > KNOCK_MAX_ID * KNOCK_EVENT_MAX_ESCAPE) {
            return KNOCK_DECLINED;
        }

        if (knock_json_string(arena, v, &str) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (str.len == 0 || str.len > KNOCK_MAX_ID
            || knock_event_has_control(&str))
        {
            return KNOCK_DECLINED;
        }

        *id = str;

        return KNOCK_OK;

    default:
        return KNOCK_DECLINED;
    }
}


static int
knock_event_has_control(const knock_str_t *str)
{
    size_t                i;
    const unsigned char  *p;

    p = str->data;

    for (i = 0; i < str->len; i++) {

        if (p[i] < 0x20 || p[i] == 0x7f) {
            return 1;
        }

        /* U+0080 to U+009F are the bytes c2 80 to c2 9f */

        if (p[i] == 0xc2 && i + 1 < str->len && p[i + 1] < 0xa0) {
            return 1;
        }
    }

    return 0;
}


int
knock_event_key_valid(const knock_str_t *key)
{
    size_t  i, prefix;

    prefix = sizeof(KNOCK_EVENT_TRACK_PREFIX) - 1;

    if (key->len > prefix
        && memcmp(key->data, KNOCK_EVENT_TRACK_PREFIX, prefix) == 0)
    {
        return key->len - prefix <= KNOCK_MAX_EVENT_NAME;
    }

    for (i = KNOCK_EVENT_TRACK + 1; i < KNOCK_EVENT_TYPES; i++) {
        if (knock_str_eq(key, &knock_event_types[i])) {
            return 1;
        }
    }

    return 0;
}
