/* SPDX-License-Identifier: MIT
 *
 * built: the parts of this build: the library's (godwit/version.h), and the command's own.
 */
#ifndef GODWIT_CLI_BUILT_H
#define GODWIT_CLI_BUILT_H

#include <stdbool.h>

struct gw_built_in {
    const char *name, *use;
    const char *version; /* version of the library that provides it; "": unknown */
    bool there;
};

/* The n-th part; false: no more parts. */
bool gw_built_in(unsigned n, struct gw_built_in *ret_part);
/* Its number, or -1. */
int gw_built_in_find(const char *name);
/* `godwit --version`. Returns an exit status. */
int gw_built_in_print(void);

#endif
