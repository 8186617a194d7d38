/* SPDX-License-Identifier: MIT */
#include "examine/physical/acpi.h"

#include "examine/physical/peek.h"

#define TABLES     "/rom@etc/acpi/tables"
#define TABLES_MAX (8 * GW_MIB)
#define HEAD       36u /* size of a table's header: signature, u32 length, ..., checksum */
#define FACS       64u
#define SRAT_HEAD  48u
#define ROOT_MAX   65536u

enum srat_flags { SRAT_ENABLED = 1, SRAT_PLUGGED = 2, SRAT_LASTING = 4 };

struct tables {
    const uint8_t *data;
    uint64_t bytes;
    unsigned srats;
    struct gw_acpi *found;
};

static int by_address(const void *a, const void *b)
{
    const struct gw_acpi_part *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

/* Sorts the parts. false: they overlap, or wrap around. */
static bool order(struct gw_acpi *a)
{
    uint64_t end = 0, next;

    qsort(a->parts, a->part_count, sizeof *a->parts, by_address);
    for (unsigned i = 0; i < a->part_count; i++) {
        struct gw_acpi_part *p = &a->parts[i];

        if ((i && p->address < end) || gw_add_overflows(p->address, p->bytes, &next))
            return false;
        if (i && end == 640 * GW_KIB && p->address == GW_MIB) {
            a->parts[i - 1].bytes = GW_MIB - a->parts[i - 1].address;
            end = GW_MIB;
        }
        end = next;
    }
    return true;
}

/* Reads entries with a type and a length in bytes; type 1 is memory. */
static bool take_srat(struct gw_acpi *a, const uint8_t *t, uint64_t bytes)
{
    for (uint64_t at = SRAT_HEAD; at < bytes;) {
        const uint8_t *e = t + at;
        uint32_t flags;

        if (bytes - at < 2 || e[1] < 2 || e[1] > bytes - at || (e[0] == 1 && e[1] < 40))
            return false;
        at += e[1];
        if (e[0] != 1)
            continue;
        flags = (uint32_t)gw_peek_le(e + 28, 4);
        if (!(flags & SRAT_ENABLED) || flags & (SRAT_PLUGGED | SRAT_LASTING) || !gw_peek_le(e + 16, 8))
            continue;
        if (a->part_count == GW_SRAT_MAX)
            return false;
        a->parts[a->part_count++] = (struct gw_acpi_part){
            .address = gw_peek_le(e + 8, 8), .bytes = gw_peek_le(e + 16, 8), .node = (uint32_t)gw_peek_le(e + 2, 4)};
    }
    return order(a);
}

/* Resources of the PCI buses in the bytecode: a descriptor of 64-bit addresses is 0x8a, u16 length 0x2b, u8 type (0:
 * memory), two bytes of flags, u64 granularity, first, last, offset, length. If the length does not match first and
 * last, it is a template that the guest fills in. */
static void take_dsdt(struct gw_acpi *a, const uint8_t *t, uint64_t bytes)
{
    for (uint64_t at = HEAD; at + 46 <= bytes; at++) {
        uint64_t first, last;

        if (t[at] != 0x8a || gw_peek_le(t + at + 1, 2) != 0x2b || t[at + 3] != 0)
            continue;
        first = gw_peek_le(t + at + 14, 8);
        last = gw_peek_le(t + at + 22, 8);
        if (first >= 4 * GW_GIB && last > first && last - first + 1 == gw_peek_le(t + at + 38, 8) &&
            (!a->window || first < a->window))
            a->window = first;
    }
}

static void walk(struct tables *t)
{
    for (uint64_t at = 0; t->bytes - at >= HEAD;) {
        const uint8_t *p = t->data + at;
        uint64_t bytes = gw_peek_le(p + 4, 4);

        if (bytes < HEAD || bytes > t->bytes - at || (!memcmp(p, "FACS", 4) && bytes != FACS))
            break;
        if (!memcmp(p, "DSDT", 4))
            take_dsdt(t->found, p, bytes);
        if (!memcmp(p, "SRAT", 4) && (t->srats++ || bytes < SRAT_HEAD || !take_srat(t->found, p, bytes)))
            t->found->part_count = 0;
        at += bytes;
    }
    if (t->srats > 1) /* only one of several can be the firmware's */
        t->found->part_count = 0;
}

int gw_acpi_read(struct gw_image *image, struct gw_acpi *ret, struct gw_error *err)
{
    int block = gw_peek_block(image, TABLES), r;
    struct tables t = {.found = ret};
    GW_AUTOFREE uint8_t *data = NULL;

    *ret = (struct gw_acpi){.part_count = 0};
    if (block < 0)
        return 0;
    t.bytes = GW_MIN(image->blocks[block].used_bytes, TABLES_MAX);
    t.data = data = malloc(GW_MAX((size_t)t.bytes, 1u));
    if (!data)
        return gw_nomem(err, "ACPI tables");
    r = gw_peek(image, (unsigned)block, 0, data, t.bytes, err);
    if (r > 0)
        walk(&t);
    return r < 0 ? r : 0;
}

/* ---- in the guest's memory --------------------------------------------------------------------------------------- */

int gw_acpi_root(struct gw_image *image, unsigned block, uint64_t *ret_address, struct gw_error *err)
{
    const uint64_t from = 0xe0000, bytes = GW_MIB - 0xe0000;
    GW_AUTOFREE uint8_t *p = malloc((size_t)bytes);
    int r;

    *ret_address = 0;
    if (!p)
        return gw_nomem(err, "ACPI tables");
    r = gw_peek(image, block, from, p, bytes, err);
    for (uint64_t at = 0; r > 0 && at + HEAD <= bytes && !*ret_address; at += 16) {
        const uint8_t *q = p + at;

        if (memcmp(q, "RSD PTR ", 8) != 0 || gw_peek_sum(q, 20) || (q[15] >= 2 && gw_peek_sum(q, HEAD)))
            continue;
        *ret_address = gw_peek_le(q + 16, 4);
        if (!*ret_address && q[15] >= 2)
            *ret_address = gw_peek_le(q + 24, 8);
    }
    return r < 0 ? r : 0;
}

int gw_acpi_is_root(struct gw_image *image, unsigned block, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *table = NULL;
    uint8_t head[HEAD];
    uint64_t bytes;
    int r = gw_peek(image, block, offset, head, sizeof head, err);

    if (r <= 0 || (memcmp(head, "RSDT", 4) != 0 && memcmp(head, "XSDT", 4) != 0))
        return GW_MIN(r, 0);
    bytes = gw_peek_le(head + 4, 4);
    if (bytes < HEAD || bytes > ROOT_MAX)
        return 0;
    table = malloc((size_t)bytes);
    if (!table)
        return gw_nomem(err, "ACPI tables");
    r = gw_peek(image, block, offset, table, bytes, err);
    return r > 0 ? !gw_peek_sum(table, bytes) : r;
}
