/* SPDX-License-Identifier: MIT
 *
 * godwit demo: the tour. Two machines in two processes, one moves to where the other waits, while it computes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "table.h"

#define END_MS 10000 /* a machine that was told to end gets so much time */

struct guest {
    const char *name;
    pid_t pid;
    char qmp[128], serial[128];
    long seen; /* bytes of the serial log that were shown */
};

struct demo {
    char dir[64];
    sigset_t signals, before; /* blocked here; what was blocked when we came */
    unsigned interrupts;
    const char *memory, *workload, *cpus, *accel;
    struct guest a, b;
    struct gw_ctl ctl;
    bool colour;
};

static void say(const struct demo *d, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs(d->colour ? "\033[1m" : "", stdout);
    vprintf(fmt, ap);
    fputs(d->colour ? "\033[0m\n" : "\n", stdout);
    fflush(stdout);
    va_end(ap);
}

/* Signals are blocked and taken here, and where an answer is awaited. False: one has come. */
static bool nap(struct demo *d, unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    if (!d->interrupts && sigtimedwait(&d->signals, NULL, &t) > 0)
        d->interrupts++;
    return !d->interrupts;
}

/* Each signal once. */
static bool interrupted(void *opaque)
{
    struct demo *d = opaque;
    struct timespec none = {0};

    if (sigtimedwait(&d->signals, NULL, &none) < 0)
        return false;
    d->interrupts++;
    d->ctl.interrupts++;
    return true;
}

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "godwit demo: %s: %s\n", what, why);
    return GW_EXIT_FAILED;
}

/* A machine does not outlive us, however we end; and a terminal's Ctrl-C is for us alone, who end it in order. */
static void become_machine(struct demo *d, pid_t parent, const char *const *argv)
{
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &d->before, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        execv("/proc/self/exe", (char **)argv);
    _exit(GW_EXIT_FAILED);
}

static int launch(struct demo *d, struct guest *g, bool waits)
{
    char qmp[160], serial[160];
    const char *argv[24] = {"godwit", "vm",      "--quiet", "--name", g->name, "--memory", d->memory, "--cpus",
                            d->cpus,  "--accel", d->accel,  "--qmp",  qmp,     "--serial", serial};
    unsigned n = 15;
    pid_t self = getpid();

    snprintf(g->qmp, sizeof g->qmp, "%s/%s.qmp", d->dir, g->name);
    snprintf(g->serial, sizeof g->serial, "%s/%s.log", d->dir, g->name);
    snprintf(qmp, sizeof qmp, "unix:%s", g->qmp);
    snprintf(serial, sizeof serial, "file:%s", g->serial);
    if (waits) {
        argv[n++] = "--incoming";
        argv[n++] = "tcp:127.0.0.1:0";
    } else {
        argv[n++] = "--workload";
        argv[n++] = d->workload;
    }
    argv[n] = NULL;
    g->pid = fork();
    if (g->pid == 0)
        become_machine(d, self, argv);
    if (g->pid < 0) {
        g->pid = 0;
        return failed(g->name, strerror(errno));
    }
    for (unsigned i = 0; i < 500 && access(g->qmp, F_OK); i++) {
        if (waitpid(g->pid, NULL, WNOHANG) == g->pid) {
            g->pid = 0;
            return failed(g->name, "the machine ended at once");
        }
        if (!nap(d, 10))
            return GW_EXIT_FAILED;
    }
    return GW_EXIT_DONE;
}

/* Shows what the guest has printed since the last time. Returns how many lines. */
static unsigned show(struct guest *g)
{
    FILE *f = fopen(g->serial, "re");
    unsigned lines = 0;
    char line[512];

    if (!f)
        return 0;
    fseek(f, g->seen, SEEK_SET);
    while (fgets(line, sizeof line, f) && strchr(line, '\n')) {
        printf("    %s | %s", g->name, line);
        g->seen = ftell(f);
        lines++;
    }
    fflush(stdout);
    fclose(f);
    return lines;
}

static int watch(struct demo *d, struct guest *g, unsigned ms, unsigned lines)
{
    for (unsigned t = 0; t < ms && lines; t += 50) {
        unsigned n = show(g);

        lines -= n < lines ? n : lines;
        if (!nap(d, 50))
            return GW_EXIT_FAILED;
    }
    return lines ? failed(g->name, "the guest does not say anything") : GW_EXIT_DONE;
}

static int talk(struct demo *d, struct guest *g)
{
    struct gw_qmp_config config = {.address = g->qmp, .interrupted = interrupted, .opaque = d};
    struct gw_error err = GW_ERROR_INIT;

    d->ctl.qmp = gw_qmp_free(d->ctl.qmp);
    d->ctl.socket = g->qmp;
    return gw_qmp_open(&config, &d->ctl.qmp, &err) < 0 ? failed(g->name, err.text) : GW_EXIT_DONE;
}

