/* SPDX-License-Identifier: MIT
 *
 * receive: what the options of `godwit receive` (receive.c) ask of its session (receive_run.c).
 *
 * Threads: the main thread; `progress` of the options comes on the session's until that has ended.
 */
#ifndef GODWIT_CLI_RECEIVE_H
#define GODWIT_CLI_RECEIVE_H

#include "confine.h"
#include "transfer.h"

struct gw_receive {
    struct gw_transfer transfer;
    const char *uri, *output, *ram_folder, *xml;
    uint64_t memory_max_bytes; /* 0: the usual */
    uint64_t wait_ns;          /* for a source; 0: for ever */
    double recovery_wait_s;    /* for a source that was lost behind the switch; negative: for ever */
    struct gw_image_write_options options;
    struct gw_park *park;
    struct gw_confine confine;
    bool socket; /* a source is at the other end, not what one has left */
    bool postcopy; /* its memory may follow its devices */
    bool paused; /* it was told that the source was lost */
    double paused_s; /* when that was, in the transfer's time */
    bool early;  /* the source is told before the file is there */
    bool warned; /* that the source does not wait for an answer */
    bool alone;  /* no source came in time */
    bool ended;  /* the session has */
    bool packed; /* the file is as small as it was meant to be */
};

/* All of it, up to what is told at the end. Returns the exit status. */
int gw_receive_run(struct gw_receive *rx, struct gw_error *err);

#endif
