/* SPDX-License-Identifier: MIT */
#include "trace/trace.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_BYTES 1024

#define FORMAT(format, ...) format
static const struct {
    const char *name, *format, *sentence;
} events[] = {
#define E(name, arguments, values, sentence) {#name, FORMAT values, sentence},
#include "trace/trace.def"
#undef E
};

_Static_assert(GW_TRACE_COUNT <= 64, "events are bits of one word");

void gw_trace_init(struct gw_trace *t, const struct gw_clock *clock)
{
    *t = (struct gw_trace){.clock = clock};
}

static uint64_t matching(const char *word, size_t bytes)
{
    bool prefix = bytes && word[bytes - 1] == '*';
    uint64_t set = 0;

    for (size_t i = 0; i < GW_TRACE_COUNT; i++) {
        size_t n = strlen(events[i].name);

        if (prefix ? n >= bytes - 1 && !memcmp(events[i].name, word, bytes - 1)
                   : n == bytes && !memcmp(events[i].name, word, bytes))
            set |= 1ull << i;
    }
    return set;
}

int gw_trace_parse(const char *names, uint64_t *ret_set, struct gw_error *err)
{
    uint64_t set = 0;

    while (*names) {
        size_t n = strcspn(names, ",");
        uint64_t some = matching(names, n);

        if (!some)
            return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no trace event is called '%.*s'", (int)GW_MIN(n, 64u), names);
        set |= some;
        names += n + (names[n] == ',');
    }
    *ret_set = set;
    return 0;
}

void gw_trace_set(struct gw_trace *t, uint64_t set, gw_trace_fn fn, void *opaque)
{
    atomic_store(&t->on, 0);
    atomic_store(&t->opaque, opaque);
    atomic_store(&t->fn, fn);
    atomic_store(&t->on, fn ? set : 0);
}

void gw_trace_emit(const struct gw_trace *t, enum gw_trace_event event, const char *format, ...)
{
    gw_trace_fn fn = atomic_load(&t->fn);
    char raw[TEXT_BYTES], text[TEXT_BYTES];
    va_list ap;

    if (!fn)
        return;
    va_start(ap, format);
    vsnprintf(raw, sizeof raw, format, ap);
    va_end(ap);
    gw_printable(raw, text, sizeof text);
    fn(atomic_load(&t->opaque), &(struct gw_trace_record){events[event].name, text, gw_now_ns(t->clock)});
}

bool gw_trace_at(size_t i, const char **ret_name, const char **ret_format, const char **ret_sentence)
{
    if (i >= GW_TRACE_COUNT)
        return false;
    if (ret_name)
        *ret_name = events[i].name;
    if (ret_format)
        *ret_format = events[i].format;
    if (ret_sentence)
        *ret_sentence = events[i].sentence;
    return true;
}
