/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/classify.h"
#include "wire/greeting.h"

static const uint8_t uuid[16] = "a machine's uuid";

static int classify(const struct gw_classify *c, const void *first, size_t got, bool silent, struct gw_link_id *ret)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_classify(c, first, got, silent, ret, &err);

    if (r < 0)
        assert_int_equal(err.blame, GW_BLAME_PEER);
    return r;
}

/* What begins in which way is what, where this is expected; all else is a stranger. */
static void test_first_bytes(void **state)
{
    static const struct {
        bool urgent, recover;
        const char *first;
        size_t bytes;
        bool silent;
        int is; /* a link; negative: refused; 4, 8: more is needed */
    } cases[] = {
        {false, false, "QEVM", 4, false, GW_LINK_MAIN},
        {true, false, "QEVM", 4, false, GW_LINK_MAIN},
        {false, true, "QEVM", 4, false, -EPROTO},
        {false, false, "GET ", 4, false, -EPROTO},
        {false, false, "\0\0\0\x08", 4, false, -EPROTO},
        {true, false, "\0\0\0\x08", 4, false, 8},
        {true, false, "\0\0\0\0\0\xb0\x10\x08", 8, false, GW_LINK_URGENT},
        {true, true, "\0\0\0\0\0\xb0\x10\x08", 8, false, GW_LINK_URGENT},
        {true, false, "\0\0\0\0\0\0\0\x02", 8, false, GW_LINK_URGENT},
        {true, false, "\0\0\0\0\0\0\0\x10", 8, false, GW_LINK_URGENT},
        {true, false, "\0\0\0\0\0\0\x10\x10", 8, false, -EPROTO}, /* an end mark has no offset */
        {true, false, "\0\0\0\0\0\0\x10\x28", 8, false, -EPROTO}, /* nothing was named that it could continue */
        {true, false, "\0\0\0\0\0\0\x10\x40", 8, false, -EPROTO},
        {true, false, "GET / HT", 8, false, -EPROTO},
        {false, false, "\x08\0\x0a\0", 4, false, -EPROTO},
        {false, true, "\x08\0\x0a\0", 4, false, GW_LINK_RECOVER},
        {false, false, "QEV", 3, false, 4},
        {false, false, "", 0, false, 4},
        {false, false, "", 0, true, -ETIMEDOUT},
        {true, false, "", 0, true, GW_LINK_URGENT},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_classify c = {.urgent = cases[i].urgent, .recover = cases[i].recover};
        struct gw_link_id id = {.purpose = 99};
        int r = classify(&c, cases[i].first, cases[i].bytes, cases[i].silent, &id);

        if (cases[i].is < 0 || r > 0)
            assert_int_equal(r, cases[i].is);
        else
            assert_int_equal(id.purpose, cases[i].is);
    }
}

static void test_pages(void **state)
{
    for (unsigned channel = 0; channel < 256; channel++)
        for (unsigned wrong = 0; wrong < 3; wrong++) {
            struct gw_classify c = {.pages = 4, .any_uuid = wrong == 2};
            struct gw_greeting greeting = {.channel = (uint8_t)channel};
            uint8_t bytes[GW_GREETING_BYTES];
            struct gw_link_id id = {0};
            int r;

            memcpy(c.uuid, uuid, sizeof uuid);
            memcpy(greeting.uuid, uuid, sizeof uuid);
            greeting.uuid[15] ^= wrong > 0;
            gw_greeting_put(bytes, &greeting);
            for (size_t got = 4; got < sizeof bytes; got++)
                assert_int_equal(classify(&c, bytes, got, false, &id), GW_GREETING_BYTES);
            r = classify(&c, bytes, sizeof bytes, false, &id);
            assert_int_equal(r, wrong == 1 || channel >= 4 ? -EPROTO : 0);
            if (r < 0)
                continue;
            assert_int_equal(id.purpose, GW_LINK_PAGES);
            assert_int_equal(id.index, channel);
            assert_int_equal(id.consume, GW_GREETING_BYTES);
            c.pages = 0;
            assert_int_equal(classify(&c, bytes, sizeof bytes, false, &id), -EPROTO);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_bytes), cmocka_unit_test(test_pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
