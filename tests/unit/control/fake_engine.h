/* SPDX-License-Identifier: MIT
 *
 * fake_engine: sessions that do nothing but what the test tells them, so that the control can be tested alone.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <pthread.h>

#include "engine/options.h"
#include "godwit/bitmap.h"
#include "godwit/dirty_rate.h"
#include "godwit/nic.h"
#include "godwit/recv.h"
#include "godwit/send.h"
#include "godwit/survey.h"
#include "godwit/vm.h"
#include "godwit/vm_snapshot.h"

struct gw_vm {
    struct gw_options *options;
    _Atomic(const char *) blocker;
    atomic_uint came_back;
    atomic_bool elsewhere, memory_given;
    /* Looked at and changed between commands. */
    struct gw_dirty_rate_config measure; /* the last that was asked for */
    struct gw_dirty_rate rate;           /* what is told */
    uint64_t limits[2], rates[2];        /* bytes per second of its two vCPUs */
    bool unlimited;                      /* vCPUs cannot be limited */
    struct gw_survey_config survey_config; /* the last that was asked for, without its probe */
    char probe[64];
    struct gw_survey survey; /* what is told */
    struct gw_disk *disk; /* the only one; NULL: there is none */
    char mapped[256]; /* the last mapping: "disk=alias/bitmap=alias[+-] " */
    const struct gw_bitmap_alias *aliases; /* the mapping that is told; NULL: there is none */
    unsigned alias_count;
    struct gw_announce_config announce; /* the last that was asked for, without its texts */
    char announced[256]; /* those: "id: interface interface" */
    char snapshot[64];   /* the last that was asked for; by the job */
    atomic_bool snapshot_held; /* one waits meanwhile */
    _Atomic uint64_t saving;   /* bytes of 4000 that one which is saved has left; 0: none is */
};

struct fake_session {
    enum gw_status status;
    enum gw_owner owner;
    struct gw_stats stats;
    const struct gw_postcopy_waits *waits; /* NULL: they are not measured */
    gw_event_fn on_event;
    void *opaque;
    char uri[256], peer[16];
    uint64_t timeout_ns;
    bool start_paused, touched;
    struct gw_channel *channel; /* instead of a URI; uri is its name then */
    bool resumes;
    unsigned cancels, continues, postcopies, pauses, yanks, claims;
    int refuse; /* what the next steering call gives */
};
struct gw_send {
    struct fake_session s;
};
struct gw_recv {
    struct fake_session s;
};

/* The session that was started last, of either kind, and how many were ever made and freed. Threads: a test looks and
 * changes between commands, when the control does nothing; fake_now and fake_status tell that to the tools. */
extern struct fake_engine {
    struct fake_session *session;
    bool incoming;
    unsigned started, freed;
    int start_fails;
    _Atomic int place; /* enum gw_vm_place */
} fake;

struct fake_engine *fake_now(void);

void fake_status(struct fake_session *s, enum gw_status status);
void fake_event(struct fake_session *s, enum gw_event_type type, uint64_t pass);

#endif
