/* SPDX-License-Identifier: MIT
 *
 * Whether the guest of an image goes on by itself: what its own device says, and what libvirt says instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "image/image.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define BODY 104u

static struct gw_image image;
static struct gw_out out;

static void add(const char *name, uint32_t id, const char *state, size_t body_bytes)
{
    struct gw_section_head head = {.id = id, .version = 1};
    uint8_t body[BODY] = {0};

    strcpy(head.name, name);
    gw_store_be32(body, (uint32_t)strlen(state) + 1);
    strcpy((char *)body + 4, state);
    memset(body + 36, 0xee, BODY - 36); /* newer sources keep something there */
    gw_section_put_head(&out, GW_ELEMENT_FULL, &head);
    gw_put_bytes(&out, body, body_bytes);
    if (image.footers)
        gw_section_put_footer(&out, id);
}

/* A copy of just that size. */
static void take(void)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(&out, &bytes);

    free(image.devices);
    image.devices = malloc(bytes + !bytes);
    memcpy(image.devices, data, bytes);
    image.devices_bytes = bytes;
}

static void begin(bool footers)
{
    image = (struct gw_image){.footers = footers};
    gw_out_memory(&out);
    add("timer", 3, "", 20);
}

static void end(void)
{
    free(image.devices);
    gw_out_free(&out);
}

static void test_says(void **state)
{
    static const struct {
        const char *text;
        bool runs;
    } rows[] = {{"running", true}, {"paused", false}, {"prelaunch", false}, {"", false}, {"runningx", false}, {"runnin", false}};

    for (int footers = 0; footers < 2; footers++)
        for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
            begin(footers);
            add("globalstate", 5, rows[i].text, BODY);
            add("cpu", 6, "", 30);
            take();
            assert_int_equal(gw_image_runs(&image), rows[i].runs);
            end();
        }
}

/* Machines that do not tell are taken to run, and cannot be told not to. */
static void test_does_not_tell(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *before;

    image = (struct gw_image){0};
    assert_true(gw_image_runs(&image));
    begin(true);
    take();
    before = malloc(image.devices_bytes);
    memcpy(before, image.devices, image.devices_bytes);
    assert_true(gw_image_runs(&image));
    assert_int_equal(gw_image_set_runs(&image, true, &err), 0);
    assert_int_equal(gw_image_set_runs(&image, false, &err), -ENOTSUP);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_non_null(strstr(err.text, "the machine does not carry its run state (device globalstate)"));
    assert_memory_equal(before, image.devices, image.devices_bytes);
    free(before);
    end();
}

/* To and fro. What waits for something else stays what it is; nothing behind the text is touched. */
static void test_set(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *paused;

    begin(true);
    add("globalstate", 5, "paused", BODY);
    take();
    paused = malloc(image.devices_bytes);
    memcpy(paused, image.devices, image.devices_bytes);
    assert_int_equal(gw_image_set_runs(&image, false, &err), 0);
    assert_memory_equal(paused, image.devices, image.devices_bytes);
    assert_int_equal(gw_image_set_runs(&image, true, &err), 0);
    assert_true(gw_image_runs(&image));
    gw_out_free(&out);
    gw_out_memory(&out);
    add("timer", 3, "", 20);
    add("globalstate", 5, "running", BODY);
    size_t n;
    assert_memory_equal(image.devices, gw_out_data(&out, &n), image.devices_bytes);
    assert_int_equal(gw_image_set_runs(&image, false, &err), 0);
    assert_memory_equal(paused, image.devices, image.devices_bytes);
    free(paused);
    end();
    begin(true);
    add("globalstate", 5, "prelaunch", BODY);
    take();
    assert_int_equal(gw_image_set_runs(&image, false, &err), 0);
    assert_non_null(memmem(image.devices, image.devices_bytes, "prelaunch", 10));
    end();
}

/* Bytes of another device that look like it, one that is cut off, and another version: none of them is. */
static void test_looks_like(void **state)
{
    static const char name[] = "\x0bglobalstate\0\0\0\0\0\0\0\1";

    for (int footers = 0; footers < 2; footers++) {
        begin(footers);
        /* The name within a body, with what would be its state. */
        gw_section_put_head(&out, GW_ELEMENT_FULL, &(struct gw_section_head){.id = 9, .version = 1, .name = "fw_cfg"});
        gw_put_bytes(&out, name, sizeof name - 1);
        for (unsigned i = 0; i < 200; i++)
            gw_put_u8(&out, 'x');
        if (footers)
            gw_section_put_footer(&out, 9);
        take();
        assert_true(gw_image_runs(&image));
        /* The real one behind it is found. */
        add("globalstate", 5, "paused", BODY);
        take();
        assert_false(gw_image_runs(&image));
        /* Every cut in it. */
        for (size_t cut = image.devices_bytes - 1; cut > image.devices_bytes - BODY; cut--) {
            uint8_t *whole = image.devices;
            size_t bytes = image.devices_bytes;

            image.devices = malloc(cut);
            memcpy(image.devices, whole, cut);
            image.devices_bytes = cut;
            assert_true(gw_image_runs(&image));
            free(image.devices);
            image.devices = whole;
            image.devices_bytes = bytes;
        }
        end();
    }
    /* At the very beginning there is no section head before it. */
    image = (struct gw_image){0};
    gw_out_memory(&out);
    gw_put_bytes(&out, name, sizeof name - 1);
    for (unsigned i = 0; i < 200; i++)
        gw_put_u8(&out, 0);
    take();
    assert_true(gw_image_runs(&image));
    end();
    /* The footer of another section. */
    begin(true);
    add("globalstate", 5, "paused", BODY);
    take();
    image.devices[image.devices_bytes - 1] ^= 1;
    assert_true(gw_image_runs(&image));
    end();
}

/* libvirt stops a guest before it saves it: what its head says counts. */
static void test_libvirt(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    for (int was = 0; was < 2; was++) {
        begin(true);
        add("globalstate", 5, "paused", BODY);
        take();
        image.libvirt_saved = true;
        image.libvirt_was_running = was;
        assert_int_equal(gw_image_runs(&image), was);
        assert_int_equal(gw_image_set_runs(&image, !was, &err), 0);
        assert_int_equal(gw_image_runs(&image), !was);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says),       cmocka_unit_test(test_does_not_tell), cmocka_unit_test(test_set),
        cmocka_unit_test(test_looks_like), cmocka_unit_test(test_libvirt),
    };

    return cmocka_run_group_tests_name("runstate", tests, NULL, NULL);
}
