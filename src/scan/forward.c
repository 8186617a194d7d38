/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/names.h"

struct forward {
    const uint8_t *data;
    size_t bytes;
    bool footers;
    const struct gw_scan_search *what;
    struct gw_scan_found *list; /* the way so far: each element's end is the next one's beginning */
    size_t count, cap;
    uint64_t *failed; /* beginnings that no way leads on from */
    uint64_t budget;  /* bytes that may still be looked at */
};

static bool printable(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    return n > 0;
}

static bool full_at(const struct forward *f, size_t at, struct gw_scan_found *e)
{
    const uint8_t *p = f->data + at;
    size_t left = f->bytes - at, n;

    if (left < 6 || p[0] != GW_ELEMENT_FULL)
        return false;
    n = p[5];
    if (left < 6 + n + 8 || !printable(p + 6, n))
        return false;
    *e = (struct gw_scan_found){.element = GW_ELEMENT_FULL, .at = at, .body = at + 6 + n + 8};
    e->id = gw_load_be32(p + 1);
    e->name = at + 6;
    e->name_bytes = (uint8_t)n;
    e->instance = gw_load_be32(p + 6 + n);
    e->version = gw_load_be32(p + 6 + n + 4);
    return e->version < 65536;
}

static bool command_at(const struct forward *f, size_t at, struct gw_scan_found *e)
{
    const uint8_t *p = f->data + at;
    const struct gw_wire_name *known;
    size_t left = f->bytes - at, n;

    if (left < 5 || p[0] != GW_ELEMENT_COMMAND)
        return false;
    known = gw_wire_command(gw_load_be16(p + 1));
    n = gw_load_be16(p + 3);
    if (!known || (known->bytes >= 0 && n != (size_t)known->bytes) || left < 5 + n ||
        known->number == GW_COMMAND_PACKAGED)
        return false;
    *e = (struct gw_scan_found){.element = GW_ELEMENT_COMMAND, .at = at, .body = at + 5, .body_bytes = n,
                                .id = known->number, .end = at + 5 + n};
    return true;
}

/* The first word of the RAM's PART or END. */
static bool ram_word(const struct forward *f, uint64_t word)
{
    uint64_t flags = word & (f->what->page_bytes - 1);

    if (flags == GW_RAMF_EOS || flags == GW_RAMF_MULTIFD_FLUSH)
        return word == flags;
    flags &= ~(uint64_t)GW_RAMF_CONTINUE;
    return flags == GW_RAMF_ZERO || flags == GW_RAMF_PAGE || flags == GW_RAMF_XBZRLE || flags == GW_RAMF_COMPRESS;
}

static bool at_live(const struct forward *f, size_t at)
{
    const uint8_t *p = f->data + at;
    size_t left = f->bytes - at;
    struct gw_scan_found command;

    if (p[0] == GW_ELEMENT_START)
        return left > 6 && left >= 6u + p[5] && printable(p + 6, p[5]);
    if (p[0] == GW_ELEMENT_COMMAND)
        return command_at(f, at, &command);
    if ((p[0] != GW_ELEMENT_PART && p[0] != GW_ELEMENT_END) || left < 5)
        return false;
    for (unsigned i = 0; i < f->what->live_count; i++)
        if (f->what->live[i].id == gw_load_be32(p + 1))
            return strcmp(f->what->live[i].name, "ram") != 0 || (left >= 13 && ram_word(f, gw_load_be64(p + 5)));
    return false;
}

static bool at_goal(struct forward *f, size_t at)
{
    const uint8_t *p = f->data + at;
    size_t left = f->bytes - at, i = 0;

    if (f->what->goal == GW_SCAN_TO_END)
        return !left;
    if (!left)
        return false;
    if (f->what->goal == GW_SCAN_TO_LIVE)
        return at_live(f, at);
    if (p[0] != GW_ELEMENT_EOF)
        return false;
    if (left > 1 && p[1] == GW_ELEMENT_VMDESC)
        return left <= 6 || p[6] == '{';
    while (i < left && !p[i])
        i++;
    f->budget -= GW_MIN(f->budget, i);
    return i == left;
}

static int push(struct forward *f, size_t at, bool *ret_pushed, struct gw_error *err)
{
    struct gw_scan_found e;

    *ret_pushed = false;
    if (at >= f->bytes || gw_bitmap_test(f->failed, at) || (!full_at(f, at, &e) && !command_at(f, at, &e)))
        return 0;
    if (f->count == GW_SCAN_FOUND_MAX)
        return gw_fail(err, -E2BIG, GW_BLAME_PEER, "more than %u device sections before byte %zu of them",
                       GW_SCAN_FOUND_MAX, at);
    if (f->count == f->cap) {
        size_t cap = GW_MAX(f->cap * 2, 32);
        struct gw_scan_found *grown = realloc(f->list, cap * sizeof *grown);

        if (!grown)
            return gw_nomem(err, "device sections");
        f->list = grown;
        f->cap = cap;
    }
    f->list[f->count++] = e;
    *ret_pushed = true;
    return 0;
}

/* The next place where this section could end; false: there is none. */
static bool next_end(struct forward *f, struct gw_scan_found *e)
{
    size_t from = e->end ? e->end + 1 : e->body + (f->footers ? 5 : 0);
    uint8_t footer[5] = {GW_ELEMENT_FOOTER};
    const uint8_t *p;

    if (e->element == GW_ELEMENT_COMMAND || from > f->bytes)
        return false;
    if (!f->footers) {
        f->budget -= GW_MIN(f->budget, 1);
        e->end = from;
        e->body_bytes = e->end - e->body;
        return f->budget > 0;
    }
    gw_store_be32(footer + 1, e->id);
    p = memmem(f->data + from - 5, f->bytes - (from - 5), footer, 5);
    f->budget -= GW_MIN(f->budget, (p ? (size_t)(p - f->data) : f->bytes) - (from - 5) + 1);
    if (!p || !f->budget)
        return false;
    e->end = (size_t)(p - f->data) + 5;
    e->body_bytes = e->end - 5 - e->body;
    return true;
}

static int search(struct forward *f, size_t *ret_end, struct gw_error *err)
{
    bool pushed = false, fresh = true;
    int r = push(f, 0, &pushed, err);

    while (r >= 0 && f->count && f->budget) {
        struct gw_scan_found *top = &f->list[f->count - 1];

        /* A command has its one end from the beginning. */
        if (!(fresh && top->element == GW_ELEMENT_COMMAND) && !next_end(f, top)) {
            gw_bitmap_set(f->failed, top->at);
            f->count--;
            fresh = false;
            continue;
        }
        if (at_goal(f, top->end)) {
            *ret_end = top->end;
            return 0;
        }
        r = push(f, top->end, &pushed, err);
        fresh = pushed;
    }
    return r < 0 ? r : gw_fail(err, -EPROTO, GW_BLAME_PEER, "device sections that cannot be told apart");
}

int gw_scan_forward(const struct gw_scan_search *what, struct gw_scan_found **ret_list, size_t *ret_count,
                    size_t *ret_end, struct gw_error *err)
{
    struct forward f = {.data = what->data, .bytes = what->bytes, .footers = what->footers, .what = what,
                        .budget = 16 * (uint64_t)what->bytes + GW_MIB};
    int r;

    f.failed = gw_bitmap_new(f.bytes);
    if (!f.failed)
        return gw_nomem(err, "device sections");
    r = search(&f, ret_end, err);
    gw_bitmap_free(f.failed, f.bytes);
    if (r < 0) {
        free(f.list);
        return r;
    }
    *ret_list = f.list;
    *ret_count = f.count;
    return 0;
}
