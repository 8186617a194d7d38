/* SPDX-License-Identifier: MIT
 *
 * godwit check: what this host can do, before anything depends on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

#include "built.h"
#include "cmd.h"
#include "examine.h"
#include "help.h"
#include "host.h"
#include "shown.h"
#include "table.h"

#define COMMAND   "check"
#define NEEDS_MAX 32
#define BELOW     8 /* indentation of the lines below a feature */

struct check {
    const char *directory;
    const char *needs[NEEDS_MAX];
    unsigned need_count;
    bool json, quiet;
    json_t *facts;
    bool lacks; /* whether a feature in `needs` is missing */
};

static const struct gw_host_fact *const kinds[] = {gw_host_memory, gw_host_kvm, gw_host_io};
#define KINDS (sizeof kinds / sizeof kinds[0])

static bool known(const char *name)
{
    for (size_t k = 0; k < KINDS; k++)
        for (const struct gw_host_fact *f = kinds[k]; f->name; f++)
            if (!strcmp(f->name, name))
                return true;
    return gw_built_in_find(name) >= 0;
}

static enum gw_cli_taken take_need(void *opaque, char *value)
{
    struct check *c = opaque;

    if (!known(value)) {
        fprintf(stderr, "godwit check: --need %s: there is no such name; `godwit check --json` lists them\n", gw_shown(value));
        return GW_CLI_TOLD;
    }
    if (c->need_count == NEEDS_MAX)
        return GW_CLI_WRONG;
    c->needs[c->need_count++] = value;
    return GW_CLI_TAKEN;
}

static bool needed(const struct check *c, const char *name)
{
    for (unsigned i = 0; i < c->need_count; i++)
        if (!strcmp(c->needs[i], name))
            return true;
    return false;
}

static void tell(struct check *c, const struct gw_host_fact *f, const struct gw_host_answer *a)
{
    bool lacking = !a->there && needed(c, f->name);
    char more[600];

    c->lacks |= lacking;
    if (c->json) {
        json_array_append_new(c->facts, json_pack("{s:s, s:b, s:s, s:o, s:s, s:b}", "name", f->name, "there", a->there, "for", f->use,
                                                  "detail", json_string(gw_shown(a->detail)), "advice", a->advice, "needed",
                                                  needed(c, f->name)));
        return;
    }
    if (c->quiet)
        return;
    printf("%-3s %-17s %s\n", a->there ? "yes" : "no", f->name, gw_shown(a->detail));
    if (!a->there) {
        snprintf(more, sizeof more, "%sfor %s%s%s", lacking ? "NEEDED " : "", f->use, *a->advice ? ": " : "", a->advice);
        printf("%*s", BELOW, "");
        gw_cli_wrap(stdout, more, BELOW, BELOW);
    }
}

static json_t *parts(struct check *c)
{
    json_t *all = json_array();
    struct gw_built_in part;

    for (unsigned i = 0; gw_built_in(i, &part); i++) {
        c->lacks |= !part.there && needed(c, part.name);
        json_array_append_new(all, json_pack("{s:s, s:b, s:s, s:s}", "name", part.name, "there", part.there, "for", part.use, "version",
                                             part.version));
    }
    return all;
}

/* One line each: the parts that are built in, and those that are not. */
static void print_parts(bool there)
{
    struct gw_built_in part;
    unsigned count = 0, column = 0;

    for (unsigned i = 0; gw_built_in(i, &part); i++) {
        size_t length = strlen(part.name) + strlen(part.version) + 3;

        if (part.there != there)
            continue;
        if (!count++)
            column = (unsigned)printf("%s", there ? "built in:" : "not built in:");
        else
            column += (unsigned)printf(",");
        if (column + length > 80)
            column = (unsigned)printf("\n   ") - 1;
        column += (unsigned)printf(" %s%s%s", part.name, *part.version ? " " : "", part.version);
    }
    if (count)
        printf("\n");
}

static int check(struct check *c)
{
    struct utsname host = {0};
    json_t *built = parts(c);

    uname(&host);
    if (!c->json && !c->quiet)
        printf("godwit %s on Linux %s, %s\n", GW_VERSION_TEXT, host.release, host.machine);
    for (size_t k = 0; k < KINDS; k++)
        for (const struct gw_host_fact *f = kinds[k]; f->name; f++) {
            struct gw_host_answer a = {0};

            f->probe(c->directory, &a);
            tell(c, f, &a);
        }
    if (c->json) {
        json_t *all = json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "version", GW_VERSION_TEXT, "kernel", host.release, "machine",
                                host.machine, "all_needed_there", !c->lacks, "host", json_incref(c->facts), "built_in", json_incref(built));

        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(all);
    } else if (!c->quiet) {
        print_parts(true);
        print_parts(false);
    }
    json_decref(built);
    return c->lacks ? GW_EXIT_DIFFERENT : GW_EXIT_DONE;
}

int gw_cmd_check(int argc, char **argv)
{
    struct check c = {.directory = "."};
    const struct gw_cli_option options[] = {
        {"json", .flag = &c.json, .help = "Print one JSON object."},
        {"quiet", 'q', .flag = &c.quiet, .help = "Print nothing; the exit status tells."},
        {"directory", .text = &c.directory, .value = "DIR", .help = "Where files would be, for direct-io (default: here)."},
        {"need", .take = take_need, .opaque = &c, .value = "NAME", .help = "Exit with 3 unless this is there. May be repeated."},
        {0}};
    const struct gw_cli_command command = {
        .arguments = "",
        .about = "Shows which kernel features for migration this host has, what each is used for, and how to get "
                 "missing ones. It tries them on its own memory and sockets and changes nothing. Without root, it "
                 "shows what this user can do.",
        .options = options};
    int status = gw_cli_parse(argc, argv, &command);

    if (status >= 0)
        return status;
    c.facts = json_array();
    status = check(&c);
    json_decref(c.facts);
    return gw_cli_end(COMMAND, status);
}
