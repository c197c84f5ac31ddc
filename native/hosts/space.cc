#include "space.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "../dsm/protocol.h"
#include "../dsm/release.h"
#include "copy_page.h"
#include "diff.h"

namespace ivshmem::hosts {

using dsm::Bit;
using dsm::MessageType;
using dsm::NodeId;
using dsm::OutputType;
using dsm::PageId;
using dsm::Right;
using Taken = dsm::PageProtocol::Taken;

namespace {

// A full barrier or at least an acquire everywhere: these words are looked at a few times per fault.
using Word = std::atomic_ref<uint32_t>;

Frames FramesFor(const Placement& place, uint64_t bytes) {
  const uint64_t homes = place.home_frames();
  if (place.whole(bytes)) return Frames::Whole(static_cast<uint32_t>(place.pages - homes));
  return {static_cast<uint32_t>(homes), static_cast<uint32_t>(place.frames(bytes) - homes)};
}

std::unique_ptr<dsm::PageProtocol> ProtocolFor(const Placement& place, const dsm::View& view, bool forms,
                                               uint64_t bytes) {
  if (place.consistency == dsm::Consistency::kRelease) {
    const uint64_t cache = place.frames(bytes) - place.home_frames();
    // Pages that nobody here keeps need some frames, too, unless all have their own.
    const uint64_t others = place.whole(bytes) ? 0 : kLeastCache;
    return std::make_unique<dsm::ReleaseNode>(place.self, place.shape(), view, forms,
                                              cache > others ? cache - others : 0);
  }
  return std::make_unique<dsm::Node>(place.self, place.shape(), view, forms);
}

}  // namespace

Space::Space(uint32_t id, const Placement& place, std::byte* memory, uint64_t bytes, const dsm::View& view,
             bool forms, uint64_t patience_ns, Surroundings& around)
    : id_(id),
      place_(place),
      memory_(memory),
      bytes_(bytes),
      patience_(patience_ns),
      around_(around),
      node_(ProtocolFor(place, view, forms, bytes)),
      cache_(FramesFor(place, bytes)),
      heat_(static_cast<size_t>(std::min<uint64_t>(place.pages, kHeatCells))),
      alive_(view.alive) {
  cut_.fill(view.epoch - 1);
  dsm::shared::Control* out = control();
  out->magic = dsm::shared::kMagic;
  out->version = dsm::shared::kVersion;
  out->pageShift = place.page_shift;
  out->spacePages = place.pages;
  out->framesOffset = place.frames_offset();
  out->frames = place.frames(bytes);
  out->membersOffset = place.members_offset();
  out->slots = place.slots;
  out->node = place.self;
  out->consistency = static_cast<uint32_t>(place.consistency);
  Word(out->copies).store(node_->copies().fewest, std::memory_order_relaxed);
  // Release: pairs with the acquire of a member that opens it.
  Word(out->state).store(dsm::shared::kServing, std::memory_order_release);
}

dsm::shared::MemberPage* Space::member_page(uint32_t slot) const {
  std::byte* at = memory_ + place_.members_offset() + uint64_t{slot} * dsm::shared::kControlPage;
  return reinterpret_cast<dsm::shared::MemberPage*>(at);
}

uint32_t Space::FrameOf(PageId id) const {
  if (place_.HasFrame(id)) return cache_.whole() ? static_cast<uint32_t>(id) : place_.HomeFrame(id);
  const auto found = pages_.find(id);
  return found == pages_.end() ? kNoFrame : found->second.frame;
}

std::span<const std::byte> Space::frame(uint32_t number) const { return bytes(number); }

std::span<std::byte> Space::bytes(uint32_t number) const {
  return {memory_ + place_.frames_offset() + (uint64_t{number} << place_.page_shift), page_bytes()};
}

void Space::Arm(bool armed) { Word(control()->nodeArmed).store(armed ? 1 : 0); }

bool Space::Marked() const {
  for (uint32_t& word : control()->summary) {
    if (Word(word).load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

bool Space::Serve(uint64_t now) {
  now_ = now;
  bool any = false;
  for (uint32_t index = 0; index < std::size(control()->summary); index++) {
    Word word(control()->summary[index]);
    if (word.load(std::memory_order_relaxed) == 0) continue;
    // Before the look at what it stands for, so that nothing that comes after is missed.
    for (uint32_t bits = word.exchange(0); bits != 0; bits &= bits - 1) {
      const uint32_t slot = 32 * index + static_cast<uint32_t>(std::countr_zero(bits));
      if (slot < place_.slots) Look(slot, now);
      any = true;
    }
  }
  return any;
}

void Space::Install(const dsm::View& view, uint64_t now) {
  now_ = now;
  if (view.epoch <= node_->epoch()) return;
  alive_ = view.alive;
  cache_.NoneLeaving();
  rooms_.clear();
  dsm::Outputs out;
  node_->Install(view, out);
  Perform(out, {});
  // Frames for copies that were on their way.
  if (place_.replicas > 1 && !node_->fenced()) {
    for (auto& [id, page] : pages_) ReleaseFrame(id, page);
  }
  Hurry();
}

void Space::Fence(uint64_t now, bool removed) {
  now_ = now;
  removed_ |= removed;
  dsm::Outputs out;
  node_->Fence(out);
  Perform(out, {});
  Hurry();
}

// A fenced space waits for nothing but the members.
void Space::Hurry() {
  if (!node_->fenced()) return;
  const auto state = removed_ ? dsm::shared::kRemovedState : dsm::shared::kFencedState;
  Word(control()->state).store(state, std::memory_order_release);
  rooms_.clear();
  for (const auto& [when, id] : std::exchange(delayed_, {})) IssueRestrict(id, pages_[id]);
  for (const PageId id : std::exchange(frameless_, {})) {
    pages_[id].queued = false;
    Request(id, pages_[id]);
  }
}

void Space::Cut(NodeId node) { cut_[node] = node_->epoch(); }

Taken Space::Receive(NodeId from, const dsm::Message& message, std::span<const std::byte> body,
                     uint64_t now) {
  now_ = now;
  if (message.epoch <= cut_[from]) return Taken::kNow;
  // A page comes back only to the frame that is kept for it at its own home; one whose home is gone stays
  // where it is.
  const bool stray = message.type == MessageType::kEvict && !place_.AtHome(message.page);
  const bool cropped = message.type == MessageType::kData && body.size() != page_bytes();
  const bool written = message.type == MessageType::kMerge || message.type == MessageType::kReplicate;
  const bool garbled = written && !IsDifference(body, page_bytes());
  if (stray || cropped || garbled) {
    around_.Reject(from, id_,
                   stray     ? "a page was to be evicted to another's home"
                   : cropped ? "a page of another size"
                             : "what was written of a page makes no sense");
    return Taken::kNow;
  }
  Taken taken = Taken::kNow;
  Do(body, [&](dsm::Outputs& out) { taken = node_->Receive(from, message, out); });
  return taken;
}

void Space::Perform(dsm::Outputs& outputs, std::span<const std::byte> body) {
  for (const dsm::Output& output : outputs) {
    switch (output.type) {
      case OutputType::kSend:
      case OutputType::kPass:
      case OutputType::kCopy:
        SendOut(output, body);
        break;
      case OutputType::kInstall: {
        const uint32_t to = FrameOf(output.page);
        // A page arrives only when it was asked for, and it is asked for only when it has a frame. Were it
        // not so, nothing here could be relied upon.
        if (to == kNoFrame || body.size() != page_bytes()) return Fence(now_);
        CopyPage(bytes(to), body);
        counters_.pages_in++;
        Heat(output.page);
        break;
      }
      case OutputType::kMap:
        Map(output.page, output.right);
        break;
      case OutputType::kRestrict:
        Restrict(output.page, output.right);
        break;
      case OutputType::kFree:
        ReleaseFrame(output.page, pages_[output.page]);
        break;
      case OutputType::kFail:
        Fail(output.page, output.failure);
        break;
      case OutputType::kTwin:
        Twin(output.page);
        break;
      case OutputType::kDiff:
        compares_.emplace_back(output.page, output.right == Right::kWrite);
        break;
      case OutputType::kApply:
        Apply(output.page, body);
        break;
      case OutputType::kOrdered:
        pages_[output.page].ordered = true;
        break;
      case OutputType::kRoom:
        rooms_.push_back(output.page);
        break;
      case OutputType::kForgetDiff:
        ForgetDiff(output.page);
        break;
      case OutputType::kSynced:
        Synced(output.page, output.failure);
        break;
      case OutputType::kReject:
        if (output.to != place_.self) around_.Reject(output.to, id_, "a message that does not fit");
        break;
    }
  }
}

void Space::SendOut(const dsm::Output& output, std::span<const std::byte> body) {
  const dsm::Message& message = output.message;
  // Its place among what is applied is not known, or not any more.
  if (message.type == MessageType::kMerge) pages_[message.page].ordered = false;
  if (message.epoch <= cut_[output.to]) return;
  if (message.type == MessageType::kMerge || message.type == MessageType::kReplicate) {
    counters_.merges_out++;
    Heat(message.page);
    std::vector<std::byte> diff;
    if (output.type == OutputType::kPass) {
      diff.assign(body.begin(), body.end());
    } else if (output.type == OutputType::kCopy) {
      diff = Whole(message.page);
    } else {
      // A copy: it may have to be sent again.
      diff = pages_[message.page].diff;
    }
    return around_.Send(output.to, *this, message, std::move(diff));
  }
  uint32_t from = kNoFrame;
  if (message.type == MessageType::kData) {
    from = FrameOf(message.page);
    if (from == kNoFrame) return Fence(now_);  // as above
    counters_.pages_out++;
    Heat(message.page);
    // Whoever wanted it evicted gave way: this node keeps it, to read.
    cache_.Leaving(from, false);
  }
  around_.Send(output.to, *this, message, from);
}

void Space::ReleaseFrame(PageId id, Page& page) {
  if (node_->held(id) != Right::kNone) return;
  page.twin = {};
  if (page.frame == kNoFrame) return;
  // It was to go, and is wanted again.
  if (page.wanted) return cache_.Leaving(page.frame, false);
  cache_.Give(page.frame);
  page.frame = kNoFrame;
}

void Space::Settle(uint64_t now) {
  now_ = now;
  CompareSome();
  for (bool again = true; again;) {
    while (!restricted_.empty()) {
      const PageId id = restricted_.front();
      restricted_.pop_front();
      // Another one may have been given since.
      if (pages_[id].restricts > 0 || pages_[id].delayed) continue;
      Do({}, [&](dsm::Outputs& out) { node_->Restricted(id, out); });
    }
    while (!frameless_.empty() && cache_.free() > 0) {
      const PageId id = frameless_.front();
      frameless_.pop_front();
      Page& page = pages_[id];
      page.queued = false;
      Request(id, page);
    }
    MakeRooms();
    MakeRoom();
    again = !restricted_.empty() || (!(frameless_.empty() && rooms_.empty()) && cache_.free() > 0);
  }
  for (const uint32_t slot : std::exchange(fresh_, {})) {
    ports_[slot].fresh = false;
    if (ports_[slot].rings && ports_[slot].rings->Publish(now)) around_.Ring(slot);
  }
  // For people who look; nothing is decided by it.
  if (place_.replicas > 1)
    Word(control()->copies).store(node_->copies().fewest, std::memory_order_relaxed);
  if (node_->fenced() && !fence_told_ && open_restricts_ == 0) {
    fence_told_ = true;
    around_.Tell({Event::Kind::kFenced, 0, id_, 0, {}});
  }
}

// Some frames are made free before they are asked for, so that few faults wait for an eviction.
void Space::MakeRoom() {
  if (node_->fenced() || cache_.whole()) return;
  const size_t spare = std::min<size_t>(16, cache_.count() / 8);
  const size_t goal = std::min<size_t>(cache_.count(), frameless_.size() + rooms_.size() + spare);
  for (uint32_t looks = cache_.count(); looks > 0 && cache_.free() + cache_.leaving() < goal; looks--) {
    const uint32_t candidate = cache_.Candidate();
    if (candidate == kNoFrame) return;
    const PageId id = cache_.page(candidate);
    dsm::Outputs out;
    // Only its own home has a frame kept for it; with replicas others do.
    if (place_.replicas == 1 && (alive_ & Bit(place_.NaturalHome(id))) == 0) continue;
    // Before the outputs, which may be the end of it.
    cache_.Leaving(candidate, true);
    if (node_->Evict(id, out)) {
      counters_.evictions++;
      Perform(out, {});
    } else {
      cache_.Leaving(candidate, false);
    }
  }
}

void Space::Due(uint64_t now) {
  now_ = now;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    const PageId id = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    IssueRestrict(id, pages_[id]);
  }
}

void Space::Check(uint64_t now) {
  for (uint32_t slot = 0; slot < place_.slots; slot++) {
    Port& port = ports_[slot];
    const uint64_t since = port.rings ? port.rings->waiting_since() : 0;
    if (since == 0 || port.silent || now - since < patience_) continue;
    port.silent = true;
    around_.Tell({Event::Kind::kSilent, slot, id_, 0, {}});
  }
}

void Space::Heat(PageId id) { heat_[static_cast<size_t>(id * heat_.size() / place_.pages)]++; }

std::pair<uint64_t, uint64_t> Space::Holdings() const {
  uint64_t owned = 0, shared = 0;
  const auto count = [&](PageId id) {
    owned += node_->held(id) == Right::kWrite;
    shared += node_->held(id) == Right::kRead;
  };
  for (const auto& [id, page] : pages_) {
    if (!place_.HasFrame(id)) count(id);
  }
  for (NodeId cls = 0; cls < place_.homes; cls++) {
    if (!place_.HasFrame(cls)) continue;
    for (PageId id = cls; id < place_.pages; id += place_.homes) count(id);
  }
  return {owned, shared};
}

}  // namespace ivshmem::hosts
