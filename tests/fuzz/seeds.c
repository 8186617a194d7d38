/* SPDX-License-Identifier: MIT
 *
 * seeds TARGET FOLDER: writes what a fuzzer may begin with.
 */
#include <stdio.h>
#include <zlib.h>

#include "base/endian.h"
#include "built.h"
#include "disk/node/qcow2.h"
#include "godwit/state.h"
#include "image/image.h"
#include "image/libvirt/libvirt.h"
#include "rig.h"
#include "seeds.h"
#include "wire/mapped.h"

static const char *folder;

static int put(const char *name, const void *data, size_t bytes)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) {
        perror(path);
        return 1;
    }
    return 0;
}

#define CAPTURE_MAX (1u << 20)

/* The first CAPTURE_MAX bytes. 0: it cannot be read. */
static size_t load(const char *name, uint8_t *data)
{
    char path[512];
    gzFile f;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    n = f ? gzread(f, data, CAPTURE_MAX) : -1;
    if (f)
        gzclose(f);
    return n < 0 ? 0 : (size_t)n;
}

static int capture(const char *name, size_t limit)
{
    static uint8_t data[CAPTURE_MAX];
    size_t n = load(name, data);

    return n ? put(name, data, GW_MIN(n, limit)) : 1;
}

/* A device of the set-up, where QEMU 10.0 has it: behind the START of the RAM. */
static int early(void)
{
    static const char device[] = "\4\0\0\0\x63\5early\0\0\0\0\0\0\0\1state\x7e\0\0\0\x63";
    static const char end[] = "\0\0\0\0\0\0\0\x10\x7e";
    static uint8_t data[CAPTURE_MAX];
    size_t n = load("stopped-source-64k-10.0.bin", data), more = sizeof device - 1;
    uint8_t *p = memmem(data, n, end, sizeof end - 1);

    if (!p || n + more > sizeof data)
        return 1;
    p += sizeof end - 1 + 4;
    memmove(p + more, p, n - (size_t)(p - data));
    memcpy(p, device, more);
    return put("early-10.0", data, n + more);
}

static int captures(size_t limit)
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
    static uint8_t data[CAPTURE_MAX], seed[CAPTURE_MAX];
    const uint8_t *first, *eof, *end = data + load(name, data);
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
    return put(name, seed, 4 + devices + (size_t)(end - eof - 6));
}

static int examine(void)
{
    return tail("precopy-pc-7.2.bin.gz") | tail("precopy-microvm-10.0.bin.gz") | tail("validate-uuid-10.0.bin") |
           capture("stopped-source-64k-10.0.bin", 65536) | capture("xbzrle-microvm-7.2.bin", 65536);
}

static int loader(void)
{
    static const struct {
        const char *name, *peer;
        bool duplex;
        unsigned pages;
    } ours[] = {{"rig-7.2", "7.2", false, 1}, {"rig-10.0", "10.0", false, 4}, {"rig-rp", "10.0", true, 2}, {"rig", "godwit", true, 2}};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes b;
    int r = captures(20000);

    for (size_t i = 0; i < GW_ARRAY_LEN(ours); i++) {
        if (rig_stream(3 + i, ours[i].pages, ours[i].peer, ours[i].duplex, &b, NULL, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        r |= put(ours[i].name, b.data, b.bytes);
        free(b.data);
    }
    return r;
}

/* A live section that is not known, and pages of 1 KiB that the head does not tell of. */
static int unknown(void)
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
    r = put("unknown", data, bytes);
    gw_out_free(&b.out);
    return r;
}

/* Whole ones, so that what follows the package is in them; a megabyte is mostly pages. */
static int postcopy(void)
{
    return capture("postcopy-7.2.main.src2dst.bin", CAPTURE_MAX) | capture("postcopy-10.0.main.src2dst.bin", CAPTURE_MAX) |
           capture("postcopy-recover-7.2.main.src2dst.bin", CAPTURE_MAX);
}

/* What live sources sent, with a return path and without, and what the devices of a whole machine are. */
static int guest(void)
{
    return loader() | unknown() | postcopy() | capture("precopy-rp-10.0.main.src2dst.bin", 60000) | capture("precopy-rp-7.2.main.src2dst.bin", 60000) |
           capture("precopy-microvm-10.0.bin.gz", CAPTURE_MAX - 1);
}

/* The same streams behind a head and XML; with a cookie, and of the other byte order. */
static int libvirt(void)
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
        r |= n < 0 ? 1 : put(names[i], data, GW_LIBVIRT_HEAD_BYTES + h.text_bytes + (size_t)n);
    }
    return r;
}

