/* SPDX-License-Identifier: MIT */
#include "ram/lane/urgent.h"

#include <pthread.h>

#include "base/thread.h"
#include "wire/ram_record.h"

struct gw_urgent {
    struct gw_urgent_config config;
    struct gw_urgent_run run;
    struct gw_batch *batch;
    struct gw_writer writer;
    struct gw_error error; /* belongs to the thread until it was joined */
    pthread_t thread;
    bool open, threaded; /* open: the writer exists */
};

int gw_urgent_new(const struct gw_urgent_config *config, struct gw_urgent **ret, struct gw_error *err)
{
    struct gw_urgent *u = config->take_lane ? calloc(1, sizeof *u) : NULL;

    if (u)
        u->batch = calloc(1, sizeof *u->batch);
    if (!u || !u->batch) {
        free(u);
        gw_lane_free(config->take_lane);
        return gw_nomem(err, "lane of urgent pages");
    }
    u->config = *config;
    *ret = u;
    return 0;
}

struct gw_urgent *gw_urgent_free(struct gw_urgent *u)
{
    if (!u)
        return NULL;
    gw_urgent_end(u);
    gw_lane_free(u->config.take_lane);
    free(u->batch->room);
    free(u->batch);
    free(u);
    return NULL;
}

/* When this returns, all of the batch was flushed. */
static int put(struct gw_urgent *u, struct gw_error *err)
{
    int r = gw_lane_start(u->config.take_lane, u->batch, err);

    if (r >= 0)
        r = gw_lane_put(u->config.take_lane, u->batch, &u->writer, err);
    return r < 0 ? r : gw_writer_flush(&u->writer, err);
}

static void *serve(void *arg)
{
    struct gw_urgent *u = arg;
    struct gw_source *source = u->config.source;
    struct gw_error error = GW_ERROR_INIT;
    int r;

    while ((r = gw_requests_serve(u->config.requests, u->batch, &error))) {
        if (r > 0 && !u->error.code)
            r = put(u, &error);
        if (u->batch->count && source->sent)
            source->sent(source, u->batch);
        if (r >= 0 || u->error.code)
            continue;
        gw_context(&error, "channel of urgent pages");
        u->error = error;
        u->run.failed(u->run.opaque, &error);
    }
    return NULL;
}

int gw_urgent_begin(struct gw_urgent *u, const struct gw_urgent_run *run, struct gw_error *err)
{
    int r = gw_lane_begin(u->config.take_lane, err);

    u->run = *run;
    if (r >= 0)
        r = gw_writer_init(&u->writer, run->channel, err);
    if (r < 0)
        return r;
    u->open = true;
    u->writer.account = run->account;
    gw_writer_cause(&u->writer, GW_CAUSE_RAM_META);
    gw_requests_serve_apart(u->config.requests, run->wake, run->opaque);
    r = gw_thread_start(&u->thread, serve, u, err);
    u->threaded = r >= 0;
    return r;
}

static void join(struct gw_urgent *u)
{
    if (u->threaded)
        pthread_join(u->thread, NULL);
    u->threaded = false;
}

int gw_urgent_finish(struct gw_urgent *u, struct gw_error *err)
{
    join(u);
    if (u->error.code && err)
        *err = u->error;
    return u->error.code;
}

int gw_urgent_put_end(struct gw_urgent *u, struct gw_error *err)
{
    gw_ram_put_end(&u->writer.out);
    return gw_writer_flush(&u->writer, err);
}

void gw_urgent_end(struct gw_urgent *u)
{
    if (!u->open)
        return;
    if (u->threaded)
        gw_channel_shutdown(u->run.channel); /* it may be blocked in writing to a peer that reads no more */
    join(u);
    gw_writer_close(&u->writer);
    gw_lane_end(u->config.take_lane);
    u->open = false;
}

void gw_urgent_progress(const struct gw_urgent *u, struct gw_progress *sum)
{
    gw_lane_progress(u->config.take_lane, sum);
}
