/* SPDX-License-Identifier: MIT
 *
 * What the channel tests share: pairs of connected ends over every transport, chance from a seed, odd vectors, threads.
 */
#ifndef CHANNEL_HELPERS_H
#define CHANNEL_HELPERS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "base/base.h"
#include "channel/iov.h"
#include "godwit/channel.h"
#include "godwit/clock.h"

#define MS          GW_NS_PER_MS
#define PATIENCE_NS (3600 * GW_NS_PER_S) /* for what must come: check.py ends what hangs, long before this */

#define assert_ok(r, err)                                                                                              \
    do {                                                                                                               \
        long long r_ = (long long)(r);                                                                                 \
        if (r_ < 0)                                                                                                    \
            fail_msg("%s: %lld: %s", #r, r_, (err).text);                                                              \
    } while (0)
#define assert_text(err, part)                                                                                         \
    do {                                                                                                               \
        if (!strstr((err).text, part))                                                                                 \
            fail_msg("'%s' is not in '%s'", part, (err).text);                                                         \
    } while (0)

static inline uint64_t chance(uint64_t *seed)
{
    *seed += 0x9E3779B97F4A7C15ull;
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline uint8_t *random_bytes(size_t n, uint64_t seed)
{
    uint8_t *p = malloc(n + 8);

    assert_non_null(p);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = chance(&seed);

        memcpy(p + i, &v, 8);
    }
    return p;
}

/* Cuts [buf, buf + bytes) into vectors of odd lengths, some of them empty, the first not; returns how many. */
static inline int odd_vectors(void *buf, size_t bytes, struct iovec *iov, int max, uint64_t *seed)
{
    char *p = buf;
    int n = 0;

    while (bytes && n < max) {
        size_t most = chance(seed) % 3 ? 97 : 9001, part = n ? chance(seed) % most : 1 + chance(seed) % most;

        if (n == max - 1)
            part = bytes;
        part = GW_MIN(part, bytes);
        iov[n++] = (struct iovec){p, part};
        p += part;
        bytes -= part;
    }
    return n;
}

static inline void pass_ns(uint64_t ns)
{
    uint64_t until = gw_now_ns(&gw_clock_real) + ns, now;

    while ((now = gw_now_ns(&gw_clock_real)) < until)
        gw_clock_real.sleep_ns(NULL, until - now);
}

/* 'S': this thread of ours sleeps; 0: it has ended. */
static inline char thread_state(pid_t id)
{
    char path[64], text[512] = "", *end;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)id);
    f = fopen(path, "r");
    if (!f)
        return 0;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : 'R';
}

/* ---- one thread that does something with a channel ---------------------------------------------------------------
 *
 * A failed assertion leaves a test at once and its stack is gone, while its threads go on. So they work on objects of
 * the heap only, and clean_up(), the teardown of every test here, ends what is left: it shuts the channels down, waits
 * for the threads and frees the pairs.
 */

struct mover {
    struct gw_channel *channel;
    uint8_t *bytes;
    size_t count;
    uint64_t seed;
    bool write;
    int result;
    struct gw_error err;
    struct mover_job *job;
};

struct mover_job {
    struct mover m; /* with bytes of its own */
    pthread_t thread;
    pid_t id;
    bool calls; /* is in a call of the channel */
    struct mover_job *next;
};

static struct mover_job *mover_jobs;

static inline void *mover_run(void *opaque)
{
    struct mover_job *job = opaque;
    struct mover *m = &job->m;
    size_t done = 0;

    __atomic_store_n(&job->id, gettid(), __ATOMIC_RELEASE);
    while (done < m->count && m->result >= 0) {
        struct iovec iov[1500];
        size_t some = 1 + chance(&m->seed) % 300000, part = GW_MIN(m->count - done, some);
        int n = odd_vectors(m->bytes + done, part, iov, GW_ARRAY_LEN(iov), &m->seed);

        __atomic_store_n(&job->calls, true, __ATOMIC_RELEASE);
        m->result = m->write ? gw_channel_writev_full(m->channel, iov, n, &m->err)
                             : gw_channel_readv_full(m->channel, iov, n, &m->err);
        __atomic_store_n(&job->calls, false, __ATOMIC_RELEASE);
        done += part;
    }
    return NULL;
}

static inline void mover_start(struct mover *m)
{
    struct mover_job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    job->m = *m;
    job->m.bytes = malloc(m->count);
    assert_non_null(job->m.bytes);
    if (m->write)
        memcpy(job->m.bytes, m->bytes, m->count);
    assert_int_equal(pthread_create(&job->thread, NULL, mover_run, job), 0);
    job->next = mover_jobs;
    mover_jobs = m->job = job;
}

