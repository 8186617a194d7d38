/* SPDX-License-Identifier: MIT
 *
 * The last of every chain: it claims what is open, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/codec/plain.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

static void test_claims(void **state)
{
    static struct gw_batch batch, before;
    struct gw_codec *c = NULL;

    assert_int_equal(gw_codec_plain_new(&c, NULL), 0);
    for (unsigned count = 0; count <= GW_BATCH_PAGES; count += count < 10 ? 1 : 67) {
        batch.count = count;
        for (unsigned i = 0; i < GW_BATCH_PAGES; i++) {
            batch.form[i] = (uint8_t)(i % GW_FORM_COUNT);
            batch.page[i] = i;
            batch.body[i] = (struct gw_body){(const uint8_t *)(uintptr_t)(i + 1), i};
        }
        before = batch;
        assert_int_equal(c->encode(c, &batch, NULL), 0);
        for (unsigned i = 0; i < GW_BATCH_PAGES; i++)
            assert_int_equal(batch.form[i], i < count && before.form[i] == GW_FORM_OPEN ? GW_FORM_PLAIN : before.form[i]);
        /* The bodies go as they are. */
        assert_memory_equal(batch.body, before.body, sizeof batch.body);
        assert_memory_equal(batch.page, before.page, sizeof batch.page);
    }
    assert_null(c->decode);
    assert_null(c->finish);
    assert_null(c->free(c));
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_codec *c = NULL;

    countdown = 1;
    assert_int_equal(gw_codec_plain_new(&c, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (plain codec)");
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
