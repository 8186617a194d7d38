/* SPDX-License-Identifier: MIT
 *
 * registry_inner: shared by registry.c (registration) and registry_sections.c (saving and loading).
 *
 * The device phase: while a session saves or loads, entries stay valid: adding fails, and removing waits; if a device's
 * own callback removes it, the entry is only marked.
 */
#ifndef GW_STATE_REGISTRY_INNER_H
#define GW_STATE_REGISTRY_INNER_H

#include "state/registry.h"

#include <pthread.h>

struct gw_registry_entry {
    struct gw_registry_entry *next;           /* in the order of saving */
    const struct gw_state *state; /* NULL: old-style callbacks */
    const struct gw_legacy_ops *legacy;
    void *device;
    struct gw_registry_alias *aliases;
    uint64_t order; /* sequence number of the registration */
    uint32_t section_id;
    uint32_t instance;
    uint32_t version;
    int priority;
    bool required; /* a stream without its section is refused */
    bool loaded;  /* it was loaded since load_begin */
    bool removed; /* it was removed during the device phase */
    char id[];
};

struct gw_registry {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct gw_registry_entry *first;
    uint64_t added;
    uint32_t next_section;
    bool busy;      /* device phase: a session saves or loads */
    pthread_t user; /* the session's thread */
};

void gw_registry_phase_begin(struct gw_registry *reg);
void gw_registry_phase_end(struct gw_registry *reg);
/* Looks for the own name first, so that an alias never hides a device. NULL: not found. */
struct gw_registry_entry *gw_registry_find(const struct gw_registry *reg, const char *id, uint32_t instance);

#endif
