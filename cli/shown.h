/* SPDX-License-Identifier: MIT
 *
 * shown: text from outside (names of files, of machines, what a monitor says) as a terminal may have it.
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_SHOWN_H
#define GODWIT_CLI_SHOWN_H

/* text, or a copy made by gw_printable, which is valid until some 16 more were made. NULL stays NULL. */
const char *gw_shown(const char *text);

#endif
