/* SPDX-License-Identifier: MIT
 *
 * godwit demo: a tour. A computing machine migrates from one process to another; then it is parked in a file and
 * continues from there in a third process.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "table.h"

#define END_MS 60000 /* how long a machine may take to end when asked */

struct guest {
    const char *name;
    pid_t pid;
    char qmp[128], serial[128];
    long seen; /* bytes of the serial log already printed */
};

struct demo {
    char dir[64];
    sigset_t signals, before; /* signals blocked here; and the mask before */
    unsigned interrupts;
    const char *memory, *workload, *cpus, *accel;
    struct guest a, b, c;
    pid_t helper; /* the running receive or send; 0: none */
    char file[96];
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

/* Signals are blocked and read here, and while waiting for an answer. False: one arrived. */
static bool nap(struct demo *d, unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    if (!d->interrupts && sigtimedwait(&d->signals, NULL, &t) > 0)
        d->interrupts++;
    return !d->interrupts;
}

/* Reports each signal once. */
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

/* A machine ends with this process, however that ends. Ctrl-C in the terminal reaches only this process, which then
 * ends the machines in order. */
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

/* Whether the process has ended by itself. */
static bool ended(struct guest *g)
{
    if (g->pid && waitpid(g->pid, NULL, WNOHANG) == g->pid)
        g->pid = 0;
    return !g->pid;
}

/* incoming: where it waits for a guest; NULL: it starts with its own. */
static int launch(struct demo *d, struct guest *g, const char *incoming)
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
    if (incoming) {
        argv[n++] = "--incoming";
        argv[n++] = incoming;
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
    while (access(g->qmp, F_OK)) {
        if (ended(g))
            return failed(g->name, "the machine ended at once");
        if (!nap(d, 10))
            return GW_EXIT_FAILED;
    }
    return GW_EXIT_DONE;
}

/* Prints the guest's new output. Returns the number of lines. */
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

/* There is no time limit: the host may be busy, and the user can interrupt. */
static int watch(struct demo *d, struct guest *g, unsigned lines)
{
    while (lines) {
        unsigned n = show(g);

        lines -= n < lines ? n : lines;
        if (lines && ended(g))
            return failed(g->name, "the machine ended");
        if (!nap(d, 50))
            return GW_EXIT_FAILED;
    }
    return GW_EXIT_DONE;
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

/* Ends the machine and returns its guest's verdict. */
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

/* ---- the second act ---------------------------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *began)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - began->tv_sec) + (double)(t.tv_nsec - began->tv_nsec) / 1e9;
}

/* Prints the command as a user would type it, and starts it. */
static int begin_helper(struct demo *d, const char *const *argv)
{
    pid_t self = getpid();

    printf("  $");
    for (unsigned i = 0; argv[i]; i++)
        if (strcmp(argv[i], "--quiet"))
            printf(" %s", argv[i]);
    putchar('\n');
    fflush(stdout);
    d->helper = fork();
    if (d->helper == 0)
        become_machine(d, self, argv);
    if (d->helper > 0)
        return GW_EXIT_DONE;
    d->helper = 0;
    return failed(argv[1], strerror(errno));
}

static int end_helper(struct demo *d)
{
    int status = 0;

    while (d->helper && waitpid(d->helper, &status, WNOHANG) == 0)
        if (!nap(d, 5))
            return GW_EXIT_FAILED; /* clean() ends it */
    d->helper = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : GW_EXIT_FAILED;
}

static int park(struct demo *d)
{
    char path[96], uri[112], a[GW_HUMAN], b[GW_HUMAN];
    const char *const argv[] = {"godwit", "receive", uri, "--output", d->file, "--compress", "none", "--quiet", NULL};
    struct timespec began;
    struct stat st;
    json_t *info = NULL;
    int r;

    snprintf(path, sizeof path, "%s/park.sock", d->dir);
    snprintf(uri, sizeof uri, "unix:%s", path);
    r = begin_helper(d, argv);
    while (r == GW_EXIT_DONE && access(path, F_OK)) {
        if (waitpid(d->helper, NULL, WNOHANG) == d->helper) {
            d->helper = 0;
            return failed(argv[1], "it ended at once");
        }
        if (!nap(d, 5))
            return GW_EXIT_FAILED;
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (r == GW_EXIT_DONE)
        r = talk(d, &d->b);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_transfer(&d->ctl, uri, &info);
    json_decref(info);
    if (r == GW_EXIT_DONE)
        r = end_helper(d);
    unlink(path);
    if (r != GW_EXIT_DONE || stat(d->file, &st) < 0)
        return r != GW_EXIT_DONE ? r : failed(d->file, strerror(errno));
    printf("parked after %s in a file of %s; no process runs it now\n", gw_human_ms(b, seconds_since(&began) * 1000),
           gw_human_bytes(a, (double)st.st_size));
    return r;
}

/* Makes the third machine wait for the guest. *ret_at_once: it starts before its memory has arrived, if this build's
 * machine supports that. */
static int wait_for_guest(struct demo *d, const char *uri, bool *ret_at_once)
{
    const char *const on = "postcopy-ram", *const off = "postcopy-ram=off";
    struct gw_error err = GW_ERROR_INIT;
    int r = launch(d, &d->c, "defer");

    if (r == GW_EXIT_DONE)
        r = talk(d, &d->c);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_set_capabilities(&d->ctl, &on, 1);
    if (r != GW_EXIT_DONE)
        return r;
    *ret_at_once = gw_qmp_execute(d->ctl.qmp, "migrate-incoming", json_pack("{s:s}", "uri", uri), NULL, &err) >= 0;
    if (*ret_at_once)
        return r;
    r = gw_ctl_set_capabilities(&d->ctl, &off, 1);
    return r == GW_EXIT_DONE ? gw_ctl_run(&d->ctl, "migrate-incoming", json_pack("{s:s}", "uri", uri), NULL) : r;
}

static int await_running(struct demo *d)
{
    bool running = false;
    int r = GW_EXIT_DONE;

    while (r == GW_EXIT_DONE && !running) {
        json_t *status = NULL;

        r = gw_ctl_run(&d->ctl, "query-status", NULL, &status);
        running = json_is_true(json_object_get(status, "running"));
        json_decref(status);
        if (!running && !nap(d, 1))
            r = GW_EXIT_FAILED;
    }
    return r;
}

static int start_again(struct demo *d)
{
    char uri[112], a[GW_HUMAN], b[GW_HUMAN];
    const char *argv[] = {"godwit", "send", d->file, uri, "--postcopy", "--quiet", NULL};
    struct timespec began;
    bool at_once = false;
    double runs;
    int r;

    snprintf(uri, sizeof uri, "unix:%s/again.sock", d->dir);
    r = wait_for_guest(d, uri, &at_once);
    if (r != GW_EXIT_DONE)
        return r;
    if (!at_once) {
        argv[4] = argv[5];
        argv[5] = NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    r = begin_helper(d, argv);
    if (r == GW_EXIT_DONE)
        r = await_running(d);
    runs = seconds_since(&began);
    if (r == GW_EXIT_DONE)
        r = end_helper(d);
    if (r == GW_EXIT_DONE)
        printf("it runs after %s; all of its memory has arrived after %s\n", gw_human_ms(a, runs * 1000),
               gw_human_ms(b, seconds_since(&began) * 1000));
    return r;
}

static int second_act(struct demo *d)
{
    int r;

    say(d, "\nThe machine is parked: it is stopped and saved in a file.");
    r = park(d);
    if (r == GW_EXIT_DONE)
        say(d, "\nA third process waits for it, and the machine resumes there from the file.");
    if (r == GW_EXIT_DONE)
        r = start_again(d);
    if (r == GW_EXIT_DONE)
        say(d, "\nThe same guest, resumed:");
    return r == GW_EXIT_DONE ? watch(d, &d->c, 3) : r;
}

static int tour(struct demo *d)
{
    char uri[64];
    char *target[] = {uri, NULL};
    int r, verdict;

    say(d, "A machine starts: %s of RAM, workload %s.", d->memory, d->workload);
    printf("  Its guest writes continuously and checks everything that it wrote; a wrong byte would end the machine.\n");
    r = launch(d, &d->a, NULL);
    if (r == GW_EXIT_DONE)
        r = watch(d, &d->a, 3);
    if (r != GW_EXIT_DONE)
        return r;
    say(d, "\nA second process waits for it, and the machine migrates there over TCP while it runs.");
    r = launch(d, &d->b, "tcp:127.0.0.1:0");
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
    say(d, "\nIt runs there now, with its uptime and counters; gap_us is the longest interruption that the guest noticed.");
    r = watch(d, &d->b, 4);
    if (r == GW_EXIT_DONE)
        r = second_act(d);
    if (d->interrupts)
        return r;
    verdict = finish(d->c.pid ? &d->c : &d->b, d);
    if (r == GW_EXIT_DONE)
        r = verdict;
    if (r == GW_EXIT_DONE)
        say(d, "\nResult after both moves: the guest found no wrong byte.");
    else
        say(d, "\nResult: the guest ended with status %d.", r);
    return r;
}

static void clean(struct demo *d)
{
    struct guest *const guests[] = {&d->a, &d->b, &d->c};
    char path[96];

    if (d->helper) {
        kill(d->helper, SIGTERM);
        waitpid(d->helper, NULL, 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (guests[i]->pid)
            finish(guests[i], d);
        if (guests[i]->qmp[0]) {
            unlink(guests[i]->qmp);
            unlink(guests[i]->serial);
        }
    }
    d->ctl.qmp = gw_qmp_free(d->ctl.qmp);
    unlink(d->file);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.sock", d->dir, i ? "again" : "park");
        unlink(path);
    }
    if (rmdir(d->dir) < 0)
        fprintf(stderr, "godwit demo: %s stays: %s\n", d->dir, strerror(errno));
    else if (d->interrupts)
        fprintf(stderr, "godwit demo: ended by a signal; its machines were ended and its files removed\n");
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
                     .c = {.name = "again"},
                     .colour = isatty(STDOUT_FILENO)};
    const struct gw_cli_option options[] = {
        {"memory", .text = &d.memory, .value = "SIZE", .help = "Memory of the machine (default: 1G)."},
        {"workload", .text = &d.workload, .value = "KIND[,KEY=VALUE]...", .help = "What its guest does, as of `godwit vm`."},
        {"cpus", .text = &d.cpus, .value = "N", .help = "Its vCPUs (default: 1)."},
        {"accel", .text = &d.accel, .value = "NAME", .choices = "auto kvm unicorn", .help = "What runs them."},
        {0}};
    const struct gw_cli_command command = {
        .arguments = "",
        .about = "Migrates a machine from one process to another over TCP while its guest runs and checks its memory, "
                 "parks it in a file, and resumes it from there in a third process.",
        .options = options};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    sigemptyset(&d.signals);
    sigaddset(&d.signals, SIGINT);
    sigaddset(&d.signals, SIGTERM);
    sigaddset(&d.signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &d.signals, &d.before);
    signal(SIGPIPE, SIG_IGN); /* the reader of a pipe may close it early */
    if (!mkdtemp(d.dir))
        return failed(d.dir, strerror(errno));
    snprintf(d.file, sizeof d.file, "%s/parked", d.dir);
    r = tour(&d);
    clean(&d);
    return r;
}
