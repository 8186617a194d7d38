/* SPDX-License-Identifier: MIT
 *
 * The disks of none_vm: their contents are zeros and never read; only their dirty bitmaps are tested.
 *
 *     --disk DEVICE:NODE:SIZE           one of the two names may be empty
 *     --bitmap DISK:NAME:GRANULARITY[:disabled][:persistent]
 *     --wrote DISK:OFFSET:BYTES[:STEP:TIMES]
 *     --map DISK:ALIAS:BITMAP:ALIAS[:+|:-]   +, -: it becomes persistent, or not
 *
 * Words: "wrote DISK:OFFSET:BYTES", "enable DISK:NAME", "remove DISK:NAME"; "bitmaps", which prints all of them with
 * their dirty ranges, and "counts", which prints a hash of the ranges instead.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "none_vm.h"

#define PARTS 5

static int zeros(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    memset(to, 0, bytes);
    return 0;
}

static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = zeros};

/* Splits "a:b:c" in place; missing parts are "". */
static void split(char *text, char *part[PARTS])
{
    for (unsigned i = 0; i < PARTS; i++) {
        char *colon = strchr(text, ':');

        part[i] = text;
        text = colon ? colon + 1 : text + strlen(text);
        if (colon)
            *colon = 0;
    }
}

static int find(struct machine *m, const char *name, struct gw_disk **ret, struct gw_error *err)
{
    *ret = gw_vm_find_disk(m->vm, name);
    return *ret ? 0 : gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no disk %s", name);
}

static int add_disk(struct machine *m, char *const *part, struct gw_error *err)
{
    struct gw_disk_desc desc = {.device = part[0][0] ? part[0] : NULL,
                                .node = part[1][0] ? part[1] : NULL,
                                .bytes = strtoull(part[2], NULL, 0),
                                .ops = &ops};
    struct gw_disk *disk;

    return gw_vm_add_disk(m->vm, &desc, &disk, err);
}

static int add_bitmap(struct machine *m, char *const *part, struct gw_error *err)
{
    struct gw_bitmap_config config = {.name = part[1],
                                      .granularity = strtoull(part[2], NULL, 0),
                                      .disabled = !strcmp(part[3], "disabled") || !strcmp(part[4], "disabled"),
                                      .persistent = !strcmp(part[3], "persistent") || !strcmp(part[4], "persistent")};
    struct gw_disk *disk;
    int r = find(m, part[0], &disk, err);

    return r < 0 ? r : gw_disk_bitmap_add(disk, &config, err);
}

static int wrote(struct machine *m, char *const *part, struct gw_error *err)
{
    struct gw_disk *disk;
    int r = find(m, part[0], &disk, err);

    uint64_t at = strtoull(part[1], NULL, 0), bytes = strtoull(part[2], NULL, 0), step = strtoull(part[3], NULL, 0);
    uint64_t times = step ? strtoull(part[4], NULL, 0) : 1;

    for (uint64_t i = 0; r >= 0 && i < times; i++)
        gw_disk_wrote(disk, at + i * step, bytes);
    return r;
}

static int change(struct machine *m, char *const *part, bool enable, struct gw_error *err)
{
    struct gw_disk *disk;
    int r = find(m, part[0], &disk, err);

    return r < 0 ? r : enable ? gw_disk_bitmap_enable(disk, part[1], err) : gw_disk_bitmap_remove(disk, part[1], err);
}

static void tell_ranges(struct gw_disk *disk, const char *name, bool sum)
{
    uint64_t at = 0, bytes = 0, all = 0;

    for (unsigned n = 0; !gw_disk_bitmap_next(disk, name, at + bytes, &at, &bytes, NULL) && bytes; n++) {
        all = (all ^ at ^ bytes << 17) * 0x9E3779B97F4A7C15u;
        if (!sum)
            printf("%s[%" PRIu64 ", %" PRIu64 "]", n ? ", " : "", at, bytes);
    }
    if (sum)
        printf("%" PRIu64, all);
}

static void tell_bitmap(struct gw_disk *disk, const char *disk_name, const struct gw_bitmap_info *b, bool sum)
{

    printf("{\"disk\": \"%s\", \"name\": \"%s\", \"granularity\": %" PRIu64 ", \"count\": %" PRIu64
           ", \"recording\": %s, \"busy\": %s, \"persistent\": %s, \"stored\": %s, \"ranges\": [",
           disk_name, b->name, b->granularity, b->dirty_bytes, b->recording ? "true" : "false",
           b->busy ? "true" : "false", b->persistent ? "true" : "false", b->not_stored ? "false" : "true");
    tell_ranges(disk, b->name, sum);
    printf("]}");
}

static void tell(struct machine *m, bool sums)
{
    struct gw_disk *disk;
    unsigned n = 0;

    flockfile(stdout);
    printf("{\"event\": \"%s\", \"bitmaps\": [", sums ? "counts" : "bitmaps");
    for (unsigned i = 0; (disk = gw_vm_disk_at(m->vm, i)); i++) {
        struct gw_bitmap_info info;
        struct gw_disk_info at;

        gw_disk_describe(disk, &at);
        for (unsigned k = 0; !gw_disk_bitmap_at(disk, k, &info); k++) {
            printf("%s", n++ ? ", " : "");
            tell_bitmap(disk, at.device[0] ? at.device : at.node, &info, sums);
        }
    }
    printf("]}\n");
    fflush(stdout);
    funlockfile(stdout);
}

bool disks_word(struct machine *m, const char *word, int *ret_result, struct gw_error *err)
{
    char copy[256], *part[PARTS];
    const char *rest = strchr(word, ' ');

    *ret_result = 0;
    snprintf(copy, sizeof copy, "%s", rest ? rest + 1 : "");
    split(copy, part);
    if (!strcmp(word, "bitmaps") || !strcmp(word, "counts"))
        tell(m, *word == 'c');
    else if (!strncmp(word, "wrote ", 6))
        *ret_result = wrote(m, part, err);
    else if (!strncmp(word, "enable ", 7) || !strncmp(word, "remove ", 7))
        *ret_result = change(m, part, *word == 'e', err);
    else
        return false;
    return true;
}

int disks_make(struct machine *m, struct request *q, struct gw_error *err)
{
    struct gw_bitmap_alias map[WORDS_MAX];
    unsigned mapped = 0;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < q->disk_words; i++) {
        char *part[PARTS];

        split(q->disk_word[i].text, part);
        if (q->disk_word[i].option == DISK_OPTION)
            r = add_disk(m, part, err);
        else if (q->disk_word[i].option == BITMAP_OPTION)
            r = add_bitmap(m, part, err);
        else if (q->disk_word[i].option == WROTE_OPTION)
            r = wrote(m, part, err);
        else
            map[mapped++] = (struct gw_bitmap_alias){part[0], part[1], part[2], part[3], part[4][0], part[4][0] == '+'};
    }
    return r < 0 || !mapped ? r : gw_vm_map_bitmaps(m->vm, map, mapped, err);
}
