/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "none_vm.h"

void json_text(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", *s);
        else
            putchar(*s);
    }
    putchar('"');
}

/* Prints one whole line: stdio's lock separates the threads. */
void say(const char *event, const char *key, const char *text)
{
    flockfile(stdout);
    printf("{\"event\": \"%s\"", event);
    if (key) {
        printf(", \"%s\": ", key);
        json_text(text);
    }
    printf("}\n");
    fflush(stdout);
    funlockfile(stdout);
}

void on_event(void *opaque, const struct gw_event *e)
{
    char pass[32];
    switch (e->type) {
    case GW_EVENT_STATUS:
        say("status", "status", gw_status_name(e->status));
        break;
    case GW_EVENT_PASS:
        snprintf(pass, sizeof(pass), "%" PRIu64, e->pass);
        say("pass", "pass", pass);
        break;
    case GW_EVENT_STOP:
        say("stop", NULL, NULL);
        break;
    case GW_EVENT_RESUME:
        say("resume", NULL, NULL);
        break;
    case GW_EVENT_ENDED:
        break;
    case GW_EVENT_LOG:
        say("log", "text", e->text);
        break;
    }
}

void say_state(struct machine *m)
{
    struct gw_stats st = {0};

    if (m->send)
        gw_send_stats(m->send, &st);
    pthread_mutex_lock(&m->lock);
    flockfile(stdout);
    printf("{\"event\": \"state\", \"running\": %s, \"written\": %" PRIu64 ", \"xbzrle\": %" PRIu64
           ", \"compressed\": %" PRIu64 "}\n",
           m->running ? "true" : "false", m->written, st.xbzrle.pages, st.compression.pages);
    fflush(stdout);
    funlockfile(stdout);
    pthread_mutex_unlock(&m->lock);
}

void say_end(struct machine *m, int r, const struct gw_error *err)
{
    static const char *const owners[] = {"source", "destination", "undecided"};
    struct gw_stats st;
    enum gw_owner owner = m->send ? gw_send_owner(m->send) : gw_recv_owner(m->recv);
    memset(&st, 0, sizeof(st));
    if (m->send)
        gw_send_stats(m->send, &st);
    else
        gw_recv_stats(m->recv, &st);
    bool running = machine_running(m);
    pthread_mutex_lock(&m->lock);
    uint64_t written = m->written;
    pthread_mutex_unlock(&m->lock);
    flockfile(stdout);
    printf("{\"event\": \"end\", \"ok\": %s, \"code\": %d, \"blame\": \"%s\", \"error\": ", r ? "false" : "true", r,
           gw_blame_name(err->blame));
    json_text(err->text);
    printf(", \"owner\": \"%s\", \"running\": %s, \"written\": %" PRIu64
           ", \"ticks\": %" PRId64 ", \"clock\": %" PRId64 ", \"status\": \"%s\"",
           owners[owner], running ? "true" : "false", written, m->timer.cpu_ticks_offset, m->timer.cpu_clock_offset,
           gw_status_name(st.status));
    printf(", \"stats\": {\"transferred\": %" PRIu64 ", \"total\": %" PRIu64 ", \"remaining\": %" PRIu64
           ", \"normal\": %" PRIu64 ", \"duplicate\": %" PRIu64 ", \"dirty-sync-count\": %" PRIu64
           ", \"downtime-us\": %" PRIu64 ", \"total-ms\": %" PRIu64 ", \"rounds\": %u, \"xbzrle\": %" PRIu64
           ", \"compressed\": %" PRIu64 ", \"compressed-size\": %" PRIu64 ", \"busy\": %" PRIu64
           ", \"multifd-bytes\": %" PRIu64 ", \"dirty-sync-missed-zero-copy\": %" PRIu64
           ", \"disk\": %" PRIu64 ", \"disk-total\": %" PRIu64 ", \"bytes-by\": [",
           st.transferred_bytes, st.total_bytes, st.remaining_bytes, st.normal_pages, st.duplicate_pages,
           st.dirty_sync_count, st.downtime_ns / 1000, st.total_time_ns / 1000000, st.rounds,
           st.xbzrle.pages, st.compression.pages, st.compression.bytes, st.compression.busy,
           st.multifd_bytes, st.dirty_sync_missed_zero_copy, st.disk.transferred_bytes, st.disk.total_bytes);
    for (int i = 0; i < GW_CAUSE_COUNT; i++)
        printf("%s%" PRIu64, i ? ", " : "", st.bytes_by[i]);
    printf("]}}\n");
    fflush(stdout);
    funlockfile(stdout);
}
