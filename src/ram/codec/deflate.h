/* SPDX-License-Identifier: MIT
 *
 * deflate codec: a page as one zlib stream (zpage.h), compressed and decompressed by threads.
 *
 *     encode n      jobs of some pages each, for the threads
 *     finish n - 1  pages that the threads did not begin go plain, unless `wait` is set; waits for the rest
 *
 * A lane starts a batch before it writes the previous one (ram/lane/lane.h), so the threads always have work. Without
 * `wait`, pages that the threads could not begin while the previous batch was written go plain: the channel is faster
 * than the threads.
 *
 * Urgent batches go plain: compressing them would take longer than sending them on most links.
 *
 * Invariants
 *   1. A copy of the page is compressed: the guest may write the page meanwhile.
 *   2. A page whose stream is hardly shorter than the page is not claimed.
 *   3. A job belongs to the first that takes it, a thread or finish; a late thread sees by the job's number that the
 * slot has another job.
 *
 * Decode. Records are copied in groups, for the threads. The thread places the page. A caller that wants to use a page
 * whose record may still be in a group waits first (await): a table of hashes tells which pages these may be.
 *
 * Memory:  encode: two pages' worth of tables and a page for each thread; decode: 2 groups for each thread and 2 more, each
 *          64 KiB or two pages. Both only from begin to end, or from the first record on.
 * Threads: one owner each; the codec owns the threads that compress and decompress. progress on any.
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
    bool wait;        /* wait for threads that are behind; else pages go plain */
};

/* The sending half. ram: stays until free. Its threads are started by begin. */
int gw_codec_deflate_new(const struct gw_ram *ram, const struct gw_deflate_config *config, const struct gw_clock *clock,
                         struct gw_codec **ret, struct gw_error *err);

/* The receiving half. Its threads are started by the first record. */
int gw_codec_deflate_decoder_new(const struct gw_ram *ram, unsigned threads, struct gw_codec **ret, struct gw_error *err);

#endif
