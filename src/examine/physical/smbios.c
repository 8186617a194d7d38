/* SPDX-License-Identifier: MIT
 *
 * An entry point, aligned to 16 bytes, points to consecutive structures: u8 type, u8 length, u16 handle, the rest of
 * `length`, and texts up to two bytes of zero. Type 19 is a range of memory: u32 first and last KiB at 4 and 8; where
 * the first is all ones, u64 first and last byte at 15 and 23.
 */
#include "examine/physical/smbios.h"

#include "examine/physical/peek.h"
#include "examine/sweep.h"

#define TABLE_MAX  (1u << 20)
#define ENTRY_MAX  32u
#define ENTRIES    64u /* limit of entry points examined: a guest may fill its memory with them */
#define BIOS_FIRST 0xf0000u

struct search {
    struct gw_image *image;
    unsigned block, left;
    uint64_t below, above, upper;
    struct gw_error *err;
};

/* Checks that the structures have the two ranges and no others. */
static void judge(struct search *s, const uint8_t *t, uint64_t bytes)
{
    uint64_t upper = 0;
    bool lower = false;

    for (uint64_t at = 0; bytes - at >= 4 && t[at] != 127;) {
        const uint8_t *p = t + at;
        uint64_t length = p[1], first, end;

        if (length < 4 || length > bytes - at)
            return;
        if (p[0] == 19 && length >= 15) {
            first = gw_peek_le(p + 4, 4) * GW_KIB;
            end = (gw_peek_le(p + 8, 4) + 1) * GW_KIB;
            if (gw_peek_le(p + 4, 4) == UINT32_MAX && length >= 31) {
                first = gw_peek_le(p + 15, 8);
                end = gw_peek_le(p + 23, 8) + 1;
            }
            if (!first && end == s->below && !lower)
                lower = true;
            else if (first >= 4 * GW_GIB && end > first && end - first == s->above && !upper)
                upper = first;
            else
                return;
        }
        for (at += length; at + 1 < bytes && (t[at] || t[at + 1]);)
            at++;
        at = GW_MIN(at + 2, bytes);
    }
    if (lower)
        s->upper = upper;
}

/* p: 32 bytes that may be an entry point. */
static int try_entry(struct search *s, const uint8_t *p)
{
    GW_AUTOFREE uint8_t *table = NULL;
    uint64_t address, bytes;
    int r;

    if (!memcmp(p, "_SM3_", 5) && p[6] >= 24 && p[6] <= ENTRY_MAX && !gw_peek_sum(p, p[6])) {
        bytes = gw_peek_le(p + 12, 4);
        address = gw_peek_le(p + 16, 8);
    } else if (!memcmp(p, "_SM_", 4) && p[5] >= 31 && p[5] <= ENTRY_MAX && !gw_peek_sum(p, p[5])) {
        bytes = gw_peek_le(p + 22, 2);
        address = gw_peek_le(p + 24, 4);
    } else {
        return 0;
    }
    if (!bytes || bytes > TABLE_MAX || bytes > s->below || address > s->below - bytes || !s->left)
        return 0;
    s->left--;
    table = malloc((size_t)bytes);
    if (!table)
        return gw_nomem(s->err, "SMBIOS tables");
    r = gw_peek(s->image, s->block, address, table, bytes, s->err);
    if (r > 0)
        judge(s, table, bytes);
    return GW_MIN(r, 0);
}

/* An entry point does not go across the end of what is read at a time: firmware puts it at the start of a page. */
static int try_all(struct search *s, const uint8_t *p, uint64_t bytes)
{
    int r = 0;

    for (uint64_t at = 0; at + ENTRY_MAX <= bytes && !s->upper && r >= 0; at += 16)
        if (p[at] == '_' && p[at + 1] == 'S' && p[at + 2] == 'M')
            r = try_entry(s, p + at);
    return r;
}

static int sweep(struct search *s, gw_examine_progress_fn progress, void *opaque)
{
    uint64_t page = s->image->page_bytes;
    struct gw_sweep sweep;
    int r = gw_sweep_init(&sweep, s->image, s->below, progress, opaque, s->err);

    if (r < 0)
        return r;
    gw_sweep_range(&sweep, s->block, 0, s->below / page);
    while (!s->upper && s->left && (r = gw_sweep_next(&sweep, s->err)) > 0) {
        r = sweep.any ? gw_sweep_read(&sweep, s->err) : 0;
        if (r >= 0 && sweep.any)
            r = try_all(s, sweep.data, sweep.count * page);
        if (r < 0)
            break;
    }
    gw_sweep_close(&sweep);
    return GW_MIN(r, 0);
}

int gw_smbios_upper(struct gw_image *image, unsigned block, uint64_t below, uint64_t above, uint64_t *ret,
                    gw_examine_progress_fn progress, void *opaque, struct gw_error *err)
{
    struct search s = {.image = image, .block = block, .left = ENTRIES, .below = below, .above = above, .err = err};
    GW_AUTOFREE uint8_t *bios = malloc(GW_MIB - BIOS_FIRST);
    int r;

    if (!bios)
        return gw_nomem(err, "SMBIOS tables");
    r = gw_peek(image, block, BIOS_FIRST, bios, GW_MIB - BIOS_FIRST, err);
    if (r > 0)
        r = try_all(&s, bios, GW_MIB - BIOS_FIRST);
    if (r >= 0 && !s.upper)
        r = sweep(&s, progress, opaque);
    if (r >= 0)
        *ret = s.upper;
    return r;
}
