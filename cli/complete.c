/* SPDX-License-Identifier: MIT */
#include "complete.h"

#include <string.h>

#include <godwit/options.h>

#include "complete_shell.h"
#include "value.h"

#define WORD "--completion="

/* A shell function for a command or one of its subcommands. */
struct part {
    const char *name; /* "ctl" */
    const struct gw_cli_command *command;
    const struct gw_cli_sub *sub; /* NULL: the command itself */
    struct gw_cli_list list;
};

static bool has(const struct part *p, const struct gw_cli_option *o)
{
    return !o->absent && (!p->sub || !o->of || gw_cli_has_word(o->of, p->sub->name));
}

#define ARGUMENTS_TEXT 256

/* The checked arguments, or else the beginning of the synopsis' first form. Returns buf. */
static const char *arguments_of(const struct part *p, char buf[ARGUMENTS_TEXT])
{
    const char *own = p->sub ? p->sub->arguments : p->command->arguments,
               *usage = p->sub ? p->sub->usage : p->command->usage, *word;
    char form[512];

    if (own || !usage || p->command->subs_parse) {
        snprintf(buf, ARGUMENTS_TEXT, "%s", own ? own : "");
        return buf;
    }
    snprintf(form, sizeof form, "%.*s", (int)strcspn(usage, "\n"), usage);
    usage = form;
    buf[0] = 0;
    for (size_t n; (n = gw_cli_next_word(&usage, &word)) && word[0] != '-' && strncmp(word, "[-", 2) &&
                   strncmp(word, "[OPTION", 7);)
        if (word[0] < 'a' || word[0] > 'z') /* the subcommand's name */
            snprintf(buf + strlen(buf), ARGUMENTS_TEXT - strlen(buf), "%s%.*s", buf[0] ? " " : "", (int)n, word);
    return buf;
}

/* "_ctl_migrate", of "godwit schema check": "_schema_check". */
static void print_name(const struct part *p)
{
    fputs("_godwit_", stdout);
    for (const char *c = p->name; *c; c++)
        putchar(*c == ' ' ? '_' : *c);
    if (p->sub)
        printf("_%s", p->sub->name);
}

static void print_subs(const struct part *p)
{
    for (const struct gw_cli_sub *s = p->command->subs; s->name; s++)
        printf("%s%s", s == p->command->subs ? "" : " ", s->name);
}

