/* SPDX-License-Identifier: MIT
 *
 * Dirty bitmaps beside a model that has a byte for each bit: writes, all changes, backups with both endings; and
 * what is refused, with its reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "disk/bitmap.h"
#include "disk_rig.h"

#define BITMAPS 3u
#define BITS    (RIG_BYTES / 512)

static struct rig_disk m;

struct model {
    bool there, enabled, split, split_records;
    uint64_t granularity;
    uint8_t bit[BITS + 1], successor[BITS + 1];
};

static const char *const names[BITMAPS] = {"a", "b", "c"};
static struct model models[BITMAPS];

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static void set(uint8_t *bits, uint64_t granularity, uint64_t at, uint64_t bytes)
{
    for (uint64_t i = at / granularity; i <= (at + bytes - 1) / granularity; i++)
        bits[i] = 1;
}

static void write_all(struct gw_disk *d, uint64_t at, uint64_t bytes)
{
    gw_disk_wrote(d, at, bytes);
    for (unsigned i = 0; i < BITMAPS; i++) {
        struct model *b = &models[i];

        if (b->there && (b->split ? b->split_records : b->enabled))
            set(b->split ? b->successor : b->bit, b->granularity, at, bytes);
    }
}

static void same(struct gw_disk *d)
{
    struct gw_bitmap_info info;
    unsigned there = 0;

    for (unsigned i = 0; !gw_disk_bitmap_at(d, i, &info); i++) {
        struct model *b = &models[info.name[0] - 'a'];
        uint64_t at = 0, bytes = 0, dirty = 0;
        uint8_t seen[BITS + 1] = {0};

        there++;
        assert_true(b->there);
        for (unsigned k = 0; k <= BITS; k++)
            dirty += b->bit[k] | b->successor[k];
        assert_int_equal(info.dirty_bytes, dirty * b->granularity);
        assert_int_equal(info.recording, b->split ? b->split_records : b->enabled);
        assert_int_equal(info.busy, b->split);
        while (!gw_disk_bitmap_next(d, info.name, at + bytes, &at, &bytes, NULL) && bytes)
            set(seen, b->granularity, at, bytes);
        assert_memory_equal(seen, b->bit, sizeof seen);
    }
    for (unsigned i = 0; i < BITMAPS; i++)
        there -= models[i].there;
    assert_int_equal(there, 0);
}

static void merge(unsigned to, unsigned from)
{
    struct model *a = &models[to], *b = &models[from];

    for (uint64_t i = 0; to != from && i <= BITS; i++)
        if (b->bit[i] | b->successor[i])
            set(a->bit, a->granularity, i * b->granularity,
                GW_MIN((i + 1) * b->granularity, RIG_BYTES) - i * b->granularity);
}

/* One random operation, in the model too if it may be. */
static void act(struct gw_disk *d, uint64_t *seed)
{
    unsigned i = (unsigned)(next(seed) % BITMAPS), other = (unsigned)(next(seed) % BITMAPS);
    unsigned what = (unsigned)(next(seed) % 8);
    struct model *b = &models[i];
    int want = !b->there ? -ENOENT : b->split ? -EBUSY : 0;
    struct gw_bitmap_config config = {
        .name = names[i], .granularity = 512ull << next(seed) % 6, .disabled = next(seed) % 2};
    bool done = next(seed) % 2;

    switch (what) {
    case 0:
        assert_int_equal(gw_disk_bitmap_add(d, &config, NULL), b->there ? -EEXIST : 0);
        if (!b->there)
            *b = (struct model){.there = true, .enabled = !config.disabled, .granularity = config.granularity};
        break;
    case 1:
        if (next(seed) % 4)
            break;
        assert_int_equal(gw_disk_bitmap_remove(d, names[i], NULL), want);
        if (!want)
            *b = (struct model){0};
        break;
    case 2:
        assert_int_equal(gw_disk_bitmap_clear(d, names[i], NULL), want);
        if (!want)
            memset(b->bit, 0, sizeof b->bit);
        break;
    case 3:
    case 4:
        assert_int_equal((done ? gw_disk_bitmap_enable : gw_disk_bitmap_disable)(d, names[i], NULL), want);
        if (!want)
            b->enabled = done;
        break;
    case 5:
        want = want ? want : models[other].there ? 0 : -ENOENT;
        assert_int_equal(gw_disk_bitmap_merge(d, names[i], d, names[other], NULL), want);
        if (!want)
            merge(i, other);
        break;
    case 6:
        assert_int_equal(gw_disk_bitmap_split(d, names[i], NULL), want);
        if (!want) {
            b->split = true;
            b->split_records = b->enabled;
        }
        break;
    default:
        assert_int_equal(gw_disk_bitmap_join(d, names[i], done, NULL), !b->there ? -ENOENT : b->split ? 0 : -EINVAL);
        for (unsigned k = 0; b->there && b->split && k <= BITS; k++)
            b->bit[k] = (uint8_t)(b->successor[k] | (done ? 0 : b->bit[k]));
        if (b->there && b->split) {
            memset(b->successor, 0, sizeof b->successor);
            b->split = false;
        }
    }
}

