/* SPDX-License-Identifier: MIT
 *
 * godwit: live migration of virtual machines. Includes the whole public API; embedding.md is the guide.
 */
#ifndef GODWIT_H
#define GODWIT_H

#include "godwit/bitmap.h"
#include "godwit/channel.h"
#include "godwit/clock.h"
#include "godwit/control.h"
#include "godwit/dirty_rate.h"
#include "godwit/disk.h"
#include "godwit/error.h"
#include "godwit/events.h"
#include "godwit/examine.h"
#include "godwit/forecast.h"
#include "godwit/history.h"
#include "godwit/image.h"
#include "godwit/inspect.h"
#include "godwit/nic.h"
#include "godwit/node.h"
#include "godwit/options.h"
#include "godwit/page_transport.h"
#include "godwit/park.h"
#include "godwit/queue.h"
#include "godwit/ram_map.h"
#include "godwit/recv.h"
#include "godwit/send.h"
#include "godwit/snapshot.h"
#include "godwit/state.h"
#include "godwit/stats.h"
#include "godwit/survey.h"
#include "godwit/trace.h"
#include "godwit/version.h"
#include "godwit/vm.h"
#include "godwit/vm_snapshot.h"
#include "godwit/working_set.h"

#endif
