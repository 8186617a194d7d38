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
           "This page lists the phases of a session at the source and at the destination. *Status* is the migration status that a QMP\n"
           "client sees. *Owner* is the side that may run the guest. *Cancel* says whether the session can be cancelled, *final* whether\n"
           "it ends in this phase. `tools/print_phases` prints this page from `src/engine/phase.h`, the table that the code uses; the\n"
           "invariants are at the beginning of that file.\n\n"
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
