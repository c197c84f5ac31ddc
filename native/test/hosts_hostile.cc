// What other nodes and members may do to a node: anything. Bytes of a peer go through the reader of frames;
// sound frames of nonsense go into a space; members write what they like into their words. Nothing may crash,
// read beyond its memory, or keep honest members from being served. Everything comes from a seed.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "../hosts/diff.h"
#include "../hosts/wire.h"
#include "hosts_scene.h"

namespace ivshmem::hosts {

namespace {

using dsm::MessageType;
using dsm::Right;
using dsm::shared::kFlushCall;
using dsm::shared::kRefreshCall;
using Word = std::atomic_ref<uint32_t>;

constexpr uint64_t kTypes = static_cast<uint64_t>(MessageType::kKept) + 1;

std::mt19937_64 rng;
uint64_t Below(uint64_t limit) { return rng() % limit; }

bool HasDifference(MessageType type) {
  return type == MessageType::kMerge || type == MessageType::kReplicate;
}

void Must(bool condition, const char* what) {
  if (condition) return;
  std::printf("not ok %s\n", what);
  std::exit(1);
}

// --- bytes ---

void RoundTrip() {
  for (int i = 0; i < 10'000; i++) {
    dsm::Message message;
    message.type = static_cast<MessageType>(Below(kTypes));
    message.right = static_cast<Right>(Below(3));
    message.failure = static_cast<dsm::Failure>(Below(4));
    message.requester = static_cast<dsm::NodeId>(Below(64));
    message.epoch = rng();
    message.version = rng();
    message.page = rng();
    uint32_t length = message.type == MessageType::kData ? 4096u << Below(10) : 0;
    if (HasDifference(message.type))
      length = 9 + static_cast<uint32_t>(Below(MostDiff(kMostPage) - 8));
    const auto back = Decode(Encode(FrameOf(static_cast<uint32_t>(rng()), message, length)));
    Must(back && back->length == length && back->message.page == message.page &&
             back->message.type == message.type && back->message.epoch == message.epoch,
         "a frame is what it was");
  }
  const auto hello = DecodeHello(EncodeHello({5, "cluster"}));
  Must(hello && hello->node == 5 && hello->cluster == "cluster", "a hello is what it was");
}

// A stream in pieces of any size, most of it sound: how many frames came out.
uint64_t Stream(uint64_t& nonsense) {
  FrameReader reader;
  uint64_t frames = 0;
  std::vector<std::byte> bytes;
  for (int i = 0; i < 40; i++) {
    dsm::Message message;
    message.type = static_cast<MessageType>(Below(kTypes));
    uint32_t length = message.type == MessageType::kData ? 4096 : 0;
    if (HasDifference(message.type)) length = 9 + static_cast<uint32_t>(Below(5000));
    HeaderBytes header = Encode(FrameOf(1, message, length));
    if (Below(30) == 0) header[Below(kHeaderBytes)] = static_cast<std::byte>(rng());
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.resize(bytes.size() + length, static_cast<std::byte>(i));
  }
  for (size_t at = 0;;) {
    const FrameReader::Got got = reader.Next();
    if (got == FrameReader::Got::kNonsense) {
      nonsense++;
      return frames;
    }
    if (got == FrameReader::Got::kMore) {
      if (at == bytes.size()) return frames;
      const std::span<std::byte> room = reader.Room();
      Must(!room.empty(), "there is room for the next byte");
      const size_t count = std::min({room.size(), bytes.size() - at, size_t{1} + Below(30'000)});
      std::memcpy(room.data(), &bytes[at], count);
      at += count;
      reader.Took(count);
      continue;
    }
    frames++;
    Must(reader.body().size() == reader.frame().length, "the body is as long as it says");
    const std::vector<std::byte> copy(reader.body().begin(), reader.body().end());
    static_cast<void>(DecodeHello(copy));
  }
}

void Bytes() {
  RoundTrip();
  uint64_t frames = 0, nonsense = 0;
  for (int i = 0; i < 2000; i++) frames += Stream(nonsense);
  for (int i = 0; i < 200'000; i++) {
    HeaderBytes header;
    for (std::byte& byte : header) byte = static_cast<std::byte>(Below(4) == 0 ? rng() : Below(3));
    static_cast<void>(Decode(header));
    std::vector<std::byte> body(Below(64));
    for (std::byte& byte : body) byte = static_cast<std::byte>(rng());
    static_cast<void>(DecodeHello(body));
  }
  Must(frames > 10'000 && nonsense > 100, "sound and unsound streams were both read");
}

// --- messages and members ---

void Open(Scene& scene, uint32_t slot, uint32_t generation) {
  std::memset(scene.member(slot), 0, 128);
  Word(scene.member(slot)->opened).store(generation);
  scene.Mark(slot);
}

void Post(Scene& scene, uint32_t slot, const dsm::shared::FaultEntry& fault) {
  dsm::shared::MemberPage* page = scene.member(slot);
  const uint32_t head = Word(page->faultHead).load();
  std::memcpy(&page->faults[head % dsm::shared::kFaults], &fault, sizeof fault);
  Word(page->faultHead).store(head + 1);
  scene.Mark(slot);
}

// The honest one does its orders, and believes them only as far as they can be.
void DoOrders(Scene& scene, uint32_t slot) {
  dsm::shared::MemberPage* page = scene.member(slot);
  Word(page->ackTail).store(Word(page->orderHead).load());
  scene.Mark(slot);
}

// One that is there, or not.
uint64_t Party(Scene& scene) {
  if (Below(8) == 0) return rng();
  const auto slot = static_cast<uint32_t>(Below(kSlots));
  const auto opened = Word(scene.member(slot)->opened).load() + static_cast<uint32_t>(Below(2));
  return dsm::shared::PartyOf(static_cast<uint32_t>(Below(3)), slot, opened);
}

// What members of the other host say, and what its node could make of it.
void Called(Scene& scene) {
  Frame frame;
  frame.type = static_cast<uint8_t>(kWake + Below(3));
  frame.message.page = Party(scene);
  frame.message.version = Below(10) == 0 ? rng() : Below(2 * kSlots);
  scene.space->Called(1, frame);
}

// A word of what a member may write, or a sound thing to do, by chance.
void Nonsense(Scene& scene, uint32_t slot) {
  dsm::shared::MemberPage* page = scene.member(slot);
  switch (Below(8)) {
    case 0:
      Word(page->ackTail).store(static_cast<uint32_t>(rng()));
      break;
    case 1:
      Word(page->faultHead).store(static_cast<uint32_t>(rng()));
      break;
    case 2:
      Open(scene, slot, static_cast<uint32_t>(Below(3)));
      break;
    case 3:
      for (auto& fault : page->faults)
        fault = {rng(), static_cast<uint32_t>(rng()), static_cast<uint32_t>(rng())};
      break;
    case 4:
      reinterpret_cast<uint32_t*>(page)[Below(1024)] = static_cast<uint32_t>(rng());
      break;
    case 5:
      Word(scene.control()->summary[Below(8)]).store(static_cast<uint32_t>(rng()));
      break;
    case 6:
      DoOrders(scene, slot);
      break;
    default:
      Post(scene, slot,
           {Below(2) == 0 ? Below(kPages + 4) : Party(scene), static_cast<uint32_t>(Below(7)),
            static_cast<uint32_t>(Below(6))});
  }
  scene.Mark(slot);
}

// What a node could have written of a page, or nothing that could be.
std::vector<std::byte> Written() {
  std::vector<std::byte> before(4096), page(4096);
  for (uint64_t i = Below(300); i > 0; i--) page[Below(4096)] = static_cast<std::byte>(rng());
  std::vector<std::byte> diff = Difference(page, before);
  for (uint64_t i = Below(3); i > 0 && !diff.empty(); i--)
    diff[Below(diff.size())] = static_cast<std::byte>(rng());
  if (Below(4) == 0) diff.resize(Below(diff.size() + 20));
  return diff;
}

void Message(Scene& scene) {
  dsm::Message message;
  message.type = static_cast<MessageType>(Below(kTypes));
  message.right = static_cast<Right>(Below(3));
  message.failure = static_cast<dsm::Failure>(Below(4));
  message.requester = static_cast<dsm::NodeId>(Below(Below(4) == 0 ? 64 : 2));
  message.epoch = Below(10) == 0 ? rng() : scene.space->node().epoch();
  message.page = Below(10) == 0 ? rng() : Below(kPages);
  // It still has its pages, but once; with replicas it keeps those of this one as well.
  if (message.type == MessageType::kFlush) {
    message.version = scene.now % 64 == 0 ? 0 : 2;
    message.page = message.version == 0 ? 0 : scene.place.replicas == 1 ? 2 : 3;
  }
  if (message.type == MessageType::kMerge && Below(2) == 0) message.page &= ~uint64_t{1};
  if (message.type == MessageType::kReplicate && Below(2) == 0) message.page |= 1;
  // Answers to what was asked, so that some of it gets further.
  if (!scene.around.sent.empty() && Below(2) == 0) {
    const size_t recent = std::min<size_t>(scene.around.sent.size(), 12);
    const Sent& asked = scene.around.sent[scene.around.sent.size() - 1 - Below(recent)];
    message.page = asked.message.page;
    if (asked.message.type == MessageType::kGet)
      message.type = MessageType::kData, message.right = asked.message.right;
    if (asked.message.type == MessageType::kData) message.type = MessageType::kDone;
    if (asked.message.type == MessageType::kMerge) {
      message.type = MessageType::kMerged;
      message.version = asked.message.version;
    }
    if (asked.message.type == MessageType::kAdopt || asked.message.type == MessageType::kReplicate) {
      const bool adopts = asked.message.type == MessageType::kAdopt;
      message.type = adopts ? MessageType::kReplicate : MessageType::kReplicated;
      message.version = adopts ? 0 : asked.message.version;
      message.requester = adopts ? 0 : asked.message.requester;
    }
    if (asked.message.type == MessageType::kInvalidate) message.type = MessageType::kInvalidated;
    if (asked.message.type == MessageType::kEvict) message.type = MessageType::kInvalidate;
  }
  std::vector<std::byte> body(message.type == MessageType::kData ? (Below(9) == 0 ? 8192 : 4096) : 0);
  if (HasDifference(message.type)) {
    body = Written();
    message.version = Below(3);
  }
  scene.space->Receive(1, message, body, scene.now);
}

void Space_(uint64_t seed, uint64_t steps, dsm::Consistency consistency, dsm::NodeId replicas) {
  rng.seed(seed);
  // With frames for few pages, or for all.
  Scene scene(consistency, replicas, seed % 4 < 2 ? kLeastCache : kPages);
  for (uint32_t slot = 1; slot < kSlots; slot++) scene.space->Member(slot, true, scene.now);
  Open(scene, 1, 77);
  for (uint64_t step = 0; step < steps; step++) {
    scene.now += Below(300'000);
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
        Nonsense(scene, 2 + static_cast<uint32_t>(Below(2)));
        break;
      case 3:
        if (Below(20) == 0) scene.space->Member(step % 2 == 0 ? 2 : 3, Below(2) == 0, scene.now);
        break;
      case 4:
        Post(scene, 1, {Below(Below(2) == 0 ? 4 : kPages), static_cast<uint32_t>(Below(2)), 1});
        break;
      case 5:
        DoOrders(scene, 1);
        // Something to be told of.
        if (Below(3) == 0) scene.memory.get()[scene.bytes - 1 - Below(kLeastCache * 4096)] ^= std::byte{1};
        if (Below(4) == 0) Post(scene, 1, {step, Below(2) == 0 ? kFlushCall : kRefreshCall, 1});
        break;
      case 6:
        if (Below(100) == 0) scene.space->Install({scene.space->node().epoch() + 1, 3}, scene.now);
        break;
      case 7:
        if (Below(50) == 0) scene.space->Cut(1);
        Called(scene);
        break;
      default:
        Message(scene);
    }
    scene.space->Serve(scene.now);
    scene.space->Due(scene.now);
    scene.space->Check(scene.now);
    scene.space->Settle(scene.now);
  }
  Must(scene.around.broken > 0 && scene.around.rejected > 0, "the attack got through");
  Must(scene.around.calls > 0, "and members called");
  const bool release = consistency == dsm::Consistency::kRelease;
  Must((scene.around.merged > 0) == release, "what was written was sent");
  Must((scene.space->counters().merges_in > 0) == release, "and taken");
  // After all of that: the others are gone, and the honest one has a page of its own node, or is told.
  scene.space->Member(2, false, scene.now);
  scene.space->Member(3, false, scene.now);
  Open(scene, 1, 78);
  scene.space->Serve(scene.now);
  Must(Word(scene.member(1)->served).load() == 78, "an honest member is served");
  scene.space->Fence(scene.now);
  Post(scene, 1, {0, 0, 1});
  scene.space->Serve(scene.now);
  scene.space->Settle(scene.now);
  Must(Word(scene.member(1)->orderHead).load() > 0, "and answered");
}

// A member that asks and never does an order: it is not given more of them than may be, and all when it does.
void Deaf() {
  constexpr uint32_t kAsked = 200'000;
  Scene scene(dsm::Consistency::kSequential);
  scene.space->Member(1, true, scene.now);
  Open(scene, 1, 5);
  scene.space->Serve(scene.now);
  dsm::shared::MemberPage* page = scene.member(1);
  uint32_t asked = 0;
  const auto ask = [&] {
    // Outside of the space, and apart: none of the answers goes with another.
    while (asked < kAsked && asked - Word(page->faultTail).load() < dsm::shared::kFaults)
      Post(scene, 1, {kPages + 2 * uint64_t{asked++}, 0, 1});
    scene.Mark(1);
    scene.space->Serve(scene.now);
    scene.space->Settle(scene.now);
  };
  for (uint32_t turn = 0; turn < kAsked / dsm::shared::kFaults; turn++) ask();
  Must(Word(page->faultTail).load() < kAsked / 2, "who does no orders is not listened to");
  for (uint32_t turn = 0; turn < kAsked && Word(page->ackTail).load() != kAsked; turn++) {
    DoOrders(scene, 1);
    ask();
  }
  Must(Word(page->ackTail).load() == kAsked, "and has all answers when it does them");
  Must(scene.around.broken == 0, "nothing of that is against the rules");
}

// The same with the member in a thread of its own, which is what it is.
void Threads(uint64_t steps) {
  Scene scene(dsm::Consistency::kSequential);
  scene.space->Member(1, true, 1);
  std::atomic<bool> stop{false};
  std::thread member([&] {
    Open(scene, 1, 5);
    dsm::shared::MemberPage* page = scene.member(1);
    while (Word(page->served).load(std::memory_order_acquire) != 5) std::this_thread::yield();
    uint32_t done = 0, mapped = 0;
    for (uint64_t step = 0; mapped < steps; step++) {
      const uint32_t head = Word(page->faultHead).load(std::memory_order_relaxed);
      if (head - Word(page->faultTail).load(std::memory_order_acquire) < dsm::shared::kFaults) {
        // Pages that live here: nobody else is needed.
        const dsm::shared::FaultEntry fault{2 * (step % (kPages / 2)), 1, 1};
        std::memcpy(&page->faults[head % dsm::shared::kFaults], &fault, sizeof fault);
        Word(page->faultHead).store(head + 1, std::memory_order_release);
        scene.Mark(1);
      }
      const uint32_t ordered = Word(page->orderHead).load(std::memory_order_acquire);
      for (; done != ordered; done++) {
        dsm::shared::OrderEntry order;
        std::memcpy(&order, &page->orders[done % dsm::shared::kOrders], sizeof order);
        Must(order.op == dsm::shared::kMapOrder && order.right == 2, "it may write");
        Must(order.frame == order.page / 2, "a home frame");
        mapped++;
      }
      Word(page->ackTail).store(done, std::memory_order_release);
      scene.Mark(1);
    }
    stop.store(true);
  });
  while (!stop.load()) {
    scene.now++;
    if (!scene.space->Serve(scene.now)) std::this_thread::yield();
    scene.space->Settle(scene.now);
  }
  member.join();
}

}  // namespace

}  // namespace ivshmem::hosts

int main(int argc, char** argv) {
  const uint64_t rounds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20;
  ivshmem::hosts::Bytes();
  std::puts("ok bytes");
  using ivshmem::dsm::Consistency;
  for (uint64_t seed = 1; seed <= 3 * rounds; seed++)
    ivshmem::hosts::Space_(seed, 20'000, seed % 3 == 0 ? Consistency::kSequential : Consistency::kRelease,
                           seed % 3 == 2 ? 2 : 1);
  std::puts("ok messages and members");
  ivshmem::hosts::Deaf();
  std::puts("ok deaf member");
  ivshmem::hosts::Threads(5'000);
  std::puts("ok threads");
}
