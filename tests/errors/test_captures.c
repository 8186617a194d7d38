/* SPDX-License-Identifier: MIT
 *
 * Loads streams of unmodified peers (tests/golden/captures) into machines like theirs: all arrives byte for byte, or
 * the error names what is not supported, and its position.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/endian.h"
#include "engine/vm.h"
#include "../owned.h"
#include "rig.h"

#define MIB (1u << 20)

struct box { /* roughly a machine `none` */
    struct gw_vm *vm;
    uint8_t *ram;
    size_t bytes;
    struct {
        int64_t ticks, clock;
    } timer;
    bool running;
    unsigned starts;
};

struct timer_shape {
    int64_t ticks, clock;
};
static const struct gw_field timer_fields[] = {
    GW_FIELD(struct timer_shape, ticks),
    GW_UNUSED_BYTES(8),
    GW_FIELD_SINCE(2, struct timer_shape, clock),
    GW_END,
};
static const struct gw_state timer_state = {.name = "timer", .version = 2, .oldest = 1, .fields = timer_fields};

static int op_stop(void *opaque, struct gw_error *err)
{
    ((struct box *)opaque)->running = false;
    return 0;
}

static int op_start(void *opaque, struct gw_error *err)
{
    struct box *b = opaque;

    b->running = true;
    b->starts++;
    return 0;
}

static bool op_running(void *opaque)
{
    return ((struct box *)opaque)->running;
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = op_stop, .start = op_start, .running = op_running};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

enum how { PLAIN, SHARED, UUID, WRONG_UUID };
#define ARRIVES_RUNNING "running"
#define ARRIVES_PAUSED  "paused"

/* Either it arrives, or the refusal contains this text. */
struct row {
    const char *file;
    const char *machine;
    size_t ram_bytes;
    const char *end;
    bool pattern; /* RAM pattern A (README.md) */
    enum how how;
    const char *answers; /* file with the destination's original answers, which must be sent again byte for byte */
};

