// A spread space as one process has it: a range of addresses, mapped page by page as the node orders, and
// what threads and programs here wait for. Not thread-safe: its service has a lock.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "fault_queue.h"
#include "member_rings.h"
#include "messages.h"

namespace ivshmem::dsm {

// How an acquisition, or opening the space, ended. The first four are those of `Failure`.
enum class Outcome : uint8_t {
  kDone,
  kLost,
  kFenced,
  kPageRange,
  kSilent,    // the node did not answer in time
  kNonsense,  // what it wrote cannot be
  kMemory,    // the kernel refused the mapping
  kClosed,
  kRemoved,
};

struct MemberCounts {
  uint64_t read_faults = 0;  // of threads here
  uint64_t write_faults = 0;
  uint64_t posted = 0;  // pages asked for
  uint64_t mapped = 0;  // pages, by order
  uint64_t restricted = 0;
  uint64_t failed = 0;
  uint64_t deferred = 0;  // restricts that waited for a pin
  uint64_t forced = 0;    // and that ended one
};

class MemberSpace {
 public:
  static constexpr PageId kNoPage = UINT64_MAX;

  struct Options {
    std::byte* base = nullptr;  // of the reservation: whole pages of the space, not accessible
    uint64_t length = 0;
    int file = -1;  // of the region, where it starts in it, and the allocation in the region
    uint64_t file_offset = 0;
    uint32_t generation = 0;   // of this opening, not 0
    uint64_t pin_ns = 0;       // the longest that a restrict waits for a pin
    uint64_t patience_ns = 0;  // the longest that a fault waits for the node
    // A page that fails takes all of it away: the whole range shows zeros from then on, so that no access
    // ends the process.
    bool whole = false;
    // Called with the service's lock held. Ticket 0: the space was opened, or has ended by itself. `page`: of
    // which that is so, or kNoPage.
    std::function<void(uint32_t ticket, Outcome outcome, PageId page)> report;
    // A party is gone; 0: somebody called, look again.
    std::function<void(uint64_t party)> called;
  };

  MemberSpace(Options options, const Shape& shape, const MemberRings& rings, FaultQueue& queue);

  void Open(uint64_t now);
  bool Holds(uintptr_t address) const;
  void Fault(const FaultCall& call, uint64_t now);
  // Does what there is to do; whether there was something.
  bool Pass(uint64_t now);
  // Whether Pass may find orders.
  bool news() const;
  // When Pass is to be called though nothing happened; UINT64_MAX: never.
  uint64_t deadline() const;
  // Rings the node again when it owes something for long.
  void Nudge(uint64_t now);

  void Arm() { rings_.Arm(); }
  void Disarm() { rings_.Disarm(); }

  // Pages [first, first + count) with `want`, all at the same time, until released: one report with the
  // ticket.
  void Acquire(uint32_t ticket, PageId first, uint64_t count, Right want, uint64_t now);
  // Whether it was held until now.
  bool Release(uint32_t ticket, uint64_t now);
  // Asks for pages without waiting, as far as there is room; kNone: gives the mappings up.
  void Hint(PageId first, uint64_t count, Right want, uint64_t now);
  // Whether these pages are mapped with `want`, at this moment.
  bool Has(PageId first, uint64_t count, Right want) const;
  // Has a party look again, or asks whether it is still there (shared_layout.h). Without effect on a space
  // that is not open, or when there are too many.
  void Call(shared::FaultAccess call, uint64_t party);
  // Ends in one call of `done`, with the service's lock held: kDone, kLost, or why the space has ended.
  void Sync(SyncKind kind, std::function<void(Outcome)> done, uint64_t now);
  // No mapping of the region is left when this returns. `zeros`: the range reads as zeros from now on, and
  // threads that wait go on; otherwise they fail.
  // `page`: the one that this is about.
  void Stop(Outcome why, bool zeros, PageId page = kNoPage);

  const MemberCounts& counts() const { return counts_; }
  const Shape& shape() const { return shape_; }
  bool stopped() const { return stopped_; }
  // Why it was stopped, and because of which page, or kNoPage.
  Outcome why() const { return why_; }
  PageId why_page() const { return why_page_; }
  // Threads that waited when it was stopped, or came later.
  uint64_t late() const { return late_; }

