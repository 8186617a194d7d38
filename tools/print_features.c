/* SPDX-License-Identifier: MIT
 *
 * print_features: docs/features.md, from the tables in src/engine/features. A test compares.
 */
#include <stdio.h>

#include "engine/features.h"

static void print_set(uint64_t set)
{
    const char *between = "";

    for (int c = 0; c < GW_CAP_COUNT; c++) {
        if (!(set >> c & 1))
            continue;
        printf("%s%s", between, gw_feature((enum gw_capability)c)->name);
        between = ", ";
    }
}

int main(void)
{
    printf("# Features\n\n"
           "This page lists the capabilities of a migration: which this build supports, what each needs, and what it cannot be combined\n"
           "with. The names are those of QMP's migration capabilities. If a capability is not supported, turning it on is an error that\n"
           "names it. `tools/print_features` prints this page from `src/engine/features.h` and `features.c`.\n\n"
           "| capability | supported | needs | not with | what it does |\n|---|---|---|---|---|\n");
    for (int c = 0; c < GW_CAP_COUNT; c++) {
        const struct gw_feature *f = gw_feature((enum gw_capability)c);
        uint64_t needs = 0, not_with = 0;

        for (size_t i = 0; gw_feature_rule(i); i++) {
            const struct gw_feature_rule *rule = gw_feature_rule(i);

            if (rule->with >> c & 1) {
                needs |= rule->needs;
                not_with |= rule->not_with;
            }
            if (rule->not_with >> c & 1) /* it is mutual */
                not_with |= rule->with;
        }
        printf("| `%s` | %s | ", f->name, f->supported ? "yes" : "");
        print_set(needs);
        printf(" | ");
        print_set(not_with);
        printf(" | %s |\n", f->help);
    }
    return 0;
}
