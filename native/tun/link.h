// One channel as packets use it: the driver's end of one direction, the
// device's end of the other, and where the bytes of a packet lie. Each packet
// is one buffer of one element: a virtio_net_hdr and an IP packet.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "../ring/device_ring.h"
#include "../ring/driver_ring.h"
#include "backlog.h"
#include "doorbell.h"
#include "packet.h"

namespace ivshmem::tun {

// One direction of a channel: its ring and its data area, offsets into the
// region.
struct Direction {
  ring::Areas areas;
  uint64_t data = 0;
  uint32_t data_bytes = 0;

  bool contains(const ring::Element &element) const {
    return element.addr >= data && element.len <= data_bytes &&
           element.addr - data <= data_bytes - element.len;
  }
};

// Room for packets in a data area, given out and taken back in one order.
// Positions count bytes for ever; one piece does not go over the end of the
// area.
class PacketArea {
 public:
  explicit PacketArea(uint32_t bytes) : bytes_(bytes) {}

  // Where `length` bytes in one piece would begin; false when there is no such
  // room now.
  bool Find(uint32_t length, uint32_t *offset) {
    // Nothing is out: begin at the start again, where the lines are in
    // somebody's cache.
    if (head_ == tail_) head_ = tail_ = 0;
    const auto at = static_cast<uint32_t>(head_ % bytes_);
    const uint32_t skipped = length <= bytes_ - at ? 0 : bytes_ - at;
    if (head_ - tail_ + skipped + length > bytes_) return false;
    *offset = skipped == 0 ? at : 0;
    return true;
  }

  // Gives out `length` bytes at an offset that Find returned for at least as
  // many. The position behind them.
  uint64_t Take(uint32_t offset, uint32_t length) {
    const auto at = static_cast<uint32_t>(head_ % bytes_);
    if (offset != at) head_ += bytes_ - at;
    // Lines of their own: the peer reads one packet while the next is written.
    head_ += std::min((length + 63) / 64 * 64, bytes_ - offset);
    return head_;
  }

  void FreeUpTo(uint64_t position) { tail_ = position; }

 private:
  uint32_t bytes_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
};

class Link {
 public:
  // `region` must outlive the link. The descriptor areas are zero, as the
  // server hands them out. A link that is not `routed` only receives: another
  // one, of this pump, sends to that peer.
  Link(uint32_t number, ring::Region region, const Direction &outgoing, const Direction &incoming,
       const Doorbell &doorbell, std::vector<Address> addresses, bool is_routed)
      : id(number),
        routed(is_routed),
        driver(region, outgoing.areas),
        device(region, incoming.areas),
        sources(std::move(addresses)),
        region_(region),
        outgoing_(outgoing),
        incoming_(incoming),
        doorbell_(doorbell),
        area_(outgoing.data_bytes) {
    driver.disable_notifications();
    device.disable_notifications();
  }

  // False when the places it was given are not inside the region.
  bool Sound() const {
    return !broken() && outgoing_.data_bytes >= kMostBytes &&
           region_.contains(outgoing_.data, outgoing_.data_bytes) &&
           region_.contains(incoming_.data, incoming_.data_bytes);
  }
  bool broken() const { return driver.broken() || device.broken(); }
  // What comes now has to wait behind what is there.
  bool behind() const { return !backlog.empty(); }
  bool has_peer_address(const Address &address) const {
    return std::find(sources.begin(), sources.end(), address) != sources.end();
  }

  // Room for a packet of up to `length` bytes, header included; null when there
  // is none now.
  std::byte *Room(uint32_t length, uint32_t *offset) {
    if (broken()) return nullptr;
    if (driver.free_descriptors() == 0 || !area_.Find(length, offset)) {
      Reclaim();
      if (broken() || driver.free_descriptors() == 0 || !area_.Find(length, offset)) return nullptr;
    }
    return region_.at(outgoing_.data + *offset);
  }

  // Sends what was written into the room at `offset`.
  void Send(uint32_t offset, uint32_t length) {
    const ring::Element element{outgoing_.data + offset, length, false};
    driver.add({&element, 1}, area_.Take(offset, length));
    driver.publish();
    told = false;
  }

  // After a burst: rings for what the peer wants to hear of.
  void Tell() {
    if (told) return;
    told = true;
    if (driver.needs_notification()) doorbell_.Ring();
  }

  // Hands the `count` oldest packets back.
  void Release(uint32_t count) {
    if (count == 0 || !device.add_used(count, 0)) return;
    device.publish();
    if (device.needs_notification()) doorbell_.Ring();
  }

  // Where the bytes of a received packet are; null when they are not in one
  // piece in the data area.
  const std::byte *Received(const ring::AvailableBuffer &buffer) const {
    if (buffer.elements.size() != 1 || buffer.readable != 1 || !incoming_.contains(buffer.elements[0]))
      return nullptr;
    return region_.at(buffer.elements[0].addr);
  }

  const uint32_t id;
  const bool routed;
  ring::DriverRing driver;
  ring::DeviceRing device;
  const std::vector<Address> sources;
  Backlog backlog;
  bool told = true;
  bool reported = false;  // that it is broken

 private:
  void Reclaim() {
    std::array<ring::UsedBuffer, 64> used;
    for (;;) {
      const size_t count = driver.take_used(used);
      if (count == 0) return;
      area_.FreeUpTo(used[count - 1].cookie);
    }
  }

  ring::Region region_;
  Direction outgoing_;
  Direction incoming_;
  Doorbell doorbell_;
  PacketArea area_;
};

}  // namespace ivshmem::tun
