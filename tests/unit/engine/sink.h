/* SPDX-License-Identifier: MIT
 *
 * sink: an incoming session in the middle, on the machine of rig.h: two live sections that only say what is asked of them. The test
 * plays the source: `put` writes what is to be read, `answered` is what the session has said, in hex.
 */
#ifndef ENGINE_SINK_H
#define ENGINE_SINK_H

#include "rig.h"

#include "base/endian.h"
#include "engine/recv.h"
#include "wire/command.h"
#include "wire/section.h"

struct fake {
    struct gw_live live;
    uint64_t body;  /* bytes of each element */
    int ended;      /* what check_ended returns */
    const char *note;
};

static struct gw_recv *r;
static struct gw_channel *near, *far;
static struct gw_out out; /* what the source sends next */
static struct fake a, b;
static uint64_t heard;

static struct fake *fake_of(struct gw_live *l)
{
    return GW_CONTAINER(l, struct fake, live);
}

static int fake_load_setup(struct gw_live *l, struct gw_error *err)
{
    rig_say("setup(%s) ", l->ops->id);
    return 0;
}

static int fake_load(struct gw_live *l, enum gw_section_kind kind, struct gw_reader *reader, struct gw_error *err)
{
    rig_say("load(%s,%d) ", l->ops->id, (int)kind);
    l->touched = true;
    return gw_get_discard(reader, fake_of(l)->body, err);
}

static int fake_check_ended(struct gw_live *l, enum gw_live_end end, char *note, struct gw_error *err)
{
    rig_say("ended(%s,%d) ", l->ops->id, (int)end);
    if (fake_of(l)->note)
        gw_strcopy(note, GW_LIVE_NOTE, fake_of(l)->note);
    return fake_of(l)->ended < 0 ? gw_fail(err, fake_of(l)->ended, GW_BLAME_PEER, "%s is not whole", l->ops->id) : 0;
}

static void fake_over(struct gw_live *l)
{
    rig_say("over(%s) ", l->ops->id);
}

static void fake_progress(struct gw_live *l, struct gw_progress *sum)
{
}

static void fake_load_cleanup(struct gw_live *l, bool ok)
{
}

static const struct gw_live_ops a_ops = {.id = "a", .version = 3, .order = 1, .load_setup = fake_load_setup, .load = fake_load,
                                         .check_ended = fake_check_ended, .over = fake_over, .progress = fake_progress,
                                         .load_cleanup = fake_load_cleanup};
static const struct gw_live_ops b_ops = {.id = "b", .version = 4, .order = 2, .load_setup = fake_load_setup, .load = fake_load,
                                         .check_ended = fake_check_ended, .progress = fake_progress, .load_cleanup = fake_load_cleanup};

static inline int sink_up(void **state)
{
    if (rig_up(state) || gw_channel_memory_pair(65536, &near, &far, NULL))
        return -1;
    r = calloc(1, sizeof *r);
    r->channel = near;
    r->timeout_ns = 20 * GW_NS_PER_S;
    r->vmdesc_wait_ns = GW_NS_PER_S;
    gw_answers_init(&r->answers, &rig.vm->trace);
    a = (struct fake){.live = {.ops = &a_ops}};
    b = (struct fake){.live = {.ops = &b_ops}};
    r->plan = (struct gw_plan){.live = {&a.live, &b.live}, .lives = 2};
    r->head = (struct gw_wire_head){.configured = true, .machine = "m"};
    heard = 0;
    gw_out_memory(&out);
    return gw_session_init(&r->session, rig.vm, rig_event, NULL, NULL) || gw_reader_init(&r->reader, near, NULL);
}

static inline int sink_down(void **state)
{
    gw_answers_open(&r->answers, NULL);
    gw_out_free(&out);
    gw_reader_close(&r->reader);
    gw_channel_free(near);
    gw_channel_free(far);
    gw_session_close(&r->session);
    gw_answers_fini(&r->answers);
    free(r->bound);
    free(r);
    return rig_down(state);
}

/* What was put goes to the session; more: the connection stays open. */
static inline void put(bool more)
{
    size_t n;
    const uint8_t *data = gw_out_data(&out, &n);

    if (n)
        assert_int_equal(gw_channel_write_full(far, data, n, NULL), 0);
    gw_out_free(&out);
    gw_out_memory(&out);
    if (!more)
        assert_int_equal(gw_channel_close(far, NULL), 0);
}

static inline void put_command(uint16_t number, uint32_t payload)
{
    uint8_t bytes[4];

    gw_store_be32(bytes, payload);
    gw_command_put(&out, number, bytes, number == GW_COMMAND_PING || number == GW_COMMAND_PACKAGED ? 4 : 0);
}

static inline void put_start(uint32_t id, const char *name, uint32_t version)
{
    struct gw_section_head head = {.id = id, .version = version};

    gw_strcopy(head.name, sizeof head.name, name);
    gw_section_put_head(&out, GW_ELEMENT_START, &head);
    gw_section_put_footer(&out, id);
}

static inline void put_part(uint8_t element, uint32_t id)
{
    gw_section_put_part(&out, element, id);
    gw_section_put_footer(&out, id);
}

static inline const char *answered(void)
{
    static char text[2048];
    uint8_t bytes[1024];
    uint64_t in, n;

    gw_channel_bytes(near, &in, &n);
    n -= heard;
    text[0] = 0;
    if (n)
        assert_int_equal(gw_channel_read_full(far, bytes, n, NULL), 0);
    heard += n;
    for (uint64_t i = 0; i < n; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    return text;
}

static inline void sink_phase(enum gw_phase to)
{
    static const enum gw_phase way[] = {GW_PHASE_LISTEN, GW_PHASE_LOADING, GW_PHASE_LOADED};

    for (unsigned i = 0; i < GW_ARRAY_LEN(way); i++) {
        gw_session_enter(&r->session, way[i]);
        if (way[i] == to)
            break;
    }
    rig.log[0] = 0;
}

#define sink_test(f) cmocka_unit_test_setup_teardown(f, sink_up, sink_down)

/* On, as if it had been before the session began. */
static inline void sink_cap(const char *name)
{
    rig_cap(name);
    gw_plan_decide(&r->plan, gw_vm_options(rig.vm));
}

#endif