static inline void mover_join(struct mover_job *job)
{
    struct mover_job **at = &mover_jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    pthread_join(job->thread, NULL);
}

static inline int mover_end(struct mover *m)
{
    struct mover_job *job = m->job;

    mover_join(job);
    memcpy(m->bytes, job->m.bytes, m->count);
    m->result = job->m.result;
    m->err = job->m.err;
    free(job->m.bytes);
    free(job);
    m->job = NULL;
    return m->result;
}

/* Waits until the thread sleeps in a call of the channel, or has ended. */
static inline void mover_waits(struct mover *m)
{
    struct mover_job *job = m->job;

    for (int asleep = 0; asleep < 5;) {
        pid_t id = __atomic_load_n(&job->id, __ATOMIC_ACQUIRE);
        char now = id ? thread_state(id) : 'R';

        if (!now)
            return;
        asleep = now == 'S' && __atomic_load_n(&job->calls, __ATOMIC_ACQUIRE) ? asleep + 1 : 0;
        pass_ns(MS);
    }
}

/* ---- connected pairs --------------------------------------------------------------------------------------------- */

enum pair_kind { PAIR_TCP4, PAIR_TCP6, PAIR_UNIX, PAIR_VSOCK, PAIR_FD, PAIR_MEMORY, PAIR_KINDS };

struct pair {
    struct gw_channel *a, *b; /* a connected, b accepted */
    struct pair *next;
};

static struct pair *pairs;

static inline void temporary_path(char path[64], const char *what)
{
    char dir[] = "/tmp/godwit-test-XXXXXX";

    assert_non_null(mkdtemp(dir));
    snprintf(path, 64, "%s/%s", dir, what);
}

static inline void remove_temporary(const char *path)
{
    char dir[64];

    unlink(path);
    gw_strcopy(dir, sizeof dir, path);
    *strrchr(dir, '/') = 0;
    rmdir(dir);
}

/* Connects over sockets; false when the host lacks the transport. */
static inline bool pair_connect(const char *text, struct pair *p)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;
    struct gw_uri uri;
    int r;

    assert_ok(gw_uri_parse(text, &uri, &err), err);
    r = gw_listen(&uri, 2, &l, &err);
    if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -ENODEV) {
        print_message("%s: %s\n", text, err.text);
        return false;
    }
    assert_ok(r, err);
    gw_listener_uri(l, &uri);
    assert_ok(gw_connect(&uri, PATIENCE_NS, NULL, &p->a, &err), err);
    assert_ok(gw_listener_accept(l, PATIENCE_NS, NULL, &p->b, &err), err);
    gw_channel_set_timeout(p->b, PATIENCE_NS);
    gw_listener_free(l);
    return true;
}

/* NULL when the host lacks the transport. */
static inline struct pair *pair_open(enum pair_kind kind)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = calloc(1, sizeof *p);
    char path[64], text[96];
    int fds[2];
    bool ok = true;

    assert_non_null(p);
    p->next = pairs;
    pairs = p;
    switch (kind) {
    case PAIR_TCP4:
        ok = pair_connect("tcp:127.0.0.1:0", p);
        break;
    case PAIR_TCP6:
        ok = pair_connect("tcp:[::1]:0", p);
        break;
    case PAIR_UNIX:
        temporary_path(path, "sock");
        snprintf(text, sizeof text, "unix:%s", path);
        ok = pair_connect(text, p);
        remove_temporary(path);
        break;
    case PAIR_VSOCK:
        ok = pair_connect("vsock:1:0", p);
        break;
    case PAIR_FD:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_ok(gw_channel_from_fd(fds[0], "fd:left", &p->a, &err), err);
        assert_ok(gw_channel_from_fd(fds[1], "fd:right", &p->b, &err), err);
        break;
    default:
        assert_ok(gw_channel_memory_pair(100003, &p->a, &p->b, &err), err);
        break;
    }
    return ok ? p : NULL; /* clean_up() has it in any case */
}

static inline void pair_free(struct pair *p)
{
    struct pair **at = &pairs;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    gw_channel_free(p->a);
    gw_channel_free(p->b);
    free(p);
}

static inline int clean_up(void **state)
{
    for (struct pair *p = pairs; p; p = p->next) {
        if (p->a)
            gw_channel_shutdown(p->a);
        if (p->b)
            gw_channel_shutdown(p->b);
    }
    while (mover_jobs) {
        struct mover_job *job = mover_jobs;

        gw_channel_shutdown(job->m.channel);
        mover_join(job);
        free(job->m.bytes);
        free(job);
    }
    while (pairs)
        pair_free(pairs);
    return 0;
}

#define channel_test(f) cmocka_unit_test_teardown(f, clean_up)

#endif
