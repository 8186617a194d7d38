/* SPDX-License-Identifier: MIT
 *
 * human: formats figures for people.
 */
#ifndef GODWIT_CLI_HUMAN_H
#define GODWIT_CLI_HUMAN_H

#define GW_HUMAN 32

/* "1.25 MiB", "120 ms", "2 min 05 s". Return buf. */
const char *gw_human_bytes(char buf[GW_HUMAN], double bytes);
const char *gw_human_ms(char buf[GW_HUMAN], double ms);
/* A remaining time, no more precise than it can be known: "< 1 s", "45 s", "2 min 05 s" (in steps of 5 s), "12 min", "3
 * h 20 min", "2 d". */
const char *gw_human_eta(char buf[GW_HUMAN], double seconds);

#endif
