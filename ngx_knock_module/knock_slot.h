
/*
 * The slot of a key in Redis Cluster, as its specification defines it: keys
 * with the same hash tag share one, and with it a node.
 */

#ifndef KNOCK_SLOT_H
#define KNOCK_SLOT_H


#include "knock_str.h"


#define KNOCK_SLOTS  16384


/* from 0 to KNOCK_SLOTS - 1 */
unsigned knock_slot(const knock_str_t *key);


#endif /* KNOCK_SLOT_H */
