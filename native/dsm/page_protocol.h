// One host's part in a space whose pages move between hosts, as a state machine without input or output of
// its own: what happens comes in as calls, what has to be done comes out as a list, to be done in order.
// There is one for each kind of consistency (protocol.h, release.h).
#pragma once

#include <cstdint>

#include "messages.h"

namespace ivshmem::dsm {

// What is the same for every node of a space.
struct Shape {
  PageId pages = 0;
  NodeId homes = 0;  // hosts that formed the space: nodes 0 to homes - 1
  NodeId replicas = 1;  // hosts that are to have each page, its home included; more than 1: release.h

  // Pages with the same remainder by `homes` are a class, which has the same homes and keepers.
  NodeId ClassOf(PageId page) const { return static_cast<NodeId>(page % homes); }
  uint64_t PagesOf(NodeId cls) const { return cls < pages ? (pages - cls - 1) / homes + 1 : 0; }
  // Whether `node` has the class from the beginning: its home, and those who follow.
  bool Forms(NodeId node, NodeId cls) const {
    return node < homes && cls < homes && (node + homes - cls) % homes < replicas;
  }
};

// How the pages are kept, as far as it is known here.
struct Copies {
  uint32_t fewest = 1;   // hosts that have a page, of that which the fewest have
  uint64_t missing = 0;  // pages whose home is here and that fewer hosts have than there are to be
  uint64_t kept = 0;     // pages that are here for good, those whose home is here included
};

// Names what a member waits for; the caller's, who does not use one twice at a time.
using SyncTicket = uint64_t;

class PageProtocol {
 public:
  // kLater: of an epoch whose view is not installed here yet. Keep the message, read no more of that
  // connection, and give it again after the next Install.
  enum class Taken : uint8_t { kNow, kLater };

  virtual ~PageProtocol() = default;

  // A member here may not do what it tried. Ends in kMap or kFail for this page, now or later.
  virtual void Fault(PageId page, Right right, Outputs& out) = 0;
  // One message from `from`, in the order the connection delivers them.
  virtual Taken Receive(NodeId from, const Message& message, Outputs& out) = 0;
  // Every member has done the page's last kRestrict.
  virtual void Restricted(PageId page, Outputs& out) = 0;
  // The frame is wanted for another page. False: it cannot go now (its home is here, or somebody is about
  // it).
  virtual bool Evict(PageId page, Outputs& out) = 0;
  // Ends in kSynced.
  virtual void Sync(SyncTicket ticket, SyncKind kind, Outputs& out) = 0;
  // A kDiff was done; whether there was a difference, which is kept then until kForgetDiff. False: it is not
  // wanted any more.
  virtual bool Diffed(PageId page, bool changed, Outputs& out) = 0;
  // A kDiff could not be done, because members change the page too fast: they are to be held back.
  virtual void Changing(PageId page, Outputs& out) = 0;
  // A page that kRoom was said of has a frame.
  virtual void Roomed(PageId, Outputs&) {}
  // Hosts came or went. Nothing from a node that is not in the view may be given to Receive any more.
  virtual void Install(const View& view, Outputs& out) = 0;
  // The lease ran out: others may be told that this host is gone as soon as every kRestrict given here is
  // done.
  virtual void Fence(Outputs& out) = 0;

  virtual bool fenced() const = 0;
  virtual uint64_t epoch() const = 0;
  virtual Right held(PageId page) const = 0;
  // Nothing is under way: no fault waits and no request is served.
  virtual bool quiet() const = 0;
  // Pages that were written here and whose home was gone before it had what was written.
  virtual uint64_t losses() const { return 0; }
  virtual Copies copies() const { return {}; }
  // Pages that have something the home may not have; with replicas, that one of those who keep them may not.
  virtual uint64_t dirty() const { return 0; }

 protected:
  PageProtocol() = default;
  PageProtocol(const PageProtocol&) = default;
  PageProtocol& operator=(const PageProtocol&) = default;
};

}  // namespace ivshmem::dsm
