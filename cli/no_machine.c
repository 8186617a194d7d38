/* SPDX-License-Identifier: MIT
 *
 * What is said where the machine in the box was not built (-Dmachine).
 */
#include "cmd.h"

static int none(const char *command)
{
    fprintf(stderr, "%s: this build of godwit has no machine in the box, which needs an x86-64 host\n", command);
    return GW_EXIT_FAILED;
}

int gw_cmd_vm(int argc, char **argv)
{
    return none(argv[0]);
}

int gw_cmd_demo(int argc, char **argv)
{
    return none(argv[0]);
}

int gw_schema_dump_machine(int argc, char **argv, int (*usage)(FILE *to))
{
    return none("godwit schema dump");
}
