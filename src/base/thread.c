/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>

int gw_thread_start(pthread_t *ret_thread, void *(*run)(void *opaque), void *opaque, struct gw_error *err)
{
    sigset_t all, before;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(ret_thread, NULL, run, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e ? gw_fail(err, -e, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(e)) : 0;
}
