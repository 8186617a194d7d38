/* SPDX-License-Identifier: MIT
 *
 * Any text as the name of a backing in a qcow2 image that is a file, and in one that is an export: a path, an address, or "json:".
 * What is accepted names something and a format that is known or none, and means the same again. Accepted: in the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/node/backing_name.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void refused(const struct gw_backing_name *b, int r, const struct gw_error *err)
{
    check(r == -ENOTSUP || r == -EPROTO || r == -ENOMEM, "refused with another code");
    check(err->code == r && err->text[0], "refused without a reason");
    check(!b->where, "refused, and something to free");
}

static int look(const char *image, const char *name)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_backing_name a = {0}, b = {0};
    int r = gw_backing_name_get(image, name, &a, &err);

    if (r < 0) {
        refused(&a, r, &err);
    } else {
        check(a.where && a.where[0], "accepted, and names nothing");
        check(memchr(a.format, 0, sizeof a.format) != NULL, "a format without an end");
        check(!a.far || !strncmp(a.where, "nbd", 3), "an export that is no NBD address");
        check(gw_backing_name_get(image, name, &b, NULL) == r && !strcmp(a.where, b.where) && a.far == b.far &&
                  a.alone == b.alone && !strcmp(a.format, b.format),
              "the same name means something else");
    }
    free(a.where);
    free(b.where);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = malloc(size + 1);
    int r;

    if (!name)
        return 0;
    memcpy(name, data, size);
    name[size] = 0;
    r = look("/disks/image", name);
    FUZZ_VERDICT(r >= 0);
    look(NULL, name);
    free(name);
    return 0;
}
