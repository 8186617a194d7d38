/* SPDX-License-Identifier: MIT
 *
 * send: the source side of a migration. One session object per attempt; a vm has at most one session of either kind at a time.
 *
 * With the capability background-snapshot the machine does not leave: it stops for a moment and resumes, and its state at that
 * moment is sent. The session then ends as completed, with the source as owner.
 *
 * After the end exactly one side can run the guest, and gw_send_owner says which, as far as this side can know. When the
 * session failed or was cancelled while the source still owned the guest, the guest runs again (if it ran before).
 *
 * A postcopy migration whose connection is lost after the destination said that the machine runs there ends with status
 * postcopy-paused and owner destination. The machine here must then neither run nor change, because its memory has the pages
 * that the destination lacks: a new session with `resume` sends them; this can be repeated as often as needed. If the session
 * ended as undecided, the destination may be waiting as well: `resume` works then, too, and that session ends as undecided
 * again unless the destination acknowledges.
 *
 * Threads: gw_send_start returns at once; a thread of the session does the work. All functions marked (any) may be
 * called from any thread until gw_send_free.
 */
#ifndef GODWIT_SEND_H
#define GODWIT_SEND_H

#include "godwit/channel.h"
#include "godwit/events.h"
#include "godwit/options.h"
#include "godwit/stats.h"
#include "godwit/version.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_send;

enum gw_send_disks {
    GW_SEND_DISKS_AS_SET, /* as the capability block and the parameter block-incremental say */
    GW_SEND_DISKS_ALL,    /* all of their contents */
    GW_SEND_DISKS_TOP,    /* only what is in their top layers: the destination has the layers below */
};

struct gw_send_config {
    const char *uri;                 /* the destination's address; or */
    struct gw_channel *take_channel; /* an open channel, which the session then owns, also on failure */
    const char *peer;                /* profile: "7.2", "9.0", "10.0", "godwit"; NULL: godwit */
    uint64_t progress_timeout_ns;    /* fail when no byte moved for this long; 0: 30 s; UINT64_MAX: never */
    gw_event_fn on_event;            /* may be NULL */
    void *opaque;
    /* Capabilities and parameters for this and later sessions of the vm: if the session starts, all of them replace those of
     * gw_vm_options; if it does not start, none does. Read during the call. NULL: unchanged. */
    const struct gw_options *options;
    /* Resumes a postcopy migration whose connection was lost: the machine runs at the destination, which waits for its source
     * (QEMU: postcopy-paused, migrate-recover). Only the pages that it lacks are sent. The machine here must be the one that
     * was sent, and must not have run since; another process may have opened it. Needs postcopy-ram. */
    bool resume;
    /* Starts postcopy at once: only what must precede the switch-over is sent before it. Needs postcopy-ram. */
    bool postcopy;
    /* Disk contents, for this session only; not together with the capability block or the parameter block-incremental. */
    enum gw_send_disks disks;
};

/* Errors returned at once: -EBUSY (a session runs, or there are blockers: the text has the reasons), -EALREADY (the machine is
 * not here any more: gw_vm_place), -EINVAL, -ENOTSUP. A failure to connect is reported later, as status failed. */
GW_API int gw_send_start_sized(struct gw_vm *vm, const struct gw_send_config *config, size_t config_bytes,
                               struct gw_send **ret_send, struct gw_error *err);
static inline int gw_send_start(struct gw_vm *vm, const struct gw_send_config *config, struct gw_send **ret_send,
                                struct gw_error *err)
{
    return gw_send_start_sized(vm, config, sizeof *config, ret_send, err);
}
/* Waits for the end: 0 completed, -ECANCELED cancelled, else the failure. (any) */
GW_API int gw_send_wait(struct gw_send *s, struct gw_error *err);
/* For an event loop: a descriptor that is readable once the session has ended; gw_send_wait then returns at once. It belongs to
 * the session: do not read from it or close it. -EMFILE and the like. (any) */
GW_API int gw_send_fd(struct gw_send *s, struct gw_error *err);
/* Cancels within a second, in every state before the switch-over is decided. -EALREADY: it is too late. (any) */
GW_API int gw_send_cancel(struct gw_send *s, struct gw_error *err);
/* Continues from pre-switchover. (any) */
GW_API int gw_send_continue(struct gw_send *s, struct gw_error *err);
/* Switches to postcopy: the machine starts at the destination as soon as possible, before all of its pages have arrived. The
 * rest follows, with the pages that it waits for first. Needs the capability postcopy-ram on both sides. Once the machine runs
 * there the migration cannot be cancelled. -EINVAL: the capability is off, or it is too late. (any) */
GW_API int gw_send_start_postcopy(struct gw_send *s, struct gw_error *err);
/* Pauses a postcopy migration so that it can be resumed over another connection: the session ends as if the connection had been
 * lost. -EINVAL: the machine does not run at the destination yet, or the session has ended. (any) */
GW_API int gw_send_pause(struct gw_send *s, struct gw_error *err);
/* Shuts down all channels at once, as if the network had failed. (any) M7 */
GW_API void gw_send_yank(struct gw_send *s);
GW_API enum gw_status gw_send_status(struct gw_send *s);                    /* (any) */
GW_API enum gw_owner gw_send_owner(struct gw_send *s);                      /* (any) */
/* After the session completed: true if the destination has confirmed that it has the machine, or if it is all in a file on
 * stable storage. false: there was no way to confirm it (a pipe, a command, no return path); all that is known is that all
 * bytes were accepted. (any) */
GW_API bool gw_send_confirmed(struct gw_send *s);
/* Fills at most stats_bytes, the size that the program knows. (any) */
GW_API void gw_send_stats_sized(struct gw_send *s, struct gw_stats *ret_stats, size_t stats_bytes);
static inline void gw_send_stats(struct gw_send *s, struct gw_stats *ret_stats)
{
    gw_send_stats_sized(s, ret_stats, sizeof *ret_stats);
}
/* Cancels a running session and waits for its end. Takes NULL, returns NULL. */
GW_API struct gw_send *gw_send_free(struct gw_send *s);

#ifdef __cplusplus
}
#endif
#endif
