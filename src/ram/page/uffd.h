/* SPDX-License-Identifier: MIT
 *
 * uffd: userfaultfds, and telling why there is none.
 *
 * Asynchronous write-protect resolves its faults inside the kernel, also those of kernel code (KVM, read into guest
 * memory), so the user-mode-only kind that needs no privilege (vm.unprivileged_userfaultfd = 0) does.
 */
#ifndef GW_PAGE_UFFD_H
#define GW_PAGE_UFFD_H

#include "base/base.h"

struct uffd_msg;

/* *ret_fd is close-on-exec and the caller's. -ENOTSUP: this kernel cannot; -EPERM: it may not; both say what to do. */
int gw_uffd_open_wp_async(int *ret_fd, struct gw_error *err);

/* One whose faults somebody answers, those of kernel code too, which takes a privilege (the error says which). Memory that is
 * not there yet is protected as well where the kernel can. As above. */
int gw_uffd_open_wp(int *ret_fd, struct gw_error *err);

/* One for pages that are missing, of memory of all kinds that the kernel can do; that needs the same privilege. *ret_features:
 * UFFD_FEATURE_x that it has; the thread of a fault is told where that can be. */
int gw_uffd_open_missing(int *ret_fd, uint64_t *ret_features, struct gw_error *err);

/* What the kernel has to tell on a userfaultfd that does not block: so many messages, at most max; 0: nothing now. */
int gw_uffd_read(int fd, struct uffd_msg *msg, unsigned max, struct gw_error *err);

#endif
