/* SPDX-License-Identifier: MIT
 *
 * Once with the kernel as it is, which copies all that goes over loopback after all; and once with one that does what the
 * test says (the linker's --wrap), as it does with a network card that takes data from memory.
 */
#include "channel/zerocopy.h"

#include <linux/capability.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/cancel.h"
#include "channel/writer.h"
#include "helpers.h"

/* ---- a kernel of the test's own ----------------------------------------------------------------------------------- */

#define SENDS 600

static struct {
    bool on;
    size_t most;       /* bytes that one call takes; 0: any */
    unsigned nobufs;   /* the next calls with MSG_ZEROCOPY fail */
    unsigned full;     /* the next calls find no room */
    unsigned pinned;   /* sends with MSG_ZEROCOPY */
    size_t copied;     /* bytes of the others */
    uint64_t largest_copy;
    unsigned waits;
    struct {
        uint32_t from, to;
        uint8_t code;
    } told[SENDS]; /* in the error queue */
    unsigned tells, heard;
    void (*wait)(void); /* what comes while it is waited for */
} k;

static void tell(uint32_t from, uint32_t to, uint8_t code)
{
    k.told[k.tells].from = from;
    k.told[k.tells].to = to;
    k.told[k.tells++].code = code;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    size_t bytes = 0;

    if (!k.on)
        return __real_sendmsg(fd, msg, flags);
    if (k.full) {
        k.full--;
        errno = EAGAIN;
        return -1;
    }
    if (flags & MSG_ZEROCOPY && k.nobufs) {
        k.nobufs--;
        errno = ENOBUFS;
        return -1;
    }
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        bytes += msg->msg_iov[i].iov_len;
    if (k.most)
        bytes = GW_MIN(bytes, k.most);
    if (flags & MSG_ZEROCOPY) {
        k.pinned++;
    } else {
        k.copied += bytes;
        k.largest_copy = GW_MAX(k.largest_copy, bytes);
    }
    return (ssize_t)bytes;
}

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct sock_extended_err e = {.ee_origin = SO_EE_ORIGIN_ZEROCOPY};
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);

    if (!k.on)
        return __real_recvmsg(fd, msg, flags);
    if (k.heard == k.tells) {
        errno = EAGAIN;
        return -1;
    }
    e.ee_info = k.told[k.heard].from;
    e.ee_data = k.told[k.heard].to;
    e.ee_code = k.told[k.heard++].code;
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_RECVERR;
    c->cmsg_len = CMSG_LEN(sizeof e);
    memcpy(CMSG_DATA(c), &e, sizeof e);
    msg->msg_controllen = CMSG_SPACE(sizeof e);
    return 0;
}

int __real_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also, uint64_t deadline_ns);
int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also, uint64_t deadline_ns);
int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also, uint64_t deadline_ns)
{
    if (!k.on)
        return __real_gw_wait_ready(fd, events, wake, also, deadline_ns);
    k.waits++;
    if (!k.wait)
        return -ETIMEDOUT;
    k.wait();
    return 0;
}

static int end(void **state)
{
    memset(&k, 0, sizeof k);
    return clean_up(state);
}

#define zerocopy_test(f) cmocka_unit_test_teardown(f, end)

/* ---- */

static uint8_t stage[4096], body[1 << 20];

/* On the heap, as the channel is; NULL: this kernel cannot. */
static struct gw_zerocopy *open_tcp(enum pair_kind kind, struct pair **ret)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_zerocopy *z;
    int r;

    *ret = pair_open(kind);
    if (!*ret)
        skip();
    r = gw_zerocopy_new((*ret)->a, &z, &err);
    if (r == -ENOTSUP) {
        print_message("%s\n", err.text);
        skip();
    }
    assert_ok(r, err);
    return z;
}

static void send_one(struct gw_zerocopy *z, void *bytes, size_t n)
{
    struct gw_error err = GW_ERROR_INIT;
    struct iovec iov = {bytes, n};

    assert_ok(gw_zerocopy_send(z, &iov, 1, stage, sizeof stage, &err), err);
}

