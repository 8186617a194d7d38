/* SPDX-License-Identifier: MIT
 *
 * bench_parked IMAGE [FOLDER]: parks the RAM in a file, and compares that with a stream compressed by zstd -3. Prints
 * one JSON object a line. The parked file is made in FOLDER (build/ by default) and removed.
 *
 *   park    size of the parked file; wall and CPU time to make it, and the memory that took
 *   stream  the same of a migration stream through zstd -3, as `migrate exec:zstd` would
 *   read    microseconds to read one page anywhere: from the page cache; from the disk, with nothing of the file cached
 *           but the index in memory; from the disk after opening the file afresh, index included
 *   scan    all pages in order, by one thread and by two, from the page cache and from the disk; reader_cpu_s: of the
 *           thread that asks, where it is one
 *   crc32c  each variant that this machine can run, over pieces as large as a packed frame
 */
#include "images.h"

#include <pthread.h>
#include <zstd.h>

#include "base/endian.h"
#include "image/parked/reader.h"

static double park(const struct ram *ram, const char *path, const char *compress, unsigned threads)
{
    struct gw_image_write_options o = {
        .format = GW_IMAGE_PARKED, .compress = compress, .threads = threads, .replace = true};
    uint64_t wall, cpu, before;
    struct stat st;

    bench_reset_peak();
    before = bench_status_bytes("VmRSS");
    wall = bench_now_ns();
    cpu = bench_cpu_ns();
    ram_write(ram, path, &o);
    wall = bench_now_ns() - wall;
    cpu = bench_cpu_ns() - cpu;
    stat(path, &st);
    printf("{\"bench\": \"park\", \"compress\": \"%s\", \"threads\": %u, \"ram_mib\": %.1f, \"file_mib\": %.2f, "
           "\"wall_s\": "
           "%.2f, \"cpu_s\": %.2f, \"mb_per_s\": %.0f, \"extra_mib\": %.0f}\n",
           compress, threads, (double)ram->bytes / 1048576, (double)st.st_size / 1048576, (double)wall / 1e9,
           (double)cpu / 1e9, (double)ram->bytes / 1e6 / ((double)wall / 1e9),
           (double)(bench_status_bytes("VmHWM") - before) / 1048576);
    return (double)st.st_size;
}

/* The stream that a source without any other capability sends, through zstd. */
static double stream(const struct ram *ram)
{
    static const uint8_t zero[PAGE];
    ZSTD_CStream *z = ZSTD_createCStream();
    size_t room = ZSTD_CStreamOutSize();
    uint64_t wall = bench_now_ns(), cpu = bench_cpu_ns(), bytes = 0;
    uint8_t *out = malloc(room), record[8 + PAGE];

    ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 3);
    for (uint64_t at = 0; at <= ram->bytes; at += PAGE) {
        bool end = at == ram->bytes, nothing = !end && !memcmp(ram->data + at, zero, PAGE);
        ZSTD_inBuffer in = {record, end ? 0 : nothing ? 9 : sizeof record, 0};
        size_t left;

        gw_store_be64(record, at | (nothing ? 0x22 : 0x28)); /* ZERO or PAGE, in the same block as before */
        if (nothing)
            record[8] = 0;
        else if (!end)
            memcpy(record + 8, ram->data + at, PAGE);
        do {
            ZSTD_outBuffer o = {out, room, 0};

            left = ZSTD_compressStream2(z, &o, &in, end ? ZSTD_e_end : ZSTD_e_continue);
            bytes += o.pos;
        } while (in.pos < in.size || (end && left));
    }
    printf("{\"bench\": \"stream\", \"file_mib\": %.2f, \"wall_s\": %.2f, \"cpu_s\": %.2f}\n", (double)bytes / 1048576,
           (double)(bench_now_ns() - wall) / 1e9, (double)(bench_cpu_ns() - cpu) / 1e9);
    ZSTD_freeCStream(z);
    free(out);
    return (double)bytes;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

enum how { WARM, COLD, AFRESH };
static const char *const sources[] = {"page cache", "disk", "disk, afresh"};

static void read_pages(const struct ram *ram, const char *path, enum how how, unsigned count)
{
    struct gw_image *image = open_image(path);
    struct gw_error err = GW_ERROR_INIT;
    double *us = calloc(count, sizeof *us);
    uint64_t pages = ram->bytes / PAGE, seed = 12345 + how;
    int fd = open(path, O_RDONLY);
    uint8_t page[PAGE], kind;

    for (uint64_t i = 0; i < pages && how != AFRESH; i += GW_PARKED_GROUP_PAGES) /* load the index */
        gw_image_map(image, 0, i, 1, &kind, &err);
    for (unsigned i = 0; i < count;) {
        uint64_t at = chance(&seed) % pages, t;

        if (how != WARM)
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (how == AFRESH) {
            gw_image_free(image);
            image = open_image(path);
        }
        t = bench_now_ns();
        if (gw_image_pages(image, 0, at, 1, page, &err) < 0)
            say(&err);
        us[i] = (double)(bench_now_ns() - t) / 1e3;
        if (memcmp(page, ram->data + at * PAGE, PAGE)) {
            fprintf(stderr, "bench_parked: page %" PRIu64 " differs\n", at);
            exit(1);
        }
        /* Zeros are known without reading. */
        gw_image_map(image, 0, at, 1, &kind, &err);
        i += kind;
    }
    qsort(us, count, sizeof *us, compare);
    printf(
        "{\"bench\": \"read\", \"from\": \"%s\", \"pages\": %u, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
        "\"max_us\": %.1f}\n",
        sources[how], count, us[count / 2], us[count * 9 / 10], us[count * 99 / 100], us[count - 1]);
    close(fd);
    free(us);
    gw_image_free(image);
}

