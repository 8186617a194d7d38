/* SPDX-License-Identifier: MIT */
#include "channel/pace.h"
#include "helpers.h"

/* Time that passes only when told. */
struct fake {
    uint64_t now_ns;
};

static uint64_t fake_now(void *opaque)
{
    return ((struct fake *)opaque)->now_ns;
}

static struct gw_clock fake_clock(struct fake *f)
{
    return (struct gw_clock){.now_ns = fake_now, .opaque = f};
}

#define EVENTS 200000
struct history {
    uint64_t at_ns[EVENTS], bytes[EVENTS];
    size_t n;
};

/* Writes pieces of up to `piece` bytes (0: the chunk) for `ns`, each write taking write_ns, each wait lasting up to
 * late_ns too long. */
static void write_for(struct gw_pace *p, struct fake *f, uint64_t ns, uint64_t piece, uint64_t write_ns,
                      uint64_t late_ns, uint64_t *seed, struct history *h)
{
    uint64_t end = f->now_ns + ns, wait, bytes = piece ? piece : gw_pace_chunk(p);

    while (f->now_ns < end) {
        wait = gw_pace_ask(p, bytes);
        assert_true(wait <= 100 * MS);
        if (wait) {
            f->now_ns += wait + (late_ns ? chance(seed) % late_ns : 0);
            continue;
        }
        assert_true(h->n < EVENTS);
        h->at_ns[h->n] = f->now_ns;
        h->bytes[h->n++] = bytes;
        f->now_ns += write_ns;
    }
}

/* The most and the least that went in any window of this length that lies inside the history. */
static void windows(const struct history *h, uint64_t window_ns, uint64_t *ret_least, uint64_t *ret_most)
{
    uint64_t sum = 0, most = 0, least = UINT64_MAX;
    size_t from = 0;

    for (size_t to = 0; to < h->n; to++) {
        /* Just after write `to`, looking back: closed at the new end, open at the old. */
        sum += h->bytes[to];
        while (h->at_ns[to] - h->at_ns[from] >= window_ns)
            sum -= h->bytes[from++];
        most = GW_MAX(most, sum);
        /* Just before it. */
        if (h->at_ns[to] - h->at_ns[0] >= window_ns) {
            uint64_t without = sum - h->bytes[to];

            least = GW_MIN(least, without);
        }
    }
    *ret_least = least;
    *ret_most = most;
}

static void rate_is_kept_in_any_second(void **state)
{
    static const uint64_t rates[] = {100000, 1000003, 134217728, 10 * GW_GIB};
    struct history *h = malloc(sizeof *h);

    for (size_t i = 0; i < GW_ARRAY_LEN(rates); i++) {
        for (int late = 0; late < 3; late++) {
            struct fake f = {.now_ns = 1};
            struct gw_clock clock = fake_clock(&f);
            uint64_t seed = i * 3 + (uint64_t)late, least, most;
            struct gw_pace p;

            gw_pace_init(&p, &clock, rates[i]);
            h->n = 0;
            write_for(&p, &f, 10 * GW_NS_PER_S, 0, late == 2 ? 3 * MS : 0, late ? 25 * MS : 0, &seed, h);
            windows(h, GW_NS_PER_S, &least, &most);
            assert_in_range(most, rates[i] * 95 / 100, rates[i] * 105 / 100);
            assert_in_range(least, rates[i] * 95 / 100, rates[i] * 105 / 100);
            /* No burst: what goes within an instant. */
            windows(h, 1, &least, &most);
            assert_true(most <= rates[i] / 10);
            gw_pace_fini(&p);
        }
    }
    free(h);
}

static void a_pause_is_not_made_up_for(void **state)
{
    struct fake f = {.now_ns = 1};
    struct gw_clock clock = fake_clock(&f);
    struct history *h = calloc(1, sizeof *h);
    uint64_t seed = 1, least, most;
    struct gw_pace p;

    gw_pace_init(&p, &clock, 1000000);
    write_for(&p, &f, GW_NS_PER_S, 0, 0, 0, &seed, h);
    f.now_ns += 3600 * GW_NS_PER_S;
    h->n = 0;
    write_for(&p, &f, 2 * GW_NS_PER_S, 0, 0, 0, &seed, h);
    windows(h, 1, &least, &most);
    assert_true(most <= 1000000 / 10);
    windows(h, GW_NS_PER_S, &least, &most);
    assert_true(most <= 1050000);
    gw_pace_fini(&p);
    free(h);
}

