// Several hosts in one process, with real memory: each node has frames of its own, two members that map them
// with mappings of their own, and a thread that serves real faults and the messages of the other nodes, which
// are late by chance. What a member loads and stores are plain processor accesses.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "../dsm/fault_handler.h"
#include "../dsm/protocol.h"

namespace ivshmem::dsm::test {

constexpr size_t kPageBytes = 4096;
constexpr size_t kMembers = 2;  // on each host
using Clock = std::chrono::steady_clock;

// Long enough for a woken thread to make the access it was woken for before the page is taken away.
constexpr auto kHold = std::chrono::microseconds(200);

struct Packet {
  Message message;
  std::vector<char> bytes;
  Clock::time_point due;
};

// One direction of a connection.
struct Wire {
  std::mutex mutex;
  std::vector<Packet> packets;
  Clock::time_point last;
};

class Host;

struct Cluster {
  Cluster(NodeId count, size_t pages, unsigned seed);
  ~Cluster();

  Wire& wire(NodeId from, NodeId to) { return wires[size_t{from} * hosts.size() + to]; }

  std::vector<std::unique_ptr<Host>> hosts;
  std::vector<Wire> wires;
  std::atomic<uint64_t> messages{0}, transfers{0}, rejected{0}, failed{0};
};

class Host {
 public:
  Host(Cluster& cluster, NodeId self, NodeId count, size_t pages, unsigned seed)
      : cluster_(cluster),
        self_(self),
        count_(count),
        length_(pages * kPageBytes),
        random_(seed),
        node_(self, Shape{pages, count}, View{1, Bit(count) - 1}, true),
        held_until_(pages) {
    const int fd = memfd_create("frames", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(length_)) != 0) std::abort();
    frames_ = Map(fd, PROT_READ | PROT_WRITE);
    for (char*& member : members_) {
      member = Map(fd, PROT_NONE);
      if (!WatchRange(member, length_, &queue_)) std::abort();
    }
    close(fd);
  }

  ~Host() {
    for (char* member : members_) {
      UnwatchRange(member);
      munmap(member, length_);
    }
    munmap(frames_, length_);
  }

