// The memory that a spread space's members on one host share with its node, the thread in that host's server
// that moves pages: an allocation of the region's heap, a control part and then frames. docs/shared-memory.md
// is normative; src/dsm/spread/layout.ts has the same numbers, and a test compares kSpreadAbi with it.
//
// Both sides are hostile to each other as far as this memory goes: whoever reads a word copies it, checks the
// copy, and uses the copy.
//
// Opening: the member zeroes its own words of its slot's page, stores `opened` (release), marks itself in
// `summary` and rings as below, and waits until `served` has the same value: then faultTail and orderHead are
// 0, and it may post. Closing: it unmaps, stores 0 to `opened`, marks itself and rings; `served` follows.
//
// Member to node: entry, faultHead (release), fence, its bit in `summary` (read-modify-write), exchange
// nodeArmed for 0 and, if it was 1, ring vector kNodeVector of slot 0. The same after ackTail has moved.
// Node to member: orders, orderHead (release), fence, exchange memberArmed for 0 and, if it was 1, ring the
// last vector of the member's slot. Who goes to sleep stores 1 to its armed word, passes a full fence, and
// looks once more.
//
// A posted fault for pages page..page+count-1 ends with a kMap or a kFail for each of them. Orders are done
// in the order they are in: ackTail = n says that the first n orders since `served` are done, and that no
// access goes through a mapping that one of them took away.
//
// Leases: a member maps frames only while it has a lease from its node, so that a node which stands still or
// is killed leaves no mappings behind for longer. The member notes its own clock, stores another number to
// `leaseAsked`, marks itself and rings as above; the node answers in `lease` with that number and the
// milliseconds that are left then. The lease ends so long after the noted time: the clocks need not be the
// same, they only have to run at about the same rate. When it ends the member takes all its mappings away.
//
// Members of different hosts wake each other by calls, which take the place of a fault: kWakeCall has the
// party it names look again at what it waits for, kAskCall asks whether it still has the space open. A party
// is one opening of the space: node << 40 | slot << 32 | its `opened`. The node of that party gives it a
// kWakeOrder; when the party is gone, the caller has a kGoneOrder. Both may be lost, with a connection or a
// node: who waits has to call again.
//
// Two more calls are answered with a kSyncedOrder that has their ticket: kFlushCall, when what members of
// this host stored before can be seen by others, and kRefreshCall, when no copy is mapped here any more that
// is older than the call. In a sequential space both are so at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "messages.h"