static void unlimited_never_waits(void **state)
{
    struct fake f = {.now_ns = 1};
    struct gw_clock clock = fake_clock(&f);
    struct gw_pace p;

    gw_pace_init(&p, &clock, 0);
    assert_int_equal(gw_pace_chunk(&p), UINT64_MAX);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(gw_pace_ask(&p, UINT64_MAX), 0);
    gw_pace_set(&p, 1);
    assert_int_equal(gw_pace_chunk(&p), 1);
    assert_int_equal(gw_pace_ask(&p, 1), 0);
    gw_pace_fini(&p);
}

static void a_new_rate_holds_at_once(void **state)
{
    struct fake f = {.now_ns = GW_NS_PER_S};
    struct gw_clock clock = fake_clock(&f);
    struct history *h = calloc(1, sizeof *h);
    uint64_t seed = 1, least, most;
    struct gw_pace p;

    gw_pace_init(&p, &clock, 1000);
    while (!gw_pace_ask(&p, 1000000)) /* a thousand seconds of debt */
        ;
    assert_int_equal(gw_pace_ask(&p, 1), 100 * MS);
    gw_pace_set(&p, 1000000000); /* is a millisecond now */
    assert_in_range(gw_pace_ask(&p, 1), 1, 2 * MS);
    gw_pace_set(&p, 0);
    assert_int_equal(gw_pace_ask(&p, 1), 0);
    gw_pace_set(&p, 1000000);
    write_for(&p, &f, GW_NS_PER_S, 0, 0, 0, &seed, h);
    h->n = 0;
    gw_pace_set(&p, 4000000);
    write_for(&p, &f, 3 * GW_NS_PER_S, 0, 0, 0, &seed, h);
    windows(h, GW_NS_PER_S, &least, &most);
    assert_in_range(least, 3800000, 4200000);
    assert_in_range(most, 3800000, 4200000);
    gw_pace_fini(&p);
    free(h);
}

/* Rounding does not give away bytes, however small the pieces are. */
static void small_pieces_are_charged_in_full(void **state)
{
    struct fake f = {.now_ns = 1};
    struct gw_clock clock = fake_clock(&f);
    uint64_t bytes = 0;
    struct gw_pace p;

    gw_pace_init(&p, &clock, 3000000000ull); /* a third of a nanosecond each */
    p.due_ns = 1;                            /* no credit from before the start */
    while (f.now_ns <= MS) {
        uint64_t wait = gw_pace_ask(&p, 1);

        f.now_ns += wait;
        bytes += !wait;
    }
    assert_in_range(bytes, 3000000 - 3, 3000000 + 3);
    gw_pace_fini(&p);
}

static void refunds(void **state)
{
    struct fake f = {.now_ns = GW_NS_PER_S};
    struct gw_clock clock = fake_clock(&f);
    struct gw_pace p;

    gw_pace_init(&p, &clock, 1000000);
    assert_int_equal(gw_pace_ask(&p, 500000), 0);
    assert_int_equal(gw_pace_ask(&p, 1), 100 * MS);
    gw_pace_refund(&p, 500000);
    assert_int_equal(gw_pace_ask(&p, 1), 0);
    gw_pace_refund(&p, UINT64_MAX);
    gw_pace_fini(&p);
}

/* In the place of gw_deadline() and gw_wait_ready(), of which gw_pace_wait() is made: waits pass on this clock. */
static struct fake *waits_on;

uint64_t __real_gw_deadline(uint64_t timeout_ns);
uint64_t __wrap_gw_deadline(uint64_t timeout_ns);
int __real_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns);
int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns);

uint64_t __wrap_gw_deadline(uint64_t timeout_ns)
{
    return waits_on ? waits_on->now_ns + timeout_ns : __real_gw_deadline(timeout_ns);
}

