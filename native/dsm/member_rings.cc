#include "member_rings.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace ivshmem::dsm {

namespace {

using shared::Control;
using shared::FaultEntry;
using shared::MemberPage;
using shared::OrderEntry;

uint32_t Load(uint32_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
uint64_t Load(uint64_t& word) { return std::atomic_ref(word).load(std::memory_order_relaxed); }
void Store(uint32_t& word, uint32_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

// Entries are copied by whole words: the other side may be writing them.
struct Words {
  uint64_t low, high;
};

template <class Entry>
Words* WordsOf(Entry& entry) {
  static_assert(sizeof(Entry) == sizeof(Words));
  return reinterpret_cast<Words*>(&entry);
}

}  // namespace

MemberRings::MemberRings(std::byte* allocation, const Shape& shape, uint32_t slot, const NodeBell& bell)
    : control_(reinterpret_cast<Control*>(allocation)),
      own_(reinterpret_cast<MemberPage*>(allocation + shape.members_offset +
                                         uint64_t{slot} * shared::kControlPage)),
      slot_(slot),
      bell_(bell) {}

std::optional<Shape> MemberRings::Read(std::byte* allocation, uint64_t mapped, uint64_t bytes,
                                       uint32_t slot) {
  if (mapped < shared::kControlPage || mapped > bytes) return std::nullopt;
  auto& control = *reinterpret_cast<Control*>(allocation);
  // Acquire: pairs with the node's release of `state`, after everything else.
  if (Load(control.state) == shared::kForming) return std::nullopt;
  if (Load(control.magic) != shared::kMagic || Load(control.version) != shared::kVersion) return std::nullopt;
  const uint32_t slots = Load(control.slots);
  const Shape shape{Load(control.pageShift), Load(control.spacePages), Load(control.framesOffset),
                    Load(control.frames), Load(control.membersOffset)};
  const uint32_t shift = shape.page_shift;
  if (shift < shared::kMinPageShift || shift > shared::kMaxPageShift || slots > shared::kMaxSlots)
    return std::nullopt;
  const uint64_t page = uint64_t{1} << shift;
  const bool sound = slot < slots && shape.pages > 0 && shape.pages <= (uint64_t{1} << 52) / page &&
                     shape.members_offset >= shared::kControlPage &&
                     shape.members_offset % shared::kControlPage == 0 && shape.members_offset <= mapped &&
                     mapped - shape.members_offset >= uint64_t{slots} * shared::kControlPage &&
                     shape.frames_offset >= shape.members_offset + uint64_t{slots} * shared::kControlPage &&
                     shape.frames_offset % page == 0 && shape.frames_offset <= bytes && shape.frames > 0 &&
                     shape.frames <= (bytes - shape.frames_offset) >> shift && shape.frames <= UINT32_MAX;
  return sound ? std::optional(shape) : std::nullopt;
}

bool MemberRings::gone() const { return Load(control_->magic) != shared::kMagic; }

void MemberRings::Open(uint32_t generation) {
  generation_ = generation;
  fault_head_ = 0;
  served_ = false;
  lease_asked_ = 0;
  Store(own_->leaseAsked, 0);
  Store(own_->faultHead, 0);
  Store(own_->ackTail, 0);
  Store(own_->memberArmed, 0);
  // Release: pairs with the node's acquire; the words above are zero for it.
  Store(own_->opened, generation);
  news_ = true;
  Notify();
}

bool MemberRings::Answered() const {
  // Acquire: pairs with the node's release, after it set its positions to zero.
  return Load(own_->served) == generation_;
}

bool MemberRings::Served() {
  served_ = served_ || Answered();
  return served_;
}

void MemberRings::Close() {
  Store(own_->opened, 0);
  news_ = true;
  Notify();
}

std::optional<uint32_t> MemberRings::Room() const {
  const uint32_t taken = fault_head_ - Load(own_->faultTail);
  if (taken > shared::kFaults) return std::nullopt;
  return shared::kFaults - taken;
}

void MemberRings::Post(uint64_t page, shared::FaultAccess access, uint32_t count) {
  const FaultEntry entry{page, access, count};
  const auto words = std::bit_cast<Words>(entry);
  Words& place = *WordsOf(own_->faults[fault_head_ % shared::kFaults]);
  std::atomic_ref(place.low).store(words.low, std::memory_order_relaxed);
  std::atomic_ref(place.high).store(words.high, std::memory_order_relaxed);
  // Release: pairs with the node's acquire of faultHead.
  Store(own_->faultHead, ++fault_head_);
  news_ = true;
}

MemberRings::Found MemberRings::Order(uint32_t number, uint32_t done, OrderEntry& entry) const {
  // Acquire: pairs with the node's release of orderHead, after the entry.
  const uint32_t head = Load(own_->orderHead);
  if (head - done > shared::kOrders || number - done > head - done) return Found::kNonsense;
  if (number == head) return Found::kNothing;
  Words& place = *WordsOf(own_->orders[number % shared::kOrders]);
  entry = std::bit_cast<OrderEntry>(Words{Load(place.low), Load(place.high)});
  return Found::kOrder;
}

void MemberRings::Acknowledge(uint32_t done) {
  // Release: pairs with the node's acquire; accesses through mappings taken away are over.
  Store(own_->ackTail, done);
  news_ = true;
}

void MemberRings::AskLease() {
  // 0 is no request.
  if (++lease_asked_ == 0) lease_asked_ = 1;
  // Release: pairs with the node's acquire; the caller has read its clock before.
  Store(own_->leaseAsked, lease_asked_);
  news_ = true;
}

std::optional<uint32_t> MemberRings::Lease() const {
  // One word, so that the number and what belongs to it are of the same answer.
  const uint64_t lease = std::atomic_ref(own_->lease).load(std::memory_order_acquire);
  if (lease_asked_ == 0 || static_cast<uint32_t>(lease >> 32) != lease_asked_) return std::nullopt;
  return std::min(static_cast<uint32_t>(lease), shared::kLongestLeaseMs);
}

bool MemberRings::Fenced() const {
  const uint32_t state = Load(control_->state);
  return state == shared::kFencedState || state == shared::kRemovedState;
}

bool MemberRings::Removed() const { return Load(control_->state) == shared::kRemovedState; }

void MemberRings::Notify() {
  if (!news_) return;
  news_ = false;
  // Orders what was stored before the look at `nodeArmed`; pairs with the node's fence after it armed.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Mark();
  if (std::atomic_ref(control_->nodeArmed).load() == 0) return;
  if (std::atomic_ref(control_->nodeArmed).exchange(0) != 0) Ring();
}

void MemberRings::RingAgain() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Mark();
  Ring();
}

void MemberRings::Mark() {
  std::atomic_ref(control_->summary[slot_ / 32]).fetch_or(uint32_t{1} << slot_ % 32);
}

void MemberRings::Ring() const {
  if (bell_.word != nullptr) {
    // One aligned 32-bit store, after everything above (ivshmem spec, "Doorbell Register").
    std::atomic_thread_fence(std::memory_order_seq_cst);
    *bell_.word = bell_.value;
    return;
  }
  const uint64_t one = 1;
  // The eventfd may be a blocking one; a full one is signalled anyway.
  pollfd writable{bell_.eventfd, POLLOUT, 0};
  if (poll(&writable, 1, 0) == 1) static_cast<void>(!write(bell_.eventfd, &one, sizeof one));
}

void MemberRings::Arm() { Store(own_->memberArmed, 1); }
void MemberRings::Disarm() { Store(own_->memberArmed, 0); }

}  // namespace ivshmem::dsm
