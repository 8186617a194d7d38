/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h> /* older versions need the headers included before */
#include <unistd.h>

#include "host.h"

/* Newer than some headers (Linux 5.11 and 6.1). */
#define CAP_RING         192
#define CAP_RING_ACQ_REL 223
#define CAP_MANUAL       168

#define KVM_ADVICE "load kvm_intel or kvm_amd, allow nested virtualisation if this is a guest, and give access to /dev/kvm"

/* Opens /dev/kvm; -1: the answer gives the reason. */
static int open_kvm(struct gw_host_answer *a)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        gw_host_failed(a, "/dev/kvm", errno == EACCES ? "add this user to the group of /dev/kvm" : KVM_ADVICE);
    return fd;
}

static void probe_kvm(const char *directory, struct gw_host_answer *a)
{
    int fd = open_kvm(a), version;

    if (fd < 0)
        return;
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    a->there = version == KVM_API_VERSION;
    GW_HOST_SAY(a->detail, "version %d of its interface, up to %d vCPUs", version, ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
    close(fd);
}

static void probe_log(const char *directory, struct gw_host_answer *a)
{
    int fd = open_kvm(a);

    if (fd < 0)
        return;
    a->there = true;
    GW_HOST_SAY(a->detail, "%s", ioctl(fd, KVM_CHECK_EXTENSION, CAP_MANUAL) > 0 ? "protected when asked" :
                                                                                "protected as a whole at each sync (Linux 5.4 does better)");
    close(fd);
}

static void probe_ring(const char *directory, struct gw_host_answer *a)
{
    int fd = open_kvm(a), bytes;

    if (fd < 0)
        return;
    bytes = ioctl(fd, KVM_CHECK_EXTENSION, CAP_RING);
    if (bytes <= 0)
        bytes = ioctl(fd, KVM_CHECK_EXTENSION, CAP_RING_ACQ_REL);
    a->there = bytes > 0;
    if (a->there)
        GW_HOST_SAY(a->detail, "up to %d entries for each vCPU", bytes / 16);
    else {
        GW_HOST_SAY(a->detail, "KVM has none");
        GW_HOST_SAY(a->advice, "use Linux 5.11 or later; the dirty log does the same");
    }
    close(fd);
}

static void probe_vsock(const char *directory, struct gw_host_answer *a)
{
    int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), device;
    unsigned cid = VMADDR_CID_ANY;

    if (s < 0) {
        gw_host_failed(a, "AF_VSOCK", "load vsock (modprobe vsock), or use tcp: and unix:");
        return;
    }
    close(s);
    a->there = true;
    device = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (device >= 0 && ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 && cid != VMADDR_CID_ANY)
        GW_HOST_SAY(a->detail, "this system is CID %u", cid);
    else
        GW_HOST_SAY(a->detail, "no CID of its own");
    if (device >= 0)
        close(device);
}

const struct gw_host_fact gw_host_kvm[] = {
    {"kvm", "guests at full speed (`godwit vm` runs without it, slowly)", probe_kvm},
    {"kvm-dirty-log", "dirty tracking of KVM guests", probe_log},
    {"kvm-dirty-ring", "dirty tracking and limits for each vCPU", probe_ring},
    {"vsock", "addresses vsock:CID:PORT", probe_vsock},
    {0},
};
