/* SPDX-License-Identifier: MIT
 *
 * options: capabilities and parameters, with the names, ranges, defaults and conflicts that QMP users know (M2).
 *
 * Programs set values by their type. As text, as on a command line: numbers decimal or with a suffix K M G T, booleans
 * on/off/true/false.
 * Threads: any. Changes of parameters apply to a running migration from its next decision on; capabilities cannot
 * change while one runs (-EBUSY).
 */
#ifndef GODWIT_OPTIONS_H
#define GODWIT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_options;

/* A set of its own with every default; gw_vm_options gives the one that a vm has. free takes NULL and returns NULL. copy
 * gives dst all of src's values. */
GW_API int gw_options_new(struct gw_options **ret_options, struct gw_error *err);
GW_API struct gw_options *gw_options_free(struct gw_options *o);
/* Copies capabilities and parameters, also into options whose migration runs (it sees the parameters). */
GW_API void gw_options_copy(struct gw_options *dst, const struct gw_options *src);

/* -ENOENT for a name that does not exist, -ENOTSUP for one that this build cannot do, -EINVAL for a conflict, with the
 * message that QEMU gives. */
GW_API int gw_options_set_capability(struct gw_options *o, const char *name, bool on, struct gw_error *err);
/* Several at once, all or nothing: conflicts are judged on the outcome. */
GW_API int gw_options_set_capabilities(struct gw_options *o, const char *const *names, const bool *on, size_t count,
                                       struct gw_error *err);
GW_API int gw_options_get_capability(const struct gw_options *o, const char *name, bool *ret_on, struct gw_error *err);

/* -ENOENT, -ERANGE with the range in the message, -EINVAL for a value of another kind or one that contradicts the others,
 * -ENOTSUP for a value or a parameter that this build cannot do. A parameter that only matters to a capability (as
 * multifd-channels does) can be set whether or not the build has the capability. */
GW_API int gw_options_set_parameter(struct gw_options *o, const char *name, const char *value, struct gw_error *err);
/* Several at once, all or nothing: contradictions are judged on the outcome. */
GW_API int gw_options_set_parameters(struct gw_options *o, const char *const *names, const char *const *values,
                                     size_t count, struct gw_error *err);
/* Writes the value as text. -ENOENT, -ENOTSUP for a parameter that this build cannot do, -ENOSPC. */
GW_API int gw_options_get_parameter(const struct gw_options *o, const char *name, char *buf, size_t size,
                                    struct gw_error *err);

/* By type. bool: a capability, or a parameter of on and off; u64: a number, in the unit that the parameter has in QMP; str:
 * a word or a text. The errors are those above; -EINVAL: it is of another type. -ENOSPC: what get_str would write does not
 * fit. */
GW_API int gw_options_set_bool(struct gw_options *o, const char *name, bool value, struct gw_error *err);
GW_API int gw_options_set_u64(struct gw_options *o, const char *name, uint64_t value, struct gw_error *err);
GW_API int gw_options_set_str(struct gw_options *o, const char *name, const char *value, struct gw_error *err);
GW_API int gw_options_get_bool(const struct gw_options *o, const char *name, bool *ret_value, struct gw_error *err);
GW_API int gw_options_get_u64(const struct gw_options *o, const char *name, uint64_t *ret_value, struct gw_error *err);
GW_API int gw_options_get_str(const struct gw_options *o, const char *name, char *buf, size_t size,
                              struct gw_error *err);

/* For listings: i counts from 0; false at the end. Any of the pointers may be NULL. The help of an enum parameter ends
 * with its values in parentheses. */
GW_API bool gw_options_capability_at(size_t i, const char **ret_name, bool *ret_supported);
enum gw_parameter_type { GW_PARAMETER_INT, GW_PARAMETER_BOOL, GW_PARAMETER_STRING, GW_PARAMETER_ENUM };
GW_API bool gw_options_parameter_at(size_t i, const char **ret_name, enum gw_parameter_type *ret_type,
                                    const char **ret_help);

#ifdef __cplusplus
}
#endif
#endif
