// The thread that answers for all spread spaces of this process: takes faults from threads that wait, and
// orders from nodes. JavaScript is not needed for either.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "../spin_budget.h"
#include "fault_queue.h"
#include "member_space.h"

namespace ivshmem::dsm {

class MemberService {
 public:
  // One for the process, for its life: signal handlers may be on their way into its queue.
  static MemberService& Instance();
  static uint64_t Now();

  // The queue that threads which touch a space ask.
  FaultQueue& queue() { return queue_; }

  // Serves a space from now on: faults in its range, orders that `bell` tells of (an eventfd of the caller;
  // -1: nobody rings, look every millisecond). 0, or an errno.
  int Add(const std::shared_ptr<MemberSpace>& space, std::byte* base, size_t length, int bell);
  // The space is stopped and nobody is in it any more; whether threads waited for it until now. Not from a
  // report.
  bool Remove(const std::shared_ptr<MemberSpace>& space, std::byte* base);

  // Calls `change` while the service does not look at any space.
  template <class Change>
  auto With(const Change& change) {
    wanted_.fetch_add(1, std::memory_order_relaxed);
    std::unique_lock lock(mutex_);
    wanted_.fetch_sub(1, std::memory_order_relaxed);
    struct Waker {
      FaultQueue& queue;
      ~Waker() { queue.Wake(); }
    } waker{queue_};
    return change();
  }

 private:
  struct Served {
    std::shared_ptr<MemberSpace> space;
    int bell;
  };

  MemberService() = default;
  int Start();
  void Stop();
  void Run();
  bool Pass();
  bool Spin();
  bool YieldFindsWork(uint64_t start);
  bool Looks() const;
  bool Arm();
  void Disarm();

  std::mutex lifecycle_;  // starting and ending the thread; taken before `mutex_`
  size_t users_ = 0;
  std::thread thread_;
  int epoll_ = -1;
  int wake_ = -1;

  FaultQueue queue_;
  std::atomic<bool> stop_{false};
  std::atomic<int> wanted_{0};  // others that wait for the lock
  std::mutex mutex_;
  std::vector<Served> served_;
  SpinBudget budget_{50'000};
};

}  // namespace ivshmem::dsm
