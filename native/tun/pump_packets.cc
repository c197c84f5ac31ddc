// How the pump moves packets; when it does is in pump.cc.
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "pump.h"

namespace ivshmem::tun {

namespace {

// Packets of one direction before the other has its turn, and before who
// changes something has.
constexpr int kBurst = 32;
// Received bytes before they are handed back although there are more: the
// sender must not wait for the whole burst.
constexpr uint32_t kReleaseBytes = 128 << 10;
// How long a packet waits for a peer that does not take what it has, and with
// it the whole interface: its queue in the kernel is the back-pressure that
// senders feel. Then the peer has a backlog, behind which nobody waits.
constexpr uint64_t kHoldNs = 20'000'000;

}  // namespace

// Packets of the TUN device, until there are none, for a burst, or until one
// must wait.
bool Pump::SendFromTun() {
  bool worked = false;
  for (int i = 0; i < kBurst; i++) {
    if (held_bytes_ > 0) {
      if (!PlaceHeld()) return worked;
      worked = true;
    }
    // The front of a packet goes where nobody else can change it, for it
    // decides; the rest straight into the memory of the peer that the last
    // packet went to. Only a packet to another peer is copied.
    uint32_t guess_offset = 0;
    std::byte *guess = last_ == nullptr || last_->behind() ? nullptr : last_->Room(kMostBytes, &guess_offset);
    std::byte *rest = (guess == nullptr ? bounce_.data() : guess) + kPrefixBytes;
    const iovec parts[] = {{prefix_.data(), kPrefixBytes}, {rest, kMostBytes - kPrefixBytes}};
    const ssize_t got = readv(options_.tun_in, parts, 2);
    if (got < 0) {
      // The memory of the guess is gone (unplugged): a store to it puts zero
      // pages there, see bus_guard.h.
      if (errno == EFAULT && guess != nullptr) {
        *reinterpret_cast<volatile std::byte *>(guess) = std::byte{0};
        Drop(Verdict::kNoRoute);
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) Fail(errno);
      return worked;
    }
    worked = true;
    const auto length = static_cast<uint32_t>(got);
    const uint32_t front = std::min(length, kPrefixBytes);
    Packet packet;
    if (length < kHeaderBytes || !Parse(std::span(prefix_).subspan(kHeaderBytes, front - kHeaderBytes),
                                        length - kHeaderBytes, &packet)) {
      Drop(Verdict::kMalformed);
      continue;
    }
    Link *link = Find(packet.destination);
    if (link == nullptr) {
      Drop(Verdict::kNoRoute);
      continue;
    }
    if (link == last_ && guess != nullptr) {
      std::memcpy(guess, prefix_.data(), front);
      link->Send(guess_offset, length);
      CountSent(length);
      continue;
    }
    if (guess != nullptr && length > front) std::memcpy(bounce_.data() + front, rest, length - front);
    std::memcpy(bounce_.data(), prefix_.data(), front);
    held_bytes_ = length;
    held_for_ = link;
    held_since_ns_ = 0;
  }
  return worked;
}

// The packet in `bounce_`: false while it must wait.
bool Pump::PlaceHeld() {
  Link *link = held_for_;
  const std::span<const std::byte> packet(bounce_.data(), held_bytes_);
  if (!link->behind() && Place(link, packet)) {
    last_ = link;
  } else if (link->broken()) {
    Drop(Verdict::kNoRoute);
  } else {
    if (held_since_ns_ == 0) {
      held_since_ns_ = Now();
      counters_.held++;
    }
    if (!link->behind() && Now() - held_since_ns_ < kHoldNs) return false;
    if (!link->backlog.Push(packet)) Drop(Verdict::kCongested);
  }
  held_bytes_ = 0;
  held_for_ = nullptr;
  return true;
}

// What waits for a peer, as far as it has room again. True if anything moved.
bool Pump::SendBacklog(Link *link) {
  bool worked = false;
  for (int i = 0; i < kBurst && link->behind() && Place(link, link->backlog.front()); i++) {
    link->backlog.Pop();
    worked = true;
  }
  return worked;
}

// False when there is no room.
bool Pump::Place(Link *link, std::span<const std::byte> packet) {
  const auto length = static_cast<uint32_t>(packet.size());
  uint32_t offset = 0;
  std::byte *room = link->Room(length, &offset);
  if (room == nullptr) return false;
  std::memcpy(room, packet.data(), length);
  link->Send(offset, length);
  CountSent(length);
  return true;
}

void Pump::CountSent(uint32_t length) {
  counters_.packets_sent++;
  counters_.bytes_sent += length - kHeaderBytes;
}

// Packets of one peer, for a burst.
bool Pump::Deliver(Link *link) {
  uint32_t taken = 0;
  uint32_t taken_bytes = 0;
  bool worked = false;
  ring::AvailableBuffer buffer;
  for (int i = 0; i < kBurst && failure_ == 0 && link->device.take({&buffer, 1}) == 1; i++) {
    worked = true;
    uint32_t bytes = 0;
    const Verdict verdict = DeliverOne(*link, buffer, &bytes);
    if (verdict == Verdict::kDelivered) {
      counters_.packets_received++;
      counters_.bytes_received += bytes;
    } else {
      Drop(verdict);
    }
    taken++;
    taken_bytes += bytes;
    if (taken_bytes >= kReleaseBytes) {
      link->Release(taken);
      taken = taken_bytes = 0;
    }
  }
  link->Release(taken);
  return worked;
}

Verdict Pump::DeliverOne(const Link &link, const ring::AvailableBuffer &buffer, uint32_t *bytes) {
  const std::byte *shared = link.Received(buffer);
  if (shared == nullptr) return Verdict::kMalformed;
  const uint32_t length = buffer.elements[0].len;
  if (length < kHeaderBytes || length > kMostBytes) return Verdict::kMalformed;
  *bytes = length - kHeaderBytes;
  // The peer may write while we look: what is judged is what the kernel gets.
  std::array<std::byte, kPrefixBytes> prefix;
  const uint32_t front = std::min(length, kPrefixBytes);
  std::memcpy(prefix.data(), shared, front);
  const auto head = std::span<const std::byte>(prefix).subspan(kHeaderBytes, front - kHeaderBytes);
  Packet packet;
  if (!Parse(head, *bytes, &packet)) return Verdict::kMalformed;
  if (!link.has_peer_address(packet.source)) return Verdict::kSource;
  if (std::find(own_.begin(), own_.end(), packet.destination) == own_.end()) return Verdict::kDestination;
  VnetHeader header;
  std::memcpy(&header, prefix.data(), sizeof header);
  if (!Sanitize(&header, packet, head, *bytes)) return Verdict::kOffload;
  std::memcpy(prefix.data(), &header, sizeof header);
  const iovec parts[] = {{prefix.data(), front}, {const_cast<std::byte *>(shared) + front, length - front}};
  if (writev(options_.tun_out, parts, length > front ? 2 : 1) == static_cast<ssize_t>(length))
    return Verdict::kDelivered;
  // The device is gone; anything else concerns this packet.
  if (errno == EBADFD) Fail(errno);
  return Verdict::kRefused;
}

}  // namespace ivshmem::tun
