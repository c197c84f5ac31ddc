// What both ends of the ring share: reaching words that another party writes at any time, and naming what it
// did wrong.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace ivshmem::ring {

// Why a ring was given up. Once broken a ring does nothing more: its memory belongs to a party that breaks
// the rules.
enum class Violation : uint8_t {
  kNone,
  kLayout,         // our own caller: queue size, alignment or place of the areas
  kAddress,        // an element does not lie inside the region
  kFlags,          // flags that mean nothing in this place, or a readable element after a writable one
  kChainLength,    // a chain longer than the slots the driver owns
  kIndirectTable,  // a table that is empty, ragged, too long, or chained
  kBufferId,       // a used descriptor names no outstanding buffer
  kUsedLength,     // more bytes written than the buffer can take
};

constexpr const char* name(Violation violation) {
  constexpr const char* kNames[] = {"none",         "layout",         "address",   "flags",
                                    "chain length", "indirect table", "buffer id", "used length"};
  return kNames[static_cast<size_t>(violation)];
}

// One element of a buffer: what a descriptor describes, checked.
struct Element {
  uint64_t addr = 0;  // offset into the region, bytes
  uint32_t len = 0;   // bytes
  bool writable = false;
};

// The memory every `addr` is an offset into.
struct Region {
  std::byte* base = nullptr;
  uint64_t size = 0;  // bytes

  // Written so that no sum can overflow, whatever a descriptor says.
  bool contains(uint64_t addr, uint64_t len) const { return len <= size && addr <= size - len; }
  std::byte* at(uint64_t addr) const { return base + addr; }
};

// Where the three parts of a queue lie (§2.8): offsets into the region, bytes.
struct Areas {
  uint64_t descriptors = 0;
  uint64_t driver_event = 0;
  uint64_t device_event = 0;
  uint32_t size = 0;  // slots

  Violation check(const Region& region) const {
    const auto aligned = [&](uint64_t addr, uint32_t to) {
      return (reinterpret_cast<uintptr_t>(region.base) + addr) % to == 0;
    };
    const bool inside = size >= 1 && size <= kMaxQueueSize &&
                        region.contains(descriptors, uint64_t{size} * sizeof(Descriptor)) &&
                        region.contains(driver_event, sizeof(EventSuppression)) &&
                        region.contains(device_event, sizeof(EventSuppression));
    const bool placed = inside && aligned(descriptors, kDescriptorAlignment) &&
                        aligned(driver_event, kEventAlignment) && aligned(device_event, kEventAlignment);
    return placed ? Violation::kNone : Violation::kLayout;
  }
};

// A descriptor is two 64-bit words: `addr`, and `len | id | flags`. Taking the second as one word makes the
// copy of these three fields one load, so a party that rewrites them meanwhile cannot show us two versions.
struct Tail {
  uint32_t len = 0;
  uint16_t id = 0;
  uint16_t flags = 0;

  static constexpr Tail unpack(uint64_t word) {
    return {static_cast<uint32_t>(word), static_cast<uint16_t>(word >> 32),
            static_cast<uint16_t>(word >> 48)};
  }
  constexpr uint64_t pack() const { return len | uint64_t{id} << 32 | uint64_t{flags} << 48; }
};

// Word access to a descriptor table in shared memory. Every access is atomic: a data race with the other side
// is the normal case here, and must not be undefined behaviour.
class Table {
 public:
  Table() = default;
  explicit Table(std::byte* base) : words_(reinterpret_cast<uint64_t*>(base)) {}

  uint64_t addr(uint32_t index) const { return word(index, 0).load(std::memory_order_relaxed); }
  Tail tail(uint32_t index, std::memory_order order) const {
    return Tail::unpack(word(index, 1).load(order));
  }
  void put_addr(uint32_t index, uint64_t addr) const {
    word(index, 0).store(addr, std::memory_order_relaxed);
  }
  void put_tail(uint32_t index, Tail tail, std::memory_order order) const {
    word(index, 1).store(tail.pack(), order);
  }

 private:
  std::atomic_ref<uint64_t> word(uint32_t index, uint32_t half) const {
    return std::atomic_ref<uint64_t>(words_[size_t{index} * 2 + half]);
  }
  uint64_t* words_ = nullptr;
};
static_assert(std::atomic_ref<uint64_t>::is_always_lock_free &&
              std::atomic_ref<uint32_t>::is_always_lock_free);

// An event suppression structure (§2.8.14), taken and put as one 32-bit word for the same reason.
class EventArea {
 public:
  EventArea() = default;
  explicit EventArea(std::byte* base) : word_(reinterpret_cast<uint32_t*>(base)) {}

  uint32_t load() const { return std::atomic_ref<uint32_t>(*word_).load(std::memory_order_relaxed); }
  void store(uint16_t flags, uint16_t desc) const {
    std::atomic_ref<uint32_t>(*word_).store(uint32_t{flags} << 16 | desc, std::memory_order_relaxed);
  }

 private:
  uint32_t* word_ = nullptr;
};

// The full fence both sides of a notification need (§2.8.21.2, §2.8.22): "write descriptor; fence; read the
// partner's event area" here pairs with "write our event area; fence; read descriptor" there. Without either,
// both reads may miss both writes, and the sleeper is never woken.
inline void notification_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // namespace ivshmem::ring
