/* SPDX-License-Identifier: MIT
 *
 * record: the policy's inputs and answers, one line of text each, so that a run can be replayed.
 *
 *   w BYTES PAGES NS [WIRE_BYTES]       gw_window_add; WIRE_BYTES is left out where it is BYTES
 *   f                                   gw_window_flush
 *   d key=value ... -> VERDICT REASON PREDICTED_NS THRESHOLD_BYTES
 *                                       gw_switchover_decide, the bandwidth being that of the windows before
 *   b NOW_NS                            gw_throttle_init
 *   t key=value ... -> PERCENT VCPU_BYTES_PER_S
 *                                       gw_throttle_round
 *   e key=value ... -> MOVE LIMIT_NS THROTTLE
 *                                       gw_tend_round
 *   # anything                          ignored, as empty lines are
 *
 * Keys of 0 are left out. Replaying feeds fresh state with the inputs and compares the answers; a line whose answer is
 * left out (no "->") is only fed.
 *
 * Pure. One owner.
 */
#ifndef GW_RECORD_H
#define GW_RECORD_H

#include "policy/switchover.h"
#include "policy/tend.h"
#include "policy/throttle.h"

#define GW_RECORD_LINE 640u /* maximum length of a line, including the NUL */

/* Each writes one line without newline, always terminated. */
void gw_record_window(char line[GW_RECORD_LINE], const struct gw_window_sample *step);
void gw_record_switch(char line[GW_RECORD_LINE], const struct gw_switch_in *in, const struct gw_switch_out *out);
void gw_record_throttle(char line[GW_RECORD_LINE], const struct gw_throttle_params *p, uint64_t now_ns,
                        uint64_t dirty_bytes, uint64_t sent_bytes, const struct gw_throttle_out *out);

void gw_record_tend(char line[GW_RECORD_LINE], const struct gw_tend_in *in, const struct gw_tend_out *out);

struct gw_replay {
    struct gw_window window;
    struct gw_switchover switchover;
    struct gw_throttle throttle;
    struct gw_tend tend;
    struct gw_switch_out last; /* the last decision */
    uint64_t lines, decisions, switches;
};

void gw_replay_init(struct gw_replay *r);
/* -EINVAL: invalid line; -EILSEQ: the answers differ, the text has both. */
int gw_replay_line(struct gw_replay *r, const char *line, struct gw_error *err);

#endif
