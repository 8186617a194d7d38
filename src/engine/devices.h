/* SPDX-License-Identifier: MIT
 *
 * devices: what a session wants of a machine's devices, whichever kind of machine it is.
 *
 *     gw_devices_registry   devices that are registered here: each is encoded and decoded (state/registry.h)
   gw_devices_image      a machine that stands for an image (image_vm.h): sections are kept and sent as they are
 *
 * A vm has one of them from its making on (vm->devices); sessions ask no further.
 *
 *     source        put(FIRST) START.. put(EARLY) PART.. put(PARTS) put(ENDS) END.. put(LATE) EOF, describe
 *     destination   begin, then get for each FULL, until EOF or until it says that it has read that too, then complete
 *                   begin .. forget   when the source goes before anything that counts was changed
 *                   settle            at the end
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_DEVICES_H
#define GW_ENGINE_DEVICES_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "state/registry.h"
#include "wire/section.h"

struct gw_vm;
struct gw_wire_head;
struct gw_image_progress;

enum gw_devices_place {
    GW_DEVICES_FIRST, /* before the START of the RAM */
    GW_DEVICES_EARLY, /* behind it, before its contents */
    GW_DEVICES_PARTS, /* behind its last PART: live sections that are carried as bytes, */
    GW_DEVICES_ENDS,  /* and when the machine stands, before any END */
    GW_DEVICES_LATE,  /* behind them */
};

struct gw_devices_get {
    struct gw_reader *reader;     /* stands on the type byte of a FULL section */
    bool early;                   /* in the set-up */
    bool packaged;                /* in a package, all of which the reader has: all sections up to the next command */
    struct gw_channel *channel;   /* whose patience is put back by the caller; NULL: there is none */
    uint64_t description_wait_ns; /* and how much it has where a description may never come */
    uint64_t timeout_ns;          /* and how much it has else; 0: for ever */
    /* A section of this number: -EPROTO when it is taken. NULL: nobody counts. */
    int (*bind)(void *opaque, const struct gw_section_head *head, uint64_t at, struct gw_error *err);
    /* The number of the live section of this name; false: it has not come yet. */
    bool (*section)(void *opaque, const char *name, uint32_t *ret_id);
    void *opaque;
    /* filled, also on failure: */
    bool touched; /* the machine is no longer what it was */
    bool ended;   /* EOF and the description were read too */
};

struct gw_devices_ops {
    /* ---- source ---- */
    /* The sections of this place. desc gets what is described while it is put. */
    int (*put)(struct gw_vm *vm, enum gw_devices_place place, struct gw_writer *w, struct gw_vmdesc *desc,
               struct gw_error *err);
    /* The description behind EOF; valid as long as desc and the vm are. 0 bytes: there is none. */
    int (*describe)(struct gw_vm *vm, struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes,
                    struct gw_error *err);

    /* ---- destination ---- */
    int (*begin)(struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err);
    int (*get)(struct gw_vm *vm, struct gw_devices_get *g, struct gw_error *err);
    /* NULL where they are not called for. The body of the RAM's START comes next; */
    int (*ram_begins)(struct gw_vm *vm, struct gw_devices_get *g, uint32_t id, struct gw_error *err);
    /* that of an element of a live section that no plug is there for. seen: what came before it. */
    int (*unknown)(struct gw_vm *vm, struct gw_devices_get *g, uint8_t element, const struct gw_section_head *head,
                   const struct gw_image_progress *seen, struct gw_error *err);
    /* NULL where nothing can be missing. All FULL sections have come: -EPROTO names one without which the machine cannot run. */
    int (*complete)(struct gw_vm *vm, struct gw_error *err);
    void (*forget)(struct gw_vm *vm);
    /* The session ends, well or not. */
    void (*settle)(struct gw_vm *vm);
};

extern const struct gw_devices_ops gw_devices_registry, gw_devices_image;

#endif
