/* SPDX-License-Identifier: MIT
 *
 * verdict: a target says whether it took its input or refused it. A replay compares that with where the file lies
 * (tests/golden/TARGET/accept, reject); a fuzzer does not want to know. Untried: the host lacks what it takes to say so.
 */
#ifndef FUZZ_VERDICT_H
#define FUZZ_VERDICT_H

#include <stdbool.h>

void fuzz_verdict(bool accepted) __attribute__((weak));
void fuzz_untried(void) __attribute__((weak));

#define FUZZ_VERDICT(accepted) ((void)(fuzz_verdict ? fuzz_verdict(accepted) : (void)0))

#define FUZZ_UNTRIED() ((void)(fuzz_untried ? fuzz_untried() : (void)0))

#endif
