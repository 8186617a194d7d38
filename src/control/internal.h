/* SPDX-License-Identifier: MIT
 *
 * control, inside: one thread serves all clients; events come from any thread through a queue.
 *
 *     session threads --gw_control_emit--> queue --wake--> control thread --> every client that has negotiated
 *     client bytes --splitter--> dispatch --> command --> public API                  |
 *                                              reply (after all events before it) <---+
 *
 * Locks: `sessions` is held while sessions are started, asked and freed; `queue` guards the event queue, the list of
 * the embedder's commands, and jobs. `sessions` may be held when `queue` is taken, never the other way round. Callbacks of the
 * embedder are called with neither. Clients belong to the control thread alone.
 */
#ifndef GW_CONTROL_INTERNAL_H
#define GW_CONTROL_INTERNAL_H

#include <jansson.h>
#include <pthread.h>

#include "base/base.h"
#include "control/splitter.h"
#include "godwit/control.h"
#include "godwit/options.h"

#define GW_CONTROL_CLIENTS 32            /* further clients are closed at once */
#define GW_CONTROL_MESSAGE (1024 * 1024) /* bytes; a longer message is an error and is skipped */
#define GW_CONTROL_UNREAD (64 * 1024)    /* a client with more unread output is not read from until it reads */
#define GW_CONTROL_BACKLOG (4 * 1024 * 1024) /* a client with more unread output (events) is closed */

#define GW_CONTROL_FDS 16 /* descriptors with a name */
#define GW_CLIENT_FDS  8  /* received with a message and not yet named */

struct gw_client {
    int fd; /* -1: a free place */
    int fds[GW_CLIENT_FDS]; /* received with bytes of the current message */
    unsigned fd_count;
    bool negotiated, oob, closing;
    struct gw_splitter splitter;
    char *in;
    size_t in_bytes, in_room;
    char *out;
    size_t out_done, out_bytes, out_room;
};

struct gw_control_command {
    char *name;
    gw_control_fn fn;
    void *opaque;
    struct gw_control_command *next;
};

struct gw_named_fd {
    char *name;
    int fd;
};

struct gw_control {
    struct gw_vm *vm;
    struct gw_control_config config;
    struct gw_control_ops ops;
    char *name;
    struct gw_listener *listener;
    int wake_fd;
    pthread_t thread;
    bool thread_runs;
    atomic_bool stop;

    pthread_mutex_t queue;
    json_t *events; /* an array of texts, each one event */
    struct gw_control_command *commands;
    struct gw_job *jobs;

    pthread_mutex_t sessions;
    bool closed;           /* no more sessions */
    struct gw_send *send;  /* at most one of the two exists: the last session started, kept after its end */
    struct gw_recv *recv;
    bool waits;         /* has no guest yet, and the embedder declared that */
    bool incoming_used; /* a session for its guest was started and may have changed it */
    bool claimed;
    bool have_last, last_incoming; /* statistics of a session that was freed to make room for one that did not start */
    enum gw_owner last_owner;
    struct gw_stats last;

    /* control thread */
    bool quitting; /* the reply to quit must be sent first */
    struct gw_client clients[GW_CONTROL_CLIENTS];
    struct gw_client *asking; /* the client whose command is being run */
    struct gw_named_fd named[GW_CONTROL_FDS];
    unsigned named_count;
};

/* client.c. All but init run on the control thread. */
void gw_client_open(struct gw_client *cl, int take_fd);
void gw_client_close(struct gw_client *cl);
/* Queues a text and a line end. Without memory the client is closed. */
void gw_client_put(struct gw_client *cl, const char *text);
void gw_client_flush(struct gw_client *cl);
void gw_client_read(struct gw_control *c, struct gw_client *cl);
/* Answers messages that were read but had to wait until the client read its output. */
void gw_client_work(struct gw_control *c, struct gw_client *cl);
static inline size_t gw_client_unread(const struct gw_client *cl)
{
    return cl->out_bytes - cl->out_done;
}

