/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what -dump-vmstate writes, and behind a NUL as the description of a stream: what is accepted is turned
 * into a schema and back, compared with itself, and asked for each device of the stream. Sentences go to terminals.
 */
#include "examine/explain.h"
#include "godwit/state.h"
#include "state/dump.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void convert(const char *text, size_t bytes)
{
    char *schema = NULL, *dump = NULL;
    struct gw_error err = GW_ERROR_INIT;
    int r;

    if (gw_schema_from_dump(text, bytes, &schema, &err) < 0)
        abort();
    r = gw_schema_to_dump(schema, &dump, &err);
    if (r < 0 && !err.text[0])
        abort();
    if (r >= 0 && gw_schema_check(dump, schema, NULL, NULL, &err) < 0 && !err.text[0])
        abort();
    free(schema);
    free(dump);
}

static void ask(const struct gw_dump *dump, const char *text, size_t bytes)
{
    struct gw_explain e = {.dump = dump};
    struct gw_vmdesc_tree *tree = NULL;
    char why[GW_EXPLAIN_WHY];

    if (gw_vmdesc_parse(text, bytes, &tree, NULL) < 0)
        return;
    for (uint32_t i = 0; i < tree->device_count; i++) {
        const struct gw_vmdesc_device *d = &tree->devices[i];
        struct gw_inspect_device device = {
            .name = d->name, .version = d->state.version, .state = d->legacy ? NULL : &d->state};

        memset(why, 1, sizeof why);
        if (gw_explain_dump(&e, &device, why) == GW_EXPLAIN_READS)
            continue;
        for (const char *p = why; *p; p++)
            if (*p < 0x20 || *p > 0x7e)
                abort();
    }
    gw_vmdesc_tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t n = strnlen(text, size);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dump *dump = NULL;

    if (gw_dump_parse(text, n, &dump, &err) < 0) {
        if (!err.text[0])
            abort();
        FUZZ_VERDICT(false);
        return 0;
    }
    FUZZ_VERDICT(true);
    convert(text, n);
    if (n < size)
        ask(dump, text + n + 1, size - n - 1);
    gw_dump_free(dump);
    return 0;
}
