/* SPDX-License-Identifier: MIT
 *
 * recv: the destination side of a migration.
 *
 * A listening session tolerates stray connections: one that is not from a source of this machine (it closes, sends garbage, or
 * is silent for hello_timeout_ns) is dropped with a GW_EVENT_LOG, and the next one is accepted. The session fails
 * only after a source has begun to change the machine's memory or devices. The peer is not trusted: every length is checked
 * before use, and the guest is started only after everything was loaded and checked.
 *
 * Threads: as in send.h.
 */
#ifndef GODWIT_RECV_H
#define GODWIT_RECV_H

#include "godwit/channel.h"
#include "godwit/events.h"
#include "godwit/options.h"
#include "godwit/stats.h"
#include "godwit/version.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_recv;

struct gw_recv_config {
    const char *uri;                 /* where to listen; or */
    struct gw_channel *take_channel; /* an open channel, which the session then owns, also on failure */
    uint64_t hello_timeout_ns;       /* a new connection must send its first bytes within this; 0: 5 s */
    uint64_t progress_timeout_ns;    /* fail when no byte moved for this long; 0: never (the source may pause; tcp still
                                      * detects a host that is gone) */
    uint64_t vmdesc_wait_ns;         /* without a return path: how long to wait for a description after EOF; 0: 1 s */
    bool start_paused;               /* load the machine and leave it stopped, even if it ran at the source */
    gw_event_fn on_event;            /* may be NULL */
    void *opaque;
    /* Capabilities and parameters for this and later sessions of the vm: if the session starts, all of them replace those of
     * gw_vm_options; if it does not start, none does. Read during the call. NULL: unchanged. */
    const struct gw_options *options;
    /* Only for the vm of an image, with a socket address: when the connection is lost after the switch to postcopy, wait for
     * the source at the same address (GW_STATUS_POSTCOPY_PAUSED), until gw_recv_yank. A connection that is not from the source
     * of this machine is dropped. */
    bool await_source;
};

/* Listens before it returns, so gw_recv_address is valid then. The machine must not be running. */
GW_API int gw_recv_start_sized(struct gw_vm *vm, const struct gw_recv_config *config, size_t config_bytes,
                               struct gw_recv **ret_recv, struct gw_error *err);
static inline int gw_recv_start(struct gw_vm *vm, const struct gw_recv_config *config, struct gw_recv **ret_recv,
                                struct gw_error *err)
{
    return gw_recv_start_sized(vm, config, sizeof *config, ret_recv, err);
}
/* Waits for the end: 0 completed (the guest runs, or is ready to run if it was paused at the source), else the failure. (any) */
GW_API int gw_recv_wait(struct gw_recv *r, struct gw_error *err);
/* For an event loop: as gw_send_fd. (any) */
GW_API int gw_recv_fd(struct gw_recv *r, struct gw_error *err);
/* Cancels. -EALREADY: the guest was already started. (any) */
GW_API int gw_recv_cancel(struct gw_recv *r, struct gw_error *err);
/* Shuts down the connection at once. If the guest already runs here and the source does not know it yet (a plain source), the
 * result is sent first, for at most 5 s: otherwise the source would resume its guest. (any) */
GW_API void gw_recv_yank(struct gw_recv *r);
GW_API enum gw_status gw_recv_status(struct gw_recv *r);                    /* (any) */
GW_API enum gw_owner gw_recv_owner(struct gw_recv *r);                      /* (any) */
/* Whether a source has begun to change the machine. After a failed session that changed nothing, another session can be
 * started. (any) */
GW_API bool gw_recv_touched(const struct gw_recv *r);
/* Starts the guest here after a session that ended with GW_OWNER_UNDECIDED: everything was loaded, but the source's last
 * message did not arrive. The operator must first check that the source gave the guest up (gw_send_owner says DESTINATION).
 * -EALREADY, -EINVAL. */
GW_API int gw_recv_claim(struct gw_recv *r, struct gw_error *err);
/* Postcopy, when the machine runs here and the connection was lost (GW_STATUS_POSTCOPY_PAUSED; a vCPU that needs a missing page
 * waits): listens at this address for the source to resume. Listens before it returns; see gw_recv_address. May be repeated. A
 * connection that is not from the source of this machine is dropped. -EINVAL: not paused; -EALREADY: it listens already. (any) */
GW_API int gw_recv_recover(struct gw_recv *r, const char *uri, struct gw_error *err);
/* Postcopy, when the machine runs here: drops the connection as if it had been lost. -EINVAL: no pages are due. (any) */
GW_API int gw_recv_pause(struct gw_recv *r, struct gw_error *err);
/* Fills at most stats_bytes, the size that the program knows. (any) */
GW_API void gw_recv_stats_sized(struct gw_recv *r, struct gw_stats *ret_stats, size_t stats_bytes);
static inline void gw_recv_stats(struct gw_recv *r, struct gw_stats *ret_stats)
{
    gw_recv_stats_sized(r, ret_stats, sizeof *ret_stats);
}
/* How long threads have waited for pages since the machine runs here; also after the end. false: the capability
 * postcopy-blocktime was off at the start, or the vm is that of an image. Fills vcpu[i] for at most max vCPUs; may be NULL if
 * max is 0. (any) */
GW_API bool gw_recv_waits_sized(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, size_t waits_bytes,
                                struct gw_vcpu_waits *ret_vcpu, unsigned max);
static inline bool gw_recv_waits(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, struct gw_vcpu_waits *ret_vcpu, unsigned max)
{
    return gw_recv_waits_sized(r, ret_waits, sizeof *ret_waits, ret_vcpu, max);
}
/* The address that it listens on, as a URI. (any) */
GW_API void gw_recv_address(struct gw_recv *r, char *buf, size_t size);
/* Takes NULL, returns NULL. After a postcopy that failed while the machine ran here (GW_OWNER_DESTINATION), threads may still
 * wait for missing pages: this lets them continue with zero pages for a moment and stops the machine. It must not run again. */
GW_API struct gw_recv *gw_recv_free(struct gw_recv *r);

#ifdef __cplusplus
}
#endif
#endif
