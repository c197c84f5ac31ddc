// The driver's end of a packed virtqueue: makes buffers available, takes them back used (VIRTIO 1.3 §2.8.21,
// §2.8.22). One thread at a time. Buffers come back in the order they went out (VIRTIO_F_IN_ORDER), often
// many by one descriptor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ring_end.h"

namespace ivshmem::ring {

// A buffer that came back.
struct UsedBuffer {
  uint64_t cookie = 0;   // what add() was given
  uint32_t written = 0;  // bytes the device wrote, never more than the writable elements hold
};

class DriverRing : public RingEnd {
 public:
  // `region` must outlive the ring. The descriptor area must be zero (§2.8.13) or left by a ring that was
  // drained with both positions at the start.
  DriverRing(Region region, const Areas& areas)
      : RingEnd(region, areas, &Areas::driver_event, &Areas::device_event) {
    if (broken()) return;
    outstanding_.resize(size_);
    free_ = size_;
  }

  uint32_t free_descriptors() const { return free_; }
  uint32_t outstanding() const { return buffers_; }

  // Puts a buffer into the ring as a chain, unpublished. Readable elements come before writable ones
  // (§2.8.17). `tag` reaches the device with the buffer. False if there is no room now, the ring is broken,
  // or the elements are not a legal chain in the region.
  bool add(std::span<const Element> elements, uint64_t cookie, bool tag = false) {
    uint32_t writable = 0;
    if (!has_room(elements.size()) || !legal(elements, &writable)) return false;
    const auto count = static_cast<uint32_t>(elements.size());
    const uint16_t id = start(count, writable, cookie, tag);
    for (uint32_t i = 0; i < count; i++) {
      const bool last = i + 1 == count;
      const auto flags = static_cast<uint16_t>((elements[i].writable ? kWrite : 0) | (last ? 0 : kNext));
      put(elements[i].addr, {elements[i].len, id, flags});
    }
    return true;
  }

  // Puts a buffer into the ring as one slot that names a table (§2.8.7). The table is written here, at
  // `table` in the region (16-byte aligned, 16 bytes for each element), and is the device's to read until the
  // buffer comes back.
  bool add_indirect(std::span<const Element> elements, uint64_t table, uint64_t cookie, bool tag = false) {
    uint32_t writable = 0;
    const uint64_t bytes = elements.size() * sizeof(Descriptor);
    if (!has_room(1) || elements.size() > size_ || !legal(elements, &writable)) return false;
    if (!region_.contains(table, bytes) ||
        (reinterpret_cast<uintptr_t>(region_.base) + table) % kDescriptorAlignment != 0)
      return false;
    const Table entries(region_.at(table));
    for (uint32_t i = 0; i < elements.size(); i++) {
      const auto flags = static_cast<uint16_t>(elements[i].writable ? kWrite : 0);
      entries.put_addr(i, elements[i].addr);
      entries.put_tail(i, {elements[i].len, 0, flags}, std::memory_order_relaxed);
    }
    const uint16_t id = start(1, writable, cookie, tag);
    put(table, {static_cast<uint32_t>(bytes), id, kIndirect});
    return true;
  }

  // Makes everything added since the last publish() available at once.
  void publish() {
    if (release_head()) published_ = buffers_;
  }

  // Whether the device asked to hear of what was published since the last call. Call after publish().
  bool needs_notification() { return partner_wants_event(next_available_); }

  // True if take_used() would return something (or find a violation).
  bool has_used() const {
    if (broken() || published_ == 0) return false;
    return batch_ > 0 || next_used_.is_used(table_.tail(next_used_.index, std::memory_order_acquire).flags);
  }

