#include "member_service.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "../mmio.h"
#include "../quiet_thread.h"
#include "fault_handler.h"

namespace ivshmem::dsm {

namespace {

constexpr uint64_t kPolledNs = 1'000'000;
constexpr uint64_t kFirstYieldNs = 2'000;
constexpr uint64_t kYieldEveryNs = 5'000;

// O_NONBLOCK of an eventfd that others have too is not ours to rely on.
void Drain(int eventfd) {
  uint64_t counter = 0;
  iovec part{&counter, sizeof counter};
  if (preadv2(eventfd, &part, 1, -1, RWF_NOWAIT) >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return;
  pollfd readable{eventfd, POLLIN, 0};
  if (poll(&readable, 1, 0) == 1) static_cast<void>(!read(eventfd, &counter, sizeof counter));
}

}  // namespace

MemberService& MemberService::Instance() {
  static auto* const instance = new MemberService;
  return *instance;
}

uint64_t MemberService::Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

int MemberService::Add(const std::shared_ptr<MemberSpace>& space, std::byte* base, size_t length, int bell) {
  const std::lock_guard lifecycle(lifecycle_);
  if (users_ == 0) {
    if (const int error = Start(); error != 0) return error;
  }
  users_++;
  int error = 0;
  if (bell >= 0) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = bell;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, bell, &event) != 0) error = errno;
  }
  if (error == 0) {
    With([&] {
      served_.push_back({space, bell});
      space->Open(Now());
    });
    if (!WatchRange(base, length, &queue_)) error = errno;
  }
  if (error != 0) {
    With([&] {
      space->Stop(Outcome::kClosed, true);
      std::erase_if(served_, [&](const Served& served) { return served.space == space; });
    });
    if (bell >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, bell, nullptr);
    if (--users_ == 0) Stop();
  }
  return error;
}

bool MemberService::Remove(const std::shared_ptr<MemberSpace>& space, std::byte* base) {
  const std::lock_guard lifecycle(lifecycle_);
  // Threads that wait see zeros.
  With([&] { space->Stop(Outcome::kClosed, true); });
  // The thread goes on answering meanwhile.
  UnwatchRange(base);
  int bell = -1;
  bool waited = false;
  With([&] {
    waited = space->late() > 0;
    const auto found = std::ranges::find(served_, space, &Served::space);
    if (found == served_.end()) return;
    bell = found->bell;
    served_.erase(found);
  });
  if (bell >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, bell, nullptr);
  if (--users_ == 0) Stop();
  return waited;
}

int MemberService::Start() {
  if (wake_ < 0) {
    // For the life of the process: a signal handler may be about to write to it.
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_ < 0) return errno;
    queue_.RingWith(wake_);
  }
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  stop_.store(false);
  // Memory can go away under it.
  const int error = StartQuietThread(&thread_, "ivshmem-dsm", {SIGBUS}, [this] { Run(); });
  if (error != 0) close(epoll_);
  return error;
}

void MemberService::Stop() {
  stop_.store(true);
  queue_.Wake();
  thread_.join();
  close(epoll_);
  epoll_ = -1;
}

void MemberService::Run() {
  while (!stop_.load()) {
    // Somebody who waits for the lock gets it.
    while (wanted_.load(std::memory_order_relaxed) != 0) sched_yield();
    std::unique_lock lock(mutex_);
    if (Pass() || Spin() || wanted_.load(std::memory_order_relaxed) != 0) continue;
    if (!Arm()) {
      Disarm();
      continue;
    }
    uint64_t until = UINT64_MAX;
    bool polled = false;
    for (const Served& served : served_) {
      until = std::min(until, served.space->deadline());
      polled |= served.bell < 0;
    }
    lock.unlock();
    const uint64_t before = Now();
    uint64_t sleep = until == UINT64_MAX ? UINT64_MAX : until - std::min(until, before);
    if (polled) sleep = std::min(sleep, kPolledNs);
    std::array<epoll_event, 16> events;
    const timespec timeout{static_cast<time_t>(sleep / 1'000'000'000),
                           static_cast<long>(sleep % 1'000'000'000)};
    int ready =
        epoll_pwait2(epoll_, events.data(), events.size(), sleep == UINT64_MAX ? nullptr : &timeout, nullptr);
    if (ready < 0 && errno == ENOSYS) {
      // Before Linux 5.11, in whole milliseconds.
      const int ms =
          sleep == UINT64_MAX ? -1 : static_cast<int>(std::min<uint64_t>(sleep / 1'000'000 + 1, 1000));
      ready = epoll_wait(epoll_, events.data(), events.size(), ms);
    }
    for (int i = 0; i < ready; i++) Drain(events[static_cast<size_t>(i)].data.fd);
    const uint64_t now = Now();
    if (ready > 0) budget_.BellAfter(now - before);
    lock.lock();
    Disarm();
    for (const Served& served : served_) served.space->Nudge(now);
  }
}

// One look at everything; whether there was work.
bool MemberService::Pass() {
  bool worked = queue_.Fresh();
  const uint64_t now = Now();
  for (FaultCall call; queue_.Take(call);) {
    worked = true;
    const auto space = std::ranges::find_if(
        served_, [&](const Served& served) { return served.space->Holds(call.address); });
    if (space == served_.end()) {
      // Taken out a moment ago: what is there now decides.
      queue_.Answer(call.cell, Verdict::kRetry);
    } else {
      space->space->Fault(call, now);
    }
  }
  for (const Served& served : served_) worked |= served.space->Pass(now);
  return worked;
}

bool MemberService::Looks() const {
  if (queue_.pending()) return true;
  return std::ranges::any_of(served_, [](const Served& served) { return served.space->news(); });
}

// Whoever caused the last work may have more soon. On a host with more to run than processors the node may
// need this one: it is given away now and then, and not spun on at all while that is what brings the work.
bool MemberService::Spin() {
  if (served_.empty()) return false;
  const uint64_t start = Now();
  const uint64_t longest = budget_.Next(start);
  if (longest == 0) return false;
  if (budget_.yield_first() && YieldFindsWork(start)) return true;
  uint64_t next_yield = start + kFirstYieldNs;
  for (uint64_t now = start; now - start < longest; now = Now()) {
    if (Looks()) {
      budget_.FoundLooking();
      budget_.Found(now - start);
      return true;
    }
    if (wanted_.load(std::memory_order_relaxed) != 0) return false;
    if (now >= next_yield && budget_.yields(now)) {
      if (YieldFindsWork(start)) return true;
      next_yield = Now() + kYieldEveryNs;
    }
    for (int i = 0; i < 8; i++) CpuRelax();
  }
  budget_.FoundNothing();
  return false;
}

bool MemberService::YieldFindsWork(uint64_t start) {
  const uint64_t before = Now();
  sched_yield();
  const uint64_t after = Now();
  const bool found = Looks();
  budget_.Yielded(after - before, found, after);
  if (found) budget_.Found(after - start);
  return found;
}

bool MemberService::Arm() {
  for (const Served& served : served_) {
    if (!served.space->stopped()) served.space->Arm();
  }
  // Pairs with the node's fence between orderHead and its exchange of memberArmed.
  FullFence();
  return queue_.Arm() && !Looks();
}

void MemberService::Disarm() {
  queue_.Disarm();
  for (const Served& served : served_) {
    if (!served.space->stopped()) served.space->Disarm();
  }
}

}  // namespace ivshmem::dsm
