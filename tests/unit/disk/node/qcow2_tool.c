/* SPDX-License-Identifier: MIT
 *
 * qcow2_tool: images for other programs, and what we read from theirs (tests/interop/test_qcow2.py).
 *
 *   model FOLDER FIRST COUNT    images after random calls: FOLDER/N with image, disk (what it must read as), below
 *   crash FOLDER FIRST COUNT    the same, of writers that were killed: base and disk are what was flushed
 *   read OUT IMAGE...           the disk of the first image, which is over the next one, to OUT
 *   open OUT IMAGE              the same by path, with all that the image names itself
 *   state OUT IMAGE BYTES       the machine's state
 *   fill IMAGE SEED             random writes to an image; prints nothing
 *   check IMAGE                 leaks, flags, corruptions
 *   snapshots IMAGE             one a line: id name state_bytes disk_bytes
 *   take|apply|delete IMAGE NAME
 *   again IMAGE OLD NEW         a snapshot with the state of another
 *   bitmaps IMAGE               one a line: name flags granularity_bits first+count,...
 *   add IMAGE NAME GRANULARITY_BITS FIRST COUNT    another bitmap with these bits
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/bitmap.h"
#include "qcow2_model.h"

static void put_file(const char *path, const void *data, uint64_t bytes)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f))
        fail_msg("%s: cannot be written", path);
}

static void load(struct rig_file *f, const char *path)
{
    FILE *from = fopen(path, "rb");

    rig_new(f);
    if (!from)
        fail_msg("%s: cannot be read", path);
    f->bytes = fread(f->data, 1, RIG_ROOM, from);
    fclose(from);
}

static void put_in(const char *folder, unsigned n, const char *name, const void *data, uint64_t bytes)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%u", folder, n);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%u/%s", folder, n, name);
    put_file(path, data, bytes);
}

static void model(const char *folder, unsigned first, unsigned count)
{
    struct model m;

    model_new(&m);
    for (unsigned i = first; i < first + count; i++) {
        model_begin(&m, i);
        for (unsigned k = 0; k < 40; k++)
            model_step(&m, true);
        put_in(folder, i, "disk", m.bytes, m.node->bytes);
        if (m.backed)
            put_in(folder, i, "below", m.below.data, m.below.bytes);
        model_end(&m);
        put_in(folder, i, "image", m.file.data, m.file.bytes);
    }
    model_done(&m);
}

static void crash(const char *folder, unsigned first, unsigned count)
{
    struct rig_file base, left;
    struct model m;

    model_new(&m);
    rig_new(&base);
    rig_new(&left);
    for (unsigned i = first; i < first + count; i++) {
        uint64_t seed = i * 7919 + 1;

        model_begin(&m, i);
        for (unsigned k = 0; k < 20; k++)
            model_step(&m, false);
        rig_ok(gw_node_flush(m.node, &err));
        rig_empty(&base);
        memcpy(base.data, m.file.data, m.file.bytes);
        base.bytes = m.file.bytes;
        m.file.record = true;
        for (unsigned k = 0; k < 10; k++)
            model_step(&m, false);
        rig_ok(gw_node_flush(m.node, &err));
        rig_crash(&base, &m.file, (unsigned)(rig_random(&seed) % (m.file.count + 1)), i % 2, &seed, &left);
        put_in(folder, i, "image", left.data, left.bytes);
        if (m.backed)
            put_in(folder, i, "below", m.below.data, m.below.bytes);
        m.file.record = false;
        model_end(&m);
    }
    rig_done(&base);
    rig_done(&left);
    model_done(&m);
}

/* The chain of images, the last of which may be raw. */
static struct gw_node *open_chain(char **paths, int count)
{
    static struct rig_file files[66]; /* they stay until the end */
    static unsigned used;
    struct rig_file *f = &files[used];
    struct gw_qcow2_about about;
    struct gw_node *n;

    if (!count)
        return NULL;
    assert_true(++used <= GW_ARRAY_LEN(files));
    load(f, paths[0]);
    if (f->bytes < 4 || memcmp(f->data, "QFI\xfb", 4))
        return rig_node(f);
    n = rig_node(f);
    rig_ok(gw_qcow2_about(n, &about, &err));
    gw_node_free(n, NULL);
    return rig_open(f, about.backing[0] ? open_chain(paths + 1, count - 1) : NULL, GW_QCOW2_READ_ONLY);
}

