/* SPDX-License-Identifier: MIT
 *
 * pair: a plain sender and receiver, the lower limit that the engine is compared with. One JSON line.
 *
 *   bench_pair --image FILE [--mem 2G] [--transport unix|tcp] [--dest fresh|used] [--layout flat|records] [--call 1M]
 *
 * flat:    the pages that are not zero, as many bytes as a migration stream moves, in calls of --call bytes from where
 *          they lie; the receiver reads them into its memory one after the other. No protocol: this is the minimum.
 *          records: the same bytes in the format of a migration stream: 8 bytes of header before each page, 8 for a
 *          zero
 *          page, in
 *          vectors of some 1000 entries; the receiver knows the order beforehand and scatters. This is the floor of any
 *          implementation of the protocol that copies nothing and checks nothing.
 *
 * fresh: the receiver's memory was never touched; used (and the default): it is resident.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "bench.h"

struct shared {
    int ready, done;
    uint64_t rx_cpu_ns, end_ns;
};

struct config {
    const char *image;
    size_t mem, call;
    bool tcp, fresh, records, huge;
};

static void pair(bool tcp, int *a, int *b)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    int l, v[2], one = 1;

    if (!tcp) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, v))
            bench_die("socketpair");
        *a = v[0];
        *b = v[1];
        return;
    }
    l = socket(AF_INET, SOCK_STREAM, 0);
    if (l < 0 || bind(l, (void *)&sa, n) || listen(l, 1) || getsockname(l, (void *)&sa, &n))
        bench_die("listen");
    *a = socket(AF_INET, SOCK_STREAM, 0);
    if (*a < 0 || connect(*a, (void *)&sa, n))
        bench_die("connect");
    *b = accept(l, NULL, NULL);
    if (*b < 0)
        bench_die("accept");
    setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(l);
}

static bool is_zero(const uint8_t *p)
{
    return !p[0] && !memcmp(p, p + 1, 4095);
}

/* The bytes to be sent, as pieces of memory at `base`. */
static int plan(const struct config *c, const uint8_t *zero, size_t pages, uint8_t *base, uint8_t *heads,
                struct iovec **ret)
{
    struct iovec *v = malloc((2 * pages + 1) * sizeof *v);
    int n = 0;

    if (!v)
        bench_die("malloc");
    for (size_t i = 0; i < pages; i++) {
        if (c->records)
            v[n++] = (struct iovec){heads + 8 * i, 8};
        if (zero[i])
            continue;
        if (!c->records && n && (uint8_t *)v[n - 1].iov_base + v[n - 1].iov_len == base + 4096 * i)
            v[n - 1].iov_len += 4096;
        else
            v[n++] = (struct iovec){base + 4096 * i, 4096};
    }
    *ret = v;
    return n;
}

/* Moves all of v in calls of at most `call` bytes and 1024 pieces. */
static uint64_t move(int fd, struct iovec *v, int n, size_t call, bool out)
{
    uint64_t total = 0;

    for (int i = 0; i < n;) {
        size_t bytes = 0, cut = 0;
        ssize_t r;
        int k = i;

        for (; k < n && k - i < 1024 && bytes < call; k++)
            bytes += v[k].iov_len;
        if (bytes > call) {
            cut = bytes - call;
            v[k - 1].iov_len -= cut;
        }
        r = out ? writev(fd, v + i, k - i) : readv(fd, v + i, k - i);
        v[k - 1].iov_len += cut;
        if (r <= 0)
            bench_die(out ? "writev" : "readv");
        total += (uint64_t)r;
        while (r) {
            size_t step = (size_t)r < v[i].iov_len ? (size_t)r : v[i].iov_len;

            v[i].iov_base = (uint8_t *)v[i].iov_base + step;
            v[i].iov_len -= step;
            r -= (ssize_t)step;
            if (!v[i].iov_len)
                i++;
        }
    }
    return total;
}

static void receive(const struct config *c, struct shared *s, const uint8_t *zero, int fd)
{
    uint8_t *ram, *heads = calloc(c->mem / 4096, 8);
    struct iovec *v;
    uint64_t cpu;
    int n;

    if (c->fresh)
        bench_warm_host(c->mem + (256u << 20));
    ram = bench_memory(c->mem, c->huge);
    if (!c->fresh)
        memset(ram, 1, c->mem);
    memset(heads, 1, c->mem / 4096 * 8);
    n = plan(c, zero, c->mem / 4096, ram, heads, &v);
    bench_raise(&s->ready);
    cpu = bench_cpu_ns();
    move(fd, v, n, c->call, false);
    s->end_ns = bench_now_ns();
    s->rx_cpu_ns = bench_cpu_ns() - cpu;
    bench_raise(&s->done);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct config c = {.mem = 2ul << 30, .call = 1u << 20, .huge = true};
    struct shared *s = bench_shared(sizeof *s);
    uint8_t *ram, *heads, *zero;
    uint64_t start, cpu, bytes;
    struct iovec *v;
    int a, b, n, status;
    pid_t child;

    for (int i = 1; i < argc; i++) {
        const char *k = argv[i], *next = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(k, "--small-pages"))
            c.huge = false;
        else if (!strcmp(k, "--dest"))
            c.fresh = !strcmp(next, "fresh"), i++;
        else if (!strcmp(k, "--image"))
            c.image = argv[++i];
        else if (!strcmp(k, "--mem"))
            c.mem = bench_parse_size(next), i++;
        else if (!strcmp(k, "--call"))
            c.call = bench_parse_size(next), i++;
        else if (!strcmp(k, "--transport"))
            c.tcp = !strcmp(next, "tcp"), i++;
        else if (!strcmp(k, "--layout"))
            c.records = !strcmp(next, "records"), i++;
        else
            return fprintf(stderr, "bench_pair: unknown option %s (see the head of bench/pair.c)\n", k), 2;
    }
    if (!c.image)
        return fprintf(stderr, "bench_pair: --image FILE\n"), 2;

    zero = bench_shared(c.mem / 4096);
    pair(c.tcp, &a, &b);
    ram = bench_memory(c.mem, c.huge);
    bench_load(c.image, ram, c.mem);
    for (size_t i = 0; i < c.mem / 4096; i++)
        zero[i] = is_zero(ram + 4096 * i);
    child = fork();
    if (child < 0)
        bench_die("fork");
    if (!child) {
        munmap(ram, c.mem);
        close(a);
        receive(&c, s, zero, b);
    }
    close(b);
    heads = calloc(c.mem / 4096, 8);
    memset(heads, 1, c.mem / 4096 * 8);
    n = plan(&c, zero, c.mem / 4096, ram, heads, &v);
    bench_wait_for(&s->ready);
    cpu = bench_cpu_ns();
    start = bench_now_ns();
    bytes = move(a, v, n, c.call, true);
    cpu = bench_cpu_ns() - cpu;
    bench_wait_for(&s->done);
    waitpid(child, &status, 0);
    printf("{\"what\": \"pair\", \"transport\": \"%s\", \"layout\": \"%s\", \"dest\": \"%s\", \"bytes\": %" PRIu64
           ", \"wall_ms\": %.2f, \"src_cpu_s\": %.3f, \"dst_cpu_s\": %.3f}\n",
           c.tcp ? "tcp" : "unix", c.records ? "records" : "flat", c.fresh ? "fresh" : "used", bytes,
           (double)(s->end_ns - start) / 1e6, (double)cpu / 1e9, (double)s->rx_cpu_ns / 1e9);
    return 0;
}
