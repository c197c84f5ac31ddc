// Packets for a peer that does not take what it has: kept in private memory,
// in their order, so that nobody else's packets wait behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace ivshmem::tun {

class Backlog {
 public:
  // What the flows to one peer have under way when its processor is given to
  // somebody else for some time slices; then the newest are dropped, which TCP
  // mends in a round trip. Of a flow that lost all it had under way it has to
  // wait for a timer.
  static constexpr size_t kMostBytes = 2 << 20;

  bool empty() const { return packets_.empty(); }
  size_t packets() const { return packets_.size(); }
  std::span<const std::byte> front() const { return packets_.front(); }

  // False when it is full.
  bool Push(std::span<const std::byte> packet) {
    if (bytes_ + packet.size() > kMostBytes) return false;
    packets_.emplace_back(packet.begin(), packet.end());
    bytes_ += packet.size();
    return true;
  }

  void Pop() {
    bytes_ -= packets_.front().size();
    packets_.pop_front();
  }

  void Clear() {
    packets_.clear();
    bytes_ = 0;
  }

 private:
  std::deque<std::vector<std::byte>> packets_;
  size_t bytes_ = 0;
};

}  // namespace ivshmem::tun
