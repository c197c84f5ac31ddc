// Pages that several hosts keep: a home answers a difference when all who keep the page have it, and who is
// to keep a class fetches its pages one after the other. docs/decisions/dsm-replicas.md is why.
#include <algorithm>
#include <bit>
#include <utility>

#include "release.h"

namespace ivshmem::dsm {

namespace {

// Of each class: what is fetched is not to hold up what members wait for.
constexpr uint32_t kCopiesAtOnce = 4;

}  // namespace

// Whoever keeps its class, and whoever has a copy of it that is to be kept.
NodeMask ReleaseNode::Keepers(PageId id) const {
  const auto found = pages_.find(id);
  return keepers_[shape_.ClassOf(id)] | (found == pages_.end() ? 0 : found->second.copies);
}

void ReleaseNode::SendMerge(PageId id, const Page& page, Outputs& out) {
  if (home(id) == self_) {
    out.push_back(About(OutputType::kOrdered, id));
    return Pass(id, self_, page.merging, OutputType::kSend, out);
  }
  Message merge = About(MessageType::kMerge, id);
  merge.version = page.merging;
  Send(home(id), merge, out);
}

// Who wrote it has it; when it keeps the page it is told where in the order of all it belongs.
void ReleaseNode::Pass(PageId id, NodeId from, uint64_t version, OutputType how, Outputs& out) {
  const NodeMask keepers = Keepers(id) & ~Bit(self_);
  const NodeMask awaited = from == self_ ? keepers : keepers & ~Bit(from);
  if (awaited != keepers) {
    Message ordered = About(MessageType::kOrdered, id);
    ordered.version = version;
    Send(from, ordered, out);
  }
  if (awaited == 0) return Passed(id, from, version, out);
  passes_[{id, from, version}] = awaited;
  Message message = About(MessageType::kReplicate, id);
  message.requester = from;
  message.version = version;
  for (NodeMask left = awaited; left != 0; left &= left - 1) {
    Send(static_cast<NodeId>(std::countr_zero(left)), message, out);
    out.back().type = how;
  }
}

// All who keep the page have it.
void ReleaseNode::Passed(PageId id, NodeId from, uint64_t version, Outputs& out) {
  if (version == 0) return;
  Message merged = About(MessageType::kMerged, id);
  merged.version = version;
  if (from != self_) return Send(from, merged, out);
  Merged(self_, merged, out);
}

bool ReleaseNode::Answered(NodeId from, const Message& message, Outputs& out) {
  const auto found = passes_.find({message.page, message.requester, message.version});
  if (found == passes_.end() || (found->second & Bit(from)) == 0) return false;
  found->second &= ~Bit(from);
  if (found->second != 0) return true;
  passes_.erase(found);
  Passed(message.page, message.requester, message.version, out);
  return true;
}

// From now on it has whatever is merged into the page, and that is not answered before it has. It asks once
// in a view.
bool ReleaseNode::Asked(NodeId from, const Message& message, Outputs& out) {
  Page& page = pages_[message.page];
  if ((page.copies & Bit(from)) != 0) return false;
  page.copies |= Bit(from);
  passes_[{message.page, from, 0}] = Bit(from);
  Message copy = About(MessageType::kReplicate, message.page);
  copy.requester = from;
  Send(from, copy, out);
  out.back().type = OutputType::kCopy;
  return true;
}

bool ReleaseNode::Replicated(NodeId from, const Message& message, Outputs& out) {
  const auto found = pages_.find(message.page);
  const bool asked = found != pages_.end() && found->second.adopting == Adopting::kAsked;
  const bool copy = asked && message.version == 0 && message.requester == self_;
  if (!copy && !Keeps(message.page) && (found == pages_.end() || !found->second.kept)) return false;
  out.push_back(About(OutputType::kApply, message.page));
  Message answer = About(MessageType::kReplicated, message.page);
  answer.requester = message.requester;
  answer.version = message.version;
  Send(from, answer, out);
  if (!copy) return true;
  Page& page = found->second;
  page.adopting = Adopting::kNone;
  page.kept = true;
  page.held = std::max(page.held, Right::kRead);
  // Else the answer, or the duty, comes to that.
  if (!page.asked && page.duty == Duty::kNone) {
    copies_.erase(message.page);
    End(page.gone, false, out);
  }
  Serve(message.page, page, out);
  const NodeId cls = shape_.ClassOf(message.page);
  adoptions_.at(cls).under_way--;
  Adopt(cls, out);
  return true;
}

void ReleaseNode::Roomed(PageId id, Outputs& out) {
  const auto found = pages_.find(id);
  if (found == pages_.end() || found->second.adopting != Adopting::kRoom) return;
  found->second.adopting = Adopting::kAsked;
  Send(home(id), About(MessageType::kAdopt, id), out);
}

// What was fetched until now is a copy like any other: from now on it is nobody's to keep it up to date.
void ReleaseNode::StopAdopting() {
  adoptions_.clear();
  for (auto& [id, page] : pages_) {
    page.adopting = Adopting::kNone;
    page.copies = 0;
    if (!std::exchange(page.kept, false) || Keeps(id)) continue;
    if (page.held != Right::kNone) copies_.insert(id);
  }
}

// The home stays as long as it lives: it alone knows what is not answered. After it the first that keeps the
// class, beginning with the one that the class is named after.
void ReleaseNode::Elect(std::vector<NodeId>& deposed) {
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    const NodeId before = std::exchange(homes_[cls], claimed_[cls]);
    if (homes_[cls] == kNobody && keepers_[cls] != 0) {
      homes_[cls] = HomeOf(cls, shape_.homes, keepers_[cls]);
    }
    if (homes_[cls] != before) deposed.push_back(cls);
  }
}

