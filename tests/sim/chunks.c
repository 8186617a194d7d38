/* SPDX-License-Identifier: MIT */
#include "chunks.h"

#include "engine/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum record { DONE, CHUNK, PROGRESS, STATE };

#define BEFORE 500u /* changes that a table has at first */

/* ---- the table ---------------------------------------------------------------------------------------------------- */

/* Change number k: its place, and the bytes written there. */
static uint8_t *change(uint8_t *data, uint64_t seed, uint64_t k, uint64_t *ret_value)
{
    uint64_t r = sim_mix(seed ^ (k * 0x9E3779B97F4A7C15ull));

    *ret_value = sim_mix(r);
    return data + r % (CHUNKS * CHUNK_BYTES / 8) * 8;
}

static void make_change(struct chunks *c)
{
    uint64_t value;
    uint8_t *at = change(c->data, c->seed, ++c->changes, &value);

    memcpy(at, &value, 8);
    c->changed[(size_t)(at - c->data) / CHUNK_BYTES] = true;
}

static void work(void *part)
{
    struct chunks *c = part;
    unsigned n = atomic_load(&c->per_ms);

    pthread_mutex_lock(&c->lock);
    while (n--)
        make_change(c);
    pthread_mutex_unlock(&c->lock);
}

static uint64_t check(void *part)
{
    struct chunks *c = part;
    uint8_t *want = calloc(CHUNKS, CHUNK_BYTES);
    uint64_t wrong = 0;

    for (uint64_t k = 1; k <= c->changes; k++) {
        uint64_t value;
        uint8_t *at = change(want, c->seed, k, &value);

        memcpy(at, &value, 8);
    }
    for (size_t i = 0; i < CHUNKS * CHUNK_BYTES; i += 8)
        wrong += memcmp(want + i, c->data + i, 8) != 0;
    free(want);
    return wrong;
}

static void free_chunks(void *part)
{
    struct chunks *c = part;

    pthread_mutex_destroy(&c->lock);
    free(c->data);
    free(c);
}

void chunks_await(struct chunks *c, uint64_t changes)
{
    uint64_t until = UINT64_MAX;

    while (sim_runs(c->sim) && atomic_load(&c->per_ms)) {
        pthread_mutex_lock(&c->lock);
        if (until == UINT64_MAX)
            until = c->changes + changes;
        changes = c->changes;
        pthread_mutex_unlock(&c->lock);
        if (changes >= until)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
}

/* ---- source ------------------------------------------------------------------------------------------------------- */

/* The section of one session. */
struct section {
    struct gw_live live;
    struct chunks *c;
    unsigned bulk;        /* chunks below this number were sent once */
    bool due[CHUNKS];     /* chunks to be sent again */
    unsigned due_count;
    _Atomic uint64_t left_bytes;
    unsigned sent, came;
};

static struct section *section_of(struct gw_live *live)
{
    return GW_CONTAINER(live, struct section, live);
}

static void count_left(struct section *x)
{
    atomic_store(&x->left_bytes, (CHUNKS - x->bulk + (uint64_t)x->due_count) * CHUNK_BYTES);
}

static int setup(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct section *x = section_of(live);

    atomic_store(&x->c->bulk, 0);
    atomic_store(&x->c->again, 0);
    pthread_mutex_lock(&x->c->lock);
    memset(x->c->changed, 0, sizeof x->c->changed);
    pthread_mutex_unlock(&x->c->lock);
    count_left(x);
    gw_writer_cause(w, GW_CAUSE_DISK);
    gw_put_u32(w, CHUNKS);
    gw_put_u32(w, CHUNK_BYTES);
    return 0;
}

static int pending(struct gw_live *live, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct section *x = section_of(live);
    uint64_t fresh = 0;

    pthread_mutex_lock(&x->c->lock);
    for (unsigned i = 0; exact && i < CHUNKS; i++) {
        bool found = x->c->changed[i] && i < x->bulk && !x->due[i];

        x->c->changed[i] = false;
        x->due[i] |= found;
        fresh += found;
    }
    pthread_mutex_unlock(&x->c->lock);
    x->due_count += (unsigned)fresh;
    count_left(x);
    *ret = (struct gw_pending){.must_precopy_bytes = atomic_load(&x->left_bytes), .fresh_bytes = fresh * CHUNK_BYTES};
    return 0;
}

static int put_chunk(struct section *x, unsigned i, struct gw_writer *w, struct gw_error *err)
{
    if (++x->sent == atomic_load(&x->c->unread))
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "chunk %u cannot be read", i);
    gw_put_u8(w, CHUNK);
    gw_put_u32(w, i);
    pthread_mutex_lock(&x->c->lock);
    x->c->changed[i] = false; /* all changes so far are included in what is sent here */
    gw_put_bytes(w, x->c->data + (size_t)i * CHUNK_BYTES, CHUNK_BYTES);
    pthread_mutex_unlock(&x->c->lock);
    return 0;
}