/* What find says to be zeros is. */
static void open_out(const char *out, const char *path)
{
    const struct gw_node_options how = {.read_only = true, .format = "qcow2"};
    struct gw_error err = GW_ERROR_INIT; /* this one is told */
    struct gw_node_run run;
    struct gw_node *n;
    uint8_t *room;

    if (gw_node_open(path, &how, &n, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    room = malloc(n->bytes + 1);
    for (uint64_t at = 0; at < n->bytes; at += GW_MIN(run.bytes, 1000000u)) {
        rig_ok(gw_node_find(n, n->bytes - at, at, &run, &err));
        rig_ok(gw_node_read(n, room + at, GW_MIN(run.bytes, 1000000u), at, &err));
        for (uint64_t i = 0; run.kind != GW_DISK_DATA && i < GW_MIN(run.bytes, 1000000u); i++)
            if (room[at + i])
                fail_msg("byte %" PRIu64 " is not zero", at + i);
    }
    put_file(out, room, n->bytes);
    rig_ok(gw_node_free(n, &err));
    free(room);
}

static void read_out(const char *out, char **paths, int count)
{
    struct gw_node *n = open_chain(paths, count);
    char *room = malloc(n->bytes + 1);

    for (uint64_t at = 0; at < n->bytes;) { /* in parts of odd lengths */
        uint64_t bytes = GW_MIN(n->bytes - at, 77777);

        rig_ok(gw_node_read(n, room + at, bytes, at, &err));
        at += bytes;
    }
    put_file(out, room, n->bytes);
    free(room);
    rig_ok(gw_node_free(n, &err));
}

static void read_state(const char *out, const char *path, uint64_t bytes)
{
    struct rig_file f;
    struct gw_node *n;
    char *room = malloc(bytes);

    load(&f, path);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY | GW_QCOW2_ALONE);
    rig_ok(gw_qcow2_state_read(n, room, bytes, 0, &err));
    put_file(out, room, bytes);
    free(room);
    gw_node_free(n, NULL);
}

static void fill(struct gw_node *n, uint64_t seed)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t offset = rig_random(&seed) % n->bytes,
                 bytes = 1 + rig_random(&seed) % GW_MIN(n->bytes - offset, 200000);

        switch (rig_random(&seed) % 4) {
        case 0:
            rig_ok(gw_node_zero(n, bytes, offset, rig_random(&seed) % 2, &err));
            break;
        case 1:
            rig_ok(gw_node_discard(n, bytes, offset, &err));
            break;
        default:
            rig_fill(n, 1 + (int)(rig_random(&seed) % 255), bytes, offset);
        }
    }
}

static void show_snapshots(struct gw_node *n)
{
    const struct gw_qcow2_snapshot *s;
    unsigned count = gw_qcow2_snapshots(n, &s);

    for (unsigned i = 0; i < count; i++)
        printf("%s %s %" PRIu64 " %" PRIu64 "\n", s[i].id, s[i].name, s[i].state_bytes, s[i].disk_bytes);
}

static void change_snapshots(struct gw_node *n, const char *how, char *name)
{
    struct gw_qcow2_snapshot s = {.name = name, .seconds = 1000000000};
    unsigned i;

    if (!strcmp(how, "take")) {
        rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
        return;
    }
    rig_ok(gw_qcow2_snapshot_find(n, name, &i, &err));
    if (!strcmp(how, "apply"))
        rig_ok(gw_qcow2_snapshot_apply(n, i, &err));
    else
        rig_ok(gw_qcow2_snapshot_delete(n, i, &err));
}

