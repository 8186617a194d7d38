/* SPDX-License-Identifier: MIT
 *
 * What whole streams are: captures of real peers, and streams of ours; and what is cut out of them.
 */
#include <stdio.h>
#include <zlib.h>

#include "base/endian.h"
#include "built.h"
#include "godwit/state.h"
#include "image/libvirt/libvirt.h"
#include "rig.h"
#include "seeds.h"

static int capture(const char *name, size_t limit)
{
    static uint8_t data[SEEDS_CAPTURE_MAX];
    size_t n = seeds_load(name, data);

    return n ? seeds_put(name, data, GW_MIN(n, limit)) : 1;
}

/* A device of the set-up, where QEMU 10.0 has it: behind the START of the RAM. */
static int early(void)
{
    static const char device[] = "\4\0\0\0\x63\5early\0\0\0\0\0\0\0\1state\x7e\0\0\0\x63";
    static const char end[] = "\0\0\0\0\0\0\0\x10\x7e";
    static uint8_t data[SEEDS_CAPTURE_MAX];
    size_t n = seeds_load("stopped-source-64k-10.0.bin", data), more = sizeof device - 1;
    uint8_t *p = memmem(data, n, end, sizeof end - 1);

    if (!p || n + more > sizeof data)
        return 1;
    p += sizeof end - 1 + 4;
    memmove(p + more, p, n - (size_t)(p - data));
    memcpy(p, device, more);
    return seeds_put("early-10.0", data, n + more);
}

int seeds_captures(size_t limit)
{
    static const char *const names[] = {"stopped-source-64k-7.2.bin", "stopped-source-64k-10.0.bin", "validate-uuid-7.2.bin",
                                        "validate-uuid-10.0.bin", "ignore-shared-7.2.bin", "ignore-shared-10.0.bin",
                                        "switchover-ack-10.0.main.src2dst.bin", "multifd-10.0.main.src2dst.bin",
                                        "colo-7.2.src2dst.bin", "mapped-ram-10.0.bin.gz"};
    int r = early();

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++)
        r |= capture(names[i], limit);
    return r;
}

/* The device sections and the description of a capture, as fuzz_examine.c takes them. */
static int tail(const char *name)
{
    static uint8_t data[SEEDS_CAPTURE_MAX], seed[SEEDS_CAPTURE_MAX];
    const uint8_t *first, *eof, *end = data + seeds_load(name, data);
    size_t devices;

    /* The first section is "timer" in all of them: 0x04, number, name. */
    first = memmem(data, (size_t)(end - data), "\x05timer", 6);
    eof = memmem(data, (size_t)(end - data), "{\"configuration\"", 16);
    if (!eof)
        eof = memmem(data, (size_t)(end - data), "{\"page_size\"", 12);
    if (!first || !eof || eof < first)
        return 1;
    first -= 5;
    eof -= 6;
    devices = (size_t)(eof - first);
    gw_store_be32(seed, (uint32_t)devices);
    memcpy(seed + 4, first, devices);
    memcpy(seed + 4 + devices, eof + 6, (size_t)(end - eof - 6));
    return seeds_put(name, seed, 4 + devices + (size_t)(end - eof - 6));
}

int seeds_examine(void)
{
    return tail("precopy-pc-7.2.bin.gz") | tail("precopy-microvm-10.0.bin.gz") | tail("validate-uuid-10.0.bin") |
           capture("stopped-source-64k-10.0.bin", 65536) | capture("xbzrle-microvm-7.2.bin", 65536);
}