namespace ivshmem::dsm::shared {

// "IVSHSPRD", as bytes in memory.
inline constexpr uint64_t kMagic = 0x4452505348535649;
inline constexpr uint32_t kVersion = 3;

inline constexpr uint32_t kControlPage = 4096;
inline constexpr uint32_t kMinPageShift = 12, kMaxPageShift = 21;
inline constexpr uint32_t kMaxSlots = 256;
// Of slot 0, the server: rung for faults and acknowledgements. The last vector of a member's slot is for
// orders, so a region needs two.
inline constexpr uint32_t kNodeVector = 1;

enum State : uint32_t {
  kForming = 0,  // not to be used yet
  kServing = 1,
  kFencedState = 2,   // this host lost its lease: every fault fails
  kRemovedState = 3,  // as kFencedState, because the hosts have removed the space
};

// Page 0 of the control part. Written by the node, `state` last (release), but for `summary` and `nodeArmed`.
struct Control {
  uint64_t magic;
  uint32_t version;
  uint32_t pageShift;
  uint64_t spacePages;     // of the whole space, in pages of 1 << pageShift bytes
  uint64_t framesOffset;   // bytes from the start of the allocation; a multiple of the page size
  uint64_t frames;         // frame f is at framesOffset + (f << pageShift)
  uint64_t membersOffset;  // bytes; page of slot s at membersOffset + s * kControlPage
  uint32_t slots;
  uint32_t state;
  uint32_t node;         // the number of this host, for the names of parties
  uint32_t consistency;  // between hosts: 0 sequential, 1 release
  alignas(64) uint32_t nodeArmed;                // 1 while the node sleeps; whoever exchanges it for 0 rings
  uint32_t copies;  // hosts that have a page, of that which the fewest have; of a space with replicas
  alignas(64) uint32_t summary[kMaxSlots / 32];  // bit per slot with new faults, acks or another `opened`
};

// The longest that a node lends, and what it lends without a directory.
inline constexpr uint32_t kLongestLeaseMs = 60'000;

inline constexpr uint32_t kFaults = 64;  // entries; positions count modulo 2^32
inline constexpr uint32_t kOrders = 128;

enum FaultAccess : uint32_t {
  kReadAccess = 0,
  kWriteAccess = 1,
  kWakeCall = 2,  // `page` is a party, and `count` is 1
  kAskCall = 3,
  kFlushCall = 4,  // `page` is a ticket of the member's, and `count` is 1
  kRefreshCall = 5,
};

struct FaultEntry {
  uint64_t page;
  uint32_t access;
  uint32_t count;  // pages wanted, 1 to kMostPages
};

inline constexpr uint32_t kMostPages = 1024;

enum OrderOp : uint8_t {
  kMapOrder = 1,       // pages page..page+count-1 to frames frame..frame+count-1 with `right`
  kRestrictOrder = 2,  // page..page+count-1 not beyond `right`: 0 nothing, 1 read
  kFailOrder = 3,      // faults on page..page+count-1 fail; `right` is a Failure
  kWakeOrder = 4,      // look again; `page` is this party
  kGoneOrder = 5,      // `page` is a party that has left, closed the space, or died
  kSyncedOrder = 6,    // `page` is a ticket; `right` 0 done, or a Failure: 1 lost, 2 fenced
};

struct OrderEntry {
  uint64_t page;
  uint32_t frame;
  uint8_t op;
  uint8_t right;  // 0 none, 1 read, 2 write; or for kFailOrder 1 lost, 2 fenced, 3 no such page
  uint16_t count;
};

// One page per slot.
struct MemberPage {
  // Written by the member.
  uint32_t opened;      // random, of this opening; 0: the space is not open here
  uint32_t faultHead;   // faults posted
  uint32_t ackTail;     // orders done
  uint32_t leaseAsked;  // the number of the renewal that is wanted, from 1 on
  uint32_t unused0[12];
  alignas(64) uint32_t memberArmed;  // 1 while the member's thread sleeps
  // Written by the node.
  alignas(64) uint32_t served;  // the `opened` that the rings are for
  uint32_t faultTail;           // faults taken
  uint32_t orderHead;           // orders given
  uint32_t unused1;
  uint64_t lease;  // leaseAsked that this answers << 32 | milliseconds left when it was written, 0: none
  alignas(64) uint8_t unused2[64];
  alignas(64) FaultEntry faults[kFaults];
  alignas(64) OrderEntry orders[kOrders];
};

constexpr uint64_t PartyOf(uint32_t node, uint32_t slot, uint32_t opened) {
  return uint64_t{node} << 40 | uint64_t{slot} << 32 | opened;
}

static_assert(sizeof(FaultEntry) == 16 && sizeof(OrderEntry) == 16);
static_assert(sizeof(Control) <= kControlPage && sizeof(MemberPage) <= kControlPage);

struct AbiNumber {
  const char* name;
  uint64_t value;
};

inline constexpr AbiNumber kSpreadAbi[] = {
    {"version", kVersion},
    {"controlPage", kControlPage},
    {"minPageShift", kMinPageShift},
    {"maxPageShift", kMaxPageShift},
    {"nodeVector", kNodeVector},
    {"magicOffset", offsetof(Control, magic)},
    {"versionOffset", offsetof(Control, version)},
    {"pageShift", offsetof(Control, pageShift)},
    {"spacePages", offsetof(Control, spacePages)},
    {"framesOffset", offsetof(Control, framesOffset)},
    {"frames", offsetof(Control, frames)},
    {"membersOffset", offsetof(Control, membersOffset)},
    {"slots", offsetof(Control, slots)},
    {"state", offsetof(Control, state)},
    {"node", offsetof(Control, node)},
    {"consistency", offsetof(Control, consistency)},
    {"nodeArmed", offsetof(Control, nodeArmed)},
    {"copies", offsetof(Control, copies)},
    {"summary", offsetof(Control, summary)},
    {"opened", offsetof(MemberPage, opened)},
    {"faultHead", offsetof(MemberPage, faultHead)},
    {"ackTail", offsetof(MemberPage, ackTail)},
    {"leaseAsked", offsetof(MemberPage, leaseAsked)},
    {"memberArmed", offsetof(MemberPage, memberArmed)},
    {"served", offsetof(MemberPage, served)},
    {"faultTail", offsetof(MemberPage, faultTail)},
    {"orderHead", offsetof(MemberPage, orderHead)},
    {"lease", offsetof(MemberPage, lease)},
    {"faultRing", offsetof(MemberPage, faults)},
    {"orderRing", offsetof(MemberPage, orders)},
    {"faultEntries", kFaults},
    {"orderEntries", kOrders},
    {"entryBytes", sizeof(FaultEntry)},
    {"entryPage", offsetof(FaultEntry, page)},
    {"faultAccess", offsetof(FaultEntry, access)},
    {"faultCount", offsetof(FaultEntry, count)},
    {"mostPages", kMostPages},
    {"longestLeaseMs", kLongestLeaseMs},
    {"wakeCall", kWakeCall},
    {"askCall", kAskCall},
    {"flushCall", kFlushCall},
    {"refreshCall", kRefreshCall},
    {"orderFrame", offsetof(OrderEntry, frame)},
    {"orderOp", offsetof(OrderEntry, op)},
    {"orderRight", offsetof(OrderEntry, right)},
    {"orderCount", offsetof(OrderEntry, count)},
    {"opMap", kMapOrder},
    {"opRestrict", kRestrictOrder},
    {"opFail", kFailOrder},
    {"opWake", kWakeOrder},
    {"opGone", kGoneOrder},
    {"opSynced", kSyncedOrder},
    {"consistencySequential", static_cast<uint64_t>(Consistency::kSequential)},
    {"consistencyRelease", static_cast<uint64_t>(Consistency::kRelease)},
    {"stateForming", kForming},
    {"stateServing", kServing},
    {"stateFenced", kFencedState},
    {"stateRemoved", kRemovedState},
};

}  // namespace ivshmem::dsm::shared
