/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "built.h"
#include "cmd.h"
#include "complete.h"
#include "help.h"
#include "nearest.h"
#include "shown.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"check", gw_cmd_check, "which features for migration this host has, and how to get missing ones"},
    {"convert", gw_cmd_convert, "convert a machine at rest to another file format"},
    {"ctl", gw_cmd_ctl, "query and control a machine through its QMP socket, godwit's or QEMU's"},
    {"demo", gw_cmd_demo, "a demonstration: a machine moves between processes while it runs"},
    {"diff", gw_cmd_diff, "compare two machines at rest"},
    {"extract", gw_cmd_extract, "extract parts of a machine at rest: RAM, a device, an ELF core for gdb"},
    {"inspect", gw_cmd_inspect, "show the contents of a migration stream or file"},
    {"map", gw_cmd_map, "show the RAM of a machine at rest: zero, data and shared pages"},
    {"receive", gw_cmd_receive, "receive a live migration and park the machine in a file"},
    {"salvage", gw_cmd_salvage, "join the two halves of a broken postcopy migration"},
    {"send", gw_cmd_send, "send a parked machine to a waiting destination"},
    {"serve", gw_cmd_serve, "start a parked machine at any number of destinations at once"},
    {"snapshot", gw_cmd_snapshot, "list, make, load and delete snapshots inside disk images"},
    {"verify", gw_cmd_verify, "verify that a machine at rest is complete"},
    {"vm", gw_cmd_vm, "run the built-in test machine"},
    {"schema", gw_cmd_schema, "describe device state, and check whether one version's loads into another"},
};

/* Planned commands. The message says so, instead of "unknown command". */
static const struct {
    const char *name, *why;
} missing[] = {
    {"guard", "a migration cannot be checked on its way yet; `receive`, `verify` and `send` do it in steps"},
    {"relay", "a migration cannot be passed on while it runs yet; `receive` and `send` do it in steps"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(FILE *to)
{
    fprintf(to, "usage: godwit COMMAND [ARGUMENT]... [OPTION]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        gw_cli_row(to, commands[i].name, commands[i].what, 13);
    fprintf(to, "\n`godwit help COMMAND` shows its options, `godwit --version` what is built in.\n");
}

/* The parent process may have closed the standard descriptors. They are opened here, so that no later file gets their
 * numbers and is written to as standard output. Input and output are opened in the wrong direction, so that using them
 * still fails; messages are discarded. */
static void open_standard(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY);
}

/* argv[0] is the command's name. -1: no such command. */
static int run(int argc, char **argv)
{
    char name[64];

    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[0], commands[i].name)) {
            snprintf(name, sizeof name, "godwit %s", argv[0]);
            argv[0] = name; /* the name that messages begin with */
            return commands[i].run(argc, argv);
        }
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (!strcmp(argv[0], missing[i].name)) {
            fprintf(stderr, "godwit %s: %s\n", argv[0], missing[i].why);
            return GW_EXIT_USAGE;
        }
    return -1;
}

static int no_command(const char *word)
{
    struct gw_cli_nearest near = {.word = word};

    gw_cli_nearest_try(&near, "help");
    gw_cli_nearest_try(&near, "--help");
    gw_cli_nearest_try(&near, "--version");
    for (size_t i = 0; i < COMMANDS; i++)
        gw_cli_nearest_try(&near, commands[i].name);
    fprintf(stderr, "godwit: there is no %s '%s'", *word == '-' ? "option" : "command", gw_shown(word));
    if (near.best)
        fprintf(stderr, "; did you mean %s?\n", near.best);
    else
        fprintf(stderr, "; `godwit help` lists them\n");
    return GW_EXIT_USAGE;
}

/* `help`, `help COMMAND`, `help ctl migrate`. */
static int cmd_help(int argc, char **argv)
{
    char option[80];
    int r;

    if (argc < 2) {
        help(stdout);
        return GW_EXIT_DONE;
    }
    if (argc > 3) {
        fprintf(stderr, "godwit help: surplus argument '%s'\n", gw_shown(argv[3]));
        return GW_EXIT_USAGE;
    }
    snprintf(option, sizeof option, "--help%s%s", argc > 2 ? "=" : "", argc > 2 ? argv[2] : "");
    r = run(2, (char *[]){argv[1], option, NULL});
    return r < 0 ? no_command(argv[1]) : r;
}

/* Prints shell completions, from the tables of all commands. */
static int cmd_completion(int argc, char **argv)
{
    char option[80], names[512] = "";

    if (argc != 2 || !gw_cli_complete_begin(argv[1])) {
        fprintf(stderr, "godwit: --completion: bash or zsh is expected\n");
        return GW_EXIT_USAGE;
    }
    snprintf(option, sizeof option, "--completion=%s", argv[1]);
    for (size_t i = 0; i < COMMANDS; i++) {
        run(2, (char *[]){(char *)commands[i].name, option, NULL});
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "", commands[i].name);
    }
    gw_cli_complete_end(argv[1], names);
    return fflush(stdout) || ferror(stdout) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

int main(int argc, char **argv)
{
    int r;

    open_standard();
    if (argc < 2) {
        help(stderr);
        return GW_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return cmd_help(argc - 1, argv + 1);
    if (!strcmp(argv[1], "--completion"))
        return cmd_completion(argc - 1, argv + 1);
    if (!strcmp(argv[1], "--version"))
        return gw_built_in_print();
    r = run(argc - 1, argv + 1);
    return r < 0 ? no_command(argv[1]) : r;
}
