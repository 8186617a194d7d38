/* SPDX-License-Identifier: MIT */
#include <godwit/version.h>

#include "base/sized.h"
#include "parts_versions.h"

#ifndef GW_WITH_JANSSON
#define GW_WITH_JANSSON ""
#endif
#ifndef GW_WITH_ZLIB
#define GW_WITH_ZLIB ""
#endif
#ifndef GW_WITH_LIBDEFLATE
#define GW_WITH_LIBDEFLATE ""
#endif
#ifndef GW_WITH_LIBISAL
#define GW_WITH_LIBISAL ""
#endif
#ifndef GW_WITH_ZSTD
#define GW_WITH_ZSTD ""
#endif
#ifndef GW_WITH_NBD
#define GW_WITH_NBD ""
#endif
#ifndef GW_WITH_IO_URING
#define GW_WITH_IO_URING ""
#endif

static const struct gw_version_part parts[] = {
    {"zlib", GW_WITH_ZLIB, "multifd packets, pages and disk images that are packed by zlib"},
    {"libdeflate", GW_WITH_LIBDEFLATE, "compressed pages, faster than by zlib"},
    {"isa-l", GW_WITH_LIBISAL, "multifd packets packed as by zlib's level 1, faster"},
    {"zstd", GW_WITH_ZSTD, "parked files, multifd packets and disk images packed by zstd"},
    {"libnbd", GW_WITH_NBD, "machines and disks on NBD servers"},
    {"liburing", GW_WITH_IO_URING, "disks by io_uring"},
    {"jansson", GW_WITH_JANSSON, "descriptions of devices, QMP"},
};

bool gw_version_part_sized(unsigned n, struct gw_version_part *ret_part, size_t part_bytes)
{
    if (n >= sizeof parts / sizeof parts[0])
        return false;
    gw_sized_out(ret_part, part_bytes, &parts[n], sizeof parts[n]);
    return true;
}