static int return_path(void)
{
#define PONG(v)  0, 2, 0, 4, v
#define COOKIE   0x67, 0x64, 0x77, 0x74
#define ONE      0, 0, 0, 1
#define HELLO    0x67, 0x77, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1
#define LOADED   0x67, 0x78, 0, 0
#define SHUT(v)  0, 1, 0, 4, 0, 0, 0, v
    static const uint8_t good[] = {0, 0, 32, PONG(COOKIE), HELLO, PONG(ONE), 0, 16, PONG(ONE), PONG(ONE), 255, 4, LOADED,
                                   255, 8, SHUT(0)};
    static const uint8_t bad[] = {0, 0, 32, PONG(COOKIE), HELLO, PONG(ONE), 0, 16, PONG(ONE), PONG(ONE), 255, 4, LOADED,
                                  255, 8, SHUT(1)};
    static const uint8_t plain[] = {1, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(0)};
    static const uint8_t ack[] = {1, 0, 4, 0, 7, 0, 0, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(1)};
    static const uint8_t requests[] = {2, 0, 18, 0, 3, 0, 14, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 1, 'r',
                                       0, 16, 0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0};

    /* It loads the package, asks for pages, the last time for what there is not; and one that could not load it. */
    static const uint8_t postcopy[] = {5,   0,   16, PONG(ONE), PONG(ONE), 255, 8, 0, 2, 0, 4, 0, 0, 0, 3,
                                       255, 18, 0, 3, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 2, 'l', 'o',
                                       255, 16, 0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 255, 8, SHUT(0)};
    static const uint8_t unloaded[] = {5, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(1)};
    static const uint8_t runs[] = {5, 0, 16, PONG(ONE), PONG(ONE), 255, 8, 0, 2, 0, 4, 0, 0, 0, 3, 255, 8, SHUT(0)};

    return put("postcopy", postcopy, sizeof postcopy) | put("unloaded", unloaded, sizeof unloaded) |
           put("runs", runs, sizeof runs) | put("good", good, sizeof good) | put("bad", bad, sizeof bad) | put("plain", plain, sizeof plain) |
           put("ack", ack, sizeof ack) | put("requests", requests, sizeof requests);
}

/* Channels of real peers behind their greeting, each with the coding in front (fuzz_packet.c). */
static int packet(void)
{
    static const char *const names[] = {"multifd-10.0.ch0.src2dst.bin", "multifd-zlib-7.2.ch0.src2dst.bin",
                                        "multifd-zstd-10.0.ch1.src2dst.bin"};
    static uint8_t data[CAPTURE_MAX];

    for (unsigned i = 0; i < GW_ARRAY_LEN(names); i++) {
        size_t n = load(names[i], data);

        if (n <= 64)
            return 1;
        data[63] = (uint8_t)i;
        if (put(names[i], data + 63, GW_MIN(n - 63, (size_t)65536)))
            return 1;
    }
    return 0;
}

/* A block of 64 pages of which each has a bit, none has, and as every other page; good, cut, with heads that do not fit together
 * (fuzz_mapped.c). */
static int mapped(void)
{
    static const char *const names[] = {"all", "none", "some", "cut", "behind", "within"};
    static const uint64_t maps[] = {UINT64_MAX, 0, 0x5555555555555555, 1, 1, 1};
    struct gw_wire_mapped good;

    if (gw_mapped_lay("r", 64 * 4096, 4096, 0, &good, NULL) < 0)
        return 1;
    for (unsigned k = 0; k < GW_ARRAY_LEN(names); k++) {
        struct gw_wire_mapped m = good;
        uint8_t out[512] = {(uint8_t)k}, *p;
        struct gw_out o;
        size_t n;

        m.pages_at = k == 4 ? m.pages_at << 40 : k == 5 ? m.map_at : m.pages_at;
        gw_out_memory(&o);
        gw_mapped_put(&o, 4096, &m);
        while (gw_out_data(&o, &n) && n < good.map_at)
            gw_put_u8(&o, 0);
        gw_put_u64(&o, maps[k]); /* the same in either order */
        p = gw_out_take(&o, &n);
        if (!p || n > sizeof out - 23)
            return 1;
        gw_store_be16(out + 1, (uint16_t)n);
        gw_store_be32(out + 3, (uint32_t)good.end);
        memcpy(out + 7, p, n);
        gw_store_be64(out + 7 + n, 0x10); /* of the list, which goes on behind the pages; of the section */
        gw_store_be64(out + 15 + n, 0x10);
        free(p);
        if (put(names[k], out, 7 + n + (k == 3 ? 12 : 16)))
            return 1;
    }
    return 0;
}

