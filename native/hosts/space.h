// One host's part in one spread space: the protocol's state machine, its frames in shared memory, and the
// members that map them. One thread calls it. It does no input or output but to that memory; what goes to
// other nodes is given to its Surroundings.
//
// After calls that may have made something to do, Settle() does it and publishes the orders.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../dsm/page_protocol.h"
#include "frames.h"
#include "member_rings.h"
#include "placement.h"
#include "surroundings.h"
#include "wire.h"

namespace ivshmem::hosts {

struct SpaceCounters {
  uint64_t faults_local = 0, faults_remote = 0, failed = 0, evictions = 0, pages_in = 0, pages_out = 0;
  uint64_t flushes = 0, refreshes = 0, merges_in = 0, merges_out = 0;
};

class Space {
 public:
  static constexpr uint32_t kHeatCells = 1024;
  // Bytes of differences that other nodes have not answered; further ones are computed later.
  static constexpr uint64_t kMostUnanswered = 8 << 20;

  // `memory` is the allocation, `bytes` long and zero.
  Space(uint32_t id, const Placement& place, std::byte* memory, uint64_t bytes, const dsm::View& view,
        bool forms, uint64_t patience_ns, Surroundings& around);

  uint32_t id() const { return id_; }
  uint64_t page_bytes() const { return place_.page_bytes(); }
  dsm::PageId pages() const { return place_.pages; }

  // --- members ---
  // Looks at whoever marked itself; false: nobody had.
  bool Serve(uint64_t now);
  bool Marked() const;
  // The node's thread goes to sleep, or is awake.
  void Arm(bool armed);
  // `slot` has a member that may open the space; without one it counts as having done all its orders.
  void Member(uint32_t slot, bool there, uint64_t now);
  // What one in this slot has left behind is on its way to others.
  bool Departing(uint32_t slot) const;

  // --- other nodes --- kLater: keep it, and give it again after the next Install, or a kFlush. `body` is the
  // page of a kData, or the difference of a kMerge or a kReplicate.
  dsm::PageProtocol::Taken Receive(dsm::NodeId from, const dsm::Message& message,
                                   std::span<const std::byte> body, uint64_t now);
  // A frame of kWake, kAsk or kGone; false: it cannot be.
  bool Called(dsm::NodeId from, const Frame& frame);
  // The connection to it was lost, and messages with it: nothing more from or to it in this epoch.
  void Cut(dsm::NodeId node);
  void Install(const dsm::View& view, uint64_t now);
  // `removed`: because the hosts have removed the space; members hear that.
  void Fence(uint64_t now, bool removed = false);

  // --- time ---
  void Settle(uint64_t now);
  // When Due() wants to be called, or UINT64_MAX.
  uint64_t due() const {
    // At once; 0 would be no time for a timer.
    if (compares()) return 1;
    return delayed_.empty() ? UINT64_MAX : delayed_.begin()->first;
  }
  void Due(uint64_t now);
  // Now and then: tells of members that do not do their orders.
  void Check(uint64_t now);

  // --- frames, for who sends their bytes ---
  std::span<const std::byte> frame(uint32_t number) const;
  void Hold(uint32_t number) { cache_.Hold(number); }
  void Unhold(uint32_t number) { cache_.Unhold(number); }

  // --- to be looked at ---
  const dsm::PageProtocol& node() const { return *node_; }
  dsm::Consistency consistency() const { return place_.consistency; }
  dsm::NodeId replicas() const { return place_.replicas; }
  dsm::NodeMask alive() const { return alive_; }
  const SpaceCounters& counters() const { return counters_; }
  const Frames& cache() const { return cache_; }
  const std::vector<uint32_t>& heat() const { return heat_; }
  std::vector<uint32_t> members() const;
  // Pages that this node has to write, and copies to read.
  std::pair<uint64_t, uint64_t> Holdings() const;
  bool quiet() const {
    return node_->quiet() && frameless_.empty() && delayed_.empty() && rooms_.empty();
  }

 private:
  struct Use {
    uint32_t slot;
    dsm::Right right;
  };

  struct Page {
    uint32_t frame = kNoFrame;  // of the cache
    bool wanted = false;        // the node knows of a fault, and has not answered it
    bool queued = false;        // in frameless_
    bool delayed = false;       // in delayed_
    dsm::Right limit = dsm::Right::kNone;
    uint32_t restricts = 0;  // orders that are not done
    uint32_t maps = 0;
    uint64_t until = 0;  // not taken away before
    std::vector<Use> mapped;
    std::vector<Use> waiting;
    std::vector<std::byte> twin;  // the frame as it was before it was written to
    std::vector<std::byte> diff;  // what was sent of it, until it is answered
    bool ordered = false;         // what is applied from now on comes after that
  };

