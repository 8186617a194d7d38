/* SPDX-License-Identifier: MIT
 *
 * explain: the parts of gw_inspect_explain (godwit/examine.h).
 */
#ifndef GW_IMAGE_EXPLAIN_H
#define GW_IMAGE_EXPLAIN_H

#include "godwit/examine.h"
#include "examine/inspect.h"
#include "state/values.h"

#define GW_EXPLAIN_DEPTH_MAX 40u
#define GW_EXPLAIN_WHY       500
#define GW_EXPLAIN_WORK_MAX  (64u << 20) /* fields of the dump that are examined */

struct gw_explain {
    const struct gw_inspect *from, *into; /* into NULL: only the dump is given */
    const struct gw_dump *dump;           /* NULL: none */
    void (*found)(void *opaque, const struct gw_reason *reason);
    void *opaque;
    struct gw_explain_counts counts;
    uint64_t work;
    struct gw_error *err;
};

void gw_explain_say(struct gw_explain *e, enum gw_reason_weight weight, const char *where, const char *fmt, ...)
    GW_PRINTF(4, 5);
/* "pc-q35-7.2" */
bool gw_explain_is_versioned(const char *machine);

/* A device that both sides have; b NULL: the destination is assumed to have it. Only -ENOMEM is an error. */
int gw_explain_device(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b);

/* The entries of one array, as one field. */
struct gw_explain_group {
    const struct gw_vmdesc_field *f;
    uint32_t entries;
    uint64_t elements;
};
struct gw_explain_group gw_explain_group(const struct gw_vmdesc_state *st, uint32_t i);
/* Whether all programs use the same size for this type. */
bool gw_explain_fixed_type(const char *type);

/* explain_dump.c: what the dump says about the device. why: set unless the answer is READS. */
enum gw_explain_answer { GW_EXPLAIN_NO_ANSWER, GW_EXPLAIN_READS, GW_EXPLAIN_REFUSES };
enum gw_explain_answer gw_explain_dump(struct gw_explain *e, const struct gw_inspect_device *a,
                                       char why[GW_EXPLAIN_WHY]);
bool gw_explain_may_be_left_out(const char *name);
bool gw_explain_is_told(const char *state, const char *field);
/* Whether all QEMUs since 5.2 read this subsection. */
bool gw_explain_known_subsection(const char *name, uint32_t version);

/* explain_values.c: values that must be equal on both sides, or features that the destination must offer. Only -ENOMEM
 * is an error. */
int gw_explain_values(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b);

#endif
