/* SPDX-License-Identifier: MIT
 *
 * devices: what a session needs of a machine's devices. Each kind of machine implements it.
 *
 *     gw_devices_registry   devices that are registered here: each is encoded and decoded (state/registry.h)
   gw_devices_image      the machine of an image (image_vm.h): sections are kept and sent as they are
 *
 * A vm gets one of them when it is created (vm->devices); sessions use nothing else.
 *
 *     source        put(FIRST) START.. put(EARLY) PART.. put(PARTS) put(ENDS) END.. put(LATE) EOF, describe
 *     destination   begin, then get for each FULL, until EOF or until get reports that it has read EOF itself, then complete
 *                   begin .. forget   when the source disconnects before the machine was changed
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
    GW_DEVICES_EARLY, /* behind the RAM's START, before its contents */
    GW_DEVICES_PARTS, /* behind the last PART of the RAM: live sections that are carried as bytes, */
    GW_DEVICES_ENDS,  /* and the same when the machine has stopped, before any END */
    GW_DEVICES_LATE,  /* behind all ENDs */
};

struct gw_devices_get {
    struct gw_reader *reader;     /* its next byte is the type byte of a FULL section */
    bool early;                   /* the section belongs to the set-up */
    bool packaged;                /* the reader holds a whole package: read all sections up to the next command */
    struct gw_channel *channel;   /* get may change its time-out; the caller restores it. NULL: there is no channel */
    uint64_t description_wait_ns; /* time-out for a description that may never come */
    uint64_t timeout_ns;          /* time-out for everything else; 0: none */
    /* Takes this section number: -EPROTO when it is in use. NULL: numbers are not checked. */
    int (*bind)(void *opaque, const struct gw_section_head *head, uint64_t at, struct gw_error *err);
    /* The number of the live section of this name; false: its START has not come yet. */
    bool (*section)(void *opaque, const char *name, uint32_t *ret_id);
    void *opaque;
    /* set by get, also on failure: */
    bool touched; /* the state of the machine was changed */
    bool ended;   /* EOF and the description were read too */
};

struct gw_devices_ops {
    /* ---- source ---- */
    /* Writes the sections of this place. desc gets the description of what is written. */
    int (*put)(struct gw_vm *vm, enum gw_devices_place place, struct gw_writer *w, struct gw_vmdesc *desc,
               struct gw_error *err);
    /* The description that follows EOF; valid as long as desc and the vm are. 0 bytes: there is none. */
    int (*describe)(struct gw_vm *vm, struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes,
                    struct gw_error *err);

    /* ---- destination ---- */
    int (*begin)(struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err);
    int (*get)(struct gw_vm *vm, struct gw_devices_get *g, struct gw_error *err);
    /* These two are NULL where they are not needed. ram_begins: the body of the RAM's START comes next. */
    int (*ram_begins)(struct gw_vm *vm, struct gw_devices_get *g, uint32_t id, struct gw_error *err);
    /* The body of an element of a live section that this program does not know comes next. seen: the elements before
     * it. */
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
