/* SPDX-License-Identifier: MIT
 *
 * human: figures as people read them.
 */
#ifndef GODWIT_CLI_HUMAN_H
#define GODWIT_CLI_HUMAN_H

#define GW_HUMAN 32

/* "1.25 MiB", "120 ms", "2 min 05 s". Return buf. */
const char *gw_human_bytes(char buf[GW_HUMAN], double bytes);
const char *gw_human_ms(char buf[GW_HUMAN], double ms);

#endif