/* Deltas of a page of 4 KiB, good and bad; lists of changes (fuzz_xbzrle.c). */
static int xbzrle(void)
{
    static const uint8_t one[] = {4, 0x67, 1, 0x35, 0x92, 0x1f, 6, 5, 5, 5, 5, 5, 5};
    static const uint8_t last[] = {4, 0xff, 0x1f, 1, 9}, behind[] = {4, 0x80, 0x20, 1, 9};
    static const uint8_t longer[] = {4, 0x80, 0, 0x81, 0, 7, 0x81, 0, 1, 8}, cut[] = {4, 0x10, 3, 1, 2};
    static const uint8_t few[] = {5, 0, 0, 100, 8, 30, 1, 2, 1, 3, 70, 245, 4};
    static const uint8_t much[] = {13, 0, 0, 0, 255, 0, 255, 1, 255}, limited[] = {5, 1, 20, 10, 15, 10, 15};

    return put("one", one, sizeof one) | put("last", last, sizeof last) | put("behind", behind, sizeof behind) |
           put("longer", longer, sizeof longer) | put("cut", cut, sizeof cut) | put("few", few, sizeof few) |
           put("much", much, sizeof much) | put("limited", limited, sizeof limited);
}

/* Bodies of the section `block`, good and bad; a kind in front (fuzz_block.c). */
static int block(void)
{
    static const uint8_t zeros[] = {1, 0, 0, 0, 0, 0, 0, 0x64, 4, 0, 0, 0, 0, 0, 0, 0, 9, 1, 'a', 0, 0, 0, 0, 0, 0x10, 0, 9, 1, 'a',
                                    0, 0, 0, 0, 0, 0, 0, 2};
    static const uint8_t far[] = {1, 0, 0, 0, 0, 0, 0x20, 0, 9, 1, 'a'}, other[] = {2, 0, 0, 0, 0, 0, 0, 0, 9, 1, 'r'};
    static uint8_t data[1 + 10 + (1 << 20) + 8] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 'a', 7};

    data[sizeof data - 1] = 2;
    return put("zeros", zeros, sizeof zeros) | put("far", far, sizeof far) | put("other", other, sizeof other) |
           put("data", data, sizeof data);
}

/* What a working set begins with, and some runs (fuzz_working_set.c). */
static int working_set(void)
{
    static const uint8_t some[] = {'g', 'd', 'w', 't', 'w', 's', 'e', 't', 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 2, 0, 0, 0, 4,
                                   3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 3, 232, 3, 'v', 'g', 'a', 0, 0, 0, 0, 0, 0, 1, 44,
                                   0, 20, 0, 1, 0, 15, 2, 0xd6, 4, 0, 0, 47, 2, 0, 0, 0, 0};

    return put("some", some, sizeof some) | put("cut", some, sizeof some - 7) | put("head", some, 28);
}

/* RAM records, with good and bad compressed pages (fuzz_compress.c). */
static int compressed(void)
{
    static const char *const names[] = {"good", "cut", "changed", "long", "again"};
    uint8_t page[4096], out[8192];
    int r = 0;

    for (unsigned k = 0; k < GW_ARRAY_LEN(names); k++) {
        size_t at = 1;

        out[0] = (uint8_t)k;
        for (unsigned i = 0; i < 3; i++) {
            uLongf n = 1000;
            uint8_t *record = out + at;

            for (unsigned b = 0; b < sizeof page; b++)
                page[b] = (uint8_t)(b * i >> 7);
            memcpy(record, (const uint8_t[]){0, 0, 0, 0, 0, 0, 1, i ? 0x20 : 0}, 8);
            record[6] = (uint8_t)((k == 4 ? 0 : i) << 4 | 1);
            record += 8;
            if (!i) {
                memcpy(record, "\1r", 2);
                record += 2;
            }
            if (compress(record + 4, &n, page, sizeof page - (k == 3 && i == 1)) != Z_OK)
                return 1;
            if (i == 1 && k == 1)
                n /= 2;
            if (i == 1 && k == 2)
                record[4 + n / 2] ^= 0x10;
            memcpy(record, (const uint8_t[]){0, 0, (uint8_t)(n >> 8), (uint8_t)n}, 4);
            at = (size_t)(record - out) + 4 + n;
        }
        memcpy(out + at, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0x10}, 8);
        r |= put(names[k], out, at + 8);
    }
    return r;
}

