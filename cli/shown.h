/* SPDX-License-Identifier: MIT
 *
 * shown: makes untrusted text (names of files and machines, answers of a monitor) safe for a terminal.
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_SHOWN_H
#define GODWIT_CLI_SHOWN_H

/* text, or a copy made by gw_printable, valid until about 16 more were made. NULL stays NULL. */
const char *gw_shown(const char *text);

#endif
