/* SPDX-License-Identifier: MIT */
#include "base/endian.h"
#include "scan/parts.h"

#define PARSED_MAX  (256ull << 20) /* limit of bytes parsed in candidates that were not descriptions */
#define SEARCH_MAX  (256ull << 20) /* limit of bytes searched for sections that do not match a description */
#define WAITING_MAX 16u            /* candidates that may become descriptions when more bytes arrive */

static int tell_described(struct gw_scan *s, const uint8_t *data, uint64_t base, const struct gw_vmdesc_tree *tree,
                          const struct gw_vmdesc_section *at)
{
    int r = 0;

    for (uint32_t i = 0; i < tree->device_count && r >= 0; i++) {
        const struct gw_vmdesc_device *d = &tree->devices[i];
        struct gw_scan_section section = {.element = GW_ELEMENT_FULL, .id = at[i].section_id, .instance = d->instance,
                                          .version = at[i].version, .name = d->name, .at = base + at[i].start,
                                          .body_bytes = at[i].body_bytes, .body = data + at[i].body,
                                          .state = gw_vmdesc_state_of(d, &at[i]), .checkpoint = s->checkpoint};

        section.bytes = at[i].body + at[i].body_bytes - at[i].start + (gw_scan_footers(s) ? GW_FOOTER_BYTES : 0);
        r = GW_SCAN_TELL(s, section, &section);
    }
    return r;
}

/* Finds the sections of a description, without the devices of the set-up, which are first in it. -EPROTO: the
 * description does not match these bytes. */
static int locate(struct gw_scan *s, const struct gw_vmdesc_tree *tree, const uint8_t *data, size_t eof, uint64_t *search,
                  struct gw_vmdesc_tree *late, struct gw_vmdesc_section **ret, struct gw_error *err)
{
    struct gw_vmdesc_section *at;
    int r;

    *late = *tree;
    if (tree->device_count < s->early)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the state description has %u devices, %u came in the set-up",
                       tree->device_count, s->early);
    late->devices += s->early;
    late->device_count -= s->early;
    at = calloc(GW_MAX(late->device_count, 1u), sizeof *at);
    if (!at)
        return gw_nomem(err, "device sections");
    r = gw_vmdesc_locate(late, data, eof, gw_scan_footers(s), search, at, err);
    if (r >= 0 && (late->device_count ? at[0].start : eof) != 0)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the state description lacks the first %zu bytes of devices",
                    late->device_count ? at[0].start : eof);
    if (r < 0)
        free(at);
    else
        *ret = at;
    return r;
}

int gw_scan_package(struct gw_scan *s, uint32_t bytes, struct gw_error *err)
{
    uint64_t base = gw_reader_offset(s->r);
    struct gw_scan_found *list = NULL;
    size_t count = 0, end = 0;
    int r;

    if (s->tail || !bytes || bytes > GW_SCAN_TAIL_MAX)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": %s package of %u bytes", base,
                              s->tail ? "a second" : "a", bytes);
    s->r->in.what = "the package of devices";
    r = gw_scan_slurp(s, bytes, &s->tail, err);
    if (r < 0)
        return r;
    r = gw_scan_find(s, s->tail, bytes, GW_SCAN_TO_END, &list, &count, &end, err);
    if (r == -E2BIG)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": a package of more than %u device sections", base,
                              GW_SCAN_FOUND_MAX);
    if (r < 0) {
        gw_context(err, "the package at byte %" PRIu64, base);
        return r;
    }
    s->packaged = true;
    for (size_t i = 0; i < count && r >= 0; i++)
        r = gw_scan_tell_found(s, s->tail, base, &list[i], false, err);
    s->packaged = false;
    free(list);
    return r;
}

int gw_scan_checkpoint(struct gw_scan *s, uint64_t bytes, struct gw_error *err)
{
    uint64_t base = gw_reader_offset(s->r);
    GW_AUTOFREE struct gw_vmdesc_section *at = NULL;
    GW_AUTOFREE uint8_t *data = NULL;
    struct gw_vmdesc_tree late;
    struct gw_error why;
    int r;

    if (!bytes || bytes > GW_SCAN_TAIL_MAX)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": a checkpoint of %" PRIu64 " bytes", base, bytes);
    r = gw_scan_slurp(s, bytes, &data, err);
    if (r < 0)
        return r;
    if (!s->tree || data[bytes - 1] != GW_ELEMENT_EOF)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": a checkpoint that %s", base,
                              s->tree ? "does not end with EOF" : "comes without a description of the devices before");
    r = locate(s, s->tree, data, (size_t)bytes - 1, NULL, &late, &at, &why);
    if (r < 0)
        return gw_reader_fail(s->r, r, err, "checkpoint at byte %" PRIu64 ": %s", base, why.text);
    r = tell_described(s, data, base, &late, at);
    return r < 0 ? r : s->v->eof ? s->v->eof(s->opaque, base + bytes - 1) : 0;
}

/* ---- the tail ---------------------------------------------------------------------------------------------------- */

