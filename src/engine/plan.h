/* SPDX-License-Identifier: MIT
 *
 * plan: what a session's data path is made of, decided once.
 *
 * Options, the peer's profile and the machine go in; live sections whose plugs are in place come out. From then on data
 * flows, and nobody asks again what is on.
 *
 *     capability or parameter        becomes
 *     (what the guest is)            the source `dirty` or `image`; the store `direct`, with `landed` in front of it
 *                                    where a file is written meanwhile
 *     background-snapshot            the source `protect`; the session sends what the machine is when it begins (snapshot.c)
 *     zero-page-detection            the codec `zero`, and holes told by the source, unless it is none
 *     xbzrle                         the codec `xbzrle`, behind `zero`. A destination always has its decoder
 *     compress and its parameters    the codec `deflate`, behind these. A destination always has its decoder, with
 *                                    decompress-threads
 *     (a page transport)             the codec `transport`, first in the chain, and its records before and behind pages; a
 *                                    destination gives it HOOK records and guesses at nothing
 *     (always)                       the codec `plain`, last in the chain
 *     multifd, multifd-channels      so many lanes with a channel, a thread and the layout `packet`, and a lane in front of them
 *                                    for the main stream. The profile says where lanes wait for each other, and whether
 *                                    `zero` is in the lanes or in front
 *     multifd-compression, -level    a packing of each lane's layout
 *     zero-copy-send                 writers of these lanes that do not copy
 *     x-godwit-adaptive-compression  a packing in front of it, `chosen`
 *     x-ignore-shared                blocks that stay: no pages, guest addresses in the list
 *     mapped-ram                     the layout of pages, both ways; lanes with a descriptor each
 *     postcopy-ram                   the source `requests` around the one that the guest is; the store `uffd` of a machine that
 *                                    runs here
 *     release-ram                    the source `giveback` right around the guest's, where it is in this process and postcopy-ram is on
 *     postcopy-preempt               the lane `urgent`, beside the others
 *     postcopy-ram with multifd      lanes go on behind the switch; without postcopy-preempt a lane on the main stream for what is
 *                                    asked for. Only between two godwits. A session that resumes has the main stream alone
 *     (a working set)                the source `prefer` around that; what is asked for is noted down by the source `record` around
 *                                    `requests` (gw_vm_prefer, gw_vm_record)
 *     dirty-bitmaps                  the live section `dirty-bitmap`. A destination always reads it
 *     block, block-incremental, zero-blocks
 *                                    the live section `block`. A destination that has disks always reads it
 *     (what else the machine has)    a live section each (gw_vm.live), beside RAM's
 *
 * Threads: the caller's, before the session runs.
 */
#ifndef GW_ENGINE_PLAN_H
#define GW_ENGINE_PLAN_H

#include "engine/guest.h"
#include "engine/vm.h"
#include "godwit/send.h"
#include "ram/ram.h"
#include "ram/lane/urgent.h"
#include "ram/source/giveback.h"
#include "ram/source/prefer.h"
#include "ram/source/requests.h"
#include "wire/profile.h"

#define GW_PLAN_LIVES (3 + GW_VM_LIVES) /* RAM, disks, dirty bitmaps, and the others */

/* In bytes, where no rate is set. On the main stream these are in front of pages that a guest waits for, so they are few; on lanes they are
 * in front of none. */
struct gw_plan_follow {
    uint64_t step_bytes;  /* between two looks for pages that are asked for */
    uint64_t batch_bytes; /* on lanes about a packet; on the main stream a step */
};

/* What the session's own code does and does not, of what was on when it began. */
struct gw_plan_ways {
    bool return_path;    /* it is asked for */
    bool pause;          /* stopped, the source waits for migrate-continue */
    bool switchover_ack; /* the destination says when it is ready */
    bool postcopy;
    bool lanes_follow;   /* in postcopy, pages that nobody waits for go on the lanes */
    struct gw_plan_follow follow; /* in postcopy: pages that nobody waits for */
    bool blocktime;      /* how long threads wait for pages is measured */
    bool auto_converge, dirty_limit, tended;
};

/* A capability that both sides must have on, or both off; the head of a stream says whether it is. */
struct gw_plan_announced {
    const char *name;
    bool on;
};
#define GW_PLAN_ANNOUNCED 2

