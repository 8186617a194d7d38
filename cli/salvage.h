/* SPDX-License-Identifier: MIT
 *
 * salvage: shared by `godwit salvage` (salvage.c) and its session with a waiting source (salvage_listen.c).
 *
 * Threads: the main thread; progress of the write is called on the session's thread while that runs.
 */
#ifndef GODWIT_CLI_SALVAGE_H
#define GODWIT_CLI_SALVAGE_H

#include "confine.h"
#include "examine.h"
#include "transfer.h"

#define COMMAND "salvage"

struct gw_salvage {
    const char *partial, *from, *listen, *output, *ram_folder;
    struct gw_image_write_options write;
    struct gw_transfer transfer; /* without a session only json and quiet are used */
    struct gw_cli_progress progress;
    struct gw_confine confine;
    struct gw_image *image, *rest;
    uint64_t *lacking; /* missing bytes of each block at the start */
};

/* Receives the missing pages from a source, and writes the output. Returns the exit status. */
int gw_salvage_listen(struct gw_salvage *s, struct gw_error *err);
/* Prints "godwit salvage: what: why", or that it was interrupted. Returns the exit status. */
int gw_salvage_failed(struct gw_salvage *s, const char *what, const struct gw_error *err);
uint64_t gw_salvage_lacking(const struct gw_image *image);

#endif