struct tail {
    uint64_t base;    /* offset of its first byte */
    size_t looked;    /* no candidate begins before this, except the following, whose text is incomplete: */
    size_t waiting[WAITING_MAX];
    unsigned waiting_count;
    uint64_t parsed;  /* bytes of candidates that were not descriptions */
    uint64_t search;  /* bytes that may still be searched for section heads */
    bool refused;     /* a complete description was found that did not match: */
    struct gw_error why;
};

/* *ret_more false: the stream has ended. */
static int read_more(struct gw_scan *s, bool *ret_more, struct gw_error *err)
{
    const uint8_t *p = NULL;
    size_t got = 0, n;
    int r = gw_reader_try(s->r, 1, &p, &got, err);

    *ret_more = got > 0;
    if (r < 0 || !got)
        return r;
    n = gw_reader_buffered(s->r);
    if (n > s->tail_cap - s->tail_bytes) {
        uint64_t max = s->live ? GW_SCAN_TAIL_LIVE_MAX : GW_SCAN_TAIL_MAX;
        size_t cap = GW_MAX(s->tail_cap * 2, s->tail_bytes + n);
        uint8_t *grown;

        if (s->tail_bytes + n > max)
            return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": more than %" PRIu64 " bytes of device state",
                                  gw_reader_offset(s->r), max);
        grown = realloc(s->tail, cap);
        if (!grown)
            return gw_nomem(err, "device sections");
        s->tail = grown;
        s->tail_cap = cap;
    }
    memcpy(s->tail + s->tail_bytes, p, n);
    s->tail_bytes += n;
    gw_reader_skip(s->r, n);
    return 0;
}

static bool is_complete(const struct gw_scan *s, size_t eof)
{
    return s->tail_bytes - eof - 6 >= gw_load_be32(s->tail + eof + 2);
}

static bool waited_for(const struct gw_scan *s, struct tail *t, size_t *ret_eof)
{
    for (unsigned i = 0; i < t->waiting_count; i++)
        if (is_complete(s, t->waiting[i])) {
            *ret_eof = t->waiting[i];
            t->waiting_count--;
            memmove(t->waiting + i, t->waiting + i + 1, (t->waiting_count - i) * sizeof *t->waiting);
            return true;
        }
    return false;
}

/* Finds the next place that looks like EOF and a description with its whole text. 1: *ret_eof; 0: more bytes are
 * needed. Device state may have such places by chance, or made by a guest, so the length they claim is never waited
 * for. At the end of the stream, places with an incomplete text are skipped. */
static int candidate(struct gw_scan *s, struct tail *t, bool more, size_t *ret_eof)
{
    if (waited_for(s, t, ret_eof))
        return 1;
    while (s->tail_bytes - t->looked >= 7) {
        const uint8_t *p = s->tail + t->looked;
        const uint8_t *found = memmem(p, s->tail_bytes - t->looked, "\0\6", 2);
        size_t left;
        uint32_t n;

        if (!found) {
            t->looked = s->tail_bytes - 1;
            return 0;
        }
        t->looked = (size_t)(found - s->tail);
        left = s->tail_bytes - t->looked;
        if (left < 7)
            return 0;
        n = gw_load_be32(found + 2);
        if (found[6] == '{' && n <= GW_JSON_BYTES_MAX) {
            *ret_eof = t->looked;
            if (is_complete(s, t->looked))
                return 1;
            if (more && t->waiting_count == WAITING_MAX)
                return 0;
            if (more)
                t->waiting[t->waiting_count++] = t->looked;
        }
        t->looked++;
    }
    return 0;
}

/* 1: the candidate is the description. */
static int try_candidate(struct gw_scan *s, struct tail *t, size_t eof, struct gw_error *err)
{
    uint32_t n = gw_load_be32(s->tail + eof + 2);
    GW_AUTOFREE struct gw_vmdesc_section *at = NULL;
    struct gw_vmdesc_tree *tree = NULL, late;
    size_t extra = s->tail_bytes - eof - 6 - n;
    int r = gw_vmdesc_parse((const char *)s->tail + eof + 6, n, &tree, &t->why);

    if (r >= 0)
        r = locate(s, tree, s->tail, eof, &t->search, &late, &at, &t->why);
    if (r < 0) {
        gw_vmdesc_tree_free(tree);
        if (r == -ENOMEM)
            return gw_nomem(err, "state description");
        gw_context(&t->why, "byte %" PRIu64, t->base + eof + 1);
        t->refused = true;
        t->parsed += n;
        t->looked = GW_MAX(t->looked, eof + 1);
        if (t->parsed > PARSED_MAX)
            return gw_reader_fail(s->r, -EPROTO, err, "%s, and many like it", t->why.text);
        return 0;
    }
    s->tree = tree;
    if (extra) {
        struct iovec iov = {s->tail + eof + 6 + n, extra};

        r = gw_reader_unread(s->r, &iov, 1, extra, err);
    }
    if (r >= 0)
        r = tell_described(s, s->tail, t->base, &late, at);
    if (r >= 0 && s->v->eof)
        r = s->v->eof(s->opaque, t->base + eof);
    if (r >= 0 && s->v->description)
        r = s->v->description(s->opaque, tree, t->base + eof + 1, 5 + (uint64_t)n);
    return r < 0 ? r : 1;
}

