/* SPDX-License-Identifier: MIT
 *
 * Two texts with a NUL between them, as the schemas that `godwit schema check` compares: each may be anything, a schema or a dump.
 * Each difference is told once, the breaking ones are what is returned, and it is the same again. Accepted: both can be read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/state.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void found(void *opaque, bool breaking, const char *where, const char *what)
{
    check(where && what && *what, "a difference that says nothing");
    *(int *)opaque += breaking;
}

static int compare(const char *from, const char *to)
{
    struct gw_error err = GW_ERROR_INIT;
    int told = 0, again, r = gw_schema_check(from, to, found, &told, &err);

    check(r >= 0 || (err.code == r && err.text[0]), "no reason");
    check(r < 0 || r == told, "another number of differences than was told");
    again = gw_schema_check(from, to, NULL, NULL, NULL);
    check(again == r, "another result for the same schemas");
    return r;
}

static void convert(const char *schema)
{
    struct gw_error err = GW_ERROR_INIT;
    char *dump = NULL, *back = NULL;
    int r = gw_schema_to_dump(schema, &dump, &err);

    check(r >= 0 || (err.code == r && err.text[0]), "no reason");
    if (r >= 0 && gw_schema_from_dump(dump, strlen(dump), &back, &err) < 0)
        check(err.text[0], "no reason");
    free(dump);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *from = malloc(size + 2), *to;

    if (!from)
        return 0;
    memcpy(from, data, size);
    from[size] = from[size + 1] = 0;
    to = from + strlen(from) + 1;
    FUZZ_VERDICT(gw_schema_check(from, to, NULL, NULL, NULL) >= 0);
    compare(from, to);
    compare(to, from);
    compare(from, from);
    convert(from);
    free(from);
    return 0;
}
