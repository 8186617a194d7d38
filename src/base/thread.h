/* SPDX-License-Identifier: MIT
 *
 * Threads of the library.
 */
#ifndef GW_BASE_THREAD_H
#define GW_BASE_THREAD_H

#include <pthread.h>

#include "base/base.h"

/* Starts a thread that must be joined. All signals are blocked in it: the embedder's handlers run on the embedder's own
 * threads, and writing to a closed pipe fails instead of raising SIGPIPE. Returns 0, or a negative errno with err set. */
int gw_thread_start(pthread_t *ret_thread, void *(*run)(void *opaque), void *opaque, struct gw_error *err);

#endif
