/* SPDX-License-Identifier: MIT */
#include "working.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "shown.h"

enum gw_cli_taken gw_working_take(void *opaque, char *value)
{
    struct gw_working *w = opaque;
    struct gw_error err = GW_ERROR_INIT;
    int r = w->preferred ? 0 : gw_working_set_new(&w->preferred, &err);

    if (r >= 0)
        r = gw_working_set_read(w->preferred, value, &err);
    if (r >= 0)
        return GW_CLI_TAKEN;
    fprintf(stderr, "godwit %s: --working-set: %s\n", w->command, gw_shown(err.text));
    return GW_CLI_TOLD;
}

int gw_working_check(const struct gw_working *w, struct gw_vm *vm, bool replace, struct gw_error *err)
{
    bool preempt = false;
    int r = w->record ? gw_options_get_capability(gw_vm_options(vm), "postcopy-preempt", &preempt, err) : 0;

    if (r >= 0 && preempt)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                    "--record with capability postcopy-preempt: requested pages then use a separate connection and are "
                    "not recorded; leave one of the two out");
    if (r >= 0 && w->record && !replace && !access(w->record, F_OK))
        r = gw_fail(err, -EEXIST, GW_BLAME_CALLER, "--record %s: it is there already; --force replaces it", gw_shown(w->record));
    return r;
}

int gw_working_set_up(const struct gw_working *w, struct gw_vm *vm, struct gw_working_set **recorded, uint64_t *ret_dropped,
                      struct gw_error *err)
{
    int r = w->record && !*recorded ? gw_working_set_new(recorded, err) : 0;

    *ret_dropped = 0;
    if (r >= 0 && w->preferred)
        r = gw_vm_prefer(vm, w->preferred, ret_dropped, err);
    if (r >= 0)
        gw_vm_record(vm, *recorded);
    return r;
}

int gw_working_add(struct gw_working *w, const struct gw_working_set *recorded, struct gw_error *err)
{
    int r = recorded && !w->tally ? gw_working_tally_new(&w->tally, err) : 0;

    return r >= 0 && recorded ? gw_working_tally_add(w->tally, recorded, err) : r;
}

int gw_working_finish(struct gw_working *w, bool replace, struct gw_error *err)
{
    int r = w->tally && !w->recorded ? gw_working_set_new(&w->recorded, err) : 0;

    if (r >= 0 && w->tally)
        r = gw_working_tally_set(w->tally, w->recorded, err);
    if (r < 0 || !w->recorded || !gw_working_set_pages(w->recorded))
        return r;
    return gw_working_set_write(w->recorded, w->record, replace, err);
}

void gw_working_free(struct gw_working *w)
{
    w->recorded = gw_working_set_free(w->recorded);
    w->preferred = gw_working_set_free(w->preferred);
    w->tally = gw_working_tally_free(w->tally);
}
