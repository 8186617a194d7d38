/* SPDX-License-Identifier: MIT
 *
 * What is parked comes back as it was, and is the same file every time. What it costs: test_write_costs.c.
 */
#include "same_ram.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/bitmap.h"

static void same_head(const struct gw_image *a, const struct gw_image *b)
{
    assert_string_equal(a->machine, b->machine);
    assert_int_equal(a->page_bytes, b->page_bytes);
    assert_int_equal(a->page_bits, b->page_bits);
    assert_int_equal(a->has_uuid, b->has_uuid);
    assert_memory_equal(a->uuid, b->uuid, 16);
    assert_int_equal(a->footers, b->footers);
    assert_int_equal(a->ram_id, b->ram_id);
    assert_int_equal(a->block_count, b->block_count);
    for (unsigned i = 0; i < a->block_count; i++) {
        assert_string_equal(a->blocks[i].name, b->blocks[i].name);
        assert_int_equal(a->blocks[i].used_bytes, b->blocks[i].used_bytes);
        assert_int_equal(a->blocks[i].pages, b->blocks[i].pages);
        assert_int_equal(a->blocks[i].host_page_bytes, b->blocks[i].host_page_bytes);
        assert_int_equal(a->blocks[i].has_gpa, b->blocks[i].has_gpa);
        assert_int_equal(a->blocks[i].gpa, b->blocks[i].gpa);
    }
    assert_int_equal(a->early_bytes, b->early_bytes);
    assert_int_equal(a->early_before, b->early_before);
    assert_int_equal(a->devices_bytes, b->devices_bytes);
    assert_int_equal(a->description_bytes, b->description_bytes);
    if (a->early_bytes)
        assert_memory_equal(a->early, b->early, a->early_bytes);
    if (a->devices_bytes)
        assert_memory_equal(a->devices, b->devices, a->devices_bytes);
    if (a->description_bytes)
        assert_memory_equal(a->description, b->description, a->description_bytes);
    assert_int_equal(!a->libvirt_xml, !b->libvirt_xml);
    if (a->libvirt_xml)
        assert_string_equal(a->libvirt_xml, b->libvirt_xml);
}

static void round_trip(uint32_t page_bytes, const uint64_t pages[RIG_BLOCKS], bool blobs, const char *compress,
                       unsigned threads, uint64_t seed)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;
    uint8_t *file = NULL;
    struct rig rig;
    size_t bytes;
    int r;

    rig_open(&rig, page_bytes, pages, blobs, seed);
    r = rig_park(&rig, compress, threads, &file, &bytes, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    r = rig_open_bytes(file, bytes, &image, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    assert_int_equal(gw_image_kind(image), GW_IMAGE_PARKED);
    same_head(&rig.image, image);
    same_ram(&rig, image, seed);
    gw_image_free(image);
    free(file);
    rig_close(&rig);
}

static void round_trips(void **state)
{
    static const uint64_t shapes[][RIG_BLOCKS] = {
        {NONE},           {0, NONE},         {1, NONE},          {15, NONE},
        {16, 1, NONE},    {17, 0, 3, NONE},  {4095, 1, 4096, 1}, {4097, 33, NONE},
        {300, 16, 16, 1}, {9000, 300, NONE}, {4096, 8193, 0, 4},
    };
    static const uint32_t page_bytes[] = {1024, 4096, 65536};
    uint64_t seed = 1;

    for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++)
        for (size_t k = 0; k < GW_ARRAY_LEN(page_bytes); k++) {
            if (shapes[i][0] != NONE && shapes[i][0] * page_bytes[k] > (20 << 20) / RIG_LESS)
                continue; /* large and nothing new */
            round_trip(page_bytes[k], shapes[i], i % 2, NULL, 2, seed++);
            round_trip(page_bytes[k], shapes[i], i % 3, "none", 1, seed++);
        }
}

static void same_file(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {3000, 100, NONE};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *file[2];
    struct rig rig;
    size_t bytes[2];

    rig_open(&rig, 4096, pages, true, 5);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig_park(&rig, usual(), i ? 7 : 1, &file[i], &bytes[i], &err), 0);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(file[0], file[1], bytes[0]);
    free(file[0]);
    free(file[1]);
    rig_close(&rig);
}

