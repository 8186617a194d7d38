/* SPDX-License-Identifier: MIT
 *
 * emulated: cases that cannot work where an emulator translates the system calls of a program (qemu-user; check.py says so
 * to the tests of its cross build).
 */
#ifndef EMULATED_H
#define EMULATED_H

#include <stdlib.h>

#define SKIP_EMULATED(why)                                                                                             \
    do {                                                                                                               \
        if (getenv("GODWIT_EMULATED")) {                                                                               \
            print_message("SKIP: %s\n", why);                                                                          \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)
#endif