/* 1: nothing is left; 0: the budget is spent. */
static int put_chunks(struct section *x, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    for (unsigned again = 0; x->bulk < CHUNKS || again < CHUNKS;) {
        bool bulk = x->bulk < CHUNKS;
        unsigned i = bulk ? x->bulk++ : again++;
        int r;

        if (!bulk && !x->due[i])
            continue;
        r = put_chunk(x, i, w, err);
        if (r < 0)
            return r;
        atomic_fetch_add(bulk ? &x->c->bulk : &x->c->again, 1);
        if (!bulk) {
            x->due[i] = false;
            x->due_count--;
        }
        count_left(x);
        if (budget && budget->spent(budget, 5 + CHUNK_BYTES))
            return 0;
    }
    return 1;
}

static int step(struct gw_live *live, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    struct section *x = section_of(live);
    int r;

    gw_writer_cause(w, GW_CAUSE_DISK);
    gw_put_u8(w, PROGRESS);
    gw_put_u8(w, (uint8_t)(x->bulk * 100 / CHUNKS));
    r = put_chunks(x, w, budget, err);
    if (r >= 0)
        gw_put_u8(w, DONE);
    return r;
}

static int complete(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct section *x = section_of(live);
    int r;

    gw_writer_cause(w, GW_CAUSE_DISK);
    r = put_chunks(x, w, NULL, err);
    if (r < 0)
        return r;
    gw_put_u8(w, STATE);
    gw_put_u64(w, x->c->seed);
    gw_put_u64(w, x->c->changes); /* the guest is stopped */
    gw_put_u8(w, DONE);
    return 0;
}

static void cleanup(struct gw_live *live)
{
}

/* ---- destination -------------------------------------------------------------------------------------------------- */

static int load_setup(struct gw_live *live, struct gw_error *err)
{
    struct section *x = section_of(live);

    x->came = 0;
    atomic_store(&x->c->stored, 0);
    atomic_store(&x->c->percent, 0);
    return 0;
}

static int get_size(struct gw_reader *r, struct gw_error *err)
{
    uint32_t count, bytes;
    int e = gw_get_u32(r, &count, err);

    if (e >= 0)
        e = gw_get_u32(r, &bytes, err);
    if (e >= 0 && (count != CHUNKS || bytes != CHUNK_BYTES))
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source has %u chunks of %u bytes, this machine %u of %u", count, bytes,
                    CHUNKS, CHUNK_BYTES);
    return e;
}

static int get_chunk(struct section *x, struct gw_reader *r, struct gw_error *err)
{
    uint32_t i;
    int e = gw_get_u32(r, &i, err);

    if (e < 0)
        return e;
    if (i >= CHUNKS)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "chunk %u of %u", i, CHUNKS);
    if (++x->came == atomic_load(&x->c->refuse))
        return gw_fail(err, -EROFS, GW_BLAME_EMBEDDER, "chunk %u cannot be stored", i);
    atomic_store(&x->live.touched, true);
    e = gw_get_bytes(r, x->c->data + (size_t)i * CHUNK_BYTES, CHUNK_BYTES, err);
    if (e >= 0)
        atomic_fetch_add(&x->c->stored, 1);
    return e;
}

