/* SPDX-License-Identifier: MIT
 *
 * pagemap_abi: definitions for PAGEMAP_SCAN (Linux 6.7) and asynchronous userfaultfd write-protect, for builds with
 * older kernel headers. Names and values are the kernel's (include/uapi/linux/fs.h and userfaultfd.h,
 * Documentation/admin-guide/mm/pagemap.rst), with the prefix GW_ so that they do not clash with newer headers.
 *
 * Observed behaviour that this library relies on:
 *   - A page is armed when it is write-protected by userfaultfd: PRESENT or SWAPPED (a marker in an empty entry counts
 *     as SWAPPED) without WRITTEN. Reads and faults of other pages leave it armed; a write disarms it.
 *   - Unpopulated memory is neither PRESENT nor SWAPPED. Whether it is WRITTEN differs between kernels and kinds of
 *     memory (6.18: yes, but hugetlb: no), so no code may depend on that.
 *   - With GW_PM_SCAN_WP_MATCHING each page is reported and armed in one atomic step, and translations are flushed
 * before the call returns.
 */
#ifndef GW_PAGEMAP_ABI_H
#define GW_PAGEMAP_ABI_H

#include <stdint.h>
#include <sys/ioctl.h>

struct gw_pm_scan_arg {
    uint64_t size; /* size of this struct */
    uint64_t flags;
    uint64_t start, end;
    uint64_t walk_end; /* output: where the walk has stopped */
    uint64_t vec;      /* struct gw_pm_region[vec_len] */
    uint64_t vec_len;
    uint64_t max_pages;
    /* A page matches when (its categories ^ inverted) has all of mask and, if anyof is not 0, some of anyof. */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask; /* the categories, not inverted, that regions report and by which they are merged */
};

struct gw_pm_region {
    uint64_t start, end; /* addresses */
    uint64_t categories;
};

#define GW_PAGEMAP_SCAN _IOWR('f', 16, struct gw_pm_scan_arg) /* returns the number of regions */

#define GW_PAGE_IS_WPALLOWED (1u << 0)
#define GW_PAGE_IS_WRITTEN   (1u << 1)
#define GW_PAGE_IS_PRESENT   (1u << 3)
#define GW_PAGE_IS_SWAPPED   (1u << 4)
#define GW_PAGE_IS_PFNZERO   (1u << 5)

#define GW_PM_SCAN_WP_MATCHING   (1u << 0)
#define GW_PM_SCAN_CHECK_WPASYNC (1u << 1) /* -EPERM for memory without asynchronous write-protect */

#define GW_UFFD_USER_MODE_ONLY             1
#define GW_UFFD_FEATURE_PAGEFAULT_FLAG_WP  (1u << 0)
#define GW_UFFD_FEATURE_MISSING_HUGETLBFS  (1u << 4)
#define GW_UFFD_FEATURE_MISSING_SHMEM      (1u << 5)
#define GW_UFFD_FEATURE_THREAD_ID          (1u << 8)
#define GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1u << 12)
#define GW_UFFD_FEATURE_WP_UNPOPULATED     (1u << 13)
#define GW_UFFD_FEATURE_WP_ASYNC           (1u << 15)
#define GW_USERFAULTFD_IOC_NEW             _IO(0xAA, 0x00) /* on /dev/userfaultfd; the argument is the flags */

#endif
