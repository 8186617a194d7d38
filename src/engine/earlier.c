/* SPDX-License-Identifier: MIT */
#include "engine/earlier.h"

#include "engine/send.h"

static void forget(struct gw_vm *vm)
{
    free(vm->earlier);
    vm->earlier = NULL;
}

void gw_earlier_begin(struct gw_send *s)
{
    struct gw_session *x = &s->session;
    struct gw_vm *vm = x->vm;

    s->began_ns = s->started_ns;
    if (!s->resume)
        forget(vm);
    s->earlier = vm->earlier;
    if (!s->earlier)
        return;
    s->began_ns = s->earlier->began_ns;
    s->syncs = s->earlier->stats.dirty_sync_count;
    pthread_mutex_lock(&x->lock);
    x->stats = s->earlier->stats;
    x->stats.error = (struct gw_error)GW_ERROR_INIT;
    pthread_mutex_unlock(&x->lock);
}

void gw_earlier_add(const struct gw_earlier *e, struct gw_stats *st)
{
    const struct gw_stats *o;

    if (!e)
        return;
    o = &e->stats;
    st->transferred_bytes += o->transferred_bytes;
    for (unsigned i = 0; i < GW_CAUSE_COUNT; i++)
        st->bytes_by[i] += o->bytes_by[i];
    st->duplicate_pages += o->duplicate_pages;
    st->normal_pages += o->normal_pages;
    st->normal_bytes += o->normal_bytes;
    st->packed_pages += o->packed_pages;
    st->multifd_bytes += o->multifd_bytes;
    st->postcopy_requests += o->postcopy_requests;
    st->dirty_sync_missed_zero_copy += o->dirty_sync_missed_zero_copy;
    st->xbzrle.bytes += o->xbzrle.bytes;
    st->xbzrle.pages += o->xbzrle.pages;
    st->xbzrle.misses += o->xbzrle.misses;
    st->xbzrle.overflows += o->xbzrle.overflows;
    st->compression.pages += o->compression.pages;
    st->compression.busy += o->compression.busy;
    st->compression.bytes += o->compression.bytes;
}

void gw_earlier_keep(struct gw_send *s)
{
    struct gw_session *x = &s->session;
    struct gw_vm *vm = x->vm;
    enum gw_phase phase = gw_session_phase(x);

    s->earlier = NULL;
    if (phase != GW_PHASE_SEND_PAUSED && phase != GW_PHASE_SEND_UNDECIDED) {
        forget(vm);
        return;
    }
    if (!vm->earlier)
        vm->earlier = calloc(1, sizeof *vm->earlier);
    if (!vm->earlier)
        return;
    pthread_mutex_lock(&x->lock);
    *vm->earlier = (struct gw_earlier){.stats = x->stats, .began_ns = s->began_ns};
    pthread_mutex_unlock(&x->lock);
}
