/* SPDX-License-Identifier: MIT
 *
 * Postcopy from the destination's side, up to the switch: what may be said beforehand, and which packages are taken.
 */
#include "sink.h"

#include "wire/numbers.h"

static struct gw_error err;
static struct gw_guest_ops guest;
static struct gw_live_ops follows, stays;
static int advised_fails, discard_fails;

static int fake_advised(struct gw_live *l, uint64_t host_pages, uint64_t page_bytes, struct gw_error *e)
{
    rig_say("advised(%s,%x,%x) ", l->ops->id, (unsigned)host_pages, (unsigned)page_bytes);
    return advised_fails < 0 ? gw_fail(e, advised_fails, GW_BLAME_PEER, "other pages") : 0;
}

static int fake_discard(struct gw_live *l, const char *name, uint64_t start, uint64_t bytes, struct gw_error *e)
{
    if (discard_fails < 0)
        return gw_fail(e, discard_fails, GW_BLAME_PEER, "no block %s", name);
    rig_say("discard(%s,%x,%x) ", name, (unsigned)start, (unsigned)bytes);
    l->touched = true;
    return 0;
}

static int fake_follow(struct gw_live *l, struct gw_error *e)
{
    rig_say("follow(%s) ", l->ops->id);
    return 0;
}

static int park(struct gw_vm *vm, struct gw_error *e)
{
    return 0;
}

/* "a" may follow, "b" may not. Nobody waits for pages, so no thread is needed. */
static int up(void **state)
{
    if (sink_up(state))
        return -1;
    sink_cap("postcopy-ram");
    guest = gw_guest_here;
    guest.store_following = NULL;
    rig.vm->guest = &guest;
    follows = a_ops;
    follows.advised = fake_advised;
    follows.discard = fake_discard;
    follows.follow = fake_follow;
    a.live.ops = &follows;
    stays = b_ops;
    b.live.ops = &stays;
    advised_fails = discard_fails = 0;
    r->return_path = true;
    gw_answers_open(&r->answers, near);
    gw_globalstate_set(rig.vm->globalstate, true);
    sink_phase(GW_PHASE_LOADING);
    return 0;
}

/* The command with what was put, of which so many bytes are its payload. */
static int command(uint16_t number, size_t bytes)
{
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_postcopy_in_command(r, number, (uint16_t)bytes, &err);
}

static void refused(int e, int code, const char *text)
{
    rig_fails(e, code, &err, text);
    rig_said("");
}

/* ---- ADVISE ---- */

static int advise(void)
{
    r->postcopy.state = GW_POSTCOPY_NONE;
    gw_put_u64(&out, 0x201000);
    gw_put_u64(&out, RIG_PAGE);
    put(false);
    return command(GW_COMMAND_POSTCOPY_ADVISE, 16);
}

static void test_advise(void **state)
{
    assert_int_equal(advise(), 0);
    rig_said("advised(a,201000,1000) ");
    assert_int_equal(r->postcopy.state, GW_POSTCOPY_ADVISED);
    refused(command(GW_COMMAND_POSTCOPY_ADVISE, 16), -EPROTO, "it is not allowed now: postcopy is advised");
}

static void test_advise_refused(void **state)
{
    advised_fails = -EPROTO;
    rig_fails(advise(), -EPROTO, &err, "other pages");
}

static void test_advise_off(void **state)
{
    assert_int_equal(gw_options_set_capability(gw_vm_options(rig.vm), "postcopy-ram", false, NULL), 0);
    gw_plan_decide(&r->plan, gw_vm_options(rig.vm));
    refused(advise(), -EPROTO,
            "the source's capability postcopy-ram is on, and off here: set it here too (godwit receive --postcopy), or turn it "
                "off there");
}

static void test_advise_unanswerable(void **state)
{
    r->return_path = false;
    refused(advise(), -EPROTO, "OPEN_RETURN_PATH did not come before: there is no way to ask for pages");
}

static void test_advise_nothing_follows(void **state)
{
    follows.advised = NULL;
    refused(advise(), -ENOTSUP, "this machine has no live section that could be sent after the switch");
    assert_int_equal(err.blame, GW_BLAME_CALLER);
}

