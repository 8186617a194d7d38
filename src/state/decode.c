/* SPDX-License-Identifier: MIT */
#include "state/codec.h"

#include "base/endian.h"
#include "state/txn.h"

struct decoder {
    struct gw_walk walk;
    struct gw_reader *r;
    struct gw_txn txn;
    const struct gw_state *open[GW_STATE_DEPTH + 1]; /* descriptions that are being decoded, outermost first */
};

static struct decoder *decoder_of(const struct gw_walk *walk)
{
    return GW_CONTAINER(walk, struct decoder, walk);
}

static uint64_t decode_offset(const struct gw_walk *walk)
{
    return gw_reader_offset(decoder_of(walk)->r);
}

static int no_memory(struct gw_walk *walk)
{
    return gw_nomem(walk->err, "loading device state");
}

static int decode_enter(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base)
{
    int r = st->pre_load ? st->pre_load(base, walk->err) : 0;

    decoder_of(walk)->open[walk->depth] = st;
    return r < 0 ? gw_hook_failed(walk, st, "pre_load", r) : 0;
}

static int decode_leave(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base, int result)
{
    if (result < 0)
        return result;
    if (st->check) {
        result = st->check(base, version, walk->err);
        if (result < 0)
            return gw_hook_failed(walk, st, "check", result);
    }
    if (st->loaded && gw_txn_loaded(&decoder_of(walk)->txn, st, base, version) < 0)
        return no_memory(walk);
    return 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static int64_t as_int(enum gw_type type, const void *p)
{
    switch (type) {
    case GW_T_U8:
        return *(const uint8_t *)p;
    case GW_T_U16:
        return *(const uint16_t *)p;
    case GW_T_U32:
        return *(const uint32_t *)p;
    case GW_T_I8:
        return *(const int8_t *)p;
    case GW_T_I16:
        return *(const int16_t *)p;
    case GW_T_I32:
        return *(const int32_t *)p;
    default:
        return *(const int64_t *)p;
    }
}

static int get_scalar(struct decoder *d, enum gw_type type, void *p)
{
    struct gw_error *err = d->walk.err;
    uint8_t b;
    int r;

    switch (type) {
    case GW_T_BOOL:
        r = gw_get_u8(d->r, &b, err);
        if (r >= 0)
            *(uint8_t *)p = b != 0;
        return r;
    case GW_T_U8:
    case GW_T_I8:
        return gw_get_u8(d->r, p, err);
    case GW_T_U16:
    case GW_T_I16:
        return gw_get_u16(d->r, p, err);
    case GW_T_U32:
    case GW_T_I32:
        return gw_get_u32(d->r, p, err);
    default: /* F64 too: two halves, the upper one first, are a big-endian word */
        return gw_get_u64(d->r, p, err);
    }
}

static int get_bitmap(struct decoder *d, const struct gw_spot *spot, uint64_t *words)
{
    uint64_t bits = gw_spot_bits(spot), n = gw_div_up(bits, 64);

    for (uint64_t i = 0; i < n; i++) {
        int r = gw_get_u64(d->r, &words[i], d->walk.err);

        if (r < 0)
            return r;
    }
    if (bits % 64)
        words[n - 1] &= (1ull << bits % 64) - 1;
    return 0;
}

/* Integers that must equal, or not exceed, the value in memory. */
static int get_compared(struct decoder *d, struct gw_spot *spot, void *p)
{
    const struct gw_field *f = spot->field;
    int64_t mine = as_int(f->type, p), theirs;
    bool is_unsigned = f->type == GW_T_U64, above;
    int r = get_scalar(d, f->type, p);

    if (r < 0)
        return gw_spot_context(&d->walk, spot, r);
    theirs = as_int(f->type, p);
    if (f->flags & GW_F_EQUAL && theirs != mine)
        return gw_spot_fail(&d->walk, spot, -EPROTO, GW_BLAME_PEER, "value %" PRId64 ", but it is %" PRId64 " here",
                            theirs, mine);
    above = is_unsigned ? (uint64_t)theirs > (uint64_t)mine : theirs < 0 || theirs > mine;
    if (f->flags & GW_F_AT_MOST && above)
        return gw_spot_fail(&d->walk, spot, -EPROTO, GW_BLAME_PEER, "value %" PRId64 ", at most %" PRId64 " here",
                            theirs, mine);
    return 0;
}

static int decode_leaf(struct gw_walk *walk, struct gw_spot *spot, void *to, uint32_t n)
{
    struct decoder *d = decoder_of(walk);
    const struct gw_field *f = spot->field;
    uint32_t first = spot->index;
    char *p = to;

    for (uint32_t i = 0; i < n; i++) {
        int r;

        if (n > 1 || spot->count > 1) {
            spot->index = first + i;
            spot->at = gw_reader_offset(d->r);
        }
        if (f->flags & (GW_F_EQUAL | GW_F_AT_MOST)) {
            r = get_compared(d, spot, p);
            if (r < 0)
                return r;
        } else if (f->type == GW_T_UNUSED) {
            r = gw_get_discard(d->r, spot->bytes, walk->err);
        } else if (f->type == GW_T_BUFFER) {
            r = gw_get_bytes(d->r, p, (size_t)spot->bytes, walk->err);
        } else if (f->type == GW_T_BITMAP) {
            r = get_bitmap(d, spot, (uint64_t *)p);
        } else {
            r = get_scalar(d, f->type, p);
        }
        if (r < 0)
            return gw_spot_context(walk, spot, r);
        if (p)
            p += spot->bytes;
    }
    return 0;
}

/* ---- structures -------------------------------------------------------------------------------------------------- */

static int decode_element(struct gw_walk *walk, struct gw_spot *spot, bool begin)
{
    if (begin)
        spot->at = gw_reader_offset(decoder_of(walk)->r);
    return 0;
}

static int get_mark(struct gw_walk *walk, struct gw_spot *spot, uint8_t *ret)
{
    struct decoder *d = decoder_of(walk);
    int r;

    spot->at = gw_reader_offset(d->r);
    r = gw_get_u8(d->r, ret, walk->err);
    return r < 0 ? gw_spot_context(walk, spot, r) : 0;
}

static int decode_null(struct gw_walk *walk, struct gw_spot *spot)
{
    uint8_t mark = 0;
    int r = get_mark(walk, spot, &mark);

    if (r < 0)
        return r;
    if (mark != GW_MARK_NULL)
        return gw_spot_fail(walk, spot, -EPROTO, GW_BLAME_PEER,
                            "0x%02x, but there is no such element here (0x%02x expected)", mark, GW_MARK_NULL);
    return 0;
}

static int decode_pointee(struct gw_walk *walk, struct gw_spot *spot, void **slot, size_t bytes, void **ret)
{
    return gw_txn_pointee(&decoder_of(walk)->txn, slot, bytes, ret) < 0 ? no_memory(walk) : 0;
}

static int decode_list(struct gw_walk *walk, struct gw_spot *spot)
{
    struct decoder *d = decoder_of(walk);
    const struct gw_field *f = spot->field;
    struct gw_txn_list *list;
    uint32_t index;
    int r;

    if (gw_txn_list(&d->txn, f->list, spot->base, &index) < 0)
        return no_memory(walk);
    for (spot->index = 0;; spot->index++) {
        void *element;
        uint8_t mark = 0;

        r = get_mark(walk, spot, &mark);
        if (r < 0)
            return r;
        if (mark == GW_MARK_LIST_END)
            break;
        if (mark != GW_MARK_ELEMENT)
            return gw_spot_fail(walk, spot, -EPROTO, GW_BLAME_PEER, "0x%02x is neither an element nor the end mark", mark);
        if (spot->index >= f->list->max)
            return gw_spot_fail(walk, spot, -EPROTO, GW_BLAME_PEER, "more than %u elements", f->list->max);
        if (gw_txn_element(&d->txn, index, &element) < 0)
            return no_memory(walk);
        r = gw_walk_state(walk, f->state, f->state->version, element, spot);
        if (r < 0)
            return r;
    }
    list = &d->txn.lists[index];
    if (!f->list->check)
        return 0;
    r = f->list->check(spot->base, list->elements, list->count, walk->err);
    return r < 0 ? gw_hook_failed(walk, f->state, "check of the list", r) : 0;
}

/* ---- subsections ------------------------------------------------------------------------------------------------- */

static const struct gw_state *const *find_subsection(const struct gw_state *st, const char *name)
{
    for (const struct gw_state *const *p = st->subsections; p && *p; p++)
        if (!strcmp((*p)->name, name))
            return p;
    return NULL;
}

/* Whether an outer description has a subsection of this name: "uart/fifo2" is no unknown part of "uart/fifo". */
static bool known_outside(const struct decoder *d, const char *name)
{
    for (unsigned i = 0; i + 1 < d->walk.depth; i++)
        if (find_subsection(d->open[i], name))
            return true;
    return false;
}

/* Looks ahead. 1: a subsection of this description begins here, *name is its name; 0: something else. Waits for a byte
 * only if the bytes before it show that it must come: what follows the body may be the last byte for a long time. */
static int peek_subsection(struct decoder *d, const struct gw_state *st, char *name)
{
    size_t prefix = strlen(st->name), got, n;
    const uint8_t *p;
    int r = gw_reader_try(d->r, 1, &p, &got, d->walk.err);

    if (r < 0 || got < 1 || p[0] != GW_MARK_SUBSECTION)
        return r;
    r = gw_reader_try(d->r, 2, &p, &got, d->walk.err);
    if (r < 0 || got < 2 || p[1] < prefix + 1)
        return r;
    r = gw_reader_try(d->r, 2 + prefix, &p, &got, d->walk.err);
    if (r < 0 || got < 2 + prefix || memcmp(p + 2, st->name, prefix) != 0)
        return r;
    n = p[1];
    r = gw_reader_need(d->r, 2 + n, &p, d->walk.err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        name[i] = p[2 + i] >= 0x20 && p[2 + i] < 0x7f ? (char)p[2 + i] : '?';
    name[n] = 0;
    if (!find_subsection(st, name) && known_outside(d, name))
        return 0;
    gw_reader_skip(d->r, 2 + n);
    return 1;
}

int gw_state_version_check(const struct gw_state *st, uint32_t version, struct gw_error *err)
{
    if (version <= st->version && version >= st->oldest)
        return 0;
    if (st->oldest == st->version)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "version %u, only %u is known here", version, st->version);
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "version %u, only %u to %u are known here", version, st->oldest,
                   st->version);
}

