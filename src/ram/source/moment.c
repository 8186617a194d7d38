/* SPDX-License-Identifier: MIT */
#include "ram/source/moment.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "ram/page/uffd.h"

#define POPULATE_BYTES (64ull << 20) /* bytes between two checks for a cancel */
#define PASS_BYTES     (2ull << 20)  /* bytes protected at a time: the guard has to wait for this */
#define PASSES         8u
#define LITTLE_NS      (1 * GW_NS_PER_MS) /* if a pass took less, another one is not worth it */
#define LITTLE_PAGES   256u

void gw_moment_init(struct gw_moment *m, struct gw_ram *ram, const struct gw_cancel *cancel)
{
    *m = (struct gw_moment){.ram = ram, .cancel = cancel, .uffd = -1, .quit = -1};
    pthread_mutex_init(&m->lock, NULL);
}

void gw_moment_fini(struct gw_moment *m)
{
    gw_moment_end(m);
    pthread_mutex_destroy(&m->lock);
}

struct gw_area *gw_moment_find(const struct gw_moment *m, uintptr_t address, uint64_t *ret_page)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct gw_area *a = &m->areas[i];

        if (address >= a->watch.start && address < a->watch.end) {
            *ret_page = GW_MIN((address - a->watch.start) >> m->ram->page_bits, a->block->pages - 1);
            return a;
        }
    }
    return NULL;
}

void gw_moment_around(const struct gw_area *a, uint64_t page, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t wide = GW_MAX((uint64_t)GW_MOMENT_AROUND, a->step);

    *ret_first = page - page % wide;
    *ret_last = GW_MIN(*ret_first + wide, a->block->pages);
}

int gw_moment_protect(const struct gw_moment *m, const struct gw_area *a, uint64_t first, uint64_t last, bool on,
                      struct gw_error *err)
{
    unsigned bits = m->ram->page_bits;
    uintptr_t end = last >= a->block->pages ? a->watch.end : a->watch.start + (uintptr_t)(last << bits);
    int r = gw_watch_protect(m->uffd, a->watch.start + (uintptr_t)(first << bits), end, on, err);

    if (r < 0)
        gw_context(err, "RAM block %s", a->block->name);
    return r;
}

/* Finds the next run of host pages with a bit set, from *first on; false: there is none. */
static bool next_run(const struct gw_area *a, const uint64_t *map, uint64_t most, uint64_t *first, uint64_t *last)
{
    uint64_t n = a->block->pages, end = gw_bitmap_next_set(map, n, *first);

    if (end >= n)
        return false;
    end -= end % a->step;
    *first = end;
    do
        end = gw_div_up(gw_bitmap_next_clear(map, n, GW_MAX(end, gw_bitmap_next_set(map, n, end))), a->step) * a->step;
    while (end < n && gw_bitmap_test(map, end));
    *last = GW_MIN(GW_MIN(end, n), *first + gw_div_up(most, a->step) * a->step);
    return true;
}

/* ---- ahead of the moment ----------------------------------------------------------------------------------------- */

static int populate(const struct gw_moment *m, const struct gw_area *a, struct gw_error *err)
{
    unsigned bits = m->ram->page_bits;
    int r = 0;

    for (uint64_t first = 0, last; r >= 0 && next_run(a, a->goes, POPULATE_BYTES >> bits, &first, &last); first = last) {
        if (m->cancel && gw_cancel_triggered(m->cancel))
            return gw_fail_canceled(err);
        r = gw_watch_populate(a->watch.start + (uintptr_t)(first << bits),
                              last == a->block->pages ? a->watch.end : a->watch.start + (uintptr_t)(last << bits), a->block, err);
    }
    return r;
}

/* Marks all pages that are sent: all but those that are discarded now. true: the set has changed. */
static bool mark(const struct gw_moment *m, struct gw_area *a)
{
    const struct gw_ram_block *b = a->block;
    bool other = false;

    pthread_mutex_lock(&m->ram->lock);
    for (size_t w = 0; w < gw_bitmap_words(b->pages); w++) {
        uint64_t goes = b->pages - w * 64 < 64 ? (1ull << b->pages % 64) - 1 : UINT64_MAX;

        if (b->discarded)
            goes &= ~b->discarded[w];
        other |= a->goes[w] != goes;
        a->goes[w] = goes;
    }
    pthread_mutex_unlock(&m->ram->lock);
    return other;
}

static void open_all(struct gw_area *a)
{
    memcpy(a->open, a->goes, gw_bitmap_words(a->block->pages) * sizeof *a->open);
}

static int open_area(struct gw_moment *m, struct gw_ram_block *b, struct gw_area *a, struct gw_error *err)
{
    bool watched = gw_ram_writable(b);
    int r;

    a->block = b;
    a->step = GW_MAX(1u, GW_MAX(b->page_bytes, (uint64_t)sysconf(_SC_PAGESIZE)) >> m->ram->page_bits);
    a->goes = gw_bitmap_new(b->pages);
    a->open = watched ? gw_bitmap_new(b->pages) : NULL;
    if (!a->goes || (watched && !a->open))
        return gw_nomem(err, "write-protected pages");
    mark(m, a);
    if (!watched)
        return 0;
    r = gw_watch_begin(m->uffd, b, &a->watch, err);
    if (r < 0)
        return r;
    open_all(a);
    return populate(m, a, err);
}

