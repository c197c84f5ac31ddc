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
// A member that does not take its answers is not listened to any more.
constexpr size_t kMostOrders = 1 << 16;
// To copy a page while it does not change.
constexpr int kTries = 4;

}  // namespace

void Space::Sync(uint32_t slot, const dsm::shared::FaultEntry& call) {
  if (ports_[slot].rings->open().size() >= kMostOrders) return Break(slot);
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

void Space::Apply(PageId id, std::span<const std::byte> diff) {
  counters_.merges_in++;
  Heat(id);
  ApplyDifference(diff, bytes(FrameOf(id)));
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
  if (node_->fenced() || page.twin.empty() || page.frame == kNoFrame) return;
  // Where nobody can store any more, the frame is what it is.
  if (!TakeSnapshot(frame(page.frame)) && twin_stays) {
    dsm::Outputs out;
    node_->Changing(id, out);
    return Perform(out, {});
  }
  std::vector<std::byte> diff = Difference(snapshot_, page.twin);
  const bool changed = !diff.empty();
  std::vector<std::byte> before = std::exchange(page.diff, std::move(diff));
  unanswered_ += page.diff.size() - before.size();
  dsm::Outputs out;
  if (!node_->Diffed(id, changed, out)) {
    unanswered_ -= page.diff.size() - before.size();
    page.diff = std::move(before);
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
