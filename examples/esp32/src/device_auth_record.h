/*
 * What survives a power loss, kept in two slots that are written in turn. Each copy has a number that grows and a checksum: the
 * newest whole one counts. A write that never ended leaves the one before it, so there is always one of the two to go on from.
 */
#ifndef DEVICE_AUTH_RECORD_H
#define DEVICE_AUTH_RECORD_H

#include "device_auth.h"

typedef enum { DEVICE_AUTH_LOADED, DEVICE_AUTH_EMPTY, DEVICE_AUTH_UNREADABLE } device_auth_loaded;

/*
 * DEVICE_AUTH_EMPTY: nothing whole is there. DEVICE_AUTH_UNREADABLE: that could not be found out; never write then. With `settles` one
 * slot that can be read is enough. `scratch` has DEVICE_AUTH_RECORD_SIZE bytes and is wiped.
 */
device_auth_loaded device_auth_load_record(const device_auth_hooks *hooks, bool settles, uint8_t *scratch, device_auth_record *record);

/* Numbers the record and writes it where the older one is. 0 when it is kept; else the one before it is, and the number is unchanged. */
int device_auth_store_record(const device_auth_hooks *hooks, uint8_t *scratch, device_auth_record *record);

#endif
