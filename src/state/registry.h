/* SPDX-License-Identifier: MIT
 *
 * registry: the devices of one machine, in the order in which they are saved. The interface for the engine; state.h has
 * that for embedders.
 */
#ifndef GW_REGISTRY_H
#define GW_REGISTRY_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "godwit/state.h"

struct gw_vmdesc;

int gw_registry_new(struct gw_registry **ret_registry, struct gw_error *err);
struct gw_registry *gw_registry_free(struct gw_registry *reg);

/* A section id that no device has, for a live section. */
uint32_t gw_registry_take_id(struct gw_registry *reg);

/* -EBUSY with the name of the first device that cannot be migrated. */
int gw_registry_migratable(const struct gw_registry *reg, struct gw_error *err);

/* Writes the FULL sections of all devices that are needed, in order: the `early` ones, or all others. footers: writes
 * footers. desc: gets the description of each; may be NULL. */
int gw_registry_save(struct gw_registry *reg, bool early, bool footers, struct gw_writer *w, struct gw_vmdesc *desc,
                     struct gw_error *err);

/* Whether a section of this id and instance can be loaded, by its own name or an alias. */
bool gw_registry_knows(const struct gw_registry *reg, const char *id, uint32_t instance);
/* Whether the device has a description, so that a failed load changes nothing. */
bool gw_registry_described(const struct gw_registry *reg, const char *id, uint32_t instance);

/* load: reads the body of one FULL section (without head and footer). -ENOENT: no device has this id and instance. A
 * device that occurs twice in one stream is refused: gw_registry_load_begin clears the record of loaded devices. */
void gw_registry_load_begin(struct gw_registry *reg);
/* All has been loaded: -EPROTO with the first device that is required and did not come. */
int gw_registry_load_end(struct gw_registry *reg, struct gw_error *err);
int gw_registry_load(struct gw_registry *reg, const char *id, uint32_t instance, uint32_t version, struct gw_reader *r,
                     struct gw_error *err);

/* A registered device, as gw_registry_each passes it. */
struct gw_registry_alias {
    struct gw_registry_alias *next;
    uint32_t instance;
    char id[];
};
struct gw_registered {
    const char *id;
    uint32_t instance, version, section_id;
    const struct gw_state *state; /* NULL: old-style callbacks */
    void *device;
    const struct gw_registry_alias *aliases;
};
/* Calls fn for each device in the order of saving, under the registry's lock: fn must not call the registry. A negative
 * return ends the loop and is returned. */
int gw_registry_each(const struct gw_registry *reg, int (*fn)(void *opaque, const struct gw_registered *device),
                     void *opaque);

/* The JSON description (S6) of the devices that were saved. */
int gw_vmdesc_new(uint32_t page_bytes, struct gw_vmdesc **ret_desc, struct gw_error *err);
/* Adds the "configuration" object at the beginning, as peers from 9.0 on do (7.2 has none). Call it before the first
 * device is saved; later it does nothing. capabilities: those in the configuration section, NULL-terminated, or NULL;
 * uuid: 16 bytes or NULL. */
void gw_vmdesc_configuration(struct gw_vmdesc *desc, const char *machine, const char *const *capabilities,
                             const uint8_t *uuid);
/* The text without a NUL at the end; valid until free. */
int gw_vmdesc_finish(struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes, struct gw_error *err);
struct gw_vmdesc *gw_vmdesc_free(struct gw_vmdesc *desc);

#endif