/* The end of the previous section was found because a device section seemed to begin there. Without a matching
 * description nothing else confirms it: a second such place makes it ambiguous. */
static bool is_ambiguous(const struct gw_scan *s)
{
    uint8_t footer[GW_FOOTER_BYTES + 1] = {GW_ELEMENT_FOOTER};

    gw_store_be32(footer + 1, s->guessed_id);
    footer[GW_FOOTER_BYTES] = GW_ELEMENT_FULL;
    return s->guessed[0] && memmem(s->tail, s->tail_bytes, footer, sizeof footer);
}

/* No description matches: the sections are found by the grammar alone. */
static int tail_without(struct gw_scan *s, struct tail *t, struct gw_error *err)
{
    struct gw_scan_found *list = NULL;
    size_t count = 0, end = 0, rest;
    int r;

    if (is_ambiguous(s))
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": it is ambiguous whether it ends here or further on",
                              t->base);
    r = gw_scan_find(s, s->tail, s->tail_bytes, GW_SCAN_TO_EOF, &list, &count, &end, err);
    if (r == -E2BIG)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": more than %u device sections, and no description "
                              "of them", t->base, GW_SCAN_FOUND_MAX);
    if (r == -EPROTO && !t->refused)
        return gw_reader_fail(s->r, -ENODATA, err,
                              "stream ended at byte %" PRIu64 " inside the device sections, which begin at byte %" PRIu64
                              ": there is neither their end nor a description",
                              t->base + s->tail_bytes, t->base);
    if (r == -EPROTO)
        return gw_reader_fail(s->r, -EPROTO, err, "%s", t->why.text);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count && r >= 0; i++)
        r = gw_scan_tell_found(s, s->tail, t->base, &list[i], false, err);
    free(list);
    if (r >= 0 && s->v->eof)
        r = s->v->eof(s->opaque, t->base + end);
    rest = s->tail_bytes - end - 1;
    if (r < 0 || !rest)
        return r;
    if (s->tail[end + 1] != GW_ELEMENT_VMDESC)
        return s->v->trailing ? s->v->trailing(s->opaque, t->base + end + 1, rest) : 0;
    if (t->refused)
        return gw_reader_fail(s->r, -EPROTO, err, "%s", t->why.text);
    return gw_reader_fail(s->r, -ENODATA, err, "stream ended at byte %" PRIu64 " inside the state description, which "
                          "begins at byte %" PRIu64, t->base + s->tail_bytes, t->base + end + 1);
}

/* No bytes arrived for a while. Whether the stream may be complete: the sections lead to an EOF, and no description has
 * begun after it. 1, 0, or -ENOMEM. */
static int may_end_here(struct gw_scan *s, struct gw_error *err)
{
    GW_AUTOFREE struct gw_scan_found *list = NULL;
    size_t count = 0, end = 0;
    struct gw_error why = GW_ERROR_INIT;
    int r = gw_scan_find(s, s->tail, s->tail_bytes, GW_SCAN_TO_EOF, &list, &count, &end, &why);

    if (r == -ENOMEM)
        return gw_nomem(err, "device sections");
    return r == -E2BIG || (r >= 0 && (end + 1 >= s->tail_bytes || s->tail[end + 1] != GW_ELEMENT_VMDESC));
}

int gw_scan_tail(struct gw_scan *s, struct gw_error *err)
{
    struct tail t = {.base = gw_reader_offset(s->r), .search = SEARCH_MAX, .why = GW_ERROR_INIT}, before;
    unsigned silences = 0;
    bool more = true;
    int r = 0;

    if (s->tail)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": device sections after a device package", t.base);
    while (r >= 0 && more) {
        bool silent;
        size_t eof = 0;

        r = read_more(s, &more, err);
        silent = r == -ETIMEDOUT && s->live;
        silences = silent ? silences + 1 : 0;
        before = t;
        if (silent) {
            /* There may be no description, and the peer waits for us; or it follows a place that only looked like one. */
            s->r->in.failed = 0;
            more = false;
            r = 0;
        }
        while (r >= 0 && candidate(s, &t, more, &eof)) {
            r = try_candidate(s, &t, eof, err);
            if (r)
                return r < 0 ? r : 0;
        }
        if (r < 0 || !silent || silences == s->silences)
            continue;
        r = may_end_here(s, err);
        if (r == 0) { /* the source or the network is slow */
            before.parsed = t.parsed;
            before.search = t.search;
            t = before;
            more = true;
        }
    }
    if (r >= 0)
        r = tail_without(s, &t, err);
    if (r < 0 && s->guessed[0])
        gw_context(err, "behind the live section %s, which is not known here and whose end was searched for", s->guessed);
    return r;
}
