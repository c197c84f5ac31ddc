// The lease under which a member maps frames (shared_layout.h): nothing is mapped here beyond it, whatever
// has become of the node, so that others may have the pages then.
#include <algorithm>

#include "member_space.h"

namespace ivshmem::dsm {

namespace {

constexpr uint64_t kMs = 1'000'000;
// Between two requests, however short the lease.
constexpr uint64_t kLeastNs = 10 * kMs;

}  // namespace

// Whether it runs, as far as the node has answered.
bool MemberSpace::TakeLease(uint64_t now) {
  if (lease_open_) {
    if (const auto left = rings_.Lease(); left) {
      lease_open_ = false;
      lease_ns_ = *left * kMs;
      // From before it was asked for: what is left for the node is left for others, too.
      lease_until_ = std::max(lease_until_, lease_since_ + lease_ns_);
      grace_ns_ = std::max(grace_ns_, lease_ns_);
      if (now < lease_until_) lapsed_ = false;
    }
  }
  return now < lease_until_;
}

uint64_t MemberSpace::renew_at() const {
  if (lease_since_ == 0) return 0;
  return lease_since_ + std::max(lease_ns_ / 3, kLeastNs);
}

// Asks for the next one in time: while something is mapped, and before something is.
void MemberSpace::KeepLease(uint64_t now) {
  if (stopped_ || opening_ != 0) return;
  TakeLease(now);
  if (lease_open_ || !WantsLease() || now < renew_at()) return;
  lease_open_ = true;
  lease_since_ = nudged_ = now;
  rings_.AskLease();
}

// True: it has ended, and mappings with it. Who touches the memory then waits for the node, which may only be
// late; and as long again after that no longer: it is gone, or its own lease is.
bool MemberSpace::Lapse(uint64_t now) {
  if (stopped_ || lease_until_ == 0 || TakeLease(now)) return false;
  if (mapped_ > 0) {
    Unmap(0, shape_.pages);
    std::erase_if(holds_, [](const Hold& hold) { return hold.done; });
    // What was taken into a pin already is to be there at its end.
    for (Hold& hold : holds_) hold.pinned = 0;
    fresh_.clear();
    lapsed_ = true;
    return true;
  }
  if (!lapsed_ || now < lease_until_ + grace_ns_) return false;
  Stop(FencedWhy(), false);
  return true;
}

uint64_t MemberSpace::LeaseDeadline() const {
  uint64_t next = UINT64_MAX;
  if (mapped_ > 0) next = lease_until_;
  if (lapsed_) next = lease_until_ + grace_ns_;
  if (!lease_open_ && WantsLease()) next = std::min(next, renew_at());
  return next;
}

}  // namespace ivshmem::dsm
