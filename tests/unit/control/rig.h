/* SPDX-License-Identifier: MIT
 *
 * rig: a machine that does nothing behind a control socket, and clients that speak bytes.
 */
#ifndef RIG_H
#define RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <jansson.h>
#include <sys/socket.h>
#include <time.h>

#include "control/internal.h"
#include "fake_engine.h"

#define WAIT_MS 3600000 /* check.py ends what hangs, long before this */

struct rig {
    struct gw_vm vm;
    struct gw_control *c;
    char path[100], uri[128];
    _Atomic(const char *) run_state;
    atomic_uint quits, seen;
};

/* cmocka's set-up and tear-down: *state is a struct rig. A waiting machine has no guest, starts none by itself, and has
 * patience of 21 s to send and 22 s to receive. */
int rig_up(void **state);
int rig_up_waiting(void **state);
int rig_down(void **state);

struct client {
    int fd;
    char buf[1 << 20];
    size_t bytes;
};

int connect_to(const char *path);
/* Connected and greeted; and negotiated, with oob. */
struct client *hello(struct rig *rig);
struct client *ready(struct rig *rig);
void bye(struct client *cl);

/* The next message as it came (malloc'ed), or NULL at the end of the connection. */
char *next_line(struct client *cl);
/* The next message, or NULL at the end of the connection (also a reset one). */
json_t *next(struct client *cl);
void expect_end(struct client *cl);
void say(struct client *cl, const char *text);
/* Asks, and compares the answer (as compact JSON with sorted keys) with what is wanted. Text in `want` that ends with an
 * ellipsis needs to be the answer's head only. */
void ask(struct client *cl, const char *text, const char *want);
void check_next(struct client *cl, const char *what, const char *want);
void check_event(struct client *cl, const char *name, const char *data);
/* What the command returns; a new reference. */
json_t *result_of(struct client *cl, const char *text);

#define E(desc) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" desc "\"}}"
#define OK "{\"return\":{}}"

#endif
