/* SPDX-License-Identifier: MIT
 *
 * bench_pages IMAGE [FOLDER]: microseconds to read one page anywhere in a file, alone, and beside a thread that reads all of
 * the same file in order, again and again, as fast as it can. Of each format, from the page cache and from the disk; one JSON
 * object a line. The files are made in FOLDER (build/ by default) of the first 512 MiB of the image, and removed.
 *
 * Single pages go by gw_image_pages, the others by gw_image_fetch in stripes, as `send FILE` reads them. Both use one image.
 * Pages known to be zeros do not count, nor do reads during which the kernel ran another process (preempted); waits:
 * how often the reader of single pages blocked, on the disk or a lock. From the disk: the file is dropped from the page
 * cache before each page.
 */
#include "images.h"

#include <pthread.h>
#include <stdatomic.h>

#include "image/source.h"

#define MOST (512ull << 20)

static const struct {
    const char *name;
    struct gw_image_write_options options;
} files[] = {
    {"parked", {.format = GW_IMAGE_PARKED, .compress = "zstd", .replace = true}},
    {"parked, not compressed", {.format = GW_IMAGE_PARKED, .compress = "none", .replace = true}},
    {"stream", {.format = GW_IMAGE_STREAM, .replace = true}},
    {"mapped-ram", {.format = GW_IMAGE_MAPPED_RAM, .replace = true}},
    {"libvirt", {.format = GW_IMAGE_LIBVIRT, .compress = "raw", .libvirt_xml = "<domain/>", .replace = true}},
};

struct reader {
    struct gw_image *image;
    uint64_t pages;
    atomic_bool quit;
    _Atomic uint64_t bytes; /* bytes of RAM read so far */
};

static void *read_all(void *opaque)
{
    struct reader *r = opaque;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *to = malloc(GW_IMAGE_SOURCE_STRIPE * PAGE), kinds[GW_IMAGE_SOURCE_STRIPE];

    for (uint64_t at = 0; !atomic_load(&r->quit); at = at + GW_IMAGE_SOURCE_STRIPE < r->pages ? at + GW_IMAGE_SOURCE_STRIPE : 0) {
        uint64_t n = r->pages - at < GW_IMAGE_SOURCE_STRIPE ? r->pages - at : GW_IMAGE_SOURCE_STRIPE;

        if (gw_image_fetch(r->image, 0, at, n, kinds, to, &err) < 0)
            say(&err);
        atomic_fetch_add(&r->bytes, n * PAGE);
    }
    free(to);
    return NULL;
}

struct figures {
    double p50_us, p99_us, max_us, sequential_mb_per_s;
    unsigned preempted, waits;
};

static struct rusage usage(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_THREAD, &u))
        bench_die("getrusage");
    return u;
}

static void read_one(struct gw_image *image, const struct ram *ram, uint64_t at, double *ret_us)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t page[PAGE];
    uint64_t t = bench_now_ns();

    if (gw_image_pages(image, 0, at, 1, page, &err) < 0)
        say(&err);
    *ret_us = (double)(bench_now_ns() - t) / 1e3;
    if (!memcmp(page, ram->data + at * PAGE, PAGE))
        return;
    fprintf(stderr, "bench_pages: page %" PRIu64 " differs\n", at);
    exit(1);
}

static struct figures measure(struct gw_image *image, const struct ram *ram, int drop, bool beside, unsigned count)
{
    struct reader r = {.image = image, .pages = ram->bytes / PAGE};
    double *us = calloc(count, sizeof *us);
    uint64_t seed = 4711, wall, bytes;
    struct figures f = {0};
    pthread_t thread;
    uint8_t kind = 0;

    if (!us || (beside && pthread_create(&thread, NULL, read_all, &r)))
        bench_die("pthread_create");
    while (beside && !atomic_load(&r.bytes)) /* wait until it has begun */
        usleep(100);
    wall = bench_now_ns();
    bytes = atomic_load(&r.bytes);
    for (unsigned i = 0; i < count; i += kind) {
        uint64_t at = chance(&seed) % r.pages;
        struct rusage before, after;

        if (drop >= 0)
            posix_fadvise(drop, 0, 0, POSIX_FADV_DONTNEED);
        before = usage();
        read_one(image, ram, at, &us[i]);
        after = usage();
        gw_image_map(image, 0, at, 1, &kind, NULL);
        if (kind && after.ru_nivcsw != before.ru_nivcsw) {
            f.preempted++;
            kind = 0;
        } else if (kind) {
            f.waits += (unsigned)(after.ru_nvcsw - before.ru_nvcsw);
        }
    }
    wall = bench_now_ns() - wall;
    f.sequential_mb_per_s = (double)(atomic_load(&r.bytes) - bytes) * 1e3 / (double)wall;
    atomic_store(&r.quit, true);
    if (beside)
        pthread_join(thread, NULL);
    qsort(us, count, sizeof *us, compare);
    f.p50_us = us[count / 2];
    f.p99_us = us[count * 99 / 100];
    f.max_us = us[count - 1];
    free(us);
    return f;
}

static void warm(int fd)
{
    uint8_t some[65536];

    while (read(fd, some, sizeof some) > 0)
        ;
}

static void look(const struct ram *ram, const char *name, const char *path, bool cold)
{
    struct gw_image *image = open_image(path);
    struct gw_error err = GW_ERROR_INIT;
    unsigned count = cold ? 1000 : 20000;
    struct figures alone, beside;
    int fd = open(path, O_RDONLY);
    uint8_t kind;

    for (uint64_t i = 0; i < ram->bytes / PAGE; i++) /* loads the index into memory, for formats that keep it there */
        if (gw_image_map(image, 0, i, 1, &kind, &err) < 0)
            say(&err);
    if (!cold)
        warm(fd);
    alone = measure(image, ram, cold ? fd : -1, false, count);
    beside = measure(image, ram, cold ? fd : -1, true, count);
    printf("{\"bench\": \"pages\", \"format\": \"%s\", \"from\": \"%s\", \"pages\": %u, \"alone_p50_us\": %.1f, "
           "\"alone_p99_us\": %.1f, \"alone_max_us\": %.1f, \"beside_p50_us\": %.1f, \"beside_p99_us\": %.1f, "
           "\"beside_max_us\": %.1f, \"p50_ratio\": %.2f, \"p99_ratio\": %.2f, \"sequential_mb_per_s\": %.0f, \"alone_waits\": %u, "
           "\"beside_waits\": %u, \"preempted\": %u}\n",
           name, cold ? "disk" : "page cache", count, alone.p50_us, alone.p99_us, alone.max_us, beside.p50_us, beside.p99_us,
           beside.max_us, beside.p50_us / alone.p50_us, beside.p99_us / alone.p99_us, beside.sequential_mb_per_s,
           alone.waits, beside.waits, alone.preempted + beside.preempted);
    fflush(stdout);
    close(fd);
    gw_image_free(image);
}

int main(int argc, char **argv)
{
    char path[512];
    struct ram ram;

    if (argc < 2) {
        fprintf(stderr, "bench_pages IMAGE [FOLDER]\n");
        return 2;
    }
    ram = ram_load(argv[1], MOST);
    snprintf(path, sizeof path, "%s/bench_pages.%d", argc > 2 ? argv[2] : "build", (int)getpid());
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        ram_write(&ram, path, &files[i].options);
        look(&ram, files[i].name, path, false);
        look(&ram, files[i].name, path, true);
        unlink(path);
    }
    return 0;
}