static void test_model(void **state)
{
    struct gw_disk *d = rig_disk_new(&m);
    uint64_t seed = 3;

    for (unsigned k = 0; k < 4000; k++) {
        uint64_t at = next(&seed) % RIG_BYTES, bytes = 1 + next(&seed) % (next(&seed) % 4 ? 600 : 20000);

        act(d, &seed);
        bytes = GW_MIN(bytes, RIG_BYTES - at);
        write_all(d, at, bytes);
        same(d);
    }
    gw_disk_free(d);
    memset(models, 0, sizeof models);
}

static void refused(int r, const struct gw_error *err, int code, const char *text)
{
    assert_int_equal(r, code);
    if (!strstr(err->text, text))
        fail_msg("%s", err->text);
}

#define REFUSED(call, code, text)                                                                                      \
    do {                                                                                                               \
        struct gw_error err = GW_ERROR_INIT;                                                                           \
        int r = call;                                                                                                  \
        refused(r, &err, code, text);                                                                                  \
    } while (0)

static void add(struct gw_disk *d, const char *name)
{
    struct gw_bitmap_config config = {.name = name, .granularity = 512};

    assert_int_equal(gw_disk_bitmap_add(d, &config, NULL), 0);
}

static void test_refused(void **state)
{
    struct gw_disk *d = rig_disk_new(&m), *other;
    struct gw_disk_desc shorter = {.device = "drive1", .bytes = 512, .ops = &rig_ops, .opaque = &m};
    char name[GW_BITMAP_NAME_MAX + 2];
    struct gw_bitmap_config config = {.name = name};

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    REFUSED(gw_disk_bitmap_add(d, &config, &err), -EINVAL, "1 to 1023 bytes, not 1024");
    config.name = "x";
    config.granularity = 256;
    REFUSED(gw_disk_bitmap_add(d, &config, &err), -EINVAL, "not 256");
    config.granularity = 4ull << 30;
    REFUSED(gw_disk_bitmap_add(d, &config, &err), -EINVAL, "to 2 GiB, not 4294967296");
    add(d, "x");
    REFUSED(gw_disk_bitmap_clear(d, "y", &err), -ENOENT, "disk drive0 has no dirty bitmap y");
    REFUSED(gw_disk_resized(d, 512, &err), -EBUSY, "tracked");
    assert_int_equal(gw_disk_bitmap_mark(d, "x", true, false, NULL), 0);
    REFUSED(gw_disk_bitmap_enable(d, "x", &err), -ESTALE, "cannot be enabled: it is inconsistent");
    REFUSED(gw_disk_bitmap_merge(d, "x", d, "x", &err), -ESTALE, "merged into");
    assert_int_equal(gw_disk_bitmap_remove(d, "x", NULL), 0);
    add(d, "x");
    assert_int_equal(gw_disk_bitmap_mark(d, "x", false, true, NULL), 0);
    REFUSED(gw_disk_bitmap_remove(d, "x", &err), -EROFS, "cannot be removed: it is read-only");
    assert_int_equal(gw_disk_bitmap_disable(d, "x", NULL), 0);
    assert_int_equal(gw_disk_bitmap_mark(d, "x", false, false, NULL), 0);
    assert_int_equal(gw_disk_new(&shorter, &other, NULL), 0);
    add(other, "x");
    REFUSED(gw_disk_bitmap_merge(d, "x", other, "x", &err), -EINVAL, "different lengths");
    gw_disk_free(other);
    gw_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
