/* SPDX-License-Identifier: MIT */
#include "ram/source/working_set.h"

#include "base/crc32c.h"
#include "base/endian.h"

#define HEAD_BYTES 24u
#define PAGES_MAX  (UINT64_C(1) << 52)

int gw_working_set_new(struct gw_working_set **ret_set, struct gw_error *err)
{
    struct gw_working_set *set = calloc(1, sizeof *set);

    if (!set)
        return gw_nomem(err, "working set");
    *ret_set = set;
    return 0;
}

struct gw_working_set *gw_working_set_free(struct gw_working_set *set)
{
    if (set) {
        free(set->blocks);
        free(set->runs);
    }
    free(set);
    return NULL;
}

static uint64_t count_pages(const struct gw_working_set *set, bool beside)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < set->run_count; i++)
        pages += beside || !set->runs[i].beside ? set->runs[i].count : 0;
    return pages;
}

uint64_t gw_working_set_pages(const struct gw_working_set *set)
{
    return count_pages(set, true);
}

uint64_t gw_working_set_asked_pages(const struct gw_working_set *set)
{
    return count_pages(set, false);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

int gw_working_set_block(struct gw_working_set *set, const char *name, uint64_t pages, uint32_t *ret, struct gw_error *err)
{
    struct gw_working_block *grown;
    uint32_t i = 0;

    while (i < set->block_count && strcmp(set->blocks[i].name, name))
        i++;
    *ret = i;
    if (i < set->block_count) {
        set->blocks[i].pages = GW_MAX(set->blocks[i].pages, pages);
        return 0;
    }
    if (i == GW_WORKING_SET_BLOCKS)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a working set has at most %u blocks", GW_WORKING_SET_BLOCKS);
    grown = reallocarray(set->blocks, i + 1, sizeof *grown);
    if (!grown)
        return gw_nomem(err, "working set");
    set->blocks = grown;
    set->blocks[i].pages = pages;
    gw_strcopy(set->blocks[i].name, sizeof set->blocks[i].name, name);
    set->block_count++;
    return 0;
}

static int check_size(const struct gw_working_set *set, uint32_t page_bytes, struct gw_error *err)
{
    return set->page_bytes && set->page_bytes != page_bytes
               ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "its pages have %u bytes, but the working set has pages of %u", page_bytes,
                         set->page_bytes)
               : 0;
}

static int add_run(struct gw_working_set *set, struct gw_working_run run, struct gw_error *err)
{
    struct gw_working_run *last = set->run_count ? &set->runs[set->run_count - 1] : NULL;

    if (last && last->block == run.block && last->beside == run.beside && last->first + last->count == run.first) {
        last->count += run.count;
        return 0;
    }
    if (set->run_count == GW_WORKING_SET_RUNS)
        return 0;
    if (set->run_count == set->run_cap) {
        size_t cap = set->run_cap ? set->run_cap * 2 : 64;
        struct gw_working_run *grown = reallocarray(set->runs, cap, sizeof *grown);

        if (!grown)
            return gw_nomem(err, "working set");
        set->runs = grown;
        set->run_cap = cap;
    }
    set->runs[set->run_count++] = run;
    return 0;
}

int gw_working_set_add(struct gw_working_set *set, uint32_t page_bytes, const char *name, uint64_t block_pages, bool beside,
                       uint64_t first, uint64_t count, struct gw_error *err)
{
    uint32_t block = 0;
    int r = check_size(set, page_bytes, err);

    if (r >= 0)
        r = gw_working_set_block(set, name, block_pages, &block, err);
    if (r < 0 || !count)
        return r;
    set->page_bytes = page_bytes;
    return add_run(set, (struct gw_working_run){block, beside, first, count}, err);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_out *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        gw_put_u8(out, (uint8_t)(v | 0x80));
    gw_put_u8(out, (uint8_t)v);
}

