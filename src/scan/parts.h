/* SPDX-License-Identifier: MIT
 *
 * parts: the pieces of the walk (scan.h), for its own files.
 */
#ifndef GW_SCAN_PARTS_H
#define GW_SCAN_PARTS_H

#include "scan/scan.h"

#define GW_SCAN_TELL(s, what, arg) ((s)->v->what ? (s)->v->what((s)->opaque, arg) : 0)

/* Memory that grows as the bytes arrive, since the length is not trusted. The caller frees it. */
int gw_scan_slurp(struct gw_scan *s, uint64_t bytes, uint8_t **ret, struct gw_error *err);
/* Looks at all bytes received, at least n, unless the stream has ended or (live) the peer waits for us: *ret_last. */
int gw_scan_look(struct gw_scan *s, size_t n, const uint8_t **ret, size_t *ret_have, bool *ret_last,
                 struct gw_error *err);
/* Bodies of elements. */
int gw_scan_ram(struct gw_scan *s, uint8_t element, struct gw_error *err);
int gw_scan_disk(struct gw_scan *s, struct gw_error *err);
int gw_scan_bitmaps(struct gw_scan *s, struct gw_error *err);
/* Called before the body of the RAM's START if the head does not give the page size: finds it without consuming
 * bytes. */
int gw_scan_page_size(struct gw_scan *s, uint32_t ram_id, unsigned *ret_bits, struct gw_error *err);
/* An unknown live section: after its head, reads its body up to the footer. *ret: the caller frees it. */
bool gw_scan_is_known(const char *name);
int gw_scan_unknown(struct gw_scan *s, const struct gw_section_head *head, uint8_t **ret, size_t *ret_bytes,
                    struct gw_error *err);
/* Reads elements up to EOF; *ret_tail: the stream ended with device sections, EOF and the description. */
int gw_scan_elements(struct gw_scan *s, bool *ret_tail, struct gw_error *err);

/* An element found in memory. */
struct gw_scan_found {
    uint8_t element; /* FULL or COMMAND */
    size_t at, body, body_bytes, end;
    size_t name; /* FULL: offset of its name */
    uint8_t name_bytes;
    uint32_t id, instance, version;
};
enum gw_scan_goal {
    GW_SCAN_TO_END,   /* all of the data: a package */
    GW_SCAN_TO_EOF,   /* an EOF, followed by the end, a description, or zeros */
    GW_SCAN_TO_LIVE,  /* what shows that the set-up still goes on, or has just ended: the START of a live section, PART or
                       * END of one that is bound, a command */
};
/* Finds device sections and commands one after the other from data[0] to the goal by the grammar. live: the started
 * sections, for GW_SCAN_TO_LIVE. *ret_list is the caller's to free; *ret_end: the offset of the goal. -EPROTO: it
 * cannot be done; -E2BIG: the way there has more than GW_SCAN_FOUND_MAX elements. */
#define GW_SCAN_FOUND_MAX 65536u
struct gw_scan_search {
    const uint8_t *data;
    size_t bytes;
    bool footers;
    enum gw_scan_goal goal;
    const struct gw_section_head *live;
    unsigned live_count;
    uint32_t page_bytes; /* TO_LIVE */
};
int gw_scan_forward(const struct gw_scan_search *what, struct gw_scan_found **ret_list, size_t *ret_count,
                    size_t *ret_end, struct gw_error *err);

bool gw_scan_footers(const struct gw_scan *s);
/* The same with the state of the walk. */
int gw_scan_find(struct gw_scan *s, const uint8_t *data, size_t bytes, enum gw_scan_goal goal,
                 struct gw_scan_found **ret_list, size_t *ret_count, size_t *ret_end, struct gw_error *err);
/* Reports found elements. data[0] is at byte `base`; data must stay valid until gw_scan_close or (checkpoints) during
 * the call. */
int gw_scan_tell_found(struct gw_scan *s, const uint8_t *data, uint64_t base, const struct gw_scan_found *f,
                       bool early, struct gw_error *err);

/* FULL sections: the reader stands on the 0x04. early: those of the set-up; *ret_done false: they are not such
 * sections, and nothing was consumed. At most GW_READER_LOOK_MAX bytes together. */
int gw_scan_early(struct gw_scan *s, bool *ret_done, struct gw_error *err);
int gw_scan_tail(struct gw_scan *s, struct gw_error *err);
/* The contents of PACKAGED. */
int gw_scan_package(struct gw_scan *s, uint32_t bytes, struct gw_error *err);
/* The state of all devices in a checkpoint. */
int gw_scan_checkpoint(struct gw_scan *s, uint64_t bytes, struct gw_error *err);

#endif
