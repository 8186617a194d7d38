/* SPDX-License-Identifier: MIT
 *
 * A broken postcopy migration goes on, or cannot: what the destination is asked, and whose the machine is meanwhile.
 */
#include "source.h"

#include "wire/numbers.h"

static struct gw_error err;
static struct gw_live_ops resumes;
static uint64_t map_word;

/* Asks for the map of the machine's block. */
static int fake_resume(struct gw_live *l, struct gw_resume *ask, struct gw_error *e)
{
    uint64_t *map = NULL;
    int r = ask->map(ask, "ram", RIG_PAGES, &map, e);

    if (r >= 0)
        map_word = map[0];
    free(map);
    return r;
}

static int up(void **state)
{
    if (source_up_as("7.2"))
        return -1;
    resumes = a_ops;
    resumes.resume = fake_resume;
    a.live.ops = &resumes;
    s->plan.lives = 1;
    map_word = 0;
    err = (struct gw_error)GW_ERROR_INIT;
    gw_session_enter(&s->session, GW_PHASE_RECONNECT);
    rig.log[0] = 0;
    return 0;
}

static void gone(const char *text)
{
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_SEND_PAUSED);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_int_equal(strncmp(err.text, "the machine waits at the destination for the rest of its memory, and could not be resumed: ", 90), 0);
}

static void test_one_way(void **state)
{
    near->features &= ~(unsigned)GW_CHANNEL_DUPLEX;
    assert_int_equal(gw_send_resume(s, &err), -EINVAL);
    gone("memory:a carries one direction only");
}

/* Nobody answers: it is asked for the block's map by name, without a head in front. */
static void test_silence(void **state)
{
    assert_int_equal(gw_send_resume(s, &err), -ETIMEDOUT);
    gone("the destination did not tell which pages it has of RAM block ram");
    assert_string_equal(sent(), "08000a0004" "0372616d");
    assert_true(s->postcopy && s->followed);
    assert_int_equal(s->session.error.code, -ETIMEDOUT);
    gw_channel_shutdown(near);
}

static void answer(const char *bytes, size_t n)
{
    assert_int_equal(gw_channel_write_full(far, bytes, n, NULL), 0);
}

/* The clock of these tests does not wait for anybody's thread: no time-out where one answers. */
static void test_closed(void **state)
{
    s->timeout_ns = 0;
    assert_int_equal(gw_channel_close(far, NULL), 0);
    assert_int_equal(gw_send_resume(s, &err), -ENODATA);
    gone("the destination closed the connection without a final answer");
}

/* A map that comes before it was asked for is a lie. */
static void test_unasked(void **state)
{
    answer("\0\5\0\4\3ram\0\0\0\0\0\0\0\10", 16);
    rig.vm->ram.blocks[0]->name[0] = 'x';
    s->timeout_ns = 0;
    assert_true(gw_send_resume(s, &err) < 0);
    gone("that was not asked for");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, source_down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_one_way), T(test_silence), T(test_closed), T(test_unasked)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
