/* SPDX-License-Identifier: MIT
 *
 * sized: structs of the public API that are passed with their size (godwit/version.h).
 *
 * `ours` is the size in this library, `theirs` the size in the program. Both functions touch no more than `theirs`
 * bytes on the program's side.
 */
#ifndef GW_SIZED_H
#define GW_SIZED_H

#include "base/base.h"

#define GW_SIZED_MAX 65536u /* a larger size is an error of the program */

/* Copies the program's struct into dst; members that it does not have become zero. src NULL: all zero. `least`: the
 * minimum size that a program must have. dst is filled as far as possible even on failure. -EINVAL, -E2BIG. name:
 * "struct gw_send_config". */
int gw_sized_in(void *dst, size_t ours, const void *src, size_t theirs, size_t least, const char *name,
                struct gw_error *err);
/* The same for a struct whose first member is its own size, a size_t. dst keeps the library's size there. */
int gw_sized_table_in(void *dst, size_t ours, const void *src, size_t least, const char *name, struct gw_error *err);
/* Fills the program's struct; members that the library does not have become zero. */
void gw_sized_out(void *dst, size_t theirs, const void *src, size_t ours);

/* The size up to and including a member: for `least`. */
#define GW_SIZED_UNTIL(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

#endif