static int uri(void)
{
    static const char *const texts[] = {"tcp:127.0.0.1:4444", "tcp:[::1]:0", "tcp:[fe80::1%eth0]:1", "unix:/tmp/x",
                                        "vsock:2:1024", "fd:3", "exec:cat", "file:/x,offset=0x10", "file:a,offset=1M", "tcp::1"};
    char name[8];
    int r = 0;

    for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) {
        snprintf(name, sizeof name, "%zu", i);
        r |= put(name, texts[i], strlen(texts[i]));
    }
    return r;
}

/* A parked file with a dictionary: only large ones have one. */
static int dictionary(void)
{
    static uint8_t data[CAPTURE_MAX];
    size_t n = load("../parked/accept/dictionary.park", data);

    return n ? put("parked-dictionary", data, n) : 1;
}

/* Zeros, copies, text and noise, compressed and not. */
static int parked(void)
{
    static const char *const compress[] = {"none", NULL};
    struct gw_image *image = NULL;
    struct gw_error err = GW_ERROR_INIT;
    char path[512];
    uint8_t *ram;
    int r = gw_image_new(NULL, &image, &err);

    if (r >= 0)
        r = gw_memory_add_block(image, "r", 40 * 4096, &ram, &err);
    for (size_t i = 0; i < 40 * 4096 && r >= 0; i++)
        ram[i] = i / 4096 % 7 == 0 ? 0 : i / 4096 > 20 ? (uint8_t)(i % 4096 / 100) : i < 8192 ? (uint8_t)(i * i >> 7) : 'x';
    if (r >= 0) {
        strcpy(image->machine, "pc");
        image->devices_bytes = 300;
        image->devices = calloc(1, image->devices_bytes);
        r = image->devices ? gw_image_add_other(image, GW_PLACE_ITERATE, "other", 5, &err) : -1;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(compress) && r >= 0; i++) {
        struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = compress[i], .replace = true};

        snprintf(path, sizeof path, "%s/parked-%zu", folder, i);
        r = gw_image_write(image, path, &o, &err);
    }
    if (r < 0)
        fprintf(stderr, "%s\n", err.text);
    gw_image_free(image);
    return r < 0 || dictionary();
}

/* The first byte says in which pieces it comes (fuzz_qmp.c). */
static int qmp(void)
{
#define HELLO_QMP "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}"
#define RUN(name, args) "{'execute':'" name "','arguments':" args ",'id':[1.5,{'a':18446744073709551615}]}\n"
    static const char *const texts[] = {
        "\x20" HELLO_QMP RUN("query-commands", "{}") RUN("query-version", "{}") RUN("query-status", "{}") RUN("stop", "{}")
            RUN("cont", "{'x-godwit-force':true}") RUN("query-yank", "{}"),
        "\x06" HELLO_QMP RUN("migrate", "{'uri':'tcp:127.0.0.1:1','x-godwit-peer':'7.2','x-godwit-timeout-ms':5}")
            RUN("query-migrate", "{}") RUN("migrate_cancel", "{}") RUN("yank", "{'instances':[{'type':'migration'}]}") RUN("quit", "{}"),
        "\x40" HELLO_QMP RUN("migrate", "{'channels':[{'channel-type':'main','addr':{'transport':'socket','type':'inet','host':'::1',"
                                        "'port':'4'}}]}")
            RUN("migrate", "{'channels':[{'channel-type':'main','addr':{'transport':'exec','args':['/bin/sh','-c','true']}}]}"),
        "\x41" HELLO_QMP RUN("migrate-incoming", "{'uri':'unix:x'}") RUN("query-migrate", "{}") RUN("x-godwit-claim", "{}")
            RUN("migrate-continue", "{'state':'pre-switchover'}"),
        "\x02" HELLO_QMP RUN("migrate-set-parameters", "{'max-bandwidth':18446744073709551615,'tls-creds':null,'direct-io':false}")
            RUN("query-migrate-parameters", "{}") RUN("query-migrate-capabilities", "{}")
                RUN("migrate-set-capabilities", "{'capabilities':[{'capability':'events','state':true}]}"),
        "\x10{'a\\'\":\"\\u0001\\ud83d\\ude00\"} [[[\xff{\"exec-oob\":\"migrate-pause\"}}]'x\n{\"execute\":\"getfd\",'id':'\\u00015'}",
    };
    char name[16];
    int r = 0;

    for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) {
        snprintf(name, sizeof name, "qmp-%zu", i);
        r |= put(name, texts[i], strlen(texts[i]));
    }
    return r;
}

