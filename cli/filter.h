/* SPDX-License-Identifier: MIT
 *
 * filter: which system calls are left (confine.h).
 */
#ifndef GODWIT_CLI_FILTER_H
#define GODWIT_CLI_FILTER_H

#include <stdbool.h>

/* Whether this build has it. */
bool gw_filter_is_there(void);
/* Whether it is built with a sanitizer, which needs calls of its own: then it installs nothing. */
bool gw_filter_is_sanitized(void);
/* For all threads, those to come and programs that they start. programs: all calls are left but the dangerous ones; ends: a
 * program that was started may be killed;
 * connects: connections to servers may be made. What is refused fails: with EPERM if it is known to be dangerous, else with ENOSYS,
 * so that the C library takes what it takes on older kernels. -errno. */
int gw_filter_install(bool programs, bool ends, bool connects);

#endif
