/* SPDX-License-Identifier: MIT
 *
 * send: a machine leaves. One session object per attempt; a vm has at most one session of either kind at a time.
 *
 * With the capability background-snapshot it does not: the machine stops for a moment, runs on, and what is sent is what it was
 * at that moment. The session is completed then, and the owner the source.
 *
 * After the end exactly one side can run the guest, and gw_send_owner says which as far as this side can know. When the
 * session failed or was cancelled while the source still owned the guest, the guest runs again (if it ran before).
 *
 * A migration by postcopy whose connection is lost after the destination said that the machine runs there ends too, with the status
 * postcopy-paused and the owner destination. The machine here must not run or change, for its memory is what the other side
 * lacks: a new session with `resume` sends that, as often as it takes. Where the session ended as undecided, the destination may
 * be waiting all the same, and the same goes on with it; that one ends as undecided again until the destination has acknowledged.
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
    const char *uri;                 /* where to; or */
    struct gw_channel *take_channel; /* an open channel: the session's from now on, whatever happens */
    const char *peer;                /* profile: "7.2", "9.0", "10.0", "godwit"; NULL: godwit */
    uint64_t progress_timeout_ns;    /* fail when the peer moved nothing for so long; 0: 30 s; UINT64_MAX: never */
    gw_event_fn on_event;            /* may be NULL */
    void *opaque;
    /* Capabilities and parameters of this and later sessions of the vm: all of them take the place of those of
     * gw_vm_options when the session starts; none does when it cannot. Read during the call. NULL: they stay. */
    const struct gw_options *options;
    /* The machine runs at the destination since an earlier migration by postcopy whose connection was lost, and waits there to be
     * resumed (QEMU: postcopy-paused, migrate-recover): only the pages that it lacks are sent. The machine here must be the one
     * that was sent, and have stood still since; it may be another process that has it. Needs postcopy-ram. */
    bool resume;
    /* As gw_send_start_postcopy before the first byte: nothing but what has to goes before the machine does. Needs postcopy-ram. */
    bool postcopy;
    /* Contents of disks in this session alone; not beside the capability block or the parameter block-incremental. */
    enum gw_send_disks disks;
};

/* Refused at once with -EBUSY (a session runs, blockers; the text has the reasons), -EALREADY (the machine is not here
 * any more: gw_vm_place), -EINVAL, -ENOTSUP. Failures to connect come later as status failed. */
GW_API int gw_send_start_sized(struct gw_vm *vm, const struct gw_send_config *config, size_t config_bytes,
                               struct gw_send **ret_send, struct gw_error *err);
static inline int gw_send_start(struct gw_vm *vm, const struct gw_send_config *config, struct gw_send **ret_send,
                                struct gw_error *err)
{
    return gw_send_start_sized(vm, config, sizeof *config, ret_send, err);
}
/* Waits for the end: 0 completed, -ECANCELED cancelled, else the failure. (any) */
GW_API int gw_send_wait(struct gw_send *s, struct gw_error *err);
/* For an event loop: a descriptor that is readable once the session has ended, when gw_send_wait returns at once. The
 * session's: it is not read from or closed. -EMFILE and the like. (any) */
GW_API int gw_send_fd(struct gw_send *s, struct gw_error *err);
/* Ends within a second in every state before the switch-over is decided; afterwards it is too late and -EALREADY. (any) */
GW_API int gw_send_cancel(struct gw_send *s, struct gw_error *err);
/* Goes on from pre-switchover. (any) */
GW_API int gw_send_continue(struct gw_send *s, struct gw_error *err);
/* The machine runs at the destination as soon as it can, before all of its pages have come: those follow, and the ones
 * that it waits for come first. Needs the capability postcopy-ram on both sides. Once it runs there the migration cannot be
 * cancelled. -EINVAL: the capability is off, or it is too late. (any) */
GW_API int gw_send_start_postcopy(struct gw_send *s, struct gw_error *err);
/* Breaks the connection of a migration by postcopy, to be resumed over another one: it ends as if that had been lost. While one is
 * being resumed, that attempt ends. -EINVAL: the machine does not run at the destination yet, or the session has ended. (any) */
GW_API int gw_send_pause(struct gw_send *s, struct gw_error *err);
/* Tears all channels down as if the network had died. (any) M7 */
GW_API void gw_send_yank(struct gw_send *s);
GW_API enum gw_status gw_send_status(struct gw_send *s);                    /* (any) */
GW_API enum gw_owner gw_send_owner(struct gw_send *s);                      /* (any) */
/* After a good end: the destination has said that it has the machine, or all of it is in a file and on stable storage.
 * false: nobody could be asked (one direction, a command, no return path), so the one thing that is known is that it was
 * taken. (any) */
GW_API bool gw_send_confirmed(struct gw_send *s);
/* Fills the stats_bytes that the program knows. (any) */
GW_API void gw_send_stats_sized(struct gw_send *s, struct gw_stats *ret_stats, size_t stats_bytes);
static inline void gw_send_stats(struct gw_send *s, struct gw_stats *ret_stats)
{
    gw_send_stats_sized(s, ret_stats, sizeof *ret_stats);
}
/* Cancels what still runs and waits for it. Takes NULL, returns NULL. */
GW_API struct gw_send *gw_send_free(struct gw_send *s);

#ifdef __cplusplus
}
#endif
#endif
