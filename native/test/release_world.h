// The world around the nodes of native/dsm/release.h, for the model check: connections, members' mappings,
// frames, copies and differences, the hosts' directory, and what programs may rely on. Of each page a node
// has bytes: one that only it stores to, and one that whoever has a lock stores to. Values only rise, so that
// an old one shows. With replicas all race for one more.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "../dsm/release.h"

namespace ivshmem::dsm::release_model {

constexpr size_t kNodes = 3;           // at most
constexpr size_t kPages = 2;           // at most
constexpr size_t kLocked = kNodes;     // the byte that is stored to under the lock, of page 0
constexpr size_t kRaced = kNodes + 1;  // the byte that each stores to with its own
constexpr size_t kBytes = kNodes + 2;  // and one of each node's own

// What is done wrong on purpose, to see that the check notices.
enum class Mutant : uint8_t {
  kNone,
  kNoTwin,        // all of a page is told as written
  kEarlyRelease,  // a flush ends before the homes have answered
  kEarlyAcquire,  // a refresh ends before the copies are gone
  kEarlyAck,      // a member acknowledges a kRestrict before it has done it
  kForgetMerge,   // what was not answered is not sent again in a new view
  kRepeat,        // a connection delivers a merge once more, later
  kLateTwin,      // the copy is made when members may write already
  kUnkept,        // a home answers a difference when it has it, and others who keep the page have not
  kEmptyPass,     // a keeper answers what it has not taken
  kStaleKeeper,   // who is to fetch a class says that it keeps it before it has anything
  kTwoHomes,      // others go on without a home that serves still
  kClobber,       // a copy goes over what was written here and is on its way
};

struct Scenario {
  const char* name;
  uint8_t nodes, pages;
  uint8_t faults, stores, flushes, refreshes, locks, evictions;  // how often at most
  uint8_t deaths, views, joins;
  Mutant mutant = Mutant::kNone;
  uint8_t replicas = 1;
};

enum class ActionType : uint8_t {
  kDeliver,
  kRepeat,
  kAck,
  kCompare,
  kFault,
  kStore,
  kFlush,
  kRefresh,
  kLock,
  kStoreLocked,
  kUnlock,
  kEvict,
  kDie,
  kNewView,
  kInstall,
  kJoin,
};

struct Action {
  ActionType type;
  uint8_t node;  // who acts; the receiver
  uint8_t from;  // the sender
  uint8_t page;
  uint8_t right;
};

using Values = std::array<uint8_t, kBytes>;

struct Packet {
  Message message;
  Values values{};
  uint8_t mask = 0;  // of a merge: which of them
};

// What a member waits for, and the name that it has in Sync().
enum Waits : uint8_t { kFlushing = 1, kRefreshing = 2, kLocking = 3, kUnlocking = 4 };

class State {
 public:
  explicit State(const Scenario& scenario);

  std::vector<Action> Actions(const Scenario& scenario) const;
  // False: the action was not possible after all (a message of a view to come), and nothing has changed.
  bool Apply(const Scenario& scenario, const Action& action, std::string& violation);
  void Digest(std::vector<uint64_t>& words) const;
  std::string CheckAtRest() const;

 private:
  struct Place {
    Values frame{}, twin{}, diff{};
    uint8_t mask = 0;
    bool twinned = false, ordered = false;
    Right mapped = Right::kNone;  // what members can really do
    Right waiting = Right::kNone;
    bool restricting = false;
    Right limit = Right::kNone;
    Values floor{};  // what a load here may not be older than
  };
  struct Program {
    bool flushing = false, refreshing = false;
    uint8_t under_way = 0;  // of Waits, as the node has them
    // What it has stored when it began to flush; what was released when it began to refresh.
    std::array<Values, kPages> stored{}, released{}, locked_released{};
    enum { kOut, kLocks, kIn, kUnlocks } lock = kOut;
  };

  bool Alive(size_t node) const { return (up_ & Bit(static_cast<NodeId>(node))) != 0; }
  bool Lost(size_t page) const;
  Place& place(size_t node, size_t page) { return places_[node][page]; }
  void Do(const Scenario& scenario, const Action& action, Outputs& out);
  void Perform(const Scenario& scenario, size_t node, const Outputs& outputs, const Packet& packet,
               std::string& violation);
  void Forge(const Scenario& scenario, size_t node, size_t page, std::string& violation);
  void Take(const Scenario& scenario, Place& place, const Packet& packet);
  void Synced(size_t node, SyncTicket ticket);
  void Acknowledge(size_t node, size_t page);
  void StoreOwn(size_t node, size_t page);
  void Join(size_t node);
  void Die(const Scenario& scenario, size_t node);
  std::string Check() const;
  bool Agree(size_t page) const;

  std::vector<ReleaseNode> nodes_;
  std::array<std::array<std::vector<Packet>, kNodes>, kNodes> wires_;  // [from][to]
  std::array<std::array<Place, kPages>, kNodes> places_{};
  std::array<std::deque<std::pair<uint8_t, bool>>, kNodes> compares_;
  std::array<Program, kNodes> programs_{};
  std::array<Values, kPages> own_{};       // the last value that each node has stored
  std::array<Values, kPages> released_{};  // and that it has released
  std::array<uint8_t, kNodes> anew_{};     // pages that a node has not stored to since it came back
  uint8_t raced_ = 0;
  uint8_t locked_ = 0;                     // the last that was stored under the lock
  bool doubtful_ = false;                  // or as it was before: its owner died while it released
  uint8_t before_ = 0;
  uint8_t owner_ = kNodes;                 // of the lock
  uint64_t owned_since_ = 0;               // an epoch in which it was free again
  uint64_t cut_ = 0;                       // connections were lost in this epoch: nothing passes in it
  View view_;
  NodeMask up_ = 0;
  uint8_t nodes_formed_, pages_, replicas_;
  uint8_t faults_, stores_, flushes_, refreshes_, locks_, evictions_, deaths_, views_, joins_, repeats_ = 1;
  bool recovering_call_ = false;  // what is sent now belongs to a new view
};

std::string Describe(const Action& action);

inline bool ByItself(const Action& action) {
  return action.type == ActionType::kDeliver || action.type == ActionType::kAck ||
         action.type == ActionType::kCompare || action.type == ActionType::kInstall;
}

}  // namespace ivshmem::dsm::release_model
