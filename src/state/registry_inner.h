/* SPDX-License-Identifier: MIT
 *
 * registry_inner: what registry.c (who is registered) and registry_sections.c (saving and loading them) share.
 *
 * The device phase: while a session saves or loads, entries stay where they are: adding fails, removing waits, or only marks
 * where a device's own callback does it.
 */
#ifndef GW_STATE_REGISTRY_INNER_H
#define GW_STATE_REGISTRY_INNER_H

#include "state/registry.h"

#include <pthread.h>

struct gw_registry_entry {
    struct gw_registry_entry *next;           /* in the order of saving */
    const struct gw_state *state; /* NULL: legacy */
    const struct gw_legacy_ops *legacy;
    void *device;
    struct gw_registry_alias *aliases;
    uint64_t order; /* of registration */
    uint32_t section_id;
    uint32_t instance;
    uint32_t version;
    int priority;
    bool required; /* a stream without it is refused */
    bool loaded;  /* since load_begin */
    bool removed; /* during the device phase */
    char id[];
};

struct gw_registry {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct gw_registry_entry *first;
    uint64_t added;
    uint32_t next_section;
    bool busy;      /* a session saves or loads; entries stay */
    pthread_t user; /* its thread */
};

void gw_registry_phase_begin(struct gw_registry *reg);
void gw_registry_phase_end(struct gw_registry *reg);
/* By its own name first, so that an alias never hides a device. NULL: there is none. */
struct gw_registry_entry *gw_registry_find(const struct gw_registry *reg, const char *id, uint32_t instance);

#endif