/* The disk's own time for as many bytes as a frame has. */
static void read_disk(const char *path, unsigned count)
{
    double *us = calloc(count, sizeof *us);
    int fd = open(path, O_RDONLY);
    uint64_t seed = 99;
    uint8_t *to = malloc(24 << 10);
    struct stat st;

    fstat(fd, &st);
    for (unsigned i = 0; i < count; i++) {
        uint64_t t, at = chance(&seed) % ((uint64_t)st.st_size - (24 << 10));

        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        t = bench_now_ns();
        if (pread(fd, to, 24 << 10, (off_t)at) < 0)
            bench_die(path);
        us[i] = (double)(bench_now_ns() - t) / 1e3;
    }
    qsort(us, count, sizeof *us, compare);
    printf(
        "{\"bench\": \"read\", \"from\": \"disk, 24 KiB by pread alone\", \"pages\": %u, \"p50_us\": %.1f, \"p90_us\": "
        "%.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
        count, us[count / 2], us[count * 9 / 10], us[count * 99 / 100], us[count - 1]);
    close(fd);
    free(us);
    free(to);
}

struct part {
    struct gw_image *image;
    uint64_t first, end;
};

static void *scan_part(void *opaque)
{
    const struct part *p = opaque;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *to = malloc(512 * PAGE), kinds[512];

    for (uint64_t at = p->first; at < p->end; at += 512)
        if (gw_image_fetch(p->image, 0, at, p->end - at < 512 ? p->end - at : 512, kinds, to, &err) < 0)
            say(&err);
    free(to);
    return NULL;
}

static double thread_cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void scan(const struct ram *ram, const char *path, enum how how, unsigned threads)
{
    struct gw_image *image = open_image(path);
    uint64_t pages = ram->bytes / PAGE, wall, cpu;
    int fd = open(path, O_RDONLY);
    struct part parts[2];
    pthread_t ids[2];
    double reader;

    if (how == COLD)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    for (uint8_t some[65536]; how == WARM && read(fd, some, sizeof some) > 0;)
        ;
    close(fd);
    wall = bench_now_ns();
    cpu = bench_cpu_ns();
    reader = thread_cpu_s();

    for (unsigned i = 0; i < threads; i++) {
        parts[i] = (struct part){image, pages * i / threads, pages * (i + 1) / threads};
        if (threads == 1)
            scan_part(&parts[i]);
        else
            pthread_create(&ids[i], NULL, scan_part, &parts[i]);
    }
    for (unsigned i = 0; i < threads && threads > 1; i++)
        pthread_join(ids[i], NULL);
    wall = bench_now_ns() - wall;
    printf("{\"bench\": \"scan\", \"from\": \"%s\", \"threads\": %u, \"wall_s\": %.2f, \"cpu_s\": %.2f, "
           "\"reader_cpu_s\": %.2f, "
           "\"mb_per_s\": %.0f}\n",
           sources[how], threads, (double)wall / 1e9, (double)(bench_cpu_ns() - cpu) / 1e9, thread_cpu_s() - reader,
           (double)ram->bytes / 1e6 / ((double)wall / 1e9));
    gw_image_free(image);
}

static void crc(void)
{
    const struct gw_crc32c *v;
    uint8_t *data = malloc(1 << 20);

    for (size_t i = 0; i < 1 << 20; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    for (unsigned i = 0; (v = gw_crc32c_variant(i)); i++) {
        uint64_t t = bench_now_ns(), bytes = 0;
        uint32_t is = 0;

        for (; bench_now_ns() - t < 200000000; bytes += 12000)
            is = v->of(is, data + bytes % (1 << 19), 12000);
        printf("{\"bench\": \"crc32c\", \"variant\": \"%s\", \"gb_per_s\": %.1f, \"is\": %u}\n", v->name,
               (double)bytes / (double)(bench_now_ns() - t), is);
    }
    free(data);
}

int main(int argc, char **argv)
{
    char path[512];
    struct ram ram;

    if (argc < 2) {
        fprintf(stderr, "bench_parked IMAGE [FOLDER]\n");
        return 2;
    }
    ram = ram_load(argv[1], UINT64_MAX);
    snprintf(path, sizeof path, "%s/bench_parked.%d", argc > 2 ? argv[2] : "build", (int)getpid());
    printf("{\"bench\": \"size\", \"parked_of_stream\": %.3f}\n", park(&ram, path, "zstd", 0) / stream(&ram));
    park(&ram, path, "zstd", 1);
    park(&ram, path, "none", 0);
    park(&ram, path, "zstd", 2);
    read_pages(&ram, path, WARM, 5000);
    read_disk(path, 1000);
    read_pages(&ram, path, COLD, 1000);
    read_pages(&ram, path, AFRESH, 300);
    for (unsigned threads = 1; threads <= 2; threads++) {
        scan(&ram, path, WARM, threads);
        scan(&ram, path, COLD, threads);
    }
    crc();
    unlink(path);
    return 0;
}
