// The world around the nodes of native/dsm/protocol.h, for the model check: connections, members' mappings,
// the hosts' directory, and what the bytes of every frame are worth. One State is one moment of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../dsm/protocol.h"

namespace ivshmem::dsm::model {

constexpr int kNodes = 3;  // at most
constexpr int kPages = 2;  // at most

// What the world does wrong on purpose, to see that the check notices.
enum class Mutant : uint8_t {
  kNone,
  kReorder,    // a connection delivers out of order
  kLose,       // a live connection loses a message
  kDuplicate,  // a connection delivers a message twice
  kEarlyAck,   // a member acknowledges a kRestrict before it has done it
  kNoLease,    // a node is declared gone while it still runs
};

struct Scenario {
  const char* name;
  int nodes, pages;
  int faults, evictions;          // how often at most; -1: without end
  int deaths, partitions, joins;  // how often at most
  Mutant mutant = Mutant::kNone;
};

enum class ActionType : uint8_t {
  kDeliver,
  kLose,
  kDuplicate,
  kAck,
  kFault,
  kEvict,
  kDie,
  kPartition,
  kExclude,
  kInstall,
  kJoin
};

struct Action {
  ActionType type;
  uint8_t node;  // who acts; the receiver
  uint8_t from;  // the sender, or the position in a connection times 16 + sender
  uint8_t page;
  uint8_t right;
};

// `current`: these bytes are what was written last. All that a check of coherence needs to know about them.
struct Packet {
  Message message;
  bool current = false;
};

class State {
 public:
  explicit State(const Scenario& scenario);

  std::vector<Action> Actions(const Scenario& scenario) const;
  // False: the action was not possible after all (a message of a view to come), and nothing has changed.
  // Otherwise `violation` says what went wrong, or is empty.
  bool Apply(const Scenario& scenario, const Action& action, std::string& violation);
  // Nothing is left to happen by itself.
  bool AtRest(const Scenario& scenario) const;
  void Digest(std::vector<uint64_t>& words) const;
  std::string Check() const;
  std::string CheckAtRest() const;

 private:
  struct Place {
    bool current = false;
    Right mapped = Right::kNone;  // what members can really do
    Right waiting = Right::kNone;
    bool restricting = false;
    Right limit = Right::kNone;
  };

  bool Alive(int node) const { return (up_ & Bit(static_cast<NodeId>(node))) != 0; }
  // Others may rely on it: it runs and has its lease.
  bool Counts(int node) const { return Alive(node) && !nodes_[static_cast<size_t>(node)].fenced(); }
  bool Member(size_t node) const {
    return Counts(static_cast<int>(node)) && (view_.alive & Bit(static_cast<NodeId>(node))) != 0;
  }
  void Write(int node, PageId page);
  void Acknowledge(int node, PageId page);
  void Perform(int node, const Outputs& outputs, bool current, bool early, std::string& violation);
  bool CopyExists(PageId page) const;

  std::vector<Node> nodes_;
  std::array<std::array<std::vector<Packet>, kNodes>, kNodes> wires_;  // [from][to]
  std::array<std::array<Place, kPages>, kNodes> places_;
  View view_;             // as the directory of hosts has it
  NodeMask up_ = 0;       // processes that run
  NodeMask leaving_ = 0;  // on the small side of a partition, not yet out of the view
  int pages_;
  int faults_, evictions_, deaths_, partitions_, joins_, faulty_ = 1;
};

std::string Describe(const Action& action);

inline bool ByItself(const Action& action) {
  return action.type == ActionType::kDeliver || action.type == ActionType::kAck ||
         action.type == ActionType::kExclude || action.type == ActionType::kInstall;
}

}  // namespace ivshmem::dsm::model