/* A machine of which pages are lost says so, page by page, and is opened by nobody who wants to run it. */
static void not_whole(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {1500, 100, NONE};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;
    uint64_t *map, seed = 3, lost = 0;
    uint8_t *file;
    struct rig rig;
    size_t bytes;

    rig_open(&rig, 4096, pages, true, 5);
    for (unsigned i = 0; i < 2; i++) {
        map = calloc(gw_bitmap_words(pages[i]), sizeof *map);
        for (uint64_t k = 0; k < pages[i]; k++)
            if (rig_random(&seed) % 3)
                gw_bitmap_set(map, k);
            else
                lost++;
        assert_int_equal(gw_image_lacks(&rig.image, i, map, &err), 0);
    }
    assert_int_equal(gw_image_lacking(&rig.image), lost * 4096);
    assert_int_equal(rig_park(&rig, usual(), 1, &file, &bytes, &err), 0);
    assert_int_equal(gw_load_be32(file + 12) & GW_PARKED_NEEDS_RECEIVED, GW_PARKED_NEEDS_RECEIVED);
    assert_int_equal(rig_open_bytes(file, bytes, &image, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "bytes of its memory were not received"));

    image = calloc(1, sizeof *image);
    {
        int fd = memfd_create("not-whole", MFD_CLOEXEC);

        assert_int_equal(write(fd, file, bytes), bytes);
        assert_int_equal(gw_parked_open(fd, "not-whole", image, &err), 0);
    }
    assert_int_equal(gw_image_lacking(image), lost * 4096);
    for (unsigned i = 0; i < 2; i++)
        assert_memory_equal(image->received[i], rig.image.received[i], gw_bitmap_words(pages[i]) * sizeof *map);
    same_ram(&rig, image, 5);
    gw_image_free(image);
    free(file);
    rig_close(&rig);
}

/* A parked file is an image like any other: it can be parked again, and is then the same file. */
static void again(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {1500, 100, NONE};
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .threads = 2};
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("again", MFD_CLOEXEC);
    struct gw_image *image;
    uint8_t *file, *second;
    struct rig rig;
    size_t bytes;

    rig_open(&rig, 4096, pages, true, 6);
    assert_int_equal(rig_park(&rig, NULL, 2, &file, &bytes, &err), 0);
    assert_int_equal(rig_open_bytes(file, bytes, &image, &err), 0);
    assert_int_equal(gw_parked_write(image, &o, fd, &err), 0);
    second = calloc(1, bytes + 1);
    assert_int_equal(pread(fd, second, bytes + 1, 0), bytes);
    assert_memory_equal(file, second, bytes);
    close(fd);
    gw_image_free(image);
    free(file);
    free(second);
    rig_close(&rig);
}

/* The example of docs/formats/parked.md. */
static void documented_runs(void **state)
{
    static const uint8_t bytes[] = {0x3c, 0x09, 0x02, 0x05, 0x0f, 0x01, 0x9c, 0x7f};
    static const struct gw_parked_run runs[] = {
        {GW_PARKED_ZERO, 16, 0},  {GW_PARKED_FRESH, 3, 0},   {GW_PARKED_AGAIN, 1, 0},
        {GW_PARKED_REPEAT, 4, 2}, {GW_PARKED_ZERO, 4072, 0},
    };
    struct gw_parked_runs *w = malloc(sizeof *w);
    struct gw_parked_runs_reader r = {bytes, bytes + sizeof bytes, 0};

    gw_parked_runs_begin(w, 0);
    gw_parked_runs_zero(w, 16);
    for (uint32_t i = 0; i < 3; i++)
        gw_parked_runs_page(w, i);
    gw_parked_runs_page(w, 0);
    for (uint32_t i = 0; i < 4; i++)
        gw_parked_runs_page(w, 2);
    gw_parked_runs_zero(w, 4072);
    gw_parked_runs_end(w);
    assert_int_equal(w->bytes, sizeof bytes);
    assert_memory_equal(w->out, bytes, sizeof bytes);
    for (size_t i = 0; i < GW_ARRAY_LEN(runs); i++) {
        struct gw_parked_run run;

        assert_int_equal(gw_parked_runs_get(&r, &run, NULL), 0);
        assert_int_equal(run.kind, runs[i].kind);
        assert_int_equal(run.pages, runs[i].pages);
        assert_int_equal(run.number, runs[i].number);
    }
    assert_ptr_equal(r.p, r.end);
    free(w);
}

/* ---- several at a time --------------------------------------------------------------------------------------------
 */

struct reader {
    struct rig *rig;
    struct gw_image *image;
    uint64_t seed;
    bool bad;
};

static void *read_much(void *opaque)
{
    struct reader *r = opaque;
    uint64_t pages = r->image->blocks[0].pages;
    uint8_t got[5 * 4096];

    for (unsigned i = 0; i < 600 && !r->bad; i++) {
        uint64_t n = 1 + rig_random(&r->seed) % 5, at = rig_random(&r->seed) % (pages - n);

        r->bad = gw_image_pages(r->image, 0, at, n, got, NULL) || memcmp(got, r->rig->ram[0] + at * 4096, n * 4096);
    }
    return NULL;
}

