/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a stream to look into. What is read is shown both ways, also when it breaks off; where it breaks off the
 * offset is told; where it does not, every byte has a cause.
 */
#include "examine/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at;
};

static ssize_t memory_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct memory *m = (struct memory *)ch;
    size_t take = GW_MIN(iov[0].iov_len, m->bytes - m->at);

    memcpy(iov[0].iov_base, m->data + m->at, take);
    m->at += take;
    return (ssize_t)take;
}

static void fits(const char *text)
{
    unsigned lines = 0;

    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1)
        if (++lines > GW_SCREEN_LINES || end - p > (ptrdiff_t)GW_SCREEN_COLUMNS)
            abort();
}

static void print(const struct gw_inspect *in, const struct gw_inspect_options *how)
{
    char *text = NULL;

    if (gw_inspect_print(in, how, &text, NULL) < 0 && !how->device)
        abort();
    for (const char *p = text; p && *p; p++)
        if (*p != '\n' && (*p < 0x20 || *p > 0x7e))
            abort(); /* it goes to terminals */
    if (how->screen)
        fits(text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gw_channel_ops ops = {.kind = "memory", .readv = memory_readv};
    const struct gw_inspect_options how[] = {{.json = true}, {.title = "x"}, {.device = "timer"}, {.ram = true}, {.title = "x", .screen = true}};
    struct memory m = {.data = data, .bytes = size};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    uint64_t sum = 0;
    int r;

    gw_channel_init(&m.channel, &ops, 0, "memory");
    if (gw_inspect_new(&in, &err) < 0)
        abort();
    r = gw_inspect_read(in, &m.channel, &err);
    if ((r < 0) != (err.code != 0) || (r < 0 && !strstr(err.text, "byte ")))
        abort();
    for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
        sum += in->cause[i];
    if (r >= 0 && sum != size)
        abort();
    for (size_t i = 0; i < GW_ARRAY_LEN(how); i++)
        print(in, &how[i]);
    gw_inspect_free(in);
    return 0;
}
