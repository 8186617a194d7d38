/* SPDX-License-Identifier: MIT
 *
 * qmp_client: a client for a QMP server, godwit's or QEMU's.
 *
 * One command at a time. Events that arrive meanwhile go
 * to the callback. Threads: one owner.
 * Hostile: a message longer than 64 MiB, or one that is not JSON, ends the connection.
 */
#ifndef GODWIT_CLI_QMP_CLIENT_H
#define GODWIT_CLI_QMP_CLIENT_H

#include <godwit/godwit.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct gw_qmp_config {
    const char *address; /* a path, or unix:PATH, tcp:HOST:PORT */
    uint64_t timeout_ns; /* time-out of an answer, 0: 30 s; and of the greeting, 0: none */
    /* Called once, a second after the start, if there is no greeting yet: QEMU's monitor serves one client at a time;
     * others can connect but are not answered. May be NULL. */
    void (*held)(void *opaque, const char *address);
    /* Called about ten times a second while waiting for an answer; true cancels the wait (-EINTR). May be NULL. */
    bool (*interrupted)(void *opaque);
    /* Each event: the whole message. May be NULL. */
    void (*event)(void *opaque, const json_t *event);
    void *opaque;
    bool urgent; /* gw_qmp_execute_urgent will be used */
};

struct gw_qmp;

/* Connects, reads the greeting and negotiates. Errors name the address. -ETIMEDOUT: no greeting in time; -EINTR. */
int gw_qmp_open(const struct gw_qmp_config *config, struct gw_qmp **ret_qmp, struct gw_error *err);
struct gw_qmp *gw_qmp_free(struct gw_qmp *q);

/* "QEMU 7.2.22 (Debian ...)" or "godwit 0.1.0"; lives as long as q. */
const char *gw_qmp_server(const struct gw_qmp *q);

/* Whether the server is a godwit, which supports arguments that begin with x-godwit. */
bool gw_qmp_is_godwit(const struct gw_qmp *q);

/* Runs a command; takes args whatever happens (NULL: none). *ret_result is a new reference; ret_result may be NULL.
 * -EREMOTEIO with the server's message: it refused; -ENOSYS: unknown command; -ETIMEDOUT; -EINTR (a late answer is
 * ignored); -ECONNRESET: the server closed the connection. */
int gw_qmp_execute(struct gw_qmp *q, const char *command, json_t *take_args, json_t **ret_result, struct gw_error *err);

/* The class of the error that refused the last command, e.g. "GenericError"; NULL: it was not refused. */
const char *gw_qmp_refusal(const struct gw_qmp *q);
/* The same for commands that a QEMU carries out while its main loop hangs in another one ("out of band": yank). If the
 * server does not support it, it is an ordinary command. */
int gw_qmp_execute_urgent(struct gw_qmp *q, const char *command, json_t *take_args, struct gw_error *err);

/* Handles events for this long. -EINTR, -ECONNRESET. */
int gw_qmp_wait(struct gw_qmp *q, uint64_t duration_ns, struct gw_error *err);

#endif
