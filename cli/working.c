/* SPDX-License-Identifier: MIT */
#include "working.h"

#include <errno.h>
#include <stdio.h>

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

int gw_working_set_up(struct gw_working *w, struct gw_vm *vm, uint64_t *ret_dropped, struct gw_error *err)
{
    int r = w->record && !w->recorded ? gw_working_set_new(&w->recorded, err) : 0;

    *ret_dropped = 0;
    if (r >= 0 && w->preferred)
        r = gw_vm_prefer(vm, w->preferred, ret_dropped, err);
    if (r >= 0)
        gw_vm_record(vm, w->recorded);
    return r;
}

int gw_working_finish(struct gw_working *w, bool replace, struct gw_error *err)
{
    if (!w->recorded || !gw_working_set_pages(w->recorded))
        return 0;
    return gw_working_set_write(w->recorded, w->record, replace, err);
}

void gw_working_free(struct gw_working *w)
{
    w->recorded = gw_working_set_free(w->recorded);
    w->preferred = gw_working_set_free(w->preferred);
}
