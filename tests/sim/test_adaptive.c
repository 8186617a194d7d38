/* SPDX-License-Identifier: MIT
 *
 * x-godwit-adaptive-compression between two machines in one process, checked by counts: on a fast link packets are sent
 * uncompressed, on a slow one compressed. The source's clock advances only while it waits for its rate limit: writing
 * takes no time, so only the CPU time of coding and that limit decide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"
#include "source_clock.h"

#define MIB 48u

/* ---- a channel that tells when the first answers have been read and seen to -------------------------------------------- */

#define ANSWERS 32u /* PONG, HELLO, PONG */

struct listener {
    struct gw_channel channel;
    struct gw_channel *next;
    uint64_t heard;
};

static atomic_bool answered;

static ssize_t listener_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return gw_channel_writev(((struct listener *)ch)->next, iov, n, err);
}

static ssize_t listener_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct listener *l = (struct listener *)ch;
    ssize_t r;

    if (l->heard >= ANSWERS)
        atomic_store(&answered, true); /* a peer that reads again has handled what it read before */
    r = gw_channel_readv(l->next, iov, n, err);
    l->heard += r > 0 ? (uint64_t)r : 0;
    return r;
}

static void listener_shutdown(struct gw_channel *ch)
{
    gw_channel_shutdown(((struct listener *)ch)->next);
}

static void listener_free(struct gw_channel *ch)
{
    gw_channel_free(((struct listener *)ch)->next);
    free(ch);
}

static const struct gw_channel_ops listener_ops = {
    .kind = "listener", .readv = listener_readv, .writev = listener_writev, .shutdown = listener_shutdown, .free = listener_free};

static int wait_for_answers(void *opaque, enum gw_notify what, struct gw_error *err)
{
    source_clock_adopt();
    while (what == GW_NOTIFY_BEFORE_SYNC && !atomic_load(&answered))
        gw_clock_real.sleep_ns(NULL, 1000000);
    return 0;
}

/* ---- one migration ----------------------------------------------------------------------------------------------------- */

static const char *coding, *level, *rate;
static bool wait_agreed;

static void turn_on(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct sim *sides[] = {p->from, p->to};
    char name[32];

    for (unsigned i = 0; i < 2; i++) {
        memset(p->from->ram[i], 0x5a, p->from->ram_bytes[i]);
        for (uint64_t k = 0; k < p->from->ram_bytes[i]; k += 4096)
            memcpy(p->from->ram[i] + k + 64, &k, sizeof k);
        sim_option(sides[i], "multifd-compression", coding);
        snprintf(name, sizeof name, "multifd-%s-level", coding);
        sim_option(sides[i], name, level);
    }
    sim_option(p->from, "max-bandwidth", rate);
    sim_option(p->from, "downtime-limit", "1000000");
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "x-godwit-adaptive-compression", true, NULL), 0);
    atomic_store(&answered, !wait_agreed);
    if (wait_agreed) {
        struct listener *l = calloc(1, sizeof *l);

        assert_non_null(l);
        gw_channel_init(&l->channel, &listener_ops, GW_CHANNEL_DUPLEX, "listener");
        l->next = *a;
        *a = &l->channel;
    }
    assert_int_equal(gw_vm_add_notifier(p->from->vm, wait_for_answers, NULL, NULL), 0);
}

static void compare(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal(p->from->ram[i], p->to->ram[i], p->from->ram_bytes[i]);
        memset(p->from->ram[i], 0, p->from->ram_bytes[i]); /* contents that no write of the machine makes */
        memset(p->to->ram[i], 0, p->to->ram_bytes[i]);
    }
}

static struct gw_stats run(const char *c, const char *l, const char *r, const char *peer)
{
    struct pair p = {.mib = MIB, .clock = &source_clock, .peer = peer, .lanes = 2, .before = turn_on, .after = compare};

    coding = c;
    level = l;
    rate = r;
    wait_agreed = !peer;
    source_clock_begin(20);
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("%s level %s at %s a second%s%s: %llu of %llu pages compressed\n", c, l, r, peer ? " to " : "", peer ? peer : "",
                  (unsigned long long)p.stats.packed_pages, (unsigned long long)p.stats.normal_pages);
    assert_true(p.stats.normal_pages >= MIB << 8);
    return p.stats;
}

static void test_fast(void **state)
{
    struct gw_stats st = run("zlib", "1", "0", NULL);

    assert_true(st.packed_pages > 0 && st.packed_pages * 2 < st.normal_pages);
    st = run("zstd", "19", "0", NULL);
    assert_true(st.packed_pages > 0 && st.packed_pages * 2 < st.normal_pages);
}

static void test_slow(void **state)
{
    struct gw_stats st = run("zlib", "6", "4M", NULL);

    assert_true(st.packed_pages < st.normal_pages && st.packed_pages * 10 > st.normal_pages * 6);
    st = run("zstd", "3", "4M", NULL);
    assert_true(st.packed_pages < st.normal_pages && st.packed_pages * 10 > st.normal_pages * 6);
}

/* A plain peer gets packets of a stream that it can read: none is uncompressed. */
static void test_plain_peer(void **state)
{
    struct gw_stats st = run("zlib", "6", "0", "10.0");

    assert_true(st.packed_pages == st.normal_pages);
    st = run("zstd", "3", "0", "10.0");
    assert_true(st.packed_pages == st.normal_pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_fast),
        owned_test(test_slow),
        owned_test(test_plain_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
