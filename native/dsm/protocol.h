// One host's part in a space whose pages move between hosts, as a state machine without input or output of
// its own: what happens comes in as calls, what has to be done comes out as a list, to be done in order.
// docs/decisions/dsm-pages.md is the protocol; native/test/dsm_model.cc explores this very code.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "home.h"
#include "messages.h"

namespace ivshmem::dsm {

// What is the same for every node of a space.
struct Shape {
  PageId pages = 0;
  NodeId homes = 0;  // hosts that formed the space: nodes 0 to homes - 1
};

class Node {
 public:
  // kLater: of an epoch whose view is not installed here yet. Keep the message, read no more of that
  // connection, and give it again after the next Install.
  enum class Taken : uint8_t { kNow, kLater };

  // A node that forms the space holds the pages whose home it is; one that joins later holds nothing.
  Node(NodeId self, const Shape& shape, const View& view, bool forms);

  // A member here may not do what it tried. Ends in kMap or kFail for this page, now or later.
  void Fault(PageId page, Right right, Outputs& out);

  // One message from `from`, in the order the connection delivers them.
  Taken Receive(NodeId from, const Message& message, Outputs& out);

  // Every member has done the page's last kRestrict.
  void Restricted(PageId page, Outputs& out);

  // The frame is wanted for another page. False: it cannot go now (its home is here, or somebody is about
  // it).
  bool Evict(PageId page, Outputs& out);

  // Hosts came or went. Nothing from a node that is not in the view may be given to Receive any more.
  void Install(const View& view, Outputs& out);

  // The lease ran out: others may be told that this host is gone as soon as every kRestrict given here is
  // done.
  void Fence(Outputs& out);

  bool fenced() const { return fenced_; }
  uint64_t epoch() const { return view_.epoch; }
  Right held(PageId page) const;
  // Nothing is under way: no fault waits and no request is served.
  bool quiet() const;
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
};

}  // namespace ivshmem::dsm