static void many_readers(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {3000, NONE};
    struct gw_error err = GW_ERROR_INIT;
    struct reader readers[6];
    pthread_t threads[6];
    struct gw_image *image;
    struct rig rig;
    uint8_t *file;
    size_t bytes;

    rig_open(&rig, 4096, pages, false, 8);
    assert_int_equal(rig_park(&rig, usual(), 2, &file, &bytes, &err), 0);
    assert_int_equal(rig_open_bytes(file, bytes, &image, &err), 0);
    for (unsigned i = 0; i < 6; i++) {
        readers[i] = (struct reader){&rig, image, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_much, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 6; i++)
        assert_false(readers[i].bad);
    gw_image_free(image);
    free(file);
    rig_close(&rig);
}

/* ---- failures -----------------------------------------------------------------------------------------------------
 */

static unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* The disk is full at this byte or that: nothing is left, and what was there before is as it was. */
static void full_disk(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {600, NONE};
    char folder[] = "/tmp/parked.XXXXXX", path[64], text[4] = "";
    struct gw_error err = GW_ERROR_INIT;
    struct rig rig;
    uint8_t *file;
    size_t bytes;
    int fd;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/guest", folder);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "old", 3), 3);
    close(fd);
    rig_open(&rig, 4096, pages, true, 9);
    assert_int_equal(rig_park(&rig, usual(), 2, &file, &bytes, &err), 0);
    for (unsigned i = 0; i <= 10; i++) {
        /* One byte short is too short. */
        rlim_t limit = i == 10 ? bytes - 1 : bytes * i / 10;
        struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .threads = 2, .replace = true};
        pid_t pid = fork();
        int status;

        if (!pid) {
            struct rlimit l = {limit, limit};

            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &l);
            _exit(gw_image_write(&rig.image, path, &o, &err) == -EFBIG && strstr(err.text, "writing at byte") ? 0 : 1);
        }
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        assert_int_equal(entries(folder), 1);
    }
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, 4), 3);
    close(fd);
    assert_string_equal(text, "old");
    unlink(path);
    rmdir(folder);
    free(file);
    rig_close(&rig);
}

struct told {
    uint64_t last, total;
    unsigned calls, stop_at;
};

static bool tell(void *opaque, uint64_t done, uint64_t total)
{
    struct told *t = opaque;

    assert_true(done > t->last && done <= total);
    t->last = done;
    t->total = total;
    return ++t->calls == t->stop_at;
}

static void progress(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {9000, 10, NONE};
    struct gw_error err = GW_ERROR_INIT;
    struct told told = {.stop_at = 0};
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .progress = tell, .opaque = &told};
    int fd = memfd_create("progress", MFD_CLOEXEC);
    struct rig rig;

    rig_open(&rig, 4096, pages, false, 11);
    memset(rig.ram[0], 0, 8000 * 4096); /* holes are progress too */
    assert_int_equal(gw_parked_write(&rig.image, &o, fd, &err), 0);
    assert_int_equal(told.last, 9010 * 4096);
    assert_int_equal(told.total, 9010 * 4096);
    assert_true(told.calls > 5);
    told = (struct told){.stop_at = 3};
    assert_int_equal(gw_parked_write(&rig.image, &o, fd, &err), -ECANCELED);
    assert_int_equal(told.calls, 3);
    close(fd);
    rig_close(&rig);
}

static int broken_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                       struct gw_error *err)
{
    if (first + count > 700)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "page 700 is gone");
    return rig_read(image, block, first, count, dst, err);
}

static void wrong_use(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {1000, NONE};
    static const struct gw_image_ops broken = {.map = rig_map, .read = broken_read};
    static const struct {
        struct gw_image_write_options o;
        int code;
        const char *text;
    } wrong[] = {
        {{.compress = "gzip"}, -EINVAL, "not by gzip"},
        {{.level = 23}, -EINVAL, "not 23"},
        {{.level = -1}, -EINVAL, "not -1"},
    };
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *file = NULL;
    struct rig rig;
    size_t bytes;

    rig_open(&rig, 4096, pages, false, 11);
    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(gw_parked_write(&rig.image, &wrong[i].o, -1, &err), wrong[i].code);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_non_null(strstr(err.text, wrong[i].text));
    }
    rig.image.ops = &broken;
    assert_int_equal(rig_park(&rig, NULL, 2, &file, &bytes, &err), -EIO);
    assert_string_equal(err.text, "page 700 is gone");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(same_file),
        cmocka_unit_test(not_whole),
        cmocka_unit_test(again),
        cmocka_unit_test(documented_runs),
        cmocka_unit_test(many_readers),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(progress),
        cmocka_unit_test(wrong_use),
    };

    return cmocka_run_group_tests_name("parked", tests, NULL, NULL);
}
