/* SPDX-License-Identifier: MIT
 *
 * godwit receive: receives a live migration and parks the machine in a file.
 */
#include "receive.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "options.h"

#define LEVEL_MAX 22u

/* If two processes wait for a guest with the same output name, the later file would replace the earlier one. So the
 * name is claimed by a socket in the abstract namespace: it disappears with the process. Other hosts do not see it. */
static int claim(const char *path, struct gw_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char folder[PATH_MAX];
    struct stat st;
    uint64_t hash = 14695981039346656037u; /* FNV-1a: the path may be longer than a socket address */
    int fd, n;

    if (gw_path_is_far(path)) {
        name = path;
        slash = NULL;
    }
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, gw_path_is_far(path) ? "/" : slash ? path : ".");
    if (stat(folder, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", folder, strerror(errno));
    for (const char *p = name; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "godwit-output-%jx-%jx-%" PRIx64, (uintmax_t)st.st_dev,
                 (uintmax_t)st.st_ino, hash);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* stays open until the process ends */
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) &&
        errno == EADDRINUSE) {
        close(fd);
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "%s: another receive is waiting for a guest with this file name", path);
    }
    return 0;
}

/* Checks everything that can be known before a guest is received. Returns a status, or -1: go on. */
static int check(struct gw_receive *rx, char **ret_xml, struct gw_error *err)
{
    struct gw_transfer *t = &rx->transfer;
    struct gw_output *probe = NULL;
    int r;

    if (!strcmp(rx->output, "-")) {
        fprintf(stderr, "godwit receive: --output -: a machine is parked in a file; standard output is for messages\n");
        return GW_EXIT_USAGE;
    }
    if (rx->options.format == GW_IMAGE_LIBVIRT && !rx->xml) {
        fprintf(stderr, "godwit receive: --format libvirt needs --xml FILE, the domain's XML\n");
        return GW_EXIT_USAGE;
    }
    if (rx->xml && gw_read_xml(rx->xml, ret_xml, err) < 0)
        return gw_transfer_failed(t, "--xml", err);
    rx->options.libvirt_xml = *ret_xml;
    /* From here on act as the user that will write and rename the file, so that missing permissions show now. */
    if (gw_confine_borrow(&rx->confine, err) < 0)
        return gw_transfer_failed(t, NULL, err);
    r = gw_image_check_options(&rx->options, err);
    if (r < 0) {
        gw_transfer_failed(t, gw_image_format_name(rx->options.format), err);
        return err->blame == GW_BLAME_CALLER ? GW_EXIT_USAGE : GW_EXIT_FAILED;
    }
    r = gw_output_new(rx->output, rx->options.replace, &probe, err);
    gw_output_free(probe);
    if (r >= 0)
        r = gw_confine_check_name(&rx->confine, rx->output, err);
    if (r >= 0)
        r = claim(rx->output, err);
    if (r == -EEXIST)
        fprintf(stderr, "godwit receive: %s; --force replaces it\n", err->text);
    return r == -EEXIST ? GW_EXIT_FAILED : r < 0 ? gw_transfer_failed(t, NULL, err) : -1;
}

static enum gw_cli_taken take_format(void *opaque, char *value)
{
    struct gw_receive *rx = opaque;
    int format = gw_image_format_find(value);

    rx->options.format = (enum gw_image_format)format;
    if (format >= 0 && format != GW_IMAGE_MEMORY)
        return GW_CLI_TAKEN;
    fprintf(stderr, "godwit receive: --format '%s': parked, stream, mapped-ram or libvirt\n", value);
    return GW_CLI_TOLD;
}

static enum gw_cli_taken take_acknowledge(void *opaque, char *value)
{
    struct gw_receive *rx = opaque;

    rx->early = !strcmp(value, "received");
    if (rx->early || !strcmp(value, "durable"))
        return GW_CLI_TAKEN;
    fprintf(stderr, "godwit receive: --acknowledge '%s': durable or received\n", value);
    return GW_CLI_TOLD;
}

static enum gw_cli_taken take_wait(void *opaque, char *value)
{
    struct gw_receive *rx = opaque;

    return gw_option_seconds(value, &rx->wait_ns) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_recovery_wait(void *opaque, char *value)
{
    struct gw_receive *rx = opaque;
    uint64_t ns = 0;

    if (strcmp(value, "0") && !gw_option_seconds(value, &ns))
        return GW_CLI_WRONG;
    rx->recovery_wait_s = (double)ns / 1e9;
    return GW_CLI_TAKEN;
}

static enum gw_cli_taken take_memory_max(void *opaque, char *value)
{
    struct gw_receive *rx = opaque;
    int64_t size;

