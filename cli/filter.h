/* SPDX-License-Identifier: MIT
 *
 * filter: restricts the system calls (confine.h).
 */
#ifndef GODWIT_CLI_FILTER_H
#define GODWIT_CLI_FILTER_H

#include <stdbool.h>

/* Whether this build has the filter. */
bool gw_filter_is_there(void);
/* Whether this is a sanitizer build, which needs further calls: then nothing is installed. */
bool gw_filter_is_sanitized(void);
/* Applies to all threads, future ones, and the programs they start. programs: all calls except dangerous ones are
 * allowed; ends: a started program may be killed; connects: connections to servers may be made. A refused call fails:
 * with EPERM if it is dangerous, else with ENOSYS, so that the C library uses its fallback for older kernels. Returns
 * -errno. */
int gw_filter_install(bool programs, bool ends, bool connects);

#endif
