// The packet pump between a socket that stands for the TUN device and a peer
// that sends whatever it likes: each kind of bad packet is dropped for its
// reason, good ones go on, and no random packet gets past the checks.
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "../mmio.h"
#include "traffic.h"
#include "tun_scene.h"

namespace {

using namespace ivshmem;
using namespace ivshmem::tun;
using namespace ivshmem::tun::test;

void Good(Scene *scene) {
  for (const uint32_t payload : {0u, 79u, 80u, 81u, 1400u, 65495u}) {
    scene->Send(Tcp(payload));
    CHECK(scene->Arrived() == Tcp(payload));
  }
  scene->Send(With(Tcp(60000), kGso));
  CHECK(scene->Arrived() == With(Tcp(60000), kGso));
  scene->Send(With(Udp(60000), kUdpGso));
  CHECK(scene->Arrived() == With(Udp(60000), kUdpGso));
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
  Bytes lying = Udp(3000);
  Put16(&lying, kHeaderBytes + 24, 3000);
  Bytes half = Front(Udp(0), kHeaderBytes + 24);
  Put16(&half, kHeaderBytes + 2, 24);
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
      {"segments smaller than any", Verdict::kOffload,
       With(Tcp(3000), {kNeedsCsum, kGsoTcp4, 40, 7, 20, 16})},
      {"fragments of UDP", Verdict::kOffload, With(Udp(3000), {kNeedsCsum, 3, 28, 1448, 20, 6})},
      {"datagrams of TCP", Verdict::kOffload, With(Tcp(3000), kUdpGso)},
      {"segments of UDP", Verdict::kOffload, With(Udp(3000), kGso)},
      {"datagrams with ECN", Verdict::kOffload,
       With(Udp(3000), {kNeedsCsum, kGsoUdp | kGsoEcn, 28, 1472, 20, 6})},
      {"datagrams without checksum", Verdict::kOffload, With(Udp(3000), {0, kGsoUdp, 28, 1472, 20, 6})},
      {"datagrams with the checksum elsewhere", Verdict::kOffload,
       With(Udp(3000), {kNeedsCsum, kGsoUdp, 28, 1472, 20, 16})},
      {"datagrams of 0 bytes", Verdict::kOffload, With(Udp(3000), {kNeedsCsum, kGsoUdp, 28, 0, 20, 6})},
      {"more datagrams than any kernel sends", Verdict::kOffload,
       With(Udp(60000), {kNeedsCsum, kGsoUdp, 28, 468, 20, 6})},
      {"datagrams of another length", Verdict::kOffload, With(lying, kUdpGso)},
      {"half a UDP header", Verdict::kOffload, With(half, {kNeedsCsum, kGsoUdp, 28, 1, 20, 0})},
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

// The peer goes on writing while the pump reads: the packet, the descriptor of
// it and the header are not what they were a moment ago. Whatever arrives has
// been judged as it is. Two threads race here as two machines do, so this is
// nothing for the thread sanitizer.
[[maybe_unused]] void Changing(Scene *scene, uint32_t count) {
  std::atomic<bool> done{false};
  const uint64_t at = scene->from_peer.data;
  std::thread scribbler([&] {
    uint32_t x = 815;
    while (!done.load()) {
      const uint64_t offset = traffic_next(&x) % 60;
      auto *byte = reinterpret_cast<volatile uint8_t *>(scene->memory.region.at(at + offset));
      const uint8_t before = *byte;
      *byte = static_cast<uint8_t>(traffic_next(&x));
      // Long enough to be seen.
      for (int i = 0; i < 64; i++) CpuRelax();
      *byte = before;
      for (int i = 0; i < 64; i++) CpuRelax();
    }
  });
  uint32_t arrived = 0;
  uint32_t sent = 0;
  // A busy machine may let the scribbler run late.
  for (; sent < count || (arrived == sent && sent < 50 * count); sent++) {
    scene->Send(With(Tcp(3000), kGso));
    const Bytes got = scene->Arrived();
    if (got.empty()) continue;
    arrived++;
    CHECK(got.size() == kHeaderBytes + 3040);
    const auto head = std::span<const std::byte>(got).subspan(kHeaderBytes);
    Packet packet;
    CHECK(Parse(head, 3040, &packet));
    CHECK(packet.source == Scene::Ip4(2) && packet.destination == Scene::Ip4(1));
    VnetHeader header;
    std::memcpy(&header, got.data(), sizeof header);
    VnetHeader again = header;
    CHECK(Sanitize(&again, packet, head, 3040) && std::memcmp(&again, &header, sizeof header) == 0);
  }
  done.store(true);
  scribbler.join();
  CHECK(arrived > 0 && arrived < sent);
  std::printf("%u of %u changing packets arrived\n", arrived, sent);
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
  const auto release = [&] {
    scene->receiver->add_used(taken, 0);
    scene->receiver->publish();
    scene->RingBell();
    taken = 0;
  };
  release();
  // 16 descriptors: the ring is full, one packet waits for a while and with it
  // the others, then they have a backlog.
  for (uint32_t i = 0; i < 20; i++) put(Tcp(i, 1, 2));
  put(Tcp(100, 1, 9));
  until([&] { return scene->Dropped(Verdict::kNoRoute) == 2; });
  CHECK(scene->pump->Read().held >= 1);
  CHECK(scene->Dropped(Verdict::kCongested) == 0);
  // It has an end: what comes then is dropped, and what came before is not.
  const Bytes large = Tcp(60'000, 1, 2);
  uint32_t sent = 0;
  until([&] {
    sent += send(scene->sockets[1], large.data(), large.size(), 0) > 0;
    return scene->Dropped(Verdict::kCongested) > 0;
  });
  // Behind the last of them.
  const Bytes last = Tcp(100, 1, 9);
  until([&] { return send(scene->sockets[1], last.data(), last.size(), 0) > 0; });
  until([&] { return scene->Dropped(Verdict::kNoRoute) == 3; });
  const auto kept = static_cast<uint32_t>(sent - scene->Dropped(Verdict::kCongested));
  CHECK(kept == Backlog::kMostBytes / large.size());
  for (uint32_t i = 0; i < 20; i++) {
    take(Tcp(i, 1, 2));
    release();
  }
  for (uint32_t i = 0; i < kept; i++) {
    take(large);
    release();
  }
  put(Tcp(500, 1, 2));
  take(Tcp(500, 1, 2));
  release();
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
#ifndef __SANITIZE_THREAD__
  Changing(&scene, count / 4);
#endif
  Sending(&scene);
  Broken(&scene);
  std::puts("all as it should be");
}
