/* SPDX-License-Identifier: MIT
 *
 * A machine's state as a channel: what was written in pieces of any length is read so; its end, its errors, a shutdown.
 */
#include "qcow2_rig.h"

#include "disk/node/state_channel.h"

#define STATE_BYTES (3u << 20) /* more than two pieces */

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 4093);
}

static void write_all(struct gw_channel *ch, uint64_t bytes)
{
    GW_AUTOFREE uint8_t *room = malloc(100000);
    uint64_t seed = 3, at = 0;

    while (at < bytes) {
        uint64_t n = GW_MIN(rig_random(&seed) % 100000 + 1, bytes - at), head = rig_random(&seed) % n;
        struct iovec iov[2] = {{room, head}, {room + head, n - head}};

        for (uint64_t i = 0; i < n; i++)
            room[i] = byte_at(at + i);
        rig_ok(gw_channel_writev_full(ch, head ? iov : iov + 1, head ? 2 : 1, &err));
        at += n;
    }
}

static void test_there_and_back(void **state)
{
    struct gw_qcow2_snapshot s = {.name = (char[]){"s"}, .state_bytes = STATE_BYTES - 5};
    GW_AUTOFREE uint8_t *room = malloc(STATE_BYTES);
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 16);
    struct gw_channel *ch;
    uint8_t one;

    rig_ok(gw_state_channel_out(n, &ch, &err));
    assert_int_equal(gw_channel_read_full(ch, &one, 1, NULL), -EBADF);
    write_all(ch, s.state_bytes);
    rig_ok(gw_channel_close(ch, &err));
    gw_channel_free(ch);
    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    assert_int_equal(gw_state_channel_in(n, 1, &ch, NULL), -ENOENT);
    rig_ok(gw_state_channel_in(n, 0, &ch, &err));
    assert_int_equal(gw_channel_write_full(ch, "x", 1, NULL), -EBADF);
    rig_ok(gw_channel_read_full(ch, room, 12345, &err));
    rig_ok(gw_channel_read_full(ch, room + 12345, s.state_bytes - 12345, &err));
    for (uint64_t i = 0; i < s.state_bytes; i++)
        assert_int_equal(room[i], byte_at(i));
    assert_int_equal(gw_channel_readv(ch, &(struct iovec){&one, 1}, 1, NULL), 0); /* its end */
    gw_channel_free(ch);
    rig_clean(n);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_failures(void **state)
{
    GW_AUTOFREE uint8_t *room = calloc(1, STATE_BYTES);
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 16);
    struct gw_channel *ch;

    rig_ok(gw_state_channel_out(n, &ch, &err));
    gw_channel_shutdown(ch);
    assert_int_equal(gw_channel_write_full(ch, "x", 1, NULL), -ECANCELED);
    gw_channel_free(ch);
    rig_ok(gw_state_channel_out(n, &ch, &err));
    f.fail_after = 1;
    assert_int_equal(gw_channel_write_full(ch, room, STATE_BYTES, &err), -EIO);
    assert_non_null(strstr(err.text, "writing the state of the machine at byte 0"));
    gw_channel_free(ch);
    f.fail_after = 0;
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
