/* SPDX-License-Identifier: MIT
 *
 * ctl announce: makes a machine, godwit's or QEMU's, announce its network cards to the switches.
 */
#include "ctl.h"

#include <string.h>

#include "options.h"
#include "units.h"

static const struct {
    const char *name, *parameter;
    uint64_t min, max;
} numbers[] = {
    {"rounds", "announce-rounds", 0, 1000},
    {"initial", "announce-initial", 0, 100000},
    {"step", "announce-step", 1, 10000},
    {"max", "announce-max", 0, 100000},
};

/* Returns an exit status; -1: go on. */
static int take(json_t *args, json_t *interfaces, const char *text)
{
    const char *value = "";
    char name[32] = "";
    uint64_t n;

    gw_option_setting(text, name, sizeof name, &value);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name))
            continue;
        if (!gw_unit_read(gw_unit_of(numbers[i].parameter), value, &n) || n < numbers[i].min || n > numbers[i].max)
            return gw_ctl_usage("announce: %s: %s from %llu to %llu is expected", text,
                                gw_unit_of(numbers[i].parameter) ? "a time (ms, s, min)" : "a number",
                                (unsigned long long)numbers[i].min, (unsigned long long)numbers[i].max);
        json_object_set_new(args, name, json_integer((json_int_t)n));
        return -1;
    }
    if (!strcmp(name, "id") && *value)
        json_object_set_new(args, "id", json_string(value));
    else if (!strcmp(name, "interface") && *value)
        json_array_append_new(interfaces, json_string(value));
    else
        return gw_ctl_usage("announce: '%s' is not rounds=N, initial=TIME, step=TIME, max=TIME, interface=ID or id=NAME", text);
    return -1;
}

/* Values that were not given are those used after an arrival: the command has no defaults of its own. */
static int fill(struct gw_ctl *ctl, json_t *args)
{
    json_t *parameters = NULL;
    int r = gw_ctl_run(ctl, "query-migrate-parameters", NULL, &parameters);

    for (size_t i = 0; r == GW_EXIT_DONE && i < sizeof numbers / sizeof numbers[0]; i++)
        if (!json_object_get(args, numbers[i].name))
            json_object_set_new(args, numbers[i].name,
                                json_integer((json_int_t)gw_ctl_number(parameters, numbers[i].parameter)));
    json_decref(parameters);
    return r;
}

int gw_ctl_announce(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *args = json_object(), *interfaces = json_array(), *result = NULL;
    int r = -1;

    for (int i = 0; i < argc && r < 0; i++)
        r = take(args, interfaces, argv[i]);
    if (r < 0)
        r = fill(ctl, args);
    if (r == GW_EXIT_DONE) {
        if (json_array_size(interfaces))
            json_object_set(args, "interfaces", interfaces);
        r = gw_ctl_run(ctl, "announce-self", json_incref(args), &result);
    }
    if (r == GW_EXIT_DONE && ctl->json)
        gw_ctl_print_json(ctl, result);
    json_decref(result);
    json_decref(interfaces);
    json_decref(args);
    return r;
}
