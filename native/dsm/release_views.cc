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
  for (const auto& [pass, awaited] : passes_) doubtful_.insert(std::get<0>(pass));
  passes_.clear();
  StopAdopting();
  Message flush;
  // Of the others each says for itself.
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    const bool keeps = (kept_ & Bit(cls)) != 0;
    const bool claims = keeps && homes_[cls] == self_;
    claimed_[cls] = claims ? self_ : kNobody;
    keepers_[cls] = keeps ? Bit(self_) : 0;
    if (claims) flush.version |= Bit(cls);
    if (keeps) flush.page |= Bit(cls);
  }
  for (NodeId node = 0; node < kMaxNodes; node++) {
    if (node != self_ && (view.alive & Bit(node)) != 0) Send(node, flush, out);
  }
  if (flushed_ == view.alive) Recover(out);
}

bool ReleaseNode::Flushed(NodeId from, const Message& message, Outputs& out) {
  // Who is new, or the same number in a new life, keeps nothing: what was merged into its pages is gone.
  const uint64_t homes = message.version;
  const uint64_t keeps = message.page;
  const uint64_t known = shape_.homes == kMaxNodes ? ~uint64_t{0} : Bit(shape_.homes) - 1;
  if ((flushed_ & Bit(from)) != 0 || (homes & ~keeps) != 0 || (keeps & ~known) != 0) return false;
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    // Two homes: one of them is not what it says. Without replicas nobody else can be one.
    if ((homes & Bit(cls)) != 0 && claimed_[cls] != kNobody) return false;
    if ((keeps & Bit(cls)) != 0 && cls != from && !replicates()) return false;
  }
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    if ((homes & Bit(cls)) != 0) claimed_[cls] = from;
    if ((keeps & Bit(cls)) != 0) keepers_[cls] |= Bit(from);
  }
  flushed_ |= Bit(from);
  if (flushed_ == view_.alive) Recover(out);
  return true;
}

// No answer of an earlier epoch comes any more.
void ReleaseNode::Recover(Outputs& out) {
  recovering_ = false;
  std::vector<NodeId> deposed;
  Elect(deposed);
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
    if (!lives(id)) {
      Lose(id, page, out);
    } else if (page.merging != 0) {
      SendMerge(id, page, out);
    }
    Settle(id, page, out);
  }
  // What a host that is gone has merged, and not all have: all of the page, so that all have the same.
  for (const PageId id : std::exchange(doubtful_, {})) {
    if (home(id) == self_) Pass(id, self_, 0, OutputType::kCopy, out);
  }
  BeginAdopting(deposed, out);
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
  passes_.clear();
  doubtful_.clear();
  adoptions_.clear();
  for (auto& [id, page] : pages_) {
    if (page.want != Right::kNone) out.push_back(Ends(OutputType::kFail, id, Failure::kFenced));
    page.want = page.held = Right::kNone;
    page.duty = Duty::kNone;
    page.asked = page.stale = page.diffing = page.kept = false;
    page.adopting = Adopting::kNone;
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
  words.insert(words.end(), {view_.epoch, view_.alive, flushed_, fenced_, recovering_, kept_});
  for (NodeId cls = 0; cls < shape_.homes; cls++) {
    words.insert(words.end(), {homes_[cls], claimed_[cls], keepers_[cls]});
  }
  for (const auto& [pass, awaited] : passes_) {
    const auto& [id, from, version] = pass;
    words.insert(words.end(), {id, from, version, awaited});
  }
  words.push_back(adoptions_.size());
  for (const auto& [cls, adoption] : adoptions_) {
    words.insert(words.end(), {cls, adoption.next, adoption.under_way});
  }
  words.insert(words.end(), doubtful_.begin(), doubtful_.end());
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
    add(page.adopting);
    add(page.kept);
    words.insert(words.end(), {id, word, page.merging, page.copies});
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
