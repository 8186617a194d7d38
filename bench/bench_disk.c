/* SPDX-License-Identifier: MIT
 *
 * bench_disk: reads and writes of one file through a node's queue, at one pattern, for bench/disk.py, which runs it
 * beside qemu-io and fio.
 *
 *     bench_disk FILE read|write|randread|randwrite BLOCK_BYTES DEPTH COUNT CACHE ENGINE [bitmap]
 *
 * FILE is raw, or qcow2 where its name says so. bitmap: each write is told to a disk that has one, of 64 KiB.
 *
 * Prints a line: MiB/s, CPU seconds, requests that went to io_uring.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/base.h"
#include "disk/disk.h"
#include "godwit/bitmap.h"
#include "godwit/node.h"
#include "godwit/queue.h"

#define DEPTH_MAX 256u

struct item {
    struct gw_queue_request request;
    struct iovec vector;
    bool busy;
};

static int failed;
static struct gw_disk *disk; /* told of writes */

static void done(struct gw_queue_request *r, int result, const struct gw_error *err)
{
    ((struct item *)r->opaque)->busy = false;
    if (r->op == GW_QUEUE_WRITE)
        gw_disk_wrote(disk, r->offset, r->bytes);
    if (result < 0) {
        fprintf(stderr, "bench_disk: %s\n", err->text);
        failed = 1;
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(struct gw_queue *q, uint64_t node_bytes, const char *what, uint64_t block, unsigned depth,
                uint64_t count)
{
    static struct item item[DEPTH_MAX];
    bool random = !strncmp(what, "rand", 4), write = strstr(what, "write") != NULL;
    uint64_t blocks = node_bytes / block, seed = 88172645463325252ull, at = 0;
    unsigned next = 0;

    for (unsigned i = 0; i < depth; i++) {
        void *room = aligned_alloc(4096, block);

        memset(room, (int)i + 1, block);
        item[i] = (struct item){.vector = {room, block}};
    }
    for (uint64_t n = 0; n < count && !failed; n++) {
        struct item *it;

        while (item[next % depth].busy) { /* any one that is free */
            unsigned tries = 0;

            for (; tries < depth && item[next % depth].busy; tries++)
                next++;
            if (item[next % depth].busy)
                gw_queue_wait(q);
        }
        it = &item[next++ % depth];
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        it->request = (struct gw_queue_request){.op = write ? GW_QUEUE_WRITE : GW_QUEUE_READ,
                                                .vector = &it->vector,
                                                .count = 1,
                                                .bytes = block,
                                                .offset = (random ? seed % blocks : at++ % blocks) * block,
                                                .done = done,
                                                .opaque = it};
        it->busy = true;
        failed |= gw_queue_submit(q, &it->request, NULL) < 0;
    }
    gw_queue_drain(q);
}

static int never(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return -EIO;
}

static int make_disk(uint64_t bytes, bool bitmap, struct gw_error *err)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = never};
    const struct gw_bitmap_config config = {.name = "b", .granularity = 65536};
    int r = gw_disk_new(&(struct gw_disk_desc){.device = "d", .bytes = bytes, .ops = &ops}, &disk, err);

    return r < 0 || !bitmap ? r : gw_disk_bitmap_add(disk, &config, err);
}

int main(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node_options o = {.format = "raw", .cache = GW_NODE_CACHE_WRITEBACK};
    struct gw_queue_config config = {0};
    struct gw_node *node = NULL;
    struct gw_queue *queue = NULL;
    uint64_t block, count;
    double start, took, used;

    if (argc < 8 || argc > 9 || !(block = strtoull(argv[3], NULL, 0)) || !(count = strtoull(argv[5], NULL, 0))) {
        fprintf(stderr, "usage: bench_disk FILE read|write|randread|randwrite BLOCK DEPTH COUNT writeback|none "
                        "io_uring|threads [bitmap]\n");
        return 2;
    }
    config.depth = GW_MIN((unsigned)atoi(argv[4]), DEPTH_MAX);
    config.no_ring = !strcmp(argv[7], "threads");
    if (!strcmp(argv[6], "none"))
        o.cache = GW_NODE_CACHE_NONE;
    if (strlen(argv[1]) > 6 && !strcmp(argv[1] + strlen(argv[1]) - 6, ".qcow2"))
        o.format = "qcow2";
    if (gw_node_open(argv[1], &o, &node, &err) < 0 || gw_queue_new(node, &config, &queue, &err) < 0 ||
        make_disk(gw_node_bytes(node), argc == 9, &err) < 0) {
        fprintf(stderr, "bench_disk: %s\n", err.text);
        return 1;
    }
    used = cpu();
    start = now();
    run(queue, gw_node_bytes(node), argv[2], block, config.depth, count);
    took = now() - start;
    printf("%.1f %.3f %" PRIu64 "\n", (double)(count * block) / (double)GW_MIB / took, cpu() - used,
           gw_queue_ring_requests(queue));
    failed |= gw_node_flush(node, &err) < 0;
    gw_queue_free(queue);
    gw_node_free(node, NULL);
    gw_disk_free(disk);
    return failed;
}
