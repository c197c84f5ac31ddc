// What a space needs of the engine around it, so that it can be tried without sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../dsm/messages.h"

namespace ivshmem::hosts {

class Space;
struct Frame;

struct Event {
  enum class Kind : uint8_t {
    kUp,
    kDown,
    kRefused,
    kTold,
    kReject,
    kBroken,
    kSilent,
    kFenced,
    kLapsed,
    kLost
  };

  Kind kind = Kind::kUp;
  uint32_t who = 0;  // node or slot
  uint32_t space = 0;
  uint64_t page = 0;
  std::string text;
};

class Surroundings {
 public:
  // `frame` is the memory that follows the message, or kNoFrame. It is held until it has been copied.
  virtual void Send(dsm::NodeId to, Space& space, const dsm::Message& message, uint32_t frame) = 0;
  // A message with bytes of its own.
  virtual void Send(dsm::NodeId to, Space& space, const dsm::Message& message,
                    std::vector<std::byte> body) = 0;
  // What members say to those of another host: kWake, kAsk, kGone. Lost when it is not connected.
  virtual void Call(dsm::NodeId to, const Frame& frame) = 0;
  virtual void Ring(uint32_t slot) = 0;
  virtual void Tell(Event event) = 0;
  // The node said what does not fit.
  virtual void Reject(dsm::NodeId node, uint32_t space, const char* why) = 0;
  // A member that was in this slot has gone, and what it has stored is on its way to other nodes.
  virtual bool Departing(uint32_t slot) const = 0;
  // By when every member is to have let go of its mappings, unless that is put off; by the clock of `now`.
  virtual uint64_t MembersUntil() const { return UINT64_MAX; }

 protected:
  ~Surroundings() = default;
};

}  // namespace ivshmem::hosts
