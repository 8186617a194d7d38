/* SPDX-License-Identifier: MIT
 *
 * trace: what the library does, reported as it does it, for people who look for the cause of something.
 *
 * Every event has a name, a line of text and a sentence that explains it (docs/tracing.md lists them). Nothing is traced
 * until it is asked for; an event that is off costs one load and a branch.
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

/* On the thread where it happens, several at once: it must be quick, may be called with locks of the library held, and
 * must not call back into the library. */
typedef void (*gw_trace_fn)(void *opaque, const struct gw_trace_record *record);

/* Tells fn of the events that `names` asks for: names separated by commas, each may end with `*`; "*" is all. "" or a
 * NULL fn: of none. -ENOENT for a word that fits no event. Any thread; when it returns, fn and opaque of before may still
 * be in use by a call that has begun: they must live as long as the vm. */
GW_API int gw_vm_set_trace(struct gw_vm *vm, const char *names, gw_trace_fn fn, void *opaque, struct gw_error *err);

/* For listings: i counts from 0; false at the end. Pointers may be NULL. */
GW_API bool gw_trace_at(size_t i, const char **ret_name, const char **ret_format, const char **ret_sentence);

#ifdef __cplusplus
}
#endif
#endif
