/* SPDX-License-Identifier: MIT
 *
 * print_trace: docs/tracing.md, from src/trace/trace.def. A test compares.
 */
#include <stdio.h>

#include "godwit/trace.h"

int main(void)
{
    const char *name, *format, *sentence;

    printf("# Tracing\n\n"
           "This page lists the trace events. A program that embeds the library enables events with `gw_vm_set_trace`. `godwit receive`\n"
           "and `godwit send` print them with `--trace NAMES`, one line for each event on standard error. NAMES are separated by commas;\n"
           "`*` at the end of a name matches any text, and `*` alone enables all events. `tools/print_trace` prints this page from\n"
           "`src/trace/trace.def`.\n\n"
           "| event | text | what it says |\n|---|---|---|\n");
    for (size_t i = 0; gw_trace_at(i, &name, &format, &sentence); i++)
        printf("| `%s` | `%s` | %s |\n", name, format, sentence);
    return 0;
}
