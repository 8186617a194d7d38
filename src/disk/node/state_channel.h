/* SPDX-License-Identifier: MIT
 *
 * state_channel: the state of a machine in a qcow2 image as a channel: writing sets the current state of the disk,
 * reading gives that of a snapshot. One direction, no positions. Bytes go to the image in large pieces; close writes
 * the last.
 *
 * Threads: as channels; no other call on the node may be in progress. The node is borrowed.
 */
#ifndef GW_DISK_STATE_CHANNEL_H
#define GW_DISK_STATE_CHANNEL_H

#include "disk/node/qcow2.h"
#include "godwit/channel.h"

int gw_state_channel_out(struct gw_node *n, struct gw_channel **ret, struct gw_error *err);
int gw_state_channel_in(struct gw_node *n, unsigned snapshot, struct gw_channel **ret, struct gw_error *err);

#endif
