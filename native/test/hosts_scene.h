// A space of a node with nothing around it: what it says to other nodes is kept for the test to answer.
#pragma once

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../hosts/space.h"

namespace ivshmem::hosts {

constexpr dsm::PageId kPages = 40;
constexpr uint32_t kSlots = 4;

struct Sent {
  dsm::NodeId to;
  dsm::Message message;
};

class Around final : public Surroundings {
 public:
  void Send(dsm::NodeId to, Space& space, const dsm::Message& message, uint32_t frame) override {
    if (frame != kNoFrame) {
      // As a connection does: what it reads must be there, and it is held until then.
      space.Hold(frame);
      const auto bytes = space.frame(frame);
      sum += static_cast<uint64_t>(bytes.front()) + static_cast<uint64_t>(bytes.back());
      space.Unhold(frame);
    }
    Note(to, message);
  }
  void Send(dsm::NodeId to, Space&, const dsm::Message& message, std::vector<std::byte> body) override {
    merged += body.size();
    Note(to, message);
  }
  void Call(dsm::NodeId, const Frame&) override { calls++; }
  bool Departing(uint32_t slot) const override { return served != nullptr && served->Departing(slot); }
  void Ring(uint32_t) override {}
  void Tell(Event event) override { broken += event.kind == Event::Kind::kBroken; }
  void Reject(dsm::NodeId, uint32_t, const char*) override { rejected++; }

  void Note(dsm::NodeId to, const dsm::Message& message) {
    sent.push_back({to, message});
    if (sent.size() > 64) sent.erase(sent.begin());
  }

  std::vector<Sent> sent;
  const Space* served = nullptr;
  uint64_t sum = 0, broken = 0, rejected = 0, calls = 0, merged = 0;
};

struct Scene {
  explicit Scene(dsm::Consistency consistency, dsm::NodeId replicas = 1, uint64_t cache = kLeastCache) {
    place = {12, kPages, 2, 0, kSlots, consistency, replicas};
    bytes = place.bytes(cache);
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)));
    std::memset(memory.get(), 0, bytes);
    space = std::make_unique<Space>(7, place, memory.get(), bytes, dsm::View{1, 3}, true, 1'000'000, around);
    around.served = space.get();
  }

  dsm::shared::Control* control() { return reinterpret_cast<dsm::shared::Control*>(memory.get()); }
  dsm::shared::MemberPage* member(uint32_t slot) {
    return reinterpret_cast<dsm::shared::MemberPage*>(memory.get() + 4096 + slot * 4096);
  }
  void Mark(uint32_t slot) { std::atomic_ref(control()->summary[0]).fetch_or(1u << slot); }

  struct Free {
    void operator()(std::byte* at) const { std::free(at); }
  };
  Placement place;
  uint64_t bytes = 0;
  std::unique_ptr<std::byte, Free> memory;
  Around around;
  std::unique_ptr<Space> space;
  uint64_t now = 1;
};

}  // namespace ivshmem::hosts
