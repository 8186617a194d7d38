/* SPDX-License-Identifier: MIT
 *
 * mirrors: copies the disks of a QEMU to another QEMU while the machine runs. The source's own jobs (blockdev-mirror)
 * write them into exports of an NBD server at the destination.
 *
 *     new --> step ... step (all are ready) --> [machine is migrated] --> hand_over (machine is stopped) --> free
 *
 * - After hand_over both sides have the same bytes, the source writes only to its own disks again, and only the
 * destination uses the destination's disks: its devices could not start while another writer has them.
 * - free undoes everything that remains, at any point, and ignores objects of a QEMU that has ended.
 * - After free nothing is left on either side: jobs, nodes, exports and the server are removed. If the destination
 * already runs an NBD server, new fails and leaves it alone.
 *
 * Threads: one. Errors: -EINTR if a monitor's `interrupted` callback asked for it; else the text names the disk.
 */
#ifndef GODWIT_CLI_MIRRORS_H
#define GODWIT_CLI_MIRRORS_H

#include "qmp_client.h"

struct gw_mirrors_config {
    struct gw_qmp *source, *destination;
    const struct gw_uri *nbd; /* where the destination's server listens: tcp or unix */
    bool top; /* copy only the top image of each disk: the destination has its backings */
};

struct gw_mirrors_figures {
    double total_bytes, left_bytes;
    bool ready; /* all disks are copied, and the mirrors follow new writes */
    bool slow;  /* a disk was sent three times over and is not ready: the guest writes as fast as the mirror sends */
};

struct gw_mirrors;

/* Finds the writable disks and begins to copy them. Disks of both sides are matched by the name of the drive, else of
 * the device, else of the node. *ret_mirrors is set on failure too, once there is something to undo. */
int gw_mirrors_new(const struct gw_mirrors_config *config, struct gw_mirrors **ret_mirrors, struct gw_error *err);
/* Updates their progress, and divides the bandwidth (bytes per second, 0: no limit) among them. To be called several
 * times per second. */
int gw_mirrors_step(struct gw_mirrors *m, uint64_t bandwidth, struct gw_mirrors_figures *ret_figures, struct gw_error *err);
/* Called while the machine is stopped. */
int gw_mirrors_hand_over(struct gw_mirrors *m, struct gw_error *err);
/* Returns NULL. err: what could not be undone. */
struct gw_mirrors *gw_mirrors_free(struct gw_mirrors *m, struct gw_error *err);

#endif
