/* SPDX-License-Identifier: MIT
 *
 * Any text as an address. What is taken is written in a form that means the same.
 */
#include "base/base.h"
#include "godwit/channel.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), again[GW_URI_TEXT], third[GW_URI_TEXT];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri a, b;
    int r;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    r = gw_uri_parse(text, &a, &err);
    if (r < 0 && (r != -EINVAL || err.blame != GW_BLAME_CALLER || !err.text[0]))
        abort();
    FUZZ_VERDICT(r >= 0);
    if (r >= 0) {
        gw_uri_format(&a, again, sizeof again);
        if (gw_uri_parse(again, &b, NULL) < 0)
            abort();
        gw_uri_format(&b, third, sizeof third);
        if (a.kind != b.kind || strcmp(again, third) || a.offset != b.offset)
            abort();
    }
    free(text);
    return 0;
}
