/* SPDX-License-Identifier: MIT
 *
 * uffd: opens userfaultfds, and explains failures.
 *
 * Asynchronous write-protect resolves its faults inside the kernel, also those of kernel code (KVM, read into guest
 * memory), so the user-mode-only kind, which needs no privilege (vm.unprivileged_userfaultfd = 0), is sufficient.
 */
#ifndef GW_PAGE_UFFD_H
#define GW_PAGE_UFFD_H

#include "base/base.h"

struct uffd_msg;

/* *ret_fd is close-on-exec and belongs to the caller. -ENOTSUP: not supported by this kernel; -EPERM: not permitted;
 * both errors say what to do. */
int gw_uffd_open_wp_async(int *ret_fd, struct gw_error *err);

/* A userfaultfd whose faults a thread answers, including those of kernel code, which needs a privilege (the error says
 * which). Memory that is not present is protected as well if the kernel supports it. Results as above. */
int gw_uffd_open_wp(int *ret_fd, struct gw_error *err);

/* A userfaultfd for missing pages, with all kinds of memory that the kernel supports; needs the same privilege.
 * *ret_features: its UFFD_FEATURE_x; a fault reports its thread if the kernel supports it. */
int gw_uffd_open_missing(int *ret_fd, uint64_t *ret_features, struct gw_error *err);

/* Reads at most max messages from a non-blocking userfaultfd, and returns their number; 0: none now. */
int gw_uffd_read(int fd, struct uffd_msg *msg, unsigned max, struct gw_error *err);

#endif
