/* SPDX-License-Identifier: MIT
 *
 * target: the output file of `send`. It gets its name when the whole stream is in it and on disk; it must not exist
 * before, and must not be the input.
 */
#ifndef GODWIT_CLI_TARGET_H
#define GODWIT_CLI_TARGET_H

#include <godwit/godwit.h>

struct gw_target {
    struct gw_output *output;   /* NULL: the target is not a file */
    struct gw_channel *channel; /* for a session to take */
};

/* For an address that is not a regular file (FIFOs and devices are not) *t stays empty, and the session opens it. The
 * session also refuses invalid addresses. input: the path of the input, "-" standard input; refused as target with
 * -EINVAL. With an offset the bytes before it are those of the file that is replaced. */
int gw_target_open(struct gw_target *t, const char *uri, const char *input, bool replace, struct gw_error *err);
/* The whole stream was written. */
int gw_target_commit(struct gw_target *t, struct gw_error *err);
void gw_target_close(struct gw_target *t);

#endif
