/* SPDX-License-Identifier: MIT
 *
 * options: capabilities and parameters, with the names, ranges, defaults and conflicts that QMP users know (M2).
 *
 * Values are set by type, or as text as on a command line: numbers decimal with an optional suffix K M G T, booleans
 * on/off/true/false.
 * Threads: any. A changed parameter takes effect in a running migration at its next decision; capabilities cannot be changed
 * while one runs (-EBUSY).
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

/* A new set of options with default values; gw_vm_options returns the set of a vm. free takes NULL and returns NULL. */
GW_API int gw_options_new(struct gw_options **ret_options, struct gw_error *err);
GW_API struct gw_options *gw_options_free(struct gw_options *o);
/* Copies all capabilities and parameters. dst may belong to a vm with a running migration, which then uses the new parameters. */
GW_API void gw_options_copy(struct gw_options *dst, const struct gw_options *src);

/* -ENOENT: there is no such name; -ENOTSUP: this build does not support it; -EINVAL: it conflicts with another one (the text
 * says which). */
GW_API int gw_options_set_capability(struct gw_options *o, const char *name, bool on, struct gw_error *err);
/* Sets several at once, all or none: conflicts are checked for the result. */
GW_API int gw_options_set_capabilities(struct gw_options *o, const char *const *names, const bool *on, size_t count,
                                       struct gw_error *err);
GW_API int gw_options_get_capability(const struct gw_options *o, const char *name, bool *ret_on, struct gw_error *err);

/* -ENOENT; -ERANGE: out of range (the text has the range); -EINVAL: a value of the wrong type, or one that contradicts other
 * parameters; -ENOTSUP: this build does not support the value or parameter. A parameter of a capability (such as
 * multifd-channels) can be set even if the build does not have the capability. */
GW_API int gw_options_set_parameter(struct gw_options *o, const char *name, const char *value, struct gw_error *err);
/* Sets several at once, all or none: contradictions are checked for the result. */
GW_API int gw_options_set_parameters(struct gw_options *o, const char *const *names, const char *const *values,
                                     size_t count, struct gw_error *err);
/* Writes the value as text. -ENOENT; -ENOTSUP: this build does not support the parameter; -ENOSPC: buf is too small. */
GW_API int gw_options_get_parameter(const struct gw_options *o, const char *name, char *buf, size_t size,
                                    struct gw_error *err);

/* By type. bool: a capability or a boolean parameter; u64: a number, in the unit that the parameter has in QMP; str: an enum
 * value or a string. Errors are as above; -EINVAL: the option has another type; -ENOSPC: buf is too small. */
GW_API int gw_options_set_bool(struct gw_options *o, const char *name, bool value, struct gw_error *err);
GW_API int gw_options_set_u64(struct gw_options *o, const char *name, uint64_t value, struct gw_error *err);
GW_API int gw_options_set_str(struct gw_options *o, const char *name, const char *value, struct gw_error *err);
GW_API int gw_options_get_bool(const struct gw_options *o, const char *name, bool *ret_value, struct gw_error *err);
GW_API int gw_options_get_u64(const struct gw_options *o, const char *name, uint64_t *ret_value, struct gw_error *err);
GW_API int gw_options_get_str(const struct gw_options *o, const char *name, char *buf, size_t size,
                              struct gw_error *err);

/* List all options: i counts from 0; false at the end. Any of the pointers may be NULL. The help of an enum parameter ends
 * with its values in parentheses. */
GW_API bool gw_options_capability_at(size_t i, const char **ret_name, bool *ret_supported);
enum gw_parameter_type { GW_PARAMETER_INT, GW_PARAMETER_BOOL, GW_PARAMETER_STRING, GW_PARAMETER_ENUM };
GW_API bool gw_options_parameter_at(size_t i, const char **ret_name, enum gw_parameter_type *ret_type,
                                    const char **ret_help);

#ifdef __cplusplus
}
#endif
#endif
