// Release consistency in a space: copies of frames from before they were written to, what was written since,
// and who waits until others have it.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "diff.h"
#include "space.h"

namespace ivshmem::hosts {

using dsm::Failure;
using dsm::PageId;
using dsm::Right;

namespace {

// Compared at a time: faults and leases are not to wait for all that a member has written.
constexpr uint64_t kComparedAtOnce = 1 << 20;
// To copy a page while it does not change.
constexpr int kTries = 4;

}  // namespace

void Space::Sync(uint32_t slot, const dsm::shared::FaultEntry& call) {
  ports_[slot].asking++;
  const bool refresh = call.access == dsm::shared::kRefreshCall;
  refresh ? counters_.refreshes++ : counters_.flushes++;
  const dsm::SyncTicket ticket = ++last_sync_;
  askers_[ticket] = {slot, ports_[slot].rings->opened(), call.page};
  dsm::Outputs out;
  node_->Sync(ticket, refresh ? dsm::SyncKind::kRefresh : dsm::SyncKind::kFlush, out);
  Perform(out, {});
}

// What was lost of this host's is told to each member once: any of them may have written it.
void Space::Synced(dsm::SyncTicket ticket, Failure failure) {
  if (departing_.erase(ticket) > 0) return;
  const auto found = askers_.find(ticket);
  const Asker asker = found->second;
  askers_.erase(found);
  Port& port = ports_[asker.slot];
  if (!port.rings || port.rings->opened() != asker.opened) return;
  port.asking--;
  if (failure == Failure::kNone && port.losses != node_->losses()) failure = Failure::kLost;
  port.losses = node_->losses();
  Give(asker.slot, {asker.ticket, 0, dsm::shared::kSyncedOrder, static_cast<uint8_t>(failure), 1});
}

// Whoever goes leaves stores in the frames here that others do not have. They are sent before it is said to
// be gone: later they would go over what the next owner of its locks has stored.
void Space::Depart(uint32_t slot) {
  if (node_->fenced()) return;
  const dsm::SyncTicket ticket = ++last_sync_;
  departing_[ticket] = slot;
  dsm::Outputs out;
  node_->Sync(ticket, dsm::SyncKind::kFlush, out);
  Perform(out, {});
}

bool Space::Departing(uint32_t slot) const {
  return std::ranges::any_of(departing_, [slot](const auto& item) { return item.second == slot; });
}

void Space::Twin(PageId id) {
  const uint32_t number = FrameOf(id);
  if (number == kNoFrame) return Fence(now_);  // it was installed there
  const auto from = frame(number);
  pages_[id].twin.assign(from.begin(), from.end());
}

// What members here have written and nobody was told of stays, for the twin has what the others know; so does
// what is on its way to them, which will be in its place when it arrives.
void Space::Apply(PageId id, std::span<const std::byte> diff) {
  const uint32_t number = FrameOf(id);
  if (number == kNoFrame) return Fence(now_);  // it was asked for
  counters_.merges_in++;
  Heat(id);
  const std::span<std::byte> to = bytes(number);
  const auto found = pages_.find(id);
  if (found == pages_.end() || (found->second.twin.empty() && found->second.diff.empty()))
    return ApplyDifference(diff, to);
  Page& page = found->second;
  const std::vector<std::byte> before =
      page.twin.empty() ? std::vector<std::byte>(to.begin(), to.end()) : page.twin;
  std::vector<std::byte> after = before;
  ApplyDifference(diff, after);
  if (!page.ordered && !page.diff.empty()) ApplyDifference(page.diff, after);
  const std::vector<std::byte> change = Difference(after, before);
  if (change.empty()) return;
  ApplyDifference(change, to);
  if (!page.twin.empty()) page.twin = std::move(after);
}

// As all who keep it are to have it: without what was written here since.
std::vector<std::byte> Space::Whole(PageId id) const {
  const auto found = pages_.find(id);
  if (found != pages_.end() && !found->second.twin.empty()) return WholeDifference(found->second.twin);
  return WholeDifference(frame(FrameOf(id)));
}

void Space::MakeRooms() {
  while (!rooms_.empty()) {
    const PageId id = rooms_.front();
    if (FrameOf(id) == kNoFrame) {
      const uint32_t number = cache_.Take(id);
      if (number == kNoFrame) return;
      pages_[id].frame = number;
    }
    rooms_.pop_front();
    dsm::Outputs out;
    node_->Roomed(id, out);
    Perform(out, {});
  }
}

void Space::ForgetDiff(PageId id) {
  Page& page = pages_[id];
  unanswered_ -= page.diff.size();
  page.diff = {};
}

void Space::CompareSome() {
  for (uint64_t left = kComparedAtOnce; compares();) {
    const auto [id, twin_stays] = compares_.front();
    compares_.pop_front();
    Compare(id, pages_[id], twin_stays);
    if (left <= page_bytes()) return;
    left -= page_bytes();
  }
}

// The page as it was at one instant, though members may store to it: when it still is what was copied, it was
// that between the copy and the comparison. False: it changes all the time.
bool Space::TakeSnapshot(std::span<const std::byte> page) {
  for (int tries = 0; tries < kTries; tries++) {
    snapshot_.assign(page.begin(), page.end());
    // No load of the comparison is made before one of the copy.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (std::memcmp(snapshot_.data(), page.data(), page.size()) == 0) return true;
  }
  return false;
}

// The copy is what is compared, and what the page is compared with the next time: so everything is told of
// once.
void Space::Compare(PageId id, Page& page, bool twin_stays) {
  const uint32_t number = FrameOf(id);
  if (node_->fenced() || page.twin.empty() || number == kNoFrame) return;
  // Where nobody can store any more, the frame is what it is.
  if (!TakeSnapshot(frame(number)) && twin_stays) {
    dsm::Outputs out;
    node_->Changing(id, out);
    return Perform(out, {});
  }
  std::vector<std::byte> diff = Difference(snapshot_, page.twin);
  const bool changed = !diff.empty();
  std::vector<std::byte> before = std::exchange(page.diff, std::move(diff));
  unanswered_ += page.diff.size() - before.size();
  const bool ordered = std::exchange(page.ordered, false);
  dsm::Outputs out;
  if (!node_->Diffed(id, changed, out)) {
    unanswered_ -= page.diff.size() - before.size();
    page.diff = std::move(before);
    page.ordered = ordered;
    return;
  }
  if (twin_stays) {
    page.twin.swap(snapshot_);
  } else {
    page.twin = {};
  }
  Perform(out, {});
}

}  // namespace ivshmem::hosts