static void test_advise_sizes(void **state)
{
    refused(command(GW_COMMAND_POSTCOPY_ADVISE, 8), -EPROTO, "it has 8 bytes instead of 16");
}

static void test_advise_bitmaps_only(void **state)
{
    struct gw_image *none = rig.vm->image;

    assert_int_equal(command(GW_COMMAND_POSTCOPY_ADVISE, 0), 0);
    assert_true(r->postcopy.only_bitmaps);
    rig_said("");
    /* A file has no place for them. */
    r->postcopy.state = GW_POSTCOPY_NONE;
    rig.vm->image = (struct gw_image *)&rig;
    assert_int_equal(command(GW_COMMAND_POSTCOPY_ADVISE, 0), -ENOTSUP);
    rig.vm->image = none;
    assert_non_null(strstr(err.text, "send dirty bitmaps after the switch to postcopy"));
}

/* ---- RAM_DISCARD ---- */

static int discard(const void *payload, size_t bytes)
{
    gw_put_bytes(&out, payload, bytes);
    put(false);
    r->postcopy.state = GW_POSTCOPY_ADVISED;
    return command(GW_COMMAND_POSTCOPY_RAM_DISCARD, bytes);
}

#define RANGE(start, bytes) "\0\0\0\0\0\0" start "\0" "\0\0\0\0\0\0" bytes "\0"
#define TWO_RANGES          "\0\3ram\0" RANGE("\x20", "\x10") RANGE("\x50", "\x30")

static void test_discard(void **state)
{
    assert_int_equal(discard(TWO_RANGES, sizeof TWO_RANGES - 1), 0);
    rig_said("discard(ram,2000,1000) discard(ram,5000,3000) ");
    assert_int_equal(r->postcopy.state, GW_POSTCOPY_DISCARDING);
    assert_true(r->touched);
}

/* Which of several ranges it was. */
static void test_discard_refused(void **state)
{
    discard_fails = -EPROTO;
    refused(discard(TWO_RANGES, sizeof TWO_RANGES - 1), -EPROTO, "range at byte 6: no block ram");
    assert_false(r->touched);
}

static void test_discard_state(void **state)
{
    put(false);
    refused(command(GW_COMMAND_POSTCOPY_RAM_DISCARD, 22), -EPROTO, "it is not allowed now: postcopy is not advised");
    r->postcopy.state = GW_POSTCOPY_LISTENING;
    refused(command(GW_COMMAND_POSTCOPY_RAM_DISCARD, 22), -EPROTO, "it is not allowed now: postcopy is listening");
}

static void test_discard_damaged(void **state)
{
    static const struct {
        const char *payload, *text;
        size_t bytes;
    } rows[] = {
#define ROW(payload, text) {payload, text, sizeof payload - 1}
        ROW("\0\1r\0" "0123456789abcde", "it has 19 bytes instead of at least 20"),
        ROW("\1\3ram\0" RANGE("\x20", "\x10"), "byte 0: version 1, 0 is known"),
        ROW("\0\3ramx" RANGE("\x20", "\x10"), "byte 0: no zero behind the name of the RAM block, but 0x78"),
        ROW("\0\3ram\0" RANGE("\x20", "\x10") "\0", "byte 0: 23 bytes are a name of 3 and no whole number of ranges"),
        ROW("\0\0\0" RANGE("\x20", "\x10") "\0", "empty name at byte 1"),
#undef ROW
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        if (i) {
            sink_down(NULL);
            assert_int_equal(up(NULL), 0);
        }
        assert_int_equal(discard(rows[i].payload, rows[i].bytes), -EPROTO);
        if (!strstr(err.text, rows[i].text + (strncmp(rows[i].text, "byte 0", 6) ? 0 : 6)))
            fail_msg("\"%s\" instead of \"%s\"", err.text, rows[i].text);
        rig_said("");
    }
}

/* ---- PACKAGED ---- */

static struct gw_out inner;

static void begin(void)
{
    gw_out_memory(&inner);
}

