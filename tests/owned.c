/* SPDX-License-Identifier: MIT */
#include "owned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "godwit/godwit.h"

#define MOST 1024
#define YANK_NAPS 3000 /* of 10 ms: a session that has not ended by then is yanked, too */

typedef void (*ending)(void *what);

static struct {
    void *what;
    ending end;
} list[MOST];
static unsigned count;

void *owned(void *what, void (*end)(void *what))
{
    if (count == MOST)
        fail_msg("a test makes more than %d things", MOST);
    list[count].what = what;
    list[count++].end = end;
    return what;
}

void *owned_memory(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (!p)
        fail_msg("no memory for the test");
    return owned(p, free);
}

static bool over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static bool has_ended(struct gw_send *send)
{
    return over(gw_send_status(send)) || gw_send_status(send) == GW_STATUS_POSTCOPY_PAUSED;
}

static void end_send(void *what)
{
    struct gw_send *send = what;

    if (!has_ended(send) && gw_send_cancel(send, NULL) < 0)
        gw_send_yank(send);
    for (unsigned i = 0; !has_ended(send); i++, nap())
        if (i == YANK_NAPS)
            gw_send_yank(send);
    gw_send_free(send);
}

static void end_recv(void *what)
{
    struct gw_recv *recv = what;

    if (!over(gw_recv_status(recv)) && gw_recv_cancel(recv, NULL) < 0)
        gw_recv_yank(recv);
    for (unsigned i = 0; !over(gw_recv_status(recv)); i++, nap())
        if (i == YANK_NAPS)
            gw_recv_yank(recv);
    gw_recv_free(recv);
}

struct gw_send *owned_send(struct gw_send *send)
{
    return owned(send, end_send);
}

struct gw_recv *owned_recv(struct gw_recv *recv)
{
    return owned(recv, end_recv);
}

static void end_channel(void *what)
{
    gw_channel_free(what);
}

struct gw_channel *owned_channel(struct gw_channel *channel)
{
    return owned(channel, end_channel);
}

/* Takes entry i off the list and returns its end. */
static ending take(unsigned i)
{
    ending end = list[i].end;

    count--;
    for (; i < count; i++)
        list[i] = list[i + 1];
    return end;
}

static unsigned find(const void *what)
{
    unsigned i = count;

    while (i-- && list[i].what != what)
        ;
    if (i >= count)
        fail_msg("what is to be ended was not made, or was ended before");
    return i;
}

void owned_end(void *what)
{
    if (what)
        take(find(what))(what);
}

void owned_forget(void *what)
{
    take(find(what));
}

int owned_teardown(void **state)
{
    while (count) {
        void *what = list[count - 1].what;

        take(count - 1)(what);
    }
    return 0;
}
