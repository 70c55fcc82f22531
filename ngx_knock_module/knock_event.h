
/* A Segment event: what of it is looked at, and what makes it invalid. */

#ifndef KNOCK_EVENT_H
#define KNOCK_EVENT_H


#include "knock_json.h"


typedef enum {
    KNOCK_EVENT_TRACK = 0,
    KNOCK_EVENT_IDENTIFY,
    KNOCK_EVENT_PAGE,
    KNOCK_EVENT_SCREEN,
    KNOCK_EVENT_GROUP,
    KNOCK_EVENT_ALIAS
} knock_event_type_e;


/* what was put right, or left aside, X(name, code) */

#define KNOCK_EVENT_NOTES(X)                                                 \
    X(SURROGATE,   "lone_surrogate_replaced")                                \
    X(NAME,        "event_name_from_number")                                 \
    X(USER_ID,     "user_id_unusable")                                       \
    X(ARRAY,       "empty_array_as_object")                                  \
    X(CONTEXT,     "traits_from_context")                                    \
    X(TIMESTAMP,   "timestamp_from_number")                                  \
    X(NO_TIME,     "timestamp_unusable")                                     \
    X(MESSAGE_ID,  "message_id_from_number")                                 \
    X(NO_MESSAGE,  "message_id_unusable")


typedef enum {
#define KNOCK_EVENT_NOTE_ENUM(name, code)  KNOCK_NOTE_##name,
    KNOCK_EVENT_NOTES(KNOCK_EVENT_NOTE_ENUM)
#undef KNOCK_EVENT_NOTE_ENUM
    KNOCK_NOTES
} knock_event_note_e;


typedef struct {
    const knock_json_t   *root;
    knock_event_type_e    type;
    knock_str_t           key;          /* "track/Signed Up", "identify" */
    knock_str_t           message_id;   /* data NULL: none that is usable */
    knock_str_t           user_id;      /* identify only; data NULL: none */
    const knock_json_t   *timestamp;    /* a string, or NULL; of a number
                                           the time that it stands for */
    const knock_json_t   *properties;   /* an object, or NULL */
    const knock_json_t   *traits;       /* identify: traits, else
                                           context.traits; or NULL */
    unsigned              notes;        /* a bit for a knock_event_note_e */
} knock_event_t;


/*
 * Reads one event.  KNOCK_OK, or KNOCK_ERROR with KNOCK_E_INVALID_EVENT and a
 * sentence that names the field: not an object; no or unknown "type" (any
 * case will do); a track without a name, in "event", of 1 to
 * KNOCK_MAX_EVENT_NAME bytes; "properties" of a track, page or screen, or
 * "traits" of an identify ("context.traits" where it has none) that are
 * neither an object nor null nor an empty array.  What the type does not use
 * is not judged.  What else is unusable counts as none.  Strings are slices of
 * the text or of the arena.
 */
int knock_event_read(knock_arena_t *arena, const knock_json_t *root,
    knock_event_t *event, knock_error_t *err);

/* notes that strings of the event are KNOCK_JSON_REPLACED, if some are */
void knock_event_note_replaced(knock_event_t *event);

/* a note's code, as a log entry has it */
const char *knock_event_note(knock_event_note_e note);

/*
 * An id: a string or an integer (its digits as written), 1 to KNOCK_MAX_ID
 * bytes without control characters (bytes below 0x20, 0x7f, U+0080-U+009F).
 * KNOCK_OK; KNOCK_DECLINED: it is none; KNOCK_ERROR: no memory.
 */
int knock_event_id(knock_arena_t *arena, const knock_json_t *v,
    knock_str_t *id);

/*
 * 1 if `key` is "track/" and a name of 1 to KNOCK_MAX_EVENT_NAME bytes, or one
 * of the other five types as they are written here; else 0
 */
int knock_event_key_valid(const knock_str_t *key);


#endif /* KNOCK_EVENT_H */
