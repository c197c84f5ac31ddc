// The packed virtqueue's layout in shared memory (VIRTIO 1.3 §2.8) and the arithmetic of its positions.
// This file is the C++ side of src/virtqueue/layout.ts; a test compares the numbers of kAbi with it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ivshmem::ring {

// All fields are little-endian (VIRTIO 1.3 §1.4) and are read and written as whole words.
static_assert(std::endian::native == std::endian::little, "the ring is accessed in host order");

// §2.8.13: one slot of the descriptor ring, or of an indirect table.
struct Descriptor {
  uint64_t addr;   // offset into the region, bytes
  uint32_t len;    // bytes
  uint16_t id;     // buffer id: valid in the last descriptor of a chain and in a used descriptor
  uint16_t flags;  // kNext | kWrite | kIndirect | kAvail | kUsed
};
static_assert(sizeof(Descriptor) == 16 && alignof(Descriptor) == 8);
static_assert(offsetof(Descriptor, addr) == 0 && offsetof(Descriptor, len) == 8);
static_assert(offsetof(Descriptor, id) == 12 && offsetof(Descriptor, flags) == 14);

// §2.8.14: what one side wants to be notified of; the driver event area belongs to the driver, the other to
// the device.
struct EventSuppression {
  uint16_t desc;   // bits 0-14: offset in the ring; bit 15: wrap counter. Only read when flags is kEventDesc
  uint16_t flags;  // kEventEnable | kEventDisable | kEventDesc in bits 0-1, the rest reserved
};
static_assert(sizeof(EventSuppression) == 4 && alignof(EventSuppression) == 2);
static_assert(offsetof(EventSuppression, desc) == 0 && offsetof(EventSuppression, flags) == 2);

inline constexpr uint16_t kNext = 1;   // §2.8.6: the chain goes on in the next slot
inline constexpr uint16_t kWrite = 2;  // §2.8.3: device-writable; in a used descriptor: something was written
inline constexpr uint16_t kIndirect = 4;    // §2.8.7: the element is a table of descriptors
inline constexpr uint16_t kAvail = 1 << 7;  // §2.8.1
inline constexpr uint16_t kUsed = 1 << 15;  // §2.8.1

// A queue has at most 2^15 buffers, so bit 15 of an id is never part of it: it carries one bit from the
// driver's user to the device's with the descriptor. A device that does not know it hands the whole id back,
// which is all §2.8 asks.
inline constexpr uint16_t kTag = 1 << 15;
inline constexpr uint16_t kIdMask = kTag - 1;

inline constexpr uint16_t kEventEnable = 0;   // §2.8.10
inline constexpr uint16_t kEventDisable = 1;  // §2.8.10
inline constexpr uint16_t kEventDesc = 2;     // §2.8.10, VIRTIO_F_EVENT_IDX
inline constexpr uint16_t kEventFlagsMask = 3;
inline constexpr uint16_t kWrapBit = 1 << 15;
inline constexpr uint16_t kOffsetMask = kWrapBit - 1;

inline constexpr uint32_t kMaxQueueSize = 1 << 15;    // §2.8
inline constexpr uint32_t kDescriptorAlignment = 16;  // §2.8.10.1
inline constexpr uint32_t kEventAlignment = 4;        // §2.8.10.1

// Feature bits (§6) this ring is written for: all of them are always in force.
inline constexpr uint32_t kFeatureIndirectDesc = 28;
inline constexpr uint32_t kFeatureEventIdx = 29;
inline constexpr uint32_t kFeatureRingPacked = 34;
inline constexpr uint32_t kFeatureInOrder = 35;

struct AbiNumber {
  const char* name;
  uint32_t value;
};

// The numbers both languages must agree on, under the names the TypeScript side uses for them.
inline constexpr AbiNumber kAbi[] = {
    {"descriptorSize", sizeof(Descriptor)},
    {"descriptorAddr", offsetof(Descriptor, addr)},
    {"descriptorLen", offsetof(Descriptor, len)},
    {"descriptorId", offsetof(Descriptor, id)},
    {"descriptorFlags", offsetof(Descriptor, flags)},
    {"descriptorAlignment", kDescriptorAlignment},
    {"eventSize", sizeof(EventSuppression)},
    {"eventDesc", offsetof(EventSuppression, desc)},
    {"eventFlags", offsetof(EventSuppression, flags)},
    {"eventAlignment", kEventAlignment},
    {"next", kNext},
    {"write", kWrite},
    {"indirect", kIndirect},
    {"avail", kAvail},
    {"used", kUsed},
    {"tag", kTag},
    {"eventEnable", kEventEnable},
    {"eventDisable", kEventDisable},
    {"eventDescriptor", kEventDesc},
    {"maxQueueSize", kMaxQueueSize},
    {"featureIndirectDesc", kFeatureIndirectDesc},
    {"featureEventIdx", kFeatureEventIdx},
    {"featureRingPacked", kFeatureRingPacked},
    {"featureInOrder", kFeatureInOrder},
};

// A place in the ring together with the wrap counter in force there (§2.8.1).
struct Position {
  uint16_t index = 0;
  bool wrap = true;  // both counters start at 1

  // Moves `count` slots on; `count` <= `size`, so at most one wrap.
  constexpr void advance(uint32_t count, uint32_t size) {
    uint32_t next = index + count;
    if (next >= size) {
      next -= size;
      wrap = !wrap;
    }
    index = static_cast<uint16_t>(next);
  }

  // The position as the event suppression structure stores it (§2.8.14).
  constexpr uint16_t encode() const { return static_cast<uint16_t>(index | (wrap ? kWrapBit : 0)); }

  // §2.8.1: what marks a slot available here; AVAIL equals the counter, USED is its inverse.
  constexpr uint16_t available_flags() const { return wrap ? kAvail : kUsed; }
  // What marks a slot used here; both equal the counter.
  constexpr uint16_t used_flags() const { return wrap ? kAvail | kUsed : 0; }

  constexpr bool is_available(uint16_t flags) const {
    return (flags & (kAvail | kUsed)) == available_flags();
  }
  constexpr bool is_used(uint16_t flags) const { return (flags & (kAvail | kUsed)) == used_flags(); }

  constexpr bool operator==(const Position&) const = default;
};

// True when moving from `before` to `after` (slots made available or used, modulo 2^16) passed `event`: the
// rule of §2.7.10 that the packed ring inherits, with `event` already brought into the frame of `after`.
constexpr bool passed_event(uint16_t event, uint16_t after, uint16_t before) {
  return static_cast<uint16_t>(after - event - 1) < static_cast<uint16_t>(after - before);
}

// Whether the partner asked to hear of the last `count` slots, the end of which is `now`. `word` is its event
// suppression structure as one little-endian 32-bit load. Values the specification reserves (flags 3, an
// offset outside the ring) count as "notify": a spurious notification is harmless, a missing one is a hang.
constexpr bool wants_event(uint32_t word, Position now, uint32_t count, uint32_t size) {
  const uint16_t flags = static_cast<uint16_t>(word >> 16) & kEventFlagsMask;
  if (count == 0 || flags == kEventDisable) return false;
  if (flags != kEventDesc) return true;
  uint32_t event = word & kOffsetMask;
  if (event >= size) return true;
  // A wrap counter that differs from ours names the previous lap: one ring size behind the same offset.
  if (((word & kWrapBit) != 0) != now.wrap) event -= size;
  return passed_event(static_cast<uint16_t>(event), now.index, static_cast<uint16_t>(now.index - count));
}

}  // namespace ivshmem::ring