struct gw_plan {
    struct gw_plan_ways ways;
    struct gw_live *live[GW_PLAN_LIVES]; /* in the order of their sections */
    unsigned lives;
    const struct gw_cancel *cancel; /* set before: what ends waits of the session; borrowed, may be NULL */
    struct gw_live *snapshot; /* RAM, where the machine is saved as it is at one moment and runs on; else NULL */
    struct gw_requests *requests; /* pages that the destination asks for; NULL: postcopy-ram is off */
    struct gw_urgent *urgent; /* they go out by it; NULL: on the main stream */
    bool urgent_in; /* of a destination: they come on a channel of their own */
    struct gw_giveback *giveback; /* memory that the destination has; NULL: it stays */
    struct gw_prefer *prefer; /* pages that go first; NULL: none do */
    struct gw_codec *xbzrle; /* is told of another xbzrle-cache-size; NULL: it is off */
    struct gw_options *options;
    enum gw_send_disks disks; /* set before, of a source: whether the contents of disks are sent */
};

/* Channels for pages alone. */
struct gw_plan_pages {
    struct gw_lanes_config lanes;
    unsigned count;                        /* 0: there are none, pages travel on the main stream */
    const struct gw_wire_profile *profile; /* of a source: how multifd goes with this peer */
    const char *copies;                    /* of a source: an address whose connections always copy; NULL: none is known to */
    struct gw_guest_asks asks;             /* of a destination: who hears what is waited for in postcopy */
    const atomic_bool *as_is;              /* of a source: set when the peer has said that it takes packets as they are */
};

/* What a source is asked for with its start, beside the options. */
struct gw_plan_asked {
    const struct gw_wire_profile *peer;
    bool many; /* the address can be connected to more than once */
    enum gw_send_disks disks;
    bool resume, postcopy; /* go on where one by postcopy broke off; go by postcopy from the start */
};

/* By what pages travel: the main stream; channels of their own (multifd); their places in the file that the main stream is in
 * (mapped-ram), where multifd asks for more writers only. */
enum gw_pages_by { GW_PAGES_BY_STREAM, GW_PAGES_BY_CHANNELS, GW_PAGES_BY_FILE };

enum gw_pages_by gw_plan_pages_by(const struct gw_options *options);
/* In postcopy, pages that nobody waits for go on the lanes. Only a godwit takes them there. */
bool gw_plan_lanes_follow(const struct gw_options *options);
/* The same where a rate is set: what is in front of a page that somebody waits for then counts more than calls. */
struct gw_plan_follow gw_plan_follow_limited(void);
void gw_plan_announced(const struct gw_options *options, struct gw_plan_announced ret[GW_PLAN_ANNOUNCED]);
/* The head has the UUID of the machine. */
bool gw_plan_uuid(const struct gw_options *options);
/* Fills in plan->ways; send and recv do it too. Options that a session has taken do not change. */
void gw_plan_decide(struct gw_plan *plan, const struct gw_options *options);
/* On failure the plan is as it was: closed. */
int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err);
int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err);
/* The section of the disks' contents; NULL: this session has none (plan_disks.c). */
int gw_plan_disks_send(struct gw_plan *plan, struct gw_vm *vm, struct gw_live **ret, struct gw_error *err);
int gw_plan_disks_recv(struct gw_vm *vm, struct gw_live **ret, struct gw_error *err);
/* plan_check.c: what this machine, this peer or this address cannot do is refused before there is a plan. */
int gw_plan_check_send(struct gw_vm *vm, const struct gw_plan_asked *asked, struct gw_error *err);
/* Whether pages can follow while the machine runs elsewhere. Any thread. */
int gw_plan_check_follow(struct gw_vm *vm, struct gw_error *err);
/* Whether there can be a channel for urgent pages, where the options ask for one. Either side. */
int gw_plan_check_urgent(const struct gw_vm *vm, bool many, struct gw_error *err);
/* Whether disks can go as this source is asked to send them. */
int gw_plan_check_disks(enum gw_send_disks disks, struct gw_vm *vm, const struct gw_wire_profile *peer,
                        struct gw_error *err);
/* The figures of all sections. Any thread, while the plan is open. */
struct gw_progress gw_plan_progress(const struct gw_plan *plan);
/* Frees the sections; a plan of zeros is closed already. */
void gw_plan_close(struct gw_plan *plan);

#endif
