/* SPDX-License-Identifier: MIT
 *
 * follow: the destination of the RAM section when pages may come after the switch to postcopy.
 */
#include "base/bitmap.h"
#include "base/endian.h"
#include "ram/live.h"
#include "wire/numbers.h"

static struct ram_live *of(struct gw_live *live)
{
    return GW_CONTAINER(live, struct ram_live, live);
}

int gw_ram_advised(struct gw_live *live, uint64_t host_pages, uint64_t page_bytes, struct gw_error *err)
{
    struct ram_live *m = of(live);
    uint64_t ours = gw_ram_host_pages(m->config.ram);

    if (!m->store->discard)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "the source discards pages, which this machine cannot do");
    if (page_bytes != m->config.ram->page_bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "target pages have 0x%" PRIx64 " bytes on the source and 0x%x here", page_bytes,
                       m->config.ram->page_bytes);
    if (!m->config.any_host_pages && host_pages != ours)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "host pages have 0x%" PRIx64 " bytes on the source and 0x%" PRIx64
                       " here (sums of all sizes in use): both sides need RAM of the same backing for postcopy",
                       host_pages, ours);
    m->host_pages = host_pages;
    return 0;
}

/* Finds out whether the entry has a host page size. Only a block with unusual host pages has one. If blocks are created
 * as they are listed, this cannot be known beforehand; but a name never begins with a zero byte. */
static int guess_host_page(const struct ram_live *m, struct gw_reader *r, struct gw_error *err)
{
    const uint8_t *p;
    int e = gw_reader_need(r, sizeof(uint64_t), &p, err); /* at least an end mark follows */
    uint64_t v;

    if (e < 0)
        return e;
    v = gw_load_be64(p);
    if (gw_is_pow2(v) && v > GW_RAMF_MULTIFD_FLUSH && v & m->host_pages)
        gw_reader_skip(r, sizeof v);
    return 0;
}

int gw_ram_load_host_page(const struct ram_live *m, const struct gw_ram_block *b, struct gw_reader *r, struct gw_error *err)
{
    uint64_t size;
    int e;

    if (!m->host_pages)
        return 0;
    if (m->config.any_host_pages)
        return guess_host_page(m, r, err);
    if (!gw_ram_large_pages(m->config.ram, b))
        return 0;
    e = gw_get_u64(r, &size, err);
    if (e < 0 || size == b->page_bytes)
        return e;
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s has host pages of 0x%" PRIx64 " bytes on the source and of 0x%" PRIx64
                   " here", b->name, size, b->page_bytes);
}

int gw_ram_forget(struct gw_live *live, const char *name, uint64_t start, uint64_t bytes, struct gw_error *err)
{
    struct ram_live *m = of(live);
    struct gw_ram *ram = m->config.ram;
    struct gw_ram_block *b = gw_ram_find(ram, name);
    uint64_t **owed;
    uint64_t page = b && !m->config.any_host_pages ? GW_MAX(b->page_bytes, (uint64_t)ram->page_bytes) : ram->page_bytes;

    if (!m->listed || !b || !gw_ram_migrates(b))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "no RAM block is called %s", name);
    if (!bytes || (start | bytes) % page || start > b->used_bytes || bytes > b->used_bytes - start)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "0x%" PRIx64 " bytes at 0x%" PRIx64 " of RAM block %s, which has 0x%" PRIx64 " bytes and pages of "
                           "0x%" PRIx64,
                       bytes, start, name, b->used_bytes, page);
    atomic_store(&live->touched, true);
    owed = gw_ram_table(m->owed, &m->owed_count, sizeof *owed, b);
    if (!owed)
        return gw_nomem(err, "map of discarded pages");
    m->owed = owed;
    if (!m->owed[b->index] && !(m->owed[b->index] = gw_bitmap_new(b->max_bytes >> ram->page_bits)))
        return gw_nomem(err, "map of discarded pages");
    gw_bitmap_set_range(m->owed[b->index], start >> ram->page_bits, bytes >> ram->page_bits);
    return m->store->discard(m->store, b, start >> ram->page_bits, bytes >> ram->page_bits, err);
}

int gw_ram_regain(struct gw_live *live, struct gw_error *err)
{
    struct ram_live *m = of(live);
    struct gw_ram *ram = m->config.ram;
    int e = 0;

    if (!m->store->discard || m->lanes_in || m->in->hook)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "the rest of a machine comes on one channel only: turn multifd and page "
                       "transports off");
    for (unsigned i = 0; e >= 0 && i < ram->count; i++) {
        if (!gw_ram_migrates(ram->blocks[i]))
            continue;
        e = m->store->add(m->store, ram->blocks[i], err);
        if (e >= 0)
            e = m->in->add(m->in, ram->blocks[i], err);
        if (e >= 0 && m->urgent_in)
            e = m->urgent_in->add(m->urgent_in, ram->blocks[i], err);
        atomic_fetch_add(&m->total, ram->blocks[i]->used_bytes);
    }
    m->listed = e >= 0;
    return e;
}

