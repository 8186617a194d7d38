/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "vm.h"

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
        else if (!strncmp(part, "backing=/", 9)) {
            m->backing = GW_MACHINE_FILE;
            m->file = part + 8;
        } else
            return bad("--memory", part, "not understood");
    }
    v->config.memory_count++;
    return -1;
}

static bool parse_cache(const char *name, enum gw_node_cache *ret)
{
    static const char *const names[] = {[GW_NODE_CACHE_WRITEBACK] = "writeback",
                                        [GW_NODE_CACHE_NONE] = "none",
                                        [GW_NODE_CACHE_WRITETHROUGH] = "writethrough",
                                        [GW_NODE_CACHE_DIRECTSYNC] = "directsync",
                                        [GW_NODE_CACHE_UNSAFE] = "unsafe"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i])) {
            *ret = (enum gw_node_cache)i;
            return true;
        }
    return false;
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
            d->options.read_only = true;
        else if (!strcmp(part, "locking=off"))
            d->options.unlocked = true;
        else if (!strncmp(part, "id=", 3) && part[3] && strlen(part + 3) <= 20)
            d->id = part + 3;
        else if (!strncmp(part, "format=", 7) && part[7])
            d->options.format = part + 7;
        else if (strncmp(part, "cache=", 6) || !parse_cache(part + 6, &d->options.cache))
            return bad("--disk", part,
                       "not understood: id=, format=, cache=writeback|none|writethrough|directsync|unsafe, locking=off "
                       "and readonly are possible");
    }
    v->config.disk_count++;
    return -1;
}

static enum gw_cli_taken take_choice(const char *option, const char *value, const char *const *names, int count,
                                     int *ret)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(value, names[i])) {
            *ret = i;
            return GW_CLI_TAKEN;
        }
    bad(option, value, "not one of the choices");
    return GW_CLI_TOLD;
}

static enum gw_cli_taken take_accel(void *opaque, char *value)
{
    static const char *const names[] = {"auto", "unicorn", "kvm"};
    struct gw_vm_program *v = opaque;
    int choice = 0;
    enum gw_cli_taken taken = take_choice("--accel", value, names, 3, &choice);

    v->config.accel = (enum gw_machine_accel)choice;
    return taken;
}

static enum gw_cli_taken take_tracker(void *opaque, char *value)
{
    static const char *const names[] = {"auto", "pagemap", "kvm-log", "kvm-ring", "explicit"};
    struct gw_vm_program *v = opaque;
    int choice = 0;
    enum gw_cli_taken taken = take_choice("--tracker", value, names, 5, &choice);

    v->config.tracker = (enum gw_tracker_kind)choice;
    return taken;
}

static enum gw_cli_taken take_workload(void *opaque, char *value)
{
    struct gw_vm_program *v = opaque;
    struct gw_error err = GW_ERROR_INIT;

    if (gw_machine_workload_parse(value, &v->config.workload, &err) >= 0)
        return GW_CLI_TAKEN;
    bad("--workload", value, err.text);
    return GW_CLI_TOLD;
}

static enum gw_cli_taken take_uuid(void *opaque, char *value)
{
    struct gw_vm_program *v = opaque;

    if (gw_option_uuid(value, v->config.uuid))
        return GW_CLI_TAKEN;
    bad("--uuid", value, "32 hexadecimal digits are needed");
    return GW_CLI_TOLD;
}

static enum gw_cli_taken take_memory(void *opaque, char *value)
{
    return parse_memory(opaque, value) < 0 ? GW_CLI_TAKEN : GW_CLI_TOLD;
}

static enum gw_cli_taken take_disk(void *opaque, char *value)
{
    return parse_disk(opaque, value) < 0 ? GW_CLI_TAKEN : GW_CLI_TOLD;
}

static enum gw_cli_taken take_nic(void *opaque, char *value)
{
    const char *part = value, *why = gw_vm_nic_parse(opaque, value, &part);

    if (!why)
        return GW_CLI_TAKEN;
    bad("--nic", part, why);
    return GW_CLI_TOLD;
}