    if (!gw_option_size(value, &size) || size <= 0)
        return GW_CLI_WRONG;
    rx->memory_max_bytes = (uint64_t)size;
    return GW_CLI_TAKEN;
}

int gw_cmd_receive(int argc, char **argv)
{
    struct gw_receive rx = {.transfer = {.command = "receive", .wake = -1, .signals = -1},
                            .confine = {.command = "receive"},
                            .recovery_wait_s = -1,
                            .options = {.format = GW_IMAGE_PARKED}};
    struct gw_cli_option shared[GW_TRANSFER_OPTIONS];
    struct gw_error err = GW_ERROR_INIT;
    unsigned level = 0;
    char *xml = NULL;
    const struct gw_cli_option options[] = {
        {"output", 'o', .text = &rx.output, .value = "FILE",
         .help = "The file to write, or nbd://HOST/EXPORT. It must not exist, unless with --force."},
        {"force", 'f', .flag = &rx.options.replace, .help = "Replace FILE if it exists, once the new file is complete."},
        {"format", .take = take_format, .opaque = &rx, .value = "FORMAT", .choices = "parked stream mapped-ram libvirt",
         .help = "The format of FILE (default: parked)."},
        {"compress", .text = &rx.options.compress, .value = "NAME", .choices = "none zstd raw gzip bzip2 xz lzop sparse",
         .help = "How FILE is compressed; parked: none, zstd; stream and libvirt: raw, gzip, bzip2, xz, lzop, zstd; libvirt "
                 "also sparse."},
        {"level", .number = &level, .most = LEVEL_MAX, .value = "N", .help = "The compression level."},
        {"xml", .text = &rx.xml, .value = "FILE",
         .help = "For libvirt, which needs it: the domain's XML (virsh dumpxml --migratable)."},
        {"acknowledge", .take = take_acknowledge, .opaque = &rx, .value = "WHEN", .choices = "durable received",
         .help = "When the source is told: durable (default), when the file is on disk; received, before it is written: as fast "
                 "as to another machine, but a failure then needs `cont` at the source."},
        {"memory-max", .take = take_memory_max, .opaque = &rx, .value = "SIZE",
         .help = "Refuse a guest with more RAM (default: than this host has available; no limit with --ram-folder)."},
        {"ram-folder", .text = &rx.ram_folder, .value = "DIR",
         .help = "Keep the RAM in an unlinked file in DIR meanwhile, not in memory."},
        {"postcopy", .flag = &rx.postcopy,
         .help = "The source may switch to postcopy (its capability postcopy-ram). If it is lost after the switch, "
                 "wait at URI for it to resume (`migrate` with resume); Ctrl-C ends that and keeps the received part "
                 "as FILE.incomplete."},
        {"recovery-wait", .take = take_recovery_wait, .opaque = &rx, .value = "SECONDS",
         .help = "How long to wait for such a source; 0: not at all (default: no limit)."},
        {"wait", .take = take_wait, .opaque = &rx, .value = "SECONDS",
         .help = "How long to wait for a source (default: no limit)."},
        GW_CONFINE_USER_OPTION(&rx.confine),
        GW_CONFINE_OPTION(&rx.confine),
        {.also = shared},
        {0}};
    const struct gw_cli_command command = {
        .usage = "URI --output FILE [OPTION]...",
        .arguments = "URI",
        .about = "Waits at URI for a live migration, of QEMU or of godwit and of any machine type, and parks the machine in "
                 "FILE. The source is told that its machine has gone only when FILE is whole and on disk. QEMU waits for that "
                 "if its capability return-path is on (godwit always); without it, should parking fail, `cont` at the source "
                 "takes the machine back. A parked file is compressed after that; Ctrl-C meanwhile leaves it uncompressed.",
        .after = "URI: tcp:HOST:PORT, unix:PATH, vsock:CID:PORT, fd:N, exec:COMMAND, file:PATH[,offset=N]",
        .options = options};
    int status;

    gw_transfer_options(&rx.transfer, shared);
    status = gw_cli_parse(argc, argv, &command);
    if (status >= 0)
        return status;
    if (!rx.output)
        return gw_cli_wrong(argv[0], "--output is missing");
    rx.options.level = (int)level;
    rx.uri = argv[optind];
    status = check(&rx, &xml, &err);
    if (status < 0)
        status = gw_receive_run(&rx, &err);
    gw_transfer_end(&rx.transfer);
    gw_park_free(rx.park);
    free(xml);
    return status;
}
