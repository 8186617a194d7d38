/* SPDX-License-Identifier: MIT
 *
 * vmdesc_read: parses the description at the end of a stream (wire-format.md 3.3) to a tree. With it, the sections of
 * unknown devices can be found and measured, and their values printed (values.h).
 *
 * Hostile: the text is not trusted. Its size, depth and number of values are bounded (json.h), names are
 * printable ASCII, sizes are summed without overflow. Fields without bytes are left out, so that work on a body is
 * bounded by its length. Keys occur several times in the object of a list, once for each element.
 */
#ifndef GW_VMDESC_READ_H
#define GW_VMDESC_READ_H

#include "state/json.h"

#define GW_VMDESC_BODY_MAX (1ull << 40)

struct gw_vmdesc_state;

struct gw_vmdesc_field {
    const char *name, *type;
    uint32_t count; /* array_len, or 1 */
    /* This entry begins at element number `index` of an array that has several entries; -1: the only entry. 10.0 leaves
     * the index out of the entry of the last element, 11.1 out of all: it is then computed from the previous entry. */
    int64_t index;
    uint64_t bytes; /* size of one element; never 0 */
    /* The contents of one element; NULL for plain values. The sizes inside add up to `bytes`: if they do not in the
     * description, the field has no `inside`. A list has one for each element: 01 inside[0] 01 inside[1] ... 00. */
    const struct gw_vmdesc_state *inside;
    uint32_t elements; /* elements of a list; 0: it is no list */
};

struct gw_vmdesc_state {
    const char *name; /* vmsd_name; "" for an old-style device */
    uint32_t version;
    uint64_t bytes; /* size of the body */
    const struct gw_vmdesc_field *fields;
    uint32_t field_count, subsection_count;
    const struct gw_vmdesc_state *subsections;
};

struct gw_vmdesc_device {
    const char *name;
    uint32_t instance;
    bool legacy; /* old-style: one field of raw bytes */
    struct gw_vmdesc_state state;
};

struct gw_vmdesc_tree {
    uint32_t page_bytes;
    const struct gw_vmdesc_state *configuration; /* NULL: none */
    const struct gw_vmdesc_device *devices;      /* in the order of the stream */
    uint32_t device_count;
    struct gw_arena arena;
};

/* -EPROTO: this is no such description; the message names the place. */
int gw_vmdesc_parse(const char *text, size_t bytes, struct gw_vmdesc_tree **ret_tree, struct gw_error *err);
struct gw_vmdesc_tree *gw_vmdesc_tree_free(struct gw_vmdesc_tree *tree);

struct gw_vmdesc_section { /* offsets into the data */
    size_t start;          /* of the byte 0x04 */
    size_t body, body_bytes;
    uint32_t section_id, version;
};

/* Goes backwards from the EOF byte at data[eof] over the FULL section of each device, and checks its head and footer
 * (if there are footers). sections: one for each device of the tree. The start of the first is the beginning of the
 * FULL sections. -EPROTO: the description does not fit these bytes.
 *
 * QEMU describes an array of pointers some of which are null (s390_css) by its first element, so that its sum is not the
 * size of the section. If the size does not fit, the section begins at its own head, if exactly one such place is
 * found. search: number of bytes that may be searched for it, reduced; NULL: enough for one description. */
int gw_vmdesc_locate(const struct gw_vmdesc_tree *tree, const uint8_t *data, size_t eof, bool footers,
                     uint64_t *search, struct gw_vmdesc_section *sections, struct gw_error *err);
/* NULL: the description is not that of the bytes in the section. */
static inline const struct gw_vmdesc_state *gw_vmdesc_state_of(const struct gw_vmdesc_device *d,
                                                               const struct gw_vmdesc_section *s)
{
    return d->state.bytes == s->body_bytes ? &d->state : NULL;
}

#endif
