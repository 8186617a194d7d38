/* SPDX-License-Identifier: MIT
 *
 * What sources by postcopy say, a connection after the other (fuzz_postcopy.c), and bodies of dirty bitmaps (fuzz_bitmaps.c): good
 * ones, and some that do harm.
 */
#include "seeds.h"

#include <stdio.h>

#include "base/endian.h"
#include "wire/bitmap_record.h"
#include "wire/command.h"
#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/postcopy.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"
#include "wire/section.h"

enum { PREEMPT = 1, STANDS = 2, FAILS = 4, PIECES = 8, LOOKS = 0x10 }; /* as in fuzz_postcopy.c */
enum { RAM = 2, DEVICE = 7, PAGE = 4096 };

struct stream {
    struct gw_out out;
    uint8_t data[1 << 19];
    size_t bytes;
};

static struct stream all;

static void begin(uint8_t flags)
{
    all.data[0] = flags;
    all.bytes = 1;
    gw_out_memory(&all.out);
}

/* What was put is a connection, up to so many bytes. */
static void connection(size_t limit)
{
    size_t n;
    uint8_t *p = gw_out_take(&all.out, &n);

    n = GW_MIN(n, limit);
    gw_store_be32(all.data + all.bytes, (uint32_t)n);
    if (n)
        memcpy(all.data + all.bytes + 4, p, n);
    all.bytes += 4 + n;
    free(p);
    gw_out_memory(&all.out);
}

static int end(const char *name)
{
    gw_out_free(&all.out);
    return seeds_put(name, all.data, all.bytes);
}

static void number(uint16_t command, uint32_t value)
{
    uint8_t b[4];

    gw_store_be32(b, value);
    gw_command_put(&all.out, command, b, 4);
}

static void discard(const char *block, uint64_t first, uint64_t bytes)
{
    uint8_t b[64] = {0, (uint8_t)strlen(block)};
    size_t n = strlen(block);

    memcpy(b + 2, block, n);
    gw_store_be64(b + 3 + n, first);
    gw_store_be64(b + 11 + n, bytes);
    gw_command_put(&all.out, GW_COMMAND_POSTCOPY_RAM_DISCARD, b, (uint16_t)(19 + n));
}

/* Up to the first pages, all of them zeros. */
static void precopy(void)
{
    struct gw_wire_head head = {.configured = true, .machine = "none"};
    uint8_t advise[GW_ADVISE_BYTES];

    gw_head_put(&all.out, &head);
    gw_command_put(&all.out, GW_COMMAND_OPEN_RETURN_PATH, NULL, 0);
    number(GW_COMMAND_PING, 1);
    gw_advise_put(advise, &(struct gw_wire_advise){PAGE, PAGE});
    gw_command_put(&all.out, GW_COMMAND_POSTCOPY_ADVISE, advise, sizeof advise);
    gw_section_put_head(&all.out, GW_ELEMENT_START,
                        &(struct gw_section_head){.id = RAM, .version = GW_RAM_SECTION_VERSION, .name = "ram"});
    gw_ram_list_put_total(&all.out, 20 * PAGE);
    gw_ram_list_put(&all.out, "r", 16 * PAGE, NULL);
    gw_ram_list_put(&all.out, "second", 4 * PAGE, NULL);
    gw_ram_put_end(&all.out);
    gw_section_put_footer(&all.out, RAM);
}

static void records(const char *block, unsigned first, unsigned count, bool zeros)
{
    uint8_t page[PAGE];

    for (unsigned i = first; i < first + count; i++) {
        memset(page, (int)i + 1, sizeof page);
        gw_ram_record_put(&all.out, (uint64_t)i * PAGE, zeros ? GW_RAMF_ZERO : GW_RAMF_PAGE, i == first ? block : NULL);
        if (zeros)
            gw_ram_put_zero(&all.out);
        for (unsigned at = 0; !zeros && at < PAGE; at += 1024)
            gw_put_bytes(&all.out, page, 1024);
    }
}

static void part(uint8_t element, const char *block, unsigned first, unsigned count, bool zeros)
{
    gw_section_put_part(&all.out, element, RAM);
    records(block, first, count, zeros);
    gw_ram_put_end(&all.out);
    gw_section_put_footer(&all.out, RAM);
}

static void eof(void)
{
    part(GW_ELEMENT_END, "r", 0, 0, false);
    gw_put_u8(&all.out, GW_ELEMENT_EOF);
}

