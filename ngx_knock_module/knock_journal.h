
/*
 * A journal: what a worker has to write of the events of one endpoint that
 * have been applied, gathered until it is written by one transaction, with the
 * Redis function knock_record.  It has the entries of the event log, in blocks of
 * several, and for each event key how many events came, for the catalogue.
 *
 * A block is the text of its entries, the oldest first.  An entry is three
 * netstrings: the event's status, how it was kept (one of KNOCK_KEPT_*) and
 * the verdicts on its actions; the document of knock_log_build(); and the
 * event as it came.
 */

#ifndef KNOCK_JOURNAL_H
#define KNOCK_JOURNAL_H


#include "knock_buf.h"
#include "knock_map.h"
#include "knock_strs.h"
#include "knock_unit.h"


#define KNOCK_KEPT_WHOLE  'w'
#define KNOCK_KEPT_CUT    'c'       /* to knock_event_log_body bytes */

/* a block ends behind the entry that brings it to either of these */
#define KNOCK_BLOCK_ENTRIES  64
#define KNOCK_BLOCK_BYTES    (64 * 1024)

/* the document of an entry whose own one is larger names no action */
#define KNOCK_MAX_LOG_DOC    (256 * 1024)


/* whose events they are, and the Redis keys of what is written of them */

typedef struct {
    knock_str_t  source;
    knock_str_t  endpoints;         /* where the endpoint stands, while it does */
    knock_str_t  log;
    knock_str_t  log_sizes;
    knock_str_t  catalogue;
    knock_str_t  catalogue_info;
} knock_journal_keys_t;


typedef struct {
    knock_str_t     key;            /* event key */
    knock_str_t     text;           /* the event as it came */
    knock_str_t     doc;            /* len 0: it is only counted */
    knock_str_t     verdicts;
    knock_status_e  status;
    uint64_t        now;            /* ms since 1970, when it was received */
    unsigned        sampled:1;      /* the text is wanted as a sample */
} knock_record_t;


typedef struct {
    size_t  body;                   /* bytes of an event that an entry holds */
    size_t  log_length;             /* entries that Redis keeps */
    size_t  log_bytes;              /* and their bytes */
    size_t  catalogue_length;       /* event keys that Redis keeps */
} knock_journal_conf_t;


typedef struct {
    knock_arena_t  *arena;
    knock_buf_t     block;          /* that is being filled */
    size_t          nblock;         /* its entries */
    knock_strs_t    blocks;         /* number of entries and text of each */
    knock_map_t    *counts;         /* event key -> its count */
    struct knock_count_s  *first;   /* counts, the last one first */
    size_t          ncounts;
    size_t          entries;        /* of all blocks */
    size_t          events;
    size_t          bytes;          /* that have been added, about */
} knock_journal_t;


/* empties a journal, and its arena; KNOCK_OK, or KNOCK_ERROR: no memory */
int knock_journal_init(knock_journal_t *journal, knock_arena_t *arena);

/*
 * Adds an event, which is copied.  KNOCK_OK, or KNOCK_ERROR: no memory, and
 * the journal is good for nothing but to be emptied.
 */
int knock_journal_add(knock_journal_t *journal,
    const knock_journal_conf_t *conf, const knock_record_t *record);

/* what is sent: as many commands, and the arguments of each */

typedef struct {
    size_t        *argc;
    size_t         n;
    knock_strs_t   args;
} knock_journal_commands_t;


/*
 * The commands that write all of it, in the journal's arena: the FCALL alone,
 * or with blocks a transaction, in which each is added to the log before the
 * FCALL is told of it.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_journal_command(knock_journal_t *journal,
    const knock_journal_conf_t *conf, const knock_journal_keys_t *keys,
    knock_journal_commands_t *commands);

/*
 * Reads the entry of a block at *at, and moves *at behind it.  KNOCK_OK; or
 * KNOCK_DECLINED: there is none, or what stands there is no entry.  The slices
 * point into the block.
 */
int knock_journal_entry(const knock_str_t *block, size_t *at,
    knock_str_t *status, knock_str_t *doc, knock_str_t *text);


#endif /* KNOCK_JOURNAL_H */
