/* SPDX-License-Identifier: MIT
 *
 * property: what every node must do, whatever it is made of. Random calls go to the node and to an array beside it;
 * what is read and found must agree with the array. Included once in each test program.
 */
#ifndef PROPERTY_H
#define PROPERTY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "disk/node/node.h"

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Somewhere in the node: any offset, at its ends and at block borders more often. */
static inline void any_range(const struct gw_node *n, uint64_t *seed, uint64_t *offset, uint64_t *bytes)
{
    uint64_t end;

    *offset = next_random(seed) % (n->bytes + 1);
    end = *offset + next_random(seed) % (GW_MIN(n->bytes - *offset, 40000) + 1);
    if (next_random(seed) % 4 == 0)
        *offset &= ~4095ull;
    if (next_random(seed) % 4 == 0)
        end = GW_MAX(end & ~4095ull, *offset);
    if (next_random(seed) % 16 == 0)
        end = n->bytes;
    *bytes = end - *offset;
}

static inline void ok(int r, const struct gw_error *err)
{
    if (r < 0)
        fail_msg("%s", err->text);
}

/* Every byte of [offset, offset + bytes) is as the array says, and is found as it is. */
static inline void check_range(struct gw_node *n, const uint8_t *array, uint64_t bytes, uint64_t offset, uint8_t *room)
{
    struct gw_error err = GW_ERROR_INIT;

    memset(room, 0xee, bytes);
    ok(gw_node_read(n, room, bytes, offset, &err), &err);
    if (memcmp(room, array + offset, bytes))
        fail_msg("%" PRIu64 " bytes at %" PRIu64 " differ", bytes, offset);
    while (bytes) {
        struct gw_node_run run = {.fd = -9};

        ok(gw_node_find(n, bytes, offset, &run, &err), &err);
        assert_in_range(run.bytes, 1, bytes);
        if (run.kind != GW_DISK_DATA)
            for (uint64_t i = 0; i < run.bytes; i++)
                assert_int_equal(array[offset + i], 0);
        else if (run.fd >= 0 && run.file_align <= 1) {
            for (uint64_t done = 0; done < run.bytes;) {
                ssize_t part = pread(run.fd, room + done, run.bytes - done, (off_t)(run.file_offset + done));
                assert_true(part > 0 || errno == EINTR);
                done += part > 0 ? (uint64_t)part : 0;
            }
            assert_memory_equal(room, array + offset, run.bytes);
        }
        offset += run.bytes;
        bytes -= run.bytes;
    }
}

/* The array must be what the node reads as now. */
static inline void node_property(struct gw_node *n, uint8_t *array, uint64_t seed, unsigned calls)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *room = malloc(n->bytes + 1);

    seed += 0x9e3779b97f4a7c15ull;
    for (unsigned i = 0; i < calls; i++) {
        uint64_t offset, bytes, what = next_random(&seed) % 16;
        unsigned flags = (unsigned)(next_random(&seed) % 4);

        any_range(n, &seed, &offset, &bytes);
        if (what < 6) {
            memset(room, (int)(1 + next_random(&seed) % 255), bytes);
            ok(gw_node_write(n, room, bytes, offset, flags & GW_NODE_DURABLE, &err), &err);
            memcpy(array + offset, room, bytes);
        } else if (what < 9) {
            ok(gw_node_zero(n, bytes, offset, flags, &err), &err);
            memset(array + offset, 0, bytes);
        } else if (what < 10) {
            ok(gw_node_discard(n, bytes, offset, &err), &err);
            ok(gw_node_read(n, array + offset, bytes, offset, &err), &err); /* anything */
        } else if (what < 11) {
            ok(gw_node_flush(n, &err), &err);
        } else {
            check_range(n, array, bytes, offset, room);
        }
    }
    check_range(n, array, n->bytes, 0, room);
    free(room);
}

/* For nodes of more than 16 bytes. */
static inline void node_refuses_what_is_not_in_it(struct gw_node *n)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node_run run;
    uint8_t room[16] = {0};

    assert_int_equal(gw_node_read(n, room, 16, n->bytes - 15, &err), -EINVAL);
    assert_non_null(strstr(err.text, n->name));
    assert_int_equal(gw_node_read(n, room, 1, UINT64_MAX, &err), -EINVAL);
    assert_int_equal(gw_node_write(n, room, UINT64_MAX, 1, 0, &err), -EINVAL);
    assert_int_equal(gw_node_zero(n, 2, n->bytes - 1, 0, &err), -EINVAL);
    assert_int_equal(gw_node_discard(n, 1, n->bytes, &err), -EINVAL);
    assert_int_equal(gw_node_find(n, 1, n->bytes, &run, &err), -EINVAL);
    assert_int_equal(gw_node_find(n, 0, 0, &run, &err), -EINVAL);
    assert_int_equal(gw_node_read(n, room, 0, n->bytes, &err), 0);
}

#endif
