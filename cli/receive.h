/* SPDX-License-Identifier: MIT
 *
 * receive: shared by the options (receive.c) and the session (receive_run.c) of `godwit receive`.
 *
 * Threads: the main thread; `progress` of the options is called on the session's thread until that has ended.
 */
#ifndef GODWIT_CLI_RECEIVE_H
#define GODWIT_CLI_RECEIVE_H

#include "confine.h"
#include "transfer.h"

struct gw_receive {
    struct gw_transfer transfer;
    const char *uri, *output, *ram_folder, *xml;
    uint64_t memory_max_bytes; /* 0: the default */
    uint64_t wait_ns;          /* time to wait for a source; 0: no limit */
    double recovery_wait_s;    /* time to wait for a source lost after the switchover; negative: no limit */
    struct gw_image_write_options options;
    struct gw_park *park;
    struct gw_confine confine;
    bool socket; /* the input is a live source, not a file */
    bool postcopy; /* its memory may follow its devices */
    bool paused; /* the loss of the source was printed */
    double paused_s; /* when that was, in the transfer's time */
    bool early;  /* the source is told before the file exists */
    bool warned; /* that the source does not wait for an answer was printed */
    bool alone;  /* no source arrived in time */
    bool ended;  /* the session has ended */
    bool packed; /* the file is compressed as requested */
};

/* Runs the session, including the final messages. Returns the exit status. */
int gw_receive_run(struct gw_receive *rx, struct gw_error *err);

#endif
