/* SPDX-License-Identifier: MIT
 *
 * explain: the parts of gw_inspect_explain (godwit/examine.h).
 */
#ifndef GW_IMAGE_EXPLAIN_H
#define GW_IMAGE_EXPLAIN_H

#include "godwit/examine.h"
#include "examine/inspect.h"

struct gw_explain {
    const struct gw_inspect *from, *into;
    void (*found)(void *opaque, const struct gw_reason *reason);
    void *opaque;
    struct gw_explain_counts counts;
    struct gw_error *err;
};

void gw_explain_say(struct gw_explain *e, enum gw_reason_weight weight, const char *where, const char *fmt, ...)
    GW_PRINTF(4, 5);
/* A device that both have. Only running out of memory is an error. */
int gw_explain_device(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b);

#endif
