/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/base.h"
#include "godwit/nic.h"

/* The header before each frame, which passes checksums and segmentation to the device. Zeros: nothing is left to the
 * device. */
#define OFFLOADS_MOST 64u

struct gw_nic_port {
    int fd;
    char name[IFNAMSIZ + 16]; /* "tap vnet0" */
    size_t offloads_bytes;    /* tap: size of the header of IFF_VNET_HDR; 0: none */
    struct sockaddr_ll to;    /* for an interface; sll_ifindex 0: it is a tap */
};

/* Closes take_fd when it fails. */
static int new_port(int take_fd, const char *kind, const char *name, struct gw_nic_port **ret, struct gw_error *err)
{
    struct gw_nic_port *port = calloc(1, sizeof *port);

    if (!port) {
        close(take_fd);
        return gw_nomem(err, "network port");
    }
    port->fd = take_fd;
    snprintf(port->name, sizeof port->name, "%s %.*s", kind, IFNAMSIZ - 1, name);
    *ret = port;
    return 0;
}

static int find_interface(const char *kind, const char *name, unsigned *ret_index, struct gw_error *err)
{
    size_t n = strlen(name);

    if (!n || n >= IFNAMSIZ)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s %.64s: the name of an interface has 1 to %d bytes", kind, name, IFNAMSIZ - 1);
    *ret_index = if_nametoindex(name);
    if (!*ret_index)
        return gw_fail(err, -ENODEV, GW_BLAME_CALLER, "%s %s: this host has no such interface (in this network namespace)", kind, name);
    return 0;
}

/* ---- taps -------------------------------------------------------------------------------------------------------- */

/* The device knows whether it expects a header, even if other code has set it up. It does not know whether it expects
 * packet information: TUNGETIFF reports IFF_NOFILTER in the bit of IFF_NO_PI, on a descriptor without a filter. */
static int take_tap(int take_fd, const char *name, struct gw_nic_port **ret, struct gw_error *err)
{
    struct ifreq ifr = {0};
    struct gw_nic_port *port = NULL;
    int bytes = 0, r;

    if (ioctl(take_fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_TAP)) {
        close(take_fd);
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s is not a tap device", name);
    }
    r = new_port(take_fd, "tap", ifr.ifr_name[0] ? ifr.ifr_name : name, &port, err);
    if (r < 0)
        return r;
    if (ifr.ifr_flags & IFF_VNET_HDR) {
        if (ioctl(take_fd, TUNGETVNETHDRSZ, &bytes) < 0 || bytes < 0 || (unsigned)bytes > OFFLOADS_MOST) {
            gw_nic_port_free(port);
            return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%s: it has a header of %d bytes before each frame, which is not "
                           "supported", name, bytes);
        }
        port->offloads_bytes = (size_t)bytes;
    }
    *ret = port;
    return 0;
}

int gw_nic_open_tap_fd(int take_fd, struct gw_nic_port **ret_port, struct gw_error *err)
{
    char name[32];

    snprintf(name, sizeof name, "descriptor %d", take_fd);
    if (fcntl(take_fd, F_SETFD, FD_CLOEXEC) < 0)
        return gw_fail(err, -EBADF, GW_BLAME_CALLER, "%s is not open", name);
    return take_tap(take_fd, name, ret_port, err);
}

int gw_nic_open_tap(const char *name, struct gw_nic_port **ret_port, struct gw_error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    unsigned index;
    int fd, r = find_interface("tap", name, &index, err);

    if (r < 0)
        return r;
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "tap %s: /dev/net/tun: %s", name, strerror(errno));
    memcpy(ifr.ifr_name, name, strlen(name));
    r = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
    if (r == -EINVAL) { /* a device with several queues */
        ifr.ifr_flags |= IFF_MULTI_QUEUE;
        r = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
    }
    if (r < 0) {
        close(fd);
        return gw_fail(err, r, GW_BLAME_CALLER, "tap %s: %s", name,
                       r == -EBUSY   ? "another program has it open"
                       : r == -EINVAL ? "it is not a tap device, or has another kind of queue"
                                      : strerror(-r));
    }
    return take_tap(fd, name, ret_port, err);
}

/* ---- interfaces -------------------------------------------------------------------------------------------------- */

int gw_nic_open_interface(const char *name, struct gw_nic_port **ret_port, struct gw_error *err)
{
    struct gw_nic_port *port = NULL;
    struct ifreq ifr = {0};
    unsigned index;
    int fd, r = find_interface("interface", name, &index, err);

    if (r < 0)
        return r;
    /* Protocol 0: the socket receives nothing. */
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return gw_fail(err, -errno, GW_BLAME_CALLER, "interface %s: a socket for frames: %s%s", name, strerror(errno),
                       errno == EPERM ? " (it needs CAP_NET_RAW)" : "");
    memcpy(ifr.ifr_name, name, strlen(name));
    if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "interface %s: %s", name, strerror(errno));
    else if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "interface %s is not Ethernet", name);
    if (r < 0) {
        close(fd);
        return r;
    }
    r = new_port(fd, "interface", name, &port, err);
    if (r < 0)
        return r;
    port->to = (struct sockaddr_ll){
        .sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_RARP), .sll_ifindex = (int)index, .sll_halen = 6};
    *ret_port = port;
    return 0;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

int gw_nic_send(void *opaque, const void *frame, size_t bytes, struct gw_error *err)
{
    struct gw_nic_port *port = opaque;
    uint8_t offloads[OFFLOADS_MOST] = {0};
    struct iovec iov[2];
    struct msghdr m = {.msg_name = &port->to, .msg_namelen = sizeof port->to, .msg_iov = iov};
    size_t want = 0;
    ssize_t n;
    int count = 0;

    if (bytes < ETH_HLEN)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: a frame of %zu bytes", port->name, bytes);
    memcpy(port->to.sll_addr, frame, 6);
    if (port->offloads_bytes)
        iov[count++] = (struct iovec){offloads, port->offloads_bytes};
    iov[count++] = (struct iovec){(void *)frame, bytes};
    m.msg_iovlen = (size_t)count;
    for (int i = 0; i < count; i++)
        want += iov[i].iov_len;
    do
        n = port->to.sll_ifindex ? sendmsg(port->fd, &m, MSG_NOSIGNAL) : writev(port->fd, iov, count);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s%s", port->name, strerror(errno),
                       errno == EIO || errno == ENETDOWN ? " (is it up?)" : "");
    if ((size_t)n != want)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "%s: it accepted only %zd of the %zu bytes of a frame", port->name, n, want);
    return 0;
}

struct gw_nic_port *gw_nic_port_free(struct gw_nic_port *port)
{
    if (port)
        close(port->fd);
    free(port);
    return NULL;
}
