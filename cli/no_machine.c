/* SPDX-License-Identifier: MIT
 *
 * The commands of the built-in test machine in a build without it (-Dmachine).
 */
#include "cmd.h"

#include <string.h>

/* Omitted from completions. */
static int none(int argc, char **argv, const char *command)
{
    if (argc == 2 && !strncmp(argv[1], "--completion=", 13))
        return GW_EXIT_DONE;
    fprintf(stderr, "%s: this build of godwit has no built-in test machine, which needs an x86-64 host\n", command);
    return GW_EXIT_FAILED;
}

int gw_cmd_vm(int argc, char **argv)
{
    return none(argc, argv, argv[0]);
}

int gw_cmd_demo(int argc, char **argv)
{
    return none(argc, argv, argv[0]);
}

int gw_schema_dump_machine(int argc, char **argv)
{
    return none(argc, argv, "godwit schema dump");
}
