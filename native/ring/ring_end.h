// What both ends of a packed virtqueue do the same way: hold the first slot of a batch back until the batch
// is complete, ask for notifications, tell whether the partner asked for one, and give the ring up for good.
#pragma once

#include <algorithm>
#include <cstdint>

#include "shared.h"

namespace ivshmem::ring {

class RingEnd {
 public:
  Violation violation() const { return violation_; }
  bool broken() const { return violation_ != Violation::kNone; }
  uint32_t size() const { return size_; }

  // Asks the partner not to notify; only a hint.
  void disable_notifications() {
    if (!broken()) ours_.store(kEventDisable, 0);
  }

 protected:
  // `ours` and `theirs` are the event suppression structures among `areas` that this end and its partner
  // write.
  RingEnd(Region region, const Areas& areas, uint64_t Areas::*ours, uint64_t Areas::*theirs)
      : region_(region), size_(areas.size), violation_(areas.check(region)) {
    if (broken()) return;
    table_ = Table(region.at(areas.descriptors));
    ours_ = EventArea(region.at(areas.*ours));
    theirs_ = EventArea(region.at(areas.*theirs));
  }

  // Writes the second word of a slot. The first since release_head() is held back: while the partner does not
  // see it, it reads none behind it.
  void put_tail(uint16_t index, Tail tail) {
    if (head_held_) {
      table_.put_tail(index, tail, std::memory_order_relaxed);
    } else {
      head_ = tail;
      head_index_ = index;
      head_held_ = true;
    }
  }

  // Shows the partner everything put since the last call. False if there was nothing.
  bool release_head() {
    if (!head_held_) return false;
    // release: pairs with the acquire of the head in DeviceRing::take and DriverRing::take_used; all slots
    // behind it, and what was written into the buffers, become visible with it.
    table_.put_tail(head_index_, head_, std::memory_order_release);
    head_held_ = false;
    return true;
  }

  // Counts slots that the partner may want to hear of. A whole lap passes every event, more would say no
  // more.
  void count_unreported(uint32_t slots) { unreported_ = std::min(unreported_ + slots, size_); }

  // Whether the partner asked to hear of the slots counted since the last call, the last of them before
  // `now`.
  bool partner_wants_event(Position now) {
    if (broken()) return false;
    notification_fence();
    const bool wanted = wants_event(theirs_.load(), now, unreported_, size_);
    unreported_ = 0;
    return wanted;
  }

  // Asks the partner to notify of the slot `ahead` of `at`. Look again afterwards: it may have read the event
  // area before.
  void ask_for_event(Position at, uint32_t ahead) {
    at.advance(std::min(ahead, size_ - 1), size_);
    ours_.store(kEventDesc, at.encode());
    notification_fence();
  }

  bool give_up(Violation violation) {
    violation_ = violation;
    return false;
  }

  Region region_;
  uint32_t size_;
  Table table_;
  Position next_available_;
  Position next_used_;

 private:
  Violation violation_;
  EventArea ours_;
  EventArea theirs_;
  uint32_t unreported_ = 0;  // slots
  uint16_t head_index_ = 0;
  bool head_held_ = false;
  Tail head_;
};

}  // namespace ivshmem::ring
