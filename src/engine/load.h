/* SPDX-License-Identifier: MIT
 *
 * load: reads the elements of the stream: load.c (one after the other, up to the end), load_sections.c (the live
 * sections), load_commands.c (commands and their answers). recv.h has what the rest of the session calls.
 *
 * Threads: the one that reads the main stream.
 */
#ifndef GW_ENGINE_LOAD_H
#define GW_ENGINE_LOAD_H

#include "engine/recv.h"

/* A START, PART or END, behind its type byte. at: the byte of the stream where the element begins. */
int gw_load_start(struct gw_recv *r, uint64_t at, struct gw_error *err);
int gw_load_part(struct gw_recv *r, enum gw_section_kind kind, uint64_t at, struct gw_error *err);
/* The argument for devices.h: the devices of this machine read the stream themselves. */
struct gw_devices_get gw_load_devices(struct gw_recv *r);
/* The source's capabilities are known, so it can be told why the migration fails. Fails if the page channels do not
 * fit. */
int gw_load_heard(struct gw_recv *r, struct gw_error *err);

#endif
