// Release consistency between hosts: any number of them may write to copies of one page, and what each has
// written goes to the page's home when it is released, byte by byte. docs/decisions/release-consistency.md is
// the protocol, and dsm-replicas.md of pages that several hosts keep; native/test/release_model.cc explores
// this very code.
//
// A node *keeps* a class of pages when it has all of them as their home has, but for what is not answered.
#pragma once

#include <array>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "messages.h"
#include "page_protocol.h"

namespace ivshmem::dsm {

class ReleaseNode final : public PageProtocol {
 public:
  // A node that forms the space keeps the classes that the shape says; one that joins later keeps nothing
  // yet. There is room for `room` pages besides those.
  ReleaseNode(NodeId self, const Shape& shape, const View& view, bool forms, uint64_t room = 0);

  void Fault(PageId page, Right right, Outputs& out) override;
  Taken Receive(NodeId from, const Message& message, Outputs& out) override;
  void Restricted(PageId page, Outputs& out) override;
  bool Evict(PageId page, Outputs& out) override;
  void Sync(SyncTicket ticket, SyncKind kind, Outputs& out) override;
  bool Diffed(PageId page, bool changed, Outputs& out) override;
  void Changing(PageId page, Outputs& out) override;
  void Roomed(PageId page, Outputs& out) override;
  void Install(const View& view, Outputs& out) override;
  void Fence(Outputs& out) override;

  bool fenced() const override { return fenced_; }
  uint64_t epoch() const override { return view_.epoch; }
  // kWrite: its home is here, or something was written to the copy; kRead: a copy like the home's was. With
  // replicas a home is a copy like others: it has to be known what is written to it.
  Right held(PageId page) const override;
  bool quiet() const override;
  uint64_t losses() const override { return losses_; }
  uint64_t dirty() const override { return dirty_.size(); }
  Copies copies() const override;
  // All of the page is here, with what was ever answered.
  bool Keeps(PageId page) const { return !fenced_ && (kept_ & Bit(shape_.ClassOf(page))) != 0; }
  // The whole state: nodes with equal digests act alike.
  void Digest(std::vector<uint64_t>& words) const;

 private:
  // To be done when `mapped` allows it; a later one of these includes an earlier one.
  enum class Duty : uint8_t {
    kNone,
    kCool,    // nothing was written since the last difference: not to be compared each time
    kForget,  // what was written goes home, and the copy goes unless it is kept
    kDrop,    // its home is gone, and what was written with it
  };

  enum class Adopting : uint8_t { kNone, kRoom, kAsked };

  struct Page {
    Right held = Right::kNone;
    Right mapped = Right::kNone;  // the most that a member's mapping may still allow
    Right want = Right::kNone;    // faults wait for this
    Right limit = Right::kNone;   // of the kRestrict that is under way
    Duty duty = Duty::kNone;
    bool restricting = false;
    bool asked = false;         // kGet on its way, or its answer
    bool stale = false;         // and a refresh has begun since
    bool diffing = false;       // kDiff is under way
    bool twin_stays = false;    // after it
    uint64_t merging = 0;       // the number of the difference that the home has not answered
    Adopting adopting = Adopting::kNone;  // a copy to keep is on its way
    bool kept = false;          // it is here, though not yet all of its class
    NodeMask copies = 0;        // at the home: who has asked for such a copy in this view
    std::vector<SyncTicket> next;  // wait for a difference from now on
    std::vector<SyncTicket> now;   // wait for the answer to the one that is on its way
    std::vector<SyncTicket> gone;  // wait until the copy is gone
  };

  // Of a class that this node is to keep.
  struct Adoption {
    PageId next = 0;  // to be asked for
    uint32_t under_way = 0;
  };

  struct Syncing {
    uint64_t left = 0;
    bool lost = false;
  };

  bool Accept(NodeId from, const Message& message, Outputs& out);
  bool Served(NodeId from, const Message& message, Outputs& out);
  bool Arrived(NodeId from, const Message& message, Outputs& out);
  bool Merged(NodeId from, const Message& message, Outputs& out);
  bool Flushed(NodeId from, const Message& message, Outputs& out);

  void Serve(PageId id, Page& page, Outputs& out);
  void Settle(PageId id, Page& page, Outputs& out);
  void Compare(PageId id, Page& page, bool twin_stays, Outputs& out);
  void Forget(PageId id, Page& page, Outputs& out);
  void Lose(PageId id, Page& page, Outputs& out);
  void Recover(Outputs& out);

  // release_copies.cc
  NodeMask Keepers(PageId id) const;
  void SendMerge(PageId id, const Page& page, Outputs& out);
  void Pass(PageId id, NodeId from, uint64_t version, OutputType how, Outputs& out);
  void Passed(PageId id, NodeId from, uint64_t version, Outputs& out);
  bool Asked(NodeId from, const Message& message, Outputs& out);
  bool Replicated(NodeId from, const Message& message, Outputs& out);
  bool Answered(NodeId from, const Message& message, Outputs& out);
  void StopAdopting();
  void Elect(std::vector<NodeId>& deposed);
  void BeginAdopting(const std::vector<NodeId>& deposed, Outputs& out);
  void Adopt(NodeId cls, Outputs& out);
  bool HasRoom(NodeId cls) const;
  void Wait(SyncTicket ticket, std::vector<SyncTicket>& waits);
  void End(std::vector<SyncTicket>& waits, bool lost, Outputs& out);

  void Send(NodeId to, Message message, Outputs& out);
  NodeId home(PageId page) const { return homes_[shape_.ClassOf(page)]; }
  // Its home is there, with all that was ever merged into it.
  bool lives(PageId page) const { return home(page) != kNobody; }
  bool Kept(PageId id, const Page& page) const { return page.kept || Keeps(id); }
  bool replicates() const { return shape_.replicas > 1; }

  static constexpr NodeId kNobody = kMaxNodes;

  NodeId self_;
  Shape shape_;
  View view_;
  bool fenced_ = false;
  bool recovering_ = false;  // a view is installed, not everybody's kFlush has come
  NodeMask flushed_ = 0;
  uint64_t room_;
  // By class. While the view is recovering: the home that was, and who has said to keep it until now.
  std::array<NodeId, kMaxNodes> homes_;
  std::array<NodeId, kMaxNodes> claimed_;  // who has said in this view to be the home
  std::array<NodeMask, kMaxNodes> keepers_{};
  uint64_t kept_ = 0;  // classes, a bit each
  std::map<NodeId, Adoption> adoptions_;
  // At the home: differences that keepers have not answered, by page, writer and number. Number 0: all of the
  // page, for who has asked for it, or of this node for all who keep it.
  std::map<std::tuple<PageId, NodeId, uint64_t>, NodeMask> passes_;
  std::set<PageId> doubtful_;  // of an earlier view: keepers may or may not have what was merged
  uint64_t number_ = 0;   // of the last difference
  uint64_t losses_ = 0;
  std::unordered_map<PageId, Page> pages_;
  // Of pages of other homes, in order: what is done to neighbours is one order for a member.
  std::set<PageId> copies_;   // a copy is here, or asked for
  std::set<PageId> dirty_;    // it has been written
  std::set<PageId> merging_;  // a difference is on its way
  std::map<SyncTicket, Syncing> syncs_;
  std::vector<SyncTicket> recovery_;  // wait for the view as well
};

}  // namespace ivshmem::dsm