static int get_varint(struct gw_in *in, uint64_t *ret, struct gw_error *err)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 63; shift += 7) {
        uint8_t byte;
        int r = gw_get_u8(in, &byte, err);

        if (r < 0)
            return r;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (!byte && shift)
            break; /* each number has only one encoding */
        *ret = v;
        return 0;
    }
    return gw_in_fail(in, -EPROTO, err, "a number has too many bytes");
}

void gw_working_set_put(const struct gw_working_set *set, struct gw_out *out)
{
    uint64_t *ends = calloc(GW_MAX(set->block_count, 1u), sizeof *ends);
    const uint8_t *data;
    size_t bytes;

    if (!ends) {
        gw_nomem(&out->error, "working set");
        return;
    }
    gw_put_bytes(out, GW_WORKING_SET_MAGIC, 8);
    gw_put_u32(out, GW_WORKING_SET_VERSION);
    gw_put_u32(out, set->page_bytes);
    gw_put_u32(out, set->block_count);
    gw_put_u32(out, (uint32_t)set->run_count);
    for (uint32_t i = 0; i < set->block_count; i++) {
        gw_put_str8(out, set->blocks[i].name);
        gw_put_u64(out, set->blocks[i].pages);
    }
    for (size_t i = 0; i < set->run_count; i++) {
        const struct gw_working_run *run = &set->runs[i];
        int64_t away = (int64_t)run->first - (int64_t)ends[run->block];

        put_varint(out, (uint64_t)run->block << 1 | run->beside);
        put_varint(out, (uint64_t)away << 1 ^ (uint64_t)(away >> 63));
        put_varint(out, run->count - 1);
        ends[run->block] = run->first + run->count;
    }
    free(ends);
    data = gw_out_data(out, &bytes);
    gw_put_u32(out, gw_crc32c(0, data, bytes));
}

static int get_blocks(struct gw_in *in, uint32_t count, struct gw_working_set *set, struct gw_error *err)
{
    struct gw_working_block b;
    uint32_t at;
    int r = 0;

    for (uint32_t i = 0; r >= 0 && i < count; i++) {
        r = gw_get_name(in, b.name, err);
        if (r >= 0)
            r = gw_get_u64(in, &b.pages, err);
        if (r >= 0 && b.pages > PAGES_MAX)
            r = gw_in_fail(in, -EPROTO, err, "block %s: %" PRIu64 " pages are more than there can be", b.name, b.pages);
        if (r >= 0)
            r = gw_working_set_block(set, b.name, b.pages, &at, err);
        if (r >= 0 && at != i)
            r = gw_in_fail(in, -EPROTO, err, "block %s is listed twice", b.name);
    }
    return r;
}

static int get_run(struct gw_in *in, uint64_t *ends, struct gw_working_set *set, struct gw_error *err)
{
    uint64_t kind, away, count, first;
    const struct gw_working_block *b;
    int r = get_varint(in, &kind, err);

    if (r >= 0)
        r = get_varint(in, &away, err);
    if (r >= 0)
        r = get_varint(in, &count, err);
    if (r < 0)
        return r;
    if (kind >> 1 >= set->block_count)
        return gw_in_fail(in, -EPROTO, err, "a run is of block %" PRIu64 ", but there are only %u "
                          "blocks", kind >> 1, set->block_count);
    b = &set->blocks[kind >> 1];
    /* Both are below 2^63 and 2^52, so for a page before the block the sum wraps, and is too large then. */
    first = ends[kind >> 1] + (away >> 1 ^ -(away & 1));
    if (first >= b->pages || count >= b->pages - first)
        return gw_in_fail(in, -EPROTO, err, "a run of %" PRIu64 " pages goes beyond block %s, which has "
                          "%" PRIu64 " pages", count + 1, b->name, b->pages);
    ends[kind >> 1] = first + count + 1;
    return add_run(set, (struct gw_working_run){(uint32_t)(kind >> 1), kind & 1, first, count + 1}, err);
}

