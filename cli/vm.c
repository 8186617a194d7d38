/* SPDX-License-Identifier: MIT
 *
 * godwit vm: runs the machine in the box until its guest ends it, somebody says quit, or a signal comes.
 *
 * The exit status is the guest's verdict: 0 it was told to end or saw nothing wrong, 4 it found a wrong byte.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "machine/machine.h"

#define MAX_SETTINGS 64

struct vm {
    struct gw_machine_config config;
    const char *qmp, *incoming;
    bool paused, quiet;
    const char *capability[MAX_SETTINGS], *parameter[MAX_SETTINGS];
    unsigned capabilities, parameters;

    struct gw_machine *machine;
    struct gw_control *control;
    struct gw_recv *recv; /* incoming without a control socket */
    _Atomic int status;   /* enum gw_status of the last migration */
    atomic_bool started, incoming_now, quit, lost;
};

static int usage(FILE *to)
{
    fprintf(to,
            "usage: godwit vm [OPTION]...\n\n"
            "  --memory SIZE[,name=NAME][,page-size=2M][,backing=memfd|anonymous]   a block of RAM; repeatable [128M]\n"
            "  --cpus N                    vCPUs [1]\n"
            "  --accel auto|kvm|unicorn    what runs them [auto]\n"
            "  --workload KIND[,rate=BYTES_PER_S][,set=SIZE][,seed=N]   what the guest does [idle]:\n"
            "                              idle uniform hotset sequential sparse zero disk\n"
            "  --disk FILE[,id=ID][,format=raw][,readonly]   a disk; repeatable, 8 at most\n"
            "  --serial stdio|null|file:PATH|unix:PATH   where the guest prints [stdio]\n"
            "  --qmp unix:PATH|tcp:HOST:PORT             control socket\n"
            "  --incoming URI|defer        wait for a machine to arrive\n"
            "  --paused                    do not start until told to (cont)\n"
            "  --tracker auto|pagemap|explicit|kvm-log|kvm-ring   dirty tracking [auto]\n"
            "  --name NAME  --uuid UUID    who it is\n"
            "  --capability NAME[=on|off]  --parameter NAME=VALUE   of its migrations; repeatable\n"
            "  --quiet                     say nothing but errors and what the guest prints\n\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage, 4 the guest found a wrong byte.\n");
    return to == stdout ? GW_EXIT_DONE : GW_EXIT_USAGE;
}

static int failed(const char *what, const struct gw_error *err)
{
    fprintf(stderr, "godwit vm: %s: %s\n", what, err->text);
    return GW_EXIT_FAILED;
}

static int bad(const char *option, const char *value, const char *why)
{
    fprintf(stderr, "godwit vm: %s %s: %s\n", option, value, why);
    return GW_EXIT_USAGE;
}

/* ---- options -------------------------------------------------------------------------------------------------------
 */

static int parse_memory(struct vm *v, char *text)
{
    struct gw_machine_memory *m = &v->config.memory[v->config.memory_count];
    struct gw_error err = GW_ERROR_INIT;
    char *save = NULL, *part = strtok_r(text, ",", &save);

    if (v->config.memory_count == GW_GUEST_MAX_RANGES)
        return bad("--memory", text, "too many blocks");
    if (!part || gw_machine_size_parse(part, &m->bytes, &err) < 0)
        return bad("--memory", text, err.text[0] ? err.text : "a size is needed");
    m->backing = GW_MACHINE_ANONYMOUS;
    while ((part = strtok_r(NULL, ",", &save))) {
        if (!strncmp(part, "name=", 5) && strlen(part + 5) < sizeof m->name)
            strcpy(m->name, part + 5);
        else if (!strncmp(part, "page-size=", 10) && gw_machine_size_parse(part + 10, &m->page_bytes, &err) >= 0)
            continue;
        else if (!strcmp(part, "backing=memfd"))
            m->backing = GW_MACHINE_MEMFD;
        else if (!strcmp(part, "backing=anonymous"))
            m->backing = GW_MACHINE_ANONYMOUS;
        else
            return bad("--memory", part, "not understood");
    }
    v->config.memory_count++;
    return GW_EXIT_DONE;
}

