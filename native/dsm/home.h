// The home's side of the page protocol: a directory entry for each page whose home this node is. Pure: what
// comes in are messages, what comes out are messages.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "messages.h"

namespace ivshmem::dsm {

class Home {
 public:
  using Sends = std::vector<std::pair<NodeId, Message>>;

  explicit Home(NodeId self) : self_(self) {}

  // A new space: its pages lie here, all zeros.
  void Own(PageId page);
  // A new view: nothing is known until every node of it has reported.
  void Reset(NodeMask alive);

  // False: `from` broke the protocol, and nothing has changed.
  bool Receive(NodeId from, const Message& message, Sends& sends);

  bool rebuilt() const { return ended_ == alive_; }
  // A page is on its way here because another node cannot keep it.
  bool Evicting(PageId page) const;
  bool idle() const;
  void Digest(std::vector<uint64_t>& words) const;

 private:
  enum class Want : uint8_t { kRead, kWrite, kEvict };

  struct Request {
    NodeId from;
    Want want;
  };

  // One request is served at a time; `active` until its kDone, the others wait in order.
  struct Entry {
    NodeMask holders = 0;
    bool exclusive = false;
    bool active = false;
    bool granted = false;   // the last step is on its way: only kDone is missing
    bool evicting = false;  // the page comes here because `evictor` cannot keep it
    NodeId requester = 0;
    NodeId evictor = 0;
    Right right = Right::kNone;
    NodeMask awaited = 0;  // who has to say kInvalidated
    uint64_t version = 0;
    std::vector<Request> waiting;  // never more than one a node
  };

  bool Enqueue(NodeId from, const Message& message, Want want, Sends& sends);
  bool Invalidated(NodeId from, PageId page, Sends& sends);
  bool Done(NodeId from, const Message& message, Sends& sends);
  bool Report(NodeId from, const Message& message);
  bool ReportEnd(NodeId from, Sends& sends);

  void ServeNext(PageId page, Entry& entry, Sends& sends);
  void ServeRead(PageId page, Entry& entry, Sends& sends);
  void ServeWrite(PageId page, Entry& entry, Sends& sends);
  void ServeEvict(PageId page, Entry& entry, NodeId from, Sends& sends);
  void GiveWrite(PageId page, Entry& entry, Sends& sends);
  void Finish(PageId page, Entry& entry, Sends& sends);
  NodeId Source(const Entry& entry) const;

  NodeId self_;
  NodeMask alive_ = 0;
  NodeMask ended_ = 0;
  std::unordered_map<PageId, Entry> entries_;
};

}  // namespace ivshmem::dsm