/* Protects the pages that are open. */
static int pass(struct gw_moment *m, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < m->count; i++) {
        struct gw_area *a = &m->areas[i];
        uint64_t first = 0, last;

        for (bool more = a->open; r >= 0 && more; first = last) {
            pthread_mutex_lock(&m->lock);
            more = next_run(a, a->open, PASS_BYTES >> m->ram->page_bits, &first, &last);
            if (more) {
                r = gw_moment_protect(m, a, first, last, true, err);
                if (r >= 0)
                    gw_bitmap_clear_range(a->open, first, last - first);
            }
            pthread_mutex_unlock(&m->lock);
            if (!more)
                break;
            if (m->quit >= 0 && m->cancel && gw_cancel_triggered(m->cancel))
                return gw_fail_canceled(err);
        }
    }
    return r;
}

static uint64_t count_open(struct gw_moment *m)
{
    uint64_t n = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->count; i++)
        n += m->areas[i].open ? gw_bitmap_count(m->areas[i].open, m->areas[i].block->pages) : 0;
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* ---- the guard ----------------------------------------------------------------------------------------------------- */

static void let_pass(struct gw_moment *m, uintptr_t address)
{
    struct gw_error error = GW_ERROR_INIT;
    uint64_t page, first, last;
    struct gw_area *a = gw_moment_find(m, address, &page);

    if (!a)
        return;
    gw_moment_around(a, page, &first, &last);
    pthread_mutex_lock(&m->lock);
    for (uint64_t i = first; i < last; i++)
        if (gw_bitmap_test(a->goes, i))
            gw_bitmap_set(a->open, i);
    if (gw_moment_protect(m, a, first, last, false, &error) < 0 && !m->error.code)
        m->error = error;
    pthread_mutex_unlock(&m->lock);
}

static void *guard_main(void *opaque)
{
    struct gw_moment *m = opaque;
    struct pollfd fds[] = {{.fd = m->uffd, .events = POLLIN}, {.fd = m->quit, .events = POLLIN}};
    struct uffd_msg msg[16];

    for (;;) {
        ssize_t n = read(m->uffd, msg, sizeof msg);

        for (ssize_t i = 0; i < n / (ssize_t)sizeof *msg; i++)
            if (msg[i].event == UFFD_EVENT_PAGEFAULT)
                let_pass(m, (uintptr_t)msg[i].arg.pagefault.address);
        if (n > 0)
            continue;
        if (fds[1].revents & POLLIN)
            return NULL;
        poll(fds, GW_ARRAY_LEN(fds), -1);
    }
}

static int begin_guard(struct gw_moment *m, struct gw_error *err)
{
    int r;

    m->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->quit < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "eventfd: %s", strerror(errno));
    r = gw_thread_start(&m->guard, guard_main, m, err);
    if (r < 0)
        gw_close_fd(&m->quit);
    return r;
}

static void end_guard(struct gw_moment *m)
{
    if (m->quit < 0)
        return;
    eventfd_write(m->quit, 1);
    pthread_join(m->guard, NULL);
    gw_close_fd(&m->quit);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * GW_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Passes over the pages that the guest has opened meanwhile, as long as they become fewer. */
static int go_ahead(struct gw_moment *m, struct gw_error *err)
{
    uint64_t began_ns = cpu_ns(), left = UINT64_MAX, now;
    int r = begin_guard(m, err);

    for (unsigned i = 0; r >= 0 && i < PASSES; i++) {
        r = pass(m, err);
        if (r >= 0 && !i && cpu_ns() - began_ns < LITTLE_NS)
            break;
        now = count_open(m);
        if (now < LITTLE_PAGES || now > left / 2)
            break;
        left = now;
    }
    return r;
}

/* ---- the moment ---------------------------------------------------------------------------------------------------- */

int gw_moment_begin(struct gw_moment *m, const bool *goes, struct gw_error *err)
{
    int r = gw_uffd_open_wp(&m->uffd, err);

    if (r < 0)
        return r;
    m->error = (struct gw_error)GW_ERROR_INIT;
    m->areas = calloc(GW_MAX(m->ram->count, 1u), sizeof *m->areas);
    if (!m->areas)
        r = gw_nomem(err, "write-protected pages");
    m->count = m->areas ? m->ram->count : 0;
    for (unsigned i = 0; r >= 0 && i < m->count; i++)
        if (goes[i])
            r = open_area(m, m->ram->blocks[i], &m->areas[i], err);
    if (r >= 0)
        r = go_ahead(m, err);
    if (r < 0)
        gw_moment_end(m);
    return r;
}

int gw_moment_take(struct gw_moment *m, struct gw_error *err)
{
    int r = 0;

    end_guard(m);
    if (m->error.code) {
        if (err)
            *err = m->error;
        return m->error.code;
    }
    for (unsigned i = 0; r >= 0 && i < m->count; i++)
        if (m->areas[i].goes && mark(m, &m->areas[i]) && m->areas[i].open) {
            r = gw_moment_protect(m, &m->areas[i], 0, m->areas[i].block->pages, false, err);
            open_all(&m->areas[i]);
        }
    return r < 0 ? r : pass(m, err);
}

void gw_moment_end(struct gw_moment *m)
{
    end_guard(m);
    for (unsigned i = 0; i < m->count; i++) {
        struct gw_area *a = &m->areas[i];

        gw_watch_end(m->uffd, &a->watch);
        if (a->block) {
            gw_bitmap_free(a->goes, a->block->pages);
            gw_bitmap_free(a->open, a->block->pages);
        }
    }
    free(m->areas);
    m->areas = NULL;
    m->count = 0;
    gw_close_fd(&m->uffd); /* threads that still wait continue */
}
