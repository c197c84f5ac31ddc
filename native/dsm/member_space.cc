#include "member_space.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace ivshmem::dsm {

namespace {

// Pages that an acquisition asks for ahead of those it has.
constexpr uint64_t kWindow = 4096;
// With something outstanding the node is rung again so often: who took its armed word may have died.
constexpr uint64_t kNudgeNs = 100'000'000;
// What a thread has to make its access before the page is taken away again.
constexpr uint64_t kMomentNs = 200'000;
constexpr size_t kMostCalls = 1024;

shared::FaultAccess AccessFor(Right want) {
  return want == Right::kWrite ? shared::kWriteAccess : shared::kReadAccess;
}

}  // namespace

MemberSpace::MemberSpace(Options options, const Shape& shape, const MemberRings& rings, FaultQueue& queue)
    : options_(std::move(options)),
      shape_(shape),
      rings_(rings),
      queue_(queue),
      right_(shape.pages, Right::kNone),
      asked_(shape.pages, Right::kNone) {}

void MemberSpace::Open(uint64_t now) {
  opening_ = now;
  nudged_ = now;
  rings_.Open(options_.generation);
}

bool MemberSpace::Holds(uintptr_t address) const {
  return address - reinterpret_cast<uintptr_t>(options_.base) < options_.length;
}

void MemberSpace::Fault(const FaultCall& call, uint64_t now) {
  const Right want = call.access == Access::kWrite ? Right::kWrite : Right::kRead;
  (want == Right::kWrite ? counts_.write_faults : counts_.read_faults)++;
  if (stopped_) {
    late_++;
    return queue_.Answer(call.cell, zeros_ ? Verdict::kRetry : Verdict::kFail);
  }
  const PageId page = (call.address - reinterpret_cast<uintptr_t>(options_.base)) >> shape_.page_shift;
  // Mapped since.
  if (right_[page] >= want) return queue_.Answer(call.cell, Verdict::kRetry);
  waiters_.push_back({call.cell, page, want, now});
}

bool MemberSpace::news() const {
  if (stopped_) return false;
  if (opening_ != 0) return rings_.Answered();
  if (rings_.Fenced() || (lease_open_ && rings_.Lease())) return true;
  // Only time, or Release, lets it go on.
  if (blocked_) return false;
  shared::OrderEntry order;
  return rings_.Order(looked_, done_, order) != MemberRings::Found::kNothing;
}

bool MemberSpace::Pass(uint64_t now) {
  if (stopped_) return false;
  bool worked = Lapse(now);
  // For good: who wants the space opens it anew. Nothing is mapped any more before the node hears of that.
  if (!stopped_ && !rings_.gone() && rings_.Fenced()) Stop(FencedWhy(), false);
  if (stopped_) return true;
  if (opening_ != 0 && rings_.Served()) {
    opening_ = 0;
    worked = true;
    Report(0, Outcome::kDone);
  }
  if (opening_ == 0) {
    worked |= DoDeferred(now);
    if (!stopped_) worked |= DoOrders(now);
    KeepLease(now);
    if (!stopped_) AskForWaiters();
    if (!stopped_) PostSyncs();
    if (!stopped_) PostCalls();
    for (size_t i = 0; !stopped_ && i < holds_.size(); i++) Advance(holds_[i], now);
  }
  if (!stopped_) Expire(now);
  if (std::exchange(asked_now_, false)) nudged_ = now;
  if (!stopped_) rings_.Notify();
  return worked;
}

// Right after the mapping, before another order can take it away.
void MemberSpace::AnswerMapped(uint64_t now) {
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    if (right_[waiter.page] < waiter.want) return false;
    queue_.Answer(waiter.cell, Verdict::kRetry);
    fresh_.push_back({waiter.page, now + kMomentNs});
    return true;
  });
}

void MemberSpace::AskForWaiters() {
  for (const Waiter& waiter : waiters_) {
    uint64_t asked = 0;
    if (!Ask(waiter.page, 1, waiter.want, &asked)) return;
  }
}

