// The members' side of a space: their faults, and the orders they are given.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "space.h"

namespace ivshmem::hosts {

using dsm::PageId;
using dsm::Right;
using dsm::shared::FaultEntry;
using dsm::shared::OrderEntry;

namespace {

using Word = std::atomic_ref<uint32_t>;

// Since the member's mapping was made: long enough for the thread that waits to make its access before the
// page is taken away.
constexpr uint64_t kHoldNs = 200'000;
// At most that long for the mapping itself: one that sleeps through it does not hold up the others.
constexpr uint64_t kMapNs = 10'000'000;
// Of one member, not done, and answers that it waits for. A refresh of scattered copies can be as many.
constexpr size_t kMostOrders = 1 << 16;

OrderEntry Order(dsm::shared::OrderOp op, PageId page, uint8_t right, uint32_t frame = 0,
                 uint16_t count = 1) {
  return {page, frame, op, right, count};
}

}  // namespace

void Space::Member(uint32_t slot, bool there, uint64_t now) {
  now_ = now;
  Port& port = ports_[slot];
  if (port.there && !there) {
    Drop(slot);
    port.refused = 0;
    Word(member_page(slot)->served).store(0);
    // Whoever has this slot next has not opened it.
    Word(member_page(slot)->opened).store(0);
  }
  port.there = there;
  if (there) Look(slot, now);
}

void Space::Look(uint32_t slot, uint64_t now) {
  Port& port = ports_[slot];
  if (!port.there) return;
  // Acquire: pairs with the member's release; its words of the rings are zero by then.
  const uint32_t opened = Word(member_page(slot)->opened).load(std::memory_order_acquire);
  if (port.rings && port.rings->opened() != opened) Drop(slot);
  if (opened == 0 || opened == port.refused) {
    if (Word(member_page(slot)->served).exchange(0) != 0) around_.Ring(slot);
    return;
  }
  if (!port.rings) Opened(slot, opened);
  Lend(slot, now);
  OrderEntry order;
  MemberRings::Took took;
  while ((took = port.rings->TakeDone(order, now)) == MemberRings::Took::kOne) {
    port.silent = false;
    Done(order, now);
  }
  if (took == MemberRings::Took::kBroken) return Break(slot);
  // There may be room for more.
  if (!port.fresh && !port.rings->open().empty()) {
    port.fresh = true;
    fresh_.push_back(slot);
  }
  FaultEntry fault;
  for (uint32_t row = 0; Listens(port); row++) {
    if ((took = port.rings->TakeFault(fault)) != MemberRings::Took::kOne) break;
    Faulted(slot, fault);
    if (row < dsm::shared::kFaults) continue;
    // The others' turn.
    Word(control()->summary[slot / 32]).fetch_or(1u << slot % 32);
    return;
  }
  if (took == MemberRings::Took::kBroken) Break(slot);
}

// Whoever does not do its orders is given no reason for more. What it asks stays in the ring until it has done
// some, which it marks itself for.
bool Space::Listens(const Port& port) const { return port.rings->open().size() + port.asking < kMostOrders; }

void Space::Opened(uint32_t slot, uint32_t opened) {
  Port& port = ports_[slot];
  port.refused = 0;
  port.silent = false;
  port.lent = 0;
  port.asking = 0;
  port.losses = node_->losses();
  port.rings = std::make_unique<MemberRings>(member_page(slot), opened);
  around_.Ring(slot);
}

// Before the orders that came of the same look: a page is mapped only with a lease.
void Space::Lend(uint32_t slot, uint64_t now) {
  Port& port = ports_[slot];
  // Acquire: pairs with the member's release; its clock was read before.
  const uint32_t asked = Word(member_page(slot)->leaseAsked).load(std::memory_order_acquire);
  if (asked == port.lent) return;
  port.lent = asked;
  const uint64_t until = node_->fenced() ? 0 : around_.MembersUntil();
  const uint64_t left = until > now ? (until - now) / 1'000'000 : 0;
  const uint64_t ms = std::min<uint64_t>(left, dsm::shared::kLongestLeaseMs);
  std::atomic_ref(member_page(slot)->lease).store(uint64_t{asked} << 32 | ms);
  // As in Publish: the store and the exchange are full barriers.
  if (Word(member_page(slot)->memberArmed).exchange(0) == 1) around_.Ring(slot);
}

// Its word counts for nothing any more, so what it has mapped it keeps until it is known to be gone: its open
// orders stay open.
void Space::Break(uint32_t slot) {
  Port& port = ports_[slot];
  if (port.refused == port.rings->opened()) return;
  port.refused = port.rings->opened();
  around_.Tell({Event::Kind::kBroken, slot, id_, 0, {}});
}

// Nothing is mapped there any more: every order is as good as done.
void Space::Drop(uint32_t slot) {
  Port& port = ports_[slot];
  if (!port.rings) return;
  for (const OrderEntry& order : port.rings->open()) Done(order, now_);
  port.rings.reset();
  port.silent = false;
  const auto its = [slot](const Use& use) { return use.slot == slot; };
  for (auto& [id, page] : pages_) {
    std::erase_if(page.mapped, its);
    std::erase_if(page.waiting, its);
  }
  Depart(slot);
}

std::vector<uint32_t> Space::members() const {
  std::vector<uint32_t> slots;
  for (uint32_t slot = 0; slot < place_.slots; slot++) {
    if (ports_[slot].rings) slots.push_back(slot);
  }
  return slots;
}

void Space::Give(uint32_t slot, const OrderEntry& order) {
  Port& port = ports_[slot];
  port.rings->Give(order);
  if (port.fresh) return;
  port.fresh = true;
  fresh_.push_back(slot);
}

void Space::Faulted(uint32_t slot, const FaultEntry& fault) {
  if (fault.access > dsm::shared::kAskCall) return Sync(slot, fault);
  if (fault.access > dsm::shared::kWriteAccess) return Call(slot, fault);
  if (fault.page >= place_.pages || fault.count > place_.pages - fault.page) {
    const auto failure = static_cast<uint8_t>(dsm::Failure::kPageRange);
    return Give(slot,
                Order(dsm::shared::kFailOrder, fault.page, failure, 0, static_cast<uint16_t>(fault.count)));
  }
  const Right right = fault.access == dsm::shared::kWriteAccess ? Right::kWrite : Right::kRead;
  for (PageId id = fault.page; id < fault.page + fault.count; id++) {
    Page& page = pages_[id];
    node_->held(id) >= right ? counters_.faults_local++ : counters_.faults_remote++;
    const auto same = [slot](const Use& use) { return use.slot == slot; };
    const auto found = std::find_if(page.waiting.begin(), page.waiting.end(), same);
    if (found == page.waiting.end()) {
      page.waiting.push_back({slot, right});
    } else {
      found->right = std::max(found->right, right);
    }
    Request(id, page);
  }
}

// The node is told of a fault only when the page has a frame that its bytes can come to.
void Space::Request(PageId id, Page& page) {
  if (page.waiting.empty() || page.queued) return;
  if (FrameOf(id) == kNoFrame && !node_->fenced()) {
    page.frame = cache_.Take(id);
    if (page.frame == kNoFrame) {
      page.queued = true;
      frameless_.push_back(id);
      return;
    }
  }
  cache_.Touch(page.frame);
  Right right = Right::kNone;
  for (const Use& use : page.waiting) right = std::max(right, use.right);
  page.wanted = true;
  Do({}, [&](dsm::Outputs& out) { node_->Fault(id, right, out); });
}

void Space::Map(PageId id, Right right) {
  Page& page = pages_[id];
  page.wanted = false;
  for (const Use& waiter : page.waiting) {
    Give(waiter.slot, Order(dsm::shared::kMapOrder, id, static_cast<uint8_t>(right), FrameOf(id)));
    page.maps++;
    const auto same = [&](const Use& use) { return use.slot == waiter.slot; };
    const auto found = std::find_if(page.mapped.begin(), page.mapped.end(), same);
    if (found == page.mapped.end()) {
      page.mapped.push_back({waiter.slot, right});
    } else {
      found->right = right;
    }
  }
  page.waiting.clear();
  if (page.maps > 0) HoldUntil(id, page, now_ + kMapNs);
  // Nobody waits any more, and it may have been given to nobody.
  ReleaseFrame(id, page);
}

void Space::Fail(PageId id, dsm::Failure failure) {
  Page& page = pages_[id];
  page.wanted = false;
  for (const Use& waiter : std::exchange(page.waiting, {})) {
    Give(waiter.slot, Order(dsm::shared::kFailOrder, id, static_cast<uint8_t>(failure)));
    counters_.failed++;
  }
  if (failure == dsm::Failure::kLost) around_.Tell({Event::Kind::kLost, 0, id_, id, {}});
  ReleaseFrame(id, page);
}

void Space::Restrict(PageId id, Right limit) {
  Page& page = pages_[id];
  page.limit = limit;
  if (page.delayed) return;
  if (page.until <= now_ || node_->fenced()) return IssueRestrict(id, page);
  page.delayed = true;
  delayed_.emplace(page.until, id);
}

void Space::IssueRestrict(PageId id, Page& page) {
  page.delayed = false;
  for (Use& use : page.mapped) {
    if (use.right <= page.limit) continue;
    use.right = page.limit;
    Give(use.slot, Order(dsm::shared::kRestrictOrder, id, static_cast<uint8_t>(page.limit)));
    page.restricts++;
    open_restricts_++;
  }
  std::erase_if(page.mapped, [](const Use& use) { return use.right == Right::kNone; });
  if (page.restricts == 0) restricted_.push_back(id);
}

void Space::Done(const OrderEntry& order, uint64_t now) {
  if (order.op >= dsm::shared::kFailOrder) return;
  for (PageId id = order.page; id < order.page + order.count; id++) {
    Page& page = pages_[id];
    if (order.op == dsm::shared::kRestrictOrder) {
      open_restricts_--;
      if (--page.restricts == 0) restricted_.push_back(id);
    } else if (--page.maps == 0) {
      HoldUntil(id, page, now + kHoldNs);
    }
  }
}

void Space::HoldUntil(PageId id, Page& page, uint64_t until) {
  if (page.delayed) {
    auto [from, to] = delayed_.equal_range(page.until);
    while (from != to && from->second != id) ++from;
    if (from != to) delayed_.erase(from);
    delayed_.emplace(until, id);
  }
  page.until = until;
}

}  // namespace ivshmem::hosts
