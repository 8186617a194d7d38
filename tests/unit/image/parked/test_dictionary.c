/* SPDX-License-Identifier: MIT
 *
 * Parked files with a dictionary: when there is one, that all is read back, that what was written once is read for ever, and what a
 * hostile file can say about it.
 *
 * With two arguments, "make" and a path, the program writes the file that lies in tests/golden/parked.
 */
#include "rig.h"
#include "repair.h"

#include "image/parked/dictionary.h"
#include "image/parked/pack.h"

#define PAGE  4096u
#define PAGES 2400u /* 9 MiB: twice the least that gets a dictionary */
#define CRC   0xaa11b027u /* of the golden file */

struct file {
    uint8_t *data;
    size_t bytes;
};

/* No two pages are alike; all have most in common. */
static void fill_page(uint8_t *p, uint64_t i)
{
    memset(p, 0, PAGE);
    for (size_t b = 0; b < PAGE; b += 32)
        snprintf((char *)p + b, 32, "%c entry of a table: %08x", b ? 'a' : 'b', (unsigned)(b ? b * 77 : i * 40503));
}

static void open_rig(struct rig *rig)
{
    static const uint64_t pages[RIG_BLOCKS] = {PAGES, 3, 0, 1};

    rig_open(rig, PAGE, pages, true, 20);
    for (uint64_t i = 0; i < PAGES; i++)
        fill_page(rig->ram[0] + i * PAGE, i);
}

static struct file park(struct rig *rig, const char *compress)
{
    struct gw_error err = GW_ERROR_INIT;
    struct file f = {0};

