/* SPDX-License-Identifier: MIT
 *
 * deflate codec: a page as one zlib stream (zpage.h), packed and unpacked by threads.
 *
 *     encode n      jobs of some pages each, for the threads
 *     finish n - 1  what the threads did not begin goes as it is, unless the lane waits for them; the rest is waited for
 *
 * A lane begins a batch before it puts the one before (ram/lane/lane.h), so the threads always have work. A lane that
 * does not wait is one whose channel is faster than the threads: what they had no time for while the batch before was
 * written goes plain.
 *
 * Urgent batches go as they are: a thread would keep them longer than most links.
 *
 * Invariants
 *   1. What is packed is a copy: the guest may write the page meanwhile.
 *   2. A page whose stream is hardly shorter than the page is not claimed.
 *   3. A job belongs to who takes it first, the thread or finish; a late thread knows by its number that it is another.
 *
 * Decode. Records are copied in groups, for the threads. A page is placed by the thread. Who wants to touch a page whose
 * record is still in a group waits first (await): a table of hashes says which may be.
 *
 * Memory:  encode: two pages' worth of tables and a page for each thread; decode: 2 groups for each thread and 2 more, each
 *          64 KiB or two pages. Both only from begin to end, or from the first record on.
 * Threads: one owner each; those that pack and unpack are the codec's. progress on any.
 * Hostile: zpage.h. The layout has checked block, page and length.
 * Format:  docs/formats/compress.md
 */
#ifndef GW_CODEC_DEFLATE_H
#define GW_CODEC_DEFLATE_H

#include "godwit/clock.h"
#include "ram/page/ops.h"

struct gw_deflate_config {
    unsigned level;   /* 0 to 9 */
    unsigned threads; /* 1 or more; GW_WORKERS_MAX at most are started */
    bool wait;        /* for threads that are behind; else pages go plain */
};

/* The sending half. ram: stays until free. Its threads are started by begin. */
int gw_codec_deflate_new(const struct gw_ram *ram, const struct gw_deflate_config *config, const struct gw_clock *clock,
                         struct gw_codec **ret, struct gw_error *err);

/* The receiving half. Its threads are started by the first record. */
int gw_codec_deflate_decoder_new(const struct gw_ram *ram, unsigned threads, struct gw_codec **ret, struct gw_error *err);

#endif
