/* SPDX-License-Identifier: MIT
 *
 * reasons: what is said of two streams, of captures or of devices that are described here.
 */
#ifndef EXAMINE_REASONS_H
#define EXAMINE_REASONS_H

#include "../image/streams.h"

#include <cmocka.h>

#include "godwit/examine.h"
#include "godwit/state.h"
#include "examine/inspect.h"
#include "state/vmdesc_read.h"

struct reasons {
    char first[700]; /* that is refused: "where: what" */
    char unknown[700];
    char all[20000];
};

static inline void found(void *opaque, const struct gw_reason *reason)
{
    struct reasons *r = opaque;
    char line[700];

    snprintf(line, sizeof line, "%s: %s", reason->where, reason->what);
    if (reason->weight == GW_REASON_REFUSED && !*r->first)
        strcpy(r->first, line);
    if (reason->weight == GW_REASON_UNKNOWN && !*r->unknown)
        strcpy(r->unknown, line);
    if (strlen(r->all) + strlen(line) + 4 < sizeof r->all)
        sprintf(r->all + strlen(r->all), "%d %s\n", reason->weight, line);
}

static inline struct gw_inspect *inspection(const char *name)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    char path[200];
    struct trickle t;
    struct bytes b;

    snprintf(path, sizeof path, strstr(name, ".bin") ? "%s" : "../explain/%s.bin.gz", name);
    b = stream_load(path);
    assert_int_equal(gw_inspect_new(&in, &err), 0);
    trickle_init(&t, b.data, b.bytes, SIZE_MAX);
    if (gw_inspect_read(in, &t.channel, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    free(b.data);
    return in;
}

static inline struct gw_explain_counts explain(const char *from, const char *into, struct reasons *reasons)
{
    struct gw_inspect *a = inspection(from), *b = inspection(into);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts;

    memset(reasons, 0, sizeof *reasons);
    if (gw_inspect_explain(a, b, NULL, found, reasons, &counts, &err) < 0)
        fail_msg("%s", err.text);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

static struct reasons reasons GW_UNUSED;

/* A description as a program may have written it, with bodies of zeros. */
static inline struct gw_inspect *described(const char *device)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    struct gw_vmdesc_tree *tree = NULL;
    char text[2000];
    uint8_t stream[4000] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3}, *p = stream + 8;
    struct trickle t;
    int n;

    n = snprintf(text, sizeof text, "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, %s}]}",
                 device);
    assert_int_equal(gw_vmdesc_parse(text, (size_t)n, &tree, &err), 0);
    *p = 4;
    p[5] = 1;
    p[6] = 'd';
    p[14] = (uint8_t)tree->devices[0].state.version;
    p += 15 + tree->devices[0].state.bytes;
    p[0] = 0x7e;
    p += 5;
    p[0] = 0;
    p[1] = 6;
    p[4] = (uint8_t)(n >> 8);
    p[5] = (uint8_t)n;
    memcpy(p + 6, text, (size_t)n);
    gw_vmdesc_tree_free(tree);
    assert_int_equal(gw_inspect_new(&in, &err), 0);
    trickle_init(&t, stream, (size_t)(p + 6 + n - stream), SIZE_MAX);
    if (gw_inspect_read(in, &t.channel, &err) < 0)
        fail_msg("%s", err.text);
    return in;
}

static unsigned hints_from GW_UNUSED, hints_into GW_UNUSED; /* at the programs that wrote them */

static inline struct gw_explain_counts explain_described(const char *from, const char *into)
{
    struct gw_inspect *a = described(from), *b = described(into);
    struct gw_explain_counts counts;

    a->hints = hints_from;
    b->hints = hints_into;
    memset(&reasons, 0, sizeof reasons);
    assert_int_equal(gw_inspect_explain(a, b, NULL, found, &reasons, &counts, NULL), 0);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

#define STATE(version, fields)  "\"vmsd_name\": \"d\", \"version\": " version ", \"fields\": [" fields "]"
#define FIELD(name, type, size) "{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " size "}"

#endif
