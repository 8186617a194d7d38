/* SPDX-License-Identifier: MIT
 *
 * The device that says whether the guest ran: the bytes that it is on the wire, and which of a peer it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/vm.h"
#include "wire/section.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct gw_registry *reg;
static struct gw_globalstate *g;

static int up(void **state)
{
    if (gw_registry_new(&reg, NULL) < 0)
        return -1;
    return gw_globalstate_new(reg, &g, NULL);
}

static int down(void **state)
{
    reg = gw_registry_free(reg);
    g = gw_globalstate_free(g);
    return 0;
}

static void saved(uint8_t body[104])
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_section_head head;
    struct gw_vmdesc *desc;
    struct gw_writer w;
    struct gw_in in;
    uint8_t type;
    size_t bytes;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    assert_int_equal(gw_registry_save(reg, false, true, &w, desc, &err), 0);
    gw_in_memory(&in, gw_writer_data(&w, &bytes), gw_writer_offset(&w), 0);
    assert_int_equal(gw_get_u8(&in, &type, &err), 0);
    assert_int_equal(gw_section_get_head(&in, &head, &err), 0);
    assert_string_equal(head.name, "globalstate");
    assert_int_equal(head.version, 1);
    assert_int_equal(gw_get_bytes(&in, body, 104, &err), 0);
    assert_int_equal(gw_section_get_footer(&in, head.id, head.name, &err), 0);
    assert_int_equal(gw_in_buffered(&in), 0);
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
}

static int load(const uint8_t body[104], struct gw_error *err)
{
    struct gw_reader r;
    int e;

    *err = (struct gw_error)GW_ERROR_INIT;
    gw_reader_init_memory(&r, body, 104, 0);
    gw_registry_load_begin(reg);
    e = gw_registry_load(reg, "globalstate", 0, 1, &r, err);
    gw_reader_close(&r);
    return e;
}

static void test_bytes(void **state)
{
    static const char *const texts[] = {"paused", "running"};
    uint8_t body[104];

    assert_true(gw_globalstate_running(g));
    for (int runs = 0; runs < 2; runs++) {
        gw_globalstate_set(g, runs);
        assert_int_equal(gw_globalstate_running(g), runs);
        saved(body);
        assert_int_equal(gw_load_be32(body), strlen(texts[runs]) + 1);
        assert_string_equal((char *)body + 4, texts[runs]);
        for (unsigned i = 4 + (unsigned)strlen(texts[runs]); i < 104; i++)
            assert_int_equal(body[i], i == 36 ? 1 : 0); /* it was not suspended */
    }
}

static void test_loaded(void **state)
{
    static const struct {
        const char *text;
        bool runs;
    } rows[] = {{"running", true}, {"paused", false}, {"prelaunch", false}, {"", false}, {"running ", false}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err;
        uint8_t body[104] = {0};

        gw_globalstate_set(g, !rows[i].runs);
        gw_store_be32(body, (uint32_t)strlen(rows[i].text) + 1);
        strcpy((char *)body + 4, rows[i].text);
        memset(body + 60, 0xff, 40); /* of no concern */
        if (load(body, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(gw_globalstate_running(g), rows[i].runs);
    }
}

/* What is refused changes nothing. */
static void test_refused(void **state)
{
    static const uint32_t sizes[] = {0, 101, UINT32_MAX};

    for (size_t i = 0; i < 4; i++) {
        uint8_t body[104] = {0};
        struct gw_error err;

        gw_store_be32(body, i < 3 ? sizes[i] : 8);
        strcpy((char *)body + 4, "paused");
        if (i == 3)
            memset(body + 4, 'x', 100); /* does not end */
        assert_int_equal(load(body, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "and must have 1 to 100 with its NUL"));
        assert_true(gw_globalstate_running(g));
    }
}

static void test_nomem(void **state)
{
    struct gw_registry *other;

    assert_int_equal(gw_registry_new(&other, NULL), 0);
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_globalstate *x = NULL;
        bool hit;
        int r;

        countdown = n;
        r = gw_globalstate_new(other, &x, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            gw_registry_free(other);
            gw_globalstate_free(x);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_null(x);
    }
}

#define state_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        state_test(test_bytes),
        state_test(test_loaded),
        state_test(test_refused),
        state_test(test_nomem),
    };

    return cmocka_run_group_tests_name("globalstate", tests, NULL, NULL);
}