static int load_subsection(struct gw_walk *walk, const struct gw_state *sub, void *base, const struct gw_spot *outer,
                           uint64_t at)
{
    struct gw_spot spot = {.outer = outer, .state = sub, .base = base, .count = 1, .at = at};
    int r = gw_get_u32(decoder_of(walk)->r, &spot.version, walk->err);

    if (r >= 0)
        r = gw_state_version_check(sub, spot.version, walk->err);
    if (r < 0) {
        gw_context(walk->err, "subsection %s at byte %" PRIu64, sub->name, at);
        return r;
    }
    return gw_walk_state(walk, sub, spot.version, base, &spot);
}

static int decode_subsections(struct gw_walk *walk, const struct gw_state *st, void *base, const struct gw_spot *outer)
{
    struct decoder *d = decoder_of(walk);
    const struct gw_state *const *p;
    uint64_t seen[4] = {0};

    for (;;) {
        uint64_t at = gw_reader_offset(d->r);
        char name[256];
        size_t k;
        int r = peek_subsection(d, st, name);

        if (r <= 0)
            return r;
        p = find_subsection(st, name);
        if (!p)
            return gw_fail(walk->err, -EPROTO, GW_BLAME_PEER,
                           "subsection %s of %s at byte %" PRIu64 " is not known here", name, st->name, at);
        k = (size_t)(p - st->subsections);
        if (k < 256 && (seen[k / 64] & (1ull << k % 64)))
            return gw_fail(walk->err, -EPROTO, GW_BLAME_PEER, "subsection %s at byte %" PRIu64 " comes twice", name,
                           at);
        if (k < 256)
            seen[k / 64] |= 1ull << k % 64;
        r = load_subsection(walk, *p, base, outer, at);
        if (r < 0)
            return r;
    }
}

static const struct gw_visitor decode_visitor = {
    .enter = decode_enter,
    .leave = decode_leave,
    .subsections = decode_subsections,
    .leaf = decode_leaf,
    .element = decode_element,
    .null = decode_null,
    .list = decode_list,
    .pointee = decode_pointee,
    .offset = decode_offset,
    .blame = GW_BLAME_PEER,
};

int gw_state_decode(const struct gw_state *st, uint32_t version, void *device, struct gw_reader *reader,
                    struct gw_error *err)
{
    struct decoder d = {.walk = {.visitor = &decode_visitor, .err = err}, .r = reader};
    void *copy = NULL;
    int r = gw_state_version_check(st, version, err);

    if (r < 0)
        return r;
    if (gw_txn_region(&d.txn, device, gw_state_bytes(st), &copy) < 0)
        r = no_memory(&d.walk);
    else
        r = gw_walk_state(&d.walk, st, version, copy, NULL);
    if (r < 0)
        gw_txn_abort(&d.txn);
    else
        gw_txn_commit(&d.txn);
    return r;
}
