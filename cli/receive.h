/* SPDX-License-Identifier: MIT
 *
 * receive: what the options of `godwit receive` (receive.c) ask of its session (receive_run.c).
 *
 * Threads: the main thread; `asked`, `staged` and `parked` are the session's until it has ended.
 */
#ifndef GODWIT_CLI_RECEIVE_H
#define GODWIT_CLI_RECEIVE_H

#include "transfer.h"

struct gw_receive {
    struct gw_transfer transfer;
    const char *uri, *output, *ram_folder, *xml;
    uint64_t memory_max_bytes; /* 0: the usual */
    struct gw_image_write_options options;
    struct gw_image *image;
    bool socket; /* a source is at the other end, not what one has left */
    bool early;  /* the source is told before the file is there */
    bool staged; /* the file is written while the machine comes, and packed afterwards */
    bool warned; /* that the source does not wait for an answer */
    bool asked;  /* all of the machine has come */
    bool parked; /* the file is there, whole. Set before the session ends */
    bool packed; /* and is as it is meant to be: with `staged` it is larger at first */
};

/* All of it, up to what is told at the end. Returns the exit status. */
int gw_receive_run(struct gw_receive *rx, struct gw_error *err);

#endif