#define NONE "none"
static const struct row rows[] = {
    {"precopy-none-7.2.bin", NONE, 16 * MIB, ARRIVES_RUNNING, true},
    {"precopy-none-10.0.bin", NONE, 16 * MIB, ARRIVES_RUNNING, true},
    {"precopy-rp-7.2.main.src2dst.bin", NONE, 16 * MIB, ARRIVES_RUNNING, true, PLAIN, "precopy-rp-7.2.main.dst2src.bin"},
    {"precopy-rp-10.0.main.src2dst.bin", NONE, 16 * MIB, ARRIVES_RUNNING, true, PLAIN, "precopy-rp-10.0.main.dst2src.bin"},
    {"precopy-rp-10.0-to-7.2.main.src2dst.bin", NONE, 16 * MIB, ARRIVES_RUNNING, true, PLAIN,
     "precopy-rp-10.0-to-7.2.main.dst2src.bin"},
    {"stopped-source-64k-7.2.bin", NONE, 65536, ARRIVES_PAUSED},
    {"stopped-source-64k-10.0.bin", NONE, 65536, ARRIVES_PAUSED},
    {"validate-uuid-7.2.bin", NONE, 65536, ARRIVES_RUNNING, false, UUID},
    {"validate-uuid-10.0.bin", NONE, 65536, ARRIVES_RUNNING, false, UUID},
    {"validate-uuid-10.0.bin", NONE, 65536, ARRIVES_RUNNING, false, PLAIN},
    {"validate-uuid-10.0.bin", NONE, 65536, "the source's UUID is 0e9bd4a1-1111-4222-8333-abcdef012345, this machine's is ", false,
     WRONG_UUID},
    {"ignore-shared-7.2.bin", NONE, 65536, ARRIVES_RUNNING, false, SHARED},
    {"ignore-shared-10.0.bin", NONE, 65536, ARRIVES_RUNNING, false, SHARED},
    {"ignore-shared-10.0.bin", NONE, 65536, "x-ignore-shared is on at the source and off here"},
    {"precopy-none-10.0.bin", NONE, 16 * MIB, "x-ignore-shared is off at the source and on here", false, SHARED},
    {"switchover-ack-10.0.main.src2dst.bin", NONE, 65536, ARRIVES_RUNNING},
    {"background-snapshot-4M-7.2.bin", NONE, 4 * MIB, ARRIVES_RUNNING},
    {"background-snapshot-4M-10.0.bin", NONE, 4 * MIB, ARRIVES_RUNNING},

    {"precopy-none-10.0.bin", "nine", 16 * MIB, "the source's machine type is none, this machine's is nine"},
    {"precopy-none-10.0.bin", NONE, 8 * MIB, "RAM block r has 0x1000000 bytes on the source and 0x800000 here"},
    {"precopy-microvm-7.2.bin.gz", "microvm", 16 * MIB, "RAM block /rom@etc/acpi/tables (0x1000 bytes), which this machine lacks"},
    {"precopy-pc-10.0.bin.gz", "pc-i440fx-10.0", 16 * MIB, "RAM block /rom@etc/acpi/tables (0x20000 bytes)"},

    /* Unsupported features. A new feature removes its rows here. */
    {"dirty-bitmaps-precopy-7.2.bin.gz", NONE, 16 * MIB, "there is no disk n0 here"},
    {"dirty-bitmaps-precopy-10.0.bin.gz", NONE, 16 * MIB, "there is no disk n0 here"},
    {"dirty-bitmaps-postcopy-only-10.0.bin", NONE, 16 * MIB, "there is no disk n0 here"},
    {"dirty-bitmaps-alias-postcopy-10.0.bin", NONE, 16 * MIB, "there is no disk "},
    {"dirty-bitmaps-with-postcopy-ram-7.2.src2dst.bin", NONE, 16 * MIB, "command POSTCOPY_ADVISE at byte 31"},
    {"postcopy-7.2.main.src2dst.bin", NONE, 16 * MIB, "command POSTCOPY_ADVISE at byte 31"},
    {"postcopy-10.0.main.src2dst.bin", NONE, 16 * MIB, "command POSTCOPY_ADVISE at byte 31"},
    {"postcopy-preempt-7.2.main.src2dst.bin", NONE, 16 * MIB, "command POSTCOPY_ADVISE at byte 31"},
    {"postcopy-recover-7.2.main.src2dst.bin", NONE, 16 * MIB, "command POSTCOPY_ADVISE at byte 31"},
    {"mapped-ram-10.0.bin.gz", NONE, 2 * MIB, "capability mapped-ram is on at the source and off here"},
    {"mapped-ram-multifd-10.0.bin.gz", NONE, 2 * MIB, "capability mapped-ram is on at the source and off here"},
    {"colo-7.2.src2dst.bin", NONE, 4 * MIB, "command ENABLE_COLO at byte 17"},
    {"block-microvm-7.2.bin.gz", "microvm", 16 * MIB, "section block/0 at byte 20"},
    {"block-zeroblocks-microvm-7.2.bin.gz", "microvm", 16 * MIB, "section block/0 at byte 20"},
    {"xbzrle-microvm-7.2.bin", "microvm", 0, "this machine has no such device"},
    {"xbzrle-microvm-10.0.bin", "microvm", 0, "this machine has no such device"},
    {"compress-microvm-7.2.bin", "microvm", 0, "this machine has no such device"},
    {"multifd-10.0.main.src2dst.bin", NONE, 16 * MIB, "at byte 66, found 0x200 (MULTIFD_FLUSH)"},
    {"multifd-zlib-10.0.main.src2dst.bin", NONE, 16 * MIB, "at byte 66, found 0x200 (MULTIFD_FLUSH)"},
    {"multifd-zstd-10.0.main.src2dst.bin", NONE, 16 * MIB, "at byte 66, found 0x200 (MULTIFD_FLUSH)"},
    {"multifd-legacyzero-10.0.main.src2dst.bin", NONE, 16 * MIB, "at byte 66, found 0x200 (MULTIFD_FLUSH)"},
    {"multifd-7.2.ch0.src2dst.bin", NONE, 16 * MIB, "the head, at byte 4: byte 0: a multifd channel"},
    {"multifd-10.0.ch1.src2dst.bin", NONE, 16 * MIB, "the head, at byte 4: byte 0: a multifd channel"},
    {"postcopy-preempt-7.2.preempt.src2dst.bin", NONE, 16 * MIB, "the head, at byte 4: byte 0: not a migration stream"},
    {"postcopy-recover-7.2.recover.src2dst.bin", NONE, 16 * MIB, "the head, at byte 4: byte 0: not a migration stream"},
};