/* A head and its bodies, again and again, as a layout writes them, into the memory of one stage. */
static void through(enum pair_kind kind)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t total = 40 * (300 + sizeof body / 4) + 40 * 5000;
    struct gw_writer w;
    struct mover m;
    struct pair *p;
    uint8_t *sent = malloc(total), *at = sent, *bodies = random_bytes(sizeof body, 7);

    gw_zerocopy_free(open_tcp(kind, &p));
    m = (struct mover){.channel = p->b, .bytes = calloc(1, total), .count = total, .seed = 4};
    mover_start(&m);
    assert_ok(gw_writer_init(&w, p->a, &err), err);
    assert_ok(gw_writer_zerocopy(&w, &err), err);
    for (unsigned i = 0; i < 40; i++) {
        uint8_t head[300];
        size_t from = (i * 4096) % (sizeof body / 2);

        memset(head, (int)i, sizeof head);
        gw_put_bytes(&w.out, head, sizeof head);
        gw_put_ref(&w.out, bodies + from, sizeof body / 4);
        gw_put_ref(&w.out, bodies + i, 5000);
        memcpy(at, head, sizeof head);
        memcpy(at + sizeof head, bodies + from, sizeof body / 4);
        memcpy(at + sizeof head + sizeof body / 4, bodies + i, 5000);
        at += sizeof head + sizeof body / 4 + 5000;
        if (i % 3 == 0)
            assert_ok(gw_writer_flush(&w, &err), err);
        assert_true(gw_writer_passed(&w) <= gw_writer_offset(&w));
    }
    assert_ok(gw_writer_settle(&w, &err), err);
    assert_int_equal(gw_writer_passed(&w), total);
    assert_ok(mover_end(&m), m.err);
    assert_memory_equal(m.bytes, sent, total);
    print_message("copied after all: %u\n", (unsigned)gw_zerocopy_missed(w.zerocopy));
    assert_true(gw_zerocopy_missed(w.zerocopy) <= 1);
    gw_writer_close(&w);
    free(m.bytes);
    free(sent);
    free(bodies);
}

static void test_tcp4(void **state)
{
    through(PAIR_TCP4);
}

static void test_tcp6(void **state)
{
    through(PAIR_TCP6);
}

static void test_others(void **state)
{
    static const enum pair_kind kinds[] = {PAIR_UNIX, PAIR_FD, PAIR_MEMORY};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_zerocopy *z = NULL;

    for (size_t i = 0; i < GW_ARRAY_LEN(kinds); i++) {
        assert_int_equal(gw_zerocopy_new(pair_open(kinds[i])->a, &z, &err), -ENOTSUP);
        assert_text(err, "zero-copy-send needs tcp: connections");
        assert_null(z);
    }
}

/* Only bodies that are large enough are left to the kernel; what stands in the stage never is. */
static void test_what_is_copied(void **state)
{
    struct iovec iov[4] = {{stage, 100}, {body, 8000}, {body + 65536, 9000}, {stage + 100, 4}};
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);

    k.on = true;
    assert_ok(gw_zerocopy_send(z, iov, 4, stage, sizeof stage, &err), err);
    assert_int_equal(k.pinned, 1);
    assert_int_equal(k.copied, 104);
    send_one(z, body, 9000);
    assert_int_equal(k.pinned, 1);
    assert_int_equal(k.copied, 9104);
    gw_zerocopy_free(z);
}

/* What is released is a beginning of the stream, in whatever order and groups the kernel tells it. */
static void test_released(void **state)
{
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);
    struct gw_error err = GW_ERROR_INIT;

    k.on = true;
    assert_int_equal(gw_zerocopy_released(z), 0);
    send_one(z, stage, 10);
    assert_int_equal(gw_zerocopy_released(z), 10);
    for (unsigned i = 0; i < 5; i++)
        send_one(z, body, 100000);
    assert_int_equal(gw_zerocopy_released(z), 10);
    tell(1, 2, 0);
    assert_int_equal(gw_zerocopy_released(z), 10);
    tell(0, 0, 0);
    assert_int_equal(gw_zerocopy_released(z), 300010);
    tell(0, 4000000000u, 0); /* no kernel says this */
    tell(77, 78, 0);
    assert_int_equal(gw_zerocopy_released(z), 300010);
    tell(3, 4, 0);
    assert_ok(gw_zerocopy_settle(z, &err), err);
    assert_int_equal(gw_zerocopy_released(z), 500010);
    assert_int_equal(gw_zerocopy_missed(z), 0);
    assert_int_equal(k.waits, 0);
    send_one(z, body, 100000);
    tell(5, 5, SO_EE_CODE_ZEROCOPY_COPIED);
    assert_ok(gw_zerocopy_settle(z, &err), err);
    assert_int_equal(gw_zerocopy_missed(z), 1);
    gw_zerocopy_free(z);
}

static void release_one(void)
{
    tell(k.tells, k.tells, 0);
}

