/* SPDX-License-Identifier: MIT
 *
 * working_set: the pages that a restored guest needs first. Recorded while a parked machine is sent by postcopy, and sent first when
 * it is sent the next time (docs/formats/working-set.md has the file).
 *
 *     gw_working_set_new --> gw_vm_record ---------> gw_send_start, by postcopy --> gw_working_set_write
 *     gw_working_set_new --> gw_working_set_read --> gw_vm_prefer --> gw_send_start
 *
 * A set is a list of runs of pages in the order in which they are wanted. It names blocks and pages and has no contents.
 *
 * Nothing in a file is trusted. Threads: one owner; while a session has it, that is the session.
 */
#ifndef GODWIT_WORKING_SET_H
#define GODWIT_WORKING_SET_H

#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_working_set;
struct gw_working_tally;

/* An empty one. */
GW_API int gw_working_set_new(struct gw_working_set **ret_set, struct gw_error *err);
/* Adds the contents of the file after what is there already. -EPROTO: it is no such file, or broken; -EINVAL: its
 * pages have another size than those that are there already. The set is as it was then. */
GW_API int gw_working_set_read(struct gw_working_set *set, const char *path, struct gw_error *err);
/* Seen under its name when it is whole. replace: what is there is replaced, else -EEXIST. */
GW_API int gw_working_set_write(const struct gw_working_set *set, const char *path, bool replace, struct gw_error *err);
/* Pages in all runs; and those of them that were asked for, not sent beside one that was. */
GW_API uint64_t gw_working_set_pages(const struct gw_working_set *set);
GW_API uint64_t gw_working_set_asked_pages(const struct gw_working_set *set);
/* Takes NULL, returns NULL. */
GW_API struct gw_working_set *gw_working_set_free(struct gw_working_set *set);

/* What many guests of one machine wanted, each recorded in a set of its own, as one set: first the pages that at least half of them
 * wanted, in the order in which they did on average; then the others, those first that more of them wanted, and of those the ones that
 * were wanted earlier. A page that one of them asked for is one that was asked for. add: a set without pages counts for nothing.
 * -EINVAL: its pages have another size. tally_set adds the result to the set, behind what is there; more may be added afterwards.
 * Threads: one owner. */
GW_API int gw_working_tally_new(struct gw_working_tally **ret_tally, struct gw_error *err);
GW_API int gw_working_tally_add(struct gw_working_tally *tally, const struct gw_working_set *set, struct gw_error *err);
GW_API int gw_working_tally_set(const struct gw_working_tally *tally, struct gw_working_set *set, struct gw_error *err);
/* Takes NULL, returns NULL. */
GW_API struct gw_working_tally *gw_working_tally_free(struct gw_working_tally *tally);

/* Of a machine that stands for a file (gw_image_vm), before gw_send_start. The set stays until the session is freed.
 * prefer: its pages go before the others; NULL: none does. *ret_dropped: pages of it that this machine does not have, which are
 * passed over; may be NULL. -EINVAL: this machine does not stand for a file, or its pages have another size.
 * record: what is asked for, and what is sent beside it, is added to the set; NULL: it is not. With capability postcopy-preempt
 * what is asked for has a channel of its own, and is not in it. */
GW_API int gw_vm_prefer(struct gw_vm *vm, const struct gw_working_set *set, uint64_t *ret_dropped, struct gw_error *err);
GW_API void gw_vm_record(struct gw_vm *vm, struct gw_working_set *set);

#ifdef __cplusplus
}
#endif
#endif