// Posts what of these pages is neither there nor asked for. False: the ring is full (or makes no sense), and
// `asked` says how far it went.
bool MemberSpace::Ask(PageId first, uint64_t count, Right want, uint64_t* asked) {
  uint64_t next = 0;
  const auto needed = [&](uint64_t i) { return right_[first + i] < want && asked_[first + i] < want; };
  for (;;) {
    while (next < count && !needed(next)) next++;
    *asked = next;
    if (next == count) return true;
    const auto room = rings_.Room();
    if (!room) Broken();
    if (!room || *room == 0) return false;
    uint64_t run = 1;
    while (run < shared::kMostPages && next + run < count && needed(next + run)) run++;
    rings_.Post(first + next, AccessFor(want), static_cast<uint32_t>(run));
    counts_.posted += run;
    std::fill_n(asked_.begin() + static_cast<ptrdiff_t>(first + next), run, want);
    next += run;
    asked_now_ = true;
  }
}

void MemberSpace::Advance(Hold& hold, uint64_t now) {
  if (hold.done) return;
  while (hold.pinned < hold.count && right_[hold.first + hold.pinned] >= hold.want) hold.pinned++;
  if (hold.pinned == hold.count) {
    hold.done = true;
    hold.since = now;
    return Report(hold.ticket, Outcome::kDone);
  }
  uint64_t asked = 0;
  if (hold.pinned >= hold.asked) {
    hold.asked = hold.pinned;
    // Again: it may have come and been taken away before it was its turn.
  } else if (!Ask(hold.first + hold.pinned, 1, hold.want, &asked)) {
    return;
  }
  const uint64_t until = std::min(hold.count, hold.pinned + kWindow);
  if (hold.asked >= until) return;
  Ask(hold.first + hold.asked, until - hold.asked, hold.want, &asked);
  if (!stopped_) hold.asked += asked;
}

void MemberSpace::Expire(uint64_t now) {
  const auto late = [&](uint64_t since) { return now - since >= options_.patience_ns; };
  if (opening_ != 0 && late(opening_)) {
    opening_ = 0;
    return Stop(Outcome::kSilent, false);
  }
  const auto overdue = [&](const Waiter& waiter) { return late(waiter.since); };
  if (options_.whole && std::ranges::any_of(waiters_, overdue)) return Stop(Outcome::kSilent, true);
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    if (!late(waiter.since)) return false;
    asked_[waiter.page] = Right::kNone;
    counts_.failed++;
    queue_.Answer(waiter.cell, Verdict::kFail);
    return true;
  });
  std::erase_if(syncs_, [&](const Syncing& sync) {
    if (!late(sync.since)) return false;
    sync.done(Outcome::kSilent);
    return true;
  });
  std::erase_if(holds_, [&](const Hold& hold) {
    if (hold.done || !late(hold.since)) return false;
    std::fill_n(asked_.begin() + static_cast<ptrdiff_t>(hold.first), hold.count, Right::kNone);
    Report(hold.ticket, Outcome::kSilent);
    return true;
  });
}

uint64_t MemberSpace::deadline() const {
  if (stopped_) return UINT64_MAX;
  uint64_t next = outstanding() || lease_open_ ? nudged_ + kNudgeNs : UINT64_MAX;
  next = std::min(next, LeaseDeadline());
  for (const Deferred& deferred : deferred_) {
    const bool pinned = Pinned(deferred.order);
    next = std::min(next, deferred.since + (pinned ? options_.pin_ns : kMomentNs));
  }
  return next;
}

bool MemberSpace::outstanding() const {
  const auto incomplete = [](const Hold& hold) { return !hold.done; };
  return opening_ != 0 || !waiters_.empty() || !syncs_.empty() || std::ranges::any_of(holds_, incomplete);
}

void MemberSpace::Nudge(uint64_t now) {
  if (stopped_ || now < nudged_ + kNudgeNs || !(outstanding() || lease_open_)) return;
  nudged_ = now;
  if (rings_.gone()) return Broken();
  rings_.RingAgain();
}

void MemberSpace::Acquire(uint32_t ticket, PageId first, uint64_t count, Right want, uint64_t now) {
  if (stopped_) return Report(ticket, why_);
  holds_.push_back({ticket, first, count, want, 0, 0, now});
  if (opening_ != 0) return;
  KeepLease(now);
  Advance(holds_.back(), now);
  if (!stopped_) rings_.Notify();
}

bool MemberSpace::Release(uint32_t ticket, uint64_t now) {
  const auto held = std::ranges::find(holds_, ticket, &Hold::ticket);
  if (held == holds_.end()) return false;
  const bool done = held->done;
  holds_.erase(held);
  if (!stopped_ && DoDeferred(now)) rings_.Notify();
  return done;
}