static void packed(uint16_t number, uint32_t payload)
{
    uint8_t bytes[4];

    gw_store_be32(bytes, payload);
    gw_command_put(&inner, number, bytes, number == GW_COMMAND_PING || number == GW_COMMAND_PACKAGED ? 4 : 0);
}

static void packed_device(uint32_t id, const char *name)
{
    struct gw_section_head head = {.id = id, .version = 1};

    gw_strcopy(head.name, sizeof head.name, name);
    gw_section_put_head(&inner, GW_ELEMENT_FULL, &head);
    gw_section_put_footer(&inner, id);
}

/* claimed: 0: so many bytes as there are. Nothing comes behind it. */
static int package(uint32_t claimed)
{
    size_t n;
    const uint8_t *data = gw_out_data(&inner, &n);

    gw_put_u32(&out, claimed ? claimed : (uint32_t)n);
    gw_put_bytes(&out, data, n);
    gw_out_free(&inner);
    put(false);
    r->postcopy.state = GW_POSTCOPY_ADVISED;
    r->grammar = GW_GRAMMAR_PACKAGE;
    return command(GW_COMMAND_PACKAGED, 4);
}

/* The package is refused for what its text ends with, and the machine is still the source's. */
static void bad_package(const char *text)
{
    const char *head = "the package of ";

    assert_int_equal(package(0), -EPROTO);
    assert_int_equal(strncmp(err.text, head, strlen(head)), 0);
    assert_string_equal(strstr(err.text, ": ") + 2, text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_LOADING);
    assert_string_equal(answered(), "");
    assert_null(strstr(rig.log, "start"));
}

/* PINGs are answered: to the source that is the word that the machine is here. */
static void test_package(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_PING, 4);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    assert_int_equal(package(0), 0);
    rig_said("follow(a) [postcopy-active] arrived start RESUME ");
    assert_string_equal(answered(), "0002000400000003" "0002000400000004");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_FOLLOWED);
    assert_int_equal(r->postcopy.state, GW_POSTCOPY_RUNNING);
    assert_int_equal(r->grammar, GW_GRAMMAR_POSTCOPY);
}

/* One that will be parked is not run: all of it comes first. */
static void test_package_to_park(void **state)
{
    guest.park = park;
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    assert_int_equal(package(0), 0);
    rig_said("follow(a) [postcopy-active] ");
    assert_string_equal(answered(), "0002000400000003");
}

/* A godwit is told so, instead of an answer to its PING, and has its machine again. */
static void test_package_start_fails(void **state)
{
    rig.start_fails = -ENOMEM;
    r->extended = true;
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    assert_int_equal(package(0), -ENOMEM);
    rig_said("follow(a) [postcopy-active] arrived start revoked [failed] ");
    assert_string_equal(answered(), "0001000400000001");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_RECV_FAILED);
}

/* A QEMU has given it away then: it is here, and its pages follow. */
static void test_package_start_fails_too_late(void **state)
{
    rig.start_fails = -ENOMEM;
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    assert_int_equal(package(0), 0);
    assert_non_null(strstr(rig.log, "arrived start "));
    assert_non_null(strstr(rig.log, "the machine is here, and could not be started: "));
    assert_null(strstr(rig.log, "revoked"));
    assert_string_equal(answered(), "0002000400000003");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_FOLLOWED);
}

/* The answer cannot be said: a QEMU that does not hear it may run its machine on. It stands, and is not announced. */
static void test_package_unheard(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    r->awaits = true;
    gw_fail(&r->answers.broken, -EPIPE, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(package(0), 0);
    assert_true(r->postcopy.unsure);
    assert_null(strstr(rig.log, "start"));
    assert_null(strstr(rig.log, "arrived"));
}

static void test_package_length(void **state)
{
    begin();
    gw_put_u32(&out, 0);
    put(true);
    r->postcopy.state = GW_POSTCOPY_ADVISED;
    refused(command(GW_COMMAND_PACKAGED, 4), -EPROTO, "a package of 0 bytes at byte 4: 1 to 536870912 are accepted");
    refused(package(GW_PACKAGE_MAX + 1), -EPROTO, "a package of 536870913 bytes at byte 8: 1 to 536870912 are accepted");
}

/* Nothing of it is done before all of it is here. */
static void test_package_cut(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    refused(package(11), -ENODATA, "the package of 11 bytes at byte 4: stream ended at byte 14 (1 more bytes needed)");
}

static void test_package_without_run(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    assert_int_equal(package(0), -ENODATA);
    rig_said("follow(a) ");
    assert_string_equal(err.text, "the package of 5 bytes at byte 4: stream ended at byte 9 (1 more bytes needed)");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_LOADING);
}

