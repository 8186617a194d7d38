/* SPDX-License-Identifier: MIT
 *
 * A vCPU only copies into a ring and never waits for the reader; a thread writes the text out. A reader that is too
 * slow loses text that does not fit the ring.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/internal.h"

#define RING_BYTES 65536u
#define LAST_WORDS_MS 1000

struct gw_serial {
    pthread_mutex_t lock;
    pthread_t thread;
    bool thread_made, closing;
    int fd;        /* where text is written; -1: nowhere now */
    int listen_fd; /* -1: not a socket */
    int wake_fd;
    void (*before_print)(void *opaque); /* may be NULL */
    void *opaque;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* path of the socket, to be removed at the end */
    uint64_t put, taken; /* bytes since the beginning */
    char ring[RING_BYTES];
};

/* Passes text on. Returns whether there is more to do. */
static bool carry(struct gw_serial *s, int patience_ms)
{
    char chunk[4096]; /* a pipe that polls writable takes this much without blocking */
    size_t bytes = 0;

    pthread_mutex_lock(&s->lock);
    if (s->put - s->taken > RING_BYTES)
        s->taken = s->put - RING_BYTES;
    while (bytes < sizeof(chunk) && s->taken + bytes < s->put) {
        chunk[bytes] = s->ring[(s->taken + bytes) % RING_BYTES];
        bytes++;
    }
    uint64_t from = s->taken;
    pthread_mutex_unlock(&s->lock);
    if (!bytes)
        return false;

    ssize_t done = (ssize_t)bytes;
    if (s->fd >= 0) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        int r = poll(&p, 1, patience_ms);
        if (r == 0)
            return false;
        if (s->before_print)
            s->before_print(s->opaque);
        done = s->listen_fd >= 0 ? send(s->fd, chunk, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) : write(s->fd, chunk, bytes);
        if (done < 0 && (errno == EAGAIN || errno == EINTR))
            done = 0;
        if (done < 0) {
            /* The reader is gone: the text is lost; a socket may get another reader. */
            if (s->listen_fd >= 0)
                close(s->fd);
            s->fd = -1;
            done = (ssize_t)bytes;
        }
    }
    pthread_mutex_lock(&s->lock);
    if (s->taken < from + (uint64_t)done)
        s->taken = from + (uint64_t)done;
    pthread_mutex_unlock(&s->lock);
    return true;
}

static void *serial_thread(void *arg)
{
    struct gw_serial *s = arg;

    for (;;) {
        struct pollfd p[3] = {{.fd = s->wake_fd, .events = POLLIN},
                              {.fd = s->fd < 0 ? s->listen_fd : -1, .events = POLLIN},
                              {.fd = -1, .events = POLLOUT}};
        pthread_mutex_lock(&s->lock);
        bool closing = s->closing, waiting = s->put > s->taken;
        pthread_mutex_unlock(&s->lock);
        if (closing)
            break;
        if (waiting)
            p[2].fd = s->fd;
        if (poll(p, 3, waiting && s->fd < 0 ? 0 : -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents) {
            uint64_t count;
            if (read(s->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
                break;
        }
        if (p[1].revents)
            s->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        carry(s, 0);
    }
    while (carry(s, LAST_WORDS_MS))
        ;
    return NULL;
}

static int listen_at(struct gw_serial *s, const char *path, struct gw_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(path) >= sizeof(address.sun_path))
        return gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "serial unix:%s: path too long", path);
    strcpy(address.sun_path, path);
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "serial unix:%s: %s", path, strerror(errno));
    /* Removes a socket left by an earlier run, but no other file. */
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
        unlink(path);
    if (bind(s->listen_fd, (struct sockaddr *)&address, sizeof(address)))
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "serial unix:%s: %s", path, strerror(errno));
    strcpy(s->path, path);
    if (listen(s->listen_fd, 1))
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "serial unix:%s: %s", path, strerror(errno));
    return 0;
}

int gw_serial_open(const struct gw_machine_config *config, struct gw_serial **ret_serial, struct gw_error *err)
{
    struct gw_serial *s = calloc(1, sizeof(*s));
    const char *to = config->serial;
    int r = 0;

    if (!s)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (serial port)");
    pthread_mutex_init(&s->lock, NULL);
    s->fd = s->listen_fd = -1;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "serial port: eventfd: %s", strerror(errno));
    else if (!to || !strcmp(to, "null"))
        ;
    else if (!strcmp(to, "stdio")) {
        s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        s->before_print = config->before_print;
        s->opaque = config->opaque;
    } else if (!strncmp(to, "file:", 5)) {
        s->fd = open(to + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (s->fd < 0)
            r = gw_fail(err, -errno, GW_BLAME_LOCAL, "serial %s: %s", to, strerror(errno));
    } else if (!strncmp(to, "unix:", 5))
        r = listen_at(s, to + 5, err);
    else
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "serial %s: stdio, null, file:PATH or unix:PATH is possible", to);
    if (!r) {
        r = -pthread_create(&s->thread, NULL, serial_thread, s);
        if (r)
            gw_fail(err, r, GW_BLAME_LOCAL, "serial port: thread: %s", strerror(-r));
        else
            s->thread_made = true;
    }
    if (r) {
        gw_serial_close(s);
        return r;
    }
    *ret_serial = s;
    return 0;
}

static void wake(struct gw_serial *s)
{
    uint64_t one = 1;
    if (write(s->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: the thread is awake already */
}

struct gw_serial *gw_serial_close(struct gw_serial *s)
{
    if (!s)
        return NULL;
    if (s->thread_made) {
        pthread_mutex_lock(&s->lock);
        s->closing = true;
        pthread_mutex_unlock(&s->lock);
        wake(s);
        pthread_join(s->thread, NULL);
    }
    if (s->fd >= 0)
        close(s->fd);
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    if (s->path[0])
        unlink(s->path);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

void gw_serial_put(struct gw_serial *s, const void *text, size_t bytes)
{
    const char *from = text;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < bytes; i++)
        s->ring[s->put++ % RING_BYTES] = from[i];
    pthread_mutex_unlock(&s->lock);
    wake(s);
}

size_t gw_serial_tail(struct gw_serial *s, char *buf, size_t size)
{
    size_t bytes;

    if (!size)
        return 0;
    pthread_mutex_lock(&s->lock);
    bytes = s->put < RING_BYTES ? (size_t)s->put : RING_BYTES;
    if (bytes > size - 1)
        bytes = size - 1;
    for (size_t i = 0; i < bytes; i++)
        buf[i] = s->ring[(s->put - bytes + i) % RING_BYTES];
    pthread_mutex_unlock(&s->lock);
    buf[bytes] = 0;
    return bytes;
}
