/* SPDX-License-Identifier: MIT */
#include "built.h"

#include <stdio.h>
#include <string.h>

#include <godwit/version.h>

#include "cmd.h"
#include "filter.h"

#ifdef GW_WITH_UNICORN
#define UNICORN GW_WITH_UNICORN
#else
#define UNICORN ""
#endif
#ifdef GW_WITH_SECCOMP
#define SECCOMP GW_WITH_SECCOMP
#else
#define SECCOMP ""
#endif
#ifdef GW_WITH_MACHINE
#define MACHINE true
#else
#define MACHINE false
#endif

/* The library's parts come first. */
static const struct gw_built_in own[] = {
    {"seccomp", "the sandbox of the commands", SECCOMP, sizeof SECCOMP > 1},
    {"machine", "godwit vm, godwit demo", "", MACHINE},
    {"unicorn", "guests of godwit vm where there is no KVM", UNICORN, sizeof UNICORN > 1},
};

bool gw_built_in(unsigned n, struct gw_built_in *ret_part)
{
    struct gw_version_part part;
    unsigned before = 0;

    if (gw_version_part(n, &part)) {
        *ret_part = (struct gw_built_in){part.name, part.use, part.version, *part.version != 0};
        return true;
    }
    while (gw_version_part(before, &part))
        before++;
    if (n - before >= sizeof own / sizeof own[0])
        return false;
    *ret_part = own[n - before];
    return true;
}

int gw_built_in_find(const char *name)
{
    struct gw_built_in part;

    for (unsigned i = 0; gw_built_in(i, &part); i++)
        if (!strcmp(part.name, name))
            return (int)i;
    return -1;
}

int gw_built_in_print(void)
{
    struct gw_built_in part;

    printf("godwit %s\n", GW_VERSION_TEXT);
    if (strcmp(gw_version_text(), GW_VERSION_TEXT))
        printf("with the library %s\n", gw_version_text());
    for (unsigned i = 0; gw_built_in(i, &part); i++)
        printf("  %-11s %-10s %s\n", part.name, !part.there ? "no" : *part.version ? part.version : "yes", part.use);
    return GW_EXIT_DONE;
}
