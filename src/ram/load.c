/* SPDX-License-Identifier: MIT */
#include "ram/live.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire/names.h"
#include "wire/ram_list.h"

int gw_ram_load_setup(struct gw_live *live, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    m->listed = m->follows = m->cut = false;
    m->loading = true;
    m->in->touched = &live->touched;
    if (m->urgent_in)
        m->urgent_in->touched = &live->touched;
    return 0;
}

/* Writes received pages back to the file, so that they survive a crash of the host. The machine may run already: this
 * can take long. */
static void write_back(const struct ram_live *m)
{
    for (unsigned i = 0; i < m->config.ram->count; i++) {
        const struct gw_ram_block *b = m->config.ram->blocks[i];
        size_t before = (uintptr_t)b->host % (uintptr_t)sysconf(_SC_PAGESIZE);
        int r;

        if (!gw_ram_migrates(b) || !gw_ram_shared_file(b) || gw_ram_stays(m, b))
            continue;
        r = msync(b->host - before, b->used_bytes + before, MS_SYNC);
        gw_trace_ram_written_back(m->config.ram->trace, b->name, b->used_bytes, r < 0 ? strerror(errno) : "done");
    }
}

void gw_ram_load_cleanup(struct gw_live *live, bool ok)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    struct gw_ram *ram = m->config.ram;

    if (!m->loading)
        return;
    if (m->lanes_in) /* first: the threads read the flags */
        gw_lanes_in_end(m->lanes_in);
    /* The blocks hold what was received, even if the rest did not come. */
    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count; i++)
        if (ok || m->live.touched)
            ram->blocks[i]->flags &= ~(unsigned)GW_RAM_FRESH;
    pthread_mutex_unlock(&ram->lock);
    if (m->in->hook)
        m->in->hook->over(m->in->hook, ok);
    m->store->reset(m->store);
    m->in->reset(m->in);
    if (m->urgent_in)
        m->urgent_in->reset(m->urgent_in);
    gw_ram_unfollow(m);
    if (ok)
        write_back(m);
    m->loading = false;
}

struct listed {
    struct gw_ram_block *block;
    uint64_t used_bytes;
};

static int check_block(struct ram_live *m, const char *name, uint64_t used, const struct listed *list, unsigned count,
                       struct gw_ram_block **ret, struct gw_error *err)
{
    struct gw_ram_block *b = gw_ram_find(m->config.ram, name);

    if (!b && m->config.adopt && used) { /* entries of length 0 could come in any number */
        int e = m->config.adopt(m->config.opaque, name, used, err);

        b = gw_ram_find(m->config.ram, name);
        if (e < 0)
            return e;
    }
    if (!b || (b->flags & GW_RAM_NO_MIGRATE))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "the source has a RAM block %s (0x%" PRIx64 " bytes), which this machine lacks", name, used);
    for (unsigned i = 0; i < count; i++)
        if (list[i].block == b)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s is listed twice", name);
    if (used != b->used_bytes &&
        (!(b->flags & GW_RAM_RESIZEABLE) || used > b->max_bytes || used % m->config.ram->page_bytes))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM block %s has 0x%" PRIx64 " bytes on the source and 0x%" PRIx64 " here", name, used,
                       b->used_bytes);
    *ret = b;
    return 0;
}

/* Makes room for all blocks and one more. */
static int grow(struct ram_live *m, struct listed **list, struct gw_error *err)
{
    struct listed *grown = realloc(*list, (m->config.ram->count + 1) * sizeof *grown);

    if (!grown)
        return gw_nomem(err, "RAM block list");
    *list = grown;
    return 0;
}

/* A name that is unknown and not adopted, or that comes twice, is refused, so there are no more entries than blocks. */
static int read_list(struct ram_live *m, struct gw_reader *r, uint64_t total, struct listed **ret_list,
                     unsigned *ret_count, struct gw_error *err)
{
    unsigned count = 0;
    int e = grow(m, ret_list, err);

    if (e < 0)
        return e;

    for (uint64_t left = total; left; count++) {
        struct gw_wire_block entry;
        struct listed *list;
        uint64_t gpa;

        e = gw_ram_list_get(&r->in, &left, &entry, err);
        if (e >= 0)
            e = grow(m, ret_list, err);
        list = *ret_list;
        if (e >= 0)
            e = check_block(m, entry.name, entry.used_bytes, list, count, &list[count].block, err);
        if (e < 0)
            return e;
        gw_trace_ram_block(m->config.ram->trace, entry.name, entry.used_bytes, list[count].block->gpa);
        list[count].used_bytes = entry.used_bytes;
        e = gw_ram_load_host_page(m, list[count].block, r, err);
        if (e < 0)
            return e;
        if (m->config.ignore_shared) {
            e = gw_get_u64(r, &gpa, err);
            if (e < 0)
                return e;
            /* Blocks whose contents are sent may have any guest address. */
            if (gw_ram_stays(m, list[count].block) && gpa != list[count].block->gpa)
                return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                               "RAM block %s is at guest address 0x%" PRIx64 " on the source and 0x%" PRIx64 " here",
                               entry.name, gpa, list[count].block->gpa);
        }
        if (m->in->list && (e = m->in->list(m->in, list[count].block, entry.used_bytes, r, err)) < 0)
            return e;
    }
    *ret_count = count;
    return 0;
}

