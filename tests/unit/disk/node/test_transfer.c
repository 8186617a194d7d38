/* SPDX-License-Identifier: MIT */
#include "property.h"

#include <stdio.h>

#include "calls.h"
#include "disk/node/transfer.h"

#define SIZE 700000u /* more than one bounce */

static FILE *file;
static struct gw_transfer t;
static uint8_t *data, *room;

static int up(void **state)
{
    memset(&calls, 0, sizeof calls);
    file = tmpfile();
    data = malloc(SIZE + 1);
    room = malloc(SIZE + 1);
    if (!file || !data || !room)
        return -1;
    for (unsigned i = 0; i <= SIZE; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    t = (struct gw_transfer){fileno(file), 1, "file"};
    return 0;
}

static int down(void **state)
{
    memset(&calls, 0, sizeof calls);
    fclose(file);
    free(data);
    free(room);
    return 0;
}

static void there_and_back(unsigned shift)
{
    struct gw_error err = GW_ERROR_INIT;

    ok(gw_transfer_write(&t, data + shift, SIZE, 512, &err), &err);
    memset(room, 0, SIZE);
    ok(gw_transfer_read(&t, room + shift, SIZE, 512, &err), &err);
    assert_memory_equal(room + shift, data + shift, SIZE);
    ok(gw_transfer_zeros(&t, SIZE / 2, 512, &err), &err);
    ok(gw_transfer_read(&t, room + shift, SIZE, 512, &err), &err);
    for (unsigned i = 0; i < SIZE / 2; i++)
        assert_int_equal(room[i + shift], 0);
    assert_memory_equal(room + shift + SIZE / 2, data + shift + SIZE / 2, SIZE / 2);
}

static void test_interrupted_and_short(void **state)
{
    there_and_back(0);
    calls.nasty = true;
    calls.part_bytes = 4096;
    there_and_back(0);
    t.align = 512;
    there_and_back(1); /* memory that is not aligned */
}

static void test_end_of_file(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_transfer_write(&t, data, 1000, 0, &err), 0);
    assert_int_equal(gw_transfer_read(&t, room, 1000, 600, &err), -EIO);
    assert_non_null(strstr(err.text, "cannot read 600 bytes at offset 1000"));
    assert_non_null(strstr(err.text, "shorter"));
}

static void test_offset_of_a_failure(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    ok(gw_transfer_write(&t, data, 100000, 0, &err), &err);
    calls.bad_from = 70000;
    calls.bad_errno = EIO;
    assert_int_equal(gw_transfer_read(&t, room, 100000, 0, &err), -EIO);
    assert_string_equal(err.text, "file: cannot read 30000 bytes at offset 70000: Input/output error");
    calls.bad_errno = ENOSPC;
    for (unsigned aligned = 0; aligned < 2; aligned++) {
        t.align = aligned ? 1 : 512;
        assert_int_equal(gw_transfer_write(&t, data + 1, 100000, 0, &err), -ENOSPC);
        assert_non_null(strstr(err.text, "file: cannot write 30000 bytes at offset 70000: No space left"));
    }
    assert_int_equal(gw_transfer_zeros(&t, 100000, 0, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "at offset 70000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_interrupted_and_short, up, down),
        cmocka_unit_test_setup_teardown(test_end_of_file, up, down),
        cmocka_unit_test_setup_teardown(test_offset_of_a_failure, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
