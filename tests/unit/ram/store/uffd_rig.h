/* SPDX-License-Identifier: MIT
 *
 * uffd rig: a machine of one RAM block whose pages come by a uffd store, and threads that touch it.
 */
#ifndef GW_TEST_UFFD_RIG_H
#define GW_TEST_UFFD_RIG_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "ram/store/blocktime.h"
#include "ram/store/uffd.h"

#define HUGE ((size_t)2 << 20)
#define ASKS 65536u

enum memory { ANONYMOUS, MEMFD, HUGE_PRIVATE, HUGE_SHARED };

struct rig {
    struct gw_ram ram;
    struct gw_ram_block *b;
    struct gw_store *store;
    struct gw_clock clock;
    _Atomic uint64_t now;
    struct gw_blocktime *blocktime;
    uint8_t *host;
    size_t bytes;
    pthread_mutex_t lock;
    pthread_cond_t news;
    uint64_t asked[ASKS]; /* units, in order. Under lock, as what follows */
    unsigned asks;
    struct gw_error failed;
};

static inline uint64_t rig_now(void *opaque)
{
    return ((struct rig *)opaque)->now;
}

static inline void rig_ask(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    struct rig *rig = opaque;

    pthread_mutex_lock(&rig->lock);
    if (b != rig->b || bytes != gw_div_up(GW_MAX(b->page_bytes, rig->ram.page_bytes), 4096) * 4096 || offset % bytes ||
        rig->asks == ASKS)
        abort();
    rig->asked[rig->asks++] = offset / bytes;
    pthread_cond_broadcast(&rig->news);
    pthread_mutex_unlock(&rig->lock);
}

static inline void rig_failed(void *opaque, const struct gw_error *error)
{
    struct rig *rig = opaque;

    pthread_mutex_lock(&rig->lock);
    rig->failed = *error;
    pthread_cond_broadcast(&rig->news);
    pthread_mutex_unlock(&rig->lock);
}

/* Waits for the n-th (from 0) request, and returns its unit. */
static inline uint64_t rig_asked(struct rig *rig, unsigned n)
{
    uint64_t unit;

    pthread_mutex_lock(&rig->lock);
    while (rig->asks <= n && !rig->failed.code)
        pthread_cond_wait(&rig->news, &rig->lock);
    if (rig->failed.code)
        fail_msg("%s", rig->failed.text);
    unit = rig->asked[n];
    pthread_mutex_unlock(&rig->lock);
    return unit;
}

static inline unsigned rig_asks(struct rig *rig)
{
    unsigned n;

    pthread_mutex_lock(&rig->lock);
    n = rig->asks;
    pthread_mutex_unlock(&rig->lock);
    return n;
}

static inline struct gw_uffd_figures rig_figures(struct rig *rig)
{
    struct gw_uffd_figures f;

    gw_uffd_figures(rig->store, &f);
    return f;
}

/* Waits until the kernel has told of so many faults. */
static inline void rig_faults(struct rig *rig, uint64_t n)
{
    while (rig_figures(rig).faults < n)
        sched_yield();
}

static inline uint8_t *rig_map(enum memory kind, size_t bytes)
{
    int flags = kind == ANONYMOUS || kind == HUGE_PRIVATE ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd = -1;
    uint8_t *p;

    if (kind == HUGE_PRIVATE)
        flags |= MAP_HUGETLB;
    if (kind == MEMFD || kind == HUGE_SHARED) {
        fd = memfd_create("ram", MFD_CLOEXEC | (kind == HUGE_SHARED ? MFD_HUGETLB : 0));
        if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
            return NULL;
    }
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? NULL : p;
}

