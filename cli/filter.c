/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifdef GW_HAVE_SECCOMP
#include <seccomp.h>
#endif

#if defined __has_feature
#define FEATURE(name) __has_feature(name)
#else
#define FEATURE(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || FEATURE(address_sanitizer) || FEATURE(thread_sanitizer) || \
    FEATURE(memory_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

bool gw_filter_is_sanitized(void)
{
    return SANITIZED;
}

#ifndef GW_HAVE_SECCOMP

bool gw_filter_is_there(void)
{
    return false;
}

int gw_filter_install(bool programs, bool ends, bool connects)
{
    return -ENOSYS;
}

#else

/* Calls that the commands were observed to make after opening their files and sockets (tests/interop/test_sandbox.py
 * checks them), and their equivalents in other C libraries. */
static const char *const allowed[] = {
    /* files */
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "_llseek", "open",
    "openat", "close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64", "flock", "fstat", "fstat64", "stat", "lstat",
    "newfstatat", "fstatat64", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd",
    "getdents64", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "ftruncate", "fallocate", "fadvise64",
    "fsync", "fdatasync", "syncfs", "sync_file_range", "copy_file_range", "sendfile", "fgetxattr", "fsetxattr", "fremovexattr",
    "memfd_create", "pipe2", "umask",
    /* open sockets and descriptors; incoming connections */
    "accept", "accept4", "recvmsg", "recvfrom", "sendmsg", "sendto", "shutdown", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
    "signalfd4", "splice",
    /* memory */
    "brk", "munmap", "mremap", "madvise", "mincore", "membarrier",
    /* threads, signals, time */
    "futex", "futex_time64", "set_robust_list", "get_robust_list", "rseq", "exit", "exit_group", "gettid", "getpid", "getppid",
    "set_tid_address", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending", "sigaltstack", "restart_syscall", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "getrusage", "getrandom", "sysinfo", "uname", "getuid", "geteuid",
    "getgid", "getegid", "getrlimit", "wait4", "waitid",
};

/* Calls useful to an attacker that no command makes: refused by name. */
static const char *const dangerous[] = {
    "socketpair", "bind", "listen", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "keyctl", "add_key", "request_key", "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount",
    "open_tree", "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr", "setns", "unshare", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "iopl", "ioperm", "personality",
    "open_by_handle_at", "name_to_handle_at", "capset", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
    "setfsuid", "setfsgid", "mknod", "mknodat", "quotactl", "acct", "syslog", "settimeofday", "clock_settime", "adjtimex",
    "clock_adjtime", "sethostname", "setdomainname", "vhangup", "move_pages", "migrate_pages", "modify_ldt", "nfsservctl",
};
/* Further calls of commands that connect later: to a server again after a lost connection; to destinations. The
 * resolver uses sendmmsg. */
static const char *const connecting[] = {"socket", "connect", "sendmmsg"};
static const char *const starting[] = {"execve", "execveat", "fork", "vfork"};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

bool gw_filter_is_there(void)
{
    return !SANITIZED;
}

/* A call that this architecture does not have cannot be made, so it needs no rule. */
static int add(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);

        if (number >= 0)
            r = seccomp_rule_add(f, action, number, 0);
    }
    return r;
}

/* Calls that are allowed only with certain arguments. */
static int add_with_arguments(scmp_filter_ctx f, bool ends)
{
    /* isatty, the width of a terminal, clones of files, how much is in a pipe or a socket that was sent to */
    static const uint32_t ioctls[] = {TCGETS, TIOCGWINSZ, FICLONE, FICLONERANGE, FIONREAD, TIOCOUTQ};
    const int mapping[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)};
    int r = 0;

    for (size_t i = 0; i < COUNT(ioctls) && r == 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, ioctls[i]));
    for (size_t i = 0; i < COUNT(mapping) && r == 0; i++)
        if (mapping[i] >= 0)
            r = seccomp_rule_add(f, SCMP_ACT_ALLOW, mapping[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* Threads only, no processes. The flags of clone3 are in memory, so it is refused, and the C library uses clone. */
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0 && ends)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(kill), 0);
    if (r == 0) /* only to query limits */
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    return r;
}

static int fill(scmp_filter_ctx f, bool programs, bool ends, bool connects)
{
    int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);

    /* Refused calls are logged by the kernel, if it supports that. */
    seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
    if (r == 0)
        r = add(f, SCMP_ACT_ERRNO(EPERM), dangerous, COUNT(dangerous));
    /* A rule must not repeat the filter's default action. */
    if (r == 0 && !(connects && programs))
        r = add(f, connects ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), connecting, COUNT(connecting));
    if (r < 0 || programs)
        return r;
    r = add(f, SCMP_ACT_ERRNO(EPERM), starting, COUNT(starting));
    if (r == 0)
        r = add(f, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
    return r < 0 ? r : add_with_arguments(f, ends);
}

int gw_filter_install(bool programs, bool ends, bool connects)
{
    scmp_filter_ctx f = SANITIZED ? NULL : seccomp_init(programs ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
    int r;

    if (!f)
        return SANITIZED ? -ENOSYS : -ENOMEM;
    r = fill(f, programs, ends, connects);
    if (r == 0)
        r = seccomp_load(f); /* also sets PR_SET_NO_NEW_PRIVS before */
    seccomp_release(f);
    return r;
}

#endif
