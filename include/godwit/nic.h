/* SPDX-License-Identifier: MIT
 *
 * nic: the network cards of a machine, so that switches learn where it is after it has moved (S13).
 *
 * An announcement is a number of rounds. In each, every card sends one frame of 60 bytes (RARP, with its address as the sender). It
 * begins by itself when a machine has arrived: in precopy before it is started, in postcopy before it runs on the
 * memory that is there; also when it is left paused. How often and how fast say the parameters announce-rounds, announce-initial,
 * announce-step and announce-max. gw_vm_announce makes one at any time. A machine that has left is not announced any more, and
 * neither is one whose arrival was taken back.
 *
 * Threads: any. The first round is sent by the thread that begins the announcement, before the call returns; those after it by a thread of the
 * library, until the last round or the end of the vm.
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
    const char *id;  /* 1..127 bytes, the machine has no other of this name: what `interfaces` below means. Copied */
    uint8_t mac[6];  /* of one card: neither zeros nor a group's */
    /* Gives one frame to the network, as if the card had sent it. Never two at once for one vm. It must not wait for
     * long, as the machine that has arrived is started behind it, and must not call the functions of this part. A
     * failure ends nothing: the other cards and the rounds to come are not changed by it, and only `send` itself (or
     * the trace event `announce`) can report it. */
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
    /* As the parameters of the same names, with their ranges: milliseconds, and a number of rounds. No rounds: only ends one that
     * is under way. */
    uint64_t initial_ms, max_ms, rounds, step_ms;
    const char *id; /* of the announcement, up to 127 bytes: takes the place of one of the same id that is under way. NULL: "" */
    const char *const *interfaces; /* ids of cards; no others send. NULL: all that the machine has in each round */
    size_t interface_count;
};

/* NULL: as after an arrival, by the vm's parameters. -ERANGE, -EINVAL: an id that is too long. -ENODEV: an interface that the
 * machine does not have. -ENOSPC: 64 of them are under way. -EALREADY: the machine is not here. -ENOMEM, -EAGAIN. */
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

/* A tap device of this host that is there already; it is opened until the port is freed. What is sent comes in from it, as what
 * the guest sends. -ENODEV: there is none of this name. -EBUSY: another process has it open. -EPERM, ... */
GW_API int gw_nic_open_tap(const char *name, struct gw_nic_port **ret_port, struct gw_error *err);
/* The same for a descriptor of a tap or macvtap device, as a VMM has it; closed with the port. A header
 * of offloads (IFF_VNET_HDR) is put before each frame. It must be without packet information (IFF_NO_PI), as all VMMs have theirs.
 * -EINVAL: it is none. */
GW_API int gw_nic_open_tap_fd(int take_fd, struct gw_nic_port **ret_port, struct gw_error *err);
/* An Ethernet interface of this host: what is sent leaves by it. Needs CAP_NET_RAW. -ENODEV, -EINVAL: it is no Ethernet. -EPERM. */
GW_API int gw_nic_open_interface(const char *name, struct gw_nic_port **ret_port, struct gw_error *err);
/* opaque: the port. Waits for nothing: -EAGAIN when the device takes no more. One thread at a time. */
GW_API int gw_nic_send(void *opaque, const void *frame, size_t bytes, struct gw_error *err);
/* Takes NULL, returns NULL. */
GW_API struct gw_nic_port *gw_nic_port_free(struct gw_nic_port *port);

#ifdef __cplusplus
}
#endif
#endif