  // Takes back up to out.size() buffers, oldest first; returns how many. A violation ends it: see
  // violation().
  size_t take_used(std::span<UsedBuffer> out) {
    size_t taken = 0;
    while (taken < out.size() && !broken() && (batch_ > 0 || open_batch())) {
      const Outstanding& buffer = outstanding_[oldest_];
      batch_--;
      // §2.8.8: the buffers of a batch before its last are taken as used completely.
      out[taken++] = {buffer.cookie, batch_ == 0 ? batch_written_ : buffer.writable};
      next_used_.advance(buffer.descriptors, size_);
      free_ += buffer.descriptors;
      buffers_--;
      published_--;
      oldest_ = following(oldest_);
    }
    return taken;
  }

  // Asks for a notification when the slot `ahead` of the next used one is used. True if used buffers are
  // there already: then take them first, the device may have read the event area before it was changed.
  bool enable_notifications(uint32_t ahead = 0) {
    if (broken()) return false;
    ask_for_event(next_used_, ahead);
    return has_used();
  }

 private:
  struct Outstanding {
    uint64_t cookie = 0;
    uint32_t writable = 0;  // bytes
    uint32_t descriptors = 0;
  };

  uint16_t following(uint32_t id) const { return static_cast<uint16_t>(id + 1 == size_ ? 0 : id + 1); }

  bool has_room(size_t count) const { return !broken() && count >= 1 && count <= free_; }

  bool legal(std::span<const Element> elements, uint32_t* writable) const {
    uint64_t bytes = 0;
    bool seen_writable = false;
    for (const Element& element : elements) {
      if (!region_.contains(element.addr, element.len) || (seen_writable && !element.writable)) return false;
      seen_writable = element.writable;
      if (element.writable) bytes += element.len;
    }
    *writable = static_cast<uint32_t>(bytes);
    return !elements.empty() && bytes <= UINT32_MAX;
  }

  // Ids go round in the order of use: at most `size_` buffers are outstanding, so none is in use twice, and
  // how far a used id is from the oldest tells how many buffers its batch has.
  uint16_t start(uint32_t count, uint32_t writable, uint64_t cookie, bool tag) {
    const uint16_t id = next_id_;
    outstanding_[id] = {cookie, writable, count};
    next_id_ = following(id);
    buffers_++;
    free_ -= count;
    count_unreported(count);
    return static_cast<uint16_t>(id | (tag ? kTag : 0));
  }

  // Writes a slot.
  void put(uint64_t addr, Tail tail) {
    tail.flags |= next_available_.available_flags();
    table_.put_addr(next_available_.index, addr);
    put_tail(next_available_.index, tail);
    next_available_.advance(1, size_);
  }

  // Reads the next used descriptor, if it is there, and what batch of buffers it stands for (§2.8.8).
  bool open_batch() {
    if (published_ == 0) return false;
    // acquire: pairs with the release in RingEnd::release_head; what the device wrote into the buffers comes
    // before.
    const Tail tail = table_.tail(next_used_.index, std::memory_order_acquire);
    if (!next_used_.is_used(tail.flags)) return false;
    const uint32_t id = tail.id & kIdMask;
    if (id >= size_) return give_up(Violation::kBufferId);
    const uint32_t ahead = id >= oldest_ ? id - oldest_ : id + size_ - oldest_;
    if (ahead >= published_) return give_up(Violation::kBufferId);
    // §2.8.4: without WRITE nothing was written and the length means nothing.
    const uint32_t written = tail.flags & kWrite ? tail.len : 0;
    if (written > outstanding_[id].writable) return give_up(Violation::kUsedLength);
    batch_ = ahead + 1;
    batch_written_ = written;
    return true;
  }

  std::vector<Outstanding> outstanding_;  // by buffer id
  uint32_t free_ = 0;                     // slots
  uint32_t buffers_ = 0;                  // outstanding, published or not
  uint32_t published_ = 0;                // outstanding and published: what the device may use
  uint32_t batch_ = 0;                    // buffers left of the batch that is being taken
  uint32_t batch_written_ = 0;
  uint16_t next_id_ = 0;
  uint16_t oldest_ = 0;
};

}  // namespace ivshmem::ring
