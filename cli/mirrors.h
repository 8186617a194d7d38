/* SPDX-License-Identifier: MIT
 *
 * mirrors: the disks of a QEMU are copied to another QEMU while the machine runs. The source's own jobs (blockdev-mirror) write them
 * into exports of an NBD server at the destination.
 *
 *     new --> step ... step (all are ready) --> [machine is migrated] --> hand_over (machine stands still) --> free
 *
 * - After hand_over both sides have the same bytes, the source writes to its own disks alone again, and nobody but the destination
 *   has its disks: its devices could not start beside a writer.
 * - free undoes whatever is still there, at any point, and is silent about what is gone with its QEMU.
 * - Nothing is kept in use at either side after free: jobs, nodes, exports and the server are removed. A server that was there before
 *   is refused by new and left alone.
 *
 * Threads: one. Errors: -EINTR where the monitors' own callback interrupted; else text that names the disk.
 */
#ifndef GODWIT_CLI_MIRRORS_H
#define GODWIT_CLI_MIRRORS_H

#include "qmp_client.h"

struct gw_mirrors_config {
    struct gw_qmp *source, *destination;
    const struct gw_uri *nbd; /* where the destination's server listens: tcp or unix */
    bool top; /* only what the top image of each disk has: the destination has its backings */
};

struct gw_mirrors_figures {
    double total_bytes, left_bytes;
    bool ready; /* all disks are copied, and follow what is written */
    bool slow;  /* a disk was sent three times over and is not ready: the guest writes it as fast as it is sent */
};

struct gw_mirrors;

/* Finds the disks that can be written and begins to copy them. They are the same at both sides by the name of the drive, else of
 * the device, else of the node. *ret_mirrors is set on failure too, once there is something to undo. */
int gw_mirrors_new(const struct gw_mirrors_config *config, struct gw_mirrors **ret_mirrors, struct gw_error *err);
/* Looks how far they are, and shares bandwidth (bytes per second, 0: no limit) among them. To be called some times a second. */
int gw_mirrors_step(struct gw_mirrors *m, uint64_t bandwidth, struct gw_mirrors_figures *ret_figures, struct gw_error *err);
/* The machine stands still. */
int gw_mirrors_hand_over(struct gw_mirrors *m, struct gw_error *err);
/* Returns NULL. What could not be undone is in err. */
struct gw_mirrors *gw_mirrors_free(struct gw_mirrors *m, struct gw_error *err);

#endif
