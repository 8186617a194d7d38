/* SPDX-License-Identifier: MIT
 *
 * nic: the network cards of a machine. They announce themselves after a migration, so that switches learn the new port (S13).
 *
 * An announcement consists of rounds. In each, every card sends one RARP frame of 60 bytes with its address as the sender. It
 * starts automatically when a machine has arrived, just before the machine is started (in postcopy: before it starts with
 * only part of its memory), and also when it is left paused. The parameters announce-rounds, announce-initial, announce-step
 * and announce-max set number and intervals of the rounds. gw_vm_announce starts an announcement at any time. Announcements
 * stop when the machine leaves, and when its arrival is revoked.
 *
 * Threads: any. The thread that starts the announcement sends the first round before the call returns; a thread of the library
 * sends the others, until the last round or until the vm is freed.
 */
#ifndef GODWIT_NIC_H
#define GODWIT_NIC_H

#include <stddef.h>
#include <stdint.h>

#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the cards of a machine -------------------------------------------------------------------------------------- */

struct gw_nic_config {
    const char *id;  /* 1..127 bytes, unique in the machine; used in `interfaces` below. Copied */
    uint8_t mac[6];  /* a unicast address, not all zeros */
    /* Sends one frame to the network, as if the card had sent it. One call at a time for each vm. It must return soon,
     * because the arrived machine is started only after it, and must not call the functions of this section. A failure
     * affects neither the other cards nor later rounds; it is reported only by `send` itself and the trace event
     * `announce`. */
    int (*send)(void *opaque, const void *frame, size_t bytes, struct gw_error *err);
    void *opaque;
};

/* -EINVAL, -EEXIST, -ENOMEM. */
GW_API int gw_vm_add_nic_sized(struct gw_vm *vm, const struct gw_nic_config *config, size_t config_bytes,
                               struct gw_error *err);
static inline int gw_vm_add_nic(struct gw_vm *vm, const struct gw_nic_config *config, struct gw_error *err)
{
    return gw_vm_add_nic_sized(vm, config, sizeof *config, err);
}
/* `send` is not called any more once this has returned. -ENOENT. */
GW_API int gw_vm_remove_nic(struct gw_vm *vm, const char *id, struct gw_error *err);

struct gw_announce_config {
    /* As the parameters announce-initial, -max, -rounds and -step, with the same ranges; times in milliseconds. rounds 0: only
     * stops the running announcement of the same id. */
    uint64_t initial_ms, max_ms, rounds, step_ms;
    const char *id; /* of the announcement, up to 127 bytes. It replaces a running one of the same id. NULL: "" */
    const char *const *interfaces; /* ids of the cards that send. NULL: all that the machine has at each round */
    size_t interface_count;
};

/* config NULL: as after an arrival, by the vm's parameters. -ERANGE: a number is out of range; -EINVAL: an id is too long;
 * -ENODEV: the machine has no such interface; -ENOSPC: 64 announcements are running; -EALREADY: the machine is not here;
 * -ENOMEM, -EAGAIN. */
GW_API int gw_vm_announce_sized(struct gw_vm *vm, const struct gw_announce_config *config, size_t config_bytes,
                                struct gw_error *err);
static inline int gw_vm_announce(struct gw_vm *vm, const struct gw_announce_config *config, struct gw_error *err)
{
    return gw_vm_announce_sized(vm, config, sizeof *config, err);
}

/* ---- ready-made senders ------------------------------------------------------------------------------------------
 *
 * gw_nic_send of one of these is a `send`, with the port as its opaque. */

struct gw_nic_port;

/* An existing tap device of this host; it stays open until the port is freed. The host receives the frames from the tap, as it
 * does those of a guest. -ENODEV: there is no such device; -EBUSY: another process has it open; -EPERM, ... */
GW_API int gw_nic_open_tap(const char *name, struct gw_nic_port **ret_port, struct gw_error *err);
/* The same for a descriptor of a tap or macvtap device, as a VMM has it; closed with the port. It must have IFF_NO_PI, as VMMs
 * use it; with IFF_VNET_HDR an empty offload header is put before each frame. -EINVAL: it is not such a descriptor. */
GW_API int gw_nic_open_tap_fd(int take_fd, struct gw_nic_port **ret_port, struct gw_error *err);
/* An Ethernet interface of this host; frames are sent out through it. Needs CAP_NET_RAW. -ENODEV; -EINVAL: it is not
 * Ethernet; -EPERM. */
GW_API int gw_nic_open_interface(const char *name, struct gw_nic_port **ret_port, struct gw_error *err);
/* opaque: the port. Does not block: -EAGAIN when the device's queue is full. One thread at a time. */
GW_API int gw_nic_send(void *opaque, const void *frame, size_t bytes, struct gw_error *err);
/* Takes NULL, returns NULL. */
GW_API struct gw_nic_port *gw_nic_port_free(struct gw_nic_port *port);

#ifdef __cplusplus
}
#endif
#endif