  void Start() {
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        const bool busy = Step();
        queue_.Wait(busy ? 1 : 20);
      }
    });
  }

  void Stop() {
    stop_.store(true);
    queue_.Wake();
    if (thread_.joinable()) thread_.join();
    queue_.Close();
  }

  void Ring() { queue_.Wake(); }
  char* member(size_t number) const { return members_[number]; }
  std::atomic<uint64_t> faults{0};

 private:
  struct Waiting {
    PageId page;
    FaultCall call;
  };

  char* Map(int fd, int protection) const {
    void* base = mmap(nullptr, length_, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) std::abort();
    return static_cast<char*>(base);
  }

  PageId PageOf(uintptr_t address) const {
    for (const char* member : members_) {
      const uintptr_t offset = address - reinterpret_cast<uintptr_t>(member);
      if (offset < length_) return offset / kPageBytes;
    }
    std::abort();
  }

  // True when something is still to be done soon.
  bool Step() {
    FaultCall call;
    while (queue_.Take(call)) {
      faults++;
      const PageId page = PageOf(call.address);
      waiting_.push_back({page, call});
      Outputs out;
      node_.Fault(page, call.access == Access::kWrite ? Right::kWrite : Right::kRead, out);
      Perform(out, nullptr);
    }
    // Members take their time to acknowledge.
    for (size_t i = restricted_.size(); i-- > 0;) {
      if (random_() % 4 == 0) continue;
      const PageId page = restricted_[i];
      restricted_.erase(restricted_.begin() + static_cast<std::ptrdiff_t>(i));
      Outputs out;
      node_.Restricted(page, out);
      Perform(out, nullptr);
    }
    bool busy = false;
    for (NodeId from = 0; from < count_; from++) busy |= Read(from);
    return busy || !restricted_.empty();
  }

  bool Read(NodeId from) {
    Wire& wire = cluster_.wire(from, self_);
    for (;;) {
      Packet packet;
      {
        const std::lock_guard lock(wire.mutex);
        if (wire.packets.empty()) return false;
        const Packet& first = wire.packets.front();
        const bool takes =
            first.message.type == MessageType::kForward || first.message.type == MessageType::kInvalidate;
        const auto now = Clock::now();
        if (first.due > now || (takes && held_until_[first.message.page] > now)) return true;
        packet = first;
        wire.packets.erase(wire.packets.begin());
      }
      Outputs out;
      if (node_.Receive(from, packet.message, out) == Node::Taken::kLater) std::abort();
      Perform(out, &packet);
    }
  }

  void Perform(const Outputs& outputs, const Packet* packet) {
    for (const Output& output : outputs) {
      char* frame = frames_ + output.page * kPageBytes;
      switch (output.type) {
        case OutputType::kSend:
          Send(output.to, output.message, frame);
          break;
        case OutputType::kInstall:
          std::memcpy(frame, packet->bytes.data(), kPageBytes);
          break;
        case OutputType::kMap:
          Protect(output.page, output.right);
          held_until_[output.page] = Clock::now() + kHold;
          Answer(output.page, Verdict::kRetry);
          break;
        case OutputType::kRestrict:
          Protect(output.page, output.right);
          restricted_.push_back(output.page);
          break;
        case OutputType::kFree:
          std::memset(frame, 0xee, kPageBytes);
          break;
        case OutputType::kFail:
          cluster_.failed++;
          Answer(output.page, Verdict::kFail);
          break;
        case OutputType::kReject:
          cluster_.rejected++;
          break;
        default:
          break;  // of release consistency
      }
    }
  }

  void Send(NodeId to, const Message& message, const char* frame) {
    cluster_.messages++;
    Packet packet{message, {}, Clock::now()};
    if (message.type == MessageType::kData) {
      cluster_.transfers++;
      packet.bytes.assign(frame, frame + kPageBytes);
    }
    if (random_() % 4 == 0) packet.due += std::chrono::microseconds(random_() % 1000);
    Wire& wire = cluster_.wire(self_, to);
    {
      const std::lock_guard lock(wire.mutex);
      packet.due = wire.last = std::max(packet.due, wire.last);
      wire.packets.push_back(std::move(packet));
    }
    cluster_.hosts[to]->Ring();
  }

  void Protect(PageId page, Right right) const {
    const int protection = right == Right::kWrite  ? PROT_READ | PROT_WRITE
                           : right == Right::kRead ? PROT_READ
                                                   : PROT_NONE;
    for (char* member : members_) {
      if (mprotect(member + page * kPageBytes, kPageBytes, protection) != 0) std::abort();
    }
  }

  void Answer(PageId page, Verdict verdict) {
    for (size_t i = waiting_.size(); i-- > 0;) {
      if (waiting_[i].page != page) continue;
      queue_.Answer(waiting_[i].call.cell, verdict);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  Cluster& cluster_;
  NodeId self_, count_;
  size_t length_;
  std::mt19937 random_;
  Node node_;
  std::vector<Clock::time_point> held_until_;
  char* frames_;
  char* members_[kMembers];
  FaultQueue queue_;
  std::vector<Waiting> waiting_;
  std::vector<PageId> restricted_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

inline Cluster::Cluster(NodeId count, size_t pages, unsigned seed) : wires(size_t{count} * count) {
  for (NodeId node = 0; node < count; node++) {
    hosts.push_back(std::make_unique<Host>(*this, node, count, pages, seed * 31 + node));
  }
  for (auto& host : hosts) host->Start();
}

inline Cluster::~Cluster() {
  for (auto& host : hosts) host->Stop();
}

}  // namespace ivshmem::dsm::test