static int get_head(struct gw_in *in, struct gw_working_set *set, uint32_t *ret_blocks, uint32_t *ret_runs, struct gw_error *err)
{
    uint32_t version;
    int r = gw_get_discard(in, 8, err);

    if (r >= 0)
        r = gw_get_u32(in, &version, err);
    if (r >= 0)
        r = gw_get_u32(in, &set->page_bytes, err);
    if (r >= 0)
        r = gw_get_u32(in, ret_blocks, err);
    if (r >= 0)
        r = gw_get_u32(in, ret_runs, err);
    if (r < 0)
        return r;
    if (*ret_blocks > GW_WORKING_SET_BLOCKS || *ret_runs > GW_WORKING_SET_RUNS)
        return gw_in_fail(in, -EPROTO, err, "%u blocks and %u runs are more than there can be", *ret_blocks, *ret_runs);
    if (version != GW_WORKING_SET_VERSION)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a working set of version %u; this program reads version %u", version,
                       GW_WORKING_SET_VERSION);
    if (set->page_bytes & (set->page_bytes - 1) || (!set->page_bytes && *ret_runs) ||
        (set->page_bytes && (set->page_bytes < 1024 || set->page_bytes > 1u << 20)))
        return gw_in_fail(in, -EPROTO, err, "pages of %u bytes", set->page_bytes);
    return 0;
}

static int get_all(struct gw_in *in, struct gw_working_set *set, struct gw_error *err)
{
    uint32_t blocks = 0, runs = 0;
    GW_AUTOFREE uint64_t *ends = NULL;
    int r = get_head(in, set, &blocks, &runs, err);

    if (r >= 0)
        r = get_blocks(in, blocks, set, err);
    if (r < 0)
        return r;
    ends = calloc(GW_MAX(set->block_count, 1u), sizeof *ends);
    if (!ends)
        return gw_nomem(err, "working set");
    for (uint32_t i = 0; r >= 0 && i < runs; i++)
        r = get_run(in, ends, set, err);
    if (r >= 0 && gw_in_buffered(in))
        r = gw_in_fail(in, -EPROTO, err, "%zu bytes stand behind the last run", gw_in_buffered(in));
    return r;
}

static int merge(struct gw_working_set *to, const struct gw_working_set *from, struct gw_error *err)
{
    GW_AUTOFREE uint32_t *block = calloc(GW_MAX(from->block_count, 1u), sizeof *block);
    size_t before = to->run_count;
    uint64_t tail = before ? to->runs[before - 1].count : 0;
    int r = !block ? gw_nomem(err, "working set") : from->run_count ? check_size(to, from->page_bytes, err) : 0;

    for (uint32_t i = 0; r >= 0 && i < from->block_count; i++)
        r = gw_working_set_block(to, from->blocks[i].name, from->blocks[i].pages, &block[i], err);
    for (size_t i = 0; r >= 0 && i < from->run_count; i++) {
        struct gw_working_run run = from->runs[i];

        run.block = block[run.block];
        r = add_run(to, run, err);
    }
    if (r >= 0 && from->run_count)
        to->page_bytes = from->page_bytes;
    if (r < 0 && before)
        to->runs[before - 1].count = tail;
    if (r < 0)
        to->run_count = before;
    return r;
}

int gw_working_set_get(struct gw_working_set *set, const void *data, size_t bytes, struct gw_error *err)
{
    struct gw_working_set got = {0};
    const uint8_t *p = data;
    uint32_t crc, is;
    struct gw_in in;
    int r;

    if (bytes < HEAD_BYTES + 4 || memcmp(p, GW_WORKING_SET_MAGIC, 8))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "not a working set, or a truncated one");
    crc = gw_load_be32(p + bytes - 4);
    is = gw_crc32c(0, p, bytes - 4);
    if (is != crc)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its checksum is 0x%08x and should be 0x%08x: it is damaged", is, crc);
    gw_in_memory(&in, p, bytes - 4, 0);
    r = get_all(&in, &got, err);
    if (r == -ENODATA)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it ends in the middle of its runs or blocks");
    if (r >= 0)
        r = merge(set, &got, err);
    free(got.blocks);
    free(got.runs);
    return r;
}
