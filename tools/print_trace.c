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
           "Printed from `src/trace/trace.def` by `tools/print_trace`. A program that embeds the library asks for events with\n"
           "`gw_vm_set_trace`; `godwit receive` and `godwit send` show them with `--trace NAMES` (separated by commas, `*` at the end\n"
           "of a name stands for anything, `*` alone is all), one line each on standard error.\n\n"
           "| event | text | what it says |\n|---|---|---|\n");
    for (size_t i = 0; gw_trace_at(i, &name, &format, &sentence); i++)
        printf("| `%s` | `%s` | %s |\n", name, format, sentence);
    return 0;
}
