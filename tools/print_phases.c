/* SPDX-License-Identifier: MIT
 *
 * print_phases: docs/phases.md, from the table in src/engine/phase.h. A test compares.
 */
#include <ctype.h>
#include <stdio.h>

#include "engine/phase.h"

static void lower(const char *name)
{
    for (; *name; name++)
        putchar(*name == '_' ? ' ' : tolower((unsigned char)*name));
}

int main(void)
{
    static const char *const sides[] = {"", "source", "destination"};
    static const char *const owners[] = {"source", "destination", "undecided"};

    printf("# Phases\n\n"
           "Printed from `src/engine/phase.h` by `tools/print_phases`; the table there is the code. What a QMP client sees is\n"
           "the status; who may run the guest is the owner; a cancel is possible where it says so. The invariants stand at\n"
           "the head of that file.\n\n"
           "| side | phase | status | owner | cancel | final | may be followed by |\n|---|---|---|---|---|---|---|\n");
    for (int p = 0; p < GW_PHASE_COUNT; p++) {
        const struct gw_phase_row *row = gw_phase_row((enum gw_phase)p);
        const char *between = "";

        printf("| %s | ", sides[row->side]);
        lower(row->name);
        printf(" | %s | %s | %s | %s | ", gw_status_name(row->status), owners[row->owner], row->cancel ? "yes" : "",
               row->final ? "yes" : "");
        for (int n = 0; n < GW_PHASE_COUNT; n++) {
            if (!gw_phase_may_follow((enum gw_phase)p, (enum gw_phase)n))
                continue;
            printf("%s", between);
            lower(gw_phase_row((enum gw_phase)n)->name);
            between = ", ";
        }
        printf(" |\n");
    }
    return 0;
}
