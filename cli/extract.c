/* SPDX-License-Identifier: MIT
 *
 * godwit extract: writes parts of a machine at rest to separate files.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <godwit/examine.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "shown.h"
#include "table.h"

#define COMMAND    "extract"
#define PLACES_MAX 64u

enum part { PART_NONE, PART_RAM, PART_DEVICE, PART_XML, PART_DESCRIPTION, PART_ELF };

struct request {
    enum part part;
    const char *ram, *device, *xml, *description, *elf; /* as given */
    const char *file, *snapshot, *out, *block;
    struct gw_elf_place places[PLACES_MAX];
    unsigned place_count;
    bool force, quiet;
    struct gw_confine confine;
};

/* A number in C syntax, optionally followed by one of K M G T. */
static bool is_number(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    const char *unit;
    uint64_t n;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 0);
    if (errno)
        return false;
    unit = *end ? strchr(units, *end) : NULL;
    if (*end && (!unit || end[1] || __builtin_mul_overflow(n, 1ull << 10 * (unit - units + 1), &n)))
        return false;
    *ret = n;
    return true;
}

/* Removes a trailing ",what=NUMBER" from the text. false: not a number, or 0 where that is not allowed. */
static bool take_tail(char *text, const char *what, bool zero, uint64_t *ret)
{
    char *comma = strrchr(text, ',');
    size_t n = strlen(what);

    if (!comma || strncmp(comma + 1, what, n) != 0 || comma[1 + n] != '=')
        return true;
    if (!is_number(comma + 2 + n, ret) || (!*ret && !zero))
        return false;
    *comma = 0;
    return true;
}

/* Cuts the text at its last '=', since only the address follows it: names may have any characters. */
static enum gw_cli_taken take_place(void *opaque, char *text)
{
    struct request *q = opaque;
    struct gw_elf_place p = {.block = text};
    char *equals;

    if (q->place_count == PLACES_MAX || !take_tail(text, "length", false, &p.bytes) ||
        !take_tail(text, "offset", true, &p.offset) || !take_tail(text, "length", false, &p.bytes))
        return GW_CLI_WRONG;
    equals = strrchr(text, '=');
    if (!equals || equals == text || !is_number(equals + 1, &p.address))
        return GW_CLI_WRONG;
    *equals = 0;
    q->places[q->place_count++] = p;
    return GW_CLI_TAKEN;
}

static void told(void *opaque, const char *line)
{
    gw_cli_progress_done(opaque);
    printf("%s\n", gw_shown(line));
}

/* The opaque of callbacks. */
struct report {
    struct gw_cli_progress progress; /* first */
    unsigned left;
};

static void left_out(void *opaque, const struct gw_elf_left *left)
{
    struct report *report = opaque;

    gw_cli_progress_done(&report->progress);
    report->left++;
    fprintf(stderr,
            "godwit " COMMAND ": left out: %s, %" PRIu64 " bytes from 0x%" PRIx64
            " on: %s; --place %s=ADDRESS,offset=0x%" PRIx64 ",length=0x%" PRIx64 " puts it in\n",
            left->block, left->bytes, left->offset, left->why, left->block, left->offset, left->bytes);
}

/* 1: a core that lacks memory of the machine. */
static int extract(const struct request *q, struct gw_error *err)
{
    struct report report = {.left = 0};
    struct gw_cli_progress *progress = &report.progress;
    struct gw_elf_options elf = {.places = q->places,
                                 .place_count = q->place_count,
                                 .replace = q->force,
                                 .progress = gw_cli_progress_step,
                                 .told = q->quiet ? NULL : told,
                                 .opaque = &report,
                                 .left_out = left_out};
    struct gw_image *image = NULL;
    int r = gw_cli_open(q->file, q->snapshot, &image, err);

    gw_cli_progress_init(progress, "extracted", q->quiet);
    if (r >= 0)
        r = gw_confine(&q->confine, GW_CONFINE_ALL, err);
    if (r < 0) {
        gw_image_free(image);
        return r;
    }
    gw_cli_progress_watch(progress);
    if (q->part == PART_RAM)
        r = gw_extract_ram(image, q->block, q->out, q->force, gw_cli_progress_step, progress, err);
    else if (q->part == PART_DEVICE)
        r = gw_extract_device(image, q->device, q->out, q->force, err);
    else if (q->part == PART_XML)
        r = gw_extract_xml(image, q->out, q->force, err);
    else if (q->part == PART_DESCRIPTION)
        r = gw_extract_description(image, q->out, q->force, err);
    else
        r = gw_extract_elf(image, q->out, &elf, err);
    gw_cli_progress_done(progress);
    gw_image_free(image);
    if (r == -ECANCELED && progress->interrupted)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s: interrupted; no file was made", q->out);
    return r < 0 ? r : report.left > 0;
}