// Where too few keep a class, the first others that are alive do, if they have room. Who keeps one whose home
// is another now fetches it again: of two that got what the dead home had not answered one may be the only.
void ReleaseNode::BeginAdopting(const std::vector<NodeId>& deposed, Outputs& out) {
  if (!replicates()) return;
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    if (homes_[cls] == kNobody || homes_[cls] == self_ || shape_.PagesOf(cls) == 0) continue;
    bool wanted = false;
    if ((keepers_[cls] & Bit(self_)) != 0) {
      wanted = std::find(deposed.begin(), deposed.end(), cls) != deposed.end();
    } else if (HasRoom(cls)) {
      NodeMask others = view_.alive & ~keepers_[cls];
      for (int lack = shape_.replicas - std::popcount(keepers_[cls]); lack > 0 && others != 0; lack--) {
        const NodeId next = HomeOf(cls, shape_.homes, others);
        others &= ~Bit(next);
        wanted |= next == self_;
      }
    }
    if (wanted) adoptions_[cls] = {cls, 0};
  }
  std::vector<NodeId> classes;
  for (const auto& item : adoptions_) classes.push_back(item.first);
  for (const NodeId cls : classes) Adopt(cls, out);
}

bool ReleaseNode::HasRoom(NodeId cls) const {
  if (shape_.Forms(self_, cls)) return true;
  uint64_t taken = 0;
  for (NodeId other = 0; other < shape_.homes; other++) {
    const bool here = (kept_ & Bit(other)) != 0 || adoptions_.contains(other);
    if (here && !shape_.Forms(self_, other)) taken += shape_.PagesOf(other);
  }
  return taken <= room_ && shape_.PagesOf(cls) <= room_ - taken;
}

void ReleaseNode::Adopt(NodeId cls, Outputs& out) {
  Adoption& adoption = adoptions_.at(cls);
  while (adoption.under_way < kCopiesAtOnce && adoption.next < shape_.pages) {
    const PageId id = adoption.next;
    adoption.next += shape_.homes;
    adoption.under_way++;
    pages_[id].adopting = Adopting::kRoom;
    out.push_back(About(OutputType::kRoom, id));
  }
  if (adoption.under_way > 0) return;
  adoptions_.erase(cls);
  kept_ |= Bit(cls);
  keepers_[cls] |= Bit(self_);
  for (NodeMask left = view_.alive & ~Bit(self_); left != 0; left &= left - 1) {
    Send(static_cast<NodeId>(std::countr_zero(left)), About(MessageType::kKept, cls), out);
  }
}

Copies ReleaseNode::copies() const {
  Copies copies{shape_.replicas, 0, 0};
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    const uint64_t pages = shape_.PagesOf(cls);
    if (pages == 0) continue;
    const bool here = !fenced_ && homes_[cls] == self_;
    const auto there = static_cast<uint32_t>(homes_[cls] == kNobody ? 0 : std::popcount(keepers_[cls]));
    copies.fewest = std::min(copies.fewest, there);
    if (here && there < shape_.replicas) copies.missing += pages;
    if (!fenced_ && (kept_ & Bit(cls)) != 0) copies.kept += pages;
  }
  return copies;
}

}  // namespace ivshmem::dsm