int seeds_loader(void)
{
    static const struct {
        const char *name, *peer;
        bool duplex;
        unsigned pages;
    } ours[] = {{"rig-7.2", "7.2", false, 1}, {"rig-10.0", "10.0", false, 4}, {"rig-rp", "10.0", true, 2}, {"rig", "godwit", true, 2}};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes b;
    int r = seeds_captures(20000);

    for (size_t i = 0; i < GW_ARRAY_LEN(ours); i++) {
        if (rig_stream(3 + i, ours[i].pages, ours[i].peer, ours[i].duplex, &b, NULL, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        r |= seeds_put(ours[i].name, b.data, b.bytes);
        free(b.data);
    }
    return r;
}

/* A live section that is not known, and pages of 1 KiB that the head does not tell of. */
int seeds_unknown(void)
{
    struct built b = {0};
    const uint8_t *data;
    size_t bytes;
    int r;

    built_begin(&b, 1024);
    built_ram_start(&b);
    built_unknown(&b, GW_ELEMENT_START, "start", 5);
    built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, BUILT_MIXED);
    built_unknown(&b, GW_ELEMENT_PART, "\x7e\0\0\x02\x33", 5);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    built_unknown(&b, GW_ELEMENT_END, "", 0);
    built_end(&b, 8);
    data = gw_out_data(&b.out, &bytes);
    r = seeds_put("unknown", data, bytes);
    gw_out_free(&b.out);
    return r;
}

/* Whole ones, so that what follows the package is in them; a megabyte is mostly pages. */
static int postcopy(void)
{
    return capture("postcopy-7.2.main.src2dst.bin", SEEDS_CAPTURE_MAX) |
           capture("postcopy-10.0.main.src2dst.bin", SEEDS_CAPTURE_MAX) |
           capture("postcopy-recover-7.2.main.src2dst.bin", SEEDS_CAPTURE_MAX);
}

/* What live sources sent, with a return path and without, and what the devices of a whole machine are. */
int seeds_guest(void)
{
    return seeds_loader() | seeds_unknown() | postcopy() | capture("precopy-rp-10.0.main.src2dst.bin", 60000) |
           capture("precopy-rp-7.2.main.src2dst.bin", 60000) |
           capture("precopy-microvm-10.0.bin.gz", SEEDS_CAPTURE_MAX - 1);
}

/* The same streams behind a head and XML; with a cookie, and of the other byte order. */
int seeds_libvirt(void)
{
    static const char *const names[] = {"stopped-source-64k-7.2.bin", "validate-uuid-10.0.bin", "mapped-ram-10.0.bin.gz"};
    static uint8_t data[65536 + 256];
    int r = 0;

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_libvirt_head h = {.text_bytes = 100, .was_running = i % 2, .cookie_at = i ? 50 : 0};
        char path[512];
        gzFile f;
        int n;

        gw_libvirt_head_put(&h, data);
        memset(data + GW_LIBVIRT_HEAD_BYTES, 0, h.text_bytes);
        memcpy(data + GW_LIBVIRT_HEAD_BYTES, "<domain/>", 9);
        memcpy(data + GW_LIBVIRT_HEAD_BYTES + 50, "<cookie/>", 9);
        snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", names[i]);
        f = gzopen(path, "rb");
        n = f ? gzread(f, data + GW_LIBVIRT_HEAD_BYTES + h.text_bytes, 65536) : -1;
        if (f)
            gzclose(f);
        r |= n < 0 ? 1 : seeds_put(names[i], data, GW_LIBVIRT_HEAD_BYTES + h.text_bytes + (size_t)n);
    }
    return r;
}

/* As a schema what the description of a capture says; *ret_bytes of the description stand at *ret_text. NULL: there is none. */
static char *schema_of(const char *name, const char **ret_text, size_t *ret_bytes)
{
    static uint8_t data[SEEDS_CAPTURE_MAX];
    size_t n = seeds_load(name, data), at = GW_MAX(n, 6), bytes = 0;
    char *schema = NULL;

    while (--at > 5 && (data[at] != '{' || data[at - 5] != 0x06 || (bytes = gw_load_be32(data + at - 4)) > n - at))
        ;
    if (n < 6 || at < 6 || gw_schema_from_description((char *)data + at, bytes, "m", &schema, NULL) < 0)
        return NULL;
    *ret_text = (char *)data + at;
    *ret_bytes = bytes;
    return schema;
}

/* Two texts with a NUL between them. */
static int put_both(const char *name, const char *first, const char *second, size_t bytes)
{
    char *both = malloc(strlen(first) + 1 + bytes);
    int r;

    strcpy(both, first);
    memcpy(both + strlen(first) + 1, second, bytes);
    r = seeds_put(name, both, strlen(first) + 1 + bytes);
    free(both);
    return r;
}

/* What its writer's -dump-vmstate could be, a NUL, and the description of a stream. */
static int dump(const char *name)
{
    const char *description;
    size_t bytes;
    char *schema = schema_of(name, &description, &bytes), *text;
    int r = 1;

    if (schema && gw_schema_to_dump(schema, &text, NULL) == 0) {
        r = put_both(name, text, description, bytes);
        free(text);
    }
    free(schema);
    return r;
}

int seeds_dump(void)
{
    return dump("precopy-none-10.0.bin") | dump("precopy-microvm-10.0.bin.gz");
}

/* A machine beside another version of it, and beside its own dump. */
int seeds_schema(void)
{
    const char *unused;
    size_t bytes;
    char *old = schema_of("precopy-none-7.2.bin", &unused, &bytes), *text = NULL;
    char *new = schema_of("precopy-none-10.0.bin", &unused, &bytes);
    int r = !old || !new || gw_schema_to_dump(new, &text, NULL) < 0 || put_both("versions", old, new, strlen(new)) ||
            put_both("dump", text, old, strlen(old));

    free(old);
    free(new);
    free(text);
    return r;
}
