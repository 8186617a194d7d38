/* SPDX-License-Identifier: MIT
 *
 * Sets an embedder's page transport (godwit/page_transport.h) for its vm.
 */
#include "base/sized.h"
#include "engine/vm.h"

int gw_vm_set_page_transport(struct gw_vm *vm, const struct gw_page_transport_ops *ops, void *opaque, struct gw_error *err)
{
    struct gw_page_transport_ops own = {0};
    struct gw_transport *t = NULL;
    int r = ops ? gw_sized_table_in(&own, sizeof own, ops, GW_SIZED_UNTIL(struct gw_page_transport_ops, take),
                                    "struct gw_page_transport_ops", err)
                : 0;

    if (r >= 0 && ops && !own.take && !own.record)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a page transport needs the call take or the call record");
    if (r >= 0 && vm->image)
        r = gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "the pages of a machine that rests in a file are sent in the stream only");
    if (r >= 0 && ops)
        r = gw_transport_new(&own, opaque, &t, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    if (vm->busy) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the page transport cannot change during a migration");
    } else {
        struct gw_transport *old = vm->transport;

        vm->transport = t;
        t = old;
    }
    pthread_mutex_unlock(&vm->lock);
    gw_transport_free(t);
    return r;
}

void gw_page_taken(struct gw_vm *vm, unsigned pages, int result)
{
    if (vm->transport)
        gw_transport_taken(vm->transport, pages, result);
}
