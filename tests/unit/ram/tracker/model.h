/* SPDX-License-Identifier: MIT
 *
 * model: a source that does what the real one does (sync, clean, copy) to a copy, and guests that write meanwhile.
 * If the tracker loses a page, the copy differs from the memory at the end.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/tracker/tracker.h"

#define PAGE         4096u
#define MODEL_BLOCKS 3

/* A race detector makes all of it some ten times slower. */
#ifdef __SANITIZE_THREAD__
#define MODEL_ROUNDS(n) ((n) / 8)
#else
#define MODEL_ROUNDS(n) (n)
#endif

struct model {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    uint8_t *mem[MODEL_BLOCKS], *copy[MODEL_BLOCKS];
    uint64_t pages[MODEL_BLOCKS];
    bool marks; /* each write is told to the tracker */
    /* Writes by something else than the test's own store instructions (a guest); NULL: plain stores. */
    void (*write)(struct model *m, unsigned block, uint64_t page, unsigned word, uint64_t value);
    uint64_t random; /* the source's and the deterministic writer's */
    uint64_t sent;
    void *opaque;
};

static inline uint64_t model_random(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

#define must(call)                                                                                                     \
    do {                                                                                                               \
        struct gw_error must_err = GW_ERROR_INIT, *err = &must_err;                                                    \
        int must_r = (call);                                                                                           \
        if (must_r < 0)                                                                                                \
            fail_msg("%s: %d %s", #call, must_r, must_err.text);                                                       \
    } while (0)

/* The memory is the caller's; blocks of NULL are left out. */
static inline void model_init(struct model *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->random = seed;
    must(gw_ram_init(&m->ram, PAGE, NULL, err));
}

static inline void model_add(struct model *m, void *host, uint64_t pages, uint64_t host_page)
{
    unsigned i = m->ram.count;
    char name[8] = {'b', (char)('0' + i), 0};
    struct gw_ram_desc d = {
        .name = name, .host = host, .used_bytes = pages * PAGE, .page_bytes = host_page, .gpa = (uint64_t)i << 32};

    must(gw_ram_add(&m->ram, &d, err));
    m->mem[i] = host;
    m->pages[i] = pages;
    m->copy[i] = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(m->copy[i], MAP_FAILED);
}

static inline void model_close(struct model *m)
{
    m->tracker = gw_tracker_free(m->tracker);
    for (unsigned i = 0; i < m->ram.count; i++)
        munmap(m->copy[i], m->pages[i] * PAGE);
    gw_ram_close(&m->ram);
}

static inline void model_write(struct model *m, uint64_t *random)
{
    uint64_t r = model_random(random);
    unsigned i = (unsigned)(r % m->ram.count), word = (unsigned)(r >> 8) % (PAGE / 8);
    /* Half of the writes go to a few hot pages. */
    uint64_t page = (r >> 20) % (r >> 63 ? GW_MIN(m->pages[i], 50) : m->pages[i]);

    if (m->write)
        m->write(m, i, page, word, r);
    else
        __atomic_store_n((uint64_t *)(m->mem[i] + page * PAGE) + word, r, __ATOMIC_RELAXED);
    if (m->marks)
        gw_tracker_mark(m->tracker, m->ram.blocks[i], page, 1);
}

__attribute__((no_sanitize("thread"))) static inline void model_copy(struct model *m, unsigned i, uint64_t page)
{
    const uint64_t *from = (const uint64_t *)(m->mem[i] + page * PAGE);
    uint64_t *to = (uint64_t *)(m->copy[i] + page * PAGE);

    for (unsigned w = 0; w < PAGE / 8; w++) {
        uint64_t v = __atomic_load_n(&from[w], __ATOMIC_RELAXED);

        if (to[w] != v)
            to[w] = v;
    }
    m->sent++;
}

/* Sends up to `budget` dirty pages. `own`: writes of its own in between. Returns whether nothing is left. */
static inline bool model_send(struct model *m, uint64_t budget, bool own)
{
    uint64_t found;

    for (unsigned i = 0; i < m->ram.count; i++) {
        struct gw_ram_block *b = m->ram.blocks[i];

        for (uint64_t p = 0; (p = gw_bitmap_next_set(b->dirty, b->pages, p)) < b->pages; p++) {
            if (!budget--)
                return false;
            if (own && model_random(&m->random) % 8 == 0)
                model_write(m, &m->random);
            must(gw_tracker_clean(m->tracker, b, p, &found, err));
            if (own && model_random(&m->random) % 8 == 0)
                model_write(m, &m->random);
            gw_bitmap_clear(b->dirty, p);
            model_copy(m, i, p);
        }
    }
    return true;
}

static inline uint64_t model_sync(struct model *m)
{
    uint64_t found = 0, before = 0, after = 0;

    for (unsigned i = 0; i < m->ram.count; i++)
        before += gw_bitmap_count(m->ram.blocks[i]->dirty, m->pages[i]);
    must(gw_tracker_sync(m->tracker, &found, err));
    for (unsigned i = 0; i < m->ram.count; i++)
        after += gw_bitmap_count(m->ram.blocks[i]->dirty, m->pages[i]);
    assert_int_equal(found, after - before);
    return found;
}

static inline void model_same(struct model *m)
{
    for (unsigned i = 0; i < m->ram.count; i++)
        for (uint64_t p = 0; p < m->pages[i]; p++)
            if (memcmp(m->mem[i] + p * PAGE, m->copy[i] + p * PAGE, PAGE))
                fail_msg("page %" PRIu64 " of block %u was lost", p, i);
}

/* The last sync and all that it leaves; nobody writes. */
static inline void model_finish(struct model *m)
{
    model_sync(m);
    assert_true(model_send(m, UINT64_MAX, false));
    model_same(m);
}

/* Rounds of a deterministic guest, with a check every `check` rounds and a new session every `check` * 8. */
static inline void model_rounds(struct model *m, unsigned rounds, unsigned writes, unsigned check)
{
    must(gw_tracker_start(m->tracker, NULL, err));
    for (unsigned n = 1; n <= rounds; n++) {
        for (unsigned i = 0; i < writes; i++)
            model_write(m, &m->random);
        model_sync(m);
        model_send(m, model_random(&m->random) % 4 ? UINT64_MAX : model_random(&m->random) % 200, true);
        if (n % check == 0)
            model_finish(m);
        if (n % (check * 8) == 0) {
            gw_tracker_stop(m->tracker);
            model_write(m, &m->random);
            must(gw_tracker_start(m->tracker, NULL, err));
        }
    }
    model_finish(m);
    gw_tracker_stop(m->tracker);
}

#define MODEL_GUESTS 3

/* Static, with a copy of the model, for it must be there for as long as the threads: model_clean_up(), the teardown of
 * a test with guests, ends those that a failed assertion left. */
static struct model_guest {
    struct model model;
    uint64_t random, writes;
    bool stop, started;
    pthread_t thread;
} model_guests[MODEL_GUESTS];

static void *model_guest(void *arg)
{
    struct model_guest *g = arg;

    while (!__atomic_load_n(&g->stop, __ATOMIC_RELAXED)) {
        model_write(&g->model, &g->random);
        g->writes++;
    }
    return NULL;
}

static inline int model_clean_up(void **state)
{
    for (unsigned i = 0; i < MODEL_GUESTS; i++)
        __atomic_store_n(&model_guests[i].stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < MODEL_GUESTS; i++) {
        if (model_guests[i].started)
            pthread_join(model_guests[i].thread, NULL);
        model_guests[i].started = false;
    }
    return 0;
}

/* The same against guests that never wait: `sessions` times, a few rounds each, then they are stopped for the end. */
static inline void model_concurrent(struct model *m, unsigned sessions, unsigned rounds, unsigned guests)
{
    for (unsigned s = 0; s < sessions; s++) {
        must(gw_tracker_start(m->tracker, NULL, err));
        for (unsigned i = 0; i < guests; i++) {
            struct model_guest *g = &model_guests[i];

            *g = (struct model_guest){.model = *m, .random = model_random(&m->random)};
            assert_int_equal(pthread_create(&g->thread, NULL, model_guest, g), 0);
            g->started = true;
        }
        for (unsigned n = 0; n < rounds; n++) {
            model_sync(m);
            model_send(m, n + 1 < rounds ? model_random(&m->random) % 3000 : UINT64_MAX, false);
        }
        model_clean_up(NULL);
        model_finish(m);
        gw_tracker_stop(m->tracker);
    }
}

#endif
