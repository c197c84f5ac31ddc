// The device's end of a packed virtqueue: takes available buffers, hands them back used (VIRTIO 1.3 §2.8.21,
// §2.8.22). One thread at a time. Buffers are used in the order they were taken (VIRTIO_F_IN_ORDER).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ring_end.h"

namespace ivshmem::ring {

// An available buffer, copied out of the ring and checked.
struct AvailableBuffer {
  uint16_t id = 0;
  bool tag = false;
  uint32_t readable = 0;              // elements in front that the device reads; the rest it writes
  std::span<const Element> elements;  // valid until the next take()
};

class DeviceRing : public RingEnd {
 public:
  // `region` must outlive the ring; see DriverRing for the state the descriptor area starts in.
  DeviceRing(Region region, const Areas& areas)
      : RingEnd(region, areas, &Areas::device_event, &Areas::driver_event) {
    if (broken()) return;
    taken_.resize(size_);
    elements_.resize(size_);
  }

  uint32_t outstanding() const { return buffers_; }

  // True if take() would return something (or find a violation).
  bool has_available() const {
    if (broken() || held_ == size_) return false;
    return next_available_.is_available(table_.tail(next_available_.index, std::memory_order_acquire).flags);
  }

  // Takes up to out.size() buffers in ring order; returns how many. Fewer than are there when their elements
  // would not fit the store of one call, which always holds one buffer. A violation ends it: see violation().
  size_t take(std::span<AvailableBuffer> out) {
    size_t taken = 0;
    stored_ = 0;
    while (taken < out.size() && !broken() && held_ < size_) {
      // acquire: pairs with the release in RingEnd::release_head; the rest of the chain and the data come
      // before it.
      const Tail head = table_.tail(next_available_.index, std::memory_order_acquire);
      if (!next_available_.is_available(head.flags) || !take_one(head, &out[taken])) break;
      taken++;
    }
    return taken;
  }

  // Hands the `count` oldest taken buffers back by one used descriptor, unpublished. `written` is what was
  // written into the last of them, bytes; the driver takes the others as written completely (§2.8.8). False,
  // and nothing is done, if fewer are taken, `written` is more than the buffer's writable elements hold, or
  // the ring is broken.
  bool add_used(uint32_t count, uint32_t written) {
    if (broken() || count == 0 || count > buffers_) return false;
    const uint32_t last = place(oldest_, count - 1);
    if (written > taken_[last].writable) return false;
    // Readable-only buffers carry no length: §2.8.4.
    const auto flags = static_cast<uint16_t>(next_used_.used_flags() | (written > 0 ? kWrite : 0));
    put_tail(next_used_.index, {written, taken_[last].id, flags});
    // §2.8.8: one used descriptor in the first slot of the batch, the others are skipped.
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t descriptors = taken_[oldest_].descriptors;
      next_used_.advance(descriptors, size_);
      held_ -= descriptors;
      count_unreported(descriptors);
      oldest_ = place(oldest_, 1);
    }
    buffers_ -= count;
    return true;
  }

  // Makes everything handed back since the last publish() used at once.
  void publish() { release_head(); }

  // Whether the driver asked to hear of what was published since the last call. Call after publish().
  bool needs_notification() { return partner_wants_event(next_used_); }

  // Asks for a notification when the slot `ahead` of the next one becomes available. True if buffers are
  // there already: then take them first, the driver may have read the event area before it was changed.
  bool enable_notifications(uint32_t ahead = 0) {
    if (broken()) return false;
    ask_for_event(next_available_, ahead);
    return has_available();
  }

 private:
  struct Taken {
    uint32_t writable = 0;  // bytes
    uint16_t descriptors = 0;
    uint16_t id = 0;  // with its tag, as it goes back
  };

  // A buffer being read: how it is checked while its elements arrive.
  struct Reader {
    uint64_t writable_bytes = 0;
    uint32_t readable = 0;
    uint32_t count = 0;
  };

  uint32_t place(uint32_t from, uint32_t count) const {
    return from + count < size_ ? from + count : from + count - size_;
  }

