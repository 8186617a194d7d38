/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <string.h>

#define COLUMN_MAX 26 /* longer names have a line of their own */
#define SUB_MAX    23 /* length of a subcommand with its arguments */

void gw_cli_wrap(FILE *to, const char *text, int column, int indent)
{
    int at = column;
    bool begun = false; /* the line has a word already */

    while (*text) {
        size_t spaces = strspn(text, " "), n = strcspn(text + spaces, " \n");

        if (text[spaces] == '\n') {
            text += spaces + 1;
            fputs("\n", to);
            if (*text && *text != '\n')
                fprintf(to, "%*s", indent, "");
            at = indent;
            begun = false;
            continue;
        }
        if (!n)
            break;
        if (begun && at + (int)spaces + (int)n > GW_CLI_COLUMNS) {
            fprintf(to, "\n%*s", indent, "");
            at = indent;
            text += spaces;
            spaces = 0;
        }
        fprintf(to, "%*s%.*s", (int)spaces, "", (int)n, text + spaces);
        at += (int)(spaces + n);
        text += spaces + n;
        begun = true;
    }
    fputs("\n", to);
}

void gw_cli_row(FILE *to, const char *name, const char *text, int column)
{
    int n = fprintf(to, "  %s", name);

    if (n + 2 > column)
        n = fprintf(to, "\n") - 1;
    fprintf(to, "%*s", column - n, "");
    gw_cli_wrap(to, text, column, column);
}

/* ---- how it is called -------------------------------------------------------------------------------------------- */

static void print_form(FILE *to, bool first, const char *who, const char *form, size_t bytes)
{
    char line[512];
    int indent = (int)(strlen("usage: ") + strlen(who) + 1);

    fprintf(to, "%s%s ", first ? "usage: " : "       ", who);
    snprintf(line, sizeof line, "%.*s", (int)bytes, form);
    gw_cli_wrap(to, line, indent, indent);
}

static void print_usage(FILE *to, const char *who, const struct gw_cli_command *c, const struct gw_cli_sub *sub)
{
    const char *usage = sub ? sub->usage : c->usage, *arguments = sub ? sub->arguments : c->arguments;
    char made[256], prefix[96];

    snprintf(prefix, sizeof prefix, "%s%s%s%s%s", who, sub && c->before_sub ? " " : "",
             sub && c->before_sub ? c->before_sub : "", sub ? " " : "", sub ? sub->name : "");
    if (!usage) {
        if (!sub && c->subs)
            snprintf(made, sizeof made, "%s%sCOMMAND [ARGUMENT]... [OPTION]...", c->before_sub ? c->before_sub : "",
                     c->before_sub ? " " : "");
        else
            snprintf(made, sizeof made, "%s%s[OPTION]...", arguments ? arguments : "",
                     arguments && *arguments ? " " : "");
        usage = made;
    }
    for (bool first = true; *usage; first = false) {
        size_t n = strcspn(usage, "\n");

        print_form(to, first, prefix, usage, n);
        usage += n + (usage[n] == '\n');
    }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void name_of(const struct gw_cli_option *o, char *buf, size_t size)
{
    char letter[8] = "";

    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(buf, size, "%s--%s%s%s", letter, o->name, gw_cli_has_value(o) ? " " : "",
             !gw_cli_has_value(o) ? ""
             : o->value           ? o->value
                                  : "VALUE");
}

/* The help text and the possible values: "How OUT is compressed (none, zstd)." */
static void help_of(const struct gw_cli_option *o, char *buf, size_t size)
{
    const char *words = o->choices, *word, *between = " (";
    size_t end = strlen(o->help), at;

    if (!o->number && !o->choices) {
        snprintf(buf, size, "%s", o->help);
        return;
    }
    end -= end && o->help[end - 1] == '.';
    at = (size_t)snprintf(buf, size, "%.*s", (int)end, o->help);
    if (o->number && at < size)
        snprintf(buf + at, size - at, " (%u to %u).", o->least, o->most);
    for (size_t n; at < size && (n = gw_cli_next_word(&words, &word)); between = ", ")
        at += (size_t)snprintf(buf + at, size - at, "%s%.*s", between, (int)n, word);
    if (o->choices && at < size)
        snprintf(buf + at, size - at, ").");
}

/* Whether it is in the help of all subcommands: an option that they all have. */
static bool is_listed(const struct gw_cli_option *o, const struct gw_cli_sub *sub)
{
    return o->help && !o->absent && (!o->of || (sub && gw_cli_has_word(o->of, sub->name)));
}

static void print_options(FILE *to, const struct gw_cli_command *c, const struct gw_cli_sub *sub)
{
    struct gw_cli_list list = {.count = 0};
    char name[128], text[1024];
    int column = 16;

    if (c->options)
        gw_cli_list(&list, c->options);
    for (int i = 0; i < list.count; i++) {
        int n;

        name_of(list.option[i], name, sizeof name);
        n = (int)strlen(name) + 4;
        if (is_listed(list.option[i], sub) && n > column && n <= COLUMN_MAX)
            column = n;
    }
    fputs("\nOptions:\n", to);
    for (int i = 0; i < list.count; i++) {
        if (!is_listed(list.option[i], sub))
            continue;
        name_of(list.option[i], name, sizeof name);
        help_of(list.option[i], text, sizeof text);
        gw_cli_row(to, name, text, column);
    }
    gw_cli_row(to, "-h, --help", "Print this.", column);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

/* The name with its arguments, if they are short. */
static int sub_name(const struct gw_cli_sub *s, char *buf, size_t size)
{
    bool fits = s->arguments && strlen(s->name) + 1 + strlen(s->arguments) <= SUB_MAX;

    return snprintf(buf, size, "%s%s%s", s->name, fits && *s->arguments ? " " : "", fits ? s->arguments : "");
}

static void print_subs(FILE *to, const struct gw_cli_command *c, const char *who)
{
    char one[256], name[64];
    int column = 0, n;

    for (const struct gw_cli_sub *s = c->subs; s->name; s++) {
        n = sub_name(s, name, sizeof name) + 4;
        column = n > column ? n : column;
    }
    fputs("\nCommands:\n", to);
    for (const struct gw_cli_sub *s = c->subs; s->name; s++) {
        const char *end = strstr(s->about, ". ");

        snprintf(one, sizeof one, "%.*s", end ? (int)(end + 1 - s->about) : (int)strlen(s->about), s->about);
        sub_name(s, name, sizeof name);
        gw_cli_row(to, name, one, column);
    }
    snprintf(one, sizeof one, "`godwit help %s COMMAND` shows more about one.", who + (strncmp(who, "godwit ", 7) ? 0 : 7));
    fputs("\n", to);
    gw_cli_wrap(to, one, 0, 0);
}

void gw_cli_help(FILE *to, const char *who, const struct gw_cli_command *c, const struct gw_cli_sub *sub)
{
    print_usage(to, who, c, sub);
    fputs("\n", to);
    gw_cli_wrap(to, sub ? sub->about : c->about, 0, 0);
    if (!sub && c->subs)
        print_subs(to, c, who);
    if (sub || !c->subs_parse)
        print_options(to, c, sub);
    if (c->after && !sub) {
        fputs("\n", to);
        gw_cli_wrap(to, c->after, 0, 0);
    }
}