void MemberSpace::Hint(PageId first, uint64_t count, Right want, uint64_t now) {
  if (stopped_ || opening_ != 0) return;
  if (want == Right::kNone) {
    const auto pinned = [&](const Hold& hold) {
      return first < hold.first + hold.count && hold.first < first + count;
    };
    if (std::ranges::none_of(holds_, pinned)) Unmap(first, count);
    return;
  }
  uint64_t asked = 0;
  Ask(first, count, want, &asked);
  KeepLease(now);
  if (!stopped_) rings_.Notify();
}

bool MemberSpace::Has(PageId first, uint64_t count, Right want) const {
  if (stopped_) return zeros_;
  const auto from = right_.begin() + static_cast<ptrdiff_t>(first);
  return std::all_of(from, from + static_cast<ptrdiff_t>(count), [&](Right right) { return right >= want; });
}

void MemberSpace::Call(shared::FaultAccess call, uint64_t party) {
  if (stopped_ || opening_ != 0 || calls_.size() >= kMostCalls) return;
  calls_.emplace_back(call, party);
  PostCalls();
  if (!stopped_) rings_.Notify();
}

void MemberSpace::PostCalls() {
  while (!calls_.empty()) {
    const std::optional<uint32_t> room = rings_.Room();
    if (!room) return Broken();
    if (*room == 0) return;
    rings_.Post(calls_.front().second, calls_.front().first, 1);
    calls_.pop_front();
  }
}

void MemberSpace::Sync(SyncKind kind, std::function<void(Outcome)> done, uint64_t now) {
  if (stopped_) return done(why_);
  const auto call = kind == SyncKind::kFlush ? shared::kFlushCall : shared::kRefreshCall;
  syncs_.push_back({++last_sync_, call, std::move(done), now});
  nudged_ = now;
  if (opening_ != 0) return;
  PostSyncs();
  if (!stopped_) rings_.Notify();
}

void MemberSpace::PostSyncs() {
  for (Syncing& sync : syncs_) {
    if (sync.posted) continue;
    const std::optional<uint32_t> room = rings_.Room();
    if (!room) return Broken();
    if (*room == 0) return;
    rings_.Post(sync.ticket, sync.call, 1);
    sync.posted = true;
  }
}

// One that nobody waits for any more was late.
void MemberSpace::Synced(uint64_t ticket, Outcome outcome) {
  const auto found = std::ranges::find(syncs_, ticket, &Syncing::ticket);
  if (found == syncs_.end()) return;
  const std::function<void(Outcome)> done = std::move(found->done);
  syncs_.erase(found);
  done(outcome == Outcome::kFenced ? FencedWhy() : outcome);
}

void MemberSpace::Report(uint32_t ticket, Outcome outcome, PageId page) {
  options_.report(ticket, outcome, page);
}

Outcome MemberSpace::FencedWhy() const { return rings_.Removed() ? Outcome::kRemoved : Outcome::kFenced; }

// Memory that shows nothing of what it should is a device that was unplugged; otherwise somebody wrote over
// it.
void MemberSpace::Broken() { Stop(Outcome::kNonsense, rings_.gone()); }

void MemberSpace::Stop(Outcome why, bool zeros, PageId page) {
  zeros |= options_.whole;
  if (stopped_ && (zeros_ || !zeros)) return;
  const bool first = !stopped_;
  stopped_ = true;
  zeros_ = zeros;
  why_ = first ? why : why_;
  why_page_ = first ? page : why_page_;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  // Over all of it at once: needs no further mapping, so that it does not fail for the number of them.
  mmap(options_.base, options_.length, zeros ? PROT_READ | PROT_WRITE : PROT_NONE, flags, -1, 0);
  if (first) rings_.Close();
  for (const Waiter& waiter : waiters_) queue_.Answer(waiter.cell, zeros ? Verdict::kRetry : Verdict::kFail);
  late_ += waiters_.size();
  waiters_.clear();
  if (!first) return;
  mapped_ = 0;
  const bool told = opening_ != 0 || why == Outcome::kSilent || why == Outcome::kRemoved || options_.whole;
  if (told) Report(0, why, page);
  for (const Hold& hold : holds_)
    if (!hold.done) Report(hold.ticket, why, page);
  for (const Syncing& sync : std::exchange(syncs_, {})) sync.done(why);
  holds_.clear();
  deferred_.clear();
  fresh_.clear();
}

}  // namespace ivshmem::dsm
