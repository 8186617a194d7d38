/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h> /* after sys/socket.h, whose types it uses */

#include "base/thread.h"
#include "channel/socket.h"

/* Shared by the calling thread and the thread that calls the resolver; the last of the two frees it. */
struct lookup {
    int users;
    struct gw_cancel done;
    char host[256], service[32];
    struct addrinfo hints;
    struct addrinfo *list;
    int code;       /* of getaddrinfo */
    int code_errno; /* with EAI_SYSTEM */
};

static void lookup_leave(struct lookup *l)
{
    if (__atomic_sub_fetch(&l->users, 1, __ATOMIC_ACQ_REL))
        return;
    if (l->list)
        freeaddrinfo(l->list);
    gw_cancel_fini(&l->done);
    free(l);
}

static void lookup_run(struct lookup *l)
{
    l->code = getaddrinfo(*l->host ? l->host : NULL, l->service, &l->hints, &l->list);
    l->code_errno = errno;
}

static void *lookup_thread(void *opaque)
{
    struct lookup *l = opaque;

    lookup_run(l);
    gw_cancel_trigger(&l->done);
    lookup_leave(l);
    return NULL;
}

static int lookup_failed(const struct lookup *l, struct gw_error *err)
{
    switch (l->code) {
    case EAI_MEMORY:
        return gw_nomem(err, "address lookup");
    case EAI_SYSTEM:
        return gw_fail(err, l->code_errno ? -l->code_errno : -EIO, GW_BLAME_CHANNEL, "looking up '%s': %s", l->host,
                       strerror(l->code_errno));
    default:
        return gw_fail(err, l->code == EAI_AGAIN ? -EAGAIN : -EHOSTUNREACH, GW_BLAME_CHANNEL, "looking up '%s': %s",
                       l->host, gai_strerror(l->code));
    }
}

static int lookup_wait(struct lookup *l, const struct gw_cancel *cancel, uint64_t deadline_ns, struct gw_error *err)
{
    pthread_t thread;
    int r;

    __atomic_store_n(&l->users, 2, __ATOMIC_RELAXED);
    r = gw_thread_start(&thread, lookup_thread, l, err);
    if (r < 0) {
        __atomic_store_n(&l->users, 1, __ATOMIC_RELAXED);
        gw_context(err, "looking up '%s'", l->host);
        return r;
    }
    r = gw_wait_ready(l->done.fd, POLLIN, NULL, cancel, deadline_ns);
    if (r == 0) {
        pthread_join(thread, NULL);
        return 0;
    }
    pthread_detach(thread);
    return gw_fail(err, r, GW_BLAME_CHANNEL, "looking up '%s': %s", l->host,
                   r == -ETIMEDOUT   ? "no answer in time"
                   : r == -ECANCELED ? "cancelled"
                                     : strerror(-r));
}

static int resolve_tcp(const struct gw_uri *uri, bool listening, const struct gw_cancel *cancel, uint64_t deadline_ns,
                       struct gw_sockaddr *ret, unsigned *ret_count, struct gw_error *err)
{
    struct lookup *l = calloc(1, sizeof *l);
    unsigned n = 0;
    int r;

    if (!l)
        return gw_nomem(err, "address lookup");
    l->users = 1;
    gw_strcopy(l->host, sizeof l->host, uri->host);
    gw_strcopy(l->service, sizeof l->service, uri->service);
    l->hints = (struct addrinfo){.ai_family = AF_UNSPEC,
                                 .ai_socktype = SOCK_STREAM,
                                 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (listening ? AI_PASSIVE : 0)};
    r = gw_cancel_init(&l->done, err);
    if (r < 0)
        goto out;
    /* Numeric addresses need no resolver and no thread. */
    lookup_run(l);
    if (l->code == EAI_NONAME && *l->host) {
        l->hints.ai_flags &= ~AI_NUMERICHOST;
        r = lookup_wait(l, cancel, deadline_ns, err);
        if (r < 0)
            goto out;
    }
    if (l->code) {
        r = lookup_failed(l, err);
        goto out;
    }
    for (struct addrinfo *a = l->list; a && n < GW_SOCKET_ADDRESSES; a = a->ai_next) {
        if (a->ai_addrlen > sizeof ret[n].storage)
            continue;
        memcpy(&ret[n].storage, a->ai_addr, a->ai_addrlen);
        ret[n++].bytes = a->ai_addrlen;
    }
    *ret_count = n;
out:
    lookup_leave(l);
    return r;
}

int gw_socket_resolve(const struct gw_uri *uri, bool listening, const struct gw_cancel *cancel, uint64_t deadline_ns,
                      struct gw_sockaddr ret_addresses[GW_SOCKET_ADDRESSES], unsigned *ret_count, struct gw_error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret_addresses->storage;
    struct sockaddr_vm *vm = (struct sockaddr_vm *)&ret_addresses->storage;

    switch (uri->kind) {
    case GW_URI_TCP:
        return resolve_tcp(uri, listening, cancel, deadline_ns, ret_addresses, ret_count, err);
    case GW_URI_UNIX:
        *un = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (!gw_strcopy(un->sun_path, sizeof un->sun_path, uri->path))
            return gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "a socket's path has at most %zu bytes",
                           sizeof un->sun_path - 1);
        ret_addresses->bytes = sizeof *un;
        break;
    case GW_URI_VSOCK:
        *vm = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = uri->cid, .svm_port = uri->port};
        if (listening && !uri->port)
            vm->svm_port = VMADDR_PORT_ANY;
        ret_addresses->bytes = sizeof *vm;
        break;
    default:
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "this is not the address of a socket");
    }
    *ret_count = 1;
    return 0;
}

void gw_sockaddr_text(const struct gw_sockaddr *a, char buf[GW_SOCKADDR_TEXT])
{
    const struct sockaddr_in *v4 = (const void *)&a->storage;
    const struct sockaddr_in6 *v6 = (const void *)&a->storage;
    const struct sockaddr_un *un = (const void *)&a->storage;
    const struct sockaddr_vm *vm = (const void *)&a->storage;
    char host[INET6_ADDRSTRLEN] = "?";

    switch (a->storage.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(buf, GW_SOCKADDR_TEXT, "%s:%u", host, ntohs(v4->sin_port));
        return;
    case AF_INET6:
        /* A v4 peer of a socket that serves both families. */
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof host);
            snprintf(buf, GW_SOCKADDR_TEXT, "%s:%u", host, ntohs(v6->sin6_port));
            return;
        }
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(buf, GW_SOCKADDR_TEXT, "[%s]:%u", host, ntohs(v6->sin6_port));
        return;
    case AF_UNIX:
        snprintf(buf, GW_SOCKADDR_TEXT, "%.107s", un->sun_path);
        return;
    case AF_VSOCK:
        snprintf(buf, GW_SOCKADDR_TEXT, "%u:%u", vm->svm_cid, vm->svm_port);
        return;
    default:
        snprintf(buf, GW_SOCKADDR_TEXT, "address family %d", a->storage.ss_family);
    }
}
