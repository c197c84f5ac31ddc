// What the node orders (shared_layout.h), done in the order it is given, but for restricts that wait until a
// program lets go of the page: others overtake them, if they are about other pages.
#include <sys/mman.h>

#include <algorithm>

#include "member_space.h"

namespace ivshmem::dsm {

namespace {

using shared::OrderEntry;

int ProtectionFor(Right right) { return right == Right::kWrite ? PROT_READ | PROT_WRITE : PROT_READ; }

// Not about pages, but parties, or what was asked for the whole space.
bool IsCall(const OrderEntry& order) {
  return order.op == shared::kWakeOrder || order.op == shared::kGoneOrder || order.op == shared::kSyncedOrder;
}

bool Overlap(PageId first, uint64_t count, PageId other, uint64_t others) {
  return first < other + others && other < first + count;
}

}  // namespace

bool MemberSpace::DoOrders(uint64_t now) {
  bool worked = false;
  blocked_ = false;
  std::erase_if(fresh_, [&](const Fresh& fresh) { return fresh.until <= now; });
  for (OrderEntry order; !stopped_;) {
    const auto found = rings_.Order(looked_, done_, order);
    if (found == MemberRings::Found::kNothing) break;
    if (found == MemberRings::Found::kNonsense || !Sound(order)) {
      Broken();
      return true;
    }
    if (Waits(order) || (order.op == shared::kMapOrder && !TakeLease(now))) {
      blocked_ = true;
      break;
    }
    const uint32_t number = looked_++;
    worked = true;
    finished_[number % shared::kOrders] = false;
    const bool pinned = Pinned(order);
    if (pinned || IsFresh(order, now)) {
      deferred_.push_back({number, order, now});
      if (pinned) counts_.deferred++;
      continue;
    }
    Do(order, now);
    if (!stopped_) Finish(number);
  }
  return worked;
}

bool MemberSpace::Sound(const OrderEntry& order) const {
  if (IsCall(order)) return order.count == 1 && order.right <= static_cast<uint8_t>(Outcome::kFenced);
  if (order.count == 0 || order.page >= shape_.pages || order.count > shape_.pages - order.page) return false;
  switch (order.op) {
    case shared::kMapOrder:
      return (order.right == 1 || order.right == 2) && order.frame < shape_.frames &&
             order.count <= shape_.frames - order.frame;
    case shared::kRestrictOrder:
      return order.right <= 1;
    case shared::kFailOrder:
      return order.right >= 1 && order.right <= 3;
    default:
      return false;
  }
}

// Behind a restrict of one of its pages.
bool MemberSpace::Waits(const OrderEntry& order) const {
  if (IsCall(order)) return false;
  return std::ranges::any_of(deferred_, [&](const Deferred& before) {
    return Overlap(order.page, order.count, before.order.page, before.order.count);
  });
}

bool MemberSpace::Pinned(const OrderEntry& order) const {
  if (order.op != shared::kRestrictOrder) return false;
  return std::ranges::any_of(holds_, [&](const Hold& hold) {
    return static_cast<Right>(order.right) < hold.want &&
           Overlap(order.page, order.count, hold.first, hold.pinned);
  });
}

bool MemberSpace::IsFresh(const OrderEntry& order, uint64_t now) const {
  if (order.op != shared::kRestrictOrder) return false;
  return std::ranges::any_of(
      fresh_, [&](const Fresh& fresh) { return now < fresh.until && fresh.page - order.page < order.count; });
}

bool MemberSpace::DoDeferred(uint64_t now) {
  bool worked = false;
  for (size_t i = 0; i < deferred_.size();) {
    const Deferred deferred = deferred_[i];
    if (IsFresh(deferred.order, now)) {
      i++;
      continue;
    }
    if (Pinned(deferred.order)) {
      if (now - deferred.since < options_.pin_ns) {
        i++;
        continue;
      }
      // Held for too long: others have waited. Its pages come back as any other's do.
      std::erase_if(holds_, [&](const Hold& hold) {
        const bool in_the_way = static_cast<Right>(deferred.order.right) < hold.want &&
                                Overlap(deferred.order.page, deferred.order.count, hold.first, hold.pinned);
        if (in_the_way && !hold.done) Report(hold.ticket, Outcome::kSilent);
        return in_the_way;
      });
      counts_.forced++;
    }
    deferred_.erase(deferred_.begin() + static_cast<ptrdiff_t>(i));
    Do(deferred.order, now);
    if (stopped_) return true;
    Finish(deferred.number);
    worked = true;
  }
  return worked;
}

// Acknowledges what is done without a gap.
void MemberSpace::Finish(uint32_t number) {
  finished_[number % shared::kOrders] = true;
  const uint32_t before = done_;
  while (done_ != looked_ && finished_[done_ % shared::kOrders]) done_++;
  if (done_ != before) rings_.Acknowledge(done_);
}

void MemberSpace::Do(const OrderEntry& order, uint64_t now) {
  const auto right = static_cast<Right>(order.right);
  switch (order.op) {
    case shared::kMapOrder:
      if (Map(order)) {
        AnswerMapped(now);
      } else {
        Fail(order.page, order.count, Outcome::kMemory);
      }
      break;
    case shared::kRestrictOrder:
      Restrict(order.page, order.count, right);
      break;
    case shared::kWakeOrder:
    case shared::kGoneOrder:
      if (options_.called) options_.called(order.op == shared::kGoneOrder ? order.page : 0);
      break;
    case shared::kSyncedOrder:
      Synced(order.page, right == Right::kNone ? Outcome::kDone : static_cast<Outcome>(order.right));
      break;
    default:
      Fail(order.page, order.count, static_cast<Outcome>(order.right));
  }
}

bool MemberSpace::Map(const OrderEntry& order) {
  const auto right = static_cast<Right>(order.right);
  const uint64_t offset =
      options_.file_offset + shape_.frames_offset + (uint64_t{order.frame} << shape_.page_shift);
  const size_t length = size_t{order.count} << shape_.page_shift;
  void* mapped = mmap(at(order.page), length, ProtectionFor(right), MAP_SHARED | MAP_FIXED, options_.file,
                      static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) {
    // What was there before may be gone, or not.
    Unmap(order.page, order.count);
    return false;
  }
  counts_.mapped += order.count;
  Set(order.page, order.count, right);
  for (PageId page = order.page; page < order.page + order.count; page++) {
    if (asked_[page] <= right) asked_[page] = Right::kNone;
  }
  return true;
}

void MemberSpace::Restrict(PageId first, uint64_t count, Right limit) {
  counts_.restricted += count;
  if (limit == Right::kNone) {
    Unmap(first, count);
    return;
  }
  // Only what may be written: the reservation between would show zeros.
  const PageId end = first + count;
  for (PageId page = first; page < end; page++) {
    const PageId start = page;
    while (page < end && right_[page] > limit) page++;
    if (page == start) continue;
    const size_t length = static_cast<size_t>(page - start) << shape_.page_shift;
    // Returns after all processors have dropped the translation: no store is under way any more.
    if (mprotect(at(start), length, ProtectionFor(limit)) != 0) {
      Unmap(0, shape_.pages);
      return;
    }
    Set(start, page - start, limit);
  }
}

// False: that took all the mappings of the space, because the kernel would not split one; they come back page
// by page.
bool MemberSpace::Unmap(PageId first, uint64_t count) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  const bool part =
      mmap(at(first), static_cast<size_t>(count) << shape_.page_shift, PROT_NONE, flags, -1, 0) != MAP_FAILED;
  if (!part) {
    mmap(options_.base, options_.length, PROT_NONE, flags, -1, 0);
    first = 0;
    count = shape_.pages;
  }
  Set(first, count, Right::kNone);
  return part;
}

void MemberSpace::Set(PageId first, uint64_t count, Right right) {
  for (PageId page = first; page < first + count; page++) {
    mapped_ += (right != Right::kNone) - (right_[page] != Right::kNone);
    right_[page] = right;
  }
}

void MemberSpace::Fail(PageId first, uint64_t count, Outcome why) {
  counts_.failed += count;
  if (why == Outcome::kFenced) why = FencedWhy();
  if (options_.whole) return Stop(why, true, first);
  std::fill_n(asked_.begin() + static_cast<ptrdiff_t>(first), count, Right::kNone);
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    // One whose access the mapping allows by now has what it wants.
    const bool fails = waiter.page - first < count && right_[waiter.page] < waiter.want;
    if (fails) queue_.Answer(waiter.cell, Verdict::kFail);
    return fails;
  });
  std::erase_if(holds_, [&](const Hold& hold) {
    if (hold.done || !Overlap(first, count, hold.first + hold.pinned, hold.count - hold.pinned)) return false;
    Report(hold.ticket, why, std::max(first, hold.first + hold.pinned));
    return true;
  });
}

}  // namespace ivshmem::dsm
