#include "protocol.h"

#include <algorithm>

namespace ivshmem::dsm {

namespace {

Output Fails(PageId page, Failure failure) { return Ends(OutputType::kFail, page, failure); }

bool ForHome(MessageType type) {
  return type == MessageType::kGet || type == MessageType::kEvict || type == MessageType::kInvalidated ||
         type == MessageType::kDone || type == MessageType::kReport || type == MessageType::kReportEnd;
}

bool AboutPage(MessageType type) { return type != MessageType::kFlush && type != MessageType::kReportEnd; }

}  // namespace

Node::Node(NodeId self, const Shape& shape, const View& view, bool forms)
    : self_(self), shape_(shape), view_(view), flushed_(view.alive), home_(self) {
  for (PageId id = self; forms && self < shape.homes && id < shape.pages; id += shape.homes) {
    pages_[id].held = Right::kWrite;
    home_.Own(id);
  }
}

void Node::Fault(PageId id, Right right, Outputs& out) {
  if (fenced_ || id >= shape_.pages || right == Right::kNone) {
    out.push_back(Fails(id, fenced_ ? Failure::kFenced : Failure::kPageRange));
    return;
  }
  Page& page = pages_[id];
  page.want = std::max(page.want, right);
  Serve(id, page, out);
  Drain(out);
}

// Faults are answered from what is held, or else the home is asked: once, and for more when that has come.
void Node::Serve(PageId id, Page& page, Outputs& out) {
  if (page.want == Right::kNone || page.restricting || page.evicting) return;
  if (page.held >= page.want) {
    page.want = Right::kNone;
    page.mapped = std::max(page.mapped, page.held);
    out.push_back(About(OutputType::kMap, id, page.held));
    return;
  }
  if (page.asked != Right::kNone || recovering_) return;
  page.asked = page.want;
  Send(home(id), About(MessageType::kGet, id, page.want), out);
}

bool Node::Evict(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (fenced_ || recovering_ || found == pages_.end() || home(id) == self_) return false;
  Page& page = found->second;
  const bool busy = page.restricting || page.evicting || page.duty != Duty::kNone ||
                    page.want != Right::kNone || page.asked != Right::kNone;
  if (page.held == Right::kNone || busy) return false;
  page.duty = Duty::kEvict;
  Settle(id, page, out);
  Drain(out);
  return true;
}

void Node::Sync(SyncTicket ticket, SyncKind, Outputs& out) {
  out.push_back(Ends(OutputType::kSynced, ticket, fenced_ ? Failure::kFenced : Failure::kNone));
}

void Node::Restricted(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (found == pages_.end() || !found->second.restricting) return;
  Page& page = found->second;
  page.restricting = false;
  page.mapped = std::min(page.mapped, page.limit);
  if (fenced_) return;
  Settle(id, page, out);
  Drain(out);
}

// What a duty sends away must not change any more, and what it gives up must not be read any more: so first
// the members' mappings, and the rest when they have acknowledged.
void Node::Settle(PageId id, Page& page, Outputs& out) {
  if (page.restricting) return;
  if (page.duty != Duty::kNone) {
    const bool shared = page.duty == Duty::kForward && page.give == Right::kRead;
    const Right limit = shared ? Right::kRead : Right::kNone;
    if (page.mapped > limit) {
      page.restricting = true;
      page.limit = limit;
      out.push_back(About(OutputType::kRestrict, id, limit));
      return;
    }
    Discharge(id, page, out);
  }
  Serve(id, page, out);
}

void Node::Discharge(PageId id, Page& page, Outputs& out) {
  const Duty duty = std::exchange(page.duty, Duty::kNone);
  if (duty == Duty::kEvict) {
    page.evicting = true;
    Send(home(id), About(MessageType::kEvict, id), out);
  } else if (duty == Duty::kInvalidate) {
    Forget(id, page, out);
    Send(home(id), About(MessageType::kInvalidated, id), out);
  } else {
    Message data = About(MessageType::kData, id, page.give);
    data.version = page.give_version;
    Send(page.taker, data, out);
    if (page.give == Right::kWrite) {
      Forget(id, page, out);
    } else {
      page.held = Right::kRead;
    }
  }
}

void Node::Forget(PageId id, Page& page, Outputs& out) {
  page.held = Right::kNone;
  out.push_back(About(OutputType::kFree, id));
}

Node::Taken Node::Receive(NodeId from, const Message& message, Outputs& out) {
  if (fenced_) return Taken::kNow;
  if (message.epoch > view_.epoch) return Taken::kLater;
  if (from >= kMaxNodes || (view_.alive & Bit(from)) == 0) return Taken::kNow;
  Handle(from, message, out);
  Drain(out);
  return Taken::kNow;
}

void Node::Handle(NodeId from, const Message& message, Outputs& out) {
  if (Accept(from, message, out)) return;
  Output reject = About(OutputType::kReject, message.page);
  reject.to = from;
  reject.message = message;
  out.push_back(reject);
}

// Of an earlier epoch only the page itself and the right to it still count: they are with nobody else. All
// other messages are questions, which are asked again, or answers to questions of a view that is gone.
bool Node::Accept(NodeId from, const Message& message, Outputs& out) {
  if (message.type > MessageType::kReportEnd) return false;
  if (AboutPage(message.type) && message.page >= shape_.pages) return false;
  const bool arrives = message.type == MessageType::kData || message.type == MessageType::kGrant;
  if (message.epoch < view_.epoch) {
    if ((flushed_ & Bit(from)) != 0) return false;
    return !arrives || Arrived(message, out);
  }
  if (arrives) return Arrived(message, out);
  if (message.type == MessageType::kFlush) return Flushed(from, message, out);
  if (message.type == MessageType::kFail) return FromHome(from, message) && Failed(message, out);
  if (ForHome(message.type)) {
    if (!ToHome(message)) return false;
    sends_.clear();
    const bool taken = home_.Receive(from, message, sends_);
    for (const auto& [to, answer] : sends_) Send(to, answer, out);
    return taken;
  }
  return FromHome(from, message) && Asked(from, message, out);
}

bool Node::FromHome(NodeId from, const Message& message) const { return from == home(message.page); }

bool Node::ToHome(const Message& message) const {
  return message.type == MessageType::kReportEnd || home(message.page) == self_;
}

// kData or kGrant: the right is this node's from now on.
bool Node::Arrived(const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  if (found == pages_.end() || message.right == Right::kNone) return false;
  Page& page = found->second;
  const bool data = message.type == MessageType::kData;
  // Not asked for; or a grant over nothing; or bytes over a copy that is here and may be mapped.
  const bool pulled = data && page.pulling;
  if ((page.asked == Right::kNone && !pulled) || data != (page.held == Right::kNone)) return false;
  if (data) out.push_back(About(OutputType::kInstall, message.page));
  page.held = std::max(page.held, message.right);
  page.version = message.version;
  if (pulled) {
    page.pulling = false;
  } else {
    page.asked = Right::kNone;
  }
  if (message.epoch == view_.epoch) {
    Send(home(message.page), About(MessageType::kDone, message.page), out);
  }
  Serve(message.page, page, out);
  return true;
}

bool Node::Failed(const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  if (found == pages_.end() || found->second.asked == Right::kNone) return false;
  found->second.asked = found->second.want = Right::kNone;
  out.push_back(Fails(message.page, message.failure));
  return true;
}

// The home wants something of a page that this node holds.
bool Node::Asked(NodeId, const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  if (found == pages_.end()) return false;
  Page& page = found->second;
  if (message.type == MessageType::kEvicted) {
    if (!page.evicting || page.held != Right::kNone) return false;
    page.evicting = false;
    Serve(message.page, page, out);
    return true;
  }
  const bool other = page.duty != Duty::kNone && page.duty != Duty::kEvict;
  if (page.held == Right::kNone || other) return false;
  if (message.type == MessageType::kForward) {
    const bool known = message.requester < kMaxNodes && (view_.alive & Bit(message.requester)) != 0;
    if (!known || message.requester == self_ || message.right == Right::kNone) return false;
    page.duty = Duty::kForward;
    page.taker = message.requester;
    page.give = message.right;
    page.give_version = message.version;
  } else {
    page.duty = Duty::kInvalidate;
  }
  Settle(message.page, page, out);
  return true;
}

void Node::Install(const View& view, Outputs& out) {
  if (fenced_ || view.epoch <= view_.epoch) return;
  view_ = view;
  if ((view.alive & Bit(self_)) == 0) return Fence(out);
  recovering_ = true;
  flushed_ = Bit(self_);
  home_.Reset(view.alive);
  own_.clear();
  for (auto& [id, page] : pages_) {
    // Not discharged, hence still held: better than gone.
    page.duty = Duty::kNone;
    page.evicting = false;
  }
  for (NodeId node = 0; node < kMaxNodes; node++) {
    if (node != self_ && (view.alive & Bit(node)) != 0) Send(node, Message{}, out);
  }
  if (flushed_ == view.alive) Recover(out);
  Drain(out);
}

bool Node::Flushed(NodeId from, const Message&, Outputs& out) {
  if ((flushed_ & Bit(from)) != 0) return false;
  flushed_ |= Bit(from);
  if (flushed_ == view_.alive) Recover(out);
  return true;
}

// No page is on its way to this node any more: what it holds is what it tells the homes.
void Node::Recover(Outputs& out) {
  recovering_ = false;
  for (auto& [id, page] : pages_) {
    page.asked = Right::kNone;
    page.pulling = false;
    if (page.held == Right::kNone) continue;
    Message report = About(MessageType::kReport, id, page.held);
    report.version = page.version;
    Send(home(id), report, out);
  }
  for (NodeId node = 0; node < kMaxNodes; node++) {
    if ((view_.alive & Bit(node)) != 0) Send(node, About(MessageType::kReportEnd, 0), out);
  }
  for (auto& [id, page] : pages_) Serve(id, page, out);
}

void Node::Fence(Outputs& out) {
  if (fenced_) return;
  fenced_ = true;
  home_.Reset(0);
  own_.clear();
  for (auto& [id, page] : pages_) {
    if (page.want != Right::kNone) out.push_back(Fails(id, Failure::kFenced));
    page.want = page.asked = page.held = Right::kNone;
    page.duty = Duty::kNone;
    page.evicting = page.pulling = false;
    // Also when one to a higher limit is under way: the last one counts.
    if (page.mapped == Right::kNone || (page.restricting && page.limit == Right::kNone)) continue;
    page.restricting = true;
    page.limit = Right::kNone;
    out.push_back(About(OutputType::kRestrict, id, Right::kNone));
  }
}

void Node::Send(NodeId to, Message message, Outputs& out) {
  message.epoch = view_.epoch;
  if (to == self_) {
    own_.push_back(message);
    return;
  }
  // An evicted page comes to its home, which is here, without a fault that asked for it.
  const bool fetch = message.type == MessageType::kForward && message.requester == self_;
  if (fetch && home_.Evicting(message.page)) pages_[message.page].pulling = true;
  Output output;
  output.to = to;
  output.page = message.page;
  output.message = message;
  out.push_back(output);
}

void Node::Drain(Outputs& out) {
  for (size_t next = 0; next < own_.size(); next++) {
    const Message message = own_[next];
    Handle(self_, message, out);
  }
  own_.clear();
}

Right Node::held(PageId id) const {
  const auto found = pages_.find(id);
  return found == pages_.end() ? Right::kNone : found->second.held;
}

bool Node::quiet() const {
  const auto still = [](const auto& item) {
    const Page& page = item.second;
    return page.want == Right::kNone && page.asked == Right::kNone && page.duty == Duty::kNone &&
           !page.restricting && !page.evicting && !page.pulling;
  };
  return !recovering_ && (fenced_ || home_.idle()) && std::all_of(pages_.begin(), pages_.end(), still);
}

void Node::Digest(std::vector<uint64_t>& words) const {
  words.insert(words.end(), {view_.epoch, view_.alive, flushed_, fenced_, recovering_});
  std::vector<PageId> ids;
  for (const auto& item : pages_) ids.push_back(item.first);
  std::sort(ids.begin(), ids.end());
  for (const PageId id : ids) {
    const Page& page = pages_.at(id);
    uint64_t word = 0;
    const auto add = [&word](auto value) { word = word << 8 | static_cast<uint64_t>(value); };
    add(page.held);
    add(page.mapped);
    add(page.want);
    add(page.asked);
    add(page.restricting ? 4 + static_cast<int>(page.limit) : 0);
    add(page.duty);
    add(page.duty == Duty::kForward ? 4 * page.taker + static_cast<int>(page.give) : 0);
    add(page.evicting ? 2 + page.pulling : page.pulling);
    words.insert(words.end(), {id, word});
  }
  home_.Digest(words);
}

}  // namespace ivshmem::dsm
