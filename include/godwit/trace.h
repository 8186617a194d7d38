/* SPDX-License-Identifier: MIT
 *
 * trace: reports what the library does while it does it, for debugging.
 *
 * Every event has a name, a line of text and a sentence that explains it (docs/tracing.md lists them). No event is traced
 * unless it is enabled; a disabled one costs a load and a branch.
 */
#ifndef GODWIT_TRACE_H
#define GODWIT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_vm;

struct gw_trace_record {
    const char *name; /* "phase" */
    const char *text; /* one line, no newline; valid during the call */
    uint64_t at_ns;   /* the vm's clock */
};

/* Called on the thread where the event happens, possibly on several threads at once. It must be quick and must not call the
 * library, which may hold locks. */
typedef void (*gw_trace_fn)(void *opaque, const struct gw_trace_record *record);

/* Enables the events in `names`, reported to fn, and disables all others: names separated by commas, each may end with `*`; "*"
 * is all. "" or fn NULL: none. -ENOENT: a name matches no event. Any thread. When it returns, a call of the previous fn may
 * still be running: fn and opaque must live as long as the vm. */
GW_API int gw_vm_set_trace(struct gw_vm *vm, const char *names, gw_trace_fn fn, void *opaque, struct gw_error *err);

/* Lists the events: i counts from 0; false at the end. Pointers may be NULL. */
GW_API bool gw_trace_at(size_t i, const char **ret_name, const char **ret_format, const char **ret_sentence);

#ifdef __cplusplus
}
#endif
#endif
