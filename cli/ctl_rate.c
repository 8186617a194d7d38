/* SPDX-License-Identifier: MIT
 *
 * ctl dirty-rate: measures the dirty rate of a machine, godwit's or QEMU's.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

#define POLL_NS (50 * 1000000ull)
#define SECOND  1000000000ull

/* The arguments of calc-dirty-rate; NULL: wrong usage, which was printed. Options that were not given are omitted, as
 * old servers do not have them; whole seconds are sent in seconds. */
static json_t *arguments(int argc, char **argv)
{
    static const char *const modes[] = {"page-sampling", "dirty-bitmap", "dirty-ring"};
    json_t *args = json_object();
    uint64_t ns = SECOND, n;

    for (int i = 0; args && i < argc; i++) {
        const char *value = "", *why = NULL;
        char name[32] = "";
        bool known = false;

        gw_option_setting(argv[i], name, sizeof name, &value);
        for (size_t k = 0; k < 3; k++)
            known |= !strcmp(value, modes[k]);
        if (!strcmp(name, "time"))
            why = gw_option_seconds(value, &ns) ? NULL : "is not a number of seconds";
        else if (!strcmp(name, "mode"))
            why = known ? NULL : "is not page-sampling, dirty-bitmap or dirty-ring";
        else if (!strcmp(name, "samples"))
            why = gw_option_number(value, 1, 1000000, &n) ? NULL : "is not a number of pages for each GiB";
        else
            why = "is not time=SECONDS, mode=MODE or samples=PAGES";
        if (why) {
            gw_ctl_usage("dirty-rate: '%s' %s", argv[i], why);
            json_decref(args);
            return NULL;
        }
        if (!strcmp(name, "mode"))
            json_object_set_new(args, "mode", json_string(value));
        else if (!strcmp(name, "samples"))
            json_object_set_new(args, "sample-pages", json_integer((json_int_t)n));
    }
    if (ns % SECOND)
        json_object_set_new(args, "calc-time-unit", json_string("millisecond"));
    json_object_set_new(args, "calc-time", json_integer((json_int_t)(ns % SECOND ? ns / 1000000 : ns / SECOND)));
    return args;
}

/* Waits for the end of the measurement. *ret is a new reference. */
static int await(struct gw_ctl *ctl, const json_t *asked, json_t **ret)
{
    const json_t *unit = json_object_get(asked, "calc-time-unit");
    struct gw_error err = GW_ERROR_INIT;
    int r;

    for (;;) {
        json_t *info = NULL;
        const char *why;

        r = gw_ctl_run(ctl, "query-dirty-rate", unit ? json_pack("{sO}", "calc-time-unit", unit) : NULL, &info);
        if (r != GW_EXIT_DONE)
            return r;
        if (!strcmp(gw_ctl_text(info, "status", ""), "measured")) {
            *ret = info;
            return GW_EXIT_DONE;
        }
        /* QEMU may report unstarted for a moment after the start; godwit reports why the measurement ended. */
        why = gw_ctl_text(info, "x-godwit.error-desc", NULL);
        if (why)
            gw_fail(&err, -EREMOTEIO, GW_BLAME_PEER, "%s", why);
        json_decref(info);
        if (why || gw_qmp_wait(ctl->qmp, POLL_NS, &err) < 0)
            return gw_ctl_failed("dirty-rate", &err);
    }
}

int gw_ctl_dirty_rate(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *args = arguments(argc, argv), *info = NULL, *vcpu;
    bool milliseconds;
    size_t i;
    int r;

    if (!args)
        return GW_EXIT_USAGE;
    milliseconds = json_object_get(args, "calc-time-unit");
    r = gw_ctl_run(ctl, "calc-dirty-rate", json_incref(args), NULL);
    if (r == GW_EXIT_DONE)
        r = await(ctl, args, &info);
    json_decref(args);
    if (r != GW_EXIT_DONE)
        return r;
    if (ctl->json) {
        gw_ctl_print_json(ctl, info);
    } else {
        char time[GW_HUMAN];

        printf("dirty rate  %.0f MiB/s (%s, over %s)\n", gw_ctl_number(info, "dirty-rate"),
               gw_ctl_text(info, "mode", "page-sampling"),
               gw_human_ms(time, gw_ctl_number(info, "calc-time") * (milliseconds ? 1 : 1000)));
        json_array_foreach(json_object_get(info, "vcpu-dirty-rate"), i, vcpu)
            printf("vCPU %-6.0f %.0f MiB/s\n", gw_ctl_number(vcpu, "id"), gw_ctl_number(vcpu, "dirty-rate"));
    }
    json_decref(info);
    return GW_EXIT_DONE;
}
