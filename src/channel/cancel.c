/* SPDX-License-Identifier: MIT */
#include "channel/cancel.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include "godwit/clock.h"

int gw_cancel_init(struct gw_cancel *c, struct gw_error *err)
{
    *c = (struct gw_cancel){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (c->fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "eventfd: %s", strerror(errno));
    return 0;
}

void gw_cancel_fini(struct gw_cancel *c)
{
    gw_close_fd(&c->fd);
}

int gw_cancel_new(struct gw_cancel **ret_cancel, struct gw_error *err)
{
    struct gw_cancel *c = malloc(sizeof *c);
    int r;

    if (!c)
        return gw_nomem(err, "cancel");
    r = gw_cancel_init(c, err);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret_cancel = c;
    return 0;
}

void gw_cancel_trigger(struct gw_cancel *cancel)
{
    const uint64_t one = 1;

    if (__atomic_exchange_n(&cancel->triggered, 1, __ATOMIC_SEQ_CST))
        return;
    /* The counter is 0 before this only write, so it cannot block; other failures do not matter. */
    while (write(cancel->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

bool gw_cancel_triggered(const struct gw_cancel *cancel)
{
    return __atomic_load_n(&cancel->triggered, __ATOMIC_SEQ_CST);
}

int gw_cancel_fd(const struct gw_cancel *cancel)
{
    return cancel->fd;
}

struct gw_cancel *gw_cancel_free(struct gw_cancel *cancel)
{
    if (cancel)
        gw_cancel_fini(cancel);
    free(cancel);
    return NULL;
}

uint64_t gw_deadline(uint64_t timeout_ns)
{
    uint64_t at;

    if (!timeout_ns || gw_add_overflows(gw_now_ns(&gw_clock_real), timeout_ns, &at))
        return 0;
    return at;
}

int gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                  uint64_t deadline_ns)
{
    struct pollfd fds[3] = {
        {.fd = fd, .events = events},
        {.fd = wake ? wake->fd : -1, .events = POLLIN},
        {.fd = also ? also->fd : -1, .events = POLLIN},
    };

    for (;;) {
        struct timespec left = {0};
        int n;

        if (deadline_ns) {
            uint64_t now = gw_now_ns(&gw_clock_real), ns = now < deadline_ns ? deadline_ns - now : 0;

            left.tv_sec = (time_t)(ns / GW_NS_PER_S);
            left.tv_nsec = (long)(ns % GW_NS_PER_S);
        }
        n = ppoll(fds, GW_ARRAY_LEN(fds), deadline_ns ? &left : NULL, NULL);
        if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOMEM)
            return -errno;
        if (n > 0 && (fds[1].revents || fds[2].revents))
            return -ECANCELED;
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
    }
}

const char *gw_duration_text(char buf[GW_DURATION_TEXT], uint64_t ns)
{
    const char *unit = ns >= GW_NS_PER_S ? "s" : ns >= GW_NS_PER_MS ? "ms" : ns >= 1000 ? "us" : "ns";
    uint64_t one = ns >= GW_NS_PER_S ? GW_NS_PER_S : ns >= GW_NS_PER_MS ? GW_NS_PER_MS : ns >= 1000 ? 1000 : 1;
    unsigned tenth = (unsigned)(ns % one * 10 / one);

    if (tenth)
        snprintf(buf, GW_DURATION_TEXT, "%" PRIu64 ".%u %s", ns / one, tenth, unit);
    else
        snprintf(buf, GW_DURATION_TEXT, "%" PRIu64 " %s", ns / one, unit);
    return buf;
}

int gw_fail_canceled(struct gw_error *err)
{
    return gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "shut down");
}

int gw_fail_timeout(uint64_t timeout_ns, struct gw_error *err)
{
    char text[GW_DURATION_TEXT];

    return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "nothing moved for %s", gw_duration_text(text, timeout_ns));
}
