/* SPDX-License-Identifier: MIT */
#include "served_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "shown.h"

#define KEPT_MAX 1000u /* finished destinations kept for queries */

/* The oldest finished destinations are forgotten. */
static void make_room(struct gw_served_list *l)
{
    unsigned ended = 0;

    for (unsigned i = 0; i < l->count; i++)
        ended += l->list[i]->ended;
    for (unsigned i = 0; i < l->count && ended > KEPT_MAX;) {
        if (!l->list[i]->ended) {
            i++;
            continue;
        }
        gw_served_free(l->list[i]);
        memmove(&l->list[i], &l->list[i + 1], (--l->count - i) * sizeof(struct gw_served *));
        ended--;
    }
}

int gw_served_add(struct gw_served_list *l, const char *uri, bool resume, unsigned *ret_id, struct gw_error *err)
{
    struct gw_served **grown;
    uint64_t dropped = 0;
    char text[128];
    int r;

    if (l->no_more)
        return gw_fail(err, -ESHUTDOWN, GW_BLAME_CALLER, "it is ending and starts no more machines");
    make_room(l);
    grown = realloc(l->list, (l->count + 1) * sizeof(struct gw_served *));
    if (!grown)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (destination)");
    l->list = grown;
    r = gw_served_start(&l->by, l->next_id + 1, uri, resume, &l->list[l->count], &dropped, err);
    if (r < 0)
        return r;
    *ret_id = ++l->next_id;
    l->count++;
    if (dropped && l->next_id == 1) {
        snprintf(text, sizeof text, "%llu pages of the working set are skipped: this machine does not have them",
                 (unsigned long long)dropped);
        gw_transfer_tell(l->by.transfer, "notice", "text", text);
    }
    return 0;
}

static void tell_running(struct gw_served_list *l, struct gw_served *d)
{
    char a[GW_HUMAN];

    if (d->told || !d->runs_ns)
        return;
    d->told = true;
    if (l->by.transfer->json)
        gw_transfer_result(gw_served_describe(d, "running"));
    else if (!l->by.transfer->quiet) {
        gw_transfer_clear(l->by.transfer);
        printf("%u: runs at %s after %s\n", d->id, gw_shown(d->uri), gw_human_ms(a, (double)(d->runs_ns - d->began_ns) / 1e6));
        fflush(stdout);
    }
}

static void tell_ended(struct gw_served_list *l, struct gw_served *d)
{
    char a[GW_HUMAN], b[GW_HUMAN];

    l->started += !d->error.code;
    l->failed += d->error.code != 0;
    if (l->by.transfer->json)
        gw_transfer_result(gw_served_describe(d, d->error.code ? "failed" : "done"));
    gw_transfer_clear(l->by.transfer);
    if (d->error.code)
        fprintf(stderr, "godwit serve: %u: %s: %s%s\n", d->id, gw_shown(d->uri), d->error.text,
                d->owner == GW_OWNER_SOURCE ? "; its guest was not started there" : "");
    else if (!l->by.transfer->json && !l->by.transfer->quiet)
        printf("%u: %s has all memory (%s in %s)\n", d->id, gw_shown(d->uri), gw_human_bytes(a, (double)d->stats.transferred_bytes),
               gw_human_ms(b, (double)(d->ended_ns - d->began_ns) / 1e6));
    fflush(stdout);
}

/* Keeps the pages that its guest requested, whatever the result. */
static void keep_record(struct gw_served_list *l, struct gw_served *d)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_working_add(l->by.working, d->recorded, &err) < 0)
        gw_transfer_failed(l->by.transfer, l->by.working->record, &err);
    d->recorded = gw_working_set_free(d->recorded);
}

unsigned gw_served_look_all(struct gw_served_list *l, struct gw_stats *sums, bool *ret_connected)
{
    unsigned busy = 0;

    *sums = (struct gw_stats){.status = GW_STATUS_POSTCOPY_ACTIVE};
    *ret_connected = true;
    for (unsigned i = 0; i < l->count; i++) {
        struct gw_served *d = l->list[i];
        bool ended = gw_served_look(d);

        tell_running(l, d);
        if (ended)
            tell_ended(l, d);
        if (ended)
            keep_record(l, d);
        busy += !d->ended;
        *ret_connected = *ret_connected && gw_served_connected(d);
        sums->transferred_bytes += d->stats.transferred_bytes;
        sums->total_bytes += d->stats.total_bytes;
        sums->remaining_bytes += d->stats.remaining_bytes;
    }
    return busy;
}

void gw_served_stop_all(struct gw_served_list *l, bool now)
{
    for (unsigned i = 0; i < l->count; i++)
        gw_served_stop(l->list[i], now);
}

json_t *gw_served_describe_all(const struct gw_served_list *l)
{
    json_t *list = json_array();

    for (unsigned i = 0; list && i < l->count; i++)
        json_array_append_new(list, gw_served_describe(l->list[i], NULL));
    return list;
}

void gw_served_free_all(struct gw_served_list *l)
{
    for (unsigned i = 0; i < l->count; i++)
        gw_served_free(l->list[i]);
    free(l->list);
    l->list = NULL;
    l->count = 0;
}