static int load_list(struct ram_live *m, struct gw_reader *r, struct gw_error *err)
{
    struct gw_ram *ram = m->config.ram;
    GW_AUTOFREE struct listed *list = NULL;
    uint64_t total, at = gw_reader_offset(r);
    unsigned count = 0;
    int e;

    if (m->listed)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a second RAM block list at byte %" PRIu64, at);
    e = gw_ram_list_get_total(&r->in, ram->page_bytes, UINT64_MAX, &total, err);
    if (e >= 0)
        e = read_list(m, r, total, &list, &count, err);
    if (e < 0)
        return e;
    for (unsigned i = 0; i < ram->count; i++) {
        bool found = false;

        for (unsigned k = 0; k < count; k++)
            found |= list[k].block == ram->blocks[i];
        if (!found && gw_ram_migrates(ram->blocks[i]))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s (0x%" PRIx64 " bytes) is not in the stream",
                           ram->blocks[i]->name, ram->blocks[i]->used_bytes);
    }
    /* The whole list is good: from here on it may have effects. */
    for (unsigned i = 0; i < count; i++) {
        struct gw_ram_block *b = list[i].block;

        if (list[i].used_bytes == b->used_bytes)
            continue;
        atomic_store(&m->live.touched, true); /* from here on no other source can be accepted */
        if (b->resized && (e = b->resized(ram->opaque, list[i].used_bytes, err)) < 0) {
            gw_context(err, "RAM block %s cannot be given 0x%" PRIx64 " bytes", b->name, list[i].used_bytes);
            return e;
        }
        b->used_bytes = list[i].used_bytes;
        b->pages = b->used_bytes >> ram->page_bits;
    }
    for (unsigned i = 0; i < count; i++) {
        if (gw_ram_stays(m, list[i].block)) {
            total -= list[i].used_bytes;
            continue;
        }
        e = m->store->add(m->store, list[i].block, err);
        if (e >= 0)
            e = m->in->add(m->in, list[i].block, err);
        if (e >= 0 && m->urgent_in)
            e = m->urgent_in->add(m->urgent_in, list[i].block, err);
        if (e >= 0 && m->in->hook) {
            atomic_store(&m->live.touched, true); /* from now on its pages may come */
            e = m->in->hook->add(m->in->hook, list[i].block, err);
        }
        if (e >= 0 && m->lanes_in)
            e = gw_lanes_in_add_block(m->lanes_in, list[i].block, err);
        if (e < 0)
            return e;
    }
    m->listed = true;
    atomic_store(&m->total, total);
    return m->lanes_in ? gw_lanes_in_begin(m->lanes_in, m->store, &m->live.touched, err) : 0;
}

/* After the list: whether MULTIFD_FLUSH comes before the end mark shows which rule the source uses. */
static int load_list_end(struct ram_live *m, struct gw_reader *r, struct gw_error *err)
{
    uint64_t word, at = gw_reader_offset(r);
    int e = gw_get_u64(r, &word, err);

    m->rounds = e >= 0 && m->lanes_in && word == GW_RAMF_MULTIFD_FLUSH;
    if (m->rounds) {
        at = gw_reader_offset(r);
        e = gw_get_u64(r, &word, err);
    }
    if (e < 0 || word == GW_RAMF_EOS)
        return e;
    return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                   "end mark expected after the RAM block list at byte %" PRIu64 ", found 0x%" PRIx64 " (%s)%s", at, word,
                   gw_wire_ram_flag(word), word == GW_RAMF_MULTIFD_FLUSH ? ": capability multifd is on at the source and off here" : "");
}

static int load_pages(struct ram_live *m, struct gw_reader *r, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(r);
    int e;

    if (!m->listed)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM pages at byte %" PRIu64 " before the block list", at);
    while ((e = m->in->get(m->in, r, m->store, err)) > 0) {
        if (m->follows && !gw_ram_laned(m))
            continue; /* QEMU from 9.0 on sends it there */
        if (!m->rounds)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "MULTIFD_FLUSH before byte %" PRIu64 ", but none follows the list of blocks", gw_reader_offset(r));
        e = gw_lanes_in_barrier(m->lanes_in, err);
        if (e < 0)
            return e;
    }
    return e;
}

int gw_ram_load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int e = kind == GW_SECTION_START ? load_list(m, r, err) : load_pages(m, r, err);

    if (e >= 0 && kind == GW_SECTION_START) /* a transport may have a record here */
        e = m->in->hook ? load_pages(m, r, err) : load_list_end(m, r, err);
    /* The mark on each lane belongs to this one on the main stream. */
    if (e >= 0 && gw_ram_laned(m) && (!m->rounds || kind == GW_SECTION_START))
        e = gw_lanes_in_barrier(m->lanes_in, err);
    if (e >= 0 && kind != GW_SECTION_START && m->store->flush)
        e = m->store->flush(m->store, err);
    return e;
}

/* Number of pages that never came. */
static uint64_t missing_pages(const struct ram_live *m)
{
    uint64_t missing = 0;

    for (unsigned i = 0; i < m->config.ram->count; i++)
        missing += m->store->missing(m->store, m->config.ram->blocks[i]);
    return missing;
}

int gw_ram_check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    const struct gw_ram *ram = m->config.ram;
    uint64_t missing = missing_pages(m);

    for (unsigned i = 0; end == GW_LIVE_ABSENT && i < ram->count; i++)
        if (gw_ram_migrates(ram->blocks[i]))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it had no section ram: RAM block %s did not come",
                           ram->blocks[i]->name);
    /* A background snapshot has no END, but every page. */
    if (end == GW_LIVE_OPEN && missing)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its section ram does not end, and %" PRIu64 " pages did not come",
                       missing);
    /* The source may know that the guest does not need them; a user may know that it does. So this is a note, no
     * error. */
    if (missing)
        snprintf(note, GW_LIVE_NOTE, "%" PRIu64 " pages never arrived and keep the contents that they had", missing);
    return 0;
}

void gw_ram_over(struct gw_live *live)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    if (gw_ram_laned(m))
        gw_lanes_in_over(m->lanes_in);
}
