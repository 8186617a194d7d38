/* SPDX-License-Identifier: MIT
 *
 * follow_sink: a destination whose machine is here, with one section whose pages follow, for the tests of follow.c and recovery.c.
 */
#ifndef FOLLOW_SINK_H
#define FOLLOW_SINK_H

#include "sink.h"

#include "wire/numbers.h"

static struct gw_error err;
static struct gw_guest_ops guest;
static struct gw_live_ops follows;
static struct gw_channel *other, *first; /* ends of other sources */
static uint64_t lacking;
static bool comes_again, all_comes;
static bool two_come; /* before that one, another one comes and is lost */
static bool device_waits; /* for a page, whenever what is waited for is asked for again */

static uint64_t fake_lacking(struct gw_live *l)
{
    return lacking;
}

static int fake_received(struct gw_live *l, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *e)
{
    if (strcmp(name, "ram"))
        return gw_fail(e, -ENOENT, GW_BLAME_PEER, "no RAM block is called %s", name);
    *ret_map = calloc(2, sizeof **ret_map);
    (*ret_map)[0] = 0x8000000000000103;
    (*ret_map)[1] = 0x21;
    *ret_pages = 70;
    return 0;
}

static void fake_hold(struct gw_live *l)
{
    rig_say("hold ");
}

static void fake_again(struct gw_live *l)
{
    struct gw_ram_block ram = {.name = "ram"};

    rig_say("again ");
    if (device_waits)
        gw_follow_ask(r, &ram, 0x1000, 0x1000);
}

static int fake_release(struct gw_live *l, struct gw_error *e)
{
    rig_say("release ");
    return 0;
}

/* Another source comes: its bytes wait for us. */
static void visit(const struct gw_uri *uri, bool whole, struct gw_channel **ret)
{
    struct gw_out said;
    const uint8_t *data;
    size_t n;

    gw_out_memory(&said);
    gw_command_put(&said, GW_COMMAND_RECV_BITMAP, "\3ram", 4);
    gw_command_put(&said, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
    gw_put_u8(&said, GW_ELEMENT_EOF);
    data = gw_out_data(&said, &n);
    assert_int_equal(gw_connect(uri, 0, NULL, ret, NULL), 0);
    assert_int_equal(gw_channel_write_full(*ret, data, whole ? n : 7, NULL), 0);
    gw_out_free(&said);
    if (!whole)
        assert_int_equal(gw_channel_close(*ret, NULL), 0);
}

static struct gw_uri door_uri; /* where sources come again */

static void come_again(void)
{
    struct gw_error why = GW_ERROR_INIT;
    char text[256];

    if (two_come && other) { /* who came first is lost */
        assert_int_equal(gw_recv_recover(r, "tcp:127.0.0.1:0", &why), -EALREADY); /* the door is open all the time */
        lacking = 0;
        return;
    }
    if (gw_recv_recover(r, "tcp:127.0.0.1:0", &why) < 0)
        fail_msg("%s", why.text);
    assert_int_equal(gw_recv_recover(r, "tcp:127.0.0.1:0", &why), -EALREADY);
    gw_recv_address(r, text, sizeof text);
    assert_int_equal(gw_uri_parse(text, &door_uri, NULL), 0);
    if (two_come) { /* the other one while this one is served */
        visit(&door_uri, false, &first);
        return;
    }
    visit(&door_uri, true, &other);
    lacking = 0; /* what it would send in between */
}

/* Once the connection is lost another source comes, or it is given up: nobody waits for ever. */
static void on_event(void *opaque, const struct gw_event *e)
{
    rig_event(opaque, e);
    if (e->type == GW_EVENT_STATUS && e->status == GW_STATUS_POSTCOPY_RECOVER && two_come && !other)
        visit(&door_uri, true, &other);
    if (e->type != GW_EVENT_STATUS || e->status != GW_STATUS_POSTCOPY_PAUSED)
        return;
    if (comes_again)
        come_again();
    else
        r->session.yanked = true;
    if (all_comes)
        lacking = 0;
}

static void go_to(enum gw_phase to)
{
    static const enum gw_phase way[] = {GW_PHASE_LISTEN, GW_PHASE_LOADING, GW_PHASE_FOLLOWED, GW_PHASE_RECV_PAUSED,
                                        GW_PHASE_RECV_RECOVER};

    for (unsigned i = 0; i < GW_ARRAY_LEN(way); i++) {
        gw_session_enter(&r->session, way[i]);
        if (way[i] == to)
            break;
    }
    rig.log[0] = 0;
}

/* One section, whose pages follow. */
static int up(void **state)
{
    if (sink_up(state))
        return -1;
    guest = gw_guest_here;
    rig.vm->guest = &guest;
    follows = a_ops;
    follows.lacking = fake_lacking;
    follows.received = fake_received;
    follows.hold = fake_hold;
    follows.again = fake_again;
    follows.release = fake_release;
    a.live.ops = &follows;
    r->plan.lives = 1;
    r->return_path = true;
    r->timeout_ns = 0;
    r->hello_ns = 3600 * GW_NS_PER_S;
    gw_answers_open(&r->answers, near);
    gw_session_set_channel(&r->session, near);
    gw_globalstate_set(rig.vm->globalstate, true);
    lacking = 0;
    comes_again = two_come = all_comes = device_waits = false;
    r->session.on_event = on_event;
    other = first = NULL;
    err = (struct gw_error)GW_ERROR_INIT;
    return 0;
}

static int down(void **state)
{
    gw_door_close(r);
    gw_recovery_close(r);
    gw_follow_end(r);
    gw_session_set_channel(&r->session, NULL);
    near = r->channel; /* not the first one any more, or none */
    gw_channel_free(other);
    gw_channel_free(first);
    return sink_down(state);
}

#endif
