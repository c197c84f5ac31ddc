#include "release.h"

#include <algorithm>
#include <utility>

namespace ivshmem::dsm {

ReleaseNode::ReleaseNode(NodeId self, const Shape& shape, const View& view, bool forms, uint64_t room)
    : self_(self), shape_(shape), view_(view), flushed_(view.alive), room_(room) {
  homes_.fill(kNobody);
  claimed_.fill(kNobody);
  for (NodeId cls = 0; forms && cls < shape.homes; cls++) {
    if ((view.alive & Bit(cls)) != 0) homes_[cls] = cls;
    if (shape.Forms(self, cls)) kept_ |= Bit(cls);
    for (NodeId node = 0; node < shape.homes; node++) {
      if (shape.Forms(node, cls)) keepers_[cls] |= Bit(node) & view.alive;
    }
  }
}

void ReleaseNode::Fault(PageId id, Right right, Outputs& out) {
  if (fenced_ || id >= shape_.pages || right == Right::kNone) {
    out.push_back(Ends(OutputType::kFail, id, fenced_ ? Failure::kFenced : Failure::kPageRange));
    return;
  }
  Page& page = pages_[id];
  page.want = std::max(page.want, right);
  Serve(id, page, out);
}

void ReleaseNode::Serve(PageId id, Page& page, Outputs& out) {
  if (page.want == Right::kNone || page.restricting || page.duty != Duty::kNone) return;
  // Nobody but members here has to be told what they write to it.
  const bool untold = home(id) == self_ && !replicates();
  if (page.held == Right::kNone) {
    if (Kept(id, page)) {
      page.held = untold ? Right::kWrite : Right::kRead;
    } else {
      // Until everybody has spoken, nobody knows which homes are left.
      if (recovering_ || page.asked) return;
      if (!lives(id)) {
        page.want = Right::kNone;
        out.push_back(Ends(OutputType::kFail, id, Failure::kLost));
        return;
      }
      page.asked = true;
      copies_.insert(id);
      Send(home(id), About(MessageType::kGet, id, Right::kRead), out);
      return;
    }
  }
  if (!untold && page.want == Right::kWrite && page.held == Right::kRead) {
    page.held = Right::kWrite;
    dirty_.insert(id);
    out.push_back(About(OutputType::kTwin, id));
  }
  page.want = Right::kNone;
  page.mapped = std::max(page.mapped, page.held);
  out.push_back(About(OutputType::kMap, id, page.held));
}

bool ReleaseNode::Evict(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (fenced_ || recovering_ || found == pages_.end() || Kept(id, found->second)) return false;
  Page& page = found->second;
  if (page.adopting != Adopting::kNone) return false;
  const bool busy = page.restricting || page.duty != Duty::kNone || page.want != Right::kNone || page.asked;
  if (page.held == Right::kNone || busy) return false;
  page.duty = Duty::kForget;
  Settle(id, page, out);
  return true;
}

void ReleaseNode::Restricted(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (found == pages_.end() || !found->second.restricting) return;
  Page& page = found->second;
  page.restricting = false;
  page.mapped = std::min(page.mapped, page.limit);
  if (!fenced_) Settle(id, page, out);
}

// A copy goes when nobody can load from it any more, and its last difference is taken when nobody can store.
void ReleaseNode::Settle(PageId id, Page& page, Outputs& out) {
  if (page.restricting || page.diffing) return;
  if (page.duty != Duty::kNone) {
    const Right limit = page.duty == Duty::kCool ? Right::kRead : Right::kNone;
    if (page.mapped > limit) {
      page.restricting = true;
      page.limit = limit;
      out.push_back(About(OutputType::kRestrict, id, limit));
      return;
    }
    if (page.held == Right::kWrite) return Compare(id, page, false, out);
    if (std::exchange(page.duty, Duty::kNone) != Duty::kCool) Forget(id, page, out);
  }
  if (page.held == Right::kWrite && !page.next.empty()) Compare(id, page, true, out);
  Serve(id, page, out);
}

// One difference of a page at a time is on its way.
void ReleaseNode::Compare(PageId id, Page& page, bool twin_stays, Outputs& out) {
  if (page.diffing || page.merging != 0) return;
  page.diffing = true;
  page.twin_stays = twin_stays;
  out.push_back(About(OutputType::kDiff, id, twin_stays ? Right::kWrite : Right::kRead));
}

bool ReleaseNode::Diffed(PageId id, bool changed, Outputs& out) {
  const auto found = pages_.find(id);
  if (fenced_ || found == pages_.end() || !found->second.diffing) return false;
  Page& page = found->second;
  page.diffing = false;
  page.now = std::exchange(page.next, {});
  if (!page.twin_stays) {
    page.held = Right::kRead;
    dirty_.erase(id);
  }
  if (changed) {
    page.merging = ++number_;
    merging_.insert(id);
    // In a new view everything that is not answered is sent again, when it is known to whom.
    if (!recovering_) SendMerge(id, page, out);
  } else {
    End(page.now, false, out);
    if (page.twin_stays && page.duty == Duty::kNone) page.duty = Duty::kCool;
  }
  Settle(id, page, out);
  return true;
}

void ReleaseNode::Changing(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (fenced_ || found == pages_.end() || !found->second.diffing) return;
  Page& page = found->second;
  page.diffing = false;
  page.duty = std::max(page.duty, Duty::kCool);
  Settle(id, page, out);
}

void ReleaseNode::Forget(PageId id, Page& page, Outputs& out) {
  copies_.erase(id);
  if (!Kept(id, page)) {
    page.held = Right::kNone;
    // The copy that is on its way needs the frame.
    if (page.adopting == Adopting::kNone) out.push_back(About(OutputType::kFree, id));
  }
  End(page.gone, false, out);
}

void ReleaseNode::Sync(SyncTicket ticket, SyncKind kind, Outputs& out) {
  if (fenced_) {
    out.push_back(Ends(OutputType::kSynced, ticket, Failure::kFenced));
    return;
  }
  // Counted as one more until all are known, for some may end at once.
  syncs_[ticket].left = 1;
  std::vector<SyncTicket> self{ticket};
  // Until all have the new view, a host that is not in it any more may still be heard by one of them: whoever
  // takes over its locks takes them over after that.
  if (recovering_) Wait(ticket, recovery_);
  for (const PageId id : merging_) Wait(ticket, pages_.at(id).now);
  for (const PageId id : dirty_) Wait(ticket, pages_.at(id).next);
  if (kind == SyncKind::kRefresh) {
    for (const PageId id : copies_) {
      Page& page = pages_.at(id);
      Wait(ticket, page.gone);
      page.stale |= page.asked;
      if (page.held != Right::kNone) page.duty = std::max(page.duty, Duty::kForget);
    }
  }
  // What is kept is not given up: whatever was answered has come to it before.
  std::set<PageId> concerned = dirty_;
  if (kind == SyncKind::kRefresh) concerned.insert(copies_.begin(), copies_.end());
  for (const PageId id : concerned) Settle(id, pages_.at(id), out);
  End(self, false, out);
}

void ReleaseNode::Wait(SyncTicket ticket, std::vector<SyncTicket>& waits) {
  waits.push_back(ticket);
  syncs_[ticket].left++;
}

void ReleaseNode::End(std::vector<SyncTicket>& waits, bool lost, Outputs& out) {
  for (const SyncTicket ticket : std::exchange(waits, {})) {
    const auto found = syncs_.find(ticket);
    found->second.lost |= lost;
    if (--found->second.left > 0) continue;
    out.push_back(
        Ends(OutputType::kSynced, ticket, found->second.lost ? Failure::kLost : Failure::kNone));
    syncs_.erase(found);
  }
}

PageProtocol::Taken ReleaseNode::Receive(NodeId from, const Message& message, Outputs& out) {
  if (fenced_) return Taken::kNow;
  if (message.epoch > view_.epoch) return Taken::kLater;
  if (from >= kMaxNodes || (view_.alive & Bit(from)) == 0) return Taken::kNow;
  // It knows all homes already, and who keeps their pages: here that comes with what others say.
  const bool early = recovering_ && replicates() && message.epoch == view_.epoch;
  if (early && message.type != MessageType::kFlush && (flushed_ & Bit(from)) != 0) return Taken::kLater;
  if (Accept(from, message, out)) return Taken::kNow;
  Output reject = About(OutputType::kReject, message.page);
  reject.to = from;
  reject.message = message;
  out.push_back(reject);
  return Taken::kNow;
}

// What is of an earlier epoch is asked again, or sent again, in this one.
bool ReleaseNode::Accept(NodeId from, const Message& message, Outputs& out) {
  if (message.epoch < view_.epoch) return (flushed_ & Bit(from)) == 0;
  if (message.type == MessageType::kFlush) return Flushed(from, message, out);
  if (message.page >= shape_.pages || from == self_) return false;
  if (recovering_ && replicates()) return false;
  const bool here = home(message.page) == self_;
  const bool answers = from == home(message.page) && !recovering_;
  switch (message.type) {
    case MessageType::kGet:
    case MessageType::kMerge:
      return here && Served(from, message, out);
    case MessageType::kData:
      return answers && Arrived(from, message, out);
    case MessageType::kMerged:
    case MessageType::kOrdered:
      return answers && Merged(from, message, out);
    case MessageType::kAdopt:
      return here && replicates() && Asked(from, message, out);
    case MessageType::kReplicate:
      return answers && replicates() && Replicated(from, message, out);
    case MessageType::kReplicated:
      return here && replicates() && Answered(from, message, out);
    case MessageType::kKept:
      if (message.page >= shape_.homes || !replicates()) return false;
      keepers_[message.page] |= Bit(from);
      return true;
    default:
      return false;
  }
}

// The home keeps no account of copies, so that nothing of another node's needs to be waited for.
bool ReleaseNode::Served(NodeId from, const Message& message, Outputs& out) {
  if (message.type == MessageType::kGet) {
    if (message.right != Right::kRead) return false;
    Send(from, About(MessageType::kData, message.page, Right::kRead), out);
    return true;
  }
  // One at a time of each writer.
  const auto pass = passes_.lower_bound({message.page, from, 1});
  const bool passing = pass != passes_.end() && std::get<0>(pass->first) == message.page &&
                       std::get<1>(pass->first) == from;
  if (message.version == 0 || passing) return false;
  out.push_back(About(OutputType::kApply, message.page));
  Pass(message.page, from, message.version, OutputType::kPass, out);
  return true;
}

bool ReleaseNode::Arrived(NodeId, const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  if (found == pages_.end() || !found->second.asked || message.right != Right::kRead) return false;
  Page& page = found->second;
  page.asked = false;
  if (Kept(message.page, page)) {
    // What the home's members have written there and not released is not to come here.
    page.stale = false;
    copies_.erase(message.page);
    End(page.gone, false, out);
    Settle(message.page, page, out);
    return true;
  }
  page.held = Right::kRead;
  out.push_back(About(OutputType::kInstall, message.page));
  Serve(message.page, page, out);
  // Whoever waited for it has begun to before the refresh, and may have it for a moment: were it only asked
  // for anew, somebody who refreshes all the time would keep the others from ever having it.
  if (std::exchange(page.stale, false)) page.duty = Duty::kForget;
  Settle(message.page, page, out);
  return true;
}

bool ReleaseNode::Merged(NodeId, const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  if (found == pages_.end() || message.version == 0) return false;
  Page& page = found->second;
  if (page.merging != message.version) return false;
  if (message.type == MessageType::kOrdered) {
    out.push_back(About(OutputType::kOrdered, message.page));
    return true;
  }
  page.merging = 0;
  merging_.erase(message.page);
  out.push_back(About(OutputType::kForgetDiff, message.page));
  End(page.now, false, out);
  Settle(message.page, page, out);
  return true;
}

void ReleaseNode::Send(NodeId to, Message message, Outputs& out) {
  message.epoch = view_.epoch;
  Output output = About(OutputType::kSend, message.page);
  output.to = to;
  output.message = message;
  out.push_back(output);
}

Right ReleaseNode::held(PageId id) const {
  if (fenced_) return Right::kNone;
  const Right least = !Keeps(id) ? Right::kNone : replicates() ? Right::kRead : Right::kWrite;
  const auto found = pages_.find(id);
  return found == pages_.end() ? least : std::max(least, found->second.held);
}

bool ReleaseNode::quiet() const {
  if (recovering_ || !syncs_.empty() || !merging_.empty() || !passes_.empty() || !adoptions_.empty())
    return false;
  return std::all_of(pages_.begin(), pages_.end(), [](const auto& item) {
    const Page& page = item.second;
    return page.want == Right::kNone && page.duty == Duty::kNone && !page.asked && !page.restricting &&
           !page.diffing;
  });
}

}  // namespace ivshmem::dsm