static struct rig_bytes read_capture(const char *name)
{
    struct rig_bytes b = {.cap = 16 * MIB};
    char path[512];
    gzFile f;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    if (!f)
        print_error("%s is missing\n", path);
    assert_non_null(f);
    b.data = malloc(b.cap);
    while ((n = gzread(f, b.data + b.bytes, 65536)) > 0)
        b.bytes += (size_t)n;
    gzclose(f);
    return b;
}

static void add_block(struct box *b, const char *name, uint8_t *host, uint64_t bytes, uint64_t gpa, unsigned flags)
{
    struct gw_ram_desc d = {.name = name, .host = host, .used_bytes = bytes, .gpa = gpa, .flags = flags};
    struct gw_error err = GW_ERROR_INIT;

    must(gw_vm_add_ram(b->vm, &d, &err), &err);
}

static void box_free(void *what)
{
    struct box *b = what;

    gw_vm_free(b->vm);
    if (b->ram)
        munmap(b->ram, b->bytes);
    free(b);
}

/* On the list of the test. */
static struct box *box_new(const struct row *row)
{
    struct box *b = calloc(1, sizeof *b);
    static const uint8_t uuid[16] = {0x0e, 0x9b, 0xd4, 0xa1, 0x11, 0x11, 0x42, 0x22,
                                     0x83, 0x33, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45};
    struct gw_vm_config config = {.machine = row->machine, .page_bytes = 4096, .ops = &ops, .opaque = b};
    struct gw_error err = GW_ERROR_INIT;

    assert_non_null(b);
    owned(b, box_free);
    if (row->how == UUID || row->how == WRONG_UUID)
        memcpy(config.uuid, uuid, sizeof uuid);
    config.uuid[5] += row->how == WRONG_UUID;
    must(gw_vm_new(&config, &b->vm, &err), &err);
    b->bytes = 17 * MIB;
    b->ram = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->ram == MAP_FAILED)
        b->ram = NULL;
    assert_non_null(b->ram);
    if (row->ram_bytes) {
        add_block(b, "r", b->ram, row->ram_bytes, 0,
                  row->how == SHARED ? GW_RAM_SHARED | GW_RAM_NAMED_FILE : GW_RAM_FRESH);
    } else {
        add_block(b, "r", b->ram, 16 * MIB, 0, GW_RAM_FRESH);
        add_block(b, "/rom@etc/acpi/tables", b->ram + 16 * MIB, 4096, 0x10000000, 0);
        add_block(b, "pc.bios", b->ram + 16 * MIB + 4096, 65536, 0x20000000, 0);
        add_block(b, "/rom@etc/table-loader", b->ram + 16 * MIB + 69632, 4096, 0x30000000, 0);
        add_block(b, "/rom@etc/acpi/rsdp", b->ram + 16 * MIB + 73728, 4096, 0x40000000, 0);
    }
    must(gw_registry_add(gw_vm_registry(b->vm), &timer_state, "timer", 0, &b->timer, &err), &err);
    if (row->how == SHARED)
        must(gw_options_set_capability(gw_vm_options(b->vm), "x-ignore-shared", true, &err), &err);
    return b;
}

