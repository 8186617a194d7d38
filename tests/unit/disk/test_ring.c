/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "disk/ring.h"

#include <cmocka.h>

static void test_there_and_back(void **state)
{
    struct gw_ring *r = gw_ring_new(4);
    FILE *f = tmpfile();
    char there[2][5] = {"abcd", "efgh"}, back[8] = "";
    struct iovec out[2] = {{there[0], 4}, {there[1], 4}}, in = {back, 8};
    struct gw_ring_request q = {.write = true, .fd = fileno(f), .vector = out, .count = 2, .offset = 100, .user = out};
    int result = 0;

    if (!r) {
        print_message("SKIP: there is no io_uring here\n");
        fclose(f);
        skip();
    }
    assert_int_equal(gw_ring_submit(r, &q), 0);
    assert_ptr_equal(gw_ring_take(r, true, &result), out);
    assert_int_equal(result, 8);
    assert_null(gw_ring_take(r, false, &result));
    q = (struct gw_ring_request){.fd = fileno(f), .vector = &in, .count = 1, .offset = 100, .user = &in};
    assert_int_equal(gw_ring_submit(r, &q), 0);
    assert_ptr_equal(gw_ring_take(r, true, &result), &in);
    assert_int_equal(result, 8);
    assert_memory_equal(back, "abcdefgh", 8);
    q.offset = 104; /* the end of the file comes first */
    assert_int_equal(gw_ring_submit(r, &q), 0);
    gw_ring_take(r, true, &result);
    assert_int_equal(result, 4);
    q.fd = -1;
    assert_int_equal(gw_ring_submit(r, &q), 0);
    gw_ring_take(r, true, &result);
    assert_int_equal(result, -EBADF);
    gw_ring_free(r);
    gw_ring_free(NULL);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
