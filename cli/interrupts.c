/* SPDX-License-Identifier: MIT */
#include "interrupts.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

static const int always[] = {SIGINT, SIGTERM}, unless_ignored[] = {SIGHUP, SIGQUIT};
static const char *last_line;

sigset_t gw_cli_interrupts(void)
{
    struct sigaction now;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        sigaddset(&set, always[i]);
    /* A blocked signal stays pending even if it is ignored. */
    for (size_t i = 0; i < sizeof unless_ignored / sizeof unless_ignored[0]; i++)
        if (!sigaction(unless_ignored[i], NULL, &now) && now.sa_handler != SIG_IGN)
            sigaddset(&set, unless_ignored[i]);
    return set;
}

void gw_cli_interrupts_block(void)
{
    sigset_t set = gw_cli_interrupts();

    sigprocmask(SIG_BLOCK, &set, NULL);
}

bool gw_cli_interrupt_pending(void)
{
    const struct timespec now = {0};
    sigset_t set = gw_cli_interrupts();

    return sigtimedwait(&set, NULL, &now) > 0;
}

static void leave(int number)
{
    if (write(STDERR_FILENO, last_line, strlen(last_line)) < 0)
        _exit(GW_EXIT_FAILED);
    _exit(GW_EXIT_FAILED);
}

void gw_cli_interrupts_exit(const char *line)
{
    struct sigaction action = {.sa_handler = leave};
    sigset_t set = gw_cli_interrupts();

    last_line = line;
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1)
            sigaction(number, &action, NULL);
}