/* fds.c: descriptors that clients of a Unix socket pass (control thread). A descriptor belongs to the message whose
 * bytes it came with; if that message is not getfd, it is closed. A named one stays open, also after its client is
 * gone, until a migration uses it, or it is replaced, or closed by closefd or the server's end. */
struct msghdr;
void gw_client_keep_fds(struct gw_client *cl, struct msghdr *m);
void gw_client_drop_fds(struct gw_client *cl);
int gw_cmd_getfd(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_closefd(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* Whether the address is fd:NAME; and a channel made from the descriptor, which it takes. -ENOENT. Clients know names
 * only: a number would be any descriptor of this process. */
bool gw_fds_meant(const char *uri);
int gw_fds_open(struct gw_control *c, const char *uri, struct gw_channel **ret_channel, struct gw_error *err);
void gw_fds_close(struct gw_control *c);

/* Gives queued events to all clients. Control thread. */
void gw_control_deliver(struct gw_control *c);

/* dispatch.c: one message of a client, answered. */
void gw_control_greet(struct gw_client *cl);
void gw_control_message(struct gw_control *c, struct gw_client *cl, const char *text, size_t bytes);
/* Whether the server itself has a command of this name. */
bool gw_control_has_command(const char *name);
/* Sends an error that belongs to no command. */
void gw_control_complain(struct gw_client *cl, const char *desc);

/* A command. args is an object, checked against the row's list. *ret_result is a new reference; left NULL it is {}. The
 * error's code gives its class: -ENODEV is DeviceNotFound, all else GenericError. */
typedef int (*gw_command_fn)(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);

int gw_cmd_stop(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_cont(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_quit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_version(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_name(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_status(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_set_capabilities(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_capabilities(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_set_parameters(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_parameters(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_incoming(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_cancel(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_continue(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_recover(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_start_postcopy(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_migrate_pause(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_claim(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_yank(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_yank(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* device_state.c */
int gw_cmd_save_devices(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_load_devices(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* announce.c */
int gw_cmd_announce_self(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* bitmaps.c */
int gw_cmd_bitmap_add(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_bitmap_remove(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_bitmap_clear(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_bitmap_enable(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_bitmap_disable(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_bitmap_merge(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_block(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_nodes(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* value: that of the parameter block-bitmap-mapping: a list, or null for none. */
int gw_control_map_bitmaps(struct gw_control *c, json_t *mapping, struct gw_error *err);
/* The current mapping in the same form. false: none. *ret NULL: no memory. */
bool gw_control_mapped_bitmaps(struct gw_control *c, json_t **ret);
/* jobs.c: long operations that are not migrations: a thread for each, and an entry in a list until a client dismisses
 * it. Control thread, except for functions that a job calls itself. */
struct gw_disk;
struct gw_job;
struct gw_job_kind {
    const char *type;  /* the type in query-jobs */
    const char *state; /* the state in query-status while the job has stopped the machine; NULL: none */
    int (*run)(struct gw_control *c, void *opaque, struct gw_error *err); /* called by the job's thread */
    void (*free)(void *opaque);
    bool saves; /* its progress is that of the snapshot being saved */
};
/* Always takes take_opaque. kind: must outlive the job. -EINVAL: bad ID; -EEXIST: the ID is in use; -ENOSPC: too many
 * jobs. */
int gw_jobs_start(struct gw_control *c, const char *id, const struct gw_job_kind *kind, void *take_opaque, struct gw_error *err);
/* The kind of a job that has not concluded; NULL: none. Any thread. */
const struct gw_job_kind *gw_jobs_running(struct gw_control *c);
/* Waits for all jobs. Called when the server ends. */
void gw_jobs_free(struct gw_control *c);
int gw_cmd_query_jobs(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_job_dismiss(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_job_cancel(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* snapshots.c */
/* Adds x-godwit-snapshot: the progress of the snapshot being saved; nothing if there is none. true: no memory. */
bool gw_snapshot_put(struct gw_control *c, json_t *info);
int gw_cmd_snapshot_save(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_snapshot_load(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_snapshot_delete(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* bitmaps.c */
int gw_control_find_disk(struct gw_control *c, const char *name, struct gw_disk **ret, struct gw_error *err);
/* Reads the arguments of block-dirty-bitmap-add; borrows the name. */
struct gw_bitmap_config gw_control_bitmap_config(json_t *args);
/* The i-th element of `bitmaps` of block-dirty-bitmap-merge: a name (of a bitmap of the disk `own`), or the node and the name. */
int gw_control_merge_source(struct gw_control *c, json_t *item, size_t i, struct gw_disk *own, struct gw_disk **ret_disk,
                            const char **ret_name, struct gw_error *err);
/* transaction.c */
int gw_cmd_transaction(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* dirty_rate.c */
int gw_cmd_calc_dirty_rate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_dirty_rate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_set_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_cancel_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
/* survey.c */
int gw_cmd_survey(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_survey(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);
int gw_cmd_query_migrate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);

/* history.c */
int gw_cmd_query_history(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);

/* waits.c */
/* Members of query-migrate's answer: how long threads waited for pages. *ret: NULL if not measured. Units are QEMU's:
 * times in milliseconds, latencies in nanoseconds. */
int gw_waits_build(struct gw_recv *recv, json_t **ret_waits, struct gw_error *err);

/* session.c */
bool gw_status_ended(enum gw_status status);
/* A session reports its last status shortly before it releases the machine: waits until it has. */
void gw_control_settle(struct gw_control *c);
/* Whether `cont` may run a stopped machine: not while a session uses it, not with half-loaded memory. */
int gw_control_may_run(struct gw_control *c, struct gw_error *err);
/* The same for a running machine. */
int gw_control_may_run_on(struct gw_control *c, struct gw_error *err);
void gw_control_free_sessions(struct gw_control *c);

/* info.c: the answer to query-migrate. address may be NULL. */
int gw_info_build(struct gw_control *c, bool incoming, const struct gw_stats *stats, enum gw_owner owner,
                  const char *address, json_t **ret_info, struct gw_error *err);

/* address.c: the arguments uri and channels as one address (malloc'ed), and an address as QMP's SocketAddress (NULL:
 * not a socket, or no memory). */
int gw_address_from_args(json_t *args, char **ret_uri, struct gw_error *err);
json_t *gw_address_to_json(const char *uri);

/* json.c: reads untrusted JSON in QMP's syntax: -EPROTO with where and why (also for a key that occurs twice), -ENOMEM.
 * jansson's own parser is not used: it breaks when memory runs out. Strings have no control characters, except in the
 * member `id` of the outermost object.
 *
 * A number that jansson cannot represent exactly (beyond int64_t, or not whole) is kept as a text with a mark in front,
 * and gw_json_text writes it unchanged. So strings must be tested with gw_json_is_string, not with jansson. */
int gw_json_load(const char *text, size_t bytes, json_t **ret_value, struct gw_error *err);
/* Formats all JSON that is sent; malloc'ed; NULL: out of memory. */
char *gw_json_text(const json_t *value);
json_t *gw_json_u64(uint64_t value);
bool gw_json_is_string(const json_t *value);
/* The digits of a whole number of 2^63 or more; NULL: another value. */
const char *gw_json_large(const json_t *value);
/* Setters that return true on failure, so that results can be or-ed. */
bool gw_json_put(json_t *object, const char *key, json_t *take_value);
bool gw_json_put_int(json_t *object, const char *key, uint64_t value);
bool gw_json_put_text(json_t *object, const char *key, const char *value);
bool gw_json_put_real(json_t *object, const char *key, double value);
bool gw_json_put_bool(json_t *object, const char *key, bool value);
/* Finishes a result: takes it, and returns it or reports that memory ran out. */
int gw_json_finish(json_t *take_value, bool failed, json_t **ret_value, struct gw_error *err);
/* "state:s detach?b": each argument's name, `?` where it may be left out and `:` where not, and its type: s string,
 * b boolean, i integer, a array, o object. "*" allows anything. -EINVAL; `where` is put before the name in the text. */
int gw_json_check(json_t *object, const char *spec, const char *where, struct gw_error *err);

#endif
