// The packet pump between a socket that stands for the TUN device and a peer
// that the test plays, and the packets that they exchange.
#pragma once

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <span>
#include <vector>

#include "../tun/pump.h"
#include "test_memory.h"

namespace ivshmem::tun::test {

using ring::test::Memory;
using Bytes = std::vector<std::byte>;

inline constexpr uint32_t kData = 256 << 10;

// Two rings in memories of their own would not be one region, so the second
// lies in the data of the first.
struct Scene {
  Memory memory{16, 2 * 4096 + 2 * kData};
  Direction to_peer;
  Direction from_peer;
  int sockets[2];
  int bell = eventfd(0, EFD_NONBLOCK);
  int wake = eventfd(0, EFD_NONBLOCK);
  int notice = eventfd(0, EFD_NONBLOCK);
  int peer_bell = eventfd(0, EFD_NONBLOCK);
  std::unique_ptr<Pump> pump;
  std::unique_ptr<ring::DriverRing> sender;  // the peer's
  std::unique_ptr<ring::DeviceRing> receiver;

  Scene() {
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sockets) == 0);
    const uint64_t base = (memory.data + 4095) / 4096 * 4096;
    to_peer = {memory.areas, base, kData};
    // The first page behind both data areas has the ring of the other
    // direction.
    const uint64_t second = base + 2 * kData;
    from_peer = {{second, second + 256, second + 320, 16}, base + kData, kData};
    pump = std::make_unique<Pump>(Pump::Options{sockets[0], sockets[0], bell, wake, notice, 0});
    pump->SetOwn({Ip4(1)});
    CHECK(pump->Start() == 0);
    Attach();
  }
  ~Scene() {
    pump.reset();
    for (const int fd : {sockets[0], sockets[1], bell, wake, notice, peer_bell}) close(fd);
  }

  static Address Ip4(uint8_t last) {
    const std::byte bytes[4] = {std::byte{10}, std::byte{77}, std::byte{0}, std::byte{last}};
    return Address::From(4, bytes);
  }

  void Attach() {
    sender = std::make_unique<ring::DriverRing>(memory.region, from_peer.areas);
    receiver = std::make_unique<ring::DeviceRing>(memory.region, to_peer.areas);
    auto link = std::make_unique<Link>(7, memory.region, to_peer, from_peer, Doorbell{nullptr, 0, peer_bell},
                                       std::vector{Ip4(2)}, true);
    CHECK(link->Sound());
    pump->Attach(std::move(link));
  }

  void RingBell() {
    const uint64_t one = 1;
    CHECK(write(bell, &one, sizeof one) == sizeof one);
  }

  // Sends the elements as one buffer and waits until they came back.
  void Send(std::span<const ring::Element> elements) {
    CHECK(sender->add(elements, 0));
    sender->publish();
    RingBell();
    ring::UsedBuffer used;
    for (int i = 0; sender->take_used({&used, 1}) == 0; i++) {
      CHECK(i < 20'000);
      usleep(500);
    }
  }

  void Send(const Bytes &bytes, uint32_t length) {
    std::copy(bytes.begin(), bytes.end(), memory.region.at(from_peer.data));
    const ring::Element element{from_peer.data, length, false};
    Send({&element, 1});
  }
  void Send(const Bytes &bytes) { Send(bytes, static_cast<uint32_t>(bytes.size())); }

  uint64_t Dropped(Verdict verdict) { return pump->Read().dropped[static_cast<size_t>(verdict)]; }

  // What reached the kernel; empty when nothing did.
  Bytes Arrived() {
    Bytes bytes(kMostBytes + 1);
    const ssize_t got = recv(sockets[1], bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }
};

inline void Put16(Bytes *bytes, size_t at, uint32_t value) {
  (*bytes)[at] = static_cast<std::byte>(value >> 8);
  (*bytes)[at + 1] = static_cast<std::byte>(value & 255);
}

inline void PutByte(Bytes *bytes, size_t at, uint32_t value) { (*bytes)[at] = static_cast<std::byte>(value); }

// A TCP packet from 10.77.0.`from` to 10.77.0.`to`, virtio_net_hdr in front.
inline Bytes Tcp(uint32_t payload, uint8_t from = 2, uint8_t to = 1) {
  Bytes bytes(kHeaderBytes + 40 + payload, std::byte{0x5a});
  std::fill_n(bytes.begin(), kHeaderBytes + 40, std::byte{0});
  const size_t ip = kHeaderBytes;
  PutByte(&bytes, ip, 0x45);
  Put16(&bytes, ip + 2, 40 + payload);
  PutByte(&bytes, ip + 9, 6);
  for (const auto &[at, last] : {std::pair{12, from}, std::pair{16, to}}) {
    PutByte(&bytes, ip + static_cast<size_t>(at), 10);
    PutByte(&bytes, ip + static_cast<size_t>(at) + 1, 77);
    PutByte(&bytes, ip + static_cast<size_t>(at) + 3, last);
  }
  PutByte(&bytes, ip + 32, 0x50);
  return bytes;
}

inline Bytes With(Bytes bytes, VnetHeader header) {
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

inline Bytes Front(Bytes bytes, size_t count) {
  bytes.resize(count);
  return bytes;
}

// A UDP packet of the same two, whose length says what it has.
inline Bytes Udp(uint32_t payload) {
  Bytes bytes = Tcp(payload);
  bytes.resize(kHeaderBytes + 28 + payload);
  Put16(&bytes, kHeaderBytes + 2, 28 + payload);
  PutByte(&bytes, kHeaderBytes + 9, 17);
  Put16(&bytes, kHeaderBytes + 24, 8 + payload);
  return bytes;
}

inline constexpr VnetHeader kUdpGso{kNeedsCsum, kGsoUdp, 28, 1472, 20, 6};
inline constexpr VnetHeader kGso{kNeedsCsum, kGsoTcp4, 40, 1448, 20, 16};

}  // namespace ivshmem::tun::test