int gw_ram_follow(struct gw_live *live, struct gw_error *err)
{
    struct ram_live *m = of(live);
    int e;

    m->follows = m->in->follows = true;
    if (m->urgent_in)
        m->urgent_in->follows = true;
    e = m->store->listen ? m->store->listen(m->store, err) : 0;
    return e >= 0 && gw_ram_laned(m) ? gw_lanes_in_follow(m->lanes_in, err) : e;
}

void gw_ram_cut(struct gw_live *live)
{
    struct ram_live *m = of(live);

    if (gw_ram_laned(m))
        gw_lanes_in_end(m->lanes_in);
    m->cut = true;
}

/* No block is added here, so this layout can use the same list. */
int gw_ram_load_urgent(struct gw_live *live, struct gw_reader *r, struct gw_error *err)
{
    struct ram_live *m = of(live);
    struct gw_store *lane = NULL;
    int e;

    if (!m->urgent_in || !m->follows)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "this session has no channel of urgent pages: postcopy-preempt is off, or "
                       "nothing follows");
    e = m->store->lane ? m->store->lane(m->store, &lane, err) : 0;
    if (e >= 0)
        e = m->urgent_in->get(m->urgent_in, r, lane ? lane : m->store, err);
    if (e > 0)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "MULTIFD_FLUSH before byte %" PRIu64, gw_reader_offset(r));
    m->urgent_in->broke(m->urgent_in);
    if (lane)
        lane->free(lane);
    return e;
}

void gw_ram_hold(struct gw_live *live)
{
    struct ram_live *m = of(live);

    if (m->store->hold)
        m->store->hold(m->store);
    m->in->broke(m->in);
}

void gw_ram_again(struct gw_live *live)
{
    struct ram_live *m = of(live);

    if (m->store->ask_again)
        m->store->ask_again(m->store);
}

int gw_ram_release(struct gw_live *live, struct gw_error *err)
{
    struct ram_live *m = of(live);

    return m->follows && m->store->finish ? m->store->finish(m->store, err) : 0;
}

void gw_ram_unfollow(struct ram_live *m)
{
    for (unsigned i = 0; i < m->owed_count; i++)
        if (m->owed[i])
            gw_bitmap_free(m->owed[i], m->config.ram->blocks[i]->max_bytes >> m->config.ram->page_bits);
    free(m->owed);
    m->owed = NULL;
    m->owed_count = 0;
    m->host_pages = 0;
    m->follows = false;
}

/* A page that was neither sent nor discarded is one that the source will not send: it counts as received. */
static int copy_received(const struct ram_live *m, const struct gw_ram_block *b, uint64_t **ret, struct gw_error *err)
{
    const uint64_t *owed = b->index < m->owed_count ? m->owed[b->index] : NULL;

    *ret = calloc(GW_MAX(gw_bitmap_words(b->pages), 1u), sizeof **ret);
    if (!*ret)
        return gw_nomem(err, "map of received pages");
    m->store->received(m->store, b, *ret);
    for (size_t i = 0; i < gw_bitmap_words(b->pages); i++)
        (*ret)[i] |= owed ? ~owed[i] : ~0ull;
    if (b->pages % 64)
        (*ret)[b->pages / 64] &= ~(~0ull << b->pages % 64);
    return 0;
}

uint64_t gw_ram_lacking(struct gw_live *live)
{
    struct ram_live *m = of(live);
    uint64_t pages = 0, *map;

    for (unsigned i = 0; i < m->owed_count; i++) {
        const struct gw_ram_block *b = m->config.ram->blocks[i];

        if (!m->owed[i])
            continue;
        if (copy_received(m, b, &map, NULL) < 0)
            return UINT64_MAX; /* not known: do not report 0 */
        pages += b->pages - gw_bitmap_count(map, b->pages);
        free(map);
    }
    return pages << m->config.ram->page_bits;
}

int gw_ram_received(struct gw_live *live, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *err)
{
    struct ram_live *m = of(live);
    const struct gw_ram_block *b = gw_ram_find(m->config.ram, name);

    if (!b || !gw_ram_migrates(b) || !m->store->received)
        return gw_fail(err, -ENOENT, GW_BLAME_PEER, "no RAM block is called %s", name);
    *ret_pages = b->pages;
    return copy_received(m, b, ret_map, err);
}
