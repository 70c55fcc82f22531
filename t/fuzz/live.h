
/* for fuzz targets: the live configuration that events are received under */

#ifndef LIVE_H
#define LIVE_H


#include "knock_live.h"


/* its endpoints' tokens; that of "plain" has all switches off */

#define LIVE_TOKEN  "token"
#define LIVE_PLAIN  "plain"


/*
 * Builds it in the arena: actions with recipients of each form, on the events
 * of examples/.
 */
knock_live_t *live_build(knock_arena_t *arena);


#endif /* LIVE_H */
