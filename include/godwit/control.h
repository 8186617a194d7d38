/* SPDX-License-Identifier: MIT
 *
 * control: a QMP server that an embedder starts with one call (M3). It translates JSON to the public API and back, nothing
 * more.
 *
 * Built-in commands: qmp_capabilities, query-version, query-name, query-commands, query-status, stop, cont, quit,
 * migrate, migrate-incoming, getfd, closefd, migrate_cancel, migrate-continue, migrate-pause, migrate-set-capabilities,
 * query-migrate-capabilities, migrate-set-parameters, query-migrate-parameters, query-migrate, yank, query-yank,
 * xen-save-devices-state, xen-load-devices-state, announce-self, calc-dirty-rate, query-dirty-rate, set-vcpu-dirty-limit,
 * cancel-vcpu-dirty-limit, query-vcpu-dirty-limit, snapshot-save, snapshot-load, snapshot-delete, query-jobs, job-dismiss
 * (job-cancel: refused, as QEMU refuses it for these jobs), with QEMU's arguments, answers and error classes. The embedder
 * can add others.
 * QEMU's commands for features that this build does not have (COLO, SPICE) are refused with a GenericError that says so.
 *
 * Extensions: `migrate` takes x-godwit-peer (a profile of send.h) and, as migrate-incoming does, x-godwit-timeout-ms;
 * query-migrate has, under the key x-godwit, which side owns the guest, the rounds, and the bytes by cause;
 * x-godwit-query-history is gw_send_history; x-godwit-claim is gw_recv_claim. The argument `live` of xen-save-devices-state
 * has no effect: disks are the embedder's.
 *
 * `cont` of a stopped machine is refused while a migration is under way (QEMU allows it before the switch-over), while the
 * machine waits for an incoming migration (QEMU remembers it until the migration has completed), and after an incoming
 * migration that did not complete. `cont` of a machine that has left takes it back (gw_vm_came_back); if its destination has
 * confirmed that it has the machine (gw_vm_runs_elsewhere), this needs x-godwit-force. Until then `migrate` is refused.
 * migrate-incoming is refused for a machine that has a guest, or that has already received one (see `waits`); it can be
 * repeated after an attempt that changed nothing.
 *
 * While a snapshot job is under way (godwit/vm_snapshot.h), `stop`, `cont` and migrations are refused, and query-status says
 * save-vm or restore-vm. It also says restore-vm after a load that failed halfway; `cont` is then refused. After a load that
 * failed before it changed anything the machine resumes (with QEMU it stays stopped). Such a job may conclude before the
 * answer to its command is sent.
 *
 * JSON is parsed as QEMU parses it: strings may also be in single quotes. `id` is any JSON value and is returned unchanged,
 * numbers with all their digits. Whole numbers from -2^63 to 2^64 - 1 are exact everywhere. Control characters in arguments
 * are refused.
 *
 * Events: STOP, RESUME (of sessions, of snapshots, and of the commands stop and cont), SHUTDOWN (of quit), JOB_STATUS_CHANGE,
 * and with the capability `events` MIGRATION and MIGRATION_PASS. When memory is short, an event may be lost.
 *
 * Hostile clients: any number may connect, 32 are served at a time. A message is limited to 1 MiB and 1024 levels of nesting,
 * as in QEMU; a larger one gets an error, and the next one is answered. A client that does not read its answers is
 * disconnected. Each can pass up to 16 descriptors, and can use no others. Any client that can connect can do everything
 * listed above: the embedder must guard the address.
 *
 * Threads: the server has one thread of its own for all its clients; ops are called on it. The functions here may be
 * called from any thread, but ops, commands and on_event must not call gw_control_free or gw_control_incoming.
 */
#ifndef GODWIT_CONTROL_H
#define GODWIT_CONTROL_H

#include "godwit/recv.h"
#include "godwit/send.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_control;

struct gw_control_ops { /* any may be NULL: then the command is refused */
    size_t bytes; /* GW_SIZED(struct gw_control_ops) */
    /* What query-status returns: "running", "paused", "inmigrate", "postmigrate" (gw_vm_place tells), "prelaunch",
     * "shutdown", ... */
    const char *(*run_state)(void *opaque); /* NULL: "running" */
    int (*stop)(void *opaque, struct gw_error *err); /* QMP stop */
    int (*cont)(void *opaque, struct gw_error *err); /* QMP cont */
    void (*quit)(void *opaque);                      /* QMP quit, after the answer was sent. A request only: see Threads */
};

struct gw_control_config {
    const char *uri; /* unix:PATH or tcp:HOST:PORT */
    const struct gw_control_ops *ops;
    void *opaque;
    gw_event_fn on_event; /* sees every event of the sessions that the control started; may be NULL */
    const char *name;     /* what query-name returns; may be NULL. All texts and ops are copied; opaque is borrowed */
    bool waits;           /* the machine has no guest yet: `migrate-incoming` may fill it (--incoming defer) */
    bool start_paused;    /* as in recv.h, for every incoming machine: `cont` starts it */
    /* progress_timeout_ns of send.h and recv.h for commands without x-godwit-timeout-ms */
    uint64_t send_timeout_ns, recv_timeout_ns;
};

/* The server listens when this returns. -EINVAL (also without a uri), -E2BIG, -ENOMEM, and the errors of gw_listen. */
GW_API int gw_control_start_sized(struct gw_vm *vm, const struct gw_control_config *config, size_t config_bytes,
                                  struct gw_control **ret_control, struct gw_error *err);
static inline int gw_control_start(struct gw_vm *vm, const struct gw_control_config *config,
                                   struct gw_control **ret_control, struct gw_error *err)
{
    return gw_control_start_sized(vm, config, sizeof *config, ret_control, err);
}
/* The address that it listens on, as a URI. */
GW_API void gw_control_address(struct gw_control *c, char *buf, size_t size);
/* Starts an incoming migration as the QMP command would (for a command line's --incoming). The machine must have no guest.
 * Here fd:N is a descriptor of this process; for clients fd:NAME is one that they passed with getfd. */
GW_API int gw_control_incoming(struct gw_control *c, const char *uri, struct gw_error *err);
/* Of the migration that is under way, out or in; false: there is none. Fills the stats_bytes that the program knows. Any thread, but not
 * from ops, commands and on_event. */
GW_API bool gw_control_stats_sized(struct gw_control *c, struct gw_stats *ret_stats, size_t stats_bytes, bool *ret_incoming);
static inline bool gw_control_stats(struct gw_control *c, struct gw_stats *ret_stats, bool *ret_incoming)
{
    return gw_control_stats_sized(c, ret_stats, sizeof *ret_stats, ret_incoming);
}
/* A command of the embedder's: arguments and result are JSON text; *ret_json is malloc'ed by the callback (NULL: {}). */
typedef int (*gw_control_fn)(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err);
GW_API int gw_control_add_command(struct gw_control *c, const char *name, gw_control_fn fn, void *opaque,
                                  struct gw_error *err);
/* An event of the embedder's to all clients; data_json may be NULL. Any thread. */
GW_API void gw_control_emit(struct gw_control *c, const char *event, const char *data_json);
/* Ends sessions that it started. Takes NULL, returns NULL. */
GW_API struct gw_control *gw_control_free(struct gw_control *c);

#ifdef __cplusplus
}
#endif
#endif
