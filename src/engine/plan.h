/* SPDX-License-Identifier: MIT
 *
 * plan: what a session's data path is made of, decided once.
 *
 * Input: options, the peer's profile and the machine. Output: live sections with all their plugs. After that, no code
 * tests options again.
 *
 *     capability or parameter        becomes
 *     (kind of guest)                the source `dirty` or `image`; the store `direct`, with `landed` in front of it
 *                                    if a file is written meanwhile
 *     background-snapshot            the source `protect`; the session sends the state that the machine has
 *                                    when it begins (snapshot.c)
 *     zero-page-detection            the codec `zero`, and holes reported by the source; not if it is "none"
 *     xbzrle                         the codec `xbzrle`, behind `zero`. A destination always has its decoder
 *     compress and its parameters    the codec `deflate`, behind these. A destination always has its decoder, with
 *                                    decompress-threads
 *     (a page transport)             the codec `transport`, first in the chain, and its records before and behind pages; a
 *                                    destination gives it HOOK records and predicts no places
 *     (always)                       the codec `plain`, last in the chain
 *     multifd, multifd-channels      so many lanes with a channel, a thread and the layout `packet`, and a lane in front of them
 *                                    for the main stream. The profile says where lanes wait for each other, and whether
 *                                    `zero` is in the lanes or in front
 *     multifd-compression, -level    a packing of each lane's layout
 *     zero-copy-send                 writers of these lanes that do not copy
 *     x-godwit-adaptive-compression  a packing in front of it, `chosen`
 *     x-ignore-shared                blocks that are not sent: no pages, guest addresses in the list
 *     mapped-ram                     the layout of pages, both ways; lanes with a descriptor each
 *     postcopy-ram                   the source `requests` around the guest's source; the store `uffd` for a
 *                                    machine that runs here
 *     release-ram                    the source `giveback` directly around the guest's, if that is in this process and
 *                                    postcopy-ram is on
 *     postcopy-preempt               the lane `urgent`, beside the others
 *     postcopy-ram with multifd      lanes continue after the switch; without postcopy-preempt a lane on the main
 *                                    stream for requested pages. Only between two godwits. A session that resumes
 *                                    uses only the main stream
 *     (a working set)                the source `prefer` around that; the source `record` around `requests` records the
 *                                    requested pages (gw_vm_prefer, gw_vm_record)
 *     dirty-bitmaps                  the live section `dirty-bitmap`. A destination always reads it
 *     block, block-incremental, zero-blocks
 *                                    the live section `block`. A destination that has disks always reads it
 *     (further live sections)        a live section each (gw_vm.live), beside RAM's
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

/* How many bytes of pages that were not requested are sent at once in postcopy, where no rate is set. On the main stream they delay
 * requested pages, so they are few; on lanes they delay none. */
struct gw_plan_follow {
    uint64_t step_bytes;  /* between two checks for requests */
    uint64_t batch_bytes; /* on lanes about a packet; on the main stream a step */
};

/* What the session's own code does, by the options at its beginning. */
struct gw_plan_ways {
    bool return_path;    /* the source asks for a return path */
    bool pause;          /* when the machine has stopped, the source waits for migrate-continue */
    bool switchover_ack; /* the destination says when it is ready */
    bool postcopy;
    bool lanes_follow;   /* in postcopy, pages that were not requested travel on the lanes */
    struct gw_plan_follow follow; /* in postcopy: pages that were not requested */
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
    const struct gw_cancel *cancel; /* an input: ends waits of the session; borrowed, may be NULL */
    struct gw_live *snapshot; /* RAM of a background snapshot; else NULL */
    struct gw_requests *requests; /* pages that the destination asks for; NULL: postcopy-ram is off */
    struct gw_urgent *urgent; /* the lane that sends these pages; NULL: the main stream does */
    bool urgent_in; /* destination: requested pages come on a channel of their own */
    struct gw_giveback *giveback; /* gives back memory that the destination has; NULL: off */
    struct gw_prefer *prefer; /* pages that are sent first; NULL: none */
    struct gw_codec *xbzrle; /* gets changes of xbzrle-cache-size; NULL: XBZRLE is off */
    struct gw_options *options;
    enum gw_send_disks disks; /* an input of a source: whether the contents of disks are sent */
};

/* Channels that carry only pages. */
struct gw_plan_pages {
    struct gw_lanes_config lanes;
    unsigned count;                        /* 0: none; pages travel on the main stream */
    const struct gw_wire_profile *profile; /* of a source: the profile for multifd with this peer */
    /* source: an address whose connections do not support zero copy; NULL: none is known */
    const char *copies;
    struct gw_guest_asks asks;             /* destination: gets requests for pages, in postcopy */
    /* source: set when the peer has said that it accepts pages as they are in a packet */
    const atomic_bool *as_is;
};

/* What the start of a source asks for, besides the options. */
struct gw_plan_asked {
    const struct gw_wire_profile *peer;
    bool many; /* the address accepts more than one connection */
    enum gw_send_disks disks;
    /* resume: continue a postcopy migration that broke off; postcopy: switch to postcopy at once */
    bool resume, postcopy;
};

/* How pages travel: on the main stream; on channels of their own (multifd); to their places in the file that has the
 * main stream (mapped-ram), where multifd only means more writers. */
enum gw_pages_by { GW_PAGES_BY_STREAM, GW_PAGES_BY_CHANNELS, GW_PAGES_BY_FILE };

enum gw_pages_by gw_plan_pages_by(const struct gw_options *options);
/* In postcopy, pages that were not requested travel on the lanes. Only a godwit accepts them there. */
bool gw_plan_lanes_follow(const struct gw_options *options);
/* The sizes where a rate is set: what delays a requested page then matters more than the number of calls. */
struct gw_plan_follow gw_plan_follow_limited(void);
void gw_plan_announced(const struct gw_options *options, struct gw_plan_announced ret[GW_PLAN_ANNOUNCED]);
/* Whether the head has the UUID of the machine. */
bool gw_plan_uuid(const struct gw_options *options);
/* Fills in plan->ways; gw_plan_send and gw_plan_recv do it too. Options that a session has taken do not change. */
void gw_plan_decide(struct gw_plan *plan, const struct gw_options *options);
/* On failure the plan stays closed. */
int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err);
int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err);
/* The live section of the disks' contents; *ret NULL: this session has none (plan_disks.c). */
int gw_plan_disks_send(struct gw_plan *plan, struct gw_vm *vm, struct gw_live **ret, struct gw_error *err);
int gw_plan_disks_recv(struct gw_vm *vm, struct gw_live **ret, struct gw_error *err);
/* plan_check.c: refuses what this machine, this peer or this address does not support, before a plan is made. */
int gw_plan_check_send(struct gw_vm *vm, const struct gw_plan_asked *asked, struct gw_error *err);
/* Whether this machine can be sent by postcopy. Any thread. */
int gw_plan_check_follow(struct gw_vm *vm, struct gw_error *err);
/* Whether a channel for urgent pages is possible, if the options ask for one. Either side. */
int gw_plan_check_urgent(const struct gw_vm *vm, bool many, struct gw_error *err);
/* Whether disks can be sent as this source is asked to. */
int gw_plan_check_disks(enum gw_send_disks disks, struct gw_vm *vm, const struct gw_wire_profile *peer,
                        struct gw_error *err);
/* The sums over all sections. Any thread, while the plan is open. */
struct gw_progress gw_plan_progress(const struct gw_plan *plan);
/* Frees the sections. A plan of zeros is closed. */
void gw_plan_close(struct gw_plan *plan);

#endif
