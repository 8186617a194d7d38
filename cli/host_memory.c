/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "human.h"

/* The kernel's numbers (include/uapi/linux/userfaultfd.h, fs.h), as older headers do not have them. */
#define IOC_NEW          _IO(0xAA, 0x00)
#define HAS_WP           (1u << 0)
#define HAS_HUGETLBFS    (1u << 4)
#define HAS_SHMEM        (1u << 5)
#define HAS_THREAD_ID    (1u << 8)
#define HAS_MINOR        (1u << 9)
#define HAS_MINOR_SHMEM  (1u << 10)
#define HAS_WP_SHMEM     (1u << 12)
#define HAS_UNPOPULATED  (1u << 13)
#define HAS_WP_ASYNC     (1u << 15)
#define PAGEMAP_SOFT     (1ull << 55)

struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, wanted;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct scan_arg)

#define UFFD_ADVICE \
    "run as root, or give this user access to /dev/userfaultfd (Linux 6.1), or set vm.unprivileged_userfaultfd=1"

/* ---- userfaultfd ------------------------------------------------------------------------------------------------------ */

/* A descriptor that also handles faults in the kernel, as the library needs it. how: how it was obtained. */
static int open_uffd(const char **how)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), device, error = errno;

    *how = "by the system call";
    if (fd >= 0)
        return fd;
    device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        errno = error;
        return -1;
    }
    *how = "by /dev/userfaultfd";
    fd = ioctl(device, IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    close(device);
    return fd;
}

/* The kernel's features; 0: not available, and the answer gives the reason. */
static uint64_t features(struct gw_host_answer *a, const char **how)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = open_uffd(how), r;

    if (fd < 0) {
        gw_host_failed(a, "userfaultfd", errno == ENOSYS ? "use a kernel with CONFIG_USERFAULTFD" : UFFD_ADVICE);
        return 0;
    }
    r = ioctl(fd, UFFDIO_API, &api);
    if (r < 0)
        gw_host_failed(a, "UFFDIO_API", "use Linux 4.11 or later");
    close(fd);
    return r < 0 ? 0 : api.features | 1ull << 63; /* nonzero also without optional features */
}

static void probe_uffd(const char *directory, struct gw_host_answer *a)
{
    const char *how;
    uint64_t has = features(a, &how);

    if (!has)
        return;
    a->there = true;
    GW_HOST_SAY(a->detail, "%s: missing%s%s%s", how, has & HAS_WP ? ", write-protect" : "",
                has & (HAS_MINOR | HAS_MINOR_SHMEM) ? ", minor" : "", has & HAS_WP_ASYNC ? ", asynchronous" : "");
}

static void probe_users(const char *directory, struct gw_host_answer *a)
{
    char line[16] = "?";
    struct stat st;
    bool device = stat("/dev/userfaultfd", &st) == 0, shared = device && st.st_mode & 0066;

    gw_host_line("/proc/sys/vm/unprivileged_userfaultfd", line, sizeof line);
    a->there = !strcmp(line, "1") || shared;
    GW_HOST_SAY(a->detail, "unprivileged_userfaultfd=%s, /dev/userfaultfd %s", line,
                !device ? "is not there" : shared ? "is shared" : "is root's");
    if (!a->there)
        GW_HOST_SAY(a->advice, "give a group access to /dev/userfaultfd by a udev rule");
}

static void probe_missing(const char *directory, struct gw_host_answer *a)
{
    const char *how;
    uint64_t has = features(a, &how);

    if (!has)
        return;
    a->there = has & HAS_SHMEM && has & HAS_HUGETLBFS;
    GW_HOST_SAY(a->detail, "private memory%s%s%s", has & HAS_SHMEM ? ", shared" : "", has & HAS_HUGETLBFS ? ", huge pages" : "",
                has & HAS_THREAD_ID ? "; tells who waits" : "");
    if (!a->there)
        GW_HOST_SAY(a->advice, "use Linux 4.11 or later for shared memory and huge pages");
}

static void probe_protect(const char *directory, struct gw_host_answer *a)
{
    const char *how;
    uint64_t has = features(a, &how);

    if (!has)
        return;
    a->there = has & HAS_WP;
    GW_HOST_SAY(a->detail, "%s%s%s", has & HAS_WP ? "private memory" : "none", has & HAS_WP_SHMEM ? ", shared, huge pages" : "",
                has & HAS_UNPOPULATED ? ", untouched" : "");
    if (!a->there)
        GW_HOST_SAY(a->advice, "use Linux 5.7 or later (6.4 for all kinds of memory)");
}

/* ---- pagemap ------------------------------------------------------------------------------------------------------------- */

static void *one_page(void)
{
    void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NULL;
    *(volatile char *)page = 1;
    return page;
}

