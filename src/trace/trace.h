/* SPDX-License-Identifier: MIT
 *
 * trace: calls for the events of trace.def: gw_trace_NAME(trace, ...).
 *
 * A NULL trace is disabled. Arguments are always evaluated: expensive ones must be guarded by gw_trace_wants.
 *
 * Threads: any.
 */
#ifndef GW_TRACE_H
#define GW_TRACE_H

#include <stdatomic.h>

#include "base/base.h"
#include "godwit/clock.h"
#include "godwit/trace.h"

enum gw_trace_event {
#define E(name, ...) GW_TRACE_##name,
#include "trace/trace.def"
#undef E
    GW_TRACE_COUNT
};

struct gw_trace {
    _Atomic uint64_t on; /* bit GW_TRACE_x */
    gw_trace_fn _Atomic fn;
    void *_Atomic opaque;
    const struct gw_clock *clock; /* borrowed */
};

void gw_trace_init(struct gw_trace *t, const struct gw_clock *clock);
/* Parses the names that gw_vm_set_trace takes into a set of bits. */
int gw_trace_parse(const char *names, uint64_t *ret_set, struct gw_error *err);
void gw_trace_set(struct gw_trace *t, uint64_t set, gw_trace_fn fn, void *opaque);
void gw_trace_emit(const struct gw_trace *t, enum gw_trace_event event, const char *format, ...) GW_PRINTF(3, 4);

static inline bool gw_trace_wants(const struct gw_trace *t, enum gw_trace_event event)
{
    return t && atomic_load_explicit(&t->on, memory_order_relaxed) >> event & 1;
}

#define GW_TRACE_VALUES(...) __VA_ARGS__
#define E(name, arguments, values, sentence)                                                                           \
    static inline void gw_trace_##name arguments                                                                       \
    {                                                                                                                  \
        if (gw_trace_wants(t, GW_TRACE_##name))                                                                        \
            gw_trace_emit(t, GW_TRACE_##name, GW_TRACE_VALUES values);                                                 \
    }
#include "trace/trace.def"
#undef E

#endif