/* What its writer's -dump-vmstate could be, a NUL, and the description of a stream. */
static int dump(const char *name)
{
    static uint8_t data[CAPTURE_MAX];
    size_t n = load(name, data), at = GW_MAX(n, 6), bytes = 0;
    char *schema, *text, *both;
    int r = 1;

    while (--at > 5 && (data[at] != '{' || data[at - 5] != 0x06 || (bytes = gw_load_be32(data + at - 4)) > n - at))
        ;
    if (n < 6 || at < 6 || gw_schema_from_description((char *)data + at, bytes, "m", &schema, NULL) < 0)
        return 1;
    if (gw_schema_to_dump(schema, &text, NULL) == 0) {
        both = malloc(strlen(text) + 1 + bytes);
        strcpy(both, text);
        memcpy(both + strlen(text) + 1, data + at, bytes);
        r = put(name, both, strlen(text) + 1 + bytes);
        free(both);
        free(text);
    }
    free(schema);
    return r;
}

/* A small image of each version: something is written, and there is a snapshot. */
static int qcow2(void)
{
    int r = 0;

    for (unsigned version = 2; version < 4; version++) {
        struct gw_qcow2_config config = {.bytes = 100 * 512, .version = version, .cluster_bits = 9};
        struct gw_qcow2_snapshot shot = {.name = (char[]){"seed"}};
        struct gw_node *file = gw_node_memory(0, 512), *image = NULL;
        static uint8_t data[1 << 22];

        if (!file || gw_qcow2_create(file, &config, NULL) < 0 || gw_qcow2_open(file, NULL, 0, &image, NULL) < 0)
            return 1;
        memset(data, version, 10000);
        if (gw_node_write(image, data, 10000, 3000, 0, NULL) < 0 || gw_qcow2_snapshot_create(image, &shot, NULL) < 0 ||
            gw_node_write(image, data, 2000, 9000, 0, NULL) < 0 || gw_node_flush(image, NULL) < 0 ||
            gw_node_read(file, data, GW_MIN(file->bytes, 65536), 0, NULL) < 0)
            return 1;
        r |= put(version == 2 ? "version-2" : "version-3", data, GW_MIN(file->bytes, 65536));
        gw_node_free(image, NULL);
    }
    return r;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    folder = argv[2];
    if (!strcmp(argv[1], "loader"))
        return loader();
    if (!strcmp(argv[1], "guest"))
        return guest();
    if (!strcmp(argv[1], "inspect") || !strcmp(argv[1], "stream_file"))
        return captures(65536) | unknown();
    if (!strcmp(argv[1], "libvirt"))
        return libvirt();
    if (!strcmp(argv[1], "head"))
        return captures(120);
    if (!strcmp(argv[1], "parked"))
        return parked();
    if (!strcmp(argv[1], "convert"))
        return captures(65536) | libvirt() | parked();
    if (!strcmp(argv[1], "qmp"))
        return qmp();
    if (!strcmp(argv[1], "dump"))
        return dump("precopy-none-10.0.bin") | dump("precopy-microvm-10.0.bin.gz");
    if (!strcmp(argv[1], "examine"))
        return examine();
    if (!strcmp(argv[1], "return_path"))
        return return_path();
    if (!strcmp(argv[1], "packet"))
        return packet();
    if (!strcmp(argv[1], "mapped"))
        return mapped();
    if (!strcmp(argv[1], "block"))
        return block();
    if (!strcmp(argv[1], "bitmaps"))
        return seeds_bitmaps(put);
    if (!strcmp(argv[1], "postcopy"))
        return seeds_postcopy(put);
    if (!strcmp(argv[1], "xbzrle"))
        return xbzrle();
    if (!strcmp(argv[1], "working_set"))
        return working_set();
    if (!strcmp(argv[1], "qcow2"))
        return qcow2();
    if (!strcmp(argv[1], "compress"))
        return compressed();
    return strcmp(argv[1], "uri") ? 0 : uri(); /* others make do without */
}