/* More sends than are kept book of: the rest is copied, and the order holds. */
static void test_many(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);

    k.on = true;
    for (unsigned i = 0; i < 300; i++)
        send_one(z, body, 20000);
    assert_int_equal(k.pinned, 256);
    assert_int_equal(k.copied, 44 * 20000);
    k.wait = release_one;
    assert_ok(gw_zerocopy_wait(z, 10 * 20000, &err), err);
    assert_int_equal(k.waits, 10);
    assert_ok(gw_zerocopy_settle(z, &err), err);
    assert_int_equal(gw_zerocopy_released(z), 300 * 20000);
    gw_zerocopy_free(z);
}

/* The limit of locked memory is reached: earlier sends are waited for; where there is none, this one is copied. */
static void test_limit_reached(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);

    k.on = true;
    k.wait = release_one;
    send_one(z, body, 100000);
    k.nobufs = 1;
    send_one(z, body, 100000);
    assert_int_equal(k.waits, 1);
    assert_int_equal(k.pinned, 2);
    k.nobufs = 2;
    send_one(z, body, 100000);
    assert_int_equal(k.waits, 2);
    assert_int_equal(k.pinned, 2);
    assert_int_equal(k.copied, 100000);
    assert_ok(gw_zerocopy_settle(z, &err), err);
    assert_int_equal(gw_zerocopy_missed(z), 1);
    gw_zerocopy_free(z);
}

/* A call takes what there is room for, also none. */
static void test_short(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);

    k.on = true;
    k.wait = release_one;
    k.most = 30000;
    k.full = 2;
    send_one(z, body, 100000);
    assert_int_equal(k.waits, 2);
    assert_int_equal(k.pinned, 3);
    assert_int_equal(k.copied, 10000); /* what was left is not worth it */
    tell(2, 2, 0);
    assert_ok(gw_zerocopy_settle(z, &err), err);
    gw_zerocopy_free(z);
}

/* Nothing moves: the wait ends with the channel's time-out, and the connection is dropped. */
static void test_stuck(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);
    uint8_t byte;

    k.on = true;
    send_one(z, body, 100000);
    assert_int_equal(gw_zerocopy_wait(z, 100000, &err), -ETIMEDOUT);
    assert_text(err, "nothing moved for");
    assert_int_equal(gw_zerocopy_released(z), 100000);
    k.on = false;
    assert_int_equal(gw_channel_read_full(p->b, &byte, 1, &err), -ECONNRESET);
    gw_zerocopy_free(z);
}

/* Freed while the kernel holds something: it must not be sent from memory that is reused. */
static void test_freed_early(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);
    uint8_t byte;

    k.on = true;
    send_one(z, body, 100000);
    k.on = false;
    gw_zerocopy_free(z);
    assert_int_equal(gw_channel_read_full(p->b, &byte, 1, &err), -ECONNRESET);
}

static void test_gone(void **state)
{
    struct iovec iov;
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    struct gw_zerocopy *z = open_tcp(PAIR_TCP4, &p);
    int r;

    p->b = gw_channel_free(p->b);
    do {
        iov = (struct iovec){body, sizeof body};
        r = gw_zerocopy_send(z, &iov, 1, stage, sizeof stage, &err);
    } while (r >= 0);
    assert_true(r == -EPIPE || r == -ECONNRESET);
    gw_zerocopy_free(z);

    z = open_tcp(PAIR_TCP4, &p);
    gw_channel_shutdown(p->a);
    iov = (struct iovec){body, sizeof body};
    assert_int_equal(gw_zerocopy_send(z, &iov, 1, stage, sizeof stage, &err), -ECANCELED);
    gw_zerocopy_free(z);
}

/* In a child, which may lock as little as anybody. */
static void test_limit(void **state)
{
    static const struct rlimit limit = {64 << 10, 64 << 10};
    struct gw_error err = GW_ERROR_INIT;
    int status;
    pid_t child;

    assert_ok(gw_zerocopy_check_limit(0, &err), err);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
        bool good = !setrlimit(RLIMIT_MEMLOCK, &limit) && !syscall(SYS_capset, &header, none) &&
                    gw_zerocopy_check_limit(64 << 10, &err) == 0 &&
                    gw_zerocopy_check_limit(12 << 20, &err) == -ENOMEM &&
                    strstr(err.text, "keeps up to 12288 KiB of memory locked, and this process may lock 64 KiB: raise the limit "
                                     "(RLIMIT_MEMLOCK, ulimit -l) to 12288 KiB");

        _exit(!good);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        zerocopy_test(test_tcp4),     zerocopy_test(test_tcp6),
        zerocopy_test(test_others),   zerocopy_test(test_what_is_copied),
        zerocopy_test(test_released), zerocopy_test(test_many),
        zerocopy_test(test_limit_reached), zerocopy_test(test_short),
        zerocopy_test(test_stuck),    zerocopy_test(test_freed_early),
        zerocopy_test(test_gone),     zerocopy_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
