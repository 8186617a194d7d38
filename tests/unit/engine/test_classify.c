/* SPDX-License-Identifier: MIT
 *
 * Which channel a connection is by its first bytes: for every session that there can be, byte by byte, and strangers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/classify.h"
#include "wire/greeting.h"

static const uint8_t uuid[16] = {1, 2, 3};
static uint8_t greeting[GW_GREETING_BYTES];

/* From memory of just that size, as more and more of it comes. Returns what it is, or the error. */
static int say(const struct gw_classify *c, const void *bytes, size_t n, struct gw_link_id *id, struct gw_error *err)
{
    int need = 0;

    for (size_t got = 0; got <= n; got++) {
        uint8_t *copy = malloc(got + !got);
        int r;

        memcpy(copy, bytes, got);
        *err = (struct gw_error)GW_ERROR_INIT;
        r = gw_classify((void *)c, copy, got, false, id, err);
        free(copy);
        if (r <= 0)
            return r;
        assert_true((size_t)r > got);
        assert_true(r <= GW_GREETING_BYTES);
        /* It never wants fewer than it did. */
        assert_true(r >= need);
        need = r;
    }
    return need;
}

static void test_main(void **state)
{
    struct gw_classify c = {.any_uuid = true};
    struct gw_link_id id;
    struct gw_error err;

    assert_int_equal(say(&c, "QEVM", 4, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_MAIN);
    assert_int_equal(id.consume, 0);
    assert_int_equal(say(&c, "QEV", 3, &id, &err), 4);
    assert_int_equal(say(&c, "GET /", 5, &id, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_string_equal(err.text, "begins with 0x47455420, which no channel here does");
    /* Recovered: commands, and no head. */
    assert_int_equal(say(&c, "\x08\0\1\0", 4, &id, &err), -EPROTO);
    c.recover = true;
    assert_int_equal(say(&c, "\x08\0\1\0", 4, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_RECOVER);
    assert_int_equal(say(&c, "QEVM", 4, &id, &err), -EPROTO);
}

static void test_pages(void **state)
{
    struct gw_classify c = {.pages = 4};
    struct gw_link_id id;
    struct gw_error err;

    memcpy(c.uuid, uuid, sizeof uuid);
    for (unsigned channel = 0; channel < 256; channel++) {
        const struct gw_greeting g = {.uuid = {1, 2, 3}, .channel = (uint8_t)channel};

        gw_greeting_put(greeting, &g);
        assert_int_equal(say(&c, greeting, sizeof greeting, &id, &err), channel < 4 ? 0 : -EPROTO);
        if (channel < 4) {
            assert_int_equal(id.purpose, GW_LINK_PAGES);
            assert_int_equal(id.index, channel);
            assert_int_equal(id.consume, GW_GREETING_BYTES);
        } else if (channel == 4) {
            assert_string_equal(err.text,
                                "multifd channel 4 came, but multifd-channels is 4 here: set the same on both sides");
        }
    }
    greeting[24] = 1;
    greeting[8] ^= 1;
    assert_int_equal(say(&c, greeting, sizeof greeting, &id, &err), -EPROTO);
    assert_string_equal(err.text, "multifd channel 1 belongs to a machine with another UUID");
    assert_int_equal(err.blame, GW_BLAME_PEER);
    c.any_uuid = true;
    assert_int_equal(say(&c, greeting, sizeof greeting, &id, &err), 0);
    greeting[7] = 2;
    assert_int_equal(say(&c, greeting, sizeof greeting, &id, &err), -EPROTO);
    assert_non_null(strstr(err.text, "multifd version 2"));
    /* Told at once, without waiting for the whole greeting. */
    c.pages = 0;
    assert_int_equal(say(&c, greeting, 4, &id, &err), -EPROTO);
    assert_non_null(strstr(err.text, "capability multifd is on at the source and off here: set the same on both sides"));
}

static void test_urgent(void **state)
{
    struct gw_classify c = {.urgent = true};
    struct gw_link_id id;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_classify(&c, NULL, 0, true, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_URGENT);
    assert_int_equal(say(&c, "\0\0\0\0", 4, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_URGENT);
    assert_int_equal(say(&c, "QEVM", 4, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_MAIN);
    c.recover = true;
    assert_int_equal(say(&c, "QEVM", 4, &id, &err), -EPROTO);
    assert_int_equal(say(&c, "\0\0\0\0", 4, &id, &err), 0);
    assert_int_equal(id.purpose, GW_LINK_URGENT);
    c = (struct gw_classify){.pages = 2};
    assert_int_equal(gw_classify(&c, NULL, 0, true, &id, &err), -ETIMEDOUT);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_string_equal(err.text, "said nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_urgent),
    };

    return cmocka_run_group_tests_name("classify", tests, NULL, NULL);
}
