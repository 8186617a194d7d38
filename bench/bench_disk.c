/* SPDX-License-Identifier: MIT
 *
 * bench_disk: reads and writes of one file through a node's queue, at one pattern, for bench/disk.py, which runs it
 * beside qemu-io and fio.
 *
 *     bench_disk FILE read|write|randread|randwrite BLOCK_BYTES DEPTH COUNT CACHE ENGINE
 *
 * FILE is raw, or qcow2 if its name ends so.
 *
 * Prints a line: MiB/s, CPU seconds, requests that went to io_uring, and CPU seconds for reporting the same requests to
 * a disk without and to one with a dirty bitmap of 64 KiB. These are measured separately, since they are less than the
 * variation of the first figure.
 */
#include <stdio.h>
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

static void done(struct gw_queue_request *r, int result, const struct gw_error *err)
{
    ((struct item *)r->opaque)->busy = false;
    if (result < 0) {
        fprintf(stderr, "bench_disk: %s\n", err->text);
        failed = 1;
    }
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct places {
    uint64_t blocks, block, at, seed;
    bool random;
};

static struct places places_of(const char *pattern, uint64_t bytes, uint64_t block)
{
    return (struct places){bytes / block, block, 0, 88172645463325252ull, !strncmp(pattern, "rand", 4)};
}

static uint64_t next_place(struct places *p)
{
    p->seed ^= p->seed << 13;
    p->seed ^= p->seed >> 7;
    p->seed ^= p->seed << 17;
    return (p->random ? p->seed % p->blocks : p->at++ % p->blocks) * p->block;
}

static void run(struct gw_queue *q, struct places p, bool write, unsigned depth, uint64_t count)
{
    static struct item item[DEPTH_MAX];
    uint64_t block = p.block;
    unsigned next = 0;

    for (unsigned i = 0; i < depth; i++) {
        void *room = aligned_alloc(4096, block);

        memset(room, (int)i + 1, block);
        item[i] = (struct item){.vector = {room, block}};
    }
    for (uint64_t n = 0; n < count && !failed; n++) {
        struct item *it;

        while (item[next % depth].busy) { /* the next free one */
            unsigned tries = 0;

            for (; tries < depth && item[next % depth].busy; tries++)
                next++;
            if (item[next % depth].busy)
                gw_queue_wait(q);
        }
        it = &item[next++ % depth];
        it->request = (struct gw_queue_request){.op = write ? GW_QUEUE_WRITE : GW_QUEUE_READ,
                                                .vector = &it->vector,
                                                .count = 1,
                                                .bytes = block,
                                                .offset = next_place(&p),
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

/* CPU seconds; negative: could not be measured. */
static double tell(struct places p, uint64_t bytes, uint64_t count, bool bitmap)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = never};
    const struct gw_bitmap_config config = {.name = "b", .granularity = 65536};
    struct gw_disk *disk = NULL;
    double used = -1;

    if (gw_disk_new(&(struct gw_disk_desc){.device = "d", .bytes = bytes, .ops = &ops}, &disk, NULL) >= 0 &&
        (!bitmap || gw_disk_bitmap_add(disk, &config, NULL) >= 0)) {
        used = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (uint64_t i = 0; i < count; i++)
            gw_disk_wrote(disk, next_place(&p), p.block);
        used = seconds(CLOCK_THREAD_CPUTIME_ID) - used;
    }
    gw_disk_free(disk);
    return used;
}

int main(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node_options o = {.format = "raw", .cache = GW_NODE_CACHE_WRITEBACK};
    struct gw_queue_config config = {0};
    struct gw_node *node = NULL;
    struct gw_queue *queue = NULL;
    uint64_t block, count;
    struct places places;
    double start, took, used;

    if (argc != 8 || !(block = strtoull(argv[3], NULL, 0)) || !(count = strtoull(argv[5], NULL, 0))) {
        fprintf(stderr, "usage: bench_disk FILE read|write|randread|randwrite BLOCK DEPTH COUNT writeback|none "
                        "io_uring|threads\n");
        return 2;
    }
    config.depth = GW_MIN((unsigned)atoi(argv[4]), DEPTH_MAX);
    config.no_ring = !strcmp(argv[7], "threads");
    if (!strcmp(argv[6], "none"))
        o.cache = GW_NODE_CACHE_NONE;
    if (strlen(argv[1]) > 6 && !strcmp(argv[1] + strlen(argv[1]) - 6, ".qcow2"))
        o.format = "qcow2";
    if (gw_node_open(argv[1], &o, &node, &err) < 0 || gw_queue_new(node, &config, &queue, &err) < 0) {
        fprintf(stderr, "bench_disk: %s\n", err.text);
        return 1;
    }
    places = places_of(argv[2], gw_node_bytes(node), block);
    used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    start = seconds(CLOCK_MONOTONIC);
    run(queue, places, strstr(argv[2], "write") != NULL, config.depth, count);
    took = seconds(CLOCK_MONOTONIC) - start;
    used = seconds(CLOCK_PROCESS_CPUTIME_ID) - used;
    printf("%.1f %.3f %" PRIu64 " %.6f %.6f\n", (double)(count * block) / (double)GW_MIB / took, used,
           gw_queue_ring_requests(queue), tell(places, gw_node_bytes(node), count, false),
           tell(places, gw_node_bytes(node), count, true));
    failed |= gw_node_flush(node, &err) < 0;
    gw_queue_free(queue);
    gw_node_free(node, NULL);
    return failed;
}
