// The packet pump between a socket that stands for the TUN device and a peer
// that sends whatever it likes: each kind of bad packet is dropped for its
// reason, good ones go on, and no random packet gets past the checks.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "../tun/pump.h"
#include "test_memory.h"
#include "traffic.h"

namespace {

using namespace ivshmem;
using namespace ivshmem::tun;
using ring::test::Memory;
using Bytes = std::vector<std::byte>;

constexpr uint32_t kData = 256 << 10;

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
    pump = std::make_unique<Pump>(Pump::Options{sockets[0], bell, wake, notice, 0});
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
                                       std::vector{Ip4(2)});
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

void Put16(Bytes *bytes, size_t at, uint32_t value) {
  (*bytes)[at] = static_cast<std::byte>(value >> 8);
  (*bytes)[at + 1] = static_cast<std::byte>(value & 255);
}

void PutByte(Bytes *bytes, size_t at, uint32_t value) { (*bytes)[at] = static_cast<std::byte>(value); }

// A TCP packet from 10.77.0.`from` to 10.77.0.`to`, virtio_net_hdr in front.
Bytes Tcp(uint32_t payload, uint8_t from = 2, uint8_t to = 1) {
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

Bytes With(Bytes bytes, VnetHeader header) {
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Bytes Front(Bytes bytes, size_t count) {
  bytes.resize(count);
  return bytes;
}

constexpr VnetHeader kGso{kNeedsCsum, kGsoTcp4, 40, 1448, 20, 16};

void Good(Scene *scene) {
  for (const uint32_t payload : {0u, 79u, 80u, 81u, 1400u, 65495u}) {
    scene->Send(Tcp(payload));
    CHECK(scene->Arrived() == Tcp(payload));
  }
  scene->Send(With(Tcp(60000), kGso));
  CHECK(scene->Arrived() == With(Tcp(60000), kGso));
  // A length of the headers that is a lie, and flags nobody asked for, are put
  // right.
  scene->Send(With(Tcp(60000), {kNeedsCsum | 0xf6, kGsoTcp4 | kGsoEcn, 9, 1448, 20, 16}));
  CHECK(scene->Arrived() == With(Tcp(60000), {kNeedsCsum, kGsoTcp4 | kGsoEcn, 40, 1448, 20, 16}));
}

struct Case {
  const char *name;
  Verdict verdict;
  Bytes bytes;
};

void Bad(Scene *scene) {
  const auto changed = [](size_t at, uint32_t value) {
    Bytes bytes = Tcp(100);
    PutByte(&bytes, kHeaderBytes + at, value);
    return bytes;
  };
  const Case cases[] = {
      {"empty", Verdict::kMalformed, {}},
      {"half a virtio_net_hdr", Verdict::kMalformed, Bytes(9)},
      {"no IP header", Verdict::kMalformed, Bytes(kHeaderBytes)},
      {"half an IP header", Verdict::kMalformed, Front(Tcp(0), 29)},
      {"version 5", Verdict::kMalformed, changed(0, 0x55)},
      {"version 6 with the length of 4", Verdict::kMalformed, changed(0, 0x65)},
      {"a header of 16 bytes", Verdict::kMalformed, changed(0, 0x44)},
      {"another length than it has", Verdict::kMalformed, changed(3, 7)},
      {"somebody else's source", Verdict::kSource, Tcp(100, 3)},
      {"our own source", Verdict::kSource, Tcp(100, 1)},
      {"somebody else's destination", Verdict::kDestination, Tcp(100, 2, 9)},
      {"a checksum behind the end", Verdict::kOffload, With(Tcp(100), {kNeedsCsum, 0, 0, 0, 130, 16})},
      {"a checksum far behind the end", Verdict::kOffload,
       With(Tcp(100), {kNeedsCsum, 0, 0, 0, 65535, 65535})},
      {"a checksum in the IP header", Verdict::kOffload, With(Tcp(100), {kNeedsCsum, 0, 0, 0, 10, 0})},
      {"segments of 0 bytes", Verdict::kOffload, With(Tcp(3000), {kNeedsCsum, kGsoTcp4, 40, 0, 20, 16})},
      {"segments without checksum", Verdict::kOffload, With(Tcp(3000), {0, kGsoTcp4, 40, 1448, 20, 16})},
      {"segments of IPv6", Verdict::kOffload, With(Tcp(3000), {kNeedsCsum, kGsoTcp6, 40, 1448, 20, 16})},
      {"segments of UDP", Verdict::kOffload, With(Tcp(3000), {kNeedsCsum, 3, 28, 1448, 20, 6})},
      {"ECN alone", Verdict::kOffload, With(Tcp(3000), {kNeedsCsum, kGsoEcn, 40, 1448, 20, 16})},
      {"a TCP header behind the end", Verdict::kOffload, With(Tcp(0, 2, 1), kGso)},
  };
  for (const Case &each : cases) {
    Bytes bytes = each.bytes;
    if (std::strcmp(each.name, "a TCP header behind the end") == 0) PutByte(&bytes, kHeaderBytes + 32, 0xf0);
    const uint64_t before = scene->Dropped(each.verdict);
    scene->Send(bytes);
    if (scene->Dropped(each.verdict) != before + 1 || !scene->Arrived().empty()) {
      std::fprintf(stderr, "not refused as it should be: %s\n", each.name);
      std::abort();
    }
  }
  // Where the bytes are.
  const uint64_t at = scene->from_peer.data;
  const std::vector<std::vector<ring::Element>> places = {
      {{at, 60, false}, {at + 60, 60, false}},  // in two pieces
      {{at, 140, true}},                        // to be written
      {{scene->to_peer.data, 140, false}},      // in the other direction's area
      {{at + kData - 100, 140, false}},         // over the end
      {{at, kMostBytes + 1, false}},            // too long
      {{scene->from_peer.areas.descriptors, 140, false}},
  };
  for (const auto &elements : places) {
    const uint64_t before = scene->Dropped(Verdict::kMalformed);
    scene->Send(elements);
    CHECK(scene->Dropped(Verdict::kMalformed) == before + 1 && scene->Arrived().empty());
  }
}

// Packets that are nearly right: whatever arrives is from the peer, to us, and
// makes sense.
void Random(Scene *scene, uint32_t count) {
  uint32_t x = 4711;
  uint32_t arrived = 0;
  for (uint32_t i = 0; i < count; i++) {
    Bytes bytes = Tcp(traffic_next(&x) % 300);
    if (traffic_next(&x) % 2) bytes = With(bytes, kGso);
    for (uint32_t changes = traffic_next(&x) % 4; changes > 0; changes--)
      PutByte(&bytes, traffic_next(&x) % std::min<size_t>(bytes.size(), 60), traffic_next(&x));
    scene->Send(bytes, static_cast<uint32_t>(bytes.size() - (traffic_next(&x) % 8 == 0 ? 3 : 0)));
    const Bytes got = scene->Arrived();
    if (got.empty()) continue;
    arrived++;
    CHECK(got.size() >= kHeaderBytes + 20);
    const auto head = std::span<const std::byte>(got).subspan(kHeaderBytes);
    Packet packet;
    CHECK(Parse(head, static_cast<uint32_t>(head.size()), &packet));
    CHECK(packet.source == Scene::Ip4(2) && packet.destination == Scene::Ip4(1));
    VnetHeader header;
    std::memcpy(&header, got.data(), sizeof header);
    CHECK((header.flags & ~kNeedsCsum) == 0 && header.hdr_len <= head.size());
    if (header.flags) CHECK(header.csum_start + header.csum_offset + 2u <= head.size());
  }
  CHECK(arrived > count / 20 && arrived < count);
  std::printf("%u of %u random packets arrived\n", arrived, count);
}

// From the TUN device: routes, a peer that takes nothing, and one that begins
// to take again.
void Sending(Scene *scene) {
  const auto put = [&](const Bytes &bytes) {
    CHECK(send(scene->sockets[1], bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  };
  const auto until = [&](const std::function<bool()> &condition) {
    for (int i = 0; !condition(); i++) {
      CHECK(i < 20'000);
      usleep(500);
    }
  };
  put(Tcp(100, 1, 9));
  until([&] { return scene->Dropped(Verdict::kNoRoute) == 1; });
  uint32_t taken = 0;
  ring::AvailableBuffer buffer;
  const auto take = [&](const Bytes &expected) {
    until([&] { return scene->receiver->take({&buffer, 1}) == 1; });
    CHECK(buffer.elements.size() == 1 && buffer.elements[0].len == expected.size());
    CHECK(std::memcmp(scene->memory.region.at(buffer.elements[0].addr), expected.data(), expected.size()) ==
          0);
    taken++;
  };
  for (const uint32_t payload : {0u, 79u, 81u, 60000u}) {
    put(Tcp(payload, 1, 2));
    take(Tcp(payload, 1, 2));
  }
  scene->receiver->add_used(taken, 0);
  scene->receiver->publish();
  // 16 descriptors: the ring is full, one waits, and then packets are dropped.
  for (uint32_t i = 0; i < 20; i++) put(Tcp(i, 1, 2));
  until([&] { return scene->Dropped(Verdict::kCongested) == 4; });
  CHECK(scene->pump->Read().held >= 1);
  taken = 0;
  for (uint32_t i = 0; i < 16; i++) take(Tcp(i, 1, 2));
  scene->receiver->add_used(taken, 0);
  scene->receiver->publish();
  put(Tcp(500, 1, 2));
  take(Tcp(500, 1, 2));
  scene->receiver->add_used(1, 0);
  scene->receiver->publish();
}

// A ring that is broken is given up and told of; a new channel in clean memory
// works.
void Broken(Scene *scene) {
  const uint64_t tail_at = scene->from_peer.areas.descriptors;
  // A buffer id that no queue of this size has, available in this lap or the
  // next: whichever the ring is in.
  for (const uint16_t lap : {ring::kUsed, ring::kAvail}) {
    for (uint32_t i = 0; i < 16; i++)
      ring::Table(scene->memory.region.at(tail_at)).put_tail(i, {1, 0x7fff, lap}, std::memory_order_release);
    scene->RingBell();
    usleep(20'000);
  }
  uint64_t counter = 0;
  for (int i = 0; read(scene->notice, &counter, sizeof counter) < 0; i++) {
    CHECK(i < 20'000);
    usleep(500);
  }
  CHECK(scene->pump->Broken() == std::vector<uint32_t>{7});
  scene->pump->Detach(7);
  CHECK(scene->pump->Broken().empty());
  std::memset(scene->memory.region.base, 0, scene->memory.region.size);
  scene->Attach();
  scene->Send(Tcp(10));
  CHECK(scene->Arrived() == Tcp(10));
}

}  // namespace

int main(int argc, char **argv) {
  const auto count = static_cast<uint32_t>(argc > 1 ? std::atoi(argv[1]) : 20'000);
  Scene scene;
  Good(&scene);
  Bad(&scene);
  Random(&scene, count);
  Sending(&scene);
  Broken(&scene);
  std::puts("all as it should be");
}
