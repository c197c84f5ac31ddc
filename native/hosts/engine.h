// The node of one host: a thread that serves the members of every spread space here, and talks to the other
// nodes. Other threads give it commands, which are carried out before the call returns.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../spin_budget.h"
#include "peers.h"
#include "space.h"

namespace ivshmem::hosts {

// Of the engine's descriptors, which it owns and closes.
struct EngineOptions {
  std::byte* memory = nullptr;  // the region, mapped as long as the engine lives
  uint64_t bytes = 0;
  int bell = -1;  // eventfd that members ring
  uint32_t slots = 0;
  Hello self;
  uint64_t patience_ns = 0;
  std::function<void(Event)> tell;  // from the engine's thread
  // From there too: whether texts of other nodes wait that nobody has taken. Hear() when they are.
  std::function<bool()> full;
};

struct SpaceOptions {
  uint32_t id = 0;
  uint64_t at = 0, bytes = 0;
  Placement place;
  dsm::View view;
  bool forms = false;
};

struct SpaceReport {
  dsm::Consistency consistency = dsm::Consistency::kSequential;
  dsm::NodeId replicas = 1;
  dsm::Copies copies;
  uint64_t epoch = 0, owned = 0, shared = 0, dirty = 0;
  bool fenced = false, quiet = false;
  uint32_t cache_frames = 0, cache_free = 0;
  std::vector<uint32_t> members;
  SpaceCounters counters;
  std::vector<uint32_t> heat;
};

struct PeerReport {
  bool up = false;
  uint64_t bytes_in = 0, bytes_out = 0, waiting = 0;
};

class Engine final : Surroundings, PeerSink {
 public:
  explicit Engine(EngineOptions options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // errno, or 0.
  int Start(SslContext context);

  // Each from another thread than the engine's; nothing is returned before it is so.
  void Identify(SslContext context);
  int Listen(const std::string& address, uint16_t& port);
  void Expect(dsm::NodeId node, const std::string& name);
  int Connect(dsm::NodeId node, const std::string& address, uint16_t port);
  void Disconnect(dsm::NodeId node);
  bool Say(dsm::NodeId node, const std::string& text);
  void Member(uint32_t slot, int eventfd);
  // False: there is one with this id.
  bool AddSpace(const SpaceOptions& space);
  void RemoveSpace(uint32_t id);
  // False: there is no such space.
  bool Install(uint32_t id, const dsm::View& view);
  bool Fence(uint32_t id, bool removed);
  // This host may serve until `fence`, and its members may have mappings until `members`, by the monotonic
  // clock. What was fenced because that was not said in time stays so.
  void Lease(uint64_t fence, uint64_t members);
  // There is room for texts again. Does not wait.
  void Hear();
  bool Report(uint32_t id, SpaceReport& report);
  bool Report(dsm::NodeId node, PeerReport& report);

 private:
  void Send(dsm::NodeId to, Space& space, const dsm::Message& message, uint32_t frame) override;
  void Send(dsm::NodeId to, Space& space, const dsm::Message& message, std::vector<std::byte> body) override;
  void Call(dsm::NodeId to, const Frame& frame) override;
  void Ring(uint32_t slot) override;
  void Tell(Event event) override { options_.tell(std::move(event)); }
  bool Departing(uint32_t slot) const override;
  uint64_t MembersUntil() const override { return members_until_; }
  void Reject(dsm::NodeId node, uint32_t space, const char* why) override;
  void Up(dsm::NodeId node) override;
  void Down(dsm::NodeId node, const std::string& why) override;
  void Refused(const std::string& why) override;
  bool Take(dsm::NodeId node, const Frame& frame, std::span<const std::byte> body) override;

  void Run();
  void Command(const std::function<void()>& command);
  void Obey();
  // True: something was done, or is still to be done.
  bool Turn();
  bool Spin();
  bool Looks();
  bool YieldFindsWork(uint64_t start);
  void Sleep();
  bool Poll(int timeout_ms);
  void SetTimer();
  // Fences what is served beyond the lease.
  void Lapse();
  void CutAbsent(Space& space, dsm::NodeMask alive);
  // What may wait for one node.
  void Count();
  void Bound(dsm::NodeId node, uint32_t space, const Connection& connection);
  Space* find(uint32_t id);

  EngineOptions options_;
  int epoll_ = -1, wake_ = -1, timer_ = -1;
  std::unique_ptr<Peers> peers_;
  std::map<uint32_t, std::unique_ptr<Space>> spaces_;
  std::vector<int> bells_;  // of members, by slot
  SpinBudget spin_;
  uint64_t now_ = 0;
  uint64_t next_check_ = 0;
  // A space may take by now what it did not take then.
  bool retry_ = false;
  uint64_t timer_at_ = UINT64_MAX;
  // Without a directory there is no end.
  uint64_t fence_at_ = UINT64_MAX;
  uint64_t members_until_ = UINT64_MAX;
  size_t most_frames_ = 0;
  uint64_t most_kept_ = 0;

  std::mutex mutex_;
  std::condition_variable obeyed_;
  std::vector<const std::function<void()>*> commands_;
  std::atomic<bool> commanded_{false};
  std::atomic<bool> hears_{false};
  uint64_t obeyed_count_ = 0, commanded_count_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ivshmem::hosts
