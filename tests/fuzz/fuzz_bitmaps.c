/* SPDX-License-Identifier: MIT
 *
 * Bodies of the section `dirty-bitmap` from a peer: byte 0 chooses whether names are mapped, and whether the session fails behind
 * them; then each body, as many bytes as the four in front of it say. No bitmap that did not come whole stays, and none from before
 * is changed. Accepted: no body is refused, and no bitmap is lacking in the end.
 */
#include "base/endian.h"
#include "disk/bitmap_live.h"
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAPPED = 1, FAILS = 2 };

#define BYTES ((1u << 20) + 4096)

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    abort();
}

/* One that the machine has had before. */
static void own(struct gw_disk *d)
{
    if (gw_disk_bitmap_add(d, &(struct gw_bitmap_config){.name = "own", .granularity = 4096}, NULL) < 0)
        abort();
    gw_disk_wrote(d, 0, 1);
}

static void judge(struct gw_disk *d, bool ok)
{
    struct gw_bitmap_info info;
    bool owned = false;

    for (unsigned i = 0; gw_disk_bitmap_at(d, i, &info) >= 0; i++) {
        bool is = !strcmp(info.name, "own");

        owned |= is;
        check(is || ok, "a bitmap of a failed session stays");
        check(!is || info.dirty_bytes == 4096, "a bitmap from before has changed");
    }
    check(owned, "a bitmap from before has gone");
}

static int bodies(struct gw_live *live, const uint8_t *data, size_t size)
{
    enum gw_section_kind kind = GW_SECTION_START;
    int e = 0;

    for (size_t at = 0; e >= 0 && at + 4 <= size;) {
        size_t n = GW_MIN(gw_load_be32(data + at), size - at - 4);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;

        gw_reader_init_memory(&r, data + at + 4, n, 0);
        e = live->ops->load(live, kind, &r, &err);
        check(e >= 0 || (err.code == e && err.text[0]), "no reason");
        gw_reader_close(&r);
        at += 4 + n;
        kind = GW_SECTION_PART;
    }
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read};
    static const struct gw_bitmap_alias names[] = {{.disk = "d", .disk_alias = "n", .bitmap = "x", .alias = "b"}};
    struct gw_disk *d[2] = {NULL, NULL};
    struct gw_bitmap_live_config config = {.disks = d, .disk_count = 2};
    char note[GW_LIVE_NOTE] = "";
    struct gw_live *live;
    bool ok;

    if (!size)
        return 0;
    if (gw_disk_new(&(struct gw_disk_desc){.device = "d", .node = "n", .bytes = BYTES, .ops = &ops}, &d[0], NULL) < 0 ||
        gw_disk_new(&(struct gw_disk_desc){.device = "e", .bytes = 512, .ops = &ops}, &d[1], NULL) < 0 ||
        (data[0] & MAPPED && gw_bitmap_map_new(names, 1, &config.map, NULL) < 0) || gw_bitmap_live_new(&config, &live, NULL) < 0)
        abort();
    own(d[0]);
    own(d[1]);
    check(live->ops->load_setup(live, NULL) >= 0, "set-up");
    ok = bodies(live, data + 1, size - 1) >= 0 && !(data[0] & FAILS);
    check(live->ops->check_ended(live, GW_LIVE_ENDED, note, NULL) >= 0, "the end");
    FUZZ_VERDICT(ok && !note[0]);
    live->ops->load_cleanup(live, ok);
    judge(d[0], ok);
    judge(d[1], ok);
    live->ops->free(live);
    gw_bitmap_map_free(config.map);
    gw_disk_free(d[0]);
    gw_disk_free(d[1]);
    return 0;
}
