/* SPDX-License-Identifier: MIT */
#include "ram/store/faults.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/thread.h"
#include "ram/page/uffd.h"
#include "ram/store/blocktime.h"

#define MESSAGES 64u /* messages that are read at a time */

/* ---- waits ------------------------------------------------------------------------------------------------------- */

static uint64_t now(const struct gw_faults *f)
{
    return gw_now_ns(f->config->clock);
}

/* A number that identifies the unit in the whole machine. */
static uint64_t number(const struct gw_units *u, uint64_t unit)
{
    return (uintptr_t)u->memory.host + unit * u->unit_bytes;
}

static void trace(const struct gw_faults *f, const struct gw_units *u, uint64_t unit, int32_t thread, const char *what)
{
    gw_trace_page_wait(f->config->trace, u->block->name, unit * u->unit_bytes, thread, what);
}

/* Ends all waits for the unit. */
static void served(struct gw_faults *f, struct gw_units *u, uint64_t unit)
{
    if (gw_bitmap_clear_atomic(u->waited, unit))
        atomic_fetch_sub(&f->waiting, 1);
    if (f->config->blocktime)
        gw_blocktime_end(f->config->blocktime, number(u, unit), now(f));
}

void gw_faults_came(struct gw_faults *f, struct gw_units *u, uint64_t unit)
{
    if (gw_bitmap_test_atomic(u->waited, unit))
        served(f, u, unit);
}

/* Requests the unit unless that was done. Under asking. */
static void ask(struct gw_faults *f, struct gw_units *u, uint64_t unit)
{
    if (gw_unit_received(u, unit) || gw_bitmap_test(u->asked, unit))
        return;
    gw_bitmap_set(u->asked, unit);
    atomic_fetch_add_explicit(&f->requests, 1, memory_order_relaxed);
    f->config->ask(f->config->opaque, u->block, unit * u->unit_bytes, u->unit_bytes);
}

/* Unplugged memory: the guest does not use its contents, and it will not be sent. (Threads that hold ram->lock never
 * touch guest memory.) */
static bool unplugged(const struct gw_faults *f, const struct gw_units *u, uint64_t unit)
{
    struct gw_ram *ram = (struct gw_ram *)f->table->ram;
    uint64_t first = gw_unit_first_page(u, unit), pages = gw_unit_pages(u, unit);
    bool all;

    pthread_mutex_lock(&ram->lock);
    all = u->block->discarded && gw_bitmap_next_clear(u->block->discarded, first + pages, first) >= first + pages;
    pthread_mutex_unlock(&ram->lock);
    return all;
}

/* Places zeros, if the unit is known to contain zeros. */
static int answer(struct gw_faults *f, struct gw_units *u, uint64_t unit, uintptr_t address, struct gw_error *err)
{
    atomic_fetch_add_explicit(&f->local, 1, memory_order_relaxed);
    return gw_unit_fill(u, unit, address, err);
}

