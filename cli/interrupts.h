/* SPDX-License-Identifier: MIT
 *
 * interrupts: signals that ask for an end: SIGINT, SIGTERM, SIGHUP, SIGQUIT (the latter two unless they are ignored, as
 * under nohup). Work that would leave something half done blocks them, and looks for them between its steps.
 *
 * Threads: the main thread, before others are made: they inherit what is blocked.
 */
#ifndef GODWIT_CLI_INTERRUPTS_H
#define GODWIT_CLI_INTERRUPTS_H

#include <signal.h>
#include <stdbool.h>

sigset_t gw_cli_interrupts(void);
void gw_cli_interrupts_block(void);
/* Takes one that came. Never waits. */
bool gw_cli_interrupt_pending(void);
/* For work that waits where nobody looks: a signal ends the process at once, with this line (which must stay valid) on stderr
 * and the status GW_EXIT_FAILED. */
void gw_cli_interrupts_exit(const char *line);

#endif