/* needs: the page that the device looks at. twice: there are two LISTEN. */
static void package(uint8_t needs, bool twice)
{
    struct gw_out before = all.out;
    uint8_t *p;
    size_t n;

    gw_out_memory(&all.out);
    for (int i = 0; i < 1 + twice; i++)
        gw_command_put(&all.out, GW_COMMAND_POSTCOPY_LISTEN, NULL, 0);
    gw_section_put_head(&all.out, GW_ELEMENT_FULL,
                        &(struct gw_section_head){.id = DEVICE, .version = 2, .name = "timer"});
    gw_put_u8(&all.out, needs);
    gw_section_put_footer(&all.out, DEVICE);
    number(GW_COMMAND_PING, 3);
    gw_command_put(&all.out, GW_COMMAND_POSTCOPY_RUN, NULL, 0);
    p = gw_out_take(&all.out, &n);
    all.out = before;
    number(GW_COMMAND_PACKAGED, (uint32_t)n);
    gw_put_bytes(&all.out, p, n);
    free(p);
}

/* Up to the package: half of the pages came and are thrown away again. */
static void switched(uint8_t needs)
{
    precopy();
    part(GW_ELEMENT_PART, "r", 0, 8, false);
    part(GW_ELEMENT_PART, "second", 0, 4, true);
    discard("r", 4 * PAGE, 12 * PAGE);
    discard("second", 0, 2 * PAGE);
    number(GW_COMMAND_PING, 2);
    package(needs, false);
}

static void rest(void)
{
    part(GW_ELEMENT_PART, "r", 4, 6, false);
    part(GW_ELEMENT_PART, "r", 10, 6, true);
    part(GW_ELEMENT_PART, "second", 0, 2, false);
    eof();
}

