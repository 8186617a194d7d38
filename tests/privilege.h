/* SPDX-License-Identifier: MIT
 *
 * privilege: programs whose tests all answer the page faults of kernel code, which takes root, CAP_SYS_PTRACE or vm.unprivileged_userfaultfd.
 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_SKIPPED 77 /* tools/check.py: all of the program is skipped, for what it printed */

/* False: another user than root is refused it, and it is said; return EXIT_SKIPPED from main. */
static inline bool may_answer_faults(void)
{
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0)
        close((int)fd);
    if (fd >= 0 || errno != EPERM || !geteuid())
        return true;
    printf("userfaultfd: not for this user\n");
    return false;
}

#endif