int __wrap_gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                         uint64_t deadline_ns)
{
    if (!waits_on)
        return __real_gw_wait_ready(fd, events, wake, also, deadline_ns);
    waits_on->now_ns = deadline_ns;
    return wake && gw_cancel_triggered(wake) ? -ECANCELED : -ETIMEDOUT;
}

/* gw_pace_wait() waits for as long as it is told and no longer. */
static void waits_as_long_as_it_is_told(void **state)
{
    struct fake f = {.now_ns = GW_NS_PER_S};
    struct gw_clock clock = fake_clock(&f);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_cancel *c;
    struct gw_pace p;

    gw_pace_init(&p, &clock, 1000);
    assert_int_equal(gw_pace_ask(&p, 350), 0);
    waits_on = &f;
    assert_int_equal(gw_pace_wait(&p, 1, NULL), 0);
    assert_int_equal(f.now_ns, GW_NS_PER_S + 320 * MS); /* 30 ms are credit */
    waits_on = NULL;
    /* The real one ends when it is cancelled, however long is left. */
    assert_ok(gw_cancel_new(&c, &err), err);
    gw_cancel_trigger(c);
    gw_pace_set(&p, 1);
    assert_int_equal(gw_pace_wait(&p, 1, c), -ECANCELED);
    gw_cancel_free(c);
    gw_pace_fini(&p);
}

/* On the real clock: no less than it is told. */
static void waits_in_real_time(void **state)
{
    uint64_t at = gw_now_ns(&gw_clock_real);
    struct gw_pace p;

    gw_pace_init(&p, NULL, 1000);
    while (!gw_pace_ask(&p, 350)) /* two at most: of the first, 30 ms are credit */
        ;
    assert_int_equal(gw_pace_wait(&p, 1, NULL), 0);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 320 * MS);
    gw_pace_fini(&p);
}

/* ---- threads ------------------------------------------------------------------------------------------------------
 */

#define SENDERS 3

/* Static, for they must be there for as long as the threads; the teardown ends these. */
static struct sender {
    struct gw_channel *out, *in;
    pthread_t writer, reader;
    uint64_t until_ns; /* it waits until then; 0: it does not */
} senders[SENDERS];
static struct gw_pace shared;
static unsigned started;

/* Moves on when all senders wait, to when the first of them goes on: what has been sent by any time can be told
 * exactly, however late this machine lets the threads run. */
static struct common_clock {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t now_ns;
    bool stop;
} common = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t common_now(void *opaque)
{
    uint64_t now;

    pthread_mutex_lock(&common.lock);
    now = common.now_ns;
    pthread_mutex_unlock(&common.lock);
    return now;
}

/* false: there is nothing left to do. */
static bool wait_for(struct sender *s, uint64_t ns)
{
    bool stop;

    pthread_mutex_lock(&common.lock);
    s->until_ns = common.now_ns + ns;
    pthread_cond_broadcast(&common.changed);
    while (common.now_ns < s->until_ns && !common.stop)
        pthread_cond_wait(&common.changed, &common.lock);
    s->until_ns = 0;
    stop = common.stop;
    pthread_mutex_unlock(&common.lock);
    return !stop;
}

/* Returns once all senders wait, with the lock; the earliest end of a wait. */
static uint64_t all_wait(void)
{
    uint64_t first_ns = UINT64_MAX;

    pthread_mutex_lock(&common.lock);
    for (unsigned i = 0; i < SENDERS;) {
        if (senders[i].until_ns > common.now_ns) {
            i++;
            continue;
        }
        pthread_cond_wait(&common.changed, &common.lock);
        i = 0;
    }
    for (unsigned i = 0; i < SENDERS; i++)
        first_ns = GW_MIN(first_ns, senders[i].until_ns);
    return first_ns;
}

static void *send_paced(void *opaque)
{
    struct sender *s = opaque;
    char *buf = calloc(1, GW_MIB);

    for (;;) {
        uint64_t n = GW_MIN(GW_MIB, gw_pace_chunk(&shared)), wait = gw_pace_ask(&shared, n);

        if (wait ? !wait_for(s, wait) : gw_channel_write_full(s->out, buf, (size_t)n, NULL) < 0)
            break;
    }
    free(buf);
    return NULL;
}