static int where(struct demo *d, char *uri, size_t size)
{
    json_t *info = NULL, *at;
    int r = talk(d, &d->b);

    if (r == GW_EXIT_DONE)
        r = gw_ctl_run(&d->ctl, "query-migrate", NULL, &info);
    if (r != GW_EXIT_DONE)
        return r;
    at = json_array_get(json_object_get(info, "socket-address"), 0);
    snprintf(uri, size, "tcp:127.0.0.1:%s", gw_ctl_text(at, "port", "0"));
    json_decref(info);
    return r;
}

/* Ends the machine; what its guest found. */
static int finish(struct guest *g, struct demo *d)
{
    unsigned t = 0;
    int status = 0;

    if (!g->pid)
        return GW_EXIT_FAILED;
    if (d->interrupts || talk(d, g) != GW_EXIT_DONE)
        kill(g->pid, SIGTERM);
    else
        gw_ctl_run(&d->ctl, "quit", NULL, NULL);
    for (; waitpid(g->pid, &status, WNOHANG) == 0; t += 10) {
        if (t == END_MS)
            kill(g->pid, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    g->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : GW_EXIT_FAILED;
}

static int tour(struct demo *d)
{
    char uri[64];
    char *target[] = {uri, NULL};
    int r, verdict;

    say(d, "A machine starts: %s of RAM, workload %s.", d->memory, d->workload);
    printf("  Its guest writes all the time, and checks all that it ever wrote; one wrong byte would end it.\n");
    r = launch(d, &d->a, false);
    if (r == GW_EXIT_DONE)
        r = watch(d, &d->a, 15000, 3);
    if (r != GW_EXIT_DONE)
        return r;
    say(d, "\nA second process waits for it, and it moves there over TCP, without being stopped first.");
    r = launch(d, &d->b, true);
    if (r == GW_EXIT_DONE)
        r = where(d, uri, sizeof uri);
    if (r == GW_EXIT_DONE)
        r = talk(d, &d->a);
    if (r != GW_EXIT_DONE)
        return r;
    printf("  $ godwit ctl %s migrate %s\n", d->a.qmp, uri);
    fflush(stdout);
    r = gw_ctl_migrate(&d->ctl, 1, target);
    if (r != GW_EXIT_DONE)
        return r;
    show(&d->a);
    say(d, "\nIt runs there now; uptime and counters go on, gap_us is the longest time that the guest itself missed.");
    r = watch(d, &d->b, 15000, 4);
    if (d->interrupts)
        return r;
    verdict = finish(&d->b, d);
    if (r == GW_EXIT_DONE)
        r = verdict;
    if (r == GW_EXIT_DONE)
        say(d, "\nThe guest's verdict after the move: every byte is right.");
    else
        say(d, "\nThe guest's verdict after the move: status %d.", r);
    return r;
}

static void clean(struct demo *d)
{
    struct guest *const guests[] = {&d->a, &d->b};

    for (unsigned i = 0; i < 2; i++) {
        if (guests[i]->pid)
            finish(guests[i], d);
        unlink(guests[i]->qmp);
        unlink(guests[i]->serial);
    }
    d->ctl.qmp = gw_qmp_free(d->ctl.qmp);
    if (rmdir(d->dir) < 0)
        fprintf(stderr, "godwit demo: %s stays: %s\n", d->dir, strerror(errno));
    else if (d->interrupts)
        fprintf(stderr, "godwit demo: ended by a signal; its machines are gone, and nothing is left\n");
}

static int usage(FILE *to)
{
    fprintf(to,
            "usage: godwit demo [--memory SIZE] [--workload KIND,...] [--cpus N] [--accel auto|kvm|unicorn]\n\n"
            "Two machines in two processes: one moves to the other over TCP while its guest computes and checks.\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

int gw_cmd_demo(int argc, char **argv)
{
    struct demo d = {.dir = "/tmp/godwit-demo-XXXXXX",
                     .memory = "1G",
                     .workload = "hotset,rate=40M,set=256M,seed=1",
                     .cpus = "1",
                     .accel = "auto",
                     .a = {.name = "here"},
                     .b = {.name = "there"},
                     .colour = isatty(STDOUT_FILENO)};
    const struct gw_cli_option options[] = {{"memory", .text = &d.memory},
                                            {"workload", .text = &d.workload},
                                            {"cpus", .text = &d.cpus},
                                            {"accel", .text = &d.accel},
                                            {0}};
    int r = gw_cli_options(argc, argv, options, usage);

    if (r >= 0)
        return r;
    if (optind != argc)
        return usage(stderr);
    sigemptyset(&d.signals);
    sigaddset(&d.signals, SIGINT);
    sigaddset(&d.signals, SIGTERM);
    sigaddset(&d.signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &d.signals, &d.before);
    signal(SIGPIPE, SIG_IGN); /* a reader who has seen enough */
    if (!mkdtemp(d.dir))
        return failed(d.dir, strerror(errno));
    r = tour(&d);
    clean(&d);
    return r;
}
