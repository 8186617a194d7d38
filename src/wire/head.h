/* SPDX-License-Identifier: MIT
 *
 * head: magic, version and configuration section (docs/wire-format.md 2).
 *
 * The bytes of the section are kept, beside the fields that are known, so that the section can be sent on unchanged.
 *
 *     gw_head_begin, then gw_head_next until it returns 0
 *
 * Hostile: all of it. A configuration section has at most GW_HEAD_RAW_MAX bytes.
 */
#ifndef GW_WIRE_HEAD_H
#define GW_WIRE_HEAD_H

#include "base/cursor.h"

#define GW_HEAD_CAPABILITIES_MAX 32u
#define GW_HEAD_RAW_MAX          8192u
#define GW_HEAD_PAGE_BITS        12u /* if the head has no page size */

struct gw_wire_head {
    bool configured; /* false: there is no such section (machine types up to 2.3) */
    char machine[256];
    unsigned page_bits; /* from configuration/target-page-bits; 0: not present */
    bool has_uuid;
    uint8_t uuid[16];
    unsigned capability_count;
    char capabilities[GW_HEAD_CAPABILITIES_MAX][256];
    char unknown[256]; /* the first unknown subsection; "": none */
    uint32_t unknown_version;
    bool at_unknown; /* its body comes next */
    uint64_t bytes;  /* size of the whole head */
    /* in raw: position and size of the subsection of capabilities, or where it would be inserted */
    uint32_t list_at, list_bytes;
    uint32_t raw_bytes;
    uint8_t raw[GW_HEAD_RAW_MAX]; /* the configuration section, from its type byte on */
};

/* Writes `raw` with the capabilities of the list; without raw, a section made of the fields. */
void gw_head_put(struct gw_out *out, const struct gw_wire_head *head);
void gw_head_add_capability(struct gw_wire_head *head, const char *name);
void gw_head_drop_capability(struct gw_wire_head *head, const char *name);
/* Parses a configuration section that was kept. */
int gw_head_get_raw(const uint8_t *raw, size_t bytes, struct gw_wire_head *ret, struct gw_error *err);
/* Reads magic, version and the machine's name. */
int gw_head_begin(struct gw_in *in, struct gw_wire_head *ret, struct gw_error *err);
/* Reads the next subsection. 1: there was one; 0: the head is complete, and the byte after it is available. The body of
 * an unknown subsection is skipped by the next call: it ends where a subsection or an element begins. */
int gw_head_next(struct gw_in *in, struct gw_wire_head *head, struct gw_error *err);
bool gw_head_has_capability(const struct gw_wire_head *head, const char *name);

static inline unsigned gw_head_page_bits(const struct gw_wire_head *head)
{
    return head->page_bits ? head->page_bits : GW_HEAD_PAGE_BITS;
}

static inline uint32_t gw_head_page_bytes(const struct gw_wire_head *head)
{
    return 1u << gw_head_page_bits(head);
}

/* The value of target-page-bits when the received head is not available; 0: the subsection is left out. Most machines
 * have only one page size, and their receivers refuse the subsection. */
static inline unsigned gw_head_told_page_bits(unsigned page_bits)
{
    return page_bits != GW_HEAD_PAGE_BITS ? page_bits : 0;
}

#endif
