/* SPDX-License-Identifier: MIT
 *
 * interrupts: signals that ask the process to end: SIGINT, SIGTERM, SIGHUP, SIGQUIT (the latter two unless they are
 * ignored, as under nohup). Work that must not be cut off blocks them and checks for them between its steps.
 *
 * Threads: the main thread, before it makes others, which inherit its signal mask.
 */
#ifndef GODWIT_CLI_INTERRUPTS_H
#define GODWIT_CLI_INTERRUPTS_H

#include <signal.h>
#include <stdbool.h>

sigset_t gw_cli_interrupts(void);
void gw_cli_interrupts_block(void);
/* Takes a pending signal. Never waits. */
bool gw_cli_interrupt_pending(void);
/* For waits that nothing can interrupt: a signal ends the process at once, with this line (which must stay valid) on
 * stderr and the status GW_EXIT_FAILED. */
void gw_cli_interrupts_exit(const char *line);

#endif