static void resumes(void)
{
    gw_command_put(&all.out, GW_COMMAND_RECV_BITMAP, "\1r", 2);
    gw_command_put(&all.out, GW_COMMAND_RECV_BITMAP, "\6second", 7);
    gw_command_put(&all.out, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
}

/* Each is what a source that is as it should be may say. */
static int good(void)
{
    static const uint8_t flags[] = {0, STANDS, FAILS, PIECES, LOOKS};
    static const char *const names[] = {"whole", "stands", "fails", "pieces", "looks"};
    int r = 0;

    for (unsigned i = 0; i < GW_ARRAY_LEN(flags); i++) {
        begin(flags[i]);
        switched(9);
        rest();
        connection(SIZE_MAX);
        r |= end(names[i]);
    }
    begin(PREEMPT); /* the urgent pages are on a channel of their own */
    switched(9);
    part(GW_ELEMENT_PART, "r", 4, 4, false);
    eof();
    connection(SIZE_MAX);
    records("r", 8, 8, false);
    records("second", 0, 2, false);
    gw_ram_put_end(&all.out);
    connection(SIZE_MAX);
    r |= end("preempt");
    begin(LOOKS); /* lost in a page, and lost while it resumes */
    switched(4);
    part(GW_ELEMENT_PART, "r", 4, 6, false);
    connection(65000);
    resumes();
    connection(20);
    resumes();
    part(GW_ELEMENT_PART, "r", 5, 1, false);
    connection(3000);
    resumes();
    part(GW_ELEMENT_PART, "r", 10, 6, true);
    part(GW_ELEMENT_PART, "second", 0, 2, false);
    eof();
    connection(SIZE_MAX);
    return r | end("resumed");
}

/* Zeros only, so that nearly each byte of them matters: whole, by the urgent channel, and over two connections. */
static int brief(void)
{
    int r = 0;

    for (int k = 0; k < 3; k++) {
        begin((uint8_t)(LOOKS | (k == 1 ? PREEMPT : 0)));
        precopy();
        part(GW_ELEMENT_PART, "second", 0, 2, true);
        discard("r", 0, 16 * PAGE);
        package(9, false);
        part(GW_ELEMENT_PART, "r", 8, 8, true);
        if (k == 2)
            connection(SIZE_MAX);
        if (k == 2)
            resumes();
        part(GW_ELEMENT_PART, "second", 2, 2, true);
        if (k != 1)
            part(GW_ELEMENT_PART, "r", 0, 8, true);
        eof();
        connection(SIZE_MAX);
        if (k == 1) {
            records("r", 0, 8, true);
            gw_ram_put_end(&all.out);
            connection(SIZE_MAX);
        }
        r |= end(k == 0 ? "brief" : k == 1 ? "brief-preempt" : "brief-resumed");
    }
    return r;
}

enum harm { UNLISTED, OUTSIDE, UNALIGNED, TOO_LONG, LATE_DISCARD, TWICE, OVERWRITES, FLAGS, BEHIND, NEEDED, MAPS, HARMS };

static void harm(enum harm what)
{
    precopy();
    part(GW_ELEMENT_PART, "r", 0, 2, false);
    discard(what == UNLISTED ? "local" : "r", what == UNALIGNED ? 100 : what == OUTSIDE ? UINT64_MAX - PAGE + 1 : 0,
            what == TOO_LONG ? UINT64_MAX - PAGE + 1 : 4 * PAGE);
    package(what == NEEDED ? 15 : 0, what == TWICE);
    if (what == LATE_DISCARD)
        discard("r", 0, PAGE);
    gw_section_put_part(&all.out, GW_ELEMENT_PART, RAM);
    if (what == OVERWRITES)
        for (int i = 0; i < 3; i++)
            records("r", 0, 3, i & 1);
    if (what == BEHIND)
        records(NULL, 16, 1, false);
    if (what == FLAGS)
        gw_put_u64(&all.out, GW_RAMF_XBZRLE | GW_RAMF_ZERO);
    gw_ram_put_end(&all.out);
    gw_section_put_footer(&all.out, RAM);
    for (int i = 0; what == MAPS && i < 3; i++)
        resumes();
    eof();
    connection(SIZE_MAX);
    for (int i = 0; i < 3; i++) {
        gw_command_put(&all.out, GW_COMMAND_RECV_BITMAP, i ? "\5local" : "\1r", i ? 6 : 2);
        gw_command_put(&all.out, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
        part(GW_ELEMENT_PART, "r", 15 + (unsigned)i, 1, false);
        connection(SIZE_MAX);
    }
}

int seeds_postcopy(void)
{
    int r = good() | brief();

    for (enum harm what = 0; what < HARMS; what++) {
        char name[16];

        snprintf(name, sizeof name, "harm-%d", (int)what);
        begin(what == NEEDED ? LOOKS : 0);
        harm(what);
        r |= end(name);
    }
    begin(PREEMPT | LOOKS); /* nothing, and then what is no page, comes on the urgent channel */
    switched(15);
    part(GW_ELEMENT_PART, "r", 4, 4, false);
    eof();
    connection(SIZE_MAX);
    connection(0);
    resumes();
    connection(SIZE_MAX);
    gw_put_u64(&all.out, GW_RAMF_EOS | GW_RAMF_ZERO);
    connection(SIZE_MAX);
    return r | end("urgent");
}

/* ---- dirty bitmaps ---------------------------------------------------------------------------------------------------- */

static int bitmap(const char *name, const struct gw_bitmap_record *record, unsigned count)
{
    static const uint8_t buffer[GW_BITMAP_CHUNK_BYTES] = {0x5a, 1};

    begin(0);
    for (unsigned i = 0; i < count; i++) {
        gw_bitmap_record_put(&all.out, &record[i]);
        if (record[i].kind == GW_BITMAP_RECORD_BITS && !record[i].zeros)
            gw_put_bytes(&all.out, buffer, GW_MIN(record[i].buffer_bytes, sizeof buffer));
        if (record[i].kind == GW_BITMAP_RECORD_END)
            connection(SIZE_MAX);
    }
    connection(SIZE_MAX);
    return end(name);
}

int seeds_bitmaps(void)
{
#define NAMED .has_node = true, .has_name = true, .node = "n", .name = "b"
    static const struct gw_bitmap_record good[] = {
        {.kind = GW_BITMAP_RECORD_START, NAMED, .granularity = 512, .flags = GW_BITMAP_ENABLED},
        {.kind = GW_BITMAP_RECORD_START, .has_name = true, .name = "c", .granularity = 65536, .flags = GW_BITMAP_PERSISTENT},
        {.kind = GW_BITMAP_RECORD_END},
        {.kind = GW_BITMAP_RECORD_BITS, NAMED, .sectors = 2056, .buffer_bytes = 288},
        {.kind = GW_BITMAP_RECORD_COMPLETE, NAMED},
        {.kind = GW_BITMAP_RECORD_BITS, .has_name = true, .name = "c", .sectors = 2056, .zeros = true},
        {.kind = GW_BITMAP_RECORD_COMPLETE},
        {.kind = GW_BITMAP_RECORD_END},
    };
    static const struct gw_bitmap_record far[] = {
        {.kind = GW_BITMAP_RECORD_START, NAMED, .granularity = 512},
        {.kind = GW_BITMAP_RECORD_END},
        {.kind = GW_BITMAP_RECORD_BITS, NAMED, .sector = UINT64_MAX - 63, .sectors = 64, .buffer_bytes = 32},
    };
    static const struct gw_bitmap_record coarse[] = {
        {.kind = GW_BITMAP_RECORD_START, NAMED, .granularity = 1u << 31},
        {.kind = GW_BITMAP_RECORD_START, NAMED, .granularity = 512},
        {.kind = GW_BITMAP_RECORD_END},
        {.kind = GW_BITMAP_RECORD_BITS, NAMED, .sectors = 2056, .buffer_bytes = 32},
    };

    return bitmap("good", good, GW_ARRAY_LEN(good)) | bitmap("cut", good, 5) |
           bitmap("far", far, GW_ARRAY_LEN(far)) | bitmap("coarse", coarse, GW_ARRAY_LEN(coarse));
}