static int parse_disk(struct vm *v, char *text)
{
    struct gw_machine_disk_config *d = &v->config.disk[v->config.disk_count];
    char *save = NULL, *part = strtok_r(text, ",", &save);

    if (v->config.disk_count == GW_GUEST_MAX_DISKS)
        return bad("--disk", text, "too many disks");
    if (!part)
        return bad("--disk", text, "a file is needed");
    d->path = part;
    while ((part = strtok_r(NULL, ",", &save))) {
        if (!strcmp(part, "readonly"))
            d->readonly = true;
        else if (!strncmp(part, "id=", 3) && part[3] && strlen(part + 3) <= 20)
            d->id = part + 3;
        else if (!strncmp(part, "format=", 7) && strcmp(part, "format=raw"))
            return bad("--disk", part, "raw is the only format so far");
        else if (strcmp(part, "format=raw"))
            return bad("--disk", part, "not understood: id=, format= and readonly are possible");
    }
    v->config.disk_count++;
    return GW_EXIT_DONE;
}

static int parse_uuid(struct vm *v, const char *text)
{
    unsigned n = 0;

    for (const char *p = text; *p && n < 32; p++) {
        char digit[2] = {*p, 0}, *end;
        unsigned long value;

        if (*p == '-')
            continue;
        value = strtoul(digit, &end, 16);
        if (*end)
            break;
        v->config.uuid[n / 2] = (uint8_t)(v->config.uuid[n / 2] << 4 | value);
        n++;
    }
    return n == 32 ? GW_EXIT_DONE : bad("--uuid", text, "32 hexadecimal digits are needed");
}

static int parse_choice(const char *option, const char *value, const char *const *names, int count, int *ret)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(value, names[i])) {
            *ret = i;
            return GW_EXIT_DONE;
        }
    return bad(option, value, "not one of the choices");
}

enum {
    MEMORY = 1,
    CPUS,
    ACCEL,
    WORKLOAD,
    DISK,
    NIC,
    SERIAL,
    QMP,
    INCOMING,
    PAUSED,
    TRACKER,
    NAME,
    UUID,
    CAPABILITY,
    PARAMETER,
    QUIET,
    HELP
};

static int parse_one(struct vm *v, int option, char *value)
{
    static const char *const accels[] = {"auto", "unicorn", "kvm"};
    static const char *const trackers[] = {"auto", "pagemap", "kvm-log", "kvm-ring", "explicit"};
    struct gw_error err = GW_ERROR_INIT;
    int choice = 0, r = GW_EXIT_DONE;

    switch (option) {
    case MEMORY:
        return parse_memory(v, value);
    case CPUS:
        v->config.cpus = (unsigned)strtoul(value, NULL, 10);
        return v->config.cpus >= 1 && v->config.cpus <= GW_GUEST_MAX_CPUS ? r : bad("--cpus", value, "1 to 32");
    case ACCEL:
        r = parse_choice("--accel", value, accels, 3, &choice);
        v->config.accel = (enum gw_machine_accel)choice;
        return r;
    case TRACKER:
        r = parse_choice("--tracker", value, trackers, 5, &choice);
        v->config.tracker = (enum gw_tracker_kind)choice;
        return r;
    case WORKLOAD:
        return gw_machine_workload_parse(value, &v->config.workload, &err) < 0 ? bad("--workload", value, err.text) : r;
    case DISK:
        return parse_disk(v, value);
    case NIC:
        return bad("--nic", value, "the machine has no network card yet, so there is nothing to announce");
    case SERIAL:
        v->config.serial = value;
        return r;
    case QMP:
        v->qmp = value;
        return r;
    case INCOMING:
        v->incoming = value;
        return r;
    case PAUSED:
        v->paused = true;
        return r;
    case NAME:
        v->config.name = value;
        return r;
    case UUID:
        return parse_uuid(v, value);
    case CAPABILITY:
        if (v->capabilities == MAX_SETTINGS)
            return bad("--capability", value, "too many");
        v->capability[v->capabilities++] = value;
        return r;
    case PARAMETER:
        if (v->parameters == MAX_SETTINGS)
            return bad("--parameter", value, "too many");
        v->parameter[v->parameters++] = value;
        return r;
    case QUIET:
        v->quiet = true;
        return r;
    case HELP:
        usage(stdout);
        exit(GW_EXIT_DONE);
    default:
        return usage(stderr);
    }
}

