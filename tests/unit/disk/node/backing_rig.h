/* SPDX-License-Identifier: MIT
 *
 * backing_rig: what a name means, and why one is refused.
 */
#ifndef TEST_BACKING_RIG_H
#define TEST_BACKING_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/node/backing_name.h"

static inline void is(const char *image, const char *name, bool far, const char *where, const char *format)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_backing_name b = {0};

    if (gw_backing_name_get(image, name, &b, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    assert_int_equal(b.far, far);
    assert_string_equal(b.where, where);
    assert_string_equal(b.format, format);
    free(b.where);
}

static inline void refused(const char *name, int code, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_backing_name b = {0};

    assert_int_equal(gw_backing_name_get("/disks/image", name, &b, &err), code);
    assert_null(b.where);
    if (!strstr(err.text, word))
        fail_msg("%s: %s", name, err.text);
}

#endif