  bool take_one(Tail head, AvailableBuffer* out) {
    Reader reader;
    uint16_t id = head.id;
    uint32_t descriptors = 1;
    const bool fits =
        head.flags & kIndirect ? read_table(head, &reader) : read_chain(head, &reader, &descriptors, &id);
    if (broken() || !fits) return false;
    if ((id & kIdMask) >= size_) return give_up(Violation::kBufferId);
    if (reader.writable_bytes > UINT32_MAX) return give_up(Violation::kAddress);
    *out = {static_cast<uint16_t>(id & kIdMask), (id & kTag) != 0, reader.readable,
            std::span<const Element>(elements_).subspan(stored_, reader.count)};
    stored_ += reader.count;
    const auto writable = static_cast<uint32_t>(reader.writable_bytes);
    taken_[place(oldest_, buffers_)] = {writable, static_cast<uint16_t>(descriptors), id};
    buffers_++;
    held_ += descriptors;
    next_available_.advance(descriptors, size_);
    return true;
  }

  // §2.8.6. False without a violation: the elements do not fit this call's store.
  bool read_chain(Tail tail, Reader* reader, uint32_t* descriptors, uint16_t* id) {
    Position at = next_available_;
    for (;;) {
      // Every slot of a chain carries its own correct AVAIL and USED bits, and a table stands alone
      // (§2.8.19).
      if (!at.is_available(tail.flags) || (tail.flags & ~(kNext | kWrite | kIndirect | kAvail | kUsed)) != 0)
        return give_up(Violation::kFlags);
      if (tail.flags & kIndirect) return give_up(Violation::kIndirectTable);
      if (stored_ + reader->count == size_) return false;
      if (!accept({table_.addr(at.index), tail.len, (tail.flags & kWrite) != 0}, reader)) return false;
      if (!(tail.flags & kNext)) break;
      // The driver owns size - held slots, no chain can be longer: this also ends every loop (§2.8.17).
      if (++*descriptors > size_ - held_) return give_up(Violation::kChainLength);
      at.advance(1, size_);
      tail = table_.tail(at.index, std::memory_order_relaxed);  // ordered by the acquire of the head
    }
    *id = tail.id;
    return true;
  }

  // §2.8.7. False without a violation: the elements do not fit this call's store.
  bool read_table(Tail head, Reader* reader) {
    if ((head.flags & ~(kWrite | kIndirect | kAvail | kUsed)) != 0) return give_up(Violation::kIndirectTable);
    const uint64_t addr = table_.addr(next_available_.index);
    const uint32_t entries = head.len / static_cast<uint32_t>(sizeof(Descriptor));
    if (entries == 0 || entries > size_ || head.len % sizeof(Descriptor) != 0)
      return give_up(Violation::kIndirectTable);
    // The specification asks no alignment of tables; both our sides ask what it asks of the ring.
    if (!region_.contains(addr, head.len)) return give_up(Violation::kAddress);
    if ((reinterpret_cast<uintptr_t>(region_.base) + addr) % kDescriptorAlignment != 0)
      return give_up(Violation::kIndirectTable);
    if (stored_ + entries > size_) return false;
    const Table table(region_.at(addr));
    for (uint32_t i = 0; i < entries; i++) {
      // WRITE is the only flag a table entry has and the others are ignored, except that a table in a table
      // would name memory nobody looked at.
      const Tail tail = table.tail(i, std::memory_order_relaxed);  // ordered by the acquire of the head
      if (tail.flags & kIndirect) return give_up(Violation::kIndirectTable);
      if (!accept({table.addr(i), tail.len, (tail.flags & kWrite) != 0}, reader)) return false;
    }
    return true;
  }

  bool accept(Element element, Reader* reader) {
    if (!region_.contains(element.addr, element.len)) return give_up(Violation::kAddress);
    if (element.writable) {
      reader->writable_bytes += element.len;
    } else {
      if (reader->readable != reader->count)
        return give_up(Violation::kFlags);  // §2.8.17: readable ones come first
      reader->readable++;
    }
    elements_[stored_ + reader->count++] = element;
    return true;
  }

  std::vector<Taken> taken_;       // a circle: the taken buffers from oldest_ on
  std::vector<Element> elements_;  // what the last take() handed out
  uint32_t oldest_ = 0;
  uint32_t buffers_ = 0;  // taken and not handed back
  uint32_t held_ = 0;     // slots of these buffers
  uint32_t stored_ = 0;   // elements of the running take()
};

}  // namespace ivshmem::ring
