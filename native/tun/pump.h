// The packet pump: a thread that moves packets between a TUN device and the
// channels of peers. The thread that owns it attaches and detaches channels and
// replaces routes; every such call returns when the pump no longer uses what
// was there before.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "link.h"
#include "packet.h"

namespace ivshmem::tun {

// Nanoseconds of a clock that only goes forward.
inline uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

struct Counters {
  uint64_t packets_sent = 0;  // from the TUN device into channels
  uint64_t bytes_sent = 0;    // of IP, without the virtio_net_hdr
  uint64_t packets_received = 0;
  uint64_t bytes_received = 0;
  std::array<uint64_t, kVerdicts> dropped{};  // by Verdict
  uint64_t sleeps = 0;
  uint64_t held = 0;  // packets that waited for room
};

class Pump {
 public:
  // Descriptors that outlive the pump.
  struct Options {
    // Both non-blocking, a packet with its virtio_net_hdr per read and write;
    // they may be the same.
    int tun_in = -1;  // packets of the kernel
    int tun_out = -1;
    int bell = -1;         // eventfd of our vector; -1: peers cannot ring, look every
                           // millisecond
    int wake = -1;         // eventfd of its own, to end a sleep
    int notice = -1;       // eventfd that is signalled when a channel broke or the
                           // device failed
    uint64_t spin_ns = 0;  // the longest look for packets before sleeping
  };

  explicit Pump(const Options &options) : options_(options) {}
  ~Pump() { Stop(); }
  Pump(const Pump &) = delete;
  Pump &operator=(const Pump &) = delete;

  // 0 or an errno.
  int Start();
  // Joins the thread. Idempotent.
  void Stop();

  void Attach(std::unique_ptr<Link> link);
  // The pump does not touch the memory of the channel any more when this
  // returns.
  void Detach(uint32_t id);
  // Packets to others than `own` are not accepted from peers.
  void SetOwn(std::vector<Address> own);

  Counters Read();
  // Ids of attached channels whose peer broke the rules of the ring.
  std::vector<uint32_t> Broken();
  // errno of the TUN device when it cannot be used any more, else 0.
  int Failure();

 private:
  struct Route {
    Address address;
    Link *link;
  };

  void Change(const std::function<void()> &change);
  void Run();
  bool Pass();
  bool SendFromTun();
  bool Deliver(Link *link);
  Verdict DeliverOne(const Link &link, const ring::AvailableBuffer &buffer, uint32_t *bytes);
  Link *Find(const Address &destination) const;
  bool PlaceHeld();
  bool SendBacklog(Link *link);
  void DropBacklog(Link *link);
  bool Place(Link *link, std::span<const std::byte> packet);
  void CountSent(uint32_t length);
  void Drop(Verdict verdict, uint64_t packets = 1) {
    counters_.dropped[static_cast<size_t>(verdict)] += packets;
  }
  void Fail(int error);
  bool Arm();
  void Disarm();
  bool Sleep(int timeout_ms);
  void Notice() const;
  void RebuildRoutes();

  const Options options_;
  int epoll_ = -1;
  std::thread thread_;
  std::mutex mutex_;  // everything below
  std::atomic<int> changers_{0};
  std::atomic<bool> stop_{false};

  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Route> routes_;  // sorted by address
  std::vector<Address> own_;
  Counters counters_;
  int failure_ = 0;
  bool tun_watched_ = true;
  Link *last_ = nullptr;  // where the last packet went: the guess for the next
  // A packet that found no room, whole, and since when; or 0 bytes.
  std::vector<std::byte> bounce_ = std::vector<std::byte>(kMostBytes);
  uint32_t held_bytes_ = 0;
  Link *held_for_ = nullptr;
  uint64_t held_since_ns_ = 0;
  std::array<std::byte, kPrefixBytes> prefix_{};
};

}  // namespace ivshmem::tun
