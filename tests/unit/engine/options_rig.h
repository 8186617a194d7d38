/* SPDX-License-Identifier: MIT
 *
 * Options as they are at first.
 */
#ifndef ENGINE_OPTIONS_RIG_H
#define ENGINE_OPTIONS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/options.h"

static inline int fresh(void **state)
{
    struct gw_options *o = NULL;

    assert_int_equal(gw_options_new(&o, NULL), 0);
    *state = o;
    return 0;
}

static inline int gone(void **state)
{
    assert_null(gw_options_free(*state));
    return 0;
}

static inline void expect_text(struct gw_options *o, const char *name, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    char buf[GW_STRING_SIZE];

    assert_int_equal(gw_options_get_parameter(o, name, buf, sizeof buf, &err), 0);
    assert_string_equal(buf, text);
}

#endif