/* false: this machine has no memory of this kind. */
static inline bool rig_open(struct rig *rig, enum memory kind, uint32_t page_bytes, size_t host_bytes, size_t bytes, unsigned flags)
{
    struct gw_ram_desc d = {.name = "ram", .used_bytes = bytes, .page_bytes = host_bytes < page_bytes ? 0 : host_bytes, .flags = flags};
    struct gw_uffd_config config = {.ask = rig_ask, .failed = rig_failed, .opaque = rig, .clock = &rig->clock};

    memset(rig, 0, sizeof *rig);
    rig->clock = (struct gw_clock){GW_SIZED(struct gw_clock), .now_ns = rig_now, .opaque = rig};
    rig->now = 1;
    rig->bytes = gw_div_up(bytes, host_bytes) * host_bytes;
    rig->host = rig_map(kind, rig->bytes);
    if (!rig->host)
        return false;
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->news, NULL);
    d.host = rig->host;
    assert_int_equal(gw_ram_init(&rig->ram, page_bytes, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&rig->ram, &d, NULL), 0);
    rig->b = rig->ram.blocks[0];
    assert_int_equal(gw_blocktime_new((const int32_t[]){(int32_t)gettid()}, 0, &rig->blocktime, NULL), 0);
    config.blocktime = rig->blocktime;
    assert_int_equal(gw_store_uffd_new(&rig->ram, &config, &rig->store, NULL), 0);
    assert_int_equal(rig->store->add(rig->store, rig->b, NULL), 0);
    return true;
}

static inline void rig_listen(struct rig *rig)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_uffd_listen(rig->store, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void rig_close(struct rig *rig)
{
    assert_null(rig->store->free(rig->store));
    gw_blocktime_free(rig->blocktime);
    gw_ram_close(&rig->ram);
    munmap(rig->host, rig->bytes);
    pthread_mutex_destroy(&rig->lock);
    pthread_cond_destroy(&rig->news);
}

/* Fills a target page. */
static inline int rig_put(struct rig *rig, struct gw_store *store, uint64_t page, uint8_t value, struct gw_error *err)
{
    memset(store->where(store, rig->b, page, GW_STORE_OVERWRITE), value, rig->ram.page_bytes);
    return store->place(store, rig->b, page, err);
}

/* ---- a thread that touches one byte -------------------------------------------------------------------------------- */

struct touch {
    pthread_t thread;
    struct rig *rig;
    size_t offset;
    bool write;
    uint8_t saw;
    _Atomic int32_t id;
};

static inline void *touch_run(void *opaque)
{
    struct touch *t = opaque;
    volatile uint8_t *p = t->rig->host + t->offset;

    t->id = (int32_t)gettid();
    if (t->write)
        *p = 0xee;
    t->saw = *p;
    return NULL;
}

static inline void touch(struct touch *t, struct rig *rig, size_t offset, bool write)
{
    *t = (struct touch){.rig = rig, .offset = offset, .write = write};
    assert_int_equal(pthread_create(&t->thread, NULL, touch_run, t), 0);
}

static inline uint8_t touched(struct touch *t)
{
    pthread_join(t->thread, NULL);
    return t->saw;
}

/* ---- huge pages ---------------------------------------------------------------------------------------------------- */

/* Reserves some, and tells how many there were before; -1, with the reason printed: it cannot. */
static inline long huge_reserve(long pages)
{
    FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+");
    long before = -1, now = -1;

    if (f && fscanf(f, "%ld", &before) == 1) {
        rewind(f);
        fprintf(f, "%ld", before + pages);
        fflush(f);
        rewind(f);
        if (fscanf(f, "%ld", &now) != 1)
            now = -1;
    }
    if (f)
        fclose(f);
    if (before >= 0 && now >= before + pages)
        return before;
    printf("skipped: no %ld huge pages of 2 MiB can be reserved (vm.nr_hugepages; root, and free memory)\n", pages);
    if (before >= 0 && (f = fopen("/proc/sys/vm/nr_hugepages", "w"))) {
        fprintf(f, "%ld", before);
        fclose(f);
    }
    return -1;
}

static inline void huge_give_back(long pages)
{
    FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+");
    long now;

    if (f && fscanf(f, "%ld", &now) == 1) {
        rewind(f);
        fprintf(f, "%ld", now - pages);
    }
    if (f)
        fclose(f);
}

#endif
