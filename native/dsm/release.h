// Release consistency between hosts: any number of them may write to copies of one page, and what each has
// written goes to the page's home when it is released, byte by byte. docs/decisions/release-consistency.md is
// the protocol; native/test/release_model.cc explores this very code.
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "messages.h"
#include "page_protocol.h"

namespace ivshmem::dsm {

class ReleaseNode final : public PageProtocol {
 public:
  // A node that forms the space has the pages whose home it is; one that joins later is the home of nothing.
  ReleaseNode(NodeId self, const Shape& shape, const View& view, bool forms);

  void Fault(PageId page, Right right, Outputs& out) override;
  Taken Receive(NodeId from, const Message& message, Outputs& out) override;
  void Restricted(PageId page, Outputs& out) override;
  bool Evict(PageId page, Outputs& out) override;
  void Sync(SyncTicket ticket, SyncKind kind, Outputs& out) override;
  bool Diffed(PageId page, bool changed, Outputs& out) override;
  void Changing(PageId page, Outputs& out) override;
  void Install(const View& view, Outputs& out) override;
  void Fence(Outputs& out) override;

  bool fenced() const override { return fenced_; }
  uint64_t epoch() const override { return view_.epoch; }
  // kWrite: its home is here, or something was written to the copy; kRead: a copy like the home's was.
  Right held(PageId page) const override;
  bool quiet() const override;
  uint64_t losses() const override { return losses_; }
  uint64_t dirty() const override { return dirty_.size(); }
  // The whole state: nodes with equal digests act alike.
  void Digest(std::vector<uint64_t>& words) const;

 private:
  // To be done when `mapped` allows it; a later one of these includes an earlier one.
  enum class Duty : uint8_t {
    kNone,
    kCool,    // nothing was written since the last difference: not to be compared each time
    kForget,  // what was written goes home, and the copy goes
    kDrop,    // its home is gone, and what was written with it
  };

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
    std::vector<SyncTicket> next;  // wait for a difference from now on
    std::vector<SyncTicket> now;   // wait for the answer to the one that is on its way
    std::vector<SyncTicket> gone;  // wait until the copy is gone
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
  void Wait(SyncTicket ticket, std::vector<SyncTicket>& waits);
  void End(std::vector<SyncTicket>& waits, bool lost, Outputs& out);

  void Send(NodeId to, Message message, Outputs& out);
  NodeId home(PageId page) const { return static_cast<NodeId>(page % shape_.homes); }
  // Its home is there, with all that was ever merged into it.
  bool lives(PageId page) const { return (masters_ & Bit(home(page))) != 0; }

  NodeId self_;
  Shape shape_;
  View view_;
  bool fenced_ = false;
  bool recovering_ = false;  // a view is installed, not everybody's kFlush has come
  NodeMask flushed_ = 0;
  NodeMask masters_ = 0;  // nodes of the view that have been here from the beginning
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
