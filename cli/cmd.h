/* SPDX-License-Identifier: MIT
 *
 * cmd: the subcommands of `godwit`. Each gets "godwit COMMAND" as argv[0], so that getopt's messages begin with it, and
 * returns the exit status: 0 done; 1 failed, with one line on stderr, "godwit COMMAND: what: why"; 2 wrong usage; 3 a
 * difference or a fault was found, or a core lacks memory; 4 the guest found corruption; 5 unknown (schema explain).
 */
#ifndef GODWIT_CLI_CMD_H
#define GODWIT_CLI_CMD_H

#include <stdbool.h>
#include <stdio.h>

enum gw_exit {
    GW_EXIT_DONE = 0,
    GW_EXIT_FAILED = 1,
    GW_EXIT_USAGE = 2,
    GW_EXIT_DIFFERENT = 3,
    GW_EXIT_CORRUPT = 4,
    GW_EXIT_UNKNOWN = 5,
    GW_EXIT_PAUSED = 6
};

int gw_cmd_check(int argc, char **argv);
int gw_cmd_convert(int argc, char **argv);
int gw_cmd_ctl(int argc, char **argv);
int gw_cmd_demo(int argc, char **argv);
int gw_cmd_diff(int argc, char **argv);
int gw_cmd_extract(int argc, char **argv);
int gw_cmd_inspect(int argc, char **argv);
int gw_cmd_map(int argc, char **argv);
int gw_cmd_receive(int argc, char **argv);
int gw_cmd_salvage(int argc, char **argv);
int gw_cmd_schema(int argc, char **argv);
int gw_cmd_send(int argc, char **argv);
int gw_cmd_serve(int argc, char **argv);
int gw_cmd_snapshot(int argc, char **argv);
int gw_cmd_verify(int argc, char **argv);
int gw_cmd_vm(int argc, char **argv);
/* Reads a whole file as text, "-" is standard input; NULL: errno. */
char *gw_schema_slurp(const char *path);
/* `godwit schema dump`, `godwit schema explain`, and their descriptions for help */
#define GW_SCHEMA_DUMP "Writes what the state of `godwit vm` consists of, as JSON."
#define GW_SCHEMA_EXPLAIN                                                                                              \
    "Tells whether a machine would load elsewhere, and why not. The machine in the migration stream STREAM is to "     \
    "go into the one that wrote INTO, into the QEMU whose -dump-vmstate is FILE, or into the one of which both "       \
    "are. The exit status is 3 when it would not load, 5 when that is not known."
int gw_schema_dump_machine(int argc, char **argv);
int gw_schema_explain(int argc, char **argv);
/* `godwit inspect --against`; explain.c */
int gw_inspect_against(const char *from, const char *snapshot, const char *into, bool json);

#endif
