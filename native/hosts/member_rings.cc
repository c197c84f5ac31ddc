#include "member_rings.h"

#include <atomic>
#include <cstring>

namespace ivshmem::hosts {

using dsm::shared::FaultEntry;
using dsm::shared::OrderEntry;

namespace {

using Word = std::atomic_ref<uint32_t>;

bool Adjacent(const OrderEntry& last, const OrderEntry& next) {
  const bool same = last.op == next.op && last.right == next.right && last.page + last.count == next.page;
  if (!same || last.op > dsm::shared::kFailOrder) return false;
  if (last.count + next.count > dsm::shared::kMostPages) return false;
  return last.op != dsm::shared::kMapOrder || last.frame + last.count == next.frame;
}

}  // namespace

MemberRings::MemberRings(dsm::shared::MemberPage* page, uint32_t opened) : page_(page), opened_(opened) {
  Word(page_->faultTail).store(0, std::memory_order_relaxed);
  Word(page_->orderHead).store(0, std::memory_order_relaxed);
  // What was lent to an earlier opening.
  std::atomic_ref(page_->lease).store(0, std::memory_order_relaxed);
  // Release: pairs with the member's acquire; it finds the rings empty.
  Word(page_->served).store(opened, std::memory_order_release);
}

MemberRings::Took MemberRings::TakeFault(FaultEntry& fault) {
  // Acquire: pairs with the member's release after it wrote the entry.
  const uint32_t posted = Word(page_->faultHead).load(std::memory_order_acquire) - tail_;
  if (posted == 0) return Took::kNone;
  if (posted > dsm::shared::kFaults) return Took::kBroken;
  std::memcpy(&fault, &page_->faults[tail_ % dsm::shared::kFaults], sizeof fault);
  // Release: the member may use the entry again, now that it is copied.
  Word(page_->faultTail).store(++tail_, std::memory_order_release);
  const bool sound =
      fault.access <= dsm::shared::kRefreshCall && fault.count >= 1 && fault.count <= dsm::shared::kMostPages;
  return sound ? Took::kOne : Took::kBroken;
}

void MemberRings::Give(const OrderEntry& order) {
  if (orders_.size() > given() && Adjacent(orders_.back(), order)) {
    orders_.back().count = static_cast<uint16_t>(orders_.back().count + order.count);
  } else {
    orders_.push_back(order);
  }
}

bool MemberRings::Publish(uint64_t now) {
  if (orders_.size() == given() || given() == dsm::shared::kOrders) return false;
  if (given() == 0) since_ = now;
  while (orders_.size() > given() && given() < dsm::shared::kOrders) {
    std::memcpy(&page_->orders[head_ % dsm::shared::kOrders], &orders_[given()], sizeof(OrderEntry));
    head_++;
  }
  // Release: pairs with the member's acquire.
  Word(page_->orderHead).store(head_, std::memory_order_release);
  // The exchange is a full barrier too: the member sees the orders before it sleeps, or this sees it asleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return Word(page_->memberArmed).exchange(0) == 1;
}

// Calls can wait: nobody else does for them.
uint64_t MemberRings::waiting_since() const {
  for (uint32_t i = 0; i < given(); i++) {
    if (orders_[i].op <= dsm::shared::kFailOrder) return since_;
  }
  return 0;
}

MemberRings::Took MemberRings::TakeDone(OrderEntry& order, uint64_t now) {
  // Acquire: pairs with the member's release after the mappings have changed.
  const uint32_t done = Word(page_->ackTail).load(std::memory_order_acquire) - done_;
  if (done == 0) return Took::kNone;
  if (done > given()) return Took::kBroken;
  order = orders_.front();
  orders_.pop_front();
  done_++;
  since_ = now;
  return Took::kOne;
}

}  // namespace ivshmem::hosts
