/* SPDX-License-Identifier: MIT
 *
 * report: what is said of a stream, in the form that is asked for.
 */
#ifndef EXAMINE_REPORT_H
#define EXAMINE_REPORT_H

#include "../image/streams.h"

#include <cmocka.h>
#include <jansson.h>

#include "godwit/inspect.h"

static inline char *report(const struct bytes *b, size_t piece, const struct gw_inspect_options *how, int *ret,
                    struct gw_error *err)
{
    struct gw_inspect *in = NULL;
    char *text = NULL;
    struct trickle t;

    assert_int_equal(gw_inspect_new(&in, err), 0);
    trickle_init(&t, b->data, b->bytes, piece);
    *ret = gw_inspect_read(in, &t.channel, err);
    assert_int_equal(gw_inspect_print(in, how, &text, NULL), 0);
    gw_inspect_free(in);
    return text;
}

static inline json_t *report_json(const struct bytes *b, size_t piece)
{
    struct gw_inspect_options how = {.json = true};
    struct gw_error err = GW_ERROR_INIT;
    json_error_t wrong;
    json_t *json;
    char *text;
    int r;

    text = report(b, piece, &how, &r, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    /* Registers have 64 bits without a sign, which this library's integers have not. */
    json = json_loads(text, JSON_DECODE_INT_AS_REAL, &wrong);
    if (!json)
        fail_msg("%s at %d: %.200s", wrong.text, wrong.position, text + GW_MAX(wrong.position - 100, 0));
    free(text);
    return json;
}

static inline int64_t number(const json_t *json, const char *key)
{
    const json_t *v = json_object_get(json, key);

    assert_true(json_is_number(v));
    return (int64_t)json_number_value(v);
}

#endif
