/* SPDX-License-Identifier: MIT */
#include "channel/links.h"

void gw_links_init(struct gw_links *l)
{
    *l = (struct gw_links){.shut = false};
    pthread_mutex_init(&l->lock, NULL);
}

void gw_links_fini(struct gw_links *l)
{
    pthread_mutex_destroy(&l->lock);
}

static bool is_valid(enum gw_link purpose, unsigned index)
{
    return purpose <= GW_LINK_PAGES && index < (purpose == GW_LINK_PAGES ? GW_LINKS_PAGES : 1);
}

static int fail_invalid(enum gw_link purpose, unsigned index, struct gw_error *err)
{
    return gw_fail(err, -ERANGE, GW_BLAME_PEER, "channel %u of kind %u does not exist", index, (unsigned)purpose);
}

void gw_links_put(struct gw_links *l, enum gw_link purpose, unsigned index, struct gw_channel *channel)
{
    pthread_mutex_lock(&l->lock);
    l->place[purpose + index] = channel;
    if (channel && l->shut)
        gw_channel_shutdown(channel);
    pthread_mutex_unlock(&l->lock);
}

int gw_links_open(struct gw_links *l, gw_dial_fn dial, void *opaque, enum gw_link purpose, unsigned index,
                  struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err)
{
    struct gw_channel *channel = NULL;
    bool taken;
    int r;

    if (!is_valid(purpose, index))
        return fail_invalid(purpose, index, err);
    r = dial(opaque, purpose, index, cancel, &channel, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&l->lock);
    taken = l->place[purpose + index];
    if (!taken)
        l->place[purpose + index] = channel;
    if (l->shut)
        gw_channel_shutdown(channel);
    pthread_mutex_unlock(&l->lock);
    if (taken) {
        gw_channel_free(channel);
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "this channel is open already");
    }
    *ret = channel;
    return 0;
}

void gw_links_shut(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    l->shut = true;
    for (size_t i = 0; i < GW_ARRAY_LEN(l->place); i++)
        if (l->place[i])
            gw_channel_shutdown(l->place[i]);
    pthread_mutex_unlock(&l->lock);
}

void gw_links_shut_main(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->place[GW_LINK_MAIN])
        gw_channel_shutdown(l->place[GW_LINK_MAIN]);
    pthread_mutex_unlock(&l->lock);
}

void gw_links_shut_pages(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->place[GW_LINK_URGENT])
        gw_channel_shutdown(l->place[GW_LINK_URGENT]);
    for (size_t i = GW_LINK_PAGES; i < GW_ARRAY_LEN(l->place); i++)
        if (l->place[i])
            gw_channel_shutdown(l->place[i]);
    pthread_mutex_unlock(&l->lock);
}