static int get_percent(struct section *x, struct gw_reader *r, struct gw_error *err)
{
    uint8_t percent;
    int e = gw_get_u8(r, &percent, err);

    if (e >= 0 && (percent > 100 || percent < atomic_load(&x->c->percent)))
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "a progress of %u%% behind one of %u%%", percent,
                    atomic_load(&x->c->percent));
    if (e >= 0)
        atomic_store(&x->c->percent, percent);
    return e;
}

static int get_state(struct section *x, struct gw_reader *r, struct gw_error *err)
{
    int e = gw_get_u64(r, &x->c->seed, err);

    return e < 0 ? e : gw_get_u64(r, &x->c->changes, err);
}

static int load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err)
{
    struct section *x = section_of(live);
    uint8_t record = CHUNK;
    int e;

    if (kind == GW_SECTION_START)
        return get_size(r, err);
    do {
        e = gw_get_u8(r, &record, err);
        if (e >= 0 && record == CHUNK)
            e = get_chunk(x, r, err);
        else if (e >= 0 && record == PROGRESS)
            e = get_percent(x, r, err);
        else if (e >= 0 && record == STATE && kind == GW_SECTION_END)
            e = get_state(x, r, err);
        else if (e >= 0 && record != DONE)
            e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "record %u", record);
    } while (e >= 0 && record != DONE);
    return e;
}

static int check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err)
{
    if (end == GW_LIVE_ENDED)
        return 0;
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s", end == GW_LIVE_OPEN ? "its section chunks does not end"
                                                                             : "it had no section chunks");
}

static void load_cleanup(struct gw_live *live, bool ok)
{
}

/* ---- both --------------------------------------------------------------------------------------------------------- */

static void progress(struct gw_live *live, struct gw_progress *sum)
{
    sum->total_bytes += CHUNKS * CHUNK_BYTES;
    sum->remaining_bytes += atomic_load(&section_of(live)->left_bytes);
}

static struct gw_live *free_section(struct gw_live *live)
{
    free(section_of(live));
    return NULL;
}

static int make(void *opaque, struct gw_live **ret, struct gw_error *err)
{
    struct chunks *c = opaque;
    struct section *x = calloc(1, sizeof *x);

    if (!x)
        return gw_nomem(err, "section chunks");
    x->live.ops = &c->ops;
    x->live.section_id = c->section_id;
    x->c = c;
    *ret = &x->live;
    return 0;
}

struct chunks *chunks_new(struct sim *s, uint64_t seed, int order)
{
    static const struct sim_part part = {.work = work, .check = check, .free = free_chunks};
    struct chunks *c = calloc(1, sizeof *c);

    assert_non_null(c);
    c->ops = (struct gw_live_ops){
        .id = "chunks",
        .version = 1,
        .order = order,
        .setup = setup,
        .pending = pending,
        .step = step,
        .complete = complete,
        .cleanup = cleanup,
        .load_setup = load_setup,
        .load = load,
        .check_ended = check_ended,
        .load_cleanup = load_cleanup,
        .progress = progress,
        .free = free_section,
    };
    c->sim = s;
    c->data = calloc(CHUNKS, CHUNK_BYTES);
    pthread_mutex_init(&c->lock, NULL);
    c->seed = seed;
    for (unsigned i = 0; seed && c->data && i < BEFORE; i++)
        make_change(c);
    sim_take_part(s, &part, c);
    assert_non_null(c->data);
    c->section_id = gw_registry_take_id(gw_vm_registry(s->vm));
    s->vm->live[s->vm->lives].make = make;
    s->vm->live[s->vm->lives++].opaque = c;
    return c;
}
