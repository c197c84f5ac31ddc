// Sequential consistency between hosts: of a page there is one writer or any number of readers, by host.
// docs/decisions/dsm-pages.md is the protocol; native/test/dsm_model.cc explores this very code.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "home.h"
#include "messages.h"
#include "page_protocol.h"

namespace ivshmem::dsm {

class Node final : public PageProtocol {
 public:
  // A node that forms the space holds the pages whose home it is; one that joins later holds nothing.
  Node(NodeId self, const Shape& shape, const View& view, bool forms);

  void Fault(PageId page, Right right, Outputs& out) override;
  Taken Receive(NodeId from, const Message& message, Outputs& out) override;
  void Restricted(PageId page, Outputs& out) override;
  bool Evict(PageId page, Outputs& out) override;
  // Nothing is kept back, so that there is nothing to do.
  void Sync(SyncTicket ticket, SyncKind kind, Outputs& out) override;
  bool Diffed(PageId, bool, Outputs&) override { return false; }
  void Changing(PageId, Outputs&) override {}
  void Install(const View& view, Outputs& out) override;
  void Fence(Outputs& out) override;

  bool fenced() const override { return fenced_; }
  uint64_t epoch() const override { return view_.epoch; }
  Right held(PageId page) const override;
  bool quiet() const override;
  // The whole state but the versions: nodes with equal digests act alike.
  void Digest(std::vector<uint64_t>& words) const;

 private:
  enum class Duty : uint8_t { kNone, kForward, kInvalidate, kEvict };

  struct Page {
    Right held = Right::kNone;
    Right mapped = Right::kNone;  // the most that a member's mapping may still allow
    Right want = Right::kNone;    // faults wait for this
    Right asked = Right::kNone;   // kGet on its way, or its answer
    Right limit = Right::kNone;   // of the kRestrict that is under way
    Right give = Right::kNone;    // what `duty` hands over
    Duty duty = Duty::kNone;      // to be done when `mapped` allows it
    bool restricting = false;
    bool evicting = false;  // kEvict sent, no answer yet
    bool pulling = false;   // this node is the home and fetches what another evicts
    NodeId taker = 0;       // to whom `duty` sends the page
    uint64_t version = 0;
    uint64_t give_version = 0;
  };

  void Handle(NodeId from, const Message& message, Outputs& out);
  bool Accept(NodeId from, const Message& message, Outputs& out);
  bool Arrived(const Message& message, Outputs& out);
  bool Failed(const Message& message, Outputs& out);
  bool Asked(NodeId from, const Message& message, Outputs& out);
  bool Flushed(NodeId from, const Message& message, Outputs& out);
  bool FromHome(NodeId from, const Message& message) const;
  bool ToHome(const Message& message) const;

  void Serve(PageId id, Page& page, Outputs& out);
  void Settle(PageId id, Page& page, Outputs& out);
  void Discharge(PageId id, Page& page, Outputs& out);
  void Forget(PageId id, Page& page, Outputs& out);
  void Recover(Outputs& out);

  void Send(NodeId to, Message message, Outputs& out);
  void Drain(Outputs& out);
  NodeId home(PageId page) const { return HomeOf(page, shape_.homes, view_.alive); }

  NodeId self_;
  Shape shape_;
  View view_;
  bool fenced_ = false;
  bool recovering_ = false;  // a view is installed, not everybody's kFlush has come
  NodeMask flushed_ = 0;
  Home home_;
  std::unordered_map<PageId, Page> pages_;
  std::vector<Message> own_;  // to this node itself: given before the call that sent them returns
  Home::Sends sends_;         // what the home says to one message
};

}  // namespace ivshmem::dsm