    if (rig_park(rig, compress, 1, &f.data, &f.bytes, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

static struct file packed_file(void)
{
    struct rig rig;
    struct file f;

    rig_needs_zstd();
    open_rig(&rig);
    f = park(&rig, "zstd");
    rig_close(&rig);
    return f;
}

static uint32_t needs(const struct file *f)
{
    return gw_load_be32(f->data + 12) & ~GW_PARKED_NEEDS_END;
}

static int open_and_read(const struct file *f, struct gw_error *err)
{
    uint8_t *got = malloc((size_t)PAGES * PAGE), want[PAGE];
    struct gw_image *image;
    int r = rig_open_bytes(f->data, f->bytes, &image, err);

    if (r >= 0)
        r = gw_image_pages(image, 0, 0, PAGES, got, err);
    for (uint64_t i = 0; i < PAGES && r >= 0; i++) {
        fill_page(want, i);
        assert_memory_equal(got + i * PAGE, want, PAGE);
    }
    for (uint64_t i = PAGES - 1; i < PAGES && r >= 0; i -= 97) {
        fill_page(want, i);
        r = gw_image_pages(image, 0, i, 1, got, err);
        assert_memory_equal(got, want, PAGE);
    }
    if (r >= 0)
        r = image->ops->check(image, err);
    gw_image_free(image);
    free(got);
    return r;
}

static void read_back(void **state)
{
    struct file f = packed_file();
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(needs(&f), GW_PARKED_NEEDS_ZSTD | GW_PARKED_NEEDS_DICTIONARY);
    assert_int_equal(open_and_read(&f, &err), 0);
    free(f.data);
}

/* The same image gives the same file, whatever keys copies are found by. */
static void same_again(void **state)
{
    struct file a = packed_file(), b = packed_file();

    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.data, b.data, a.bytes);
    free(a.data);
    free(b.data);
}

static size_t dictionary_bytes(struct rig *rig)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *d = NULL;
    size_t n = 0;

    assert_int_equal(gw_parked_dictionary(&rig->image, &d, &n, &err), 0);
    assert_int_equal(!d, !n);
    for (size_t i = 0; i < n && i < GW_PARKED_DICTIONARY_ZEROS; i++)
        assert_int_equal(d[i], 0);
    free(d);
    return n;
}

/* There is none where nothing is compressed, in small images, in those of zeros, of noise or of copies. */
static void when_there_is_none(void **state)
{
    static const uint64_t few[RIG_BLOCKS] = {1000, 0, 0, 0};
    struct rig rig;
    struct file f;
    uint64_t seed = 3;

    open_rig(&rig);
    f = park(&rig, "none");
    assert_int_equal(needs(&f), 0);
    free(f.data);
    assert_in_range(dictionary_bytes(&rig), 2 * GW_PARKED_DICTIONARY_LEAST, 5 * GW_PARKED_DICTIONARY_LEAST / 2);
    for (size_t b = 0; b < (size_t)PAGES * PAGE; b += 8)
        memcpy(rig.ram[0] + b, &(uint64_t){rig_random(&seed)}, 8);
    assert_int_equal(dictionary_bytes(&rig), 0);
    for (size_t i = 0; i < PAGES; i++)
        fill_page(rig.ram[0] + i * PAGE, i % 10);
    assert_int_equal(dictionary_bytes(&rig), 0);
    memset(rig.ram[0], 0, (size_t)PAGES * PAGE);
    assert_int_equal(dictionary_bytes(&rig), 0);
    rig_close(&rig);
    rig_open(&rig, PAGE, few, true, 20);
    for (uint64_t i = 0; i < 1000; i++)
        fill_page(rig.ram[0] + i * PAGE, i);
    assert_int_equal(dictionary_bytes(&rig), 0);
    rig_close(&rig);
}

/* Pages that pack, but have nothing in common. */
static void not_worth_it(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;
    uint64_t seed = 7;
    struct rig rig;
    struct file f;

    rig_needs_zstd();
    open_rig(&rig);
    for (size_t b = 0; b < (size_t)PAGES * PAGE; b += 8)
        memcpy(rig.ram[0] + b, &(uint64_t){rig_random(&seed) & 0x3f3f3f3f3f3f3f3f}, 8);
    assert_in_range(dictionary_bytes(&rig), 2 * GW_PARKED_DICTIONARY_LEAST, 5 * GW_PARKED_DICTIONARY_LEAST / 2);
    f = park(&rig, "zstd");
    assert_int_equal(needs(&f), GW_PARKED_NEEDS_ZSTD);
    assert_int_equal(rig_open_bytes(f.data, f.bytes, &image, &err), 0);
    gw_image_free(image);
    free(f.data);
    rig_close(&rig);
}

/* Pages of blocks of all sizes are looked at; none that is not there. */
static void blocks_of_all_sizes(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {1, 0, 9000, 2};
    struct rig rig;

    rig_open(&rig, 1024, pages, true, 21);
    for (size_t b = 0; b < 9000 * 1024; b += 32)
        snprintf((char *)rig.ram[2] + b, 32, "%08x %016x", (unsigned)b, (unsigned)b * 77);
    assert_in_range(dictionary_bytes(&rig), 2 * GW_PARKED_DICTIONARY_LEAST, 5 * GW_PARKED_DICTIONARY_LEAST / 2);
    rig_close(&rig);
}

static void noise(void **state)
{
    uint8_t page[PAGE];
    uint64_t seed = 5;

    for (unsigned i = 0; i < 1000; i++) {
        for (size_t b = 0; b < PAGE; b += 8)
            memcpy(page + b, &(uint64_t){rig_random(&seed)}, 8);
        assert_true(gw_pack_noise(page, PAGE) || i % 100); /* chance may have it otherwise now and then */
        for (size_t b = 0; b < PAGE; b++) /* as base64 */
            page[b] &= 0x3f;
        assert_false(gw_pack_noise(page, PAGE));
        assert_false(gw_pack_noise(page, 1024));
    }
}

/* What was written once. */
static void golden(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct file f = {malloc(1 << 20), 0};
    FILE *from = fopen(GOLDEN_DIR "/parked/accept/dictionary.park", "rb");

    rig_needs_zstd();
    assert_non_null(from);
    f.bytes = fread(f.data, 1, 1 << 20, from);
    fclose(from);
    assert_int_equal(gw_crc32c(0, f.data, f.bytes), CRC);
    assert_int_equal(needs(&f), GW_PARKED_NEEDS_ZSTD | GW_PARKED_NEEDS_DICTIONARY);
    if (open_and_read(&f, &err) < 0)
        fail_msg("%s", err.text);
    free(f.data);
}

/* ---- hostile files ------------------------------------------------------------------------------------------------ */

/* The dictionary as it is, instead of compressed: the file with its first bytes behind the trailer's other parts. */
static struct file plain_dictionary(const uint8_t *dictionary, size_t bytes)
{
    struct file f = packed_file(), to;
    struct repair_part part = repair_find(f.data, f.bytes, GW_PARKED_DICTIONARY);
    size_t head = (size_t)(part.data - f.data), tail = f.bytes - head - part.bytes;
    uint8_t *entry;

