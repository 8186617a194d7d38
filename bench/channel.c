/* SPDX-License-Identifier: MIT
 *
 * How fast the transports move guest pages: 8-byte headers and 4 KiB pages, 1024 vectors per call, both ways vectored.
 *
 *     bench_channel [GIB] [URI...]      e.g. bench_channel 4 unix:/tmp/b.sock tcp:127.0.0.1:0
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "godwit/channel.h"
#include "godwit/clock.h"

#define PAGE    4096
#define RECORDS 512
#define MEMORY  (256u << 20)

struct side {
    struct gw_channel *channel;
    char *memory;
    uint64_t pages;
    bool write;
    struct gw_error err;
    double cpu_s;
};

static double thread_cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *run(void *opaque)
{
    struct side *s = opaque;
    struct iovec iov[2 * RECORDS];
    char headers[8 * RECORDS] = {0};
    uint64_t at = 0;

    for (uint64_t left = s->pages; left; left -= RECORDS) {
        for (int i = 0; i < RECORDS; i++) {
            iov[2 * i] = (struct iovec){headers + 8 * i, 8};
            iov[2 * i + 1] = (struct iovec){s->memory + at, PAGE};
            at = (at + PAGE) % MEMORY;
        }
        if ((s->write ? gw_channel_writev_full : gw_channel_readv_full)(s->channel, iov, 2 * RECORDS, &s->err) < 0)
            break;
    }
    s->cpu_s = thread_cpu_s();
    return NULL;
}

static void *accept_one(void *opaque)
{
    struct gw_channel *ch = NULL;

    gw_listener_accept(opaque, 5000000000ull, NULL, &ch, NULL);
    return ch;
}

static int open_pair(const char *text, struct gw_channel **ret_out, struct gw_channel **ret_in, struct gw_error *err)
{
    struct gw_listener *l;
    struct gw_uri uri;
    pthread_t t;
    void *in = NULL;
    int r;

    if (!strcmp(text, "memory"))
        return gw_channel_memory_pair(1 << 20, ret_out, ret_in, err);
    r = gw_uri_parse(text, &uri, err);
    if (r == 0)
        r = gw_listen(&uri, 1, &l, err);
    if (r < 0)
        return r;
    gw_listener_uri(l, &uri);
    pthread_create(&t, NULL, accept_one, l);
    r = gw_connect(&uri, 5000000000ull, NULL, ret_out, err);
    pthread_join(t, &in);
    gw_listener_free(l);
    *ret_in = in;
    return r;
}

static int measure(const char *text, uint64_t pages)
{
    struct side w = {.write = true, .pages = pages}, r = {.pages = pages};
    struct gw_error err = GW_ERROR_INIT;
    pthread_t tw, tr;
    uint64_t began;
    double s;

    if (open_pair(text, &w.channel, &r.channel, &err) < 0) {
        printf("%-24s %s\n", text, err.text);
        return 1;
    }
    w.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    r.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    memset(w.memory, 0x5a, MEMORY);
    memset(r.memory, 0, MEMORY);
    began = gw_now_ns(&gw_clock_real);
    pthread_create(&tw, NULL, run, &w);
    pthread_create(&tr, NULL, run, &r);
    pthread_join(tw, NULL);
    pthread_join(tr, NULL);
    s = (double)(gw_now_ns(&gw_clock_real) - began) / 1e9;
    printf("%-24s %6.2f GiB/s   write %.2f s CPU, read %.2f s CPU, %.2f s%s%s\n", text,
           (double)pages * PAGE / (1 << 30) / s, w.cpu_s, r.cpu_s, s, w.err.text, r.err.text);
    munmap(w.memory, MEMORY);
    munmap(r.memory, MEMORY);
    gw_channel_free(w.channel);
    gw_channel_free(r.channel);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"unix:/tmp/godwit-bench.sock", "tcp:127.0.0.1:0", "tcp:[::1]:0", "memory"};
    uint64_t gib = argc > 1 ? strtoull(argv[1], NULL, 10) : 4, pages = gib << 18;
    int bad = 0;

    for (int i = 2; i < argc; i++)
        bad |= measure(argv[i], pages);
    for (size_t i = 0; argc <= 2 && i < sizeof usual / sizeof usual[0]; i++)
        bad |= measure(usual[i], pages);
    return bad;
}