static int fault(struct gw_faults *f, uintptr_t address, int32_t thread, struct gw_error *err)
{
    uint64_t unit;
    struct gw_units *u = gw_units_find(f->table, address, &unit);
    bool waits;
    int r;

    atomic_fetch_add_explicit(&f->faults, 1, memory_order_relaxed);
    if (!u)
        return 0;
    if (gw_unit_received(u, unit) || f->table->finished) {
        trace(f, u, unit, thread, "zeros");
        return answer(f, u, unit, address, err);
    }
    if (unplugged(f, u, unit)) {
        trace(f, u, unit, thread, "unplugged");
        atomic_fetch_add_explicit(&f->local, 1, memory_order_relaxed);
        r = gw_unit_put(u, unit, NULL, err);
        gw_faults_came(f, u, unit);
        return r;
    }
    if (f->config->blocktime) /* without memory this wait is not measured */
        gw_blocktime_begin(f->config->blocktime, thread, number(u, unit), now(f));
    waits = gw_bitmap_set_atomic(u->waited, unit);
    if (!waits)
        atomic_fetch_add(&f->waiting, 1);
    /* it came just now: the thread that placed it may have read `waited` before it was set */
    if (gw_unit_received(u, unit) || f->table->finished) {
        served(f, u, unit);
        return answer(f, u, unit, address, err);
    }
    trace(f, u, unit, thread, waits ? "waits too" : "asks");
    pthread_mutex_lock(&f->asking);
    if (!f->held)
        ask(f, u, unit);
    pthread_mutex_unlock(&f->asking);
    return 0;
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

/* Only the first failure is reported. */
static void note_failure(struct gw_faults *f, const struct gw_error *error)
{
    bool first;

    pthread_mutex_lock(&f->lock);
    first = !f->error.code;
    if (first)
        f->error = *error;
    pthread_mutex_unlock(&f->lock);
    if (first && f->config->failed)
        f->config->failed(f->config->opaque, error);
}

/* Reads everything that the kernel reports. A thread whose fault cannot be answered keeps waiting; other threads are
 * not delayed by it. */
static int hear(struct gw_faults *f, struct gw_error *err)
{
    struct uffd_msg msg[MESSAGES];

    for (;;) {
        int n = gw_uffd_read(f->table->uffd, msg, MESSAGES, err);

        if (n <= 0)
            return n;
        for (int i = 0; i < n; i++) {
            int32_t thread = f->table->has_threads ? (int32_t)msg[i].arg.pagefault.feat.ptid : 0;
            struct gw_error error = GW_ERROR_INIT;

            if (msg[i].event == UFFD_EVENT_PAGEFAULT && fault(f, (uintptr_t)msg[i].arg.pagefault.address, thread, &error) < 0)
                note_failure(f, &error);
        }
        if (n < (int)MESSAGES)
            return 0;
    }
}

static void *run(void *opaque)
{
    struct gw_faults *f = opaque;
    struct gw_error error = GW_ERROR_INIT;
    int r = 0;

    while (r >= 0) {
        struct pollfd p[2] = {{.fd = f->table->uffd, .events = POLLIN}, {.fd = f->stop, .events = POLLIN}};

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            r = gw_fail(&error, -errno, GW_BLAME_LOCAL, "poll: %s", strerror(errno));
        else if (p[1].revents)
            return NULL;
        else if (p[0].revents)
            r = hear(f, &error);
    }
    note_failure(f, &error);
    return NULL;
}

int gw_faults_begin(struct gw_faults *f, struct gw_error *err)
{
    int r;

    f->held = false;
    f->error = (struct gw_error)GW_ERROR_INIT;
    f->waiting = f->faults = f->requests = f->local = 0;
    f->stop = eventfd(0, EFD_CLOEXEC);
    if (f->stop < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "eventfd: %s", strerror(errno));
    r = gw_thread_start(&f->thread, run, f, err);
    f->runs = r >= 0;
    if (r < 0)
        gw_close_fd(&f->stop);
    return r;
}

int gw_faults_end(struct gw_faults *f, struct gw_error *err)
{
    uint64_t one = 1;

    if (!f->runs)
        return 0;
    while (write(f->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(f->thread, NULL);
    gw_close_fd(&f->stop);
    f->runs = false;
    if (f->config->blocktime)
        gw_blocktime_end_all(f->config->blocktime, now(f));
    if (f->error.code && err)
        *err = f->error;
    return f->error.code;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

void gw_faults_hold(struct gw_faults *f)
{
    pthread_mutex_lock(&f->asking);
    f->held = true;
    pthread_mutex_unlock(&f->asking);
}

void gw_faults_ask_again(struct gw_faults *f)
{
    pthread_mutex_lock(&f->asking);
    f->held = false;
    for (unsigned i = 0; i < f->table->count; i++) {
        struct gw_units *u = &f->table->of[i];

        if (!u->block)
            continue;
        gw_bitmap_clear_range(u->asked, 0, u->count);
        for (size_t w = 0; w < gw_bitmap_words(u->count); w++)
            for (uint64_t word = __atomic_load_n(&u->waited[w], __ATOMIC_SEQ_CST); word; word &= word - 1)
                ask(f, u, w * 64 + (unsigned)__builtin_ctzll(word));
    }
    pthread_mutex_unlock(&f->asking);
}

int gw_faults_finish(struct gw_faults *f, struct gw_error *err)
{
    for (unsigned i = 0; i < f->table->count; i++) {
        struct gw_units *u = &f->table->of[i];

        for (size_t w = 0; u->block && w < gw_bitmap_words(u->count); w++)
            for (uint64_t word = __atomic_load_n(&u->waited[w], __ATOMIC_SEQ_CST); word; word &= word - 1) {
                uint64_t unit = w * 64 + (unsigned)__builtin_ctzll(word);
                int r = answer(f, u, unit, 0, err);

                if (r < 0)
                    return r;
                served(f, u, unit);
            }
    }
    return 0;
}

void gw_faults_init(struct gw_faults *f, struct gw_unit_table *table, const struct gw_uffd_config *config)
{
    *f = (struct gw_faults){.table = table, .config = config, .stop = -1};
    pthread_mutex_init(&f->asking, NULL);
    pthread_mutex_init(&f->lock, NULL);
}

void gw_faults_fini(struct gw_faults *f)
{
    pthread_mutex_destroy(&f->asking);
    pthread_mutex_destroy(&f->lock);
}
