/* SPDX-License-Identifier: MIT
 *
 * recv: a machine arrives.
 *
 * A listening session survives strangers: a connection that is not a source of this machine (closes, sends garbage,
 * stays silent for hello_timeout_ns) is dropped with a GW_EVENT_LOG, and the next one gets its turn. The session fails
 * only when a source had begun to change the machine's memory or devices. The peer is hostile until proven otherwise:
 * every length is checked before use, and the guest is started only after everything was loaded and checked.
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
    struct gw_channel *take_channel; /* an open channel: the session's from now on, whatever happens */
    uint64_t hello_timeout_ns;       /* a new connection must send its head within this; 0: 5 s */
    uint64_t progress_timeout_ns;    /* the source moved nothing for so long; 0: never (it may pause; tcp notices a host
                                      * that is gone all the same) */
    uint64_t vmdesc_wait_ns;         /* how long to wait for a description after EOF without return path; 0: 1 s */
    bool start_paused;               /* load, but leave the start to the embedder, whatever the source says */
    gw_event_fn on_event;            /* may be NULL */
    void *opaque;
    /* Capabilities and parameters of this and later sessions of the vm: all of them take the place of those of
     * gw_vm_options when the session starts; none does when it cannot. Read during the call. NULL: they stay. */
    const struct gw_options *options;
    /* Of a machine that stands for an image, at a socket: after the switch to postcopy a source whose connection is
     * lost is waited for again at the same address (GW_STATUS_POSTCOPY_PAUSED), until gw_recv_yank. A connection that
     * is no source of this machine is dropped. */
    bool await_source;
};

/* Listens before it returns, so that gw_recv_address is right. The machine must not be running. */
GW_API int gw_recv_start_sized(struct gw_vm *vm, const struct gw_recv_config *config, size_t config_bytes,
                               struct gw_recv **ret_recv, struct gw_error *err);
static inline int gw_recv_start(struct gw_vm *vm, const struct gw_recv_config *config, struct gw_recv **ret_recv,
                                struct gw_error *err)
{
    return gw_recv_start_sized(vm, config, sizeof *config, ret_recv, err);
}
/* Waits for the end: 0 completed (the guest runs, or is ready to where the source was paused), else the failure. (any) */
GW_API int gw_recv_wait(struct gw_recv *r, struct gw_error *err);
/* For an event loop: as gw_send_fd. (any) */
GW_API int gw_recv_fd(struct gw_recv *r, struct gw_error *err);
/* -EALREADY once the guest was started. (any) */
GW_API int gw_recv_cancel(struct gw_recv *r, struct gw_error *err);
/* Tears the connection down. Once the machine of a plain source runs here, the source is sent the result first, for 5 s at
 * most: it would run its machine on when the connection just ended. (any) */
GW_API void gw_recv_yank(struct gw_recv *r);
GW_API enum gw_status gw_recv_status(struct gw_recv *r);                    /* (any) */
GW_API enum gw_owner gw_recv_owner(struct gw_recv *r);                      /* (any) */
/* Whether a source has begun to change the machine. After a failed session that changed nothing it waits as it did
 * before. (any) */
GW_API bool gw_recv_touched(const struct gw_recv *r);
/* After an end with GW_OWNER_UNDECIDED: everything was loaded but the source's last message did not come. The operator, who
 * has asked the source (gw_send_owner says DESTINATION), takes the guest: it runs here. -EALREADY, -EINVAL. */
GW_API int gw_recv_claim(struct gw_recv *r, struct gw_error *err);
/* Postcopy, of a machine that runs here and whose connection was lost (GW_STATUS_POSTCOPY_PAUSED; it stands at the
 * next page that it lacks): its source can go on at this address. Listens before it returns, as gw_recv_address
 * tells. Any number of times. A source that cannot be understood there is dropped. -EINVAL: it is not paused;
 * -EALREADY: it listens already. (any) */
GW_API int gw_recv_recover(struct gw_recv *r, const char *uri, struct gw_error *err);
/* Postcopy, of a machine that runs here: gives the connection up, as if it had been lost. -EINVAL: no pages follow. (any) */
GW_API int gw_recv_pause(struct gw_recv *r, struct gw_error *err);
/* Fills the stats_bytes that the program knows. (any) */
GW_API void gw_recv_stats_sized(struct gw_recv *r, struct gw_stats *ret_stats, size_t stats_bytes);
static inline void gw_recv_stats(struct gw_recv *r, struct gw_stats *ret_stats)
{
    gw_recv_stats_sized(r, ret_stats, sizeof *ret_stats);
}
/* The address that it listens on, as a URI. (any) */
/* How long threads waited for pages since the machine runs here, also after the end. false: the capability postcopy-blocktime was
 * off at the start, or it is a machine at rest. vcpu[i]: vCPU i, of at most max; NULL for 0. (any) */
GW_API bool gw_recv_waits_sized(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, size_t waits_bytes,
                                struct gw_vcpu_waits *ret_vcpu, unsigned max);
static inline bool gw_recv_waits(struct gw_recv *r, struct gw_postcopy_waits *ret_waits, struct gw_vcpu_waits *ret_vcpu, unsigned max)
{
    return gw_recv_waits_sized(r, ret_waits, sizeof *ret_waits, ret_vcpu, max);
}
GW_API void gw_recv_address(struct gw_recv *r, char *buf, size_t size);
/* Takes NULL, returns NULL. Postcopy, of a machine that lost its source (it failed, and GW_OWNER_DESTINATION owned
 * it): until now its threads stood where they waited for a page. They go on with zeros for a moment, and the machine
 * is stopped: it must not run any more. */
GW_API struct gw_recv *gw_recv_free(struct gw_recv *r);

#ifdef __cplusplus
}
#endif
#endif
