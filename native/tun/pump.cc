#include "pump.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../mmio.h"
#include "../quiet_thread.h"
#include "../spin_budget.h"

namespace ivshmem::tun {

namespace {

void Signal(int eventfd) {
  const uint64_t one = 1;
  // Cannot block: these eventfds are private and non-blocking.
  static_cast<void>(!write(eventfd, &one, sizeof one));
}

// Never blocks: O_NONBLOCK of an eventfd that others have too is not ours to
// rely on.
void Drain(int eventfd) {
  uint64_t counter = 0;
  iovec part{&counter, sizeof counter};
  if (preadv2(eventfd, &part, 1, -1, RWF_NOWAIT) >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return;
  pollfd readable{eventfd, POLLIN, 0};
  if (poll(&readable, 1, 0) == 1) static_cast<void>(!read(eventfd, &counter, sizeof counter));
}

void Watch(int epoll, int operation, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll, operation, fd, &event);
}

}  // namespace

int Pump::Start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  Watch(epoll_, EPOLL_CTL_ADD, options_.tun_in, EPOLLIN);
  Watch(epoll_, EPOLL_CTL_ADD, options_.wake, EPOLLIN);
  if (options_.bell >= 0) Watch(epoll_, EPOLL_CTL_ADD, options_.bell, EPOLLIN);
  // Memory can go away under it.
  return StartQuietThread(&thread_, "ivshmem-tun", {SIGBUS}, [this] { Run(); });
}

void Pump::Stop() {
  stop_.store(true, std::memory_order_relaxed);  // the wake-up orders it
  if (thread_.joinable()) {
    Signal(options_.wake);
    thread_.join();
  }
  if (epoll_ >= 0) close(epoll_);
  epoll_ = -1;
}

// The thread holds the mutex whenever it works, and a mutex is not fair: it
// steps back for whoever wants a change.
void Pump::Change(const std::function<void()> &change) {
  changers_.fetch_add(1);
  {
    const std::lock_guard lock(mutex_);
    change();
  }
  changers_.fetch_sub(1);
  changers_.notify_all();
}

void Pump::Attach(std::unique_ptr<Link> link) {
  Change([&] {
    links_.push_back(std::move(link));
    RebuildRoutes();
  });
  Signal(options_.wake);
}

void Pump::Detach(uint32_t id) {
  Change([&] {
    for (const auto &link : links_) {
      if (link->id != id) continue;
      if (last_ == link.get()) last_ = nullptr;
      if (held_for_ == link.get()) {
        Drop(Verdict::kNoRoute);
        held_for_ = nullptr;
        held_bytes_ = 0;
      }
      DropBacklog(link.get());
    }
    std::erase_if(links_, [&](const auto &link) { return link->id == id; });
    RebuildRoutes();
  });
  Signal(options_.wake);
}

void Pump::DropBacklog(Link *link) {
  Drop(Verdict::kNoRoute, link->backlog.packets());
  link->backlog.Clear();
}

void Pump::SetOwn(std::vector<Address> own) {
  Change([&] { own_ = std::move(own); });
}

void Pump::RebuildRoutes() {
  routes_.clear();
  for (const auto &link : links_)
    for (const Address &address : link->sources)
      if (link->routed) routes_.push_back({address, link.get()});
  // Of two with one address the one that was there first keeps it.
  std::stable_sort(routes_.begin(), routes_.end(),
                   [](const Route &a, const Route &b) { return a.address < b.address; });
}

Counters Pump::Read() {
  Counters counters;
  Change([&] { counters = counters_; });
  return counters;
}

std::vector<uint32_t> Pump::Broken() {
  std::vector<uint32_t> ids;
  Change([&] {
    for (const auto &link : links_)
      if (link->broken()) ids.push_back(link->id);
  });
  return ids;
}

int Pump::Failure() {
  int failure = 0;
  Change([&] { failure = failure_; });
  return failure;
}

void Pump::Run() {
  SpinBudget budget(options_.spin_ns);
  uint64_t idle_since = 0;  // 0: not idle
  uint64_t spin_ns = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    for (int changers = changers_.load(); changers != 0; changers = changers_.load())
      changers_.wait(changers);
    std::unique_lock lock(mutex_);
    if (Pass()) {
      if (idle_since != 0 && spin_ns > 0) budget.Found(Now() - idle_since);
      idle_since = 0;
      continue;
    }
    const uint64_t now = Now();
    if (idle_since == 0) {
      idle_since = now;
      spin_ns = budget.Next(now);
    }
    if (now - idle_since < spin_ns) {
      // Never sched_yield: where others want this processor, that gives them a
      // whole time slice, and a thread that does not sleep is not woken out of
      // it when a packet comes (docs/decisions/tun-pump.md).
      lock.unlock();
      CpuRelax();
      continue;
    }
    if (spin_ns > 0) budget.FoundNothing();
    idle_since = 0;
    // Who has work between the last look and here is seen by Arm, who has it
    // later rings.
    if (Arm()) {
      Disarm();
      continue;
    }
    int timeout = options_.bell < 0 && !links_.empty() ? 1 : -1;
    if (held_bytes_ > 0) timeout = 1;
    const bool watch = failure_ == 0 && held_bytes_ == 0;
    if (watch != tun_watched_) {
      Watch(epoll_, EPOLL_CTL_MOD, options_.tun_in, watch ? uint32_t{EPOLLIN} : 0);
      tun_watched_ = watch;
    }
    counters_.sleeps++;
    lock.unlock();
    const uint64_t asleep_since = Now();
    const bool called = Sleep(timeout);
    if (called) budget.BellAfter(Now() - asleep_since);
    lock.lock();
    Disarm();
  }
}

// False when only the time was up.
bool Pump::Sleep(int timeout_ms) {
  std::array<epoll_event, 4> events;
  const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < ready; i++) {
    const int fd = events[static_cast<size_t>(i)].data.fd;
    if (fd != options_.tun_in) Drain(fd);
  }
  return ready > 0;
}

// Everybody's turn once. True if anything moved.
bool Pump::Pass() {
  bool worked = false;
  for (const auto &link : links_) {
    if (!link->broken()) worked |= Deliver(link.get());
    if (link->behind()) worked |= SendBacklog(link.get());
    if (link->broken() && !link->reported) {
      link->reported = true;
      DropBacklog(link.get());
      Notice();
    }
  }
  if (failure_ == 0) worked |= SendFromTun();
  for (const auto &link : links_) link->Tell();
  return worked;
}

// True when there is something to do after all.
bool Pump::Arm() {
  bool more = false;
  for (const auto &link : links_) {
    more |= link->device.enable_notifications();
    if (held_for_ == link.get() || link->behind()) more |= link->driver.enable_notifications();
  }
  return more;
}

void Pump::Disarm() {
  for (const auto &link : links_) {
    link->device.disable_notifications();
    link->driver.disable_notifications();
  }
}

Link *Pump::Find(const Address &destination) const {
  const auto found =
      std::lower_bound(routes_.begin(), routes_.end(), destination,
                       [](const Route &route, const Address &address) { return route.address < address; });
  if (found == routes_.end() || found->address != destination || found->link->broken()) return nullptr;
  return found->link;
}

void Pump::Fail(int error) {
  failure_ = error;
  Watch(epoll_, EPOLL_CTL_DEL, options_.tun_in, 0);
  Notice();
}

void Pump::Notice() const { Signal(options_.notice); }

}  // namespace ivshmem::tun
