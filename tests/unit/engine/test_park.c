/* SPDX-License-Identifier: MIT
 *
 * Parking from its caller's side: what cannot be begun, and what can be asked when.
 */
#include "rig.h"

#include <dirent.h>
#include <unistd.h>

#include "godwit/park.h"

static char folder[64], path[96];
static struct gw_error err;

static int up(void **state)
{
    strcpy(folder, "/tmp/gw-park-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/m", folder);
    err = (struct gw_error)GW_ERROR_INIT;
    return 0;
}

static unsigned names(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int down(void **state)
{
    unlink(path);
    assert_int_equal(names(), 0);
    return rmdir(folder);
}

static const struct gw_image_write_options plain = {.format = GW_IMAGE_PARKED, .compress = "none"};

static struct gw_park *make(void)
{
    struct gw_park_config config = {.path = path, .write = &plain, .write_bytes = sizeof plain};
    struct gw_park *p = NULL;

    if (gw_park_new(&config, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static void test_refused(void **state)
{
    struct gw_image_write_options bad = plain;
    struct gw_park_config config = {.path = path};
    struct gw_park *p = NULL;

    assert_int_equal(gw_park_new(&config, &p, &err), -EINVAL);
    config = (struct gw_park_config){.path = NULL, .write = &plain, .write_bytes = sizeof plain};
    rig_fails(gw_park_new(&config, &p, &err), -EINVAL, &err, "give both a path and options: where and how the machine is parked");
    bad.compress = "rot13";
    config = (struct gw_park_config){.path = path, .write = &bad, .write_bytes = sizeof bad};
    rig_fails(gw_park_new(&config, &p, &err), -EINVAL, &err, "a parked file is compressed by zstd or none, not by rot13");
    assert_null(p);
}

/* Nothing was begun: nothing can be waited for, and nothing is left. */
static void test_not_started(void **state)
{
    struct gw_park *p = make();
    struct gw_park_outcome o = {.result = 77};

    assert_non_null(gw_park_vm(p));
    assert_non_null(gw_park_image(p));
    assert_null(gw_park_session(p));
    rig_fails(gw_park_wait(p, &err), -EINVAL, &err, "parking was not started");
    assert_int_equal(gw_park_outcome(p, &o, &err), -EINVAL);
    assert_int_equal(o.result, 77);
    assert_null(gw_park_free(p));
    assert_null(gw_park_free(NULL));
}

/* A source that is none: the machine stayed where it was, and there is no file. */
static void test_stayed(void **state)
{
    struct gw_recv_config config = {.progress_timeout_ns = UINT64_MAX};
    struct gw_park *p = make();
    struct gw_park_outcome o;
    struct gw_channel *far;

    assert_int_equal(gw_channel_memory_pair(64, &config.take_channel, &far, NULL), 0);
    assert_int_equal(gw_park_start(p, &config, &err), 0);
    gw_channel_close(far, NULL);
    assert_true(gw_park_outcome(p, &o, &err) < 0);
    assert_int_equal(o.result, GW_PARK_STAYED);
    assert_false(o.whole || o.packs);
    assert_null(o.file);
    rig_fails(gw_park_outcome(p, &o, &err), -EALREADY, &err, "the outcome was asked for already");
    gw_park_free(p);
    gw_channel_free(far);
}

/* Whoever forgets it ends it. */
static void test_freed_while_waiting(void **state)
{
    struct gw_recv_config config = {.progress_timeout_ns = UINT64_MAX};
    struct gw_park *p = make();
    struct gw_channel *far;

    assert_int_equal(gw_channel_memory_pair(64, &config.take_channel, &far, NULL), 0);
    assert_int_equal(gw_park_start(p, &config, &err), 0);
    gw_park_free(p);
    gw_channel_free(far);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_refused), T(test_not_started), T(test_stayed), T(test_freed_while_waiting)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