static bool chooses_sub(const struct part *p)
{
    return p->command->subs && !p->sub;
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

/* "file *uri": the kinds of arguments; a star applies to all further arguments. */
static void bash_arguments(const struct part *p)
{
    char buf[ARGUMENTS_TEXT];
    const char *words = arguments_of(p, buf), *word;

    for (size_t n; (n = gw_cli_next_word(&words, &word));) {
        bool repeats = n > 3 && !strncmp(word + n - 3, "...", 3);

        printf("%s%s ", repeats ? "*" : "", gw_cli_kind_name(gw_cli_value(word)->kind));
    }
}

static void bash_value(const struct gw_cli_option *o)
{
    printf("        --%s", o->name);
    if (o->letter)
        printf(" | -%c", o->letter);
    if (o->choices)
        printf(") kind=words choices='%s' ;;\n", o->choices);
    else
        printf(") kind=%s ;;\n", gw_cli_kind_name(gw_cli_value(o->value ? o->value : "")->kind));
}

static void bash_part(const struct part *p)
{
    print_name(p);
    printf("() {\n    options='");
    for (int i = 0; i < p->list.count; i++) {
        const struct gw_cli_option *o = p->list.option[i];

        if (has(p, o) && o->letter)
            printf("-%c ", o->letter);
        if (has(p, o))
            printf("--%s ", o->name);
    }
    printf("-h --help'\n    arguments='");
    if (!chooses_sub(p))
        bash_arguments(p);
    printf("'\n    before='%s' subs='", chooses_sub(p) && p->command->before_sub
                                            ? gw_cli_kind_name(gw_cli_value(p->command->before_sub)->kind)
                                            : "");
    if (chooses_sub(p))
        print_subs(p);
    printf("'\n    case $1 in\n");
    for (int i = 0; i < p->list.count; i++)
        if (has(p, p->list.option[i]) && gw_cli_has_value(p->list.option[i]))
            bash_value(p->list.option[i]);
    printf("    esac\n}\n\n");
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

/* Text inside single quotes, where brackets and colons separate the fields of _arguments. */
static void zsh_text(const char *text)
{
    for (; text && *text; text++) {
        if (strchr("[]:\\", *text))
            putchar('\\');
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
}

static void zsh_action(const char *value)
{
    static const char *const actions[] = {[GW_CLI_ANY] = " ",
                                          [GW_CLI_FILE] = "_files",
                                          [GW_CLI_FOLDER] = "_directories",
                                          [GW_CLI_SOCKET] = "_godwit-socket",
                                          [GW_CLI_URI] = "_godwit-uri",
                                          [GW_CLI_USER] = "_users",
                                          [GW_CLI_CAPABILITY] = "_godwit-capability",
                                          [GW_CLI_PARAMETER] = "_godwit-parameter"};

    fputs(actions[gw_cli_value(value)->kind], stdout);
}

static void zsh_option(const struct gw_cli_option *o)
{
    const char *value = o->value ? o->value : "VALUE";

    printf(" \\\n        ");
    if (o->letter)
        printf("'*'{-%c%s,--%s%s}'", o->letter, gw_cli_has_value(o) ? "+" : "", o->name,
               gw_cli_has_value(o) ? "=" : "");
    else
        printf("'*--%s%s", o->name, gw_cli_has_value(o) ? "=" : "");
    putchar('[');
    zsh_text(o->help);
    putchar(']');
    if (gw_cli_has_value(o)) {
        putchar(':');
        zsh_text(value);
        putchar(':');
        if (o->choices)
            printf("(%s)", o->choices);
        else
            zsh_action(value);
    }
    putchar('\'');
}

static void zsh_arguments(const struct part *p)
{
    char buf[ARGUMENTS_TEXT], name[64];
    const char *words = arguments_of(p, buf), *word;
    int at = 1;

    for (size_t n; (n = gw_cli_next_word(&words, &word));) {
        bool repeats = n > 3 && !strncmp(word + n - 3, "...", 3), optional = word[0] == '[';

        snprintf(name, sizeof name, "%.*s", (int)n, word);
        if (repeats)
            printf(" \\\n        '*:");
        else
            printf(" \\\n        '%d:%s", at++, optional ? ":" : "");
        zsh_text(name);
        putchar(':');
        zsh_action(name);
        putchar('\'');
        if (repeats)
            break;
    }
}

static void zsh_subs(const struct part *p)
{
    int at = 1;

    if (p->command->before_sub) {
        printf(" \\\n        '%d:%s:", at++, p->command->before_sub);
        zsh_action(p->command->before_sub);
        putchar('\'');
    }
    printf(" \\\n        '%d:COMMAND:(", at);
    print_subs(p);
    printf(")' \\\n        '*::argument:->rest'\n    [[ $state == rest ]] || return\n");
    if (p->command->before_sub)
        printf("    shift words; (( CURRENT-- ))\n");
    printf("    _godwit-call ");
    print_name(p);
    printf("_$words[1]\n");
}

static void zsh_part(const struct part *p)
{
    print_name(p);
    printf("() {\n    local curcontext=$curcontext state line\n    _arguments -C -s");
    for (int i = 0; i < p->list.count; i++)
        if (has(p, p->list.option[i]))
            zsh_option(p->list.option[i]);
    printf(" \\\n        '(- *)'{-h,--help}'[Print help.]'");
    if (chooses_sub(p)) {
        zsh_subs(p);
    } else {
        zsh_arguments(p);
        putchar('\n');
    }
    printf("}\n\n");
}

/* ---- table ------------------------------------------------------------------------------------------------------- */

static void table_part(const struct part *p)
{
    const char *sub = p->sub ? p->sub->name : "";
    char buf[ARGUMENTS_TEXT];

    printf("arguments\t%s\t%s\t%s\t%s\n", p->name, sub, arguments_of(p, buf),
           p->sub              ? p->sub->about
           : p->command->about ? "about"
                               : "");
    for (int i = 0; !p->sub && i < p->list.count; i++) {
        const struct gw_cli_option *o = p->list.option[i];

        if (!o->absent)
            printf("option\t%s\t%s\t--%s\t%c\t%s\t%s\t%s\n", p->name, o->of ? o->of : "", o->name,
                   o->letter ? o->letter : ' ', o->value ? o->value : "", o->choices ? o->choices : "",
                   o->help ? o->help : "");
    }
}

/* ---- names of capabilities and parameters ------------------------------------------------------------------------- */

static void print_capabilities(void)
{
    const char *name, *between = "";
    bool supported;

    for (size_t i = 0; gw_options_capability_at(i, &name, &supported); i++)
        if (supported) {
            printf("%s%s", between, name);
            between = " ";
        }
}

static void print_parameters(void)
{
    const char *name;

    for (size_t i = 0; gw_options_parameter_at(i, &name, NULL, NULL); i++)
        printf("%s%s", i ? " " : "", name);
}

/* "mode=normal mode=cpr-reboot": for parameters with few values. The help text of an enum ends with its values: "(none
 * zlib zstd)". */
static void print_choices(void)
{
    const char *name, *help, *between = "";
    enum gw_parameter_type type;

    for (size_t i = 0; gw_options_parameter_at(i, &name, &type, &help); i++) {
        const char *list = type == GW_PARAMETER_ENUM && help ? strrchr(help, '(') : NULL;

        if (type == GW_PARAMETER_BOOL)
            list = "(on, off)";
        for (list = list ? list + 1 : ""; *list && *list != ')'; list += strspn(list, ", ")) {
            size_t n = strcspn(list, " ,)");

            printf("%s%s=%.*s", between, name, (int)n, list);
            between = " ";
            list += n;
        }
    }
}

/* The same syntax works in both shells. */
static void print_names(void)
{
    printf("_godwit_capabilities='");
    print_capabilities();
    printf("'\n_godwit_parameters='");
    print_parameters();
    printf("'\n_godwit_choices='");
    print_choices();
    printf("'\n\n");
}

static void print_nothing(void)
{
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static const struct shell {
    const char *name, *begin, *end;
    void (*names)(void);
    void (*part)(const struct part *p);
} shells[] = {
    {"bash", GW_BASH_BEGIN, GW_BASH_END, print_names, bash_part},
    {"zsh", GW_ZSH_BEGIN, GW_ZSH_END, print_names, zsh_part},
    {"table", "", "", print_nothing, table_part},
};

static const struct shell *find(const char *name)
{
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (!strcmp(shells[i].name, name))
            return &shells[i];
    return NULL;
}

bool gw_cli_is_completion(const char *word)
{
    return !strncmp(word, WORD, strlen(WORD)) && find(word + strlen(WORD));
}

bool gw_cli_complete(const char *who, const char *word, const struct gw_cli_command *command)
{
    struct part p = {.name = strncmp(who, "godwit ", 7) ? who : who + 7, .command = command};
    const struct shell *shell;

    if (!gw_cli_is_completion(word))
        return false;
    shell = find(word + strlen(WORD));
    if (command->options)
        gw_cli_list(&p.list, command->options);
    shell->part(&p);
    if (!command->subs || command->subs_parse)
        return true;
    for (p.sub = command->subs; p.sub->name; p.sub++)
        shell->part(&p);
    return true;
}

bool gw_cli_complete_begin(const char *name)
{
    const struct shell *shell = find(name);

    if (!shell)
        return false;
    fputs(shell->begin, stdout);
    shell->names();
    return true;
}

void gw_cli_complete_end(const char *name, const char *commands)
{
    const struct shell *shell = find(name);

    if (*shell->end)
        printf(shell->end, commands);
}
