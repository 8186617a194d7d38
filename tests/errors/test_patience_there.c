/* SPDX-License-Identifier: MIT
 *
 * Destinations whose source stalls, and operators that cancel: a stall is detected after progress_timeout_ns, a cancel
 * ends the session in every state, and a completed hand-over can no longer be cancelled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "engine/recv.h"
#include "mutate.h"
#include "patience.h"
#include "rig.h"
#include "wire/numbers.h"

struct listening {
    const char *uri;
    bool visitor;
};

static void cancel_listening(const struct listening *l)
{
    struct rig *g = owned_rig(0, 0);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *stranger = NULL;
    struct gw_recv *recv;
    struct gw_uri uri;
    char address[GW_URI_TEXT];

    must(gw_recv_start(g->vm, &(struct gw_recv_config){.uri = l->uri, .hello_timeout_ns = 3600 * GW_NS_PER_S}, &recv,
                       &err),
         &err);
    owned_recv(recv);
    gw_recv_address(recv, address, sizeof address);
    must(gw_uri_parse(address, &uri, &err), &err);
    if (l->visitor) {
        must(gw_connect(&uri, 0, NULL, &stranger, &err), &err);
        owned_channel(stranger);
    }
    sleep_ms(30); /* any moment will do; a later one is better */
    must(gw_recv_cancel(recv, &err), &err);
    assert_int_equal(gw_recv_wait(recv, &err), -ECANCELED);
    assert_int_equal(gw_recv_status(recv), GW_STATUS_CANCELLED);
    owned_end(recv);
    owned_end(stranger);
    owned_end(g);
}

static void test_listening_cancelled(void **state)
{
    static const struct listening listening[] = {{"tcp:127.0.0.1:0", false},
                                                 {"tcp:127.0.0.1:0", true},
                                                 {"unix:patience.sock", false},
                                                 {"unix:patience.sock", true}};

    for (unsigned i = 0; i < GW_ARRAY_LEN(listening); i++)
        cancel_listening(&listening[i]);
}

/* A destination that gets the stream up to a byte. timeout_ns 0: it waits without a limit; *ret_stalled, which may be
 * NULL, is set when it does. */
static struct gw_recv *half_fed(struct rig *g, const struct rig_bytes *stream, uint64_t at, uint64_t timeout_ns,
                                _Atomic unsigned *ret_stalled)
{
    static const atomic_bool holds = true;
    struct gw_fault f = {.kind = GW_FAULT_STALL,
                         .direction = GW_FAULT_IN,
                         .at_byte = at,
                         .holds = timeout_ns ? NULL : &holds,
                         .tell = ret_stalled};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *feed;
    struct gw_recv *recv;

    must(rig_feed(stream->data, stream->bytes, RIG_WHOLE, 0, NULL, &feed, &err), &err);
    must(gw_fault_new(feed, &f, 1, &feed, &err), &err);
    must(gw_recv_start(g->vm, &(struct gw_recv_config){.take_channel = feed, .progress_timeout_ns = timeout_ns}, &recv,
                       &err),
         &err);
    return owned_recv(recv);
}

static void cancel_loading(const struct rig_bytes *stream, uint64_t at)
{
    _Atomic unsigned *stalled = owned_memory(sizeof *stalled);
    struct rig *g = owned_rig(0, 0);
    struct gw_recv *recv = half_fed(g, stream, at, 0, stalled);
    struct gw_error err = GW_ERROR_INIT;

    while (!atomic_load(stalled) && !gw_phase_row(gw_session_phase(&recv->session))->final)
        sleep_ms(1);
    must(gw_recv_cancel(recv, &err), &err);
    assert_int_equal(gw_recv_wait(recv, &err), -ECANCELED);
    assert_int_equal(gw_recv_status(recv), GW_STATUS_CANCELLED);
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_SOURCE);
    assert_int_equal(g->starts, 0);
    owned_end(recv);
    owned_end(g);
    owned_end(stalled);
}

static void test_loading_cancelled(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct anatomy a;

    must(rig_stream(1, PAGES, "10.0", true, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    for (unsigned i = 0; i < a.parts; i++)
        cancel_loading(&stream, a.part[i].begin + 1);
}

static void test_destination_notices(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct anatomy a;
    struct rig *g = owned_rig(0, 0);

    must(rig_stream(1, PAGES, "7.2", false, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    for (unsigned i = 0; i < a.parts; i++) {
        struct gw_recv *recv = half_fed(g, &stream, a.part[i].begin + 1, 30 * GW_NS_PER_MS, NULL);
        int r = gw_recv_wait(recv, &err);

        if (stream.data[a.part[i].begin] == GW_ELEMENT_EOF) {
            must(r, &err); /* a missing description is allowed */
        } else {
            if (r != -ETIMEDOUT || rig_vague(err.text))
                print_error("%u: %d %s\n", i, r, err.text);
            assert_int_equal(r, -ETIMEDOUT);
            assert_null(rig_vague(err.text));
            assert_int_equal(err.blame, GW_BLAME_CHANNEL);
            assert_int_equal(g->starts, 0);
        }
        owned_end(recv);
        rig_reset(g, 0, 0);
    }
}

/* Everything is loaded, and the source's last message is missing: neither side may guess. */
static void test_claim(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct gw_recv *recv, *other;
    struct anatomy a;
    struct rig *g = owned_rig(0, 0), *want = owned_rig(1, PAGES);

    must(rig_stream(1, PAGES, "godwit", true, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    recv = half_fed(g, &stream, a.part[a.parts - 1].begin, 0, NULL); /* COMMIT */
    await(&recv->session, GW_PHASE_ASKED);
    assert_int_equal(gw_recv_cancel(recv, &err), -EALREADY);
    assert_int_equal(gw_recv_claim(recv, &err), -EINVAL);
    gw_recv_yank(recv);
    assert_true(gw_recv_wait(recv, &err) < 0);
    assert_null(rig_vague(err.text));
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_UNDECIDED);
    assert_int_equal(g->starts, 0);
    assert_int_equal(g->arrived, 0);

    /* A claim is refused while another session uses this machine. */
    must(gw_recv_start(g->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &other, &err), &err);
    owned_recv(other);
    assert_int_equal(gw_recv_claim(recv, &err), -EBUSY);
    owned_end(other);

    g->fail_start = true;
    assert_int_equal(gw_recv_claim(recv, &err), -EIO);
    g->fail_start = false;
    must(gw_recv_claim(recv, &err), &err);
    assert_int_equal(g->starts, 1);
    assert_int_equal(g->arrived, 2); /* the first arrival was revoked when the start failed */
    assert_int_equal(g->revoked, 1);
    assert_int_equal(g->left, 0);
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_DESTINATION);
    assert_int_equal(gw_recv_claim(recv, &err), -EALREADY);
    assert_true(rig_same(g, want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_listening_cancelled),
        owned_test(test_loading_cancelled),
        owned_test(test_destination_notices),
        owned_test(test_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
