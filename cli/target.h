/* SPDX-License-Identifier: MIT
 *
 * target: where `send` sends to, if that is a file: one that appears under its name when the whole stream is in it and
 * on disk, and is not there already, and is not the one that is sent.
 */
#ifndef GODWIT_CLI_TARGET_H
#define GODWIT_CLI_TARGET_H

#include <godwit/godwit.h>

struct gw_target {
    struct gw_output *output;   /* NULL: it is no file */
    struct gw_channel *channel; /* for a session to take */
};

/* Nothing to be done with addresses that are none of a file (FIFOs and devices are none either): *t stays empty, and
 * the session opens them. An address that cannot be understood is left for the session to refuse, too. input: the path
 * of what is sent, "-" standard input; refused as target with -EINVAL. With an offset the bytes before it are those of
 * the file that is replaced. */
int gw_target_open(struct gw_target *t, const char *uri, const char *input, bool replace, struct gw_error *err);
/* It was all written. */
int gw_target_commit(struct gw_target *t, struct gw_error *err);
void gw_target_close(struct gw_target *t);

#endif