static bool scan(void *page, size_t bytes)
{
    struct scan_arg arg = {.size = sizeof arg, .start = (uintptr_t)page, .end = (uintptr_t)page + bytes};
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), r;

    if (fd < 0)
        return false;
    r = ioctl(fd, PAGEMAP_SCAN_IOCTL, &arg);
    close(fd);
    return r >= 0;
}

static void probe_scan(const char *directory, struct gw_host_answer *a)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    const char *how;
    void *page = one_page();
    uint64_t has;

    if (!page || !scan(page, bytes)) {
        gw_host_failed(a, "PAGEMAP_SCAN", "use Linux 6.7 or later; until then KVM's dirty log, or marks of the program itself");
        if (page)
            munmap(page, bytes);
        return;
    }
    munmap(page, bytes);
    has = features(a, &how);
    a->there = has & HAS_WP_ASYNC;
    if (a->there)
        GW_HOST_SAY(a->detail, "with asynchronous write-protect");
    else if (has)
        GW_HOST_SAY(a->detail, "PAGEMAP_SCAN is there, asynchronous write-protect is not");
}

static void probe_soft(const char *directory, struct gw_host_answer *a)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = one_page(); /* new memory counts as written */
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (page && fd >= 0)
        a->there = pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)page / bytes * 8)) == sizeof entry && entry & PAGEMAP_SOFT;
    GW_HOST_SAY(a->detail, a->there ? "bit 55 of /proc/PID/pagemap" : "the kernel does not keep it");
    if (fd >= 0)
        close(fd);
    if (page)
        munmap(page, bytes);
}

/* ---- pages and limits ------------------------------------------------------------------------------------------------------ */

static uint64_t huge_number(const char *folder, const char *name)
{
    char path[300], line[32];

    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%.100s/%s", folder, name);
    return gw_host_line(path, line, sizeof line) ? strtoull(line, NULL, 10) : 0;
}

static void probe_huge(const char *directory, struct gw_host_answer *a)
{
    DIR *folders = opendir("/sys/kernel/mm/hugepages");
    size_t used = 0;

    for (struct dirent *d; folders && (d = readdir(folders));) {
        uint64_t kib, total;
        char size[GW_HUMAN];
        int n;

        if (sscanf(d->d_name, "hugepages-%" SCNu64 "kB", &kib) != 1)
            continue;
        total = huge_number(d->d_name, "nr_hugepages");
        a->there |= total > 0;
        n = snprintf(a->detail + used, sizeof a->detail - used, "%s%s: %" PRIu64 " of %" PRIu64 " free", used ? ", " : "",
                     gw_human_bytes(size, (double)kib * 1024), huge_number(d->d_name, "free_hugepages"), total);
        used += (size_t)n < sizeof a->detail - used ? (size_t)n : 0;
    }
    if (folders)
        closedir(folders);
    if (!used)
        GW_HOST_SAY(a->detail, "the kernel has none");
    if (!a->there)
        GW_HOST_SAY(a->advice, "reserve some: sysctl vm.nr_hugepages=NUMBER");
}

#define LOCK_ENOUGH  (64u << 20)
#define CAP_IPC_LOCK 14

/* Whether this process may lock any amount of memory. */
static bool has_ipc_lock(void)
{
    char line[200];
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long effective = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    if (f)
        fclose(f);
    return effective >> CAP_IPC_LOCK & 1;
}

static void probe_lock(const char *directory, struct gw_host_answer *a)
{
    struct rlimit limit;
    char text[GW_HUMAN];
    bool all;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) {
        gw_host_failed(a, "RLIMIT_MEMLOCK", "");
        return;
    }
    all = limit.rlim_cur == RLIM_INFINITY || has_ipc_lock();
    a->there = all || limit.rlim_cur >= LOCK_ENOUGH;
    GW_HOST_SAY(a->detail, "%s", all ? "unlimited" : gw_human_bytes(text, (double)limit.rlim_cur));
    if (!a->there)
        GW_HOST_SAY(a->advice, "raise it: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit of the service");
}

const struct gw_host_fact gw_host_memory[] = {
    {"userfaultfd", "postcopy, background snapshots, dirty tracking of any memory", probe_uffd},
    {"userfaultfd-users", "the same without being root", probe_users},
    {"missing-pages", "postcopy: pages that come when the guest runs already", probe_missing},
    {"write-protect", "background snapshots", probe_protect},
    {"pagemap-scan", "dirty tracking of any process memory", probe_scan},
    {"soft-dirty", "dirty tracking by other programs; godwit does not use it", probe_soft},
    {"huge-pages", "guest memory on huge pages", probe_huge},
    {"locked-memory", "zero-copy send", probe_lock},
    {0},
};
