// A node in the test's process for the one member of an allocation: a thread that gives and takes pages all
// the time, or none, for who plays it.
#pragma once

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "../dsm/shared_layout.h"
#include "expect.h"

namespace ivshmem::dsm {

using namespace shared;

constexpr uint64_t kPages = 24, kPageBytes = 4096, kSlot = 1, kSlots = 2;
constexpr uint64_t kFramesOffset = kControlPage * (1 + kSlots);
constexpr uint64_t kBytes = kFramesOffset + kPages * kPageBytes;

inline uint32_t Get(uint32_t& word) { return std::atomic_ref(word).load(); }
inline void Set(uint32_t& word, uint32_t value) { std::atomic_ref(word).store(value); }

// Memory of an allocation, and a thread that is the node of its one member.
class Node {
 public:
  // Without a thread, for who plays the node himself.
  explicit Node(bool runs = true)
      : file(memfd_create("member", MFD_CLOEXEC)),
        bell(eventfd(0, EFD_NONBLOCK)),
        member(eventfd(0, EFD_NONBLOCK)) {
    EXPECT(ftruncate(file, kBytes) == 0);
    base = static_cast<std::byte*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    EXPECT(base != MAP_FAILED);
    control().magic = kMagic;
    control().version = kVersion;
    control().pageShift = 12;
    control().spacePages = kPages;
    control().framesOffset = kFramesOffset;
    control().frames = kPages;
    control().membersOffset = kControlPage;
    control().slots = kSlots;
    Set(control().state, kServing);
    if (runs) thread_ = std::thread([this] { Run(); });
  }
  ~Node() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
    munmap(base, kBytes);
    for (int fd : {file, bell, member}) close(fd);
  }

  std::atomic<uint64_t>& word(uint64_t page) {
    return *reinterpret_cast<std::atomic<uint64_t>*>(base + kFramesOffset + page * kPageBytes);
  }
  Control& control() { return *reinterpret_cast<Control*>(base); }
  MemberPage& page() { return *reinterpret_cast<MemberPage*>(base + kControlPage * (1 + kSlot)); }

  int file, bell, member;
  std::byte* base;
  std::atomic<bool> taking{true};  // pages away
  std::atomic<uint64_t> taken{0};

 private:
  void Give(OrderOp op, uint64_t at, uint8_t right, uint16_t count) {
    while (given_ - Get(page().ackTail) >= kOrders && Get(page().opened) == served_)
      std::this_thread::yield();
    page().orders[given_ % kOrders] = {at, static_cast<uint32_t>(at), op, right, count};
    std::atomic_ref(page().orderHead).store(++given_, std::memory_order_release);
    Wake();
  }

  void Wake() {
    if (std::atomic_ref(page().memberArmed).exchange(0) == 0) return;
    const uint64_t one = 1;
    EXPECT(write(member, &one, sizeof one) == sizeof one);
  }

  // Looks all the time: it is the member that is tried.
  void Run() {
    std::minstd_rand random(7);
    while (!stop_.load()) {
      const uint32_t opened = Get(page().opened);
      if (opened != served_) {
        served_ = opened;
        given_ = taken_ = 0;
        Set(page().faultTail, 0);
        Set(page().orderHead, 0);
        lent_ = 0;
        std::atomic_ref(page().lease).store(0);
        Set(page().served, opened);
      }
      if (opened == 0) {
        std::this_thread::yield();
        continue;
      }
      if (const uint32_t asked = Get(page().leaseAsked); asked != lent_) {
        lent_ = asked;
        std::atomic_ref(page().lease).store(uint64_t{asked} << 32 | 20'000);
        Wake();
      }
      const uint32_t head = std::atomic_ref(page().faultHead).load(std::memory_order_acquire);
      EXPECT(head - taken_ <= kFaults || Get(page().opened) != served_);
      for (; taken_ != head && head - taken_ <= kFaults; taken_++) {
        const FaultEntry fault = page().faults[taken_ % kFaults];
        EXPECT(fault.page + fault.count <= kPages);
        Give(kMapOrder, fault.page, fault.access == kWriteAccess ? 2 : 1, static_cast<uint16_t>(fault.count));
      }
      Set(page().faultTail, taken_);
      if (taking.load()) {
        const uint64_t first = random() % kPages;
        Give(kRestrictOrder, first, random() % 2,
             static_cast<uint16_t>(1 + random() % std::min<uint64_t>(3, kPages - first)));
        taken.fetch_add(1);
      }
      std::this_thread::yield();
    }
  }

  uint32_t served_ = 0, given_ = 0, taken_ = 0, lent_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ivshmem::dsm