static void check_pattern(const uint8_t *ram)
{
    for (size_t at = 0; at < 16 * MIB; at++) {
        uint8_t want = 0;

        if (at >> 12 == 0x10)
            want = (uint8_t)(7 * (at & 4095) + 3);
        else if (at >> 12 == 0x11)
            want = 0xab;
        else if (at == 0x200000)
            want = 'Z';
        else if (at >> 12 == 0xfff)
            want = (uint8_t)(7 * (4095 - (at & 4095)) + 3);
        if (ram[at] != want)
            print_error("byte 0x%zx is 0x%02x, not 0x%02x\n", at, ram[at], want);
        assert_int_equal(ram[at], want);
    }
}

static void check_timer(const struct box *b, const struct rig_bytes *stream)
{
    static const char name[] = "\5timer\0\0\0\0\0\0\0\2";
    const uint8_t *p = memmem(stream->data, stream->bytes, name, sizeof name - 1);

    assert_non_null(p);
    p += sizeof name - 1;
    assert_true((uint64_t)b->timer.ticks == gw_load_be64(p));
    assert_true((uint64_t)b->timer.clock == gw_load_be64(p + 16));
}

static void check_row(const struct row *row, enum rig_split split)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream = read_capture(row->file), said = {0};
    struct gw_channel *feed;
    struct gw_recv *recv;
    struct box *b;
    bool paused = !strcmp(row->end, ARRIVES_PAUSED), arrives = paused || !strcmp(row->end, ARRIVES_RUNNING);
    int r;

    b = box_new(row);
    must(rig_feed(stream.data, stream.bytes, split, 1, &said, &feed, &err), &err);
    must(gw_recv_start(b->vm, &(struct gw_recv_config){.take_channel = feed}, &recv, &err), &err);
    owned_recv(recv);
    r = gw_recv_wait(recv, &err);
    owned_end(recv);
    if (arrives ? r < 0 : r >= 0 || !strstr(err.text, row->end) || err.blame != GW_BLAME_PEER || b->starts)
        print_error("%s: %d %s: %s\n", row->file, r, gw_blame_name(err.blame), err.text);
    if (arrives) {
        assert_int_equal(r, 0);
        assert_int_equal(b->running, !paused);
        check_timer(b, &stream);
    } else {
        assert_true(r < 0);
        assert_int_equal(b->starts, 0);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, row->end));
        assert_non_null(strstr(err.text, "byte "));
    }
    if (row->pattern)
        check_pattern(b->ram);
    if (row->answers) {
        struct rig_bytes want = read_capture(row->answers);

        assert_int_equal(said.bytes, want.bytes);
        assert_memory_equal(said.data, want.data, want.bytes);
        free(want.data);
    }
    free(said.data);
    free(stream.data);
    owned_end(b);
}

static void test_captures(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        check_row(&rows[i], RIG_WHOLE);
        check_row(&rows[i], RIG_PIECES);
    }
}

static void remember(void *opaque, const struct gw_event *e)
{
    if (e->type == GW_EVENT_LOG)
        snprintf(opaque, 512, "%s", e->text);
}

/* The main channel of a source that sent its pages on other channels looks complete. The destination must report an
 * error. */
static void test_pages_elsewhere(void **state)
{
    const struct row row = {"multifd-7.2.main.src2dst.bin", NONE, 16 * MIB, ""};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream = read_capture(row.file);
    struct gw_channel *feed;
    struct gw_recv *recv;
    struct box *b;
    char *log;

    log = owned_memory(512);
    b = box_new(&row);
    must(rig_feed(stream.data, stream.bytes, RIG_WHOLE, 1, NULL, &feed, &err), &err);
    must(gw_recv_start(b->vm, &(struct gw_recv_config){.take_channel = feed, .on_event = remember, .opaque = log},
                       &recv, &err),
         &err);
    owned_recv(recv);
    must(gw_recv_wait(recv, &err), &err);
    assert_string_equal(log, "4 pages never arrived and keep the contents that they had");
    owned_end(recv);
    free(stream.data);
    owned_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_captures), owned_test(test_pages_elsewhere)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
