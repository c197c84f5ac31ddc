// Release consistency when hosts come and go, or this one has to stop; and its state as words.
#include <algorithm>
#include <utility>

#include "release.h"

namespace ivshmem::dsm {

void ReleaseNode::Install(const View& view, Outputs& out) {
  if (fenced_ || view.epoch <= view_.epoch) return;
  view_ = view;
  if ((view.alive & Bit(self_)) == 0) return Fence(out);
  recovering_ = true;
  flushed_ = Bit(self_);
  // Of the others each says for itself.
  masters_ &= Bit(self_);
  Message flush;
  flush.version = masters_ != 0 ? 1 : 0;
  for (NodeId node = 0; node < kMaxNodes; node++) {
    if (node != self_ && (view.alive & Bit(node)) != 0) Send(node, flush, out);
  }
  if (flushed_ == view.alive) Recover(out);
}

bool ReleaseNode::Flushed(NodeId from, const Message& message, Outputs& out) {
  if ((flushed_ & Bit(from)) != 0 || message.version > (from < shape_.homes ? 1 : 0)) return false;
  // Else it is new, or the same number in a new life: what was merged into its pages is gone.
  if (message.version == 1) masters_ |= Bit(from);
  flushed_ |= Bit(from);
  if (flushed_ == view_.alive) Recover(out);
  return true;
}

// No answer of an earlier epoch comes any more.
void ReleaseNode::Recover(Outputs& out) {
  recovering_ = false;
  std::vector<PageId> ids;
  for (const auto& item : pages_) ids.push_back(item.first);
  std::sort(ids.begin(), ids.end());
  for (const PageId id : ids) {
    Page& page = pages_.at(id);
    if (std::exchange(page.asked, false)) {
      copies_.erase(id);
      page.stale = false;
      End(page.gone, false, out);
    }
    if (home(id) != self_ && !lives(id)) {
      Lose(id, page, out);
    } else if (page.merging != 0) {
      Message merge = About(MessageType::kMerge, id);
      merge.version = page.merging;
      Send(home(id), merge, out);
    }
    Settle(id, page, out);
  }
  End(recovery_, false, out);
}

void ReleaseNode::Lose(PageId id, Page& page, Outputs& out) {
  if (page.held == Right::kWrite || page.merging != 0) losses_++;
  if (std::exchange(page.merging, 0) != 0) out.push_back(About(OutputType::kForgetDiff, id));
  merging_.erase(id);
  dirty_.erase(id);
  page.diffing = false;
  End(page.next, true, out);
  End(page.now, true, out);
  if (page.held == Right::kNone) return;
  page.held = Right::kRead;
  page.duty = Duty::kDrop;
}

void ReleaseNode::Fence(Outputs& out) {
  if (fenced_) return;
  fenced_ = true;
  for (auto& [ticket, syncing] : syncs_) out.push_back(Ends(OutputType::kSynced, ticket, Failure::kFenced));
  syncs_.clear();
  recovery_.clear();
  copies_.clear();
  dirty_.clear();
  merging_.clear();
  for (auto& [id, page] : pages_) {
    if (page.want != Right::kNone) out.push_back(Ends(OutputType::kFail, id, Failure::kFenced));
    page.want = page.held = Right::kNone;
    page.duty = Duty::kNone;
    page.asked = page.stale = page.diffing = false;
    page.merging = 0;
    for (std::vector<SyncTicket>* waits : {&page.next, &page.now, &page.gone}) waits->clear();
    // Also when one to a higher limit is under way: the last one counts.
    if (page.mapped == Right::kNone || (page.restricting && page.limit == Right::kNone)) continue;
    page.restricting = true;
    page.limit = Right::kNone;
    out.push_back(About(OutputType::kRestrict, id, Right::kNone));
  }
}

void ReleaseNode::Digest(std::vector<uint64_t>& words) const {
  words.insert(words.end(), {view_.epoch, view_.alive, flushed_, fenced_, recovering_, masters_});
  std::vector<PageId> ids;
  for (const auto& item : pages_) ids.push_back(item.first);
  std::sort(ids.begin(), ids.end());
  for (const PageId id : ids) {
    const Page& page = pages_.at(id);
    uint64_t word = 0;
    const auto add = [&word](auto value) { word = word << 6 | static_cast<uint64_t>(value); };
    add(page.held);
    add(page.mapped);
    add(page.want);
    add(page.restricting ? 4 + static_cast<int>(page.limit) : 0);
    add(page.duty);
    add(page.asked ? 2 + page.stale : 0);
    add(page.diffing ? 2 + page.twin_stays : 0);
    words.insert(words.end(), {id, word, page.merging});
    for (const auto* waits : {&page.next, &page.now, &page.gone}) {
      words.push_back(waits->size());
      words.insert(words.end(), waits->begin(), waits->end());
    }
  }
  words.push_back(recovery_.size());
  words.insert(words.end(), recovery_.begin(), recovery_.end());
  for (const auto& [ticket, syncing] : syncs_) {
    words.insert(words.end(), {ticket, syncing.left << 1 | (syncing.lost ? 1u : 0u)});
  }
}

}  // namespace ivshmem::dsm
