/* SPDX-License-Identifier: MIT
 *
 * Listening and connecting by the text of an address, for tests of both.
 */
#ifndef CHANNEL_LISTENING_H
#define CHANNEL_LISTENING_H

#include "helpers.h"

static inline int try_listen(const char *text, struct gw_listener **ret, struct gw_error *err)
{
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    return r < 0 ? r : gw_listen(&uri, 4, ret, err);
}

static inline struct gw_listener *listen_on(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;

    assert_ok(try_listen(text, &l, &err), err);
    return l;
}

static inline int try_connect(const char *text, uint64_t timeout_ns, struct gw_cancel *cancel, struct gw_channel **ret,
                       struct gw_error *err)
{
    struct gw_uri uri;
    int r = gw_uri_parse(text, &uri, err);

    return r < 0 ? r : gw_connect(&uri, timeout_ns, cancel, ret, err);
}

static inline unsigned port_of(struct gw_listener *l)
{
    struct gw_uri uri;

    gw_listener_uri(l, &uri);
    return (unsigned)atoi(uri.service);
}

#endif
