
/*
 * An entry of the event log as the control API gives it, composed from what
 * Redis holds of it: the document of knock_log_build(), the event's status and
 * the verdicts of knock_apply on its actors and recipients.
 */

#ifndef KNOCK_LOG_ENTRY_H
#define KNOCK_LOG_ENTRY_H


#include "knock_buf.h"
#include "knock_error.h"


/*
 * Appends one entry, behind a comma where the text ends with another's brace:
 *
 *   {"id","event","message_id","received_at","status","reason","notes":[],
 *    "actions":[{"action","workflow","status","error","recipients","actor",
 *                "tenant","cancellation_key","runs",
 *                "skipped":[{"recipient","reason"}]}]}
 *
 * `id`, `status` (one knock_status_e), `verdict` and `doc` are the stream
 * entry's id and its fields s, v and d.
 *
 * "status" is "processed", "ignored", "duplicate" or "failed"; "reason" is the
 * document's, of an event too large "user_too_large", of one whose actions all
 * failed the first one's error, of a duplicate null.  "notes" holds the codes
 * of what was put right in the event, knock_event_note().  An action's "status"
 * is "processed", "failed" (then "error" says why), "duplicate", or "skipped"
 * where its event fell.  "skipped" holds who was to have a run and got none
 * ("recipient_not_identified", "user_too_large"), then the elements that the
 * worker left out, with their reasons; only an event that was processed has
 * the former, and runs.  An actor that is not identified adds
 * "actor_identified":false to the action.
 *
 * KNOCK_OK; KNOCK_DECLINED if what is stored does not make an entry: the text
 * is as before then; KNOCK_ERROR: no memory.  Temporary memory is taken from
 * the arena.
 */
int knock_log_entry(knock_arena_t *arena, knock_buf_t *buf,
    const knock_str_t *id, const knock_str_t *status,
    const knock_str_t *verdict, const knock_str_t *doc, knock_error_t *err);


#endif /* KNOCK_LOG_ENTRY_H */