    /* It is the last part but libvirt's state, which this machine has not. */
    assert_int_equal(tail, GW_PARKED_TRAILER_BYTES);
    to.bytes = head + bytes + tail;
    to.data = malloc(to.bytes);
    memcpy(to.data, f.data, head);
    if (bytes)
        memcpy(to.data + head, dictionary, bytes);
    memcpy(to.data + head + bytes, f.data + f.bytes - tail, tail);
    entry = to.data + head + bytes + (part.entry - (f.data + f.bytes - tail));
    gw_store_be32(entry + 4, 0);
    gw_store_be64(entry + 16, bytes);
    gw_store_be64(entry + 24, bytes);
    gw_store_be64(to.data + to.bytes - GW_PARKED_TRAILER_BYTES + 32, to.bytes);
    repair(to.data, to.bytes);
    free(f.data);
    return to;
}

static void must_say(const struct file *f, const char *what)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = open_and_read(f, &err);

    if (r != -EPROTO || err.blame != GW_BLAME_PEER || !strstr(err.text, what))
        fail_msg("%d, %s instead of %s", r, err.text, what);
}

static void claims(void **state)
{
    static const uint8_t zeros[(4u << 20) + 1], magic[20] = {0x37, 0xa4, 0x30, 0xec, 1, 2, 3, 4};
    static const struct {
        const uint8_t *data;
        size_t bytes;
        const char *what;
    } all[] = {
        {zeros, 0, "a dictionary of 0 bytes"},       {zeros, 8, "a dictionary of 8 bytes"},
        {zeros, 9, "frame 0, bytes 64"}, /* it was made with another one */
        {zeros, sizeof zeros, "a dictionary of 4194305 bytes"},
        {magic, sizeof magic, "it does not begin with 8 zeros"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(all); i++) {
        struct file f = plain_dictionary(all[i].data, all[i].bytes);

        must_say(&f, all[i].what);
        free(f.data);
    }
}

static void put_needs(struct file *f, uint32_t value)
{
    value |= gw_load_be32(f->data + 12) & GW_PARKED_NEEDS_END;
    gw_store_be32(f->data + 12, value);
    gw_store_be32(f->data + f->bytes - GW_PARKED_TRAILER_BYTES + 12, value);
    repair(f->data, f->bytes);
}

/* Who would not know the part must not read the file; who wants one and finds none cannot. */
static void needs_and_part(void **state)
{
    struct file f = packed_file();
    struct repair_part part = repair_find(f.data, f.bytes, GW_PARKED_DICTIONARY);

    put_needs(&f, GW_PARKED_NEEDS_ZSTD);
    must_say(&f, "has a dictionary");
    put_needs(&f, GW_PARKED_NEEDS_ZSTD | GW_PARKED_NEEDS_DICTIONARY);
    gw_store_be32(part.entry, 12345);
    repair(f.data, f.bytes);
    must_say(&f, "has no dictionary");
    put_needs(&f, GW_PARKED_NEEDS_ZSTD);
    must_say(&f, "frame 0, bytes 64");
    free(f.data);
}

/* Each place of the dictionary, and each place where the file can be cut in it. */
static void broken_anywhere(void **state)
{
    struct file f = packed_file();
    struct repair_part part = repair_find(f.data, f.bytes, GW_PARKED_DICTIONARY);

    for (size_t i = 0; i < part.bytes; i += 13 * RIG_LESS) {
        struct file cut = {f.data, (size_t)(part.data - f.data) + i};

        part.data[i] ^= 0x20;
        must_say(&f, "dictionary, ");
        part.data[i] ^= 0x20;
        must_say(&cut, "trailer at byte");
    }
    free(f.data);
}

static int make(const char *path)
{
    struct rig rig;
    struct file f;
    FILE *to = fopen(path, "wb");

    open_rig(&rig);
    f = park(&rig, "zstd");
    rig_close(&rig);
    printf("0x%08x\n", gw_crc32c(0, f.data, f.bytes));
    return !to || fwrite(f.data, 1, f.bytes, to) != f.bytes || fclose(to);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back), cmocka_unit_test(same_again),     cmocka_unit_test(when_there_is_none),
        cmocka_unit_test(noise),     cmocka_unit_test(golden),         cmocka_unit_test(blocks_of_all_sizes),
        cmocka_unit_test(claims),    cmocka_unit_test(needs_and_part), cmocka_unit_test(broken_anywhere),
        cmocka_unit_test(not_worth_it),
    };

    if (argc == 3 && !strcmp(argv[1], "make"))
        return make(argv[2]);
    return cmocka_run_group_tests_name("dictionary", tests, NULL, NULL);
}
