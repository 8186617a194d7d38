/* SPDX-License-Identifier: MIT
 *
 * working_set: the pages that a restored guest needs first. They are recorded while a parked machine is sent by postcopy, and
 * sent first when it is sent the next time. File format: docs/formats/working-set.md.
 *
 *     gw_working_set_new --> gw_vm_record ---------> gw_send_start, by postcopy --> gw_working_set_write
 *     gw_working_set_new --> gw_working_set_read --> gw_vm_prefer --> gw_send_start
 *
 * A set is a list of runs of pages in the order in which the guest needs them. It has block names and page ranges, no contents.
 *
 * Nothing in a file is trusted. Threads: one owner; while a session uses the set, the session is the owner.
 */
#ifndef GODWIT_WORKING_SET_H
#define GODWIT_WORKING_SET_H

#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_working_set;
struct gw_working_tally;

/* An empty set. */
GW_API int gw_working_set_new(struct gw_working_set **ret_set, struct gw_error *err);
/* Appends the contents of the file to the set. -EPROTO: it is not such a file, or is damaged; -EINVAL: its page size differs
 * from that of the set. After an error the set is unchanged. */
GW_API int gw_working_set_read(struct gw_working_set *set, const char *path, struct gw_error *err);
/* The file gets its name when it is complete. replace: replace an existing file; else -EEXIST. */
GW_API int gw_working_set_write(const struct gw_working_set *set, const char *path, bool replace, struct gw_error *err);
/* The number of pages in all runs; the number of pages that the guest requested (others were sent along with those). */
GW_API uint64_t gw_working_set_pages(const struct gw_working_set *set);
GW_API uint64_t gw_working_set_asked_pages(const struct gw_working_set *set);
/* Takes NULL, returns NULL. */
GW_API struct gw_working_set *gw_working_set_free(struct gw_working_set *set);

/* One set from what many guests of one machine requested, each recorded in a set of its own: first the pages that at least half of
 * them requested, in the order of their average place; then the others, most requested first, and among equals the earlier ones.
 * A page counts as requested if one guest requested it. add: a set without pages is ignored. -EINVAL: another page size.
 * tally_set appends the result to the set; more sets may be added afterwards. Threads: one owner. */
GW_API int gw_working_tally_new(struct gw_working_tally **ret_tally, struct gw_error *err);
GW_API int gw_working_tally_add(struct gw_working_tally *tally, const struct gw_working_set *set, struct gw_error *err);
GW_API int gw_working_tally_set(const struct gw_working_tally *tally, struct gw_working_set *set, struct gw_error *err);
/* Takes NULL, returns NULL. */
GW_API struct gw_working_tally *gw_working_tally_free(struct gw_working_tally *tally);

/* For the vm of an image (gw_image_vm), before gw_send_start. The set must live until the session is freed.
 * prefer: its pages are sent before the others; NULL: none. *ret_dropped (may be NULL): the number of its pages that this
 * machine does not have; they are skipped. -EINVAL: not the vm of an image, or another page size.
 * record: requested pages, and pages sent along with them, are added to the set; NULL: off. With the capability
 * postcopy-preempt requested pages use another channel and are not recorded. */
GW_API int gw_vm_prefer(struct gw_vm *vm, const struct gw_working_set *set, uint64_t *ret_dropped, struct gw_error *err);
GW_API void gw_vm_record(struct gw_vm *vm, struct gw_working_set *set);

#ifdef __cplusplus
}
#endif
#endif