 private:
  struct Waiter {
    uint32_t cell;
    PageId page;
    Right want;
    uint64_t since;
  };
  struct Hold {
    uint32_t ticket;
    PageId first;
    uint64_t count;
    Right want;
    uint64_t pinned;  // pages from `first` on: pins are taken in one order, so no two wait for each other
    uint64_t asked;   // pages from `first` on that were asked for at least once
    uint64_t since;
    bool done = false;
  };
  struct Deferred {
    uint32_t number;
    shared::OrderEntry order;
    uint64_t since;
  };
  struct Syncing {
    uint64_t ticket;
    shared::FaultAccess call;
    std::function<void(Outcome)> done;
    uint64_t since;
    bool posted = false;
  };
  // A thread was told that the page is there, and may need a moment to make its access.
  struct Fresh {
    PageId page;
    uint64_t until;
  };

  // member_lease.cc
  bool TakeLease(uint64_t now);
  void KeepLease(uint64_t now);
  bool Lapse(uint64_t now);
  uint64_t LeaseDeadline() const;
  bool WantsLease() const { return mapped_ > 0 || lapsed_ || blocked_ || outstanding(); }
  uint64_t renew_at() const;

  // member_orders.cc
  bool DoOrders(uint64_t now);
  bool Sound(const shared::OrderEntry& order) const;
  bool Waits(const shared::OrderEntry& order) const;
  bool Pinned(const shared::OrderEntry& order) const;
  bool IsFresh(const shared::OrderEntry& order, uint64_t now) const;
  bool DoDeferred(uint64_t now);
  void Do(const shared::OrderEntry& order, uint64_t now);
  bool Map(const shared::OrderEntry& order);
  void Restrict(PageId first, uint64_t count, Right limit);
  void Fail(PageId first, uint64_t count, Outcome why);
  void Finish(uint32_t number);
  void Set(PageId first, uint64_t count, Right right);
  bool Unmap(PageId first, uint64_t count);

  bool Ask(PageId first, uint64_t count, Right want, uint64_t* asked);
  void AnswerMapped(uint64_t now);
  void AskForWaiters();
  void PostCalls();
  void PostSyncs();
  void Synced(uint64_t ticket, Outcome outcome);
  void Advance(Hold& hold, uint64_t now);
  void Expire(uint64_t now);
  // The node owes something.
  bool outstanding() const;
  Outcome FencedWhy() const;
  void Report(uint32_t ticket, Outcome outcome, PageId page = kNoPage);
  void Broken();
  std::byte* at(PageId page) const { return options_.base + (page << shape_.page_shift); }

  Options options_;
  Shape shape_;
  MemberRings rings_;
  FaultQueue& queue_;
  std::vector<Right> right_;  // of each page: what its mapping here allows
  uint64_t mapped_ = 0;       // of them, how many have one
  std::vector<Right> asked_;  // and what the node still owes an answer to
  std::vector<Waiter> waiters_;
  std::vector<Hold> holds_;
  std::vector<Deferred> deferred_;
  std::vector<Fresh> fresh_;
  std::deque<std::pair<shared::FaultAccess, uint64_t>> calls_;  // without room in the ring
  std::deque<Syncing> syncs_;
  uint64_t last_sync_ = 0;
  std::array<bool, shared::kOrders> finished_{};
  uint32_t looked_ = 0;       // orders that were looked at
  uint32_t done_ = 0;         // acknowledged
  bool blocked_ = false;      // the next order waits for a deferred one, or for a lease
  bool lease_open_ = false;   // asked for, not answered
  uint64_t lease_since_ = 0;  // when the last one was asked for; 0: never
  uint64_t lease_ns_ = 0;     // how long the last answer was good for
  uint64_t grace_ns_ = 0;     // the longest that one was good for
  uint64_t lease_until_ = 0;  // nothing is mapped here beyond
  bool lapsed_ = false;       // everything was taken away because it ended
  uint64_t opening_ = 0;      // since when; 0: it is open
  uint64_t nudged_ = 0;       // or asked: when the node was rung
  bool asked_now_ = false;
  uint64_t late_ = 0;
  bool stopped_ = false;
  Outcome why_ = Outcome::kClosed;
  PageId why_page_ = kNoPage;
  bool zeros_ = false;
  MemberCounts counts_;
};

}  // namespace ivshmem::dsm
