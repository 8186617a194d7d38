/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <string.h>

static const struct gw_cli_value values[] = {
    {"", GW_CLI_ANY, NULL},
    {"A", GW_CLI_FILE, NULL},
    {"B", GW_CLI_FILE, NULL},
    {"DIR", GW_CLI_FOLDER, NULL},
    {"DISK", GW_CLI_FILE, NULL},
    {"FILE", GW_CLI_FILE, NULL},
    {"FROM", GW_CLI_FILE, NULL},
    {"IN", GW_CLI_FILE, NULL},
    {"INTO", GW_CLI_FILE, NULL},
    {"NAME=VALUE", GW_CLI_PARAMETER, "NAME=VALUE"},
    {"NAME[=VALUE]", GW_CLI_PARAMETER, NULL},
    {"NAME[=on|off]", GW_CLI_CAPABILITY, "NAME, NAME=on or NAME=off"},
    {"OUT", GW_CLI_FILE, NULL},
    {"PARTIAL", GW_CLI_FILE, NULL},
    {"RECORD", GW_CLI_FILE, NULL},
    {"SECONDS", GW_CLI_ANY, "a number of seconds such as 30 or 0.5"},
    {"SIZE", GW_CLI_ANY, "a size such as 512M (K, M, G, T: powers of two)"},
    {"SOCKET", GW_CLI_SOCKET, NULL},
    {"STREAM", GW_CLI_FILE, NULL},
    {"TO", GW_CLI_FILE, NULL},
    {"URI", GW_CLI_URI, NULL},
    {"USER", GW_CLI_USER, NULL},
    {"UUID", GW_CLI_ANY, "32 hexadecimal digits"},
};

static const char *const kinds[] = {[GW_CLI_ANY] = "any",       [GW_CLI_FILE] = "file", [GW_CLI_FOLDER] = "folder",
                                    [GW_CLI_SOCKET] = "socket", [GW_CLI_URI] = "uri",   [GW_CLI_USER] = "user",
                                    [GW_CLI_CAPABILITY] = "capability", [GW_CLI_PARAMETER] = "parameter"};

const struct gw_cli_value *gw_cli_value(const char *text)
{
    size_t n;

    text += text[0] == '[';
    for (size_t i = 1; i < sizeof values / sizeof values[0]; i++) {
        n = strlen(values[i].name);
        if (!strncmp(values[i].name, text, n) && strchr("]. ", text[n])) /* strchr also finds the terminating NUL */
            return &values[i];
    }
    n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (size_t i = 1; i < sizeof values / sizeof values[0]; i++)
        if (strlen(values[i].name) == n && !strncmp(values[i].name, text, n))
            return &values[i];
    return &values[0];
}

const char *gw_cli_kind_name(enum gw_cli_kind kind)
{
    return kinds[kind];
}