  struct Port {
    uint32_t refused = 0;  // the `opened` whose rings broke the rules
    bool there = false;
    bool silent = false;  // told of
    bool fresh = false;   // has orders to publish
    uint32_t lent = 0;    // the last `leaseAsked` that was answered
    uint32_t asking = 0;  // flushes and refreshes without an answer
    uint64_t losses = 0;  // of the node's, those that it was told of
    std::unique_ptr<MemberRings> rings;
  };

  dsm::shared::Control* control() const { return reinterpret_cast<dsm::shared::Control*>(memory_); }
  dsm::shared::MemberPage* member_page(uint32_t slot) const;
  uint32_t FrameOf(dsm::PageId page) const;
  void Look(uint32_t slot, uint64_t now);
  bool Listens(const Port& port) const;
  void Opened(uint32_t slot, uint32_t opened);
  void Lend(uint32_t slot, uint64_t now);
  void Break(uint32_t slot);
  void Drop(uint32_t slot);
  void Faulted(uint32_t slot, const dsm::shared::FaultEntry& fault);
  void Call(uint32_t slot, const dsm::shared::FaultEntry& call);
  bool Here(uint64_t party) const;
  void Sync(uint32_t slot, const dsm::shared::FaultEntry& call);
  void Answer(uint32_t slot, dsm::shared::OrderOp op, uint64_t party);
  void Done(const dsm::shared::OrderEntry& order, uint64_t now);
  void Request(dsm::PageId id, Page& page);

  // `tell` has the node say what is to be done.
  template <class Tell>
  void Do(std::span<const std::byte> body, const Tell& tell) {
    dsm::Outputs out = std::exchange(spare_, {});
    tell(out);
    Perform(out, body);
    out.clear();
    spare_ = std::move(out);
  }
  void Perform(dsm::Outputs& out, std::span<const std::byte> body);
  void Map(dsm::PageId id, dsm::Right right);
  void Restrict(dsm::PageId id, dsm::Right limit);
  void IssueRestrict(dsm::PageId id, Page& page);
  void Fail(dsm::PageId id, dsm::Failure failure);
  void SendOut(const dsm::Output& output, std::span<const std::byte> body);
  void ReleaseFrame(dsm::PageId id, Page& page);
  std::span<std::byte> bytes(uint32_t number) const;

  // space_release.cc
  void Synced(dsm::SyncTicket ticket, dsm::Failure failure);
  void Depart(uint32_t slot);
  void Twin(dsm::PageId id);
  void Apply(dsm::PageId id, std::span<const std::byte> diff);
  void ForgetDiff(dsm::PageId id);
  std::vector<std::byte> Whole(dsm::PageId id) const;
  void MakeRooms();
  bool compares() const { return !compares_.empty() && unanswered_ < kMostUnanswered; }
  void CompareSome();
  bool TakeSnapshot(std::span<const std::byte> page);
  void Compare(dsm::PageId id, Page& page, bool twin_stays);

  void Give(uint32_t slot, const dsm::shared::OrderEntry& order);
  void MakeRoom();
  void Heat(dsm::PageId id);
  void Hurry();
  void HoldUntil(dsm::PageId id, Page& page, uint64_t until);

  uint32_t id_;
  Placement place_;
  std::byte* memory_;
  uint64_t bytes_;
  uint64_t patience_;
  Surroundings& around_;
  std::unique_ptr<dsm::PageProtocol> node_;
  dsm::Outputs spare_;  // memory for the next
  Frames cache_;
  std::unordered_map<dsm::PageId, Page> pages_;
  std::array<Port, dsm::shared::kMaxSlots> ports_;
  std::vector<uint32_t> fresh_;                   // slots with orders to publish
  std::deque<dsm::PageId> frameless_;             // faults that wait for a frame
  std::deque<dsm::PageId> rooms_;                 // pages that are to be kept and wait for a frame
  std::deque<dsm::PageId> restricted_;            // Node::Restricted() is to be called
  std::multimap<uint64_t, dsm::PageId> delayed_;  // restricts that wait for `until`
  // What is to be compared, and whether its twin stays.
  std::deque<std::pair<dsm::PageId, bool>> compares_;
  uint64_t unanswered_ = 0;  // bytes of differences
  std::vector<std::byte> snapshot_;
  struct Asker {
    uint32_t slot;
    uint32_t opened;
    uint64_t ticket;  // its own
  };
  std::map<dsm::SyncTicket, Asker> askers_;
  std::map<dsm::SyncTicket, uint32_t> departing_;  // slots of members that have gone
  dsm::SyncTicket last_sync_ = 0;
  std::array<uint64_t, dsm::kMaxNodes> cut_{};    // the last epoch in which nothing passes
  SpaceCounters counters_;
  std::vector<uint32_t> heat_;
  dsm::NodeMask alive_;
  uint64_t now_ = 0;
  uint64_t open_restricts_ = 0;
  bool fence_told_ = false;
  bool removed_ = false;
};

}  // namespace ivshmem::hosts
