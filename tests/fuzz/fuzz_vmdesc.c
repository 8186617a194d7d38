/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the end of a stream: sections, EOF, and a description behind it, found as a program finds it that knows
 * none of the devices. What is accepted is printed both ways, and compared as a schema.
 */
#include "base/endian.h"
#include "godwit/state.h"
#include "state/values.h"
#include "state/vmdesc_read.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct gw_vmdesc_state *st, const uint8_t *body, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_text t = {0};

    for (int json = 0; json < 2; json++) {
        if (gw_values_print(&t, st, body, bytes, json, "", &err) < 0 && !err.text[0])
            abort();
        gw_text_free(&t);
    }
}

static void compare(const char *text, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    char *json = NULL;
    int r;

    if (gw_schema_from_description(text, bytes, "m", &json, &err) < 0)
        abort();
    r = gw_schema_check(json, json, NULL, NULL, &err);
    if (r < 0 && !err.text[0])
        abort();
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vmdesc_tree *tree = NULL;
    size_t eof = 0;

    while (eof + 6 < size && !(data[eof] == 0 && data[eof + 1] == 6 && data[eof + 6] == '{'))
        eof++;
    if (eof + 6 >= size)
        return 0;
    if (gw_vmdesc_parse((const char *)data + eof + 6, size - eof - 6, &tree, &err) < 0) {
        if (!err.text[0])
            abort();
        FUZZ_VERDICT(false);
        return 0;
    }
    FUZZ_VERDICT(true);
    compare((const char *)data + eof + 6, size - eof - 6);
    if (tree->device_count < 100000) {
        struct gw_vmdesc_section *sections = calloc(GW_MAX(tree->device_count, 1), sizeof *sections);

        if (gw_vmdesc_locate(tree, data, eof, true, NULL, sections, &err) == 0)
            for (uint32_t i = 0; i < tree->device_count; i++)
                print(&tree->devices[i].state, data + sections[i].body, sections[i].body_bytes);
        free(sections);
    }
    /* And the first description over whatever there is, if it is long enough. */
    if (tree->device_count && tree->devices[0].state.bytes <= eof)
        print(&tree->devices[0].state, data, (size_t)tree->devices[0].state.bytes);
    gw_vmdesc_tree_free(tree);
    return 0;
}