static void again(struct gw_node *n, char *old, char *new)
{
    const struct gw_qcow2_snapshot *list;
    struct gw_qcow2_snapshot s;
    unsigned i;
    char *room;

    rig_ok(gw_qcow2_snapshot_find(n, old, &i, &err));
    rig_ok(gw_qcow2_snapshot_apply(n, i, &err));
    gw_qcow2_snapshots(n, &list);
    s = list[i];
    s.id = NULL;
    s.name = new;
    room = malloc(s.state_bytes + 1);
    rig_ok(gw_qcow2_state_read(n, room, s.state_bytes, 0, &err));
    rig_ok(gw_qcow2_snapshot_delete(n, i, &err));
    rig_ok(gw_qcow2_state_write(n, room, s.state_bytes, 0, &err));
    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    free(room);
}

static void show_bitmaps(struct gw_node *n)
{
    struct gw_qcow2_bitmap *b;
    unsigned count;

    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    for (unsigned i = 0; i < count; i++) {
        printf("%s %u %u ", b[i].name, b[i].flags, b[i].granularity_bits);
        for (uint64_t at = 0; b[i].bits;) {
            uint64_t first = gw_bitmap_next_set(b[i].bits, b[i].bit_count, at);

            if (first == b[i].bit_count)
                break;
            at = gw_bitmap_next_clear(b[i].bits, b[i].bit_count, first);
            printf("%" PRIu64 "+%" PRIu64 ",", first, at - first);
        }
        printf("\n");
    }
    gw_qcow2_bitmaps_free(b, count);
}

static void add_bitmap(struct gw_node *n, char **arg)
{
    struct gw_qcow2_bitmap *b, *more;
    unsigned count;

    rig_ok(gw_qcow2_bitmaps_load(n, &b, &count, &err));
    more = realloc(b, (count + 1) * sizeof *more);
    more[count] = (struct gw_qcow2_bitmap){.name = strdup(arg[0]), .granularity_bits = (unsigned)atoi(arg[1])};
    more[count].flags = GW_QCOW2_BITMAP_AUTO;
    more[count].bit_count = gw_div_up(n->bytes, 1ull << more[count].granularity_bits);
    more[count].bits = gw_bitmap_new(more[count].bit_count);
    gw_bitmap_set_range(more[count].bits, (uint64_t)atoll(arg[2]), (uint64_t)atoll(arg[3]));
    rig_ok(gw_qcow2_bitmaps_store(n, more, count + 1, &err));
    gw_qcow2_bitmaps_free(more, count + 1);
}

static void one_image(const char *what, const char *path, char **arg)
{
    bool writes = !strcmp(what, "fill") || !strcmp(what, "take") || !strcmp(what, "apply") || !strcmp(what, "delete") ||
                  !strcmp(what, "add") || !strcmp(what, "again");
    struct gw_qcow2_report report;
    struct rig_file f;
    struct gw_node *n;

    load(&f, path);
    n = rig_open(&f, NULL, GW_QCOW2_ALONE | (writes ? 0 : GW_QCOW2_READ_ONLY));
    if (!strcmp(what, "fill")) {
        fill(n, (uint64_t)atoll(arg[0]) + 1);
    } else if (!strcmp(what, "check")) {
        rig_ok(gw_qcow2_check(n, &report, &err));
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", report.leaks, report.missing_copied, report.corruptions,
               report.first);
    } else if (!strcmp(what, "snapshots")) {
        show_snapshots(n);
    } else if (!strcmp(what, "bitmaps")) {
        show_bitmaps(n);
    } else if (!strcmp(what, "add")) {
        add_bitmap(n, arg);
    } else if (!strcmp(what, "again")) {
        again(n, arg[0], arg[1]);
    } else {
        change_snapshots(n, what, arg[0]);
    }
    rig_ok(gw_node_free(n, &err));
    if (writes)
        put_file(path, f.data, f.bytes);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    if (!strcmp(argv[1], "model") && argc == 5)
        model(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    else if (!strcmp(argv[1], "crash") && argc == 5)
        crash(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    else if (!strcmp(argv[1], "read"))
        read_out(argv[2], argv + 3, argc - 3);
    else if (!strcmp(argv[1], "open") && argc == 4)
        open_out(argv[2], argv[3]);
    else if (!strcmp(argv[1], "state") && argc == 5)
        read_state(argv[2], argv[3], (uint64_t)atoll(argv[4]));
    else
        one_image(argv[1], argv[2], argv + 3);
    return 0;
}