static void *swallow(void *opaque)
{
    size_t bytes = GW_MIB;
    struct iovec iov = {malloc(bytes), bytes};

    while (gw_channel_readv(((struct sender *)opaque)->in, &iov, 1, NULL) > 0)
        ;
    free(iov.iov_base);
    return NULL;
}

static uint64_t sent(void)
{
    uint64_t in, out, sum = 0;

    for (unsigned i = 0; i < SENDERS; i++) {
        gw_channel_bytes(senders[i].out, &in, &out);
        sum += out;
    }
    return sum;
}

/* What is sent in so much time, and a little more: up to the moment at which somebody goes on; how long that was. */
static uint64_t sent_in(uint64_t ns, uint64_t *ret_ns)
{
    uint64_t begin_ns = 0, before = 0, bytes = 0;

    for (bool over = false; !over;) {
        uint64_t next_ns = all_wait();

        if (!begin_ns) {
            begin_ns = common.now_ns;
            before = sent();
        }
        over = next_ns >= begin_ns + ns;
        if (over) {
            bytes = sent() - before;
            *ret_ns = next_ns - begin_ns;
        }
        common.now_ns = next_ns;
        pthread_cond_broadcast(&common.changed);
        pthread_mutex_unlock(&common.lock);
    }
    return bytes;
}

static int pace_clean_up(void **state)
{
    pthread_mutex_lock(&common.lock);
    common.stop = true;
    pthread_cond_broadcast(&common.changed);
    pthread_mutex_unlock(&common.lock);
    for (unsigned i = 0; i < started; i++) {
        gw_channel_shutdown(senders[i].out);
        gw_channel_shutdown(senders[i].in);
        pthread_join(senders[i].writer, NULL);
        pthread_join(senders[i].reader, NULL);
    }
    if (started)
        gw_pace_fini(&shared);
    started = 0;
    common.stop = false;
    waits_on = NULL;
    return clean_up(state);
}

/* Three channels share one limit, which is changed on the way. */
static void real_sockets_share_the_rate(void **state)
{
    static const uint64_t rates[] = {40 * GW_MIB, 10 * GW_MIB, 80 * GW_MIB};
    static const struct gw_clock clock = {.now_ns = common_now};
    uint64_t ns, bytes, want;

    common.now_ns = GW_NS_PER_S;
    gw_pace_init(&shared, &clock, rates[0]);
    for (; started < SENDERS; started++) {
        struct sender *s = &senders[started];
        struct pair *pair = pair_open(started == 0 ? PAIR_TCP4 : PAIR_UNIX);

        assert_non_null(pair);
        s->out = pair->a;
        s->in = pair->b;
        gw_channel_set_timeout(s->out, 0);
        gw_channel_set_timeout(s->in, 0);
        assert_int_equal(pthread_create(&s->reader, NULL, swallow, s), 0);
        assert_int_equal(pthread_create(&s->writer, NULL, send_paced, s), 0);
    }
    for (size_t k = 0; k < GW_ARRAY_LEN(rates); k++) {
        gw_pace_set(&shared, rates[k]);
        sent_in(100 * MS, &ns); /* credit, and waits that still go by the rate of before */
        bytes = sent_in(GW_NS_PER_S, &ns);
        want = (uint64_t)((double)rates[k] * (double)ns / 1e9);
        assert_in_range(bytes, want * 95 / 100, want * 105 / 100);
    }
}

#define pace_test(f) cmocka_unit_test_teardown(f, pace_clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pace_test(rate_is_kept_in_any_second),
        pace_test(a_pause_is_not_made_up_for),
        pace_test(unlimited_never_waits),
        pace_test(a_new_rate_holds_at_once),
        pace_test(small_pieces_are_charged_in_full),
        pace_test(refunds),
        pace_test(waits_as_long_as_it_is_told),
        pace_test(waits_in_real_time),
        pace_test(real_sockets_share_the_rate),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