/* Refuses contradicting options. */
static int judge(struct gw_vm_program *v)
{
    struct gw_uri uri;

    if (v->incoming && !strcmp(v->incoming, "defer") && !v->qmp)
        return bad("--incoming", "defer", "needs --qmp, for migrate-incoming");
    if (v->incoming && v->loadvm)
        return bad("--loadvm", v->loadvm, "--incoming already says where the machine comes from");
    if (v->qmp && !v->insecure && gw_uri_parse(v->qmp, &uri, NULL) >= 0 && uri.kind == GW_URI_TCP &&
        !gw_option_is_local(uri.host))
        return bad("--qmp", v->qmp,
                   "clients on other hosts could read the guest, stop it, and run commands as this user (migrate to "
                   "exec:); use unix:PATH or tcp:127.0.0.1:PORT, from elsewhere through ssh, or allow it with --insecure");
    if (v->common.json && v->config.serial && !strcmp(v->config.serial, "stdio"))
        return bad("--serial", "stdio", "standard output is --json's");
    if (!v->config.serial)
        v->config.serial = v->common.json ? "null" : "stdio";
    return -1;
}

int gw_vm_parse(struct gw_vm_program *v, int argc, char **argv)
{
    struct gw_cli_option shared[GW_TRANSFER_OPTIONS];
    const struct gw_cli_option options[] = {
        {"memory", 'm', .take = take_memory, .opaque = v, .value = "SIZE[,KEY=VALUE]...",
         .help = "A block of RAM (default: 128M); may be repeated. Keys: name=NAME, page-size=2M, backing=memfd, anonymous or "
                 "/FILE, in which it is as on persistent memory."},
        {"cpus", .number = &v->config.cpus, .least = 1, .most = GW_GUEST_MAX_CPUS, .value = "N", .help = "vCPUs (default: 1)."},
        {"accel", .take = take_accel, .opaque = v, .value = "NAME", .choices = "auto kvm unicorn", .help = "What runs them."},
        {"workload", .take = take_workload, .opaque = v, .value = "KIND[,KEY=VALUE]...",
         .help = "What the guest does: idle (default), uniform, hotset, sequential, sparse, zero or disk. Keys: "
                 "rate=BYTES_PER_S, "
                 "set=SIZE, seed=N."},
        {"disk", .take = take_disk, .opaque = v, .value = "FILE[,KEY=VALUE]...",
         .help = "A disk, or the URI of an NBD server's export; may be repeated, 8 at most. Keys: id=ID, format=raw, qcow2 or nbd "
                 "(else told from the first bytes), cache=writeback, none, writethrough, directsync or unsafe, locking=off, "
                 "readonly."},
        {"nic", .take = take_nic, .opaque = v, .value = "KEY=VALUE...",
         .help = "A card that is announced once the machine has arrived; may be repeated, 8 at most. The guest has no network. "
                 "Keys: tap=NAME, interface=NAME or fd=N; mac=MAC; id=ID."},
        {"serial", .text = &v->config.serial, .value = "TO",
         .help = "Where the guest prints: stdio (default; with --json: null), null, file:PATH or unix:PATH."},
        {"qmp", .text = &v->qmp, .value = "SOCKET", .help = "Control socket: unix:PATH or tcp:HOST:PORT."},
        {"insecure", .flag = &v->insecure, .help = "--qmp may be reached from other hosts: who connects there can do everything."},
        {"incoming", .text = &v->incoming, .value = "URI", .help = "Wait for a machine to arrive; defer: at the "
                                                                   "address of `migrate-incoming` (--qmp)."},
        {"loadvm", .text = &v->loadvm, .value = "NAME",
         .help = "Start from the internal snapshot NAME, which all writable disks (qcow2) must have."},
        {"paused", .flag = &v->paused, .help = "Do not start before `cont`; nor a machine that arrives."},
        {"tracker", .take = take_tracker, .opaque = v, .value = "NAME", .choices = "auto pagemap kvm-log kvm-ring explicit",
         .help = "How dirty pages are found."},
        {"name", .text = &v->config.name, .value = "NAME", .help = "Name of the machine."},
        {"uuid", .take = take_uuid, .opaque = v, .value = "UUID", .help = "UUID of the machine."},
        {.also = shared},
        {0},
    };
    const struct gw_cli_command command = {
        .arguments = "",
        .about = "Runs the built-in test machine until its guest ends, or until `quit` or a signal. Its guest checks "
                 "every byte that "
                 "it ever wrote. Without --timeout a migration fails when the other side is silent for 30 s (sending) or "
                 "300 s (receiving).",
        .after = "Exit status: 0 done, 1 failed, 2 wrong usage, 4 the guest found a wrong byte.",
        .options = options};
    unsigned blocks;
    int r;

    gw_machine_config_init(&v->config);
    blocks = v->config.memory_count;
    v->config.memory_count = 0;
    v->common.verbose = true;
    gw_transfer_options(&v->common, shared);
    r = gw_cli_parse(argc, argv, &command);
    if (r >= 0)
        return r;
    if (!v->config.memory_count)
        v->config.memory_count = blocks;
    v->config.incoming = v->incoming;
    return judge(v);
}