static int parse(struct vm *v, int argc, char **argv)
{
    static const struct option options[] = {{"memory", required_argument, NULL, MEMORY},
                                            {"cpus", required_argument, NULL, CPUS},
                                            {"accel", required_argument, NULL, ACCEL},
                                            {"workload", required_argument, NULL, WORKLOAD},
                                            {"disk", required_argument, NULL, DISK},
                                            {"nic", required_argument, NULL, NIC},
                                            {"serial", required_argument, NULL, SERIAL},
                                            {"qmp", required_argument, NULL, QMP},
                                            {"incoming", required_argument, NULL, INCOMING},
                                            {"paused", no_argument, NULL, PAUSED},
                                            {"tracker", required_argument, NULL, TRACKER},
                                            {"name", required_argument, NULL, NAME},
                                            {"uuid", required_argument, NULL, UUID},
                                            {"capability", required_argument, NULL, CAPABILITY},
                                            {"parameter", required_argument, NULL, PARAMETER},
                                            {"quiet", no_argument, NULL, QUIET},
                                            {"help", no_argument, NULL, HELP},
                                            {0}};
    unsigned blocks;
    int c, r;

    gw_machine_config_init(&v->config);
    blocks = v->config.memory_count;
    v->config.memory_count = 0;
    v->config.serial = "stdio";
    while ((c = getopt_long(argc, argv, "m:", options, NULL)) != -1) {
        r = parse_one(v, c == 'm' ? MEMORY : c, optarg);
        if (r != GW_EXIT_DONE)
            return r;
    }
    if (optind != argc)
        return bad("argument", argv[optind], "not understood");
    if (!v->config.memory_count)
        v->config.memory_count = blocks;
    v->config.incoming = v->incoming;
    if (v->incoming && !strcmp(v->incoming, "defer") && !v->qmp)
        return bad("--incoming", "defer", "needs --qmp: somebody has to say where from");
    return GW_EXIT_DONE;
}

/* ---- what the sessions tell ----------------------------------------------------------------------------------------
 */

static void on_event(void *opaque, const struct gw_event *e)
{
    struct vm *v = opaque;

    if (e->type == GW_EVENT_LOG && !v->quiet)
        fprintf(stderr, "godwit vm: %s\n", e->text);
    if (e->type == GW_EVENT_RESUME)
        atomic_store(&v->started, true);
    if (e->type != GW_EVENT_STATUS)
        return;
    atomic_store(&v->status, e->status);
    if (atomic_load(&v->incoming_now) && e->status == GW_STATUS_COMPLETED) {
        atomic_store(&v->started, true); /* where it came from, if not here */
        atomic_store(&v->incoming_now, false);
    } else if (atomic_load(&v->incoming_now) && e->status == GW_STATUS_FAILED) {
        atomic_store(&v->lost, true);
    }
}

static const char *run_state(void *opaque)
{
    struct vm *v = opaque;
    int status = atomic_load(&v->status);

    if (gw_machine_running(v->machine))
        return "running";
    if (atomic_load(&v->incoming_now))
        return "inmigrate";
    if (status == GW_STATUS_DEVICE || status == GW_STATUS_PRE_SWITCHOVER)
        return "finish-migrate";
    if (gw_vm_place(gw_machine_vm(v->machine)) == GW_VM_LEFT)
        return "postmigrate";
    return atomic_load(&v->started) ? "paused" : "prelaunch";
}

static int on_stop(void *opaque, struct gw_error *err)
{
    return gw_machine_stop(((struct vm *)opaque)->machine, err);
}

static int on_cont(void *opaque, struct gw_error *err)
{
    struct vm *v = opaque;
    int r = gw_machine_start(v->machine, err);

    if (r >= 0)
        atomic_store(&v->started, true);
    return r;
}

static void on_quit(void *opaque)
{
    atomic_store(&((struct vm *)opaque)->quit, true);
}

/* ---- life ----------------------------------------------------------------------------------------------------------
 */

static int configure(struct vm *v, struct gw_error *err)
{
    struct gw_options *o = gw_vm_options(gw_machine_vm(v->machine));
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < v->capabilities; i++) {
        char name[64];
        const char *eq = strchr(v->capability[i], '=');

        snprintf(name, sizeof name, "%.*s", eq ? (int)(eq - v->capability[i]) : 63, v->capability[i]);
        r = gw_options_set_capability(o, name, !eq || !strcmp(eq, "=on"), err);
    }
    for (unsigned i = 0; r >= 0 && i < v->parameters; i++) {
        char name[64];
        const char *eq = strchr(v->parameter[i], '=');

        if (!eq)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "--parameter %s: NAME=VALUE is needed", v->parameter[i]);
        snprintf(name, sizeof name, "%.*s", (int)(eq - v->parameter[i]), v->parameter[i]);
        r = gw_options_set_parameter(o, name, eq + 1, err);
    }
    return r;
}

