// What a packet is allowed to say of itself before a kernel believes it: the IP
// header, and the struct virtio_net_hdr in front of it (VIRTIO 1.3 §5.1.6, the
// first 10 bytes). Both are judged in private copies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ivshmem::tun {

// §5.1.6, little-endian as TUNSETVNETLE makes the kernel's.
struct VnetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t hdr_len = 0;      // bytes
  uint16_t gso_size = 0;     // bytes
  uint16_t csum_start = 0;   // bytes from the start of the packet
  uint16_t csum_offset = 0;  // bytes from csum_start
};
static_assert(sizeof(VnetHeader) == 10);

inline constexpr uint8_t kNeedsCsum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoUdp = 5;  // UDP_L4: datagrams of gso_size bytes
inline constexpr uint8_t kGsoEcn = 0x80;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;

inline constexpr uint32_t kHeaderBytes = sizeof(VnetHeader);
inline constexpr uint32_t kMostPacketBytes = 65535;  // the length field of IP has 16 bits
inline constexpr uint32_t kMostBytes = kHeaderBytes + kMostPacketBytes;
// Bytes of a packet that are judged: the largest IPv4 header and the largest
// TCP header.
inline constexpr uint32_t kJudgedBytes = 120;
inline constexpr uint32_t kPrefixBytes = kHeaderBytes + kJudgedBytes;
// Segments smaller than any TCP sends: the smallest MSS of Linux (48) is all
// options but for these.
inline constexpr uint32_t kLeastTcpSegment = 8;
// Datagrams that a kernel makes of one packet (UDP_MAX_SEGMENTS of Linux): more
// of them would cost the receiver memory that the sender did not pay for.
inline constexpr uint32_t kMostDatagrams = 128;

// What became of a packet.
enum class Verdict : uint8_t {
  kDelivered,
  kNoRoute,      // no peer has its destination
  kCongested,    // the peer does not take what it has
  kMalformed,    // no IP packet of the length it says
  kOffload,      // a virtio_net_hdr that does not fit the packet
  kSource,       // a source address that is not the peer's
  kDestination,  // a destination that is not ours
  kRefused,      // the kernel did not take it
};
inline constexpr size_t kVerdicts = 8;

struct Address {
  uint8_t version = 0;  // 4 or 6
  std::array<uint8_t, 16> bytes{};

  static Address From(uint8_t version, const std::byte *bytes) {
    Address address;
    address.version = version;
    std::memcpy(address.bytes.data(), bytes, version == 4 ? 4 : 16);
    return address;
  }
  auto operator<=>(const Address &) const = default;
};

// What the IP header says, checked.
struct Packet {
  Address source;
  Address destination;
  uint32_t header_bytes = 0;  // of IP, without extension headers
  uint8_t protocol = 0;       // of IPv6: the next header, which may be an extension
  bool fragment = false;      // IPv4 only: an IPv6 fragment has a next header that
                              // is neither TCP nor UDP
};

inline uint32_t Big16(const std::byte *at) {
  return static_cast<uint32_t>(at[0]) << 8 | static_cast<uint32_t>(at[1]);
}

// Reads the IP header of a packet of `bytes` bytes, of which `head` has the
// first (at least min(bytes, kJudgedBytes)). False unless the lengths it tells
// are those of the packet.
inline bool Parse(std::span<const std::byte> head, uint32_t bytes, Packet *packet) {
  if (bytes > kMostPacketBytes || head.size() < 20 || head.size() > bytes) return false;
  const auto version = static_cast<uint8_t>(head[0]) >> 4;
  if (version == 4) {
    packet->header_bytes = (static_cast<uint32_t>(head[0]) & 15) * 4;
    if (packet->header_bytes < 20 || packet->header_bytes > head.size() || Big16(&head[2]) != bytes)
      return false;
    packet->protocol = static_cast<uint8_t>(head[9]);
    packet->fragment = (Big16(&head[6]) & 0x3fff) != 0;
    packet->source = Address::From(4, &head[12]);
    packet->destination = Address::From(4, &head[16]);
    return true;
  }
  // A jumbogram (RFC 2675), whose length field is 0, has another length than it
  // says.
  if (version != 6 || head.size() < 40 || Big16(&head[4]) + 40 != bytes) return false;
  packet->header_bytes = 40;
  packet->protocol = static_cast<uint8_t>(head[6]);
  packet->fragment = false;
  packet->source = Address::From(6, &head[8]);
  packet->destination = Address::From(6, &head[24]);
  return true;
}

// The bytes of all headers of a TCP packet that is to be cut; 0 when it is none,
// or cannot be cut as the virtio_net_hdr says.
inline uint32_t TcpHeaders(const VnetHeader &header, const Packet &packet, std::span<const std::byte> head,
                           uint8_t gso) {
  const uint32_t tcp = packet.header_bytes;
  if (packet.source.version != (gso == kGsoTcp4 ? 4 : 6) || (gso != kGsoTcp4 && gso != kGsoTcp6) ||
      packet.protocol != kProtocolTcp || header.csum_offset != 16 || head.size() < tcp + 20)
    return 0;
  const uint32_t headers = tcp + (static_cast<uint32_t>(head[tcp + 12]) >> 4) * 4;
  const bool sound = headers >= tcp + 20 && headers <= head.size() && header.gso_size >= kLeastTcpSegment;
  return sound ? headers : 0;
}

// The same of a UDP packet.
inline uint32_t UdpHeaders(const VnetHeader &header, const Packet &packet, std::span<const std::byte> head,
                           uint32_t bytes) {
  const uint32_t headers = packet.header_bytes + 8;
  // ECN is a matter of TCP.
  if (header.gso_type != kGsoUdp || packet.protocol != kProtocolUdp || header.csum_offset != 6 ||
      head.size() < headers || Big16(&head[packet.header_bytes + 4]) + packet.header_bytes != bytes)
    return 0;
  return bytes - headers <= kMostDatagrams * header.gso_size ? headers : 0;
}

// Judges the virtio_net_hdr that came with a parsed packet of `bytes` bytes and
// makes it one that says no more than the kernel needs. False when it
// contradicts the packet.
inline bool Sanitize(VnetHeader *header, const Packet &packet, std::span<const std::byte> head,
                     uint32_t bytes) {
  VnetHeader clean;
  const uint8_t gso = header->gso_type & static_cast<uint8_t>(~kGsoEcn);
  if (header->flags & kNeedsCsum) {
    const uint32_t start = header->csum_start;
    if (packet.fragment || start < packet.header_bytes || start + header->csum_offset + 2u > bytes)
      return false;
    clean.flags = kNeedsCsum;
    clean.csum_start = header->csum_start;
    clean.csum_offset = header->csum_offset;
  }
  if (gso == kGsoNone) {
    // ECN alone means nothing (§5.1.6.2), hdr_len and gso_size neither.
    if (header->gso_type != kGsoNone) return false;
    *header = clean;
    return true;
  }
  // Segments are cut behind the header of TCP or UDP, so where that is must be
  // known and not believed.
  const uint32_t transport = packet.header_bytes;
  if (packet.fragment || clean.flags == 0 || clean.csum_start != transport) return false;
  const uint32_t headers =
      gso == kGsoUdp ? UdpHeaders(*header, packet, head, bytes) : TcpHeaders(*header, packet, head, gso);
  if (headers == 0) return false;
  clean.gso_type = header->gso_type;
  clean.gso_size = header->gso_size;
  clean.hdr_len = static_cast<uint16_t>(headers);
  *header = clean;
  return true;
}

}  // namespace ivshmem::tun