/* Exactly one thing may be requested. -1, or the exit status. */
static int judge(struct request *q, int argc, char **argv)
{
    const struct {
        enum part part;
        const char *name, *out;
    } wanted[] = {{PART_RAM, "ram", q->ram},
                  {PART_DEVICE, "device", q->device},
                  {PART_XML, "xml", q->xml},
                  {PART_DESCRIPTION, "description", q->description},
                  {PART_ELF, "elf", q->elf}};
    const char *first = NULL;
    int status;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!wanted[i].out)
            continue;
        if (first)
            return gw_cli_wrong(argv[0], "--%s cannot be used with --%s: one part at a time", wanted[i].name, first);
        first = wanted[i].name;
        q->part = wanted[i].part;
        q->out = wanted[i].out;
    }
    status = gw_cli_arguments(argc, argv, "", q->part == PART_DEVICE ? "FILE [OUT]" : "FILE");
    if (status >= 0)
        return status;
    if (!first)
        return gw_cli_wrong(argv[0], "which part? --ram, --device, --xml, --description or --elf is missing");
    if (q->block && q->part != PART_RAM)
        return gw_cli_wrong(argv[0], "--block goes with --ram only");
    if (q->place_count && q->part != PART_ELF)
        return gw_cli_wrong(argv[0], "--place goes with --elf only");
    q->file = argv[optind++];
    q->confine.connects = gw_path_is_far(q->file);
    if (q->part == PART_DEVICE)
        q->out = optind < argc ? argv[optind] : "-";
    return -1;
}

int gw_cmd_extract(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct request q = {.confine = {.command = COMMAND}};
    const struct gw_cli_option options[] = {
        {"ram", .text = &q.ram, .value = "OUT", .help = "Write a RAM block as a plain, sparse file."},
        {"block", .text = &q.block, .value = "NAME", .help = "The block that --ram writes (default: the largest)."},
        {"device", .text = &q.device, .value = "NAME",
         .help = "Write the bytes of a device's section (cpu, cpu/1, piix4_pm) to OUT or standard output."},
        {"xml", .text = &q.xml, .value = "OUT", .help = "Write the domain's XML, which libvirt save images have; OUT may be '-'."},
        {"description", .text = &q.description, .value = "OUT",
         .help = "Write the description of the devices (JSON); OUT may be '-'."},
        {"elf", .text = &q.elf, .value = "OUT",
         .help = "Write an ELF core for gdb: guest-physical memory, registers, a Linux guest's VMCOREINFO."},
        {"place", .take = take_place, .opaque = &q, .value = "NAME=ADDRESS[,offset=BYTES][,length=BYTES]",
         .help = "For --elf: where a RAM block, or a part of it, lies in guest-physical memory. What then has no place is left "
                 "out, and the exit status is 3. Numbers may be 0x..., or end with K, M, G or T. May be repeated."},
        GW_CLI_SNAPSHOT_OPTION(&q.snapshot, "FILE"),
        {"force", 'f', .flag = &q.force, .help = "Replace OUT if it is there."},
        {"quiet", 'q', .flag = &q.quiet, .help = "Do not tell what is in the core."},
        GW_CONFINE_OPTION(&q.confine),
        {0}};
    const struct gw_cli_command command = {
        .usage = "FILE --ram OUT [--block NAME]\nFILE --device NAME [OUT]\nFILE --xml OUT | --description OUT\nFILE --elf OUT "
                 "[--place PLACE]...",
        .about = "Takes a part out of a parked machine, migration stream, mapped-ram file or libvirt save image.",
        .options = options};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    r = judge(&q, argc, argv);
    if (r >= 0)
        return r;
    if ((q.part == PART_RAM || q.part == PART_ELF) && !strcmp(q.out, "-"))
        return gw_cli_failed(COMMAND, "-", "it is sparse and needs a file");
    r = extract(&q, &err);
    if (r < 0)
        return gw_cli_failed(COMMAND, NULL, err.text);
    return gw_cli_end(COMMAND, r ? GW_EXIT_DIFFERENT : GW_EXIT_DONE);
}
