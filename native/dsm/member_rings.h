// A member's end of the memory that it shares with its node (shared_layout.h): posts faults, takes orders,
// acknowledges. Nothing that is read there is believed: positions and entries are copied and checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "shared_layout.h"

namespace ivshmem::dsm {

// What the control part says, checked against the allocation.
struct Shape {
  uint32_t page_shift = 0;
  uint64_t pages = 0;          // of the space
  uint64_t frames_offset = 0;  // bytes from the start of the allocation
  uint64_t frames = 0;
  uint64_t members_offset = 0;
};

// How the node is rung: a store of `value` to `word` (BAR0), or else an eventfd.
struct NodeBell {
  volatile uint32_t* word = nullptr;
  uint32_t value = 0;
  int eventfd = -1;
};

class MemberRings {
 public:
  // `allocation`: mapped as far as the page of `slot`.
  MemberRings(std::byte* allocation, const Shape& shape, uint32_t slot, const NodeBell& bell);

  // Nothing when the control part of an allocation of so many bytes, `mapped` of them mapped, makes no sense.
  static std::optional<Shape> Read(std::byte* allocation, uint64_t mapped, uint64_t bytes, uint32_t slot);
  // The memory under it shows something else by now: the device is gone.
  bool gone() const;

  void Open(uint32_t generation);
  // The node knows of this opening: from now on it may be asked.
  bool Served();
  // What Served would say.
  bool Answered() const;
  // Nothing is mapped here any more.
  void Close();

  // How many faults may be posted now; nothing when the node's position makes no sense.
  std::optional<uint32_t> Room() const;
  // Precondition: there is room, and the node has served.
  void Post(uint64_t page, shared::FaultAccess access, uint32_t count);

  enum class Found : uint8_t { kNothing, kOrder, kNonsense };
  // The order of that number, counted from 0 modulo 2^32; `done`: how many were acknowledged.
  Found Order(uint32_t number, uint32_t done, shared::OrderEntry& entry) const;
  void Acknowledge(uint32_t done);

  // Asks for another lease. How many milliseconds were left when the node answered the last request, once it
  // has.
  void AskLease();
  std::optional<uint32_t> Lease() const;
  // The node serves nothing any more.
  // The space has ended here; and whether that is because it was removed.
  bool Fenced() const;
  bool Removed() const;

  // Tells the node of what was posted and acknowledged since, and rings if it sleeps.
  void Notify();
  // Whatever `nodeArmed` says: who took the word may have died before it rang.
  void RingAgain();

  // To be followed by a full fence and another look.
  void Arm();
  void Disarm();

 private:
  void Mark();
  void Ring() const;

  shared::Control* control_;
  shared::MemberPage* own_;
  uint32_t slot_;
  NodeBell bell_;
  uint32_t generation_ = 0;
  uint32_t fault_head_ = 0;  // what was written to the ring; the word is for the node alone
  uint32_t lease_asked_ = 0;
  bool served_ = false;
  bool news_ = false;
};

}  // namespace ivshmem::dsm
