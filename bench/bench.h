/* SPDX-License-Identifier: MIT
 *
 * bench: common parts of the benchmarks. They use two processes, as a migration does: the CPU time and memory of each
 * side are measured separately, and only a page of results is shared.
 */
#ifndef GW_BENCH_H
#define GW_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_HUGE ((size_t)2 << 20)

static inline void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t bench_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* User and system time of this process, all threads. */
static inline uint64_t bench_cpu_ns(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

/* A line "Name: N kB" of /proc/self/status, in bytes. */
static inline uint64_t bench_status_bytes(const char *name)
{
    FILE *f = fopen("/proc/self/status", "r");
    size_t n = strlen(name);
    uint64_t kb = 0;
    char line[256];

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, n) && line[n] == ':')
            kb = strtoull(line + n + 1, NULL, 10);
    if (f)
        fclose(f);
    return kb * 1024;
}

/* Resets the peak (VmHWM) to the current resident size. */
static inline void bench_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY);

    if (fd < 0 || write(fd, "5", 1) != 1)
        bench_die("/proc/self/clear_refs");
    close(fd);
}

/* Anonymous memory at a 2 MiB boundary; huge asks for 2 MiB pages, else 4 KiB. */
static inline uint8_t *bench_memory(size_t bytes, bool huge)
{
    uint8_t *p = mmap(NULL, bytes + BENCH_HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        bench_die("mmap");
    p = (uint8_t *)(((uintptr_t)p + BENCH_HUGE - 1) & ~(uintptr_t)(BENCH_HUGE - 1));
    madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return p;
}

static inline uint64_t bench_resident_bytes(const uint8_t *p, size_t bytes)
{
    size_t pages = bytes / 4096;
    unsigned char *v = malloc(pages);
    uint64_t n = 0;

    if (!v || mincore((void *)p, bytes, v))
        bench_die("mincore");
    for (size_t i = 0; i < pages; i++)
        n += v[i] & 1;
    free(v);
    return n * 4096;
}

/* If the host backs our memory lazily, the first touch of a page that it has reclaimed costs ten times a later one. So
 * this touches and frees as much as will be needed, so that a run measures the engine and not the host. */
static inline void bench_warm_host(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        bench_die("mmap");
    madvise(p, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        p[i] = 1;
    munmap(p, bytes);
}

static inline void bench_load(const char *path, uint8_t *to, size_t bytes)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        bench_die(path);
    for (size_t done = 0; done < bytes;) {
        ssize_t r = read(fd, to + done, bytes - done < (8u << 20) ? bytes - done : 8u << 20);

        if (r <= 0)
            bench_die(path);
        done += (size_t)r;
    }
    close(fd);
}

/* 64 bits that depend on every byte and its position; not secure against attacks. */
static inline uint64_t bench_hash(const uint8_t *p, size_t bytes)
{
    uint64_t h[4] = {1, 2, 3, 4};

    for (size_t i = 0; i + 32 <= bytes; i += 32)
        for (int k = 0; k < 4; k++) {
            uint64_t v;

            memcpy(&v, p + i + 8 * k, 8);
            h[k] = (h[k] ^ v) * 0x9E3779B97F4A7C15ull;
            h[k] ^= h[k] >> 29;
        }
    return h[0] ^ h[1] * 3 ^ h[2] * 5 ^ h[3] * 7;
}

static inline size_t bench_parse_size(const char *s)
{
    char *end;
    size_t n = strtoull(s, &end, 10);

    switch (*end) {
    case 'G':
        return n << 30;
    case 'M':
        return n << 20;
    case 'K':
        return n << 10;
    }
    return n;
}

/* Memory that parent and children share. */
static inline void *bench_shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_die("mmap");
    return p;
}

static inline void bench_wait_for(const volatile int *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
        usleep(200);
}

static inline void bench_raise(volatile int *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

#endif