static int open_control(struct vm *v, struct gw_error *err)
{
    static const struct gw_control_ops ops = {
        .run_state = run_state, .stop = on_stop, .cont = on_cont, .quit = on_quit};
    struct gw_control_config config = {.uri = v->qmp,
                                       .ops = &ops,
                                       .opaque = v,
                                       .on_event = on_event,
                                       .name = v->config.name,
                                       .waits = v->incoming != NULL,
                                       .start_paused = v->paused};
    char address[256];
    int r = gw_control_start(gw_machine_vm(v->machine), &config, &v->control, err);

    if (r >= 0 && !v->quiet) {
        gw_control_address(v->control, address, sizeof address);
        fprintf(stderr, "godwit vm: control socket at %s\n", address);
    }
    return r;
}

static int open_incoming(struct vm *v, struct gw_error *err)
{
    struct gw_recv_config config = {.uri = v->incoming, .start_paused = v->paused, .on_event = on_event, .opaque = v};
    char address[4200];
    int r;

    atomic_store(&v->incoming_now, true);
    if (!strcmp(v->incoming, "defer"))
        return 0;
    if (v->control)
        return gw_control_incoming(v->control, v->incoming, err);
    r = gw_recv_start(gw_machine_vm(v->machine), &config, &v->recv, err);
    if (r >= 0 && !v->quiet) {
        gw_recv_address(v->recv, address, sizeof address);
        fprintf(stderr, "godwit vm: waiting for a machine at %s\n", address);
    }
    return r;
}

static int verdict(int status, int r, const struct gw_error *err, bool quiet)
{
    if (r == -EFAULT)
        return failed("the guest crashed", err);
    if (status == GW_GUEST_EXIT_CORRUPT) {
        fprintf(stderr, "godwit vm: the guest found a wrong byte\n");
        return GW_EXIT_CORRUPT;
    }
    if (status && !quiet)
        fprintf(stderr, "godwit vm: the guest ended with status %d\n", status);
    return status ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

static int live(struct vm *v, const sigset_t *signals)
{
    for (;;) {
        struct timespec none = {0};
        struct gw_error err = GW_ERROR_INIT;
        int status = 0, r = gw_machine_wait(v->machine, 50 * 1000000ull, &status, &err);

        if (r != -ETIMEDOUT)
            return verdict(status, r, &err, v->quiet);
        if (sigtimedwait(signals, NULL, &none) > 0) {
            if (!v->quiet)
                fprintf(stderr, "godwit vm: told to end by a signal; the machine is gone\n");
            return GW_EXIT_FAILED;
        }
        if (atomic_load(&v->quit))
            return GW_EXIT_DONE;
        if (atomic_load(&v->lost)) {
            bool undecided = v->recv && gw_recv_owner(v->recv) == GW_OWNER_UNDECIDED;

            if (v->recv)
                gw_recv_wait(v->recv, &err);
            /* With a control socket an operator can look, and claim the machine. */
            if (!v->control)
                return failed(undecided ? "the machine arrived, but may still be at the source" : "incoming migration",
                              &err);
            atomic_store(&v->lost, false);
        }
    }
}

int gw_cmd_vm(int argc, char **argv)
{
    struct vm v = {0};
    struct gw_error err = GW_ERROR_INIT;
    sigset_t signals;
    int r = parse(&v, argc, argv);

    if (r != GW_EXIT_DONE)
        return r;
    /* Before any thread is made, so that all inherit it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    r = gw_machine_new(&v.config, &v.machine, &err);
    if (r >= 0)
        r = gw_machine_attach(v.machine, &err);
    if (r >= 0)
        r = configure(&v, &err);
    if (r >= 0 && v.qmp)
        r = open_control(&v, &err);
    if (r >= 0 && v.incoming)
        r = open_incoming(&v, &err);
    else if (r >= 0 && !v.paused)
        r = on_cont(&v, &err);
    if (r >= 0)
        r = live(&v, &signals);
    else
        r = failed("start", &err);
    v.control = gw_control_free(v.control);
    v.recv = gw_recv_free(v.recv);
    gw_machine_free(v.machine);
    return r;
}