static void test_package_wrong_element(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    gw_section_put_part(&inner, GW_ELEMENT_PART, 1);
    bad_package("element 0x02 (PART) at byte 9 is not allowed in a package");
}

static void test_package_wrong_command(void **state)
{
    begin();
    packed(GW_COMMAND_OPEN_RETURN_PATH, 0);
    bad_package("command OPEN_RETURN_PATH at byte 4 is not allowed here (package, advised)");
}

static void test_package_in_package(void **state)
{
    begin();
    packed(GW_COMMAND_PACKAGED, 5);
    bad_package("command PACKAGED at byte 4 is not allowed here (package, advised)");
}

static void test_package_run_first(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    bad_package("command POSTCOPY_RUN at byte 4 is not allowed here (postcopy, advised)");
}

static void test_package_listens_twice(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    bad_package("command POSTCOPY_LISTEN at byte 9 is not allowed here (package, listening)");
}

static void test_package_pings(void **state)
{
    begin();
    for (uint32_t i = 0; i <= GW_PACKAGE_PINGS; i++)
        packed(GW_COMMAND_PING, i);
    bad_package("command PING at byte 40: more than 4 in the package");
}

static void test_package_device_too_early(void **state)
{
    begin();
    packed_device(9, "dev");
    bad_package("device section at byte 4 before LISTEN");
}

static void test_package_number_taken(void **state)
{
    r->bound = calloc(1, sizeof *r->bound);
    r->bound[0] = (struct gw_bound){.id = 9, .live = &a.live};
    r->bounds = 1;
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed_device(9, "dev");
    bad_package("section 9 (dev/0) at byte 9: another section has this id");
}

/* Its own numbers are not counted: the live sections go on beside it. */
static void test_package_unknown_device(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed_device(9, "dev");
    bad_package("section dev/0 at byte 9 (FULL): this machine has no such device");
    assert_int_equal(r->bounds, 0);
}

static void test_package_goes_on(void **state)
{
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    packed(GW_COMMAND_PING, 3);
    packed(GW_COMMAND_POSTCOPY_RUN, 0);
    gw_put_u8(&inner, GW_ELEMENT_EOF);
    bad_package("1 bytes of the package follow RUN, its last command, at byte 23");
}

/* A thread reads what follows: it ends, and the source hears that the package is bad. */
static void test_package_with_thread(void **state)
{
    guest = gw_guest_here;
    begin();
    packed(GW_COMMAND_POSTCOPY_LISTEN, 0);
    gw_put_u8(&inner, GW_ELEMENT_EOF);
    assert_int_equal(package(0), -EPROTO);
    assert_false(r->postcopy.threaded);
    assert_string_equal(answered(), "0001000400000001");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, sink_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_advise), T(test_advise_refused), T(test_advise_off), T(test_advise_unanswerable), T(test_advise_nothing_follows),
            T(test_advise_sizes),
        T(test_advise_bitmaps_only), T(test_discard), T(test_discard_refused), T(test_discard_state), T(test_discard_damaged),
        T(test_package), T(test_package_to_park), T(test_package_start_fails), T(test_package_start_fails_too_late), T(test_package_unheard), T(test_package_length), T(test_package_cut),
        T(test_package_without_run), T(test_package_wrong_element), T(test_package_wrong_command), T(test_package_in_package),
        T(test_package_run_first),
        T(test_package_listens_twice), T(test_package_pings), T(test_package_device_too_early), T(test_package_number_taken),
        T(test_package_unknown_device), T(test_package_goes_on), T(test_package_with_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
