/* SPDX-License-Identifier: MIT
 *
 * seeds TARGET FOLDER: writes what a fuzzer may begin with.
 */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/base.h"
#include "seeds.h"

const char *seeds_folder;

int seeds_put(const char *name, const void *data, size_t bytes)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", seeds_folder, name);
    f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) {
        perror(path);
        return 1;
    }
    return 0;
}

size_t seeds_load(const char *name, uint8_t *data)
{
    char path[512];
    gzFile f;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    n = f ? gzread(f, data, SEEDS_CAPTURE_MAX) : -1;
    if (f)
        gzclose(f);
    return n < 0 ? 0 : (size_t)n;
}

static int streams(void)
{
    return seeds_captures(65536) | seeds_unknown();
}

static int heads(void)
{
    return seeds_captures(120);
}

static int convert(void)
{
    return seeds_captures(65536) | seeds_libvirt() | seeds_parked();
}

static const struct {
    const char *target;
    int (*write)(void);
} seeds[] = {
    {"loader", seeds_loader},
    {"guest", seeds_guest},
    {"inspect", streams},
    {"stream_file", streams},
    {"libvirt", seeds_libvirt},
    {"head", heads},
    {"parked", seeds_parked},
    {"convert", convert},
    {"qmp", seeds_qmp},
    {"dump", seeds_dump},
    {"examine", seeds_examine},
    {"return_path", seeds_return_path},
    {"packet", seeds_packet},
    {"mapped", seeds_mapped},
    {"block", seeds_block},
    {"bitmaps", seeds_bitmaps},
    {"postcopy", seeds_postcopy},
    {"xbzrle", seeds_xbzrle},
    {"working_set", seeds_working_set},
    {"qcow2", seeds_qcow2},
    {"compress", seeds_compressed},
    {"uri", seeds_uri},
    {"schema", seeds_schema},
    {"monitor", seeds_monitor},
    {"backing", seeds_backing},
};

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    seeds_folder = argv[2];
    for (size_t i = 0; i < GW_ARRAY_LEN(seeds); i++)
        if (!strcmp(argv[1], seeds[i].target))
            return seeds[i].write();
    return 0; /* others make do without */
}
