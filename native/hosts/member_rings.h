// The rings that one member shares with its node: faults come in, orders go out and are acknowledged. The
// member is not trusted: every word is copied, checked, and the copy used.
#pragma once

#include <cstdint>
#include <deque>

#include "../dsm/shared_layout.h"

namespace ivshmem::hosts {

class MemberRings {
 public:
  // `served` is written, and both rings are empty: the member may post.
  MemberRings(dsm::shared::MemberPage* page, uint32_t opened);

  uint32_t opened() const { return opened_; }

  enum class Took : uint8_t { kNone, kOne, kBroken };

  // The next fault, with access and count in their bounds; `page` is anything.
  Took TakeFault(dsm::shared::FaultEntry& fault);

  // Orders are merged with the one before where they can be.
  void Give(const dsm::shared::OrderEntry& order);
  // Puts into the ring what has room there. True: the member sleeps and has to be rung.
  bool Publish(uint64_t now);

  // The next order that the member has done.
  Took TakeDone(dsm::shared::OrderEntry& order, uint64_t now);

  // Orders not done yet, also those without room in the ring.
  const std::deque<dsm::shared::OrderEntry>& open() const { return orders_; }
  // Since when the member has had orders about pages and done none; 0: it has none.
  uint64_t waiting_since() const;

 private:
  uint32_t given() const { return head_ - done_; }

  dsm::shared::MemberPage* page_;
  uint32_t opened_;
  uint32_t tail_ = 0;  // faults taken
  uint32_t head_ = 0;  // orders in the ring, and before
  uint32_t done_ = 0;
  uint64_t since_ = 0;
  std::deque<dsm::shared::OrderEntry> orders_;  // the first `given()` are in the ring
};

}  // namespace ivshmem::hosts
