/* SPDX-License-Identifier: MIT
 *
 * built: what was built in: the library's parts (godwit/version.h), and the command's own.
 */
#ifndef GODWIT_CLI_BUILT_H
#define GODWIT_CLI_BUILT_H

#include <stdbool.h>

struct gw_built_in {
    const char *name, *use;
    const char *version; /* of the library that it comes from; "": none is known */
    bool there;
};

/* The n-th part; false: there are no more. */
bool gw_built_in(unsigned n, struct gw_built_in *ret_part);
/* Its number, or -1. */
int gw_built_in_find(const char *name);
/* `godwit --version`. Returns an exit status. */
int gw_built_in_print(void);

#endif
