/* SPDX-License-Identifier: MIT */
#include "disk/node/probe.h"

#include "base/base.h"

#define MARK(format, at, text)                                                                                         \
    {                                                                                                                  \
        format, at, sizeof(text) - 1, text                                                                             \
    }

static const struct mark {
    const char *format;
    unsigned at, bytes;
    const char *text;
} marks[] = {
    MARK("qcow", 0, "QFI\xfb\0\0\0\1"),
    MARK("qcow2", 0, "QFI\xfb"),
    MARK("qed", 0, "QED\0"),
    MARK("luks", 0, "LUKS\xba\xbe"),
    MARK("vmdk", 0, "KDMV"),
    MARK("vmdk", 0, "COWD"),
    MARK("vmdk", 0, "# Disk DescriptorFile"),
    MARK("vhdx", 0, "vhdxfile"),
    MARK("vpc", 0, "conectix"),
    MARK("vdi", 64, "\x7f\x10\xda\xbe"),
    MARK("parallels", 0, "WithoutFreeSpace"),
    MARK("parallels", 0, "WithouFreSpacExt"),
};

const char *gw_probe(const uint8_t *head, size_t bytes)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(marks); i++)
        if (bytes >= marks[i].at + marks[i].bytes && !memcmp(head + marks[i].at, marks[i].text, marks[i].bytes))
            return marks[i].format;
    return NULL;
}
