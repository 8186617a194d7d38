/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "vm.h"

static void help(void)
{
    printf(
        "usage: godwit vm [OPTION]...\n\n"
        "  --memory SIZE[,name=NAME][,page-size=2M][,backing=memfd|anonymous]   a block of RAM; repeatable [128M]\n"
        "  --cpus N                    vCPUs [1]\n"
        "  --accel auto|kvm|unicorn    what runs them [auto]\n"
        "  --workload KIND[,rate=BYTES_PER_S][,set=SIZE][,seed=N]   what the guest does [idle]:\n"
        "                              idle uniform hotset sequential sparse zero disk\n"
        "  --disk FILE[,id=ID][,format=raw][,readonly]   a disk; repeatable, 8 at most\n"
        "  --serial stdio|null|file:PATH|unix:PATH   where the guest prints [stdio; with --json: null]\n"
        "  --qmp unix:PATH|tcp:HOST:PORT             control socket\n"
        "  --incoming URI|defer        wait for a machine to arrive\n"
        "  --paused                    do not start until told to (cont), nor a machine that arrives\n"
        "  --tracker auto|pagemap|explicit|kvm-log|kvm-ring   dirty tracking [auto]\n"
        "  --name NAME  --uuid UUID    who it is\n"
        "  --capability NAME[=on|off]  --parameter NAME=VALUE   of its migrations; repeatable\n"
        "  --timeout SECONDS           a migration fails when its other side moves nothing for so long [sending: 30,\n"
        "                              receiving: 300]\n"
        "  --json                      one JSON object per line on standard output: what happens\n"
        "  --log LEVEL                 error, warning: do not tell who was dropped at the door [info]\n"
        "  --quiet                     say nothing but errors and what the guest prints\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 4 the guest found a wrong byte.\n");
}

static int bad(const char *option, const char *value, const char *why)
{
    fprintf(stderr, "godwit vm: %s %s: %s\n", option, value, why);
    return GW_EXIT_USAGE;
}

static int parse_memory(struct gw_vm_program *v, char *text)
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
    return -1;
}

static int parse_disk(struct gw_vm_program *v, char *text)
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
    return -1;
}

static int parse_choice(const char *option, const char *value, const char *const *names, int count, int *ret)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(value, names[i])) {
            *ret = i;
            return -1;
        }
    return bad(option, value, "not one of the choices");
}

enum { MEMORY = 1, CPUS, ACCEL, WORKLOAD, DISK, NIC, SERIAL, QMP, INCOMING, LOADVM, PAUSED, TRACKER, NAME, UUID };

static int parse_one(struct gw_vm_program *v, int option, char *value)
{
    static const char *const accels[] = {"auto", "unicorn", "kvm"};
    static const char *const trackers[] = {"auto", "pagemap", "kvm-log", "kvm-ring", "explicit"};
    struct gw_error err = GW_ERROR_INIT;
    int choice = 0, r = -1;
    uint64_t n;

    switch (option) {
    case MEMORY:
        return parse_memory(v, value);
    case CPUS:
        if (!gw_option_number(value, 1, GW_GUEST_MAX_CPUS, &n))
            return bad("--cpus", value, "1 to 32");
        v->config.cpus = (unsigned)n;
        return r;
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
        return gw_option_absent("vm", "--nic", "network cards");
    case LOADVM:
        return gw_option_absent("vm", "--loadvm", "internal snapshots");
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
        return gw_option_uuid(value, v->config.uuid) ? r : bad("--uuid", value, "32 hexadecimal digits are needed");
    case GW_OPTION_HELP:
        help();
        return GW_EXIT_DONE;
    default:
        return option != '?' && gw_transfer_option(&v->common, option, value) ? r : GW_EXIT_USAGE;
    }
}

/* What does not go together. */
static int judge(struct gw_vm_program *v)
{
    if (v->incoming && !strcmp(v->incoming, "defer") && !v->qmp)
        return bad("--incoming", "defer", "needs --qmp: somebody has to say where from");
    if (v->common.json && v->config.serial && !strcmp(v->config.serial, "stdio"))
        return bad("--serial", "stdio", "standard output is --json's");
    if (!v->config.serial)
        v->config.serial = v->common.json ? "null" : "stdio";
    return -1;
}

int gw_vm_parse(struct gw_vm_program *v, int argc, char **argv)
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
                                            {"loadvm", required_argument, NULL, LOADVM},
                                            {"paused", no_argument, NULL, PAUSED},
                                            {"tracker", required_argument, NULL, TRACKER},
                                            {"name", required_argument, NULL, NAME},
                                            {"uuid", required_argument, NULL, UUID},
                                            GW_TRANSFER_OPTIONS,
                                            {0}};
    unsigned blocks;
    int c, r = -1;

    gw_machine_config_init(&v->config);
    blocks = v->config.memory_count;
    v->config.memory_count = 0;
    v->common.verbose = true;
    while (r < 0 && (c = getopt_long(argc, argv, "hm:", options, NULL)) != -1)
        r = parse_one(v, c == 'm' ? MEMORY : c == 'h' ? GW_OPTION_HELP : c, optarg);
    if (r >= 0)
        return r;
    if (optind != argc)
        return bad("argument", argv[optind], "not understood");
    if (!v->config.memory_count)
        v->config.memory_count = blocks;
    v->config.incoming = v->incoming;
    return judge(v);
}
